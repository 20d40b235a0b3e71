/* One run from the caller's side: what spawn.c (start), answer.c (messages), watch.c (limits, output) and
 * finish.c (result) share. Private to the room. */
#pragma once

#include "sandbox/cgroup.h"
#include "sandbox/observe.h"
#include "sandbox/pump.h"
#include "sandbox/setup.h"
#include "sandbox/util.h"

struct run {
        struct setup setup;
        const struct kiln_sandbox *s;
        struct kiln_sandbox_result *result;
        struct kiln_sandbox_error *err;
        struct cgroup cgroup;
        pid_t monitor;
        int monitor_pidfd;
        int init_pidfd;
        int exec_fd; /* read end: its end means executed, or failed with an error message before */
        struct pump *out;
        struct pump *errors;
        struct observation observation;
        uint64_t start_ns;
        uint64_t last_output_ns;
        uint64_t last_second_ns; /* when the once-a-second limits were looked at */
        uint64_t disk_bytes;
        uint64_t init_done_ns; /* when PID 1 was gone */
        bool mapped, executing, executed, exited, failed, killed, monitor_done, init_done;
        int fail_errnum;
};

/* Ends everything inside; what it was for is told by whoever calls it. */
void run_kill(struct run *r);

/* The set-up failed. The first failure counts. */
void run_fail(struct run *r, int errnum);

/* A limit is reached: the program's end, or, when nothing ran yet, a failure to start. */
void run_limit(struct run *r, enum kiln_sandbox_limit limit, uint64_t value, uint64_t peak);

/* Reads one message, if there is one, and acts on it. Each kind counts only where the protocol has it: after
 * the program runs, no process is added, mapped or moved any more. */
bool run_message(struct run *r);

/* Until the monitor has said its last word and all output is passed on. */
void run_loop(struct run *r);

/* Waits until nothing is left, and turns the evidence into the result. */
void run_finish(struct run *r);
