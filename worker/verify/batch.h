/* Many packages at once: files and directories are sorted into groups (packages of one source package in one
 * directory), and a process per CPU judges one group after the other.
 *
 * Processes, not threads: librpm has global state, and a reader that a hostile file brings down takes
 * one group with it. Memory is that of the groups being judged, and about a kilobyte for each package. */
#pragma once

#include "worker/verify/judge.h"

/* Judges paths (RPM files, directories with RPM files directly in them) and calls `each` for every group, in
 * an order that depends on the paths only. jobs 0: one per CPU. *ret is the worst verdict. Errors: USAGE
 * (neither RPM nor directory, nothing to judge), BAD_INPUT (a path cannot be read), CANCELLED, INFRA. */
int kiln_verify_batch(const struct kiln_context *c, const struct kiln_verify_options *o, char *const *paths,
        unsigned jobs, void (*each)(void *ctx, const json_t *result), void *ctx, enum kiln_verdict *ret,
        struct kiln_error *err);
