/* Resource limits and processor affinity of the program. */
#include "sandbox/limits.h"
#include "sandbox/util.h"

#include <sched.h>
#include <sys/resource.h>

static int limit_set(__rlimit_resource_t what, rlim_t soft, rlim_t hard)
{
        struct rlimit now, wanted;

        if (getrlimit(what, &now) < 0)
                return -1;
        /* without the host's CAP_SYS_RESOURCE nothing can be raised above the caller's own hard limit */
        wanted.rlim_max = now.rlim_max == RLIM_INFINITY || hard < now.rlim_max ? hard : now.rlim_max;
        wanted.rlim_cur = soft < wanted.rlim_max ? soft : wanted.rlim_max;
        return setrlimit(what, &wanted);
}

int limits_apply(const struct kiln_sandbox_limits *l, bool cgroup)
{
        uint64_t slack = cgroup ? 64 : 0;

        /* 1, not 0: a core_pattern that pipes to a program of the host ignores the limit, except for 1
         * (core(5), and do_coredump() in fs/coredump.c) */
        if (limit_set(RLIMIT_CORE, 1, 1) < 0)
                return -1;
        /* what login sessions commonly have: programs size tables by the soft limit */
        if (limit_set(RLIMIT_NOFILE, 1024, 524288) < 0 || limit_set(RLIMIT_STACK, 8 << 20, RLIM_INFINITY) < 0)
                return -1;
        /* SIGXCPU at the limit, SIGKILL for those who ignore it */
        if (l->cpu_s > 0 && limit_set(RLIMIT_CPU, l->cpu_s, l->cpu_s + 5) < 0)
                return -1;
        if (l->file_bytes > 0 && limit_set(RLIMIT_FSIZE, l->file_bytes, l->file_bytes) < 0)
                return -1;
        /* counted per user namespace since Linux 5.14, so other sandboxes and the user's own session do not
         * matter */
        if (l->pids > 0 && limit_set(RLIMIT_NPROC, l->pids + slack, l->pids + slack) < 0)
                return -1;
        return 0;
}

int limits_affinity(unsigned cpus)
{
        cpu_set_t have, want;
        unsigned n, skip, taken = 0;

        if (sched_getaffinity(0, sizeof have, &have) < 0)
                return -1;
        n = (unsigned)CPU_COUNT(&have);
        if (cpus == 0 || cpus >= n)
                return 0;
        /* neighbours do not all sit on the first processors */
        skip = ((unsigned)sandbox_now_ns() / 1000) % n;
        CPU_ZERO(&want);
        for (unsigned turn = 0; turn < 2; turn++) {
                unsigned index = 0;

                for (int cpu = 0; cpu < CPU_SETSIZE && taken < cpus; cpu++) {
                        if (!CPU_ISSET(cpu, &have))
                                continue;
                        if ((turn == 0 ? index >= skip : index < skip)) {
                                CPU_SET(cpu, &want);
                                taken++;
                        }
                        index++;
                }
        }
        return sched_setaffinity(0, sizeof want, &want);
}
