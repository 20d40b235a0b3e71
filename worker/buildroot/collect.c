/* How large the cache is, and making it smaller: least recently used first, never what a live lease protects.
 *
 * A lease protects everything used since it began: a file's atime (set by every look-up) is compared with the
 * oldest live lease's mtime. Must never remove a file without holding the gate exclusively and looking at its
 * atime again under it. */
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/buildroot/store_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* sha256/ab/cd/file is the deepest there is. */
#define WALK_DEPTH_MAX 3
/* A partial nobody has written to for this long will not be continued. */
#define PARTIAL_AGE_S (24 * 3600)

struct item {
        int dir_fd; /* borrowed: the walk's root */
        char *path; /* below it */
        struct timespec used;
        uint64_t bytes; /* on disk */
};

struct items {
        struct item *items;
        size_t n;
};

static void items_clear(struct items *l)
{
        for (size_t i = 0; i < l->n; i++)
                free(l->items[i].path);
        free(l->items);
}

/* Every regular file below dir_fd/path. What vanishes meanwhile is left out. */
static int items_walk(int root_fd, const char *path, int depth, struct items *to)
{
        int fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *de;
        int r = 0;

        if (!d) {
                r = -errno;
                if (fd >= 0)
                        close(fd);
                return r == -ENOENT ? 0 : r;
        }
        while (r == 0 && (de = readdir(d))) {
                _cleanup_free_ char *below = NULL;
                struct stat st;

                if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0 ||
                        fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                below = strcmp(path, ".") == 0 ? kiln_strdup(de->d_name) : kiln_path_join(path, de->d_name);
                if (S_ISDIR(st.st_mode) && depth > 0)
                        r = items_walk(root_fd, below, depth - 1, to);
                if (!S_ISREG(st.st_mode))
                        continue;
                struct item *i = KILN_APPEND(to->items, to->n);

                i->dir_fd = root_fd;
                i->path = TAKE_PTR(below);
                i->used = st.st_atim;
                i->bytes = (uint64_t)st.st_blocks * 512;
        }
        closedir(d);
        return r;
}

static uint64_t items_bytes(const struct items *l)
{
        uint64_t total = 0;

        for (size_t i = 0; i < l->n; i++)
                total += l->items[i].bytes;
        return total;
}

static int time_compare(const struct timespec *a, const struct timespec *b)
{
        if (a->tv_sec != b->tv_sec)
                return a->tv_sec < b->tv_sec ? -1 : 1;
        return (a->tv_nsec > b->tv_nsec) - (a->tv_nsec < b->tv_nsec);
}

static int compare_used(const void *a, const void *b)
{
        const struct item *x = a, *y = b;
        int r = time_compare(&x->used, &y->used);

        return r ? r : strcmp(x->path, y->path);
}

/* Under the gate: the begin of the oldest live lease but our own; dead ones are removed. Without any: the end
 * of time. */
