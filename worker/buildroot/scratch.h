/* A scratch directory below <cache>/build for one run of the sandbox on an empty root. It dies with its
 * owner: the next build sweeps what a killed process left (worker/base/lease.h). */
#pragma once

#include "sandbox/sandbox.h"
#include "worker/base/context.h"
#include "worker/base/error.h"

struct kiln_scratch {
        const struct kiln_idmap *idmap; /* borrowed */
        int parent_fd, dir_fd, lease_fd;
        char *name;
        int root_fd; /* "root" in it, owned by id 0 of the mapping */
};
#define KILN_SCRATCH_INIT                                                                                    \
        {                                                                                                    \
                NULL, -1, -1, -1, NULL, -1                                                                   \
        }

int kiln_scratch_make(const struct kiln_context *c, const struct kiln_idmap *idmap, struct kiln_scratch *s,
        struct kiln_error *err);
/* Removes all of it; also after a failure of kiln_scratch_make(). */
void kiln_scratch_remove(struct kiln_scratch *s);
#define _cleanup_scratch_ _cleanup_(kiln_scratch_remove)
