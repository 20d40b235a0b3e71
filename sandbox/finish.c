/* The end of a run: waits until nothing of it is left, and turns the evidence into the result. */
#include "sandbox/run.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

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

void run_finish(struct run *r)
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
        while (observe_read(&r->observation, r->s)) /* what is dead opens nothing more */
                ;
        result->observe_lost = r->observation.lost;
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
        const struct kiln_sandbox_limits *l = &r->s->limits;
        result->ended_by = result->limit;
        if (result->how == KILN_SANDBOX_LIMITED && peaks.pids_refused > 0 &&
                (result->limit == KILN_LIMIT_WALL || result->limit == KILN_LIMIT_SILENCE)) {
                /* a fork bomb: whether it gives up or tries until its time is over, the reason is one */
                result->limit = KILN_LIMIT_PIDS;
                result->limit_value = l->pids;
                result->limit_peak = result->peak_pids;
        }
        if (result->how == KILN_SANDBOX_LIMITED || result->how == KILN_SANDBOX_CANCELLED)
                return;

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
                result->limit = result->ended_by = limit;
        }
}
