/* Waits for a run: its messages, its limits, its output. */
#include "sandbox/run.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

/* How long the monitor may take to say its last word once PID 1 is gone. */
#define MONITOR_WAIT_NS UINT64_C(5000000000)

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

enum { ON_CONTROL, ON_EXEC, ON_INIT, ON_MONITOR, ON_CANCEL, ON_OUT, ON_ERRORS, ON_OPENED, ON_COUNT };

void run_loop(struct run *r)
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
                p[ON_OPENED] = (struct pollfd){r->observation.fd, POLLIN, 0};
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
                if (p[ON_OPENED].revents)
                        observe_read(&r->observation, r->s);
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
