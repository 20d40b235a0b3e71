/* A cgroup v2 for one run: memory, pids and cpu limits, peaks, kill.
 *
 * Only in a cgroup that was delegated to the caller (cgroups(7), "Delegation"; systemd.resource-control(5),
 * Delegate=): never moves a process but the caller's own, and never touches version 1 hierarchies. */
#include "sandbox/cgroup.h"
#include "sandbox/util.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#define NAME_PREFIX "kiln-run-"
#define SUPERVISOR "kiln-supervisor"
/* The processes sit one level below the limits: in single-id mode the program owns whatever it can see of its
 * cgroup once it has mounted cgroup2 (check profile), and it sees its own level and what is below. */
#define LEAF "run"

static int file_read(int dir_fd, const char *name, char *text, size_t size)
{
        _fd_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        text[0] = '\0';
        if (fd < 0)
                return -errno;
        n = read(fd, text, size - 1);
        if (n < 0)
                return -errno;
        text[n] = '\0';
        return 0;
}

static int file_write(int dir_fd, const char *name, const char *text)
{
        _fd_ int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* The number behind `key` in a "key value" file, or the file's only number when key is NULL. */
static uint64_t number_read(int dir_fd, const char *name, const char *key)
{
        char text[4096];
        char *line, *save = NULL;

        if (file_read(dir_fd, name, text, sizeof text) < 0)
                return 0;
        if (!key)
                return strtoull(text, NULL, 10);
        for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ' ')
                        return strtoull(line + strlen(key) + 1, NULL, 10);
        return 0;
}

