#!/bin/bash
# Hostile input: damaged and forged source packages, repositories whose metadata and packages lie, specs and builds that do
# all they can. Each ends with its verdict, within its limits, and leaves nothing on the machine. Prints "ok NAME" or
# "not ok NAME" lines. More of the random damage with KILN_FULL=1.
. "$(dirname "$0")/pipeline.bash"
in_private "$0"
KILN_CACHE=$(shared_cache)
export KILN_CACHE
probe=$(dirname "$kiln")/../../tests/e2e/probe
seed=${KILN_SEED:-1}
RANDOM=$seed
many=$([ "${KILN_FULL:-0}" = 1 ] && echo 120 || echo 6)
mounts >"$work/mounts"
# What may not change outside: names that the packages below try to make.
hit=$work/hit
touch "$work/since"

bytes() { # FILE: the size
        stat -c %s "$1"
}

# ---- source packages, damaged at random: refused, or, where the byte means nothing, the same packages
head -c 3000 /dev/zero | tr '\0' x >"$work/data"
good=$({ head_of hostile-good 'Source0: data'; printf '%%files\n'; tail_of; } | srpm hostile-good "$work/data")
verdict "the source package, undamaged" 0 OK '' "$good"
wanted=$(outputs "$last_out")
size=$(bytes "$good")
bad=0
damaged() { # WHAT FILE
        local got=0 left
        out=$work/out-$RANDOM$RANDOM
        "$here/run-alone.py" "$work/log" "$kiln" rebuild -t e2e -o "$out" "$2" >"$work/stdout" || got=$?
        left=$(left_behind "$out")
        [ -z "$left" ] && { [ $got = 3 ] || { [ $got = 0 ] && [ "$(outputs "$out")" = "$wanted" ]; }; } && return 0
        printf '    %s: exit status %s, left: %s\n' "$1" $got "$left"
        tail -n 3 "$work/log" | sed 's/^/    /'
        bad=1
}
for ((i = 0; i < many; i++)); do
        at_byte=$((RANDOM * 32768 + RANDOM))
        at_byte=$((i % 2 ? at_byte % size : at_byte % 3000))
        cp "$good" "$work/damaged.src.rpm"
        printf "\\x$(printf %02x $((RANDOM % 256)))" | dd of="$work/damaged.src.rpm" bs=1 seek=$at_byte conv=notrunc status=none
        damaged "byte $at_byte of $size" "$work/damaged.src.rpm"
done
say $bad "$many source packages with a changed byte are refused, or built right"
bad=0
for ((i = 0; i < many; i++)); do
        cut=$((RANDOM % size))
        head -c $cut "$good" >"$work/damaged.src.rpm"
        damaged "cut at $cut of $size" "$work/damaged.src.rpm"
done
say $bad "$many truncated source packages are refused"
verdict "BAD_INPUT: a signature is asked for, and there is none" 3 BAD_INPUT 'sign' "$good" --known-key

