/* Attestations on their way into a transparency log, and out of it as bundles: every envelope of a file
 * `<nvr>.intoto.jsonl` is checked, logged, and written beside it with the proof that it was. */
#pragma once

#include "worker/attest/log/log.h"
#include "worker/attest/log/rekor.h"
#include "worker/verify/envelope.h"

/* Where to: a log of our own, or Rekor's. */
struct kiln_logging {
        const struct kiln_context *context;
        struct kiln_log_store *store; /* NULL: Rekor */
        struct kiln_log_signer signer;
        struct kiln_http *rekor;
        const struct kiln_log_key *key; /* the log's */
};

/* Logs the envelopes of a file and writes out_dir/<stem>.<kind>.sigstore.json for each. done is told of every
 * bundle that was written. Errors: as kiln_envelopes_next(), kiln_log_append() and kiln_rekor_add();
 * BAD_INPUT: no file name, envelopes that no bundle is named after, or two of one kind; INFRA: cannot write.
 * Nothing is logged unless all envelopes are good. A bundle of the same envelope that is there keeps what it
 * has. */
int kiln_logging_add(const struct kiln_logging *l, const char *path, const struct kiln_verify_keys *keys,
        const char *out_dir, void (*done)(void *ctx, const char *file, const json_t *log_entry), void *ctx,
        struct kiln_error *err);
