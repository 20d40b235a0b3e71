#!/usr/bin/env python3
"""What tests/e2e/log.sh needs: other people's parts around a transparency log, with hashlib and openssl only.

Usage: log.py envelopes KEY NAME FIRST N       N attestations, tests NAME<FIRST>…, as a .jsonl file on stdout
       log.py holds BUNDLE VKEY ATTEST.PUB     checks a bundle's log entry; prints "holds" or why not
       log.py root LOG-DIRECTORY               size and root of what the entry bundles hold, and of the checkpoint
       log.py checkpoint LOG.KEY ORIGIN BODY-OF [SIZE]   a checkpoint like that of a file, signed by this key
       log.py vkey KEY NAME                    the verifier key of a private key
       log.py change BUNDLE OUT HOW [ARGUMENT]...        a changed bundle; see `changes`
       log.py store DIRECTORY HOW              an HTTP server that takes PUT; see store() for HOW
       log.py rekor LOG.KEY ORIGIN             a stand-in for Rekor v2; /HOW/api/v2/log/entries, see `answers`
Servers print their port.
"""
import base64
import hashlib
import http.server
import json
import os
import socketserver
import subprocess
import sys
import tempfile
import threading
import time


def b64(data):
    return base64.b64encode(data).decode()


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def leaf(entry):
    return sha256(b"\0", entry)


def split(n):
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def root(leaves):
    """RFC 6962, section 2.1, word for word; as is the path below."""
    if not leaves:
        return sha256()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sha256(b"\1", root(leaves[:k]), root(leaves[k:]))


def path(m, leaves):
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return path(m, leaves[:k]) + [root(leaves[k:])]
    return path(m - k, leaves[k:]) + [root(leaves[:k])]


def root_of_path(leaf_hash, m, n, hashes):
    """The root that a path leads to; None: it has another length than the tree demands."""
    if n == 1:
        return leaf_hash if not hashes else None
    if not hashes:
        return None
    k = split(n)
    inner = root_of_path(leaf_hash, m, k, hashes[:-1]) if m < k else root_of_path(leaf_hash, m - k, n - k, hashes[:-1])
    if inner is None:
        return None
    return sha256(b"\1", inner, hashes[-1]) if m < k else sha256(b"\1", hashes[-1], inner)


def openssl(*argv, data=None):
    return subprocess.run(("openssl",) + argv, input=data, check=True, stdout=subprocess.PIPE).stdout


def sign(key, data):
    with tempfile.NamedTemporaryFile() as f:
        f.write(data)
        f.flush()
        return openssl("pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", f.name)


def verifies(public_der, data, signature):
    with tempfile.TemporaryDirectory() as d:
        for name, content in (("key", public_der), ("data", data), ("sig", signature)):
            with open(f"{d}/{name}", "wb") as f:
                f.write(content)
        return subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", f"{d}/key", "-rawin", "-in", f"{d}/data",
             "-sigfile", f"{d}/sig"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def der_of(public):
    return bytes.fromhex("302a300506032b6570032100") + public


def public_of(private):
    return openssl("pkey", "-in", private, "-pubout", "-outform", "DER")[-32:]


def key_id(name, public):
    return sha256(name.encode(), b"\n\x01", public)


def vkey_of(name, public):
    return f"{name}+{key_id(name, public)[:4].hex()}+{b64(bytes([1]) + public)}"


def note(key, origin, size, root_hash):
    body = f"{origin}\n{size}\n{b64(root_hash)}\n"
    signature = key_id(origin, public_of(key))[:4] + sign(key, body.encode())
    return f"{body}\n\u2014 {origin} {b64(signature)}\n"


def pae(kind, body):
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(body), body)


def entry_of(envelope, public_der):
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    body = {"apiVersion": "0.0.2", "kind": "dsse", "spec": {"dsseV002": {
        "payloadHash": {"algorithm": "SHA2_256", "digest": b64(sha256(base64.b64decode(envelope["payload"])))},
        "signatures": [{"content": b64(signature),
                        "verifier": {"keyDetails": "PKIX_ED25519", "publicKey": {"rawBytes": b64(public_der)}}}]}}}
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def proof(entry, index, leaves, key, origin, **changed):
    """A TransparencyLogEntry as Rekor writes it: with all members, also the empty ones."""
    result = {"logIndex": str(index), "logId": {"keyId": b64(key_id(origin, public_of(key)))},
              "kindVersion": {"kind": "dsse", "version": "0.0.2"}, "integratedTime": "0", "inclusionPromise": None,
              "inclusionProof": {"logIndex": str(index), "rootHash": b64(root(leaves)), "treeSize": str(len(leaves)),
                                 "hashes": [b64(h) for h in path(index, leaves)],
                                 "checkpoint": {"envelope": note(key, origin, len(leaves), root(leaves))}},
              "canonicalizedBody": b64(entry)}
    result.update(changed)
    return result


