#!/usr/bin/env python3
"""A web server on loopback that can fail in every way test_fetch.c needs.

Serves the directory argv[1], writes its port to stdout, and a line per request to argv[2].
The first path component says how:
  /ok/F        with ranges             /norange/F   answers 200 to a range
  /missing/F   404                     /busy/F      503 for the first 2 requests of F, then as ok
  /wrong/F     right length, other bytes            /short/F  the first half, then closes
  /drop/F      claims all, sends half, then breaks  /stall/F  sends a little, then nothing for 20 s
  /long/F      one byte more than there is, no length
  /redirect/F  to /ok/F                /loop/F      to itself        /tofile/F  to file:///
"""
import http.server
import os
import socketserver
import sys
import threading
import time

root, log = sys.argv[1], sys.argv[2]
seen = {}
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def plain(self, status, body=b"", **headers):
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        how, _, name = self.path.lstrip("/").partition("/")
        byte_range = self.headers.get("Range")
        with lock:
            with open(log, "a") as f:
                f.write(f"{self.path} {byte_range or '-'}\n")
            seen[self.path] = seen.get(self.path, 0) + 1
            count = seen[self.path]
        path = os.path.join(root, name)
        if how == "missing" or not os.path.isfile(path):
            return self.plain(404, b"no such file")
        with open(path, "rb") as f:
            data = f.read()
        if how == "redirect":
            return self.plain(302, Location="/ok/" + name)
        if how == "loop":
            return self.plain(302, Location=self.path)
        if how == "tofile":
            return self.plain(302, Location="file://" + path)
        if how == "busy" and count <= 2:
            return self.plain(503, b"later")
        if how == "wrong":
            return self.plain(200, bytes(b ^ 1 for b in data))
        if how == "short":
            return self.plain(200, data[:len(data) // 2])
        self.close_connection = how in ("drop", "stall", "long")
        if how in ("drop", "stall"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:len(data) // 2] if how == "drop" else data[:1])
            self.wfile.flush()
            if how == "stall":
                time.sleep(20)
            return None
        if how == "long":
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            return self.wfile.write(data + b"x")
        start = 0
        if byte_range and how != "norange":
            start = int(byte_range[len("bytes="):].split("-")[0])
            if start >= len(data):
                return self.plain(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        return self.wfile.write(data[start:])


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


server = Server(("127.0.0.1", 0), Handler)
os.write(1, b"%d\n" % server.server_address[1])  # in one piece, also where stdout is unbuffered
server.serve_forever()
