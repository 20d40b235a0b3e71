/* Signed notes and checkpoints, against ones that Python's hashlib and openssl made with the key of RFC 8032,
 * section 7.1, test 1. */
#include "worker/attest/log/note.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NAME "kiln.example/log"
#define VKEY NAME "+dcf4bb0b+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
#define DASH "\xe2\x80\x94 "
#define ROOT "MpIghwdLQvu/Ojo2cjqyeCX9m62x4pvd68P+qD6ewE0="
#define BODY NAME "\n11\n" ROOT "\n"
#define SIGNATURE                                                                                            \
        DASH NAME " 3PS7C51C18EYmWF2rFEFE2EMDsDiCo8oqZJCEusI8pvQNvTAjjn2NnvPzv4mI364UPLpDW7aqHwAZrQeMuiqbb5" \
                  "ZMg0=\n"
#define OTHERS DASH "witness.example AAAAAAAAAAAA\n"

static const unsigned char secret[32] = {0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a,
        0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03,
        0x1c, 0xae, 0x7f, 0x60};

static int check(const char *note, const char *vkey)
{
        _cleanup_(kiln_checkpoint_clear) struct kiln_checkpoint c = {0};
        _cleanup_(kiln_log_key_freep) struct kiln_log_key *key = NULL;
        int r = kiln_checkpoint_parse(note, strlen(note), &c);

        assert_int_equal(kiln_log_key_parse(vkey, &key), 0);
        return r < 0 ? r : kiln_checkpoint_check(&c, key);
}

static void test_key(void **state)
{
        static const char *const bad[] = {"", "+", "a+b", "kiln.example/log+dcf4bb0b+",
                NAME "+dcf4bb0b+AdV=", NAME "+dcf4bb0a+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea",
                NAME "+DCF4BB0B+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea",
                "other.example+dcf4bb0b+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea",
                "kiln example+dcf4bb0b+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea", VKEY "\nx", VKEY " ",
                /* type 2 */
                NAME "+dcf4bb0b+AtdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"};
        _cleanup_(kiln_log_key_freep) struct kiln_log_key *key = NULL, *made = NULL;
        EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, sizeof(secret));
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(bad); i++)
                assert_int_equal(kiln_log_key_parse(bad[i], &key), -EINVAL);
        assert_int_equal(kiln_log_key_parse(VKEY "\n", &key), 0);
        assert_string_equal(key->name, NAME);
        assert_int_equal(kiln_log_key_new(NAME, pkey, &made), 0);
        text = kiln_log_key_format(made);
        assert_string_equal(text, VKEY);
        assert_memory_equal(&made->id, &key->id, sizeof(key->id));
        kiln_log_key_free(TAKE_PTR(made));
        assert_int_equal(kiln_log_key_new("two words", pkey, &made), -EINVAL);
        assert_int_equal(kiln_log_key_new("a+b", pkey, &made), -EINVAL);
        assert_int_equal(kiln_log_key_new("", pkey, &made), -EINVAL);
        EVP_PKEY_free(pkey);
}

static void test_checkpoint(void **state)
{
        static const char note[] = BODY "\n" SIGNATURE;
        _cleanup_(kiln_checkpoint_clear) struct kiln_checkpoint c = {0};
        char hex[KILN_DIGEST_HEX + 1];

        assert_int_equal(kiln_checkpoint_parse(note, strlen(note), &c), 0);
        assert_string_equal(c.origin, NAME);
        assert_int_equal(c.size, 11);
        kiln_digest_to_hex(&c.root, hex);
        assert_string_equal(hex, "32922087074b42fbbf3a3a36723ab27825fd9badb1e29bddebc3fea83e9ec04d");
        assert_int_equal(check(note, VKEY), 0);
        assert_int_equal(check(BODY "\n" OTHERS SIGNATURE OTHERS, VKEY), 0);
        /* An extension line is signed with the rest. */
        assert_int_equal(
                check(NAME "\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nextension\n\n" DASH NAME
                           " 3PS7C71AyiPqFLw4qMmsKwwVeYCoeHBvEtazm/lpYV6YaaMydW/"
                           "EfNZc5WIk01eDaXL0f5o4ejhOB2VsKVPRg0hdegM=\n",
                        VKEY),
                0);
}

