#!/bin/bash
# kiln diff: results of two keys differ in signatures only; what was changed is named with its path; nothing is set aside
# silently; exit statuses; diffoscope only when asked; hostile text does not reach the terminal.
# shellcheck disable=SC2016 # what check evaluates
. "$(dirname "$0")/pipeline.bash"

KILN_CACHE=$(shared_cache)
export KILN_CACHE
diff() { # STATUS [OPTION...] A B: its output is in $work/said, its messages in $work/log
        local wanted=$1 got=0
        shift
        KILN_CACHE=$work/cache "$kiln" diff "$@" >"$work/said" 2>"$work/log" || got=$?
        [ "$got" = "$wanted" ] || { printf '    kiln diff %s: %s, wanted %s\n' "$*" "$got" "$wanted"; sed 's/^/    /' "$work/log"; return 1; }
}
said() { grep -qF -e "$1" "$work/said" || { printf '    not said: %s\n' "$1"; sed 's/^/    /' "$work/said" | head -n 40; return 1; }; }

spec_of() { # LINE
        head_of pot
        printf '%%install\nmkdir -p %%{buildroot}/pot\nprintf "one\\n%s\\n" >%%{buildroot}/pot/text\n%%files\n/pot\n' "$1"
        tail_of
}
source=$(spec_of two | srpm pot)
build() { # KEYS OUT
        KILN_KEYS=$work/$1 "$kiln" rebuild -q -t e2e -o "$work/$2" "$source" >/dev/null 2>"$work/log" || cat "$work/log" >&2
}
build keys1 r1
build keys2 r2
rpm1=$work/r1/pot-1-1.noarch.rpm rpm2=$work/r2/pot-1-1.noarch.rpm

check "a package is the same file as itself" diff 0 "$rpm1" "$rpm1"
check "under another key it is the same content" eval 'diff 7 "$rpm1" "$rpm2" && said "the same content, other signatures" && said Dsaheader'
check "with --ignore signature nothing differs, and that is said" \
        eval 'diff 0 --ignore signature "$rpm1" "$rpm2" && said "ignored: lead and signature header"'
check "so do two results" eval 'diff 0 --ignore signature "$work/r1" "$work/r2" && said "pot.noarch: the same content" &&
        said "lock.json: the same file" && said "ignored: build.log.zst" && said "ignored: result.json" &&
        said "runDetails" && said "subjects'"'"' sha256"'
check "without it they differ" diff 7 "$work/r1" "$work/r2"
build keys1 again
check "two builds under one key differ in nothing but the run" eval 'diff 0 "$work/r1" "$work/again" && said runDetails'
# What `kiln reproduce` and --observe leave there.
cp -r "$work/r2" "$work/more"
cp "$work/r1/pot-1-1.intoto.jsonl" "$work/more/pot-1-1@0123456789abcdef.intoto.jsonl"
echo '{}' >"$work/more/inputs.json"
check "others' attestations and what a build opened are set aside" eval 'diff 0 --ignore signature "$work/r1" "$work/more" &&
        said "ignored: pot-1-1@0123456789abcdef.intoto.jsonl" && said "ignored: inputs.json"'

# The same package with another line.
source=$(spec_of three | srpm pot)
build keys1 r3
check "a changed file is named, with the line" \
        eval 'diff 7 "$rpm1" "$work/r3/pot-1-1.noarch.rpm" && said /pot/text && said "line 2" && said "two -> three"'
check "source packages are compared likewise" \
        eval 'diff 7 "$work/r1/pot-1-1.src.rpm" "$work/r3/pot-1-1.src.rpm" && said pot.spec'
