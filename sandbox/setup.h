/* What the processes of one run share: the caller (spawn.c), the monitor (monitor.c), PID 1 (init.c) and the
 * program until it is executed (program.c). Filled before the first fork, then each process changes only its
 * own copy. Private to the room.
 *
 * Who holds which power:
 *   caller   whatever it has on the host; reads fixed-size messages and output bytes only
 *   monitor  first user namespace, host's pid and mount namespaces; after set-up only SYS_PTRACE (to answer
 * uname) there PID 1    all namespaces; all of the first user namespace's capabilities during set-up, none
 * after program  all namespaces; caps_install there, or none in a second user namespace */
#pragma once

#include "sandbox/sandbox.h"
#include "sandbox/seccomp.h"
#include "sandbox/step.h"

#include <sys/resource.h>

struct setup {
        const struct kiln_sandbox *s;
        const struct step_hook *hook;
        const struct seccomp_policy *policy;
        int caller_fd;  /* the caller's end of the control socket */
        int control_fd; /* everybody else's end: what goes wrong, and when, is said here */
        int monitor_fd; /* monitor's end of the socket the seccomp listener travels over */
        int program_fd; /* the program's end of it */
        int trace_fd;   /* monitor's end of a socket to the tracer; -1: none */
        int exec_fd;    /* write end of a close-on-exec pipe only the program holds in the end */
        pid_t caller;
        bool cgroup;                   /* the run has one */
        struct kiln_sandbox_error err; /* where the process at hand collects its failure */

        /* during set-up in PID 1 */
        int ready_fd; /* pipe from PID 1 to the process of the program: go on */
        int proc_fd;  /* the sandbox's own /proc */
        int stdin_fd;
        int stdout_fd;
        int stderr_fd;
};

/* Messages on the control socket, one struct each. Only sent by processes before (or without) hostile code.
 */
enum message_kind {
        MESSAGE_UNSHARED = 1, /* monitor: map me */
        MESSAGE_GO,           /* caller, to the monitor: mapped; and to PID 1: in its cgroup */
        MESSAGE_INIT,         /* monitor: pid, with PID 1's pidfd */
        MESSAGE_OUTPUT,       /* PID 1: one or two read ends of output pipes */
        MESSAGE_OBSERVE,      /* PID 1: an inotify descriptor and the list of what it watches */
        MESSAGE_EXECUTING,    /* program: ns */
        MESSAGE_ERROR,        /* error */
        MESSAGE_EXIT,         /* PID 1: status (as of wait), usage of the program and all it waited for */
        MESSAGE_DENIED,       /* monitor, last: what it counted */
        MESSAGE_DISK,         /* disk watcher: bytes */
};

struct message {
        enum message_kind kind;
        union {
                struct kiln_sandbox_error error;
                pid_t pid;
                uint64_t ns;
                uint64_t bytes;
                struct {
                        int status;
                        struct rusage usage;
                } exit;
                uint64_t denied[SECCOMP_NUMBERS + 1]; /* by number; the last: all higher numbers */
        };
};

/* Sends m with n_fds descriptors (at most 2). 0 or negative errno. */
int message_send(int fd, const struct message *m, const int *fds, size_t n_fds);

/* Receives one message; up to 2 descriptors go to fds (-1: none). 0, -EPIPE at the end, -EAGAIN, or negative
 * errno. */
int message_recv(int fd, struct message *m, int fds[2]);

/* Sends the process's collected error and ends it. */
void setup_die(struct setup *u) __attribute__((noreturn));

/* What the listener has to answer for this run. */
enum seccomp_answers setup_answers(const struct kiln_sandbox *s);
bool setup_clock_varied(const struct kiln_sandbox *s);

/* Default actions for all signals, none blocked. */
void setup_signals_reset(void);

/* Closes every descriptor from 3 on but those of `keep`, which is sorted in place; -1 entries do not count.
 */
int setup_close_all_but(int *keep, size_t n);

void monitor_main(struct setup *u) __attribute__((noreturn));
void init_main(struct setup *u) __attribute__((noreturn));
void program_main(struct setup *u) __attribute__((noreturn));

/* The whole of kiln_sandbox_run() with a test's hook. */
int sandbox_run_hooked(const struct kiln_sandbox *s, const struct step_hook *hook,
        struct kiln_sandbox_result *ret, struct kiln_sandbox_error *err);
