#!/usr/bin/python3
"""What %pyproject_* do: PEP 517 builds without a network, and RPM file lists from what was installed.

Everything printed by a build backend goes to stderr: stdout of `buildrequires` is read by rpmbuild."""
import argparse
import contextlib
import csv
import email.parser
import fnmatch
import glob
import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import zipfile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PURELIB = sysconfig.get_path("purelib", "deb_system")


def rpm_version(text):
    """PEP 440 into a version rpm orders the same way: 1.0rc1 is before 1.0, 1.0.post1 behind."""
    v = Version(text)
    out = (f"{v.epoch}:" if v.epoch else "") + ".".join(map(str, v.release))
    while out.endswith(".0"):
        out = out[:-2]
    if v.pre:
        out += "~" + "".join(map(str, v.pre))
    if v.dev is not None:
        out += f"~~dev{v.dev}"
    if v.post is not None:
        out += f"^post{v.post}"
    return out


def rpm_terms(name, operator, version):
    if version.endswith(".*"):
        base = version[:-2]
        parts = base.split(".")
        upper = ".".join(parts[:-1] + [str(int(parts[-1]) + 1)])
        if operator == "==":
            return [f"{name} >= {rpm_version(base)}", f"{name} < {rpm_version(upper)}~~"]
        return [f"({name} < {rpm_version(base)} or {name} >= {rpm_version(upper)})"]
    if operator == "~=":
        parts = version.split(".")[:-1]
        upper = ".".join(parts[:-1] + [str(int(parts[-1]) + 1)])
        return [f"{name} >= {rpm_version(version)}", f"{name} < {rpm_version(upper)}~~"]
    if operator == "!=":
        v = rpm_version(version)
        return [f"({name} < {v} or {name} > {v})"]
    if operator == "===":
        operator = "=="
    return [f"{name} {'=' if operator == '==' else operator} {rpm_version(version)}"]


class Requirements:
    """Collects requirements, prints each once, and knows whether the root already satisfies them."""

    def __init__(self, extras):
        self.extras = extras
        self.missing = False
        self.seen = set()

    def add(self, text, source):
        requirement = Requirement(text)
        if requirement.marker and not any(
                requirement.marker.evaluate({"extra": e}) for e in [""] + self.extras):
            return
        if requirement.url:
            sys.exit(f"{source}: {text}: a requirement by URL cannot be a package")
        try:
            have = importlib.metadata.version(requirement.name)
            if not requirement.specifier.contains(have, prereleases=True):
                self.missing = True
        except importlib.metadata.PackageNotFoundError:
            self.missing = True
        name = f"python3dist({canonicalize_name(requirement.name)})"
        terms = []
        for s in sorted(requirement.specifier, key=str):
            terms += rpm_terms(name, s.operator, s.version)
        line = name if not terms else terms[0] if len(terms) == 1 else "(" + " with ".join(terms) + ")"
        if line not in self.seen:
            self.seen.add(line)
            print(line)


@contextlib.contextmanager
def quiet_stdout():
    """Backends print, and so do the programs they start: descriptor 1 itself becomes stderr."""
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)


def load_pyproject():
    try:
        with open("pyproject.toml", "rb") as f:
            return tomllib.load(f)
    except FileNotFoundError:
        return {}


def load_backend(project):
    system = project.get("build-system", {})
    for path in reversed(system.get("backend-path", [])):
        sys.path.insert(0, os.path.abspath(path))
    name, _, attribute = system.get("build-backend", "setuptools.build_meta:__legacy__").partition(":")
    backend = importlib.import_module(name)
    for a in filter(None, attribute.split(".")):
        backend = getattr(backend, a)
    return backend


def runtime_requirements(backend, project, options):
    """From [project] where it is static, else from the metadata hook, else from the wheel."""
    table = project.get("project", {})
    dynamic = set(table.get("dynamic", []))
    if table and not dynamic & {"dependencies", "optional-dependencies"}:
        found = list(table.get("dependencies", []))
        for extra, items in table.get("optional-dependencies", {}).items():
            if canonicalize_name(extra) in map(canonicalize_name, options.extras):
                found += items
        return found
    with tempfile.TemporaryDirectory() as tmp, quiet_stdout():
        hook = getattr(backend, "prepare_metadata_for_build_wheel", None)
        if hook:
            with open(os.path.join(tmp, hook(tmp), "METADATA"), encoding="utf-8") as f:
                text = f.read()
        else:
            with zipfile.ZipFile(os.path.join(tmp, backend.build_wheel(tmp))) as z:
                member = [n for n in z.namelist() if n.endswith(".dist-info/METADATA")][0]
                text = z.read(member).decode()
    return email.parser.Parser().parsestr(text).get_all("Requires-Dist") or []


