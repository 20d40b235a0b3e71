#include "worker/attest/timestamp.h"

#include "worker/base/clock.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ts.h>
#include <openssl/x509v3.h>
#include <string.h>

#define DOING "checking the time stamp in"
#define CERTIFICATES_MAX 32
#define CHAIN_MAX 8
#define SECURITY_LEVEL 2 /* of certificates: 112 bits, as RSA of 2048 bits with SHA-256 */

static inline void resp_freep(TS_RESP **r)
{
        TS_RESP_free(*r);
}

static inline void verify_freep(TS_VERIFY_CTX **c)
{
        TS_VERIFY_CTX_free(*c);
}

static inline void store_freep(X509_STORE **s)
{
        X509_STORE_free(*s);
}

static void certificates_free(STACK_OF(X509) * certificates)
{
        sk_X509_pop_free(certificates, X509_free);
}

/* ---- authorities ------------------------------------------------------------------------------------- */

void kiln_timestamp_authorities_clear(struct kiln_timestamp_authorities *a)
{
        for (size_t i = 0; i < a->n; i++) {
                free(a->list[i].name);
                certificates_free(a->list[i].certificates);
        }
        free(a->list);
        *a = (struct kiln_timestamp_authorities){0};
}

/* All of a text's certificates; NULL: one is broken, or they are too many. */
static STACK_OF(X509) * read_certificates(const char *pem, size_t len)
{
        STACK_OF(X509) *list = sk_X509_new_null();
        BIO *bio = BIO_new_mem_buf(pem, (int)len);
        bool ok = list && bio;
        X509 *one;

        ERR_clear_error();
        while (ok && (one = PEM_read_bio_X509(bio, NULL, NULL, (void *)""))) {
                ok = sk_X509_num(list) < CERTIFICATES_MAX && sk_X509_push(list, one) > 0;
                if (!ok)
                        X509_free(one);
        }
        ok = ok && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
        ERR_clear_error();
        BIO_free(bio);
        if (ok)
                return list;
        certificates_free(list);
        return NULL;
}

int kiln_timestamp_authority_add(struct kiln_timestamp_authorities *a, const char *pem, size_t len,
        const char *name, int64_t from_s, int64_t until_s, struct kiln_error *err)
{
        STACK_OF(X509) *certificates = len <= KILN_TIMESTAMP_PEM_MAX ? read_certificates(pem, len) : NULL;

        if (!certificates || sk_X509_num(certificates) == 0) {
                certificates_free(certificates);
                kiln_error_set(err, KILN_BAD_INPUT, EINVAL, "reading the time-stamp authority", name,
                        "it is no file of at most %d certificates in PEM form", CERTIFICATES_MAX);
                kiln_error_advise(
                        err, "Give the certificates that the authority publishes, or one that they lead to.");
                return -EINVAL;
        }
        *KILN_APPEND(a->list, a->n) =
                (struct kiln_timestamp_authority){kiln_strdup(name), certificates, from_s, until_s};
        return 0;
}

/* ---- asking ------------------------------------------------------------------------------------------ */

/* TimeStampReq in DER; -1: OpenSSL failed. */
static int write_request(const void *data, size_t len, uint64_t nonce, unsigned char **ret)
{
        unsigned char hash[EVP_MAX_MD_SIZE];
        unsigned int hash_len = 0;
        TS_REQ *request = TS_REQ_new();
        TS_MSG_IMPRINT *imprint = TS_MSG_IMPRINT_new();
        X509_ALGOR *algorithm = X509_ALGOR_new();
        ASN1_INTEGER *number = ASN1_INTEGER_new();
        int n = -1;

        if (request && imprint && algorithm && number &&
                EVP_Digest(data, len, hash, &hash_len, EVP_sha256(), NULL) == 1 &&
                X509_ALGOR_set0(algorithm, OBJ_nid2obj(NID_sha256), V_ASN1_NULL, NULL) == 1 &&
                ASN1_INTEGER_set_uint64(number, nonce) == 1 &&
                TS_MSG_IMPRINT_set_algo(imprint, algorithm) == 1 &&
                TS_MSG_IMPRINT_set_msg(imprint, hash, (int)hash_len) == 1 &&
                TS_REQ_set_version(request, 1) == 1 && TS_REQ_set_msg_imprint(request, imprint) == 1 &&
                TS_REQ_set_nonce(request, number) == 1 && TS_REQ_set_cert_req(request, 1) == 1)
                n = i2d_TS_REQ(request, ret);
        ASN1_INTEGER_free(number);
        X509_ALGOR_free(algorithm);
        TS_MSG_IMPRINT_free(imprint);
        TS_REQ_free(request);
        return n;
}

