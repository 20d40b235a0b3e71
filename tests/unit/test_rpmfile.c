/* worker/source/rpmfile.c: digests and signatures of RPM files are judged right, whoever made the file. */
#include "tests/unit/rpmmake.h"
#include "worker/source/rpmfile.h"
#include "worker/source/rpmlayout.h"

#include <sys/mman.h>
#include <sys/stat.h>

static const char spec[] =
        "Name: made\nEpoch: 3\nVersion: 1.2~rc1\nRelease: 4.fc43\nSummary: made by a test\n"
        "License: MIT\nURL: https://example.org/made\nBuildArch: noarch\nExclusiveArch: x86_64 noarch\n"
        "Source0: one.txt\nPatch0: two.patch\nBuildRequires: somethingabsent >= 2.0\n"
        "Requires: sh >= 1\nProvides: virtual = 7\n"
        "%description\nText.\n%prep\n%build\n%install\n"
        "mkdir -p %{buildroot}/usr/share/made\n"
        "echo data >%{buildroot}/usr/share/made/file\n"
        "ln -s file %{buildroot}/usr/share/made/link\n"
        "%files\n%dir /usr/share/made\n/usr/share/made/file\n%config /usr/share/made/link\n%ghost "
        "/usr/share/made/ghost\n";

#define BINARY "made-1.2~rc1-4.fc43.noarch.rpm"
#define SOURCE "made-1.2~rc1-4.fc43.src.rpm"

struct fixture {
        char *dir;
        struct kiln_keyring *alice, *bob;
        struct kiln_buf signed_bytes;
};

static struct kiln_keyring *keyring_of(const char *dir, const char *file)
{
        struct kiln_keyring *k = kiln_keyring_new();
        _cleanup_buf_ struct kiln_buf armor = KILN_BUF_INIT;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        rpmmake_read(dir, file, &armor);
        if (kiln_keyring_add(k, kiln_buf_str(&armor), file, &err) < 0)
                fail_msg("%s", err.cause);
        return k;
}

static int setup(void **state)
{
        struct fixture *f = kiln_calloc(1, sizeof(*f));

        f->dir = rpmmake_dir();
        rpmmake_run(f->dir, "echo one >one.txt; echo two >two.patch");
        rpmmake_build(f->dir, spec, "--nodeps");
        rpmmake_key(f->dir, "alice");
        rpmmake_key(f->dir, "bob");
        rpmmake_run(f->dir, "cp " BINARY " signed.rpm");
        rpmmake_sign(f->dir, "alice", "signed.rpm");
        f->alice = keyring_of(f->dir, "alice.asc");
        f->bob = keyring_of(f->dir, "bob.asc");
        rpmmake_read(f->dir, "signed.rpm", &f->signed_bytes);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        kiln_keyring_free(f->alice);
        kiln_keyring_free(f->bob);
        kiln_buf_clear(&f->signed_bytes);
        rpmmake_free(f->dir);
        free(f);
        return 0;
}

static struct kiln_rpm *open_good(const char *dir, const char *file, const struct kiln_keyring *k)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_close_ int fd = rpmmake_open(dir, file);
        struct kiln_rpm *r = NULL;

        if (kiln_rpm_open(fd, file, k, &r, &err) < 0)
                fail_msg("%s: %s", file, err.cause);
        return r;
}

/* The verdict of bytes in memory; *ret_signature is set when they are accepted. */
static enum kiln_verdict judge(
        const void *data, size_t len, const struct kiln_keyring *k, enum kiln_rpm_signature *ret_signature)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *r = NULL;
        _cleanup_close_ int fd = memfd_create("rpm", MFD_CLOEXEC);

        assert_int_equal(kiln_fd_write(fd, data, len), 0);
        if (kiln_rpm_open(fd, "bytes", k, &r, &err) < 0) {
                assert_non_null(err.cause);
                assert_null(r);
                return err.verdict;
        }
        *ret_signature = r->signature;
        return KILN_OK;
}

