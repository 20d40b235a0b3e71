/* Verification summaries: what is written is read back; what is not of that form is refused. */
#include "tests/unit/envelopehelp.h"
#include "worker/verify/vsa.h"

static json_t *parse(const char *text)
{
        json_t *j = NULL;

        assert_int_equal(kiln_json_parse(text, strlen(text), "test", &j, NULL), 0);
        return j;
}

static void test_round_trip(void **state)
{
        char *tags[] = {(char *)"BUILDTIME", NULL},
             *files[] = {(char *)"/usr/bin/x", (char *)"/etc/\xff", NULL},
             *levels[] = {(char *)KILN_VSA_LEVEL_FAILED, NULL};
        struct kiln_vsa_input input = {(char *)"a.intoto.jsonl", {{1}}};
        struct kiln_vsa_difference difference = {(char *)"x.rpm", tags, files};
        const struct kiln_vsa v = {.verifier = (char *)"urn:x",
                .verifier_version = (char *)"1",
                .verified_s = 1700000000,
                .resource_uri = (char *)"urn:y",
                .policy_uri = (char *)"policy.toml",
                .policy_sha256 = {{2}},
                .levels = levels,
                .inputs = &input,
                .n_inputs = 1,
                .differences = &difference,
                .n_differences = 1};
        _cleanup_json_ json_t *j = kiln_vsa_write(&v);
        _cleanup_(kiln_vsa_clear) struct kiln_vsa r = {0};

        assert_int_equal(kiln_vsa_read(j, "it", &r, NULL), 0);
        assert_false(r.passed);
        assert_string_equal(r.verifier, "urn:x");
        assert_string_equal(r.verifier_version, "1");
        assert_int_equal(r.verified_s, 1700000000);
        assert_true(kiln_digest_equal(&r.policy_sha256, &v.policy_sha256));
        assert_true(kiln_digest_equal(&r.inputs[0].sha256, &input.sha256));
        assert_string_equal(r.levels[0], "FAILED");
        assert_int_equal(r.n_differences, 1);
        assert_string_equal(r.differences[0].tags[0], "BUILDTIME");
        assert_string_equal(r.differences[0].files[0], "/usr/bin/x");
        assert_int_equal(kiln_strv_length(r.differences[0].files), 2); /* no UTF-8, but not lost */
}

#define MEMBERS(result, more)                                                                                \
        "{\"verifier\":{\"id\":\"urn:x\"},\"resourceUri\":\"urn:y\",\"policy\":{\"uri\":\"p\"},"             \
        "\"verificationResult\":" result more "}"

static void test_forms(void **state)
{
        static const struct {
                const char *text;
                bool good;
        } cases[] = {
                {MEMBERS("\"PASSED\"", ""), true},
                {MEMBERS("\"FAILED\"", ",\"unknown\":1"), true}, /* SLSA: unknown fields are ignored */
                {MEMBERS("\"PASSED\"", ",\"timeVerified\":\"2026-01-31T12:00:00Z\""), true},
                {MEMBERS("\"passed\"", ""), false},
                {MEMBERS("true", ""), false},
                {MEMBERS("\"PASSED\"", ",\"timeVerified\":\"2026-02-31T12:00:00Z\""), false},
                {MEMBERS("\"PASSED\"", ",\"timeVerified\":\"2026-01-31 12:00:00\""), false},
                {MEMBERS("\"PASSED\"", ",\"verifiedLevels\":[1]"), false},
                {MEMBERS("\"PASSED\"", ",\"inputAttestations\":[{\"uri\":\"a\",\"digest\":{}}]"), false},
                {MEMBERS("\"PASSED\"", ",\"kiln_differences\":[{\"package\":\"a\"}]"), false},
                {MEMBERS("\"FAILED\"", ",\"kiln_differences\":[{\"package\":\"a\"}]"), true},
                {MEMBERS("\"FAILED\"", ",\"kiln_differences\":[{\"tags\":[]}]"), false},
                {"{}", false},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                _cleanup_json_ json_t *j = parse(cases[i].text);
                _cleanup_(kiln_vsa_clear) struct kiln_vsa v = {0};

                assert_int_equal(kiln_vsa_read(j, "it", &v, &err) == 0, cases[i].good);
                assert_int_equal(err.verdict, cases[i].good ? KILN_OK : KILN_BAD_INPUT);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_forms),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
