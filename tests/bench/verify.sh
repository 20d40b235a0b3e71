#!/bin/bash
# How long verifying 1,000 packages takes, against sha256sum over the same bytes on the same cores; pairs, page cache
# warm. The packages (of any repository) carry digests; what has no attestations is judged by its own digests and
# signature. Then, with RESULT (a result directory of kiln rebuild): the same with provenance, SBOMs and, in the
# last line, payloads, on as many copies as make 300 packages.
#
#     tests/bench/verify.sh KILN DIRECTORY-OF-RPMS [PAIRS [RESULT KEY-DIRECTORY]]
#
# Target: at most 1.3 times sha256sum.
set -eu -o pipefail
kiln=$(realpath "$1")
from=$2
pairs=${3:-5}
result=${4:-}
work=$(mktemp -d /var/tmp/kiln-bench.XXXXXX)
trap 'rm -rf "$work"' EXIT
count=1000

mkdir "$work/rpms"
mapfile -t files < <(find -L "$from" -maxdepth 1 -name '*.rpm' -size +0 | sort)
[ ${#files[@]} -gt 0 ] || { echo "no packages in $from" >&2; exit 2; }
for ((i = 0; i < count; i++)); do
        cp --reflink=auto "${files[i % ${#files[@]}]}" "$work/rpms/$i-$(basename "${files[i % ${#files[@]}]}")"
done
openssl genpkey -algorithm ed25519 2>/dev/null | openssl pkey -pubout >"$work/key.pub"
cat >"$work/policy.toml" <<'END'
[[key]]
name = "nobody"
operator = "nobody"
file = "key.pub"
[require]
provenance = false
sbom = false
[allow]
unsigned-packages = true
END

ms() { # COMMAND...: milliseconds it took, and of CPU time
        local TIMEFORMAT='%R %U %S'
        { time "$@" >"$work/out" 2>&1 || { tail -n 3 "$work/out" >&2; exit 1; }; } 2>&1 |
                awk '{ printf "%d %d\n", $1 * 1000, ($2 + $3) * 1000 }'
}
hash_all() { find "$1" -name '*.rpm' -print0 | xargs -0 -n 25 -P "$(nproc)" sha256sum; }
middle() { sort -n | awk '{ v[NR] = $1 } END { printf "median %d ms (%d to %d)", v[int((NR + 1) / 2)], v[1], v[NR] }'; }

compare() { # NAME DIRECTORY COMMAND...
        local name=$1 dir=$2 i
        shift 2
        hash_all "$dir" >/dev/null
        : >"$work/kiln"
        : >"$work/sums"
        for ((i = 0; i < pairs; i++)); do
                ms hash_all "$dir" >>"$work/sums"
                ms "$@" >>"$work/kiln"
        done
        printf '%s: %s packages, %s\n' "$name" "$(find "$dir" -name '*.rpm' | wc -l)" "$(du -sh "$dir" | cut -f1)"
        printf '  kiln verify  %s\n  sha256sum    %s\n' "$(middle <"$work/kiln")" "$(middle <"$work/sums")"
        for i in 1 2; do
                paste <(cut -d ' ' -f $i "$work/kiln") <(cut -d ' ' -f $i "$work/sums") | awk '{ print $1 / $2 }' | sort -n |
                        awk -v of="$([ $i = 1 ] && echo time || echo 'CPU time')" '{ v[NR] = $1 } END {
                                printf "  ratio of pairs, %s: median %.2f (%.2f to %.2f)\n", of, v[int((NR + 1) / 2)], v[1], v[NR] }'
        done
}

compare "digests and signatures" "$work/rpms" "$kiln" verify -q --policy "$work/policy.toml" "$work/rpms"
if [ -n "$result" ]; then
        own=("$result"/*.rpm)
        for ((i = 0; i < 300; i += ${#own[@]})); do
                mkdir -p "$work/results/$i"
                cp "$result"/*.rpm "$result"/*.jsonl "$result"/*.spdx.json "$result"/*.cdx.json "$result"/lock.json "$work/results/$i/"
        done
        keys=(--key "$5/attest.pub" --key "$5/rpm.asc")
        compare "with provenance and SBOMs (--quick)" "$work/results" "$kiln" verify -q --quick "${keys[@]}" "$work/results"/*
        compare "with payloads" "$work/results" "$kiln" verify -q "${keys[@]}" "$work/results"/*
fi