static void test_facts(void **state)
{
        struct fixture *f = *state;
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *b = open_good(f->dir, BINARY, NULL);
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *s = open_good(f->dir, SOURCE, NULL);
        bool seen = false;

        assert_string_equal(b->nevra, "made-3:1.2~rc1-4.fc43.noarch");
        assert_string_equal(b->nvr, "made-1.2~rc1-4.fc43");
        assert_true(b->has_epoch);
        assert_int_equal(b->epoch, 3);
        assert_false(b->source);
        assert_int_equal(b->signature, KILN_RPM_UNSIGNED);
        assert_null(b->signer);
        assert_string_equal(b->license, "MIT");
        assert_string_equal(b->source_rpm, SOURCE);
        assert_string_equal(b->file_digest_algo, "sha256");
        assert_int_equal(b->n_files, 4);
        assert_string_equal(b->files[0].path, "/usr/share/made");
        assert_true(S_ISDIR(b->files[0].mode));
        assert_string_equal(b->files[1].path, "/usr/share/made/file");
        assert_string_equal(b->files[1].digest_hex, /* sha256 of "data\n" */
                "6667b2d1aab6a00caa5aee5af8ad9f1465e567abf1c209d15727d57b3e8f6e5f");
        assert_int_equal(b->files[1].size, 5);
        assert_string_equal(b->files[1].user, "root");
        assert_int_equal(b->files[2].flags & 64, 64); /* RPMFILE_GHOST */
        assert_string_equal(b->files[2].digest_hex, "");
        assert_string_equal(b->files[3].link_target, "file");
        for (size_t i = 0; i < b->n_provides; i++)
                seen |= strcmp(b->provides[i].name, "virtual") == 0 && strcmp(b->provides[i].evr, "7") == 0 &&
                        b->provides[i].flags == 8; /* RPMSENSE_EQUAL */
        assert_true(seen);

        assert_true(s->source);
        assert_string_equal(s->arch, "src");
        assert_string_equal(s->exclusive_arch[0], "x86_64");
        assert_string_equal(s->exclusive_arch[1], "noarch");
        assert_string_equal(s->sources[0], "one.txt");
        assert_string_equal(s->patches[0], "two.patch");
        seen = false;
        for (size_t i = 0; i < s->n_requires; i++)
        seen |= strcmp(s->requires[i].name, "somethingabsent") == 0 &&
                strcmp(s->requires[i].evr, "2.0") == 0 &&
                s->requires[i].flags == 12; /* RPMSENSE_GREATER|EQUAL */
        assert_true(seen);
}

/* Offsets and digests against what rpm's own query and coreutils say. */
static void test_digests(void **state)
{
        struct fixture *f = *state;
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *r = open_good(f->dir, BINARY, NULL);
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *s = open_good(f->dir, "signed.rpm", f->alice);
        char hex[KILN_DIGEST_HEX + 1];
        _cleanup_free_ char *script = NULL;

        kiln_digest_to_hex(&r->file_sha256, hex);
        script = kiln_asprintf(
                "test \"$(sha256sum <" BINARY ")\" = '%s  -'; "
                "test \"$(rpm -qp --nosignature --qf '%%{SHA256HEADER} %%{PAYLOADDIGEST}' " BINARY
                ")\" = '%s %s'; "
                "test \"$(tail -c +%llu " BINARY " | sha256sum)\" = '%s  -'",
                hex, r->header_sha256, r->payload_sha256, (unsigned long long)r->payload_offset + 1,
                r->payload_sha256);
        rpmmake_run(f->dir, script);

        /* Signing leaves header and payload as they are. */
        assert_string_equal(r->header_sha256, s->header_sha256);
        assert_string_equal(r->payload_sha256, s->payload_sha256);
        assert_int_equal(r->file_bytes - r->header_offset, s->file_bytes - s->header_offset);
        assert_false(kiln_digest_equal(&r->file_sha256, &s->file_sha256));
}

static void test_signature(void **state)
{
        struct fixture *f = *state;
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *known = open_good(f->dir, "signed.rpm", f->alice);
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *unknown = open_good(f->dir, "signed.rpm", f->bob);
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *none = open_good(f->dir, "signed.rpm", NULL);
        _cleanup_free_ char *script = NULL;

        assert_int_equal(known->signature, KILN_RPM_SIGNED);
        assert_int_equal(strlen(known->signer), 40);
        script = kiln_asprintf("GNUPGHOME=$PWD/gnupg gpg --with-colons --list-keys alice@example.org | grep "
                               "-iq '^fpr.*:%s:'; "
                               "gpgconf --homedir gnupg --kill all",
                known->signer);
        rpmmake_run(f->dir, script);
        assert_int_equal(unknown->signature, KILN_RPM_UNKNOWN_KEY);
        assert_int_equal(strlen(unknown->signer), 16);
        assert_non_null(strstr(known->signer, unknown->signer));
        assert_int_equal(none->signature, KILN_RPM_UNKNOWN_KEY);
}

