/* Finding, making, leasing and checking layers. */
#include "worker/base/file.h"
#include "worker/base/lease.h"
#include "worker/base/mem.h"
#include "worker/buildroot/layer_private.h"
#include "worker/buildroot/seal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* Raised whenever the same inputs would give another tree. */
#define LAYER_FORMAT 3

void kiln_root_init(struct kiln_root *r)
{
        *r = (struct kiln_root){0};
        for (size_t i = 0; i < KILN_ROOT_LAYERS_MAX; i++)
                r->lower_fds[i] = r->lease_fds[i] = -1;
}

void kiln_root_close(struct kiln_root *r)
{
        for (size_t i = 0; i < KILN_ROOT_LAYERS_MAX; i++) {
                kiln_closep(&r->lower_fds[i]);
                kiln_closep(&r->lease_fds[i]);
        }
        kiln_root_init(r);
}

int kiln_error_from_sandbox(
        struct kiln_error *err, const struct kiln_sandbox_error *e, const char *doing, const char *subject)
{
        if (e->errnum == ECANCELED) /* before the program ran; afterwards it is a result */
                return kiln_error_set(err, KILN_CANCELLED, ECANCELED, doing, subject, "cancelled");
        kiln_error_set(err, e->refused ? KILN_REFUSED : KILN_INFRA, e->errnum, doing, subject, "%s: %s",
                e->step, e->message);
        if (e->advice[0])
                kiln_error_advise(err, "%s", e->advice);
        return e->errnum ? -e->errnum : -EIO;
}

struct kiln_lock *kiln_lock_base(const struct kiln_lock *l)
{
        struct kiln_lock *base = kiln_lock_copy(l);
        size_t n = 0;

        for (size_t i = 0; i < base->n_packages; i++) {
                if (base->packages[i].layer == KILN_LOCK_DELTA)
                        kiln_locked_package_clear(&base->packages[i]);
                else
                        base->packages[n++] = base->packages[i];
        }
        base->n_packages = n;
        return base;
}

/* (lock, parent's key, install options, id mode, layer format) */
static void layer_key(const struct layer_job *j, const struct kiln_lock *lock, unsigned layers,
        char key[KILN_DIGEST_HEX + 1])
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
        struct kiln_digest d = kiln_lock_layer_digest(lock, layers);
        char hex[KILN_DIGEST_HEX + 1];

        kiln_digest_to_hex(&d, hex);
        kiln_buf_printf(&b, "kiln layer %d\npackages %s\nparent %s\nids %s %u %u %u\ndbpath %s\n",
                LAYER_FORMAT, hex, j->parent ? j->parent->key : "", kiln_id_mode_name(j->map->mode),
                j->map->outer_uid, j->map->owner_uid, j->map->count, j->toolchain->dbpath);
        for (char **a = j->toolchain->install_args; a && *a; a++)
                kiln_buf_printf(&b, "argument %s\n", *a);
        d = kiln_digest_of(b.data, b.len);
        kiln_digest_to_hex(&d, key);
}

