#!/bin/bash
# Whatever is changed in a result after it was made is refused by `kiln verify`, with words that say what; and
# contrib/verify-independent, which uses nothing of Kiln, refuses what it can see.
#
# Most cases are attacks by somebody who has the attestation key: what only the signature protects is one line below.
. "$(dirname "$0")/pipeline.bash"
KILN_CACHE=$(shared_cache)
export KILN_CACHE KILN_KEYS=$work/keys TMPDIR=$work
forge=$here/forge.py
key=$work/keys/attest.key
independent=$top/contrib/verify-independent

pot_spec() { # CONTENT
        head_of pot
        printf '%%package lid\nSummary: Lid\n%%description lid\nLid.\n%%install\nd=%%{buildroot}/usr/share/pot\nmkdir -p $d\n'
        printf 'echo %s >$d/a\necho lid >$d/b\nln -s a $d/c\n%%files\n/usr/share/pot/a\n/usr/share/pot/c\n%%files lid\n/usr/share/pot/b\n' "$1"
        tail_of
}
build() { # NAME OUT [OPTION...]
        local name=$1 out=$2
        shift 2
        "$kiln" rebuild -q -t e2e -o "$out" "$@" "$work/s/$name/$name-1-1.src.rpm" >"$work/log" 2>&1 ||
                { cat "$work/log"; echo "not ok building $name"; exit 1; }
}
pot_spec old | srpm pot >/dev/null
build pot "$work/old"
pot_spec hello | srpm pot >/dev/null
build pot "$work/good"
build pot "$work/v2" --isa v2
build pot "$work/unsigned" --sign none
build pot "$work/pinned" --lock "$work/good/lock.json"
{ head_of cup; printf '%%install\nmkdir -p %%{buildroot}/usr/share/cup\necho c >%%{buildroot}/usr/share/cup/c\n%%files\n/usr/share/cup\n'; tail_of; } | srpm cup >/dev/null
build cup "$work/cup"
KILN_KEYS=$work/keys-b "$kiln" signer --show >/dev/null 2>&1
key_b=$work/keys-b/attest.key
jsonl=pot-1-1.intoto.jsonl

judge() { # OPTION... : exit status in $got, what it says in $work/said
        got=0
        "$kiln" verify "$@" >"$work/said" 2>&1 || got=$?
}
expect() { # NAME STATUS REGEX
        if [ "$got" = "$2" ] && grep -qE -- "$3" "$work/said"; then say 0 "$1"; else
                printf '    exit status %s (wanted %s), wanted /%s/\n' "$got" "$2" "$3"
                sed 's/^/    /' "$work/said" | cut -c1-300
                say 1 "$1"
        fi
}

# A copy of the good result, changed by COMMAND in it, must be refused. SEEN: the independent path sees it as well.
with=()
depth=--quick # payloads are unpacked where a case is about them
tamper() { # NAME STATUS REGEX SEEN|- COMMAND...
        local name=$1 status=$2 regex=$3 seen=$4
        shift 4
        rm -rf "$work/t" && cp -r "$work/good" "$work/t"
        (cd "$work/t" && "$@") || { say 1 "$name (the change itself)"; return; }
        judge "${with[@]}" ${depth:+"$depth"} "$work/t"
        expect "$name" "$status" "$regex"
        if [ "$seen" = seen ]; then
                ! "$independent" "$work/t" "$work/keys" >"$work/said" 2>&1
                say $? "$name (independent)"
        fi
}
flip() { # FILE OFFSET: one bit of one byte
        python3 -c 'import sys; f = open(sys.argv[1], "r+b"); o = int(sys.argv[2]); f.seek(o, 2 if o < 0 else 0)
b = f.read(1)[0]; f.seek(-1, 1); f.write(bytes([b ^ 1]))' "$1" "$2"
}
# The provenance is line 1, SPDX 2, CycloneDX 3, test isa 4.
sign() { "$forge" "$jsonl" "$1" "$key" "$2"; }
build_of='b = s["predicate"]["buildDefinition"]["externalParameters"]["build"]; '
deps_of='d = s["predicate"]["buildDefinition"]["resolvedDependencies"]; '

