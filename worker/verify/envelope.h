/* A file of attestations, `<nvr>.intoto.jsonl`: one DSSE envelope a line, in it an in-toto statement.
 *
 * Order of trust: the envelope's JSON is parsed (duplicate keys are refused), its one signature is checked
 * with keys the caller brought, and only then are the very bytes that were checked parsed, once, as a
 * statement. Nothing an envelope says about its own key is believed. One envelope is in memory at a time. */
#pragma once

#include "worker/attest/dsse.h"
#include "worker/attest/keys.h"
#include "worker/attest/statement.h"

#define KILN_ENVELOPES_MAX 1000                               /* lines of a file */
#define KILN_ENVELOPES_BYTES_MAX (2 * KILN_DSSE_ENVELOPE_MAX) /* of a file */
#define KILN_ENVELOPE_SUBJECTS_MAX 10000

/* Public keys that are allowed to have signed. */
struct kiln_verify_key {
        EVP_PKEY *key;
        char keyid[KILN_KEYID_HEX + 1];
        char *name; /* where it came from, for messages */
};
struct kiln_verify_keys {
        struct kiln_verify_key *keys;
        size_t n;
};
/* Adds a PEM public key. BAD_INPUT when it is none of Ed25519; one that is there already is not added again.
 */
int kiln_verify_keys_add(
        struct kiln_verify_keys *k, const char *pem, const char *name, struct kiln_error *err);
void kiln_verify_keys_clear(struct kiln_verify_keys *k);

struct kiln_envelope_subject {
        char *name; /* a file name */
        struct kiln_rpm_digests digests;
        unsigned have; /* which of them the statement names: a mask, KILN_DIGEST_* */
};

struct kiln_envelope {
        size_t line;               /* from 1 */
        size_t key;                /* index of the key that signed */
        struct kiln_digest sha256; /* of the envelope's line, without newline */
        struct kiln_digest payload_sha256;
        unsigned char signature[KILN_DSSE_SIGNATURE_BYTES];
        json_t *log_entries; /* owned; of a bundle: transparency log entries, unchecked; NULL: there are none
                              */
        json_t *statement;   /* owned */
        const char *predicate_type;             /* borrowed from the statement, as is the predicate */
        const json_t *predicate;                /* an object */
        struct kiln_envelope_subject *subjects; /* names are unique */
        size_t n_subjects;
};
void kiln_envelope_free(struct kiln_envelope *e);
KILN_DEFINE_CLEANUP(struct kiln_envelope *, kiln_envelope_free)

/* Opens one envelope (its JSON text, without newline). Errors: NOT_REPRODUCED (none of the keys signed it),
 * BAD_INPUT (no envelope, more or less than one signature, no statement, duplicate keys, above a limit). */
int kiln_envelope_open(const char *text, size_t len, const struct kiln_verify_keys *keys, const char *name,
        struct kiln_envelope **ret, struct kiln_error *err);

/* The same for an envelope that is part of another document, a bundle; sha256 is of its canonical JSON. */
int kiln_envelope_open_json(const struct kiln_dsse_text *text, const json_t *envelope,
        const struct kiln_verify_keys *keys, const char *name, struct kiln_envelope **ret,
        struct kiln_error *err);

/* Appends what a transparency log holds of an envelope (worker/attest/log/entry.h). */
void kiln_envelope_log_entry(
        const struct kiln_envelope *e, const struct kiln_verify_keys *keys, struct kiln_buf *out);

/* Reads what a signature was already checked over. */
int kiln_envelope_read_payload(const char *payload, size_t len, const char *name, struct kiln_envelope **ret,
        struct kiln_error *err);

/* A file that is read line by line. */
struct kiln_envelopes;
int kiln_envelopes_open(int dir_fd, const char *path, struct kiln_envelopes **ret, struct kiln_error *err);
void kiln_envelopes_free(struct kiln_envelopes *e);
KILN_DEFINE_CLEANUP(struct kiln_envelopes *, kiln_envelopes_free)

/* The next envelope; 0, KILN_ENVELOPES_END behind the last one, or an error as above (and the file is
 * positioned behind the line that was wrong, or at its end where there are too many). INFRA: it cannot be
 * read. */
enum { KILN_ENVELOPES_END = 1 };
int kiln_envelopes_next(struct kiln_envelopes *e, const struct kiln_verify_keys *keys,
        struct kiln_envelope **ret, struct kiln_error *err);

/* The text of the envelope that was read last, without its newline; valid until the next is read. */
const char *kiln_envelopes_text(const struct kiln_envelopes *e, size_t *ret_len);

/* The subject of this name; NULL: there is none. */
const struct kiln_envelope_subject *kiln_envelope_subject_find(
        const struct kiln_envelope *e, const char *name);

/* Whether every digest the subject names is the package's, leaving out those in `unknown` (a mask as
 * kiln_envelope_subject.have: what the holder of one form of the file cannot know), and at least one was
 * compared. */
bool kiln_envelope_subject_matches(
        const struct kiln_envelope_subject *s, const struct kiln_rpm_digests *d, unsigned unknown);
