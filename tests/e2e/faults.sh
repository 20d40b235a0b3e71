#!/bin/bash
# Unlucky, not hostile: each stage of a build with each fault. Interrupted, killed, out of room, failing reads and writes,
# a clock set back, workers racing on one store, kernels that lack something. Every run ends with a verdict that blames
# nobody's package and leaves nothing; the next one gives the right bytes. Prints "ok NAME" or "not ok NAME" lines.
# A sample of the table, by KILN_SEED; all of it with KILN_FULL=1.
. "$(dirname "$0")/pipeline.bash"
in_private "$0"
KILN_CACHE=$(shared_cache)
export KILN_CACHE
fault=$(dirname "$kiln")/../../tests/e2e/fault.so
seed=${KILN_SEED:-1}
full=${KILN_FULL:-0}
RANDOM=$seed
mounts >"$work/mounts"

# Which of the lines of standard input: all, or some.
sample() { # HOW-MANY
        if [ "$full" = 1 ]; then cat; else shuf -n "$1" --random-source=<(yes "$seed"); fi
}

stages=(fetch source solve root buildreqs prep build install check package isa attest publish)
file=$({
        head_of faults 'BuildRequires: bzip2'
        printf '%%prep\ntrue\n%%generate_buildrequires\necho "bzip2 >= 0"\n%%build\nyes x | head -c 3000000 >big || :\nsleep 0.1\n'
        printf '%%install\nmkdir -p %%{buildroot}/usr/share/faults\ncp big %%{buildroot}/usr/share/faults/\n%%check\nls /usr/bin/bzip2\n'
        printf '%%files\n/usr/share/faults\n'
        tail_of
} | srpm faults)
verdict "without a fault" 0 OK '' "$file"
wanted=$(outputs "$last_out")
for stage in "${stages[@]}"; do
        grep -q "^$stage: started" "$work/log" || say 1 "the package passes stage $stage"
done

# One rebuild with a fault; then what must hold whatever happened. Statuses: what is allowed; 0 only with the right bytes.
faulty() { # NAME "STATUSES" COMMAND-PREFIX...
        local name=$1 allowed=$2 got=0 left bytes=
        shift 2
        out=$work/out-$RANDOM$RANDOM
        "$here/run-alone.py" "${at[@]}" "$work/log" "$@" "$kiln" rebuild -t e2e -o "$out" "$file" >"$work/stdout" || got=$?
        left=$(left_behind "$out")
        [ $got != 137 ] || left= # the next run sweeps
        [ $got != 0 ] || bytes=$(outputs "$out")
        if [[ " $allowed " == *" $got "* ]] && [ -z "$left" ] && { [ $got != 0 ] || [ "$bytes" = "$wanted" ]; }; then
                say 0 "$name"
        else
                printf '    exit status %s (allowed: %s), left: %s\n' "$got" "$allowed" "$left"
                tail -n 8 "$work/log" "$work/stdout" | sed 's/^/    /'
                say 1 "$name"
        fi
}

again() { # NAME: the same command without a fault, into the same directory
        local got=0
        "$kiln" rebuild -q -t e2e -o "$out" "$file" >"$work/log" 2>&1 || got=$?
        [ $got = 0 ] || tail -n 5 "$work/log" | sed 's/^/    /'
        is "$1" "0 $wanted " "$got $(outputs "$out") $(left_behind "$out")"
}

