/* sandbox/observe.c: what a program opens is told, nothing else, as root and as an ordinary user. */
#include "tests/unit/sandbox_fixture.h"

#include "sandbox/observe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <unistd.h>

struct told {
        enum kiln_sandbox_seen what[256];
        char paths[256][128];
        size_t n;
};

/* Once each; of too many, the last. */
static void remember(void *ctx, enum kiln_sandbox_seen what, const char *path)
{
        struct told *t = ctx;

        for (size_t i = 0; i < t->n; i++)
                if (t->what[i] == what && strcmp(t->paths[i], path) == 0)
                        return;
        if (t->n == 256)
                t->n--;
        t->what[t->n] = what;
        snprintf(t->paths[t->n++], sizeof t->paths[0], "%s", path);
}

static bool was(const struct told *t, enum kiln_sandbox_seen what, const char *path)
{
        for (size_t i = 0; i < t->n; i++)
                if (t->what[i] == what && strcmp(t->paths[i], path) == 0)
                        return true;
        return false;
}

static size_t count(const struct told *t, enum kiln_sandbox_seen what)
{
        size_t n = 0;

        for (size_t i = 0; i < t->n; i++)
                n += t->what[i] == what;
        return n;
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
        static const struct kiln_sandbox_watch everywhere = {KILN_WATCH_ROOT, "/"};
        static const char *const writable[] = {"/tmp", NULL};
        struct told told = {0};
        struct kiln_sandbox_result result = {0};
        struct kiln_sandbox_error err = {0};
        struct kiln_sandbox s;
        struct fixture f;

        fixture_make(&f, mode);
        assert_int_equal(kiln_idmap_call(&f.idmap, lower_fill, &f.lower_fd, &err), 0);
        fixture_sandbox(&f, &s);
        s.uid = s.gid = 1000;
        s.writable = writable;
        s.observe = &everywhere;
        s.n_observe = 1;
        s.seen = remember;
        s.seen_ctx = &told;
        s.entry = open_some;
        fixture_run(&s, &result);
        assert_int_equal(result.how, KILN_SANDBOX_EXITED);
        assert_int_equal(result.status, 0);
        assert_false(result.observe_lost);
        assert_true(was(&told, KILN_SEEN_OPENED, "/usr/used"));
        assert_true(was(&told, KILN_SEEN_OPENED, "/usr/lib/deep"));
        assert_int_equal(told.n, 2);
        fixture_remove(&f);
}

static void test_observe(void **state)
{
        enum kiln_id_mode modes[2];
        size_t n = fixture_modes(modes);

        for (size_t i = 0; i < n; i++)
                observe_in(modes[i]);
}

/* ---- a tree that somebody left
 * --------------------------------------------------------------------------------- */

