#!/usr/bin/env python3
"""Runs a program and sees what it leaves behind: whatever outlives it becomes a child of this process.

usage: run-alone.py [--at REGEX ACTION] LOG COMMAND...

Standard error goes to LOG. ACTION happens once, when a line of it matches REGEX: INT, TERM or KILL is sent to the
program; anything else is a shell command. Ends with the program's status (128 + signal), or with 99 when a process is
left (all of them have died 3 s after a SIGKILL, at once otherwise).
"""
import ctypes, os, re, signal, subprocess, sys, threading, time

PR_SET_CHILD_SUBREAPER = 36
arguments = sys.argv[1:]
at, action = None, None
if arguments[0] == "--at":
    at, action, arguments = re.compile(arguments[1]), arguments[2], arguments[3:]
log, command = arguments[0], arguments[1:]
acting = threading.Lock()
if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
    sys.exit("prctl")


def act(program):
    number = getattr(signal, "SIG" + action, None)
    if number is not None:
        os.kill(program.pid, number)
    else:
        with acting:
            subprocess.run(["bash", "-c", action], stdin=subprocess.DEVNULL, check=False)


def follow(program):
    done = at is None
    with open(log, "wb", buffering=0) as out:
        for line in iter(program.stderr.readline, b""):
            out.write(line)
            if not done and at.search(line.decode(errors="replace")):
                done = True
                act(program)


# A background job of a shell ignores SIGINT; what it starts would inherit that.
signal.signal(signal.SIGINT, signal.SIG_DFL)
program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
reader = threading.Thread(target=follow, args=(program,), daemon=True)
reader.start()
status = program.wait()
with acting:  # what ACTION started is nothing the program left
    pass
patience = time.monotonic() + (3 if status == -signal.SIGKILL else 0)
while True:
    try:
        pid, _ = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        break
    if pid == 0 and time.monotonic() > patience:
        subprocess.run(["ps", "-eo", "pid,ppid,user,args"], stdout=sys.stderr, check=False)
        sys.exit(99)
    if pid == 0:
        time.sleep(0.02)
reader.join(2)
sys.exit(status if status >= 0 else 128 - status)
