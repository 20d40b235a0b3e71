#!/usr/bin/env python3
"""Changes one attestation and signs it again, as somebody who has the key could.

Usage: forge.py FILE LINE KEY CODE

CODE is Python that changes `s`, the statement of line LINE (from 1; 0: a new line with the first line's subjects), or
sets `raw`, its text, or changes `e`, the envelope, after signing (`after = lambda e: ...`). KEY: PEM, "-": do not sign.
"""
import base64
import json
import subprocess
import sys
import tempfile

path, number, key, code = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
lines = open(path, encoding="utf-8").read().splitlines()
envelope = json.loads(lines[max(number, 1) - 1])
s = json.loads(base64.b64decode(envelope["payload"]))
if number == 0:
    s = {"_type": s["_type"], "subject": s["subject"]}
names = {"s": s, "raw": None, "after": lambda e: None, "json": json}
exec(code, names)
body = (names["raw"] or json.dumps(names["s"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)).encode()
envelope = {"payload": base64.b64encode(body).decode(), "payloadType": envelope["payloadType"],
            "signatures": envelope["signatures"]}
if key != "-":
    kind = envelope["payloadType"].encode()
    with tempfile.NamedTemporaryFile() as f:
        f.write(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body))
        f.flush()
        signature = subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", key, "-rawin", "-in", f.name],
                                   check=True, stdout=subprocess.PIPE).stdout
    envelope["signatures"] = [{"keyid": "0" * 64, "sig": base64.b64encode(signature).decode()}]
names["after"](envelope)
line = json.dumps(envelope, separators=(",", ":"))
if number == 0:
    lines.append(line)
else:
    lines[number - 1] = line
open(path, "w", encoding="utf-8").write("".join(l + "\n" for l in lines))
