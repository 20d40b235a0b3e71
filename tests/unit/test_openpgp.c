/* OpenPGP packets: fixed bytes for a fixed key, and what gpgv and sqv say to them. */
#include "worker/attest/openpgp.h"

#include "tests/unit/rpmmake.h"
#include "worker/base/digest.h"

#include <errno.h>
#include <stdbool.h>

#define CREATED_S 946684800

/* The secret key of RFC 8032 section 7.1, test 1. */
static const unsigned char seed[32] = {0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4,
        0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c,
        0xae, 0x7f, 0x60};

struct fixture {
        EVP_PKEY *pkey;
        struct kiln_openpgp_key key;
        char *dir;
};

static int setup(void **state)
{
        struct fixture *f = kiln_calloc(1, sizeof(*f));

        f->pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
        assert_non_null(f->pkey);
        assert_int_equal(kiln_openpgp_key_init(&f->key, f->pkey, CREATED_S), 0);
        f->dir = rpmmake_dir();
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        EVP_PKEY_free(f->pkey);
        rpmmake_free(f->dir);
        free(f);
        return 0;
}

static void write_in(const struct fixture *f, const char *name, const void *data, size_t len)
{
        _cleanup_free_ char *path = kiln_path_join(f->dir, name);

        assert_int_equal(kiln_file_write(AT_FDCWD, path, data, len, 0644), 0);
}

static void write_public(const struct fixture *f)
{
        _cleanup_buf_ struct kiln_buf key = KILN_BUF_INIT, armor = KILN_BUF_INIT;

        assert_int_equal(kiln_openpgp_write_key(&f->key, f->pkey, "Test <test@example.org>", &key), 0);
        kiln_openpgp_armor(KILN_ARMOR_PUBLIC_KEY, key.data, key.len, &armor);
        write_in(f, "key.gpg", key.data, key.len);
        write_in(f, "key.asc", armor.data, armor.len);
}

/* Golden bytes: whoever changes them changes every key's fingerprint or every signed package. */
static void test_golden(void **state)
{
        struct fixture *f = *state;
        _cleanup_buf_ struct kiln_buf key = KILN_BUF_INIT, signature = KILN_BUF_INIT;
        char hex[KILN_OPENPGP_FINGERPRINT_HEX + 1], digest_hex[KILN_DIGEST_HEX + 1];
        struct kiln_digest d;

        kiln_hex_encode(f->key.fingerprint, sizeof(f->key.fingerprint), hex);
        assert_string_equal(hex, "e7c54f30a41b8494e6a16b435e9667f0cff627bb");
        assert_int_equal(kiln_openpgp_write_key(&f->key, f->pkey, "Test <test@example.org>", &key), 0);
        d = kiln_digest_of(key.data, key.len);
        kiln_digest_to_hex(&d, digest_hex);
        assert_string_equal(digest_hex, "c58309ee02df7c2864bec75c152c208e9aac02be7ecffe605ba000d228ca0252");
        assert_int_equal(kiln_openpgp_sign(&f->key, f->pkey, "kiln", 4, CREATED_S + 1, &signature), 0);
        d = kiln_digest_of(signature.data, signature.len);
        kiln_digest_to_hex(&d, digest_hex);
        assert_string_equal(digest_hex, "ad94d0c98c99988d5985ae6e4b8661ee6da4e3aa18b9fed346bbc729c373ba3e");
}

static void test_older_than_key(void **state)
{
        struct fixture *f = *state;
        _cleanup_buf_ struct kiln_buf early = KILN_BUF_INIT, exact = KILN_BUF_INIT, late = KILN_BUF_INIT;

        assert_int_equal(kiln_openpgp_sign(&f->key, f->pkey, "kiln", 4, 0, &early), 0);
        assert_int_equal(kiln_openpgp_sign(&f->key, f->pkey, "kiln", 4, CREATED_S, &exact), 0);
        assert_int_equal(early.len, exact.len);
        assert_memory_equal(early.data, exact.data, exact.len);
        assert_int_equal(kiln_openpgp_sign(&f->key, f->pkey, "kiln", 4, INT64_C(1) << 33, &late), -ERANGE);
        assert_int_equal(late.len, 0);
}

/* Enough different texts that some signature's R or S begins with a zero byte (one in 128): the integers are
 * written shorter then, and two programs must still take them. */
static void test_judges(void **state)
{
        struct fixture *f = *state;
        bool short_seen = false;
        int checked = 0;

        write_public(f);
        for (int i = 0; i < 2000 && (checked < 8 || !short_seen); i++) {
                _cleanup_buf_ struct kiln_buf signature = KILN_BUF_INIT, armor = KILN_BUF_INIT;
                _cleanup_free_ char *text = kiln_asprintf("text %d\n", i);
                bool is_short;

                assert_int_equal(
                        kiln_openpgp_sign(&f->key, f->pkey, text, strlen(text), CREATED_S + i, &signature),
                        0);
                is_short = signature.len < 2 + 6 + 29 + 2 + 10 + 2 + 2 * 34;
                if (checked >= 8 && !is_short)
                        continue;
                short_seen = short_seen || is_short;
                checked++;
                kiln_openpgp_armor(KILN_ARMOR_SIGNATURE, signature.data, signature.len, &armor);
                write_in(f, "text", text, strlen(text));
                write_in(f, "text.sig", signature.data, signature.len);
                write_in(f, "text.asc", armor.data, armor.len);
                rpmmake_run(f->dir, "gpgv --keyring ./key.gpg text.asc text 2>&1");
                rpmmake_run(f->dir, "gpgv --keyring ./key.gpg text.sig text 2>&1");
                rpmmake_run(f->dir, "sqv --keyring key.asc text.asc text");
                rpmmake_run(f->dir, "echo x >>text; ! gpgv --keyring ./key.gpg text.asc text 2>&1; "
                                    "! sqv --keyring key.asc text.asc text 2>&1");
        }
        assert_true(short_seen);
}

static void test_wrong_key(void **state)
{
        struct kiln_openpgp_key k;
        EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");

        assert_int_equal(kiln_openpgp_key_init(&k, other, CREATED_S), -EINVAL);
        EVP_PKEY_free(other);
}

/* The check value of RFC 4880's CRC-24 for "123456789" is 0x21cf02. */
static void test_armor(void **state)
{
        _cleanup_buf_ struct kiln_buf armor = KILN_BUF_INIT;

        kiln_openpgp_armor(KILN_ARMOR_SIGNATURE, "123456789", 9, &armor);
        assert_string_equal(kiln_buf_str(&armor),
                "-----BEGIN PGP SIGNATURE-----\n\nMTIzNDU2Nzg5\n=Ic8C\n-----END PGP SIGNATURE-----\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_golden, setup, teardown),
                cmocka_unit_test_setup_teardown(test_older_than_key, setup, teardown),
                cmocka_unit_test_setup_teardown(test_judges, setup, teardown),
                cmocka_unit_test(test_wrong_key),
                cmocka_unit_test(test_armor),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
