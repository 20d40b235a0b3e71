/* Finding, making, leasing and removing layers. */
#include "worker/buildroot/layer.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/buildroot/seal.h"
#include "worker/buildroot/unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* Raised whenever the same inputs would give another tree. */
#define LAYER_FORMAT 2
#define PACKAGES_DIR "/run/kiln/packages"
#define LOG_TAIL_BYTES 4096
#define INSTALL_DISK_BYTES ((uint64_t)64 << 30)

/* Mounted by the sandbox while rpm runs: neither unpacked nor touched by rpm. */
static const char *const foreign[] = {"/dev", "/proc", "/sys", "/run", NULL};

struct layer_job {
        const struct kiln_context *context;
        struct kiln_store *store;
        const struct kiln_toolchain *toolchain;
        const struct kiln_idmap *map;
        const struct kiln_root_log *log;
        const struct kiln_locked_package **packages;
        size_t n_packages;
        const struct kiln_root *parent; /* NULL: an empty root */
        const char *what;               /* "base", "delta": for messages */
        struct kiln_buf tail;           /* last lines of what was printed */
};

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

static void job_output(void *ctx, const void *data, size_t len)
{
        struct layer_job *j = ctx;

        if (j->log && j->log->write)
                j->log->write(j->log->ctx, data, len);
        kiln_buf_append(&j->tail, data, len);
        if (j->tail.len > 2 * LOG_TAIL_BYTES) {
                memmove(j->tail.data, j->tail.data + j->tail.len - LOG_TAIL_BYTES, LOG_TAIL_BYTES);
                j->tail.len = LOG_TAIL_BYTES;
                j->tail.data[j->tail.len] = '\0';
        }
}

/* A hard link of the verified store file, under a name that rpm's messages can show. */
static int package_link(const struct layer_job *j, int packages_fd, const struct kiln_locked_package *p,
        const char *name, struct kiln_error *err)
{
        _cleanup_close_ int fd = -1, copy = -1;
        char magic[40];
        int r = kiln_store_find_verified(j->store, &p->sha256, &fd);

        if (r == KILN_STORE_ABSENT)
                return kiln_error_set(
                        err, KILN_INFRA, ENOENT, "installing", p->nevra, "it is not in the store any more");
        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, r, "reading", p->nevra, "the store");
        snprintf(magic, sizeof(magic), "/proc/self/fd/%d", fd);
        if (linkat(AT_FDCWD, magic, packages_fd, name, AT_SYMLINK_FOLLOW) == 0)
                return 0;
        copy = openat(packages_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
        r = copy < 0 ? -errno : kiln_fd_copy(fd, copy, NULL);
        return r < 0 ? kiln_error_set(err, KILN_INFRA, r, "copying", p->nevra, "for its installation") : 0;
}

static char *package_name(const struct kiln_locked_package *p)
{
        char *name = kiln_asprintf("%s.rpm", p->nevra);

        for (char *s = name; *s; s++)
                if (*s == '/' || (unsigned char)*s <= ' ')
                        *s = '_';
        if (name[0] == '.' || name[0] == '-')
                name[0] = '_';
        return name;
}

static int run_inside(struct layer_job *j, struct kiln_sandbox *s, const char *doing, struct kiln_error *err)
{
        struct kiln_sandbox_result result;
        struct kiln_sandbox_error serr = {0};
        int r;

        kiln_buf_reset(&j->tail);
        s->output = job_output;
        s->output_ctx = j;
        r = kiln_sandbox_run(s, &result, &serr);
        if (r < 0)
                return kiln_error_from_sandbox(err, &serr, doing, j->what);
        if (result.how == KILN_SANDBOX_CANCELLED)
                return kiln_error_set(err, KILN_CANCELLED, ECANCELED, doing, j->what, "cancelled");
        if (result.how == KILN_SANDBOX_LIMITED)
                return kiln_error_set(err, KILN_LIMIT, 0, doing, j->what, "%s limit of %llu reached",
                        kiln_sandbox_limit_name(result.limit), (unsigned long long)result.limit_value);
        if (result.how != KILN_SANDBOX_EXITED || result.status != 0) {
                kiln_error_set(err, KILN_BAD_INPUT, 0, doing, j->what, "%s %d; its last words:\n%s",
                        result.how == KILN_SANDBOX_EXITED ? "exit status" : "killed by signal", result.status,
                        kiln_buf_str(&j->tail));
                kiln_error_advise(
                        err, "The packages of the repository do not install together; root.log has it all.");
                return -EIO;
        }
        return 0;
}

