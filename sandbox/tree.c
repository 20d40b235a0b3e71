/* Removing and measuring trees that hostile code wrote.
 *
 * Such trees may be nested a million directories deep, hold directories of mode 0, names of any bytes, and
 * links to anywhere. Nothing here recurses, follows a link, or crosses a mount. */
#include "sandbox/tree.h"
#include "sandbox/util.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

static void dir_closep(DIR **d)
{
        if (*d)
                closedir(*d);
}
#define _dir_ _cleanup_(dir_closep)

/* Opens a directory for reading, making it accessible when its mode forbids that (it is ours to remove). */
static int dir_open(int dir_fd, const char *name)
{
        uint64_t flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        uint64_t resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;
        int fd = sandbox_openat2(dir_fd, name, flags, 0, resolve);

        if (fd >= 0 || errno != EACCES)
                return fd;
        _fd_ int path =
                sandbox_openat2(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0, resolve);
        char magic[32];
        if (path < 0)
                return -1;
        snprintf(magic, sizeof magic, "/proc/self/fd/%d", path);
        if (chmod(magic, 0700) < 0)
                return -1;
        return sandbox_openat2(dir_fd, name, flags, 0, resolve);
}

static bool name_is_dots(const char *name)
{
        return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* A name in `top` that is not taken: directories are lifted there under it. */
static int lift(int from, const char *name, int top, unsigned long *counter)
{
        char lifted[40];

        for (int tries = 0; tries < 100000; tries++) {
                snprintf(lifted, sizeof lifted, ".kiln-lifted-%lu", (*counter)++);
                if (syscall(SYS_renameat2, from, name, top, lifted, 1 /* RENAME_NOREPLACE */) == 0)
                        return 0;
                if (errno != EEXIST)
                        return -errno;
        }
        return -EEXIST;
}

/* Empties the directory `fd`: files are removed, non-empty directories are lifted into `top` for a later
 * round, so depth costs nothing. When fd is top itself (depth 0), each directory is emptied and removed
 * instead. */
static int dir_empty(int fd, int top, unsigned long *counter, bool is_top, bool *again)
{
        _dir_ DIR *d = fdopendir(fd);
        struct dirent *e;
        int r;

        if (!d) {
                r = -errno;
                close(fd);
                return r;
        }
        fchmod(fd, 0700);
        for (;;) {
                errno = 0;
                e = readdir(d);
                if (!e)
                        return errno ? -errno : 0;
                if (name_is_dots(e->d_name))
                        continue;
                if (e->d_type != DT_DIR && unlinkat(fd, e->d_name, 0) == 0)
                        continue;
                if (unlinkat(fd, e->d_name, AT_REMOVEDIR) == 0)
                        continue;
                if (errno == ENOTDIR || errno == ENOENT) {
                        if (errno == ENOTDIR && unlinkat(fd, e->d_name, 0) < 0)
                                return -errno;
                        continue;
                }
                if (errno != ENOTEMPTY && errno != EEXIST)
                        return -errno;
                if (!is_top) {
                        r = lift(fd, e->d_name, top, counter);
                        if (r == -EACCES) { /* rename must write "..": the directory's own mode forbids it */
                                _fd_ int sub = dir_open(fd, e->d_name);
                                if (sub < 0 || fchmod(sub, 0700) < 0)
                                        return -errno;
                                r = lift(fd, e->d_name, top, counter);
                        }
                        if (r < 0)
                                return r;
                        continue;
                }
                int sub = dir_open(fd, e->d_name);
                if (sub < 0)
                        return -errno;
                r = dir_empty(sub, top, counter, false, again);
                if (r < 0)
                        return r;
                if (unlinkat(fd, e->d_name, AT_REMOVEDIR) < 0 && errno != ENOTEMPTY)
                        return -errno;
                *again = true; /* something may have been lifted behind the position read */
        }
}

int tree_remove(int dir_fd, const char *name)
{
        unsigned long counter = 0;
        bool again;

        if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR && errno != EPERM && errno != EACCES)
                return -errno;
        do {
                int fd = dir_open(dir_fd, name);
                if (fd < 0)
                        return errno == ENOENT ? 0 : -errno;
                again = false;
                int r = dir_empty(fd, fd, &counter, true, &again);
                if (r < 0)
                        return r;
        } while (again);
        return unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

int tree_size(int fd, uint64_t *ret_bytes)
{
        DIR **stack = calloc(TREE_DEPTH_MAX, sizeof *stack);
        uint64_t sum = 0;
        size_t depth = 0;
        int r = 0;

        if (!stack)
                return -ENOMEM;
        int top = sandbox_openat2(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, RESOLVE_NO_XDEV);
        stack[0] = top >= 0 ? fdopendir(top) : NULL;
        if (!stack[0]) {
                r = -errno;
                sandbox_close(&top);
                free(stack);
                return r;
        }
        depth = 1;
        while (depth > 0 && r == 0) {
                DIR *d = stack[depth - 1];
                struct dirent *e = readdir(d);
                struct stat st;

                if (!e) {
                        closedir(d);
                        depth--;
                        continue;
                }
                if (name_is_dots(e->d_name) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                sum += (uint64_t)st.st_blocks * 512;
                if (!S_ISDIR(st.st_mode))
                        continue;
                int sub =
                        sandbox_openat2(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                                0, RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH);
                if (sub < 0) {
                        if (errno == EMFILE || errno == ENFILE)
                                r = -ELOOP;
                        continue; /* gone, or renamed into something else meanwhile */
                }
                if (depth == TREE_DEPTH_MAX || !(stack[depth] = fdopendir(sub))) {
                        close(sub);
                        r = -ELOOP;
                        continue;
                }
                depth++;
        }
        while (depth > 0)
                closedir(stack[--depth]);
        free(stack);
        if (r == 0)
                *ret_bytes = sum;
        return r;
}
