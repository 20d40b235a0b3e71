/* The phases of a package: its source unpacked, its spec parsed, its BuildRequires generated, its packages
 * built. */
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/build/archtag.h"
#include "worker/build/build_private.h"
#include "worker/build/command.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <rpm/rpmds.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* rpmbuild's exit status when BuildRequires are missing (RPMRC of rpmbuild(8), -br). */
#define RPMBUILD_MISSING 11
#define SPEC_MAX_BYTES (16U << 20)

struct unpack_job {
        struct kiln_source_job source;
        const struct kiln_build_params *params;
        int error_fd;
};

/* In the sandbox: the directories, the payload, the overlays; the spec moves to SPECS. */
static int unpack_entry(void *arg)
{
        static const char *const dirs[] = {
                "", "/BUILD", "/BUILDROOT", "/RPMS", "/SOURCES", "/SPECS", "/SRPMS"};
        struct unpack_job *j = arg;
        _cleanup_free_ char *spec = NULL, *specs_dir = build_topdir(j->params, "/SPECS");
        _cleanup_close_ int sources = -1, specs = -1;
        int r;

        umask(022);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(dirs); i++) {
                _cleanup_free_ char *path = build_topdir(j->params, dirs[i]);

                if (mkdir(path, 0755) < 0 && errno != EEXIST)
                        return KILN_INFRA;
        }
        r = kiln_source_entry(&j->source);
        if (r != 0)
                return r;
        sources = open(j->source.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        specs = open(specs_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (sources < 0 || specs < 0 || kiln_source_spec(sources, j->source.name, &spec, NULL) < 0 ||
                renameat(sources, spec, specs, spec) < 0)
                return KILN_INFRA;
        return 0;
}

int kiln_build_unpack_source(struct kiln_build *b, const struct kiln_root *root, int srpm_fd,
        const struct kiln_rpm *srpm, const struct kiln_overlay *const *overlays, size_t n_overlays,
        struct kiln_error *err)
{
        _cleanup_(build_run_clear) struct build_run run;
        _cleanup_close_ int in = -1, out = -1;
        _cleanup_buf_ struct kiln_buf report = KILN_BUF_INIT;
        _cleanup_free_ char *sources = build_topdir(b->params, "/SOURCES");
        struct unpack_job job = {
                .params = b->params,
                .source = {.srpm_fd = srpm_fd,
                        .payload_offset = srpm->payload_offset,
                        .name = srpm->nvr,
                        .dir = sources,
                        .dir_fd = -1,
                        .overlays = overlays,
                        .n_overlays = n_overlays},
        };
        int fds[2], status = 0, r;

        r = build_run_init(b, root, &run, err);
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
        r = build_run_go(b, &run, "unpacking", srpm->nvr, &status, err);
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

static int rpmbuild(struct kiln_build *b, const struct kiln_root *root, const char *mode, const char *extra,
        const char *doing, int *ret_status, struct kiln_error *err)
{
        _cleanup_(build_run_clear) struct build_run run;
        _cleanup_strv_ char **argv = NULL;
        _cleanup_free_ char *specs = build_topdir(b->params, "/SPECS/"),
                            *spec = kiln_asprintf("%s%s", specs, b->spec);
        int r = build_run_init(b, root, &run, err);

        if (r < 0)
                return r;
        kiln_strv_append(&argv, "/usr/bin/rpmbuild");
        kiln_strv_append(&argv, mode);
        if (extra)
                kiln_strv_append(&argv, extra);
        command_options(b->params, &argv);
        kiln_strv_append(&argv, spec);
        run.s.argv = (const char *const *)argv;
        /* -bs opens nothing that the others, which parse the spec again, do not. */
        if (b->params->observe && strcmp(mode, "-bs") != 0)
                build_run_observe(b, &run, strcmp(mode, "-bp") == 0 ? OBSERVED_PREP : OBSERVED_BUILD);
        r = build_run_go(b, &run, doing, b->spec, ret_status, err);
        if (strcmp(mode, "-bp") == 0)
                b->prep_fd = TAKE_FD(run.upper_fd);
        /* Also after a success: a script that goes on without a file it could not write makes other packages.
         */
        return r < 0 ? r : build_check_room(b, doing, b->spec, err);
}

/* Verdict and words for an rpmbuild that failed. */
static int rpmbuild_failed(struct kiln_build *b, enum kiln_verdict verdict, const char *doing, int status,
        struct kiln_error *err)
{
        struct transcript *t = &b->transcript;
        const char *section = t->section[0] ? t->section : NULL, *tag = b->params->arch_tag;

        if (section && t->command[0])
                kiln_error_set(err, verdict, 0, doing, b->spec, "%s failed: %s%s%s%s", section, t->command,
                        t->error[0] ? " (" : "", t->error, t->error[0] ? ")" : "");
        else if (t->error[0])
                kiln_error_set(err, verdict, 0, doing, b->spec, "%s", t->error);
        else
                kiln_error_set(err, verdict, 0, doing, b->spec, "rpmbuild ended with status %d", status);
        if (tag && tag[0]) {
                _cleanup_free_ char *advice = arch_tag_advice(tag, kiln_buf_str(&t->tail));

                kiln_error_advise(err, "%s", advice);
        } else {
                kiln_error_advise(err, "build.log.zst has it all; `kiln shell` opens the same build root.");
        }
        return -EIO;
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
        return build_output_open(fd, found, ret, err);
}

int kiln_build_source(
        struct kiln_build *b, const struct kiln_root *root, struct kiln_rpm **ret, struct kiln_error *err)
{
        int status = 0, r = rpmbuild(b, root, "-bs", "--nodeps", "parsing", &status, err);

        if (r < 0)
                return r;
        if (status != 0) {
                rpmbuild_failed(b, KILN_BUILD_FAILED, "parsing", status, err);
                kiln_error_advise(err,
                        "The rpmbuild of toolchain %s says so. Define a macro it lacks with --define, change "
                        "the "
                        "spec with --overlay, or build against what it was written for with -t.",
                        b->params->toolchain->name);
                return -EIO;
        }
        return find_output(b, "SRPMS", ".src.rpm", ret, err);
}

int kiln_build_arch_conditions(
        struct kiln_build *b, unsigned *ret_n, unsigned *ret_first, struct kiln_error *err)
{
        const char *tag = b->params->arch_tag;
        _cleanup_close_ int dir_fd = -1, specs_fd = -1, fd = -1;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        struct stat st;
        int r;

        *ret_n = *ret_first = 0;
        if (!tag || !tag[0])
                return 0;
        dir_fd = openat(b->home_fd, "build", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        specs_fd = dir_fd < 0 ? -1 : openat(dir_fd, "SPECS", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        fd = specs_fd < 0 ? -1 : openat(specs_fd, b->spec, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return kiln_error_set(err, KILN_BUILD_FAILED, 0, "reading", b->spec, "not a regular file");
        r = kiln_fd_read(fd, SPEC_MAX_BYTES, &text);
        if (r < 0)
                return kiln_error_set(err, KILN_BUILD_FAILED, -r, "reading", b->spec, "the spec");
        *ret_n = arch_tag_conditions(text.data ? text.data : "", text.len, b->params->arch, tag, ret_first);
        return 0;
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

/* Whoever observes needs to know what %prep unpacked before anything else is made of it: %prep gets a run of
 * its own, after which the next goes on in the same root: what %prep left in /tmp and /var/tmp is there. */
static int observed_prep(
        struct kiln_build *b, const struct kiln_root *root, const char *doing, struct kiln_error *err)
{
        int status = 0, r;

        if (!b->params->observe || b->prepared)
                return 0;
        r = rpmbuild(b, root, "-bp", "--nodeps", doing, &status, err);
        if (r == 0 && status != 0)
                r = rpmbuild_failed(b, KILN_BUILD_FAILED, doing, status, err);
        b->prepared = true;
        return r;
}

int kiln_build_generate(
        struct kiln_build *b, const struct kiln_root *root, char ***ret_requires, struct kiln_error *err)
{
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *asked = NULL;
        _cleanup_strv_ char **requires = kiln_calloc(1, sizeof(char *));
        int status = 0, r = observed_prep(b, root, "generating BuildRequires of", err);

        if (r < 0)
                return r;
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
        int status = 0, r = observed_prep(b, root, "building", err);

        if (r < 0)
                return r;
        r = rpmbuild(b, root, "-ba", b->prepared ? "--noprep" : NULL, "building", &status, err);
        if (r < 0)
                return r;
        return status == 0 ? 0 : rpmbuild_failed(b, KILN_BUILD_FAILED, "building", status, err);
}
