#!/bin/bash
# Source packages of other people ($KILN_TEST_DATA, or shared/data beside the checkout; its README.md says where they come
# from), each rebuilt, or refused with the right verdict and a message that helps. Their binary packages' signatures are
# judged by tests/unit/test_rpmfile.c. Prints "ok NAME", "not ok NAME" or "skipped NAME" lines.
bootstrap_cache=$(realpath -m "${KILN_CACHE:-${KILN_TOP:?}/.cache/kiln}")
. "$(dirname "$0")/pipeline.bash"
data=
for dir in "${KILN_TEST_DATA:-}" "$top/../shared/data" "$top/../../shared/data"; do
        [ -n "$data" ] || [ ! -d "$dir/srpms" ] || data=$dir/srpms
done
if [ -z "$data" ]; then
        echo "skipped source packages of other people: there is no shared/data beside this checkout"
        exit 0
fi
# With a compiler, and the layers that the corpus has made.
export KILN_CACHE=$bootstrap_cache

foreign() { # NAME FILE STATUS VERDICT REGEX-OF-THE-MESSAGE [OPTION...]
        local name=$1 file=$2 status=$3 word=$4 regex=$5
        shift 5
        verdict "$file: $name" "$status" "$word" "$regex" "$data/$file" -t bootstrap "$@"
}
built() { # NAME FILE...: beside what every result has
        check "  $1" cmp <(cd "$last_out" && ls -- *.rpm) <(shift && printf '%s\n' "$@" | LC_ALL=C sort)
}
finding() { # NAME ID
        is "  $1" 1 "$(jq "[.findings[] | select(.id == \"$2\")] | length" "$last_out/result.json")"
}

foreign "rpm 4.4's own, rebuilt" hello-1.0-1.src.rpm 0 OK ''
built "a program with debug information" hello-1.0-1.src.rpm hello-1.0-1.x86_64.rpm hello-debuginfo-1.0-1.x86_64.rpm \
        hello-debugsource-1.0-1.x86_64.rpm

foreign "made by rpm 6 in format 4, rebuilt" rpm-basic-a-2.3.4-5.el9.src.rpm 0 OK 'nothing provides methylamine >= 1.0.0-1'
built "a package for all architectures" rpm-basic-2.3.4-5.el9.noarch.rpm rpm-basic-2.3.4-5.el9.src.rpm
finding "whose requirements nothing provides: a finding" package.not-installable

foreign "made by rpm 6 in format 6, rebuilt" rpm-basic-b-2.3.4-5.el9.src.rpm 0 OK 'nothing provides methylamine >= 1.0.0-1'
built "a package for all architectures" rpm-basic-2.3.4-5.el9.noarch.rpm rpm-basic-2.3.4-5.el9.src.rpm
for one in rpm-with-patch-1.0-0 rpm-hardlinks-1.0-1; do
        foreign "format 6, uncompressed, rebuilt" $one.src.rpm 0 OK ''
        built "a package for all architectures" $one.noarch.rpm $one.src.rpm
done

foreign "a binary package of format 6 is refused" ../rpms/rpm-basic-v6-multiple-signatures.rpm 3 BAD_INPUT 'package format 6; formats 3 and 4 are'
foreign "a binary package is no source" ../rpms/rpm-basic-ed25519.rpm 3 BAD_INPUT 'it is a binary package'
check "  its source package is named" grep -q 'Its source package is rpm-basic-2.3.4-5.el9.src.rpm' "$work/log"

# Mageia's macros are not ours: the spec is at fault until they are given; then no repository has what it asks for.
mageia=packagekit-1.1.3-2.mga6.src.rpm
foreign "a macro nobody defined" $mageia 1 BUILD_FAILED 'parsing packagekit.spec: line 16: .*%mkrel'
check "  whose rpmbuild, and what to do" grep -qE 'rpmbuild of toolchain bootstrap.*--define' "$work/log"
finding "it is signed by somebody unknown: a finding" source.unknown-key
foreign "its macros defined, its BuildRequires are missing" $mageia 3 BAD_INPUT \
        'nothing provides pkgconfig\(libhif\) >= 0.2.3 needed by packagekit-1.1.3-2.mga6' \
        --define 'mkrel() %{1}.mga6' --define 'mklibname(ds) lib%{1}'
foreign "only known signers are wanted" $mageia 3 BAD_INPUT 'signed by key .*b36f3cbe, which is not among the known' --known-key

# EL 6's syntax is too old for today's rpm; an overlay mends it, and what remains is the real want.
el6=crash-trace-command-1.0-4.el6.src.rpm
foreign "syntax that rpm no longer takes" $el6 1 BUILD_FAILED 'parsing crash-trace-command.spec: .*%patchN is obsolete'
check "  an overlay is recommended" grep -q -e '--overlay' "$work/log"
cat >"$work/patches.toml" <<'END'
[[overlays]]
type = "spec-search-replace"
regex = '^%patch([0-9]) '
replacement = '%patch -P \1 '
all = true
END
foreign "with that overlay, a BuildRequires nothing provides" $el6 3 BAD_INPUT \
        'nothing provides crash-devel needed by crash-trace-command-1.0-4.el6' --overlay "$work/patches.toml"
exit "$failed"
