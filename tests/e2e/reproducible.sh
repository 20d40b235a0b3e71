#!/bin/bash
# Same in, same out: one package built twice, the second time with other layers, host name, directory, umask, locale, time
# zone and limits, gives the same bytes. Prints "ok NAME" or "not ok NAME" lines.
. "$(dirname "$0")/pipeline.bash"
KILN_CACHE=$(shared_cache)
export KILN_CACHE

# What a build likes to write down; the hardening of the packages themselves is the corpus's matter.
file=$({
        head_of same
        cat <<'END'
%package doc
Summary: More
%description doc
More.
%build
{ hostname; uname -a; nproc; id; umask; locale; env | sort; date -u -d "@$SOURCE_DATE_EPOCH"; pwd; ls -U /usr/bin | sort | sha256sum; } >facts
%install
mkdir -p %{buildroot}/usr/share/same %{buildroot}/usr/share/doc/same
cp facts %{buildroot}/usr/share/same/
for i in 5 3 1 4 2; do echo $i >%{buildroot}/usr/share/doc/same/$i; done
ln %{buildroot}/usr/share/doc/same/1 %{buildroot}/usr/share/doc/same/hard
%check
grep -q . facts
%files
/usr/share/same
%files doc
/usr/share/doc/same
END
        tail_of
} | srpm same)

verdict "a first build" 0 OK '' "$file"
first=$last_out

second=$work/a/rather/deep/place
mkdir -p "$second" "$work/cache-2/store"
ln -s "$bootstrap" "$work/cache-2/bootstrap"
cp -r "$KILN_CACHE/store/sha256" "$work/cache-2/store/" # only spares the download: each file is hashed again
other() {
        cd /usr/share || return
        umask 0077
        env KILN_CACHE="$work/cache-2" TZ=Pacific/Kiritimati LC_ALL=POSIX LANG=de_DE HOSTNAME=elsewhere SOURCE_DATE_EPOCH=1 \
                CFLAGS=-O0 RPM_BUILD_NCPUS=7 MAKEFLAGS=-j9 "$@"
}
command=("$kiln" rebuild -q -t e2e -o "$second" --wall 20m "$file")
got=0
if unshare --uts true 2>/dev/null; then
        (other unshare --uts bash -c 'hostname elsewhere && exec "$@"' - "${command[@]}") >"$work/log" 2>&1 || got=$?
else
        (other "${command[@]}") >"$work/log" 2>&1 || got=$?
fi
[ "$got" = 0 ] || cat "$work/log"
is "a second build elsewhere" 0 "$got"

definition() { # DIRECTORY
        jq -r .payload "$1"/*.intoto.jsonl | while read -r body; do base64 -d <<<"$body" | jq -cS 'select(.predicateType ==
                "https://slsa.dev/provenance/v1") | .predicate.buildDefinition'; done
}
count=0
for path in "$first"/*.rpm "$first"/*.spdx.json "$first"/*.cdx.json "$first/lock.json"; do
        check "the same bytes: $(basename "$path")" cmp "$path" "$second/$(basename "$path")"
        count=$((count + 1))
done
is "all kinds of files were compared" 6 "$count"
definition "$first" >"$work/definition"
check "provenance has a buildDefinition" test -s "$work/definition"
check "the same buildDefinition" cmp "$work/definition" <(definition "$second")
is "the same build digest and outputs digest" "$(jq -c '[.buildDigest, .outputsDigest]' "$first/result.json")" \
        "$(jq -c '[.buildDigest, .outputsDigest]' "$second/result.json")"
is "the outputs digest is one" 64 "$(jq -r .outputsDigest "$first/result.json" | tr -d '\n' | wc -c)"
is "only volatile fields of runDetails tell where it ran" 0 "$(definition "$second" | grep -c elsewhere)"

# Another request is another name: the digest is no constant.
got=0
"$kiln" rebuild -q -t e2e -o "$work/third" --define 'vendor Another' "$file" >"$work/log" 2>&1 || got=$?
check "another macro gives another build digest and outputs digest" test "$got" = 0 -a \
        "$(jq -r .buildDigest "$first/result.json")" != "$(jq -r .buildDigest "$work/third/result.json")" -a \
        "$(jq -r .outputsDigest "$first/result.json")" != "$(jq -r .outputsDigest "$work/third/result.json")"
exit $failed
