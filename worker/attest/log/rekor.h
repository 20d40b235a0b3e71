/* Rekor v2 (github.com/sigstore/rekor-tiles): one DSSE envelope into somebody else's log, over its HTTP
 * interface, POST /api/v2/log/entries. What it answers is checked before anybody gets to see it. */
#pragma once

#include "worker/attest/log/entry.h"
#include "worker/attest/log/http.h"

/* Logs an envelope that this Ed25519 key signed; `entry` is what kiln_log_entry_write() makes of it. *ret:
 * the TransparencyLogEntry, a new reference. Errors: INFRA (no answer), REFUSED (the log does not take it),
 * BAD_INPUT, NOT_REPRODUCED (what it answers is no proof that this envelope is in the log of this key). */
int kiln_rekor_add(struct kiln_http *h, const struct kiln_log_key *log, const json_t *envelope,
        const EVP_PKEY *key, const struct kiln_buf *entry, const char *name, json_t **ret,
        struct kiln_error *err);
