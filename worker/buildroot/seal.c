/* Counting a layer's entries, inside the mapping that owns them. */
#include "worker/buildroot/seal.h"

#include "worker/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 256

/* Directory entries below fd, which is closed. */
static int entries_count(int fd, unsigned depth, uint64_t *count)
{
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *de;
        int r = 0;

        if (!d) {
                r = -errno;
                if (fd >= 0)
                        close(fd);
                return r;
        }
        while (r == 0 && (errno = 0, de = readdir(d))) {
                if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
                        continue;
                (*count)++;
                if (de->d_type != DT_DIR)
                        continue;
                r = depth >= DEPTH_MAX
                            ? -ELOOP
                            : entries_count(openat(dirfd(d), de->d_name,
                                                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                                      depth + 1, count);
        }
        if (r == 0 && errno)
                r = -errno;
        closedir(d);
        return r;
}

struct count_call {
        int root_fd, out;
};

static int count_in_map(void *arg)
{
        const struct count_call *c = arg;
        uint64_t count = 0;

        if (entries_count(openat(c->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0, &count) < 0)
                return 1;
        return write(c->out, &count, sizeof(count)) == sizeof(count) ? 0 : 1;
}

static int count_tree(const struct kiln_idmap *map, int root_fd, uint64_t *ret)
{
        _cleanup_close_ int in = -1, out = -1;
        struct kiln_sandbox_error serr;
        uint64_t count;
        int fds[2], r;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        in = fds[0], out = fds[1];
        struct count_call call = {root_fd, out};
        r = kiln_idmap_call(map, count_in_map, &call, &serr);
        if (r < 0)
                return r;
        /* A directory that went away while it was counted is as missing as one that went before. */
        if (r > 0)
                return -ESTALE;
        if (read(in, &count, sizeof(count)) != sizeof(count))
                return -EIO;
        *ret = count;
        return 0;
}

static int seal_text(const struct kiln_idmap *map, int root_fd, char text[32])
{
        uint64_t count;
        int r = count_tree(map, root_fd, &count);

        if (r == 0)
                snprintf(text, 32, "entries %llu\n", (unsigned long long)count);
        return r;
}

int seal_write(const struct kiln_idmap *map, int root_fd, int lease_fd)
{
        char text[32];
        int r = seal_text(map, root_fd, text);

        if (r < 0)
                return r;
        if (pwrite(lease_fd, text, strlen(text), 0) != (ssize_t)strlen(text))
                return errno ? -errno : -EIO;
        return 0;
}

int seal_check(const struct kiln_idmap *map, int root_fd, int lease_fd)
{
        char wanted[32] = "", text[32];
        struct stat st;
        ssize_t n;
        int r;

        if (fstat(lease_fd, &st) < 0)
                return -errno;
        if (st.st_nlink == 0)
                return -ESTALE;
        n = pread(lease_fd, wanted, sizeof(wanted) - 1, 0);
        if (n < 0)
                return -errno;
        r = seal_text(map, root_fd, text);
        if (r < 0)
                return r;
        return strcmp(wanted, text) == 0 ? 0 : -ESTALE;
}
