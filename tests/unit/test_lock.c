/* One lock, one text: writing is canonical, reading refuses everything else. */
#include "worker/base/mem.h"
#include "worker/buildroot/lock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C64 "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

#define PACKAGE(epoch, nevra, layer)                                                                         \
        "{\"arch\":\"x86_64\",\"epoch\":\"" epoch "\",\"headerSha256\":\"" B64 "\",\"layer\":\"" layer       \
        "\",\"license\":\"MIT\",\"location\":\"p/foo.rpm\",\"name\":\"foo\","                                \
        "\"nevra\":\"" nevra "\",\"release\":\"1.fc43\",\"repository\":\"main\",\"sha256\":\"" C64           \
        "\",\"signer\":\"00ff\",\"sizeBytes\":\"123\",\"sourceRpm\":\"foo-2-1.fc43.src.rpm\","               \
        "\"version\":\"2\"}"
#define HEAD "{\"arch\":\"x86_64\",\"full\":false,\"packages\":["
#define TAIL                                                                                                 \
        "],\"repositories\":[{\"baseUrl\":\"https://example.com/r\",\"id\":\"main\",\"repomdSha256\":\"" A64 \
        "\"}],\"toolchain\":\"t\",\"toolchainDigest\":\"" A64 "\"}\n"
#define GOOD                                                                                                 \
        HEAD PACKAGE("0", "foo-2-1.fc43.x86_64", "BASE") "," PACKAGE("3", "foo-3:2-1.fc43.x86_64", "DELTA")  \
                TAIL

static int parse(const char *text)
{
        _cleanup_(kiln_lock_freep) struct kiln_lock *l = NULL;

        return kiln_lock_parse(text, strlen(text), "lock.json", &l, NULL);
}

static void test_round_trip(void **state)
{
        _cleanup_(kiln_lock_freep) struct kiln_lock *l = NULL, *copy = NULL;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT, again = KILN_BUF_INIT;
        struct kiln_digest d, want = kiln_digest_of(GOOD, strlen(GOOD));

        assert_int_equal(kiln_lock_parse(GOOD, strlen(GOOD), "lock.json", &l, NULL), 0);
        assert_int_equal(l->n_packages, 2);
        assert_int_equal(l->packages[1].layer, KILN_LOCK_DELTA);
        assert_int_equal(l->packages[0].size_bytes, 123);
        kiln_lock_write(l, &text);
        assert_string_equal(text.data, GOOD);
        d = kiln_lock_digest(l);
        assert_true(kiln_digest_equal(&d, &want));
        copy = kiln_lock_copy(l);
        kiln_lock_write(copy, &again);
        assert_string_equal(again.data, GOOD);
}

