#!/bin/bash
# What the sandbox costs a build: the same rpmbuild of the same sources in the same root content, in `kiln shell` and in a
# plain chroot, in pairs; and, to tell what costs how much, in the sandbox on a plain directory, and in a chroot on an
# overlay of it. The time is taken inside, around rpmbuild alone, elapsed and processor time; the medians of the ratios to the
# plain chroot of the same round are printed. Then whole `kiln rebuild`s: time until rpmbuild is first executed with everything cached, time
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
bare() {
        "$kiln" sandbox --root "$work/root" --writable /tmp --writable /var/tmp --bind "$work/home:/builddir" --cpus 2 \
                --release 6.12.0 --env HOME=/builddir --env LANG=C.UTF-8 --env TZ=UTC --env PATH=/usr/bin:/bin \
                --env SOURCE_DATE_EPOCH=1736164800 bash -c "$inside" 2>&1
}
in_chroot() { # MOUNT DIRECTORY: the mounts exist for this run alone, so nothing that is removed later is ever mounted on
        # shellcheck disable=SC2016
        unshare --mount bash -c 'eval "$3"; mount -t proc proc "$1/proc" && mount --bind /dev "$1/dev" &&
                mount --bind "$0/root/builddir" "$1/builddir" &&
                exec chroot --userspec=1000:1000 "$1" env -i PATH=/usr/bin:/bin HOME=/builddir LANG=C.UTF-8 TZ=UTC \
                        SOURCE_DATE_EPOCH=1736164800 bash -c "$2"' "$work" "$2" "$inside" "$1" 2>&1
}
plain() { in_chroot : "$work/root"; }
overlay() {
        rm -rf "$work/upper" "$work/work"
        mkdir "$work/upper" "$work/work"
        # shellcheck disable=SC2016
        in_chroot 'mount -t overlay -o "userxattr,volatile,lowerdir=$0/root,upperdir=$0/upper,workdir=$0/work" bench "$1"' "$work/merged"
}

# The root and the prepared sources, as the build sees them.
mkdir "$work/root"
# shellcheck disable=SC2016
"$kiln" shell -q -t bootstrap --no-check "$srpm" tar -C / -c --ignore-failed-read --warning=no-failed-read \
        --exclude=./proc --exclude=./sys --exclude=./dev . | tar -C "$work/root" -x --owner=0 --group=0 --numeric-owner
mkdir -p "$work/root"/{proc,sys,dev,builddir,tmp,var/tmp}
chmod 1777 "$work/root/tmp" "$work/root/var/tmp"
mkdir "$work/merged"
cp -a "$work/root/builddir" "$work/home"
chown -R 1000:1000 "$work/root/builddir"
owner=$(stat -c %u "$cache"/layers/*/root | head -n 1) # of id 0 inside
chown -R "$((owner + 1000)):$((owner + 1000))" "$work/home"

# One root may just have been written, the other not, and the page cache keeps what was written otherwise than what was read.
# Both are read from the disk again, so that this makes no difference.
sync -f "$cache"
python3 - "$work/root" "$cache"/layers/*/root <<'END'
import os, stat, sys
for top in sys.argv[1:]:
    for directory, _, names in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                fd = os.open(path, os.O_RDONLY)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)
END
for how in plain sandboxed bare overlay; do "$how" >"$work/said"; done

for round in $(seq "$pairs"); do
        for how in plain sandboxed bare overlay; do
                "$how" >"$work/said" || true
                awk -v how="$how" -v round="$round" '$1 == "time" { print how, round, $2, $3 + $4; seen = 1 } END { exit !seen }' \
                        "$work/said" >>"$work/times" || { cat "$work/said" >&2; exit 1; }
        done
done
ratio() { awk -v how="$1" -v field="$2" '$1 == "plain" { of[$2] = $field } $1 == how { printf "%.3f\n", $field / of[$2] }' "$work/times" >"$work/ratio"; spread "$work/ratio"; }
for how in plain sandboxed bare overlay; do
        awk -v how="$how" '$1 == how { print $3 }' "$work/times" >"$work/s"
        printf '%-9s %s s; to plain: elapsed %s, processor time %s\n' "$how" "$(spread "$work/s")" "$(ratio "$how" 3)" "$(ratio "$how" 4)"
done

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
