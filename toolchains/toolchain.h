/* A toolchain: what a package is built against. A TOML file read into memory, with everything it names (keys,
 * macro files) loaded, and one digest over all of it.
 *
 * Knows nothing of SRPMs, solving or fetching. */
#pragma once

#include "worker/base/buf.h"
#include "worker/base/context.h"
#include "worker/base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kiln_isa_level {      /* psABI x86-64 microarchitecture levels */
        KILN_ISA_NONE = 0, /* of a file: no note, no code; never of a toolchain */
        KILN_ISA_V1,
        KILN_ISA_V2,
        KILN_ISA_V3,
        KILN_ISA_V4,
        KILN_ISA_LEVELS, /* how many there are, NONE included */
};

enum kiln_epoch_policy {      /* where SOURCE_DATE_EPOCH comes from */
        KILN_EPOCH_CHANGELOG, /* newest %changelog entry of the spec (rpm's source_date_epoch_from_changelog)
                               */
        KILN_EPOCH_FIXED,     /* epoch_fixed_s */
};

struct kiln_key {
        char *name;  /* file name below keys/ */
        char *armor; /* the ASCII-armored OpenPGP key text */
        bool local;  /* this machine's own key: not part of the toolchain's digest */
};

struct kiln_input { /* what a generated toolchain was made from */
        char *name; /* "gcc-14_14.2.0-19_amd64.deb" */
        struct kiln_digest digest;
};

struct kiln_repository {
        char *id;
        char *uri;        /* what lock, SBOM and provenance call it, wherever it was read from: "uri" of the
                             definition, else the first base URL, else metalink or mirrorlist */
        char **base_urls; /* NULL-terminated; all name the same content, tried in order; may be empty. A path
                             in a definition is relative to it; here it is a file:// URL */
        char *metalink;   /* URL or NULL */
        char *mirrorlist; /* URL or NULL */
        size_t *keys; /* indices into kiln_toolchain.keys: packages and repomd.xml are checked against these
                       */
        size_t n_keys;
        bool check_repomd;      /* repomd.xml.asc must verify */
        bool has_repomd_digest; /* repomd.xml itself is pinned */
        struct kiln_digest repomd_digest;
        bool unsigned_packages; /* packages without a signature are accepted, and recorded as unsigned in the
                                   lock */
        int priority;           /* lower wins, 99 unless given (dnf.conf(5)) */
        char **excludes;        /* package name globs, NULL-terminated */
};

struct kiln_macro {
        char *name; /* "_isa_level", may end in an argument list "foo()" */
        char *body;
};

struct kiln_macro_file {
        char *name; /* file name, "macros.kiln" */
        char *text;
};

struct kiln_toolchain {
        char *name; /* "bootstrap", "fedora-43" */
        char *path; /* of the definition */
        char *description;
        char *vendor;             /* purl namespace and RPM Vendor: "fedora" */
        char *dist;               /* %dist: ".fc43" */
        char *arch;               /* "x86_64" */
        char **compatible_arches; /* packages of these may be installed: x86_64, noarch; NULL-terminated */
        char **core;         /* requirements of the base layer: "rpm-build", "gcc", "@…" is not supported */
        char **bootstrap;    /* requirements whose closure can run `rpm -U`: "rpm" unless given */
        char *dbpath;        /* %_dbpath of the target's rpm, "/usr/lib/sysimage/rpm" */
        char **install_args; /* extra arguments for the target's rpm while layers are installed */
        enum kiln_isa_level isa; /* default level of packages */
        enum kiln_epoch_policy epoch_policy;
        int64_t epoch_fixed_s;
        char *kernel_release; /* what uname -r answers in a build */
        unsigned cpus;        /* CPUs a build sees; part of the definition since flags end up in packages */
        struct kiln_macro *macros; /* defined for every build, in order */
        size_t n_macros;
        struct kiln_macro_file *macro_files; /* installed as /usr/lib/rpm/macros.d/… in every build's view */
        size_t n_macro_files;
        struct kiln_repository *repositories;
        size_t n_repositories;
        struct kiln_key *keys;
        size_t n_keys;
        struct kiln_input *inputs; /* sorted by name */
        size_t n_inputs;
        char **dist_tags;          /* SRPM releases that ask for this toolchain: "fc43"; NULL-terminated */
        struct kiln_digest digest; /* over the canonical form: all of the above but path, local keys and,
                                      where a repository has a uri, its URLs; mirrors in any order */
};

