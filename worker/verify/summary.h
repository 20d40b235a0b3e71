/* The result of `kiln verify` as verification summaries: one statement for each source package, signed. */
#pragma once

#include "worker/attest/signer.h"
#include "worker/verify/judge.h"

#define KILN_VERIFIER_ID "urn:kiln:verifier:local"

/* Whether the result is a verdict about packages. Where it only says that this host could not judge them (no
 * memory, no sandbox), a FAILED summary would be dissent that nobody has. */
bool kiln_verify_is_judged(const json_t *result);

/* Appends an envelope about one group's result (judge.h). The signer hashes every package again, and a
 * package that is not what was judged any more is an error. Packages that could not be read are no subjects;
 * without any nothing is written. Errors: INFRA, BAD_INPUT, REFUSED. */
int kiln_verify_summarise(struct kiln_signer *signer, const struct kiln_policy *policy, int64_t now_s,
        const json_t *result, struct kiln_buf *out, struct kiln_error *err);
