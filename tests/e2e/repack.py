#!/usr/bin/env python3
"""Changes a package and makes all its digests fit again, as somebody who builds packages by hand would.

usage: repack.py IN OUT [header|payload OLD NEW]...

OLD is replaced by NEW, which is made as long as OLD; both are Python expressions of bytes. The payload must be uncompressed (w.ufdio).
"""
import hashlib, struct, sys

data = open(sys.argv[1], "rb").read()


def header_end(at):
    entries, size = struct.unpack(">II", data[at + 8 : at + 16])
    return at + 16 + 16 * entries + size


signature = 96
header = (header_end(signature) + 7) // 8 * 8
payload = header_end(header)
parts = {"signature": data[signature:header], "header": data[header:payload], "payload": data[payload:]}
old = dict(parts)
for i in range(3, len(sys.argv), 3):
    part, before, after = sys.argv[i], eval(sys.argv[i + 1]), eval(sys.argv[i + 2])
    if before not in parts[part] or len(before) != len(after):
        sys.exit(f"{part}: cannot replace {before[:40]!r} ({len(before)} bytes) by {after[:40]!r} ({len(after)} bytes)")
    parts[part] = parts[part].replace(before, after)


def digest(part, name, content):
    """The digest of the old content, hexadecimal or binary, becomes that of the new."""
    for form in ("hexdigest", "digest"):
        was, now = (getattr(hashlib.new(name, content(x)), form)() for x in (old, parts))
        was, now = (x.encode() if isinstance(x, str) else x for x in (was, now))
        parts[part] = parts[part].replace(was, now)


digest("header", "sha256", lambda p: p["payload"])
for name in ("sha1", "sha256"):
    digest("signature", name, lambda p: p["header"])
digest("signature", "md5", lambda p: p["header"] + p["payload"])
open(sys.argv[2], "wb").write(data[:signature] + parts["signature"] + parts["header"] + parts["payload"])
