/* SLSA provenance v1 (slsa.dev/spec/v1.0/provenance) of a build. buildDefinition is a function of the request
 * and the lock; everything a host adds is in runDetails. docs/attestations.md documents the build type. */
#pragma once

#include "worker/attest/attest.h"

/* buildDefinition alone, for its digest; a new reference. */
json_t *kiln_provenance_definition(const struct kiln_attest_input *in);

/* The predicate; takes the definition. */
json_t *kiln_provenance_write(const struct kiln_attest_input *in, json_t *definition);

/* The test-result predicate (in-toto attestation, spec/predicates/test-result.md). */
json_t *kiln_test_result_write(const struct kiln_attest_input *in, const struct kiln_attest_test *t);
