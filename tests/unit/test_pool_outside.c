/* A pool's process: what it is confined to, and what its end, whatever the reason, is for those who asked it.
 * What it answers is test_solve.c's, test_metadata.c's and test_lockfetch.c's. */
#include "tests/unit/repohelp.h"

#include "worker/buildroot/lock.h"
#include "worker/buildroot/pool-inside.h"
#include "worker/buildroot/poolwire.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
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
        assert_int_equal(n, 5); /* /dev/null three times, the socket, a file in memory */
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

#ifdef __SANITIZE_ADDRESS__
        skip(); /* its shadow memory is beyond any limit, and it does not survive running into one */
#endif
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

/* ---- a process that was taken over ---- */

static void (*hostile)(int fd);
static int hostile_cancel_fd = -1;

void __real_pool_inside(
        int fd, pid_t parent, const struct kiln_toolchain *t, const struct metadata *metadata, size_t n);
void __wrap_pool_inside(
        int fd, pid_t parent, const struct kiln_toolchain *t, const struct metadata *metadata, size_t n);

void __wrap_pool_inside(
        int fd, pid_t parent, const struct kiln_toolchain *t, const struct metadata *metadata, size_t n)
{
        if (!hostile)
                __real_pool_inside(fd, parent, t, metadata, n);
        hostile(fd);
        pause();
        _exit(0);
}

/* Opening a pool with it; its end is the test's. */
static void open_hostile(struct fixture *f, void (*with)(int fd), int wanted, const char *because)
{
        _cleanup_target_ struct target t;
        _cleanup_(kiln_pool_freep) struct kiln_pool *p = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        target_init(&t, f, 1, "make");
        repo_write_text(t.dirs[0], PACKAGES);
        hostile = with;
        assert_int_equal(open_pool(f, &t, &p, &err), wanted);
        hostile = NULL;
        assert_non_null(strstr(err.cause, because));
        no_child();
}

static void say_message(int fd, uint32_t kind, uint32_t number, uint32_t len)
{
        const struct pool_message m = {kind, number, len};

        (void)!write(fd, &m, sizeof(m));
}

static void say_nothing_known(int fd)
{
        say_message(fd, POOL_FAILED + 1, 0, 0);
}

static void say_question(int fd)
{
        say_message(fd, POOL_SOLVE, 0, 0);
}

static void ask_repository_of_nobody(int fd)
{
        say_message(fd, POOL_PRIMARY, 1, 0);
}

static void keep_nothing(int fd)
{
        say_message(fd, POOL_KEEP, 0, 0);
}

static void fail_without_strings(int fd)
{
        say_message(fd, POOL_FAILED, KILN_INFRA, 0);
}

static void say_too_much(int fd)
{
        say_message(fd, POOL_ANSWER, 0, UINT32_MAX);
}

static void send_two_descriptors(int fd)
{
        struct pool_message m = {POOL_WARN, 0, 0};
        union {
                char bytes[CMSG_SPACE(2 * sizeof(int))];
                struct cmsghdr align;
        } control = {{0}};
        struct iovec iov = {&m, sizeof(m)};
        struct msghdr msg = {.msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof(control.bytes)};

        control.align = (struct cmsghdr){
                .cmsg_len = CMSG_LEN(2 * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.align), (int[]){fd, fd}, 2 * sizeof(int));
        (void)!sendmsg(fd, &msg, 0);
        say_message(fd, POOL_ANSWER, 0, 0);
}

/* Until nobody takes its questions any more: who answered them waits to be read. The user gives up then. */
static void ask_and_not_read(int fd)
{
        struct pollfd p = {fd, POLLOUT, 0};

        while (poll(&p, 1, 200) > 0)
                say_message(fd, POOL_CACHED, 0, 0);
        (void)!write(hostile_cancel_fd, "x", 1);
}

static void test_nonsense(void **state)
{
        static void (*const all[])(int) = {say_nothing_known, say_question, ask_repository_of_nobody,
                keep_nothing, fail_without_strings, say_too_much, send_two_descriptors};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(all); i++)
                open_hostile(*state, all[i], -EPROTO, "makes no sense");
}

static pid_t victim;

/* Says nonsense when it can do what it should not. */
static void try_what_is_refused(int fd)
{
        struct stat st;
        bool good = pool_confine(&fd, getppid()) == 0;

        good = good && syscall(SYS_tgkill, victim, victim, 0) < 0 && errno == EPERM;
        good = good && syscall(SYS_tgkill, getpid(), getpid(), 0) == 0;
        good = good && fcntl(fd, F_SETOWN, victim) < 0 && errno == EPERM;
        good = good && fcntl(fd, F_SETSIG, SIGKILL) < 0 && errno == EPERM;
        good = good && fcntl(fd, F_SETFL, O_ASYNC) < 0 && errno == EPERM;
        for (int i = 0; i < 3; i++) /* /dev/null */
                good = good && fstat(i, &st) == 0 && st.st_rdev == makedev(1, 3);
        good = good && memfd_create("more", 0) < 0 && errno == EPERM;
        good = good && ftruncate(fd + 1, 1 << 20) == 0;
        good = good && ftruncate(fd + 1, ((off_t)1 << 30) + 1) < 0 && errno == EFBIG;
        say_message(fd, good ? POOL_ANSWER : POOL_FAILED + 1, 0, 0);
}

static void test_refused(void **state)
{
        struct fixture *f = *state;
        _cleanup_target_ struct target t;
        _cleanup_(kiln_pool_freep) struct kiln_pool *p = NULL;

        target_init(&t, f, 1, "make");
        repo_write_text(t.dirs[0], PACKAGES);
        victim = getpid();
        hostile = try_what_is_refused;
        assert_int_equal(open_pool(f, &t, &p, NULL), 0);
        hostile = NULL;
}

static void test_not_reading(void **state)
{
        struct fixture *f = *state;
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        f->context.cancel_fd = fds[0];
        hostile_cancel_fd = fds[1];
        open_hostile(f, ask_and_not_read, -ECANCELED, "cancelled");
        f->context.cancel_fd = -1;
        close(fds[0]);
        close(fds[1]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(test_confined),
                T(test_killed),
                T(test_cancelled),
                T(test_memory),
                T(test_nonsense),
                T(test_refused),
                T(test_not_reading),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
