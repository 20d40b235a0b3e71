/* worker/pipeline/calibrate.c: a package that cannot be compared is a line of the table, and the others are
 * compared. */
#include "worker/pipeline/calibrate.h"

#include "worker/base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_uncompared(void **state)
{
        char dir[] = "/tmp/kiln-calibrate-XXXXXX", path[64];
        const struct kiln_context c = {.cancel_fd = -1, .cache_dir = dir};
        struct kiln_calibrated_package packages[] = {
                {.path = path, .name = (char *)"broken.rpm"},
                {.path = (char *)"/nonexistent/absent.rpm", .name = (char *)"broken.rpm"},
                {.path = path, .name = (char *)"other.rpm"},
        };
        static const char *const levels[] = {"BAD_INPUT", "BAD_INPUT", "not rebuilt"};
        struct kiln_calibrated_source s = {.packages = packages, .n_packages = KILN_ARRAY_SIZE(packages)};
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        assert_non_null(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/broken.rpm", dir);
        assert_int_equal(kiln_file_write(AT_FDCWD, path, "no package", 10, 0644), 0);
        assert_int_equal(kiln_calibration_compare(&c, &s, NULL, dir, &err), 0);
        assert_int_equal(err.verdict, KILN_OK);
        for (size_t i = 0; i < s.n_packages; i++) {
                assert_string_equal(packages[i].level, levels[i]);
                assert_false(packages[i].exact);
                free(packages[i].level);
                free(packages[i].difference);
        }
        kiln_tree_remove(AT_FDCWD, dir);
        assert_true(kiln_calibration_compare(&c, &s, NULL, dir, &err) < 0);
        assert_int_equal(err.verdict, KILN_INFRA);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_uncompared),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
