#!/bin/bash
# A layer is what a plain installation gives: the target's own rpm installs the layer's packages once more, in one plain
# transaction into an empty root, digests checked, and the two trees are compared file by file, by `rpm -Va` and by
# what the databases know. Prints "ok NAME" or "not ok NAME" lines.
. "$(dirname "$0")/pipeline.bash"
export KILN_CACHE=$work/cache
mkdir -p "$KILN_CACHE"
ln -s "$bootstrap" "$KILN_CACHE/bootstrap"

file=$({
        head_of plain
        tail_of
} | srpm plain)
"$kiln" lock -t e2e "$file" >"$work/lock.json" 2>"$work/log" || cat "$work/log"
"$kiln" shell -q -t e2e "$file" true >"$work/log" 2>&1 || cat "$work/log"
layers=("$KILN_CACHE"/layers/*/root)
is "one layer was made" 1 "${#layers[@]}"
jq -r '.packages[].location' "$work/lock.json" >"$work/packages"
check "with many packages" [ "$(wc -l <"$work/packages")" -gt 50 ]

# Runs in the layer, which has a shell, find and rpm; /mnt/root is where the second installation goes.
cat >"$work/s/compare" <<'END'
set -u
cd /run/packages || exit 1
mkdir -m 755 /mnt/root
mapfile -t packages </run/s/list
rpm --root /mnt/root -U --nosignature --noplugins --define '_netsharedpath /dev:/proc:/sys:/run' --define '_install_langs all' \
        --dbpath="$1" "${packages[@]}" >/tmp/said 2>&1 || { echo "the plain installation failed"; cat /tmp/said; }
away=()
for path in ./dev ./proc ./sys ./run ./mnt ./tmp ./var/tmp ".$1" ./var/cache/ldconfig/aux-cache; do
        away+=(-path "$path" -prune -o)
done
tree() { # ROOT: everything but what is mounted, the database, and a cache that holds inode numbers
        cd "$1" || exit 1
        find . "${away[@]}" \( -type d -printf '%P %y %m %U %G\n' -o -printf '%P %y %m %U %G %n %s %T@ %l\n' \) |
                sed 's|^\(etc/ld.so.cache .*\) [0-9.]* $|\1|' | sort # written by a scriptlet: its time is that of the run
        find . "${away[@]}" -type f -print0 | sort -z | xargs -0 sha256sum
}
known() { rpm --root "$1" --dbpath="$2" -qa --qf '[%{=NEVRA} %{FILENAMES} %{FILESTATES} %{FILEDIGESTS}\n]' | sort; }
(tree /) >/tmp/layer
(tree /mnt/root) >/tmp/plain
[ "$(wc -l </tmp/layer)" -gt 1000 ] || echo "hardly a file there"
diff /tmp/layer /tmp/plain | head -n 20
known / "$1" >/tmp/layer
known /mnt/root "$1" >/tmp/plain
[ "$(wc -l </tmp/layer)" -gt 1000 ] || echo "hardly a file known"
diff /tmp/layer /tmp/plain | head -n 20
rpm --dbpath="$1" -Va --nomtime 2>&1 | grep -v ' /\(dev\|proc\|sys\|run\|tmp\|mnt\|var/tmp\)\b' | sort >/tmp/layer
rpm --root /mnt/root --dbpath="$1" -Va --nomtime 2>&1 | grep -v ' /\(dev\|proc\|sys\|run\|tmp\|mnt\|var/tmp\)\b' | sort >/tmp/plain
diff /tmp/layer /tmp/plain | head -n 20
echo compared
END
cp "$work/packages" "$work/s/list"
chmod -R a+rX "$work/s"
chmod a+rx "$work"
dbpath=$(sed -n 's/^dbpath = "\(.*\)"$/\1/p' "$work/config/toolchains/e2e.toml")
compare() {
        mkdir "$work/upper" "$work/work"
        chown --reference="$1" "$work/upper" "$work/work"
        "$kiln" sandbox --lower "$1" --upper "$work/upper" --work "$work/work" --uid 0 --profile install --tmpfs /mnt --tmpfs /tmp --tmpfs /var/tmp --tmpfs /run \
                --ro-bind "$bootstrap/repo:/run/packages" --ro-bind "$work/s:/run/s" \
                --env LC_ALL=C.UTF-8 bash /run/s/compare "$dbpath" 2>&1
}
is "the layer equals a plain installation" compared "$(compare "${layers[0]}")"
exit $failed
