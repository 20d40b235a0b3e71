#!/bin/bash
# shellcheck disable=SC2034
# What the tests of the pipeline share: a small toolchain (no compiler) over the bootstrap repository, tiny source
# packages, and a look at what a run left behind. Sourced by bash.
set -u

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${KILN:?the program to test}"
kiln=$(realpath "$KILN")
top=$(realpath "${KILN_TOP:-$here/../..}")
work=$(mktemp -d /var/tmp/kiln-e2e.XXXXXX)
failed=0
export LC_ALL=C.UTF-8 TZ=UTC
mkdir "$work/tmp"
export TMPDIR=$work/tmp

# Trees of mapped ids can be removed by root, or inside a mapping.
cat >"$work/remove" <<'END'
#!/bin/bash
if [ "$(id -u)" = 0 ]; then exec rm -rf "$@"; fi
unshare --user --map-auto --map-root-user rm -rf "$@" 2>/dev/null || { chmod -R u+rwX "$@" && rm -rf "$@"; } 2>/dev/null
END
chmod 755 "$work/remove"

finish() {
        "$work/remove" "$work"
        rm -rf "$work"
}
trap finish EXIT

say() { # STATUS NAME
        if [ "$1" = 0 ]; then echo "ok $2"; else
                echo "not ok $2"
                failed=1
        fi
}

check() { # NAME COMMAND...
        local name=$1
        shift
        "$@"
        say $? "$name"
}

is() { # NAME WANTED GOT
        [ "$2" = "$3" ] || printf '    wanted <%s>, got <%s>\n' "$2" "$3"
        [ "$2" = "$3" ]
        say $? "$1"
}

# The repository is made once for all tests; a second call does nothing.
bootstrap=$(realpath -m "${KILN_CACHE:-$top/.cache/kiln}")/bootstrap
if [ ! -e "$bootstrap/toolchain.toml" ]; then
        KILN_CACHE=$(dirname "$bootstrap") "$kiln" toolchain bootstrap >&2 || exit 1
fi

export KILN_CONFIG=$work/config
: >"$work/mounts"
mkdir -p "$work/config/toolchains" "$work/s"
cp -r "$bootstrap/keys" "$work/config/toolchains/"
core='"bash", "coreutils", "cpio", "diffutils", "file", "filesystem", "findutils", "gawk", "glibc-common", "grep", "gzip",
        "hostname", "make", "patch", "redhat-rpm-config", "rpm-build", "sed", "setup", "tar", "util-linux", "xz", "zstd"'
{
        sed -e '/^\[inputs\]/,$d' -e 's/^name = .*/name = "e2e"/' -e "s|^base-urls = .*|base-urls = [\"file://$bootstrap/repo\"]|" \
                -e '/^core = /d' "$bootstrap/toolchain.toml" | sed "/^arch = /r /dev/fd/3" 3<<<"core = [$core]"
} >"$work/config/toolchains/e2e.toml"

# A cache that one script's runs share: with its layer, a build takes two seconds. Scripts run side by side, and each looks
# for what its own runs left.
shared_cache() {
        local cache
        cache=$top/.cache/e2e/$(basename "$0" .sh)
        mkdir -p "$cache"
        echo "$cache"
}

