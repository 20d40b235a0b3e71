/* Sigstore bundles: what is written is read back, with the envelope's own signature check. */
#include "tests/unit/envelopehelp.h"
#include "worker/base/file.h"
#include "worker/verify/bundle.h"

#include <errno.h>
#include <fcntl.h>

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

/* Nor is a payload copied that lies beside a checkpoint, which is full of escapes: what is beside it is
 * small.
 */
static void test_large(void **state)
{
        enum { LARGE = 17 << 20 };
        EVP_PKEY *key = envelope_key();
        _cleanup_free_ char *pem = envelope_pem(key), *filler = kiln_malloc(LARGE + 1);
        _cleanup_(kiln_verify_keys_clear) struct kiln_verify_keys keys = {0};
        _cleanup_buf_ struct kiln_buf payload = KILN_BUF_INIT, text = KILN_BUF_INIT;
        _cleanup_(kiln_envelope_freep) struct kiln_envelope *e = NULL;
        _cleanup_(kiln_bundle_stamps_clear) struct kiln_bundle_stamps s = {0};
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        memset(filler, 'x', LARGE);
        filler[LARGE] = '\0';
        assert_int_equal(kiln_verify_keys_add(&keys, pem, "a", NULL), 0);
        kiln_buf_printf(&payload, STATEMENT(SUBJECT("a.rpm"), KILN_PREDICATE_SPDX, "{\"x\":\"%s\"}"), filler);
        kiln_buf_puts(&text,
                "{\"mediaType\":\"" ENVELOPE_TYPE
                "\",\"verificationMaterial\":{\"publicKey\":{\"hint\":\"a\"},\"tlogEntries\":"
                "[{\"inclusionProof\":{\"checkpoint\":{\"envelope\":\"a\\n1\\n\\u2014 \\\"b\\\"\"}}}],"
                "\"timestampVerificationData\":{\"rfc3161Timestamps\":[{\"signedTimestamp\":"
                "\"AAAA\"}]}},\"dsseEnvelope\":");
        envelope_sign(key, kiln_buf_str(&payload), &text);
        text.data[text.len - 1] = '}';
        assert_int_equal(kiln_bundle_parse(text.data, text.len, &keys, "it", &e, &err), 0);
        assert_int_equal(json_array_size(e->log_entries), 1);
        assert_int_equal(kiln_bundle_stamps_parse(text.data, text.len, "it", &s, &err), 0);
        assert_int_equal(s.n, 1);
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

#define STAMPED(signature, stamps)                                                                           \
        "{\"verificationMaterial\":{\"timestampVerificationData\":{\"rfc3161Timestamps\":" stamps            \
        "}},\"dsseEnvelope\":{\"signatures\":[{\"sig\":\"" signature "\"}]}}"
#define SIGNATURE "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="

static void test_stamps(void **state)
{
        _cleanup_json_ json_t *envelope = json_pack("{s:[{s:s}]}", "signatures", "sig", SIGNATURE),
                              *bundle = NULL;
        _cleanup_(kiln_bundle_stamps_clear) struct kiln_bundle_stamps s = {0};
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;

        bundle = kiln_bundle_write(envelope, "k");
        kiln_json_canonical(bundle, &text);
        assert_int_equal(kiln_bundle_stamps_parse(text.data, text.len, "it", &s, NULL), 0);
        assert_int_equal(s.n, 0);
        kiln_bundle_add_stamp(bundle, "first", 5);
        kiln_bundle_add_stamp(bundle, "second", 6);
        kiln_buf_reset(&text);
        kiln_json_canonical(bundle, &text);
        assert_int_equal(kiln_bundle_stamps_parse(text.data, text.len, "it", &s, NULL), 0);
        assert_int_equal(s.n, 2);
        assert_int_equal(s.signature.len, KILN_DSSE_SIGNATURE_BYTES);
        assert_string_equal(kiln_buf_str(&s.stamps[0]), "first");
        assert_string_equal(kiln_buf_str(&s.stamps[1]), "second");
}

/* What a file already proves about an envelope is kept when something is added; of another envelope it is
 * not. */
static void test_kept(void **state)
{
        _cleanup_json_ json_t *envelope = json_pack("{s:[{s:s}]}", "signatures", "sig", SIGNATURE),
                              *another = json_pack("{s:[{s:s}]}", "signatures", "sig", "AAAA"),
                              *stamped = kiln_bundle_write(envelope, "k"), *kept = NULL, *fresh = NULL;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        char dir[] = "/tmp/kiln-test-XXXXXX";
        _cleanup_close_ int fd = -1;

        assert_non_null(mkdtemp(dir));
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        kiln_bundle_add_stamp(stamped, "first", 5);
        kiln_json_canonical(stamped, &text);
        assert_int_equal(kiln_file_write(fd, "a", text.data, text.len, 0644), 0);
        kept = kiln_bundle_at(fd, "a", envelope, "k");
        assert_true(json_equal(kept, stamped));
        fresh = kiln_bundle_at(fd, "a", another, "k");
        assert_int_equal(json_object_size(json_object_get(fresh, "verificationMaterial")), 1);
        assert_int_equal(kiln_tree_remove(AT_FDCWD, dir), 0);
}

static void test_bad_stamps(void **state)
{
        static const char *const refused[] = {
                STAMPED(SIGNATURE, "{}"),
                STAMPED(SIGNATURE, "\"x\""),
                STAMPED(SIGNATURE, "[1]"),
                STAMPED(SIGNATURE, "[{\"signedTimestamp\":1}]"),
                STAMPED(SIGNATURE, "[{\"signedTimestamp\":\"AAA\"}]"),
                STAMPED(SIGNATURE, "[{\"signedTimestamp\":\"AAAA\"},{}]"),
        };
        static const char *const none[] = {"{", "[]", "{\"verificationMaterial\":[]}",
                STAMPED("AAAA", "[{\"signedTimestamp\":\"AAAA\"}]"), STAMPED(SIGNATURE, "[]")};
        struct kiln_bundle_stamps s;
        _cleanup_buf_ struct kiln_buf many = KILN_BUF_INIT, long_one = KILN_BUF_INIT;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(refused); i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

                assert_true(kiln_bundle_stamps_parse(refused[i], strlen(refused[i]), "it", &s, &err) < 0);
                assert_int_equal(err.verdict, KILN_BAD_INPUT);
                assert_int_equal(s.n, 0);
        }
        /* That something else is wrong is kiln_bundle_parse()'s to say. */
        for (size_t i = 0; i < KILN_ARRAY_SIZE(none); i++) {
                assert_int_equal(kiln_bundle_stamps_parse(none[i], strlen(none[i]), "it", &s, NULL), 0);
                assert_int_equal(s.n, 0);
                kiln_bundle_stamps_clear(&s);
        }
        kiln_buf_puts(
                &many, "{\"verificationMaterial\":{\"timestampVerificationData\":{\"rfc3161Timestamps\":[");
        kiln_buf_append(&long_one, many.data, many.len);
        for (size_t i = 0; i <= KILN_BUNDLE_STAMPS_MAX; i++)
                kiln_buf_printf(&many, "%s{\"signedTimestamp\":\"AAAA\"}", i ? "," : "");
        kiln_buf_puts(&long_one, "{\"signedTimestamp\":\"");
        for (size_t i = 0; i <= KILN_TIMESTAMP_MAX / 3 + 1; i++)
                kiln_buf_puts(&long_one, "AAAA");
        kiln_buf_puts(&long_one, "\"}");
        for (size_t i = 0; i < 2; i++) {
                struct kiln_buf *b = i ? &many : &long_one;

                kiln_buf_puts(b, "]}},\"dsseEnvelope\":{\"signatures\":[{\"sig\":\"" SIGNATURE "\"}]}}");
                assert_true(kiln_bundle_stamps_parse(b->data, b->len, "it", &s, NULL) < 0);
        }
}