static int leases_oldest(struct kiln_store *s, struct timespec *ret)
{
        _cleanup_(items_clear) struct items leases = {0};
        int r;

        *ret = (struct timespec){.tv_sec = INT64_MAX};
        r = items_walk(s->root_fd, "lease", 0, &leases);
        for (size_t i = 0; r == 0 && i < leases.n; i++) {
                _cleanup_close_ int fd = -1;
                struct stat st;

                if (s->lease_name && strcmp(leases.items[i].path, s->lease_name) == 0)
                        continue;
                fd = openat(s->root_fd, leases.items[i].path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
                if (fd < 0 || fstat(fd, &st) < 0)
                        continue;
                if (flock(fd, LOCK_EX | LOCK_NB) == 0)
                        unlinkat(s->root_fd, leases.items[i].path, 0);
                else if (time_compare(&st.st_mtim, ret) < 0)
                        *ret = st.st_mtim;
        }
        return r;
}

/* Removes one file unless it was used since the walk or is protected. 0: removed, 1: kept. */
static int item_remove(struct kiln_store *s, const struct item *i, const struct timespec *protected_from)
{
        struct stat st;
        int r = kiln_fd_lock(s->gate_fd, LOCK_EX);

        if (r < 0)
                return r;
        if (fstatat(i->dir_fd, i->path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                r = errno == ENOENT ? 0 : -errno;
        else if (time_compare(&st.st_atim, &i->used) > 0 || time_compare(&st.st_atim, protected_from) >= 0)
                r = 1;
        else if (unlinkat(i->dir_fd, i->path, 0) < 0 && errno != ENOENT)
                r = -errno;
        kiln_fd_lock(s->gate_fd, LOCK_UN);
        return r;
}

/* Under the gate. Partials whose owner is gone: what has no digest for a name cannot be continued, the rest
 * may be until it is as old as this. */
static int partials_remove(struct kiln_store *s, int64_t until_s, uint64_t *freed)
{
        _cleanup_(items_clear) struct items partials = {0};
        int r = items_walk(s->partial_fd, ".", 0, &partials);

        for (size_t i = 0; r == 0 && i < partials.n; i++) {
                const struct item *p = &partials.items[i];
                /* For reading: one whose owner died just before the rename is read-only already. */
                _cleanup_close_ int fd =
                        openat(s->partial_fd, p->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
                struct stat st;

                if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0)
                        continue;
                if (p->path[0] != '.' && st.st_mtim.tv_sec > until_s)
                        continue;
                if (unlinkat(s->partial_fd, p->path, 0) == 0)
                        *freed += p->bytes;
        }
        return r;
}

/* Facts about files that are no longer there. Their names begin with the file's digest. */
static void facts_remove(struct kiln_store *s)
{
        _cleanup_(items_clear) struct items facts = {0};

        if (items_walk(s->root_fd, "../facts", 1, &facts) < 0)
                return;
        for (size_t i = 0; i < facts.n; i++) {
                struct kiln_digest d;
                char path[STORE_PATH_MAX];
                _cleanup_free_ char *hex = NULL;

                hex = kiln_strndup(kiln_path_base(facts.items[i].path), KILN_DIGEST_HEX);
                if (kiln_digest_from_hex(hex, &d) == 0) {
                        store_path(&d, path);
                        if (kiln_file_exists(s->files_fd, path))
                                continue;
                }
                unlinkat(s->root_fd, facts.items[i].path, 0);
        }
}

void store_sweep(struct kiln_store *s)
{
        struct timespec oldest;
        uint64_t freed = 0;

        if (flock(s->gate_fd, LOCK_EX | LOCK_NB) < 0)
                return;
        (void)leases_oldest(s, &oldest);
        (void)partials_remove(s, INT64_MIN, &freed);
        kiln_fd_lock(s->gate_fd, LOCK_UN);
}

int kiln_store_collect(
        struct kiln_store *s, uint64_t quota_bytes, uint64_t *ret_freed_bytes, struct kiln_error *err)
{
        _cleanup_(items_clear) struct items files = {0};
        struct timespec protected_from = {0, 0};
        uint64_t total, freed = 0;
        int r = kiln_fd_lock(s->gate_fd, LOCK_EX);

        if (r == 0) {
                r = leases_oldest(s, &protected_from);
                if (r == 0)
                        r = partials_remove(
                                s, quota_bytes == 0 ? INT64_MAX : time(NULL) - PARTIAL_AGE_S, &freed);
                kiln_fd_lock(s->gate_fd, LOCK_UN);
        }
        if (r == 0)
                r = items_walk(s->files_fd, ".", WALK_DEPTH_MAX, &files);
        if (r == 0)
                r = items_walk(s->root_fd, "../solv", 0, &files);
        if (r < 0)
                return kiln_error_set(
                        err, KILN_INFRA, -r, "collecting", s->context->cache_dir, "cannot read the store");
        if (files.n > 0)
                qsort(files.items, files.n, sizeof(*files.items), compare_used);
        total = items_bytes(&files);
        for (size_t i = 0; i < files.n && total > quota_bytes; i++) {
                r = kiln_context_check(s->context, "collecting", err);
                if (r < 0)
                        return r;
                r = item_remove(s, &files.items[i], &protected_from);
                if (r < 0)
                        return kiln_error_set(
                                err, KILN_INFRA, -r, "collecting", files.items[i].path, "cannot remove it");
                if (r == 0) {
                        total -= files.items[i].bytes;
                        freed += files.items[i].bytes;
                }
        }
        facts_remove(s);
        *ret_freed_bytes = freed;
        return 0;
}

static uint64_t bytes_below(struct kiln_store *s, const char *path)
{
        uint64_t bytes = 0;

        return kiln_tree_size(s->root_fd, path, &bytes) == 0 ? bytes : 0;
}

int kiln_store_stat(struct kiln_store *s, struct kiln_store_stat *ret, struct kiln_error *err)
{
        _cleanup_(items_clear) struct items files = {0};
        struct kiln_store_stat st = {0};
        int r = items_walk(s->files_fd, ".", WALK_DEPTH_MAX, &files);

        if (r < 0)
                return kiln_error_set(
                        err, KILN_INFRA, -r, "measuring", s->context->cache_dir, "cannot read the store");
        st.files = files.n;
        st.bytes = items_bytes(&files);
        st.metadata_bytes =
                bytes_below(s, "../solv") + bytes_below(s, "../metadata") + bytes_below(s, "../facts");
        *ret = st;
        return 0;
}
