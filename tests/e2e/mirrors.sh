#!/bin/bash
# The definitions of distributions that we have no mirror of here (toolchains/fedora-43.toml, fedora-rawhide.toml,
# azurelinux-4.0.toml), run against local repositories laid out, signed and served as theirs are. Only hosts and keys of
# the shipped definitions are replaced. Prints "ok NAME" or "not ok NAME" lines.
. "$(dirname "$0")/pipeline.bash"
export KILN_CACHE=$work/cache
www=$work/www
mkdir -p "$KILN_CACHE" "$www/metalink" "$www/mirrorlist"
ln -s "$bootstrap" "$KILN_CACHE/bootstrap"
definitions=$work/config/toolchains
net=$here/mirrors.py

# ---- keys: the distribution's, and a stranger's
for who in distribution stranger; do
        mkdir -m 700 "$work/$who"
        gpg --homedir "$work/$who" --batch --quiet --pinentry-mode loopback --passphrase '' --faked-system-time 20200101T000000 \
                --quick-generate-key "$who <$who@test.invalid>" rsa2048 sign never 2>"$work/log" || cat "$work/log" >&2
        gpg --homedir "$work/$who" --armor --export >"$definitions/keys/$who"
done
finish_mirrors() {
        for who in distribution stranger; do gpgconf --homedir "$work/$who" --kill gpg-agent; done
        kill "$server" 2>/dev/null
        finish
}
trap finish_mirrors EXIT
sign() { # WHO RPM...
        local who=$1
        shift
        rpmsign --define "__gpg $(command -v gpg)" --define "_gpg_path $work/$who" --define "_gpg_name $who@test.invalid" --addsign "$@" >"$work/log" 2>&1 || cat "$work/log" >&2
}
detach() { # WHO FILE
        gpg --homedir "$work/$1" --batch --quiet --yes --armor --detach-sign --output "$2.asc" "$2"
}

