/* The pipeline: one BuildRequest through all stages to a result directory. `kiln rebuild` and every worker
 * run this and nothing else.
 *
 * Every ending has a verdict and leaves a BuildResult; after any ending no process, mount or temporary file
 * of the job remains. */
#pragma once

#include "proto/message.h"
#include "worker/base/context.h"
#include "worker/buildroot/lock.h"

struct kiln_job;

/* Checks the request, loads the toolchain, fetches and verifies the source. The request is borrowed until
 * close. Errors: BAD_INPUT, REFUSED (ISA level, toolchain digest, architecture, sandbox), INFRA, CANCELLED.
 * On error *ret is set all the same (close it): its record holds what happened. */
int kiln_job_open(const struct kiln_context *c, const Kiln__V1__BuildRequest *request, struct kiln_job **ret,
        struct kiln_error *err);
void kiln_job_close(struct kiln_job *j);
static inline void kiln_job_closep(struct kiln_job **j)
{
        kiln_job_close(*j);
}

/* Solves (unless the request pins a lock), makes the build root, parses the spec in it and runs the rounds of
 * %generate_buildrequires. Afterwards kiln_job_lock() is complete and the root is open. */
int kiln_job_prepare(struct kiln_job *j, struct kiln_error *err);
const struct kiln_lock *kiln_job_lock(const struct kiln_job *j);

/* A shell (or argv) in the prepared root, in the build's own sandbox. */
int kiln_job_shell(struct kiln_job *j, const char *const *argv, int *ret_status, struct kiln_error *err);

/* Everything: prepare, build, check, attest, publish to request->destination (a directory). Returns the
 * BuildResult whatever happened (kiln_result_free()), also written there as result.json with the logs; *err
 * says what went wrong unless the verdict is OK. */
Kiln__V1__BuildResult *kiln_pipeline_run(
        const struct kiln_context *c, const Kiln__V1__BuildRequest *request, struct kiln_error *err);

/* The same ending for what never became a request: *err, which the caller has set, says why (a source package
 * that cannot be read). The result names no request: its build_digest is "". */
Kiln__V1__BuildResult *kiln_pipeline_give_up(
        const struct kiln_context *c, const char *directory, struct kiln_error *err);

/* The same with the solver's answer known beforehand, from a provenance: the build root is that of `lock`
 * (borrowed), the result is the request's own, so that it can be compared with the first one's. The lock must
 * be of the request's toolchain; a request that pins a lock itself gets that one. */
Kiln__V1__BuildResult *kiln_pipeline_rerun(const struct kiln_context *c,
        const Kiln__V1__BuildRequest *request, const struct kiln_lock *lock, struct kiln_error *err);

/* Whether this is a factor of the second build, that BuildRequest.unvaried and .varied may name. */
bool kiln_pipeline_varies(const char *factor);