static bool word_in(const char *words, const char *word)
{
        size_t n = strlen(word);

        for (const char *at = words; (at = strstr(at, word)) != NULL; at += n)
                if ((at == words || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\n' || at[n] == '\0'))
                        return true;
        return false;
}

/* Children get memory and pids, enabling them when the kernel lets it. */
static bool controllers_enable(int dir_fd)
{
        char have[512], enabled[512];

        if (file_read(dir_fd, "cgroup.controllers", have, sizeof have) < 0 || !word_in(have, "memory") ||
                !word_in(have, "pids"))
                return false;
        file_write(dir_fd, "cgroup.subtree_control", "+memory");
        file_write(dir_fd, "cgroup.subtree_control", "+pids");
        file_write(dir_fd, "cgroup.subtree_control", "+cpu"); /* these two are welcome, not needed */
        file_write(dir_fd, "cgroup.subtree_control", "+io");
        return file_read(dir_fd, "cgroup.subtree_control", enabled, sizeof enabled) == 0 &&
               word_in(enabled, "memory") && word_in(enabled, "pids");
}

/* Root may write everywhere, so for root only what systemd marked as delegated counts. */
static bool delegated(int dir_fd)
{
        char value[2] = "", magic[32];

        snprintf(magic, sizeof magic, "/proc/self/fd/%d", dir_fd);
        if (getxattr(magic, "trusted.delegate", value, 1) == 1 ||
                getxattr(magic, "user.delegate", value, 1) == 1)
                return value[0] == '1';
        return geteuid() != 0 && faccessat(dir_fd, "cgroup.procs", W_OK, AT_EACCESS) == 0 &&
               faccessat(dir_fd, "cgroup.subtree_control", W_OK, AT_EACCESS) == 0;
}

static bool only_own_process(int dir_fd)
{
        char text[64], own[32];

        snprintf(own, sizeof own, "%d\n", (int)getpid());
        return file_read(dir_fd, "cgroup.procs", text, sizeof text) == 0 && strcmp(text, own) == 0;
}

/* The caller alone sits in its delegated cgroup: it moves into a leaf, since a cgroup with children that have
 * controllers holds no processes (cgroups(7), "no internal processes"). */
static bool move_to_leaf(int dir_fd)
{
        if (mkdirat(dir_fd, SUPERVISOR, 0755) < 0 && errno != EEXIST)
                return false;
        return file_write(dir_fd, SUPERVISOR "/cgroup.procs", "0") == 0;
}

static int cgroup_mount_open(void)
{
        static const char *const places[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};

        for (size_t i = 0; i < SANDBOX_COUNT(places); i++) {
                struct statfs fs;
                int fd = open(places[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
                        return fd;
                if (fd >= 0)
                        close(fd);
        }
        return -1;
}

/* The caller's own place below the cgroup2 mount, "" for the top; false when it has none. */
static bool own_path(char *path, size_t size)
{
        _file_ FILE *f = fopen("/proc/self/cgroup", "re");
        char line[PATH_MAX];

        while (f && fgets(line, sizeof line, f)) {
                if (strncmp(line, "0::/", 4) != 0)
                        continue;
                line[strcspn(line, "\n")] = '\0';
                snprintf(path, size, "%s", line + 4);
                return strstr(path, "..") == NULL;
        }
        return false;
}

/* Finds the directory to make run cgroups in, or -1. */
static int parent_find(const char *given)
{
        char path[PATH_MAX], parent[PATH_MAX];

        if (given) {
                int fd = open(given, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                if (fd >= 0 && controllers_enable(fd))
                        return fd;
                sandbox_close(&fd);
                return -1;
        }
        _fd_ int mount = cgroup_mount_open();
        if (mount < 0 || !own_path(path, sizeof path))
                return -1;
        /* the hierarchy's own root is exempt from "no internal processes", and only the machine's root can
         * write there */
        if (path[0] == '\0')
                return faccessat(mount, "cgroup.type", F_OK, 0) < 0 && geteuid() == 0 &&
                                       controllers_enable(mount)
                               ? TAKE_FD(mount)
                               : -1;
        _fd_ int own = openat(mount, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (own < 0)
                return -1;
        /* a leaf of a delegated cgroup (DelegateSubgroup=, or moved there before) */
        snprintf(parent, sizeof parent, "%s", path);
        char *slash = strrchr(parent, '/');
        if (slash) {
                *slash = '\0';
                _fd_ int up = openat(mount, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (up >= 0 && delegated(up) && controllers_enable(up))
                        return TAKE_FD(up);
        }
        if (delegated(own) && only_own_process(own) && move_to_leaf(own) && controllers_enable(own))
                return TAKE_FD(own);
        return -1;
}

/* 0, or negative errno; -EBUSY while a process is in it. */
static int levels_remove(int parent_fd, const char *name)
{
        char leaf[NAME_MAX + sizeof "/" LEAF];

        snprintf(leaf, sizeof leaf, "%s/" LEAF, name);
        if (unlinkat(parent_fd, leaf, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return -errno;
        return unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* A caller that was killed left its cgroup behind, empty: names carry the pid. */
static void stale_remove(int parent_fd)
{
        int fd = openat(parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
        struct dirent *e;

        if (!d) {
                sandbox_close(&fd);
                return;
        }
        while ((e = readdir(d)) != NULL) {
                int pid;

                if (sscanf(e->d_name, NAME_PREFIX "%d-", &pid) == 1 && kill(pid, 0) < 0 && errno == ESRCH)
                        levels_remove(parent_fd, e->d_name); /* fails unless empty */
        }
        closedir(d);
}

static int limit_write(const struct cgroup *c, const char *file, uint64_t value)
{
        char text[32];

        snprintf(text, sizeof text, "%llu", (unsigned long long)value);
        return file_write(c->dir_fd, file, text);
}

static int limits_write(const struct kiln_sandbox *s, const struct cgroup *c)
{
        int r = 0;

        if (s->limits.memory_bytes > 0) {
                r = limit_write(c, "memory.max", s->limits.memory_bytes);
                if (r == 0)
                        limit_write(c, "memory.swap.max", 0); /* no such file without swap accounting */
                if (r == 0) /* one killed compiler would only look like a strange failure of the build */
                        r = file_write(c->dir_fd, "memory.oom.group", "1");
        }
        if (r == 0 && s->limits.pids > 0)
                r = limit_write(c, "pids.max", s->limits.pids + 1); /* PID 1 is ours */
        if (r == 0 && s->cpus > 0) {
                char text[48];

                snprintf(text, sizeof text, "%u00000 100000", s->cpus);
                file_write(c->dir_fd, "cpu.max", text); /* absent when only memory and pids were delegated */
        }
        return r;
}

int cgroup_make(const struct kiln_sandbox *s, const struct step_hook *hook, struct cgroup *ret,
        struct kiln_sandbox_error *err)
{
        bool hard = s->limits.hard && (s->limits.memory_bytes > 0 || s->limits.pids > 0);
        int r;

        *ret = (struct cgroup){-1, -1, ""};
        int parent = parent_find(s->cgroup);
        if (parent < 0) {
                if (hard)
                        return step_fail(err, "cgroup", EOPNOTSUPP, "no delegated cgroup for hard limits");
                return 0;
        }
        stale_remove(parent);
        snprintf(ret->name, sizeof ret->name, NAME_PREFIX "%d-%llx", (int)getpid(),
                (unsigned long long)sandbox_now_ns());
        ret->parent_fd = parent;
        r = TRY(hook, err, "cgroup make", mkdirat(parent, ret->name, 0755));
        if (r < 0) {
                sandbox_close(&ret->parent_fd);
                return r;
        }
        ret->dir_fd =
                TRY(hook, err, "cgroup open", openat(parent, ret->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (ret->dir_fd < 0)
                r = ret->dir_fd;
        else if ((r = limits_write(s, ret)) < 0)
                step_fail(err, "cgroup limits", -r, "cannot set the limits of %s", ret->name);
        else if ((r = TRY(hook, err, "cgroup leaf", mkdirat(ret->dir_fd, LEAF, 0755))) == 0 &&
                 (r = file_write(ret->dir_fd, "cgroup.max.descendants", "1")) < 0)
                step_fail(err, "cgroup leaf", -r, "cannot keep %s from growing", ret->name);
        if (r < 0)
                cgroup_remove(ret);
        return r;
}

int cgroup_add(const struct cgroup *c, pid_t pid)
{
        char text[16];

        if (c->dir_fd < 0)
                return 0;
        snprintf(text, sizeof text, "%d", (int)pid);
        return file_write(c->dir_fd, LEAF "/cgroup.procs", text);
}

void cgroup_kill(const struct cgroup *c)
{
        if (c->dir_fd >= 0)
                file_write(c->dir_fd, "cgroup.kill", "1"); /* Linux 5.14; killing PID 1 does the same */
}

uint64_t cgroup_cpu_ns(const struct cgroup *c)
{
        return c->dir_fd < 0 ? 0 : number_read(c->dir_fd, "cpu.stat", "usage_usec") * 1000;
}

void cgroup_read(const struct cgroup *c, struct cgroup_peaks *ret)
{
        memset(ret, 0, sizeof *ret);
        if (c->dir_fd < 0)
                return;
        ret->memory_bytes = number_read(c->dir_fd, "memory.peak", NULL); /* Linux 5.19 */
        ret->pids = number_read(c->dir_fd, "pids.peak", NULL);           /* Linux 6.1 */
        ret->oom_kills = number_read(c->dir_fd, "memory.events", "oom_kill");
        ret->pids_refused = number_read(c->dir_fd, "pids.events", "max");
        ret->user_ns = number_read(c->dir_fd, "cpu.stat", "user_usec") * 1000;
        ret->system_ns = number_read(c->dir_fd, "cpu.stat", "system_usec") * 1000;
}

void cgroup_remove(struct cgroup *c)
{
        if (c->parent_fd >= 0) {
                cgroup_kill(c);
                /* killed processes take a moment to leave */
                for (int tries = 0; tries < 200; tries++) {
                        if (levels_remove(c->parent_fd, c->name) != -EBUSY)
                                break;
                        poll(NULL, 0, 10);
                }
        }
        sandbox_close(&c->dir_fd);
        sandbox_close(&c->parent_fd);
}
