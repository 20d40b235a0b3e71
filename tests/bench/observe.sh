#!/bin/bash
# What --observe costs: the same package rebuilt with and without it in turn, everything cached. The build alone
# (prep to package) and the whole; medians of pairs.
#
# Usage: observe.sh KILN SRPM [PAIRS]   with KILN_CACHE holding the bootstrap repository. Needs jq.
set -eu -o pipefail
[ $# -ge 2 ] || { sed -n '/^# Usage/s/^# //p' "$0" >&2; exit 2; }
kiln=$1 srpm=$2 pairs=${3:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

once() { # NAME [OPTION]
        local name=$1 begin
        shift
        rm -rf "$work/out"
        begin=$(date +%s%N)
        "$kiln" rebuild -q -t bootstrap -o "$work/out" "$@" "$srpm" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
        echo $((($(date +%s%N) - begin) / 1000000)) >>"$work/$name.whole"
        jq '[.phases[] | select(.name | IN("prep", "build", "install", "check", "package")) | .durationMs | tonumber] | add' \
                "$work/out/result.json" >>"$work/$name.build"
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

once warm --observe
for _ in $(seq "$pairs"); do
        once plain
        once observed --observe
done
for what in build whole; do
        p=$(median <"$work/plain.$what") o=$(median <"$work/observed.$what")
        awk -v w="$what" -v p="$p" -v o="$o" 'BEGIN { printf "%s: plain %d ms, observed %d ms, ratio %.3f\n", w, p, o, o / p }'
done
