/* Time stamps for a result: each attestation once more, as a Sigstore bundle with a stamp over its signature.
 * The file of attestations itself stays as it is, the same bytes on every worker. Not for other rooms. */
#pragma once

#include "worker/attest/tsa.h"
#include "worker/pipeline/publish.h"

/* *ret stays NULL when the request asks for no stamps. Called before anything is built: what is wrong with
 * the request is found then. Errors: kiln_tsa_open(). */
int stamp_open(const struct kiln_job *j, struct kiln_tsa **ret, struct kiln_error *err);

/* Bundles of all attestations that are staged as <nvr>.intoto.jsonl. attest_pem: the key that signed them. */
int stamp_attestations(struct kiln_job *j, struct kiln_tsa *tsa, const char *attest_pem, const char *nvr,
        struct publication *p, struct kiln_error *err);
