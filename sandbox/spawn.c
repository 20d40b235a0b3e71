/* One run from the caller's side: start the monitor, map ids, watch limits, pass output on, collect the
 * result.
 *
 * The only process of a run with the caller's own power. It reads two kinds of things from the others:
 * fixed-size messages (each accepted only in its place) and output bytes it does not look at. */
#include "sandbox/cgroup.h"
#include "sandbox/idmap.h"
#include "sandbox/pump.h"
#include "sandbox/root.h"
#include "sandbox/setup.h"
#include "sandbox/util.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* How long the monitor may take to say its last word once PID 1 is gone. */
#define MONITOR_WAIT_NS UINT64_C(5000000000)

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
        uint64_t start_ns;
        uint64_t last_output_ns;
        uint64_t last_second_ns; /* when the once-a-second limits were looked at */
        uint64_t disk_bytes;
        uint64_t init_done_ns; /* when PID 1 was gone */
        bool mapped, executing, executed, exited, failed, killed, monitor_done, init_done;
        int fail_errnum;
};

void kiln_sandbox_init(struct kiln_sandbox *s)
{
        memset(s, 0, sizeof *s);
        s->upper_fd = s->work_fd = s->stdin_fd = s->cancel_fd = s->disk_fd = -1;
        s->profile = KILN_PROFILE_BUILD;
        for (size_t i = 0; i < SANDBOX_COUNT(s->keep_fds); i++)
                s->keep_fds[i] = -1;
}

const char *kiln_sandbox_limit_name(enum kiln_sandbox_limit l)
{
        static const char *const names[] = {
                [KILN_LIMIT_NONE] = "none",
                [KILN_LIMIT_WALL] = "wall",
                [KILN_LIMIT_SILENCE] = "silence",
                [KILN_LIMIT_CPU] = "cpu",
                [KILN_LIMIT_MEMORY] = "memory",
                [KILN_LIMIT_PIDS] = "pids",
                [KILN_LIMIT_OUTPUT] = "output",
                [KILN_LIMIT_FILE] = "file",
                [KILN_LIMIT_DISK] = "disk",
        };

        return (size_t)l < SANDBOX_COUNT(names) && names[l] ? names[l] : "?";
}

static int validate(const struct kiln_sandbox *s, struct kiln_sandbox_error *err)
{
        const char *wrong = NULL;

        if (s->idmap.mode != KILN_ID_RANGE && s->idmap.mode != KILN_ID_SINGLE)
                wrong = "no id mapping (kiln_idmap_find)";
        else if (!s->entry && (!s->argv || !s->argv[0]))
                wrong = "nothing to run";
        else if (s->n_lower_fds == 0 && s->upper_fd < 0)
                wrong = "no root";
        else if (s->n_lower_fds > ROOT_LOWERS_MAX || s->n_mounts > ROOT_MOUNTS_MAX)
                wrong = "too many layers or mounts (64)";
        else if (s->n_lower_fds > 0 && s->upper_fd >= 0 && s->work_fd < 0)
                wrong = "an upper directory without a work directory";
        else if (s->idmap.mode == KILN_ID_RANGE && (s->uid >= s->idmap.count || s->gid >= s->idmap.count))
                wrong = "the program's id is not mapped";
        else if ((s->uid == 0) != (s->gid == 0))
                wrong = "uid and gid must both be 0 or both not";
        else if (s->writable && (s->uid == 0 || s->root_read_only))
                wrong = "writable directories are for an unprivileged id and a root that can change";
        else if ((unsigned)s->profile > KILN_PROFILE_CHECK)
                wrong = "no such profile";
        else if (s->n_keep_fds > SANDBOX_COUNT(s->keep_fds))
                wrong = "too many descriptors to keep";
        else if ((s->hostname && strlen(s->hostname) > HOST_NAME_MAX) ||
                 (s->domain && strlen(s->domain) > HOST_NAME_MAX) ||
                 (s->kernel_release && strlen(s->kernel_release) > HOST_NAME_MAX))
                wrong = "hostname, domain or kernel release too long (64)";
        return wrong ? step_fail(err, "request", EINVAL, "%s", wrong) : 0;
}

static void run_kill(struct run *r)
{
        r->killed = true;
        cgroup_kill(&r->cgroup);
        if (r->init_pidfd >= 0)
                sandbox_pidfd_kill(r->init_pidfd, SIGKILL);
        else if (r->monitor_pidfd >= 0)
                sandbox_pidfd_kill(r->monitor_pidfd, SIGKILL);
}

