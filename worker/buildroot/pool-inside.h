/* The process that libsolv runs in, for pool-outside.c. Not for other rooms. */
#pragma once

#include "worker/buildroot/pool_private.h"
#include "worker/buildroot/solvcache.h"

/* More than what is mapped when it begins. Fedora's 60,000 packages take 0.2 GiB from a .solv file, 1 GiB
 * from primary. */
#define POOL_MEMORY_BYTES (UINT64_C(4) << 30)

/* Of its processor time, for all that it is asked. For one answer it has four times as long, in which it may
 * have to wait for its turn. */
#define POOL_CPU_S 1800
#define POOL_ANSWER_S (4 * POOL_CPU_S)

/* Becomes that process, right after fork(): confines itself, loads the repositories and serves until the
 * other end of fd is closed. */
void pool_inside(int fd, pid_t parent, const struct kiln_toolchain *t, const struct metadata *metadata,
        size_t n) __attribute__((noreturn));

/* The first of it. Negative errno. */
int pool_confine(int *fd, pid_t parent);
