/* The store's directory: looking up, adding, leases. What arrives over the network comes in through fetch.c,
 * what leaves goes out through collect.c.
 *
 * Must never show a file under its digest's name before all of its bytes are hashed and synced. */
#include "worker/buildroot/store.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/buildroot/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

/* A partial that another process renames away while we wait for its lock is tried again this often. */
#define REOPEN_MAX 16

void store_path(const struct kiln_digest *d, char path[STORE_PATH_MAX])
{
        char hex[KILN_DIGEST_HEX + 1];

        kiln_digest_to_hex(d, hex);
        snprintf(path, STORE_PATH_MAX, "%.2s/%.2s/%s", hex, hex + 2, hex);
}

static void random_name(char *out, size_t size, const char *prefix)
{
        uint64_t r[2] = {0, 0};

        if (getrandom(r, sizeof(r), 0) != sizeof(r))
                r[0] = (uint64_t)getpid();
        snprintf(out, size, "%s%016llx%016llx", prefix, (unsigned long long)r[0], (unsigned long long)r[1]);
}

static int lease_open(struct kiln_store *s)
{
        _cleanup_close_ int dir_fd = kiln_dir_make(s->root_fd, "lease", 0700);
        _cleanup_close_ int fd = -1;
        char name[64];
        struct stat st;
        int r;

        if (dir_fd < 0)
                return dir_fd;
        random_name(name, sizeof(name), "");
        /* Under the gate: a collector must not find the file before it is locked and take it for a dead
         * one's. */
        r = kiln_fd_lock(s->gate_fd, LOCK_SH);
        if (r < 0)
                return r;
        fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        r = fd < 0 ? -errno : kiln_fd_lock(fd, LOCK_SH);
        if (r == 0 && fstat(fd, &st) < 0)
                r = -errno;
        kiln_fd_lock(s->gate_fd, LOCK_UN);
        if (r < 0)
                return r;
        s->lease_time = st.st_mtim;
        s->lease_name = kiln_asprintf("lease/%s", name);
        s->lease_fd = TAKE_FD(fd);
        return 0;
}

