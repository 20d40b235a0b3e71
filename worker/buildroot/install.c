/* Filling a layer inside the sandbox: the target's own rpm installs, run from the layers below.
 *
 * Below a base there is nothing. Then the closure that can run rpm is unpacked into a directory of its own,
 * and takes the place of a layer below for as long as rpm runs. Nothing of it stays: the finished tree has
 * every file from rpm, as after a plain transaction into an empty root, and rpm has no file to replace.
 * (Replacing is dear: ext4 looks for inodes that were not freed in the last minutes.) */
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/buildroot/layer_private.h"
#include "worker/buildroot/seal.h"
#include "worker/buildroot/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define PACKAGES_DIR "/run/kiln/packages"
#define LOG_TAIL_BYTES 4096
/* What an installation may write: a share of what the packages are, whose files take three to ten times their
 * own size. It follows from the lock alone. A build's own limit would make its verdict depend on what layers
 * there are. */
#define INSTALL_DISK_BASE ((uint64_t)2 << 30)
#define INSTALL_DISK_TIMES 32
#define INSTALL_DISK_MAX ((uint64_t)64 << 30)

/* Mounted by the sandbox while rpm runs: neither unpacked nor touched by rpm. */
static const char *const foreign[] = {"/dev", "/proc", "/sys", "/run", NULL};

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

