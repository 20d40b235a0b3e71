#!/bin/bash
# kiln cache gc takes nothing from who is at work in the cache (neither stored files nor layers), takes everything once nobody
# is, and what a killed run left as well. Prints "ok NAME" or "not ok NAME" lines.
# shellcheck disable=SC2016,SC2034 # what check evaluates
. "$(dirname "$0")/pipeline.bash"
# What is collected here must be nobody else's: the toolchain is small, the layer is made in some seconds.
export KILN_CACHE=$work/cache

file=$({
        head_of kept
        printf '%%files\n'
        tail_of
} | srpm kept)

# Somebody who is at work: a shell in the build root that says when it is there, and ends when it is told to.
mkfifo "$work/say"
start() {
        rm -f "$work/there"
        "$kiln" shell -t e2e "$file" sh -c 'echo there; read -r word; rpm -q bash && echo "$word"' \
                <"$work/say" >"$work/there" 2>"$work/log" &
        pid=$!
        exec 5>"$work/say"
        until grep -qs there "$work/there"; do
                kill -0 "$pid" 2>/dev/null || { sed 's/^/    /' "$work/log"; return 1; }
                sleep 0.2
        done
}
amount() { "$kiln" cache stat --json | jq -r '"\(.storeFiles) \(.layers)"'; }
gc() { "$kiln" cache gc --quota 0 --json >"$work/gc" 2>"$work/log" || sed 's/^/    /' "$work/log"; }

check "a build root is made and worked in" start
before=$(amount)
check "  the cache has files and a layer then" eval '[ "${before% *}" -gt 20 ] && [ "${before#* }" = 1 ]'
check "  whose sizes are told" eval '"$kiln" cache stat --json | jq -e ".storeBytes > 10000000 and .layerBytes > 50000000" >"$work/said"'
gc
is "gc frees nothing of it" "$before" "$(amount)"
is "  and says so" 0 "$(jq .freedBytes "$work/gc")"
echo ready >&5
got=0
wait "$pid" || got=$?
exec 5>&-
is "the work goes on in a root that is whole" "0 there bash ready" "$got $(sed 's/^bash-.*/bash/' "$work/there" | xargs)"
gc
is "nobody at work: gc leaves nothing" "0 0" "$(amount)"
check "  and tells how much it freed" jq -e '.freedBytes > 1000000 and .storeBytes == 0 and .layerBytes == 0' "$work/gc" >"$work/said"

# The kernel ends a lease with its holder, however that ended.
check "another one is made and worked in" start
scratch=$(ls "$KILN_CACHE/build")
{ kill -KILL "$pid" && wait "$pid"; } 2>/dev/null
exec 5>&-
is "a killed one leaves its lease behind" 1 "$(find "$KILN_CACHE/store/lease" -type f | wc -l)"
gc
is "gc heeds it no longer" "0 0" "$(amount)"
is "  and removes it" 0 "$(find "$KILN_CACHE/store/lease" -type f | wc -l)"

# What it had of a build directory the next build sweeps.
verdict "the next build makes all of it again" 0 OK '' "$file"
check "  and sweeps what the killed one built in" eval '[ -n "$scratch" ] && [ ! -e "$KILN_CACHE/build/$scratch" ]'

# As much as the quota says stays: layers give way first, since they can be made from what is stored.
bytes=$("$kiln" cache stat --json | jq .storeBytes)
"$kiln" cache gc --quota "$bytes" --json >"$work/gc"
is "a quota for the files alone takes the layers and leaves the files" "0 $bytes" "$(jq -r '"\(.layers) \(.storeBytes)"' "$work/gc")"

# A second build of --check-reproducible has its root for other ids: nobody of the map that is found first can read there.
if [ "$(id -u)" = 0 ]; then
        gc
        other=$KILN_CACHE/layers/$(printf '%064d' 7)
        mkdir -p "$other/root/closed"
        head -c 3000000 /dev/urandom >"$other/root/closed/file"
        touch "$other/lease"
        chmod 550 "$other/root/closed"
        chown -R 65534:65534 "$other/root"
        check "root: a layer of other ids is measured" eval '"$kiln" cache stat --json | jq -e ".layers == 1 and .layerBytes > 3000000" >"$work/said"'
        "$kiln" cache gc --quota 1M --json >"$work/gc"
        check "  and counts for the quota" eval '[ ! -e "$other" ] && jq -e ".freedBytes > 3000000 and .layers == 0" "$work/gc" >"$work/said"'
fi
exit $failed
