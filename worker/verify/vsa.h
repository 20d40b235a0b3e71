/* SLSA verification summary attestations (https://slsa.dev/verification_summary/v1): somebody's verdict about
 * packages. Kiln writes one for `kiln verify --vsa` and for a rebuild by `kiln reproduce`; a FAILED one with
 * differences is signed dissent.
 *
 * Beyond SLSA's own fields: `kiln_differences` (extension fields are named <vendor>_<field>) lists, for
 * each package, what the rebuild has otherwise. A reader takes other people's VSAs too, without differences.
 */
#pragma once

#include "worker/base/digest.h"
#include "worker/base/error.h"
#include "worker/base/json.h"

#define KILN_VSA_ITEMS_MAX 100000 /* entries of any list that is read */

/* What `verifiedLevels` says. SLSA's own: nothing was judged, it failed, provenance exists and is signed.
 * Ours (SLSA allows names that are not its own): an independent rebuild gave the same bytes, and then
 * another one with everything varied that must not matter. */
#define KILN_VSA_LEVEL_NONE "SLSA_BUILD_LEVEL_0"
#define KILN_VSA_LEVEL_FAILED "FAILED"
#define KILN_VSA_LEVEL_PROVENANCE "SLSA_BUILD_LEVEL_1"
#define KILN_VSA_LEVEL_REPRODUCED "KILN_REPRODUCED"
#define KILN_VSA_LEVEL_VARIED "KILN_REPRODUCED_VARIED"

struct kiln_vsa_input { /* an attestation the verdict rests on */
        char *uri;      /* file name or URL */
        struct kiln_digest sha256;
};

struct kiln_vsa_difference {
        char *package; /* file name; one of the statement's subjects */
        char **tags;   /* header tags by name; NULL-terminated, NULL: none */
        char **files;  /* paths of files that differ or are on one side only */
};

struct kiln_vsa {
        bool passed;
        char *verifier;         /* URI of who judges: verifier.id */
        char *verifier_version; /* of kiln; NULL: not said */
        int64_t verified_s;     /* timeVerified; 0: not said */
        char *resource_uri;
        char *policy_uri;
        struct kiln_digest policy_sha256; /* of the policy's bytes; all zero: not said */
        char **levels;                    /* verifiedLevels; NULL-terminated */
        struct kiln_vsa_input *inputs;
        size_t n_inputs;
        struct kiln_vsa_difference *differences; /* only when it did not pass */
        size_t n_differences;
};
void kiln_vsa_clear(struct kiln_vsa *v);

/* The predicate, a new reference; kiln_statement_write() makes the statement and kiln_signer_statement()
 * signs it. */
json_t *kiln_vsa_write(const struct kiln_vsa *v);

/* Reads a predicate of type KILN_PREDICATE_VSA that kiln_envelope_open() has checked. BAD_INPUT: a field is
 * missing or of the wrong form, a PASSED one has differences. *ret is the caller's to clear. */
int kiln_vsa_read(const json_t *predicate, const char *name, struct kiln_vsa *ret, struct kiln_error *err);
