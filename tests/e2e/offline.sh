#!/bin/bash
# A request is enough, and no cache is needed or believed: offline builds with a lock, changed and damaged inputs, caches
# that go away before and during a build, two builds on one cache, and a power cut. Prints "ok NAME" or "not ok NAME" lines.
. "$(dirname "$0")/pipeline.bash"
export KILN_CACHE=$work/cache
mkdir -p "$KILN_CACHE"
ln -s "$bootstrap" "$KILN_CACHE/bootstrap"

# outputs(): a pinned lock is another request, with SBOMs of another name; the packages are the same.

good=$({ head_of offline 'BuildRequires: bzip2'; printf '%%build\nbzip2 --version 2>&1 | head -n 1\n%%files\n'; tail_of; } | srpm offline)
verdict "a first build, from nothing" 0 OK '' "$good"
first=$last_out
lock=$first/lock.json
wanted=$(outputs "$first")

verdict "offline with its lock" 0 OK '' "$good" --offline --lock "$lock"
is "  gives the same" "$wanted" "$(outputs "$last_out")"
rm -rf "$KILN_CACHE/metadata" "$KILN_CACHE/solv" "$KILN_CACHE/facts"
verdict "offline with its lock, without metadata" 0 OK '' "$good" --offline --lock "$lock"
is "  gives the same" "$wanted" "$(outputs "$last_out")"
verdict "without metadata, solved again" 0 OK '' "$good"
is "  gives the same" "$wanted" "$(outputs "$last_out")"

# ---- a lock that names other bytes
sha=$(jq -r '[.packages[] | select(.nevra | startswith("bzip2-"))][0].sha256' "$lock")
jq --arg sha "$sha" '(.packages[] | select(.sha256 == $sha)).sha256 |= (.[1:] + "0")' "$lock" >"$work/other.json"
verdict "a lock with another digest is not built" 4 INFRA 'bzip2' "$good" --lock "$work/other.json"
verdict "  nor offline" 4 INFRA 'bzip2' "$good" --offline --lock "$work/other.json"
jq '.packages |= .[1:]' "$lock" >"$work/short.json"
got=0
"$kiln" rebuild -q -t e2e -o "$work/short" --lock "$work/short.json" "$good" >"$work/log" 2>&1 || got=$?
check "a lock that lacks a package gives no package" test "$got" != 0 -a ! -e "$work/short/offline-1-1.noarch.rpm"

# ---- a damaged store, and layers that must be made again from it
stored=$KILN_CACHE/store/sha256/${sha:0:2}/${sha:2:2}/$sha
flip() {
        chmod u+w "$stored"
        printf '\x55\xaa' | dd of="$stored" bs=1 seek=$(($(stat -c %s "$stored") / 2)) conv=notrunc status=none
}
flip
remove_layers() {
        "$work/remove" "$KILN_CACHE/layers"
}
remove_layers
verdict "one flipped byte in a stored package, and no layer" 0 OK 'damaged' "$good" --lock "$lock"
is "  gives the same" "$wanted" "$(outputs "$last_out")"
check "  with sound bytes in the store" sha256sum --status --check <<<"$sha  $stored"

# ---- caches that go away while a build runs: the same result, or a clean verdict that blames nobody's package
slow=$({ head_of slow; printf '%%build\nsleep 3\nls /usr/lib/rpm/* >/dev/null\n%%install\nmkdir -p %%{buildroot}/usr/share/slow\nls /usr/bin >%%{buildroot}/usr/share/slow/list\n%%files\n/usr/share/slow\n'; tail_of; } | srpm slow)
verdict "another package" 0 OK '' "$slow"
wanted_slow=$(outputs "$last_out")
for what in store metadata layers build; do
        out=$work/gone-$what
        got=0
        "$here/run-alone.py" --at '^build: started' "$work/remove $KILN_CACHE/$what" "$work/log" \
                "$kiln" rebuild -t e2e -o "$out" "$slow" >/dev/null || got=$?
        case $got in
        0) is "deleting $what in %build gives the right result" "$wanted_slow" "$(outputs "$out")" ;;
        4) is "deleting $what in %build gives a clean verdict" INFRA "$(jq -r .verdict "$out/result.json")" ;;
        *)
                tail -n 3 "$work/log" | sed 's/^/    /'
                say 1 "deleting $what in %build (exit status $got)"
                ;;
        esac
        is "  and leaves nothing" '' "$(left_behind "$out")"
done
verdict "the next build after all that" 0 OK '' "$slow"
is "  gives the same" "$wanted_slow" "$(outputs "$last_out")"

# ---- half a layer, as an interrupted rm leaves it, is not built with
"$work/remove" "$KILN_CACHE"/layers/*/root/usr/share
got=0
"$kiln" rebuild -q -t e2e -o "$work/half" "$slow" >"$work/log" 2>&1 || got=$?
[ $got = 4 ] && {
        got=0
        "$kiln" rebuild -q -t e2e -o "$work/half" "$slow" >"$work/log" 2>&1 || got=$?
}
is "half a layer heals" "0 $wanted_slow" "$got $(outputs "$work/half")"

# ---- two on one cache, with no layer yet
remove_layers
for n in 1 2; do
        "$kiln" rebuild -q -t e2e -o "$work/race-$n" "$slow" >"$work/race-$n.log" 2>&1 &
done
wait
for n in 1 2; do is "build $n of two at once" "$wanted_slow" "$(outputs "$work/race-$n")"; done

# ---- a power cut
for phase in root build; do
        [ $phase = build ] || remove_layers
        got=0
        "$here/run-alone.py" --at "^$phase: started" 'KILL' "$work/log" "$kiln" rebuild -t e2e -o "$work/cut-$phase" "$slow" >/dev/null || got=$?
        is "kill -9 in phase $phase leaves no process" 137 "$got"
        verdict "  and the next run works" 0 OK '' "$slow"
        is "  and gives the same" "$wanted_slow" "$(outputs "$last_out")"
        got=0
        "$kiln" rebuild -q -t e2e -o "$work/cut-$phase" "$slow" >"$work/log" 2>&1 || got=$?
        is "  and one into the same directory sweeps it" "0 " "$got $(left_behind "$work/cut-$phase")"
done
exit $failed
