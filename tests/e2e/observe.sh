#!/bin/bash
# What a build opens is told and attributed; what nobody opened is called so; without being asked nobody looks. Prints
# "ok NAME" or "not ok NAME" lines.
. "$(dirname "$0")/pipeline.bash"
KILN_CACHE=$(shared_cache)
export KILN_CACHE

file=$({
        head_of observed 'BuildRequires: bc' 'BuildRequires: ed' 'BuildRequires: sed' 'BuildRequires: /usr/bin/time' \
                'BuildRequires: (patch or quilt)'
        printf '%%build\necho 1+1 | bc | sed -e s/2/3/\ntest -f /bin/ed\n%%files\n'
        tail_of
} | srpm observed)
verdict "a build that is observed" 0 OK '' "$file" --observe
first=$last_out
inputs=$first/inputs.json
unused='[.buildRequires[] | select(.used == false) | .requirement] | sort | join(" ")'
is "  nothing was lost" true "$(jq .complete "$inputs")"
is "  BuildRequires nobody opened" "/usr/bin/time ed" "$(jq -r "$unused" "$inputs")"
is "  a rich dependency is not judged" null "$(jq '.buildRequires[] | select(.requirement | startswith("(")) | .used' "$inputs")"
is "  the opened program and its package" true "$(jq '.packages[] | select(.nevra | startswith("bc-")) |
        .opened and (.files | index("/usr/bin/bc") != null)' "$inputs")"
is "  no file of the sandbox's own" '' "$(jq -r '.others[] | select(test("^/(dev|proc|sys|tmp)"))' "$inputs")"
is "kiln report --unused says the same" "/usr/bin/time ed" \
        "$("$kiln" report --unused "$first" | cut -f 1 | sort | tr '\n' ' ' | sed 's/ $//')"
is "  and names the package" "ed-" "$("$kiln" report --unused "$first" | sed -n 's/^ed\t\(ed-\).*/\1/p')"
is "a finding tells it too" 2 "$(jq '[.findings[] | select(.id == "buildrequires.unused")] | length' "$first/result.json")"
sbom=$(echo "$first"/*.spdx.json)
is "SPDX marks what was opened" "opened by the build" "$(jq -r '.packages[] | select(.name == "bc") | .comment' "$sbom")"
is "  and what was only installed" "installed, not opened by the build" "$(jq -r '.packages[] | select(.name == "ed") | .comment' "$sbom")"
sbom=$(echo "$first"/*.cdx.json)
is "CycloneDX marks them too" "opened installed" "$(jq -r '[.formulation[].components[] | select(.name == "bc" or .name == "ed") |
        .properties[] | select(.name == "kiln:build:use").value] | join(" ")' "$sbom")"
verdict "observed again" 0 OK '' "$file" --observe
same() { cmp "$first/$1" "$last_out/$1"; }
for name in "$first"/*.spdx.json "$first"/*.cdx.json "$first"/*.rpm; do
        check "  gives the same ${name##*/}" same "${name##*/}"
done

verdict "without --observe" 0 OK '' "$file"
check "  there is no inputs.json" test ! -e "$last_out/inputs.json"
is "  and no mark" '' "$(jq -r '.packages[] | select(.SPDXID | startswith("SPDXRef-Buildroot")) | .comment // empty' "$last_out"/*.spdx.json)"
check "  and the same packages" cmp "$first/observed-1-1.noarch.rpm" "$last_out/observed-1-1.noarch.rpm"
got=0
"$kiln" report --unused "$last_out" >"$work/log" 2>&1 || got=$?
is "kiln report --unused asks for --observe" "3 1" "$got $(grep -c -e '--observe' "$work/log")"
exit $failed
