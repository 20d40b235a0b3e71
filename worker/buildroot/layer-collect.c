/* Counting and removing layers that nobody holds. */
#include "worker/base/file.h"
#include "worker/base/lease.h"
#include "worker/base/mem.h"
#include "worker/buildroot/layer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

struct layer_entry {
        char *name;
        struct timespec used;
        uint64_t bytes;
        bool rubbish;
};

static int entry_compare(const void *a, const void *b)
{
        const struct layer_entry *x = a, *y = b;

        if (x->rubbish != y->rubbish)
                return x->rubbish ? -1 : 1;
        if (x->used.tv_sec != y->used.tv_sec)
                return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
        return x->used.tv_nsec < y->used.tv_nsec ? -1 : x->used.tv_nsec > y->used.tv_nsec;
}

struct size_call {
        int fd, out;
};

static int size_in_map(void *arg)
{
        struct size_call *s = arg;
        uint64_t bytes = 0;
        int r = kiln_tree_size(s->fd, ".", &bytes);

        if (r < 0 || write(s->out, &bytes, sizeof(bytes)) != sizeof(bytes))
                return 1;
        return 0;
}

/* Trees of mapped ids may hold directories that only those ids can read; the layer's own directory may be one
 * that they cannot even pass through. */
static uint64_t layer_bytes(const struct kiln_idmap *map, int layers_fd, const char *name)
{
        _cleanup_free_ char *path = kiln_path_join(name, "root");
        _cleanup_close_ int root = openat(layers_fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_close_ int in = -1, out = -1;
        struct kiln_sandbox_error serr;
        uint64_t bytes = 0;
        int fds[2];

        if (root < 0)
                return 0;
        /* Root reads any of them; the map found first does not hold the ids of a layer made for others. */
        if (geteuid() == 0)
                return kiln_tree_size(root, ".", &bytes) == 0 ? bytes : 0;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return 0;
        in = fds[0], out = fds[1];
        struct size_call call = {root, out};
        if (kiln_idmap_call(map, size_in_map, &call, &serr) != 0 ||
                read(in, &bytes, sizeof(bytes)) != sizeof(bytes))
                return 0;
        return bytes;
}

static void entries_free(struct layer_entry *entries, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free(entries[i].name);
        free(entries);
}

static int entries_read(const struct kiln_context *c, const struct kiln_idmap *map, int *ret_fd,
        struct layer_entry **ret, size_t *ret_n, struct kiln_error *err)
{
        _cleanup_free_ char *path = kiln_path_join(c->cache_dir, "layers");
        _cleanup_close_ int fd = kiln_dir_make(AT_FDCWD, path, 0755);
        int scan = fd < 0 ? -1 : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = scan < 0 ? NULL : fdopendir(scan);
        struct dirent *de;

        if (!d)
                return kiln_error_set(err, KILN_INFRA, fd < 0 ? fd : errno, "opening", path, "the layers");
        while ((de = readdir(d))) {
                struct layer_entry *e;
                struct stat st;
                _cleanup_free_ char *lease = kiln_asprintf("%s/lease", de->d_name);

                if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
                        continue;
                e = KILN_APPEND(*ret, *ret_n);
                e->name = kiln_strdup(de->d_name);
                e->rubbish = de->d_name[0] == '.' || fstatat(fd, lease, &st, AT_SYMLINK_NOFOLLOW) < 0;
                if (!e->rubbish)
                        e->used = st.st_mtim;
                e->bytes = layer_bytes(map, fd, e->name);
        }
        closedir(d);
        if (*ret_n)
                qsort(*ret, *ret_n, sizeof(**ret), entry_compare);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int kiln_layers_stat(const struct kiln_context *c, struct kiln_layers_stat *ret, struct kiln_error *err)
{
        _cleanup_close_ int fd = -1;
        struct kiln_sandbox_error serr = {0};
        struct kiln_layers_stat st = {0};
        struct layer_entry *entries = NULL;
        struct kiln_idmap map;
        size_t n = 0;
        int r;

        if (kiln_idmap_find(KILN_ID_AUTO, &map, &serr) < 0)
                return kiln_error_from_sandbox(err, &serr, "looking at", "the layers");
        r = entries_read(c, &map, &fd, &entries, &n, err);
        for (size_t i = 0; i < n; i++) {
                st.layers += !entries[i].rubbish;
                st.bytes += entries[i].bytes;
        }
        entries_free(entries, n);
        if (r == 0)
                *ret = st;
        return r;
}

/* Takes the lease of one that nobody holds; false: in use. One that is being made (".new-…") may not have it
 * yet. */
static bool layer_take(int fd, const char *name, int *ret_lease)
{
        _cleanup_free_ char *path = kiln_asprintf("%s/lease", name);
        _cleanup_close_ int lease = -1;

        if (name[0] == '.')
                return kiln_lease_is_dead(fd, name, ret_lease);
        lease = openat(fd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (lease >= 0 && flock(lease, LOCK_EX | LOCK_NB) < 0)
                return false;
        *ret_lease = TAKE_FD(lease);
        return true;
}

/* Removes one when nobody holds it: renamed first, so that nobody finds it half gone. 1: in use. */
static int layer_remove(const struct kiln_idmap *map, int fd, const char *name, struct kiln_error *err)
{
        _cleanup_free_ char *aside = kiln_asprintf(".old-%s", name),
                            *lease_path = kiln_asprintf("%s/lease", aside);
        _cleanup_close_ int lease = -1;
        struct kiln_sandbox_error serr = {0};

        if (!layer_take(fd, name, &lease))
                return 1;
        if (name[0] != '.') {
                if (renameat(fd, name, fd, aside) < 0)
                        return kiln_error_set(err, KILN_INFRA, errno, "removing layer", name, "rename");
                name = aside;
                /* Who waits for it in layer_lease() sees that the layer is gone, even if some of it stays. */
                (void)unlinkat(fd, lease_path, 0);
        }
        if (kiln_idmap_rmtree(map, fd, name, &serr) < 0)
                return kiln_error_from_sandbox(err, &serr, "removing layer", name);
        return 0;
}

int kiln_layers_collect(const struct kiln_context *c, uint64_t quota_bytes, uint64_t *ret_freed_bytes,
        uint64_t *ret_left_bytes, struct kiln_error *err)
{
        _cleanup_close_ int fd = -1;
        struct kiln_sandbox_error serr = {0};
        struct layer_entry *entries = NULL;
        struct kiln_idmap map;
        uint64_t total = 0, freed = 0;
        size_t n = 0;
        int r;

        if (kiln_idmap_find(KILN_ID_AUTO, &map, &serr) < 0)
                return kiln_error_from_sandbox(err, &serr, "collecting", "layers");
        r = entries_read(c, &map, &fd, &entries, &n, err);
        for (size_t i = 0; i < n; i++)
                total += entries[i].bytes;
        for (size_t i = 0; i < n && r >= 0; i++) {
                /* Nothing may stay: not one whose size could not be found either. */
                if (!entries[i].rubbish && quota_bytes > 0 && total <= quota_bytes)
                        break;
                r = layer_remove(&map, fd, entries[i].name, err);
                if (r == 0) {
                        total -= entries[i].bytes;
                        freed += entries[i].bytes;
                }
        }
        entries_free(entries, n);
        if (r < 0)
                return r;
        *ret_freed_bytes = freed;
        *ret_left_bytes = total;
        return 0;
}