# So that stage root has something to do: the layers that this package alone has.
ls "$KILN_CACHE/layers" >"$work/layers"
remove_delta() {
        local layer
        for layer in "$KILN_CACHE"/layers/*; do
                [ "$(find "$layer/root" -maxdepth 3 2>/dev/null | head -n 400 | wc -l)" -ge 200 ] || "$work/remove" "$layer"
        done
}

# ---- Ctrl-C and power cuts
cases=$(for stage in "${stages[@]}"; do for signal in INT TERM KILL; do echo "$stage $signal"; done; done)
while read -r stage signal; do
        [ "$stage" != root ] || remove_delta
        at=(--at "^$stage: started" "$signal")
        if [ "$signal" = KILL ]; then
                faulty "kill -9 in stage $stage" "137"
                at=()
                again "  and the next run gives the same, and sweeps"
        else
                # Who is nearly done may finish.
                faulty "SIG$signal in stage $stage" "$(case $stage in isa | attest | publish) echo 0 8 ;; *) echo 8 ;; esac)"
        fi
done < <(sample 7 <<<"$cases")
at=()

# ---- a disk that is full or broken, at any one call of kiln's
remove_delta
touch "$work/since"
faulty "counting what can fail" 0 env LD_PRELOAD="$fault" KILN_FAULT="count=$work/count"
read -r room disk <"$work/count"
check "hundreds of calls can fail: $room need room, $disk use the disk" test "$room" -gt 100 -a "$disk" -gt "$room"
cases=$(for _ in {1..60}; do
        echo "ENOSPC=$((RANDOM % room + 1))"
        echo "EIO=$((RANDOM % disk + 1))"
done)
while read -r what; do
        faulty "$what of $room/$disk" "0 4" env LD_PRELOAD="$fault" KILN_FAULT="$what"
done < <(sample 8 <<<"$cases")
again "after all that, the same bytes"
check "and a sound store" store_is_sound "$work/since"

# ---- a file system that is full from some stage on
if [ -n "${KILN_PRIVATE:-}" ]; then
        shared=$KILN_CACHE
        mkdir "$work/small" "$work/narrow"
        mount -t tmpfs -o size=1g none "$work/small"
        mount -t tmpfs -o size=16m none "$work/narrow"
        mounts >"$work/mounts"
        KILN_CACHE=$work/small/cache
        mkdir "$KILN_CACHE"
        cp -r "$shared/store" "$KILN_CACHE/"
        out=$work/small-out
        again "a cache on a small file system"
        fill='fallocate -l "$(stat -f -c "%a*%S" "$0" | { IFS= read -r x; echo $((x)); })" "$0/fill"; cat /dev/zero >"$0/fill2"'
        bash -c "$fill" "$work/small" 2>/dev/null
        faulty "no room in the cache at all" 4
        rm "$work/small"/fill*
        while read -r stage; do
                [ "$stage" != root ] || remove_delta
                at=(--at "^$stage: started" "bash -c '$fill' '$work/small' 2>/dev/null")
                # The build goes on while the file system fills up: it may be faster, and must then be right.
                faulty "no room in the cache from stage $stage on" "0 4"
                rm -f "$work/small"/fill*
                at=()
                again "  and with room again it gives the same"
        done < <(printf '%s\n' "${stages[@]}" | sample 3)
        KILN_CACHE=$shared
        at=(--at "^check: started" "bash -c '$fill' '$work/narrow' 2>/dev/null")
        got=0
        "$here/run-alone.py" "${at[@]}" "$work/log" "$kiln" rebuild -t e2e -o "$work/narrow/out" "$file" >/dev/null || got=$?
        is "no room for the result" 4 "$got"
        check "  is said" grep -q 'No space left' "$work/log"
        is "  and nothing half-written is there" '' "$(find "$work/narrow/out" -type f)$(left_behind "$work/narrow/out")"
        at=()
        umount "$work/small" "$work/narrow"
        mounts >"$work/mounts"
else
        echo "    full file systems: only as root, who can mount small ones"
fi

# ---- a clock that goes backwards
for n in 1 3 $((RANDOM % 10 + 4)); do
        faulty "the clock goes back three days, at the ${n}th look" 0 env LD_PRELOAD="$fault" KILN_FAULT="clock=$n"
done

# ---- several workers and one store with nothing in it, of which one is killed
shared=$KILN_CACHE
KILN_CACHE=$work/race
mkdir "$KILN_CACHE"
ln -s "$bootstrap" "$KILN_CACHE/bootstrap"
touch "$work/since"
for n in 1 2 3; do
        kill=()
        [ $n != 2 ] || kill=(--at '^root: started' KILL)
        "$here/run-alone.py" "${kill[@]}" "$work/race-$n.log" "$kiln" rebuild -t e2e -o "$work/race-$n" "$file" >/dev/null &
        pids[n]=$!
done
for n in 1 2 3; do
        got=0
        wait "${pids[n]}" || got=$?
        if [ $n = 2 ]; then
                is "worker 2 of three is killed" 137 "$got"
        else
                is "worker $n of three on one empty store" "0 $wanted" "$got $(outputs "$work/race-$n")"
        fi
done
out=$work/race-2
again "and one more run gives the same and finds nothing of the killed one"
check "the store that they made together is sound" store_is_sound "$work/since"
"$work/remove" "$KILN_CACHE"
KILN_CACHE=$shared

# ---- kernels that lack what Kiln needs: refused, by name, with what to do
while read -r lack status regex; do
        faulty "$lack: refused" "$status" env LD_PRELOAD="$fault" KILN_FAULT="$lack"
        check "  and said what is missing" grep -qE "$regex" "$work/log"
done <<'END'
no-openat2 6 openat2
no-overlay 6 overlay kernel module
no-time-namespace 6 CONFIG_TIME_NS
no-user-namespace 6 max_user_namespaces
END
exit $failed
