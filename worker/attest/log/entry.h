/* What a log holds of an attestation, and the proof that it does, in the form of Sigstore.
 *
 * One entry (leaf) a DSSE envelope: the canonical JSON of Rekor v2's `dsse` 0.0.2 (github.com/sigstore/
 * rekor-tiles, api/proto/rekor/v2), which has the digest of the payload, the signature and the key. It
 * follows from the envelope and its key alone, so who checks a proof makes it anew and believes no copy. The
 * proof is a TransparencyLogEntry (github.com/sigstore/protobuf-specs, protos/sigstore_rekor.proto): one form
 * for logs of our own and for Rekor's. */
#pragma once

#include "worker/attest/log/note.h"
#include "worker/base/json.h"

#define KILN_LOG_KIND "dsse"
#define KILN_LOG_KIND_VERSION "0.0.2"

/* Appends the entry of an envelope with this payload that this Ed25519 key signed. */
void kiln_log_entry_write(const struct kiln_digest *payload_sha256, const unsigned char signature[64],
        const EVP_PKEY *key, struct kiln_buf *out);

/* Whether bytes have the form of such an entry; *ret_payload (may be NULL): the payload's digest. -EINVAL. */
int kiln_log_entry_read(const char *entry, size_t len, struct kiln_digest *ret_payload);

/* The TransparencyLogEntry of an entry; a new reference. */
json_t *kiln_log_proof_write(const struct kiln_buf *entry, const struct kiln_log_key *key,
        const struct kiln_checkpoint *checkpoint, uint64_t index, const struct kiln_merkle_proof *proof);

/* A TransparencyLogEntry, of which nothing is true yet. */
struct kiln_log_proof {
        uint64_t index;
        struct kiln_checkpoint checkpoint;
        struct kiln_merkle_proof path;
        struct kiln_buf entry; /* the copy that came with it; empty: there is none */
};
void kiln_log_proof_clear(struct kiln_log_proof *p);

/* Whether it says that it is of an entry of ours; other logs' software has other kinds. */
bool kiln_log_proof_is_kind(const json_t *json);

/* Reads one. BAD_INPUT: it has not the form, or is of another kind or version. */
int kiln_log_proof_read(
        const json_t *json, const char *name, struct kiln_log_proof *ret, struct kiln_error *err);

/* Checks that the log of this key holds the entry. NOT_REPRODUCED: the copy is another entry, the checkpoint
 * is not the log's, or the hashes do not lead to it. */
int kiln_log_proof_check(const struct kiln_log_proof *p, const struct kiln_log_key *key,
        const struct kiln_buf *entry, const char *name, struct kiln_error *err);
