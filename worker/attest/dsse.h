/* DSSE envelopes (github.com/secure-systems-lab/dsse, protocol.md) with one Ed25519 signature.
 *
 * kiln_dsse_open() checks the signature before it looks at the payload, and hands out the very bytes it
 * checked: no caller ever parses an envelope again. */
#pragma once

#include "worker/attest/openpgp.h"
#include "worker/base/buf.h"
#include "worker/base/error.h"
#include "worker/base/json.h"

#define KILN_DSSE_INTOTO "application/vnd.in-toto+json"
#define KILN_DSSE_ENVELOPE_MAX (UINT64_C(512) << 20)
/* kiln_json_items() of an envelope, or of a bundle with other people's log entries: all that is parsed before
 * a signature was checked. */
#define KILN_DSSE_ITEMS_MAX 1000

/* Appends the pre-authentication encoding: what is signed. */
void kiln_dsse_pae(const char *type, const void *payload, size_t len, struct kiln_buf *out);

/* Appends the envelope as canonical JSON with a newline: one line of a .jsonl file. */
void kiln_dsse_write(const char *type, const void *payload, size_t len, const char *keyid,
        const unsigned char signature[64], struct kiln_buf *out);

/* Checks the one signature of an envelope (without its newline) against n public keys and appends the payload
 * to *payload. *ret_key (may be NULL) is the index of the key that made it. `type` is the payload type that
 * is expected. Errors: BAD_INPUT when it is no envelope with one signature, NOT_REPRODUCED (design.md:
 * "verify found tampering") when no key of ours signed it. */
int kiln_dsse_open(const char *line, size_t len, const char *type, EVP_PKEY *const *keys, size_t n_keys,
        const char *name, struct kiln_buf *payload, size_t *ret_key, struct kiln_error *err);

/* The same for an envelope that is part of another document. */
int kiln_dsse_open_json(const json_t *envelope, const char *type, EVP_PKEY *const *keys, size_t n_keys,
        const char *name, struct kiln_buf *payload, size_t *ret_key, struct kiln_error *err);

/* Reads a PEM SubjectPublicKeyInfo; NULL unless it is an Ed25519 key. EVP_PKEY_free() it. */
EVP_PKEY *kiln_dsse_public_key(const char *pem);