/* The first failure counts. */
static void run_fail(struct run *r, int errnum)
{
        if (!r->failed)
                r->fail_errnum = errnum;
        r->failed = true;
        run_kill(r);
}

static void run_limit(struct run *r, enum kiln_sandbox_limit limit, uint64_t value, uint64_t peak)
{
        if (r->killed || r->exited)
                return;
        if (!r->executing) { /* nothing ran yet: not the program's limit but a failure to start */
                run_fail(r, -step_fail(r->err, "set-up", ETIMEDOUT, "set-up took longer than the %s limit",
                                    kiln_sandbox_limit_name(limit)));
                return;
        }
        r->result->how = KILN_SANDBOX_LIMITED;
        r->result->limit = limit;
        r->result->limit_value = value;
        r->result->limit_peak = peak;
        run_kill(r);
}

static struct pump *pump_new(int fd, int to_fd, void (*give)(void *, const void *, size_t), void *ctx)
{
        struct pump *p = calloc(1, sizeof *p);

        if (!p)
                return NULL;
        p->fd = fd;
        p->to_fd = to_fd;
        p->give = give;
        p->ctx = ctx;
        return p;
}

static void on_output(struct run *r, int fds[2])
{
        const struct kiln_sandbox *s = r->s;

        if (r->out || fds[0] < 0)
                return;
        r->out = pump_new(fds[0], STDOUT_FILENO, s->output, s->output_ctx);
        fds[0] = -1;
        if (s->split_stderr && fds[1] >= 0) {
                r->errors = pump_new(fds[1], STDERR_FILENO, s->errput, s->output_ctx);
                fds[1] = -1;
        }
        r->last_output_ns = sandbox_now_ns();
}

static void on_init(struct run *r, const struct message *m, int fds[2])
{
        const struct message go = {.kind = MESSAGE_GO};
        int n;

        if (r->init_pidfd >= 0 || fds[0] < 0)
                return;
        r->init_pidfd = fds[0];
        fds[0] = -1;
        n = cgroup_add(&r->cgroup, m->pid);
        if (n < 0) {
                step_fail(r->err, "cgroup add", -n, "cannot move the sandbox into %s", r->cgroup.name);
                run_fail(r, -n);
                return;
        }
        if (message_send(r->setup.caller_fd, &go, NULL, 0) < 0)
                run_kill(r);
}

static void on_unshared(struct run *r)
{
        const struct message go = {.kind = MESSAGE_GO};
        int n;

        r->mapped = true;
        n = TRY(r->setup.hook, r->err, "map ids", 0);
        if (n == 0)
                n = idmap_write(&r->s->idmap, r->monitor, r->err);
        if (n < 0)
                run_fail(r, -n);
        else if (message_send(r->setup.caller_fd, &go, NULL, 0) < 0)
                run_kill(r);
}

static void on_error(struct run *r, const struct message *m)
{
        if (!r->failed && r->err) {
                *r->err = m->error;
                r->err->step[sizeof r->err->step - 1] = '\0';
                r->err->message[sizeof r->err->message - 1] = '\0';
                r->err->advice[sizeof r->err->advice - 1] = '\0';
        }
        run_fail(r, m->error.errnum > 0 ? m->error.errnum : EIO);
}

static void on_denied(struct run *r, const struct message *m)
{
        struct kiln_sandbox_result *result = r->result;

        for (uint32_t n = 0; n <= SECCOMP_NUMBERS && result->n_denied < SANDBOX_COUNT(result->denied); n++) {
                if (m->denied[n] == 0)
                        continue;
                struct kiln_sandbox_denied *d = &result->denied[result->n_denied++];
                if (n < SECCOMP_NUMBERS)
                        seccomp_name(n, d->name);
                else
                        snprintf(d->name, sizeof d->name, "unknown");
                d->count = m->denied[n];
        }
}

