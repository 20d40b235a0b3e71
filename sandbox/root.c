/* The root the program sees: overlay or plain directory, /dev, /proc, /sys, the caller's mounts, pivot_root.
 *
 * Order matters: sources are opened first (the process still is who the caller is and can walk to them),
 * everything else happens as id 0 of the user namespace, so that the overlay works with no more power than
 * the sandbox has. */
#include "sandbox/root.h"
#include "sandbox/idmap.h"
#include "sandbox/mount.h"
#include "sandbox/util.h"
#include "sandbox/view.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define QUIET (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

void root_sources_init(struct root_sources *r)
{
        memset(r, 0xff, sizeof *r); /* all descriptors -1 */
}

/* A layer's directory, reopened in this mount namespace. */
static int layer_reopen(struct setup *u, int fd, const char *step)
{
        _fd_ int tree = mount_source(u->hook, fd, step, &u->err);
        char magic[32], path[PATH_MAX];
        struct stat a, b;

        if (tree < 0)
                return tree;
        /* The tree proved that the path leads to the same place; overlayfs wants a mount of this namespace,
         * which a detached tree is not. */
        snprintf(magic, sizeof magic, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(magic, path, sizeof path - 1);
        if (n < 0)
                return step_fail(&u->err, step, errno, "cannot read %s", magic);
        path[n] = '\0';
        _fd_ int dir = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir < 0 || fstat(dir, &a) < 0 || fstat(fd, &b) < 0)
                return step_fail(&u->err, step, errno, "cannot open layer %s", path);
        if (a.st_dev != b.st_dev || a.st_ino != b.st_ino)
                return step_fail(&u->err, step, ESTALE, "%s is no longer what was opened", path);
        return TAKE_FD(dir);
}

int root_sources_open(struct setup *u, struct root_sources *r)
{
        const struct kiln_sandbox *s = u->s;
        bool overlay = s->n_lower_fds > 1 || (s->n_lower_fds == 1 && s->upper_fd >= 0);
        int n = 0;

        if (overlay) {
                for (size_t i = 0; i < s->n_lower_fds; i++)
                        if ((n = r->lowers[i] = layer_reopen(u, s->lower_fds[i], "open layer")) < 0)
                                return n;
                if (s->upper_fd >= 0 &&
                        (n = r->upper = layer_reopen(u, s->upper_fd, "open upper directory")) < 0)
                        return n;
                if (s->upper_fd >= 0 &&
                        (n = r->work = layer_reopen(u, s->work_fd, "open work directory")) < 0)
                        return n;
        } else {
                int fd = s->n_lower_fds == 1 ? s->lower_fds[0] : s->upper_fd;

                if ((n = r->upper = mount_source(u->hook, fd, "open root", &u->err)) < 0)
                        return n;
        }
        for (size_t i = 0; i < s->n_mounts; i++) {
                if (s->mounts[i].kind == KILN_MOUNT_TMPFS)
                        continue;
                n = r->mounts[i] =
                        mount_source(u->hook, s->mounts[i].source_fd, "open mount source", &u->err);
                if (n < 0)
                        return n;
        }
        if (s->host_network && !s->sys_none) {
                _fd_ int sys = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
                n = r->sys = mount_source(u->hook, sys, "open /sys", &u->err);
                if (n < 0)
                        return n;
        }
        return 0;
}

