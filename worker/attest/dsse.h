/* DSSE envelopes (github.com/secure-systems-lab/dsse, protocol.md) with one Ed25519 signature.
 *
 * kiln_dsse_open() checks the signature before it looks at the payload, and hands out the very bytes it
 * checked: no caller ever parses an envelope again. */
#pragma once

#include "worker/attest/openpgp.h"
#include "worker/base/buf.h"
#include "worker/base/digest.h"
#include "worker/base/error.h"
#include "worker/base/json.h"

#define KILN_DSSE_INTOTO "application/vnd.in-toto+json"
#define KILN_DSSE_SIGNATURE_BYTES 64 /* Ed25519 */
/* What is signed at most: an SBOM has some 600 bytes for each file of its packages. */
#define KILN_DSSE_PAYLOAD_MAX (UINT64_C(256) << 20)
#define KILN_DSSE_ENVELOPE_MAX (KILN_DSSE_PAYLOAD_MAX / 3 * 4 + 65536)
/* Of an envelope, or of a bundle, without its longest string, the payload. */
#define KILN_DSSE_REST_MAX (UINT64_C(16) << 20)
/* kiln_json_items() of an envelope, or of a bundle with other people's log entries: all that is parsed before
 * a signature was checked. */
#define KILN_DSSE_ITEMS_MAX 1000

/* Appends the pre-authentication encoding: what is signed. */
void kiln_dsse_pae(const char *type, const void *payload, size_t len, struct kiln_buf *out);

/* Appends the envelope as canonical JSON with a newline: one line of a .jsonl file. */
void kiln_dsse_write(const char *type, const void *payload, size_t len, const char *keyid,
        const unsigned char signature[64], struct kiln_buf *out);

/* JSON in which the longest string was not copied: it is where it was, and "#" stands for it. */
struct kiln_dsse_text {
        json_t *json;    /* owned */
        const char *cut; /* NULL: nothing was cut */
        size_t cut_len;  /* bytes, without escapes */
};
#define KILN_DSSE_CUT "#"

/* Parses an envelope, or a document that holds one, before anything vouches for it: for the price of the
 * text. The text must outlive the result. Errors: BAD_INPUT. */
int kiln_dsse_parse(
        const char *text, size_t len, const char *name, struct kiln_dsse_text *ret, struct kiln_error *err);
void kiln_dsse_text_clear(struct kiln_dsse_text *t);
#define _cleanup_dsse_text_ _cleanup_(kiln_dsse_text_clear)

/* A member that is a string, also where it was cut; NULL: there is none. Borrowed. */
const char *kiln_dsse_string(
        const struct kiln_dsse_text *t, const json_t *object, const char *key, size_t *ret_len);

/* Checks the one signature of an envelope (without its newline) against n public keys and appends the payload
 * to *payload. *ret_key (may be NULL) is the index of the key that made it. `type` is the payload type that
 * is expected. Errors: BAD_INPUT when it is no envelope with one signature, NOT_REPRODUCED (design.md:
 * "verify found tampering") when no key of ours signed it. */
int kiln_dsse_open(const char *line, size_t len, const char *type, EVP_PKEY *const *keys, size_t n_keys,
        const char *name, struct kiln_buf *payload, size_t *ret_key, struct kiln_error *err);

/* The same for an envelope that is part of a parsed document. */
int kiln_dsse_open_json(const struct kiln_dsse_text *t, const json_t *envelope, const char *type,
        EVP_PKEY *const *keys, size_t n_keys, const char *name, struct kiln_buf *payload, size_t *ret_key,
        struct kiln_error *err);

/* SHA-256 of the canonical JSON of an envelope that is part of a parsed document. */
struct kiln_digest kiln_dsse_digest(const struct kiln_dsse_text *t, const json_t *envelope);

/* Appends the bytes of an envelope's first signature, as kiln_dsse_open_json() reads them; -EINVAL: it has
 * none of that form. Who made it is not asked. */
int kiln_dsse_signature(const json_t *envelope, struct kiln_buf *out);

/* Reads a PEM SubjectPublicKeyInfo; NULL unless it is an Ed25519 key. EVP_PKEY_free() it. */
EVP_PKEY *kiln_dsse_public_key(const char *pem);
