#!/bin/bash
# How long `kiln diff` takes for two packages of 100 MB of which one file differs, and how much memory at most, beside
# decompressing the two payloads alone, in the same run; for a zstd and a gzip payload. Medians of pairs.
#
# Usage: diff.sh KILN [PAIRS]    needs rpmbuild, rpm2cpio, openssl, zstd, gzip and GNU time.
#
# Target: at most 2 times the decompression, at most 128 MB.
set -eu -o pipefail
[ $# -ge 1 ] || { sed -n '/^# Usage/s/^# //p' "$0" >&2; exit 2; }
kiln=$(realpath "$1") pairs=${2:-5}
work=$(mktemp -d "${TMPDIR:-/var/tmp}/kiln-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
export KILN_CACHE=$work/cache KILN_CONFIG=$work/config

cat >"$work/big.spec" <<'END'
Name: big
Version: 1
Release: 1
Summary: Large
License: MIT
BuildArch: noarch
%description
x
%install
mkdir -p %{buildroot}/big
# Base64 of a key stream: three quarters of it remain when compressed.
for i in $(seq 100); do
        head -c 1000000 /dev/zero | openssl enc -aes-128-ctr -K $(printf %032d $i) -iv $(printf %032d 0) | base64 >%{buildroot}/big/$i
done
%{?change:echo change >>%{buildroot}/big/50}
touch -d @1700000000 %{buildroot}/big/* %{buildroot}/big
%files
/big
END
make() { # NAME PAYLOAD [OPTION...]
        local name=$1 payload=$2
        shift 2
        rpmbuild -bb --quiet --nodeps --define "_topdir $work/top" --define "_rpmdir $work" --define "_binary_payload $payload" \
                --define '_build_name_fmt made.rpm' --define '_dbpath /nonexistent' "$@" "$work/big.spec" >"$work/log" 2>&1 ||
                { cat "$work/log" >&2; exit 1; }
        mv "$work/made.rpm" "$work/$name.rpm"
        rm -rf "$work/top"
}
# The payload lies behind the headers: the first place at which the decompressor's magic stands.
payload() { # RPM MAGIC
        tail -c +"$(($(LC_ALL=C grep -aobPm1 "$2" "$1" | head -n 1 | cut -d: -f1) + 1))" "$1"
}
ms() { # COMMAND...
        local begin
        begin=$(date +%s%N)
        "$@"
        echo $((($(date +%s%N) - begin) / 1000000))
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
decompress() { # PROGRAM MAGIC
        local side
        for side in a b; do payload "$work/$side.rpm" "$2" | "$1" -dc >/dev/null; done
}
compare() {
        local status=0
        command time -a -o "$work/kb" -f %M "$kiln" diff --ignore signature "$work/a.rpm" "$work/b.rpm" >"$work/said" || status=$?
        if [ "$status" != 7 ] || ! grep -q "/big/50" "$work/said"; then cat "$work/said" >&2; exit 1; fi
}

for kind in 'zstd w3.zstdio \x28\xb5\x2f\xfd' 'gzip w6.gzdio \x1f\x8b\x08'; do
        read -r program payload magic <<<"$kind"
        make a "$payload"
        make b "$payload" --define 'change 1'
        rm -f "$work"/{alone,diff,kb}
        for _ in $(seq "$pairs"); do
                ms decompress "$program" "$magic" >>"$work/alone"
                ms compare >>"$work/diff"
        done
        sed -i '/[^0-9]/d' "$work/kb" # what time says about exit status 7
        printf '%s, 2 x %d MB: decompression alone %d ms (%d-%d), kiln diff %d ms (%d-%d), %s times; at most %d MB\n' "$program" \
                "$(($(stat -c %s "$work/a.rpm") / 1000000))" \
                "$(median <"$work/alone")" "$(sort -n "$work/alone" | head -n 1)" "$(sort -n "$work/alone" | tail -n 1)" \
                "$(median <"$work/diff")" "$(sort -n "$work/diff" | head -n 1)" "$(sort -n "$work/diff" | tail -n 1)" \
                "$(awk -v d="$(median <"$work/diff")" -v a="$(median <"$work/alone")" 'BEGIN { printf "%.2f", d / a }')" \
                "$(($(sort -n "$work/kb" | tail -n 1) / 1000))"
done
