/* What layer.c (finding, keeping), install.c (filling) and layer-collect.c (removing) share. Not for other
 * rooms. */
#pragma once

#include "worker/base/buf.h"
#include "worker/buildroot/layer.h"

struct layer_job {
        const struct kiln_context *context;
        struct kiln_store *store;
        const struct kiln_toolchain *toolchain;
        const struct kiln_idmap *map;
        const struct kiln_root_log *log;
        const struct kiln_locked_package **packages;
        size_t n_packages;
        const struct kiln_root *parent; /* NULL: an empty root */
        const char *what;               /* "base", "delta": for messages */
        struct kiln_buf tail;           /* last lines of what was printed */
};

/* Fills an empty layer directory: its tree, and in its lease how many entries that has. Synced. */
int layer_fill(struct layer_job *j, int dir_fd, int lease_fd, struct kiln_error *err);
