/* worker/base/lease.c: who may remove a directory, whatever moment its owner died in. */
#include "worker/base/file.h"
#include "worker/base/lease.h"
#include "worker/base/mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int parent_fd = -1;
static char parent[] = "/tmp/kiln-test-XXXXXX";

static int setup(void **state)
{
        assert_non_null(mkdtemp(parent));
        parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return parent_fd < 0;
}

static int teardown(void **state)
{
        close(parent_fd);
        return kiln_tree_remove(AT_FDCWD, parent);
}

static void test_alive(void **state)
{
        _cleanup_close_ int dir = -1, lease = -1, found = -1;
        _cleanup_free_ char *name = NULL;

        assert_int_equal(kiln_lease_make(parent_fd, "x-", &name, &dir, &lease), 0);
        assert_memory_equal(name, "x-", 2);
        assert_false(kiln_lease_is_dead(parent_fd, name, &found));
        assert_int_equal(found, -1);
        close(TAKE_FD(lease));
        assert_true(kiln_lease_is_dead(parent_fd, name, &found));
        assert_true(found >= 0);
        /* Whoever removes it is its owner now. */
        assert_false(kiln_lease_is_dead(parent_fd, name, &lease));
}

static void test_killed(void **state)
{
        _cleanup_free_ char *name = NULL;
        int fds[2], found = -1;
        char byte;
        pid_t child;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        child = fork();
        if (child == 0) {
                int dir, lease;

                if (kiln_lease_make(parent_fd, "killed", &name, &dir, &lease) == 0 &&
                        write(fds[1], name, strlen(name)) > 0)
                        pause();
                _exit(1);
        }
        name = kiln_calloc(1, 64);
        assert_true(read(fds[0], name, 63) > 0);
        assert_false(kiln_lease_is_dead(parent_fd, name, &found));
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_true(kiln_lease_is_dead(parent_fd, name, &found));
        close(found);
        close(fds[1]);
        assert_int_equal(read(fds[0], &byte, 1), 0);
        close(fds[0]);
}

/* Between the directory, its lease and the lease's lock: dead only when nobody can be in there. */
static void test_between(void **state)
{
        _cleanup_close_ int gate = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC), lease = -1;
        int found = 0;

        assert_int_equal(mkdirat(parent_fd, "between", 0700), 0);
        assert_int_equal(flock(gate, LOCK_SH), 0);
        assert_false(kiln_lease_is_dead(parent_fd, "between", &found));
        assert_int_equal(flock(gate, LOCK_UN), 0);
        assert_true(kiln_lease_is_dead(parent_fd, "between", &found));
        assert_int_equal(found, -1);
        lease = openat(parent_fd, "between/lease", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(lease >= 0);
        assert_int_equal(flock(gate, LOCK_SH), 0);
        assert_false(kiln_lease_is_dead(parent_fd, "between", &found));
        assert_int_equal(found, -1);
        /* Its maker can take it: nobody had it in the meantime. */
        assert_int_equal(flock(lease, LOCK_EX | LOCK_NB), 0);
        close(TAKE_FD(lease));
        assert_int_equal(flock(gate, LOCK_UN), 0);
        assert_true(kiln_lease_is_dead(parent_fd, "between", &found));
        close(found);
        /* And the gate is open again. */
        assert_int_equal(flock(gate, LOCK_EX | LOCK_NB), 0);
}

/* What is no directory of ours is nobody's to remove. */
static void test_links(void **state)
{
        int found = -1;

        assert_int_equal(mkdirat(parent_fd, "odd", 0700), 0);
        assert_int_equal(symlinkat("/etc/passwd", parent_fd, "odd/lease"), 0);
        assert_false(kiln_lease_is_dead(parent_fd, "odd", &found));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_alive),
                cmocka_unit_test(test_killed),
                cmocka_unit_test(test_between),
                cmocka_unit_test(test_links),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
