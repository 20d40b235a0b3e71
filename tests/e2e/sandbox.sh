#!/bin/bash
# What is visible and what is denied inside `kiln sandbox`, and that nothing is left of it, for root, for an ordinary user
# with a range of subordinate ids, and for one without. Prints "ok NAME" or "not ok NAME" lines.
# Usage: KILN=.../kiln tests/e2e/sandbox.sh
set -u

kiln=$(realpath "${KILN:?the program to test}")
probe=$(dirname "$kiln")/../../tests/e2e/probe
tmp=$(mktemp -d /tmp/kiln-e2e-sandbox.XXXXXX)
chmod 755 "$tmp"
install -m 755 "$kiln" "$probe" "$tmp/" || exit 2
kiln=$tmp/kiln
probe=$tmp/probe
users=()

cleanup() {
        for user in "${users[@]}"; do userdel "$user"; done
        rm -rf "$tmp"
}
trap cleanup EXIT
failed=0

say() { # say STATUS NAME
        if [ "$1" = 0 ]; then echo "ok $2"; else
                echo "not ok $2"
                failed=1
        fi
}

is() { # is NAME WANTED GOT
        if [ "$2" = "$3" ]; then say 0 "$1"; else
                printf '    wanted <%s>, got <%s>\n' "$2" "$3"
                say 1 "$1"
        fi
}

namespaces=()
for name in user mnt pid net uts ipc cgroup time; do namespaces+=("$(readlink /proc/self/ns/$name)"); done

# as NAME COMMAND...: as that user, in an empty environment but for a secret
as() {
        local user=$1
        shift
        if [ "$user" = "$(id -un)" ]; then
                env -i PATH="$PATH" HOME="$tmp" KILN_PROBE_SECRET=1 "$@"
        else
                runuser -u "$user" -- env -i PATH="$PATH" HOME="$tmp" KILN_PROBE_SECRET=1 "$@"
        fi
}

probe_all() { # probe_all USER IDMODE
        local profile uid out
        for profile in install build check; do
                [ $profile = install ] && uid=0 || uid=1000
                out=$(as "$1" "$kiln" sandbox --idmode "$2" --profile $profile --uid $uid --cpus 1 --release 9.9.9-kiln \
                        --hostname box --ro-bind "$probe:/tmp/probe" \
                        /tmp/probe $profile $uid 1 9.9.9-kiln "${namespaces[@]}" 2>&1 8<"$tmp" 9<"$tmp")
                case $out in
                ok\ *) say 0 "$1, $2: the $profile profile ($out)" ;;
                *)
                        printf '%s\n' "$out"
                        say 1 "$1, $2: the $profile profile"
                        ;;
                esac
        done
}

# Processes of ours that still run, told by an argument nobody else has (a zombie has none: whose init does not reap is not ours).
left_behind() {
        pgrep -fc "^sleep $marker\$"
}
marker=98${$}7

endings() { # endings USER IDMODE
        local out mounts
        run() { as "$1" "$kiln" sandbox --idmode "$2" "${@:3}"; }
        out=$(run "$1" "$2" true)
        is "$1, $2: true" 0 $?
        run "$1" "$2" sh -c 'exit 9'
        is "$1, $2: exit status" 9 $?
        run "$1" "$2" sh -c 'kill -SEGV $$'
        is "$1, $2: killed by a signal" $((128 + 11)) $?
        run "$1" "$2" /no/such/program 2>/dev/null
        is "$1, $2: no such program" 127 $?
        run "$1" "$2" --wall 1 sleep 100 2>/dev/null
        is "$1, $2: wall limit" 5 $?
        out=$(echo in | run "$1" "$2" sh -c 'cat; echo out; echo err >&2' 2>&1 >/dev/null)
        is "$1, $2: error output stays apart" err "$out"
        mounts=$(wc -l </proc/self/mountinfo)
        as "$1" timeout --signal=TERM 1 "$kiln" sandbox --idmode "$2" sh -c "trap '' TERM INT HUP; setsid sleep $marker & sleep $marker"
        is "$1, $2: cancelled" 124 $?
        sleep 0.2
        is "$1, $2: nothing left of it" "0 $mounts" "$(left_behind) $(wc -l </proc/self/mountinfo)"
        as "$1" timeout --signal=KILL 1 "$kiln" sandbox --idmode "$2" sh -c "trap '' TERM INT HUP; setsid sleep $marker & sleep $marker"
        sleep 0.5
        is "$1, $2: killed, and nothing left" "0 $mounts" "$(left_behind) $(wc -l </proc/self/mountinfo)"
}

# A container inside the sandbox, as some test suites make: only with the check profile and an uncovered /proc.
nested() { # nested USER IDMODE
        local out
        out=$(as "$1" "$kiln" sandbox --idmode "$2" --profile check --nested \
                unshare --user --map-root-user --pid --fork --mount-proc sh -c 'echo $$' 2>&1)
        is "$1, $2: a nested container" 1 "$out"
        out=$(as "$1" "$kiln" sandbox --idmode "$2" --profile check --nested \
                unshare --user --map-root-user --mount sh -c 'mount -o remount,rw / 2>/dev/null; touch /usr/kiln-e2e 2>/dev/null || echo no')
        is "$1, $2: cannot make its root writable" no "$out"
        out=$(as "$1" "$kiln" sandbox --idmode "$2" --profile check sh -c 'strace -o /dev/null true 2>/dev/null || gdb --version >/dev/null 2>&1; echo done')
        is "$1, $2: the check profile runs" "done" "$out"
}

me=$(id -un)
modes=(single)
"$kiln" sandbox --idmode range true 2>/dev/null && modes=(range single)
for mode in "${modes[@]}"; do
        probe_all "$me" "$mode"
        endings "$me" "$mode"
        nested "$me" "$mode"
done
if [ "$(id -u)" = 0 ]; then
        with=kiln-e2e-$$a without=kiln-e2e-$$b
        for user in $with $without; do
                useradd --no-create-home --shell /bin/bash "$user" || exit 2
                users+=("$user")
        done
        grep -q "^$with:" /etc/subuid || usermod --add-subuids 1900000000-1900065535 --add-subgids 1900000000-1900065535 $with
        for file in uid gid; do # whatever login.defs gave it
                while IFS=: read -r name first count; do
                        [ "$name" != $without ] || usermod "--del-sub${file}s" "$first-$((first + count - 1))" $without
                done <"/etc/sub$file"
        done
        probe_all $with range
        endings $with range
        nested $with range
        probe_all $without auto
        endings $without auto
        nested $without auto
        out=$(as $without "$kiln" sandbox --idmode range true 2>&1)
        is "without a range: refused" 6 $?
        case $out in *usermod*) say 0 "without a range: says how to get one" ;; *) say 1 "without a range: says how to get one" ;; esac
fi
exit $failed
