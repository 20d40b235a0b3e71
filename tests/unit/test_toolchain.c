/* Toolchain definitions: what comes with Kiln is sound, wrong ones are refused with a reason, the digest is
 * over what matters and nothing else, and the choice without -t follows its rules. */
#include "toolchains/toolchain.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/base/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEAD "name = \"t\"\nvendor = \"v\"\ndist = \".t\"\narch = \"x86_64\"\ncore = [\"bash\"]\n"
#define REPO "[[repository]]\nid = \"r\"\nbase-urls = [\"http://h/\"]\nunsigned-packages = true\n"

struct fixture {
        char *dir;
        struct kiln_context c;
};

static int setup(void **state)
{
        struct fixture *f = kiln_calloc(1, sizeof(*f));
        _cleanup_free_ char *name = NULL;
        int fd = kiln_dir_make_temp(AT_FDCWD, "test-toolchain-", &name);

        assert_true(fd >= 0);
        close(fd);
        f->dir = realpath(name, NULL);
        f->c = (struct kiln_context){.cancel_fd = -1,
                .cache_dir = kiln_path_join(f->dir, "cache"),
                .config_dir = kiln_path_join(f->dir, "config"),
                .data_dir = kiln_strdup(KILN_SOURCE_ROOT "/toolchains")};
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        kiln_tree_remove(AT_FDCWD, f->dir);
        kiln_context_clear(&f->c);
        free(f->dir);
        free(f);
        return 0;
}

static void put(const struct fixture *f, const char *dir, const char *name, const char *text)
{
        _cleanup_free_ char *d = kiln_path_join(f->dir, dir), *p = kiln_path_join(d, name);
        int fd = kiln_dir_make(AT_FDCWD, d, 0755);

        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(kiln_file_write(AT_FDCWD, p, text, strlen(text), 0644), 0);
}

static struct kiln_toolchain *parse_at(const struct fixture *f, const char *path, const char *text)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        struct kiln_toolchain *t = NULL;

        if (kiln_toolchain_parse(&f->c, path, text, strlen(text), &t, &err) < 0)
                fail_msg("%s", err.cause);
        return t;
}

static void shipped_definitions_are_sound(void **state)
{
        const struct fixture *f = *state;
        static const char *const names[] = {"azurelinux-4.0", "fedora-43", "fedora-rawhide"};
        _cleanup_strv_ char **list = NULL;

        assert_int_equal(kiln_toolchain_list(&f->c, &list, NULL), 0);
        assert_int_equal(kiln_strv_length(list), KILN_ARRAY_SIZE(names));
        for (size_t i = 0; i < KILN_ARRAY_SIZE(names); i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                _cleanup_toolchain_ struct kiln_toolchain *t = NULL;

                assert_string_equal(list[i], names[i]);
                assert_int_equal(kiln_toolchain_load(&f->c, names[i], &t, &err), 0);
                assert_string_equal(t->name, names[i]);
                assert_int_equal(t->isa, KILN_ISA_V3);
                for (size_t k = 0; k < t->n_repositories; k++) {
                        assert_true(t->repositories[k].n_keys > 0);
                        assert_false(t->repositories[k].unsigned_packages);
                }
        }
}