# ---- commands

def envelopes(key, name, first, n):
    for i in range(int(first), int(first) + int(n)):
        digest = {"rpmHeaderSha256": "0" * 64, "rpmPayloadSha256": "1" * 64}
        statement = {"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "a-1-1.noarch.rpm", "digest": digest}],
                     "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
                     "predicate": {"result": "PASSED", "configuration": [{"name": f"{name}{i}"}]}}
        body = json.dumps(statement).encode()
        kind = "application/vnd.in-toto+json"
        print(json.dumps({"payload": b64(body), "payloadType": kind,
                          "signatures": [{"keyid": "", "sig": b64(sign(key, pae(kind, body)))}]}))


def why_not(bundle, vkey, attest_pub):
    name, _, data = vkey.strip().split("+", 2)
    public = base64.b64decode(data)[1:]
    builder = openssl("pkey", "-pubin", "-in", attest_pub, "-outform", "DER")
    envelope = bundle["dsseEnvelope"]
    body = base64.b64decode(envelope["payload"])
    if not verifies(builder, pae(envelope["payloadType"], body), base64.b64decode(envelope["signatures"][0]["sig"])):
        return "signature"
    logged, = bundle["verificationMaterial"]["tlogEntries"]
    checkpoint = logged["inclusionProof"]["checkpoint"]["envelope"]
    text, _, signatures = checkpoint.rpartition("\n\n")
    origin, size, root_hash = text.split("\n")
    dash, signer, signature = signatures.strip().split(" ")
    signature = base64.b64decode(signature)
    if dash != "\u2014" or origin != name or signer != name or signature[:4] != key_id(name, public)[:4]:
        return "checkpoint's origin or key"
    if not verifies(der_of(public), (text + "\n").encode(), signature[4:]):
        return "checkpoint's signature"
    entry = entry_of(envelope, builder)
    if base64.b64decode(logged["canonicalizedBody"]) != entry:
        return "body"
    hashes = [base64.b64decode(h) for h in logged["inclusionProof"]["hashes"]]
    if root_of_path(leaf(entry), int(logged["logIndex"]), int(size), hashes) != base64.b64decode(root_hash):
        return "inclusion proof"
    return None


def holds(bundle, vkey, attest_pub):
    with open(bundle, encoding="utf-8") as f, open(vkey, encoding="utf-8") as k:
        print(why_not(json.load(f), k.read(), attest_pub) or "holds")