# ---- what is good
judge "$work/good"; expect "a good result is accepted" 0 '3 of 3 packages are good: OK'
check "a good result is accepted (independent)" "$independent" "$work/good" "$work/keys"
judge --json "$work/good"
is "JSON says the same" '["OK",3,"signed","good",["attest.pub"]]' \
        "$(grep -v '^{"event' "$work/said" | jq -cs 'map(select(.sources))[0] | [.verdict, .good, .sources[0].packages[0].form, .sources[0].packages[0].signature, .sources[0].packages[0].keys]')"
mkdir "$work/holder" && cp "$work/unsigned"/*.rpm "$work/holder/" && cp "$work/good/$jsonl" "$work/holder/"
judge "$work/holder"; expect "the holder of the unsigned files has the same packages" 0 'OK +unsigned +none'
cp "$work/good/pot-1-1.noarch.rpm" "$work/holder/renamed.rpm"
judge "$work/holder/renamed.rpm"; expect "a file may be renamed" 0 'OK +signed +good'
# Re-encoded with other white space and another order of members: the payload is what counts.
rm -rf "$work/t" && cp -r "$work/good" "$work/t" && jq -c '{signatures, payloadType, payload}' "$work/good/$jsonl" >"$work/t/$jsonl"
judge "$work/t"; expect "an envelope may be spelled otherwise" 0 '3 of 3'

# ---- the package
p=pot-1-1.noarch.rpm
tamper "a byte of the payload" 7 'payload is wrong' seen flip $p -20
tamper "a byte of the header" 7 'header is wrong' seen flip $p 5000
flip_signature() { # RPM: the last byte of its OpenPGP packet
        python3 "$top/tests/judges/header-signature" "$1" "$work/header" "$work/signature" &&
                python3 -c 'import sys; d = open(sys.argv[1], "rb").read(); s = open(sys.argv[2], "rb").read(); assert d.count(s) == 1
open(sys.argv[1], "wb").write(d.replace(s, s[:-1] + bytes([s[-1] ^ 1])))' "$1" "$work/signature"
}
tamper "a byte of the signature" 7 'signature of the header by key .* is wrong' seen flip_signature $p
tamper "a byte of the reserved space" 7 'what lies before the header was changed' seen \
        python3 -c 'import sys; d = bytearray(open(sys.argv[1], "rb").read()); i = d.find(bytes(64), 200); d[i + 20] = 1; open(sys.argv[1], "wb").write(d)' $p
tamper "a byte of the lead" 7 'what lies before the header was changed' seen flip $p 12
tamper "a truncated package" 7 'truncated' seen truncate -s -1 $p
tamper "something behind a package" 7 'something was appended' seen bash -c "printf x >>$p"
tamper "no package at all" 3 'pot-1-1.noarch.rpm: .*not|RPM' seen bash -c "echo hello >$p"
tamper "a package without its signature" 7 'what lies before the header was changed' seen rpmsign --delsign $p
tamper "another package under its name" 6 'no provenance for it: cup-1-1' seen cp "$work/cup/cup-1-1.noarch.rpm" $p
tamper "an older package of the same name" 7 'another package of this name' seen cp "$work/old/$p" $p
resign() { # what another key signs of the unsigned file
        KILN_KEYS=$work/keys-b "$kiln" rebuild -q -t e2e -o "$work/b" "$work/s/pot/pot-1-1.src.rpm" >"$work/log" 2>&1
        cp "$work/b/$p" $p
}
tamper "another key's signature" 7 'none of the 1 given' seen resign

# ---- envelopes
e() { "$forge" "$jsonl" "$1" - "after = lambda e: e.update($2)"; }
tamper "a byte of an attestation" 7 "none of the 1 keys given made its signature" seen flip $jsonl 5000
tamper "a byte of an attestation's signature" 7 "none of the 1 keys given made its signature" seen \
        "$forge" $jsonl 2 - 'after = lambda e: e["signatures"][0].update(sig=("B" if e["signatures"][0]["sig"][0] == "A" else "A") + e["signatures"][0]["sig"][1:])'
tamper "an envelope that is no JSON" 3 'line 1: line' seen flip $jsonl 0
tamper "another payload type" 3 'payload type is not' seen e 1 'payloadType="text/plain"'
tamper "two signatures" 3 '2 signatures instead of one' seen e 1 'signatures=e["signatures"] * 2'
tamper "no signature" 3 '0 signatures instead of one' seen e 1 'signatures=[]'
tamper "a member twice in an envelope" 3 'duplicate' seen sed -i '1s/^{/{"payload":"e30=",/' $jsonl
tamper "a member twice in a statement" 3 'duplicate' seen sign 1 'raw = json.dumps(s)[:-1] + ", \"subject\": []}"'
tamper "another signer" 7 'none of the 1 keys given made' seen "$forge" $jsonl 1 "$key_b" ''
tamper "a cut attestation" 3 'cut off' seen truncate -s -100 $jsonl
tamper "no provenance" 6 'no provenance for it' seen sed -i 1d $jsonl
tamper "no attestations" 6 'no provenance for it' seen rm $jsonl
tamper "no SBOM" 6 'no SBOM was attested' seen bash -c "sed -i 2,3d $jsonl && rm ./*.spdx.json ./*.cdx.json"
tamper "another package's attestations" 7 'about other packages .cup-1-1' seen cp "$work/cup/cup-1-1.intoto.jsonl" $jsonl
tamper "an old attestation" 7 'another package of this name' seen cp "$work/old/$jsonl" $jsonl
tamper "an old attestation beside the new one" 7 'second attestation of one kind .provenance' seen bash -c "head -1 '$work/old/$jsonl' >>$jsonl"
tamper "two test results of one name" 7 'second attestation of one kind .test isa' seen \
        bash -c "sed -n 4p $jsonl >>$jsonl && '$forge' $jsonl 5 '$key' 's[\"predicate\"][\"passedTests\"] = [\"x\"]'"

# ---- statements
tamper "a removed subject" 7 'pot-lid-1-1.noarch.rpm: .* does not name it' seen sign 1 's["subject"] = s["subject"][:2]'
tamper "a subject twice" 3 'names one subject twice' seen sign 1 's["subject"].append(s["subject"][0])'
tamper "a subject's digest in capitals" 3 'no lower-case SHA-256' seen sign 1 's["subject"][0]["digest"]["sha256"] = "A" * 64'
tamper "a subject's header digest" 7 'another package of this name' - sign 1 's["subject"][0]["digest"]["rpmHeaderSha256"] = "a" * 64'
tamper "a subject by its payload alone" 7 'does not name both its header and its payload' - \
        sign 1 's["subject"][0]["digest"] = {"rpmPayloadSha256": s["subject"][0]["digest"]["rpmPayloadSha256"]}'
tamper "a provenance that names no file" 7 'names no digest of the file itself' - \
        sign 1 '[i["digest"].pop(k) for i in s["subject"] for k in ("sha256", "rpmUnsignedSha256")]'
tamper "no subject" 3 'about nothing' seen sign 1 's["subject"] = []'
tamper "an older form of statement" 3 'no in-toto Statement v1' - sign 1 's["_type"] = "https://in-toto.io/Statement/v0.1"'
tamper "an unknown external parameter" 3 'externalParameters has a member that is not known: extra' seen \
        sign 1 's["predicate"]["buildDefinition"]["externalParameters"]["extra"] = 1'
tamper "an unknown parameter of the build" 3 'externalParameters.build: .*surprise' - sign 1 "$build_of b['surprise'] = True"
tamper "another build type" 3 'build type is not known' seen sign 1 's["predicate"]["buildDefinition"]["buildType"] = "urn:x"'
tamper "another source than asked for" 7 'source it resolved is not' seen sign 1 "$deps_of d[0]['digest']['sha256'] = 'a' * 64"
tamper "another toolchain than asked for" 7 'toolchain it resolved is not' - sign 1 "$deps_of d[1]['digest']['sha256'] = 'a' * 64"
tamper "another lock than asked for by digest" 7 'lock it resolved is not' - sign 1 "$build_of b['lockDigest'] = 'a' * 64"
judge --quick "$work/pinned"; expect "a build with the lock it was asked for" 0 '3 of 3'
other_lock() { cp "$work/pinned"/* . && sign 1 "$build_of b['lock']['packages'].pop()"; }
tamper "another lock than asked for" 7 'lock it resolved is not' - other_lock
tamper "a request that is not the one named" 7 'invocationId is not' - sign 1 "$build_of b['skipCheck'] = True"
tamper "a dependency left out" 7 'its packages are not those of the lock it names' seen sign 1 "$deps_of d.pop()"
tamper "a dependency's digest" 7 'its packages are not those of the lock it names' seen sign 1 "$deps_of d[-1]['digest']['sha256'] = 'a' * 64"
tamper "a dependency's version" 3 'nevra does not agree' - sign 1 "$deps_of d[-1]['annotations']['version'] = '0'"
tamper "an unknown kind of dependency" 3 'kind is not known' - sign 1 "$deps_of d[-1]['annotations']['kind'] = 'x'"

# ---- SBOMs and lock
tamper "a byte of lock.json" 7 'lock.json' seen bash -c 'sed -i "0,/\"license\":\"L/s//\"license\":\"M/" lock.json'
tamper "a package less in lock.json" 7 'packages of lock.json are not' seen bash -c 'jq -cS ".packages |= .[1:]" lock.json >l && mv l lock.json'
tamper "a lock that is none" 3 'lock.json' seen bash -c 'echo {} >lock.json'
tamper "a byte of the SPDX file" 7 'pot-1-1.spdx.json is not the document' seen bash -c 'sed -i "s/SPDXRef-Package-1/SPDXRef-Package-9/" *.spdx.json'
tamper "a byte of the CycloneDX file" 7 'pot-1-1.cdx.json is not the document' seen bash -c 'sed -i "s/CycloneDX/CycloneDY/" *.cdx.json'
tamper "items behind the SPDX file's" 7 'pot-1-1.spdx.json is not the document' - bash -c 'sed -i "1s/^{/{\"x\": [[], [], []],/" *.spdx.json'
depth=
pkg='r = s["predicate"]["relationships"]; f = s["predicate"]["files"]; '
tamper "an SPDX document that lacks a file" 7 'SPDX document .* does not list usr/share/pot/a' seen \
        sign 2 "$pkg x = [i for i in f if i['fileName'].endswith('pot/a')][0]; f.remove(x); r[:] = [i for i in r if i['relatedSpdxElement'] != x['SPDXID']]"
tamper "an SPDX document with another hash" 7 'says SHA-256 aaaa.* of usr/share/pot/a' seen \
        sign 2 "$pkg [c.update(checksumValue='a' * 64) for i in f if i['fileName'].endswith('pot/a') for c in i['checksums'] if c['algorithm'] == 'SHA256']"
tamper "an SPDX document with another SHA-1" 7 'says SHA-1 aaaa.* of usr/share/pot/a' seen \
        sign 2 "$pkg [c.update(checksumValue='a' * 40) for i in f if i['fileName'].endswith('pot/a') for c in i['checksums'] if c['algorithm'] == 'SHA1']"
tamper "an SPDX document with another package URL" 7 'calls it pott@1-1' seen \
        sign 2 '[x.update(referenceLocator=x["referenceLocator"].replace("/pot@", "/pott@")) for i in s["predicate"]["packages"] for x in i["externalRefs"]]'
tamper "an SPDX document of another build" 7 'about another build' seen sign 2 's["predicate"]["documentNamespace"] = "urn:kiln:spdx:" + "a" * 64'
components='c = s["predicate"]["components"]; '
tamper "a CycloneDX document with a file too many" 7 'lists usr/share/pot/extra, which is not in the package' seen \
        sign 3 "$components k = c[0]['components']; k.append(dict(k[0], name='/usr/share/pot/extra'))"
tamper "a CycloneDX document that lacks a package" 7 'CycloneDX document .* does not list it' seen sign 3 "$components c.pop()"
tamper "a CycloneDX document with another build root" 7 'has another build root' seen \
        sign 3 's["predicate"]["formulation"][0]["components"].pop()'
depth=--quick
tamper "an SBOM that lacks a file, without unpacking" 7 'does not list usr/share/pot/a' - \
        sign 2 "$pkg x = [i for i in f if i['fileName'].endswith('pot/a')][0]; f.remove(x); r[:] = [i for i in r if i['relatedSpdxElement'] != x['SPDXID']]"

# ---- test results
tamper "a failed test" 6 'test isa failed' - sign 4 's["predicate"]["result"] = "FAILED"'
tamper "a test of another build" 7 'about another build than the provenance' - sign 4 's["predicate"]["configuration"][0]["digest"]["sha256"] = "a" * 64'
tamper "a test against another level" 7 'checked against v2' - sign 4 's["predicate"]["configuration"][0]["annotations"]["level"] = "v2"'

# ---- policy
policy() { # TEXT of what follows the keys: a policy that accepts both keys; "valid" and "operator" can be set before
        cat >"$work/policy.toml" <<END
[[key]]
name = "a"
operator = "one"
file = "keys/attest.pub"
builders = ["${builder:-urn:kiln:builder:local}"]
${valid:-}
[[key]]
name = "b"
operator = "${operator:-two}"
file = "keys-b/attest.pub"
[[package-key]]
file = "keys/rpm.asc"
${package_valid:-}
$1
END
        with=(--policy "$work/policy.toml")
}
allow='[allow]
unsigned-source = true
unsigned-inputs = true'
policy "$allow"
judge "${with[@]}" "$work/good"; expect "a policy that is met" 0 '3 of 3'
policy ''
tamper "inputs that nobody signed" 6 'allow.unsigned-inputs' - true
policy "[require]
isa = \"v3\"
$allow"
judge "${with[@]}" "$work/good"; expect "the level that is demanded" 0 '3 of 3'
tamper "a downgrade from v3" 6 'build for X86_64_V2; the policy demands x86-64-v3' - bash -c "rm -rf ./* && cp -r '$work/v2/.' ."
judge "${with[@]}" "$work/holder"; expect "a package without signature, under a policy" 6 'carries no signature'
policy "[require]
sandbox = [\"$(printf 'a%.0s' {1..64})\"]
$allow"
tamper "another sandbox" 6 'under the sandbox policy .* which the policy does not name' - true
policy "[require]
profiles = [\"BUILD\"]
$allow"
tamper "another sandbox profile" 6 'sandbox profile CHECK' - true
policy "[require]
tests = [\"isa\", \"reproducible\"]
$allow"
tamper "a test that was not made" 6 'demands a passed test reproducible' - true
builder=urn:example:farm policy "$allow"
tamper "another builder" 6 'builder urn:kiln:builder:local, for whom key a may not speak' - true
valid='valid-until = "2020-01-01T00:00:00Z"' policy "$allow"
tamper "an expired key" 6 'key a, which is valid from the beginning to 2020-01-01' - true
valid='valid-from = "2200-01-01T00:00:00Z"' policy "$allow"
tamper "a key that is not valid yet" 6 'key a, which is valid from 2200-01-01' - true
package_valid='valid-until = "2020-01-01T00:00:00Z"' policy "$allow"
tamper "an expired key of packages" 6 'key .*, which is valid from the beginning to 2020-01-01.* and not now' - true
policy "[threshold]
kys = 2"
tamper "a policy with a key nobody knows" 3 "unknown key 'kys'" - true

# ---- k of n
vsa() { # RESULT LEVEL KEY: a summary about the packages, as a rebuilder makes it
        cp "$work/good/$jsonl" "$work/vsa.jsonl"
        "$forge" "$work/vsa.jsonl" 0 "$3" 's["subject"] = [dict(i, digest={k: v for k, v in i["digest"].items() if "sh" in k.lower() and k.startswith("rpm") and k != "rpmUnsignedSha256"}) for i in s["subject"]]
s.update(predicateType="https://slsa.dev/verification_summary/v1", predicate={"verifier": {"id": "urn:x"}, "resourceUri": "urn:y",
        "policy": {"uri": "default"}, "verificationResult": "'"$1"'", "verifiedLevels": ["'"$2"'"], "timeVerified": "2026-01-01T00:00:00Z"})'
        tail -1 "$work/vsa.jsonl" >"pot-1-1@b.intoto.jsonl"
}
two='[threshold]
keys = 2
operators = 2'
policy "$two
$allow"
tamper "one of two keys" 6 '1 keys of 1 operators vouch for it; the policy demands 2 of 2' - true
rm -rf "$work/t" && cp -r "$work/good" "$work/t" && (cd "$work/t" && vsa PASSED KILN_REPRODUCED "$key_b")
judge "${with[@]}" "$work/t"; expect "two of two keys" 0 'OK +signed +good +2 '
check "the second one's summary is none of the builder's attestations (independent)" "$independent" "$work/t" "$work/keys"
tamper "a summary that rebuilt nothing" 6 '1 keys of 1 operators' - vsa PASSED SLSA_BUILD_LEVEL_1 "$key_b"
tamper "a builder's own second word" 6 '1 keys of 1 operators' - vsa PASSED KILN_REPRODUCED "$key"
operator=one policy "$two
$allow"
tamper "two keys of one operator" 6 '2 keys of 1 operators vouch' - vsa PASSED KILN_REPRODUCED "$key_b"
policy "$allow"
tamper "signed dissent" 7 'dissent .b the first' - vsa FAILED FAILED "$key_b"
policy "[threshold]
dissent = \"outvote\"
$allow"
tamper "a tie" 7 '1 agree' - vsa FAILED FAILED "$key_b"
policy "[threshold]
dissent = \"ignore\"
$allow"
rm -rf "$work/t" && cp -r "$work/good" "$work/t" && (cd "$work/t" && vsa FAILED FAILED "$key_b")
judge "${with[@]}" "$work/t"; expect "dissent that a policy ignores" 0 '3 of 3'
with=()

# ---- the verdict as an attestation
judge --vsa "$work/v.jsonl" "$work/good"; expect "a summary on request" 0 '3 of 3'
is "it names packages, policy and what it rests on" '["PASSED","default",3,4]' \
        "$(jq -r .payload "$work/v.jsonl" | base64 -d | jq -c '[.predicate.verificationResult, .predicate.policy.uri, (.subject | length), (.predicate.inputAttestations | length)]')"
judge -a "$work/v.jsonl" "$work/good"; expect "and is itself an attestation" 0 '3 of 3'
judge --vsa "$work/v.jsonl" --key "$work/keys-b/attest.pub" "$work/good"; expect "a summary of a failure" 7 'made its signature'
is "says so" '"FAILED"' "$(jq -r .payload "$work/v.jsonl" | base64 -d | jq -c .predicate.verificationResult)"
echo >"$work/no-cache"
KILN_CACHE=$work/no-cache/x judge --vsa "$work/v.jsonl" "$work/good"; expect "what this host cannot judge" 4 'no summary about pot-1-1'
is "is no dissent" '' "$(cat "$work/v.jsonl")"
policy "[require]
provenance = false
sbom = false
$allow"
rm -rf "$work/t" && cp -r "$work/good" "$work/t" && rm "$work/t"/*.intoto.jsonl
judge "${with[@]}" --vsa "$work/v.jsonl" "$work/t"; expect "a policy that demands no provenance" 0 '3 of 3'
is "its summary claims none" '["PASSED",["SLSA_BUILD_LEVEL_0"]]' \
        "$(jq -r .payload "$work/v.jsonl" | base64 -d | jq -c '.predicate | [.verificationResult, .verifiedLevels]')"
with=()

# ---- bundles
judge --bundle "$work/bundles" "$work/good"; expect "bundles on request" 0 '3 of 3'
is "one for each attestation" 'pot-1-1.cyclonedx.sigstore.json pot-1-1.provenance.sigstore.json pot-1-1.spdx.sigstore.json pot-1-1.test-isa.sigstore.json' \
        "$(cd "$work/bundles" && echo *)"
mkdir "$work/elsewhere" && (cd "$work/good" && vsa PASSED KILN_REPRODUCED "$key" && mv pot-1-1@b.intoto.jsonl "$work/elsewhere/")
judge --bundle "$work/bundles" -a "$work/elsewhere/pot-1-1@b.intoto.jsonl" "$work/good"
expect "none for an attestation from elsewhere" 0 '3 of 3'
is "nor are there more" 4 "$(find "$work/bundles" -type f | wc -l)"
as_bundles() { # COMMAND...: bundles instead of envelopes, then the change
        rm "$jsonl" && cp "$work/bundles"/* . && "$@"
}
rm -rf "$work/t" && cp -r "$work/good" "$work/t" && (cd "$work/t" && as_bundles true)
judge "$work/t"; expect "bundles in place of envelopes" 0 '3 of 3'
tamper "a byte of a bundle's payload" 7 "made its signature" - as_bundles sed -i 's/"payload":"eyJ/"payload":"eyK/' pot-1-1.provenance.sigstore.json
tamper "a bundle with a certificate" 3 'signed with a certificate' - as_bundles sed -i 's/"publicKey":{/"certificate":{},&/' pot-1-1.test-isa.sigstore.json
tamper "a bundle of another kind of content" 3 'no DSSE envelope' - as_bundles sed -i 's/dsseEnvelope/messageSignature/' pot-1-1.test-isa.sigstore.json
tamper "a bundle of another version" 3 'media type is not' - as_bundles sed -i 's/v0.3+json/v0.2+json/' pot-1-1.test-isa.sigstore.json
tamper "another package's bundle" 7 'about other packages' - as_bundles bash -c "'$kiln' verify -q --bundle b '$work/cup' >/dev/null && cp b/cup-1-1.provenance.sigstore.json pot-1-1.provenance.sigstore.json && rm -r b"
exit $failed