/* Opens a finished layer and takes a shared lease. 0, or -ENOENT. */
static int layer_lease(int layers_fd, const char *key, int *ret_root, int *ret_lease)
{
        _cleanup_close_ int dir = openat(layers_fd, key, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        _cleanup_close_ int lease = dir < 0 ? -1 : openat(dir, "lease", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        _cleanup_close_ int root = -1;

        if (lease < 0)
                return errno == ENOENT ? -ENOENT : -errno;
        if (flock(lease, LOCK_SH) < 0)
                return -errno;
        /* A collector may have won between open and flock: then the tree is going or gone. */
        root = openat(dir, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (root < 0 || !kiln_file_exists(dir, "lease"))
                return -ENOENT;
        futimens(lease, NULL);
        *ret_root = TAKE_FD(root);
        *ret_lease = TAKE_FD(lease);
        return 0;
}

/* Nobody finds it any more; who has it open keeps it until the next collection. *ret_name: what it is called
 * now; NULL when it was not there. */
static int layer_put_aside(int layers_fd, const char *key, char **ret_name)
{
        _cleanup_free_ char *aside = NULL;
        int fd = kiln_dir_make_temp(layers_fd, ".old-", &aside);

        if (fd < 0)
                return fd;
        close(fd);
        /* Over an empty directory. */
        *ret_name = NULL;
        if (renameat(layers_fd, key, layers_fd, aside) == 0) {
                *ret_name = TAKE_PTR(aside);
                return 0;
        }
        int r = errno == ENOENT ? 0 : -errno;
        (void)unlinkat(layers_fd, aside, AT_REMOVEDIR);
        return r;
}

/* Another process may have been faster; what is there without a lease is what somebody left of a layer. */
static int layer_place(int layers_fd, const char *name, const char *key)
{
        for (int tries = 0; tries < 3; tries++) {
                _cleanup_close_ int root = -1, lease = -1;
                _cleanup_free_ char *aside = NULL;
                int r;

                if (renameat2(layers_fd, name, layers_fd, key, RENAME_NOREPLACE) == 0)
                        return 0;
                if (errno != EEXIST)
                        return -errno;
                r = layer_lease(layers_fd, key, &root, &lease);
                if (r != -ENOENT)
                        return r;
                r = layer_put_aside(layers_fd, key, &aside);
                if (r < 0)
                        return r;
        }
        return -EBUSY;
}

/* What a process that died left of a layer in the making. The lease's holder is alive. */
static void layers_sweep(const struct layer_job *j, int layers_fd)
{
        int scan = openat(layers_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = scan < 0 ? NULL : fdopendir(scan);
        struct kiln_sandbox_error serr;
        struct dirent *de;

        while (d && (de = readdir(d))) {
                _cleanup_close_ int lease = -1;

                if (strncmp(de->d_name, ".new-", 5) != 0 && strncmp(de->d_name, ".old-", 5) != 0)
                        continue;
                if (kiln_lease_is_dead(layers_fd, de->d_name, &lease))
                        kiln_idmap_rmtree(j->map, layers_fd, de->d_name, &serr);
        }
        if (d)
                closedir(d);
}

/* Makes the layer aside and renames it to its key. */
static int layer_make(struct layer_job *j, int layers_fd, const char *key, struct kiln_error *err)
{
        _cleanup_free_ char *name = NULL;
        _cleanup_close_ int dir = -1, lease = -1;
        struct kiln_sandbox_error serr = {0};
        int r;

        r = kiln_lease_make(layers_fd, ".new-", &name, &dir, &lease);
        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, r, "making", "a layer's directory", "below the cache");
        r = layer_fill(j, dir, lease, err);
        if (r == 0) {
                r = layer_place(layers_fd, name, key);
                if (r < 0)
                        kiln_error_set(err, KILN_INFRA, r, "finishing", "a layer", "rename");
        }
        if (r < 0 || kiln_file_exists(layers_fd, name)) {
                kiln_idmap_rmtree(j->map, layers_fd, name, &serr);
                return r;
        }
        return fsync(layers_fd) < 0 ? kiln_error_set(err, KILN_INFRA, errno, "finishing", "a layer", "fsync")
                                    : 0;
}

static int layer_get(struct layer_job *j, int layers_fd, const struct kiln_lock *lock, unsigned layers,
        struct kiln_root *into, struct kiln_error *err)
{
        char key[KILN_DIGEST_HEX + 1];
        int root = -1, lease = -1, r;

        layer_key(j, lock, layers, key);
        r = layer_lease(layers_fd, key, &root, &lease);
        if (r == -ENOENT) {
                into->cached = false;
                r = layer_make(j, layers_fd, key, err);
                if (r < 0)
                        return r;
                r = layer_lease(layers_fd, key, &root, &lease);
        }
        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, r, "opening", "a layer", "%s", key);
        memmove(into->lower_fds + 1, into->lower_fds, sizeof(int) * (KILN_ROOT_LAYERS_MAX - 1));
        memmove(into->lease_fds + 1, into->lease_fds, sizeof(int) * (KILN_ROOT_LAYERS_MAX - 1));
        into->lower_fds[0] = root;
        into->lease_fds[0] = lease;
        into->n_layers++;
        memmove(into->keys[1], into->keys[0], sizeof(into->keys) - sizeof(into->keys[0]));
        memcpy(into->keys[0], key, sizeof(key));
        memcpy(into->key, key, sizeof(key));
        return 0;
}

static void job_select(struct layer_job *j, const struct kiln_lock *lock, unsigned layers)
{
        j->n_packages = 0;
        for (size_t i = 0; i < lock->n_packages; i++)
                if (layers & (1u << lock->packages[i].layer))
                        j->packages[j->n_packages++] = &lock->packages[i];
}

int kiln_root_open(const struct kiln_context *c, struct kiln_store *s, const struct kiln_toolchain *t,
        const struct kiln_lock *lock, const struct kiln_idmap *map, const struct kiln_root_log *log,
        struct kiln_root *ret, struct kiln_error *err)
{
        const unsigned base = 1u << KILN_LOCK_BOOTSTRAP | 1u << KILN_LOCK_BASE, delta = 1u << KILN_LOCK_DELTA;
        _cleanup_free_ char *path = kiln_path_join(c->cache_dir, "layers");
        _cleanup_close_ int layers_fd = kiln_dir_make(AT_FDCWD, path, 0755);
        _cleanup_free_ const struct kiln_locked_package **packages =
                kiln_calloc(lock->n_packages + 1, sizeof(*packages));
        _cleanup_root_ struct kiln_root root;
        struct layer_job j = {
                .context = c, .store = s, .toolchain = t, .map = map, .log = log, .packages = packages};
        int r;

        kiln_root_init(&root);
        root.cached = true;
        if (layers_fd < 0)
                return kiln_error_set(err, KILN_INFRA, layers_fd, "opening", path, "the layers");
        layers_sweep(&j, layers_fd);
        j.what = lock->full ? "the build root" : "the base layer";
        job_select(&j, lock, lock->full ? base | delta : base);
        r = layer_get(&j, layers_fd, lock, lock->full ? base | delta : base, &root, err);
        if (r == 0 && !lock->full) {
                job_select(&j, lock, delta);
                j.what = "the delta layer";
                j.parent = &root;
                if (j.n_packages > 0) {
                        struct kiln_root parent = root;

                        j.parent = &parent;
                        r = layer_get(&j, layers_fd, lock, delta, &root, err);
                }
        }
        kiln_buf_clear(&j.tail);
        if (r < 0)
                return r;
        *ret = root;
        kiln_root_init(&root);
        return 0;
}

/* A layer that is no longer whole, which this process has a lease on: gone at once when nobody else has. */
static void layer_discard(
        const struct kiln_root *root, size_t layer, const struct kiln_idmap *map, const char *path)
{
        _cleanup_close_ int layers_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ char *aside = NULL;
        struct kiln_sandbox_error serr;

        if (layers_fd >= 0 && layer_put_aside(layers_fd, root->keys[layer], &aside) == 0 && aside &&
                flock(root->lease_fds[layer], LOCK_EX | LOCK_NB) == 0)
                kiln_idmap_rmtree(map, layers_fd, aside, &serr);
}

int kiln_root_check(const struct kiln_context *c, const struct kiln_root *root, const struct kiln_idmap *map,
        struct kiln_error *err)
{
        _cleanup_free_ char *path = kiln_path_join(c->cache_dir, "layers");

        for (size_t i = 0; i < root->n_layers; i++) {
                int r = seal_check(map, root->lower_fds[i], root->lease_fds[i]);

                if (r == 0)
                        continue;
                if (r == -ESTALE)
                        layer_discard(root, i, map, path);
                kiln_error_set(err, KILN_INFRA, -r, "checking layer", root->keys[i],
                        r == -ESTALE ? "a part of it was removed while it was built with"
                                     : "cannot be counted");
                kiln_error_advise(err, "Run the same command again: the layer is made anew.");
                return r;
        }
        return 0;
}
