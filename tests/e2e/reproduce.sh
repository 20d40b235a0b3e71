#!/bin/bash
# A provenance is enough to build again, and what comes out is said under a signature: the same, or what differs. What is
# forged, incomplete or unknown is refused before anything is built. Prints "ok NAME" or "not ok NAME" lines.
. "$(dirname "$0")/pipeline.bash"
KILN_CACHE=$(shared_cache)
export KILN_CACHE
cd "$work" || exit 1

# Builder and rebuilder have keys of their own.
export KILN_KEYS=$work/keys-builder
builder=(--key "$work/keys-builder/attest.pub" --key "$work/keys-builder/rpm.asc")

make() { # NAME CONTENT: a package with two files
        {
                head_of "$1"
                printf '%%install\nmkdir -p %%{buildroot}/usr/share/%s\n%s >%%{buildroot}/usr/share/%s/one\n' "$1" "$2" "$1"
                printf 'echo always >%%{buildroot}/usr/share/%s/two\n%%files\n/usr/share/%s\n' "$1" "$1"
                tail_of
        } | srpm "$1"
}

build() { # OUT SRPM [OPTION...]
        local out=$1 file=$2
        shift 2
        KILN_KEYS=$work/keys-builder "$kiln" rebuild -q -t e2e -o "$out" "$@" "$file" >"$work/log" 2>&1 || cat "$work/log"
}

# kiln reproduce in the rebuilder's place: exit status, message and what is left.
reproduce() { # NAME STATUS REGEX ARGUMENT...
        local name=$1 status=$2 regex=$3 got=0 left
        shift 3
        out=$work/re-$RANDOM$RANDOM
        KILN_KEYS=$work/keys-rebuilder "$here/run-alone.py" "$work/log" "$kiln" reproduce -o "$out" "$@" >"$work/stdout" || got=$?
        left=$(left_behind "$out")
        if [ "$got" = "$status" ] && cat "$work/stdout" "$work/log" | grep -qE -- "$regex" && [ -z "$left" ]; then
                say 0 "$name"
        else
                printf '    exit status %s (wanted %s), left: %s\n' "$got" "$status" "$left"
                tail -n 12 "$work/stdout" "$work/log" | sed 's/^/    /'
                say 1 "$name"
        fi
}

payload() { # FILE LINE
        sed -n "$2p" "$1" | jq -r .payload | base64 -d
}

pae() { # stdin, as it is signed
        local body
        body=$(cat; echo .)
        body=${body%.}
        printf 'DSSEv1 28 application/vnd.in-toto+json %s %s' "$(printf %s "$body" | wc -c)" "$body"
}

sign() { # KEY-DIRECTORY: a statement on stdin becomes an envelope
        cat >"$work/body"
        pae <"$work/body" >"$work/pae"
        openssl pkeyutl -sign -rawin -inkey "$1/attest.key" -in "$work/pae" -out "$work/signature"
        jq -cn --rawfile p "$work/body" --arg s "$(base64 -w0 "$work/signature")" \
                '{payload: ($p | @base64), payloadType: "application/vnd.in-toto+json", signatures: [{keyid: "", sig: $s}]}'
}