def buildrequires(options):
    project = load_pyproject()
    needs = Requirements(options.extras)
    needs.add("pip >= 19", "pyproject macros")
    needs.add("packaging", "pyproject macros")
    for path in options.files:
        with open(path, encoding="utf-8") as f:
            for line in f:
                line = re.sub(r"(^|\s)#.*", "", line).strip()
                if line and not line.startswith("-"):
                    needs.add(line, path)
    if options.no_build_system:
        return
    for r in project.get("build-system", {}).get("requires", ["setuptools >= 40.8", "wheel"]):
        needs.add(r, "build-system.requires")
    if needs.missing:  # the backend cannot run yet: rpmbuild comes back when these are installed
        return
    with quiet_stdout():
        backend = load_backend(project)
        hook = getattr(backend, "get_requires_for_build_wheel", None)
        more = hook() if hook else []
    for r in more:
        needs.add(r, "get_requires_for_build_wheel")
    for group in options.groups:
        for r in project.get("dependency-groups", {}).get(group, []):
            if isinstance(r, str):
                needs.add(r, f"dependency group {group}")
    if needs.missing or options.no_runtime:
        return
    for r in runtime_requirements(backend, project, options):
        needs.add(r, "run-time dependencies")


def wheel(options):
    command = [sys.executable, "-m", "pip", "wheel", "--wheel-dir", options.wheeldir, "--no-deps", "--use-pep517",
               "--no-build-isolation", "--disable-pip-version-check", "--no-clean", "--no-cache-dir", "--progress-bar",
               "off", "--verbose"]
    for setting in options.config:
        command += ["--config-settings", setting]
    return subprocess.call(command + [options.source or "."])


def install(options):
    wheels = sorted(glob.glob(os.path.join(options.wheeldir, "*.whl")))
    if not wheels:
        sys.exit(f"no wheel in {options.wheeldir}: was %pyproject_wheel run?")
    wanted = []
    for w in wheels:
        name, version = os.path.basename(w).split("-")[:2]
        wanted.append(f"{name}=={version}")
    status = subprocess.call(
        [sys.executable, "-m", "pip", "install", "--root", options.root, "--prefix", "/usr", "--no-deps",
         "--disable-pip-version-check", "--progress-bar", "off", "--verbose", "--ignore-installed",
         "--no-warn-script-location", "--break-system-packages", "--no-compile", "--no-index", "--no-cache-dir",
         "--find-links", options.wheeldir] + wanted)
    for info in dist_infos(options.root):
        with open(os.path.join(info, "INSTALLER"), "w", encoding="utf-8") as f:
            f.write("rpm\n")
        for name in ("RECORD.jws", "REQUESTED", "direct_url.json"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(info, name))
    return status


def dist_infos(root):
    return sorted(glob.glob(root + PURELIB + "/*.dist-info"))


def recorded(root, info):
    """Absolute paths (below root) of what an installed distribution owns."""
    with open(os.path.join(info, "RECORD"), encoding="utf-8", newline="") as f:
        for row in csv.reader(f):
            path = os.path.normpath(os.path.join(os.path.dirname(info), row[0]))
            if path.startswith(root + "/"):
                yield path[len(root):]


def module_of(path):
    """usr/lib/python3/dist-packages/a/b.py -> a.b; None when it is no module."""
    below = os.path.relpath(path, PURELIB)
    if below.startswith(".."):
        return None
    stem = re.sub(r"\.(cpython-[^/]*|abi3)?\.?so$|\.py$", "", below)
    if stem == below:
        return None
    return re.sub(r"(/|^)__init__$", "", stem).replace("/", ".") or None


