/* Mounts by descriptor: fsopen(2), open_tree(2), move_mount(2), mount_setattr(2), openat2(2).
 *
 * Must never hand a path inside the root to a system call that resolves it as a plain string: roots come out
 * of packages, and their links point where their authors like. */
#include "sandbox/mount.h"
#include "sandbox/util.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* inside the root: ".." and absolute links stay below it, and /proc's magic links lead nowhere */
#define RESOLVE_INSIDE (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

int mount_source(
        const struct step_hook *hook, int source_fd, const char *step, struct kiln_sandbox_error *err)
{
        char magic[32], path[PATH_MAX];
        struct stat wanted, found;
        ssize_t n;

        snprintf(magic, sizeof magic, "/proc/self/fd/%d", source_fd);
        n = readlink(magic, path, sizeof path - 1);
        if (n < 0 || fstat(source_fd, &wanted) < 0)
                return step_fail(err, step, errno, "cannot find out what descriptor %d refers to", source_fd);
        path[n] = '\0';
        _fd_ int fd = TRY(hook, err, step, open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC));
        if (fd < 0)
                return step_fail(err, step, -fd, "cannot open %s again", path);
        if (fstat(fd, &found) < 0 || found.st_dev != wanted.st_dev || found.st_ino != wanted.st_ino)
                return step_fail(err, step, ESTALE, "%s is no longer what was opened", path);
        int tree = TRY(hook, err, step,
                open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE));
        if (tree < 0)
                return step_fail(err, step, -tree, "cannot make a bind mount of %s", path);
        return tree;
}

int mount_device(const struct step_hook *hook, const char *path, unsigned major, unsigned minor,
        struct kiln_sandbox_error *err)
{
        char step[64];
        struct stat st;

        snprintf(step, sizeof step, "mount %s", path);
        _fd_ int fd = TRY(hook, err, step, open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC));
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(major, minor))
                return step_fail(err, step, ENODEV, "the host's %s is not that device", path);
        _fd_ int tree =
                TRY(hook, err, step, open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
        if (tree < 0)
                return tree;
        int r = mount_attributes(hook, tree, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, false, step, err);
        return r < 0 ? r : TAKE_FD(tree);
}

/* The kernel's own words about the last failure on a file system context (fsopen(2)), shortened. */
static void context_message(int fd, char *text, size_t size)
{
        ssize_t n = read(fd, text, size - 1);

        text[n > 0 ? n : 0] = '\0';
        text[strcspn(text, "\n")] = '\0';
}

int mount_new(const struct step_hook *hook, const char *type, const struct mount_option *options,
        uint64_t attributes, const char *step, struct kiln_sandbox_error *err)
{
        char why[160];
        int r;

        _fd_ int fs = TRY(hook, err, step, fsopen(type, FSOPEN_CLOEXEC));
        if (fs < 0)
                return fs;
        for (const struct mount_option *o = options; o && o->key; o++) {
                r = TRY(hook, err, step,
                        fsconfig(
                                fs, o->value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, o->key, o->value, 0));
                if (r < 0) {
                        context_message(fs, why, sizeof why);
                        return step_fail(err, step, -r, "option %s: %s", o->key, why);
                }
        }
        r = TRY(hook, err, step, fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
        if (r < 0) {
                context_message(fs, why, sizeof why);
                return step_fail(err, step, -r, "cannot make the file system: %s", why);
        }
        return TRY(hook, err, step, fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attributes));
}

int mount_attributes(const struct step_hook *hook, int fd, uint64_t set, bool recursive, const char *step,
        struct kiln_sandbox_error *err)
{
        struct mount_attr attr = {.attr_set = set};

        return TRY(hook, err, step,
                mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof attr));
}

int mount_attach(const struct step_hook *hook, int tree_fd, int target_fd, const char *step,
        struct kiln_sandbox_error *err)
{
        return TRY(hook, err, step,
                move_mount(tree_fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

int mount_lookup(int root_fd, const char *path, uint64_t flags)
{
        int fd = sandbox_openat2(root_fd, path, flags | O_CLOEXEC, 0, RESOLVE_INSIDE);

        return fd < 0 ? -errno : fd;
}

static int component_make(int parent_fd, const char *name, bool directory)
{
        if (directory)
                return mkdirat(parent_fd, name, 0755) < 0 && errno != EEXIST ? -errno : 0;
        _fd_ int fd = openat(parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        return fd < 0 && errno != EEXIST ? -errno : 0;
}

int mount_target(const struct step_hook *hook, int root_fd, const char *path, bool directory,
        struct kiln_sandbox_error *err)
{
        char prefix[PATH_MAX], step[64];
        size_t length = 0;
        int r;

        snprintf(step, sizeof step, "target %.50s", path);
        if (path[0] != '/' || strlen(path) >= sizeof prefix)
                return step_fail(err, step, EINVAL, "%s is not an absolute path", path);
        _fd_ int parent = TRY(hook, err, step, fcntl(root_fd, F_DUPFD_CLOEXEC, 3));
        if (parent < 0)
                return parent;
        while (*path) {
                while (*path == '/')
                        path++;
                size_t n = strcspn(path, "/");
                if (n == 0)
                        break;
                if ((n == 1 && path[0] == '.') || (n == 2 && path[0] == '.' && path[1] == '.'))
                        return step_fail(err, step, EINVAL, "a mount's target has no \".\" or \"..\"");
                /* looked up from the root each time: a link on the way means the same as it does inside */
                memcpy(prefix + length, path, n);
                prefix[length + n] = '\0';
                const char *name = prefix + length;
                path += n;
                bool last = path[strspn(path, "/")] == '\0';
                int fd = mount_lookup(root_fd, prefix, O_PATH);
                if (fd == -ENOENT) {
                        r = component_make(parent, name, directory || !last);
                        fd = r < 0 ? r : mount_lookup(root_fd, prefix, O_PATH);
                }
                if (fd < 0)
                        return step_fail(err, step, -fd, "cannot make %s in the root", prefix);
                close(parent);
                parent = fd;
                length += n;
                prefix[length++] = '/';
        }
        return TAKE_FD(parent);
}