int kiln_timestamp_request(
        const void *data, size_t len, uint64_t *ret_nonce, struct kiln_buf *out, struct kiln_error *err)
{
        unsigned char *der = NULL;
        uint64_t nonce = 0;
        int n = -1;

        if (RAND_bytes((unsigned char *)&nonce, sizeof(nonce)) == 1) {
                nonce |= UINT64_C(1) << 63; /* never 0, and of one length */
                n = write_request(data, len, nonce, &der);
        }
        if (n <= 0)
                return kiln_error_set(err, KILN_INFRA, 0, "asking for a time stamp", NULL, "OpenSSL failed");
        kiln_buf_append(out, der, (size_t)n);
        OPENSSL_free(der);
        *ret_nonce = nonce;
        return 0;
}

/* ---- judging ----------------------------------------------------------------------------------------- */

static int bad(struct kiln_error *err, enum kiln_verdict verdict, const char *name, const char *what)
{
        return kiln_error_set(err, verdict, 0, DOING, name, "%s", what);
}

static bool is_strong(const X509_ALGOR *algorithm)
{
        const ASN1_OBJECT *object = NULL;
        int nid;

        X509_ALGOR_get0(&object, NULL, NULL, algorithm);
        nid = OBJ_obj2nid(object);
        return nid == NID_sha256 || nid == NID_sha384 || nid == NID_sha512;
}

/* All of the bytes are one response, it grants a stamp, and the stamp has a time. */
static int read_response(const void *der, size_t len, const char *name, TS_RESP **ret, struct kiln_error *err)
{
        const unsigned char *p = der;
        _cleanup_(resp_freep) TS_RESP *response =
                len <= KILN_TIMESTAMP_MAX ? d2i_TS_RESP(NULL, &p, (long)len) : NULL;
        int64_t status = -1;

        ERR_clear_error();
        if (!response || p != (const unsigned char *)der + len ||
                ASN1_INTEGER_get_int64(
                        &status, TS_STATUS_INFO_get0_status(TS_RESP_get_status_info(response))) != 1)
                return bad(err, KILN_BAD_INPUT, name, "it is no TimeStampResp (RFC 3161) in DER");
        if (status != TS_STATUS_GRANTED && status != TS_STATUS_GRANTED_WITH_MODS)
                return kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, name,
                        "the authority granted none (status %lld)", (long long)status);
        if (!TS_RESP_get_token(response) || !TS_RESP_get_tst_info(response))
                return bad(err, KILN_BAD_INPUT, name, "it holds no time-stamp token");
        *ret = TAKE_PTR(response);
        return 0;
}

static int check_imprint(
        TS_TST_INFO *info, const void *data, size_t len, const char *name, struct kiln_error *err)
{
        TS_MSG_IMPRINT *imprint = TS_TST_INFO_get_msg_imprint(info);
        const X509_ALGOR *algorithm = TS_MSG_IMPRINT_get_algo(imprint);
        const ASN1_OCTET_STRING *said = TS_MSG_IMPRINT_get_msg(imprint);
        const ASN1_OBJECT *object = NULL;
        unsigned char hash[EVP_MAX_MD_SIZE];
        unsigned int hash_len = 0;

        if (!is_strong(algorithm))
                return bad(err, KILN_REFUSED, name,
                        "it stamps a hash that is none of SHA-256, SHA-384, SHA-512");
        X509_ALGOR_get0(&object, NULL, NULL, algorithm);
        if (EVP_Digest(data, len, hash, &hash_len, EVP_get_digestbyobj(object), NULL) != 1)
                return bad(err, KILN_INFRA, name, "OpenSSL cannot compute the hash it stamps");
        if (ASN1_STRING_length(said) != (int)hash_len ||
                memcmp(ASN1_STRING_get0_data(said), hash, hash_len) != 0)
                return bad(err, KILN_NOT_REPRODUCED, name,
                        "it stamps another signature than the one it lies with");
        return 0;
}

/* Whole seconds, rounded up. */
static int read_accuracy(TS_TST_INFO *info, uint64_t *ret)
{
        TS_ACCURACY *a = TS_TST_INFO_get_accuracy(info);
        const ASN1_INTEGER *seconds = a ? TS_ACCURACY_get_seconds(a) : NULL;

        *ret = 0;
        if (seconds && ASN1_INTEGER_get_uint64(ret, seconds) != 1)
                return -ERANGE;
        if (a && (TS_ACCURACY_get_millis(a) || TS_ACCURACY_get_micros(a)) && *ret < UINT64_MAX)
                ++*ret;
        return 0;
}

