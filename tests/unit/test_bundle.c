/* Sigstore bundles: what is written is read back, with the envelope's own signature check. */
#include "tests/unit/envelopehelp.h"
#include "worker/verify/bundle.h"

#define ENVELOPE_TYPE "application/vnd.dev.sigstore.bundle.v0.3+json"

static void test_round_trip(void **state)
{
        static const char payload[] =
                STATEMENT(SUBJECT("a.rpm"), KILN_PREDICATE_TEST, "{\"configuration\":[{\"name\":\"isa\"}]}");
        EVP_PKEY *key = envelope_key(), *stranger = envelope_key();
        _cleanup_free_ char *pem = envelope_pem(key), *other = envelope_pem(stranger), *kind = NULL;
        _cleanup_(kiln_verify_keys_clear) struct kiln_verify_keys keys = {0}, others = {0};
        _cleanup_buf_ struct kiln_buf line = KILN_BUF_INIT, text = KILN_BUF_INIT;
        _cleanup_(kiln_envelope_freep) struct kiln_envelope *e = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_json_ json_t *envelope = NULL, *bundle = NULL;

        assert_int_equal(kiln_verify_keys_add(&keys, pem, "a", NULL), 0);
        assert_int_equal(kiln_verify_keys_add(&others, other, "b", NULL), 0);
        envelope_sign(key, payload, &line);
        assert_int_equal(kiln_json_parse(line.data, line.len, "it", &envelope, NULL), 0);
        bundle = kiln_bundle_write(envelope, keys.keys[0].keyid);
        kiln_json_canonical(bundle, &text);

        assert_int_equal(kiln_bundle_parse(text.data, text.len, &keys, "it", &e, &err), 0);
        assert_string_equal(e->subjects[0].name, "a.rpm");
        kind = kiln_bundle_kind(e);
        assert_string_equal(kind, "test-isa");
        kiln_envelope_free(TAKE_PTR(e));
        assert_true(kiln_bundle_parse(text.data, text.len, &others, "it", &e, &err) < 0);
        assert_int_equal(err.verdict, KILN_NOT_REPRODUCED);
        EVP_PKEY_free(key);
        EVP_PKEY_free(stranger);
}

/* The parser does not copy the longest string: in a bundle that can be the body of a log entry. */
static void test_long_body(void **state)
{
        static const char payload[] =
                STATEMENT(SUBJECT("a.rpm"), KILN_PREDICATE_TEST, "{\"configuration\":[{\"name\":\"isa\"}]}");
        EVP_PKEY *key = envelope_key();
        _cleanup_free_ char *pem = envelope_pem(key), *body = kiln_calloc(1, 4097);
        _cleanup_(kiln_verify_keys_clear) struct kiln_verify_keys keys = {0};
        _cleanup_buf_ struct kiln_buf line = KILN_BUF_INIT, text = KILN_BUF_INIT;
        _cleanup_(kiln_envelope_freep) struct kiln_envelope *e = NULL;
        _cleanup_json_ json_t *envelope = NULL, *bundle = NULL;

        memset(body, 'A', 4096);
        assert_int_equal(kiln_verify_keys_add(&keys, pem, "a", NULL), 0);
        envelope_sign(key, payload, &line);
        assert_int_equal(kiln_json_parse(line.data, line.len, "it", &envelope, NULL), 0);
        bundle = kiln_bundle_write(envelope, keys.keys[0].keyid);
        json_object_set_new(json_object_get(bundle, "verificationMaterial"), "tlogEntries",
                json_pack("[{s:s}]", "canonicalizedBody", body));
        kiln_json_canonical(bundle, &text);
        assert_int_equal(kiln_bundle_parse(text.data, text.len, &keys, "it", &e, NULL), 0);
        assert_string_equal(kiln_json_string(json_array_get(e->log_entries, 0), "canonicalizedBody"), body);
        EVP_PKEY_free(key);
}

static void test_refused(void **state)
{
        static const char *const cases[] = {
                "{}",
                "{\"mediaType\":\"x\",\"verificationMaterial\":{\"publicKey\":{}},\"dsseEnvelope\":{}}",
                "{\"mediaType\":\"" ENVELOPE_TYPE "\",\"verificationMaterial\":{\"publicKey\":{}}}",
                "{\"mediaType\":\"" ENVELOPE_TYPE "\",\"dsseEnvelope\":{}}",
                "{\"mediaType\":\"" ENVELOPE_TYPE
                "\",\"verificationMaterial\":{\"certificate\":{},\"publicKey\":{}},\"dsseEnvelope\":{}}",
                "{\"mediaType\":\"" ENVELOPE_TYPE "\",\"verificationMaterial\":{\"publicKey\":{}},"
                "\"dsseEnvelope\":{},\"messageSignature\":{}}",
                "{\"mediaType\":\"" ENVELOPE_TYPE
                "\",\"verificationMaterial\":{\"publicKey\":{}},\"dsseEnvelope\":[]}",
        };
        const struct kiln_verify_keys keys = {0};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                struct kiln_envelope *e = NULL;

                assert_true(kiln_bundle_parse(cases[i], strlen(cases[i]), &keys, "it", &e, &err) < 0);
                assert_int_equal(err.verdict, KILN_BAD_INPUT);
        }
}

static void test_names(void **state)
{
        assert_true(kiln_bundle_is_suffix(".provenance.sigstore.json"));
        assert_true(kiln_bundle_is_suffix(".test-isa.sigstore.json"));
        assert_false(kiln_bundle_is_suffix(".sigstore.json"));
        assert_false(kiln_bundle_is_suffix(".test-.sigstore.json"));
        assert_false(kiln_bundle_is_suffix(".test-a.b.sigstore.json"));
        assert_false(kiln_bundle_is_suffix(".1.provenance.sigstore.json"));
        assert_false(kiln_bundle_is_suffix("provenance.sigstore.json"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_long_body),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
