/* Looks through /proc/PID/task/TID/fd. Names and links there are the kernel's; nothing of a file is read, and
 * none is opened but with O_PATH, so that neither a FIFO nor a device notices. */
#include "sandbox/deleted.h"
#include "sandbox/util.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* Above these nothing is measured, and thus over any limit: no build has as many. */
#define DESCRIPTORS_MAX (1u << 20)
#define FILES_MAX (1u << 16)
#define SLOTS (2 * FILES_MAX)

struct seen {
        struct {
                dev_t dev;
                ino_t ino; /* 0: free */
        } files[SLOTS];    /* each counts once; open addressing */
        unsigned n, descriptors;
        const int *trees;
        size_t n_trees;
        uint64_t bytes;
};

static DIR *dir_open(int dir_fd, const char *path)
{
        int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);

        if (!d)
                sandbox_close(&fd);
        return d;
}

static bool seen_too_much(const struct seen *s)
{
        return s->n >= FILES_MAX || s->descriptors >= DESCRIPTORS_MAX;
}

static bool seen_before(struct seen *s, const struct stat *st)
{
        size_t i = (st->st_ino * UINT64_C(0x9e3779b97f4a7c15) ^ st->st_dev) % SLOTS;

        for (; s->files[i].ino; i = (i + 1) % SLOTS)
                if (s->files[i].ino == st->st_ino && s->files[i].dev == st->st_dev)
                        return true;
        s->files[i].dev = st->st_dev;
        s->files[i].ino = st->st_ino;
        s->n++;
        return false;
}

static bool on_disk(const struct seen *s, int fd, const struct stat *st)
{
        struct statfs fs;
        struct stat tree;

        for (size_t i = 0; i < s->n_trees; i++)
                if (s->trees[i] >= 0 && fstat(s->trees[i], &tree) == 0 && tree.st_dev == st->st_dev)
                        return true;
        return fstatfs(fd, &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC;
}

static void descriptor_look(struct seen *s, int dir_fd, const char *name)
{
        struct stat st;

        /* Through the link: to the file itself, wherever it was. */
        _fd_ int fd = openat(dir_fd, name, O_PATH | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink > 0 || st.st_blocks == 0)
                return;
        if (on_disk(s, fd, &st) && !seen_before(s, &st))
                s->bytes += (uint64_t)st.st_blocks * 512;
}

static void thread_look(struct seen *s, int task_fd, const char *tid)
{
        char path[32];
        struct dirent *e;

        snprintf(path, sizeof path, "%.16s/fd", tid);
        DIR *d = dir_open(task_fd, path);
        while (d && !seen_too_much(s) && (e = readdir(d)))
                if (e->d_name[0] != '.') {
                        s->descriptors++;
                        descriptor_look(s, dirfd(d), e->d_name);
                }
        if (d)
                closedir(d);
}

/* Do two threads have one table of descriptors? Where that cannot be known they do, as almost all have. */
static bool table_is_shared(pid_t a, pid_t b)
{
        long r = syscall(SYS_kcmp, a, b, KCMP_FILES, 0, 0);

        return r == 0 || (r < 0 && errno != ESRCH);
}

/* All tables of its threads: one may have its own (unshare), and the first may have ended before the others.
 */
static void process_look(struct seen *s, int proc_fd, const char *pid)
{
        pid_t last = 0; /* looked at */
        char path[32];
        struct dirent *e;

        snprintf(path, sizeof path, "%.16s/task", pid);
        DIR *d = dir_open(proc_fd, path);
        while (d && !seen_too_much(s) && (e = readdir(d))) {
                pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);

                if (tid <= 0 || (last && table_is_shared(last, tid)))
                        continue;
                thread_look(s, dirfd(d), e->d_name);
                last = tid;
        }
        if (d)
                closedir(d);
}

uint64_t deleted_size(int proc_fd, const int *trees, size_t n_trees)
{
        DIR *d = dir_open(proc_fd, ".");
        struct seen *s = calloc(1, sizeof *s);
        uint64_t bytes = 0;
        struct dirent *e;

        if (!d || !s) {
                if (d)
                        closedir(d);
                free(s);
                return 0;
        }
        s->trees = trees;
        s->n_trees = n_trees;
        while ((e = readdir(d)))
                if (e->d_name[0] > '0' && e->d_name[0] <= '9')
                        process_look(s, proc_fd, e->d_name);
        closedir(d);
        bytes = seen_too_much(s) ? UINT64_MAX : s->bytes;
        free(s);
        return bytes;
}