static void wrong_definitions_are_refused(void **state)
{
        const struct fixture *f = *state;
        static const struct {
                const char *text, *cause;
        } cases[] = {
                {HEAD, "'repository' is missing"},
                {HEAD "colour = 1\n" REPO, "line 6, column 1: unknown key 'colour'"},
                {HEAD REPO "weight = 1\n", "unknown key 'weight'"},
                {"vendor = \"v\"\n" REPO, "'name' is missing"},
                {HEAD "isa = \"v5\"\n" REPO, "'isa' must be"},
                {HEAD "cpus = 0\n" REPO, "'cpus' must be"},
                {HEAD "dbpath = \"var\"\n" REPO, "absolute path"},
                {HEAD REPO REPO, "used twice"},
                {HEAD "[[repository]]\nid = \"r\"\nunsigned-packages = true\n", "no base-urls"},
                {HEAD "[[repository]]\nid = \"r\"\nbase-urls = [\"http://h/\"]\n", "has no keys"},
                {HEAD REPO "check-repomd = true\n", "needs keys"},
                {HEAD REPO "keys = [\"../../etc/passwd\"]\n", "not a plain file name"},
                {HEAD REPO "keys = [\"nobody-has-this\"]\n", "keys/nobody-has-this"},
                {HEAD REPO "repomd-sha256 = \"12\"\n", "not a SHA-256"},
                {HEAD REPO "priority = -1\n", "'priority'"},
                {HEAD "[[repository]]\nid = \"r\"\nbase-urls = [\"ftp://h/\"]\nunsigned-packages = true\n",
                        "is no http"},
                {HEAD "[[repository]]\nid = \"../r\"\nbase-urls = [\"/h/\"]\nunsigned-packages = true\n",
                        "repository id"},
                {HEAD "macro-files = [\"missing\"]\n" REPO, "macros/missing"},
                {HEAD REPO "[macros]\n\"a b\" = \"x\"\n", "no macro name"},
                {HEAD REPO "[macros]\nabc = 1\n", "must be a string"},
                {HEAD REPO "[inputs]\n\"a.deb\" = \"zz\"\n", "not a SHA-256"},
                {HEAD REPO "[source-date-epoch]\npolicy = \"now\"\n", "'policy' must be"},
                {HEAD REPO "[source-date-epoch]\npolicy = \"fixed\"\n", "'policy' must be"},
                {HEAD REPO "[source-date-epoch]\npolicy = \"fixed\"\nseconds = 4294967296\n",
                        "'policy' must be"},
                {"name = \"../x\"\nvendor = \"v\"\ndist = \"\"\narch = \"x86_64\"\ncore = [\"a\"]\n" REPO,
                        "toolchain's name"},
                {"name = \"x\"\nvendor = \"v\"\ndist = \"\"\narch = \"riscv64\"\ncore = [\"a\"]\n" REPO,
                        "'arch' must be"},
                {"name = \"x\"\nvendor = \"v\"\ndist = \"\"\narch = \"x86_64\"\ncore = []\n" REPO,
                        "'core' is empty"},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                struct kiln_toolchain *t = NULL;

                assert_true(kiln_toolchain_parse(
                                    &f->c, "/x/t.toml", cases[i].text, strlen(cases[i].text), &t, &err) < 0);
                assert_null(t);
                assert_int_equal(err.verdict, KILN_BAD_INPUT);
                if (!strstr(err.cause, cases[i].cause))
                        fail_msg("case %zu: %s", i, err.cause);
        }
}

/* What must change the digest, and what must not. */
static void the_digest_is_over_what_matters(void **state)
{
        const struct fixture *f = *state;
        static const struct {
                const char *text;
                bool same;
        } cases[] = {
                {HEAD REPO, true},
                {"# a comment\n" HEAD "description = \"words\"\n" REPO, true},
                {HEAD "isa = \"v3\"\ncpus = 4\n" REPO, true}, /* the defaults, spelled out */
                {HEAD "isa = \"v2\"\n" REPO, false},
                {HEAD "cpus = 2\n" REPO, false},
                {HEAD "dbpath = \"/var/lib/rpm\"\n" REPO, false},
                {HEAD REPO "priority = 1\n", false},
                {HEAD REPO "excludes = [\"a*\"]\n", false},
                {HEAD REPO "[macros]\nabc = \"1\"\n", false},
                {HEAD REPO "[source-date-epoch]\npolicy = \"fixed\"\nseconds = 1\n", false},
                {HEAD REPO "[inputs]\n\"a\" = "
                           "\"0000000000000000000000000000000000000000000000000000000000000000\"\n",
                        false},
        };
        _cleanup_toolchain_ struct kiln_toolchain *first = parse_at(f, "/x/t.toml", HEAD REPO);

        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                _cleanup_toolchain_ struct kiln_toolchain *t = parse_at(f, "/y/other.toml", cases[i].text);

                if (kiln_digest_equal(&first->digest, &t->digest) != cases[i].same)
                        fail_msg("case %zu", i);
        }
}

/* A repository with a uri is the same wherever it lies, and whoever signed its metadata. */
static void the_digest_is_the_same_on_every_machine(void **state)
{
        const struct fixture *f = *state;
        static const char text[] =
                HEAD "[[repository]]\nid = \"r\"\nuri = \"kiln:x\"\nbase-urls = [\"repo\"]\n"
                     "unsigned-packages = true\nlocal-keys = [\"local.asc\"]\ncheck-repomd = true\n";
        static const char armor[] = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n%s\n";
        _cleanup_toolchain_ struct kiln_toolchain *a = NULL, *b = NULL;
        _cleanup_free_ char *one = kiln_asprintf("%s/one/t.toml", f->dir),
                            *two = kiln_asprintf("%s/two/t.toml", f->dir);
        _cleanup_free_ char *repo = kiln_asprintf("file://%s/one/repo", f->dir);
        char text_one[128], text_two[128];

        snprintf(text_one, sizeof(text_one), armor, "one");
        snprintf(text_two, sizeof(text_two), armor, "two");
        put(f, "one/keys", "local.asc", text_one);
        put(f, "two/keys", "local.asc", text_two);
        a = parse_at(f, one, text);
        b = parse_at(f, two, text);
        assert_string_equal(a->repositories[0].base_urls[0], repo);
        assert_string_equal(a->repositories[0].uri, "kiln:x");
        assert_string_not_equal(a->keys[0].armor, b->keys[0].armor);
        assert_true(kiln_digest_equal(&a->digest, &b->digest));
}

