/* One run from the caller's side: check what is asked for, start the monitor, hand over to watch.c and
 * finish.c.
 *
 * The only process of a run with the caller's own power. It reads two kinds of things from the others:
 * fixed-size messages (each accepted only in its place) and output bytes it does not look at. */
#include "sandbox/idmap.h"
#include "sandbox/root.h"
#include "sandbox/run.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

void kiln_sandbox_init(struct kiln_sandbox *s)
{
        memset(s, 0, sizeof *s);
        s->upper_fd = s->work_fd = s->stdin_fd = s->cancel_fd = s->disk_fd = -1;
        s->profile = KILN_PROFILE_BUILD;
        for (size_t i = 0; i < SANDBOX_COUNT(s->keep_fds); i++)
                s->keep_fds[i] = -1;
}

static const struct {
        const char *name, *unit;
} limits[] = {
        [KILN_LIMIT_NONE] = {"none", ""},
        [KILN_LIMIT_WALL] = {"wall", " s"},
        [KILN_LIMIT_SILENCE] = {"silence", " s"},
        [KILN_LIMIT_CPU] = {"cpu", " s"},
        [KILN_LIMIT_MEMORY] = {"memory", " bytes"},
        [KILN_LIMIT_PIDS] = {"pids", ""},
        [KILN_LIMIT_OUTPUT] = {"output", " bytes"},
        [KILN_LIMIT_FILE] = {"file", " bytes"},
        [KILN_LIMIT_DISK] = {"disk", " bytes"},
};

const char *kiln_sandbox_limit_name(enum kiln_sandbox_limit l)
{
        return (size_t)l < SANDBOX_COUNT(limits) ? limits[l].name : "?";
}

const char *kiln_sandbox_limit_unit(enum kiln_sandbox_limit l)
{
        return (size_t)l < SANDBOX_COUNT(limits) ? limits[l].unit : "";
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
        else if (s->n_observe > 0 && !s->seen)
                wrong = "nobody to tell of what is seen";
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
        observe_clear(&r->observation);
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
                .observation = {.fd = -1},
                .monitor_pidfd = -1,
                .init_pidfd = -1,
                .exec_fd = -1,
                .start_ns = sandbox_now_ns()};
        struct setup *u = &r.setup;
        int n;

        memset(r.err, 0, sizeof *r.err);
        u->s = s;
        u->hook = hook;
        u->caller_fd = u->control_fd = u->monitor_fd = u->program_fd = u->exec_fd = u->proc_fd = u->trace_fd =
                -1;
        u->stdin_fd = u->stdout_fd = u->stderr_fd = -1;
        n = validate(s, r.err);
        u->policy = seccomp_policy(s->profile, s->idmap.mode == KILN_ID_SINGLE, setup_answers(s));
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
