/* `kiln isa` from argv to exit status and output. */
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/base/process.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char *dir;
static int dir_fd = -1;

/* Runs the built program; "@x" is file x of the directory. Its standard output behind *out. */
static int isa(struct kiln_buf *out, const char *const *args)
{
        struct kiln_context c = {.cancel_fd = -1};
        _cleanup_strv_ char **argv = NULL;

        kiln_strv_append(&argv, KILN_PROGRAM);
        kiln_strv_append(&argv, "isa");
        for (; *args; args++) {
                _cleanup_free_ char *path = kiln_path_join(dir, *args + (**args == '@'));

                kiln_strv_append(&argv, **args == '@' ? path : *args);
        }
        struct kiln_process p = {.argv = (const char *const *)argv, .cwd_fd = dir_fd, .stdin_fd = -1};
        return kiln_process_run(&c, &p, out, NULL);
}
#define ISA(out, ...) isa(out, (const char *const[]){__VA_ARGS__, NULL})

static void test_exit_status(void **state)
{
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;

        assert_int_equal(ISA(&out, "--level", "v3", "@v3.o"), KILN_OK);
        assert_int_equal(ISA(&out, "--level", "v2", "@v3.o"), KILN_BUILD_FAILED);
        assert_int_equal(ISA(&out, "@v3.o"), KILN_OK);
        assert_int_equal(ISA(&out, "@damaged.o"), KILN_BAD_INPUT);
        assert_int_equal(ISA(&out, "@text"), KILN_BAD_INPUT);
        assert_int_equal(ISA(&out, "@missing"), KILN_BAD_INPUT);
        assert_int_equal(ISA(&out, "-l", "v2", "@missing", "@v3.o"), KILN_BUILD_FAILED);
        assert_int_equal(ISA(&out, "--level", "v5", "@v3.o"), KILN_USAGE);
        assert_int_equal(ISA(&out, "--level", "v3"), KILN_USAGE);
        assert_int_equal(ISA(&out, "--host"), KILN_OK);
}

static void test_table(void **state)
{
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;

        assert_int_equal(ISA(&out, "-l", "v1", "@v3.o", "@bad\x1b[31mname.o"), KILN_BUILD_FAILED);
        assert_non_null(strstr(kiln_buf_str(&out), "ABOVE"));
        assert_non_null(strstr(kiln_buf_str(&out), "needs v3"));
        assert_non_null(strstr(kiln_buf_str(&out), "add+0x"));
        assert_null(strchr(kiln_buf_str(&out), '\x1b'));
}

/* A directory is looked at whole; a damaged file in it is no reason to say less about the others. */
static void test_directory(void **state)
{
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;

        assert_int_equal(ISA(&out, "-l", "v3", "@."), KILN_BAD_INPUT);
        assert_non_null(strstr(kiln_buf_str(&out), "/v3.o"));
        assert_non_null(strstr(kiln_buf_str(&out), "UNREADABLE"));
}

static int setup(void **state)
{
        static const char text[] = "float add(float a, float b) { return a * b + a; }\n";
        static const char *const argv[] = {"gcc", "-O2", "-march=x86-64-v3", "-c", "a.c", "-o", "v3.o", NULL};
        struct kiln_context c = {.cancel_fd = -1};
        _cleanup_buf_ struct kiln_buf object = KILN_BUF_INIT;
        char template[] = "/tmp/kiln-test-cli-isa-XXXXXX";

        dir = kiln_strdup(mkdtemp(template) ? template : "/nonexistent");
        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct kiln_process p = {.argv = argv, .cwd_fd = dir_fd, .stdin_fd = -1};
        return dir_fd < 0 || kiln_file_write(dir_fd, "a.c", text, strlen(text), 0644) < 0 ||
               kiln_process_run(&c, &p, NULL, NULL) != 0 ||
               kiln_file_read(dir_fd, "v3.o", 1 << 20, &object) < 0 ||
               kiln_file_write(dir_fd, "damaged.o", object.data, 100, 0644) < 0 ||
               kiln_file_write(dir_fd, "bad\x1b[31mname.o", object.data, object.len, 0644) < 0 ||
               kiln_file_write(dir_fd, "text", text, strlen(text), 0644) < 0;
}

static int teardown(void **state)
{
        close(dir_fd);
        int r = kiln_tree_remove(AT_FDCWD, dir);
        free(dir);
        return r;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_exit_status),
                cmocka_unit_test(test_table),
                cmocka_unit_test(test_directory),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
