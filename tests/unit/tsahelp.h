/* Certificates and time-stamp authorities made when a test runs. */
#pragma once

#include "worker/base/buf.h"
#include "worker/base/mem.h"

#include <openssl/pem.h>
#include <openssl/ts.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TSA_DAY_S 86400

struct tsa_certificate {
        EVP_PKEY *key;
        X509 *cert;
};

static inline void tsa_certificate_clear(struct tsa_certificate *c)
{
        EVP_PKEY_free(c->key);
        X509_free(c->cert);
}

static inline void tsa_extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
        X509V3_CTX ctx;
        X509_EXTENSION *ext;

        X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
        ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
        assert_non_null(ext);
        assert_int_equal(X509_add_ext(cert, ext, -1), 1);
        X509_EXTENSION_free(ext);
}

/* What a certificate is made of. */
struct tsa_order {
        const char *name;
        const struct tsa_certificate *issuer; /* NULL: itself */
        EVP_PKEY *key;                        /* NULL: a new P-256 key */
        const char *usage;                    /* extended key usage; NULL: a certificate authority */
        int64_t from_s, until_s;
        long serial;
};

static inline struct tsa_certificate tsa_certificate(const struct tsa_order *o)
{
        struct tsa_certificate c = {o->key ? o->key : EVP_EC_gen("P-256"), X509_new()};
        const struct tsa_certificate *issuer = o->issuer ? o->issuer : &c;
        X509_NAME *name = X509_get_subject_name(c.cert);

        if (o->key)
                EVP_PKEY_up_ref(o->key);
        assert_int_equal(X509_set_version(c.cert, 2), 1);
        assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(c.cert), o->serial ? o->serial : 1), 1);
        assert_non_null(ASN1_TIME_set(X509_getm_notBefore(c.cert), (time_t)o->from_s));
        assert_non_null(ASN1_TIME_set(X509_getm_notAfter(c.cert), (time_t)o->until_s));
        assert_int_equal(X509_NAME_add_entry_by_txt(
                                 name, "CN", MBSTRING_UTF8, (const unsigned char *)o->name, -1, -1, 0),
                1);
        assert_int_equal(X509_set_issuer_name(c.cert, X509_get_subject_name(issuer->cert)), 1);
        assert_int_equal(X509_set_pubkey(c.cert, c.key), 1);
        if (o->usage)
                tsa_extend(c.cert, issuer->cert, NID_ext_key_usage, o->usage);
        else
                tsa_extend(c.cert, issuer->cert, NID_basic_constraints, "critical,CA:TRUE");
        assert_true(X509_sign(c.cert, issuer->key, EVP_sha256()) > 0);
        return c;
}

/* PEM of certificates behind one another. */
static inline void tsa_pem(X509 *cert, struct kiln_buf *out)
{
        BIO *bio = BIO_new(BIO_s_mem());
        char *data;
        long len;

        assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
        len = BIO_get_mem_data(bio, &data);
        kiln_buf_append(out, data, (size_t)len);
        BIO_free(bio);
}

static inline int tsa_clock(struct TS_resp_ctx *ctx, void *data, long *sec, long *usec)
{
        *sec = (long)*(int64_t *)data;
        *usec = 0;
        return 1;
}

static inline ASN1_INTEGER *tsa_serial(struct TS_resp_ctx *ctx, void *data)
{
        ASN1_INTEGER *n = ASN1_INTEGER_new();

        ASN1_INTEGER_set(n, 7);
        return n;
}

/* How an authority answers. */
struct tsa_reply {
        const struct tsa_certificate *signer;
        X509 *chain; /* goes into the token besides; NULL: none */
        int64_t time_s;
        int accuracy_s;
        const EVP_MD *md; /* of the signature; NULL: SHA-256 */
};

/* Answers a request in DER as an authority would. */
static inline void tsa_answer(
        const struct tsa_reply *how, const struct kiln_buf *request, struct kiln_buf *out)
{
        static const char *const hashes[] = {"SHA224", "SHA256", "SHA384", "SHA512"};
        TS_RESP_CTX *ctx = TS_RESP_CTX_new();
        BIO *bio = BIO_new_mem_buf(request->data, (int)request->len);
        ASN1_OBJECT *policy = OBJ_txt2obj("1.2.3.4.1", 1);
        STACK_OF(X509) *chain = sk_X509_new_null();
        int64_t time_s = how->time_s;
        unsigned char *der = NULL;
        TS_RESP *response;
        int n;

        if (how->chain)
                sk_X509_push(chain, how->chain);
        assert_int_equal(TS_RESP_CTX_set_signer_cert(ctx, how->signer->cert), 1);
        assert_int_equal(TS_RESP_CTX_set_signer_key(ctx, how->signer->key), 1);
        assert_int_equal(TS_RESP_CTX_set_signer_digest(ctx, how->md ? how->md : EVP_sha256()), 1);
        assert_int_equal(TS_RESP_CTX_set_def_policy(ctx, policy), 1);
        assert_int_equal(TS_RESP_CTX_set_certs(ctx, chain), 1);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(hashes); i++)
                assert_int_equal(TS_RESP_CTX_add_md(ctx, EVP_get_digestbyname(hashes[i])), 1);
        if (how->accuracy_s)
                assert_int_equal(TS_RESP_CTX_set_accuracy(ctx, how->accuracy_s, 0, 0), 1);
        TS_RESP_CTX_set_serial_cb(ctx, tsa_serial, NULL);
        TS_RESP_CTX_set_time_cb(ctx, tsa_clock, &time_s);
        response = TS_RESP_create_response(ctx, bio);
        assert_non_null(response);
        n = i2d_TS_RESP(response, &der);
        assert_true(n > 0);
        kiln_buf_append(out, der, (size_t)n);
        OPENSSL_free(der);
        TS_RESP_free(response);
        sk_X509_free(chain);
        ASN1_OBJECT_free(policy);
        BIO_free(bio);
        TS_RESP_CTX_free(ctx);
}
