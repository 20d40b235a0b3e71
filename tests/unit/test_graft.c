/* worker/verify/graft.c: a signature on somebody else's rebuild gives the signed package back, or says why
 * not. */
#include "tests/unit/rpmmake.h"
#include "worker/verify/graft.h"

#include <sys/mman.h>

#define SPEC(text)                                                                                           \
        "Name: made\nVersion: 1\nRelease: 1\nSummary: made by a test\nLicense: MIT\nBuildArch: noarch\n"     \
        "%description\n" text "\n%install\nmkdir -p %{buildroot}/usr/share/made\n"                           \
        "for i in 1 2 3 4; do echo $i $i >%{buildroot}/usr/share/made/$i; done\n%files\n/usr/share/made\n"
#define OPTIONS                                                                                              \
        "--define '_buildhost h' --define 'use_source_date_epoch_as_buildtime 1' "                           \
        "--define 'clamp_mtime_to_source_date_epoch 1'"
#define BINARY "made-1-1.noarch.rpm"

struct fixture {
        char *dir;
        struct kiln_keyring *alice, *nobody;
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
        setenv("SOURCE_DATE_EPOCH", "1736164800", 1);
        rpmmake_key(f->dir, "alice");
        rpmmake_key(f->dir, "bob");
        rpmmake_build(f->dir, SPEC("Another text."), OPTIONS);
        rpmmake_run(f->dir, "mv " BINARY " other.rpm");
        rpmmake_build(f->dir, SPEC("Text."), OPTIONS);
        rpmmake_run(f->dir, "mv " BINARY " plain.rpm; cp plain.rpm signed.rpm; cp plain.rpm bobs.rpm");
        rpmmake_sign(f->dir, "alice", "signed.rpm");
        rpmmake_sign(f->dir, "bob", "bobs.rpm");
        f->alice = keyring_of(f->dir, "alice.asc");
        f->nobody = kiln_keyring_new();
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        kiln_keyring_free(f->alice);
        kiln_keyring_free(f->nobody);
        rpmmake_free(f->dir);
        free(f);
        return 0;
}

static int memory(void)
{
        return memfd_create("graft", MFD_CLOEXEC);
}

static void graft(const struct fixture *f, const char *original, int rebuild, const struct kiln_keyring *k,
        int out, struct kiln_graft *ret)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_close_ int a = rpmmake_open(f->dir, original);

        if (kiln_graft(a, original, rebuild, "the rebuild", k, out, ret, &err) < 0)
                fail_msg("%s: %s", original, err.cause);
}

static void assert_same_bytes(const struct fixture *f, const char *file, int fd)
{
        _cleanup_buf_ struct kiln_buf wanted = KILN_BUF_INIT, got = KILN_BUF_INIT;

        rpmmake_read(f->dir, file, &wanted);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_int_equal(kiln_fd_read(fd, (size_t)64 << 20, &got), 0);
        assert_int_equal(got.len, wanted.len);
        assert_memory_equal(got.data, wanted.data, wanted.len);
}

static void test_identical(void **state)
{
        static const char *const rebuilds[] = {"plain.rpm", "bobs.rpm", "signed.rpm"};
        const struct fixture *f = *state;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(rebuilds); i++) {
                _cleanup_graft_ struct kiln_graft g = {0};
                _cleanup_close_ int rebuild = rpmmake_open(f->dir, rebuilds[i]), out = memory();

                graft(f, "signed.rpm", rebuild, f->alice, out, &g);
                assert_true(g.identical && g.same_header && g.same_payload);
                assert_null(g.reason);
                assert_null(g.rpm_says);
                assert_int_equal(g.signature, KILN_RPM_SIGNED);
                assert_int_equal(strlen(g.signer), 40);
                assert_same_bytes(f, "signed.rpm", out);
        }
}

static void test_unknown_key(void **state)
{
        const struct fixture *f = *state;
        _cleanup_graft_ struct kiln_graft g = {0};
        _cleanup_close_ int rebuild = rpmmake_open(f->dir, "plain.rpm"), out = memory();

        graft(f, "signed.rpm", rebuild, f->nobody, out, &g);
        assert_true(g.identical);
        assert_int_equal(g.signature, KILN_RPM_UNKNOWN_KEY);
        assert_non_null(g.signer);
}

/* Every part of a rebuild counts: the first, a middle and the last byte of its header and of its payload. */
static void test_flipped_bytes(void **state)
{
        const struct fixture *f = *state;
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *rpm = NULL;
        _cleanup_buf_ struct kiln_buf plain = KILN_BUF_INIT;
        _cleanup_close_ int fd = rpmmake_open(f->dir, "plain.rpm");

        assert_int_equal(kiln_rpm_open(fd, "plain.rpm", NULL, &rpm, NULL), 0);
        rpmmake_read(f->dir, "plain.rpm", &plain);
        const struct {
                uint64_t at;
                bool header, payload; /* still the same */
                const char *says;
        } table[] = {
                {rpm->header_offset + 16 + 3, false, true, "the headers differ"},
                {rpm->payload_offset - 1, false, true, "the headers differ"},
                {rpm->payload_offset, true, false, "payloads differ from byte 0 on"},
                {rpm->payload_offset + 40, true, false, "payloads differ from byte 40 on"},
                {plain.len - 1, true, false, "the headers are the same"},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(table); i++) {
                _cleanup_graft_ struct kiln_graft g = {0};
                _cleanup_close_ int rebuild = memory(), out = memory();

                plain.data[table[i].at] ^= 1;
                assert_int_equal(kiln_fd_write(rebuild, plain.data, plain.len), 0);
                plain.data[table[i].at] ^= 1;
                graft(f, "signed.rpm", rebuild, f->alice, out, &g);
                assert_false(g.identical);
                assert_int_equal(g.same_header, table[i].header);
                assert_int_equal(g.same_payload, table[i].payload);
                if (!strstr(g.reason, table[i].says))
                        fail_msg("%s", g.reason);
                assert_non_null(g.rpm_says);
        }
}

