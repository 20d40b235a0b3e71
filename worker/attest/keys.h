/* The local key pair: an Ed25519 OpenPGP key for RPMs and repomd.xml, and another Ed25519 key for
 * attestations. Where a transparency log was begun, a third one for its checkpoints, with the log's name.
 *
 * Private halves are only ever read by the signer process (signer-serve.c); nothing else may call
 * kiln_keys_open(). A key directory holds, all 0600 in a directory that is 0700 and the user's own:
 *     user-id      of the OpenPGP key, one line
 *     rpm.key      PKCS#8 PEM          rpm.asc      its ASCII-armored OpenPGP certificate
 *     attest.key   PKCS#8 PEM          attest.pub   its SubjectPublicKeyInfo PEM
 *     log-origin   of the log, one line
 *     log.key      PKCS#8 PEM          log.vkey     its verifier key (worker/attest/log/note.h)
 * A directory copied to another host gives the same signatures there. */
#pragma once

#include "worker/attest/log/note.h"
#include "worker/attest/openpgp.h"
#include "worker/base/context.h"

#define KILN_KEYS_OPENPGP_PUBLIC "rpm.asc"
#define KILN_KEYS_ATTEST_PUBLIC "attest.pub"
#define KILN_KEYS_LOG_PUBLIC "log.vkey"
#define KILN_KEYS_USER_ID "Kiln local key <kiln@localhost>"

/* 2000-01-01T00:00:00Z: every package's SOURCE_DATE_EPOCH is later, so that it can be the signature's time.
 */
#define KILN_KEYS_CREATED_S 946684800

#define KILN_KEYID_HEX 64

/* What everybody may know. */
struct kiln_public_keys {
        char *openpgp_armor;                                        /* rpm.asc's text */
        char openpgp_fingerprint[KILN_OPENPGP_FINGERPRINT_HEX + 1]; /* lower-case hex */
        char *attest_pem;                                           /* attest.pub's text */
        char attest_keyid[KILN_KEYID_HEX + 1]; /* SHA-256 of the DER SubjectPublicKeyInfo, lower-case hex */
        char *log_vkey;                        /* the log's verifier key; NULL: there is no log */
        bool created;                          /* this opening made them */
};
void kiln_public_keys_clear(struct kiln_public_keys *p);

struct kiln_keys {
        EVP_PKEY *rpm, *attest, *log; /* log: NULL where there is none */
        struct kiln_log_key *log_public;
        struct kiln_openpgp_key openpgp;
        struct kiln_public_keys public;
};

/* Opens dir, making it and what is missing on first use. Two processes that do so at once get the same keys.
 * user_id (NULL: KILN_KEYS_USER_ID) only matters when the OpenPGP key is made. log_origin: the name of the
 * log whose key must be there, and is made if there is none; NULL: whichever there is. Errors: REFUSED when
 * the directory or a file is open to others or is somebody else's, or the key is another log's; BAD_INPUT
 * when a key is none; INFRA. */
int kiln_keys_open(const char *dir, const char *user_id, const char *log_origin, struct kiln_keys **ret,
        struct kiln_error *err);
void kiln_keys_free(struct kiln_keys *k);
KILN_DEFINE_CLEANUP(struct kiln_keys *, kiln_keys_free)

/* The key id of an attestation key. 0 or -EINVAL. */
int kiln_keyid(const EVP_PKEY *key, char keyid[KILN_KEYID_HEX + 1]);
