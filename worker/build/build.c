/* The scratch directory of a build and the runs of rpmbuild in it. */
#include "worker/build/build.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/build/command.h"
#include "worker/build/transcript.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <rpm/rpmds.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define MACROS_DIR "/usr/lib/rpm/macros.d/"
#define MOUNTS_MAX 32
/* rpmbuild's exit status when BuildRequires are missing (RPMRC of rpmbuild(8), -br). */
#define RPMBUILD_MISSING 11
#define RPMS_MAX 4096

struct kiln_build {
        const struct kiln_context *context;
        const struct kiln_build_params *params;
        int build_fd; /* <cache>/build */
        char *name;   /* of the scratch directory in it */
        int scratch_fd;
        int lease_fd;
        int home_fd; /* scratch/builddir, bound to KILN_BUILD_HOME */
        unsigned runs;
        int64_t epoch_s; /* < 0: rpmbuild takes it from the changelog */
        bool prepared;   /* %prep has run */
        char *spec;
        struct transcript transcript;
        struct kiln_build_usage usage;
};

static void build_output(void *ctx, const void *data, size_t len)
{
        struct kiln_build *b = ctx;

        if (b->params->log.write)
                b->params->log.write(b->params->log.ctx, data, len);
        transcript_feed(&b->transcript, data, len);
}

static void build_phase(void *ctx, const char *phase)
{
        struct kiln_build *b = ctx;

        if (b->params->log.phase)
                b->params->log.phase(b->params->log.ctx, phase);
}

int kiln_build_open(const struct kiln_context *c, const struct kiln_build_params *p, struct kiln_build **ret,
        struct kiln_error *err)
{
        _cleanup_(kiln_build_closep) struct kiln_build *b = kiln_calloc(1, sizeof(*b));
        _cleanup_free_ char *path = kiln_path_join(c->cache_dir, "build");
        struct kiln_sandbox_error serr = {0};

