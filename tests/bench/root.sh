#!/bin/bash
# How long a build root takes: cold (every package in the store, no layer yet) and warm (everything cached, until the
# target's rpmbuild runs %prep), beside the same packages unpacked with bsdtar and installed with the host's rpm in one
# plain transaction, in the same run. Medians of pairs.
#
# Usage: root.sh KILN SRPM [PAIRS]   as root, with KILN_CACHE holding the bootstrap repository. Needs bsdtar, rpm, jq.
set -eu -o pipefail
[ $# -ge 2 ] || { sed -n '/^# Usage/s/^# //p' "$0" >&2; exit 2; }
kiln=$1 srpm=$2 pairs=${3:-5}
cache=${KILN_CACHE:-/var/cache/kiln}
work=$(mktemp -d "$cache/bench.XXXXXX")
trap 'rm -rf "$work"' EXIT

ms() { # COMMAND...
        local begin
        begin=$(date +%s%N)
        "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
        echo $((($(date +%s%N) - begin) / 1000000))
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
build() { rm -rf "$work/out"; "$kiln" rebuild -q -t bootstrap --no-check -o "$work/out" "$srpm"; }
# Milliseconds that layers took; and those from the request to %prep.
layers() { jq '[.phases[] | select(.name == "root") | .durationMs | tonumber] | add' "$work/out/result.json"; }
until_prep() { jq '[.phases[] | select(.name == "prep")][0].offsetMs | tonumber' "$work/out/result.json"; }
unpack() {
        # shellcheck disable=SC2016
        mkdir "$work/tar" && xargs -a "$work/packages" -P 2 -n 8 sh -c 'for p; do bsdtar -xf "$p" -C "$0"; done' "$work/tar"
}
install() {
        local packages
        mapfile -t packages <"$work/packages"
        rpm --root "$work/rpm" --dbpath /var/lib/rpm --nodigest --nosignature --nodeps --noplugins --noscripts \
                --notriggers -U "${packages[@]}"
}

build >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
jq -r '.packages[].location' "$work/out/lock.json" | sed "s|^|$cache/bootstrap/repo/|" >"$work/packages"
echo "packages: $(wc -l <"$work/packages")"
for _ in $(seq "$pairs"); do
        rm -rf "$cache/layers"
        ms build >/dev/null
        layers >>"$work/cold"
        ms build >/dev/null
        until_prep >>"$work/warm"
        rm -rf "$work/tar" "$work/rpm"
        ms unpack >>"$work/bsdtar"
        ms install >>"$work/rpm.ms"
done
for what in cold warm bsdtar rpm.ms; do
        printf '%-8s median %5d ms, smallest %5d, largest %5d\n' "${what%.ms}" "$(median <"$work/$what")" \
                "$(sort -n "$work/$what" | head -n 1)" "$(sort -n "$work/$what" | tail -n 1)"
done
awk -v c="$(median <"$work/cold")" -v r="$(median <"$work/rpm.ms")" -v b="$(median <"$work/bsdtar")" \
        'BEGIN { printf "cold root: %.2f times the plain transaction (no scriptlets), %.2f times bsdtar\n", c / r, c / b }'
