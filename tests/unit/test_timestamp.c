/* Time stamps: what holds is accepted with its moment, everything else is refused with the right words. */
#include "worker/attest/timestamp.h"

#include "tests/unit/tsahelp.h"

#define NOW_S INT64_C(1800000000)
#define THEN_S (NOW_S - 100 * TSA_DAY_S)
static const char data[] = "the sixty-four bytes of a signature";

/* A root, an authority below it, and what is asked of the judge. */
struct world {
        struct tsa_certificate root, tsa;
        struct kiln_timestamp_authorities authorities;
        struct kiln_buf request;
        uint64_t nonce;
        struct tsa_reply reply;
        struct kiln_buf answer;
};

static void trust(struct kiln_timestamp_authorities *a, X509 *cert, int64_t from_s, int64_t until_s)
{
        _cleanup_buf_ struct kiln_buf pem = KILN_BUF_INIT;

        tsa_pem(cert, &pem);
        assert_int_equal(
                kiln_timestamp_authority_add(a, pem.data, pem.len, "somebody", from_s, until_s, NULL), 0);
}

static struct tsa_certificate make_root(const char *name)
{
        const struct tsa_order o = {
                .name = name, .from_s = THEN_S - 50 * TSA_DAY_S, .until_s = NOW_S + 50 * TSA_DAY_S};

        return tsa_certificate(&o);
}

/* An authority that is valid for some days around the stamp, and no longer. */
static struct tsa_certificate make_tsa(const struct tsa_certificate *root, const char *usage)
{
        const struct tsa_order o = {.name = "TSA",
                .issuer = root,
                .usage = usage,
                .from_s = THEN_S - 10 * TSA_DAY_S,
                .until_s = THEN_S + 10 * TSA_DAY_S,
                .serial = 2};

        return tsa_certificate(&o);
}

static int setup(void **state)
{
        struct world *w = kiln_calloc(1, sizeof(*w));

        w->root = make_root("Root");
        w->tsa = make_tsa(&w->root, "critical,timeStamping");
        trust(&w->authorities, w->root.cert, 0, 0);
        assert_int_equal(kiln_timestamp_request(data, sizeof(data), &w->nonce, &w->request, NULL), 0);
        w->reply = (struct tsa_reply){.signer = &w->tsa, .time_s = THEN_S};
        *state = w;
        return 0;
}

static int teardown(void **state)
{
        struct world *w = *state;

        tsa_certificate_clear(&w->root);
        tsa_certificate_clear(&w->tsa);
        kiln_timestamp_authorities_clear(&w->authorities);
        kiln_buf_clear(&w->request);
        kiln_buf_clear(&w->answer);
        free(w);
        return 0;
}

static int judge(struct world *w, uint64_t nonce, struct kiln_timestamp *t, struct kiln_error *err)
{
        const struct kiln_timestamp_judge how = {&w->authorities, NOW_S, nonce};

        if (w->answer.len == 0)
                tsa_answer(&w->reply, &w->request, &w->answer);
        return kiln_timestamp_check(w->answer.data, w->answer.len, data, sizeof(data), &how, "it", t, err);
}

static void refused(struct world *w, enum kiln_verdict verdict, const char *words)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        struct kiln_timestamp t;

        assert_true(judge(w, 0, &t, &err) < 0);
        if (!strstr(err.cause, words))
                fail_msg("said '%s' instead of '%s'", err.cause, words);
        assert_int_equal(err.verdict, verdict);
}

static void test_holds(void **state)
{
        struct world *w = *state;
        struct kiln_timestamp t;

        /* Both the certificate and the day are long past. */
        assert_int_equal(judge(w, 0, &t, NULL), 0);
        assert_int_equal(t.earliest_s, THEN_S);
        assert_int_equal(t.latest_s, THEN_S);
        assert_int_equal(t.authority, 0);
        assert_int_equal(judge(w, w->nonce, &t, NULL), 0);
}

static void test_accuracy(void **state)
{
        struct world *w = *state;
        struct kiln_timestamp t;

        w->reply.accuracy_s = 5;
        assert_int_equal(judge(w, 0, &t, NULL), 0);
        assert_int_equal(t.earliest_s, THEN_S - 5);
        assert_int_equal(t.latest_s, THEN_S + 5);
        kiln_buf_reset(&w->answer);
        w->reply.accuracy_s = KILN_TIMESTAMP_ACCURACY_S + 1;
        refused(w, KILN_REFUSED, "not accurate enough");
}