static void test_signatures(void **state)
{
        _cleanup_(kiln_log_key_freep) struct kiln_log_key *other = NULL;
        EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        _cleanup_free_ char *vkey = NULL;

        assert_int_equal(kiln_log_key_new(NAME, pkey, &other), 0);
        vkey = kiln_log_key_format(other);
        assert_int_equal(check(BODY "\n" SIGNATURE, vkey), KILN_CHECKPOINT_UNSIGNED);
        assert_int_equal(check(BODY "\n" OTHERS, VKEY), KILN_CHECKPOINT_UNSIGNED);
        assert_int_equal(check(NAME "\n12\n" ROOT "\n\n" SIGNATURE, VKEY), KILN_CHECKPOINT_FORGED);
        assert_int_equal(check(NAME "x\n11\n" ROOT "\n\n" SIGNATURE, VKEY), KILN_CHECKPOINT_OTHER_LOG);
        /* The id of the key over too few bytes. */
        assert_int_equal(check(BODY "\n" DASH NAME " 3PS7C51C18EY\n", VKEY), KILN_CHECKPOINT_FORGED);
        EVP_PKEY_free(pkey);
}

static void test_refused(void **state)
{
        static const char *const cases[] = {
                "",
                "\n",
                "\n\n",
                BODY,
                BODY "\n",
                BODY SIGNATURE,
                BODY "\n" DASH NAME "\n",
                BODY "\n" DASH NAME " \n",
                BODY "\n" DASH NAME " AAAA\n",
                BODY "\n" DASH " AAAAAAAA\n",
                BODY "\n" DASH "a+b AAAAAAAA\n",
                BODY "\n- " NAME " AAAAAAAA\n",
                BODY "\n" DASH NAME " AAAAAAAA",
                BODY "\n" DASH NAME " AAAAAAAB=\n",
                BODY "\n" SIGNATURE "trailing",
                BODY "\n" SIGNATURE "\n",
                NAME "\n011\n" ROOT "\n\n" SIGNATURE,
                NAME "\n-1\n" ROOT "\n\n" SIGNATURE,
                NAME "\n \n" ROOT "\n\n" SIGNATURE,
                NAME "\n9223372036854775808\n" ROOT "\n\n" SIGNATURE,
                NAME "\n11\n" ROOT "=\n\n" SIGNATURE,
                NAME "\n11\nMpIghwdLQvu/Ojo2cjqyeCX9m62x4pvd68P+qD6ewE1=\n\n" SIGNATURE,
                NAME "\n11\nAAAA\n\n" SIGNATURE,
                NAME "\n11\n\n" SIGNATURE,
                "\n11\n" ROOT "\n\n" SIGNATURE,
                NAME "\r\n11\n" ROOT "\n\n" SIGNATURE,
                "\xff\n11\n" ROOT "\n\n" SIGNATURE,
                "\xc0\xaf\n11\n" ROOT "\n\n" SIGNATURE,
                "\xed\xa0\x80\n11\n" ROOT "\n\n" SIGNATURE,
        };
        _cleanup_buf_ struct kiln_buf many = KILN_BUF_INIT;
        struct kiln_checkpoint c;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++)
                assert_int_equal(kiln_checkpoint_parse(cases[i], strlen(cases[i]), &c), -EINVAL);
        kiln_buf_puts(&many, BODY "\n");
        for (size_t i = 0; i <= KILN_NOTE_SIGNATURES_MAX; i++)
                kiln_buf_puts(&many, OTHERS);
        assert_int_equal(kiln_checkpoint_parse(many.data, many.len, &c), -EFBIG);
        while (many.len <= KILN_NOTE_MAX)
                kiln_buf_puts(&many, OTHERS);
        assert_int_equal(kiln_checkpoint_parse(many.data, many.len, &c), -EFBIG);
        assert_int_equal(
                kiln_checkpoint_parse(BODY "\0\n" SIGNATURE, sizeof(BODY "\0\n" SIGNATURE) - 1, &c), -EINVAL);
}

static void test_write(void **state)
{
        _cleanup_(kiln_log_key_freep) struct kiln_log_key *key = NULL;
        _cleanup_(kiln_checkpoint_clear) struct kiln_checkpoint c = {0};
        _cleanup_buf_ struct kiln_buf body = KILN_BUF_INIT, note = KILN_BUF_INIT;
        EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, sizeof(secret));
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        unsigned char signature[64];
        size_t len = sizeof(signature);

        assert_int_equal(kiln_log_key_new(NAME, pkey, &key), 0);
        assert_int_equal(kiln_checkpoint_parse(BODY "\n" SIGNATURE, strlen(BODY "\n" SIGNATURE), &c), 0);
        kiln_checkpoint_body(NAME, 11, &c.root, &body);
        assert_string_equal(body.data, BODY);
        assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey), 1);
        assert_int_equal(EVP_DigestSign(ctx, signature, &len, (const unsigned char *)body.data, body.len), 1);
        kiln_checkpoint_sign(key, body.data, signature, &note);
        assert_string_equal(note.data, BODY "\n" SIGNATURE);
        EVP_MD_CTX_free(ctx);
        EVP_PKEY_free(pkey);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_key),
                cmocka_unit_test(test_checkpoint),
                cmocka_unit_test(test_signatures),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_write),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
