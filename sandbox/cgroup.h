/* A cgroup v2 for one run. Private to the room. */
#pragma once

#include "sandbox/sandbox.h"
#include "sandbox/step.h"

struct cgroup {
        int parent_fd; /* -1: there is none */
        int dir_fd;
        char name[64];
};

/* Makes a child cgroup with the limits of s in a delegated one. Without a delegated cgroup: parent_fd stays
 * -1 and 0 is returned, unless limits.hard asks for memory or pids. */
int cgroup_make(const struct kiln_sandbox *s, const struct step_hook *hook, struct cgroup *ret,
        struct kiln_sandbox_error *err);

int cgroup_add(const struct cgroup *c, pid_t pid); /* 0 or negative errno */
void cgroup_kill(const struct cgroup *c);

/* CPU time used so far by the whole tree; 0 without a cgroup. */
uint64_t cgroup_cpu_ns(const struct cgroup *c);

struct cgroup_peaks {
        uint64_t memory_bytes;
        uint64_t pids;
        uint64_t oom_kills;
        uint64_t pids_refused; /* forks refused at the limit */
        uint64_t user_ns;
        uint64_t system_ns;
};
void cgroup_read(const struct cgroup *c, struct cgroup_peaks *ret);

/* Kills what is left in it, removes it. */
void cgroup_remove(struct cgroup *c);
