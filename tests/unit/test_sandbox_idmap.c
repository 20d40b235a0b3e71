/* sandbox/idmap.c and tree.c: ranges are read strictly, host root is never mapped, trees go whatever they
 * hold. */
#include "sandbox/idmap.h"
#include "sandbox/tree.h"
#include "tests/unit/sandbox_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void subuid_write(char path[64], const char *text)
{
        snprintf(path, 64, "/tmp/kiln-subuid-XXXXXX");
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        close(fd);
}

static void test_ranges(void **state)
{
        static const struct {
                const char *text;
                int result;
                uint32_t first;
        } cases[] = {
                {"joe:100000:65536\n", 0, 100000},
                {"1234:200000:65536\n", 0, 200000},
                {"other:1:65536\njoe:300000:65535\n", 0, 300000},
                {"joe:400000:1000\njoe:500000:70000", 0, 500000},
                {"joe:100000:65534\n", -ENOENT, 0},     /* too few */
                {"joe:0:100000\n", -ENOENT, 0},         /* the host's root */
                {"joe:4294901760:65536\n", -ENOENT, 0}, /* past the last id */
                {"joe:99999999999999999999:65536\n", -ENOENT, 0},
                {"joe:100000:65536x\n", -ENOENT, 0},
                {"joe:-1:65536\n", -ENOENT, 0},
                {"joe:100000\n", -ENOENT, 0},
                {"joey:100000:65536\njo:1:99999\n12345:7:99999\n", -ENOENT, 0},
                {"", -ENOENT, 0},
        };
        uint32_t first = 77;
        char path[64];

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                subuid_write(path, cases[i].text);
                first = 77;
                int r = idmap_range_find(path, "joe", 1234, 65535, &first);
                if (r != cases[i].result || (r == 0 && first != cases[i].first) || (r < 0 && first != 77))
                        fail_msg("%s: %d, %u", cases[i].text, r, first);
                unlink(path);
        }
        assert_int_equal(idmap_range_find("/no/such/file", "joe", 1234, 65535, &first), -ENOENT);
}

static void test_outer(void **state)
{
        const struct kiln_idmap root = {KILN_ID_RANGE, 5000000, 5000000, 65536, 5000000, 5000000};
        const struct kiln_idmap user = {KILN_ID_RANGE, 100000, 200000, 65536, 1234, 4321};
        const struct kiln_idmap single = {KILN_ID_SINGLE, 1234, 4321, 1, 1234, 4321};
        uid_t u;
        gid_t g;

        assert_int_equal(idmap_outer(&root, 0, 1000, &u, &g), 0);
        assert_true(u == 5000000 && g == 5001000);
        assert_int_equal(idmap_outer(&user, 0, 0, &u, &g), 0);
        assert_true(u == 1234 && g == 4321);
        assert_int_equal(idmap_outer(&user, 1, 1000, &u, &g), 0);
        assert_true(u == 100000 && g == 200999);
        assert_int_equal(idmap_outer(&user, 65536, 0, &u, &g), -ERANGE);
        assert_int_equal(idmap_outer(&single, 1000, 1000, &u, &g), 0);
        assert_true(u == 1234 && g == 4321);
}

static int who(void *arg)
{
        return getuid() == 0 && geteuid() == 0 && getgid() == 0 ? 42 : 1;
}

static int dies(void *arg)
{
        abort();
}

static void test_call(void **state)
{
        enum kiln_id_mode modes[2];
        size_t n = fixture_modes(modes);

        for (size_t i = 0; i < n; i++) {
                struct kiln_sandbox_error err = {0};
                struct kiln_idmap map;

                assert_int_equal(kiln_idmap_find(modes[i], &map, &err), 0);
                assert_int_equal(map.mode, modes[i]);
                assert_true(map.outer_uid != 0 && map.owner_uid != 0);
                assert_int_equal(kiln_idmap_call(&map, who, NULL, &err), 42);
                assert_int_equal(kiln_idmap_call(&map, dies, NULL, &err), -EIO);
                map.outer_uid = map.owner_uid = 0;
                assert_true(kiln_idmap_call(&map, who, NULL, &err) < 0);
        }
}

/* Root has other ids to give, and an ordinary user has not. */
static void test_other(void **state)
{
        enum kiln_id_mode modes[2];
        size_t n = fixture_modes(modes);

        for (size_t i = 0; i < n; i++) {
                struct kiln_sandbox_error err = {0};
                struct kiln_idmap map, other;
                int r;

                assert_int_equal(kiln_idmap_find(modes[i], &map, &err), 0);
                r = kiln_idmap_find_other(modes[i], &map, &other, &err);
                if (r < 0) {
                        assert_int_equal(r, -ENOENT);
                        continue;
                }
                assert_int_equal(geteuid(), 0);
                assert_int_equal(other.mode, modes[i]);
                assert_int_equal(other.count, map.count);
                assert_true(
                        other.outer_uid + 65536 <= map.outer_uid || map.outer_uid + 65536 <= other.outer_uid);
                assert_true(
                        other.outer_gid + 65536 <= map.outer_gid || map.outer_gid + 65536 <= other.outer_gid);
                assert_int_equal(kiln_idmap_call(&other, who, NULL, &err), 42);
        }
}

#define DEPTH 6000 /* far more than PATH_MAX, and than any descriptor limit allows to hold open */

