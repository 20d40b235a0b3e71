#!/bin/bash
# The adversarial second build names its culprits: packages made to depend on one thing each, and one that depends on
# nothing. A few of them always, all with KILN_FULL=1. Prints "ok NAME" or "not ok NAME" lines.
. "$(dirname "$0")/pipeline.bash"
KILN_CACHE=$(shared_cache)
export KILN_CACHE

# One tiny package: its %build writes the file "facts".
packet() { # NAME: %build from standard input
        { head_of "$1" && printf '%%build\n' && cat && cat <<END && tail_of; } | srpm "$1"
%install
mkdir -p %{buildroot}/usr/share/$1
cp facts %{buildroot}/usr/share/$1/
echo always >%{buildroot}/usr/share/$1/same
%files
/usr/share/$1
END
}

# The findings' ids, and the failed tests of the attestation, both as one line.
findings() { jq -r '[.findings[].id | select(startswith("vary.") and . != "vary.not-varied")] | unique | join(" ")' "$1/result.json"; }
test_result() { # DIRECTORY FILTER
        jq -r .payload "$1"/*.intoto.jsonl | while read -r body; do base64 -d <<<"$body" | jq -cr "select(.predicateType ==
                \"https://in-toto.io/attestation/test-result/v0.1\") | .predicate | select(.configuration[0].name ==
                \"reproducible\") | $2"; done
}

culprit() { # NAME CULPRIT [SUBJECT [OPTION...]]: %build from standard input
        local file subject=${3-/usr/share/$1/facts}
        file=$(packet "$1")
        verdict "$1 is not reproducible" 7 NOT_REPRODUCED "$subject" "$file" --check-reproducible "${@:4}"
        is "$1: the culprit is $2" "vary.$2" "$(findings "$last_out")"
        is "$1: attested as failed" "FAILED $2" "$(test_result "$last_out" '.result + " " + (.failedTests | join(" "))')"
        check "$1: the report shows it" grep -q "vary.$2" "$last_out/report.html"
        check "$1: the first build's packages are in the result" test -s "$last_out/$1-1-1.noarch.rpm"
}

# What every package of a build root could write down and no package should, but the factors that a build cannot see.
file=$({
        head_of same
        cat <<'END'
%build
{ date -u -d "@$SOURCE_DATE_EPOCH"; pwd; printf '%s\n' "$HOME" "$USER"; } >facts
%install
mkdir -p %{buildroot}/usr/share/same
cp facts %{buildroot}/usr/share/same/
for i in 5 3 1 4 2; do echo $i >%{buildroot}/usr/share/same/$i; done
ln %{buildroot}/usr/share/same/1 %{buildroot}/usr/share/same/hard
ln -s hard %{buildroot}/usr/share/same/soft
%check
grep -q . facts
%files
/usr/share/same
END
        tail_of
} | srpm same)
verdict "a package that depends on nothing passes" 0 OK '' "$file" --check-reproducible
is "and the finding says so" vary.reproduced "$(findings "$last_out")"
is "attested as passed, with a warning where something was not varied" true "$(test_result "$last_out" \
        '.result == if .warnedTests == [] then "PASSED" else "WARNED" end')"
[ "$(nproc)" -gt 1 ] || skip="cpus"
wanted=$(printf '%s\n' addresses clock ${skip:-cpus} directory-order host-name kernel-release locale memory pid timezone uid umask |
        grep -vx "${skip:-none}")
got=$(test_result "$last_out" '.passedTests[]' | grep -vx rootless)
is "each factor was seen to vary, and is a test that passed" "$wanted" "$(grep -vx outer-ids <<<"$got" | sort)"
if [ "$(id -u)" = 0 ]; then
        is "as root the ids on the host too" 1 "$(grep -cx outer-ids <<<"$got")"
fi
if grep -q '^range' <(jq -r .idMode "$last_out/result.json"); then
        is "rootless too, where there is a range of ids" 1 "$(test_result "$last_out" '.passedTests[]' | grep -cx rootless)"
fi
check "what both builds saw is attested" test "$(test_result "$last_out" \
        '.configuration[0].annotations | [.["host-name"].first, .["host-name"].second] | join(" ")')" = \
        "localhost localdomain vary-host-7 vary.invalid"
left_in_memory() { # scratch directories whose owner is gone; another run's own are locked
        for lease in "/dev/shm/kiln-$(id -u)"/*/lease; do
                [ ! -e "$lease" ] || ! flock -n "$lease" true || echo "$lease"
        done
}
is "nothing is left in memory" "" "$(left_in_memory)"
plain=$last_out
verdict "the same without a second build" 0 OK '' "$file"
is "gives the same outputs digest" "$(jq -r .outputsDigest "$plain/result.json")" "$(jq -r .outputsDigest "$last_out/result.json")"
is "and attests nothing about it" "" "$(test_result "$last_out" .result)"

