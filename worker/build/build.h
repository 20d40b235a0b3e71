/* The rpmbuild phases of one package, in the sandbox: from an SRPM's bytes to unsigned RPMs.
 *
 * Everything in here handles a hostile package. Nothing of it is unpacked, parsed or run outside the sandbox;
 * what comes back are descriptors of regular files that no process can write to any more. */
#pragma once

#include "sandbox/sandbox.h"
#include "toolchains/toolchain.h"
#include "worker/base/context.h"
#include "worker/buildroot/layer.h"
#include "worker/source/srpm.h"

/* Who the build runs as, and where. */
#define KILN_BUILD_UID 1000
#define KILN_BUILD_HOME "/builddir"
#define KILN_BUILD_TOPDIR KILN_BUILD_HOME "/build" /* below view.home, where that is given */

/* What a build tells while it runs. */
struct kiln_build_log {
        void (*write)(void *ctx, const void *data, size_t len); /* what it printed, for build.log */
        void (*phase)(void *ctx, const char *phase); /* prep build install check package; as rpmbuild says */
        void *ctx;
};

/* What a build sees of its surroundings. All zero: what every build sees (SECURITY.md).
 * Anything else is for finding out what a package depends on. */
struct kiln_build_view {
        const char *hostname, *domain;
        const char *kernel_release; /* NULL: the toolchain's */
        const char *locale;         /* LANG and LC_ALL; NULL: LANG=C.UTF-8 alone */
        const char *timezone;       /* TZ; NULL: UTC */
        uid_t uid;                  /* 0: KILN_BUILD_UID; the group's id too */
        const char *home;           /* where the build directory is bound; NULL: KILN_BUILD_HOME */
        mode_t umask;               /* 0: 022 */
        unsigned cpus;              /* seen; 0: as many as _smp_build_ncpus says (kiln_build_params.cpus) */
        bool fixed_addresses;
        bool in_memory; /* the build directory is on a file system in memory, see kiln_build_memory_room() */
        pid_t first_pid;
        uint64_t memory_bytes;
        int64_t clock_shift_s, clock_hold_s; /* as in struct kiln_sandbox */
};

struct kiln_build_params {
        const struct kiln_toolchain *toolchain;
        struct kiln_idmap idmap;
        const struct kiln_macro *macros; /* of the request, defined last */
        size_t n_macros;
        char *const *bcond_with, *const *bcond_without; /* NULL-terminated, may be NULL */
        enum kiln_isa_level isa;
        const char *arch;            /* "x86_64" */
        const char *arch_tag;        /* "" or another arch that packages are tagged with: "x86_64_v3" */
        const char *dist;            /* "" : the toolchain's */
        int64_t source_date_epoch_s; /* < 0: from the changelog */
        bool skip_check;
        enum kiln_profile profile;
        bool nested_mounts;
        bool observe;  /* remember which files rpmbuild and what it starts open */
        unsigned cpus; /* 0: the toolchain's */
        struct kiln_build_view view;
        struct kiln_sandbox_limits limits;
        struct kiln_build_log log;
};

/* What all runs of one build used, added up. */
struct kiln_build_usage {
        uint64_t user_ns, system_ns, output_bytes, peak_rss_bytes, peak_memory_bytes, peak_pids,
                peak_disk_bytes;
        uint64_t first_exec_ns; /* monotonic: when the target's rpmbuild was first executed */
        bool cgroup;
        enum kiln_sandbox_limit limit; /* what ended the last run; NONE: no limit */
        struct kiln_sandbox_denied denied[64];
        size_t n_denied;
};

struct kiln_build;

/* Whether there is a place in memory where builds can run: a directory of this user's below /dev/shm, on a
 * tmpfs without noexec that has this much room. It stays when empty. */
bool kiln_build_memory_room(uint64_t bytes);

/* Makes the scratch directory <cache>/build/<random>, or one in memory. Params are borrowed until close. */
int kiln_build_open(const struct kiln_context *c, const struct kiln_build_params *p, struct kiln_build **ret,
        struct kiln_error *err);
/* Removes the scratch directory. */
void kiln_build_close(struct kiln_build *b);
KILN_DEFINE_CLEANUP(struct kiln_build *, kiln_build_close)

/* 0, or -ESTALE when somebody removed the scratch directory of a running build. */
int kiln_build_intact(const struct kiln_build *b);

