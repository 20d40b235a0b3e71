/* Real packages: signatures by the repository's keys, what is remembered about them, damage in the store, and
 * whether packages just built would install. */
#include "tests/unit/repohelp.h"
#include "tests/unit/rpmmake.h"

#include "worker/buildroot/facts.h"

#include <errno.h>

static const char spec[] =
        "Name: %s\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n%s\n"
        "%%description\nd\n%%install\nmkdir -p %%{buildroot}/opt\necho %s >%%{buildroot}/opt/%s\n"
        "%%files\n/opt/%s\n";

static void build(const char *dir, const char *name, const char *more)
{
        _cleanup_free_ char *text = kiln_asprintf(spec, name, more, name, name, name);

        rpmmake_build(dir, text, "");
}

static int setup(void **state)
{
        struct fixture *f;
        _cleanup_free_ char *dir = NULL;

        fixture_setup(state);
        f = *state;
        dir = kiln_path_join(f->dir, "one");
        close(kiln_dir_make(AT_FDCWD, dir, 0755));
        build(dir, "rpm", "");
        build(dir, "foo", "Provides: bar = 3");
        rpmmake_run(dir, "rm -f *.src.rpm made.spec; createrepo_c -q .");
        return 0;
}

static int solve(struct fixture *f, struct target *t, struct kiln_lock **ret)
{
        _cleanup_(kiln_pool_freep) struct kiln_pool *p = NULL;
        const char *const requires[] = {"foo", NULL};
        struct kiln_solve q = {.requires = requires, .wanted_by = "x"};
        int r = kiln_pool_open(&f->context, f->store, &t->toolchain, &p, NULL);

        return r < 0 ? r : kiln_pool_solve(p, &q, ret, NULL);
}

static void test_unsigned(void **state)
{
        struct fixture *f = *state;
        _cleanup_(kiln_lock_freep) struct kiln_lock *l = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_target_ struct target t;
        struct kiln_digest first, second;

        target_init(&t, f, 1, "rpm");
        assert_int_equal(solve(f, &t, &l), 0);
        if (kiln_lock_fetch(&f->context, f->store, &t.toolchain, l, &err) < 0)
                fail_msg("%s", kiln_error_format(&err));
        assert_int_equal(l->n_packages, 2);
        assert_string_equal(l->packages[0].nevra, "foo-1-1.noarch");
        assert_string_equal(l->packages[0].signer, "");
        assert_false(kiln_digest_is_zero(&l->packages[0].header_sha256));
        first = kiln_lock_digest(l);
        assert_int_equal(kiln_lock_fetch(&f->context, f->store, &t.toolchain, l, NULL), 0);
        second = kiln_lock_digest(l);
        assert_true(kiln_digest_equal(&first, &second));

        /* The same packages where the definition does not allow unsigned ones: also when facts are known. */
        t.repositories[0].unsigned_packages = false;
        assert_true(kiln_lock_fetch(&f->context, f->store, &t.toolchain, l, &err) < 0);
        assert_int_equal(err.verdict, KILN_INFRA);
        assert_non_null(strstr(err.cause, "it is not signed"));
}

static void test_lock_must_agree(void **state)
{
        struct fixture *f = *state;
        _cleanup_target_ struct target t;

        target_init(&t, f, 1, "rpm");
        for (int change = 0; change < 4; change++) {
                _cleanup_(kiln_lock_freep) struct kiln_lock *l = NULL;
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

                assert_int_equal(solve(f, &t, &l), 0);
                assert_int_equal(kiln_lock_fetch(&f->context, f->store, &t.toolchain, l, NULL), 0);
                if (change == 0)
                        l->packages[0].header_sha256.bytes[3] ^= 1;
                else if (change == 1)
                        l->packages[0].nevra[0] = 'g';
                else if (change == 2) {
                        free(l->packages[0].signer);
                        l->packages[0].signer = kiln_strdup("00ff");
                } else {
                        free(l->repositories[0].id);
                        l->repositories[0].id = kiln_strdup("gone");
                }
                assert_true(kiln_lock_fetch(&f->context, f->store, &t.toolchain, l, &err) < 0);
                assert_int_equal(err.verdict, KILN_BAD_INPUT);
        }
}

