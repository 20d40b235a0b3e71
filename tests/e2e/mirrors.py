#!/usr/bin/env python3
"""What tests/e2e/mirrors.sh needs of a distribution's mirror network, on loopback.

usage: mirrors.py serve ROOT LOG              serves ROOT, prints its port, writes a line per request to LOG; the answer to
                                              /metalink?repo=R&… is ROOT/metalink/R, to /mirrorlist?repo=R&… ROOT/mirrorlist/R
       mirrors.py metalink REPOMD URL...      what MirrorManager says of that repomd.xml, mirrors in falling preference
       mirrors.py zstd REPODATA               metadata as createrepo_c 1.x compresses it (Debian 12's knows gzip only)
       mirrors.py flip FILE                   changes some bytes in the middle of a file
       mirrors.py dead                        prints a port on which nobody listens
"""
import gzip, hashlib, http.server, os, re, socket, subprocess, sys, urllib.parse


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def log_request(self, code="-", size="-"):
        with open(sys.argv[3], "a") as f:
            f.write(f"{int(code)} {self.path}\n")

    def translate_path(self, path):
        url = urllib.parse.urlsplit(path)
        repo = urllib.parse.parse_qs(url.query).get("repo")
        return super().translate_path(f"{url.path}/{repo[0]}" if repo else url.path)


def serve(root, log):
    os.chdir(root)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def metalink(repomd, *urls):
    with open(repomd, "rb") as f:
        data = f.read()
    hashes = "".join(f'<hash type="{k}">{hashlib.new(k, data).hexdigest()}</hash>' for k in ("md5", "sha1", "sha256", "sha512"))
    links = "".join(f'<url protocol="{u.split(":")[0]}" type="{u.split(":")[0]}" location="DE" preference="{100 - i}">'
                    f"{u}/repodata/repomd.xml</url>\n" for i, u in enumerate(urls))
    print(f"""<?xml version="1.0" encoding="utf-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/" type="dynamic" pubdate="Mon, 06 Jan 2025 00:00:00 GMT"
 generator="mirrormanager" xmlns:mm0="http://fedorahosted.org/mirrormanager">
<files><file name="repomd.xml">
<mm0:timestamp>1736121600</mm0:timestamp>
<size>{len(data)}</size>
<verification>{hashes}</verification>
<resources maxconnections="1">
{links}</resources>
</file></files>
</metalink>""")


def zstd(repodata):
    path = os.path.join(repodata, "repomd.xml")
    with open(path) as f:
        repomd = f.read()
    for name in re.findall(r'href="repodata/([^"]+)\.gz"', repomd):
        old = os.path.join(repodata, name + ".gz")
        with open(old, "rb") as f:
            before = f.read()
        after = subprocess.run(["zstd", "-q", "-c"], input=gzip.decompress(before), stdout=subprocess.PIPE, check=True).stdout
        was, now = (hashlib.sha256(x).hexdigest() for x in (before, after))
        new = name.replace(was, now) + ".zst"
        with open(os.path.join(repodata, new), "wb") as f:
            f.write(after)
        os.unlink(old)
        repomd = repomd.replace(name + ".gz", new).replace(was, now).replace(f"<size>{len(before)}<", f"<size>{len(after)}<")
    with open(path, "w") as f:
        f.write(repomd)


def flip(path):
    with open(path, "r+b") as f:
        f.seek(os.path.getsize(path) * 3 // 4)
        old = f.read(4)
        f.seek(-len(old), os.SEEK_CUR)
        f.write(bytes(b ^ 0x55 for b in old))


def dead():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        print(s.getsockname()[1])


{f.__name__: f for f in (serve, metalink, zstd, flip, dead)}[sys.argv[1]](*sys.argv[2:])
