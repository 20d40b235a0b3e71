#!/bin/bash
# The same source gives the same packages: each package of the corpus is rebuilt twice, once with empty caches, and both
# results must be equal, verify, and hold what the package's `expect` file says. As many packages at once as there are
# CPUs; prints a line a package. In the full run the second build is varied besides (--check-reproducible): the packages
# are the same, or depend on just what the package's `varies` file names. KILN_FINGERPRINTS gets the results for other users' runs to be compared with, KILN_ONCE=1
# leaves the second build out. Run by contrib/check, five packages in the short run, all with KILN_FULL=1.
set -eu -o pipefail
. "$KILN_TOP/contrib/lib.sh"

kiln=$KILN
packages=$KILN_TOP/tests/data/packages
work=$KILN_TOP/.cache/corpus
short="bzip2 perl-Clone python-markupsafe tinyxml2 tree"

# What the regular expressions of an `expect` file are matched with: packages, changelogs, files, both logs.
contents() { # RESULT-DIRECTORY
        rpm -qp --nosignature --qf '%|SOURCERPM?{package}:{source}| %{NEVRA} files=%{#FILENAMES}\n' \
                --qf '[changelog %{=NAME} %{CHANGELOGNAME}\n]' --qf \
                '[file %{=NAME} %{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES} caps=%{FILECAPS} links=%{FILENLINKS}\n]' \
                "$1"/*.rpm &&
                zstd -dcq "$1/build.log.zst" | sed 's/^/log: /' &&
                zstd -dcq "$1/root.log.zst" | sed 's/^/root: /'
}

# Each line of `expect` must match; one that begins with "! " must not.
expected() { # NAME
        local line wrong=0
        if [ ! -f "$packages/$1/expect" ] || ! contents "$work/$1.1" >"$work/$1.contents"; then return 1; fi
        while IFS= read -r line; do
                case $line in
                "#"*) ;;
                "! "*) ! grep -E -- "${line#! }" "$work/$1.contents" || { echo "$1: must not match ${line#! }"; wrong=1; } ;;
                *) grep -qE -- "$line" "$work/$1.contents" || { echo "$1: nothing matches $line"; wrong=1; } ;;
                esac
        done <"$packages/$1/expect"
        return $wrong
}

# With empty caches, and in the full run once more with everything varied: the culprits are those that are known.
again() { # NAME SRPM [OPTION...]
        local name=$1 srpm=$2 status=0 found known
        shift 2
        [ "${KILN_FULL:-0}" != 1 ] || set -- "$@" --check-reproducible
        KILN_CACHE=$work/cache rebuild "$srpm" "$work/$name.2" "$@" || status=$?
        [ "${KILN_FULL:-0}" = 1 ] || return $status
        [ $status = 0 ] || [ $status = 7 ] || return $status
        found=$(jq -r '[.findings[].id | select(startswith("vary.")) | ltrimstr("vary.") | select(. != "reproduced" and . != "not-varied")]
                | unique | join(" ")' "$work/$name.2/result.json")
        known=$(cat "$packages/$name/varies" 2>/dev/null || true)
        [ "$found" = "$known" ] || { echo "$name: depends on <$found>, known is <$known>"; return 1; }
}

one() { # NAME
        local srpm options=()
        # What a package's build needs beyond the defaults, such as --nested.
        [ ! -f "$packages/$1/options" ] || read -ra options <"$packages/$1/options"
        srpm=$("$packages/make-srpm" "$1" "$work/srpm") &&
                rebuild "$srpm" "$work/$1.1" "${options[@]}" &&
                "$KILN_TOP/contrib/verify-result" "$work/$1.1" "$KILN_CONFIG/keys" &&
                expected "$1" &&
                fingerprint "$work/$1.1" >"$work/$1.fingerprint" || return 1
        # An ordinary user's run is compared with root's; building twice once is enough.
        [ "${KILN_ONCE:-0}" = 1 ] || {
                again "$1" "$srpm" "${options[@]}" &&
                        fingerprint "$work/$1.2" | diff "$work/$1.fingerprint" -
        }
}

# The run starts itself again for each package: one process group, so that Ctrl-C reaches every build.
if [ $# = 1 ]; then
        if one "$1" >"$work/$1.log" 2>&1; then echo "ok $1"; else echo "not ok $1"; fi >"$work/$1.status"
        exit
fi

names=$short
[ "${KILN_FULL:-0}" != 1 ] || names=$(cd "$packages" && for d in */; do echo "${d%/}"; done)
mkdir -p "$work"
: "${KILN_FINGERPRINTS:=$work/fingerprints}"
: >"$KILN_FINGERPRINTS"

"$kiln" toolchain bootstrap
# gc can remove what belongs to mapped ids; what a killed build left there the next one removes.
[ ! -d "$work/cache" ] || { KILN_CACHE=$work/cache "$kiln" cache gc -q --quota 0 && rm -rf "$work/cache"; } >/dev/null 2>&1 || true
fresh_cache "$work/cache" >/dev/null
for name in $names; do rm -rf "$work/$name".*; done
xargs -n 1 -P "$(nproc)" bash "$0" <<<"$names" || true
for name in $names; do
        if grep -q '^ok ' "$work/$name.status"; then
                sed "s|^|$name |" "$work/$name.fingerprint" >>"$KILN_FINGERPRINTS"
        else
                tail -n 30 "$work/$name.log" 2>&1 | sed "s|^|$name: |"
        fi
        cat "$work/$name.status" || echo "not ok $name"
done