static void test_signed(void **state)
{
        struct fixture *f = *state;
        _cleanup_buf_ struct kiln_buf good = KILN_BUF_INIT, evil = KILN_BUF_INIT;
        _cleanup_free_ char *good_path = kiln_path_join(f->dir, "good.asc"),
                            *evil_path = kiln_path_join(f->dir, "evil.asc");
        _cleanup_(kiln_lock_freep) struct kiln_lock *l = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_target_ struct target t;
        size_t index = 0;
        struct kiln_key keys[2] = {{.name = (char *)"good"}, {.name = (char *)"evil"}};

        rpmmake_key(f->dir, "good");
        rpmmake_key(f->dir, "evil");
        rpmmake_sign(f->dir, "good", "one/*.rpm");
        rpmmake_run(f->dir, "createrepo_c -q one");
        assert_int_equal(kiln_file_read(AT_FDCWD, good_path, 1 << 20, &good), 0);
        assert_int_equal(kiln_file_read(AT_FDCWD, evil_path, 1 << 20, &evil), 0);
        keys[0].armor = good.data;
        keys[1].armor = evil.data;
        target_init(&t, f, 1, "rpm");
        t.toolchain.keys = keys;
        t.toolchain.n_keys = 2;
        t.repositories[0].keys = &index;
        t.repositories[0].n_keys = 1;
        t.repositories[0].unsigned_packages = false;
        assert_int_equal(solve(f, &t, &l), 0);
        if (kiln_lock_fetch(&f->context, f->store, &t.toolchain, l, &err) < 0)
                fail_msg("%s", kiln_error_format(&err));
        assert_int_equal(strlen(l->packages[0].signer), 40);
        /* Facts hold for the keys they were found under only. */
        index = 1;
        assert_true(kiln_lock_fetch(&f->context, f->store, &t.toolchain, l, &err) < 0);
        assert_int_equal(err.verdict, KILN_INFRA);
        assert_non_null(strstr(err.cause, "a key that is not among those"));
        /* Nor does "unsigned packages are fine" cover a signature that cannot be checked. */
        t.repositories[0].unsigned_packages = true;
        assert_true(kiln_lock_fetch(&f->context, f->store, &t.toolchain, l, &err) < 0);
}

static void damage(struct fixture *f, const struct kiln_digest *d, bool same_size)
{
        _cleanup_free_ char *path = stored_path(f, d), *command = NULL;

        command = same_size ? kiln_asprintf("chmod u+w %s && printf X | dd of=%s bs=1 seek=3000 conv=notrunc "
                                            "status=none",
                                      path, path)
                            : kiln_asprintf("chmod u+w %s && truncate -s 100 %s", path, path);
        assert_int_equal(system(command), 0);
}

/* A file that changed on disk is noticed, removed and fetched again. */
static void test_damage_is_repaired(void **state)
{
        struct fixture *f = *state;
        _cleanup_(kiln_lock_freep) struct kiln_lock *l = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_target_ struct target t;

        target_init(&t, f, 1, "rpm");
        assert_int_equal(solve(f, &t, &l), 0);
        assert_int_equal(kiln_lock_fetch(&f->context, f->store, &t.toolchain, l, NULL), 0);
        for (int i = 0; i < 2; i++) {
                _cleanup_close_ int fd = -1;

                damage(f, &l->packages[0].sha256, i == 0);
                if (kiln_lock_fetch(&f->context, f->store, &t.toolchain, l, &err) < 0)
                        fail_msg("%s", kiln_error_format(&err));
                assert_int_equal(kiln_store_find_verified(f->store, &l->packages[0].sha256, &fd), 0);
        }
}