static void test_other_lengths(void **state)
{
        const struct fixture *f = *state;
        _cleanup_buf_ struct kiln_buf plain = KILN_BUF_INIT;
        _cleanup_graft_ struct kiln_graft g = {0}, longer = {0};
        _cleanup_close_ int other = rpmmake_open(f->dir, "other.rpm"), out = memory(), rebuild = memory(),
                            out2 = memory();

        graft(f, "signed.rpm", other, f->alice, out, &g);
        assert_false(g.identical || g.same_header);
        assert_non_null(g.rpm_says);

        rpmmake_read(f->dir, "plain.rpm", &plain);
        kiln_buf_putc(&plain, '\0');
        assert_int_equal(kiln_fd_write(rebuild, plain.data, plain.len), 0);
        graft(f, "signed.rpm", rebuild, f->alice, out2, &longer);
        assert_false(longer.identical || longer.same_payload);
        assert_non_null(longer.rpm_says);
}

static void test_refused(void **state)
{
        const struct fixture *f = *state;
        _cleanup_buf_ struct kiln_buf signed_bytes = KILN_BUF_INIT;
        _cleanup_close_ int plain = rpmmake_open(f->dir, "plain.rpm"), damaged = memory(), text = memory(),
                            good = rpmmake_open(f->dir, "signed.rpm");
        struct kiln_graft g;

        rpmmake_read(f->dir, "signed.rpm", &signed_bytes);
        signed_bytes.data[signed_bytes.len - 20] ^= 4;
        assert_int_equal(kiln_fd_write(damaged, signed_bytes.data, signed_bytes.len), 0);
        assert_int_equal(kiln_fd_write(text, "no package", 10), 0);
        const struct {
                int original, rebuild;
                enum kiln_verdict verdict;
                const char *says;
        } table[] = {
                {plain, good, KILN_BAD_INPUT, "not signed"},
                {damaged, plain, KILN_NOT_REPRODUCED, "is wrong"},
                {text, plain, KILN_BAD_INPUT, "too short"},
                {good, text, KILN_BAD_INPUT, "too short"},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(table); i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                _cleanup_close_ int out = memory();

                assert_true(kiln_graft(table[i].original, "original", table[i].rebuild, "rebuild", f->alice,
                                    out, &g, &err) < 0);
                assert_int_equal(err.verdict, table[i].verdict);
                if (!strstr(err.cause, table[i].says))
                        fail_msg("%s", err.cause);
        }
}

/* Packages as distributions signed them: of other rpm versions, with signatures over header and payload. */
static void test_wild(void **state)
{
        static const struct {
                const char *file, *key;
        } table[] = {
                {"rpms/389-ds-base-devel-1.3.8.4-15.el7.x86_64.rpm", "RPM-GPG-KEY-CentOS-7"},
                {"rpms/epel-release-7-5.noarch.rpm", "RPM-GPG-KEY-CentOS-7"},
                {"rpms/signed.rpm", "RPM-GPG-KEY-openSUSE"},
                {"rpms/hello-2.0-1.x86_64-signed.rpm", "rpm.org-rsa-2048-test.pub"},
                {"rpms/rpm-basic-ed25519.rpm", "rpm-testkey-v4-ed25519.asc"},
        };
        _cleanup_free_ char *data = rpmmake_data(), *keys = data ? kiln_path_join(data, "keys") : NULL;
        const struct fixture *f = *state;

        if (!data) {
                print_message("no files of other projects here (KILN_TEST_DATA): skipped\n");
                skip();
        }
        for (size_t i = 0; i < KILN_ARRAY_SIZE(table); i++) {
                _cleanup_(kiln_keyring_freep) struct kiln_keyring *k = keyring_of(keys, table[i].key);
                _cleanup_free_ char *script =
                        kiln_asprintf("cp '%s/%s' wild.rpm; chmod u+w wild.rpm; cp wild.rpm again.rpm", data,
                                table[i].file);
                _cleanup_graft_ struct kiln_graft g = {0}, bobs = {0};
                _cleanup_close_ int out = memory(), out2 = memory(), again = -1, resigned = -1;

                rpmmake_run(f->dir, script);
                again = rpmmake_open(f->dir, "again.rpm");
                graft(f, "wild.rpm", again, k, out, &g);
                assert_true(g.identical && !g.rpm_says && g.signature == KILN_RPM_SIGNED);
                /* Another signer's copy has another signature header, of another size. */
                rpmmake_sign(f->dir, "bob", "again.rpm");
                resigned = rpmmake_open(f->dir, "again.rpm");
                graft(f, "wild.rpm", resigned, k, out2, &bobs);
                if (!bobs.identical || bobs.rpm_says)
                        fail_msg("%s: %s", table[i].file, bobs.reason);
                assert_same_bytes(f, "wild.rpm", out2);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_identical),
                cmocka_unit_test(test_unknown_key),
                cmocka_unit_test(test_flipped_bytes),
                cmocka_unit_test(test_other_lengths),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_wild),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