static void test_trust(void **state)
{
        struct world *w = *state;
        struct tsa_certificate stranger = make_root("Root");
        struct kiln_timestamp t;

        /* A stranger of the same name; then the authority's own certificate instead of its root. */
        kiln_timestamp_authorities_clear(&w->authorities);
        trust(&w->authorities, stranger.cert, 0, 0);
        refused(w, KILN_REFUSED, "leads to no time-stamp authority");
        trust(&w->authorities, w->tsa.cert, 0, 0);
        assert_int_equal(judge(w, 0, &t, NULL), 0);
        assert_int_equal(t.authority, 1);
        kiln_timestamp_authorities_clear(&w->authorities);
        refused(w, KILN_REFUSED, "no time-stamp authority is accepted");
        tsa_certificate_clear(&stranger);
}

static void test_chain(void **state)
{
        struct world *w = *state;
        const struct tsa_order middle_order = {.name = "Middle",
                .issuer = &w->root,
                .from_s = THEN_S - 20 * TSA_DAY_S,
                .until_s = THEN_S + 20 * TSA_DAY_S,
                .serial = 3};
        struct tsa_certificate middle = tsa_certificate(&middle_order),
                               below = make_tsa(&middle, "critical,timeStamping");
        struct kiln_timestamp t;

        w->reply.signer = &below;
        refused(w, KILN_REFUSED, "leads to no time-stamp authority");
        kiln_buf_reset(&w->answer);
        w->reply.chain = middle.cert;
        assert_int_equal(judge(w, 0, &t, NULL), 0);
        tsa_certificate_clear(&middle);
        tsa_certificate_clear(&below);
}

static void test_chain_times(void **state)
{
        struct world *w = *state;

        w->reply.time_s = THEN_S + 11 * TSA_DAY_S;
        refused(w, KILN_REFUSED, "certificate has expired");
        kiln_buf_reset(&w->answer);
        w->reply.time_s = THEN_S - 11 * TSA_DAY_S;
        refused(w, KILN_REFUSED, "certificate is not yet valid");
}

static void test_future(void **state)
{
        struct world *w = *state;

        w->reply.time_s = NOW_S + KILN_TIMESTAMP_SKEW_S + 1;
        refused(w, KILN_REFUSED, "in the future");
}

static void test_limits(void **state)
{
        struct world *w = *state;
        struct kiln_timestamp t;

        kiln_timestamp_authorities_clear(&w->authorities);
        trust(&w->authorities, w->root.cert, THEN_S + 1, 0);
        refused(w, KILN_REFUSED, "outside of what the authority somebody is accepted for");
        trust(&w->authorities, w->root.cert, 0, THEN_S);
        refused(w, KILN_REFUSED, "outside of what the authority somebody is accepted for");
        trust(&w->authorities, w->root.cert, THEN_S, THEN_S + 1);
        assert_int_equal(judge(w, 0, &t, NULL), 0);
        assert_int_equal(t.authority, 2);
}

/* The same key with a certificate that is for something else, put into the token in place of the right one.
 */
static void swap(struct world *w, X509 *cert)
{
        const unsigned char *p = (const unsigned char *)w->answer.data;
        unsigned char *der = NULL;
        TS_RESP *response;
        PKCS7 *token;
        int n;

        tsa_answer(&w->reply, &w->request, &w->answer);
        p = (const unsigned char *)w->answer.data;
        response = d2i_TS_RESP(NULL, &p, (long)w->answer.len);
        token = TS_RESP_get_token(response);
        X509_free(sk_X509_pop(token->d.sign->cert));
        assert_int_equal(PKCS7_add_certificate(token, cert), 1);
        n = i2d_TS_RESP(response, &der);
        kiln_buf_reset(&w->answer);
        kiln_buf_append(&w->answer, der, (size_t)n);
        OPENSSL_free(der);
        TS_RESP_free(response);
}

