/* Keys and envelopes made when a test runs. */
#pragma once

#include "worker/base/mem.h"
#include "worker/verify/envelope.h"

#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define STATEMENT(subjects, type, predicate)                                                                 \
        "{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[" subjects                              \
        "],\"predicateType\":\"" type "\",\"predicate\":" predicate "}"
#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define SUBJECT(name)                                                                                        \
        "{\"name\":\"" name "\",\"digest\":{\"rpmHeaderSha256\":\"" HEX_A "\",\"sha256\":\"" HEX_B "\"}}"

static inline EVP_PKEY *envelope_key(void)
{
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

        assert_non_null(key);
        return key;
}

/* The public half in PEM; the caller's. */
static inline char *envelope_pem(EVP_PKEY *key)
{
        BIO *bio = BIO_new(BIO_s_mem());
        char *data, *pem;
        long len;

        assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
        len = BIO_get_mem_data(bio, &data);
        pem = kiln_strndup(data, (size_t)len);
        BIO_free(bio);
        return pem;
}

/* Appends the signed envelope and a newline. */
static inline void envelope_sign(EVP_PKEY *key, const char *payload, struct kiln_buf *out)
{
        _cleanup_buf_ struct kiln_buf pae = KILN_BUF_INIT;
        unsigned char signature[64];
        size_t len = sizeof(signature);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();

        kiln_dsse_pae(KILN_DSSE_INTOTO, payload, strlen(payload), &pae);
        assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key), 1);
        assert_int_equal(EVP_DigestSign(ctx, signature, &len, (const unsigned char *)pae.data, pae.len), 1);
        EVP_MD_CTX_free(ctx);
        kiln_dsse_write(KILN_DSSE_INTOTO, payload, strlen(payload), HEX_A, signature, out);
}