static int overlay_new(struct setup *u, const struct root_sources *r)
{
        char lowers[256], upper[16], work[16];
        struct mount_option options[] = {{"source", "kiln"}, {"lowerdir", lowers}, {"userxattr", NULL},
                {NULL}, {NULL}, {NULL}, {NULL}};
        size_t used = 0;

        /* A string option holds at most 255 bytes (fsconfig(2)), hence names relative to /proc/self/fd */
        for (size_t i = 0; i < u->s->n_lower_fds; i++) {
                int n = snprintf(lowers + used, sizeof lowers - used, "%s%d", i ? ":" : "", r->lowers[i]);
                if (n < 0 || (used += (size_t)n) >= sizeof lowers)
                        return step_fail(&u->err, "mount overlay", E2BIG, "too many layers");
        }
        if (r->upper >= 0) {
                snprintf(upper, sizeof upper, "%d", r->upper);
                snprintf(work, sizeof work, "%d", r->work);
                options[3] = (struct mount_option){"upperdir", upper};
                options[4] = (struct mount_option){"workdir", work};
                if (u->s->upper_volatile)
                        options[5] = (struct mount_option){"volatile", NULL};
        }
        int n = TRY(u->hook, &u->err, "mount overlay", chdir("/proc/self/fd"));
        if (n < 0)
                return n;
        int fd = mount_new(u->hook, "overlay", options, QUIET, "mount overlay", &u->err);
        if (fd >= 0 && chdir("/") < 0) {
                close(fd);
                return step_fail(&u->err, "mount overlay", errno, "cannot return to /");
        }
        return fd;
}

/* Attaches the new root over "/" of this mount namespace. Returns a descriptor of its top directory. */
static int root_attach(struct setup *u, struct root_sources *r)
{
        const struct kiln_sandbox *s = u->s;
        _fd_ int tree = -1;
        int n;

        if (r->lowers[0] >= 0) {
                tree = overlay_new(u, r);
                if (tree < 0)
                        return tree;
        } else {
                tree = TAKE_FD(r->upper);
                n = mount_attributes(u->hook, tree, QUIET, true, "mount_setattr root", &u->err);
                if (n < 0)
                        return n;
        }
        /* Whatever is mounted below a plain root stays read-only for the unprivileged id; the top is opened
         * again until all mount points exist, if the host lets it (a locked read-only mount stays what it
         * is). */
        bool read_only = s->root_read_only || (s->n_lower_fds > 0 && s->upper_fd < 0);
        if (read_only || s->uid != 0) {
                n = mount_attributes(u->hook, tree, MOUNT_ATTR_RDONLY, true, "mount_setattr root", &u->err);
                if (n < 0)
                        return n;
        }
        if (!read_only && s->uid != 0) {
                struct mount_attr writable = {.attr_clr = MOUNT_ATTR_RDONLY};
                mount_setattr(tree, "", AT_EMPTY_PATH, &writable, sizeof writable);
        }
        n = TRY(u->hook, &u->err, "attach root",
                move_mount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH));
        return n < 0 ? n : TAKE_FD(tree);
}

static int attach_at(struct setup *u, int root_fd, int tree_fd, const char *target, bool directory)
{
        char step[64];

        _fd_ int fd = mount_target(u->hook, root_fd, target, directory, &u->err);
        if (fd < 0)
                return fd;
        snprintf(step, sizeof step, "attach %.50s", target);
        return mount_attach(u->hook, tree_fd, fd, step, &u->err);
}

/* Directories that stay writable for the unprivileged id: mounts of their own on themselves. */
static int writable_make(struct setup *u, int root_fd)
{
        for (const char *const *path = u->s->writable; path && *path; path++) {
                _fd_ int fd = mount_lookup(root_fd, *path, O_PATH | O_DIRECTORY);
                if (fd < 0)
                        return step_fail(
                                &u->err, "writable directory", -fd, "cannot open %s in the root", *path);
                _fd_ int tree = TRY(u->hook, &u->err, "writable directory",
                        open_tree(
                                fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE));
                if (tree < 0)
                        return tree;
                int n = mount_attach(u->hook, tree, fd, "writable directory", &u->err);
                if (n < 0)
                        return n;
        }
        return 0;
}