static void sandbox_common(const struct layer_job *j, struct kiln_sandbox *s, int root_fd, int work_fd)
{
        kiln_sandbox_init(s);
        s->idmap = *j->map;
        s->profile = KILN_PROFILE_INSTALL;
        if (j->parent) {
                s->lower_fds = j->parent->lower_fds;
                s->n_lower_fds = j->parent->n_layers;
                s->work_fd = work_fd;
        }
        s->upper_fd = root_fd;
        s->cancel_fd = j->context->cancel_fd;
        s->limits.wall_s = 3600;
        s->limits.silence_s = 1800;
        s->limits.disk_bytes = INSTALL_DISK_BYTES;
        s->limits.output_bytes = (uint64_t)64 << 20;
}

static int bootstrap_unpack(
        struct layer_job *j, const struct kiln_sandbox *common, char *const *paths, struct kiln_error *err)
{
        _cleanup_free_ const char **chosen = kiln_calloc(j->n_packages + 1, sizeof(*chosen));
        struct unpack u = {.paths = chosen, .skip = foreign};
        struct kiln_sandbox s = *common;

        /* The filesystem package brings the links (/bin, /lib64) that the others' paths go through. */
        for (int pass = 0; pass < 2; pass++) {
                for (size_t i = 0; i < j->n_packages; i++) {
                        bool first = strcmp(j->packages[i]->name, "filesystem") == 0;

                        if (j->packages[i]->layer == KILN_LOCK_BOOTSTRAP && first == (pass == 0))
                                chosen[u.n++] = paths[i];
                }
                if (pass == 0)
                        u.n_first = u.n;
        }
        if (u.n == 0)
                return kiln_error_set(err, KILN_BAD_INPUT, 0, "installing", j->what,
                        "the lock names no package that can run rpm (layer BOOTSTRAP)");
        s.entry = unpack_entry;
        s.entry_arg = &u;
        return run_inside(j, &s, "unpacking the bootstrap packages of", err);
}

static int rpm_install(
        struct layer_job *j, const struct kiln_sandbox *common, char *const *paths, struct kiln_error *err)
{
        static const char *const fixed[] = {"/usr/bin/rpm", "-U", "--nosignature", "--noplugins", "--define",
                "_netsharedpath /dev:/proc:/sys:/run", "--define", "_install_langs all"};
        static const char *const env[] = {"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/root",
                "LC_ALL=C.UTF-8", "TZ=UTC", "TERM=dumb", NULL};
        size_t n_args = kiln_strv_length(j->toolchain->install_args), n = 0;
        _cleanup_free_ const char **argv =
                kiln_calloc(KILN_ARRAY_SIZE(fixed) + n_args + j->n_packages + 2, sizeof(*argv));
        _cleanup_free_ char *dbpath = kiln_asprintf("--dbpath=%s", j->toolchain->dbpath);
        struct kiln_sandbox s = *common;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(fixed); i++)
                argv[n++] = fixed[i];
        argv[n++] = dbpath;
        for (size_t i = 0; i < n_args; i++)
                argv[n++] = j->toolchain->install_args[i];
        for (size_t i = 0; i < j->n_packages; i++)
                argv[n++] = paths[i];
        s.argv = argv;
        s.env = env;
        return run_inside(j, &s, "installing the packages of", err);
}