/* Every single change of one part is refused. */
static void test_refused(void **state)
{
        static const struct {
                const char *from, *to;
        } edits[] = {
                {"\"full\":false", "\"full\":0"},
                {"\"full\":false,", ""},
                {"\"full\":false", "\"full\":false,\"more\":1"},
                {"\"full\":false", "\"full\":false,\"full\":false"},
                {"\"arch\":\"x86_64\",\"full\"", "\"arch\":\"a b\",\"full\""},
                {A64, "AAAAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
                {A64, "aaaa"},
                {A64, ""},
                {A64, "0000000000000000000000000000000000000000000000000000000000000000"},
                {C64, ""},
                {"\"sizeBytes\":\"123\"", "\"sizeBytes\":123"},
                {"\"sizeBytes\":\"123\"", "\"sizeBytes\":\"-1\""},
                {"\"sizeBytes\":\"123\"", "\"sizeBytes\":\"0123\""},
                {"\"sizeBytes\":\"123\"", "\"sizeBytes\":\"0\""},
                {"\"sizeBytes\":\"123\"", "\"sizeBytes\":\"99999999999999999999999\""},
                {"\"layer\":\"BASE\"", "\"layer\":\"base\""},
                {"\"epoch\":\"0\"", "\"epoch\":\"00\""},
                {"\"epoch\":\"0\"", "\"epoch\":\"4294967296\""},
                {"\"epoch\":\"0\"", "\"epoch\":\"\""},
                {"\"epoch\":\"3\"", "\"epoch\":\"4\""},
                {"p/foo.rpm", "/etc/passwd"},
                {"p/foo.rpm", "p/../../foo.rpm"},
                {"p/foo.rpm", "p//foo.rpm"},
                {"p/foo.rpm", "p/foo.rpm?x"},
                {"\"signer\":\"00ff\"", "\"signer\":\"00FF\""},
                {"\"repository\":\"main\"", "\"repository\":\"other\""},
                {"\"name\":\"foo\"", "\"name\":\"-foo\""},
                {"\"name\":\"foo\"", "\"name\":\"f/o\""},
                {"\"name\":\"foo\"", "\"name\":\"f\\u0000o\""},
                {"foo-3:2-1.fc43.x86_64", "foo-2-1.fc43.x86_64"},
                {"\"release\":\"1.fc43\"", "\"release\":\"1-1\""},
                {"\"license\":\"MIT\"", "\"license\":\"M\\u0001T\""},
                {"]}\n", "]}x\n"},
        };

        assert_int_equal(parse(GOOD), 0);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(edits); i++) {
                const char *at = strstr(GOOD, edits[i].from);
                _cleanup_free_ char *text = NULL;

                if (!at)
                        at = GOOD + strlen(GOOD) - strlen(edits[i].from);
                text = kiln_asprintf(
                        "%.*s%s%s", (int)(at - GOOD), GOOD, edits[i].to, at + strlen(edits[i].from));
                if (parse(text) >= 0)
                        fail_msg("accepted: %s -> %s", edits[i].from, edits[i].to);
        }
}

static void test_order(void **state)
{
        assert_true(parse(HEAD PACKAGE("3", "foo-3:2-1.fc43.x86_64", "DELTA") "," PACKAGE(
                            "0", "foo-2-1.fc43.x86_64", "BASE") TAIL) < 0);
        assert_true(parse(HEAD PACKAGE("0", "foo-2-1.fc43.x86_64", "BASE") "," PACKAGE(
                            "0", "foo-2-1.fc43.x86_64", "BASE") TAIL) < 0);
}

static void test_header_may_be_unknown(void **state)
{
        _cleanup_free_ char *text = kiln_strdup(GOOD);
        _cleanup_(kiln_lock_freep) struct kiln_lock *l = NULL;
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;
        char *at = strstr(text, B64);

        memmove(at, at + 64, strlen(at + 64) + 1);
        assert_int_equal(kiln_lock_parse(text, strlen(text), "lock.json", &l, NULL), 0);
        assert_true(kiln_digest_is_zero(&l->packages[0].header_sha256));
        kiln_lock_write(l, &out);
        assert_string_equal(out.data, text);
}

static void test_layer_digest(void **state)
{
        _cleanup_(kiln_lock_freep) struct kiln_lock *l = NULL;
        struct kiln_digest base, both, delta;

        assert_int_equal(kiln_lock_parse(GOOD, strlen(GOOD), "lock.json", &l, NULL), 0);
        base = kiln_lock_layer_digest(l, 1u << KILN_LOCK_BASE);
        delta = kiln_lock_layer_digest(l, 1u << KILN_LOCK_DELTA);
        both = kiln_lock_layer_digest(l, 1u << KILN_LOCK_BASE | 1u << KILN_LOCK_DELTA);
        assert_false(kiln_digest_equal(&base, &delta));
        assert_false(kiln_digest_equal(&base, &both));
        l->packages[1].sha256.bytes[0] ^= 1; /* the delta's package changes: the base keeps its name */
        struct kiln_digest base2 = kiln_lock_layer_digest(l, 1u << KILN_LOCK_BASE);
        struct kiln_digest delta2 = kiln_lock_layer_digest(l, 1u << KILN_LOCK_DELTA);
        assert_true(kiln_digest_equal(&base, &base2));
        assert_false(kiln_digest_equal(&delta, &delta2));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_header_may_be_unknown),
                cmocka_unit_test(test_layer_digest),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