/* Whose the build directory is on the host: the ids outside that the build runs as. */
int kiln_build_owner(const struct kiln_build *b, uid_t *ret_uid, gid_t *ret_gid);

/* Removes scratch directories whose owner died. */
int kiln_build_sweep(const struct kiln_context *c, struct kiln_error *err);

/* Unpacks the SRPM's payload and applies the overlays. */
int kiln_build_unpack_source(struct kiln_build *b, const struct kiln_root *root, int srpm_fd,
        const struct kiln_rpm *srpm, const struct kiln_overlay *const *overlays, size_t n_overlays,
        struct kiln_error *err);

/* SOURCE_DATE_EPOCH for a spec without %changelog; before the first run. */
void kiln_build_set_epoch(struct kiln_build *b, int64_t epoch_s);

/* rpmbuild -bs: the source package as this toolchain's rpm and macros make it; its Requires are the static
 * BuildRequires. *ret is the caller's. */
int kiln_build_source(
        struct kiln_build *b, const struct kiln_root *root, struct kiln_rpm **ret, struct kiln_error *err);

/* Conditions of the spec that name the arch and not the arch tag, so that the tag takes another branch: how
 * many, and the first one's line. 0 and 0 without an arch tag. */
int kiln_build_arch_conditions(
        struct kiln_build *b, unsigned *ret_n, unsigned *ret_first, struct kiln_error *err);

/* One round of %generate_buildrequires (rpmbuild -br; --noprep from the second on). *ret_requires: all that
 * is now asked for, when something is missing, else NULL. */
int kiln_build_generate(
        struct kiln_build *b, const struct kiln_root *root, char ***ret_requires, struct kiln_error *err);

/* rpmbuild -ba; without %prep when rounds were made before. BUILD_FAILED names the section, the command that
 * failed and carries the last lines (kiln_build_tail()). */
int kiln_build_packages(struct kiln_build *b, const struct kiln_root *root, struct kiln_error *err);

struct kiln_built {
        int fd;     /* O_RDONLY */
        char *name; /* file name, checked to be a plain one */
        struct kiln_rpm *rpm;
};
/* The RPMs and the SRPM that were made, sorted by name; each read and its digests checked. */
int kiln_build_collect(struct kiln_build *b, struct kiln_built **ret, size_t *ret_n, struct kiln_error *err);
void kiln_built_free(struct kiln_built *built, size_t n);

/* Runs entry(arg) in the same sandbox, after the build: what it made lies below KILN_BUILD_TOPDIR. out_fd
 * stays open for it; what it prints goes nowhere. *ret_status is its value. */
int kiln_build_inspect(struct kiln_build *b, const struct kiln_root *root, int (*entry)(void *arg), void *arg,
        int out_fd, int *ret_status, struct kiln_error *err);

/* Runs a script of ours with the target's shell, in the sandbox the build had. What it prints, at most `max`
 * bytes, is added to out. BUILD_FAILED when it fails. */
int kiln_build_script(struct kiln_build *b, const struct kiln_root *root, const char *script, size_t max,
        struct kiln_buf *out, struct kiln_error *err);

const struct kiln_build_usage *kiln_build_usage(const struct kiln_build *b);
/* With params.observe: absolute paths of the root that were opened, sorted; the caller's. *ret_complete:
 * false when some were lost. sandbox/observe.h says what is not seen. */
char **kiln_build_opened(const struct kiln_build *b, bool *ret_complete);

struct kiln_build_file {
        const char *path; /* the build's */
        bool opened;
};
/* Likewise which of the files in SOURCES were opened by the spec or its sections (not for the source package
 * alone), and which of those that %prep left in the build directory were after it. Relative paths, sorted,
 * the array is the caller's; *ret_complete: false when "not opened" is not known. */
struct kiln_build_file *kiln_build_sources(const struct kiln_build *b, size_t *ret_n, bool *ret_complete);
struct kiln_build_file *kiln_build_tree(const struct kiln_build *b, size_t *ret_n, bool *ret_complete);
const char *kiln_build_tail(const struct kiln_build *b); /* the last lines that were printed */

/* A shell, or argv when it is not NULL, on the caller's terminal; the exit status goes to *ret_status. */
int kiln_build_shell(struct kiln_build *b, const struct kiln_root *root, const char *const *argv,
        int *ret_status, struct kiln_error *err);

/* "name >= evr" as rpm writes it, or NULL for rpmlib(...) features; the caller's. */
char *kiln_dependency_format(const struct kiln_rpm_dependency *d);