# ---- source packages, forged: all digests fit
forged() { # NAME [CHANGE...]: prints the path
        local name=$1
        shift
        "$here/repack.py" "$(cat "$work/raw")" "$work/$name.src.rpm" "$@" && echo "$work/$name.src.rpm"
}
{
        head_of forge "Source0: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" | sed '1i %global _source_payload w.ufdio'
        printf '%%files\n'
        tail_of
} >"$work/forge.spec"
name50=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
cp "$work/data" "$work/$name50"
srpm forge "$work/$name50" <"$work/forge.spec" >"$work/raw"
up=../../../../../../../../../..$hit # hosts have no root above /
up=${up:0:50}
while [ ${#up} -lt 50 ]; do up+=x; done
verdict "an uncompressed source package is a good one" 0 OK '' "$(forged plain)"
verdict "BAD_INPUT: a payload that leaves its directory" 3 BAD_INPUT 'file name' "$(forged up payload "b'$name50'" "b'$up'")"
verdict "BAD_INPUT: a payload with an absolute path" 3 BAD_INPUT 'file name' "$(forged absolute payload "b'$name50'" "b'/tmp/kiln-hostile' + b'x' * 33")"
verdict "BAD_INPUT: a payload with a device" 3 BAD_INPUT 'no regular file' "$(forged device payload "b'000081a4'" "b'000021b6'")"
verdict "BAD_INPUT: a payload with a link" 3 BAD_INPUT 'no regular file' "$(forged link payload "b'000081a4'" "b'0000a1ff'")"
verdict "BAD_INPUT: a payload with control characters in a name" 3 BAD_INPUT 'file name' "$(forged odd payload "b'$name50'" "b'a\\n\\x1b[2Jb' + b'x' * 43")"
for ((i = 0; i < 5; i++)); do
        # Lengths and counts of the archive: hexadecimal fields of 8 digits in the first entry's head.
        field=$((6 + 8 * (RANDOM % 13)))
        forged "count-$i" >/dev/null
        python3 - "$work/count-$i.src.rpm" $field <<'END'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
at = data.rindex(b"070701", 0, data.index(b"TRAILER!!!") - 200)
data[at + int(sys.argv[2]) : at + int(sys.argv[2]) + 8] = b"fffffff0"
open(sys.argv[1] + ".raw", "wb").write(data)
END
        damaged "archive field $field" "$work/count-$i.src.rpm.raw"
done
say $bad "huge numbers in a payload are refused"
head -c 300000000 /dev/zero >"$work/zeros"
file=$({ head_of bomb 'Source0: zeros' | sed '1i %global _source_payload w19.zstdio'; printf '%%files\n'; tail_of; } | srpm bomb "$work/zeros")
rm "$work/zeros" "$work/s/bomb/zeros"
verdict "LIMIT: 300 MB of zeros in a source package of $(bytes "$file") bytes" 5 LIMIT 'disk' "$file" --disk 50M

# ---- repositories that lie
{
        head_of tool 'Requires: aaaa(aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa)' | sed '1i %global _binary_payload w.ufdio'
        cat <<'END'
%install
mkdir -p %{buildroot}/usr/share/tool/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
echo data >%{buildroot}/usr/share/tool/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/file
ln -s /etc/shadow %{buildroot}/usr/share/tool/absolute
ln -s ../../../../../../../../etc/shadow %{buildroot}/usr/share/tool/up
ln -s /no/such/thing %{buildroot}/usr/share/tool/dangling
touch "%{buildroot}/usr/share/tool/ -rf x" %{buildroot}/usr/share/tool/$(printf 'x\342\200\256y') "%{buildroot}/usr/share/tool/"'$(touch hit)'
%post
exec >/usr/share/tool/report 2>&1
chmod 4755 /usr/share/tool/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/file
@SCRIPTLET@
exit 0
%files
/usr/share/tool
END
        tail_of
} | sed -e "/@SCRIPTLET@/{r $here/scriptlet" -e 'd}' | sed "s|@WORK@|$work|; s|@TOP@|$top|" >"$work/tool.spec"
mkdir -p "$work/repos"
binary() { # NAME: the package of $work/NAME.spec, as $work/s/NAME/NAME.rpm
        local dir=$work/s/$1
        mkdir -p "$dir"
        rpmbuild -bb --nodeps --quiet --macros=/usr/lib/rpm/macros --target x86_64-linux --define "_rpmdir $dir" \
                --define "_builddir $dir" --define '_arch x86_64' --define '_build_arch x86_64' --define "buildroot $dir/root" \
                --define '_build_name_fmt %%{NAME}.rpm' --define "_topdir $dir" --define '__os_install_post %{nil}' \
                "$work/$1.spec" >"$work/$1.log" 2>&1 || cat "$work/$1.log"
}
binary tool
requirement=$(printf 'aaaa(%s)' aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa)
wants=$({ head_of wants 'BuildRequires: tool'; printf '%%build\ncat /usr/share/tool/report\n! grep FOUND /usr/share/tool/report\n%%files\n'; tail_of; } | srpm wants)

# A repository with a package made from the tool (or from $made), and a toolchain that has it besides the good one.
repository() { # NAME [CHANGE...]
        local name=$1 dir=$work/repos/$1
        shift
        mkdir -p "$dir"
        "$here/repack.py" "$work/s/${made:-tool}/${made:-tool}.rpm" "$dir/tool.rpm" "$@"
        createrepo_c -q --no-database --simple-md-filenames --general-compress-type gz "$dir" >"$work/createrepo.log" 2>&1 || cat "$work/createrepo.log"
        {
                sed "s/^name = .*/name = \"$name\"/" "$work/config/toolchains/e2e.toml"
                printf '\n[[repository]]\nid = "evil"\nuri = "kiln:evil"\nbase-urls = ["file://%s"]\nunsigned-packages = true\n' "$dir"
        } >"$work/config/toolchains/$name.toml"
}
# What it requires is replaced by what there is. Another letter makes another package, which the store does not have yet.
provided() { # LETTER
        echo "b'(bash or ' + b'$1' * $((${#requirement} - 10)) + b')'"
}
# The file list of repomd.xml says what primary is: the lie is told consistently.
republish() { # DIRECTORY
        python3 - "$1/repodata" <<'END'
import gzip, hashlib, re, sys, os
d = sys.argv[1]
packed = open(d + "/primary.xml.gz", "rb").read()
try:
    size = len(gzip.decompress(packed)) if len(packed) < 1 << 20 else int(open(d + "/open-size").read())
except Exception:
    size = 1000
text = open(d + "/repomd.xml").read()
i = text.index('type="primary"'); j = text.index("</data>", i)
part = text[i:j]
part = re.sub(r'(<checksum type="sha256">)[^<]*', r"\g<1>" + hashlib.sha256(packed).hexdigest(), part)
part = re.sub(r"<size>\d+", f"<size>{len(packed)}", part)
part = re.sub(r"<open-size>\d+", f"<open-size>{size}", part)
open(d + "/repomd.xml", "w").write(text[:i] + part + text[j:])
END
}
repository plain header "b'$requirement'" "$(provided x)"
verdict "a scriptlet that tries everything reaches nothing" 0 OK '' "$wants" -t plain
check "  and ran to its end" grep -q '^done' <(zstd -dc "$last_out/build.log.zst")
# Two limits: what a layer may take follows from its packages, what a build may take is no concern of it.
{
        head_of tool
        printf '%%post\nfallocate -l 3G /var/tmp/full || exit 1\nfor i in 1 2 3 4 5 6 7 8 9; do sleep 1; done\n%%files\n'
        tail_of
} >"$work/fills.spec"
mkdir -p "$work/s/fills"
binary fills
mv "$work/s/fills/tool.rpm" "$work/s/fills/fills.rpm"
made=fills repository fills
verdict "LIMIT: a scriptlet that fills the disk" 5 LIMIT 'installing the packages of.*disk limit of 21[0-9]{8} bytes reached' "$wants" -t fills
KILN_CACHE=$work/fresh verdict "a layer may be larger than the build" 0 OK '' "$good" --disk 2M
repository needy
verdict "BAD_INPUT: a package whose dependency nobody has" 3 BAD_INPUT 'aaaa\(aaaa' "$wants" -t needy
repository up header "b'$requirement'" "$(provided x)" payload "b'./usr/share/tool/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/file'" "b'./../../../../../../../../../../../../../../../tmp/hit/file'[:58]"
verdict "a package whose payload leaves the root is not built with" 3 BAD_INPUT 'tool' "$wants" -t up
repository changed header "b'$requirement'" "$(provided y)"
printf 'X' | dd of="$work/repos/changed/tool.rpm" bs=1 seek=$(($(bytes "$work/repos/changed/tool.rpm") - 300)) conv=notrunc status=none
verdict "INFRA: a package that is not what the metadata says" 4 INFRA 'SHA-256' "$wants" -t changed
repository short header "b'$requirement'" "$(provided z)"
truncate -s -200 "$work/repos/short/tool.rpm"
verdict "INFRA: a truncated package" 4 INFRA 'tool' "$wants" -t short
createrepo_c -q --no-database --simple-md-filenames --general-compress-type gz "$work/repos/short" >/dev/null 2>&1
verdict "INFRA: a truncated package that the metadata believes in" 4 INFRA 'tool' "$wants" -t short
repository unsigned header "b'$requirement'" "$(provided x)"
sed -i '/id = "evil"/,$ s/^unsigned-packages = true/local-keys = ["kiln-local.asc"]/' "$work/config/toolchains/unsigned.toml"
verdict "INFRA: a package without a signature where there must be one" 4 INFRA 'sign' "$wants" -t unsigned

lie() { # NAME REGEX: with the repository of this name as it now is
        verdict "INFRA: $1" 4 INFRA "$2" "$wants" -t "$3"
}
repository half
truncate -s -100 "$work/repos/half/repodata/repomd.xml"
lie "a truncated repomd.xml" 'repomd.xml' half
repository entities
sed -i '1a <!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>' "$work/repos/entities/repodata/repomd.xml"
lie "a repomd.xml with entities" 'document type' entities
repository leaves
sed -i 's|href="repodata/primary|href="../../../etc/passwd" x="|' "$work/repos/leaves/repodata/repomd.xml"
lie "metadata outside of the repository" 'location' leaves
repository cut
truncate -s -20 "$work/repos/cut/repodata/primary.xml.gz"
lie "a truncated primary.xml" 'primary' cut
republish "$work/repos/cut"
lie "a truncated primary.xml that repomd.xml believes in" 'primary' cut
repository noise
head -c 5000 /dev/urandom >"$work/repos/noise/repodata/primary.xml.gz"
republish "$work/repos/noise"
lie "noise for a primary.xml" 'primary' noise
repository nested
python3 - "$work/repos/nested/repodata/primary.xml.gz" <<'END'
import gzip, sys
text = gzip.open(sys.argv[1]).read().replace(b'name="aaaa(', b'name="' + b"(" * 500000)
gzip.open(sys.argv[1], "w").write(text)
END
republish "$work/repos/nested"
lie "a dependency nested 500,000 deep" 'primary' nested
repository bomb
python3 - "$work/repos/bomb/repodata" <<'END'
import gzip, sys
text = gzip.open(sys.argv[1] + "/primary.xml.gz").read()
i = text.index(b"<description>") + 13
with gzip.open(sys.argv[1] + "/primary.xml.gz", "w", 9) as f:
    f.write(text[:i])
    for _ in range(300):
        f.write(b"x" * 1000000)
    f.write(text[i:])
open(sys.argv[1] + "/open-size", "w").write(str(len(text) + 300000000))
END
republish "$work/repos/bomb"
lie "300 MB of text in a primary.xml of $(bytes "$work/repos/bomb/repodata/primary.xml.gz") bytes" 'primary' bomb
check "none of that is in the store under a wrong name" store_is_sound "$work/since"

# ---- specs: what only the target's rpm parses
spec() { # NAME LINES-BEFORE [TAGS]: 0%{?fedora} keeps the host from parsing it
        local name=$1
        { printf '%%if 0%%{?fedora}\n%b\n%%endif\n' "$2"; head_of "$name" "${@:3}"; printf '%%files\n'; tail_of; } | srpm "$name"
}
verdict "endless macro recursion" 1 BUILD_FAILED 'recurs' "$(spec recursion '%global a() %{expand:%%b}\n%define b() %{a}\n%define a() %{b}\n%{b}')"
verdict "an endless loop in Lua" 5 LIMIT 'wall' "$(spec lua '%{lua: while true do end}')" --wall 2s
verdict "a spec that waits while it is parsed" 5 LIMIT 'silence|wall' "$(spec waits '%global x %(sleep 4444)')" --silence 2s --wall 4s
verdict "a spec that fills the disk while it is parsed" 5 LIMIT 'disk' "$(spec fills '%global x %(head -c 300000000 /dev/zero >/var/tmp/x; sleep 5)')" --disk 50M
verdict "BAD_INPUT: 10,000 BuildRequires that nobody has" 3 BAD_INPUT 'no-such-9*' "$(spec many-bad '' "$(for ((i = 0; i < 10000; i++)); do echo "BuildRequires: no-such-$i"; done)")"
check "  in a message that can be read" test "$(wc -c <"$work/log")" -lt 20000
verdict "10,000 BuildRequires that there are" 0 OK '' "$(spec many-good '' "$(for ((i = 0; i < 10000; i++)); do echo "BuildRequires: bash > 0.$i"; done)")"
pairs() { # N
        local i text=
        for ((i = 0; i < $1; i++)); do text+="${text:+ or }(bash and make > 0.$i)"; done
        echo "($text)"
}
verdict "BAD_INPUT: a dependency that multiplies out to 2^30" 3 BAD_INPUT 'multiplied out' "$(spec pairs '' "BuildRequires: $(pairs 30)")"
# A source package as rpmbuild never makes it, put where rpmbuild's is looked for.
{
        head_of planted "BuildRequires: $(printf 'c%.0s' {1..30000})" | sed '1i %global _source_payload w.ufdio'
        printf '%%files\n'
        tail_of
} | srpm planted >"$work/raw"
forged planted header "b'c' * 30000" "b'(' * 30000" >/dev/null
{
        head_of plants 'Source0: planted.src.rpm'
        printf '%%if 0%%{?fedora}\n%%global x %%(cp %%{SOURCE0} /builddir/build/SRPMS/a.src.rpm; cp %%{SOURCE0} /builddir/build/SRPMS/z.src.rpm; chmod 444 /builddir/build/SRPMS/*.rpm)\n%%endif\n%%files\n'
        tail_of
} | srpm plants "$work/planted.src.rpm" >"$work/path"
verdict "a planted source package with a dependency nested 30,000 deep" 1 BUILD_FAILED 'nested|header says' "$(cat "$work/path")"

# ---- builds
verdict "a fork bomb in %prep" 5 LIMIT '(wall|pids) limit' "$(builds bomb-prep %prep 'f() { f | f & }; f; sleep 4444')" --processes 100 --wall 4s
verdict "LIMIT: a file that is deleted and still open" 5 LIMIT 'disk' "$(builds unlinked %build 'exec 7>big; rm big; head -c 200000000 /dev/zero >&7; sleep 20')" --disk 50M
verdict "LIMIT: the same in /var/tmp" 5 LIMIT 'disk' "$(builds unlinked-tmp %build 'exec 7>/var/tmp/big; rm /var/tmp/big; head -c 200000000 /dev/zero >&7; sleep 20')" --disk 50M
for how in ended own; do
        verdict "LIMIT: the same by a thread (first thread or table: $how)" 5 LIMIT 'disk' \
                "$({ head_of "fill-$how" 'Source0: probe'; printf '%%build\n%%{SOURCE0} fill %s\n%%files\n' $how; tail_of; } | srpm "fill-$how" "$probe")" --disk 50M
done
verdict "LIMIT: packages that are too large" 5 LIMIT 'disk' "$(builds large %install 'mkdir -p %{buildroot}/usr/share; head -c 200000000 /dev/urandom >%{buildroot}/usr/share/large; sleep 5')" --disk 50M
verdict "LIMIT: a log without line ends" 5 LIMIT 'output' "$(builds log %build "tr '\\\\0' x </dev/zero")" --log-size 3M
verdict "memory: eaten up to the limit, or without a cgroup given back" "$("$kiln" sandbox --hard-limits --memory 100M true 2>/dev/null && echo 5 || echo 0)" - '' \
        "$(builds memory %build 'head -c 150000000 /dev/zero | tail -c 149000000 | wc -c')" --memory 100M
verdict "links in /dev, open descriptors, daemons" 0 OK '' "$(builds plants-links %build "exec >report
$(sed "s|@WORK@|$work|; s|@TOP@|$top|" "$here/scriptlet")
test -c /dev/null
! grep -q FOUND report || exit 1
grep -q '^done' report || exit 1")"
verdict "a program that overwrites itself and its maker" 0 OK '' "$(builds self %build \
        'cp /usr/bin/sleep s; ./s 5 & sleep 0.5; cp /usr/bin/true s 2>/dev/null && exit 1; (: >/proc/self/exe) 2>/dev/null && exit 1; kill %1')"
for profile in build check; do
        option=()
        [ $profile = check ] || option=(--no-check)
        verdict "every call that is denied to a build is denied in one (profile $profile)" 0 OK '' \
                "$({ head_of "calls-$profile" 'Source0: probe'; printf '%%build\n%%{SOURCE0} calls %s\n%%files\n' $profile; tail_of; } | srpm "calls-$profile" "$probe")" "${option[@]}"
done

# ---- nothing of all this was anywhere it should not be
check "nothing was written outside" test ! -e "$hit" -a ! -e /tmp/hit
check "no process of theirs is left" test -z "$(pgrep -f '^sleep (4343|4444|4545)$')"
exit $failed
