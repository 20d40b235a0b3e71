/* A pool's process: what it is confined to, and what its end, whatever the reason, is for those who asked it.
 * What it answers is test_solve.c's, test_metadata.c's and test_lockfetch.c's. */
#include "tests/unit/repohelp.h"

#include "worker/buildroot/lock.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define PACKAGES "=Pkg: rpm 4.20-1 x86_64\n=Pkg: make 4.4-1 x86_64\n=Pkg: foo 1-1 x86_64\n"

static int open_pool(struct fixture *f, struct target *t, struct kiln_pool **p, struct kiln_error *err)
{
        return kiln_pool_open(&f->context, f->store, &t->toolchain, p, err);
}

static int solve(struct kiln_pool *p, struct kiln_error *err)
{
        static const char *const requires[] = {"foo", NULL};
        const struct kiln_solve q = {.requires = requires, .wanted_by = "hello-1-1"};
        _cleanup_(kiln_lock_freep) struct kiln_lock *lock = NULL;

        kiln_error_clear(err);
        return kiln_pool_solve(p, &q, &lock, err);
}

/* The one child of this process. */
static pid_t child(void)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        char path[64];

        snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
        assert_int_equal(kiln_file_read(AT_FDCWD, path, 4096, &text), 0);
        assert_true(text.len > 0);
        return (pid_t)atoi(kiln_buf_str(&text));
}

static void no_child(void)
{
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

static void test_confined(void **state)
{
        struct fixture *f = *state;
        _cleanup_target_ struct target t;
        _cleanup_(kiln_pool_freep) struct kiln_pool *p = NULL;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        _cleanup_free_ char *status = NULL, *fds = NULL;
        struct rlimit memory;
        size_t n = 0;
        DIR *dir;

        target_init(&t, f, 1, "make");
        repo_write_text(t.dirs[0], PACKAGES);
        assert_int_equal(open_pool(f, &t, &p, NULL), 0);
        status = kiln_asprintf("/proc/%d/status", (int)child());
        assert_int_equal(kiln_file_read(AT_FDCWD, status, 1 << 16, &text), 0);
        assert_non_null(strstr(kiln_buf_str(&text), "\nSeccomp:\t2\n"));
        assert_non_null(strstr(kiln_buf_str(&text), "\nNoNewPrivs:\t1\n"));
        fds = kiln_asprintf("/proc/%d/fd", (int)child());
        dir = opendir(fds);
        assert_non_null(dir);
        for (struct dirent *e; (e = readdir(dir));)
                n += e->d_name[0] != '.';
        closedir(dir);
        assert_int_equal(n, 4); /* the standard ones and the socket */
        assert_int_equal(prlimit(child(), RLIMIT_AS, NULL, &memory), 0);
        assert_true(memory.rlim_cur != RLIM_INFINITY && memory.rlim_max == memory.rlim_cur);
        kiln_pool_free(TAKE_PTR(p));
        no_child();
}

static void test_killed(void **state)
{
        struct fixture *f = *state;
        _cleanup_target_ struct target t;
        _cleanup_(kiln_pool_freep) struct kiln_pool *p = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        target_init(&t, f, 1, "make");
        repo_write_text(t.dirs[0], PACKAGES);
        assert_int_equal(open_pool(f, &t, &p, &err), 0);
        assert_int_equal(solve(p, &err), 0);
        kill(child(), SIGTRAP); /* one that no sanitizer catches */
        assert_true(solve(p, &err) < 0);
        assert_int_equal(err.verdict, KILN_INFRA);
        assert_non_null(strstr(err.cause, "ended by signal 5"));
        assert_non_null(strstr(err.advice, "metadata"));
        no_child();
        assert_true(solve(p, &err) < 0);
        assert_non_null(strstr(err.cause, "ended before"));
}

static void test_cancelled(void **state)
{
        struct fixture *f = *state;
        _cleanup_target_ struct target t;
        _cleanup_(kiln_pool_freep) struct kiln_pool *p = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        int fds[2];

        target_init(&t, f, 1, "make");
        repo_write_text(t.dirs[0], PACKAGES);
        assert_int_equal(open_pool(f, &t, &p, &err), 0);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(write(fds[1], "x", 1), 1);
        f->context.cancel_fd = fds[0];
        kill(child(), SIGSTOP); /* it does not get to an answer */
        assert_int_equal(solve(p, &err), -ECANCELED);
        assert_int_equal(err.verdict, KILN_CANCELLED);
        no_child();
        f->context.cancel_fd = -1;
        close(fds[0]);
        close(fds[1]);
}

/* Written by a process of its own, so that what this one has mapped is little. */
static void write_large(const char *dir)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                kiln_buf_puts(&text, PACKAGES);
                for (int i = 0; i < 20000; i++)
                        kiln_buf_printf(&text,
                                "=Pkg: p%d 1-1 x86_64\n=Req: rather-long-names-of-no-use-at-all-%d\n=Fil: "
                                "/usr/share/some-directory-%d/some-file\n",
                                i, i, i);
                repo_write_text(dir, kiln_buf_str(&text));
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

/* Metadata that wants more memory than there may be brings down the process that reads it, and no other. */
static void test_memory(void **state)
{
        struct fixture *f = *state;
        _cleanup_target_ struct target t;
        _cleanup_(kiln_pool_freep) struct kiln_pool *p = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_buf_ struct kiln_buf statm = KILN_BUF_INIT;
        struct rlimit before, tight;
        unsigned long pages;

        target_init(&t, f, 1, "make");
        write_large(t.dirs[0]);
        assert_int_equal(kiln_file_read(AT_FDCWD, "/proc/self/statm", 4096, &statm), 0);
        pages = strtoul(kiln_buf_str(&statm), NULL, 10);
        assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
        tight = before;
        tight.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (6 << 20);
        assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
        assert_true(open_pool(f, &t, &p, &err) < 0);
        assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
        assert_int_equal(err.verdict, KILN_INFRA);
        assert_non_null(strstr(err.cause, "its process"));
        no_child();
        assert_int_equal(open_pool(f, &t, &p, &err), 0);
        assert_int_equal(solve(p, &err), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(test_confined),
                T(test_killed),
                T(test_cancelled),
                T(test_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