/* Inside the mapping: directories nobody may enter, of other owners, nested without end, links, odd names. */
static int wild_tree(void *arg)
{
        int top = *(int *)arg, fd = dup(top), next;

        for (int i = 0; i < DEPTH; i++) {
                if (mkdirat(fd, "d", 0755) < 0 || mkdirat(fd, "sibling", 0) < 0)
                        return 1;
                next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                close(fd);
                if (next < 0)
                        return 2;
                fd = next;
        }
        close(fd);
        if (mkdirat(top, "closed", 0755) < 0 || mkdirat(top, "closed/in", 0755) < 0 ||
                mkdirat(top, "closed/in/deeper", 0) < 0 || fchmodat(top, "closed/in", 0, 0) < 0 ||
                fchmodat(top, "closed", 0, 0) < 0)
                return 3;
        if (symlinkat("/", top, "root") < 0 || symlinkat("../..", top, "up") < 0 ||
                symlinkat("no", top, "dead") < 0)
                return 4;
        if (mkdirat(top, ".kiln-lifted-0", 0755) < 0 || mkdirat(top, ".kiln-lifted-0/x", 0755) < 0 ||
                mkdirat(top, "a\nb\xff", 0755) < 0 || mkdirat(top, "a\nb\xff/ ", 0755) < 0)
                return 5;
        /* a single id has no others to give to */
        if (fchownat(top, "a\nb\xff", 33, 44, 0) < 0 && errno != EINVAL)
                return 6;
        if (fchownat(top, "closed", 7, 7, 0) < 0 && errno != EINVAL)
                return 7;
        return 0;
}

static void test_rmtree(void **state)
{
        enum kiln_id_mode modes[2];
        size_t n = fixture_modes(modes);

        for (size_t i = 0; i < n; i++) {
                struct kiln_sandbox_error err = {0};
                struct fixture f;

                fixture_make(&f, modes[i]);
                int top = kiln_idmap_mkdir(&f.idmap, f.dir_fd, "tree", 0, 0, &err);
                assert_true(top >= 0);
                assert_int_equal(kiln_idmap_call(&f.idmap, wild_tree, &top, &err), 0);
                close(top);
                if (kiln_idmap_rmtree(&f.idmap, f.dir_fd, "tree", &err) < 0)
                        fail_msg("%s: %s", err.step, err.message);
                assert_true(faccessat(f.dir_fd, "tree", F_OK, AT_SYMLINK_NOFOLLOW) < 0);
                assert_int_equal(kiln_idmap_rmtree(&f.idmap, f.dir_fd, "tree", &err), 0);
                assert_int_equal(kiln_idmap_rmtree(&f.idmap, f.dir_fd, "..", &err), -EINVAL);
                assert_int_equal(kiln_idmap_rmtree(&f.idmap, f.dir_fd, "a/b", &err), -EINVAL);
                /* a link is removed, not what it leads to */
                assert_int_equal(symlinkat(f.path, f.dir_fd, "link"), 0);
                assert_int_equal(kiln_idmap_rmtree(&f.idmap, f.dir_fd, "link", &err), 0);
                fixture_remove(&f);
        }
}

static void test_mkdir(void **state)
{
        struct kiln_sandbox_error err = {0};
        struct fixture f;
        struct stat st;
        uid_t uid;
        gid_t gid;

        fixture_make(&f, KILN_ID_AUTO);
        int fd = kiln_idmap_mkdir(&f.idmap, f.dir_fd, "mine", 1000, 1000, &err);
        assert_true(fd >= 0);
        assert_int_equal(idmap_outer(&f.idmap, 1000, 1000, &uid, &gid), 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_true(st.st_uid == uid && st.st_gid == gid && (st.st_mode & 07777) == 0755);
        close(fd);
        assert_int_equal(kiln_idmap_mkdir(&f.idmap, f.dir_fd, "mine", 0, 0, &err), -EEXIST);
        assert_int_equal(kiln_idmap_mkdir(&f.idmap, f.dir_fd, "../x", 0, 0, &err), -EINVAL);
        assert_int_equal(kiln_idmap_rmtree(&f.idmap, f.dir_fd, "mine", &err), 0);
        fixture_remove(&f);
}

static void test_size(void **state)
{
        struct fixture f;
        uint64_t before, after;
        char block[100000];

        fixture_make(&f, KILN_ID_SINGLE);
        memset(block, 'x', sizeof block);
        assert_int_equal(tree_size(f.dir_fd, &before), 0);
        int fd = openat(f.dir_fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, block, sizeof block), sizeof block);
        assert_int_equal(fsync(fd), 0); /* delayed allocation: no blocks before */
        close(fd);
        assert_int_equal(symlinkat("/", f.dir_fd, "root"), 0);
        assert_int_equal(tree_size(f.dir_fd, &after), 0);
        assert_true(after - before >= 100000 && after - before < 200000);
        assert_int_equal(unlinkat(f.dir_fd, "file", 0), 0);
        assert_int_equal(unlinkat(f.dir_fd, "root", 0), 0);
        fixture_remove(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ranges),
                cmocka_unit_test(test_outer),
                cmocka_unit_test(test_call),
                cmocka_unit_test(test_other),
                cmocka_unit_test(test_rmtree),
                cmocka_unit_test(test_mkdir),
                cmocka_unit_test(test_size),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
