/* The disk watcher: a process that measures what a sandbox has written, for its disk limit. Private to the
 * room. */
#pragma once

#include "sandbox/setup.h"

#include <stdbool.h>

struct disk_measured {
        uint64_t begin_ns, end_ns; /* when the measuring began and ended */
        uint64_t bytes;            /* what it found */
        uint64_t limit_bytes;      /* not 0 */
};

/* Whether it is time to measure again, `grown_bytes` being how much less room the file system has since then.
 * A big tree takes long to measure, so it is measured for a hundredth of the time only; for a tenth, once
 * what was written since may be a quarter of what there was, or of what there may still be. What others
 * remove meanwhile hides that, so after a minute it is a tenth in any case. */
bool disk_is_due(const struct disk_measured *last, uint64_t now_ns, uint64_t grown_bytes);

/* Starts the watcher, when the run has a disk limit and something to measure: by the monitor, before it makes
 * the pid namespace, to which the watcher must not belong. *ret: its pid; not set without one. 0 or negative
 * errno. */
int disk_start(struct setup *u, pid_t *ret);
