/* rpmbuild's command line and environment: complete, in order, the same every time. */
#include "worker/build/command.h"

#include "worker/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct kiln_macro toolchain_macros[] = {
        {(char *)"dist", (char *)".fc43"}, {(char *)"_binary_payload", (char *)"w3.zstdio"}};
static const struct kiln_macro request_macros[] = {{(char *)"dist", (char *)".mine"}};

static struct kiln_toolchain toolchain = {.macros = toolchain_macros, .n_macros = 2, .cpus = 4};

/* The body of the last --define of name: what rpm uses. */
static const char *defined(char **argv, const char *name)
{
        const char *body = NULL;
        size_t n = strlen(name);

        for (; argv[0] && argv[1]; argv++)
                if (strcmp(argv[0], "--define") == 0 && strncmp(argv[1], name, n) == 0 && argv[1][n] == ' ')
                        body = argv[1] + n + 1;
        return body;
}

static void test_order(void **state)
{
        struct kiln_build_params p = {.toolchain = &toolchain,
                .isa = KILN_ISA_V3,
                .arch_tag = "",
                .dist = "",
                .macros = request_macros,
                .n_macros = 1};
        _cleanup_strv_ char **argv = NULL;

        command_options(&p, &argv);
        assert_string_equal(defined(argv, "dist"), ".mine");
        assert_string_equal(defined(argv, "_binary_payload"), "w3.zstdio");
        assert_string_equal(defined(argv, "__cflags_arch_x86_64_level"), "-v3");
        assert_string_equal(defined(argv, "_smp_build_ncpus"), "4");
        assert_string_equal(defined(argv, "_buildhost"), "localhost");
        assert_false(kiln_strv_contains(argv, "--nocheck"));
        assert_false(kiln_strv_contains(argv, "--target"));
}

static void test_options(void **state)
{
        char *with[] = {(char *)"doc", NULL}, *without[] = {(char *)"tests", NULL};
        struct kiln_build_params p = {.toolchain = &toolchain,
                .isa = KILN_ISA_V1,
                .arch_tag = "x86_64_v3",
                .dist = ".x",
                .cpus = 2,
                .skip_check = true,
                .bcond_with = with,
                .bcond_without = without};
        _cleanup_strv_ char **argv = NULL;

        command_options(&p, &argv);
        assert_string_equal(argv[0], "--target");
        assert_string_equal(argv[1], "x86_64_v3");
        assert_string_equal(defined(argv, "_smp_build_ncpus"), "2");
        assert_string_equal(defined(argv, "dist"), ".x");
        assert_true(kiln_strv_contains(argv, "--nocheck"));
        assert_true(kiln_strv_contains(argv, "--with"));
        assert_true(kiln_strv_contains(argv, "--without"));
}

static void test_environment(void **state)
{
        _cleanup_strv_ char **env = NULL, **fixed = NULL, **varied = NULL;
        const struct kiln_build_view plain = {0}, other = {.locale = "POSIX", .timezone = "KILN-13:45"};

        command_environment(&plain, -1, &env);
        assert_true(kiln_strv_contains(env, "LANG=C.UTF-8"));
        assert_true(kiln_strv_contains(env, "TZ=UTC"));
        for (char **e = env; *e; e++)
                assert_int_not_equal(strncmp(*e, "SOURCE_DATE_EPOCH", 17), 0);
        command_environment(&plain, 1700000000, &fixed);
        assert_true(kiln_strv_contains(fixed, "SOURCE_DATE_EPOCH=1700000000"));
        command_environment(&other, -1, &varied);
        assert_true(kiln_strv_contains(varied, "LC_ALL=POSIX"));
        assert_true(kiln_strv_contains(varied, "TZ=KILN-13:45"));
        assert_false(kiln_strv_contains(varied, "TZ=UTC"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_options),
                cmocka_unit_test(test_environment),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