/* Did the file system run full? rpm looks before it begins, in words of its own. */
static bool no_room(const struct layer_job *j, int fd)
{
        const char *said = kiln_buf_str(&j->tail);

        return kiln_fd_is_full(fd, strstr(said, "No space left on device") ||
                                           (strstr(said, " needs ") && strstr(said, " on the / filesystem")));
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
                return kiln_error_set(err, KILN_LIMIT, 0, doing, j->what, "%s limit of %llu%s reached",
                        kiln_sandbox_limit_name(result.limit), (unsigned long long)result.limit_value,
                        kiln_sandbox_limit_unit(result.limit));
        /* Also after a success: a scriptlet may have gone on without a file it could not write. */
        if (no_room(j, s->upper_fd)) {
                r = kiln_error_set(err, KILN_INFRA, ENOSPC, doing, j->what, "no room left below %s",
                        j->context->cache_dir);
                kiln_error_advise(err, "Free some space there, for instance with `kiln cache gc --quota "
                                       "10G`, and run the same "
                                       "command again.");
                return r;
        }
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

static uint64_t disk_limit(const struct layer_job *j)
{
        uint64_t bytes = INSTALL_DISK_BASE;

        for (size_t i = 0; i < j->n_packages; i++) {
                if (j->packages[i]->size_bytes > (INSTALL_DISK_MAX - bytes) / INSTALL_DISK_TIMES)
                        return INSTALL_DISK_MAX;
                bytes += j->packages[i]->size_bytes * INSTALL_DISK_TIMES;
        }
        return bytes;
}

static void sandbox_common(const struct layer_job *j, struct kiln_sandbox *s)
{
        kiln_sandbox_init(s);
        s->idmap = *j->map;
        s->profile = KILN_PROFILE_INSTALL;
        s->cancel_fd = j->context->cancel_fd;
        s->limits.wall_s = 3600;
        s->limits.silence_s = 1800;
        s->limits.disk_bytes = disk_limit(j);
        s->limits.output_bytes = (uint64_t)64 << 20;
}

struct bootstrap_package {
        const char *path;
        uint64_t bytes;
        bool first;
};

static int bootstrap_compare(const void *a, const void *b)
{
        const struct bootstrap_package *x = a, *y = b;

        if (x->first != y->first)
                return x->first ? -1 : 1;
        return x->bytes > y->bytes ? -1 : x->bytes < y->bytes;
}

static int bootstrap_unpack(struct layer_job *j, const struct kiln_sandbox *common, int root_fd,
        char *const *paths, struct kiln_error *err)
{
        _cleanup_free_ struct bootstrap_package *chosen = kiln_calloc(j->n_packages + 1, sizeof(*chosen));
        _cleanup_free_ const char **sorted = kiln_calloc(j->n_packages + 1, sizeof(*sorted));
        struct unpack u = {.paths = sorted, .skip = foreign};
        struct kiln_sandbox s = *common;

        for (size_t i = 0; i < j->n_packages; i++) {
                const struct kiln_locked_package *p = j->packages[i];

                /* The filesystem package brings the links (/bin, /lib64) that the others' paths go through.
                 */
                if (p->layer == KILN_LOCK_BOOTSTRAP)
                        chosen[u.n++] = (struct bootstrap_package){
                                paths[i], p->size_bytes, strcmp(p->name, "filesystem") == 0};
        }
        if (u.n == 0)
                return kiln_error_set(err, KILN_BAD_INPUT, 0, "installing", j->what,
                        "the lock names no package that can run rpm (layer BOOTSTRAP)");
        qsort(chosen, u.n, sizeof(*chosen), bootstrap_compare);
        for (size_t i = 0; i < u.n; i++) {
                sorted[i] = chosen[i].path;
                u.n_first += chosen[i].first;
        }
        s.upper_fd = root_fd;
        s.entry = unpack_entry;
        s.entry_arg = &u;
        return run_inside(j, &s, "unpacking the bootstrap packages of", err);
}

/* Over the layers below, whose topmost is lower_fds[0]. Digests are not checked again: the whole file's was.
 */
static int rpm_install(struct layer_job *j, const struct kiln_sandbox *common, const int *lower_fds,
        size_t n_lower_fds, int root_fd, int work_fd, char *const *paths, struct kiln_error *err)
{
        static const char *const fixed[] = {"/usr/bin/rpm", "-U", "--nosignature", "--nodigest",
                "--nofiledigest", "--noplugins", "--define", "_netsharedpath /dev:/proc:/sys:/run",
                "--define", "_install_langs all"};
        static const char *const env[] = {"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/root",
                "LC_ALL=C.UTF-8", "TZ=UTC", "TERM=dumb", NULL};
        size_t n_args = kiln_strv_length(j->toolchain->install_args), n = 0;
        _cleanup_free_ const char **argv =
                kiln_calloc(KILN_ARRAY_SIZE(fixed) + n_args + j->n_packages + 2, sizeof(*argv));
        _cleanup_free_ char *dbpath = kiln_asprintf("--dbpath=%s", j->toolchain->dbpath);
        struct kiln_sandbox s = *common;

        s.lower_fds = lower_fds;
        s.n_lower_fds = n_lower_fds;
        s.upper_fd = root_fd;
        s.work_fd = work_fd;
        s.upper_volatile = true;
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

/* Links of all packages below dir_fd; *ret_fd is that directory, paths[] what they are called inside. */
static int packages_link(struct layer_job *j, int dir_fd, int *ret_fd, char **paths, struct kiln_error *err)
{
        _cleanup_close_ int packages = kiln_dir_make(dir_fd, "packages", 0755);
        int r = 0;

        if (packages < 0)
                return kiln_error_set(err, KILN_INFRA, packages, "making", "a layer's directory", "mkdir");
        for (size_t i = 0; i < j->n_packages && r == 0; i++) {
                _cleanup_free_ char *name = package_name(j->packages[i]);

                kiln_sink_progress(&j->context->sink, "root", j->packages[i]->nevra, i + 1, j->n_packages);
                paths[i] = kiln_asprintf(PACKAGES_DIR "/%s", name);
                r = package_link(j, packages, j->packages[i], name, err);
        }
        if (r == 0)
                *ret_fd = TAKE_FD(packages);
        return r;
}

/* Empty directories, owned by the mapping's id 0. */
static int scratch_make(const struct layer_job *j, int dir_fd, const char *name, struct kiln_error *err)
{
        struct kiln_sandbox_error serr = {0};
        int fd = kiln_idmap_mkdir(j->map, dir_fd, name, 0, 0, &serr);

        return fd >= 0 ? fd : kiln_error_from_sandbox(err, &serr, "making", "a layer's directory");
}

int layer_fill(struct layer_job *j, int dir_fd, int lease_fd, struct kiln_error *err)
{
        static const char *const scratch[] = {"work", "bootstrap"};
        _cleanup_close_ int root = -1, work = -1, packages = -1, bootstrap = -1;
        _cleanup_strv_ char **paths = kiln_calloc(j->n_packages + 1, sizeof(*paths));
        struct kiln_sandbox_error serr = {0};
        struct kiln_sandbox s;
        int r;

        if ((root = scratch_make(j, dir_fd, "root", err)) < 0 ||
                (work = scratch_make(j, dir_fd, "work", err)) < 0)
                return -EIO;
        r = packages_link(j, dir_fd, &packages, paths, err);
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
        sandbox_common(j, &s);
        s.mounts = mounts;
        s.n_mounts = KILN_ARRAY_SIZE(mounts);
        if (!j->parent) {
                bootstrap = scratch_make(j, dir_fd, "bootstrap", err);
                r = bootstrap < 0 ? -EIO : bootstrap_unpack(j, &s, bootstrap, paths, err);
                if (r < 0)
                        return r;
        }
        r = rpm_install(j, &s, j->parent ? j->parent->lower_fds : &bootstrap,
                j->parent ? j->parent->n_layers : 1, root, work, paths, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < KILN_ARRAY_SIZE(scratch) && r == 0; i++)
                if (kiln_file_exists(dir_fd, scratch[i]))
                        r = kiln_idmap_rmtree(j->map, dir_fd, scratch[i], &serr);
        if (r == 0)
                r = kiln_tree_remove(dir_fd, "packages");
        if (r == 0)
                r = seal_write(j->map, root, lease_fd);
        if (r == 0 && syncfs(dir_fd) < 0)
                r = -errno;
        return r < 0 ? kiln_error_set(err, KILN_INFRA, r, "finishing", "a layer", "sync") : 0;
}
