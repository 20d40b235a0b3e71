/* The store's promises: absent or complete, read-only, damage is found, leases protect, quota is kept. */
#include "tests/unit/storehelp.h"

#include "worker/base/clock.h"
#include "worker/buildroot/store_private.h"

#include <errno.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

static void test_add_and_find(void **state)
{
        struct fixture *f = *state;
        struct kiln_digest want = kiln_digest_of("hello", 5), d = put(f, "hello"), other = {{1}};
        _cleanup_close_ int fd = -1;
        struct stat st;
        char text[8] = "";

        assert_true(kiln_digest_equal(&d, &want));
        assert_int_equal(kiln_store_find(f->store, &d, &fd), 0);
        assert_int_equal(read(fd, text, sizeof(text)), 5);
        assert_string_equal(text, "hello");
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0444);
        assert_int_equal(kiln_store_find(f->store, &other, &fd), KILN_STORE_ABSENT);
}

static void test_add_from_fd(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *path = kiln_path_join(f->dir, "in");
        struct kiln_digest right = kiln_digest_of("abc", 3), wrong = {{9}}, d;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_close_ int fd = -1;

        assert_int_equal(kiln_file_write(AT_FDCWD, path, "abc", 3, 0644), 0);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(kiln_store_add(f->store, fd, "in", &wrong, &d, &err) < 0);
        assert_int_equal(err.verdict, KILN_BAD_INPUT);
        assert_false(is_stored(f, &right));
        assert_int_equal(kiln_store_add(f->store, fd, "in", &right, &d, &err), 0);
        assert_true(is_stored(f, &right));
}

/* A partial is read-only for the last moment before it is renamed: another process must wait for it, and one
 * that a killed process left like that is taken over. Only an ordinary user notices: root opens it all the
 * same. */
static void test_read_only_partial(void **state)
{
        struct fixture *f = *state;
        _cleanup_close_ int other = store_partial_open(f->store, "part"), fd = -1;

        assert_true(other >= 0);
        assert_int_equal(fchmod(other, 0444), 0);
        assert_int_equal(store_partial_open(f->store, "part"), -EWOULDBLOCK);
        kiln_closep(&other);
        fd = store_partial_open(f->store, "part");
        assert_true(fd >= 0);
        assert_int_equal(kiln_fd_write(fd, "x", 1), 0);
}

static void test_empty_file(void **state)
{
        struct fixture *f = *state;
        struct kiln_digest d = put_bytes(f, NULL, 0), again = put_bytes(f, NULL, 0);

        assert_true(kiln_digest_equal(&d, &again));
        assert_true(is_stored(f, &d));
}

static void damage(struct fixture *f, const struct kiln_digest *d, const char *bytes)
{
        _cleanup_free_ char *path = stored_path(f, d);
        _cleanup_close_ int fd = -1;

        assert_int_equal(chmod(path, 0644), 0);
        fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
        assert_int_equal(kiln_fd_write(fd, bytes, strlen(bytes)), 0);
}

static void test_damage_is_found(void **state)
{
        struct fixture *f = *state;
        struct kiln_digest d = put(f, "hello");
        _cleanup_close_ int fd = -1;

        damage(f, &d, "hallo");
        assert_int_equal(kiln_store_find_verified(f->store, &d, &fd), KILN_STORE_ABSENT);
        assert_false(is_stored(f, &d));
        put(f, "hello");
        damage(f, &d, "hell");
        assert_int_equal(store_find_sized(f->store, &d, 5, &fd), KILN_STORE_ABSENT);
        assert_false(is_stored(f, &d));
        put(f, "hello");
        assert_int_equal(kiln_store_find_verified(f->store, &d, &fd), 0);
}

/* Every kill of a writer leaves either nothing or the whole file. */
static int count_files(const struct fixture *f, const char *below)
{
        _cleanup_free_ char *command =
                kiln_asprintf("cd %s/store && find %s -type f | wc -l", f->context.cache_dir, below);
        FILE *p = popen(command, "r");
        int count = -1;

        assert_int_equal(fscanf(p, "%d", &count), 1);
        pclose(p);
        return count;
}

static void touch_file(const struct fixture *f, const char *name, int *ret_fd)
{
        _cleanup_free_ char *path = kiln_asprintf("%s/store/%s", f->context.cache_dir, name);

        *ret_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_true(*ret_fd >= 0);
}

/* What killed processes left goes when the next one comes, but not what lives or can be continued. */
static void test_opening_sweeps(void **state)
{
        struct fixture *f = *state;
        static const char hex[] = "partial/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        struct kiln_store *second;
        int dead, live, partial, busy, named;

        touch_file(f, "lease/dead", &dead);
        touch_file(f, "lease/live", &live);
        touch_file(f, "partial/.add-dead", &partial);
        touch_file(f, "partial/.url-live", &busy);
        touch_file(f, hex, &named);
        assert_int_equal(flock(live, LOCK_SH), 0);
        assert_int_equal(flock(busy, LOCK_EX), 0);
        assert_int_equal(kiln_store_open(&f->context, &second, NULL), 0);
        assert_int_equal(count_files(f, "lease -name dead"), 0);
        assert_int_equal(count_files(f, "lease -name live"), 1);
        assert_int_equal(count_files(f, "partial"), 2);
        assert_int_equal(count_files(f, hex), 1);
        kiln_store_close(second);
        close(dead);
        close(live);
        close(partial);
        close(busy);
        close(named);
}

