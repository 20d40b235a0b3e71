/* How much a finished layer holds, written into its lease: a tree of which somebody has removed a part is
 * told from a whole one. Not for other rooms.
 *
 * This notices what is missing, as after `rm -rf` below the cache. Who changes bytes in place has the user's
 * own rights and is not looked for. */
#pragma once

#include "sandbox/sandbox.h"

/* Counts what is below root_fd and writes it to lease_fd. 0 or negative errno. */
int seal_write(const struct kiln_idmap *map, int root_fd, int lease_fd);

/* 0; -ESTALE when the tree does not hold what it was sealed with, or the lease itself was removed; another
 * negative errno when that cannot be established. */
int seal_check(const struct kiln_idmap *map, int root_fd, int lease_fd);
