/* Policy files: what is said is what is demanded, and nothing unknown is said. */
#include "tests/unit/envelopehelp.h"
#include "tests/unit/tsahelp.h"
#include "worker/base/file.h"
#include "worker/verify/policy.h"

#include <fcntl.h>

#define VKEY "kiln.example/log+dcf4bb0b+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea\n"

struct fixture {
        char dir[32];
};

static int setup(void **state)
{
        struct fixture *f = kiln_calloc(1, sizeof(*f));

        strcpy(f->dir, "/tmp/kiln-test-XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        for (int i = 0; i < 2; i++) {
                _cleanup_free_ char *path = kiln_asprintf("%s/%d.pub", f->dir, i), *pem = NULL;
                EVP_PKEY *key = envelope_key();

                pem = envelope_pem(key);
                assert_int_equal(kiln_file_write(AT_FDCWD, path, pem, strlen(pem), 0644), 0);
                EVP_PKEY_free(key);
        }
        {
                _cleanup_free_ char *path = kiln_path_join(f->dir, "log.vkey");

                assert_int_equal(kiln_file_write(AT_FDCWD, path, VKEY, strlen(VKEY), 0644), 0);
        }
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(kiln_tree_remove(AT_FDCWD, f->dir), 0);
        free(f);
        return 0;
}

#define KEY(n, more) "[[key]]\nname = \"k" n "\"\noperator = \"o\"\nfile = \"" n ".pub\"\n" more "\n"

static void test_all(void **state)
{
        static const char text[] = KEY("0", "builders = [\"urn:x\"]\nvalid-from = \"2026-01-01T00:00:00Z\"\n"
                                            "valid-until = \"2027-01-01T00:00:00Z\"") KEY("1",
                "") "[threshold]\nkeys = 2\noperators = 1\ndissent = \"outvote\"\n"
                    "[require]\nisa = \"v3\"\nprofiles = [\"BUILD\"]\nsandbox = [\"" HEX_A
                    "\"]\ntests = [\"isa\"]\n"
                    "sbom = false\nlogged = true\n[[log]]\nfile = \"log.vkey\"\n[allow]\nresigned = true\n";
        struct fixture *f = *state;
        _cleanup_(kiln_policy_freep) struct kiln_policy *p = NULL;
        struct kiln_digest sha256 = kiln_digest_of(text, strlen(text));

        assert_int_equal(kiln_policy_parse("a/p.toml", text, strlen(text), f->dir, &p, NULL), 0);
        assert_string_equal(p->uri, "p.toml");
        assert_true(kiln_digest_equal(&p->sha256, &sha256));
        assert_int_equal(p->keys.n, 2);
        assert_string_equal(p->owners[0].name, "k0");
        assert_string_equal(p->owners[1].operator_name, "o");
        assert_string_equal(p->owners[0].builders[0], "urn:x");
        assert_null(p->owners[1].builders);
        assert_int_equal(p->owners[0].from_s, 1767225600);
        assert_true(kiln_policy_valid_at(p->owners[0].from_s, p->owners[0].until_s, 1767225600));
        assert_false(kiln_policy_valid_at(p->owners[0].from_s, p->owners[0].until_s, 1767225599));
        assert_false(kiln_policy_valid_at(p->owners[0].from_s, p->owners[0].until_s, 1798761600));
        assert_true(kiln_policy_valid_at(p->owners[1].from_s, p->owners[1].until_s, 0));
        assert_int_equal(p->agree_keys, 2);
        assert_int_equal(p->dissent, KILN_DISSENT_OUTVOTE);
        assert_string_equal(p->isa, "v3");
        assert_true(p->provenance);
        assert_false(p->sbom);
        assert_true(p->logged);
        assert_int_equal(p->n_logs, 1);
        assert_string_equal(p->logs[0]->name, "kiln.example/log");
        assert_true(p->allow.resigned);
        assert_false(p->allow.unsigned_packages);
}

static void test_authorities(void **state)
{
        static const char text[] = "[[time-stamp-authority]]\nname = \"t\"\nfile = \"tsa.pem\"\n"
                                   "valid-from = \"2026-01-01T00:00:00Z\"\n[require]\ntime-stamp = true\n";
        const struct tsa_order order = {.name = "Root", .from_s = 0, .until_s = TSA_DAY_S};
        struct tsa_certificate root = tsa_certificate(&order);
        struct fixture *f = *state;
        _cleanup_(kiln_policy_freep) struct kiln_policy *p = NULL;
        _cleanup_buf_ struct kiln_buf pem = KILN_BUF_INIT;
        _cleanup_free_ char *path = kiln_path_join(f->dir, "tsa.pem");

        tsa_pem(root.cert, &pem);
        assert_int_equal(kiln_file_write(AT_FDCWD, path, pem.data, pem.len, 0644), 0);
        assert_int_equal(kiln_policy_parse("p", text, strlen(text), f->dir, &p, NULL), 0);
        assert_true(p->time_stamp);
        assert_int_equal(p->authorities.n, 1);
        assert_string_equal(p->authorities.list[0].name, "t");
        assert_int_equal(p->authorities.list[0].from_s, 1767225600);
        assert_int_equal(p->authorities.list[0].until_s, 0);
        tsa_certificate_clear(&root);
}

static void test_refused(void **state)
{
        static const char *const cases[] = {
                "[require]\ntime-stamp = true",
                "[[time-stamp-authority]]\nfile = \"0.pub\"",
                "[[time-stamp-authority]]\nname = \"t\"\nfile = \"0.pub\"",
                "[[time-stamp-authority]]\nname = \"t\"\nfile = \"missing.pem\"",
                "[[time-stamp-authority]]\nname = \"t\"\nfile = \"0.pub\"\noperator = \"o\"",
                "x = 1",
                "key = 1",
                "key = [1]",
                "threshold = 1",
                "[[threshold]]",
                "[threshold]\nkeys = 0",
                "[threshold]\nkeys = 65",
                "[threshold]\nkeys = 1\noperators = 2",
                "[threshold]\ndissent = \"maybe\"",
                "[threshold]\nkey = 2",
                "[require]\nisa = \"v5\"",
                "[require]\nisa = 3",
                "[require]\nsandbox = [\"x\"]",
                "[allow]\noverlays = \"yes\"",
                "[allow]\nall = true",
                "[[key]]\nname = \"a\"\nfile = \"0.pub\"",
                "[[key]]\nname = \"a\"\noperator = \"a\"\nfile = \"missing.pub\"",
                "[[key]]\nname = \"a\"\noperator = \"a\"\nfile = \"/dev/null\"",
                KEY("0", "valid-until = \"2026\""),
                KEY("0", "valid-until = 2026-01-01"),
                KEY("0", "") KEY("0", ""),
                "[require]\nlogged = true",
                "[log]\nfile = \"log.vkey\"",
                "[[log]]\nfile = \"0.pub\"",
                "[[log]]\nfile = \"missing\"",
                "[[log]]\nname = \"log.vkey\"",
                "[[package-key]]\nfile = \"0.pub\"",
                "[[package-key]]\nfile = \"0.pub\"\nname = \"a\"",
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                struct kiln_policy *p = NULL;

                if (kiln_policy_parse("p", cases[i], strlen(cases[i]), f->dir, &p, &err) == 0)
                        fail_msg("accepted: %s", cases[i]);
                assert_int_equal(err.verdict, KILN_BAD_INPUT);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_all, setup, teardown),
                cmocka_unit_test_setup_teardown(test_authorities, setup, teardown),
                cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
