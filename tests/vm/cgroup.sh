#!/bin/bash
# What cgroup v2 limits enforce, report and leave behind, in a small virtual machine with a kernel of its own: of the bare
# sandbox (sandbox.sh, with the sandbox's probe on that kernel) and of whole builds that are hostile (rebuild.sh), each as
# root and as an ordinary user. Needs qemu-system-x86, busybox-static, cpio, e2fsprogs and a Debian cloud kernel (a .deb in
# KILN_VM_KERNEL, else fetched with apt-get download; it is unpacked, not installed). Prints "ok NAME" or "not ok NAME".
# Usage: KILN=.../kiln tests/vm/cgroup.sh
. "$(dirname "$0")/../e2e/pipeline.bash"
set -e -o pipefail
PATH=/usr/bin:$PATH:/usr/sbin:/sbin # the system's own python3; mkfs.ext4, for ordinary users
vm=$here/../vm
build=$(realpath "$(dirname "$kiln")/../..")
for tool in qemu-system-x86_64 busybox cpio dpkg-deb mkfs.ext4; do
        command -v $tool >/dev/null || { echo "not ok vm: $tool is not installed"; exit 2; }
done

kernel_deb=${KILN_VM_KERNEL:-}
if [ -z "$kernel_deb" ]; then
        package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
        (cd "$work" && apt-get download "$package" >/dev/null 2>&1)
        kernel_deb=$(echo "$work"/linux-image-*.deb)
fi
mkdir "$work/kernel"
dpkg-deb --fsys-tarfile "$kernel_deb" | tar -x -C "$work/kernel" --wildcards './boot/vmlinuz-*' '*/overlay.ko*'

# ---- the machine's system: busybox, what pipeline.bash needs besides, and Kiln as it is installed
root=$work/root
mkdir -p "$root"/{bin,dev,proc,sys,tmp,var/tmp,etc,root,run,usr/bin} "$root"/srv/{srpm,bootstrap/repo,kiln/tests}
chmod 1777 "$root/tmp" "$root/var/tmp"
install -m 755 "$(command -v busybox)" "$root/bin/busybox"
programs=$build/tests/e2e/probe
for tool in bash jq python3 zstd realpath find grep sed newuidmap newgidmap; do programs+=" $(realpath "$(command -v $tool)")"; done
# shellcheck disable=SC2086 # a list
install -m 755 $programs "$root/usr/bin/"
chmod 4755 "$root"/usr/bin/new?idmap
ln -s "$(basename "$(realpath "$(command -v python3)")")" "$root/usr/bin/python3"
ln -s ../usr/bin/bash "$root/bin/bash"
ln -s ../../bin/busybox "$root/usr/bin/env"
python=$(python3 -c 'import os; print(os.path.dirname(os.__file__))')
mkdir -p "$root$python"
tar -c -C "$python" --exclude=./{test,dist-packages,site-packages,idlelib,ensurepip,tkinter,pydoc_data} . | tar -x -C "$root$python"
meson install -C "$build" --no-rebuild --quiet --destdir "$root"
installed=$(find "$root" -path '*/bin/kiln' -printf '%P\n')
{ find "$root/usr" -type f \( -perm -100 -o -name '*.so' \) -exec ldd {} + 2>/dev/null || true; } | grep -oE '/[^ :]+ \(' | tr -d ' (' | sort -u |
        while read -r library; do
                mkdir -p "$root$(dirname "$library")"
                cp -L "$library" "$root$library"
        done
printf 'root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nuser:x:1000:\n' >"$root/etc/group"
cp -r "$here" "$vm" "$root/srv/kiln/tests/"

# ---- source packages, and as much of the repository as they need
add() { # NAME SECTION COMMANDS
        last=$(builds "$@")
        cp "$last" "$root/srv/srpm/$1"
}
add processes %prep 'f() { f | f & }; f; sleep 5; exit 1'
add memory %build 'head -c 250000000 /dev/zero | tail -c 249000000 | wc -c || true'
add tree-memory %build 'for i in 1 2 3 4 5 6; do head -c 40000000 /dev/zero | tail -c 39000000 >/dev/null & done; wait'
add daemon %build "(setsid bash -c 'trap \"\" TERM HUP; (while :; do sleep 4646; done) & echo >lives; exec sleep 4646' >/dev/null 2>&1 </dev/null &)
until [ -s lives ]; do sleep 0.2; done"
add deaf %build 'trap "" TERM INT HUP; sleep 4646 & while :; do sleep 4646; done'
cp -r "$bootstrap"/{keys,toolchain.toml} "$root/srv/bootstrap/"
cp -r "$bootstrap/repo/repodata" "$root/srv/bootstrap/repo/"
KILN_CACHE=$(shared_cache) "$kiln" lock -t e2e "$last" | jq -r '.packages[].location' | while read -r package; do
        cp "$bootstrap/repo/$package" "$root/srv/bootstrap/repo/"
done

# ---- two disks: a file system that overlays work on, and what is to be put there
cat >"$root/root/main.sh" <<END
export PATH=/$(dirname "$installed"):/usr/bin:/bin LC_ALL=C
. /srv/kiln/tests/vm/main.sh
END
mkdir -p "$work/first"/{bin,dev,new}
install -m 755 "$(command -v busybox)" "$work/first/bin/"
install -m 755 "$vm/init" "$work/first/init"
find "$work/kernel" -name 'overlay.ko*' -exec cp {} "$work/first/" \;
[ ! -e "$work/first/overlay.ko.xz" ] || xz -d "$work/first/overlay.ko.xz"
archive() { # DIRECTORY
        (cd "$1" && find . | cpio -o -H newc --quiet -R 0:0)
}
archive "$work/first" | gzip -1 >"$work/initramfs.gz"
archive "$root" >"$work/system.img"
truncate -s %4096 "$work/system.img"
truncate -s 4G "$work/disk.img"
mkfs.ext4 -q "$work/disk.img"

# no_timer_check: an emulated timer is late on a busy machine, and the kernel gives up for that
timeout 2400 qemu-system-x86_64 -accel tcg -cpu max -smp 2 -m 1536 -nographic -no-reboot -nic none \
        -drive file="$work/disk.img",if=none,format=raw,cache=unsafe,id=disk -device nvme,drive=disk,serial=disk \
        -drive file="$work/system.img",if=none,format=raw,readonly=on,id=system -device nvme,drive=system,serial=system \
        -kernel "$work"/kernel/boot/vmlinuz-* -initrd "$work/initramfs.gz" \
        -append "console=ttyS0 panic=-1 quiet no_timer_check rdinit=/init" </dev/null | stdbuf -oL tr -d '\r' | tee "$work/console" |
        grep --line-buffered -E '^(ok|not ok|FAIL|   ) ' || true
grep -q '^the end' "$work/console" || { tail -n 20 "$work/console"; echo "not ok the virtual machine ran to the end"; exit 1; }
! grep -q '^not ok ' "$work/console"
