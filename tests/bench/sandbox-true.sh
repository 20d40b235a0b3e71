#!/bin/bash
# What the sandbox costs before a program runs: `kiln sandbox true` beside bubblewrap with the same namespaces, and
# beside no sandbox at all. Pairs of runs, so that what else the machine does hits both; the medians of each and of the
# pairs' ratios are printed. bwrap has no seccomp policy, no second user namespace, no limits and no listener here: the
# difference is what those cost, and starting a larger program.
# Usage: KILN=.../kiln tests/bench/sandbox-true.sh [PAIRS]
set -eu

kiln=$(realpath "${KILN:?the program to measure}")
pairs=${1:-101}
command -v bwrap >/dev/null || { echo "bubblewrap is not installed" >&2; exit 2; }
cd /

python3 - "$kiln" "$pairs" <<'END'
import os, statistics, subprocess, sys, time

kiln, pairs = sys.argv[1], int(sys.argv[2])
commands = {
    "no sandbox": ["true"],
    "kiln --help": [kiln, "sandbox", "--help"],
    "bwrap": ["bwrap", "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--ro-bind", "/", "/",
              "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/var/tmp", "--tmpfs", "/run",
              "--tmpfs", "/home", "--tmpfs", "/root", "--cap-drop", "ALL", "true"],
    "kiln": [kiln, "sandbox", "true"],
}


def run(argv):
    start = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return (time.perf_counter() - start) * 1000


times = {name: [] for name in commands}
for _ in range(3):
    for argv in commands.values():
        run(argv)
for _ in range(pairs):
    for name, argv in commands.items():
        times[name].append(run(argv))
for name, all_times in times.items():
    q = statistics.quantiles(all_times, n=20)
    print(f"{name:12} median {statistics.median(all_times):6.2f} ms   5% {q[0]:6.2f}   95% {q[-1]:6.2f}")
ratios = [k / b for k, b in zip(times["kiln"], times["bwrap"])]
print(f"kiln / bwrap median of {pairs} pairs: {statistics.median(ratios):.2f}")
END