        b->context = c;
        b->params = p;
        b->scratch_fd = b->lease_fd = b->home_fd = -1;
        b->epoch_s = p->source_date_epoch_s;
        b->transcript.phase = build_phase;
        b->transcript.ctx = b;
        b->build_fd = kiln_dir_make(AT_FDCWD, path, 0755);
        if (b->build_fd < 0)
                return kiln_error_set(err, KILN_INFRA, b->build_fd, "making", path, "the scratch directory");
        b->scratch_fd = kiln_dir_make_temp(b->build_fd, "", &b->name);
        if (b->scratch_fd < 0)
                return kiln_error_set(
                        err, KILN_INFRA, b->scratch_fd, "making", path, "a scratch directory in it");
        b->lease_fd = openat(b->scratch_fd, "lease", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (b->lease_fd < 0 || flock(b->lease_fd, LOCK_EX | LOCK_NB) < 0)
                return kiln_error_set(
                        err, KILN_INFRA, errno, "making", path, "a lease on the scratch directory");
        b->home_fd =
                kiln_idmap_mkdir(&p->idmap, b->scratch_fd, "builddir", KILN_BUILD_UID, KILN_BUILD_UID, &serr);
        if (b->home_fd < 0)
                return kiln_error_from_sandbox(err, &serr, "making", "the build directory");
        *ret = TAKE_PTR(b);
        return 0;
}

void kiln_build_close(struct kiln_build *b)
{
        struct kiln_sandbox_error serr;

        if (!b)
                return;
        kiln_closep(&b->home_fd);
        kiln_closep(&b->scratch_fd);
        if (b->name)
                kiln_idmap_rmtree(&b->params->idmap, b->build_fd, b->name, &serr);
        kiln_closep(&b->lease_fd);
        kiln_closep(&b->build_fd);
        transcript_clear(&b->transcript);
        free(b->name);
        free(b->spec);
        free(b);
}

int kiln_build_intact(const struct kiln_build *b)
{
        struct stat st;

        if (fstat(b->lease_fd, &st) < 0)
                return -errno;
        return st.st_nlink > 0 ? 0 : -ESTALE;
}

int kiln_build_sweep(const struct kiln_context *c, struct kiln_error *err)
{
        _cleanup_free_ char *path = kiln_path_join(c->cache_dir, "build");
        _cleanup_close_ int fd = kiln_dir_make(AT_FDCWD, path, 0755);
        int scan = fd < 0 ? -1 : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = scan < 0 ? NULL : fdopendir(scan);
        struct kiln_sandbox_error serr = {0};
        struct kiln_idmap map;
        struct dirent *de;

        if (!d)
                return kiln_error_set(
                        err, KILN_INFRA, fd < 0 ? fd : errno, "opening", path, "the scratch directories");
        if (kiln_idmap_find(KILN_ID_AUTO, &map, &serr) < 0) {
                closedir(d);
                return kiln_error_from_sandbox(err, &serr, "looking for", "a mapping of user ids");
        }
        while ((de = readdir(d))) {
                _cleanup_free_ char *lease_path = kiln_asprintf("%s/lease", de->d_name);
                _cleanup_close_ int lease = -1;

                if (de->d_name[0] == '.')
                        continue;
                lease = openat(fd, lease_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
                /* Without a lease it is a second old or was left by a kill in that second: next time. */
                if (lease < 0 || flock(lease, LOCK_EX | LOCK_NB) < 0)
                        continue;
                kiln_idmap_rmtree(&map, fd, de->d_name, &serr);
        }
        closedir(d);
        return 0;
}

void kiln_build_set_epoch(struct kiln_build *b, int64_t epoch_s)
{
        b->epoch_s = epoch_s;
}

static void usage_add(struct kiln_build_usage *u, const struct kiln_sandbox_result *r)
{
        u->user_ns += r->user_ns;
        u->system_ns += r->system_ns;
        u->output_bytes += r->output_bytes;
        if (r->peak_rss_bytes > u->peak_rss_bytes)
                u->peak_rss_bytes = r->peak_rss_bytes;
        if (r->peak_memory_bytes > u->peak_memory_bytes)
                u->peak_memory_bytes = r->peak_memory_bytes;
        if (r->peak_pids > u->peak_pids)
                u->peak_pids = r->peak_pids;
        u->cgroup |= r->cgroup;
        for (size_t i = 0; i < r->n_denied; i++) {
                size_t at = 0;

                while (at < u->n_denied && strcmp(u->denied[at].name, r->denied[i].name) != 0)
                        at++;
                if (at == KILN_ARRAY_SIZE(u->denied))
                        continue;
                if (at == u->n_denied)
                        u->denied[u->n_denied++] = (struct kiln_sandbox_denied){{0}, 0};
                memcpy(u->denied[at].name, r->denied[i].name, sizeof(u->denied[at].name));
                u->denied[at].count += r->denied[i].count;
        }
}

/* One run in the sandbox: an overlay of its own over the root, the build directory bound in, the toolchain's
 * macro files shown where rpm looks. */
struct run {
        struct kiln_sandbox s;
        struct kiln_sandbox_mount mounts[MOUNTS_MAX];
        char *targets[MOUNTS_MAX];
        int fds[MOUNTS_MAX];
        char **env;
        int upper_fd, work_fd;
};

static void run_clear(struct run *run)
{
        for (size_t i = 0; i < MOUNTS_MAX; i++) {
                kiln_closep(&run->fds[i]);
                free(run->targets[i]);
        }
        kiln_closep(&run->upper_fd);
        kiln_closep(&run->work_fd);
        kiln_strv_free(run->env);
}

static int run_macro_files(struct kiln_build *b, struct run *run, struct kiln_error *err)
{
        const struct kiln_toolchain *t = b->params->toolchain;

        for (size_t i = 0; i < t->n_macro_files; i++) {
                struct kiln_sandbox_mount *m = &run->mounts[run->s.n_mounts];
                _cleanup_free_ char *name = kiln_asprintf("macros-%zu", i);
                int fd, r;

                if (run->s.n_mounts == MOUNTS_MAX)
                        return kiln_error_set(err, KILN_BAD_INPUT, 0, "preparing", t->name,
                                "more than %d macro files", MOUNTS_MAX - 1);
                r = kiln_file_write(
                        b->scratch_fd, name, t->macro_files[i].text, strlen(t->macro_files[i].text), 0644);
                fd = r < 0 ? r : openat(b->scratch_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
                if (fd < 0)
                        return kiln_error_set(err, KILN_INFRA, r < 0 ? r : errno, "writing",
                                t->macro_files[i].name, "the toolchain's macros");
                run->fds[run->s.n_mounts] = fd;
                run->targets[run->s.n_mounts] = kiln_asprintf(MACROS_DIR "%s", t->macro_files[i].name);
                *m = (struct kiln_sandbox_mount){
                        .kind = KILN_MOUNT_BIND_RO, .target = run->targets[run->s.n_mounts], .source_fd = fd};
                run->s.n_mounts++;
        }
        return 0;
}

static int run_init(
        struct kiln_build *b, const struct kiln_root *root, struct run *run, struct kiln_error *err)
{
        static const char *const writable[] = {"/tmp", "/var/tmp", NULL};
        const struct kiln_build_params *p = b->params;
        _cleanup_free_ char *upper = kiln_asprintf("upper-%u", b->runs),
                            *work = kiln_asprintf("work-%u", b->runs);
        struct kiln_sandbox_error serr = {0};

        *run = (struct run){.upper_fd = -1, .work_fd = -1};
        for (size_t i = 0; i < MOUNTS_MAX; i++)
                run->fds[i] = -1;
        b->runs++;
        run->upper_fd = kiln_idmap_mkdir(&p->idmap, b->scratch_fd, upper, 0, 0, &serr);
        if (run->upper_fd >= 0)
                run->work_fd = kiln_idmap_mkdir(&p->idmap, b->scratch_fd, work, 0, 0, &serr);
        if (run->work_fd < 0)
                return kiln_error_from_sandbox(err, &serr, "making", "a scratch directory");
        kiln_sandbox_init(&run->s);
        run->s.idmap = p->idmap;
        run->s.lower_fds = root->lower_fds;
        run->s.n_lower_fds = root->n_layers;
        run->s.upper_fd = run->upper_fd;
        run->s.work_fd = run->work_fd;
        run->s.uid = run->s.gid = KILN_BUILD_UID;
        run->s.writable = writable;
        run->s.profile = p->profile;
        run->s.nested_mounts = p->nested_mounts;
        run->s.kernel_release = p->toolchain->kernel_release;
        run->s.cpus = p->cpus ? p->cpus : p->toolchain->cpus;
        run->s.limits = p->limits;
        run->s.disk_fd = b->home_fd;
        run->s.cancel_fd = b->context->cancel_fd;
        run->s.cwd = KILN_BUILD_HOME;
        run->s.output = build_output;
        run->s.output_ctx = b;
        run->s.mounts = run->mounts;
        run->mounts[0] = (struct kiln_sandbox_mount){
                .kind = KILN_MOUNT_BIND_RW, .target = KILN_BUILD_HOME, .source_fd = b->home_fd};
        run->s.n_mounts = 1;
        command_environment(b->epoch_s, &run->env);
        run->s.env = (const char *const *)run->env;
        return run_macro_files(b, run, err);
}

/* Runs it; *ret_status is the exit status. What the sandbox itself ended is an error already. */
static int run_go(struct kiln_build *b, struct run *run, const char *doing, const char *subject,
        int *ret_status, struct kiln_error *err)
{
        struct kiln_sandbox_result result = {0};
        struct kiln_sandbox_error serr = {0};
        int r;

        transcript_reset(&b->transcript);
        r = kiln_sandbox_run(&run->s, &result, &serr);
        if (r < 0)
                return kiln_error_from_sandbox(err, &serr, doing, subject);
        usage_add(&b->usage, &result);
        if (!b->usage.first_exec_ns && run->s.argv)
                b->usage.first_exec_ns = result.exec_ns;
        switch (result.how) {
        case KILN_SANDBOX_EXITED:
                *ret_status = result.status;
                return 0;
        case KILN_SANDBOX_CANCELLED:
                return kiln_error_set(err, KILN_CANCELLED, ECANCELED, doing, subject, "cancelled");
        case KILN_SANDBOX_LIMITED:
                return kiln_error_set(err, KILN_LIMIT, 0, doing, subject,
                        "%s limit of %llu reached (peak %llu)%s%s%s", kiln_sandbox_limit_name(result.limit),
                        (unsigned long long)result.limit_value, (unsigned long long)result.limit_peak,
                        result.limit_guessed ? "; a guess: without a cgroup nothing proves it" : "",
                        b->transcript.section[0] ? "; in " : "", b->transcript.section);
        case KILN_SANDBOX_SIGNALED:
                break;
        }
        return kiln_error_set(err, KILN_BUILD_FAILED, 0, doing, subject, "killed by signal %d (%s)",
                result.status, strsignal(result.status));
}

/* ---- source
 * ---------------------------------------------------------------------------------------------------- */

struct unpack_job {
        struct kiln_source_job source;
        int error_fd;
};

/* In the sandbox: the directories, the payload, the overlays; the spec moves to SPECS. */
static int unpack_entry(void *arg)
{
        static const char *const dirs[] = {
                "", "/BUILD", "/BUILDROOT", "/RPMS", "/SOURCES", "/SPECS", "/SRPMS"};
        struct unpack_job *j = arg;
        _cleanup_free_ char *spec = NULL;
        _cleanup_close_ int sources = -1, specs = -1;
        int r;

        umask(022);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(dirs); i++) {
                _cleanup_free_ char *path = kiln_asprintf(KILN_BUILD_TOPDIR "%s", dirs[i]);

                if (mkdir(path, 0755) < 0 && errno != EEXIST)
                        return KILN_INFRA;
        }
        r = kiln_source_entry(&j->source);
        if (r != 0)
                return r;
        sources = open(KILN_BUILD_TOPDIR "/SOURCES", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        specs = open(KILN_BUILD_TOPDIR "/SPECS", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (sources < 0 || specs < 0 || kiln_source_spec(sources, j->source.name, &spec, NULL) < 0 ||
                renameat(sources, spec, specs, spec) < 0)
                return KILN_INFRA;
        return 0;
}

int kiln_build_unpack_source(struct kiln_build *b, const struct kiln_root *root, int srpm_fd,
        const struct kiln_rpm *srpm, const struct kiln_overlay *const *overlays, size_t n_overlays,
        struct kiln_error *err)
{
        _cleanup_(run_clear) struct run run;
        _cleanup_close_ int in = -1, out = -1;
        _cleanup_buf_ struct kiln_buf report = KILN_BUF_INIT;
        struct unpack_job job = {
                .source = {.srpm_fd = srpm_fd,
                        .payload_offset = srpm->payload_offset,
                        .name = srpm->nvr,
                        .dir = KILN_BUILD_TOPDIR "/SOURCES",
                        .dir_fd = -1,
                        .overlays = overlays,
                        .n_overlays = n_overlays},
        };
        int fds[2], status = 0, r;

        r = run_init(b, root, &run, err);
        if (r < 0)
                return r;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return kiln_error_set(err, KILN_INFRA, errno, "unpacking", srpm->nvr, "pipe");
        in = fds[0], out = fds[1];
        job.source.report_fd = out;
        run.s.entry = unpack_entry;
        run.s.entry_arg = &job;
        run.s.keep_fds[0] = srpm_fd;
        run.s.keep_fds[1] = out;
        run.s.n_keep_fds = 2;
        r = run_go(b, &run, "unpacking", srpm->nvr, &status, err);
        if (r < 0)
                return r;
        close(TAKE_FD(out));
        if (kiln_fd_read(in, 1 << 20, &report) < 0)
                return kiln_error_set(err, KILN_INFRA, EIO, "unpacking", srpm->nvr, "the report is too long");
        r = kiln_source_report(report.data ? report.data : "", report.len, &b->spec, err);
        if (r == 0 && status != 0)
                r = kiln_error_set(err, KILN_INFRA, 0, "unpacking", srpm->nvr, "exit status %d", status);
        return r;
}

/* ---- rpmbuild
 * -------------------------------------------------------------------------------------------------- */

static int rpmbuild(struct kiln_build *b, const struct kiln_root *root, const char *mode, const char *extra,
        const char *doing, int *ret_status, struct kiln_error *err)
{
        _cleanup_(run_clear) struct run run;
        _cleanup_strv_ char **argv = NULL;
        _cleanup_free_ char *spec = kiln_asprintf(KILN_BUILD_TOPDIR "/SPECS/%s", b->spec);
        int r = run_init(b, root, &run, err);

        if (r < 0)
                return r;
        kiln_strv_append(&argv, "/usr/bin/rpmbuild");
        kiln_strv_append(&argv, mode);
        if (extra)
                kiln_strv_append(&argv, extra);
        command_options(b->params, &argv);
        kiln_strv_append(&argv, spec);
        run.s.argv = (const char *const *)argv;
        return run_go(b, &run, doing, b->spec, ret_status, err);
}

/* Verdict and words for an rpmbuild that failed. */
static int rpmbuild_failed(struct kiln_build *b, enum kiln_verdict verdict, const char *doing, int status,
        struct kiln_error *err)
{
        const struct transcript *t = &b->transcript;
        const char *section = t->section[0] ? t->section : NULL;

        if (section && t->command[0])
                kiln_error_set(err, verdict, 0, doing, b->spec, "%s failed: %s%s%s%s", section, t->command,
                        t->error[0] ? " (" : "", t->error, t->error[0] ? ")" : "");
        else if (t->error[0])
                kiln_error_set(err, verdict, 0, doing, b->spec, "%s", t->error);
        else
                kiln_error_set(err, verdict, 0, doing, b->spec, "rpmbuild ended with status %d", status);
        kiln_error_advise(err, "build.log.zst has it all; `kiln shell` opens the same build root.");
        return -EIO;
}

/* Reads a package that a build made: what is wrong with it is the build's fault, not a download's. */
static int output_open(int fd, const char *name, struct kiln_rpm **ret, struct kiln_error *err)
{
        _cleanup_error_ struct kiln_error why = KILN_ERROR_INIT;
        int r = kiln_rpm_open(fd, name, NULL, ret, &why);

        if (r < 0)
                kiln_error_set(err, why.verdict == KILN_BAD_INPUT ? KILN_BUILD_FAILED : why.verdict, 0,
                        "reading what the build made", name, "%s", why.cause);
        return r;
}

/* The one file with this ending in a directory below the build directory, opened. */
static int find_output(struct kiln_build *b, const char *dir, const char *ending, struct kiln_rpm **ret,
        struct kiln_error *err)
{
        _cleanup_close_ int dir_fd = -1, fd = -1;
        _cleanup_free_ char *found = NULL;
        struct dirent *de;
        struct stat st;
        DIR *d;
        int scan;

        dir_fd = openat(b->home_fd, "build", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        scan = dir_fd < 0 ? -1 : openat(dir_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        d = scan < 0 ? NULL : fdopendir(scan);
        if (!d)
                return kiln_error_set(err, KILN_BUILD_FAILED, errno, "reading", dir, "the output directory");
        while ((de = readdir(d)) && !found) {
                size_t n = strlen(de->d_name), e = strlen(ending);

                if (n > e && strcmp(de->d_name + n - e, ending) == 0)
                        found = kiln_strdup(de->d_name);
        }
        fd = found ? openat(dirfd(d), found, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
        closedir(d);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return kiln_error_set(
                        err, KILN_BUILD_FAILED, 0, "reading", dir, "rpmbuild left no *%s there", ending);
        return output_open(fd, found, ret, err);
}

int kiln_build_source(
        struct kiln_build *b, const struct kiln_root *root, struct kiln_rpm **ret, struct kiln_error *err)
{
        int status = 0, r = rpmbuild(b, root, "-bs", "--nodeps", "parsing", &status, err);

        if (r < 0)
                return r;
        if (status != 0) {
                const char *said = b->transcript.error;

                rpmbuild_failed(b, KILN_BUILD_FAILED, "parsing", status, err);
                if (strstr(said, "rchitecture"))
                        kiln_error_advise(err, "ExclusiveArch and %%ifarch compare with the arch tag: build "
                                               "without --arch-tag, with x86_64 "
                                               "and the level's flags.");
                return -EIO;
        }
        return find_output(b, "SRPMS", ".src.rpm", ret, err);
}

char *kiln_dependency_format(const struct kiln_rpm_dependency *d)
{
        if (d->flags & RPMSENSE_RPMLIB || strncmp(d->name, "rpmlib(", 7) == 0)
                return NULL;
        if (!d->evr[0] || d->name[0] == '(')
                return kiln_strdup(d->name);
        return kiln_asprintf("%s %s%s%s %s", d->name, d->flags & RPMSENSE_LESS ? "<" : "",
                d->flags & RPMSENSE_GREATER ? ">" : "", d->flags & RPMSENSE_EQUAL ? "=" : "", d->evr);
}

int kiln_build_generate(
        struct kiln_build *b, const struct kiln_root *root, char ***ret_requires, struct kiln_error *err)
{
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *asked = NULL;
        _cleanup_strv_ char **requires = kiln_calloc(1, sizeof(char *));
        int status = 0, r;

        r = rpmbuild(
                b, root, "-br", b->prepared ? "--noprep" : NULL, "generating BuildRequires of", &status, err);
        if (r < 0)
                return r;
        b->prepared = true;
        if (status == 0) {
                *ret_requires = NULL;
                return 0;
        }
        if (status != RPMBUILD_MISSING)
                return rpmbuild_failed(b, KILN_BUILD_FAILED, "generating BuildRequires of", status, err);
        r = find_output(b, "SRPMS", ".buildreqs.nosrc.rpm", &asked, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < asked->n_requires; i++) {
                _cleanup_free_ char *text = kiln_dependency_format(&asked->requires[i]);

                if (text)
                        kiln_strv_append(&requires, text);
        }
        *ret_requires = TAKE_PTR(requires);
        return 0;
}

int kiln_build_packages(struct kiln_build *b, const struct kiln_root *root, struct kiln_error *err)
{
        int status = 0, r;

        r = rpmbuild(b, root, "-ba", b->prepared ? "--noprep" : NULL, "building", &status, err);
        if (r < 0)
                return r;
        return status == 0 ? 0 : rpmbuild_failed(b, KILN_BUILD_FAILED, "building", status, err);
}

/* ---- results
 * --------------------------------------------------------------------------------------------------- */

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
        r = output_open(into->fd, name, &into->rpm, err);
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
        _cleanup_(run_clear) struct run run;
        int r = run_init(b, root, &run, err);

        if (r < 0)
                return r;
        run.s.output = no_output;
        run.s.entry = entry;
        run.s.entry_arg = arg;
        run.s.keep_fds[0] = out_fd;
        run.s.n_keep_fds = 1;
        run.s.limits.silence_s = 0;
        return run_go(b, &run, "inspecting", "the packages", ret_status, err);
}

const struct kiln_build_usage *kiln_build_usage(const struct kiln_build *b)
{
        return &b->usage;
}

const char *kiln_build_tail(const struct kiln_build *b)
{
        const struct kiln_buf *tail = &b->transcript.tail;
        const char *s = kiln_buf_str(tail);

        return tail->len > TRANSCRIPT_TAIL_BYTES ? s + tail->len - TRANSCRIPT_TAIL_BYTES : s;
}

int kiln_build_shell(struct kiln_build *b, const struct kiln_root *root, const char *const *argv,
        int *ret_status, struct kiln_error *err)
{
        static const char *const shell[] = {"/bin/bash", "-l", NULL};
        _cleanup_(run_clear) struct run run;
        int r = run_init(b, root, &run, err);

        if (r < 0)
                return r;
        run.s.terminal = true;
        run.s.output = NULL;
        run.s.argv = argv ? argv : shell;
        run.s.limits.silence_s = run.s.limits.wall_s = 0;
        return run_go(b, &run, "running", "the shell", ret_status, err);
}