# The spec comes from standard input; further tags and sections after it replace nothing, so give what is needed.
srpm() { # NAME [SOURCE...]: prints the path
        local name=$1 dir=$work/s/$1
        shift
        mkdir -p "$dir"
        cat >"$dir/$name.spec"
        [ $# = 0 ] || cp "$@" "$dir/"
        SOURCE_DATE_EPOCH=1736164800 rpmbuild -bs --nodeps --quiet --macros=/usr/lib/rpm/macros --target x86_64-linux \
                --define "_sourcedir $dir" --define "_srcrpmdir $dir" --define '_topdir /nowhere' --define '_buildhost e2e' \
                --define '_arch x86_64' --define '_build_arch x86_64' --define 'use_source_date_epoch_as_buildtime 1' \
                "$dir/$name.spec" >"$dir/log" 2>&1 || cat "$dir/log" >&2
        echo "$dir/$name-1-1.src.rpm"
}

head_of() { # NAME [TAG-LINE...]
        printf 'Name: %s\nVersion: 1\nRelease: 1\nSummary: A test\nLicense: MIT\nBuildArch: noarch\n' "$1"
        shift
        [ $# = 0 ] || printf '%s\n' "$@"
        printf '%%description\nA test.\n'
}

tail_of() {
        printf '%%changelog\n* Mon Jan 06 2025 A B <a@b.invalid> - 1-1\n- first\n'
}

# A source package of which one section does something.
builds() { # NAME SECTION COMMANDS
        { head_of "$1"; printf '%s\n%s\n' "$2" "$3"; [ "$2" = %files ] || printf '%%files\n'; tail_of; } | srpm "$1"
}

# As root, a test can have mounts and a /tmp of its own: then everything there is its own doing. Called first, with the
# script's name; starts it again.
in_private() { # SCRIPT
        [ "$(id -u)" = 0 ] && [ -z "${KILN_PRIVATE:-}" ] && unshare --mount true 2>/dev/null || return 0
        finish
        KILN_PRIVATE=1 exec unshare --mount --propagation private bash -c \
                'mount -t tmpfs none /tmp && mount -t tmpfs none /dev/shm && exec bash "$1"' - "$1"
}

# Mounts that are there on purpose are noted down: mounts >"$work/mounts".
mounts() {
        if [ -n "${KILN_PRIVATE:-}" ]; then cat /proc/self/mountinfo; else grep -F -e "$work" -e "$KILN_CACHE" /proc/self/mountinfo; fi
}

# What must not be there after a run, whatever its end: scratch directories, half layers, partial files, leases, stages,
# temporary files, mounts, empty cgroups. Processes are run-alone.py's.
left_behind() { # OUT
        local group
        ls -A "$KILN_CACHE/build" 2>/dev/null
        find "$KILN_CACHE" -mindepth 1 \( -name bootstrap -o -name config -o -name sources -o -path "$KILN_CACHE/layers/*/*" \) -prune \
                -o -name '.*' -print 2>/dev/null
        find "$KILN_CACHE/store/partial" "$KILN_CACHE/store/lease" -type f 2>/dev/null
        find "$1" -maxdepth 1 -name '.*' ! -path "$1" 2>/dev/null
        find "$work/tmp" -mindepth 1
        [ -z "${KILN_PRIVATE:-}" ] || find /tmp /dev/shm -mindepth 1
        mounts | grep -vxFf "$work/mounts"
        find /sys/fs/cgroup -maxdepth 6 -type d -name 'kiln-run-*' 2>/dev/null | while read -r group; do
                [ "$(sed -n 's/^populated //p' "$group/cgroup.events" 2>/dev/null)" != 0 ] || echo "$group"
        done
}

# Every file that came into the store since then is what its name says.
store_is_sound() { # SINCE-FILE
        local bad
        bad=$(find "$KILN_CACHE/store/sha256" -type f -newer "$1" -exec sha256sum {} + |
                awk '{ n = split($2, part, "/"); if ($1 != part[n]) print $2 }')
        [ -z "$bad" ] || echo "    damaged: $bad"
        [ -z "$bad" ]
}

# What two results must have in common.
outputs() { # RESULT-DIRECTORY
        jq -r '[.artefacts[] | select(.kind == "RPM" or .kind == "SRPM") | .sha256] | join(" ")' "$1/result.json"
}

# One rebuild in the small toolchain: its exit status, what it says, its result.json, and that nothing is left.
at=()
verdict() { # NAME STATUS VERDICT REGEX-OF-THE-MESSAGE SRPM [OPTION...]
        local name=$1 status=$2 word=$3 regex=$4 file=$5 got left out
        shift 5
        out=$work/out-$RANDOM$RANDOM
        got=0
        "$here/run-alone.py" "${at[@]}" "$work/log" "$kiln" rebuild -t e2e -o "$out" "$@" "$file" >"$work/stdout" || got=$?
        left=$(left_behind "$out")
        if [ "$got" = "$status" ] && grep -qE "$regex" "$work/log" && [ -z "$left" ] &&
                { [ "$word" = - ] || [ "$(jq -r .verdict "$out/result.json")" = "$word" ]; }; then
                say 0 "$name"
        else
                printf '    exit status %s (wanted %s), result %s (wanted %s), left: %s\n' "$got" "$status" \
                        "$(jq -c '[.verdict, .error]' "$out/result.json" 2>&1)" "$word" "$left"
                tail -n 12 "$work/log" | sed 's/^/    /'
                say 1 "$name"
        fi
        last_out=$out
}
