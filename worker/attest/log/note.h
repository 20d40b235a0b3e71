/* Signed notes and checkpoints (c2sp.org/signed-note, c2sp.org/tlog-checkpoint), with Ed25519 keys.
 *
 * Reading takes two steps: kiln_checkpoint_parse() checks the form and says which log a checkpoint claims to
 * be of; kiln_checkpoint_check() says whether that log's key signed it. Between the two nothing in it may be
 * believed. */
#pragma once

#include "worker/attest/log/merkle.h"
#include "worker/base/buf.h"
#include "worker/base/error.h"

#include <openssl/evp.h>

#define KILN_NOTE_MAX ((size_t)65536) /* bytes */
#define KILN_NOTE_SIGNATURES_MAX 100  /* a reader must accept 16 */
#define KILN_LOG_NAME_MAX 255         /* bytes of an origin */

/* A log's public key; its name is the origin of the log's checkpoints. */
struct kiln_log_key {
        char *name;
        unsigned char public[32];
        struct kiln_digest id; /* the key id in full length, which is Sigstore's log id; its first four bytes
                                  are what signatures carry */
        EVP_PKEY *key;
};

/* Whether a text can be a log's name: not empty, short, no blanks, no plus sign, no control characters. */
bool kiln_log_name_is_good(const char *name);

/* "NAME+ID+BASE64", the verifier key of the specification; with or without a newline. -EINVAL. */
int kiln_log_key_parse(const char *text, struct kiln_log_key **ret);
/* From an Ed25519 key. -EINVAL: another kind of key, or no good name. */
int kiln_log_key_new(const char *name, const EVP_PKEY *key, struct kiln_log_key **ret);
char *kiln_log_key_format(const struct kiln_log_key *k); /* without newline; the caller's */
void kiln_log_key_free(struct kiln_log_key *k);
KILN_DEFINE_CLEANUP(struct kiln_log_key *, kiln_log_key_free)

struct kiln_checkpoint {
        char *note; /* the whole of it, of which body_len bytes are signed */
        size_t body_len;
        char *origin;
        uint64_t size;
        struct kiln_digest root;
};
void kiln_checkpoint_clear(struct kiln_checkpoint *c);

/* Reads a note's text. -EINVAL: not the form; -EFBIG: above a limit. */
int kiln_checkpoint_parse(const char *note, size_t len, struct kiln_checkpoint *ret);

/* 0: the key signed it. KILN_CHECKPOINT_*: it did not. */
enum {
        KILN_CHECKPOINT_OTHER_LOG = 1, /* its origin is not the key's name */
        KILN_CHECKPOINT_UNSIGNED,      /* no signature claims to be this key's */
        KILN_CHECKPOINT_FORGED,        /* one does, and is not */
};
int kiln_checkpoint_check(const struct kiln_checkpoint *c, const struct kiln_log_key *key);

/* What such a result means, as half a sentence: "was not signed by …"; static. */
const char *kiln_checkpoint_why(int result);

/* Whether a text is the body of a checkpoint of this log, with no extension: what its key may sign. */
bool kiln_checkpoint_is_body(const char *body, size_t len, const char *origin);

/* The text that is signed, and a note of it with the key's signature. */
void kiln_checkpoint_body(
        const char *origin, uint64_t size, const struct kiln_digest *root, struct kiln_buf *out);
void kiln_checkpoint_sign(const struct kiln_log_key *key, const char *body, const unsigned char signature[64],
        struct kiln_buf *out);
