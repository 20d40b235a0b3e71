/* sandbox/observe.c: what a program opens is told, nothing else, as root and as an ordinary user. */
#include "tests/unit/sandbox_fixture.h"

#include "sandbox/observe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <unistd.h>

struct opened {
        char paths[64][128];
        size_t n;
};

static void remember(void *ctx, const char *path)
{
        struct opened *o = ctx;

        for (size_t i = 0; i < o->n; i++)
                if (strcmp(o->paths[i], path) == 0)
                        return;
        if (o->n < 64)
                snprintf(o->paths[o->n++], sizeof o->paths[0], "%s", path);
}

static bool was_opened(const struct opened *o, const char *path)
{
        for (size_t i = 0; i < o->n; i++)
                if (strcmp(o->paths[i], path) == 0)
                        return true;
        return false;
}

/* Runs in the mapping: the lower layer's files. */
static int lower_fill(void *arg)
{
        int fd = *(int *)arg;
        static const char *const files[] = {
                "usr/used", "usr/unused", "usr/looked-at", "usr/lib/deep", "tmp/mine"};

        umask(0);
        if (mkdirat(fd, "usr", 0755) < 0 || mkdirat(fd, "usr/lib", 0755) < 0 ||
                mkdirat(fd, "tmp", 01777) < 0 || symlinkat("usr/lib", fd, "lib") < 0)
                return 1;
        for (size_t i = 0; i < 5; i++) {
                int f = openat(fd, files[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

                if (f < 0)
                        return 1;
                close(f);
        }
        return 0;
}

static int open_some(void *arg)
{
        struct stat st;

        return open("/usr/used", O_RDONLY | O_CLOEXEC) < 0 || open("/lib/deep", O_RDONLY | O_CLOEXEC) < 0 ||
               stat("/usr/looked-at", &st) < 0 || open("/tmp/mine", O_RDONLY | O_CLOEXEC) < 0 ||
               open("/usr/missing", O_RDONLY | O_CLOEXEC) >= 0 || open("/dev/null", O_RDONLY | O_CLOEXEC) < 0;
}

static void observe_in(enum kiln_id_mode mode)
{
        static const char *const everywhere[] = {"/", NULL};
        static const char *const writable[] = {"/tmp", NULL};
        struct opened opened = {0};
        struct kiln_sandbox_result result = {0};
        struct kiln_sandbox_error err = {0};
        struct kiln_sandbox s;
        struct fixture f;

        fixture_make(&f, mode);
        assert_int_equal(kiln_idmap_call(&f.idmap, lower_fill, &f.lower_fd, &err), 0);
        fixture_sandbox(&f, &s);
        s.uid = s.gid = 1000;
        s.writable = writable;
        s.observe = everywhere;
        s.opened = remember;
        s.opened_ctx = &opened;
        s.entry = open_some;
        fixture_run(&s, &result);
        assert_int_equal(result.how, KILN_SANDBOX_EXITED);
        assert_int_equal(result.status, 0);
        assert_false(result.observe_lost);
        assert_true(was_opened(&opened, "/usr/used"));
        assert_true(was_opened(&opened, "/usr/lib/deep"));
        assert_int_equal(opened.n, 2);
        fixture_remove(&f);
}

static void test_observe(void **state)
{
        enum kiln_id_mode modes[2];
        size_t n = fixture_modes(modes);

        for (size_t i = 0; i < n; i++)
                observe_in(modes[i]);
}

static int list_of(const char *text, size_t len)
{
        int fd = memfd_create("list", MFD_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, len), (ssize_t)len);
        return fd;
}

/* Lists that PID 1 would never send. */
static void test_list(void **state)
{
        static const char *const bad[] = {"", "x /usr", "12", "99999999999999999999 /usr", "-1 /usr"};

        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
                struct observation o = {.fd = -1};
                int fd = list_of(bad[i], strlen(bad[i]) + 1);

                assert_int_equal(observe_take(&o, -1, fd), -EPROTO);
                observe_clear(&o);
                close(fd);
        }
        struct observation o = {.fd = -1};
        int fd = list_of("7 /usr\0003 ", 10);
        assert_int_equal(observe_take(&o, inotify_init1(IN_CLOEXEC | IN_NONBLOCK), fd), 0);
        assert_string_equal(o.paths[7], "/usr");
        assert_string_equal(o.paths[3], "");
        assert_null(o.paths[4]);
        observe_clear(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_observe),
                cmocka_unit_test(test_list),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