static void test_usage(void **state)
{
        static const char *const usages[] = {
                "timeStamping", "critical,codeSigning", "critical,timeStamping,codeSigning"};
        struct world *w = *state;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(usages); i++) {
                struct tsa_certificate other = {0};
                const struct tsa_order o = {.name = "TSA",
                        .issuer = &w->root,
                        .key = w->tsa.key,
                        .usage = usages[i],
                        .from_s = THEN_S - TSA_DAY_S,
                        .until_s = THEN_S + TSA_DAY_S,
                        .serial = 2};

                other = tsa_certificate(&o);
                kiln_buf_reset(&w->answer);
                swap(w, other.cert);
                refused(w, KILN_REFUSED, "not for time stamping and nothing else");
                tsa_certificate_clear(&other);
        }
}

/* A certificate for the same key and of the same name that the signature was not made with. */
static void test_other_certificate(void **state)
{
        struct world *w = *state;
        const struct tsa_order o = {.name = "TSA",
                .issuer = &w->root,
                .key = w->tsa.key,
                .usage = "critical,timeStamping",
                .from_s = THEN_S - TSA_DAY_S,
                .until_s = THEN_S + TSA_DAY_S,
                .serial = 2};
        struct tsa_certificate other = tsa_certificate(&o);

        swap(w, other.cert);
        refused(w, KILN_NOT_REPRODUCED, "its signature does not hold");
        tsa_certificate_clear(&other);
}

static void test_weak(void **state)
{
        struct world *w = *state;
        const struct tsa_order o = {.name = "TSA",
                .issuer = &w->root,
                .usage = "critical,timeStamping",
                .from_s = THEN_S - TSA_DAY_S,
                .until_s = THEN_S + TSA_DAY_S,
                .key = EVP_RSA_gen(1024),
                .serial = 2};
        struct tsa_certificate weak = tsa_certificate(&o);

        w->reply.md = EVP_sha224();
        refused(w, KILN_REFUSED, "with a hash that is SHA-256");
        kiln_buf_reset(&w->answer);
        w->reply = (struct tsa_reply){.signer = &weak, .time_s = THEN_S};
        refused(w, KILN_REFUSED, "its chain of certificates does not hold");
        tsa_certificate_clear(&weak);
        EVP_PKEY_free(o.key);
}

/* Requests that we never make. */
static void make_request(struct kiln_buf *out, int nid, const void *hash, int len)
{
        TS_REQ *request = TS_REQ_new();
        TS_MSG_IMPRINT *imprint = TS_MSG_IMPRINT_new();
        X509_ALGOR *algorithm = X509_ALGOR_new();
        unsigned char *der = NULL;
        int n;

        X509_ALGOR_set0(algorithm, OBJ_nid2obj(nid), V_ASN1_NULL, NULL);
        TS_MSG_IMPRINT_set_algo(imprint, algorithm);
        TS_MSG_IMPRINT_set_msg(imprint, (unsigned char *)hash, len);
        TS_REQ_set_version(request, 1);
        TS_REQ_set_msg_imprint(request, imprint);
        TS_REQ_set_cert_req(request, 1);
        n = i2d_TS_REQ(request, &der);
        kiln_buf_reset(out);
        kiln_buf_append(out, der, (size_t)n);
        OPENSSL_free(der);
        X509_ALGOR_free(algorithm);
        TS_MSG_IMPRINT_free(imprint);
        TS_REQ_free(request);
}

static void test_imprint(void **state)
{
        struct world *w = *state;
        unsigned char hash[EVP_MAX_MD_SIZE];
        unsigned int len;
        struct kiln_timestamp t;

        EVP_Digest(data, sizeof(data), hash, &len, EVP_sha512(), NULL);
        make_request(&w->request, NID_sha512, hash, (int)len);
        assert_int_equal(judge(w, 0, &t, NULL), 0);
        kiln_buf_reset(&w->answer);
        EVP_Digest(data, sizeof(data), hash, &len, EVP_sha224(), NULL);
        make_request(&w->request, NID_sha224, hash, (int)len);
        refused(w, KILN_REFUSED, "it stamps a hash that is none of SHA-256");
        kiln_buf_reset(&w->answer);
        EVP_Digest(data, sizeof(data) - 1, hash, &len, EVP_sha256(), NULL);
        make_request(&w->request, NID_sha256, hash, (int)len);
        refused(w, KILN_NOT_REPRODUCED, "it stamps another signature");
}