/* Runs in the mapping: what a program before this one wrote. */
static int tree_fill(void *arg)
{
        int fd = *(int *)arg;
        static const char *const files[] = {"tree/used", "tree/unused", "tree/moved", "tree/sub/deep",
                "tree/sub/odd\nname", "tree/closed/secret"};

        umask(0);
        if (mkdirat(fd, "tree", 0777) < 0 || mkdirat(fd, "tree/sub", 0777) < 0 ||
                mkdirat(fd, "tree/closed", 0777) < 0 || mkdirat(fd, "names", 0777) < 0 ||
                symlinkat("/usr", fd, "tree/link") < 0 || symlinkat("used", fd, "tree/alias") < 0)
                return 1;
        for (size_t i = 0; i < SANDBOX_COUNT(files); i++) {
                int f = openat(fd, files[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

                if (f < 0)
                        return 1;
                close(f);
        }
        return fchmodat(fd, "tree/closed", 0, 0); /* no obstacle for who owns the mapping */
}

static int tree_use(void *arg)
{
        int made = open("/tree/made", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

        return made < 0 || open("/tree/alias", O_RDONLY | O_CLOEXEC) < 0 ||
               open("/tree/sub/deep", O_RDONLY | O_CLOEXEC) < 0 || rename("/tree/moved", "/tree/gone") < 0 ||
               open("/names/script", O_WRONLY | O_CREAT | O_CLOEXEC, 0644) < 0 ||
               unlink("/names/script") < 0 || mkdir("/tree/later", 0755) < 0 ||
               open("/tree/later/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0644) < 0;
}

static void tree_in(enum kiln_id_mode mode, int (*fill)(void *arg), int (*use)(void *arg),
        const struct step_hook *hook, struct told *told)
{
        static const struct kiln_sandbox_watch watches[] = {
                {KILN_WATCH_TREE, "/tree"}, {KILN_WATCH_NAMES, "/names"}};
        static const char *const writable[] = {"/tree", "/names", NULL};
        struct kiln_sandbox_result result = {0};
        struct kiln_sandbox_error err = {0};
        struct kiln_sandbox s;
        struct fixture f;

        fixture_make(&f, mode);
        assert_int_equal(kiln_idmap_call(&f.idmap, fill, &f.lower_fd, &err), 0);
        fixture_sandbox(&f, &s);
        s.uid = s.gid = 1000;
        s.writable = writable;
        s.observe = watches;
        s.n_observe = SANDBOX_COUNT(watches);
        s.seen = remember;
        s.seen_ctx = told;
        s.entry = use;
        assert_int_equal(sandbox_run_hooked(&s, hook, &result, &err), 0);
        assert_int_equal(result.how, KILN_SANDBOX_EXITED);
        assert_int_equal(result.status, 0);
        assert_false(result.observe_lost);
        fixture_remove(&f);
}

/* Everything that was there, links aside, and of that what was used; nothing that came later. */
static void test_tree(void **state)
{
        enum kiln_id_mode modes[2];
        size_t n = fixture_modes(modes);

        for (size_t i = 0; i < n; i++) {
                struct told told = {0};

                tree_in(modes[i], tree_fill, tree_use, NULL, &told);
                assert_int_equal(count(&told, KILN_SEEN_THERE), 6);
                assert_true(was(&told, KILN_SEEN_THERE, "/tree/sub/odd\nname"));
                assert_true(was(&told, KILN_SEEN_THERE, "/tree/closed/secret"));
                assert_int_equal(count(&told, KILN_SEEN_CUT), 0);
                assert_true(was(&told, KILN_SEEN_OPENED, "/tree/used"));
                assert_true(was(&told, KILN_SEEN_OPENED, "/tree/moved"));
                assert_true(was(&told, KILN_SEEN_OPENED, "/tree/sub/deep"));
                assert_false(was(&told, KILN_SEEN_OPENED, "/tree/unused"));
                assert_false(was(&told, KILN_SEEN_OPENED, "/tree/later/new"));
                assert_true(was(&told, KILN_SEEN_MADE, "/names/script"));
                assert_true(was(&told, KILN_SEEN_REMOVED, "/names/script"));
                assert_int_equal(count(&told, KILN_SEEN_MADE) + count(&told, KILN_SEEN_REMOVED), 2);
        }
}

/* n directories of that name, one in the other, below fd/tree; a descriptor of the innermost. */
static int nest(int fd, const char *name, int n)
{
        int at;

        umask(0);
        if (mkdirat(fd, "names", 0777) < 0 || mkdirat(fd, "tree", 0777) < 0)
                return -1;
        at = openat(fd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (int i = 0; at >= 0 && i < n; i++) {
                int next = mkdirat(at, name, 0777) < 0 ? -1
                                                       : openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                close(at);
                at = next;
        }
        return at;
}

/* Deeper than is followed. */
static int deep_fill(void *arg)
{
        int at = nest(*(int *)arg, "d", OBSERVE_DEPTH_MAX + 1);

        return at < 0 || close(at) < 0;
}

#define N50 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
#define LONG_NAME N50 N50 N50 N50 /* 200 bytes */

/* Paths longer than the kernel takes, at a depth that is followed. */
static int long_fill(void *arg)
{
        int at = nest(*(int *)arg, LONG_NAME, 21);

        return at < 0 || close(at) < 0;
}

/* More to write down than is. */
static int wordy_fill(void *arg)
{
        int at = nest(*(int *)arg, LONG_NAME, 18);

        if (at < 0)
                return 1;
        for (size_t i = 0; i <= OBSERVE_TREE_BYTES_MAX / (18 * 201); i++) {
                char file[16];

                snprintf(file, sizeof file, "%zu", i);
                if (mknodat(at, file, S_IFREG | 0644, 0) < 0)
                        return 1;
        }
        close(at);
        return 0;
}

static int nothing(void *arg)
{
        return 0;
}

/* The user has no watches left, say. */
static int second_fails(void *ctx, const char *step)
{
        int *n = ctx;

        return strcmp(step, "watch tree") == 0 && ++*n == 2 ? ENOSPC : 0;
}

/* A tree that is more than bearable is no reason to fail, and no reason to believe it was seen whole. */
static void test_tree_cut(void **state)
{
        static int (*const fills[])(void *arg) = {deep_fill, long_fill, wordy_fill, tree_fill};
        enum kiln_id_mode modes[2];
        size_t n = fixture_modes(modes);

        for (size_t i = 0; i < SANDBOX_COUNT(fills); i++) {
                int *calls =
                        mmap(NULL, sizeof *calls, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
                struct step_hook hook = {second_fails, calls};
                struct told told = {0};

                tree_in(modes[n - 1], fills[i], nothing, fills[i] == tree_fill ? &hook : NULL, &told);
                assert_true(was(&told, KILN_SEEN_CUT, "/tree"));
                munmap(calls, sizeof *calls);
        }
}

/* The root's third directory, say. */
static int third_fails(void *ctx, const char *step)
{
        int *n = ctx;

        return strcmp(step, "watch files") == 0 && ++*n == 6 ? ENOSPC : 0;
}

/* What of the root cannot be watched would be called unused: nothing runs. */
static void test_root_is_whole(void **state)
{
        static const struct kiln_sandbox_watch everywhere = {KILN_WATCH_ROOT, "/"};
        static int (*const fills[])(void *arg) = {deep_fill, long_fill, tree_fill};
        static const int errnums[] = {E2BIG, ENAMETOOLONG, ENOSPC};
        int *calls = mmap(NULL, sizeof *calls, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        struct step_hook hook = {third_fails, calls};
        enum kiln_id_mode modes[2];
        size_t n = fixture_modes(modes);

        for (size_t i = 0; i < SANDBOX_COUNT(fills); i++) {
                struct kiln_sandbox_result result = {0};
                struct kiln_sandbox_error err = {0};
                struct told told = {0};
                struct kiln_sandbox s;
                struct fixture f;

                fixture_make(&f, modes[n - 1]);
                assert_int_equal(kiln_idmap_call(&f.idmap, fills[i], &f.lower_fd, &err), 0);
                fixture_sandbox(&f, &s);
                s.uid = s.gid = 1000;
                s.observe = &everywhere;
                s.n_observe = 1;
                s.seen = remember;
                s.seen_ctx = &told;
                s.entry = nothing;
                *calls = 0;
                assert_int_equal(sandbox_run_hooked(&s, fills[i] == tree_fill ? &hook : NULL, &result, &err),
                        -errnums[i]);
                assert_string_equal(err.step, "watch files");
                assert_int_equal(told.n, 0);
                fixture_remove(&f);
        }
        munmap(calls, sizeof *calls);
}

/* ---- the caller's side
 * ----------------------------------------------------------------------------------------- */

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
        static const char *const bad[] = {
                "", "x /usr", "12", "99999999999999999999 /usr", "-1 /usr", "+/usr", "!"};
        struct told told = {0};
        struct kiln_sandbox s = {.seen = remember, .seen_ctx = &told};

        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
                struct observation o = {.fd = -1};
                int fd = list_of(bad[i], strlen(bad[i]) + 1);

                assert_int_equal(observe_take(&o, &s, -1, fd), -EPROTO);
                observe_clear(&o);
                close(fd);
        }
        struct observation o = {.fd = -1};
        static const char text[] = "7 /usr\0"
                                   "3 \0"
                                   "+ /t/f\0"
                                   "! /t";
        int fd = list_of(text, sizeof text);
        assert_int_equal(observe_take(&o, &s, inotify_init1(IN_CLOEXEC | IN_NONBLOCK), fd), 0);
        assert_string_equal(o.paths[7], "/usr");
        assert_string_equal(o.paths[3], "");
        assert_null(o.paths[4]);
        assert_true(was(&told, KILN_SEEN_THERE, "/t/f"));
        assert_true(was(&told, KILN_SEEN_CUT, "/t"));
        observe_clear(&o);

        /* A sparse file: too long to be read, and it need not be. */
        fd = memfd_create("list", MFD_CLOEXEC);
        assert_int_equal(ftruncate(fd, (off_t)OBSERVE_LIST_BYTES_MAX + 1), 0);
        assert_int_equal(observe_take(&o, &s, -1, fd), -EFBIG);
        close(fd);
}

/* A directory whose two files are opened in turn more often than the kernel's queue holds. */
static void test_overflow(void **state)
{
        char dir[] = "/tmp/kiln-observe-XXXXXX", path[64], list[64];
        struct told told = {0};
        struct kiln_sandbox s = {.seen = remember, .seen_ctx = &told};
        struct observation o = {.fd = -1};
        int inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), wd;
        FILE *limit = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
        unsigned max = 0;

        assert_non_null(limit);
        assert_int_equal(fscanf(limit, "%u", &max), 1);
        fclose(limit);
        assert_non_null(mkdtemp(dir));
        wd = inotify_add_watch(inotify_fd, dir, IN_OPEN);
        assert_true(wd >= 0);
        assert_int_equal(observe_take(&o, &s, inotify_fd,
                                 list_of(list, (size_t)snprintf(list, sizeof list, "%d %s", wd, dir) + 1)),
                0);
        for (unsigned i = 0; i <= max; i++) {
                snprintf(path, sizeof path, "%s/%c", dir, 'a' + (int)(i % 2));
                int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
                assert_true(fd >= 0);
                close(fd);
                if (i == 1) { /* so far nothing is lost */
                        while (observe_read(&o, &s))
                                ;
                        assert_false(o.lost);
                }
        }
        for (unsigned i = 0; i < 3; i++) { /* as many as were read above, and one too many */
                snprintf(path, sizeof path, "%s/%c", dir, 'a' + (int)(i % 2));
                close(open(path, O_RDONLY | O_CLOEXEC));
        }
        while (observe_read(&o, &s))
                ;
        assert_true(o.lost);
        assert_int_equal(told.n, 2);
        observe_clear(&o);
        for (int i = 0; i < 2; i++) {
                snprintf(path, sizeof path, "%s/%c", dir, 'a' + i);
                unlink(path);
        }
        rmdir(dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_observe),
                cmocka_unit_test(test_tree),
                cmocka_unit_test(test_tree_cut),
                cmocka_unit_test(test_root_is_whole),
                cmocka_unit_test(test_list),
                cmocka_unit_test(test_overflow),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
