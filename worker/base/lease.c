/* A directory, its lease and the lease's lock cannot be made in one step. The parent directory's own lock is
 * held shared meanwhile; whoever gets it exclusively knows that a directory without a lease, or with one that
 * nobody holds, was left by a kill (or by one in the middle of a removal) and will never get an owner. */
#include "worker/base/lease.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

static int open_directory(int parent_fd)
{
        /* A description of its own: the lock must not be shared with other users of parent_fd. */
        int fd = openat(parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

int kiln_lease_make(int parent_fd, const char *prefix, char **ret_name, int *ret_dir_fd, int *ret_lease_fd)
{
        _cleanup_close_ int gate = open_directory(parent_fd), dir = -1, lease = -1;
        _cleanup_free_ char *name = NULL;
        int r;

        if (gate < 0)
                return gate;
        r = kiln_fd_lock(gate, LOCK_SH);
        if (r < 0)
                return r;
        dir = kiln_dir_make_temp(parent_fd, prefix, &name);
        if (dir < 0)
                return dir;
        lease = openat(dir, "lease", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (lease < 0 || flock(lease, LOCK_EX | LOCK_NB) < 0) {
                r = -errno;
                kiln_tree_remove(parent_fd, name);
                return r;
        }
        *ret_name = TAKE_PTR(name);
        *ret_dir_fd = TAKE_FD(dir);
        *ret_lease_fd = TAKE_FD(lease);
        return 0;
}

bool kiln_lease_is_dead(int parent_fd, const char *name, int *ret_lease_fd)
{
        _cleanup_free_ char *path = kiln_asprintf("%s/lease", name);
        _cleanup_close_ int gate = open_directory(parent_fd), lease = -1;

        if (gate < 0 || flock(gate, LOCK_EX | LOCK_NB) < 0)
                return false;
        lease = openat(parent_fd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (lease < 0 && errno == ENOENT) {
                *ret_lease_fd = -1;
                return true;
        }
        if (lease < 0 || flock(lease, LOCK_EX | LOCK_NB) < 0)
                return false;
        *ret_lease_fd = TAKE_FD(lease);
        return true;
}
