#!/bin/bash
# How long a build root takes: cold (every package in the store, no layer yet) and warm (everything cached, until the
# target's rpmbuild is first executed), beside the base's packages unpacked with bsdtar and installed by the target's own
# rpm in one plain transaction into an empty root (scriptlets run, digests checked, nothing synced; without the time
# to unpack that rpm), and beside bubblewrap executing rpmbuild in an unpacked root, in the same run; where dnf is
# installed, beside `dnf --installroot` with the host's rpm too, and where obs-build is, beside its root from the same
# packages (by its own clock, whole seconds, until it says that packages are in). Where the package asks for more than
# the base has, also how long the delta on top takes, beside `bsdtar`. Medians of pairs.
#
# Usage: root.sh KILN SRPM [PAIRS]   as root, with KILN_CACHE holding the bootstrap repository. Needs bsdtar, bwrap, jq.
# On a machine that does other things, run it as `chrt -r 1 root.sh ...`: every run is short.
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
# Milliseconds that the base layer took, and the delta; and those from the request to the first rpmbuild.
base() { jq '[.phases[] | select(.name == "root")][0].durationMs | tonumber' "$work/out/result.json"; }
delta() { jq '[.phases[] | select(.name == "root")][1].durationMs | tonumber' "$work/out/result.json"; }
first_exec() { jq '.firstExecMs | tonumber' "$work/out/result.json"; }
unpack() { # LIST DIRECTORY
        # shellcheck disable=SC2016
        mkdir "$2" && xargs -a "$1" -P 2 -n 8 sh -c 'for p; do bsdtar -xf "$p" -C "$0"; done' "$2"
}
# Made once: the closure that can run rpm, and the packages under names that rpm finds inside.
prepare() {
        local owner=("$cache"/layers/*/root)
        unpack "$work/closure" "$work/lower"
        mkdir "$work/packages.d"
        xargs -a "$work/packages" ln -t "$work/packages.d" 2>/dev/null || xargs -a "$work/packages" cp -t "$work/packages.d"
        sed 's|.*/|/run/packages/|' "$work/packages" >"$work/packages.d/list"
        chown -Rh --reference="${owner[0]}" "$work/lower"
        chmod 755 "$work" "$work/packages.d"
}
install() { # prints the milliseconds of rpm itself
        local owner=("$cache"/layers/*/root)
        mkdir "$work/upper" "$work/work"
        chown --reference="${owner[0]}" "$work/upper" "$work/work"
        # shellcheck disable=SC2016
        "$kiln" sandbox --lower "$work/lower" --upper "$work/upper" --work "$work/work" --uid 0 --profile install \
                --tmpfs /run --ro-bind "$work/packages.d:/run/packages" --env LC_ALL=C.UTF-8 bash -c '
                TIMEFORMAT=%R; exec 3>&2
                time rpm -U --nosignature --noplugins --define "_netsharedpath /dev:/proc:/sys:/run" \
                        --define "_install_langs all" --dbpath=/var/lib/rpm $(cat /run/packages/list) >/tmp/said 2>&1 ||
                        { cat /tmp/said; exit 1; }' 2>&1 | awk '{ printf "%d\n", $1 * 1000; print >"/dev/stderr" }' 2>"$work/log"
}
install_dnf() {
        local names
        mapfile -t names < <(jq -r '.packages[] | select(.layer != "DELTA") | .name' "$work/out/lock.json")
        dnf -y -q --installroot="$1" --repofrompath="bench,file://$cache/bootstrap/repo" --repo=bench --nogpgcheck \
                --releasever=43 --setopt=install_weak_deps=False --setopt=cachedir="$work/dnf.cache" install "${names[@]}"
}
obs_prepare() {
        mkdir "$work/obs"
        xargs -a "$work/packages" ln -s -t "$work/obs"
        {
                printf 'Type: spec\nBinarytype: rpm\nBuildengine: rpmbuild\nRepotype: none\nOrder: filesystem:setup\n'
                jq -r '.packages[] | select(.layer != "DELTA") | (if .layer == "BOOTSTRAP" then "Preinstall: " else "Required: " end) + .name' \
                        "$work/out/lock.json"
        } >"$work/obs.conf"
        printf 'Name: t\nVersion: 1\nRelease: 1\nSummary: t\nLicense: MIT\nBuildArch: noarch\n%%description\nt\n%%files\n' >"$work/t.spec"
}
# Prints milliseconds. What comes after the root needs the distribution's own accounts and is not looked at.
install_obs() { # DIRECTORY
        obs-build --root "$1" --dist "$work/obs.conf" --rpms "$work/obs" --clean --no-checks --nosignature "$work/t.spec" >"$work/log" 2>&1 || true
        awk '/now finalizing build dir/ { print $2 * 1000; found = 1 } END { exit !found }' "$work/log" || { cat "$work/log" >&2; exit 1; }
}
run_bwrap() {
        bwrap --unshare-all --die-with-parent --new-session --ro-bind "$work/tar" / --dev /dev --proc /proc --tmpfs /tmp \
                --cap-drop ALL /usr/bin/rpmbuild --version
}

build >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
location() { jq -r ".packages[] | select($1) | .location" "$work/out/lock.json" | sed "s|^|$cache/bootstrap/repo/|"; }
location '.layer != "DELTA"' >"$work/packages"
location '.layer == "BOOTSTRAP"' >"$work/closure"
location '.layer == "DELTA"' >"$work/added"
prepare
! command -v obs-build >/dev/null || obs_prepare
echo "packages of the base: $(wc -l <"$work/packages"), of the closure that runs rpm: $(wc -l <"$work/closure"), of the delta: $(wc -l <"$work/added")"
# Nothing is removed between the runs: file systems are slow where much was just deleted.
for i in $(seq "$pairs"); do
        [ ! -e "$cache/layers" ] || mv "$cache/layers" "$work/layers.$i"
        ms build >/dev/null
        base >>"$work/cold"
        [ ! -s "$work/added" ] || { delta >>"$work/delta"; ms unpack "$work/added" "$work/added.$i" >>"$work/delta-bsdtar"; }
        ms build >/dev/null
        first_exec >>"$work/warm"
        [ ! -e "$work/tar" ] || { mv "$work/tar" "$work/tar.$i"; mv "$work/upper" "$work/upper.$i"; mv "$work/work" "$work/work.$i"; }
        ms unpack "$work/packages" "$work/tar" >>"$work/bsdtar"
        install >>"$work/rpm"
        ms run_bwrap >>"$work/bwrap"
        [ ! -e "$work/obs" ] || install_obs "$work/obsroot.$i" >>"$work/obs.ms"
        ! command -v dnf >/dev/null || ms install_dnf "$work/dnf.$i" >>"$work/dnf"
done
for what in cold warm bsdtar rpm bwrap dnf obs.ms delta delta-bsdtar; do
        [ -e "$work/$what" ] || continue
        printf '%-12s median %5d ms, smallest %5d, largest %5d\n' "${what%.ms}" "$(median <"$work/$what")" \
                "$(sort -n "$work/$what" | head -n 1)" "$(sort -n "$work/$what" | tail -n 1)"
done
awk -v c="$(median <"$work/cold")" -v r="$(median <"$work/rpm")" -v b="$(median <"$work/bsdtar")" \
        'BEGIN { printf "cold root: %.2f times the plain transaction, %.2f times bsdtar\n", c / r, c / b }'