static void test_nonce(void **state)
{
        struct world *w = *state;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        struct kiln_timestamp t;

        assert_true(judge(w, w->nonce ^ 1, &t, &err) < 0);
        assert_int_equal(err.verdict, KILN_NOT_REPRODUCED);
        assert_non_null(strstr(err.cause, "the nonce differs"));
}

/* Every byte counts: whichever is changed, the stamp is refused, or says the same (bytes outside of what is
 * signed, such as the status text). */
static void test_changed(void **state)
{
        struct world *w = *state;
        struct kiln_timestamp t;
        size_t same = 0;

        assert_int_equal(judge(w, 0, &t, NULL), 0);
        for (size_t i = 0; i < w->answer.len; i++) {
                w->answer.data[i] ^= 1;
                if (judge(w, 0, &t, NULL) == 0) {
                        same++;
                        assert_int_equal(t.latest_s, THEN_S);
                }
                w->answer.data[i] ^= 1;
        }
        assert_true(same < 20);
        for (size_t len = 0; len < w->answer.len; len += 7) {
                struct kiln_buf all = w->answer;

                w->answer.len = len ? len : 1;
                assert_true(judge(w, 0, &t, NULL) < 0);
                w->answer = all;
        }
        kiln_buf_putc(&w->answer, '\0');
        refused(w, KILN_BAD_INPUT, "it is no TimeStampResp");
}

static void test_not_granted(void **state)
{
        static const char rejection[] = "\x30\x05\x30\x03\x02\x01\x02"; /* status 2, no token */
        struct world *w = *state;

        kiln_buf_append(&w->answer, rejection, sizeof(rejection) - 1);
        refused(w, KILN_BAD_INPUT, "the authority granted none (status 2)");
        kiln_buf_reset(&w->answer);
        kiln_buf_append(&w->answer, rejection, 1);
        refused(w, KILN_BAD_INPUT, "it is no TimeStampResp");
}

static void test_certificates(void **state)
{
        static const char *const bad[] = {
                "", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
        struct kiln_timestamp_authorities a = {0};
        _cleanup_buf_ struct kiln_buf pem = KILN_BUF_INIT;
        struct world *w = *state;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(bad); i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

                assert_true(kiln_timestamp_authority_add(&a, bad[i], strlen(bad[i]), "x", 0, 0, &err) < 0);
                assert_int_equal(err.verdict, KILN_BAD_INPUT);
        }
        /* A good one before a broken one; and too many. */
        tsa_pem(w->root.cert, &pem);
        kiln_buf_puts(&pem, bad[1]);
        assert_true(kiln_timestamp_authority_add(&a, pem.data, pem.len, "x", 0, 0, NULL) < 0);
        kiln_buf_reset(&pem);
        for (int i = 0; i < 33; i++)
                tsa_pem(w->root.cert, &pem);
        assert_true(kiln_timestamp_authority_add(&a, pem.data, pem.len, "x", 0, 0, NULL) < 0);
        assert_int_equal(a.n, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_holds, setup, teardown),
                cmocka_unit_test_setup_teardown(test_accuracy, setup, teardown),
                cmocka_unit_test_setup_teardown(test_trust, setup, teardown),
                cmocka_unit_test_setup_teardown(test_chain, setup, teardown),
                cmocka_unit_test_setup_teardown(test_chain_times, setup, teardown),
                cmocka_unit_test_setup_teardown(test_future, setup, teardown),
                cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
                cmocka_unit_test_setup_teardown(test_usage, setup, teardown),
                cmocka_unit_test_setup_teardown(test_other_certificate, setup, teardown),
                cmocka_unit_test_setup_teardown(test_weak, setup, teardown),
                cmocka_unit_test_setup_teardown(test_imprint, setup, teardown),
                cmocka_unit_test_setup_teardown(test_nonce, setup, teardown),
                cmocka_unit_test_setup_teardown(test_changed, setup, teardown),
                cmocka_unit_test_setup_teardown(test_not_granted, setup, teardown),
                cmocka_unit_test_setup_teardown(test_certificates, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
