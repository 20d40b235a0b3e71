/* The attest stage: from unsigned RPMs to signed ones, their SBOMs, and envelopes with provenance, SBOMs and
 * test results. Everything it writes but runDetails is a function of the build: same build, same bytes
 * on any machine. It never holds a key and never unpacks a payload. docs/attestations.md describes
 * the documents. */
#pragma once

#include "worker/attest/scan.h"
#include "worker/attest/signer.h"
#include "worker/base/json.h"
#include "worker/buildroot/lock.h"
#include "worker/source/rpmfile.h"

#define KILN_BUILD_TYPE "urn:kiln:build:rpm:v1"
#define KILN_BUILDER_ID "urn:kiln:builder:local" /* unless the configuration names the builder */

struct kiln_attest_package { /* an RPM the build made, the rebuilt SRPM included */
        int fd;              /* unsigned; stays the caller's */
        const struct kiln_rpm *rpm;
        const struct kiln_scan *scan;
};

/* Something else the build was made from: the SRPM as fetched, an overlay. */
struct kiln_attest_material {
        const char *name; /* file name */
        const char *uri;  /* NULL: it has none that means anything elsewhere */
        const char *kind; /* "source", "overlay" */
        struct kiln_digest sha256;
};

struct kiln_attest_policy {  /* a sandbox profile that was used */
        const char *profile; /* "build" */
        struct kiln_digest text_sha256;
};

struct kiln_attest_denied {
        const char *call;
        uint64_t count;
};

struct kiln_attest_test { /* becomes a test-result statement over all packages */
        const char *name; /* "isa", "check" */
        bool failed, warned;
        char *const *passed, *const *warnings, *const *failures; /* names; NULL-terminated, NULL: none */
        const json_t *details; /* put into configuration's annotations; NULL: none */
};

struct kiln_attest_input {
        const char *nvr;    /* of the SRPM: names the result files */
        const char *vendor; /* toolchain's: purl namespace, supplier; may be "" */
        struct kiln_digest build_digest;
        int64_t source_date_epoch_s; /* times in SBOMs; time of package signatures */
        const json_t *request;       /* kiln.v1.Build in its JSON mapping: externalParameters.build */
        const json_t *internal;      /* internalParameters; NULL: {} */
        const struct kiln_lock *lock;
        const bool *opened; /* by index of the lock's packages: the build opened a file of it; NULL: nobody
                               looked */
        char *const *opened_sources; /* names of the source package's files that the build opened,
                                        NULL-terminated; NULL: nobody looked */

        const struct kiln_attest_material *materials; /* the SRPM first */
        size_t n_materials;
        const struct kiln_attest_package *packages;
        size_t n_packages; /* exactly one has rpm->source */

        /* runDetails: may differ between two builds of one request */
        const char *builder_id; /* NULL: KILN_BUILDER_ID */
        int64_t started_s, finished_s;
        const char *host, *id_mode, *cpu_model;
        const struct kiln_attest_policy *policies;
        size_t n_policies;
        const struct kiln_attest_denied *denied;
        size_t n_denied;
        const json_t *limits; /* as asked for and enforced; NULL: not told */

        const struct kiln_attest_test *tests;
        size_t n_tests;
};

enum kiln_attest_kind {
        KILN_ATTEST_RPM,
        KILN_ATTEST_SRPM,
        KILN_ATTEST_SPDX,
        KILN_ATTEST_CYCLONEDX,
        KILN_ATTEST_ENVELOPES,
};

struct kiln_attest_artefact {
        enum kiln_attest_kind kind;
        char *name;
        struct kiln_digest sha256;
        uint64_t size_bytes;
        struct kiln_rpm_digests digests; /* of RPMs */
};

struct kiln_attest_result {
        struct kiln_attest_artefact *artefacts; /* packages in the input's order, then the documents */
        size_t n_artefacts;
        struct kiln_digest build_definition; /* of its canonical JSON: equal on every worker */
};
void kiln_attest_result_free(struct kiln_attest_result *r);
KILN_DEFINE_CLEANUP(struct kiln_attest_result *, kiln_attest_result_free)

/* Writes the packages, <nvr>.spdx.json, <nvr>.cdx.json and <nvr>.intoto.jsonl into out_dir_fd. Every file is
 * written aside and renamed when all are complete and on disk; after an error nothing has appeared. signer
 * NULL: the packages are copied unsigned, and there are no envelopes. Errors: BUILD_FAILED (a package is not
 * what it says), BAD_INPUT, REFUSED, INFRA, CANCELLED. */
int kiln_attest(const struct kiln_context *c, struct kiln_signer *signer, const struct kiln_attest_input *in,
        int out_dir_fd, struct kiln_attest_result **ret, struct kiln_error *err);