static int read_time(TS_TST_INFO *info, const struct kiln_timestamp_judge *judge, const char *name,
        struct kiln_timestamp *ret, struct kiln_error *err)
{
        struct tm tm;
        uint64_t accuracy_s;
        int64_t time_s;
        char when[32];

        if (ASN1_TIME_to_tm(TS_TST_INFO_get_time(info), &tm) != 1)
                return bad(err, KILN_BAD_INPUT, name, "its time is none");
        if (read_accuracy(info, &accuracy_s) < 0 || accuracy_s > KILN_TIMESTAMP_ACCURACY_S)
                return bad(err, KILN_REFUSED, name, "its time is not accurate enough to judge by");
        time_s = (int64_t)timegm(&tm);
        kiln_clock_format(time_s, when);
        if (time_s > judge->now_s + KILN_TIMESTAMP_SKEW_S)
                return kiln_error_set(err, KILN_REFUSED, 0, DOING, name,
                        "its time is in the future: %s (is this host's clock right?)", when);
        ret->earliest_s = time_s - (int64_t)accuracy_s;
        ret->latest_s = time_s + (int64_t)accuracy_s;
        return 0;
}

/* What can be judged without knowing who signed. */
static int check_content(TS_RESP *response, const void *data, size_t len,
        const struct kiln_timestamp_judge *judge, const char *name, struct kiln_timestamp *ret,
        struct kiln_error *err)
{
        TS_TST_INFO *info = TS_RESP_get_tst_info(response);
        const ASN1_INTEGER *nonce = TS_TST_INFO_get_nonce(info);
        uint64_t said = 0;
        int r = check_imprint(info, data, len, name, err);

        if (r < 0)
                return r;
        if (judge->nonce && (!nonce || ASN1_INTEGER_get_uint64(&said, nonce) != 1 || said != judge->nonce))
                return bad(err, KILN_NOT_REPRODUCED, name, "it answers another request: the nonce differs");
        if (TS_TST_INFO_get_ext_by_critical(info, 1, -1) >= 0)
                return bad(err, KILN_REFUSED, name, "it has a critical extension that is not known here");
        return read_time(info, judge, name, ret, err);
}

/* The only signer's own hash must be as good as the imprint's. */
static bool signer_is_strong(PKCS7 *token)
{
        STACK_OF(PKCS7_SIGNER_INFO) *signers = PKCS7_get_signer_info(token);
        X509_ALGOR *digest = NULL;

        if (!signers || sk_PKCS7_SIGNER_INFO_num(signers) != 1)
                return false;
        PKCS7_SIGNER_INFO_get0_algs(sk_PKCS7_SIGNER_INFO_value(signers, 0), NULL, &digest, NULL);
        return digest && is_strong(digest);
}

static int note_error(int ok, X509_STORE_CTX *ctx)
{
        int *code = X509_STORE_get_ex_data(X509_STORE_CTX_get0_store(ctx), 0);

        if (!ok && *code == X509_V_OK)
                *code = X509_STORE_CTX_get_error(ctx);
        return ok;
}

/* A store of this authority's certificates alone, that judges at a moment and notes why it refuses. */
static X509_STORE *make_store(const struct kiln_timestamp_authority *a, int64_t time_s, int *code)
{
        _cleanup_(store_freep) X509_STORE *store = X509_STORE_new();
        X509_VERIFY_PARAM *param = store ? X509_STORE_get0_param(store) : NULL;

        if (!param || X509_STORE_set_ex_data(store, 0, code) != 1 ||
                X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) != 1)
                return NULL;
        X509_STORE_set_verify_cb(store, note_error);
        X509_VERIFY_PARAM_set_time(param, (time_t)time_s);
        X509_VERIFY_PARAM_set_depth(param, CHAIN_MAX);
        X509_VERIFY_PARAM_set_auth_level(param, SECURITY_LEVEL);
        for (int i = 0; i < sk_X509_num(a->certificates); i++)
                if (X509_STORE_add_cert(store, sk_X509_value(a->certificates, i)) != 1)
                        return NULL;
        return TAKE_PTR(store);
}

static TS_VERIFY_CTX *make_verifier(const struct kiln_timestamp_authority *a, int64_t time_s, int *code)
{
        _cleanup_(verify_freep) TS_VERIFY_CTX *verifier = TS_VERIFY_CTX_new();
        X509_STORE *store = make_store(a, time_s, code);
        STACK_OF(X509) *untrusted = X509_chain_up_ref(a->certificates);

        if (!verifier || !store || !untrusted) {
                X509_STORE_free(store);
                certificates_free(untrusted);
                return NULL;
        }
        TS_VERIFY_CTX_set_flags(verifier, TS_VFY_SIGNATURE | TS_VFY_VERSION | TS_VFY_SIGNER);
#if OPENSSL_VERSION_PREREQ(3, 4)
        TS_VERIFY_CTX_set0_store(verifier, store);
        TS_VERIFY_CTX_set0_certs(verifier, untrusted);
#else
        TS_VERIFY_CTX_set_store(verifier, store);
        TS_VERIFY_CTX_set_certs(verifier, untrusted);
#endif
        return TAKE_PTR(verifier);
}

