#!/bin/bash
# The examples of the man pages work as they stand there. Each is run by a shell, with `kiln` in its path and no option added,
# in a directory of its own in which the files it names are: all made of one small package. Prints "ok NAME", "not ok NAME"
# or "skipped NAME" an example.
. "$(dirname "$0")/pipeline.bash"
KILN_CACHE=$(shared_cache)
export KILN_CACHE

# What each cannot be tried for.
declare -A skipped=(
        ["kiln toolchain bootstrap"]="takes minutes; contrib/try and contrib/check do it"
        ["kiln sandbox --root ./tree --uid 0 -- rpm -qa"]="needs a tree that has rpm; tests/e2e/sandbox.sh runs in trees of its own"
        ["kiln verify --bundle stamped/ --tsa http://tsa.example.org/ --tsa-cert tsa.pem results/"]="asks an authority; tests/e2e/timestamp.sh has one of its own"
        ["kiln calibrate --sample 20 --source https://mirror.example/fedora/43/source/tree https://mirror.example/fedora/43/os"]="asks a mirror; tests/e2e/calibrate.sh has one of its own"
        ["kiln cache gc --quota 10G"]="would collect what other examples use; see tests/e2e/cache.sh"
)

file=$({
        printf '%%bcond_without check\n'
        head_of foo
        printf '%%build\necho built >text\n%%check\n%%if %%{with check}\ngrep -q built text\n%%endif\n%%install\n'
        printf 'install -D text %%{buildroot}/foo/text\n%%files\n/foo\n'
        tail_of
} | srpm foo)
mkdir "$work/bin" "$work/made"
ln -s "$kiln" "$work/bin/kiln"
PATH=$work/bin:$PATH
printf 'toolchain = "e2e"\n' >"$KILN_CONFIG/kiln.toml"
sed 's/^name = .*/name = "fedora-43"/' "$KILN_CONFIG/toolchains/e2e.toml" >"$KILN_CONFIG/toolchains/fedora-43.toml"

made=$work/made
{ kiln rebuild -q -o "$made/result" "$file" && kiln rebuild -q -o "$made/result2" "$file"; } >"$work/log" 2>&1 || cat "$work/log"
{
        printf '[[key]]\nname = "farm"\noperator = "Example"\nfile = "farm.pub"\n[[package-key]]\nfile = "rpm.asc"\n'
        printf '[allow]\nunsigned-source = true\nunsigned-inputs = true\n'
} >"$made/site.toml"
sed 's/^name = .*/name = "my-distribution"/' "$KILN_CONFIG/toolchains/e2e.toml" >"$made/my-distribution.toml"
cp -r "$KILN_CONFIG/toolchains/keys" "$made/"
rpm=foo-1-1.noarch.rpm
for name in sed-4.9-3.fc43.src.rpm foo-1.0-1.src.rpm foo.src.rpm hello-2.10-3.fc43.src.rpm; do cp "$file" "$made/$name"; done
for name in a.rpm b.rpm foo-1.0-1.x86_64.rpm hello-1-1.x86_64.rpm; do cp "$made/result/$rpm" "$made/$name"; done
for name in result1 results Packages packages; do cp -r "$made/result" "$made/$name"; done
rm "$made"/packages/*.src.rpm && cp "$file" "$made/packages/"
for name in rebuilt/foo-1.0-1 their/foo-1-1 our/foo-1-1; do
        mkdir "$made/${name%/*}"
        cp "$made/result/$rpm" "$made/$name.x86_64.rpm"
done
for name in foo-1-1 hello-2.10-3.fc43; do cp "$made/result/foo-1-1.intoto.jsonl" "$made/$name.intoto.jsonl"; done
for name in builder.pub farm.pub; do cp "$KILN_CONFIG/keys/attest.pub" "$made/$name"; done
for name in rpm.asc distribution.asc RPM-GPG-KEY-fedora-43-primary; do cp "$KILN_CONFIG/keys/rpm.asc" "$made/$name"; done
cp -r "$made/result" "$made/published"
kiln log init "$made/log" --origin builds.example.org/log >"$made/log.vkey" 2>"$work/log"
kiln log append "$made/log" "$made"/result/*.intoto.jsonl -o "$made/published" >"$work/log" 2>&1
kiln lock -q "$file" >"$made/lock.json" 2>"$work/log"
# Somebody whose build was observed.
rm -r "$made/result"
kiln rebuild -q --observe -o "$made/result" "$file" >"$work/log" 2>&1

# What an example leaves is not the next one's: "result" exists for those that only read it.
try() { # EXAMPLE
        local got=0
        rm -rf "$work/here"
        mkdir "$work/here"
        cp -r "$made/." "$work/here/"
        case $1 in *" -o result "*) rm -r "$work/here/result" ;; esac
        case $1 in *" log init "*) rm -r "$work/here/log" "$KILN_CONFIG/logs" ;; esac
        case $1 in *" lock.json "*) ;; *) rm "$work/here/lock.json" ;; esac
        (cd "$work/here" && exec bash -o pipefail -c "$1") </dev/null >"$work/said" 2>"$work/log" || got=$?
        [ "$got" = 0 ] || { echo "    exit status $got"; tail -n 6 "$work/said" "$work/log" | sed 's/^/    /'; return 1; }
}

count=0
for page in "$top"/worker/cli/man/*.1; do
        while read -r example; do
                count=$((count + 1))
                name="$(basename "$page" .1): $example"
                # Absolute places of other machines.
                example=${example//\/srv\/repo\//}
                [ -e /usr/lib64/libcrypto.so.3 ] || example=${example//\/usr\/lib64\/libcrypto.so.3/$(realpath /bin/sh)}
                if [ -n "${skipped[$example]:-}" ]; then echo "skipped $name: ${skipped[$example]}"; else check "$name" try "$example"; fi
        done < <(awk '/^\.SH/ { on = $2 == "EXAMPLES" } on && /^kiln / { gsub(/\\-/, "-"); print }' "$page")
done
[ "$count" -gt 20 ]
say $? "the examples were found ($count)"
exit $failed
