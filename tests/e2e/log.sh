#!/bin/bash
# What is in a transparency log cannot be taken out or changed unnoticed, several writers and dead ones do not harm it, and
# whoever demands that attestations are logged is told, offline, when they are not. log.py plays web servers, Rekor, and a
# verifier that uses nothing of Kiln. Prints "ok NAME" or "not ok NAME" lines.
. "$(dirname "$0")/pipeline.bash"
KILN_CACHE=$(shared_cache)
export KILN_CACHE KILN_KEYS=$work/keys
py=$here/log.py
origin=kiln.example/log
cd "$work" || exit 1
"$kiln" signer --show >/dev/null 2>&1
KILN_KEYS=$work/keys-3 "$kiln" signer --show >/dev/null 2>&1
cp keys-3/attest.pub stranger.pub
children=()
stop() {
        local child
        for child in "${children[@]}"; do kill "$child" 2>/dev/null; done
        finish
}
trap stop EXIT

says() { # NAME STATUS REGEX COMMAND...
        local name=$1 status=$2 regex=$3 got=0
        shift 3
        "$@" >"$work/said" 2>&1 || got=$?
        if [ "$got" = "$status" ] && tr '\n' ' ' <"$work/said" | grep -qE -- "$regex"; then say 0 "$name"; else
                printf '    exit status %s (wanted %s), not said: %s\n' "$got" "$status" "$regex"
                tail -n 6 "$work/said" | sed 's/^/    /'
                say 1 "$name"
        fi
}
size_of() { sed -n 2p "$1/checkpoint"; }
whole() { # NAME LOG SIZE: by Kiln, and by the naive definition of a tree
        local line
        says "$1" 0 "$3 entries, as its checkpoint says" "$kiln" log check "$2" --log-key log.vkey
        line=$("$py" root "$2")
        is "  as somebody else computes it" "$3 ${line#* }" "${line%% *} $(echo "$line" | cut -d ' ' -f 2) $3 $(echo "$line" | cut -d ' ' -f 2)"
}
hold() { # NAME BUNDLE...: by somebody else's computation
        local name=$1 bundle wrong=
        shift
        for bundle; do
                [ "$("$py" holds "$bundle" "$vkey" keys/attest.pub 2>&1)" = holds ] || wrong+=" $(basename "$bundle")"
        done
        is "$name" "" "$wrong"
}
vkey=log.vkey
forget() { export KILN_CONFIG=$work/config-$RANDOM$RANDOM; } # another user: no log was seen before
server() { # ARGUMENT...: a server of log.py; its port in $port
        rm -f port
        mkfifo port
        "$py" "$@" >port &
        children+=($!)
        port=$(head -n 1 port)
}
attestations() { # NAME N
        mkdir -p "a/$1"
        "$py" envelopes keys/attest.key "$1" 0 "$2" >"a/$1/$1-1-1.intoto.jsonl"
}

# ---- a log begins
says "key pair and log are made in one go" 0 'other.example' env KILN_KEYS="$work/keys-4" "$kiln" log init N --origin other.example/new
says "a log begins" 0 "^$origin\\+[0-9a-f]{8}\\+[A-Za-z0-9+/]+ *\$" "$kiln" log init L --origin $origin
cp said log.vkey
is "  its key is told apart from others as the specification says" "$("$py" vkey keys/log.key $origin)" "$(cat log.vkey)"
says "  once" 6 'there is a log already' "$kiln" log init L --origin $origin
says "  under one name for each key" 6 "it is the key of the log $origin" "$kiln" log init L2 --origin other.example
says "  which has no blanks" 2 'without blanks' env KILN_KEYS="$work/keys-2" "$kiln" log init L2 --origin 'a b'
says "nothing is logged where there is no log" 3 'cannot open the directory' "$kiln" log append nowhere x.intoto.jsonl
whole "an empty log is whole" L 0