def log_leaves(directory, size):
    leaves = []
    for n in range((size + 255) // 256):
        width = min(256, size - 256 * n)
        name = f"{directory}/tile/entries/{n:03}" + (f".p/{width}" if width < 256 else "")
        with open(name, "rb") as f:
            data = f.read()
        while data:
            length = int.from_bytes(data[:2], "big")
            leaves.append(leaf(data[2:2 + length]))
            data = data[2 + length:]
    return leaves


def show_root(directory):
    with open(f"{directory}/checkpoint", encoding="utf-8") as f:
        _, size, claimed = f.read().split("\n")[:3]
    leaves = log_leaves(directory, int(size))
    print(len(leaves), b64(root(leaves)), size, claimed)


def checkpoint(key, origin, like, size=None):
    with open(like, encoding="utf-8") as f:
        _, old_size, root_hash = f.read().split("\n")[:3]
    sys.stdout.write(note(key, origin, size or old_size, base64.b64decode(root_hash)))


def other_tree(bundle, key, origin):
    """The same envelope at the same place of another tree of the same size, signed by the same key."""
    logged, = bundle["verificationMaterial"]["tlogEntries"]
    entry, index = base64.b64decode(logged["canonicalizedBody"]), int(logged["logIndex"])
    leaves = [leaf(b"other %d" % i) for i in range(int(logged["inclusionProof"]["treeSize"]))]
    leaves[index] = leaf(entry)
    bundle["verificationMaterial"]["tlogEntries"] = [proof(entry, index, leaves, key, origin)]


def flip(logged):
    hashes = logged["inclusionProof"]["hashes"]
    first = bytearray(base64.b64decode(hashes[0]))
    first[7] ^= 1
    hashes[0] = b64(bytes(first))


def swap(bundle, other):
    with open(other, encoding="utf-8") as f:
        bundle["verificationMaterial"]["tlogEntries"] = json.load(f)["verificationMaterial"]["tlogEntries"]


def swap_proof(bundle, other):
    """Everything but the body, which is still the bundle's own."""
    body = bundle["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"]
    swap(bundle, other)
    bundle["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"] = body


def resign(logged, key, origin):
    inner = logged["inclusionProof"]["checkpoint"]
    size, root_hash = inner["envelope"].split("\n")[1:3]
    inner["envelope"] = note(key, origin, size, base64.b64decode(root_hash))


def edit(logged, old, new):
    inner = logged["inclusionProof"]["checkpoint"]
    assert old in inner["envelope"]
    inner["envelope"] = inner["envelope"].replace(old, new, 1)


def one(change):
    return lambda bundle, *a: change(bundle["verificationMaterial"]["tlogEntries"][0], *a)


changes = {
    "none": lambda b: b["verificationMaterial"].pop("tlogEntries"),
    "flip": one(flip),
    "index": one(lambda e, i: (e.update(logIndex=i), e["inclusionProof"].update(logIndex=i))),
    "no-body": one(lambda e: e.pop("canonicalizedBody")),
    "swap": swap,
    "swap-proof": swap_proof,
    "resign": one(resign),
    "edit": one(lambda e, old, new: edit(e, old.encode().decode("unicode_escape"), new.encode().decode("unicode_escape"))),
    "version": one(lambda e, v: e["kindVersion"].update(version=v)),
    "other-tree": other_tree,
    "other-kind": one(lambda e: e.update(kindVersion={"kind": "hashedrekord", "version": "0.0.1"}, inclusionProof=None)),
    "beside": lambda b: b["verificationMaterial"]["tlogEntries"].insert(
        0, {"logIndex": "7", "kindVersion": {"kind": "intoto", "version": "0.0.2"}, "inclusionPromise": {}}),
    "twice": lambda b, n: b["verificationMaterial"].update(tlogEntries=b["verificationMaterial"]["tlogEntries"] * int(n)),
}


def change(source, out, how, *arguments):
    with open(source, encoding="utf-8") as f:
        bundle = json.load(f)
    changes[how](bundle, *arguments)
    with open(out, "w", encoding="utf-8") as f:
        json.dump(bundle, f)


# ---- servers

class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))


def run(handler):
    server = Server(("127.0.0.1", 0), handler)
    os.write(1, b"%d\n" % server.server_address[1])
    server.serve_forever()


def store(directory, how):
    """How: webdav; no-etag; no-conditions, which it ignores; apache, whose ETags are weak at first; and
    rewinds: shows checkpoint.honest first, then checkpoint, and in the end checkpoint.honest again
    meanwhile: runs $MEANWHILE between reading the first checkpoint and answering
    overtaken: runs $MEANWHILE when checkpoint and pending were both asked for, before it reads the second
    twice: refuses the first PUT of checkpoint, as if another one was there, and runs $MEANWHILE
    lost: answers nothing to the first PUT of checkpoint and of pending, which it does"""
    lock, asked, heads, got_lost = threading.Lock(), [], [], set()

    def meanwhile(name, before):
        asked.append(name)
        if how == "overtaken" and before and {"/checkpoint", "/pending"} <= set(asked) and "done" not in asked \
                or how == "meanwhile" and not before and "/checkpoint" in asked and "done" not in asked:
            asked.append("done")
            subprocess.run(["bash", "-c", os.environ["MEANWHILE"]], stdout=subprocess.DEVNULL, check=True)

    class Store(Handler):
        def file(self):
            if how == "rewinds" and self.path == "/checkpoint" and self.command == "GET":
                heads.append("GET")
                if len(heads) == 1 or "PUT" in heads and heads[-2:] == ["GET", "GET"]:
                    return directory + "/checkpoint.honest"
            return os.path.join(directory, os.path.normpath("/" + self.path).lstrip("/"))

        def tag(self):
            try:
                with open(self.file(), "rb") as f:
                    return '"' + hashlib.sha256(f.read()).hexdigest() + '"'
            except FileNotFoundError:
                return None

        def do_GET(self):
            with lock:
                meanwhile(self.path, True)
                try:
                    with open(self.file(), "rb") as f:
                        data = f.read()
                except FileNotFoundError:
                    return self.answer(404)
                meanwhile(self.path, False)
            tag = '"' + hashlib.sha256(data).hexdigest() + '"'
            if how == "apache" and time.time() - os.stat(self.file()).st_mtime < 1:
                tag = "W/" + tag
            return self.answer(200, data, **({} if how == "no-etag" else {"ETag": tag}))

        def do_MKCOL(self):
            with lock:
                if os.path.isdir(self.file()):
                    return self.answer(405)
                try:
                    os.mkdir(self.file())
                except OSError:
                    return self.answer(409)
            return self.answer(201)

        def do_PUT(self):
            data = self.body()
            wanted, absent = self.headers.get("If-Match"), self.headers.get("If-None-Match")
            with lock:
                tag = self.tag()
                if how == "twice" and self.path == "/checkpoint" and not heads:
                    heads.append("refused")
                    subprocess.run(["bash", "-c", os.environ["MEANWHILE"]], check=True)
                    return self.answer(412)
                if how != "no-conditions" and ((wanted and wanted != tag) or (absent and tag)):
                    return self.answer(412)
                if not os.path.isdir(os.path.dirname(self.file())):
                    return self.answer(409)  # RFC 4918, section 9.7.1
                with open(self.file(), "wb") as f:
                    f.write(data)
                if self.path == "/checkpoint":
                    heads.append("PUT")
            if how == "lost" and self.path in ("/checkpoint", "/pending") and self.path not in got_lost:
                got_lost.add(self.path)
                self.close_connection = True
                return None
            return self.answer(204 if tag else 201)

    run(Store)


