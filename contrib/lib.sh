#!/bin/bash
# shellcheck disable=SC2086,SC2013,SC2034
# What contrib/try and contrib/check share. Sourced by bash with -eu; $top is the checkout.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export KILN_CACHE=${KILN_CACHE:-$top/.cache/kiln}
export KILN_CONFIG=${KILN_CONFIG:-$top/.cache/config}

# Each package by the name of both families; "-": not there or not needed there.
packages="
gcc                       gcc
g++                       gcc-c++
meson                     meson
ninja-build               ninja-build
pkgconf                   pkgconf-pkg-config
protobuf-compiler         protobuf-compiler
protobuf-c-compiler       protobuf-c-compiler
libprotobuf-c-dev         protobuf-c-devel
libprotobuf-dev           protobuf-devel
libssl-dev                openssl-devel
libjansson-dev            jansson-devel
librpm-dev                rpm-devel
libcap-dev                libcap-devel
libseccomp-dev            libseccomp-devel
libzstd-dev               libzstd-devel
libcurl4-openssl-dev      libcurl-devel
libsolv-dev               libsolv-devel
libsolvext-dev            -
libarchive-dev            libarchive-devel
libelf-dev                elfutils-libelf-devel
libexpat1-dev             expat-devel
libzydis-dev              zydis-devel
libzycore-dev             zycore-c-devel
libtomlplusplus-dev       tomlplusplus-devel
libcmocka-dev             libcmocka-devel
rpm                       rpm-build
createrepo-c              createrepo_c
uidmap                    shadow-utils-subid
util-linux                util-linux
openssl                   openssl
gnupg                     gnupg2
gpgv                      -
sqv                       sequoia-sqv
bzip2                     bzip2
jq                        jq
shellcheck                ShellCheck
xz-utils                  xz
zstd                      zstd
git                       git-core
python3                   python3
python3-protobuf          python3-protobuf
libc6-dev                 glibc-static
ca-certificates           ca-certificates
debian-archive-keyring    debian-keyring
-                         apt
"

# What only contrib/check needs besides.
check_packages="
rpmlint                   rpmlint
diffoscope-minimal        diffoscope
in-toto                   python3-in-toto
-                         rpm-sign
"

# And what only contrib/check --full.
full_packages="
qemu-system-x86           qemu-system-x86-core
busybox-static            busybox
cpio                      cpio
e2fsprogs                 e2fsprogs
chromium                  chromium
bubblewrap                bubblewrap
clang                     clang
libclang-rt-14-dev        compiler-rt
"

say() {
        printf '==> %s\n' "$*"
}

die() {
        printf '%s: %s\n' "$(basename "$0")" "$*" >&2
        exit 1
}

# To be called after may_install.
as_root() {
        if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

may_install() { # COMMAND...
        [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo true; } ||
                die "this machine lacks packages that only root can install. As root, run this, then start again:
    $*"
}

# The packages of one family which are not there yet.
missing_packages() { # COLUMN TEST...
        local column=$1 name
        shift
        for name in $(awk -v c="$column" 'NF == 2 && $c != "-" { print $c }' <<<"$packages"); do
                "$@" "$name" >/dev/null 2>&1 || echo "$name"
        done
}

deb_installed() {
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$1")" = installed ]
}

install_packages() {
        local missing
        if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
                missing=$(missing_packages 1 deb_installed)
                [ -n "$missing" ] || return 0
                may_install apt-get install --no-install-recommends $missing
                say "installing:" $missing
                as_root apt-get -q update
                as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends $missing
        elif command -v dnf >/dev/null; then # untried: there was no machine of this family
                missing=$(missing_packages 2 rpm -q)
                [ -n "$missing" ] || return 0
                may_install dnf install --setopt=install_weak_deps=False $missing
                say "installing:" $missing
                as_root dnf -y install --setopt=install_weak_deps=False $missing
        else
                die "knows how to install packages with apt-get and dnf only; README.md lists what Kiln needs"
        fi
}

build_kiln() { # [DIRECTORY] [MESON OPTION...]
        local dir=${1:-$top/build}
        [ $# = 0 ] || shift
        say "building Kiln in $dir"
        [ -f "$dir/build.ninja" ] || meson setup "$dir" "$top" "$@" >"$dir.setup.log" 2>&1 || {
                cat "$dir.setup.log" >&2
                return 1
        }
        rm -f "$dir.setup.log"
        ninja -C "$dir" --quiet
        kiln=$dir/worker/cli/kiln
}

# Rebuilds into OUT with the caches as they are. Further words are options of kiln rebuild.
rebuild() { # SRPM OUT [OPTION...]
        local srpm=$1 out=$2
        shift 2
        rm -rf "$out"
        "$kiln" rebuild -t bootstrap -o "$out" "$@" "$srpm"
}

# A cache with nothing in it but the bootstrap repository.
fresh_cache() { # DIRECTORY
        mkdir -p "$1"
        [ -e "$1/bootstrap" ] || ln -s "$KILN_CACHE/bootstrap" "$1/bootstrap"
        echo "$1"
}

# What must be the same in every build of one request, a line each: the packages, the SBOMs, the lock and the
# provenance's buildDefinition. Fails when one of them is missing.
fingerprint() { # RESULT-DIRECTORY
        (
                local definition
                cd "$1" && sha256sum -- *.rpm *.spdx.json *.cdx.json lock.json &&
                        definition=$(jq -r .payload -- *.intoto.jsonl | while read -r body; do
                                base64 -d <<<"$body" | jq -cS 'select(.predicateType == "https://slsa.dev/provenance/v1")
                                        | .predicate.buildDefinition'
                        done) && [ -n "$definition" ] && sha256sum <<<"$definition" | sed 's/-$/buildDefinition/'
        )
}
