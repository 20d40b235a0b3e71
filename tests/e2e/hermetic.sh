#!/bin/bash
# Nothing unpinned gets in, nothing gets out: what a hostile package can see and reach from %(...), %build and %check, as
# the caller and, when that is root, as users with and without a range of subordinate ids. Prints "ok NAME" or
# "not ok NAME" lines.
. "$(dirname "$0")/pipeline.bash"
chmod 755 "$work"

# Each finding is a line "FINDING text" in the build log; a package that finds nothing builds.
cat >"$work/s/probe" <<'END'
# Sourced by %build and %check.
find() { echo "FINDING $probe: $*"; found=1; }
found=0

# network
for host in 127.0.0.1 169.254.169.254 10.0.0.1 192.0.2.1; do
        (timeout 2 bash -c ": >/dev/tcp/$host/@PORT@") 2>/dev/null && find "connected to $host"
done
[ "$(sed -n '3,$p' /proc/net/dev | grep -vc ' lo:\| *lo:')" = 0 ] || find "network interfaces: $(cat /proc/net/dev)"
grep -q '@kiln-e2e' /proc/net/unix 2>/dev/null && find "the host's abstract sockets"

# files of the host
for path in "@WORK@" "@CONFIG@" /root/.ssh /home/* /etc/shadow- /work /var/lib/dpkg /.dockerenv /etc/subuid /etc/machine-id.host; do
        [ -e "$path" ] && [ "$path" != "/home/*" ] && case $path in /var/lib/dpkg) [ -s $path/status ] && find "$path" ;; *) find "$path" ;; esac
done
grep -raslF -e '@SECRET@' / --exclude-dir=proc --exclude-dir=sys --exclude-dir=build --include='*' --one-file-system 2>/dev/null | head -n 3 |
        while read -r f; do echo "FINDING $probe: the secret in $f"; done
[ -n "$(grep -asl KILN_ /proc/[0-9]*/environ 2>/dev/null)" ] && find "an environment: $(tr '\0' ' ' </proc/self/environ)"
env | grep -q '^KILN_\|@SECRET@' && find "an environment variable"

