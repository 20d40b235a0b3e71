#!/bin/bash
# What varying costs: the second build of --check-reproducible against the first, in pairs, without and with the clock.
# Only kiln's own measure of both is used: the phases of result.json. The first build's parsing and solving do not count
# for it, while the probes and the comparison count for the second. Processors are left alone: fewer are slower.
set -eu -o pipefail
[ $# -ge 2 ] || { echo "usage: vary.sh KILN SRPM [PAIRS [OPTION...]]    OPTION: of kiln rebuild" >&2; exit 2; }
kiln=$1 srpm=$2 pairs=${3:-5}
shift $(($# < 3 ? $# : 3))
work=$(mktemp -d /var/tmp/kiln-vary-bench.XXXXXX)
trap 'rm -rf "$work"' EXIT

once() { # OPTION...: first and second build in milliseconds
        rm -rf "$work/out"
        "$kiln" rebuild -q -o "$work/out" --sign none --check-reproducible --unvaried cpus "$@" "$srpm" >"$work/stdout" || {
                echo "vary.sh: the package does not reproduce" >&2
                exit 1
        }
        jq -r '[(.phases | map(select(.name | test("^(buildreqs|prep|build|install|check|package)$"))) | map(.durationMs | tonumber) | add),
                (.phases[] | select(.name == "vary") | .durationMs | tonumber)] | @tsv' "$work/out/result.json"
}

figures() { # NAME: lines "first second" from standard input
        awk -v name="$1" '{ print $2 / $1, $1, $2 }' | sort -n | awk -v name="$1" '{ r[NR] = $1; a[NR] = $2; b[NR] = $3 }
                END { m = int((NR + 1) / 2); printf "%-28s median ratio %.3f (%.3f-%.3f), there %d ms first, %d ms second\n",
                        name, r[m], r[1], r[NR], a[m], b[m] }'
}

once "$@" >/dev/null # fills the caches, the single-id root included
for _ in $(seq "$pairs"); do
        once --unvaried clock "$@" >>"$work/plain"
        once "$@" >>"$work/clock"
done
figures "all but clock and cpus" <"$work/plain"
figures "all but cpus" <"$work/clock"