static void test_facts(void **state)
{
        struct fixture *f = *state;
        struct kiln_digest file = {{1}}, keys = {{2}}, other = {{3}};
        struct stat st = {.st_size = 5, .st_ino = 7}, changed = {.st_size = 6, .st_ino = 7};
        struct facts in = {.nevra = (char *)"a-1-1.noarch",
                .header_sha256 = {{4}},
                .signature = KILN_RPM_SIGNED,
                .signer = (char *)"abcd"};
        struct facts out = {0};
        _cleanup_free_ char *command = NULL;

        assert_int_equal(facts_read(&f->context, &file, &keys, &st, &out), 1);
        facts_write(&f->context, &file, &keys, &st, &in);
        assert_int_equal(facts_read(&f->context, &file, &keys, &st, &out), 0);
        assert_string_equal(out.nevra, in.nevra);
        assert_string_equal(out.signer, in.signer);
        assert_int_equal(out.signature, KILN_RPM_SIGNED);
        assert_true(kiln_digest_equal(&out.header_sha256, &in.header_sha256));
        facts_clear(&out);
        assert_int_equal(facts_read(&f->context, &file, &other, &st, &out), 1);
        assert_int_equal(facts_read(&f->context, &other, &keys, &st, &out), 1);
        assert_int_equal(facts_read(&f->context, &file, &keys, &changed, &out), 1);
        command = kiln_asprintf("sed -i s/abcd/abce/ %s/facts/*/*", f->context.cache_dir);
        assert_int_equal(system(command), 0);
        assert_int_equal(facts_read(&f->context, &file, &keys, &st, &out), 1);
        free(command);
        command = kiln_asprintf("truncate -s 70 %s/facts/*/*", f->context.cache_dir);
        assert_int_equal(system(command), 0);
        assert_int_equal(facts_read(&f->context, &file, &keys, &st, &out), 1);
}

static void test_installable(void **state)
{
        struct fixture *f = *state;
        _cleanup_(kiln_pool_freep) struct kiln_pool *p = NULL;
        _cleanup_free_ char *dir = kiln_path_join(f->dir, "built");
        static const char *const names[] = {
                "good-1-1.noarch.rpm", "partner-1-1.noarch.rpm", "bad-1-1.noarch.rpm"};
        _cleanup_target_ struct target t;
        int fds[3];
        char **problems;

        close(kiln_dir_make(AT_FDCWD, dir, 0755));
        build(dir, "good", "Requires: bar >= 2\nRequires: partner = 1-1\nRequires: /opt/foo");
        build(dir, "partner", "Requires: (foo if rpm)");
        build(dir, "bad", "Requires: bar >= 4");
        target_init(&t, f, 1, "rpm");
        assert_int_equal(kiln_pool_open(&f->context, f->store, &t.toolchain, &p, NULL), 0);
        for (int i = 0; i < 3; i++) {
                _cleanup_free_ char *path = kiln_path_join(dir, names[i]);

                fds[i] = open(path, O_RDONLY | O_CLOEXEC);
                assert_true(fds[i] >= 0);
        }
        for (int round = 0; round < 2; round++) { /* nothing of the first round stays in the pool */
                assert_int_equal(kiln_pool_installable(p, fds, names, 3, &problems, NULL), 0);
                assert_int_equal(kiln_strv_length(problems), 1);
                assert_non_null(strstr(problems[0], "bad-1-1.noarch.rpm: nothing provides bar >= 4"));
                assert_non_null(strstr(problems[0], "available: foo-1-1.noarch from one"));
                kiln_strv_free(problems);
        }
        assert_int_equal(kiln_pool_installable(p, fds, names, 1, &problems, NULL), 0);
        assert_int_equal(kiln_strv_length(problems), 1); /* without its partner */
        kiln_strv_free(problems);
        for (int i = 0; i < 3; i++)
                close(fds[i]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(test_unsigned),
                T(test_lock_must_agree),
                T(test_signed),
                T(test_damage_is_repaired),
                T(test_facts),
                T(test_installable),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
