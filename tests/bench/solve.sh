#!/bin/sh
# How long solving takes on a repository of 60,000 packages, and how much memory: cold (metadata parsed, .solv file
# written) and warm (from the .solv file), the median of several runs.
#
#     tests/bench/solve.sh BUILD_DIR [PACKAGES]
#
# Target: warm, process start to lock, at most 150 ms and 250 MiB.
set -eu
build=$1
count=${2:-60000}
here=$(cd "$(dirname "$0")" && pwd)
ninja -C "$build" tests/bench/bench-solve >/dev/null
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 "$here/make-repo.py" "$work/repo" "$count"

run() {
        "$build/tests/bench/bench-solve" "$work/cache" x86_64,noarch bash,gcc,make,rpm-build "file://$work/repo" \
                'pkgconfig(pkg00500)' pkg00999-devel /usr/bin/pkg00123 '(pkg00300 if make)' pkg04000 \
                2>"$work/times" >"$work/lock.$1"
        awk -v run="$1" '/ms$/ { total += $2; line = line sprintf("  %s %.1f ms", $1, $2) }
                /^packages/ { printf "%-6s total %.1f ms%s, %s\n", run, total, line, $0 }' "$work/times"
}

run cold
for _ in 1 2 3 4 5 6 7; do
        run warm
done | sort -k3n | sed -n 4p
cmp "$work/lock.cold" "$work/lock.warm"