for bad in "--check-reproducible --unvaried clocks:no factor of a second build is called clocks" \
        "--unvaried clock:needs --check-reproducible" "--check-reproducible --also-vary paths:no factor of a second build is called paths"; do
        got=0
        # shellcheck disable=SC2086 # words
        "$kiln" rebuild -t e2e -o "$work/nothing" ${bad%%:*} "$file" >"$work/log" 2>&1 || got=$?
        check "usage: ${bad%%:*}" test "$got" = 2 -a "$(grep -c "${bad#*:}" "$work/log")" = 1 -a ! -e "$work/nothing"
done
culprit time-stamp clock <<<'date +%s >facts'
culprit bomb clock 'the build fails' <<'END'
touch now; [ $(( $(date +%s) - $(stat -c %Y now) )) -lt 172800 ]
date -u -r now +%Y | grep -q 20 && echo fine >facts
END
culprit place build-path /usr/share/place/facts --also-vary build-path <<<'pwd >facts'
file=$(packet homebody <<<'pwd >/dev/null; echo always >facts')
verdict "a package that does not depend on its path" 0 OK '' "$file" --check-reproducible --also-vary build-path
is "  is the same under another one" 1 "$(test_result "$last_out" '.passedTests[]' | grep -cx build-path)"
culprit stamped clock 'Spec|Sourcepkgid' --also-vary build-path <<<': %(date +%s)
echo always >facts'
# A build that fills what it is given, but only the second time. Memory is tried first, and ends first.
culprit glutton host-name 'the build fails' <<<'[ $(uname -n) = localhost ] || head -c 30G /dev/zero >big; echo always >facts'
is "  what it did to memory says nothing about the order of directories" directory-order "$(test_result "$last_out" '.warnedTests[]' | grep -x directory-order)"
is "  nothing is left in memory" "" "$(left_in_memory)"
if [ "$(id -u)" = 0 ] && unshare --mount true 2>/dev/null; then
        # Memory that is full before anybody looks at what the build has written.
        cat >"$work/small" <<END
#!/bin/bash
exec unshare --mount --propagation private bash -c 'mount -t tmpfs -o size=700m none /dev/shm && exec "\$@"' - "$kiln" "\$@"
END
        chmod 755 "$work/small"
        large=$kiln kiln=$work/small
        culprit flood host-name 'the build fails' <<<'[ $(uname -n) = localhost ] || head -c 30G /dev/zero >big; echo always >facts'
        is "  directory-order was not varied" directory-order "$(test_result "$last_out" '.warnedTests[]' | grep -x directory-order)"
        kiln=$large
fi
culprit order directory-order <<<'mkdir d; for i in q w e r t z u i o p; do : >d/$i; done; ls -U d >facts'
culprit random randomness <<<'od -An -tx1 -N16 /dev/urandom >facts'
first=$(sha256sum <"$last_out/result.json")
got=0
"$kiln" rebuild -t e2e -o "$last_out" --check-reproducible "$work/s/random/random-1-1.src.rpm" >"$work/stdout" 2>"$work/log" || got=$?
is "its packages cannot replace those of another run" "6 0" "$got $(wc -c <"$work/stdout")"
check "  the message says both" test "$(grep -cE 'not reproducible: .*/facts|REFUSED: .*other content' "$work/log")" = 2
is "  nothing was replaced" "$first" "$(sha256sum <"$last_out/result.json")"
file=$(packet louder <<<'[ $(uname -n) = localhost ] || head -c 4000000 /dev/zero | tr "\0" "\n"; echo always >facts')
verdict "a limit that ends only the second build is no difference" 5 LIMIT 'output limit .* \(peak' "$file" --check-reproducible --log-size 1M

file=$(
        {
                head_of debugger 'BuildRequires: perl-base'
                cat <<'END'
%build
echo always >facts
%install
mkdir -p %{buildroot}/usr/share/debugger
cp facts %{buildroot}/usr/share/debugger/
%check
# PTRACE_TRACEME
perl -e 'exit(syscall(101, 0, 0, 0, 0) == 0 ? 0 : 1)'
%files
/usr/share/debugger
END
                tail_of
        } | srpm debugger
)
verdict "a test suite that uses ptrace is no difference" 0 OK '' "$file" --check-reproducible
is "  the clock is said not to have been varied" "WARNED true" \
        "$(test_result "$last_out" '"\(.result) \(.warnedTests | index("clock") != null)"')"

if [ -n "${KILN_FULL-}" ]; then
        # With everything held it waits for ever, and it differs: there is nothing to hold it against.
        file=$(packet waits <<<'date +%s >facts; until [ $(date +%s) -gt $(cat facts) ]; do sleep 0.2; done')
        verdict "a package that waits for the clock, and depends on it" 7 NOT_REPRODUCED 'everything varied' "$file" --check-reproducible
        is "  the culprit is not named, and why" "vary.held vary.together" "$(findings "$last_out")"
        culprit host host-name <<<'uname -n >facts'
        culprit processors cpus <<<'nproc >facts'
        culprit user uid <<<'id -u >facts'
        culprit language locale <<<'locale charmap >facts'
        culprit zone timezone <<<'date -d @0 >facts'
        culprit mask umask <<<'echo %(umask) >facts'
        culprit release kernel-release <<<'uname -r >facts'
        culprit pointers addresses <<<"cut -d' ' -f28 /proc/self/stat >facts"
        culprit process pid <<<'echo $$ >facts'
        culprit ram memory <<<'getconf _PHYS_PAGES >facts'
        culprit race cpus <<'END'
cat >Makefile <<'MAKE'
all: slow quick
slow: ; sleep 0.5; echo slow >>facts
quick: ; echo quick >>facts
MAKE
make -j$(nproc)
END
        if [ "$(jq -r .idMode "$plain/result.json")" = range ]; then
                culprit owner rootless <<<'[ $(stat -c %u /usr) = $(id -u) ] && echo mine >facts || echo theirs >facts'
        fi
        # Two causes in two files: both get a name.
        file=$(
                {
                        head_of both
                        cat <<'END'
%build
uname -n >one
date -d @0 >two
%install
mkdir -p %{buildroot}/usr/share/both
cp one two %{buildroot}/usr/share/both/
%files
/usr/share/both
END
                        tail_of
                } | srpm both
        )
        verdict "two causes" 7 NOT_REPRODUCED '/usr/share/both' "$file" --check-reproducible
        is "both are named" "vary.host-name vary.timezone" "$(findings "$last_out")"
fi
exit $failed
