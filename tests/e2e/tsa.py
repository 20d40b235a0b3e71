#!/usr/bin/env python3
"""A time-stamp authority on loopback (RFC 3161 over HTTP) that can fail in every way timestamp.sh needs.

Usage: tsa.py DIRECTORY NAME... ; makes authorities of these names there: NAME.root.pem, and below it NAME.pem with a key
and NAME.cnf for `openssl ts -reply`. Then writes its port to stdout and serves. The path says how it answers:
  /NAME         as that authority
  /NAME/busy    with 503 for the first two requests, then so
  /NAME/other   about another hash than it was asked for
  /NAME/again   with the answer to the request before
  /reject       that it grants none      /broken  500      /missing  404
  /garbage      bytes that are no answer /huge    more of them than anybody needs
"""
import http.server
import os
import subprocess
import sys
import tempfile

directory = sys.argv[1]
seen = {}
EXTENSIONS = "extendedKeyUsage=critical,timeStamping\n"
CONFIGURATION = """[tsa]
default_tsa = it
[it]
serial = {0}.serial
signer_cert = {0}.pem
signer_key = {0}.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
"""


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def make(name):
    base = os.path.join(directory, name)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", base + ".root.key", "-out", base + ".root.pem", "-subj", "/CN=Root of " + name,
            "-days", "3")
    openssl("req", "-new", *key, "-keyout", base + ".key", "-out", base + ".csr", "-subj", "/CN=" + name)
    write(base + ".ext", EXTENSIONS)
    openssl("x509", "-req", "-in", base + ".csr", "-CA", base + ".root.pem", "-CAkey", base + ".root.key", "-set_serial", "2",
            "-days", "2", "-extfile", base + ".ext", "-out", base + ".pem")
    write(base + ".serial", "01\n")
    write(base + ".cnf", CONFIGURATION.format(base))


def stamp(name, query):
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, "q"), "wb") as f:
            f.write(query)
        openssl("ts", "-reply", "-config", os.path.join(directory, name + ".cnf"), "-queryfile", os.path.join(d, "q"),
                "-out", os.path.join(d, "r"))
        with open(os.path.join(d, "r"), "rb") as f:
            return f.read()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Type", "application/timestamp-reply")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        query = self.rfile.read(int(self.headers["Content-Length"]))
        before, seen["query"] = seen.get("query"), query
        name, _, how = self.path.lstrip("/").partition("/")
        seen[self.path] = seen.get(self.path, 0) + 1
        fixed = {"reject": (200, b"\x30\x05\x30\x03\x02\x01\x02"), "broken": (500, b""), "missing": (404, b""),
                 "garbage": (200, b"hello" * 20), "huge": (200, bytes(1 << 20))}
        if self.headers["Content-Type"] != "application/timestamp-query":
            return self.answer(415)
        if name in fixed:
            return self.answer(*fixed[name])
        if how == "busy" and seen[self.path] <= 2:
            return self.answer(503)
        if how == "other":  # the hash is the only octet string of 32 bytes
            i = query.index(b"\x04\x20") + 2
            query = query[:i] + bytes(32) + query[i + 32:]
        if how == "again":
            query = before
        return self.answer(200, stamp(name, query))


for each in sys.argv[2:]:
    make(each)
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