static const struct {
        const char *name;
        unsigned major, minor;
} devices[] = {
        {"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};

static const struct {
        const char *name, *target;
} device_links[] = {{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
        {"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"}};

static int dev_fill(struct setup *u, int dev_fd)
{
        char host[32];
        int n;

        for (size_t i = 0; i < SANDBOX_COUNT(devices); i++) {
                snprintf(host, sizeof host, "/dev/%s", devices[i].name);
                _fd_ int tree = mount_device(u->hook, host, devices[i].major, devices[i].minor, &u->err);
                if (tree < 0)
                        return tree;
                _fd_ int file = TRY(u->hook, &u->err, "make /dev",
                        openat(dev_fd, devices[i].name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
                if (file < 0)
                        return file;
                n = mount_attach(u->hook, tree, file, "attach device", &u->err);
                if (n < 0)
                        return n;
        }
        for (size_t i = 0; i < SANDBOX_COUNT(device_links); i++) {
                n = TRY(u->hook, &u->err, "make /dev",
                        symlinkat(device_links[i].target, dev_fd, device_links[i].name));
                if (n < 0)
                        return n;
        }
        return 0;
}

/* A file system of its own at a name below /dev. */
static int dev_mount(struct setup *u, int dev_fd, const char *name, const char *type,
        const struct mount_option *options, uint64_t attributes)
{
        char step[64];
        int n;

        snprintf(step, sizeof step, "mount /dev/%s", name);
        _fd_ int tree = mount_new(u->hook, type, options, attributes, step, &u->err);
        if (tree < 0)
                return tree;
        n = TRY(u->hook, &u->err, step, mkdirat(dev_fd, name, 0755));
        if (n < 0)
                return n;
        _fd_ int target = TRY(u->hook, &u->err, step, openat(dev_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC));
        return target < 0 ? target : mount_attach(u->hook, tree, target, step, &u->err);
}

/* Returns the descriptor of the new /dev, which stays writable for the view's files until root_seal(). */
static int dev_make(struct setup *u, int root_fd)
{
        static const struct mount_option dev_options[] = {{"mode", "0755"}, {"size", "4m"}, {NULL, NULL}};
        static const struct mount_option shm_options[] = {{"mode", "1777"}, {"size", "50%"}, {NULL, NULL}};
        struct mount_option pts_options[] = {
                {"newinstance", NULL}, {"ptmxmode", "0666"}, {"mode", "0620"}, {NULL, NULL}, {NULL, NULL}};
        int n;

        if (u->s->idmap.mode == KILN_ID_RANGE)
                pts_options[3] = (struct mount_option){"gid", "5"}; /* tty, in Fedora and Debian alike */
        _fd_ int dev = mount_new(
                u->hook, "tmpfs", dev_options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, "mount /dev", &u->err);
        if (dev < 0)
                return dev;
        n = attach_at(u, root_fd, dev, "/dev", true);
        if (n < 0)
                return n;
        n = dev_fill(u, dev);
        if (n < 0)
                return n;
        n = dev_mount(u, dev, "shm", "tmpfs", shm_options, QUIET);
        if (n < 0)
                return n;
        n = dev_mount(u, dev, "pts", "devpts", pts_options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
        return n < 0 ? n : TAKE_FD(dev);
}

static int proc_sys_make(struct setup *u, int root_fd, struct root_sources *r)
{
        uint64_t flags = QUIET | MOUNT_ATTR_NOEXEC;
        int n;

        _fd_ int proc = mount_new(u->hook, "proc", NULL, flags, "mount /proc", &u->err);
        if (proc < 0)
                return proc;
        n = attach_at(u, root_fd, proc, "/proc", true);
        if (n < 0)
                return n;
        u->proc_fd = TAKE_FD(proc);
        if (u->s->sys_none)
                return 0;
        /* sysfs belongs to the network namespace: with the host's network it can only be the host's own mount
         */
        _fd_ int sys = u->s->host_network ? TAKE_FD(r->sys)
                                          : mount_new(u->hook, "sysfs", NULL, flags | MOUNT_ATTR_RDONLY,
                                                    "mount /sys", &u->err);
        if (sys < 0)
                return sys;
        n = mount_attributes(u->hook, sys, flags | MOUNT_ATTR_RDONLY, true, "mount_setattr /sys", &u->err);
        return n < 0 ? n : attach_at(u, root_fd, sys, "/sys", true);
}

static int tmpfs_new(struct setup *u, const struct kiln_sandbox_mount *m)
{
        bool single = u->s->idmap.mode ==
                      KILN_ID_SINGLE; /* the one id there is, which the program sees as its own */
        char size[32], mode[16], uid[16], gid[16];
        const struct mount_option options[] = {{"mode", mode}, {"uid", uid}, {"gid", gid},
                {m->size_bytes ? "size" : NULL, size}, {NULL, NULL}};

        snprintf(size, sizeof size, "%llu", (unsigned long long)m->size_bytes);
        snprintf(mode, sizeof mode, "%o", m->mode & 07777);
        snprintf(uid, sizeof uid, "%u", single ? 0 : m->uid);
        snprintf(gid, sizeof gid, "%u", single ? 0 : m->gid);
        return mount_new(u->hook, "tmpfs", options, QUIET, "mount tmpfs", &u->err);
}

static int mounts_make(struct setup *u, int root_fd, struct root_sources *r)
{
        for (size_t i = 0; i < u->s->n_mounts; i++) {
                const struct kiln_sandbox_mount *m = &u->s->mounts[i];
                _fd_ int tree = m->kind == KILN_MOUNT_TMPFS ? tmpfs_new(u, m) : TAKE_FD(r->mounts[i]);
                struct stat st = {.st_mode = S_IFDIR};
                int n;

                if (tree < 0)
                        return tree;
                if (m->kind != KILN_MOUNT_TMPFS) {
                        uint64_t flags = QUIET | (m->kind == KILN_MOUNT_BIND_RO ? MOUNT_ATTR_RDONLY : 0);

                        n = mount_attributes(u->hook, tree, flags, true, "mount_setattr bind", &u->err);
                        if (n < 0)
                                return n;
                        if (fstat(tree, &st) < 0)
                                return step_fail(&u->err, "mount", errno, "cannot look at the source of %s",
                                        m->target);
                }
                n = attach_at(u, root_fd, tree, m->target, S_ISDIR(st.st_mode));
                if (n < 0)
                        return n;
        }
        return 0;
}

static int root_pivot(struct setup *u, int root_fd)
{
        int n = TRY(u->hook, &u->err, "fchdir root", fchdir(root_fd));

        /* The host's root ends up stacked on the new one at ".", and is detached from there: no directory for
         * it has to exist (pivot_root(2), "pivot_root(".", ".")") */
        if (n >= 0)
                n = TRY(u->hook, &u->err, "pivot_root", syscall(SYS_pivot_root, ".", "."));
        if (n >= 0)
                n = TRY(u->hook, &u->err, "detach old root", umount2(".", MNT_DETACH));
        if (n >= 0)
                n = TRY(u->hook, &u->err, "chdir /", chdir("/"));
        return n;
}

int root_enter(struct setup *u, struct root_sources *r)
{
        const struct kiln_sandbox *s = u->s;
        int n = TRY(
                u->hook, &u->err, "make mounts private", mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));

        if (n < 0)
                return n;
        _fd_ int root = root_attach(u, r);
        if (root < 0)
                return root;
        if (s->uid != 0 && (n = writable_make(u, root)) < 0)
                return n;
        _fd_ int dev = dev_make(u, root);
        if (dev < 0)
                return dev;
        if ((n = proc_sys_make(u, root, r)) < 0 || (n = mounts_make(u, root, r)) < 0 ||
                (n = view_cover(u, root, dev)) < 0)
                return n;
        if (s->uid != 0) {
                n = mount_attributes(u->hook, dev, MOUNT_ATTR_RDONLY, false, "mount_setattr /dev", &u->err);
                if (n < 0)
                        return n;
                n = mount_attributes(u->hook, root, MOUNT_ATTR_RDONLY, false, "mount_setattr root", &u->err);
                if (n < 0)
                        return n;
        }
        return root_pivot(u, root);
}
