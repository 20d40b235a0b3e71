/* What the files that make kiln_reproduce() share. Private to them. */
#pragma once

#include "toolchains/toolchain.h"
#include "worker/buildroot/store.h"
#include "worker/pipeline/reproduce.h"
#include "worker/verify/bom.h"
#include "worker/verify/claims.h"

enum sbom { SBOM_SPDX, SBOM_CYCLONEDX, SBOMS };

/* A file of attestations, every signature in it checked: ours or theirs. */
struct attested {
        int dir_fd; /* where it lies, and where packages may lie beside it */
        char *dir;  /* path, for messages */
        char *name; /* of the file */
        struct kiln_envelope *provenance;
        bool has_sbom[SBOMS];           /* both, once it is read */
        struct kiln_digest sbom[SBOMS]; /* of the predicate's canonical JSON */
};
void attested_clear(struct attested *a);

/* Finds and reads it. *ret_given: when path is an RPM, its descriptor (else -1). */
int attested_open(const char *path, const struct kiln_verify_keys *keys, struct attested *a, int *ret_given,
        struct kiln_error *err);
/* BAD_INPUT: it is not one provenance and both SBOMs. */
int attested_read(struct attested *a, const struct kiln_verify_keys *keys, struct kiln_error *err);

/* The SBOM (CycloneDX) among them, for a second reading: it can be large. NULL: there is none that can be
 * read.
 */
struct kiln_bom *attested_bom(struct attested *a, const struct kiln_verify_keys *keys);

/* The packages of the provenance as files: one for each of its subjects. */
struct original {
        int fd; /* -1: not at hand */
        enum kiln_rpm_signature signature;
};
int originals_open(struct attested *a, int given, const char *path, const struct kiln_keyring *keyring,
        struct original **ret, struct kiln_error *err);
void originals_free(struct original *o, size_t n);

/* Brings what the provenance claims as its inputs into the store, as far as it is asked: the given source
 * package, and from mirrors. What nobody has is an error that names all of it; what can still be fetched from
 * where the provenance says is left to the pipeline. */
int needs_bring(const struct kiln_context *c, const struct kiln_reproduce *q, struct kiln_store *store,
        const struct kiln_claims *claims, const struct kiln_toolchain *t, struct kiln_error *err);

/* Compares the rebuild (ours, in its result directory) with what was attested. */
int reproduction_compare(const struct kiln_context *c, const struct kiln_reproduce *q,
        struct attested *theirs, const struct original *originals, struct attested *ours,
        const struct kiln_verify_keys *our_keys, struct kiln_reproduction *ret, struct kiln_error *err);