static void on_exit_message(struct run *r, const struct message *m)
{
        struct kiln_sandbox_result *result = r->result;
        const struct rusage *u = &m->exit.usage;
        int status = m->exit.status;

        if (r->exited)
                return;
        r->exited = true;
        result->wall_ns = sandbox_now_ns() - result->exec_ns;
        result->user_ns = (uint64_t)u->ru_utime.tv_sec * 1000000000 + (uint64_t)u->ru_utime.tv_usec * 1000;
        result->system_ns = (uint64_t)u->ru_stime.tv_sec * 1000000000 + (uint64_t)u->ru_stime.tv_usec * 1000;
        result->peak_rss_bytes = (uint64_t)u->ru_maxrss * 1024;
        if (result->how == KILN_SANDBOX_LIMITED || result->how == KILN_SANDBOX_CANCELLED)
                return;
        result->how = WIFSIGNALED(status) ? KILN_SANDBOX_SIGNALED : KILN_SANDBOX_EXITED;
        result->status = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void on_disk(struct run *r, const struct message *m)
{
        if (m->bytes > r->disk_bytes)
                r->disk_bytes = m->bytes;
        if (r->s->limits.disk_bytes > 0 && m->bytes > r->s->limits.disk_bytes)
                run_limit(r, KILN_LIMIT_DISK, r->s->limits.disk_bytes, m->bytes);
}

/* One message, if there is one. Each kind counts only where the protocol has it: after the program runs, no
 * process is added, mapped or moved any more. */
static bool run_message(struct run *r)
{
        struct message m;
        int fds[2];

        if (message_recv(r->setup.caller_fd, &m, fds) < 0)
                return false;
        switch (m.kind) {
        case MESSAGE_UNSHARED:
                if (!r->mapped)
                        on_unshared(r);
                break;
        case MESSAGE_INIT:
                if (r->mapped && !r->executing)
                        on_init(r, &m, fds);
                break;
        case MESSAGE_OUTPUT:
                if (!r->executing)
                        on_output(r, fds);
                break;
        case MESSAGE_EXECUTING:
                r->executing = true;
                r->result->exec_ns = m.ns;
                break;
        case MESSAGE_ERROR:
                if (!r->executed)
                        on_error(r, &m);
                break;
        case MESSAGE_EXIT:
                on_exit_message(r, &m);
                break;
        case MESSAGE_DENIED:
                on_denied(r, &m);
                break;
        case MESSAGE_DISK:
                on_disk(r, &m);
                break;
        default:
                break;
        }
        sandbox_close(&fds[0]);
        sandbox_close(&fds[1]);
        return true;
}

/* Looks at all time limits; returns how long poll may sleep, in milliseconds (-1: for ever). */
static int run_deadlines(struct run *r)
{
        const struct kiln_sandbox_limits *l = &r->s->limits;
        const uint64_t second = UINT64_C(1000000000);
        uint64_t now = sandbox_now_ns(), next = UINT64_MAX;
        uint64_t start = r->executing ? r->result->exec_ns : r->start_ns;

        if (r->init_done &&
                !r->monitor_done) { /* it has one message left to send; without it, it is not waited for */
                if (now - r->init_done_ns >= MONITOR_WAIT_NS)
                        sandbox_pidfd_kill(r->monitor_pidfd, SIGKILL);
                return (int)(MONITOR_WAIT_NS / 1000000);
        }
        if (r->killed || r->init_done)
                return -1;
        if (l->wall_s > 0) {
                if (now - start >= l->wall_s * second)
                        run_limit(r, KILN_LIMIT_WALL, l->wall_s, (now - start) / second);
                next = start + l->wall_s * second;
        }
        if (l->silence_s > 0 && r->executing && r->out) {
                uint64_t since = r->last_output_ns > start ? r->last_output_ns : start;

                if (now - since >= l->silence_s * second)
                        run_limit(r, KILN_LIMIT_SILENCE, l->silence_s, (now - since) / second);
                if (since + l->silence_s * second < next)
                        next = since + l->silence_s * second;
        }
        if (l->cpu_s > 0 && r->cgroup.dir_fd >= 0) {
                if (now - r->last_second_ns >= second) {
                        uint64_t used = cgroup_cpu_ns(&r->cgroup);

                        r->last_second_ns = now;
                        if (used >= l->cpu_s * second)
                                run_limit(r, KILN_LIMIT_CPU, l->cpu_s, used / second);
                }
                if (r->last_second_ns + second < next)
                        next = r->last_second_ns + second;
        }
        if (next == UINT64_MAX || r->killed)
                return -1;
        uint64_t ms = next > now ? (next - now + 999999) / 1000000 : 0;
        return ms < 60000 ? (int)ms : 60000;
}

static void run_pump(struct run *r, struct pump *p, const struct pollfd *polled)
{
        if (!p || !polled->revents || !pump_run(p, &r->result->output_bytes, r->s->limits.output_bytes))
                return;
        r->last_output_ns = sandbox_now_ns();
        if (r->s->limits.output_bytes > 0 && r->result->output_bytes > r->s->limits.output_bytes)
                run_limit(r, KILN_LIMIT_OUTPUT, r->s->limits.output_bytes, r->result->output_bytes);
}

static bool pump_open(const struct pump *p)
{
        return p && (p->fd >= 0 || p->pending > 0);
}

static void run_cancel(struct run *r)
{
        if (r->killed || r->exited)
                return;
        if (!r->executing) {
                step_fail(r->err, "cancel", ECANCELED, "cancelled before the program ran");
                run_fail(r, ECANCELED);
                return;
        }
        r->result->how = KILN_SANDBOX_CANCELLED;
        run_kill(r);
}

enum { ON_CONTROL, ON_EXEC, ON_INIT, ON_MONITOR, ON_CANCEL, ON_OUT, ON_ERRORS, ON_COUNT };

static void run_loop(struct run *r)
{
        struct pollfd p[ON_COUNT];

        /* Ends when the monitor has said its last word and all output is passed on; a reader outside who
         * stopped reading is not waited for once the program is dead and was killed. */
        while (!r->monitor_done || (!r->killed && (pump_open(r->out) || pump_open(r->errors)))) {
                int timeout = run_deadlines(r);

                p[ON_CONTROL] = (struct pollfd){r->setup.caller_fd, POLLIN, 0};
                p[ON_EXEC] = (struct pollfd){r->exec_fd, POLLIN, 0};
                p[ON_INIT] = (struct pollfd){r->init_done ? -1 : r->init_pidfd, POLLIN, 0};
                p[ON_MONITOR] = (struct pollfd){r->monitor_done ? -1 : r->monitor_pidfd, POLLIN, 0};
                p[ON_CANCEL] = (struct pollfd){r->killed ? -1 : r->s->cancel_fd, POLLIN, 0};
                p[ON_OUT] = p[ON_ERRORS] = (struct pollfd){-1, 0, 0};
                if (r->out)
                        pump_poll(r->out, &p[ON_OUT]);
                if (r->errors)
                        pump_poll(r->errors, &p[ON_ERRORS]);
                if (poll(p, ON_COUNT, timeout) < 0) {
                        if (errno == EINTR)
                                continue;
                        step_fail(r->err, "poll", errno, "cannot wait");
                        run_fail(r, errno);
                        return;
                }
                while (run_message(r)) /* the socket does not block */
                        ;
                if (p[ON_EXEC].revents) {
                        /* what the program had to say was sent before its end of the pipe closed, so it is
                         * read by now */
                        sandbox_close(&r->exec_fd);
                        r->executed = r->executing && !r->failed;
                }
                run_pump(r, r->out, &p[ON_OUT]);
                run_pump(r, r->errors, &p[ON_ERRORS]);
                if (p[ON_CANCEL].revents)
                        run_cancel(r);
                if (p[ON_INIT].revents) {
                        r->init_done = true;
                        r->init_done_ns = sandbox_now_ns();
                }
                if (p[ON_MONITOR].revents) {
                        r->monitor_done = true;
                        if (!r->init_done)
                                run_kill(r); /* the monitor went first: it was killed */
                }
        }
}

/* The other end of the control socket is open as long as any process of the run but the program is there: its
 * end is theirs, even of those that a killed monitor left to init. Reads what was sent in the last moment on
 * the way. */
static void processes_wait(struct run *r)
{
        struct pollfd p = {r->setup.caller_fd, POLLIN, 0};
        struct message m;
        int fds[2];

        sandbox_close(&r->setup.control_fd);
        while (run_message(r))
                ;
        for (int tries = 0; tries < 50 && r->monitor > 0; tries++) {
                int n = message_recv(r->setup.caller_fd, &m, fds);

                sandbox_close(&fds[0]);
                sandbox_close(&fds[1]);
                if (n < 0 && n != -EAGAIN)
                        break;
                if (n == -EAGAIN)
                        poll(&p, 1, 100);
        }
}

/* Waits until nothing is left, and turns the evidence into the result. */
static void run_finish(struct run *r)
{
        struct kiln_sandbox_result *result = r->result;
        struct cgroup_peaks peaks;
        struct rusage usage = {0};

        if (r->init_pidfd >= 0) {
                struct pollfd p = {r->init_pidfd, POLLIN, 0};

                sandbox_pidfd_kill(r->init_pidfd, SIGKILL);
                while (poll(&p, 1, 10000) < 0 && errno == EINTR)
                        ;
        }
        if (r->monitor > 0) {
                if (!r->monitor_done && r->monitor_pidfd >= 0)
                        sandbox_pidfd_kill(r->monitor_pidfd, SIGKILL);
                while (wait4(r->monitor, NULL, 0, &usage) < 0 && errno == EINTR)
                        ;
        }
        processes_wait(r);
        if (r->executing && !r->failed)
                r->executed = true;
        if (!r->exited) { /* killed: the monitor's own usage holds everything it and PID 1 have waited for */
                result->wall_ns = result->exec_ns ? sandbox_now_ns() - result->exec_ns : 0;
                result->user_ns = (uint64_t)usage.ru_utime.tv_sec * 1000000000 +
                                  (uint64_t)usage.ru_utime.tv_usec * 1000;
                result->system_ns = (uint64_t)usage.ru_stime.tv_sec * 1000000000 +
                                    (uint64_t)usage.ru_stime.tv_usec * 1000;
                result->peak_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
        }
        cgroup_read(&r->cgroup, &peaks);
        result->cgroup = r->cgroup.dir_fd >= 0;
        result->peak_memory_bytes = peaks.memory_bytes;
        result->peak_pids = peaks.pids > 0 ? peaks.pids - 1 : 0; /* without PID 1 */
        result->id_mode = r->s->idmap.mode;
        if (result->how == KILN_SANDBOX_LIMITED || result->how == KILN_SANDBOX_CANCELLED)
                return;

        const struct kiln_sandbox_limits *l = &r->s->limits;
        enum kiln_sandbox_limit limit = KILN_LIMIT_NONE;
        bool died = !r->exited || (result->how == KILN_SANDBOX_SIGNALED && result->status == SIGKILL);
        if (!r->exited) {
                result->how = KILN_SANDBOX_SIGNALED;
                result->status = SIGKILL;
        }
        if (peaks.oom_kills > 0 && died) {
                limit = KILN_LIMIT_MEMORY;
                result->limit_value = l->memory_bytes;
                result->limit_peak = peaks.memory_bytes;
        } else if (peaks.pids_refused > 0 && (result->how == KILN_SANDBOX_SIGNALED || result->status != 0)) {
                limit = KILN_LIMIT_PIDS;
                result->limit_value = l->pids;
                result->limit_peak = result->peak_pids;
        } else if (result->how == KILN_SANDBOX_SIGNALED && result->status == SIGXFSZ && l->file_bytes > 0) {
                limit = KILN_LIMIT_FILE;
                result->limit_value = result->limit_peak = l->file_bytes;
        } else if (result->how == KILN_SANDBOX_SIGNALED && l->cpu_s > 0 &&
                   (result->status == SIGXCPU ||
                           (result->status == SIGKILL &&
                                   result->user_ns + result->system_ns >= l->cpu_s * UINT64_C(1000000000)))) {
                limit = KILN_LIMIT_CPU;
                result->limit_value = l->cpu_s;
                result->limit_peak = (result->user_ns + result->system_ns) / 1000000000;
                if (result->limit_peak <
                        l->cpu_s) /* the signal comes a tick before the accounts are settled */
                        result->limit_peak = l->cpu_s;
        } else if (died && !result->cgroup) {
                limit = KILN_LIMIT_MEMORY; /* who else kills? but it is a guess */
                result->limit_guessed = true;
                result->limit_value = l->memory_bytes;
                result->limit_peak = result->peak_rss_bytes;
        }
        if (limit != KILN_LIMIT_NONE) {
                result->how = KILN_SANDBOX_LIMITED;
                result->limit = limit;
        }
}

static int run_start(struct run *r)
{
        struct setup *u = &r->setup;
        int control[2], listener[2], executed[2], n;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0)
                return step_fail(r->err, "socketpair", errno, "cannot make a socket pair");
        u->caller_fd = control[0];
        u->control_fd = control[1];
        if (fcntl(u->caller_fd, F_SETFL, O_NONBLOCK) < 0)
                return step_fail(r->err, "fcntl", errno, "cannot prepare the control socket");
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, listener) < 0)
                return step_fail(r->err, "socketpair", errno, "cannot make a socket pair");
        u->monitor_fd = listener[0];
        u->program_fd = listener[1];
        if (pipe2(executed, O_CLOEXEC) < 0)
                return step_fail(r->err, "pipe", errno, "cannot make a pipe");
        r->exec_fd = executed[0];
        u->exec_fd = executed[1];
        u->caller = getpid();

        n = TRY(u->hook, r->err, "fork monitor", fork());
        if (n < 0)
                return n;
        if (n == 0)
                monitor_main(u);
        r->monitor = n;
        r->monitor_pidfd = sandbox_pidfd_open(r->monitor);
        sandbox_close(&u->control_fd);
        sandbox_close(&u->monitor_fd);
        sandbox_close(&u->program_fd);
        sandbox_close(&u->exec_fd);
        if (r->monitor_pidfd < 0) {
                n = step_fail(r->err, "pidfd_open", errno, "cannot watch a process (Linux 5.3)");
                kill(r->monitor, SIGKILL);
                return n;
        }
        return 0;
}

