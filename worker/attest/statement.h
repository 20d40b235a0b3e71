/* in-toto Statement v1 (github.com/in-toto/attestation, spec/v1/statement.md) about RPM packages.
 *
 * A subject is one package: its file name and, as digest set, up to four names of it (all SHA-256, lower-case
 * hex): sha256            the file as published, signed or not rpmUnsignedSha256 the file as rpmbuild wrote
 * it rpmHeaderSha256   the header, SHA256HEADER rpmPayloadSha256  the compressed payload, PAYLOADDIGEST The
 * last two do not depend on who signed. docs/attestations.md describes the rest. */
#pragma once

#include "worker/attest/rpmsig.h"
#include "worker/base/json.h"

#define KILN_STATEMENT_TYPE "https://in-toto.io/Statement/v1"
#define KILN_PREDICATE_PROVENANCE "https://slsa.dev/provenance/v1"
#define KILN_PREDICATE_VSA "https://slsa.dev/verification_summary/v1"
#define KILN_PREDICATE_TEST "https://in-toto.io/attestation/test-result/v0.1"
#define KILN_PREDICATE_SPDX "https://spdx.dev/Document"
#define KILN_PREDICATE_CYCLONEDX "https://cyclonedx.org/bom"

/* A package a statement can be about. */
struct kiln_subject {
        char *file_name;
        struct kiln_rpm_digests digests;
};

/* The names of a package, in the order of the list above. */
#define KILN_SUBJECT_DIGESTS 4
struct kiln_subject_digest {
        const char *name;
        size_t offset;  /* of the struct kiln_digest in struct kiln_rpm_digests */
        unsigned forms; /* 1U << enum kiln_subject_form */
};
extern const struct kiln_subject_digest kiln_subject_digests[KILN_SUBJECT_DIGESTS];

/* Masks of them, 1U << index: those of the file, which another signature changes, and those of its content.
 */
enum {
        KILN_DIGEST_SIGNED = 1U << 0,
        KILN_DIGEST_UNSIGNED = 1U << 1,
        KILN_DIGEST_HEADER = 1U << 2,
        KILN_DIGEST_PAYLOAD = 1U << 3,
        KILN_DIGESTS_FILE = KILN_DIGEST_SIGNED | KILN_DIGEST_UNSIGNED,
        KILN_DIGESTS_CONTENT = KILN_DIGEST_HEADER | KILN_DIGEST_PAYLOAD,
};

enum kiln_subject_form {
        KILN_SUBJECT_ALL,       /* all four digests */
        KILN_SUBJECT_CONTENT,   /* header and payload only: independent of the signing key */
        KILN_SUBJECT_PUBLISHED, /* without rpmUnsignedSha256: somebody else signed, it cannot be known */
};

/* The statement, canonical JSON without a newline. Subjects are sorted by file name. predicate is borrowed.
 */
void kiln_statement_write(const struct kiln_subject *subjects, size_t n, enum kiln_subject_form form,
        const char *predicate_type, json_t *predicate, struct kiln_buf *out);

/* Whether text is a Statement v1 with one of the predicate types above whose every subject is one of `known`,
 * with no digest that this package does not have. A package whose unsigned form is not known was signed by
 * somebody before: only a verification summary can be about it. A verification summary that says FAILED can
 * be about any package. For the signer: BAD_INPUT or REFUSED say what is wrong. */
int kiln_statement_check(const char *text, size_t len, const struct kiln_subject *known, size_t n_known,
        struct kiln_error *err);
