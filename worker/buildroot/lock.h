/* The lock: every byte a build root is made of, by name and digest. Its JSON form is canonical (same lock,
 * same bytes), equals the protobuf JSON mapping of kiln.v1.Lock, and its SHA-256 names the lock. */
#pragma once

#include "worker/base/buf.h"
#include "worker/base/context.h"
#include "worker/base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kiln_lock_layer {
        KILN_LOCK_BOOTSTRAP, /* part of the closure that can run rpm; also part of the base */
        KILN_LOCK_BASE,      /* the toolchain's core packages */
        KILN_LOCK_DELTA,     /* this package's BuildRequires on top */
};

struct kiln_locked_package {
        char *name, *version, *release, *arch;
        char *epoch;                      /* decimal, "0" when the package has none */
        char *nevra;                      /* name-[epoch:]version-release.arch, epoch only when not 0 */
        struct kiln_digest sha256;        /* of the file */
        struct kiln_digest header_sha256; /* SHA256HEADER */
        uint64_t size_bytes;
        char *repository; /* id */
        char *location;   /* path below the repository's base URL, as in primary.xml */
        char *signer;     /* fingerprint, lower-case hex; "" for unsigned */
        char *license;    /* License tag, for the SBOM */
        char *source_rpm; /* SOURCERPM */
        enum kiln_lock_layer layer;
};

struct kiln_locked_repository {
        char *id;
        char *base_url; /* the definition's, never the mirror that answered */
        struct kiln_digest repomd_sha256;
};

struct kiln_lock {
        char *toolchain;
        struct kiln_digest toolchain_digest;
        char *arch;
        struct kiln_locked_repository *repositories; /* sorted by id */
        size_t n_repositories;
        struct kiln_locked_package *packages; /* sorted by nevra */
        size_t n_packages;
        bool full; /* the delta would upgrade or conflict with the base: everything is one layer */
};

struct kiln_lock *kiln_lock_new(void);
void kiln_lock_free(struct kiln_lock *l);
KILN_DEFINE_CLEANUP(struct kiln_lock *, kiln_lock_free)
struct kiln_lock *kiln_lock_copy(const struct kiln_lock *l);
void kiln_locked_package_clear(struct kiln_locked_package *p); /* frees what it holds */

/* name-[epoch:]version-release.arch, the epoch only when not "0", "" or NULL; the caller's. */
char *kiln_nevra_format(
        const char *name, const char *epoch, const char *version, const char *release, const char *arch);

/* All zero: not known (yet). */
bool kiln_digest_is_zero(const struct kiln_digest *d);

/* A path below a base URL: relative, no empty, "." or ".." part, no white space or URL syntax. */
bool kiln_location_is_safe(const char *location);

void kiln_lock_write(const struct kiln_lock *l, struct kiln_buf *out); /* canonical JSON + newline */
int kiln_lock_parse(
        const char *json, size_t len, const char *name, struct kiln_lock **ret, struct kiln_error *err);
struct kiln_digest kiln_lock_digest(const struct kiln_lock *l); /* of kiln_lock_write()'s bytes */

/* Digest of the packages of these layers only (mask of 1 << enum kiln_lock_layer): what a layer's key is made
 * from. */
struct kiln_digest kiln_lock_layer_digest(const struct kiln_lock *l, unsigned layers);