# ---- a result is logged and verified
{
        head_of pot
        printf '%%install\nmkdir -p %%{buildroot}/usr/share/pot\necho a >%%{buildroot}/usr/share/pot/a\n%%files\n/usr/share/pot\n'
        tail_of
} | srpm pot >/dev/null
"$kiln" rebuild -q -t e2e -o out s/pot/pot-1-1.src.rpm >said 2>&1 || cat said
verify() { "$kiln" verify --quick --key keys/attest.pub --log-key "$vkey" "$@"; }
says "attestations that were not logged" 6 'line 1 comes without proof that an accepted log holds it' verify out
cp -r out plain
says "a result is logged" 0 '^0 .*pot-1-1.provenance.sigstore.json.* 3 .*test-isa.sigstore.json' "$kiln" log append L out/*.intoto.jsonl
says "  and verified offline" 0 'OK' unshare --user --net "$kiln" verify --quick --key keys/attest.pub --log-key log.vkey out
hold "  by others too" out/*.sigstore.json
whole "  the log is whole" L 4
says "  what it holds is shown" 0 "^0 +$(sed -n 1p out/*.jsonl | jq -r .payload | base64 -d | sha256sum | cut -d ' ' -f 1) " "$kiln" log show L
is "  without a word about logs nobody looks" OK "$("$kiln" verify -q --quick --json --key keys/attest.pub out 2>/dev/null | jq -r .verdict)"
cat >policy.toml <<END
[[key]]
name = "farm"
operator = "farm"
file = "keys/attest.pub"
[[log]]
file = "log.vkey"
[require]
logged = true
[allow]
unsigned-source = true
unsigned-inputs = true
END
says "  a policy can demand it" 0 OK "$kiln" verify --quick --policy policy.toml out
says "  and it is missed" 6 'comes without proof' "$kiln" verify --quick --policy policy.toml plain
sed '/^\[\[log\]\]/,+1d' policy.toml >no-log.toml
says "  a policy that names no log cannot" 3 'logged needs a \[\[log\]\]' "$kiln" verify --quick --policy no-log.toml out
sed 's/^logged = true/logged = false/' policy.toml >may.toml
says "  what need not be logged" 0 OK "$kiln" verify --quick --policy may.toml plain

# ---- what a bundle can lie about
KILN_KEYS=$work/keys-3 "$kiln" log init M --origin other.example/log >other.vkey
KILN_KEYS=$work/keys-3 "$kiln" log append M out/*.intoto.jsonl -k keys/attest.pub -o elsewhere >/dev/null
cp -r out one-out && cp out/pot-1-1.provenance.sigstore.json good.json
lie() { # NAME STATUS REGEX HOW...: of the provenance's bundle
        local name=$1 status=$2 regex=$3
        shift 3
        "$py" change good.json one-out/pot-1-1.provenance.sigstore.json "$@"
        says "$name" "$status" "$regex" verify one-out
}
lie "an entry without the copy of its body" 0 OK no-body
lie "a proof with one bit flipped" 7 'inclusion proof does not lead to the checkpoint' flip
lie "a proof of another place" 7 'does not lead to the checkpoint' index 1
lie "the entry of another envelope" 7 'what was logged is another envelope' swap out/pot-1-1.spdx.sigstore.json
lie "the proof of another envelope" 7 'does not lead to the checkpoint' swap-proof out/pot-1-1.spdx.sigstore.json
lie "an index outside the tree" 7 'older than the entry' index 4
lie "a checkpoint by another key" 7 'checkpoint was signed by another key' resign keys-3/log.key $origin
lie "a checkpoint of another size under the old signature" 7 "signature that the log's key did not make" edit '\n4\n' '\n5\n'
lie "a checkpoint of another log" 6 'is in the log other.example/log, which is none of those accepted' resign keys-3/log.key other.example/log
lie "a checkpoint whose origin was changed" 6 'is in the log kiln.example/lox, which is none' edit log lox
lie "a checkpoint that is none" 3 'checkpoint has not the form' edit '\n4\n' '\n04\n'
lie "an entry of another version" 6 'entries of other kinds than dsse 0.0.2 only' version 0.0.1
lie "an entry of another kind" 6 'entries of other kinds than dsse 0.0.2 only' other-kind
lie "  beside one that holds" 0 OK beside
lie "more entries than anybody has" 3 'log entries are no list of a sane length' twice 17
lie "no entry" 6 'comes without proof' none
lie "another tree of the same size, signed by the same key" 7 "the log $origin was forked: " other-tree keys/log.key $origin
cp elsewhere/*.sigstore.json one-out/
says "all in another log" 6 'is in the log other.example/log, which is none' verify one-out
says "  which is accepted too" 0 OK verify --log-key other.vkey one-out

rm -rf both && cp -r out both
"$kiln" log append L both/*.intoto.jsonl -o both >/dev/null
KILN_KEYS=$work/keys-3 "$kiln" log append M both/*.intoto.jsonl -k keys/attest.pub >/dev/null
is "logged again, in another log too: a bundle keeps one entry of each" "$(printf '%s\n' $origin other.example/log)" \
        "$(jq -r '.verificationMaterial.tlogEntries[].inclusionProof.checkpoint.envelope' both/pot-1-1.spdx.sigstore.json | grep -E '^[a-z.]+/log$')"
says "  either will do" 0 OK env -u KILN_KEYS "$kiln" verify --quick --key keys/attest.pub --log-key other.vkey both

# ---- over the borders of tiles
attestations many 256
attestations few 40
says "256 entries at once" 0 '^8 .* 263 ' "$kiln" log append L a/many/*.jsonl
whole "  the log is whole" L 264
says "  and 40 more" 0 '^264 .* 303 ' "$kiln" log append L a/few/*.jsonl
whole "  it still is" L 304
is "  full and partial tiles are where the specification says" "tile/0/000 tile/0/001.p/48 tile/1/000.p/1 tile/entries/000 tile/entries/001.p/48" \
        "$(cd L && find tile -type f ! -name '.*' -print | grep -E 'tile/(0|entries)/(000$|001.p/48)|tile/1' | sort | tr '\n' ' ' | sed 's/ $//')"
hold "  proofs over both" a/many/*many0.sigstore.json a/many/*many247.sigstore.json a/many/*many248.sigstore.json a/few/*few39.sigstore.json
cp -r L before-more
cp L/checkpoint since
{ cat a/few/*.jsonl a/many/*.jsonl | head -n 257; } >a/257-1-1.intoto.jsonl
says "more than that at once is refused" 3 '257 entries at once' "$kiln" log append L a/257-1-1.intoto.jsonl
says "an attestation by somebody else is refused" 7 'none of the 1 keys' "$kiln" log append L out/*.jsonl -k stranger.pub
mkdir a/twin
cat a/few/*.jsonl a/few/*.jsonl >a/twin/twin-1-1.intoto.jsonl
says "two attestations of one kind, whose bundles would have one name" 3 'line 41 is a second one of the kind test-few0' "$kiln" log append L a/twin/*.jsonl
is "  nothing was logged" 304 "$(size_of L)"

# ---- several writers, dead writers
for writer in w v; do
        for n in 0 1 2 3 4 5; do
                mkdir -p "a/$writer$n"
                "$py" envelopes keys/attest.key "$writer" $n 1 >"a/$writer$n/$writer$n-1-1.intoto.jsonl"
        done
done
append_each() { # LOG WRITER
        local n
        for n in 0 1 2 3 4 5; do "$kiln" log append "$1" a/"$2$n"/*.jsonl || echo "    $2$n failed"; done
}
together() { # NAME LOG: two writers, six attestations each
        local before
        before=$(size_of "$2")
        append_each "$2" w >said-w 2>&1 &
        append_each "$2" v >said-v 2>&1
        wait $!
        is "$1" "$(seq $((before)) $((before + 11)) | tr '\n' ' ')" "$(cat said-w said-v | cut -d ' ' -f 1 | sort -n | tr '\n' ' ')"
        whole "  the log is whole" "$2" $((before + 12))
        hold "  every proof holds" a/[wv][0-5]/*.sigstore.json
}
together "two writers at once" L

# What a writer that is killed leaves: its entries claimed; some tiles; all but the checkpoint.
crash() { # NAME FILES-TO-TAKE-AWAY...
        local name=$1 left
        shift
        rm -rf C && cp -r before-more C
        forget
        "$kiln" log append C a/w0/*.jsonl >/dev/null
        cp before-more/checkpoint C/
        for left; do rm -rf "C/$left"; done
        forget
        says "killed $name: the next one finishes what was begun" 0 '^305 ' "$kiln" log append C a/v0/*.jsonl
        whole "  the log is whole" C 306
}
crash "before the checkpoint"
crash "before the last tile" tile/0/001.p/49
crash "before any tile" tile/0/001.p/49 tile/entries/001.p/49
rm -rf C && cp -r before-more C
forget
for delay in 01 03 05 07 09 11 14 18 25; do
        # Within a shell that goes on: nobody says "Killed".
        (timeout -s KILL "0.$delay" "$kiln" log append C a/many/*.jsonl; true) >/dev/null 2>&1
done
reported=$("$kiln" log append C a/w1/*.jsonl 2>&1 | cut -d ' ' -f 1)
whole "killed at any moment: the log is whole" C $((reported + 1))
hold "  what was reported is in it" a/w1/*.sigstore.json
is "  and nothing is in it in part" 48 $(((reported - 0) % 256))

# ---- what a store can lie about
forget
damage() { # NAME STATUS REGEX COMMAND...
        local name=$1 status=$2 regex=$3
        shift 3
        rm -rf D && cp -r L D
        (cd D && "$@")
        says "$name" "$status" "$regex" "$kiln" log check D --log-key log.vkey
}
byte() { # FILE OFFSET
        printf '\377' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
damage "one byte of a tile" 7 'tile/0/000: its hashes are not those of the entries' byte tile/0/000 100
damage "one byte of a tile above" 7 'tile/1/000.p/1: its hashes' byte tile/1/000.p/1 3
damage "one byte of an entry" 7 'tile/0/000: its hashes are not' byte tile/entries/000 99
damage "one byte of a length" 7 'does not hold 256 entries' byte tile/entries/000 0
damage "a tile that is missing" 7 'tile/0/001.p/60: it is missing' rm tile/0/001.p/60
damage "entries that are missing" 7 'tile/entries/001.p/60: it is missing' rm tile/entries/001.p/60
damage "a tile that is cut short" 7 'does not hold 256 hashes' truncate -s -1 tile/0/000
damage "a checkpoint of another root" 7 "signature that the log's key did not make" sed -i -e '3s/^A/B/' -e '3t' -e '3s/^./A/' checkpoint
damage "no checkpoint" 3 'it has no checkpoint' rm checkpoint
rm -rf D && cp -r L D
byte D/tile/0/001.p/60 9
says "nobody appends to a tile that was changed" 7 'do not lead to the checkpoint' "$kiln" log append D a/w1/*.jsonl
rm -rf D && cp -r L D
byte D/tile/entries/001.p/60 9
says "  nor to entries" 7 'are not those that the checkpoint covers' "$kiln" log append D a/w1/*.jsonl
rm -rf D && cp -r L D
echo garbage >D/pending
says "  nor behind what is no entry" 3 'damaged' "$kiln" log append D a/w1/*.jsonl

# ---- rewound and forked
says "a log that was seen" 0 '316 entries' "$kiln" log check L
rm -rf R && cp -r before-more R
says "  and was rewound" 7 'it was rewound: it covers 304 entries, an earlier one covered 316' "$kiln" log check R
says "  does not grow again" 7 'it was rewound' "$kiln" log append R a/w1/*.jsonl
remembered=$KILN_CONFIG
forget
"$kiln" log append R a/few/*.jsonl >/dev/null
export KILN_CONFIG=$remembered
says "  nor when it goes on in another way" 7 'the log was forked' "$kiln" log check R
rm -rf E && cp -r L E
rm E/checkpoint
says "  nor when its checkpoint is gone" 3 'seen with 316 entries: is this where it is' "$kiln" log append E a/w1/*.jsonl
says "  nor begins again" 6 'seen with 316 entries, and would be forked' "$kiln" log init E --origin $origin
is "  nothing was written" "" "$(ls E/checkpoint 2>/dev/null)"
says "an earlier checkpoint" 0 '316 entries' "$kiln" log check L --since since
says "  that the log does not extend" 7 'it was rewound' "$kiln" log check L --log-key log.vkey --since R/checkpoint
says "  by another log" 7 'is of another log' "$kiln" log check L --since M/checkpoint

# ---- on a web server
mkdir web
server store web webdav
forget
url=http://127.0.0.1:$port
says "a log on a web server begins" 0 "^$origin" "$kiln" log init "$url" --origin $origin
says "  once" 6 'there is a log already' "$kiln" log init "$url" --origin $origin
says "  with 256 entries" 0 '^0 ' "$kiln" log append "$url/" a/many/*.jsonl
together "  and two writers at once" web
says "  is checked there" 0 '268 entries' "$kiln" log check "$url"
says "  not with --offline" 6 'offline' "$kiln" log check --offline "$url"
rm -rf local
cp -r web local
says "  and is the same log as in a directory" 0 '^268 ' "$kiln" log append local a/w1/*.jsonl
says "a server that is not there" 4 'talking to' "$kiln" log check http://127.0.0.1:1
forget
for how in no-etag no-conditions; do
        mkdir web-$how
        server store web-$how $how
        case $how in
        no-etag) says "a server without ETags is refused" 4 'no strong ETag' "$kiln" log init "http://127.0.0.1:$port" --origin $origin ;;
        *) says "a server that ignores conditions is refused" 6 'ignores If-Match' "$kiln" log init "http://127.0.0.1:$port" --origin $origin ;;
        esac
        is "  nothing begins there" "" "$(ls web-$how/checkpoint 2>/dev/null)"
done
cp -r before-more/. web-no-conditions
says "  with a log on it" 6 'there is a log already' "$kiln" log init "http://127.0.0.1:$port" --origin $origin
says "  that cannot grow" 6 'ignores If-Match' "$kiln" log append "http://127.0.0.1:$port" a/w1/*.jsonl
whole "  it stays as it is" web-no-conditions 304

mkdir web-apache
forget
server store web-apache apache
says "a server whose ETags are weak at first" 0 "^$origin" "$kiln" log init "http://127.0.0.1:$port" --origin $origin
forget
says "  is waited for" 0 '^0 ' "$kiln" log append "http://127.0.0.1:$port" a/w1/*.jsonl

mkdir web-lost
server store web-lost lost
forget
says "answers that get lost: a log begins" 0 "^$origin" "$kiln" log init "http://127.0.0.1:$port" --origin $origin
says "  and grows" 0 '^0 ' "$kiln" log append "http://127.0.0.1:$port" a/w1/*.jsonl
whole "  once" web-lost 1

# ---- while others write, and while the server lies
forget
cp -r before-more overtaken
MEANWHILE="KILN_CONFIG=$work/config-v '$kiln' log append overtaken a/v0/*.jsonl && KILN_CONFIG=$work/config-v '$kiln' log append overtaken a/v1/*.jsonl" \
        server store overtaken overtaken
says "two others append between what one reads" 0 '^306 ' "$kiln" log append "http://127.0.0.1:$port" a/w1/*.jsonl
whole "  the log is whole" overtaken 307
forget
cp -r before-more meanwhile
MEANWHILE="'$kiln' log append meanwhile a/v0/*.jsonl" server store meanwhile meanwhile
says "the same user appends while he checks" 0 '304 entries' "$kiln" log check "http://127.0.0.1:$port"
rm -rf R && cp -r before-more R
says "  the newer one is remembered" 7 'it covers 304 entries, an earlier one covered 305' "$kiln" log check R
forget
"$kiln" log check L >/dev/null
cp -r before-more rewinds
cp L/checkpoint rewinds/checkpoint.honest
server store rewinds rewinds
says "a server that shows an older log in between" 7 'it was rewound' "$kiln" log append "http://127.0.0.1:$port" a/w1/*.jsonl -o rewound
is "  gets nothing signed" 304 "$(size_of rewinds)"
is "  no bundle came of that" "" "$(ls rewound)"
forget
cp -r before-more another && "$kiln" log append another a/v0/*.jsonl >/dev/null
forget
cp -r before-more twice
MEANWHILE="cp another/pending twice/pending" server store twice twice
says "a server that asks for a second tree of one size" 7 'other entries come next than those' "$kiln" log append "http://127.0.0.1:$port" a/w1/*.jsonl -o rewound
is "  gets one signed" "304 " "$(size_of twice) $(ls rewound)"

# ---- Rekor v2
openssl genpkey -algorithm ed25519 -out rekor.key 2>/dev/null
"$py" vkey rekor.key rekor.example/2026 >rekor.vkey
server rekor rekor.key rekor.example/2026
rekor() { # NAME STATUS REGEX HOW
        local out=rekor-$4
        says "$1" "$2" "$3" "$kiln" log append "rekor+http://127.0.0.1:$port/$4" --log-key rekor.vkey -o "$out" out/*.intoto.jsonl
}
rekor "attestations go into Rekor's log" 0 '^1 .*provenance.* 7 ' ok
vkey=rekor.vkey
hold "  by others too" rekor-ok/*.sigstore.json
cp plain/*.rpm plain/*.intoto.jsonl rekor-ok/
says "  and are verified offline" 0 OK verify rekor-ok
rekor "Rekor is busy" 0 'provenance' busy
rekor "Rekor refuses" 6 'answered 400: invalid dsse request.*release 2.2' refuse
rekor "Rekor answers with another entry" 7 'another envelope' other-entry
rekor "  another place" 7 'does not lead to the checkpoint' other-place
rekor "  a checkpoint by another key" 7 'signed by another key' other-key
rekor "  of another log" 7 'is of another log' other-log
rekor "  no proof" 3 'no inclusion proof' no-proof
rekor "  no JSON" 3 "the log's answer" no-json
rekor "  without end" 3 'too large' large
rekor "  nothing of the kind" 6 'answered 404' nowhere
is "  no bundle came of that" "" "$(find rekor-[!ob]* -name '*.json')"
exit $failed
