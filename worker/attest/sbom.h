/* The bill of materials of one SRPM and all RPMs made from it: one model, written as SPDX 2.3 (spdx.c) and
 * CycloneDX 1.6 (cyclonedx.c).
 *
 * Only what every worker sees alike is in it: no file digest of a signed package, no host, no clock. */
#pragma once

#include "worker/attest/attest.h"
#include "worker/attest/license.h"

#include <inttypes.h>

struct kiln_sbom_package {
        const struct kiln_rpm *rpm;
        const struct kiln_scan *scan;
        char *const *opened; /* of a source package: its files that the build opened; NULL: not known */
        char *version;       /* [epoch:]version-release */
        char *purl;
        char *file_name;
        struct kiln_license license;
};

enum kiln_sbom_use { /* of a package of the build root, a source or a patch */
        KILN_SBOM_UNKNOWN = 0,
        KILN_SBOM_OPENED,
        KILN_SBOM_UNOPENED, /* only installed, only carried along */
};

struct kiln_sbom_dependency { /* a package of the build root */
        const struct kiln_locked_package *locked;
        char *version;
        char *purl;
        char *url; /* NULL: none that means anything elsewhere */
        enum kiln_sbom_use use;
        struct kiln_license license;
};

struct kiln_sbom {
        const char *name; /* nvr of the SRPM */
        const char *vendor;
        struct kiln_digest build_digest;
        char created[32]; /* RFC 3339, from SOURCE_DATE_EPOCH */
        struct kiln_sbom_package source;
        struct kiln_sbom_package *packages; /* sorted by file name */
        size_t n_packages;
        struct kiln_sbom_dependency *dependencies; /* in the lock's order */
        size_t n_dependencies;
};

/* Borrows from `in`, which must outlive it. */
struct kiln_sbom *kiln_sbom_new(const struct kiln_attest_input *in);
void kiln_sbom_free(struct kiln_sbom *s);
KILN_DEFINE_CLEANUP(struct kiln_sbom *, kiln_sbom_free)

json_t *kiln_spdx_write(const struct kiln_sbom *s);      /* a new reference */
json_t *kiln_cyclonedx_write(const struct kiln_sbom *s); /* a new reference */

/* The serialNumber for a build_digest: a UUID in the form for other people's digests (RFC 9562, version 8).
 */
void kiln_cyclonedx_serial(const struct kiln_digest *d, char text[46]);

/* A JSON string of text that need not be UTF-8 and may be NULL (""). */
json_t *kiln_sbom_text(const char *s);

bool kiln_sbom_is_patch(const struct kiln_rpm *source, const char *file);

/* Of a file of the source package; the spec is in use anyway, and marked by nobody. */
enum kiln_sbom_use kiln_sbom_source_use(const struct kiln_sbom_package *source, const char *file);

/* Where a locked package can be had for everybody: base URL + location. NULL for file: repositories, whose
 * paths mean something on one host only. The caller's. */
char *kiln_sbom_locked_url(const struct kiln_lock *lock, const struct kiln_locked_package *p);
