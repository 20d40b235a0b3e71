/* The normalised view: files the program reads instead of the host's or the root's own. Private to the room.
 */
#pragma once

#include "sandbox/setup.h"

/* The second half of what uname(2) tells, for whom a release is given. */
#define VIEW_KERNEL_VERSION "#1 SMP PREEMPT_DYNAMIC"

/* Covers files below root_fd, where they exist, with read-only ones. dev_fd is the sandbox's own /dev, a
 * writable tmpfs at this time, in which the contents are kept (without a name afterwards). */
int view_cover(struct setup *u, int root_fd, int dev_fd);

/* The first `cpus` processors of the host's /proc/cpuinfo text, without what changes from one moment to the
 * next. The caller's; NULL without memory. */
char *view_cpuinfo(const char *host, unsigned cpus);

/* The host's /proc/meminfo text with another amount of memory. The caller's; NULL without memory. */
char *view_meminfo(const char *host, uint64_t bytes);