static void names_are_found_in_order(void **state)
{
        const struct fixture *f = *state;
        _cleanup_toolchain_ struct kiln_toolchain *mine = NULL, *generated = NULL, *none = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        put(f, "config/toolchains", "fedora-43.toml", HEAD REPO);
        assert_int_equal(kiln_toolchain_load(&f->c, "fedora-43", &mine, NULL), 0);
        assert_string_equal(mine->name, "t");
        assert_true(kiln_toolchain_load(&f->c, "bootstrap", &none, &err) < 0);
        assert_non_null(strstr(err.advice, "kiln toolchain bootstrap"));
        kiln_error_clear(&err);
        put(f, "cache/bootstrap", "toolchain.toml", HEAD REPO);
        assert_int_equal(kiln_toolchain_load(&f->c, "bootstrap", &generated, NULL), 0);
        assert_true(kiln_toolchain_load(&f->c, "fedora-99", &none, &err) < 0);
        assert_int_equal(err.verdict, KILN_BAD_INPUT);
        assert_non_null(strstr(err.advice, "fedora-rawhide"));
        assert_true(kiln_toolchain_load(&f->c, "..", &none, NULL) < 0);
}

static void the_choice_follows_its_rules(void **state)
{
        struct fixture *f = *state;
        static const struct {
                const char *config, *release, *name, *reason;
        } cases[] = {
                {NULL, "1.fc43", "bootstrap", "does not answer"}, /* offline: no mirror answers */
                {NULL, "1.fc12", "bootstrap", "no definition matches"},
                {NULL, NULL, "bootstrap", "no definition matches"},
                {NULL, "3.local.1", "mine", "carries the dist tag"},
                {NULL, "3.locally", "bootstrap", "no definition matches"},
                {"toolchain = \"fedora-43\"\n", "3.local", "fedora-43", "kiln.toml"},
                {"other = 1\n", "3.local", "mine", "carries the dist tag"},
        };
        _cleanup_free_ char *text = NULL;

        f->c.offline = true;
        put(f, "mirror/repodata", "repomd.xml", "<repomd/>");
        text = kiln_asprintf(HEAD
                "dist-tags = [\"local\"]\n[[repository]]\nid = \"r\"\nunsigned-packages = true\n"
                "base-urls = [\"%s/mirror\"]\n",
                f->dir);
        put(f, "config/toolchains", "mine.toml", text);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *name = NULL, *reason = NULL;

                put(f, "config", "kiln.toml", cases[i].config ? cases[i].config : "");
                assert_int_equal(kiln_toolchain_choose(&f->c, cases[i].release, &name, &reason, NULL), 0);
                if (strcmp(name, cases[i].name) != 0 || !strstr(reason, cases[i].reason))
                        fail_msg("case %zu: %s, %s", i, name, reason);
        }
}

static void a_broken_configuration_is_an_error(void **state)
{
        const struct fixture *f = *state;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        char *name = NULL, *reason = NULL;

        put(f, "config", "kiln.toml", "toolchain = 1\n");
        assert_true(kiln_toolchain_choose(&f->c, NULL, &name, &reason, &err) < 0);
        assert_int_equal(err.verdict, KILN_BAD_INPUT);
        assert_null(name);
}

static void levels_have_names_and_macros(void **state)
{
        static const char *const suffixes[] = {"%{nil}", "-v2", "-v3", "-v4"};

        for (int l = KILN_ISA_V1; l <= KILN_ISA_V4; l++) {
                _cleanup_free_ char *march =
                        kiln_asprintf("x86-64-%s", kiln_isa_level_name((enum kiln_isa_level)l));
                enum kiln_isa_level back;
                struct kiln_macro *macros;
                size_t n;

                assert_int_equal(kiln_isa_level_parse(march, &back), 0);
                assert_int_equal(back, l);
                kiln_isa_level_macros((enum kiln_isa_level)l, &macros, &n);
                assert_string_equal(macros[0].name, "__cflags_arch_x86_64_level");
                assert_string_equal(macros[0].body, suffixes[l - 1]);
                for (size_t i = 0; i < n; i++) {
                        free(macros[i].name);
                        free(macros[i].body);
                }
                free(macros);
        }
        enum kiln_isa_level none;

        assert_int_equal(kiln_isa_level_parse("v5", &none), -EINVAL);
        assert_int_equal(kiln_isa_level_parse("", &none), -EINVAL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(shipped_definitions_are_sound),
                T(wrong_definitions_are_refused),
                T(the_digest_is_over_what_matters),
                T(the_digest_is_the_same_on_every_machine),
                T(names_are_found_in_order),
                T(the_choice_follows_its_rules),
                T(a_broken_configuration_is_an_error),
                T(levels_have_names_and_macros),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
