#!/bin/bash
# A time stamp says when an attestation was signed: what an authority stamps holds for `kiln verify` and for openssl, an
# expired key is good with a stamp from before, and nothing else than the stamp of an accepted authority over that very
# signature counts. What it stamps stays the same bytes.
. "$(dirname "$0")/pipeline.bash"
KILN_CACHE=$(shared_cache)
export KILN_CACHE KILN_KEYS=$work/keys
jsonl=pot-1-1.intoto.jsonl
kinds="cyclonedx provenance spdx test-isa"

coproc server { exec python3 "$here/tsa.py" "$work" good stranger rough; }
server_pid=$!
read -r port <&"${server[0]}" || exit 1
trap 'kill "$server_pid"; finish' EXIT
url=http://127.0.0.1:$port
stamped=(--tsa "$url/good" --tsa-cert "$work/good.root.pem")

{ head_of pot; printf '%%install\nmkdir -p %%{buildroot}/usr/share/pot\necho c >%%{buildroot}/usr/share/pot/c\n%%files\n/usr/share/pot\n'; tail_of; } | srpm pot >/dev/null
rebuild() { # OUT [OPTION...]: exit status in $got
        local out=$1
        shift
        got=0
        "$kiln" rebuild -q -t e2e -o "$out" "$@" "$work/s/pot/pot-1-1.src.rpm" >"$work/said" 2>&1 || got=$?
}
judge() { # OPTION...
        got=0
        "$kiln" verify --quick "$@" >"$work/said" 2>&1 || got=$?
}
expect() { # NAME STATUS REGEX
        if [ "$got" = "$2" ] && grep -qE -- "$3" "$work/said"; then say 0 "$1"; else
                printf '    exit status %s (wanted %s), wanted /%s/\n' "$got" "$2" "$3"
                sed 's/^/    /' "$work/said" | cut -c1-400
                say 1 "$1"
        fi
}

# ---- making
rebuild "$work/plain"
is "a result without stamps" 0 "$got"
rebuild "$work/r" "${stamped[@]}"
is "a result with stamps" 0 "$got"
is "each attestation has a bundle" "$kinds" "$(cd "$work/r" && echo ./*.sigstore.json | sed 's/[^ ]*pot-1-1\.//g; s/\.sigstore\.json//g')"
is "which the result lists" 4 "$(jq '[.artefacts[] | select(.kind == "BUNDLE")] | length' "$work/r/result.json")"
is "the same packages and SBOMs come out" "$(jq -r .outputsDigest "$work/plain/result.json")" "$(jq -r .outputsDigest "$work/r/result.json")"
is "each bundle holds a line of the attestations" "$(sort "$work/r/$jsonl")" \
        "$(jq -cS .dsseEnvelope "$work/r"/*.sigstore.json | sort)"