static int store_open(struct kiln_store *s, const char *path)
{
        int r;

        s->root_fd = kiln_dir_make(AT_FDCWD, path, 0755);
        if (s->root_fd < 0)
                return s->root_fd;
        s->files_fd = kiln_dir_make(s->root_fd, "sha256", 0755);
        if (s->files_fd < 0)
                return s->files_fd;
        s->partial_fd = kiln_dir_make(s->root_fd, "partial", 0700);
        if (s->partial_fd < 0)
                return s->partial_fd;
        s->gate_fd = openat(s->root_fd, "gate", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (s->gate_fd < 0)
                return -errno;
        r = lease_open(s);
        if (r == 0)
                store_sweep(s);
        return r;
}

int kiln_store_open(const struct kiln_context *c, struct kiln_store **ret, struct kiln_error *err)
{
        _cleanup_(kiln_store_closep) struct kiln_store *s = kiln_calloc(1, sizeof(*s));
        _cleanup_free_ char *path = kiln_path_join(c->cache_dir, "store");
        int r;

        s->context = c;
        s->root_fd = s->files_fd = s->partial_fd = s->gate_fd = s->lease_fd = -1;
        s->stall_s = 30;
        s->connect_s = 15;
        s->backoff_ms = 1000;
        s->rounds = 3;
        r = store_open(s, path);
        if (r < 0) {
                kiln_error_set(err, KILN_INFRA, -r, "opening the store", path, "cannot make or open it");
                kiln_error_advise(err, "Set KILN_CACHE to a directory that is yours and has room.");
                return r;
        }
        *ret = TAKE_PTR(s);
        return 0;
}

void kiln_store_close(struct kiln_store *s)
{
        if (!s)
                return;
        if (s->lease_name)
                unlinkat(s->root_fd, s->lease_name, 0);
        free(s->lease_name);
        fetch_shutdown(s->multi);
        kiln_closep(&s->lease_fd);
        kiln_closep(&s->gate_fd);
        kiln_closep(&s->partial_fd);
        kiln_closep(&s->files_fd);
        kiln_closep(&s->root_fd);
        free(s);
}

/* Marks the file as used now, and never earlier than our lease's begin: a clock that was set back must not
 * make it look unused. */
static void touch(const struct kiln_store *s, int fd)
{
        struct timespec times[2] = {{0, 0}, {0, UTIME_OMIT}};

        clock_gettime(CLOCK_REALTIME, &times[0]);
        if (times[0].tv_sec <= s->lease_time.tv_sec) {
                times[0] = s->lease_time;
                times[0].tv_sec++;
        }
        /* Another user's file cannot be touched: it is then merely collected earlier. */
        (void)futimens(fd, times);
}

int store_find_sized(struct kiln_store *s, const struct kiln_digest *d, uint64_t size_bytes, int *ret_fd)
{
        _cleanup_close_ int fd = -1;
        char path[STORE_PATH_MAX];
        struct stat st;
        int r;

        store_path(d, path);
        r = kiln_fd_lock(s->gate_fd, LOCK_SH);
        if (r < 0)
                return r;
        fd = openat(s->files_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        r = fd < 0 ? -errno : 0;
        if (r == 0 && fstat(fd, &st) < 0)
                r = -errno;
        if (r == 0 && (!S_ISREG(st.st_mode) || (size_bytes && (uint64_t)st.st_size != size_bytes))) {
                kiln_sink_warning(&s->context->sink, "store: %s is damaged (wrong size), removed", path);
                r = unlinkat(s->files_fd, path, 0) < 0 && errno != ENOENT ? -errno : -ENOENT;
        }
        if (r == 0)
                touch(s, fd);
        kiln_fd_lock(s->gate_fd, LOCK_UN);
        if (r == -ENOENT)
                return KILN_STORE_ABSENT;
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int kiln_store_find(struct kiln_store *s, const struct kiln_digest *d, int *ret_fd)
{
        return store_find_sized(s, d, 0, ret_fd);
}

int kiln_store_find_verified(struct kiln_store *s, const struct kiln_digest *d, int *ret_fd)
{
        _cleanup_close_ int fd = -1;
        struct kiln_digest real;
        char path[STORE_PATH_MAX];
        int r = kiln_store_find(s, d, &fd);

        if (r != 0)
                return r;
        r = kiln_digest_of_fd(fd, &real, NULL);
        if (r < 0)
                return r;
        if (!kiln_digest_equal(&real, d)) {
                store_path(d, path);
                kiln_sink_warning(&s->context->sink, "store: %s is damaged (wrong content), removed", path);
                if (unlinkat(s->files_fd, path, 0) < 0 && errno != ENOENT)
                        return -errno;
                return KILN_STORE_ABSENT;
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* Locks an open partial. 1; 0 when its last owner finished (renamed it) or a collector removed it between
 * open and lock; -EWOULDBLOCK when another process works on it. */
static int partial_lock(struct kiln_store *s, int fd, const char *name)
{
        struct stat mine, there;
        int r = kiln_fd_lock(fd, LOCK_EX | LOCK_NB);

        if (r < 0)
                return r;
        if (fstat(fd, &mine) < 0)
                return -errno;
        return fstatat(s->partial_fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
               mine.st_ino == there.st_ino && mine.st_dev == there.st_dev;
}

/* A partial that is read-only already: store_partial_commit() is about to rename it, or was killed just then.
 */
static int partial_make_writable(struct kiln_store *s, const char *name)
{
        _cleanup_close_ int fd = openat(s->partial_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        int r;

        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        r = partial_lock(s, fd, name);
        if (r <= 0)
                return r;
        return fchmod(fd, 0600) < 0 ? -errno : 0;
}

static int partial_open(struct kiln_store *s, const char *name)
{
        for (int tries = 0; tries < REOPEN_MAX; tries++) {
                _cleanup_close_ int fd =
                        openat(s->partial_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
                int r = fd < 0 ? -errno : partial_lock(s, fd, name);

                if (r == -EACCES)
                        r = partial_make_writable(s, name);
                if (r < 0)
                        return r;
                if (r > 0)
                        return TAKE_FD(fd);
        }
        return -EWOULDBLOCK;
}

int store_partial_open(struct kiln_store *s, const char *name)
{
        int fd, r = kiln_fd_lock(s->gate_fd, LOCK_SH); /* no sweep between its making and its locking */

        if (r < 0)
                return r;
        fd = partial_open(s, name);
        kiln_fd_lock(s->gate_fd, LOCK_UN);
        return fd;
}

int store_partial_commit(struct kiln_store *s, int fd, const char *name, const struct kiln_digest *d)
{
        _cleanup_close_ int dir_fd = -1;
        char path[STORE_PATH_MAX], parent[8];
        int r;

        store_path(d, path);
        snprintf(parent, sizeof(parent), "%.5s", path);
        if (fchmod(fd, 0444) < 0 || fsync(fd) < 0)
                return -errno;
        touch(s, fd);
        dir_fd = kiln_dir_make(s->files_fd, parent, 0755);
        if (dir_fd < 0)
                return dir_fd;
        /* Over whatever is there: it has the same content or is damaged. */
        r = renameat(s->partial_fd, name, dir_fd, path + 6) < 0 ? -errno : 0;
        if (r == 0 && fsync(dir_fd) < 0)
                r = -errno;
        return r;
}

int store_write_error(struct kiln_store *s, int errnum, const char *name, struct kiln_error *err)
{
        bool full = errnum == ENOSPC || errnum == EDQUOT;
        int r = kiln_error_set(err, KILN_INFRA, errnum, "storing", name, "%s %s/store",
                full ? "no room left in" : "cannot write to", s->context->cache_dir);

        if (full)
                kiln_error_advise(err, "Free some space, for instance with `kiln cache gc --quota 10G`.");
        return r;
}

/* ---- adding what is already on this machine */

struct source { /* either a descriptor or bytes */
        int fd;
        const char *data;
        size_t len;
};

static ssize_t source_read(struct source *from, char *chunk, size_t size, off_t offset)
{
        ssize_t n;

        if (from->fd < 0) {
                size_t left = from->len - (size_t)offset;

                n = (ssize_t)(left < size ? left : size);
                if (n == 0)
                        return 0;
                memcpy(chunk, from->data + offset, (size_t)n);
                return n;
        }
        do
                n = pread(from->fd, chunk, size, offset);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

/* Negative errno of reading in *ret_read_error, of writing as the return value. */
static int copy_hashed(struct source *from, int out, struct kiln_digest *ret, int *ret_read_error)
{
        enum { CHUNK = 1 << 18 };
        _cleanup_hasher_ struct kiln_hasher *h = kiln_hasher_new();
        _cleanup_free_ char *chunk = kiln_malloc(CHUNK);
        off_t offset = 0;

        for (;;) {
                ssize_t n = source_read(from, chunk, CHUNK, offset);
                int r;

                if (n < 0)
                        return *ret_read_error = (int)n, 0;
                if (n == 0)
                        break;
                kiln_hasher_update(h, chunk, (size_t)n);
                r = kiln_fd_write(out, chunk, (size_t)n);
                if (r < 0)
                        return r;
                offset += n;
        }
        *ret = kiln_hasher_finish(h);
        return 0;
}

static int store_add(struct kiln_store *s, struct source *from, const char *name,
        const struct kiln_digest *expected, struct kiln_digest *ret, struct kiln_error *err)
{
        _cleanup_close_ int fd = -1;
        struct kiln_digest d = {{0}};
        char partial[64];
        int r, read_error = 0;

        random_name(partial, sizeof(partial), ".add-");
        fd = store_partial_open(s, partial);
        if (fd < 0)
                return store_write_error(s, -fd, name, err);
        r = copy_hashed(from, fd, &d, &read_error);
        if (r < 0 || read_error < 0) {
                unlinkat(s->partial_fd, partial, 0);
                if (read_error < 0)
                        return kiln_error_set(
                                err, KILN_INFRA, -read_error, "reading", name, "cannot read it");
                return store_write_error(s, -r, name, err);
        }
        if (expected && !kiln_digest_equal(&d, expected)) {
                char want[KILN_DIGEST_HEX + 1], got[KILN_DIGEST_HEX + 1];

                unlinkat(s->partial_fd, partial, 0);
                kiln_digest_to_hex(expected, want);
                kiln_digest_to_hex(&d, got);
                r = kiln_error_set(
                        err, KILN_BAD_INPUT, 0, "storing", name, "its SHA-256 is %s, expected %s", got, want);
                kiln_error_advise(err, "This is another file than the one that was named: get it again.");
                return r;
        }
        r = store_partial_commit(s, fd, partial, &d);
        if (r < 0) {
                unlinkat(s->partial_fd, partial, 0);
                return store_write_error(s, -r, name, err);
        }
        *ret = d;
        return 0;
}

int kiln_store_add(struct kiln_store *s, int fd, const char *name, const struct kiln_digest *expected,
        struct kiln_digest *ret, struct kiln_error *err)
{
        struct source from = {.fd = fd};

        return store_add(s, &from, name, expected, ret, err);
}

int kiln_store_add_bytes(
        struct kiln_store *s, const void *data, size_t len, struct kiln_digest *ret, struct kiln_error *err)
{
        struct source from = {.fd = -1, .data = data, .len = len};
        _cleanup_close_ int there = -1;
        struct kiln_digest d = kiln_digest_of(data, len);

        if (store_find_sized(s, &d, len, &there) == 0 && len > 0) {
                *ret = d;
                return 0;
        }
        return store_add(s, &from, "bytes", NULL, ret, err);
}
