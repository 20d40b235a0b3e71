#!/bin/bash
# Somebody else's packages are rebuilt as their headers tell, and the table says which come out exactly: packages that another
# worker built under another host name, vendor and payload, one that is random, one that cannot be built, and one without
# its source; and the same fetched from a repository. Prints "ok NAME" or "not ok NAME" lines.
. "$(dirname "$0")/pipeline.bash"
KILN_CACHE=$(shared_cache)
export KILN_CACHE
cd "$work" || exit 1

make() { # NAME LINE-OF-%install
        {
                head_of "$1"
                printf '%%install\nmkdir -p %%{buildroot}/usr/share/%s\n%s >%%{buildroot}/usr/share/%s/one\n' "$1" "$2" "$1"
                printf '%%files\n/usr/share/%s\n' "$1"
                tail_of
        } | srpm "$1"
}

mkdir distribution
for package in "steady echo always" "wild head -c 9 /dev/urandom" "orphan echo alone"; do
        name=${package%% *}
        file=$(make "$name" "${package#* }")
        KILN_KEYS=$work/keys-builder "$kiln" rebuild -q -t e2e -o "$name" --define '_buildhost builder.example' --define 'vendor Some %%Body' \
                --define 'packager P <p@example.org>' --define '_binary_payload w9.gzdio' "$file" >"$work/log" 2>&1 || cat "$work/log"
        cp "$name"/*.noarch.rpm distribution/
        [ "$name" = orphan ] || cp "$name"/*.src.rpm distribution/
done
# The source of this package cannot be built here any more.
mkdir -p s/broken
file=$(make steady 'exit 1')
mkdir broken-source
cp "$file" broken-source/
cp steady/*.noarch.rpm broken-source/

got=0
"$here/run-alone.py" "$work/log" "$kiln" calibrate -t e2e -o rebuilt --key keys-builder/rpm.asc distribution >table || got=$?
is "a calibration ends well" 0 "$got"
[ $got = 0 ] || tail -n 5 "$work/log"
check "  what was built elsewhere comes out exactly" grep -qE '^byte-identical +steady-1-1.noarch.rpm$' table
check "  what is random does not, and its file is named" grep -qE '^different +wild-1-1.noarch.rpm +file-[a-z]+ /usr/share/wild/one' table
check "  a package without its source is said to be one" grep -qE '^unpaired +distribution/orphan-1-1.noarch.rpm' table
check "  and how many" grep -qx '1 of 2 packages come out exactly' table
is "  nothing is left" '' "$(left_behind rebuilt)"

got=0
"$kiln" calibrate -q --json -t e2e -o rebuilt-2 broken-source >table 2>"$work/log" || got=$?
is "a package that cannot be built is a line of the table" '0 [["steady-1-1.noarch.rpm","BUILD_FAILED",false]]' \
        "$got $(jq -c '[.packages[] | [.package, .level, .exact]]' table)"

# ---- the same packages, published: two repositories behind a web server
mkdir -p site/os site/source
cp distribution/*.noarch.rpm site/os/
cp distribution/*.src.rpm site/source/
for repository in os source; do
        createrepo_c -q "site/$repository" >"$work/log" 2>&1 || cat "$work/log"
        # As `kiln signer` signs the bootstrap repository.
done
coproc SERVER { exec python3 "$top/tests/unit/httpd.py" "$work/site" "$work/requests" 2>/dev/null; }
read -r port <&"${SERVER[0]}"
base=http://127.0.0.1:$port/ok
published() { # OUT ARGUMENT...: exit status in $got
        local out=$1
        shift
        got=0
        "$here/run-alone.py" "$work/log" "$kiln" calibrate -t e2e -o "$out" --key keys-builder/rpm.asc "$@" >table || got=$?
}
published fetched --source "$base/source" "$base/os" steady 'orph*'
is "packages of a repository, chosen by name" "0 1" "$got $(grep -cE '^byte-identical +steady-1-1.noarch.rpm$' table)"
is "  others are not fetched" "orphan-1-1.noarch.rpm steady-1-1.noarch.rpm steady-1-1.src.rpm" "$(cd fetched/packages && echo *)"
check "  one without a published source is unpaired" grep -qE '^unpaired +fetched/packages/orphan-1-1.noarch.rpm' table
is "  nothing is left" '' "$(left_behind fetched)"
: >requests
published fetched --offline --source "$base/source" "$base/os" steady 'orph*'
is "  a second run needs no network" "0 0" "$got $(wc -l <requests)"
published fetched --source "$base/source" "$base/os" wild
check "  another selection does not mix with it" test "$got" = 2 -a "$(grep -c 'which was not asked for' "$work/log")" = 1
picked() { "$kiln" calibrate -q --json -t e2e -o "$1" --sample 1 --seed "$2" --source "$base/source" "$base/os" 2>"$work/log" | jq -r '.packages[].source'; }
is "a sample has the size that was asked for, and the seed chooses it" "1 same" \
        "$(picked s1 1 | wc -l) $([ "$(ls s1/packages)" = "$(picked s2 1 >/dev/null; ls s2/packages)" ] && echo same)"
published none --source "$base/source" "$base/os" nobody
check "a name that nothing has" test "$got" = 3 -a "$(grep -c 'no package there is called nobody' "$work/log")" = 1
for how in wrong missing; do
        KILN_CACHE=$work/cache-$how published "none-$how" --source "$base/source" "http://127.0.0.1:$port/$how/os" steady
        is "a repository that is $how" 4 "$got"
done
printf X | dd of=site/os/steady-1-1.noarch.rpm bs=1 seek=900 conv=notrunc status=none
KILN_CACHE=$work/cache-forged published forged --source "$base/source" "$base/os" steady
check "a package that is not what the metadata says" test "$got" = 4 -a ! -e forged/packages/steady-1-1.noarch.rpm
published unsigned --repository-key keys-builder/rpm.asc --source "$base/source" "$base/os" steady
is "metadata that nobody signed, where a key is given" 4 "$got"
bootstrap_key=$(echo "$bootstrap"/keys/*)
published signed --repository-key "$bootstrap_key" "file://$bootstrap/repo" nobody
check "metadata that the given key signed" test "$got" = 3 -a "$(grep -c 'no package there is called nobody' "$work/log")" = 1
published other --repository-key keys-builder/rpm.asc "file://$bootstrap/repo" nobody
is "  and another key did not" 4 "$got"
for bad in "distribution steady" "--sample 1 distribution" "--source distribution $base/os"; do
        got=0
        # shellcheck disable=SC2086 # words
        "$kiln" calibrate -q $bad >"$work/stdout" 2>"$work/log" || got=$?
        is "usage: ${bad/$base/URL}" 2 "$got"
done
kill "$SERVER_PID"

mkdir nothing
for bad in nothing absent; do
        got=0
        "$kiln" calibrate -q "$bad" >"$work/log" 2>&1 || got=$?
        is "no packages: $bad" 3 "$got"
done
cp steady/*.noarch.rpm nothing/
printf 'X' | dd of=nothing/steady-1-1.noarch.rpm bs=1 seek=$(($(stat -c %s nothing/steady-1-1.noarch.rpm) - 9)) conv=notrunc status=none
got=0
"$kiln" calibrate -q nothing >"$work/log" 2>&1 || got=$?
check "a damaged package" test "$got" = 3 -a "$(grep -c wrong "$work/log")" = 1
exit $failed
