#!/bin/sh
# All tests in the virtual machine. An ordinary user has a delegated cgroup: sandbox.sh starts Kiln alone in it,
# rebuild.sh in a leaf of it, as with systemd's DelegateSubgroup=.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
ln -s /proc/self/fd /dev/fd
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
chmod 666 /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty
chmod 755 /root
cat >/bin/setuidgid <<'EOF'
#!/bin/sh
user=$1
shift
exec su -p -s /bin/sh -- "$user" -c 'exec "$@"' sh "$@"
EOF
chmod 755 /bin/setuidgid
delegated=/sys/fs/cgroup/delegated
mkdir $delegated
for file in . cgroup.procs cgroup.subtree_control cgroup.threads; do chown user $delegated/$file; done
echo
sh /srv/kiln/tests/vm/sandbox.sh
rebuild=/srv/kiln/tests/vm/rebuild.sh
$rebuild root
echo 'user:100000:65536' | tee /etc/subuid >/etc/subgid
rmdir $delegated/*/
mkdir $delegated/session
chown user $delegated/session $delegated/session/cgroup.procs
sh -c "echo \$\$ >$delegated/session/cgroup.procs; exec setuidgid user $rebuild user"
setuidgid user $rebuild none
echo "the end"
poweroff -f
