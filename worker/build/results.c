/* What a build made: collected, read and looked at. */
#include "worker/base/mem.h"
#include "worker/build/build_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define RPMS_MAX 4096

int build_output_open(int fd, const char *name, struct kiln_rpm **ret, struct kiln_error *err)
{
        _cleanup_error_ struct kiln_error why = KILN_ERROR_INIT;
        int r = kiln_rpm_open(fd, name, NULL, ret, &why);

        if (r < 0)
                kiln_error_set(err, why.verdict == KILN_BAD_INPUT ? KILN_BUILD_FAILED : why.verdict, 0,
                        "reading what the build made", name, "%s", why.cause);
        return r;
}

void kiln_built_free(struct kiln_built *built, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                kiln_closep(&built[i].fd);
                free(built[i].name);
                kiln_rpm_free(built[i].rpm);
        }
        free(built);
}

static int built_compare(const void *a, const void *b)
{
        return strcmp(((const struct kiln_built *)a)->name, ((const struct kiln_built *)b)->name);
}

/* Opens one file; what a build calls *.rpm must be one, and be called what its header says. */
static int collect_one(int dir_fd, const char *name, struct kiln_built *into, struct kiln_error *err)
{
        _cleanup_free_ char *expected = NULL;
        struct stat st;
        int r;

        into->fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (into->fd < 0 || fstat(into->fd, &st) < 0 || !S_ISREG(st.st_mode))
                return kiln_error_set(err, KILN_BUILD_FAILED, 0, "collecting", name, "not a regular file");
        r = build_output_open(into->fd, name, &into->rpm, err);
        if (r < 0)
                return r;
        expected = kiln_asprintf("%s.%s.rpm", into->rpm->nvr, into->rpm->source ? "src" : into->rpm->arch);
        if (strcmp(expected, name) != 0)
                return kiln_error_set(
                        err, KILN_BUILD_FAILED, 0, "collecting", name, "its header says %s", expected);
        into->name = TAKE_PTR(expected);
        return 0;
}

static int collect_dir(struct kiln_build *b, const char *dir, const char *ending, struct kiln_built **built,
        size_t *n, struct kiln_error *err)
{
        _cleanup_close_ int top =
                openat(b->home_fd, "build", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        int scan = top < 0 ? -1 : openat(top, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        DIR *d = scan < 0 ? NULL : fdopendir(scan);
        struct dirent *de;
        int r = 0;

        if (!d)
                return kiln_error_set(
                        err, KILN_BUILD_FAILED, errno, "collecting", dir, "the output directory");
        while (r == 0 && (de = readdir(d))) {
                size_t len = strlen(de->d_name), e = strlen(ending);

                if (len <= e || strcmp(de->d_name + len - e, ending) != 0 ||
                        strstr(de->d_name, ".buildreqs.nosrc.rpm"))
                        continue;
                if (*n >= RPMS_MAX) {
                        r = kiln_error_set(
                                err, KILN_LIMIT, 0, "collecting", dir, "more than %d packages", RPMS_MAX);
                        break;
                }
                struct kiln_built *one = KILN_APPEND(*built, *n);
                one->fd = -1;
                r = collect_one(dirfd(d), de->d_name, one, err);
        }
        closedir(d);
        return r;
}

int kiln_build_collect(struct kiln_build *b, struct kiln_built **ret, size_t *ret_n, struct kiln_error *err)
{
        struct kiln_built *built = NULL;
        size_t n = 0;
        int r = collect_dir(b, "RPMS", ".rpm", &built, &n, err);

        if (r == 0)
                r = collect_dir(b, "SRPMS", ".src.rpm", &built, &n, err);
        if (r == 0 && n == 0)
                r = kiln_error_set(
                        err, KILN_BUILD_FAILED, 0, "collecting", b->spec, "rpmbuild made no package");
        if (r < 0) {
                kiln_built_free(built, n);
                return r;
        }
        qsort(built, n, sizeof(*built), built_compare);
        *ret = built;
        *ret_n = n;
        return 0;
}

static void no_output(void *ctx, const void *data, size_t len)
{
}

int kiln_build_inspect(struct kiln_build *b, const struct kiln_root *root, int (*entry)(void *arg), void *arg,
        int out_fd, int *ret_status, struct kiln_error *err)
{
        _cleanup_(build_run_clear) struct build_run run;
        int r = build_run_init(b, root, &run, err);

        if (r < 0)
                return r;
        run.s.output = no_output;
        run.s.entry = entry;
        run.s.entry_arg = arg;
        run.s.keep_fds[0] = out_fd;
        run.s.n_keep_fds = 1;
        run.s.limits.silence_s = 0;
        return build_run_go(b, &run, "inspecting", "the packages", ret_status, err);
}

char **kiln_build_opened(const struct kiln_build *b, bool *ret_complete)
{
        *ret_complete = !b->observed.root.lost;
        return opened_list(&b->observed.root);
}

static struct kiln_build_file *present(const struct present *p, size_t *ret_n, bool *ret_complete)
{
        *ret_n = p->n;
        *ret_complete = p->listed && !p->lost;
        return present_list(p);
}

struct kiln_build_file *kiln_build_sources(const struct kiln_build *b, size_t *ret_n, bool *ret_complete)
{
        return present(&b->observed.sources, ret_n, ret_complete);
}

struct kiln_build_file *kiln_build_tree(const struct kiln_build *b, size_t *ret_n, bool *ret_complete)
{
        return present(&b->observed.tree, ret_n, ret_complete);
}