/* Loads by name from <config>/toolchains, <cache>/bootstrap (name "bootstrap"), <data>; a name with a '/' is
 * a path. Errors: BAD_INPUT (TOML error with line, unknown key, missing key file, bad value), with the known
 * names as advice. */
int kiln_toolchain_load(
        const struct kiln_context *c, const char *name, struct kiln_toolchain **ret, struct kiln_error *err);

/* The canonical form the digest is over: one "key\0value\0" after another, in a fixed order. */
void kiln_toolchain_canonical(const struct kiln_toolchain *t, struct kiln_buf *out);

/* Reads a definition from memory; `path` is where it claims to be: keys/ and macros/ beside it, then those of
 * data_dir, are where its files are looked for. */
int kiln_toolchain_parse(const struct kiln_context *c, const char *path, const char *text, size_t len,
        struct kiln_toolchain **ret, struct kiln_error *err);

/* Whether one of a definition's repositories answers: file:// by looking, http(s):// and metalinks by asking
 * for the first bytes within timeout_s. 1: all do; 0: *ret_which (the caller's) does not. */
int kiln_toolchain_reachable(
        const struct kiln_context *c, const struct kiln_toolchain *t, unsigned timeout_s, char **ret_which);

/* The names that kiln_toolchain_load() would find, sorted; NULL-terminated, the caller's. */
int kiln_toolchain_list(const struct kiln_context *c, char ***ret, struct kiln_error *err);

/* Chooses without -t: configuration (kiln.toml: toolchain = "…"), else from an SRPM's dist tag (release
 * "….fc43") when a definition has it and its mirrors answer, else "bootstrap". *ret_reason: a sentence for
 * the user. */
int kiln_toolchain_choose(const struct kiln_context *c, const char *srpm_release, char **ret_name,
        char **ret_reason, struct kiln_error *err);

void kiln_toolchain_free(struct kiln_toolchain *t);
KILN_DEFINE_CLEANUP(struct kiln_toolchain *, kiln_toolchain_free)
#define _cleanup_toolchain_ _cleanup_(kiln_toolchain_freep)

const char *kiln_isa_level_name(enum kiln_isa_level l);            /* "none", "v1" … "v4"; static */
int kiln_isa_level_parse(const char *s, enum kiln_isa_level *ret); /* "v3", "x86-64-v3"; -EINVAL */

/* The macros that select a level: fills name/body pairs that must be defined after the toolchain's own
 * (%__cflags_arch_x86_64_level and friends). The array is the caller's. */
void kiln_isa_level_macros(enum kiln_isa_level l, struct kiln_macro **ret, size_t *ret_n);

/* Makes (or finds finished) the repository of RPMs from the host distribution's own packages below
 * <cache>/bootstrap and its toolchain definition. Same inputs, same bytes; a second run does nothing.
 * sign(ctx, data, len, &armor) makes the detached OpenPGP signature of repomd.xml with the local key and
 * pubkey is its armored public half: the key lives elsewhere, this room never sees it. */
struct kiln_bootstrap_signer {
        int (*sign)(void *ctx, const void *data, size_t len, char **ret_armor, struct kiln_error *err);
        void *ctx;
        const char *public_key; /* ASCII armor */
};
int kiln_toolchain_bootstrap(const struct kiln_context *c, const struct kiln_bootstrap_signer *signer,
        bool force, struct kiln_error *err);