/* No changed byte of header or payload goes unnoticed, in a signed or an unsigned file. */
static void test_changed_bytes(void **state)
{
        struct fixture *f = *state;
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *r = open_good(f->dir, "signed.rpm", f->alice);
        enum kiln_rpm_signature s;
        char *data = f->signed_bytes.data;
        size_t len = f->signed_bytes.len;

        for (size_t i = r->header_offset; i < len; i += i < r->header_offset + 64 ? 1 : 37) {
                data[i] ^= 0x20;
                assert_int_equal(judge(data, len, f->alice, &s), KILN_BAD_INPUT);
                assert_int_equal(judge(data, len, NULL, &s), KILN_BAD_INPUT);
                data[i] ^= 0x20;
        }
        assert_int_equal(judge(data, len, f->alice, &s), KILN_OK);
        assert_int_equal(s, KILN_RPM_SIGNED);
}

/* A changed signature header is refused or changes nothing; it never crashes and never signs. */
static void test_changed_signature(void **state)
{
        struct fixture *f = *state;
        enum kiln_rpm_signature s;
        char *data = f->signed_bytes.data;
        size_t len = f->signed_bytes.len;
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *r = open_good(f->dir, "signed.rpm", f->alice);
        size_t refused = 0;

        for (size_t i = 96; i < r->header_offset; i++) {
                data[i] ^= 0x01;
                if (judge(data, len, f->bob, &s) == KILN_OK)
                        assert_int_not_equal(s, KILN_RPM_SIGNED);
                else
                        refused++;
                data[i] ^= 0x01;
        }
        assert_true(refused > 200);
}

static void test_truncated(void **state)
{
        struct fixture *f = *state;
        enum kiln_rpm_signature s;

        for (size_t len = 0; len < f->signed_bytes.len; len += len < 200 ? 1 : 61)
                assert_int_equal(judge(f->signed_bytes.data, len, f->alice, &s), KILN_BAD_INPUT);
}

static void test_appended(void **state)
{
        struct fixture *f = *state;
        enum kiln_rpm_signature s;
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        kiln_buf_append(&b, f->signed_bytes.data, f->signed_bytes.len);
        kiln_buf_putc(&b, 'x');
        assert_int_equal(judge(b.data, b.len, f->alice, &s), KILN_BAD_INPUT);
}

/* Sizes that a file only claims must not be believed. */
static void test_hostile_sizes(void **state)
{
        struct fixture *f = *state;
        enum kiln_rpm_signature s;
        static const unsigned char claims[][4] = {{0xff, 0xff, 0xff, 0xff}, {0x7f, 0xff, 0xff, 0xff},
                {0, 0, 0, 0}, {0, 1, 0, 0}, {0x0f, 0xff, 0xff, 0xff}};
        size_t places[] = {96 + 8, 96 + 12, 96 + 16 + 8, 96 + 16 + 12, 96 + 32 + 8, 96 + 32 + 12};

        for (size_t p = 0; p < KILN_ARRAY_SIZE(places); p++)
                for (size_t c = 0; c < KILN_ARRAY_SIZE(claims); c++) {
                        char kept[4];

                        memcpy(kept, f->signed_bytes.data + places[p], 4);
                        memcpy(f->signed_bytes.data + places[p], claims[c], 4);
                        if (judge(f->signed_bytes.data, f->signed_bytes.len, f->bob, &s) == KILN_OK)
                                assert_int_not_equal(s, KILN_RPM_SIGNED);
                        memcpy(f->signed_bytes.data + places[p], kept, 4);
                }
}

static void test_no_key(void **state)
{
        _cleanup_(kiln_keyring_freep) struct kiln_keyring *k = kiln_keyring_new();
        static const char *const texts[] = {"", "hello", "-----BEGIN PGP PUBLIC KEY BLOCK-----",
                "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n=AAAA\n-----END PGP PUBLIC KEY BLOCK-----\n"};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(texts); i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

                assert_true(kiln_keyring_add(k, texts[i], "text", &err) < 0);
                assert_int_equal(err.verdict, KILN_BAD_INPUT);
        }
        assert_int_equal(kiln_keyring_count(k), 0);
}