by_openssl() { # BUNDLE
        jq -r '.verificationMaterial.timestampVerificationData.rfc3161Timestamps[0].signedTimestamp' "$1" | base64 -d >"$work/answer"
        jq -r '.dsseEnvelope.signatures[0].sig' "$1" | base64 -d >"$work/signature"
        openssl ts -verify -data "$work/signature" -in "$work/answer" -CAfile "$work/good.root.pem" >"$work/openssl" 2>&1
}
for bundle in "$work/r"/*.sigstore.json; do
        check "openssl verifies the stamp of $(basename "$bundle" .sigstore.json)" by_openssl "$bundle"
done

# ---- judging
judge "$work/r"
expect "without an authority stamps are not looked at" 0 '2 of 2'
judge --tsa-cert "$work/good.root.pem" "$work/r"
expect "with one they hold" 0 '2 of 2'
judge -q --json --tsa-cert "$work/good.root.pem" "$work/r"
is "and say when" '[4,["good.root.pem"],"OK"]' \
        "$(grep -v '^{"event' "$work/said" | jq -cs 'map(select(.sources))[0].sources[0] | [([.attestations[] | select(.stamped.time > "2026")] | length), ([.attestations[].stamped.by] | unique), .checks.times]')"
judge --tsa-cert "$work/good.pem" "$work/r"
expect "the authority's own certificate is enough" 0 '2 of 2'
judge --tsa-cert "$work/stranger.root.pem" "$work/r"
expect "a stranger's stamp" 6 'times: the time stamp in .* leads to no time-stamp authority that is accepted'

# A rough stamp, which leaves open whether that was before or after a moment; an accurate one comes later.
sed -i 's/secs:1$/secs:3/' "$work/rough.cnf"
since=$(date -u -d '+2 seconds' +%FT%TZ)
judge -q --bundle "$work/rough" --tsa "$url/rough" --tsa-cert "$work/rough.root.pem" "$work/plain"
is "a rough stamp" 0 "$got"

# ---- keys. The stamps are a moment old; the key ends now.
sleep 3
now=$(date -u +%FT%TZ)
ago=$(date -u -d '-1 hour' +%FT%TZ)
policy() { # TEXT; "valid", "package_valid" and "authority" can be set before
        cat >"$work/policy.toml" <<END
[[key]]
name = "a"
operator = "one"
file = "keys/attest.pub"
${valid:-}
[[package-key]]
file = "keys/rpm.asc"
${package_valid:-}
$(for a in ${authority-good}; do printf '[[time-stamp-authority]]\nname = "%s"\nfile = "%s.root.pem"\n%s\n' "$a" "$a" "${authority_valid:-}"; done)
$1
[allow]
unsigned-source = true
unsigned-inputs = true
END
}
judged() { # NAME STATUS REGEX [DIRECTORY]
        judge --policy "$work/policy.toml" "${4:-$work/r}"
        expect "$1" "$2" "$3"
}
ended="valid-until = \"$now\"" before="valid-until = \"$ago\"" later="valid-from = \"$now\""
valid=$ended policy ''
judged "an expired key with a stamp from before" 0 '2 of 2'
judged "and without" 6 'key a, which is valid from the beginning to .* only, and not now; nothing but the signature itself says when' "$work/plain"
valid=$ended authority='' policy ''
judged "and without an authority" 6 'a bundle with a time stamp of a \[\[time-stamp-authority\]\] of the policy would'
valid=$ended authority=stranger policy ''
judged "and of a stranger" 6 'key a, which is valid .* only, and not now'
valid=$before policy ''
judged "a key that had expired when it signed" 6 'key a, which is valid .* only, and was not when good stamped it: .* \(pot-1-1.*sigstore.json\)'
valid=$later policy ''
judged "a key that was not valid yet" 6 'key a, which is valid .* and was not when good stamped it'
package_valid=$ended policy ''
judged "an expired key of packages, with a stamp from before" 0 '2 of 2'
judged "an expired key of packages, and without" 6 'it was signed by key .*, which is valid .* and not now; .*a time-stamped attestation that names this very file would' "$work/plain"
package_valid=$before policy ''
judged "a key of packages that had expired when it signed" 6 'it was signed by key .*, which is valid .* was not when good stamped it'
valid=$ended authority_valid=$ended policy ''
judged "an authority that is accepted until now" 0 '2 of 2'
valid=$ended authority_valid=$before policy ''
judged "an authority that was not accepted any more" 6 'outside of what the authority good is accepted for'

from="valid-from = \"$since\""
rough=()
for bundle in "$work/rough"/*; do rough+=(-a "$bundle"); done
valid=$from package_valid=$from authority="good rough" policy ''
judge --policy "$work/policy.toml" "${rough[@]}" "$work/plain"
expect "a stamp that leaves open whether a key was valid" 6 'key a, which is valid .* and was not when rough stamped it'
judge -q --bundle "$work/rough" "${stamped[@]}" "$work/plain"
judge --policy "$work/policy.toml" "${rough[@]}" "$work/plain"
expect "and beside it one that does not" 0 '2 of 2'

# ---- a stamp is demanded
policy '[require]
time-stamp = true'
judged "a stamp that is demanded" 0 '2 of 2'
judged "and is missing" 6 'line 1 has no time stamp that holds, which the policy demands \(require.time-stamp\)' "$work/plain"
authority='' policy '[require]
time-stamp = true'
judged "and could be by nobody" 3 'time-stamp demands a \[\[time-stamp-authority\]\]'

# ---- tampering: two bundles, and what is done to the first one's stamps
a=pot-1-1.provenance.sigstore.json b=pot-1-1.spdx.sigstore.json
stamps=.verificationMaterial.timestampVerificationData.rfc3161Timestamps
policy ''
tamper() { # NAME STATUS REGEX JQ-PROGRAM: $o is the second bundle
        rm -rf "$work/t" && cp -r "$work/r" "$work/t"
        jq -c --slurpfile o "$work/r/$b" "$4" "$work/r/$a" >"$work/t/$a"
        judged "$1" "$2" "$3" "$work/t"
}
tamper "the stamp of another signature" 7 'it stamps another signature than the one it lies with' "$stamps = \$o[0]$stamps"
# A byte of the time stamp's own signature, which is the last thing in it.
python3 - "$work/r/$a" >"$work/changed" <<'END'
import base64, json, sys
d = bytearray(base64.b64decode(json.load(open(sys.argv[1]))["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"][0]["signedTimestamp"]))
d[-5] ^= 1
print(base64.b64encode(d).decode())
END
tamper "a changed stamp" 7 'its signature does not hold' "${stamps}[0].signedTimestamp = \"$(cat "$work/changed")\""
tamper "a stamp that is cut off" 3 'it is no TimeStampResp' "${stamps}[0].signedTimestamp |= .[:400]"
tamper "a stamp that is no base64" 3 'no base64' "${stamps}[0].signedTimestamp |= \" \" + ."
tamper "stamps that are no list" 3 'no list' "$stamps = \"x\""
tamper "too many stamps" 3 'no list of a sane length' "$stamps |= [range(33) as \$i | .[0]]"
"$kiln" verify -q --quick --bundle "$work/strange" --tsa "$url/stranger" --tsa-cert "$work/stranger.root.pem" "$work/plain" >"$work/said" 2>&1
jq -c "${stamps}[0]" "$work/strange/$a" >"$work/stranger.stamp"
jq -r .dsseEnvelope.signatures[0].sig "$work/strange/$a" >"$work/stranger.sig"
rm -rf "$work/t" && cp -r "$work/plain" "$work/t" && cp "$work/strange/$a" "$work/t/"
judged "an untrusted stamp alone" 6 'the time stamp in .* leads to no time-stamp authority that is accepted' "$work/t"
judge -q --quick --bundle "$work/both" "${stamped[@]}" "$work/plain"
jq -c --slurpfile s "$work/stranger.stamp" "$stamps += \$s" "$work/both/$a" >"$work/t/$a"
judged "an untrusted stamp beside one that holds" 0 '2 of 2' "$work/t"

# ---- a result that was not stamped, later; and the bundles from elsewhere
is "an old result is stamped" "$kinds" "$(cd "$work/both" && echo ./*.sigstore.json | sed 's/[^ ]*pot-1-1\.//g; s/\.sigstore\.json//g')"
sleep 3
valid="valid-until = \"$(date -u +%FT%TZ)\"" policy ''
more=()
for bundle in "$work/both"/*; do more+=(-a "$bundle"); done
judge --policy "$work/policy.toml" "${more[@]}" "$work/plain"
expect "bundles from elsewhere" 0 '2 of 2'
judge --policy "$work/policy.toml" "${more[@]:0:6}" "$work/plain"
expect "each attestation needs its own" 6 'line 4 was signed by key a'

# ---- authorities that fail: nothing they say goes anywhere
fails() { # NAME PATH REGEX
        judge -q --bundle "$work/out" --tsa "$url/$2" --tsa-cert "$work/good.root.pem" "$work/plain"
        expect "$1" 4 "$3"
        [ -z "$(ls -A "$work/out" 2>/dev/null)" ] || say 1 "$1: it left something"
}
fails "an answer by a stranger" stranger 'leads to no time-stamp authority'
fails "an answer about something else" good/other 'it stamps another signature'
fails "an answer to another request" good/again 'it answers another request: the nonce differs'
fails "an authority that refuses" reject 'granted none \(status 2\)'
fails "an answer that is none" garbage 'it is no TimeStampResp'
fails "an answer without end" huge 'longer than 65536 bytes'
fails "an authority that is not there" missing 'HTTP status 404'
judge -q --bundle "$work/out" --tsa "$url/good/busy" --tsa-cert "$work/good.root.pem" "$work/plain"
is "an authority that is busy is asked again" "0 4" "$got $(find "$work/out" -name '*.sigstore.json' | wc -l)"
rebuild "$work/lost" --tsa "$url/broken" --tsa-cert "$work/good.root.pem"
expect "a build without an answer" 4 'HTTP status 500'
expect "with advice" 4 'kiln verify --bundle DIR --tsa URL'
is "has its packages, no bundle, and says so" 'INFRA 2 0' \
        "$(jq -r .verdict "$work/lost/result.json") $(find "$work/lost" -name '*.rpm' | wc -l) $(find "$work/lost" -name '*.sigstore.json' | wc -l)"
rebuild "$work/none" "${stamped[@]}" --offline
expect "offline nobody is asked" 6 'not asked: offline'
rebuild "$work/none" --tsa "ftp://127.0.0.1/" --tsa-cert "$work/good.root.pem"
expect "no http URL" 3 'an authority has an http or https URL'
rebuild "$work/none" --tsa "$url/good" --tsa-cert "$work/good.key"
expect "no certificates" 3 'certificates in PEM form'
rebuild "$work/none" --tsa "$url/good"
expect "no --tsa-cert" 2 'need one another'
rebuild "$work/none" "${stamped[@]}" --sign none
expect "nothing to stamp" 2 'without signatures'
judge "${stamped[@]}" "$work/plain"
expect "no --bundle" 2 'puts time stamps into the bundles of --bundle'
judge --policy "$work/policy.toml" --tsa-cert "$work/good.root.pem" "$work/r"
expect "an authority beside a policy" 2 'exclude each other'
exit $failed
