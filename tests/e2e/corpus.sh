#!/bin/bash
# The same source gives the same packages: each package of the corpus is rebuilt twice, once with empty caches, and both
# results must be equal and verify. Prints a line a package; KILN_FINGERPRINTS gets the results for other users' runs
# to be compared with. Run by contrib/check, five packages in the short run, all with KILN_FULL=1.
set -eu -o pipefail
. "$KILN_TOP/contrib/lib.sh"

kiln=$KILN
packages=$KILN_TOP/tests/data/packages
work=$KILN_TOP/.cache/corpus
short="bzip2 perl-Clone python-markupsafe tinyxml2 tree"

one() { # NAME
        local srpm options=()
        # What a package's build needs beyond the defaults, such as --nested.
        [ ! -f "$packages/$1/options" ] || read -ra options <"$packages/$1/options"
        srpm=$("$packages/make-srpm" "$1" "$work/srpm") &&
                rebuild "$srpm" "$work/$1.1" "${options[@]}" &&
                "$KILN_TOP/contrib/verify-result" "$work/$1.1" "$KILN_CONFIG/keys" &&
                fingerprint "$work/$1.1" >"$work/$1.fingerprint" &&
                sed "s|^|$1 |" "$work/$1.fingerprint" >>"$KILN_FINGERPRINTS" || return 1
        # An ordinary user's run is compared with root's; building twice once is enough.
        [ "${KILN_ONCE:-0}" = 1 ] || {
                KILN_CACHE=$(fresh_cache "$work/cache") rebuild "$srpm" "$work/$1.2" "${options[@]}" &&
                        fingerprint "$work/$1.2" | diff "$work/$1.fingerprint" -
        }
}

names=$short
[ "${KILN_FULL:-0}" != 1 ] || names=$(cd "$packages" && for d in */; do echo "${d%/}"; done)
mkdir -p "$work"
: "${KILN_FINGERPRINTS:=$work/fingerprints}"
: >"$KILN_FINGERPRINTS"

"$kiln" toolchain bootstrap
for name in $names; do
        if one "$name"; then echo "ok $name"; else echo "not ok $name"; fi
done