# ---- packages: those of the bootstrap repository that a build root of these definitions takes, and two of our own
python3 - "$top/toolchains/fedora-43.toml" "$definitions/e2e.toml" >"$definitions/closure.toml" <<'END'
import re, sys
shipped, own = (open(f).read() for f in sys.argv[1:])
core = re.search(r"^core = \[.*?\]", shipped, re.S | re.M)[0].replace('"fedora-release-common", ', "")
print(re.sub(r"^core = \[.*?\]", core, own.replace('name = "e2e"', 'name = "closure"'), flags=re.S | re.M))
END
stub() { # NAME VERSION: a package with nothing in it
        local dir=$work/stubs
        mkdir -p "$dir"
        { head_of "$1" | sed "s/^Version: 1/Version: $2/"; printf '%%files\n'; tail_of; } >"$dir/$1.spec"
        SOURCE_DATE_EPOCH=1736164800 rpmbuild -bb --quiet --define "_rpmdir $dir" --define "_topdir $work/rpmbuild" \
                --define "_rpmfilename $1-$2-1.noarch.rpm" --define "_binary_payload w9.gzdio" "$dir/$1.spec" >"$work/log" 2>&1 ||
                cat "$work/log" >&2
        echo "$dir/$1-$2-1.noarch.rpm"
}
tiny=$({
        head_of tiny | sed 's/^Release: 1/Release: 1%{?dist}/'
        printf '%%install\nmkdir -p %%{buildroot}/usr/share\necho "%%{dist} %%{fedora} %%{vendor}" $(uname -r) >%%{buildroot}/usr/share/tiny\n'
        printf '%%files\n/usr/share/tiny\n'
        tail_of
} | srpm tiny)
KILN_CACHE=$(shared_cache) "$kiln" lock -t closure "$tiny" >"$work/closure.json" 2>"$work/log" || cat "$work/log" >&2
mkdir "$work/signed"
jq -r '.packages[].location' "$work/closure.json" | while read -r name; do cp "$bootstrap/repo/$name" "$work/signed/"; done
newer=$(stub info 99) azurelinux=$(stub azurelinux-release 4.0)
sign distribution "$work"/signed/*.rpm "$newer" "$azurelinux"
check "rpmsign signed every package" test "$(rpm -qp --nosignature --qf '%{RSAHEADER:pgpsig}\n' "$work"/signed/*.rpm "$newer" "$azurelinux" | grep -c RSA)" = \
        "$(($(jq '.packages | length' "$work/closure.json") + 2))"

# ---- repositories, below www/a, with the paths that the distributions have
repository() { # PATH RPM...
        local path=$www/a/$1 rpm name
        shift
        for rpm; do
                name=$(basename "$rpm")
                mkdir -p "$path/Packages/${name:0:1}"
                ln "$rpm" "$path/Packages/${name:0:1}/"
        done
        createrepo_c --quiet --no-database "$path"
}
fedora=pub/fedora/linux
ga=$fedora/releases/43/Everything/x86_64/os
updates=$fedora/updates/43/Everything/x86_64
rawhide=$fedora/development/rawhide/Everything/x86_64/os
azure=azurelinux/4.0/prod/base/x86_64
repository "$ga" "$work"/signed/*.rpm
python3 "$net" zstd "$www/a/$ga/repodata"
check "the metadata of one is zstd" test -n "$(ls "$www/a/$ga/repodata/"*-primary.xml.zst)"
repository "$updates" "$newer"
check "the metadata of another is gzip" test -n "$(ls "$www/a/$updates/repodata/"*-primary.xml.gz)"
repository "$rawhide" "$work"/signed/*.rpm "$newer"
repository "$azure" "$work"/signed/*.rpm "$azurelinux"
detach distribution "$www/a/$azure/repodata/repomd.xml"

# ---- mirrors: nobody listens; one is out of date; one has a damaged and a missing package; one is good
python3 "$net" serve "$www" "$work/requests" >"$work/port" &
server=$!
until [ -s "$work/port" ]; do sleep 0.05; done
host=http://127.0.0.1:$(cat "$work/port")
dead=http://127.0.0.1:$(python3 "$net" dead)
mkdir -p "$www/stale/$ga/repodata" "$www/poor/$fedora/releases/43/Everything/x86_64"
sed 's/<revision>/<revision>1/' "$www/a/$ga/repodata/repomd.xml" >"$www/stale/$ga/repodata/repomd.xml"
cp -r "$www/a/$ga" "$www/poor/$ga"
python3 "$net" flip "$(ls "$www/poor/$ga"/Packages/b/bash-[0-9]*.rpm)"
rm "$www/poor/$ga"/Packages/s/sed-[0-9]*.rpm
python3 "$net" metalink "$www/a/$ga/repodata/repomd.xml" {"$dead","$host/stale","$host/poor","$host/a"}"/$ga" >"$www/metalink/fedora-43"
python3 "$net" metalink "$www/a/$updates/repodata/repomd.xml" "$host/a/$updates" >"$www/metalink/updates-released-f43"
python3 "$net" metalink "$www/a/$rawhide/repodata/repomd.xml" "$host/a/$rawhide" >"$www/metalink/rawhide"
printf '%s\n' "# repo = fedora-43 arch = x86_64" {"$dead","$host/a"}"/$ga/" >"$www/mirrorlist/fedora-43"
printf '%s\n' "$host/a/$updates/" >"$www/mirrorlist/updates-released-f43"

# ---- the shipped definitions with other hosts and keys
derive() { # SHIPPED [NAME [SED-EXPRESSION...]]
        local from=$1 name=${2:-$1}
        shift $(($# < 2 ? $# : 2))
        sed -e "s|^metalink = \"https://mirrors.fedoraproject.org/|metalink = \"$host/|" -e 's/^keys = .*/keys = ["distribution"]/' \
                -e "s|^base-urls = .\"https://packages.microsoft.com/|base-urls = [\"$host/a/|" -e "s/^name = .*/name = \"$name\"/" \
                "${@/#/-e}" "$top/toolchains/$from.toml" >"$definitions/$name.toml"
}
for name in fedora-43 fedora-rawhide azurelinux-4.0; do derive $name; done
is "hosts and keys are all that differs" '' "$(for name in fedora-43 fedora-rawhide azurelinux-4.0; do
        diff "$top/toolchains/$name.toml" "$definitions/$name.toml" | grep '^[<>]' | grep -vE '^[<>] (metalink|base-urls|keys) = '