# The builder's own key under another statement: what a compromised or mistaken builder would publish.
forge() { # OUT DIRECTORY JQ-FILTER: the provenance changed, the other statements as they are
        mkdir -p "$1"
        local from
        from=$(echo "$2"/*.intoto.jsonl)
        { payload "$from" 1 | jq -cjS "$3" | sign "$work/keys-builder" && sed 1d "$from"; } >"$1/$(basename "$from")"
}

summary() { # OUT JQ-FILTER: of the verification summary, its signature checked without kiln
        local file
        file=$(echo "$1"/*@*.intoto.jsonl)
        payload "$file" 1 | pae >"$work/pae"
        jq -r '.signatures[0].sig' "$file" | base64 -d >"$work/signature"
        openssl pkeyutl -verify -rawin -pubin -inkey "$work/keys-rebuilder/attest.pub" -in "$work/pae" \
                -sigfile "$work/signature" >/dev/null || echo "bad signature"
        payload "$file" 1 | jq -c "$2"
}

# ---- the same
good=$(make good 'echo first')
build first "$good" --define 'vendor Somebody'
reproduce "a result directory is reproduced, offline" 0 '^same .*byte-identical, rpm verifies' "${builder[@]}" --offline first
is "  the summary says so" '["PASSED",["KILN_REPRODUCED"],["good-1-1.noarch.rpm","good-1-1.src.rpm"]]' \
        "$(summary "$out" '[.predicate.verificationResult, .predicate.verifiedLevels, [.subject[].name]]')"
is "  about the provenance that was read" "\"$(head -n 1 first/good-1-1.intoto.jsonl | tr -d '\n' | sha256sum | cut -d ' ' -f 1)\"" \
        "$(summary "$out" '.predicate.inputAttestations[0].digest.sha256')"
is "  of the original's header and payload" "$(jq -c '[.artefacts[] | select(.kind == "RPM" or .kind == "SRPM") | [.headerSha256, .payloadSha256]]' first/result.json)" \
        "$(summary "$out" '[.subject[].digest | [.rpmHeaderSha256, .rpmPayloadSha256]]')"
check "  packages of two keys differ as files" test "$(cmp -s first/good-1-1.noarch.rpm "$out/good-1-1.noarch.rpm"; echo $?)" = 1
is "  and in nothing else" "$(jq -r .outputsDigest first/result.json)" "$(jq -r .outputsDigest "$out/result.json")"
votes() { # DIRECTORY: by how many keys each package is vouched for
        KILN_KEYS=$work/keys-nobody "$kiln" verify -q --json "${builder[@]}" --key keys-rebuilder/attest.pub "$1" 2>"$work/log" |
                jq -c '[.verdict, [.sources[].packages[].keys | length]]'
}
cp -r first vouched
cp "$out"/*@*.intoto.jsonl vouched/
is "  one key says that these packages are right" '["OK",[1,1]]' "$(votes first)"
is "  with the summary beside them, two do" '["OK",[2,2]]' "$(votes vouched)"
against() { # NAME STATUS REGEX REBUILD KEY...
        local name=$1 status=$2 regex=$3 file=$4 got=0
        shift 4
        "$kiln" verify -q "$@" --against first/good-1-1.noarch.rpm "$file" >"$work/stdout" 2>"$work/log" || got=$?
        check "$name" test "$got" = "$status" -a "$(cat "$work/stdout" "$work/log" | grep -cE "$regex")" -gt 0
}
against "the original's signature on the rebuild is the original" 0 'byte-identical.*rpm verifies' "$out/good-1-1.noarch.rpm" "${builder[@]}"
against "  which nobody can say without its key" 6 'none of those given' "$out/good-1-1.noarch.rpm" --key keys-rebuilder/rpm.asc
mkdir beside
cp first/good-1-1.intoto.jsonl first/good-1-1.noarch.rpm beside/
reproduce "an RPM beside its attestations" 0 '"reproduced":true' --json --key keys-builder/attest.pub beside/good-1-1.noarch.rpm
is "  without the package key the graft is still the original" '["identical, unknown key","none"]' "$(jq -c '[.packages[].graft]' "$work/stdout")"

# ---- parameters of every kind come back
{
        head_of many
        printf '%%bcond_without thing\n%%install\nmkdir -p %%{buildroot}/usr/share/many\necho %%{?with_thing:yes} %%{word} >%%{buildroot}/usr/share/many/many\n'
        printf '%%generate_buildrequires\necho bzip2\n%%check\nfalse\n%%files\n/usr/share/many\n'
        tail_of
} >"$work/many.in"
many=$(srpm many <"$work/many.in")
printf 'version = 1\n[[tag]]\nname = "Summary"\nvalue = "Another"\n' >"$work/o.toml"
build many "$many" --define 'word abc' --without thing --no-check
reproduce "macros, bconds, no check, generated BuildRequires" 0 'REPRODUCED' "${builder[@]}" many/many-1-1.intoto.jsonl
build pinned "$good" --lock first/lock.json
reproduce "a build that was given its lock" 0 'REPRODUCED' "${builder[@]}" pinned/good-1-1.intoto.jsonl

# ---- not the same
wild=$(make wild 'head -c 9 /dev/urandom')
build wild "$wild"
rm wild/*.rpm
reproduce "a package that is random is not reproduced; without the original, by its SBOM" 7 'file /usr/share/wild/one' "${builder[@]}" wild
is "  the summary names the package and its file" '["FAILED",["wild-1-1.noarch.rpm"],["/usr/share/wild/one"]]' \
        "$(summary "$out" '[.predicate.verificationResult, [.subject[].name], .predicate.kiln_differences[0].files]')"

# ---- the rebuild, varied
reproduce "a varied rebuild too" 0 '"a second build gave the same packages under another clock' "${builder[@]}" --json --vary first
is "  the summary says both" '["PASSED",["KILN_REPRODUCED","KILN_REPRODUCED_VARIED"]]' \
        "$(summary "$out" '[.predicate.verificationResult, .predicate.verifiedLevels]')"
is "  with the test result beside it" true "$(payload "$out/good-1-1.intoto.jsonl" 5 | jq '.predicate.configuration[0].name == "reproducible" and
        (.predicate.passedTests | index("host-name") != null) and (.predicate.failedTests == [])')"
is "  and the same as JSON" '[true,true,["vary.reproduced"]]' "$(jq -c '[.reproduced, .varied.same, [.varied.findings[].id | select(. != "vary.not-varied")]]' "$work/stdout")"
cp "$out"/*@*.intoto.jsonl vouched/
is "  which vouches as a plain one does" '["OK",[2,2]]' "$(votes vouched)"
zone=$(make zone 'date -d @0')
build zone "$zone"
reproduce "a package that depends on the time zone is what was published, but varies" 7 '^VARIES +timezone: /usr/share/zone/one ' "${builder[@]}" \
        --vary zone
is "  which is no dissent" '["PASSED",["KILN_REPRODUCED"],2]' \
        "$(summary "$out" '[.predicate.verificationResult, .predicate.verifiedLevels, (.subject | length)]')"

# A builder that says it built one thing and publishes another.
cp "$good" "$work/honest.src.rpm"
evil=$(make good 'echo changed')
build evil "$evil" --define 'vendor Somebody'
subjects=$(payload evil/good-1-1.intoto.jsonl 1 | jq -c .subject)
forge liar evil "$(payload first/good-1-1.intoto.jsonl 1 | jq -c .predicate) as \$p | .predicate = \$p | .subject = $subjects"
cp evil/*.rpm liar/
reproduce "other bytes than those its sources make" 7 'file /usr/share/good/one' "${builder[@]}" liar
is "  dissent names exactly what was changed" '["FAILED",["/usr/share/good/one"]]' \
        "$(summary "$out" '[.predicate.verificationResult, (.predicate.kiln_differences[] | select(.package == "good-1-1.noarch.rpm").files)]')"

cp "$out"/*@*.intoto.jsonl evil/
is "  whoever believes both keys is told" NOT_REPRODUCED "$(votes evil | jq -r '.[0]')"
against "the original's signature on the other bytes, and why not" 7 'file-meta /usr/share/good/one digest' evil/good-1-1.noarch.rpm "${builder[@]}"

# Packages that are right, under an SBOM that is not.
mkdir sbom
{ sed 2q first/good-1-1.intoto.jsonl && payload first/good-1-1.intoto.jsonl 3 | jq -cjS '.predicate.components[0].components |= .[1:]' |
        sign "$work/keys-builder" && sed 1,3d first/good-1-1.intoto.jsonl; } >sbom/good-1-1.intoto.jsonl
reproduce "an SBOM that keeps a file to itself" 7 '^DIFFERS +cdx.json' "${builder[@]}" sbom
is "  dissent is about the packages it describes" '["FAILED",["good-1-1.noarch.rpm","good-1-1.src.rpm"],["cdx.json"]]' \
        "$(summary "$out" '[.predicate.verificationResult, [.subject[].name], .predicate.kiln_differences[0].tags]')"
cp -r first cut
truncate -s -1 cut/good-1-1.noarch.rpm
reproduce "a package that was tampered with is no bad input" 7 'truncated' "${builder[@]}" cut/good-1-1.noarch.rpm

# ---- refused before anything is built
cp -r first bad-byte
printf 'X' | dd of=bad-byte/good-1-1.noarch.rpm bs=1 seek=$(($(stat -c %s first/good-1-1.noarch.rpm) - 9)) conv=notrunc status=none
reproduce "an original with a flipped byte" 7 'wrong' "${builder[@]}" bad-byte
check "  nothing was built" test ! -e "$out"
cp -r first swapped
cp evil/good-1-1.noarch.rpm swapped/
reproduce "another package under the original's name" 7 'not what the provenance' "${builder[@]}" swapped
cp -r first unreadable
ln -sf good-1-1.noarch.rpm unreadable/good-1-1.noarch.rpm
reproduce "an original that cannot be looked at" 3 'cannot open it' "${builder[@]}" unreadable
reproduce "another package beside the attestations" 7 'not what the provenance' "${builder[@]}" swapped/good-1-1.noarch.rpm
reproduce "the rebuilder's own key signed nothing here" 7 'none of the 1 keys' --key keys-rebuilder/attest.pub first
mkdir flipped
for at in 400 2000; do
        sed "1s/\(\"payload\":\"[A-Za-z0-9+\/]\{$at\}\)./\1_/" first/good-1-1.intoto.jsonl | tr _ Q >flipped/good-1-1.intoto.jsonl
        reproduce "a changed letter in the envelope, at $at" 7 'keys given' "${builder[@]}" flipped
done
sed 3q first/good-1-1.intoto.jsonl | sed 1d >flipped/good-1-1.intoto.jsonl
reproduce "attestations without a provenance" 3 'no provenance' "${builder[@]}" flipped
for line in 2 3; do
        sed ${line}d first/good-1-1.intoto.jsonl >flipped/good-1-1.intoto.jsonl
        reproduce "attestations without SBOM $((line - 1))" 3 'no SBOM of type' "${builder[@]}" flipped
done
cat first/good-1-1.intoto.jsonl first/good-1-1.intoto.jsonl >flipped/good-1-1.intoto.jsonl
reproduce "two provenances" 3 'two' "${builder[@]}" flipped

definition=.predicate.buildDefinition
refused() { # NAME STATUS REGEX JQ-FILTER
        forge "$work/forged" first "$4"
        reproduce "$1" "$2" "$3" "${builder[@]}" "$work/forged"
}
refused "an unknown external parameter" 3 'turbo' "$definition.externalParameters.turbo = true"
refused "an unknown parameter of the build" 3 'turbo' "$definition.externalParameters.build.turbo = true"
refused "an unknown internal parameter" 3 'turbo' "$definition.internalParameters.turbo = 1"
refused "an unknown kind of dependency" 3 'magic' "$definition.resolvedDependencies[0].annotations.kind = \"magic\""
refused "another build type" 3 'build type' "$definition.buildType = \"https://example.org/b\""
refused "a parameter that the build digest does not cover" 7 'invocationId' "$definition.externalParameters.build.skipCheck = true"
refused "a package less than the lock has" 7 'lock' "del($definition.resolvedDependencies[10])"
refused "another source than the one asked for" 7 'source' "$definition.resolvedDependencies[0].digest.sha256 = (\"ab\" * 32)"
check "  none of them built anything" test ! -e "$out"
reproduce "into the directory of the provenance" 2 'another directory' "${builder[@]}" -o first first
mv "$work/config/toolchains/e2e.toml" "$work/e2e.toml"
sed 's/^cpus = .*/cpus = 1/' "$work/e2e.toml" >"$work/config/toolchains/e2e.toml"
reproduce "another definition of the toolchain" 6 'definition has digest [0-9a-f]{64}, the request asks for [0-9a-f]{64}' "${builder[@]}" first
rm "$work/config/toolchains/e2e.toml"
reproduce "no definition of the toolchain" 3 'e2e' "${builder[@]}" first

# ---- inputs: a store that has none of them, no network, no repository
sed 's|^base-urls = .*|base-urls = ["http://127.0.0.1:9/"]|' "$work/e2e.toml" >"$work/config/toolchains/e2e.toml"
shared=$KILN_CACHE
export KILN_CACHE=$work/cache
mkdir "$KILN_CACHE"
reproduce "what is missing offline is listed" 4 "source package good-1-1.src.rpm, sha256 $(sha256sum <"$work/honest.src.rpm" | cut -d ' ' -f 1)" "${builder[@]}" --offline first
check "  packages too, and how many more" grep -qE 'and [0-9]+ more' "$work/log"
cp -r "$shared/store" "$KILN_CACHE/"
rm -r "$KILN_CACHE/store/sha256/$(sha256sum <"$work/honest.src.rpm" | cut -c 1-2)"
reproduce "the rebuilt source package is not the one that was given" 3 'provenance is about another file' "${builder[@]}" --offline --source first/good-1-1.src.rpm first
reproduce "with the source package and a mirror of the packages" 0 'REPRODUCED' "${builder[@]}" --offline --source honest.src.rpm \
        --mirror "file://$bootstrap/repo" first
exit $failed
