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

# Sources: what the spec or a section opens, not what rpmbuild itself reads for the source package. The tree: what %prep left.
mkdir -p "$work/t/made-1/sub" "$work/t/made-1/odd"$'\n'"name"
echo used >"$work/t/made-1/used"
echo unused >"$work/t/made-1/sub/unused"
echo unused >"$work/t/made-1/odd"$'\n'"name/<b>"
echo before >"$work/t/made-1/patched"
tar -C "$work/t" -cf "$work/t/made-1.tar" made-1
echo installed >"$work/t/installed"
echo checked >"$work/t/checked"
echo unused >"$work/t/carried"
printf -- '--- a/patched\n+++ b/patched\n@@ -1 +1 @@\n-before\n+after\n' >"$work/t/applied.patch"
cp "$work/t/applied.patch" "$work/t/left.patch"
made=$({
        head_of made 'Source0: made-1.tar' 'Source1: installed' 'Source2: checked' 'Source3: carried' 'Patch0: applied.patch' \
                'Patch1: left.patch'
        # shellcheck disable=SC2016
        printf '%%prep\n%%setup -q\n%%patch -P 0 -p1\n%%build\nmkdir out; cat used >out/used; cp -r out again
mv patched moved; grep after moved
%%install\ninstall -D %%{SOURCE1} %%{buildroot}/made\n%%check\ngrep checked %%{SOURCE2}\n%%files\n/made\n'
        tail_of
} | srpm made "$work/t/made-1.tar" "$work/t/installed" "$work/t/checked" "$work/t/carried" "$work/t/applied.patch" "$work/t/left.patch")
verdict "a build with sources that is observed" 0 OK '' "$made" --observe
first=$last_out
inputs=$first/inputs.json
opened='[.sources.files[] | select(.opened == $o) | .name] | sort | join(" ")'
is "  sources and patches that were opened" "applied.patch checked installed made-1.tar" "$(jq -r --argjson o true "$opened" "$inputs")"
is "  those that were only carried along" "carried left.patch" "$(jq -r --argjson o false "$opened" "$inputs")"
is "  which is the whole list" true "$(jq .sources.complete "$inputs")"
tree() { jq -c "[.tree.$1.files[] | sub(\"^made-1-build/\"; \"\")] | sort" "$inputs"; }
is "  files of the tree that were opened" '["made-1/patched","made-1/used"]' "$(tree opened)"
is "  and never opened, odd names as text" '["made-1/odd\nname/<b>","made-1/sub/unused"]' "$(tree unopened)"
is "  in numbers" "true 2 2" "$(jq -r '.tree | "\(.complete) \(.opened.number) \(.unopened.number)"' "$inputs")"
is "kiln report --unused lists them" "carried source,left.patch patch," \
        "$("$kiln" report --unused "$first" | sort | tr '\t\n' ' ,')"
is "findings tell it" "patch.unused left.patch,source.unused carried," \
        "$(jq -r '.findings[] | select(.id | test("^(source|patch).unused")) | "\(.id) \(.subject)"' "$first/result.json" | sort | tr '\n' ,)"
is "the page too, and as text" "1 1 0" "$(for s in '<li>left.patch</li>' '&lt;b&gt;</li>' '<b>'; do grep -c -F "$s" "$first/report.html"; done | paste -sd ' ')"
is "SPDX marks sources" "./applied.patch: opened by the build,./left.patch: not opened by the build,./made.spec: ," \
        "$(jq -r '.files[] | select(.fileName | test("patch|spec")) | "\(.fileName): \(.comment // "")"' "$first"/*.spdx.json | sort | tr '\n' ,)"
is "CycloneDX marks them" "carried unopened,checked opened," \
        "$(jq -r '.metadata.component.components[] | select(.name | test("^c")) | .name + " " +
        (.properties[] | select(.name == "kiln:build:use").value)' "$first"/*.cdx.json | sort | tr '\n' ,)"
verdict "the same without --observe" 0 OK '' "$made"
for name in "$first"/*.rpm; do
        check "  gives the same ${name##*/}" same "${name##*/}"
done
verifies() { "$kiln" verify -q "$first" >"$work/log" 2>&1; }
check "  which verify as those do" verifies

# %prep has a run of its own, but not a /tmp of its own.
file=$({
        head_of leaves
        printf '%%prep\necho one >/tmp/left; mkdir /var/tmp/left; echo two >/var/tmp/left/over; chmod 700 /var/tmp/left
%%build\ncat /tmp/left /var/tmp/left/over >made; rm -r /tmp/left /var/tmp/left
%%install\ninstall -D made %%{buildroot}/made\n%%files\n/made\n'
        tail_of
} | srpm leaves)
verdict "what %prep leaves in /tmp and /var/tmp is there for %build" 0 OK '' "$file" --observe
first=$last_out
verdict "the same without --observe" 0 OK '' "$file"
check "  gives the same package" same leaves-1-1.noarch.rpm

# Each round of %generate_buildrequires makes a source package too, and reads every source for it.
file=$({
        head_of rounds 'Source0: installed' 'Source1: carried'
        printf '%%generate_buildrequires\ncat %%{SOURCE0} >/dev/null; echo ed\n%%files\n'
        tail_of
} | srpm rounds "$work/t/installed" "$work/t/carried")
verdict "with generated BuildRequires" 0 OK '' "$file" --observe
is "  nobody opens what is only packed" "carried source,ed ed-*," \
        "$("$kiln" report --unused "$last_out" | sort | sed 's/ed-.*/ed-*/' | tr '\t\n' ' ,')"

# The tree is the package's: one that is more than is followed is told of, and the rest still holds.
file=$({
        head_of deep 'Source0: installed'
        printf '%%prep\nfor i in $(seq 150); do mkdir d; cd d; done\n%%files\n'
        tail_of
} | srpm deep "$work/t/installed")
verdict "a tree that is deeper than is followed" 0 OK '' "$file" --observe
is "  is not called whole" "false null" "$(jq -r '.tree | "\(.complete) \(.unopened)"' "$last_out/inputs.json")"
is "  as a finding says" "the source tree" "$(jq -r '.findings[] | select(.id == "inputs.incomplete") | .subject' "$last_out/result.json")"
is "  and its sources are known" "installed source" "$("$kiln" report --unused "$last_out" | tr '\t' ' ')"
exit $failed
