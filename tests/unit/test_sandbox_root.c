/* sandbox/root.c and mount.c: overlay and plain roots, mounts, who may write where. */
#include "tests/unit/sandbox_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int write_text(const char *path, const char *text)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
                return -errno;
        close(fd);
        return 0;
}

static bool reads_as(const char *path, const char *text)
{
        char have[256] = "";
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return false;
        ssize_t n = read(fd, have, sizeof have - 1);
        close(fd);
        return n >= 0 && strcmp(have, text) == 0;
}

#define EXPECT(e)                                                                                            \
        do {                                                                                                 \
                if (!(e)) {                                                                                  \
                        fprintf(stderr, "line %d: %s (%m)\n", __LINE__, #e);                                 \
                        return 1;                                                                            \
                }                                                                                            \
        } while (0)

/* As the target's rpm does: owners, modes, set-id bits, links, FIFOs. */
static int fill_layer(void *arg)
{
        const bool *single = arg;
        struct stat st;

        EXPECT(getuid() == 0 && geteuid() == 0);
        EXPECT(mkdir("/usr", 0755) == 0 && mkdir("/usr/bin", 0755) == 0 && mkdir("/build", 0755) == 0);
        EXPECT(mkdir("/etc", 0755) == 0 && write_text("/etc/machine-id", "random\n") == 0);
        EXPECT(write_text("/etc/hosts", "1.2.3.4 elsewhere\n") == 0);
        EXPECT(write_text("/usr/bin/tool", "#!\n") == 0);
        EXPECT(chown("/usr/bin/tool", 12, 34) == 0);
        EXPECT(chmod("/usr/bin/tool", 04755) == 0);
        EXPECT(stat("/usr/bin/tool", &st) == 0 && (st.st_mode & 07777) == 04755);
        if (*single)
                EXPECT(st.st_uid == 0 && st.st_gid == 0);
        else
                EXPECT(st.st_uid == 12 && st.st_gid == 34);
        EXPECT(lchown("/usr/bin", 5, 5) == 0 && fchownat(AT_FDCWD, "/usr", 0, 7, 0) == 0);
        EXPECT(mknod("/usr/fifo", S_IFIFO | 0600, 0) == 0 && stat("/usr/fifo", &st) == 0 &&
                S_ISFIFO(st.st_mode));
        EXPECT(mknod("/usr/device", S_IFCHR | 0600, makedev(1, 3)) == 0 && stat("/usr/device", &st) < 0);
        EXPECT(mknodat(AT_FDCWD, "/usr/disk", S_IFBLK | 0600, makedev(8, 0)) == 0 &&
                stat("/usr/disk", &st) < 0);
        EXPECT(symlink("/etc/../../../../../../tmp", "/escape") == 0);
        EXPECT(chown("/build", 1000, 1000) == 0);
        return 0;
}

static const char *const writable[] = {"/build", NULL};

static int use_layer(void *arg)
{
        struct stat st;

        EXPECT(getuid() == 1000 && getgid() == 1000);
        EXPECT(mkdir("/usr/x", 0755) < 0 && errno == EROFS);
        EXPECT(unlink("/usr/bin/tool") < 0 && errno == EROFS);
        EXPECT(open("/dev/x", O_CREAT | O_WRONLY | O_CLOEXEC, 0644) < 0);
        EXPECT(write_text("/build/made", "made\n") == 0);
        EXPECT(stat("/build/made", &st) == 0 && st.st_uid == 1000 && st.st_gid == 1000);
        EXPECT(write_text("/scratch/made", "x") == 0 && write_text("/dev/shm/x", "x") == 0);
        EXPECT(reads_as("/given/file", "given\n") && write_text("/given/file", "no") < 0);
        EXPECT(write_text("/kept/new", "new\n") == 0);
        EXPECT(reads_as("/etc/machine-id", "6b696c6e6b696c6e6b696c6e6b696c6e\n"));
        EXPECT(reads_as("/etc/hosts", "127.0.0.1 box.example box localhost localhost.localdomain\n"
                                      "::1 localhost localhost.localdomain\n"));
        /* the link's target as seen inside, where it was made as a mount point; never the host's /tmp */
        EXPECT(reads_as("/tmp/below/file", "given\n"));
        EXPECT(write_text("/dev/null", "x") == 0 && access("/dev/full", R_OK) == 0 &&
                access("/proc/self", F_OK) == 0);
        return 0;
}

static void test_overlay(void **state)
{
        enum kiln_id_mode modes[2];
        size_t n = fixture_modes(modes);

        for (size_t i = 0; i < n; i++) {
                struct kiln_sandbox_result result;
                struct kiln_sandbox_error err = {0};
                struct kiln_sandbox s;
                struct fixture f;
                bool single = modes[i] == KILN_ID_SINGLE;

                fixture_make(&f, modes[i]);
                /* the layer: a plain root, written by id 0 inside */
                fixture_sandbox(&f, &s);
                s.n_lower_fds = 0;
                s.upper_fd = f.lower_fd;
                s.profile = KILN_PROFILE_INSTALL;
                s.entry = fill_layer;
                s.entry_arg = &single;
                fixture_run(&s, &result);
                if (result.how != KILN_SANDBOX_EXITED || result.status != 0)
                        fail_msg("%s mode: layer: %s", kiln_id_mode_name(modes[i]), f.output);
                assert_int_equal(result.id_mode, modes[i]);

                int given = kiln_idmap_mkdir(&f.idmap, f.dir_fd, "given", 0, 0, &err);
                assert_true(given >= 0);
                int file = openat(given, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
                if (file < 0) /* a range: only root may write to a directory of inner 0 directly */
                        fail_msg("cannot make a file to give");
                assert_int_equal(write(file, "given\n", 6), 6);
                close(file);
                int kept = kiln_idmap_mkdir(&f.idmap, f.dir_fd, "kept", 1000, 1000, &err);
                assert_true(kept >= 0);

                struct kiln_sandbox_mount mounts[] = {
                        {.kind = KILN_MOUNT_BIND_RO, .target = "/given", .source_fd = given},
                        {.kind = KILN_MOUNT_BIND_RW, .target = "/kept", .source_fd = kept},
                        {.kind = KILN_MOUNT_TMPFS,
                                .target = "/scratch",
                                .mode = 0755,
                                .uid = 1000,
                                .gid = 1000,
                                .size_bytes = 1 << 20},
                        {.kind = KILN_MOUNT_TMPFS, .target = "/tmp", .mode = 01777},
                        {.kind = KILN_MOUNT_BIND_RO, .target = "/escape/below", .source_fd = given},
                };
                fixture_sandbox(&f, &s);
                s.uid = s.gid = 1000;
                s.writable = writable;
                s.mounts = mounts;
                s.n_mounts = sizeof mounts / sizeof mounts[0];
                s.hostname = "box";
                s.domain = "example";
                s.entry = use_layer;
                fixture_run(&s, &result);
                if (result.how != KILN_SANDBOX_EXITED || result.status != 0)
                        fail_msg("%s mode: use: %s", kiln_id_mode_name(modes[i]), f.output);
                close(given);
                close(kept);
                assert_int_equal(kiln_idmap_rmtree(&f.idmap, f.dir_fd, "given", &err), 0);
                assert_int_equal(kiln_idmap_rmtree(&f.idmap, f.dir_fd, "kept", &err), 0);
                fixture_remove(&f);
        }
}

/* Deleted files of a lower layer stay deleted for the next sandbox: userxattr. */
static int delete_tool(void *arg)
{
        EXPECT(unlink("/usr/bin/tool") == 0 && access("/usr/bin/tool", F_OK) < 0);
        EXPECT(rename("/etc/hosts", "/etc/moved") == 0);
        return 0;
}

static int tool_is_gone(void *arg)
{
        EXPECT(access("/usr/bin/tool", F_OK) < 0 && access("/etc/hosts", F_OK) < 0);
        EXPECT(reads_as("/etc/moved", "1.2.3.4 elsewhere\n"));
        EXPECT(write_text("/new", "x") < 0 && errno == EROFS);
        return 0;
}

static void test_whiteouts(void **state)
{
        struct kiln_sandbox_result result;
        struct kiln_sandbox s;
        struct fixture f;
        bool single;

        fixture_make(&f, KILN_ID_AUTO);
        single = f.idmap.mode == KILN_ID_SINGLE;
        fixture_sandbox(&f, &s);
        s.n_lower_fds = 0;
        s.upper_fd = f.lower_fd;
        s.profile = KILN_PROFILE_INSTALL;
        s.entry = fill_layer;
        s.entry_arg = &single;
        fixture_run(&s, &result);
        assert_int_equal(result.status, 0);

        fixture_sandbox(&f, &s);
        s.profile = KILN_PROFILE_INSTALL;
        s.entry = delete_tool;
        fixture_run(&s, &result);
        if (result.how != KILN_SANDBOX_EXITED || result.status != 0)
                fail_msg("%s", f.output);

        int lowers[] = {f.upper_fd, f.lower_fd};
        fixture_sandbox(&f, &s);
        s.lower_fds = lowers;
        s.n_lower_fds = 2;
        s.upper_fd = -1;
        s.entry = tool_is_gone;
        fixture_run(&s, &result);
        if (result.how != KILN_SANDBOX_EXITED || result.status != 0)
                fail_msg("%s", f.output);
        fixture_remove(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_overlay),
                cmocka_unit_test(test_whiteouts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
