/* Inside of the bootstrap: one struct that the steps hand on. Nothing outside toolchains/bootstrap*.c
 * includes this. The steps, in order: table (what to make) - apt (choose and download) - control (names and
 * versions) - tools (rpmbuild from the packages themselves) - convert (stage, depend, spec; one package each)
 * - repo (metadata, signature, definition). */
#pragma once

#include "toolchains/toml.h"
#include "toolchains/toolchain.h"
#include "worker/base/buf.h"
#include "worker/base/digest.h"
#include "worker/base/mem.h"

#include <pthread.h>
#include <stdatomic.h>

#define BOOTSTRAP_PHASE "bootstrap"
#define BOOTSTRAP_DOING "making the bootstrap repository"

/* Part of every package's cache key: raise it when the conversion's code changes its output. */
#define BOOTSTRAP_FORMAT "1"

struct table { /* toolchains/bootstrap/packages.toml */
        char *path;
        struct kiln_toml *root;
        char *suite, *component, *architecture, *loader, *library_path, *python;
        char **install, **skip, **tools, **own, **drop;
        int64_t own_epoch_s;
        const struct kiln_toml *drop_from, *provides, *requires, *links, *scripts,
                *toolchain; /* owned by root */
};

struct relation { /* one alternative of a Debian dependency, deb-control(5) */
        char *name;
        char *operator; /* "<<", "<=", "=", ">=", ">>"; NULL: any version */
        char *version;
};

struct deb {
        char *file; /* name in the archive directory */
        struct kiln_digest digest;
        uint64_t size;
        char *name, *version, *arch, *summary;
        char *depends, *pre_depends, *provides; /* fields as they are */
        int64_t epoch_s;                        /* when it was built: the archive's own time stamp */
        bool skip;
        char **requires; /* RPM requirements from the fields above, and the table's */
};

struct bootstrap {
        const struct kiln_context *c;
        struct table t;
        char *dir;      /* <cache>/bootstrap */
        char *debs_dir; /* <dir>/apt/archives */
        char *work_dir; /* <dir>/work: staging, gone at the end */
        char *rpms_dir; /* <dir>/converted/<key>/: one directory of RPMs for each key */
        char *tools_dir;
        struct deb *debs; /* sorted by name */
        size_t n_debs;
        struct kiln_digest tools_digest; /* over the tools' .debs */
        char **rpms;                     /* paths of the finished RPMs, sorted */

        pthread_mutex_t lock; /* rpms */
};

/* Frees what b holds. */
void bootstrap_clear(struct bootstrap *b);

int bootstrap_table_load(struct bootstrap *b, struct kiln_error *err);
void bootstrap_table_clear(struct table *t);
const struct kiln_toml *bootstrap_table_row(const struct kiln_toml *table, const char *name);

/* Fills b->debs: chosen and downloaded, hashes checked. */
int bootstrap_apt_fetch(struct bootstrap *b, struct kiln_error *err);

/* Reads every package's control fields and turns dependencies into RPM's. */
int bootstrap_control_read(struct bootstrap *b, struct kiln_error *err);

/* "1:2.3-4+b1" -> epoch "1" (or ""), version "2.3", release "4+b1" ('-' is not legal in RPM's). */
void bootstrap_version_split(const char *debian, char **ret_epoch, char **ret_version, char **ret_release);

/* The next dependency of a field: its alternatives. Moves *pos; false at the end. */
bool bootstrap_relation_next(const char **pos, struct relation **ret, size_t *ret_n);
void bootstrap_relations_free(struct relation *r, size_t n);

struct deb *bootstrap_deb_find(const struct bootstrap *b, const char *name);

/* Unpacks what rpmbuild, createrepo_c and perl need, once. */
int bootstrap_tools_prepare(struct bootstrap *b, struct kiln_error *err);

/* Runs a tool's program ("usr/bin/rpmbuild") from tools_dir. in: bytes for its standard input or NULL. Exit
 * status or negative errno as kiln_process_run(). */
int bootstrap_tools_run(struct bootstrap *b, const char *program, const char *const *args, int64_t epoch_s,
        const struct kiln_buf *in, struct kiln_buf *out, struct kiln_buf *errors);

/* Runs step for every package, several at a time; the first failure ends it. The sink is called by one thread
 * at a time. */
int bootstrap_each(struct bootstrap *b,
        int (*step)(struct bootstrap *b, struct deb *d, struct kiln_error *err), bool progress,
        struct kiln_error *err);

/* Converts everything into b->rpms. */
int bootstrap_convert(struct bootstrap *b, struct kiln_error *err);

struct entry {      /* of a staged tree, sorted by path */
        char *path; /* "/usr/bin/x" */
        unsigned mode;
        bool config;
};

struct stage {
        char *root;
        struct entry *entries;
        size_t n_entries;
        char **sbin; /* names that were in sbin and are now in bin */
};

/* Unpacks a package into s->root, merges /usr and sbin, drops and links as the table says, lists what is
 * left. */
int bootstrap_stage(struct bootstrap *b, const struct deb *d, struct stage *s, struct kiln_error *err);
void bootstrap_stage_clear(struct stage *s);

/* Appends "Provides: …" and "Requires: …" lines for what is in the tree: ELF, pkg-config, CMake, Python,
 * Perl. */
int bootstrap_depend(struct bootstrap *b, const struct deb *d, const struct stage *s, struct kiln_buf *spec,
        struct kiln_error *err);

/* rpmbuild on a spec; the RPMs end up in out_dir. */
int bootstrap_rpmbuild(struct bootstrap *b, const char *name, const char *spec_path, const char *root,
        const char *source_dir, const char *target, int64_t epoch_s, const char *out_dir,
        struct kiln_error *err);

/* <dir>/repo, signed, and <dir>/toolchain.toml. */
int bootstrap_repo_make(
        struct bootstrap *b, const struct kiln_bootstrap_signer *signer, struct kiln_error *err);

/* b->dir/toolchain.toml is there and was made from this table by this code. and is signed by this key. */
bool bootstrap_repo_is_current(struct bootstrap *b, const struct kiln_bootstrap_signer *signer);

/* Digest of the table and all own packages' files: what besides the inputs decides the result. */
int bootstrap_recipe_digest(struct bootstrap *b, struct kiln_digest *ret, struct kiln_error *err);

/* Runs a host program; its last words become the error when it fails. */
int bootstrap_host_run(struct bootstrap *b, const char *const *argv, const char *const *env,
        struct kiln_buf *out, struct kiln_error *err);
