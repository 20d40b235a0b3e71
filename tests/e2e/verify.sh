#!/bin/bash
# `kiln verify` judges many packages at once: the same verdicts in the same order however many processes there are, each
# for its own package only, and the worst one decides. What is changed in a result is tests/e2e/tamper.sh's matter.
. "$(dirname "$0")/pipeline.bash"
KILN_CACHE=$(shared_cache)
export KILN_CACHE KILN_KEYS=$work/keys TMPDIR=$work
jsonl=.intoto.jsonl

for name in pot cup; do
        { head_of $name; printf '%%install\nmkdir -p %%{buildroot}/usr/share/%s\necho c >%%{buildroot}/usr/share/%s/c\n%%files\n/usr/share/%s\n' $name $name $name; tail_of; } | srpm $name >/dev/null
        "$kiln" rebuild -q -t e2e -o "$work/$name" "$work/s/$name/$name-1-1.src.rpm" >"$work/log" 2>&1 || { cat "$work/log"; echo "not ok building $name"; exit 1; }
done
judge() { # OPTION...: exit status in $got, JSON in $work/json
        got=0
        "$kiln" verify -q --json "$@" >"$work/json" 2>"$work/errors" || got=$?
}

# One directory with two sources and many others: a repository.
mkdir "$work/repo"
cp "$work/pot"/*.rpm "$work/pot/pot-1-1$jsonl" "$work/cup"/*.rpm "$work/cup/cup-1-1$jsonl" "$work/repo/"
judge "$work/repo"
is "two sources in one directory" '0 ["OK",4,4,2]' "$got $(jq -c '[.verdict, .packages, .good, (.sources | length)]' "$work/json")"
jq -c '.packages |= .[1:]' "$work/cup/lock.json" >"$work/repo/lock.json"
judge "$work/repo"
is "whose lock a repository's is nobody can say" 0 "$got"
judge "$work/repo/cup-1-1.noarch.rpm"
is "nor does it count against one package" 0 "$got"
for i in {1..40}; do
        mkdir "$work/r$i" && cp "$work/pot"/* "$work/r$i/"
done
printf x >>"$work/r7/pot-1-1.noarch.rpm"
echo text >"$work/r9/x.rpm"
rm "$work/r11/pot-1-1$jsonl" "$work/r11/lock.json"
judge -j 1 "$work"/r{1..40}
mv "$work/json" "$work/json.1"
judge -j 5 "$work"/r{1..40}
check "one process and five say the same" cmp "$work/json" "$work/json.1"
is "each package has its own verdict" '7 {"BAD_INPUT":1,"NOT_REPRODUCED":1,"OK":77,"REFUSED":2}' \
        "$got $(jq -c '[.sources[].packages[].verdict] | group_by(.) | map({(.[0]): length}) | add' "$work/json")"
rm "$work/r7/pot-1-1.noarch.rpm"
judge "$work"/r{1..40}
is "what cannot be read wins over an unmet policy" '3 BAD_INPUT' "$got $(jq -r .verdict "$work/json")"
rm "$work/r9/x.rpm"
judge "$work"/r{1..40}
is "an unmet policy is the last" '6 REFUSED' "$got $(jq -r .verdict "$work/json")"
judge "$work/r1" "$work/r1/pot-1-1.noarch.rpm" "$work/r1/"
is "a package named twice is judged once" 2 "$(jq '[.sources[].packages[].file] | map(sub("//"; "/")) | unique | length' "$work/json")"

# From elsewhere
mkdir "$work/bare" && cp "$work/pot"/*.rpm "$work/bare/"
judge -a "$work/pot/pot-1-1$jsonl" "$work/bare"
is "attestations from elsewhere" 0 "$got"
judge -a "$work/cup/cup-1-1$jsonl" "$work/bare"
is "others' attestations say nothing" 6 "$got"

# What is no use
status_of() {
        got=0
        "$@" >"$work/said" 2>&1 || got=$?
        echo "$got"
}
is "no file" 2 "$(status_of "$kiln" verify)"
is "a key and a policy" 2 "$(status_of "$kiln" verify --key a --policy b "$work/pot")"
for option in --quick --jobs=2 --signer=x --vsa=x; do
        is "--against and $option" 2 "$(status_of "$kiln" verify --against "$work/pot/pot-1-1.noarch.rpm" $option "$work/pot/pot-1-1.noarch.rpm")"
done
head -c -1 "$work/pot/pot-1-1.noarch.rpm" >"$work/cut.rpm"
is "an original that was tampered with" 7 "$(status_of "$kiln" verify --against "$work/cut.rpm" "$work/pot/pot-1-1.noarch.rpm")"
is "a file that is not there" 3 "$(status_of "$kiln" verify "$work/nothing.rpm")"
mkdir "$work/empty"
is "a directory without packages" 3 "$(status_of "$kiln" verify "$work/empty")"
is "no key at all" 3 "$(KILN_KEYS=$work/empty status_of "$kiln" verify "$work/pot")"
check "says what to do" grep -q "attest.pub with --key" "$work/said"
is "a key that is none" 3 "$(status_of "$kiln" verify --key "$work/json" "$work/pot")"
is "nothing is left behind" "" "$(find "$work" -maxdepth 1 -name 'kiln-verify.*')"
exit $failed