/* The second would take the first one's place. */
static void test_two_of_a_kind(void **state)
{
        static const char *const payloads[] = {
                STATEMENT(SUBJECT("a.rpm"), KILN_PREDICATE_VSA, "{\"x\":1}"),
                STATEMENT(SUBJECT("a.rpm"), KILN_PREDICATE_VSA, "{\"x\":2}"),
        };
        EVP_PKEY *key = envelope_key();
        _cleanup_free_ char *pem = envelope_pem(key), *path = NULL;
        _cleanup_(kiln_verify_keys_clear) struct kiln_verify_keys keys = {0};
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_buf_ struct kiln_buf lines = KILN_BUF_INIT;
        char dir[] = "/tmp/kiln-test-XXXXXX";

        assert_non_null(mkdtemp(dir));
        path = kiln_path_join(dir, "a.intoto.jsonl");
        assert_int_equal(kiln_verify_keys_add(&keys, pem, "a", NULL), 0);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(payloads); i++) {
                envelope_sign(key, payloads[i], &lines);
                assert_int_equal(kiln_file_write(AT_FDCWD, path, lines.data, lines.len, 0644), 0);
                assert_int_equal(
                        kiln_bundle_export(dir, "a.intoto.jsonl", &keys, NULL, dir, &err), i ? -EEXIST : 0);
        }
        assert_int_equal(err.verdict, KILN_BAD_INPUT);
        assert_int_equal(kiln_tree_remove(AT_FDCWD, dir), 0);
        EVP_PKEY_free(key);
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
                cmocka_unit_test(test_large),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_stamps),
                cmocka_unit_test(test_kept),
                cmocka_unit_test(test_bad_stamps),
                cmocka_unit_test(test_two_of_a_kind),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