done)"

# ---- kiln toolchain check
status_of() { # COMMAND...: its exit status; what it said is in $work/log
        local got=0
        "$@" >"$work/log" 2>&1 || got=$?
        echo $got
}
is "the shipped definitions are sound" 0 "$(status_of "$kiln" toolchain check "$top"/toolchains/*.toml)"
is "the derived ones are, and their mirrors answer" 0 "$(status_of "$kiln" toolchain check --mirrors fedora-43 fedora-rawhide azurelinux-4.0)"
derive fedora-43 no-mirror "s|^metalink = \"$host/metalink.repo=updates|metalink = \"$dead/metalink?repo=updates|"
is "no mirror of one repository: INFRA" 4 "$(status_of "$kiln" toolchain check --mirrors no-mirror)"
check "  which is named" grep -q "INFRA: asking the mirrors of no-mirror: repository 'updates' does not answer" "$work/log"
is "  but the definition is sound" 0 "$(status_of "$kiln" toolchain check no-mirror)"
bad() { # NAME SED-EXPRESSION REGEX
        derive fedora-43 bad "$2"
        is "$1: BAD_INPUT" 3 "$(status_of "$kiln" toolchain check bad)"
        check "  said where and why" grep -qE "$3" "$work/log"
}
bad "a key that is not there" 's/^keys = .*/keys = ["nobody"]/' 'keys/nobody'
bad "no keys for signed packages" '/^keys = /d' "repository 'fedora' has no keys"
bad "a misspelt key" 's/^uri = /url = /' "line [0-9]+, column [0-9]+: unknown key 'url'"
bad "a metalink by ftp" 's|^metalink = .*|metalink = "ftp://a.invalid/metalink"|' 'ftp://a.invalid/metalink'
rm "$definitions/bad.toml"

# ---- and builds
run() { # NAME STATUS VERDICT REGEX TOOLCHAIN [OPTION...]
        local name=$1 status=$2 word=$3 regex=$4 toolchain=$5
        shift 5
        verdict "$name" "$status" "$word" "$regex" "$tiny" -t "$toolchain" "$@"
}
content() { rpm2cpio "$last_out/$1" | cpio -i --quiet --to-stdout ./usr/share/tiny; }
locked() { jq -r "$1" "$last_out/lock.json"; }

run "fedora-43 through metalinks, past a dead and a stale mirror" 0 OK '' fedora-43
is "  its macros and kernel" '.fc43 43 Fedora Project 6.17.1-300.fc43.x86_64' "$(content tiny-1-1.fc43.noarch.rpm)"
is "  updates win over the release" 'info-99-1.noarch updates' \
        "$(locked '.packages[] | select(.name == "info") | .nevra + " " + .repository')"
is "  every package is signed by the key of the definition" \
        "$(gpg --homedir "$work/distribution" --batch --with-colons --fingerprint 2>/dev/null | awk -F: '/^fpr/ { print tolower($10); exit }')" \
        "$(locked '[.packages[].signer] | unique | join(" ")')"
is "  the lock names the distribution, not a mirror" \
        'https://dl.fedoraproject.org/pub/fedora/linux/releases/43/Everything/x86_64/os/ https://dl.fedoraproject.org/pub/fedora/linux/updates/43/Everything/x86_64/' \
        "$(locked '[.repositories[].baseUrl] | join(" ")')"
check "  nor does the provenance" bash -c '! jq -r .payload "$1"/*.intoto.jsonl | base64 -d | grep -q 127.0.0.1' - "$last_out"
is "  nothing came from the stale mirror" "200 /stale/$ga/repodata/repomd.xml" "$(grep '^200 /stale/' "$work/requests" | sort -u)"
check "  a damaged package came from the next mirror" grep -q "^200 /a/$ga/Packages/b/bash-" "$work/requests"
check "  and so did a missing one" grep -q "^200 /a/$ga/Packages/s/sed-" "$work/requests"
is "  and no other" 2 "$(grep -c "^200 /a/$ga/Packages/" "$work/requests")"

