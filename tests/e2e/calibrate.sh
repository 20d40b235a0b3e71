#!/bin/bash
# Somebody else's packages are rebuilt as their headers tell, and the table says which come out exactly: packages that another
# worker built under another host name, vendor and payload, one that is random, one that cannot be built, and one without
# its source. Prints "ok NAME" or "not ok NAME" lines.
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
