#!/bin/bash
# What the sandbox costs a build: the same rpmbuild of the same sources in the same root content, in `kiln shell` and in a
# plain chroot, in pairs. The time is taken inside, around rpmbuild alone, elapsed and processor time; the medians of the
# pairs' ratios are printed. Then whole `kiln rebuild`s: time until rpmbuild is first executed with everything cached, time
# to attest and sign, largest memory of the kiln process; and what the layers take on disk.
#
# Usage: build.sh KILN SRPM [PAIRS]   as root, with KILN_CACHE holding the bootstrap repository. Needs jq, python3.
set -eu -o pipefail
[ $# -ge 2 ] || { sed -n '/^# Usage/s/^# //p' "$0" >&2; exit 2; }
kiln=$(realpath "$1") srpm=$(realpath "$2") pairs=${3:-5}
cache=${KILN_CACHE:-/var/cache/kiln}
work=$(mktemp -d "$cache/bench.XXXXXX")
trap 'rm -rf "$work"' EXIT

median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
spread() { printf '%s (%s to %s)' "$(median <"$1")" "$(sort -g "$1" | head -n 1)" "$(sort -g "$1" | tail -n 1)"; }

# shellcheck disable=SC2016
inside='cd /builddir && rm -rf build/BUILD build/RPMS build/SRPMS build/BUILDROOT && mkdir -p build/BUILD &&
        TIMEFORMAT="time %R %U %S"
        time rpmbuild -ba --nocheck --define "_topdir /builddir/build" --define "_smp_build_ncpus 2" build/SPECS/*.spec >log 2>&1 ||
        { tail -n 30 log; exit 1; }'
sandboxed() { "$kiln" shell -q -t bootstrap --no-check "$srpm" bash -c "$inside" 2>&1; }
plain() { # the mounts exist for this run alone: nothing that is removed later is ever mounted on
        # shellcheck disable=SC2016
        unshare --mount bash -c 'mount -t proc proc "$1/proc" && mount --bind /dev "$1/dev" &&
                exec chroot --userspec=1000:1000 "$1" env -i PATH=/usr/bin:/bin HOME=/builddir LANG=C.UTF-8 TZ=UTC \
                        SOURCE_DATE_EPOCH=1736164800 bash -c "$2"' - "$work/root" "$inside" 2>&1
}

# The root and the prepared sources, as the build sees them.
mkdir "$work/root"
# shellcheck disable=SC2016
"$kiln" shell -q -t bootstrap --no-check "$srpm" tar -C / -c --ignore-failed-read --warning=no-failed-read \
        --exclude=./proc --exclude=./sys --exclude=./dev . | tar -C "$work/root" -x --owner=0 --group=0 --numeric-owner
mkdir -p "$work/root"/{proc,sys,dev,builddir,tmp,var/tmp}
chmod 1777 "$work/root/tmp" "$work/root/var/tmp"
chown -R 1000:1000 "$work/root/builddir"

for _ in $(seq "$pairs"); do
        sandboxed | awk '$1 == "time" { print $2, $3 + $4; seen = 1 } END { exit !seen }' >"$work/a" || { sandboxed; exit 1; }
        plain | awk '$1 == "time" { print $2, $3 + $4; seen = 1 } END { exit !seen }' >"$work/b" || { plain; exit 1; }
        paste -d ' ' "$work/a" "$work/b" >>"$work/pairs"
done
awk '{ print $1 }' "$work/pairs" >"$work/kiln.s"
awk '{ print $3 }' "$work/pairs" >"$work/plain.s"
awk '{ printf "%.3f\n", $1 / $3 }' "$work/pairs" >"$work/ratio"
awk '{ printf "%.3f\n", $2 / $4 }' "$work/pairs" >"$work/cpu"
echo "rpmbuild in kiln's sandbox: $(spread "$work/kiln.s") s, in a plain chroot: $(spread "$work/plain.s") s"
echo "ratio of $pairs pairs: elapsed $(spread "$work/ratio"), processor time $(spread "$work/cpu")"

# The largest memory of the kiln process itself; its children have their own.
cat >"$work/peak" <<'END'
import re, subprocess, sys, time
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
peak = 0
while process.poll() is None:
    with open(f"/proc/{process.pid}/status") as status:
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
    peak = max(peak, int(found.group(1)) if found else 0)
    time.sleep(0.005)
print(peak // 1024)
sys.exit(process.returncode)
END
for _ in $(seq "$pairs"); do
        rm -rf "$work/out"
        python3 "$work/peak" "$kiln" rebuild -q -t bootstrap --no-check -o "$work/out" "$srpm" >>"$work/memory"
        jq -r .firstExecMs "$work/out/result.json" >>"$work/warm"
        jq -r '[.phases[] | select(.name == "attest") | .durationMs | tonumber] | add' "$work/out/result.json" >>"$work/attest"
done
echo "request to rpmbuild executed, everything cached: $(spread "$work/warm") ms"
echo "attest and sign $(find "$work/out" -name '*.rpm' | wc -l) packages: $(spread "$work/attest") ms"
echo "memory of kiln: $(spread "$work/memory") MiB"
du -sk "$cache/layers" | awk -v content="$(find "$cache"/layers/*/root -type f -printf '%i %s\n' | sort -u |
        awk '{ s += $2 } END { printf "%d", s / 1024 }')" \
        '{ printf "layers: %d MiB on disk for %d MiB of files, ratio %.2f\n", $1 / 1024, content / 1024, $1 / content }'
