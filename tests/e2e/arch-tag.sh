#!/bin/bash
# Another arch tag: --arch-tag x86_64_v3 gives x86_64_v3 packages, and what such a tag breaks (ExclusiveArch, %ifarch,
# config.sub) is explained. Prints "ok NAME" or "not ok NAME" lines.
. "$(dirname "$0")/pipeline.bash"
KILN_CACHE=$(shared_cache)
export KILN_CACHE

# A package with an arch but nothing to compile: the small toolchain has no compiler.
tagged() { # NAME [TAG-LINE...]
        head_of "$@" | grep -v '^BuildArch: noarch' | sed '1i %global debug_package %{nil}'
}

plain=$({
        tagged plain
        cat <<'END'
%package data
Summary: More
BuildArch: noarch
%description data
More.
%build
: flags of %{_target_cpu} are %{optflags}
%files
%files data
END
        tail_of
} | srpm plain)

verdict "a build with an arch tag" 0 OK '' "$plain" --arch-tag x86_64_v3
is "its packages have the tag, noarch ones do not" "plain-1-1.src.rpm plain-1-1.x86_64_v3.rpm plain-data-1-1.noarch.rpm" \
        "$(cd "$last_out" && echo *.rpm)"
is "the header says it as well" x86_64_v3 "$(rpm -qp --nosignature --qf '%{ARCH}' "$last_out/plain-1-1.x86_64_v3.rpm")"
check "the tag's flags have the level" \
        grep -q '^+ : flags of x86_64_v3 are .*-march=x86-64-v3 ' <(zstd -dcq "$last_out/build.log.zst")
is "no finding" '[]' "$(jq -c '[.findings[]?.id]' "$last_out/result.json")"

only=$({ tagged only 'ExclusiveArch: x86_64'; printf '%%files\n'; tail_of; } | srpm only)
verdict "ExclusiveArch without the tag is REFUSED" 6 REFUSED 'ExclusiveArch is "x86_64", which does not name x86_64_v3.*' "$only" --arch-tag x86_64_v3
check "and it says what to do" grep -q 'without --arch-tag' "$work/log"
verdict "without an arch tag it builds" 0 OK '' "$only"

ifarch=$({
        tagged ifarch
        printf '%%ifarch x86_64\n%%define branch x86_64\n%%endif\n%%install\nmkdir -p %%{buildroot}/usr\n'
        printf 'echo %%{?branch} >%%{buildroot}/usr/branch\n%%files\n/usr/branch\n'
        tail_of
} | srpm ifarch)
verdict "%ifarch with an arch tag" 0 OK '' "$ifarch" --arch-tag x86_64_v3
is "its branch not taken is a finding" '["arch-tag.ifarch"]' "$(jq -c '[.findings[]?.id]' "$last_out/result.json")"

sub=$({
        tagged sub "BuildRequires: autotools-dev"
        printf '%%build\n/usr/lib/rpm/redhat/config.sub %%{_target_platform}\n%%files\n'
        tail_of
} | srpm sub)
verdict "a config.sub that does not know the tag fails" 1 BUILD_FAILED '%build failed' "$sub" --arch-tag x86_64_v3
check "and it says that the tag is why" grep -q 'config.sub.* x86_64_v3.*without --arch-tag' "$work/log"
verdict "without an arch tag it does not" 0 OK '' "$sub"

# The same with a compiler: a package that builds with the tag, and one whose configure asks config.sub.
if [ "${KILN_FULL:-0}" = 1 ]; then
        KILN_CACHE=$(dirname "$bootstrap") # has the tarballs
        plain=$("$top/tests/data/packages/make-srpm" bzip2 "$work/corpus") || exit 1
        sub=$("$top/tests/data/packages/make-srpm" hello "$work/corpus") || exit 1
        KILN_CACHE=$work/cache
        mkdir "$KILN_CACHE"
        ln -s "$bootstrap" "$KILN_CACHE/bootstrap"
        verdict "a real package with an arch tag" 0 OK '' "$plain" -t bootstrap --arch-tag x86_64_v3
        is "its packages have the tag, the source package too" "1 noarch 7 x86_64_v3" \
                "$(rpm -qp --nosignature --qf '%{ARCH}\n' "$last_out"/*.rpm | sort | uniq -c | xargs)"
        is "and no finding" '[]' "$(jq -c '[.findings[]?.id]' "$last_out/result.json")"
        verdict "a real configure with an arch tag" 1 BUILD_FAILED '%build failed' "$sub" -t bootstrap --arch-tag x86_64_v3
        check "is explained" grep -q 'config.sub.* x86_64_v3.*without --arch-tag' "$work/log"
fi
exit $failed
