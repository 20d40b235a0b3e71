/* Runs a trusted program of the host (apt-get, dpkg-deb, createrepo_c …) to its end. Never for anything that
 * comes out of an SRPM: that runs in sandbox/ only. */
#pragma once

#include "worker/base/buf.h"
#include "worker/base/context.h"

struct kiln_process {
        const char *const *argv; /* argv[0] is looked up in PATH */
        const char *const *env;  /* NULL: a fixed one: PATH, HOME, LC_ALL=C.UTF-8, TZ=UTC */
        int cwd_fd;              /* -1: the caller's; note that 0 is a descriptor */
        int stdin_fd;            /* -1: /dev/null */
        size_t output_max;       /* bytes of stdout kept; 0: 16 MiB. More is an error. */
};

/* Waits for it; kills it when the context is cancelled. Standard output goes behind *out, standard error's
 * last 64 KiB behind *errors (either may be NULL: thrown away). Returns the exit status (>= 0), -ECANCELED,
 * or negative errno
 * (-ENOENT: no such program; -EPIPE: it was killed by a signal). */
int kiln_process_run(const struct kiln_context *c, const struct kiln_process *p, struct kiln_buf *out,
        struct kiln_buf *errors);

/* Bounds what this process, and those it will make, may map beyond what it has mapped now; a tighter bound
 * stays. For processes that read what nobody vouches for. Negative errno. */
int kiln_process_bound_memory(uint64_t more_bytes);
