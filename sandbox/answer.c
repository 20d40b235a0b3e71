/* What the processes of a run tell the caller, and what follows from it. */
#include "sandbox/idmap.h"
#include "sandbox/run.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

void run_kill(struct run *r)
{
        r->killed = true;
        cgroup_kill(&r->cgroup);
        if (r->init_pidfd >= 0)
                sandbox_pidfd_kill(r->init_pidfd, SIGKILL);
        else if (r->monitor_pidfd >= 0)
                sandbox_pidfd_kill(r->monitor_pidfd, SIGKILL);
}

void run_fail(struct run *r, int errnum)
{
        if (!r->failed)
                r->fail_errnum = errnum;
        r->failed = true;
        run_kill(r);
}

void run_limit(struct run *r, enum kiln_sandbox_limit limit, uint64_t value, uint64_t peak)
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

static void on_observe(struct run *r, int fds[2])
{
        int n;

        if (r->observation.fd >= 0 || fds[0] < 0 || fds[1] < 0)
                return;
        n = observe_take(&r->observation, r->s, fds[0], fds[1]);
        if (n < 0)
                run_fail(r, -step_fail(r->err, "watch files", -n, "cannot read the list of watches"));
        else
                fds[0] = fds[1] = -1;
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

/* What an earlier run left over the limit, too fast for its watcher, is judged as soon as this one runs. */
static void disk_judge(struct run *r)
{
        uint64_t limit = r->s->limits.disk_bytes;

        if (limit > 0 && r->disk_bytes > limit && r->executing)
                run_limit(r, KILN_LIMIT_DISK, limit, r->disk_bytes);
}

static void on_disk(struct run *r, const struct message *m)
{
        if (m->bytes > r->disk_bytes)
                r->disk_bytes = r->result->peak_disk_bytes = m->bytes;
        disk_judge(r);
}

bool run_message(struct run *r)
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
        case MESSAGE_OBSERVE:
                if (!r->executing)
                        on_observe(r, fds);
                break;
        case MESSAGE_EXECUTING:
                r->executing = true;
                r->result->exec_ns = m.ns;
                disk_judge(r);
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