static int layer_fill(struct layer_job *j, int dir_fd, int lease_fd, struct kiln_error *err)
{
        _cleanup_close_ int root = -1, work = -1, packages = -1;
        _cleanup_strv_ char **paths = kiln_calloc(j->n_packages + 1, sizeof(*paths));
        struct kiln_sandbox_error serr = {0};
        struct kiln_sandbox s;
        int r = 0;

        root = kiln_idmap_mkdir(j->map, dir_fd, "root", 0, 0, &serr);
        if (root >= 0 && j->parent)
                work = kiln_idmap_mkdir(j->map, dir_fd, "work", 0, 0, &serr);
        if (root < 0 || (j->parent && work < 0))
                return kiln_error_from_sandbox(err, &serr, "making", "a layer's directory");
        packages = kiln_dir_make(dir_fd, "packages", 0755);
        if (packages < 0)
                return kiln_error_set(err, KILN_INFRA, packages, "making", "a layer's directory", "mkdir");
        for (size_t i = 0; i < j->n_packages && r == 0; i++) {
                _cleanup_free_ char *name = package_name(j->packages[i]);

                kiln_sink_progress(&j->context->sink, "root", j->packages[i]->nevra, i + 1, j->n_packages);
                paths[i] = kiln_asprintf(PACKAGES_DIR "/%s", name);
                r = package_link(j, packages, j->packages[i], name, err);
        }
        if (r < 0)
                return r;

        struct kiln_sandbox_mount mounts[] = {
                {.kind = KILN_MOUNT_TMPFS,
                        .target = "/run",
                        .source_fd = -1,
                        .size_bytes = 64 << 20,
                        .mode = 0755},
                {.kind = KILN_MOUNT_BIND_RO, .target = PACKAGES_DIR, .source_fd = packages},
        };
        sandbox_common(j, &s, root, work);
        s.mounts = mounts;
        s.n_mounts = KILN_ARRAY_SIZE(mounts);
        if (!j->parent)
                r = bootstrap_unpack(j, &s, paths, err);
        if (r == 0)
                r = rpm_install(j, &s, paths, err);
        if (r < 0)
                return r;
        kiln_idmap_rmtree(j->map, dir_fd, "work", &serr);
        r = kiln_tree_remove(dir_fd, "packages");
        if (r == 0)
                r = seal_write(j->map, root, lease_fd);
        if (r == 0 && syncfs(dir_fd) < 0)
                r = -errno;
        return r < 0 ? kiln_error_set(err, KILN_INFRA, r, "finishing", "a layer", "sync") : 0;
}

/* Nobody finds it any more; who has it open keeps it until the next collection. */
static int layer_put_aside(int layers_fd, const char *key)
{
        _cleanup_free_ char *aside = NULL;
        int fd = kiln_dir_make_temp(layers_fd, ".old-", &aside);

        if (fd < 0)
                return fd;
        close(fd);
        /* Over an empty directory. */
        if (renameat(layers_fd, key, layers_fd, aside) == 0)
                return 0;
        int r = errno == ENOENT ? 0 : -errno;
        (void)unlinkat(layers_fd, aside, AT_REMOVEDIR);
        return r;
}

