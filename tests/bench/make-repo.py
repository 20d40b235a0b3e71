#!/usr/bin/env python3
"""Writes the metadata of a made-up repository of N packages below DIR: make-repo.py DIR [N].

Shaped like a distribution's: most packages provide a library or a module and require a few others, some have a
-devel package with pkgconfig() and files in /usr/bin. Always the same bytes for the same N."""
import gzip
import hashlib
import os
import random
import sys

out = sys.argv[1]
count = int(sys.argv[2]) if len(sys.argv) > 2 else 60000
rng = random.Random(1)
os.makedirs(out + "/repodata", exist_ok=True)

CORE = ["glibc", "bash", "rpm", "rpm-build", "gcc", "make"]
sources = count // 3
names = CORE + [f"pkg{i:05d}" for i in range(sources - len(CORE))]


def entry(name, evr=None):
    if not evr:
        return f'<rpm:entry name="{name}"/>'
    return f'<rpm:entry name="{name}" flags="EQ" epoch="0" ver="{evr[0]}" rel="{evr[1]}"/>'


def package(name, source, provides, requires, files):
    evr = (f"{rng.randrange(1, 9)}.{rng.randrange(30)}.{rng.randrange(9)}", f"{rng.randrange(1, 20)}.fc43")
    digest = hashlib.sha256(f"{name}-{evr}".encode()).hexdigest()
    head = f'<version epoch="0" ver="{evr[0]}" rel="{evr[1]}"/>'
    some = [f for f in files if f.startswith(("/usr/bin/", "/etc/"))]
    yield (
        f'<package type="rpm"><name>{name}</name><arch>x86_64</arch>{head}'
        f'<checksum type="sha256" pkgid="YES">{digest}</checksum><summary>Package {name}</summary>'
        f"<description>A package that is called {name}, made up to measure how long solving takes when there is "
        f"about as much text as in a real distribution.</description><packager>Nobody</packager>"
        f'<url>https://example.org/{source}</url><time file="1" build="1"/>'
        f'<size package="{rng.randrange(9000, 9000000)}" installed="9" archive="9"/>'
        f'<location href="Packages/{name[0]}/{name}-{evr[0]}-{evr[1]}.x86_64.rpm"/><format>'
        f"<rpm:license>MIT AND BSD-3-Clause</rpm:license><rpm:vendor>V</rpm:vendor><rpm:group>G</rpm:group>"
        f"<rpm:buildhost>b</rpm:buildhost><rpm:sourcerpm>{source}-{evr[0]}-{evr[1]}.src.rpm</rpm:sourcerpm>"
        f'<rpm:header-range start="1" end="2"/>'
        "<rpm:provides>" + entry(name, evr) + entry(f"{name}(x86-64)", evr) + "".join(map(entry, provides)) +
        "</rpm:provides><rpm:requires>" + "".join(map(entry, requires)) + "</rpm:requires>" +
        "".join(f"<file>{f}</file>" for f in some) + "</format></package>\n")
    yield (f'<package pkgid="{digest}" name="{name}" arch="x86_64">{head}' +
           "".join(f"<file>{f}</file>" for f in files) + "</package>\n")


primary, filelists = [], []
for i, name in enumerate(names):
    lib = f"lib{name}.so.{i % 7}()(64bit)"
    # Requirements point at earlier packages mostly: what is popular comes first.
    needs = ["libglibc.so.0()(64bit)"] if i else []
    for _ in range(min(i, rng.randrange(2, 12))):
        k = int(i * rng.random() ** 3)
        needs.append(f"lib{names[k]}.so.{k % 7}()(64bit)")
    if name == "bash":
        files = ["/usr/bin/bash", "/usr/bin/sh"]
    else:
        files = [f"/usr/bin/{name}"] + [f"/usr/lib64/{name}/{j}.so" for j in range(rng.randrange(3, 60))]
    if i > 20:
        needs.append("/usr/bin/sh")
    for x, f in zip((primary, filelists), package(name, name, [lib], needs, files)):
        x.append(f)
    for x, f in zip((primary, filelists), package(
            name + "-devel", name, [f"pkgconfig({name})"],
            [name] + [f"pkgconfig({names[int(i * rng.random())]})" for _ in range(rng.randrange(3) if i else 0)],
            [f"/usr/include/{name}/{j}.h" for j in range(rng.randrange(3, 40))])):
        x.append(f)
    for x, f in zip((primary, filelists), package(
            name + "-doc", name, [f"perl({name.title()}::M{j})" for j in range(rng.randrange(6))],
            ["/usr/bin/" + names[int(i * rng.random())]] if i > 20 else [],
            [f"/usr/share/doc/{name}/{j}" for j in range(rng.randrange(3, 40))])):
        x.append(f)

records = []
for kind, packages in (("primary", primary), ("filelists", filelists)):
    root = "metadata" if kind == "primary" else "filelists"
    space = "common" if kind == "primary" else "filelists"
    xml = (f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="http://linux.duke.edu/metadata/{space}" '
           f'xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="{len(packages)}">\n' + "".join(packages) +
           f"</{root}>\n").encode()
    packed = gzip.compress(xml, 6, mtime=0)
    with open(f"{out}/repodata/{kind}.xml.gz", "wb") as f:
        f.write(packed)
    records.append(f'<data type="{kind}"><checksum type="sha256">{hashlib.sha256(packed).hexdigest()}</checksum>'
                   f'<location href="repodata/{kind}.xml.gz"/><size>{len(packed)}</size>'
                   f"<open-size>{len(xml)}</open-size></data>\n")
with open(out + "/repodata/repomd.xml", "w") as f:
    f.write('<?xml version="1.0" encoding="UTF-8"?>\n<repomd xmlns="http://linux.duke.edu/metadata/repo">\n' +
            "".join(records) + "</repomd>\n")