enum answer {
        ANSWER_GOOD = 0,
        ANSWER_UNKNOWN, /* the signer is not of this authority */
        ANSWER_BAD,
};

static enum answer chain_problem(int code, const char *name, struct kiln_error *err)
{
        switch (code) {
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        case X509_V_ERR_CERT_UNTRUSTED:
        case X509_V_ERR_CERT_SIGNATURE_FAILURE: /* an issuer of the same name */
                bad(err, KILN_REFUSED, name,
                        "its certificate leads to no time-stamp authority that is accepted");
                return ANSWER_UNKNOWN;
        case X509_V_ERR_INVALID_PURPOSE:
                bad(err, KILN_REFUSED, name,
                        "its certificate is not for time stamping and nothing else (critical extended key "
                        "usage)");
                return ANSWER_BAD;
        default:
                kiln_error_set(err, KILN_REFUSED, 0, DOING, name,
                        "its chain of certificates does not hold at that time: %s",
                        X509_verify_cert_error_string(code));
                return ANSWER_BAD;
        }
}

static enum answer ask(const struct kiln_timestamp_authority *a, TS_RESP *response, const char *name,
        const struct kiln_timestamp *t, struct kiln_error *err)
{
        int code = X509_V_OK;
        int64_t time_s = t->earliest_s + (t->latest_s - t->earliest_s) / 2;
        _cleanup_(verify_freep) TS_VERIFY_CTX *verifier = make_verifier(a, time_s, &code);
        int good = verifier ? TS_RESP_verify_token(verifier, TS_RESP_get_token(response)) : 0;

        ERR_clear_error();
        if (!verifier) {
                bad(err, KILN_INFRA, name, "OpenSSL failed");
                return ANSWER_BAD;
        }
        if (good != 1 && code != X509_V_OK)
                return chain_problem(code, name, err);
        if (good != 1) {
                bad(err, KILN_NOT_REPRODUCED, name,
                        "its signature does not hold: it was changed, or is not by the certificate it names");
                return ANSWER_BAD;
        }
        if ((a->from_s && t->earliest_s < a->from_s) || (a->until_s && t->latest_s >= a->until_s)) {
                kiln_error_set(err, KILN_REFUSED, 0, DOING, name,
                        "its time is outside of what the authority %s is accepted for", a->name);
                return ANSWER_BAD;
        }
        return ANSWER_GOOD;
}

/* The first authority that vouches for the signer decides; where none does, what the one said that knows it.
 */
static int check_signer(TS_RESP *response, const struct kiln_timestamp_authorities *authorities,
        const char *name, struct kiln_timestamp *t, struct kiln_error *err)
{
        _cleanup_error_ struct kiln_error problem = KILN_ERROR_INIT, unknown = KILN_ERROR_INIT;
        bool known = false;

        for (t->authority = 0; t->authority < authorities->n; t->authority++) {
                enum answer answer =
                        ask(&authorities->list[t->authority], response, name, t, known ? &unknown : &problem);

                if (answer == ANSWER_GOOD)
                        return 0;
                known |= answer == ANSWER_BAD;
        }
        if (authorities->n == 0)
                return bad(err, KILN_REFUSED, name, "no time-stamp authority is accepted");
        return kiln_error_set(err, problem.verdict, 0, DOING, name, "%s", problem.cause);
}

int kiln_timestamp_check(const void *der, size_t der_len, const void *data, size_t len,
        const struct kiln_timestamp_judge *judge, const char *name, struct kiln_timestamp *ret,
        struct kiln_error *err)
{
        _cleanup_(resp_freep) TS_RESP *response = NULL;
        struct kiln_timestamp t = {0};
        int r = read_response(der, der_len, name, &response, err);

        if (r == 0)
                r = check_content(response, data, len, judge, name, &t, err);
        if (r == 0 && !signer_is_strong(TS_RESP_get_token(response)))
                r = bad(err, KILN_REFUSED, name,
                        "it is not signed once, with a hash that is SHA-256, SHA-384 or SHA-512");
        if (r == 0)
                r = check_signer(response, judge->authorities, name, &t, err);
        if (r == 0)
                *ret = t;
        return r;
}
