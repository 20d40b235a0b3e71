#!/bin/bash
# Build code can never reach the keys: a thief with all an insider's knowledge, in the sandbox that builds run in and in a
# root like a build's, as the user the tests run as, while a signer serves. Prints "ok NAME" or "not ok NAME" lines.
# Usage: KILN=.../kiln tests/e2e/keys-unreachable.sh
set -u

kiln=$(realpath "${KILN:?the program to test}")
here=$(cd "$(dirname "$0")" && pwd)
who=$(id -un)
tmp=$(mktemp -d /var/tmp/kiln-e2e-keys.XXXXXX)
keys=$tmp/keys
socket=$tmp/socket
signer=
failed=0

cleanup() {
        [ -z "$signer" ] || kill "$signer" 2>/dev/null
        rm -rf "$tmp"
}
trap cleanup EXIT

say() { # say STATUS NAME
        if [ "$1" = 0 ]; then echo "ok $2"; else
                echo "not ok $2"
                failed=1
        fi
}

# A root as small as a build's: the host's programs, nothing else of the host.
make_root() {
        local link
        mkdir -p "$1"/{etc,proc,sys,dev,tmp,var/tmp,run,home,root,mnt,usr,builddir,thief}
        for link in bin sbin lib lib64; do [ ! -L /$link ] || ln -s "usr/$link" "$1/$link"; done
        cp "$here/thief" "$1/thief/thief"
        chmod -R a+rX "$1"
}

chmod 755 "$tmp"
KILN_KEYS=$keys "$kiln" signer --listen "$socket" 2>"$tmp/said" &
signer=$!
for _ in $(seq 100); do
        [ -S "$socket" ] && [ -s "$keys/attest.pub" ] && break
        sleep 0.1
done
[ -S "$socket" ]
say $? "a signer serves ($who)"

# The thief is a good one: outside, as the keys' owner, it gets them.
HOME=$tmp bash "$here/thief" "$keys" "$socket" "$signer" >"$tmp/outside" 2>&1
grep -q "took $keys/rpm.key" "$tmp/outside" && grep -q "took the socket" "$tmp/outside"
say $? "outside, the same attempts succeed ($who)"

for idmode in auto single; do
        make_root "$tmp/root-$idmode"
        for profile in build check install; do
                out=$tmp/inside-$idmode-$profile
                who_inside=(--uid 1000 --writable /builddir)
                [ $profile != install ] || who_inside=(--uid 0) # scriptlets run as root of their own world
                HOME=$tmp KILN_KEYS=$keys "$kiln" sandbox --root "$tmp/root-$idmode" --idmode $idmode --profile $profile \
                        "${who_inside[@]}" --ro-bind /usr -- /bin/bash /thief/thief "$keys" "$socket" "$signer" >"$out" 2>&1
                grep -q '^tried [1-9][0-9]' "$out"
                say $? "the thief ran to its end ($who, $idmode, $profile)"
                ! grep '^took' "$out"
                say $? "it took nothing ($who, $idmode, $profile)"
                sums=$(sha256sum "$keys"/*.key | cut -d' ' -f1)
                ! grep -F "$sums" "$out"
                say $? "no file it could read is a key ($who, $idmode, $profile)"
        done
done

# All of that did not impress the signer.
kill -0 "$signer" && KILN_KEYS=$keys "$kiln" signer --show >/dev/null 2>&1
say $? "the signer still serves, the keys are still good ($who)"
kill "$signer"
timeout 10 tail --pid="$signer" -f /dev/null
say $? "told to stop, it stops ($who)"
exit $failed