run "fedora-rawhide" 0 OK '' fedora-rawhide
is "  its macros and kernel" '.fc46 46 Fedora Project 6.18.0-1.fc46.x86_64' "$(content tiny-1-1.fc46.noarch.rpm)"
run "azurelinux-4.0, whose repomd.xml is signed" 0 OK '' azurelinux-4.0
is "  its macros and kernel" '.azl4 43 Microsoft Corporation 6.18.0-1.azl4.x86_64' "$(content tiny-1-1.azl4.noarch.rpm)"
check "  the signature was fetched" grep -q "^200 /a/$azure/repodata/repomd.xml.asc" "$work/requests"

named=$({ head_of named | sed 's/^Release: 1/Release: 1.fc43/'; printf '%%files\n'; tail_of; } | srpm named >/dev/null; ls "$work"/s/named/*.src.rpm)
got=0
"$kiln" rebuild -o "$work/named" "$named" >/dev/null 2>"$work/log" || got=$?
is "without -t the dist tag chooses" "0 fedora-43" "$got $(jq -r .toolchain "$work/named/lock.json")"

# ---- what mirrors must not get away with. Packages come in a repository "updates" of their own.
bogus() { # NAME RPM: a package in the repository NAME, by metalink
        local path=$fedora/$1
        repository "$path" "$2"
        python3 "$net" metalink "$www/a/$path/repodata/repomd.xml" "$host/a/$path" >"$www/metalink/$1"
        derive fedora-43 "$1" "s/repo=updates-released-f43/repo=$1/"
}
rpm=$(stub info 99.2)
bogus unsigned "$rpm"
run "an unsigned package" 4 INFRA 'info-99.2-1.noarch: it is not signed, and repository updates' unsigned
rpm=$(stub info 99.3)
sign stranger "$rpm"
bogus strange "$rpm"
run "a package signed by a stranger" 4 INFRA 'info-99.3-1.noarch: it is signed by a key that is not among' strange
rpm=$(stub info 99.4)
sign distribution "$rpm"
printf '\x55\xaa\x55' | dd of="$rpm" bs=1 seek=$(($(stat -c %s "$rpm") - 40)) conv=notrunc status=none
bogus repacked "$rpm"
run "a signed package with another payload" 4 INFRA 'info-99.4-1.noarch.*digest' repacked
rpm=$(stub info 99.5)
sign distribution "$rpm"
bogus damaged "$rpm"
python3 "$net" flip "$rpm" # the same inode as in the repository
run "a package that no mirror has undamaged" 4 INFRA 'info-99.5-1.noarch.*SHA-256' damaged
derive fedora-43 by-list 's|^metalink = "\(.*\)/metalink?|mirrorlist = "\1/mirrorlist?|' 's/^keys = .*/keys = ["stranger"]/'
run "mirror lists, which need no metalink, and a definition with another key" 4 INFRA 'signed by a key that is not among' by-list
check "  the list was asked for" grep -q "^200 /mirrorlist?repo=fedora-43" "$work/requests"
rm "$www/metalink/rawhide"
run "a metalink that is not there" 4 INFRA 'metalink.repo=rawhide' fedora-rawhide
python3 "$net" metalink "$www/a/$ga/repodata/repomd.xml" "$host/a/$rawhide" >"$www/metalink/rawhide"
run "a metalink of another repomd.xml" 4 INFRA "not one of the metalink's" fedora-rawhide

repomd=$www/a/$azure/repodata/repomd.xml
detach stranger "$repomd"
run "a repomd.xml signed by a stranger" 4 INFRA 'repomd.xml of repository azurelinux-base' azurelinux-4.0
detach distribution "$repomd"
echo '<!-- more -->' >>"$repomd"
run "a repomd.xml changed after it was signed" 4 INFRA 'repomd.xml of repository azurelinux-base' azurelinux-4.0
rm "$repomd.asc"
run "a repomd.xml without its signature" 4 INFRA 'repomd.xml.asc' azurelinux-4.0
exit $failed
