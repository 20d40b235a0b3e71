/* The result directory: all or nothing, result.json last, nothing overwritten. */
#include "worker/pipeline/publish.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char directory[] = "/tmp/kiln-publish-XXXXXX";

static int publish(const char *rpm, const char *log, struct kiln_error *err)
{
        _cleanup_(publication_close) struct publication p = PUBLICATION_INIT;
        int r = publication_open(&p, directory, err);

        if (r == 0)
                r = publication_add(&p, NULL, "a-1-1.x86_64.rpm", 0, rpm, strlen(rpm), err);
        if (r == 0)
                r = publication_add(&p, NULL, "build.log.zst", 0, log, strlen(log), err);
        if (r == 0)
                r = publication_add(&p, NULL, "result.json", 0, log, strlen(log), err);
        return r < 0 ? r : publication_commit(&p, err);
}

static unsigned count_files(void)
{
        DIR *d = opendir(directory);
        unsigned n = 0;

        assert_non_null(d);
        for (struct dirent *de; (de = readdir(d));)
                n += strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0;
        closedir(d);
        return n;
}

static void assert_content(const char *name, const char *wanted)
{
        _cleanup_free_ char *path = kiln_path_join(directory, name);
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        assert_int_equal(kiln_file_read(AT_FDCWD, path, 1000, &b), 0);
        assert_string_equal(kiln_buf_str(&b), wanted);
}

static void test_publish(void **state)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        assert_int_equal(publish("package", "first", &err), 0);
        assert_int_equal(count_files(), 3);
        /* the same package again: logs may differ */
        assert_int_equal(publish("package", "second", &err), 0);
        assert_content("build.log.zst", "second");
        assert_int_equal(count_files(), 3);
}

static void test_conflict(void **state)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        assert_true(publish("another package", "third", &err) < 0);
        assert_int_equal(err.verdict, KILN_REFUSED);
        assert_content("a-1-1.x86_64.rpm", "package");
        assert_content("build.log.zst", "second");
        assert_content("result.json", "second");
        assert_int_equal(count_files(), 3);
}

static int setup(void **state)
{
        return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state)
{
        return kiln_tree_remove(AT_FDCWD, directory);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_publish),
                cmocka_unit_test(test_conflict),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