check "JSON says the same" eval 'diff 7 --json "$work/r1" "$work/r3" &&
        jq -e ".differs and .level == \"different\" and ([.pairs[].differences[] |
                select(.kind == \"file-content\" and .subject == \"/pot/text\" and .a == \"two\" and .b == \"three\")] | length) == 1" \
                "$work/said" >/dev/null'
check "a page says the same, without script" eval 'diff 7 --html "$work/page.html" "$work/r1" "$work/r3" &&
        grep -qF /pot/text "$work/page.html" && ! grep -qi "<script" "$work/page.html"'
# File names and texts that would be markup, were they not escaped. In full, a browser says what it makes of the page.
names=('<img src=x onerror=alert(1)>' '"><script>alert(2)<script>' "&lt;b&gt; ' \"")
page_source() { # TEXT
        local name
        head_of '<b>names' | sed 's/^Name: .*/Name: names/; s/^Summary: .*/Summary: <i>A<\/i> \& test/'
        printf '%%install\nmkdir -p %%{buildroot}/names\ncd %%{buildroot}/names\n'
        for name in "${names[@]}"; do printf "cat >'%s' <<'END'\n%s\nEND\n" "${name//\'/\'\\\'\'}" "$1"; done
        printf '%%files\n/names\n'
        tail_of
}
source=$(page_source one | srpm names)
build keys1 n1
source=$(page_source '<script src="http://kiln.invalid/x"></script>' | srpm names)
build keys1 n2
check "hostile file names are told" eval 'diff 7 --html "$work/names.html" "$work/n1" "$work/n2" && said "/names/${names[0]}"'
check "and are no markup of the page" eval '! grep -qiE "<(img|script|b|i)[ >]" "$work/names.html" &&
        grep -qF "/names/&lt;img src=x onerror=alert(1)&gt;" "$work/names.html"'
if [ "${KILN_FULL:-0}" = 1 ]; then
        judge() { "$top/tests/judges/report" "$@" >"$work/said" 2>"$work/log" || { sed 's/^/    /' "$work/said" "$work/log" | tail -n 5; return 1; }; }
        check "a browser draws the page, and nothing happens" judge --says /pot/text "$work/page.html"
        check "nor with hostile names, which are drawn to the letter" judge --says "/names/${names[0]}" --says "/names/${names[1]}" \
                --says "/names/${names[2]}" --says '<script src="http://kiln.invalid/x"></script>' "$work/names.html"
        # The same page, had it been written without care.
        sed 's/&lt;img src=x/<img src=x/' "$work/names.html" >"$work/raw.html"
        check "what is not escaped is noticed" eval '! judge "$work/raw.html" && said "<img"'
        sed 's/&lt;script src=\(&quot;\|&#34;\)http/<script src="http/' "$work/names.html" >"$work/raw.html"
        check "a script is, too" eval '! judge "$work/raw.html" && said "<script"'
        check "and a name that is not there" eval '! judge --says "/names/other" "$work/page.html" && said "does not say"'
fi
check "a page that cannot be written is an error" diff 4 --html "$work/no/such/page.html" "$rpm1" "$rpm2"

cp -r "$work/r1" "$work/less"
rm "$work/less/pot-1-1.noarch.rpm"
check "a missing package is named" eval 'diff 7 --ignore signature "$work/r1" "$work/less" && said "pot.noarch: only in A"'
cp -r "$work/r1" "$work/locked"
jq -c '.packages[0].name = "evil"' "$work/r1/lock.json" >"$work/locked/lock.json"
check "another lock is named, with the place" \
        eval 'diff 7 "$work/r1" "$work/locked" && said /packages/0/name && said evil'

# The payload is compared whatever the headers say.
python3 - "$rpm1" "$work/tampered.rpm" <<'END'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[-20] ^= 1
open(sys.argv[2], "wb").write(data)
END
check "one bit of the payload is a difference" diff 7 --ignore signature "$rpm1" "$work/tampered.rpm"

echo text >"$work/text"
check "what is no RPM is bad input" diff 3 "$rpm1" "$work/text"
check "so is a file that is not there" diff 3 "$rpm1" "$work/nothing"
check "so are a file and a directory" diff 3 "$rpm1" "$work/r1"
check "so is a directory of something else" diff 3 "$work/s" "$work/s"
check "one argument is a usage error" diff 2 "$rpm1"
check "an unknown thing to ignore is a usage error" diff 2 --ignore header "$rpm1" "$rpm2"

# A diffoscope that says that it was called.
mkdir "$work/bin"
printf '#!/bin/sh\necho called >>%s/called\nprintf "\\033[31mdeep\\033[0m\\n"\nexit 1\n' "$work" >"$work/bin/diffoscope"
chmod 755 "$work/bin/diffoscope"
PATH=$work/bin:$PATH diff 7 "$rpm1" "$rpm2"
check "diffoscope is not called unasked" [ ! -e "$work/called" ]
check "nor for what is the same" eval 'PATH=$work/bin:$PATH diff 0 --diffoscope "$rpm1" "$rpm1" && [ ! -e "$work/called" ]'
check "when asked it is, and its words are cleaned" \
        eval 'PATH=$work/bin:$PATH diff 7 --diffoscope "$rpm1" "$rpm2" && [ -e "$work/called" ] && said deep && ! grep -q "$(printf "\\033")" "$work/said"'

# A summary that would set the terminal's title.
hostile() { # NAME WORD
        mkdir -p "$work/h"
        { head_of hostile && printf '%%files\n'; } | sed "s/^Summary:.*/Summary: $(printf '\033]0;title\007')$2/" >"$work/h/hostile.spec"
        rpmbuild -bb --nodeps --quiet --define "_topdir $work/h/top" --define "_rpmdir $work/h" --define '_dbpath /nonexistent' \
                --define '_build_name_fmt made.rpm' "$work/h/hostile.spec" >"$work/log" 2>&1 || cat "$work/log"
        mv "$work/h/made.rpm" "$work/$1.rpm"
}
hostile h1 first
hostile h2 second
check "hostile text is cleaned" eval 'grep -qF "$(printf "\033]0")" "$work/h1.rpm" && diff 7 "$work/h1.rpm" "$work/h2.rpm" &&
        said "first -> second" && ! grep -q "$(printf "\033")" "$work/said"'

# Packages of other projects, where they are at hand.
data=$top/../shared/data/rpms
[ -d "$data" ] || data=$top/../../shared/data/rpms
if [ -d "$data" ]; then
        check "a broken payload is a difference" eval 'diff 7 "$data/signed.rpm" "$data/signed_broken.rpm" && said "cannot be read"'
        check "a broken header names its tag" \
                eval 'diff 7 --ignore signature "$data/signed.rpm" "$data/signed_broken_header.rpm" && said "header tag Name"'
        check "another compression is called one" eval 'diff 7 "$data/payload-lzdio.rpm" "$data/payload-ufdio.rpm" && said Payloadcompressor'
        check "format 6 is refused, and says so" \
                eval 'diff 3 "$data/signed.rpm" "$data/rpm-basic-v6-multiple-signatures.rpm" && grep -q "format 6" "$work/log"'
fi

left=$(ls -A "$work/cache/build")
check "nothing is left behind" [ -z "$left" ]
exit "$failed"