/* Several armor blocks in one file are all read. */
static void test_two_keys(void **state)
{
        struct fixture *f = *state;
        _cleanup_(kiln_keyring_freep) struct kiln_keyring *k = NULL;
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *r = NULL;

        rpmmake_run(f->dir, "cat bob.asc alice.asc >both.asc");
        k = keyring_of(f->dir, "both.asc");
        assert_int_equal(kiln_keyring_count(k), 2);
        r = open_good(f->dir, "signed.rpm", k);
        assert_int_equal(r->signature, KILN_RPM_SIGNED);
}

static void test_evr(void **state)
{
        assert_int_equal(kiln_evr_compare("1.0-1", "1.0-1"), 0);
        assert_true(kiln_evr_compare("1:1.0-1", "2.0-1") > 0);
        assert_true(kiln_evr_compare("0:1.0-1", "1.0-1") == 0);
        assert_true(kiln_evr_compare("1.0~rc1-1", "1.0-1") < 0);
        assert_true(kiln_evr_compare("1.0^git1-1", "1.0-1") > 0);
        assert_true(kiln_evr_compare("1.10-1", "1.9-1") > 0);
        assert_true(kiln_evr_compare("1.0-2.fc43", "1.0-10.fc43") < 0);
}

/* Packages of many makers and times. */
static void test_wild(void **state)
{
        enum {
                SIGNED = KILN_RPM_SIGNED,
                UNSIGNED = KILN_RPM_UNSIGNED,
                UNKNOWN = KILN_RPM_UNKNOWN_KEY,
                BAD = 100
        };
        static const struct {
                const char *file, *key;
                int expected;
                const char *says; /* nevra, or part of the cause */
        } table[] = {
                {"rpms/389-ds-base-devel-1.3.8.4-15.el7.x86_64.rpm", "RPM-GPG-KEY-CentOS-7", SIGNED,
                        "389-ds-base-devel-1.3.8.4-15.el7.x86_64"},
                {"rpms/389-ds-base-devel-1.3.8.4-15.el7.x86_64.rpm", "RPM-GPG-KEY-EPEL-7", UNKNOWN,
                        "389-ds-base-devel-1.3.8.4-15.el7.x86_64"},
                {"rpms/epel-release-7-5.noarch.rpm", "RPM-GPG-KEY-CentOS-7", SIGNED,
                        "epel-release-7-5.noarch"},
                {"rpms/dovecot-2.2.9-1.fc20.x86_64.rpm", NULL, UNSIGNED, "dovecot-1:2.2.9-1.fc20.x86_64"},
                {"rpms/signed.rpm", "RPM-GPG-KEY-openSUSE", SIGNED, "kio-stash-lang-1.0-lp151.2.5.noarch"},
                {"rpms/unsigned.rpm", "RPM-GPG-KEY-openSUSE", UNSIGNED, "pkg-test42-0-0.noarch"},
                {"rpms/signed_broken.rpm", "RPM-GPG-KEY-openSUSE", BAD, "appended"},
                {"rpms/signed_broken_header.rpm", "RPM-GPG-KEY-openSUSE", BAD, "appended"},
                {"rpms/hello-2.0-1.x86_64-signed.rpm", "rpm.org-rsa-2048-test.pub", SIGNED,
                        "hello-2.0-1.x86_64"},
                {"rpms/hello-2.0-1.x86_64-corrupted.rpm", "rpm.org-rsa-2048-test.pub", BAD,
                        "digest of the payload is wrong"},
                {"rpms/hello-2.0-1.x86_64-signed-with-subkey.rpm", "rpm.org-rsa-2048-test.pub", UNKNOWN,
                        "hello-2.0-1.x86_64"},
                {"rpms/rpm-basic-ed25519.rpm", "rpm-testkey-v4-ed25519.asc", SIGNED,
                        "rpm-basic-1:2.3.4-5.el9.noarch"},
                {"rpms/rpm-basic-ima.rpm", "rpm-testkey-v4-ed25519.asc", SIGNED,
                        "rpm-basic-1:2.3.4-5.el9.noarch"},
                {"rpms/rpm-basic-v6-multiple-signatures.rpm", NULL, BAD, "package format 6"},
                {"rpms/rpm-basic-mldsa65-ed25519.rpm", NULL, BAD, "package format 6"},
                {"rpms/payload-ufdio.rpm", NULL, UNSIGNED, "payload-test-0.1-w.ufdio.x86_64"},
                {"rpms/payload-lzdio.rpm", NULL, UNSIGNED, "payload-test-0.1-w6.lzdio.x86_64"},
                {"srpms/packagekit-1.1.3-2.mga6.src.rpm", NULL, UNKNOWN, "packagekit-1.1.3-2.mga6.src"},
                {"srpms/crash-trace-command-1.0-4.el6.src.rpm", NULL, UNKNOWN,
                        "crash-trace-command-1.0-4.el6.src"},
                {"srpms/hello-1.0-1.src.rpm", NULL, UNSIGNED, "hello-1.0-1.src"},
                {"srpms/rpm-basic-a-2.3.4-5.el9.src.rpm", NULL, UNSIGNED, "rpm-basic-1:2.3.4-5.el9.src"},
                {"srpms/rpm-basic-b-2.3.4-5.el9.src.rpm", NULL, UNSIGNED, "rpm-basic-1:2.3.4-5.el9.src"},
                {"srpms/rpm-with-patch-1.0-0.src.rpm", NULL, UNSIGNED, "rpm-with-patch-1.0-0.src"},
                {"srpms/rpm-hardlinks-1.0-1.src.rpm", NULL, UNSIGNED, "rpm-hardlinks-1.0-1.src"},
        };
        _cleanup_free_ char *data = rpmmake_data();

        if (!data) {
                print_message("no files of other projects here (KILN_TEST_DATA): skipped, the made ones were "
                              "judged\n");
                skip();
        }
        for (size_t i = 0; i < KILN_ARRAY_SIZE(table); i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                _cleanup_(kiln_keyring_freep) struct kiln_keyring *k = NULL;
                _cleanup_(kiln_rpm_freep) struct kiln_rpm *r = NULL;
                _cleanup_free_ char *keys = kiln_path_join(data, "keys");
                _cleanup_close_ int fd = rpmmake_open(data, table[i].file);
                int x;

                if (table[i].key)
                        k = keyring_of(keys, table[i].key);
                x = kiln_rpm_open(fd, table[i].file, k, &r, &err);
                if (table[i].expected == BAD) {
                        if (x == 0 || err.verdict != KILN_BAD_INPUT || !strstr(err.cause, table[i].says))
                                fail_msg("%s: %s", table[i].file, x == 0 ? "accepted" : err.cause);
                        continue;
                }
                if (x < 0)
                        fail_msg("%s: %s", table[i].file, err.cause);
                if ((int)r->signature != table[i].expected || strcmp(r->nevra, table[i].says) != 0)
                        fail_msg("%s: %s, signature %d", table[i].file, r->nevra, r->signature);
        }
}

