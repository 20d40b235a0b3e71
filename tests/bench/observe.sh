#!/bin/bash
# What --observe costs: the same package rebuilt with and without it in turn, everything cached. The build alone (prep to
# package) and the whole, elapsed and processor time (of the build: what all its processes used); the medians of the
# pairs' ratios. On a busy machine only processor time says much.
#
# Usage: observe.sh KILN SRPM [PAIRS]   with KILN_CACHE holding the bootstrap repository. Needs jq.
set -eu -o pipefail
[ $# -ge 2 ] || { sed -n '/^# Usage/s/^# //p' "$0" >&2; exit 2; }
kiln=$1 srpm=$2 pairs=${3:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
TIMEFORMAT='%R %U %S'

once() { # NAME [OPTION]: one line of milliseconds: build, its CPU, whole, its CPU
        local name=$1
        shift
        rm -rf "$work/out"
        { time "$kiln" rebuild -q -t bootstrap -o "$work/out" "$@" "$srpm" >"$work/log" 2>&1; } 2>"$work/time" ||
                { cat "$work/log" >&2; exit 1; }
        jq -r '([.phases[] | select(.name | IN("prep", "build", "install", "check", "package")) | .durationMs | tonumber] | add),
                .peaks.cpuMs' "$work/out/result.json" >"$work/line"
        awk '{ print $1 * 1000; print ($2 + $3) * 1000 }' "$work/time" >>"$work/line"
        paste -sd ' ' "$work/line" >>"$work/$name"
}
median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

once warm --observe
for _ in $(seq "$pairs"); do
        once plain
        once observed --observe
done
i=0
for what in "build, elapsed" "build, processor time" "whole, elapsed" "whole, processor time"; do
        i=$((i + 1))
        paste -d ' ' "$work/plain" "$work/observed" | awk -v i=$i '{ printf "%.3f\n", $(i + 4) / $i }' | sort -g >"$work/ratio"
        echo "$what: plain $(awk -v i=$i '{ print $i }' "$work/plain" | median) ms," \
                "observed $(awk -v i=$i '{ print $i }' "$work/observed" | median) ms," \
                "ratio of $pairs pairs $(median <"$work/ratio") ($(head -n 1 "$work/ratio") to $(tail -n 1 "$work/ratio"))"
done
jq -r '"files of the root opened: \([.packages[].files | length] | add), of the tree: \(.tree.opened.number) of \(.tree.opened.number + .tree.unopened.number)"' \
        "$work/out/inputs.json"
