/* SBOMs as Kiln writes them (SPDX 2.3, CycloneDX 1.6), read back into one model and held against packages.
 * Reading code for worker/attest/spdx.c and cyclonedx.c; docs/attestations.md describes the documents. */
#pragma once

#include "worker/attest/scan.h"
#include "worker/base/json.h"
#include "worker/buildroot/lock.h"
#include "worker/source/rpmfile.h"

struct kiln_bom_file {
        char *path;                   /* without the leading '/' */
        char sha1[KILN_SHA1_HEX + 1]; /* "": not said */
        char sha256[KILN_DIGEST_HEX + 1];
};

struct kiln_bom_package {
        char *file_name;
        char *purl; /* what follows "pkg:rpm/" and the vendor */
        char header[KILN_DIGEST_HEX + 1], payload[KILN_DIGEST_HEX + 1];
        struct kiln_bom_file *files; /* sorted by path */
        size_t n_files;
};

struct kiln_bom {
        const char *format;                /* "SPDX", "CycloneDX" */
        char *vendor;                      /* the namespace that every purl has; "" without one */
        char *document;                    /* documentNamespace, serialNumber */
        struct kiln_bom_package *packages; /* in the document's order */
        size_t n_packages;
        char **dependencies; /* of the build root: "<sha256> <purl>", sorted */
        size_t n_dependencies;
};
void kiln_bom_free(struct kiln_bom *b);
KILN_DEFINE_CLEANUP(struct kiln_bom *, kiln_bom_free)

/* Read a predicate. BAD_INPUT: it is no document of this form. */
int kiln_bom_read_spdx(
        const json_t *document, const char *name, struct kiln_bom **ret, struct kiln_error *err);
int kiln_bom_read_cyclonedx(
        const json_t *document, const char *name, struct kiln_bom **ret, struct kiln_error *err);

/* Whether it describes this package: name, purl, digests and every file. scan NULL: the files are those that
 * the header lists. NOT_REPRODUCED says what is otherwise. */
int kiln_bom_check_package(const struct kiln_bom *b, const struct kiln_rpm *rpm, const struct kiln_scan *scan,
        const char *name, struct kiln_error *err);

/* Whether its build root is the lock's, and it is about the build with this digest. NOT_REPRODUCED. */
int kiln_bom_check_build(const struct kiln_bom *b, const struct kiln_lock *lock,
        const struct kiln_digest *build_digest, const char *name, struct kiln_error *err);