def rekor(key, origin):
    leaves, lock, seen = [], threading.Lock(), {}
    stranger = tempfile.NamedTemporaryFile()
    stranger.write(openssl("genpkey", "-algorithm", "ed25519"))
    stranger.flush()

    def accept(request):
        """api/proto/rekor/v2/dsse.proto: every signature is checked before anything is logged."""
        dsse = request["dsseRequestV002"]
        verifier, = dsse["verifiers"]
        public = base64.b64decode(verifier["publicKey"]["rawBytes"])
        envelope = dsse["envelope"]
        signature, = envelope["signatures"]
        if verifier["keyDetails"] != "PKIX_ED25519" or not verifies(
                public, pae(envelope["payloadType"], base64.b64decode(envelope["payload"])), base64.b64decode(signature["sig"])):
            raise ValueError
        return entry_of(envelope, public)

    def add(entry):
        leaves.append(leaf(b"somebody else's %d" % len(leaves)))
        leaves.append(leaf(entry))
        return len(leaves) - 1

    answers = {
        "ok": lambda e, i: proof(e, i, leaves, key, origin),
        "other-entry": lambda e, i: proof(b"{}", i, leaves, key, origin),
        "other-place": lambda e, i: proof(e, i - 1, leaves, key, origin),
        "other-key": lambda e, i: proof(e, i, leaves, stranger.name, origin),
        "other-log": lambda e, i: proof(e, i, leaves, key, "other.example/log"),
        "no-proof": lambda e, i: proof(e, i, leaves, key, origin, inclusionProof=None),
    }

    class Rekor(Handler):
        def do_POST(self):
            how, _, rest = self.path.lstrip("/").partition("/")
            data = self.body()
            with lock:
                seen[self.path] = seen.get(self.path, 0) + 1
                if rest != "api/v2/log/entries" or how == "nowhere":
                    return self.answer(404)
                if how == "busy" and seen[self.path] <= 2:
                    return self.answer(503, b'{"code":14,"message":"reached max pushback; retry","details":[]}')
                if how == "large":
                    return self.answer(200, b" " * (2 << 20))
                if how == "no-json":
                    return self.answer(200, b"<html>")
                try:
                    if how == "refuse":
                        raise ValueError
                    entry = accept(json.loads(data))
                except (ValueError, KeyError, TypeError):
                    return self.answer(400, b'{"code":3,"message":"invalid dsse request","details":[]}')
                index = add(entry)
                answer = answers["ok" if how == "busy" else how](entry, index)
            return self.answer(200, json.dumps(answer).encode(), **{"Content-Type": "application/json"})

    run(Rekor)


commands = {"envelopes": envelopes, "holds": holds, "root": show_root, "checkpoint": checkpoint, "change": change,
            "store": store, "rekor": rekor, "vkey": lambda key, name: print(vkey_of(name, public_of(key)))}
commands[sys.argv[1]](*sys.argv[2:])
