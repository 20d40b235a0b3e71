/* What a provenance statement claims about a build, read strictly: every member is known, and what it says
 * twice it says alike (request and resolvedDependencies, lock and packages). A verifier must refuse
 * what it does not understand (slsa.dev/spec/v1.0/provenance), so anything else is an error. */
#pragma once

#include "proto/message.h"
#include "worker/base/error.h"
#include "worker/base/json.h"
#include "worker/buildroot/lock.h"

struct kiln_claims {
        Kiln__V1__Build *build;          /* externalParameters.build */
        struct kiln_digest build_digest; /* computed from it, equal to invocationId */
        struct kiln_lock *lock;          /* made again from resolvedDependencies */
        struct kiln_digest lock_sha256;  /* of lock.json, as named there */
        char *builder;                   /* runDetails.builder.id */
        char **sandbox;                  /* digests of the sandbox policies used; NULL-terminated */
};
void kiln_claims_clear(struct kiln_claims *c);

/* Reads a predicate of type KILN_PREDICATE_PROVENANCE. Errors: BAD_INPUT (a member is unknown, missing or of
 * the wrong form), NOT_REPRODUCED (it contradicts itself). *ret is the caller's to clear. */
int kiln_claims_read(
        const json_t *predicate, const char *name, struct kiln_claims *ret, struct kiln_error *err);