static void run_clear(struct run *r)
{
        sandbox_close(&r->setup.caller_fd);
        sandbox_close(&r->setup.control_fd);
        sandbox_close(&r->setup.monitor_fd);
        sandbox_close(&r->setup.program_fd);
        sandbox_close(&r->setup.exec_fd);
        sandbox_close(&r->exec_fd);
        sandbox_close(&r->init_pidfd);
        sandbox_close(&r->monitor_pidfd);
        if (r->out)
                sandbox_close(&r->out->fd);
        if (r->errors)
                sandbox_close(&r->errors->fd);
        free(r->out);
        free(r->errors);
        cgroup_remove(&r->cgroup);
}

/* A shell in the sandbox took the terminal; it must come back whoever has it now. */
static void terminal_restore(const struct kiln_sandbox *s)
{
        struct sigaction ignore = {.sa_handler = SIG_IGN}, before;

        if (!s->terminal || !isatty(STDIN_FILENO))
                return;
        sigaction(SIGTTOU, &ignore, &before);
        tcsetpgrp(STDIN_FILENO, getpgrp());
        sigaction(SIGTTOU, &before, NULL);
}

int sandbox_run_hooked(const struct kiln_sandbox *s, const struct step_hook *hook,
        struct kiln_sandbox_result *ret, struct kiln_sandbox_error *err)
{
        struct kiln_sandbox_result result = {0};
        struct kiln_sandbox_error unused;
        struct run r = {.s = s,
                .result = &result,
                .err = err ? err : &unused,
                .cgroup = {-1, -1, ""},
                .monitor_pidfd = -1,
                .init_pidfd = -1,
                .exec_fd = -1,
                .start_ns = sandbox_now_ns()};
        struct setup *u = &r.setup;
        int n;