def save_files(options):
    root, globs = options.root.rstrip("/"), options.modules
    lines, modules, matched = set(), set(), set()
    for info in dist_infos(root):
        short = info[len(root):]
        lines.add(f'%dir "{short}"')
        with open(os.path.join(info, "METADATA"), encoding="utf-8") as f:
            licences = email.parser.Parser().parse(f).get_all("License-File") or []
        for path in recorded(root, info):
            if not os.path.lexists(root + path):
                continue
            if path.startswith(short + "/"):
                below = path[len(short) + 1:]
                lic = below in licences or below.startswith("licenses/")
                lines.add(('%license ' if lic and options.license is not False else "") + f'"{path}"')
                d = os.path.dirname(path)
                while d != short:
                    lines.add(f'%dir "{d}"')
                    d = os.path.dirname(d)
                continue
            below = os.path.relpath(path, PURELIB)
            if not below.startswith(".."):
                top = below.split("/")[0]
                name = re.sub(r"\.(cpython-[^/]*|abi3)?\.?so$|\.py$|\.pth$", "", top)
                hits = [g for g in globs if fnmatch.fnmatchcase(name, g.split("/")[0].split(".")[0])]
                if not hits:
                    continue
                matched.update(hits)
                lines.add(f'"{path}"')
                d = os.path.dirname(path)
                while d != PURELIB:
                    lines.add(f'%dir "{d}"')
                    d = os.path.dirname(d)
                if path.endswith(".py"):
                    directory, base = os.path.split(path)
                    # Both levels which brp-python-bytecompile makes; quotes switch globbing off since rpm 4.20.
                    for level in ("", ".opt-1"):
                        compiled = f"{base[:-3]}.{sys.implementation.cache_tag}{level}.pyc"
                        lines.add(f'"{directory}/__pycache__/{compiled}"')
                    if directory != PURELIB:
                        lines.add(f'%dir "{directory}/__pycache__"')
                module = module_of(path)
                if module and all(p.isidentifier() for p in module.split(".")):
                    modules.add(module)
            elif options.auto and path.startswith("/usr/bin/"):
                lines.add(f'"{path}"')
            elif path.startswith("/usr/share/man/"):
                lines.add(f"{path}*")
    for g in globs:
        if g not in matched and not options.no_modules:
            sys.exit(f"%pyproject_save_files: nothing installed matches module '{g}'")
    if options.license and not any(x.startswith("%license") for x in lines):
        sys.exit("%pyproject_save_files -l: no License-File in the metadata")
    os.makedirs(os.path.dirname(options.state), exist_ok=True)
    with open(options.state + "-files", "w", encoding="utf-8") as f:
        f.writelines(x.replace("%lang", "%%lang") + "\n" for x in sorted(lines))
    with open(options.state + "-modules", "w", encoding="utf-8") as f:
        f.writelines(x + "\n" for x in sorted(modules))


def import_modules(options):
    names = list(options.modules)
    if options.state:
        with open(options.state + "-modules", encoding="utf-8") as f:
            names += f.read().split()
    names = [n for n in names if not any(fnmatch.fnmatchcase(n, e) for e in options.exclude)]
    if options.top:
        names = [n for n in names if "." not in n]
    if not names:
        sys.exit("no modules to import")
    for name in names:
        print("Check import:", name, file=sys.stderr)
        importlib.import_module(name)


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    sub = parser.add_subparsers(dest="command", required=True)
    p = sub.add_parser("buildrequires")
    p.add_argument("--wheeldir")
    p.add_argument("--no-runtime", "-R", action="store_true")
    p.add_argument("--runtime", "-r", action="store_true")
    p.add_argument("--no-build-system", "-N", action="store_true")
    p.add_argument("--tox", "-t", action="store_true")
    p.add_argument("--wheel", "-w", action="store_true")
    p.add_argument("--in-tree", "-p", action="store_true")
    p.add_argument("-x", "--extras", action="append", default=[])
    p.add_argument("-g", "--groups", action="append", default=[])
    p.add_argument("-e", "--toxenv", action="append", default=[])
    p.add_argument("-C", "--config", action="append", default=[])
    p.add_argument("files", nargs="*")
    p = sub.add_parser("wheel")
    p.add_argument("--wheeldir", required=True)
    p.add_argument("-C", "--config", action="append", default=[])
    p.add_argument("source", nargs="?")
    p = sub.add_parser("install")
    p.add_argument("--wheeldir", required=True)
    p.add_argument("--root", required=True)
    p = sub.add_parser("save-files")
    p.add_argument("--root", required=True)
    p.add_argument("--state", required=True)
    p.add_argument("--license", dest="license", action="store_true", default=None)
    p.add_argument("--no-license", dest="license", action="store_false")
    p.add_argument("--auto", action="store_true")
    p.add_argument("--no-auto", dest="auto", action="store_false")
    p.add_argument("--no-modules", action="store_true")
    p.add_argument("modules", nargs="*")
    p = sub.add_parser("import")
    p.add_argument("--state")
    p.add_argument("-t", "--top", action="store_true")
    p.add_argument("-e", "--exclude", action="append", default=[])
    p.add_argument("modules", nargs="*")
    options = parser.parse_args()
    if options.command == "buildrequires":
        options.extras = [e.strip() for x in options.extras for e in x.split(",")]
    if options.command == "save-files":
        if "+auto" in options.modules:
            options.auto = True
        options.modules = [m for m in options.modules if m not in ("+auto", "-auto")]
    return {"buildrequires": buildrequires, "wheel": wheel, "install": install, "save-files": save_files,
            "import": import_modules}[options.command](options) or 0


if __name__ == "__main__":
    sys.exit(main())
