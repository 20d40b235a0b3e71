#!/usr/bin/python3
"""Writes a BuildRequest, or reads a result: a coordinator's half of the protocol (README.md says what of it exists).

Needs protoc and Python's protobuf (Debian: protobuf-compiler, python3-protobuf); nothing of Kiln but its .proto files.

    request.py make --srpm foo-1.0-1.fc43.src.rpm --url https://… --toolchain fedora-43 --digest SHA256 \\
        [--overlay FILE] [--isa v3] [--owner NAME] [--directory DIR | --oci REPOSITORY] -o request.pb
    request.py digest request.pb           prints the build digest: the request's id and its result's tag
    request.py show request.pb             prints the request as JSON
    request.py result result.json          prints verdict and artefacts; fails unless the verdict is OK
"""
import argparse
import hashlib
import os
import subprocess
import sys
import tempfile

PROTO = os.environ.get("KILN_PROTO") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../proto")


def messages():
    """The message classes, made from the .proto files."""
    with tempfile.TemporaryDirectory() as out:
        names = [f"kiln/v1/{n}.proto" for n in ("lock", "request", "result")]
        subprocess.run(["protoc", f"-I{PROTO}", f"--python_out={out}", *names], check=True)
        sys.path.insert(0, out)
        from kiln.v1 import request_pb2, result_pb2
        return request_pb2, result_pb2


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def build_digest(build):
    """No maps, no unknown fields: serialising in field order is canonical (proto/kiln/v1/request.proto)."""
    return sha256(build.SerializeToString(deterministic=True))


def make(pb, args):
    request = pb.BuildRequest(owner=args.owner, lane=pb.BuildRequest.BATCH)
    build = request.build
    with open(args.srpm, "rb") as f:
        build.source.sha256 = sha256(f.read())
    build.source.name = os.path.basename(args.srpm)
    build.source.urls.extend(args.url)
    build.source.signature_policy = pb.Source.ANY
    build.toolchain.name = args.toolchain
    build.toolchain.digest = args.digest
    for path in args.overlay:
        with open(path, "rb") as f:
            data = f.read()
        build.overlays.add(name=os.path.basename(path), sha256=sha256(data), data=data)
    build.isa = pb.Build.IsaLevel.Value(f"X86_64_{args.isa.upper()}")
    build.arch = "x86_64"
    build.epoch.policy = pb.Epoch.CHANGELOG
    build.network = pb.Build.NO_NETWORK
    build.profile = pb.Build.CHECK
    if args.oci:
        request.destination.oci = args.oci
    else:
        request.destination.directory = os.path.abspath(args.directory)
    request.signing.mode = pb.Signing.LOCAL
    with open(args.output, "wb") as f:
        f.write(request.SerializeToString(deterministic=True))
    print(build_digest(build))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    m = commands.add_parser("make")
    m.add_argument("--srpm", required=True)
    m.add_argument("--url", action="append", default=[])
    m.add_argument("--toolchain", required=True)
    m.add_argument("--digest", required=True)
    m.add_argument("--overlay", action="append", default=[])
    m.add_argument("--isa", default="v3", choices=["v1", "v2", "v3", "v4"])
    m.add_argument("--owner", default="coordinator")
    m.add_argument("--directory", default="result")
    m.add_argument("--oci")
    m.add_argument("-o", "--output", required=True)
    for name in ("digest", "show", "result"):
        commands.add_parser(name).add_argument("file")
    args = parser.parse_args()

    request_pb, result_pb = messages()
    from google.protobuf import json_format
    if args.command == "make":
        make(request_pb, args)
    elif args.command == "result":
        with open(args.file, encoding="utf-8") as f:
            result = json_format.Parse(f.read(), result_pb.BuildResult())
        print(result_pb.Verdict.Name(result.verdict), result.nvr, result.outputs_digest)
        for artefact in result.artefacts:
            print(artefact.sha256, artefact.name)
        return 0 if result.verdict == result_pb.OK and result.outputs_digest else 1
    else:
        with open(args.file, "rb") as f:
            request = request_pb.BuildRequest.FromString(f.read())
        if args.command == "digest":
            print(build_digest(request.build))
        else:
            print(json_format.MessageToJson(request, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
