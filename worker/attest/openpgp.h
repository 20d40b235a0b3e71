/* OpenPGP as far as signing RPMs and repomd.xml needs it (RFC 4880 with EdDSA as in RFC 9580 section 5.2.3.3,
 * "EdDSALegacy"): a version 4 Ed25519 public key, one user id, its self-signature, detached signatures.
 *
 * Everything here is a pure function of its arguments: no clock, no randomness, no salt notation; the same
 * key and data always give the same bytes. Writes only: never parses what others wrote. */
#pragma once

#include "worker/base/buf.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#define KILN_OPENPGP_FINGERPRINT_BYTES 20
#define KILN_OPENPGP_FINGERPRINT_HEX (2 * KILN_OPENPGP_FINGERPRINT_BYTES)
#define KILN_ED25519_BYTES 32

struct kiln_openpgp_key {
        unsigned char public_key[KILN_ED25519_BYTES];
        uint32_t created_s; /* part of the fingerprint */
        unsigned char fingerprint[KILN_OPENPGP_FINGERPRINT_BYTES];
};

/* Fills *ret from an Ed25519 key (public or private). -EINVAL when it is another kind of key. */
int kiln_openpgp_key_init(struct kiln_openpgp_key *ret, const EVP_PKEY *key, uint32_t created_s);

/* Appends the binary transferable public key: key, user id, positive certification (signed at created_s, for
 * certifying and signing). */
int kiln_openpgp_write_key(
        const struct kiln_openpgp_key *k, EVP_PKEY *key, const char *user_id, struct kiln_buf *out);

/* Appends a binary signature packet over data (type 0x00, SHA-256) made at time_s, or at the key's creation
 * when that is later: a signature older than its key is bad to rpm 4.20, gpgv and sqv. */
int kiln_openpgp_sign(const struct kiln_openpgp_key *k, EVP_PKEY *key, const void *data, size_t len,
        int64_t time_s, struct kiln_buf *out);

enum kiln_armor {
        KILN_ARMOR_PUBLIC_KEY,
        KILN_ARMOR_SIGNATURE,
};
/* Appends the ASCII armor (RFC 4880 section 6) with its CRC-24. */
void kiln_openpgp_armor(enum kiln_armor kind, const void *data, size_t len, struct kiln_buf *out);