        memset(r.err, 0, sizeof *r.err);
        u->s = s;
        u->hook = hook;
        u->caller_fd = u->control_fd = u->monitor_fd = u->program_fd = u->exec_fd = u->proc_fd = -1;
        u->stdin_fd = u->stdout_fd = u->stderr_fd = -1;
        n = validate(s, r.err);
        u->policy = seccomp_policy(s->profile, s->idmap.mode == KILN_ID_SINGLE, s->kernel_release != NULL);
        if (n == 0)
                n = cgroup_make(s, hook, &r.cgroup, r.err);
        u->cgroup = r.cgroup.dir_fd >= 0;
        if (n == 0)
                n = run_start(&r);
        if (n == 0)
                run_loop(&r);
        run_finish(&r);
        terminal_restore(s);
        if (n == 0 && r.failed)
                n = r.fail_errnum > 0 ? -r.fail_errnum : -EIO;
        if (n == 0 && !r.executed)
                n = step_fail(r.err, "set-up", EIO, "a process that sets the sandbox up was killed");
        run_clear(&r);
        if (n == 0)
                *ret = result;
        return n;
}

int kiln_sandbox_run(
        const struct kiln_sandbox *s, struct kiln_sandbox_result *ret, struct kiln_sandbox_error *err)
{
        return sandbox_run_hooked(s, NULL, ret, err);
}