# processes and descriptors of the host
for p in /proc/[0-9]*; do
        case $(tr '\0' ' ' <"$p/cmdline" 2>/dev/null) in *"@VICTIM@"*) find "the host's process $p" ;; esac
        for fd in "$p"/fd/*; do
                case $(readlink "$fd") in
                *"@WORK@"* | *"@CONFIG@"* | *keys* | *store/sha256*) find "$fd -> $(readlink "$fd")" ;;
                esac
        done
done 2>/dev/null
kill -0 @VICTIMPID@ 2>/dev/null && [ "$(tr '\0' ' ' </proc/@VICTIMPID@/cmdline)" = "@VICTIM@ " ] && find "a signal to the host"
(head -c 1 /proc/1/mem >/dev/null) 2>/dev/null && find "PID 1's memory"

# who and where
[ "$(id -u)" != 0 ] && [ "$EUID" != 0 ] || find "uid $(id -u)"
[ "$(id -u)" = 1000 ] || find "uid $(id -u)"
[ "$(hostname)" = localhost ] || find "hostname $(hostname)"
[ "$(uname -n)" = localhost ] || find "uname -n $(uname -n)"
[ "$(uname -r)" != "@RELEASE@" ] || find "the host's kernel release"
[ "$(nproc)/$(getconf _NPROCESSORS_ONLN)" = 1/1 ] || find "nproc $(nproc), getconf $(getconf _NPROCESSORS_ONLN)"
[ "$LANG/$TZ/$HOME/$(umask)" = "C.UTF-8/UTC//builddir/0022" ] || find "LANG, TZ, HOME, umask: $LANG/$TZ/$HOME/$(umask)"
[ "$(grep -c . /etc/machine-id 2>/dev/null)" = 0 ] || [ "$(cat /etc/machine-id)" != "@MACHINE@" ] || find "the host's machine-id"

# what can be written
for dir in / /usr /usr/bin /usr/lib /etc /var /var/lib /var/lib/rpm /root /opt /boot /home /run /proc/sys/kernel /sys/kernel; do
        (: >"$dir/kiln-probe") 2>/dev/null && find "wrote $dir"
        rm -f "$dir/kiln-probe" 2>/dev/null || :
done
for file in /usr/bin/true /etc/passwd /usr/lib/rpm/macros /proc/sysrq-trigger /proc/sys/kernel/core_pattern /sys/kernel/uevent_helper; do
        [ -w "$file" ] && (: >>"$file") 2>/dev/null && find "can write $file"
done
chmod 777 /usr 2>/dev/null && find "chmod /usr"
for dir in /tmp /var/tmp "$HOME" "$PWD"; do (: >"$dir/ok" && rm "$dir/ok") || find "cannot write $dir"; done
mount -t tmpfs none /usr 2>/dev/null && find "mounted over /usr"
mknod "$PWD/null" c 1 3 2>/dev/null && find "made a device"
mount -o remount,rw / 2>/dev/null && find "remounted /"
# A nested user namespace gives nothing of the outer one.
unshare -Ur bash -c 'mount -o remount,rw / && : >/usr/kiln-probe' 2>/dev/null && find "remounted / in a namespace"

# left for the killer
(trap '' HUP TERM INT; setsid sleep 4242 >/dev/null 2>&1 </dev/null &)
[ $found = 0 ]
END

{
        head_of hostile 'Source0: probe'
        cat <<'END'
%global parsed %(echo parsed-as-$(id -u)-$(hostname); touch @WORK@/parsed /tmp/kiln-e2e-parsed-@MARK@ 2>/dev/null)
%build
echo "PARSED %{parsed}"
probe=build; . %{SOURCE0}
mkfifo never
setsid bash -c 'echo $$ >bomb; for i in {1..400}; do sleep 600 & done' 2>/dev/null &
read -r -t 3 <>never || :
set -- /proc/[0-9]*
kill -9 -- -$(<bomb)
echo "BOMB $#"
%check
probe=check; . %{SOURCE0}
%files
END
        tail_of
} >"$work/s/hostile.in"

secret=kiln-e2e-secret-$RANDOM$RANDOM
mark=$RANDOM$RANDOM
echo "$secret" >"$work/secret"
# A server on the host's loopback and one with an abstract name, and a process with the secret in its environment.
KILN_E2E_SECRET=$secret python3 - "$work/port" <<'END' &
import socket, sys, time
tcp = socket.create_server(("127.0.0.1", 0)); unix = socket.socket(socket.AF_UNIX); unix.bind("\0kiln-e2e"); unix.listen()
open(sys.argv[1], "w").write(str(tcp.getsockname()[1])); time.sleep(600)
END
server=$!
sleep 601 &
victim=$!
users=()
stop() {
        kill $server $victim 2>/dev/null
        for u in "${users[@]}"; do userdel "$u"; done
        finish
}
trap stop EXIT
for _ in $(seq 50); do [ -s "$work/port" ] && break; sleep 0.1; done

# What a user needs is below a directory of its own: program, definitions, keys, caches.
hermetic() { # USER LABEL ID-MODE
        local user=$1 label=$2 mode=$3 own=$work/u-$1-$3-cache out log got=0
        mkdir -p "$own/config"
        cp -r "$work/config/toolchains" "$own/config/"
        ln -s "$bootstrap" "$own/bootstrap"
        # The checkout may be out of this user's reach.
        install -m 755 "$kiln" "$here/run-alone.py" "$own/"
        install -D -m 755 "$(dirname "$kiln")/whole/kiln" "$own/whole/kiln"
        cp -r "$work/s/hostile-1-1.src.rpm" "$own/"
        [ "$user" = "$(id -un)" ] || chown -R "$user:" "$own"
        out=$own/out
        local command=(env -i PATH="$PATH" HOME="$own" KILN_CACHE="$own" KILN_CONFIG="$own/config" KILN_E2E="$secret" LANG=C.UTF-8
                "$own/run-alone.py" "$own/log" "$own/kiln" rebuild -t e2e -o "$out" --processes 150 --cpus 1 "$own/hostile-1-1.src.rpm")
        if [ "$user" = "$(id -un)" ]; then
                "${command[@]}" >/dev/null || got=$?
        else
                (cd / && exec runuser -u "$user" -- "${command[@]}") >/dev/null || got=$?
        fi
        log=$(zstd -dc "$out/build.log.zst" 2>/dev/null)
        is "$label: a hostile package finds and reaches nothing" "0 " "$got $(grep '^FINDING' <<<"$log")"
        [ "$got" = 0 ] || tail -n 15 "$own/log" | sed 's/^/    /'
        is "$label: id mode" "$mode" "$(jq -r .idMode "$out/result.json")"
        is "$label: %(...) ran inside only, as the build's user" "PARSED parsed-as-1000-localhost" "$(grep -a '^PARSED' <<<"$log")"
        check "$label: what %(...) made is not on the host" test ! -e "$work/parsed" -a ! -e "/tmp/kiln-e2e-parsed-$mark"
        is "$label: a fork bomb ends at the process limit" yes "$(n=$(sed -n 's/^BOMB //p' <<<"$log")
                [ "${n:-0}" -gt 50 ] && [ "$n" -lt 160 ] && echo yes || echo "$n processes")"
        is "$label: nothing is left" '' "$(KILN_CACHE=$own left_behind "$out")"
}

sed -e "s|@PORT@|$(cat "$work/port")|g; s|@SECRET@|$secret|g; s|@VICTIMPID@|$victim|g; s|@VICTIM@|sleep 601|g" \
        -e "s|@RELEASE@|$(uname -r)|g; s|@MACHINE@|$(cat /etc/machine-id 2>/dev/null || echo none)|g; s|@WORK@|$work|g; s|@CONFIG@|$KILN_CONFIG|g" \
        "$work/s/probe" >"$work/probe"
sed "s|@WORK@|$work|g; s|@MARK@|$mark|g" "$work/s/hostile.in" | srpm hostile "$work/probe" >"$work/srpm"
# Parsing it here ran its %(...) here: that is what a host that parses specs itself would get.
rm -f "$work/parsed" "/tmp/kiln-e2e-parsed-$mark"
cp "$(cat "$work/srpm")" "$work/s/"

range=$(grep -q "^$(id -un):\|^$(id -u):" /etc/subuid 2>/dev/null || [ "$(id -u)" = 0 ] && echo range || echo single)
hermetic "$(id -un)" "$(id -un)" "$range"
if [ "$(id -u)" = 0 ]; then
        users=("kiln-h$$")
        useradd --no-create-home --home-dir /nowhere --shell /bin/bash "${users[0]}" 2>/dev/null
        sed -i "/^${users[0]}:/d" /etc/subuid /etc/subgid
        hermetic "${users[0]}" "a user without subordinate ids" single
fi

# ---- what a build leaves in the places that are collected
KILN_CACHE=$work/u-$(id -un)-$range-cache
export KILN_CACHE
KILN_CONFIG=$KILN_CACHE/config
planted() { # NAME STATUS VERDICT REGEX COMMAND
        local file
        file=$({ head_of "planted-$1"; printf '%%install\n%s\n%%files\n' "$5"; tail_of; } | srpm "planted-$1")
        verdict "planted in the output: $1" "$2" "$3" "$4" "$file"
}
planted link 1 BUILD_FAILED 'x-1-1.noarch.rpm' "ln -s /etc/passwd %{_rpmdir}/x-1-1.noarch.rpm"
planted fifo 1 BUILD_FAILED 'x.src.rpm' "mkfifo %{_srcrpmdir}/x.src.rpm"
planted text 1 BUILD_FAILED 'x-1-1.noarch.rpm' "echo no package >%{_rpmdir}/x-1-1.noarch.rpm"
planted name 1 BUILD_FAILED 'its header says' "cp %{_srcrpmdir}/*.src.rpm %{_rpmdir}/y-1-1.noarch.rpm || cp /builddir/build/SRPMS/*.src.rpm %{_rpmdir}/y-1-1.noarch.rpm"
planted directory 1 BUILD_FAILED '.' "rm -rf %{_rpmdir}; ln -s /usr/share %{_rpmdir}"
exit $failed
