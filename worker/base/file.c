#include "worker/base/file.h"

#include "worker/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

int kiln_fd_read(int fd, size_t max, struct kiln_buf *out)
{
        char chunk[16384];
        size_t total = 0;

        for (;;) {
                ssize_t n = read(fd, chunk, sizeof(chunk));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return 0;
                total += (size_t)n;
                if (total > max)
                        return -EFBIG;
                kiln_buf_append(out, chunk, (size_t)n);
        }
}

int kiln_file_read(int dir_fd, const char *path, size_t max, struct kiln_buf *out)
{
        /* O_NONBLOCK: a FIFO in the way must not hang us; fstat refuses it. */
        _cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if ((uint64_t)st.st_size > max)
                return -EFBIG;
        return kiln_fd_read(fd, max, out);
}

ssize_t kiln_fd_read_at(int fd, void *data, size_t len, uint64_t offset)
{
        size_t done = 0;

        while (done < len) {
                ssize_t n = pread(fd, (char *)data + done, len - done, (off_t)(offset + done));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                done += (size_t)n;
        }
        return (ssize_t)done;
}

int kiln_fd_lock(int fd, int how)
{
        while (flock(fd, how) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}

int kiln_fd_write(int fd, const void *data, size_t len)
{
        const char *p = data;

        while (len > 0) {
                ssize_t n = write(fd, p, len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                p += n;
                len -= (size_t)n;
        }
        return 0;
}

static void random_suffix(char hex[17])
{
        uint64_t r = 0;

        if (getrandom(&r, sizeof(r), 0) != sizeof(r))
                r = (uint64_t)getpid() * UINT64_C(0x9e3779b97f4a7c15);
        snprintf(hex, 17, "%016llx", (unsigned long long)r);
}

/* Splits path into the directory part (".", when there is none) and the last component, which points into
 * path. */
static char *path_parent(const char *path, const char **ret_base)
{
        const char *slash = strrchr(path, '/');

        *ret_base = slash ? slash + 1 : path;
        if (!slash)
                return kiln_strdup(".");
        if (slash == path)
                return kiln_strdup("/");
        return kiln_strndup(path, (size_t)(slash - path));
}

int kiln_file_write(int dir_fd, const char *path, const void *data, size_t len, mode_t mode)
{
        const char *base;
        _cleanup_free_ char *parent = path_parent(path, &base);
        _cleanup_free_ char *aside = NULL;
        _cleanup_close_ int parent_fd = openat(dir_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int fd = -1;
        char suffix[17];
        int r;

        if (parent_fd < 0)
                return -errno;
        random_suffix(suffix);
        aside = kiln_asprintf(".%s.%s", base, suffix);
        fd = openat(parent_fd, aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd < 0)
                return -errno;
        r = kiln_fd_write(fd, data, len);
        if (r == 0 && (fsync(fd) < 0 || renameat(parent_fd, aside, parent_fd, base) < 0))
                r = -errno;
        if (r < 0) {
                unlinkat(parent_fd, aside, 0);
                return r;
        }
        return fsync(parent_fd) < 0 ? -errno : 0;
}

int kiln_fd_copy(int in, int out, uint64_t *ret_bytes)
{
        _cleanup_free_ char *chunk = NULL;
        off_t offset = 0;

        for (;;) {
                ssize_t n = chunk ? 0 : copy_file_range(in, &offset, out, NULL, 1 << 26, 0);

                if (!chunk && n < 0 &&
                        (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP))
                        chunk = kiln_malloc(256 * 1024);
                else if (!chunk && n < 0 && errno != EINTR)
                        return -errno;
                if (chunk) {
                        n = pread(in, chunk, 256 * 1024, offset);
                        if (n < 0 && errno == EINTR)
                                continue;
                        if (n < 0)
                                return -errno;
                        int r = kiln_fd_write(out, chunk, (size_t)n);
                        if (r < 0)
                                return r;
                        offset += n;
                }
                if (n == 0)
                        break;
        }
        if (ret_bytes)
                *ret_bytes = (uint64_t)offset;
        return 0;
}

int kiln_dir_make(int dir_fd, const char *path, mode_t mode)
{
        _cleanup_free_ char *copy = kiln_strdup(path);

        for (char *p = copy + 1; *p; p++) {
                if (*p != '/')
                        continue;
                *p = '\0';
                if (mkdirat(dir_fd, copy, mode) < 0 && errno != EEXIST)
                        return -errno;
                *p = '/';
        }
        if (mkdirat(dir_fd, copy, mode) < 0 && errno != EEXIST)
                return -errno;
        int fd = openat(dir_fd, copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
}

int kiln_dir_make_temp(int dir_fd, const char *prefix, char **ret_name)
{
        for (int tries = 0; tries < 100; tries++) {
                char suffix[17];
                _cleanup_free_ char *name = NULL;

                random_suffix(suffix);
                name = kiln_asprintf("%s%s", prefix, suffix);
                if (mkdirat(dir_fd, name, 0700) < 0) {
                        if (errno == EEXIST)
                                continue;
                        return -errno;
                }
                int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                if (fd < 0)
                        return -errno;
                *ret_name = TAKE_PTR(name);
                return fd;
        }
        return -EEXIST;
}

/* Empties the directory behind fd (which it takes over); dev is the file system it may not leave. */
static int tree_empty(int fd, dev_t dev)
{
        DIR *d = fdopendir(fd);
        struct dirent *de;
        int r = 0;

        if (!d) {
                r = -errno;
                close(fd);
                return r;
        }
        while (r == 0 && (errno = 0, de = readdir(d))) {
                struct stat st;

                if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
                        continue;
                if (unlinkat(dirfd(d), de->d_name, 0) == 0)
                        continue;
                if (errno != EISDIR && errno != EPERM && errno != EBUSY) {
                        r = errno == ENOENT ? 0 : -errno;
                        continue;
                }
                int saved = errno;
                if (fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                        r = errno == ENOENT ? 0 : -errno;
                        continue;
                }
                if (!S_ISDIR(st.st_mode) || st.st_dev != dev) {
                        r = S_ISDIR(st.st_mode) ? -EXDEV : -saved;
                        continue;
                }
                int child = openat(dirfd(d), de->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                if (child < 0 && errno == EACCES && fchmodat(dirfd(d), de->d_name, 0700, 0) == 0)
                        child = openat(dirfd(d), de->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                if (child < 0) {
                        r = -errno;
                        continue;
                }
                if ((st.st_mode & 0700) != 0700 && fchmod(child, 0700) < 0) {
                        r = -errno;
                        close(child);
                        continue;
                }
                r = tree_empty(child, dev);
                if (r == 0 && unlinkat(dirfd(d), de->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                        r = -errno;
        }
        if (r == 0 && errno)
                r = -errno;
        closedir(d);
        return r;
}

int kiln_tree_remove(int dir_fd, const char *path)
{
        struct stat st;
        int fd, r;

        if (unlinkat(dir_fd, path, 0) == 0 || errno == ENOENT)
                return 0;
        if (fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!S_ISDIR(st.st_mode))
                return -EPERM;
        if ((st.st_mode & 0700) != 0700 && fchmodat(dir_fd, path, 0700, 0) < 0)
                return -errno;
        fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        r = tree_empty(fd, st.st_dev);
        if (r < 0)
                return r;
        return unlinkat(dir_fd, path, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int kiln_tree_size(int dir_fd, const char *path, uint64_t *ret_bytes)
{
        struct stat st;
        uint64_t total;
        int r = 0;

        if (fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        total = (uint64_t)st.st_blocks * 512;
        if (S_ISDIR(st.st_mode)) {
                int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                DIR *d = fd < 0 ? NULL : fdopendir(fd);
                struct dirent *de;

                if (!d) {
                        r = -errno;
                        if (fd >= 0)
                                close(fd);
                        return r;
                }
                while (r == 0 && (de = readdir(d))) {
                        uint64_t below = 0;

                        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
                                continue;
                        r = kiln_tree_size(dirfd(d), de->d_name, &below);
                        if (r == -ENOENT)
                                r = 0;
                        total += below;
                }
                closedir(d);
        }
        if (r == 0)
                *ret_bytes = total;
        return r;
}

bool kiln_fd_is_full(int fd, bool said)
{
        const uint64_t hardly = (uint64_t)1 << 20, little = (uint64_t)1 << 30;
        struct statvfs v;
        uint64_t room;

        if (fstatvfs(fd, &v) < 0)
                return false;
        room = (uint64_t)v.f_bavail * v.f_frsize;
        return room < hardly || (said && room < little) || (v.f_files > 0 && v.f_favail == 0);
}

bool kiln_file_exists(int dir_fd, const char *path)
{
        return faccessat(dir_fd, path, F_OK, 0) == 0;
}

char *kiln_path_join(const char *dir, const char *name)
{
        size_t n = strlen(dir);

        return kiln_asprintf("%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
}

const char *kiln_path_base(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}
