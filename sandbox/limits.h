/* Resource limits and processor affinity of the program. Private to the room. */
#pragma once

#include "sandbox/sandbox.h"

/* Sets the calling process's rlimits. `cgroup`: a cgroup counts processes, so that the rlimit only stands
 * behind it and the cgroup is what says no, and counts it. Returns 0 or -1 with errno. */
int limits_apply(const struct kiln_sandbox_limits *limits, bool cgroup);

/* Restricts the calling process to `cpus` of the processors it may use. Returns 0 or -1 with errno. */
int limits_affinity(unsigned cpus);
