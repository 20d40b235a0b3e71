/* worker/pipeline/vary-factors.c, vary-compare.c: what counts as varied, and lists of what differs. */
#include "worker/base/mem.h"
#include "worker/pipeline/vary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct vary_factor *factor(const char *name)
{
        for (size_t i = 0; i < vary_n_factors; i++)
                if (strcmp(vary_factors[i].name, name) == 0)
                        return &vary_factors[i];
        fail_msg("no factor %s", name);
        return NULL;
}

static void test_differs(void **state)
{
        static const struct {
                const char *factor, *first, *second;
                bool differs;
        } cases[] = {
                {"cpus", "2 0-1", "1 0", true},
                {"cpus", "2 0-1", "2 0", false}, /* nproc was the same */
                {"cpus", "2 0-1", "1", false},
                {"cpus", "2", "1 0", false},
                {"cpus", "", "1", false},
                {"cpus", "1", "", false},
                {"cpus", NULL, "1", false},
                {"cpus", "1", NULL, false},
                {"pid", "2", "2", false},
                {"pid", "2", "20", true},
                {"pid", "20", "2", true},
                {"clock", "1700000000", "1700000005", false}, /* it only went on */
                {"clock", "1700000000", "1734580601", true},
                {"clock", "1734580601", "1700000000", false},
                {"clock", "1700000000", "soon", false},
                {"clock", "", "", false},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++)
                if (vary_differs(factor(cases[i].factor), cases[i].first, cases[i].second) !=
                        cases[i].differs)
                        fail_msg("case %zu", i);
}

static void test_seen(void **state)
{
        static const char text[] = "clocks 7\nclock 12\nuid\ncpus 2 0-1\nlocale 1 C\x1b[31m\npid 3";
        _cleanup_free_ char *clock = vary_seen(text, "clock"), *cpus = vary_seen(text, "cpus"),
                            *pid = vary_seen(text, "pid"), *locale = vary_seen(text, "locale");

        assert_string_equal(clock, "12");
        assert_string_equal(cpus, "2 0-1");
        assert_string_equal(pid, "3");
        assert_null(strchr(locale, '\x1b'));
        assert_null(vary_seen(text, "uid"));
        assert_null(vary_seen(text, "umask"));
        assert_null(vary_seen("", "clock"));
}

static void test_check(void **state)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        Kiln__V1__BuildRequest q = KILN__V1__BUILD_REQUEST__INIT;
        char *names[] = {(char *)"clock", (char *)"uid", (char *)"zodiac"};

        q.unvaried = names;
        q.n_unvaried = 2;
        assert_int_equal(vary_check(&q, &err), 0);
        q.n_unvaried = 3;
        assert_true(vary_check(&q, &err) < 0);
        assert_int_equal(err.verdict, KILN_BAD_INPUT);
        assert_non_null(strstr(err.cause, "zodiac"));
        kiln_error_clear(&err);
        q.n_unvaried = 0;
        q.varied = names;
        q.n_varied = 2;
        assert_int_equal(vary_check(&q, &err), 0);
        q.n_varied = 3;
        assert_true(vary_check(&q, &err) < 0);
}

/* Each factor is probed for, and what is varied is not what it is held at. */
static void test_table(void **state)
{
        struct kiln_toolchain toolchain = {.cpus = 2};
        struct kiln_build_params params = {.toolchain = &toolchain};
        struct vary_host host = {.params = &params, .started_s = 1700000000, .memory_bytes = 1 << 30};

        for (size_t i = 0; i < vary_n_factors; i++) {
                _cleanup_free_ char *line = kiln_asprintf("%s ", vary_factors[i].name);

                /* The one that nobody inside can see is looked at from outside. */
                if (strcmp(vary_factors[i].name, "outer-ids") != 0)
                        assert_non_null(strstr(vary_probe, line));
                for (host.cpus = 2; host.cpus < 5; host.cpus++) {
                        struct vary_setting held = {.params = params}, varied;

                        if (vary_factors[i].hold)
                                vary_factors[i].hold(&held, &host);
                        varied = held;
                        vary_factors[i].vary(&varied, &host);
                        assert_memory_not_equal(&held, &varied, sizeof(held));
                }
        }
}

static void test_hits(void **state)
{
        struct vary_hits hits = {0};

        vary_hits_add(&hits, "a.rpm", "/f", "digest");
        assert_true(vary_hits_have(&hits, &(struct vary_hit){(char *)"a.rpm", (char *)"/f", (char *)"mode"}));
        assert_false(
                vary_hits_have(&hits, &(struct vary_hit){(char *)"b.rpm", (char *)"/f", (char *)"digest"}));
        assert_false(
                vary_hits_have(&hits, &(struct vary_hit){(char *)"a.rpm", (char *)"/g", (char *)"digest"}));
        for (size_t i = 0; i < VARY_HITS_MAX + 5; i++)
                vary_hits_add(&hits, "a.rpm", "/f", "");
        assert_int_equal(hits.n, VARY_HITS_MAX);
        vary_hits_clear(&hits);
        assert_int_equal(hits.n, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_differs),
                cmocka_unit_test(test_seen),
                cmocka_unit_test(test_check),
                cmocka_unit_test(test_table),
                cmocka_unit_test(test_hits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
