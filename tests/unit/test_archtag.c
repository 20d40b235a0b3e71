/* What an arch tag does to a spec, in words. */
#include "worker/build/archtag.h"

#include "worker/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static unsigned conditions(const char *spec, unsigned *first)
{
        *first = 0;
        return arch_tag_conditions(spec, strlen(spec), "x86_64", "x86_64_v3", first);
}

static void test_conditions(void **state)
{
        unsigned first;

        assert_int_equal(
                conditions("Name: x\n%ifarch x86_64\n%endif\n  %ifnarch\taarch64,x86_64", &first), 2);
        assert_int_equal(first, 2);
        assert_int_equal(conditions("\n\n%elifarch %{ix86} x86_64\r\n", &first), 1);
        assert_int_equal(first, 3);
}

static void test_no_conditions(void **state)
{
        unsigned first;

        assert_int_equal(conditions("", &first), 0);
        assert_int_equal(conditions("\n%ifarch", &first), 0);
        assert_int_equal(conditions("%ifarch aarch64\n%ifarch x86_64_v2\n", &first), 0);
        assert_int_equal(conditions("%ifarch x86_64 x86_64_v3\n", &first), 0); /* knows both */
        assert_int_equal(
                conditions("# %ifarch x86_64\necho x86_64\n%if x86_64\n%ifarchx x86_64\n", &first), 0);
        assert_int_equal(first, 0);
}

static void test_bytes(void **state)
{
        static const char spec[] = "\0%ifarch x86_64\n%ifarch \0x86_64\n%ifarch x86_64";
        unsigned first = 0;

        /* a NUL is a character like another, and the text need not end with a newline */
        assert_int_equal(arch_tag_conditions(spec, sizeof(spec) - 1, "x86_64", "x86_64_v3", &first), 1);
        assert_int_equal(first, 3);
        assert_int_equal(arch_tag_conditions(spec, sizeof(spec) - 3, "x86_64", "x86_64_v3", &first), 0);
}

static void test_advice(void **state)
{
        _cleanup_free_ char *sub =
                arch_tag_advice("x86_64_v3", "Invalid configuration 'x86_64_v3-redhat-linux-gnu': machine "
                                             "'x86_64_v3-redhat' not recognized\n");
        _cleanup_free_ char *other = arch_tag_advice("x86_64_v3", "Invalid configuration 'vax-dec'\n");

        assert_non_null(strstr(sub, "config.sub"));
        assert_null(strstr(other, "config.sub"));
        assert_non_null(strstr(other, "--arch-tag"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_conditions),
                cmocka_unit_test(test_no_conditions),
                cmocka_unit_test(test_bytes),
                cmocka_unit_test(test_advice),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
