#!/bin/bash
# Every ending has a name: exit status, message and result.json of builds that fail, are refused, limited or cancelled;
# and each leaves no process, mount or temporary file. Prints "ok NAME" or "not ok NAME" lines.
. "$(dirname "$0")/pipeline.bash"
KILN_CACHE=$(shared_cache)
export KILN_CACHE

good=$({ head_of good; printf '%%files\n'; tail_of; } | srpm good)
verdict "a package without a build is OK" 0 OK '' "$good"
is "result.json comes with all artefacts" 0 "$(cd "$last_out" && jq -r '.artefacts[] | .sha256 + "  " + .name' result.json |
        sha256sum --check --quiet >&2; echo $?)"
good_out=$last_out

# ---- the package's fault: the section and the command are named
section() { # SECTION COMMAND
        local name=fail-${1#%}
        {
                head_of "$name"
                printf '%s\ntrue\n%s\n' "$1" "$2"
                [ "$1" = %files ] || printf '%%files\n'
                tail_of
        } | srpm "$name"
}
for s in %prep %build %install %check; do
        verdict "BUILD_FAILED in $s" 1 BUILD_FAILED "BUILD_FAILED: .*$s failed: ls /no-such-place" "$(section $s 'ls /no-such-place')"
        is "result.json names the phase of $s" "${s#%}" "$(jq -r .error.phase "$last_out/result.json")"
done
file=$({ head_of fail-files; printf '%%files\n/usr/share/missing\n'; tail_of; } | srpm fail-files)
echo '{}' >"$last_out/lock.json"
got=0
"$kiln" rebuild -t e2e -o "$last_out" "$work/s/fail-check/fail-check-1-1.src.rpm" >"$work/log" 2>&1 || got=$?
is "a failure whose result cannot be written stays one, and that is said" "1 1" "$got $(grep -c 'not written: .*other content' "$work/log")"
verdict "BUILD_FAILED in %files" 1 BUILD_FAILED 'BUILD_FAILED: .*File not found: .*/usr/share/missing' "$file"
verdict "%check is left out on request" 0 OK '' "$(section %check 'false')" --no-check
file=$({ head_of fail-parse '%if 0%{?fedora}' 'Nonsense: 1' '%endif'; printf '%%files\n'; tail_of; } | srpm fail-parse)
verdict "a spec that cannot be parsed" 1 BUILD_FAILED 'fail-parse.spec' "$file"

# ---- bad input
head -c 1500 "$good" >"$work/cut.src.rpm"
verdict "BAD_INPUT: a truncated source package" 3 BAD_INPUT 'BAD_INPUT: .*cut.src.rpm' "$work/cut.src.rpm"
cp "$good" "$work/flip.src.rpm"
size=$(stat -c %s "$good")
printf '\x55\xaa\x55' | dd of="$work/flip.src.rpm" bs=1 seek=$((size - 60)) conv=notrunc status=none
verdict "BAD_INPUT: a source package with other bytes in its payload" 3 BAD_INPUT 'BAD_INPUT: .*flip.src.rpm.*digest' "$work/flip.src.rpm"
verdict "BAD_INPUT: no source package at all" 3 BAD_INPUT 'BAD_INPUT: .*no-such.src.rpm' "$work/no-such.src.rpm"
is "  in result.json: the cause, final, and no digest of a request" 'opening true ' \
        "$(jq -r '[.error.doing, .final, .buildDigest] | map(tostring) | join(" ")' "$last_out/result.json")"
verdict "BAD_INPUT: not a package" 3 BAD_INPUT 'BAD_INPUT: ' /etc/passwd
file=$({ head_of unresolvable 'BuildRequires: no-such-library-devel >= 7'; printf '%%files\n'; tail_of; } | srpm unresolvable)
verdict "BAD_INPUT: an unresolvable BuildRequires is explained" 3 BAD_INPUT 'no-such-library-devel >= 7' "$file"
check "the explanation names who needs it" grep -q 'unresolvable-1-1' "$work/log"
echo 'not = [toml' >"$work/bad.toml"
verdict "BAD_INPUT: an overlay that is no TOML" 3 BAD_INPUT 'bad.toml' "$good" --overlay "$work/bad.toml"
printf '{"lock": 1}' >"$work/bad-lock.json"
verdict "BAD_INPUT: a lock that is none" 3 BAD_INPUT 'bad-lock.json' "$good" --lock "$work/bad-lock.json"
echo 'name = 5' >"$KILN_CONFIG/toolchains/broken.toml"
verdict "BAD_INPUT: a broken toolchain definition" 3 BAD_INPUT 'broken' "$good" -t broken

# ---- usage and refusals
verdict "usage: an unknown option" 2 - 'no-such-option' "$good" --no-such-option
verdict "usage: an option without its value" 2 - 'wall' "$good" --wall
verdict "usage: a macro without a body" 2 - 'NAME BODY' "$good" --define lonely
check "usage errors leave no result" test ! -e "$last_out"
file=$({ head_of only-arm 'ExclusiveArch: aarch64' | sed /^BuildArch/d; printf '%%files\n'; tail_of; } | srpm only-arm)
verdict "REFUSED: ExclusiveArch of another architecture" 6 REFUSED 'ExclusiveArch|aarch64' "$file"
if ! grep -qw avx512f /proc/cpuinfo; then
        verdict "REFUSED: a level that this host lacks" 6 REFUSED 'v4' "$good" --isa v4
fi
cp -r "$good_out" "$work/other-content"
echo more >>"$work/other-content/good-1-1.noarch.rpm"
cp "$work/other-content/result.json" "$work/before.json"
got=0
"$kiln" rebuild -q -t e2e -o "$work/other-content" "$good" >"$work/log" 2>&1 || got=$?
is "REFUSED: an output of this name with other content" 6 "$got"
check "  and nothing of the old result is touched" cmp "$work/other-content/result.json" "$work/before.json"
is "  and nothing is left of the attempt" '' "$(left_behind "$work/other-content")"
got=0
"$kiln" rebuild -q -t e2e -o "$good_out" "$good" >"$work/log" 2>&1 || got=$?
is "the same result again is no conflict" 0 "$got"

# ---- limits: which one, and the peak
file=$(section %build 'for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 1; done')
verdict "LIMIT: wall" 5 LIMIT 'LIMIT: .*wall limit of 2' "$file" --wall 2s
file=$(section %build 'trap "" TERM INT HUP; (setsid sleep 300 &); sleep 300')
verdict "LIMIT: silence, of a build that ignores signals and leaves a daemon" 5 LIMIT 'silence limit of 2' "$file" --silence 2s
file=$(section %build 'yes 0123456789')
verdict "LIMIT: output" 5 LIMIT 'output limit of 2000000' "$file" --log-size 2000000
file=$(section %build 'dd if=/dev/zero of=big bs=1M count=400 2>/dev/null; sleep 5')
verdict "LIMIT: disk, in the build directory" 5 LIMIT 'disk limit of 50000000' "$file" --disk 50000000
file=$(section %build 'head -c 400000000 /dev/zero >/var/tmp/big; sleep 5')
verdict "LIMIT: disk, in /var/tmp" 5 LIMIT 'disk limit of 50000000' "$file" --disk 50000000

# ---- cancelled
file=$(section %build 'sleep 30')
for phase in fetch solve source build; do
        at=(--at "^$phase: started" INT)
        verdict "CANCELLED: Ctrl-C when $phase begins" 8 CANCELLED 'CANCELLED' "$file"
done
at=(--at "^build: started" TERM)
verdict "CANCELLED: SIGTERM in %build" 8 CANCELLED 'CANCELLED' "$file"
at=()
exit $failed
