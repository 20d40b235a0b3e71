/* What build.c (the scratch directory), run.c (one run in it), rpmbuild.c (the phases) and results.c (what
 * they made) share. Not for other rooms. */
#pragma once

#include "worker/build/build.h"
#include "worker/build/opened.h"
#include "worker/build/transcript.h"

#define MOUNTS_MAX 32

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
        int prep_fd;     /* the upper directory of %prep's own run, for the run that goes on after it; -1 */
        char *spec;
        struct transcript transcript;
        struct kiln_build_usage usage;
        struct observed observed;
};

/* One run in the sandbox: an overlay of its own over the root, the build directory bound in, the toolchain's
 * macro files shown where rpm looks. */
struct build_run {
        struct kiln_sandbox s;
        struct kiln_sandbox_mount mounts[MOUNTS_MAX];
        char *targets[MOUNTS_MAX];
        int fds[MOUNTS_MAX];
        struct kiln_sandbox_watch watches[OBSERVED_WATCHES];
        char **env;
        int upper_fd, work_fd;
};

/* Shows the root, the build directory and the macros; the caller adds what to run. Cleared also after a
 * failure. */
int build_run_init(
        struct kiln_build *b, const struct kiln_root *root, struct build_run *run, struct kiln_error *err);

/* What it opens is added to b->observed. */
void build_run_observe(struct kiln_build *b, struct build_run *run, enum observed_run kind);

/* Below where the build sees its directory: "" or "/SPECS". */
char *build_topdir(const struct kiln_build_params *p, const char *below);

/* Runs it; *ret_status is the exit status. What the sandbox itself ended is an error already. */
int build_run_go(struct kiln_build *b, struct build_run *run, const char *doing, const char *subject,
        int *ret_status, struct kiln_error *err);

/* 0, or the error of a full disk: what failed then is not the package's fault. */
int build_check_room(
        const struct kiln_build *b, const char *doing, const char *subject, struct kiln_error *err);

void build_run_clear(struct build_run *run);

/* Reads a package that a build made: what is wrong with it is the build's fault, not a download's. */
int build_output_open(int fd, const char *name, struct kiln_rpm **ret, struct kiln_error *err);
