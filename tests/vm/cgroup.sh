#!/bin/bash
# cgroup v2 limits, in a small virtual machine with a kernel of its own: what they enforce, report, and leave behind; and the
# sandbox's probe on that kernel. Needs qemu-system-x86, busybox-static, cpio and a Debian cloud kernel (a .deb in
# KILN_VM_KERNEL, else fetched with apt-get download; it is unpacked, not installed). Prints "ok NAME" or "not ok NAME".
# Usage: KILN=.../kiln tests/vm/cgroup.sh
set -eu -o pipefail

kiln=$(realpath "${KILN:?the program to test}")
probe=$(dirname "$kiln")/../../tests/e2e/probe
tmp=$(mktemp -d /tmp/kiln-vm.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
for tool in qemu-system-x86_64 busybox cpio dpkg-deb; do
        command -v $tool >/dev/null || { echo "not ok vm: $tool is not installed"; exit 2; }
done

kernel_deb=${KILN_VM_KERNEL:-}
if [ -z "$kernel_deb" ]; then
        package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
        (cd "$tmp" && apt-get download "$package" >/dev/null 2>&1)
        kernel_deb=$(echo "$tmp"/linux-image-*.deb)
fi
dpkg-deb --fsys-tarfile "$kernel_deb" | tar -x -C "$tmp" --wildcards './boot/vmlinuz-*'

root=$tmp/root
mkdir -p "$root"/{bin,dev,proc,sys,tmp,etc,root,new,lib64}
install -m 755 "$(command -v busybox)" "$root/bin/busybox"
install -m 755 "$kiln" "$probe" "$root/bin/"
ldd "$kiln" | grep -oE '/[^ ]+' | sort -u | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
done
printf 'root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nuser:x:1000:\n' >"$root/etc/group"

# The initramfs itself cannot be left with pivot_root: everything moves to a tmpfs first.
cat >"$root/init" <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
mount -t tmpfs -o mode=755 new /new
cp -a /bin /etc /lib* /usr /root /tests.sh /new/ 2>/dev/null
mkdir -p /new/dev /new/proc /new/sys /new/tmp /new/run
chmod 1777 /new/tmp
exec switch_root /new /bin/sh /tests.sh
END

cat >"$root/tests.sh" <<'END'
export PATH=/bin LC_ALL=C KILN_CACHE=/tmp/cache KILN_CONFIG=/tmp/config
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
chmod 666 /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty
is() { if [ "$2" = "$3" ]; then echo "ok $1"; else echo "not ok $1: wanted <$2>, got <$3>: $(cat /tmp/err)"; fi; }
has() { if grep -qE "$2" /tmp/err; then echo "ok $1"; else echo "not ok $1: $2: $(cat /tmp/err)"; fi; }
hasnot() { if grep -qE "$2" /tmp/err; then echo "not ok $1: $2: $(cat /tmp/err)"; else echo "ok $1"; fi; }
left() { ls -d "$1"/kiln-run-* 2>/dev/null | wc -l; }
hog='BEGIN { s = "x"; while (1) s = s s }'
limits() { # limits NAME DIR COMMAND...: the same for each kind of caller
        name=$1 dir=$2
        shift 2
        "$@" kiln sandbox --json --hard --memory 64M --pids 30 echo hello >/tmp/out 2>/tmp/err
        is "$name: runs in a cgroup" "0 hello" "$? $(cat /tmp/out)"
        has "$name: says so" '"cgroup":true'
        has "$name: peak memory" '"peakMemoryBytes":[1-9]'
        has "$name: peak processes" '"peakPids":[1-9]'
        "$@" kiln sandbox --json --hard --memory 64M awk "$hog" >/tmp/out 2>/tmp/err
        is "$name: memory limit" 5 $?
        has "$name: memory is named" '"name":"memory"'
        has "$name: memory is no guess" '"guessed":false'
        "$@" kiln sandbox --json --hard --memory 64M sh -c "awk '$hog'; echo survived" >/tmp/out 2>/tmp/err
        is "$name: the whole tree goes, not one process" "5 " "$? $(cat /tmp/out)"
        "$@" kiln sandbox --json --hard --pids 15 \
                sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 20 & done; exit 1' >/tmp/out 2>/tmp/err
        is "$name: process limit" 5 $?
        has "$name: processes are named" '"name":"pids"'
        "$@" kiln sandbox --json --cpu 4 \
                sh -c 'for i in 1 2 3 4 5 6; do (while :; do :; done) & done; wait' >/tmp/out 2>/tmp/err
        is "$name: CPU limit of the tree" 5 $?
        has "$name: CPU is named" '"name":"cpu"'
        "$@" kiln sandbox --json --memory 64M --wall 1 sh -c 'trap "" TERM; sleep 100 & sleep 100' >/tmp/out 2>/tmp/err
        is "$name: wall limit" 5 $?
        is "$name: no cgroup is left" 0 "$(left "$dir")"
        is "$name: no process is left" "" "$(pgrep -x sleep; pgrep -x awk)"
}
cat >/bin/setuidgid <<'EOF'
#!/bin/sh
user=$1
shift
exec su -p -s /bin/sh -- "$user" -c 'exec "$@"' sh "$@"
EOF
chmod 755 /bin/setuidgid
echo
limits root /sys/fs/cgroup env
chmod 755 /root
# an ordinary user with a delegated cgroup, alone in it; no range of ids
mkdir /sys/fs/cgroup/delegated
for file in . cgroup.procs cgroup.subtree_control cgroup.threads; do chown user /sys/fs/cgroup/delegated/$file; done
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
as-user kiln sandbox --hard --memory 64M --pids 30 --profile check --nested probe cgroup >/tmp/out 2>/tmp/err
is "user: a nested cgroup mount reaches no limit: $(cat /tmp/out)" 0 $?
is "user: and leaves no cgroup" 0 "$(left /sys/fs/cgroup/delegated)"
setuidgid user kiln sandbox --hard --memory 64M true >/tmp/out 2>/tmp/err
is "user without a cgroup: hard limits are refused" 6 $?
has "user without a cgroup: says how to get one" 'Delegate=yes'
setuidgid user kiln sandbox --json --memory 64M true >/tmp/out 2>/tmp/err
is "user without a cgroup: soft limits run" 0 $?
has "user without a cgroup: and are reported as not enforced" '"cgroup":false'
namespaces=$(for n in user mnt pid net uts ipc cgroup time; do readlink /proc/self/ns/$n; done)
for profile in build check install; do
        uid=1000
        [ $profile != install ] || uid=0
        for as in env "setuidgid user"; do
                $as kiln sandbox --profile $profile --uid $uid --cpus 1 --release 9.9.9-kiln --hostname box \
                        probe $profile $uid 1 9.9.9-kiln $namespaces >/tmp/out 2>/tmp/err
                is "probe on $(uname -r), $profile, $as" 0 $?
                grep FAIL /tmp/out
        done
done
echo "the end"
poweroff -f
END
chmod 755 "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$tmp/initramfs.gz"

timeout 900 qemu-system-x86_64 -accel tcg -cpu max -smp 2 -m 1024 -nographic -no-reboot -nic none \
        -kernel "$tmp"/boot/vmlinuz-* -initrd "$tmp/initramfs.gz" \
        -append "console=ttyS0 panic=-1 quiet rdinit=/init" </dev/null | stdbuf -oL tr -d '\r' | tee "$tmp/console" |
        grep --line-buffered -E '^(ok|not ok|FAIL) ' || true
grep -q '^the end' "$tmp/console" || { tail -n 20 "$tmp/console"; echo "not ok the virtual machine ran to the end"; exit 1; }
! grep -q '^not ok ' "$tmp/console"