/* Another process may have been faster; what is there without a lease is what somebody left of a layer. */
static int layer_place(int layers_fd, const char *name, const char *key)
{
        for (int tries = 0; tries < 3; tries++) {
                _cleanup_close_ int root = -1, lease = -1;
                int r;

                if (renameat2(layers_fd, name, layers_fd, key, RENAME_NOREPLACE) == 0)
                        return 0;
                if (errno != EEXIST)
                        return -errno;
                r = layer_lease(layers_fd, key, &root, &lease);
                if (r != -ENOENT)
                        return r;
                r = layer_put_aside(layers_fd, key);
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
                _cleanup_free_ char *path = kiln_asprintf("%s/lease", de->d_name);
                _cleanup_close_ int lease = -1;

                if (strncmp(de->d_name, ".new-", 5) != 0 && strncmp(de->d_name, ".old-", 5) != 0)
                        continue;
                lease = openat(layers_fd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
                if (lease >= 0 && flock(lease, LOCK_EX | LOCK_NB) == 0)
                        kiln_idmap_rmtree(j->map, layers_fd, de->d_name, &serr);
        }
        if (d)
                closedir(d);
}

/* Makes the layer aside and renames it to its key. */
static int layer_make(struct layer_job *j, int layers_fd, const char *key, struct kiln_error *err)
{
        _cleanup_free_ char *name = NULL;
        _cleanup_close_ int dir = kiln_dir_make_temp(layers_fd, ".new-", &name), lease = -1;
        struct kiln_sandbox_error serr = {0};
        int r;

        layers_sweep(j, layers_fd);
        if (dir < 0)
                return kiln_error_set(
                        err, KILN_INFRA, dir, "making", "a layer's directory", "below the cache");
        lease = openat(dir, "lease", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (lease < 0 || flock(lease, LOCK_EX | LOCK_NB) < 0)
                r = kiln_error_set(err, KILN_INFRA, errno, "making", "a layer's lease", "below the cache");
        else
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

int kiln_root_check(const struct kiln_context *c, const struct kiln_root *root, const struct kiln_idmap *map,
        struct kiln_error *err)
{
        _cleanup_free_ char *path = kiln_path_join(c->cache_dir, "layers");

        for (size_t i = 0; i < root->n_layers; i++) {
                int r = seal_check(map, root->lower_fds[i], root->lease_fds[i]);
                _cleanup_close_ int layers_fd = -1;

                if (r == 0)
                        continue;
                layers_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (layers_fd >= 0 && r == -ESTALE)
                        layer_put_aside(layers_fd, root->keys[i]);
                kiln_error_set(err, KILN_INFRA, -r, "checking layer", root->keys[i],
                        r == -ESTALE ? "a part of it was removed while it was built with"
                                     : "cannot be counted");
                kiln_error_advise(err, "Run the same command again: the layer is made anew.");
                return r;
        }
        return 0;
}

/* ---- collection
 * ------------------------------------------------------------------------------------------------ */

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
        int fd;
        const char *name;
        int out;
};

static int size_in_map(void *arg)
{
        struct size_call *s = arg;
        uint64_t bytes = 0;
        int r = kiln_tree_size(s->fd, s->name, &bytes);

        if (r < 0 || write(s->out, &bytes, sizeof(bytes)) != sizeof(bytes))
                return 1;
        return 0;
}

/* Trees of mapped ids may hold directories that only those ids can read. */
static uint64_t layer_bytes(const struct kiln_idmap *map, int layers_fd, const char *name)
{
        _cleanup_close_ int in = -1, out = -1;
        struct kiln_sandbox_error serr;
        uint64_t bytes = 0;
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return 0;
        in = fds[0], out = fds[1];
        struct size_call call = {layers_fd, name, out};
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

/* Removes one when nobody holds it: renamed first, so that nobody finds it half gone. 1: in use. */
static int layer_remove(const struct kiln_idmap *map, int fd, const char *name, struct kiln_error *err)
{
        _cleanup_free_ char *lease_path = kiln_asprintf("%s/lease", name),
                            *aside = kiln_asprintf(".old-%s", name);
        _cleanup_close_ int lease = openat(fd, lease_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        struct kiln_sandbox_error serr = {0};

        if (lease >= 0 && flock(lease, LOCK_EX | LOCK_NB) < 0)
                return 1;
        if (name[0] != '.') {
                if (renameat(fd, name, fd, aside) < 0)
                        return kiln_error_set(err, KILN_INFRA, errno, "removing layer", name, "rename");
                name = aside;
                (void)unlinkat(fd, lease_path, 0);
        }
        if (kiln_idmap_rmtree(map, fd, name, &serr) < 0)
                return kiln_error_from_sandbox(err, &serr, "removing layer", name);
        return 0;
}

int kiln_layers_collect(
        const struct kiln_context *c, uint64_t quota_bytes, uint64_t *ret_freed_bytes, struct kiln_error *err)
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
                if (!entries[i].rubbish && total <= quota_bytes)
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
        return 0;
}
