/* Payloads of the bootstrap packages, unpacked into "/". Only ever runs inside the sandbox, before the root
 * has any program. Not for other rooms. */
#pragma once

#include <stddef.h>

struct unpack {
        const char *const
                *paths; /* of RPM files, inside the sandbox; the first `n_first` are done before the others */
        size_t n, n_first;
        const char *const
                *skip; /* absolute directories that are left alone with all below; NULL-terminated */
};

/* kiln_sandbox.entry: `arg` is a struct unpack. Exit status 0, or 1 after a line on standard error. */
int unpack_entry(void *arg);