/* Only a string is ended by a NUL: the bytes of anything else may be the last ones of the header. */
static void test_value_string(void **state)
{
        static const unsigned char header[] = {0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0,
                4,                                                 /* */
                0, 0, 3, 0xe8, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 1, /* 1000: a string */
                0, 0, 3, 0xe9, 0, 0, 0, 7, 0, 0, 0, 2, 0, 0, 0, 1, /* 1001: a byte */
                0, 0, 3, 0xea, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, /* 1002: an array of one string */
                'a', 0, 'b', 'c'};

        assert_string_equal(kiln_rpm_value_string(header, sizeof(header), 1000), "a");
        assert_null(kiln_rpm_value_string(header, sizeof(header), 1001));
        assert_null(kiln_rpm_value_string(header, sizeof(header), 1002));
        assert_null(kiln_rpm_value_string(header, sizeof(header), 1003));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_facts),
                cmocka_unit_test(test_digests),
                cmocka_unit_test(test_signature),
                cmocka_unit_test(test_changed_bytes),
                cmocka_unit_test(test_changed_signature),
                cmocka_unit_test(test_truncated),
                cmocka_unit_test(test_appended),
                cmocka_unit_test(test_hostile_sizes),
                cmocka_unit_test(test_no_key),
                cmocka_unit_test(test_two_keys),
                cmocka_unit_test(test_evr),
                cmocka_unit_test(test_wild),
                cmocka_unit_test(test_value_string),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