static void test_kill_while_adding(void **state)
{
        struct fixture *f = *state;
        enum { SIZE = 4 << 20 };
        _cleanup_free_ char *data = kiln_malloc(SIZE);
        int complete = 0;

        for (int round = 0; round < 20; round++) {
                struct kiln_digest d;
                _cleanup_close_ int fd = -1;
                pid_t pid;

                memset(data, 'a' + round, SIZE);
                d = kiln_digest_of(data, SIZE);
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0) {
                        struct kiln_store *s;
                        struct kiln_digest got;

                        if (kiln_store_open(&f->context, &s, NULL) < 0)
                                _exit(1);
                        kiln_store_add_bytes(s, data, SIZE, &got, NULL);
                        _exit(0);
                }
                usleep((useconds_t)round * 700);
                kill(pid, SIGKILL);
                waitpid(pid, NULL, 0);
                if (!is_stored(f, &d))
                        continue;
                complete++;
                assert_int_equal(kiln_store_find_verified(f->store, &d, &fd), 0);
        }
        /* What the killed ones left behind goes with the next collection, their leases too. */
        uint64_t freed;
        assert_int_equal(kiln_store_collect(f->store, UINT64_MAX, &freed, NULL), 0);
        assert_int_equal(count_files(f, "partial lease"), 1); /* our own lease */
        (void)complete;
}

static void test_many_writers_one_file(void **state)
{
        struct fixture *f = *state;
        enum { SIZE = 1 << 20, WRITERS = 6 };
        _cleanup_free_ char *data = kiln_calloc(1, SIZE);
        struct kiln_digest d = kiln_digest_of(data, SIZE);
        _cleanup_close_ int fd = -1;

        for (int i = 0; i < WRITERS; i++) {
                if (fork() == 0) {
                        struct kiln_store *s;
                        struct kiln_digest got;

                        if (kiln_store_open(&f->context, &s, NULL) < 0)
                                _exit(1);
                        _exit(kiln_store_add_bytes(s, data, SIZE, &got, NULL) == 0 ? 0 : 1);
                }
        }
        for (int i = 0; i < WRITERS; i++) {
                int status;

                assert_true(wait(&status) > 0);
                assert_int_equal(status, 0);
        }
        assert_int_equal(kiln_store_find_verified(f->store, &d, &fd), 0);
}

static void test_quota_removes_the_oldest(void **state)
{
        struct fixture *f = *state;
        char block[8192];
        struct kiln_digest d[4];
        struct kiln_store_stat st;
        uint64_t freed = 0;

        for (int i = 0; i < 4; i++) {
                memset(block, 'a' + i, sizeof(block));
                d[i] = put_bytes(f, block, sizeof(block));
                make_old(f, &d[i], 4000 - 1000 * i);
        }
        make_old(f, &d[0], 10); /* the first is used again */
        assert_int_equal(kiln_store_stat(f->store, &st, NULL), 0);
        assert_int_equal(st.files, 4);
        assert_int_equal(kiln_store_collect(f->store, st.bytes / 2, &freed, NULL), 0);
        assert_true(freed >= st.bytes / 2);
        assert_true(is_stored(f, &d[0]));
        assert_false(is_stored(f, &d[1]));
        assert_false(is_stored(f, &d[2]));
        assert_true(is_stored(f, &d[3]));
}

/* Another process that looked a file up keeps it until it ends, however old the file was. */
static void test_lease_protects(void **state)
{
        struct fixture *f = *state;
        struct kiln_digest used = put(f, "used"), unused = put(f, "unused"), got;
        uint64_t freed;
        int to_child[2], from_child[2];
        char c;
        pid_t pid;

        make_old(f, &used, 5000);
        make_old(f, &unused, 10);
        assert_int_equal(pipe2(to_child, O_CLOEXEC), 0);
        assert_int_equal(pipe2(from_child, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0) {
                struct kiln_store *s;
                int fd;

                close(to_child[1]);
                if (kiln_store_open(&f->context, &s, NULL) < 0 || kiln_store_find(s, &used, &fd) != 0 ||
                        kiln_store_add_bytes(s, "new", 3, &got, NULL) < 0)
                        _exit(1);
                close(fd);
                if (write(from_child[1], "x", 1) != 1 || read(to_child[0], &c, 1) != 1)
                        _exit(1);
                _exit(0); /* no close: like a kill */
        }
        assert_int_equal(read(from_child[0], &c, 1), 1);
        got = kiln_digest_of("new", 3);
        assert_int_equal(kiln_store_collect(f->store, 0, &freed, NULL), 0);
        assert_true(is_stored(f, &used));
        assert_true(is_stored(f, &got));
        assert_false(is_stored(f, &unused));
        assert_int_equal(write(to_child[1], "x", 1), 1);
        waitpid(pid, NULL, 0);
        assert_int_equal(kiln_store_collect(f->store, 0, &freed, NULL), 0);
        assert_false(is_stored(f, &used));
        assert_false(is_stored(f, &got));
        for (int i = 0; i < 2; i++) {
                close(to_child[i]);
                close(from_child[i]);
        }
}

static void test_cache_deleted_underneath(void **state)
{
        struct fixture *f = *state;
        struct kiln_digest d = put(f, "hello");
        _cleanup_close_ int fd = -1;

        assert_int_equal(kiln_tree_remove(AT_FDCWD, f->context.cache_dir), 0);
        assert_int_equal(kiln_store_find(f->store, &d, &fd), KILN_STORE_ABSENT);
        kiln_store_close(f->store);
        fixture_open(f);
        put(f, "hello");
        assert_true(is_stored(f, &d));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_add_and_find, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_add_from_fd, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_read_only_partial, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_empty_file, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_damage_is_found, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_opening_sweeps, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_kill_while_adding, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_many_writers_one_file, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(
                        test_quota_removes_the_oldest, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_lease_protects, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(
                        test_cache_deleted_underneath, fixture_setup, fixture_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
