#!/bin/sh
# The bare sandbox in a cgroup, and the sandbox's probe on this kernel: inside the virtual machine that cgroup.sh starts.
export KILN_CACHE=/run/cache KILN_CONFIG=/run/config
is() { if [ "$2" = "$3" ]; then echo "ok $1"; else echo "not ok $1: wanted <$2>, got <$3>: $(cat /run/err)"; fi; }
has() { if grep -qE "$2" /run/err; then echo "ok $1"; else echo "not ok $1: $2: $(cat /run/err)"; fi; }
hasnot() { if grep -qE "$2" /run/err; then echo "not ok $1: $2: $(cat /run/err)"; else echo "ok $1"; fi; }
left() { ls -d "$1"/kiln-run-* 2>/dev/null | wc -l; }
hog='BEGIN { s = "x"; while (1) s = s s }'
limits() { # limits NAME DIR COMMAND...: the same for each kind of caller
        name=$1 dir=$2
        shift 2
        "$@" kiln sandbox --json --hard --memory 64M --pids 30 echo hello >/run/out 2>/run/err
        is "$name: runs in a cgroup" "0 hello" "$? $(cat /run/out)"
        has "$name: says so" '"cgroup":true'
        has "$name: peak memory" '"peakMemoryBytes":[1-9]'
        has "$name: peak processes" '"peakPids":[1-9]'
        "$@" kiln sandbox --json --hard --memory 64M awk "$hog" >/run/out 2>/run/err
        is "$name: memory limit" 5 $?
        has "$name: memory is named" '"name":"memory"'
        has "$name: memory is no guess" '"guessed":false'
        "$@" kiln sandbox --json --hard --memory 64M sh -c "awk '$hog'; echo survived" >/run/out 2>/run/err
        is "$name: the whole tree goes, not one process" "5 " "$? $(cat /run/out)"
        "$@" kiln sandbox --json --hard --pids 15 \
                sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 20 & done; exit 1' >/run/out 2>/run/err
        is "$name: process limit" 5 $?
        has "$name: processes are named" '"name":"pids"'
        "$@" kiln sandbox --json --pids 15 --wall 3 \
                sh -c '(for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 20 & done); exec sleep 20' >/run/out 2>/run/err
        has "$name: processes are named, also when the time is over first" '"name":"pids"'
        "$@" kiln sandbox --json --cpu 4 \
                sh -c 'for i in 1 2 3 4 5 6; do (while :; do :; done) & done; wait' >/run/out 2>/run/err
        is "$name: CPU limit of the tree" 5 $?
        has "$name: CPU is named" '"name":"cpu"'
        "$@" kiln sandbox --json --memory 64M --wall 5 sh -c 'trap "" TERM; sleep 100 & sleep 100' >/run/out 2>/run/err
        is "$name: wall limit" 5 $?
        "$@" kiln sandbox sh -c '(setsid sh -c "trap \"\" TERM HUP; (sleep 100) & sleep 100" &); sleep 1' >/run/out 2>/run/err
        is "$name: daemons do not outlive it" 0 $?
        "$@" kiln sandbox --cpus 1 sleep 3 >/run/out 2>/run/err &
        until quota=$(cat "$dir"/kiln-run-*/cpu.max 2>/dev/null) || [ -z "$(jobs)" ]; do sleep 0.1; done
        is "$name: the quota of the CPUs" "100000 100000" "$quota"
        wait
        is "$name: no cgroup is left" 0 "$(left "$dir")"
        is "$name: no process is left" "" "$(pgrep -x sleep; pgrep -x awk)"
}
limits root /sys/fs/cgroup env
# an ordinary user with a delegated cgroup, alone in it; no range of ids
cat >/bin/as-user <<'EOF'
#!/bin/sh
# each run starts alone in the delegated cgroup, as from systemd-run --scope -p Delegate=yes
for sub in /sys/fs/cgroup/delegated/*/; do [ -d "$sub" ] && rmdir "$sub"; done
echo '-memory -pids -cpu -io' >/sys/fs/cgroup/delegated/cgroup.subtree_control 2>/dev/null
echo $$ >/sys/fs/cgroup/delegated/cgroup.procs || exit 99
exec setuidgid user "$@"
EOF
chmod 755 /bin/as-user
limits user /sys/fs/cgroup/delegated as-user
as-user kiln sandbox --hard --memory 64M --pids 30 --profile check --nested probe cgroup >/run/out 2>/run/err
is "user: a nested cgroup mount reaches no limit: $(cat /run/out)" 0 $?
is "user: and leaves no cgroup" 0 "$(left /sys/fs/cgroup/delegated)"
setuidgid user kiln sandbox --hard --memory 64M true >/run/out 2>/run/err
is "user without a cgroup: hard limits are refused" 6 $?
has "user without a cgroup: says how to get one" 'Delegate=yes'
setuidgid user kiln sandbox --json --memory 64M true >/run/out 2>/run/err
is "user without a cgroup: soft limits run" 0 $?
has "user without a cgroup: and are reported as not enforced" '"cgroup":false'
namespaces=$(for n in user mnt pid net uts ipc cgroup time; do readlink /proc/self/ns/$n; done)
for profile in build check install; do
        uid=1000
        [ $profile != install ] || uid=0
        for as in env "setuidgid user"; do
                $as kiln sandbox --profile $profile --uid $uid --cpus 1 --release 9.9.9-kiln --hostname box \
                        probe $profile $uid 1 9.9.9-kiln $namespaces >/run/out 2>/run/err
                is "probe on $(uname -r), $profile, $as" 0 $?
                grep FAIL /run/out
        done
done
