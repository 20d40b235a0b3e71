/* The signature header of an RPM file: checked, hashed and written anew with one more signature.
 *
 * The signer's own reader: strict, small, without librpm, because it runs where the keys are and what it
 * reads is hostile. It never changes, moves or interprets the header and payload beyond what it must check;
 * those bytes stay what they were. Format: rpm's docs/manual/format*.md. Package format 4 only. */
#pragma once

#include "worker/attest/openpgp.h"
#include "worker/base/digest.h"
#include "worker/base/error.h"

/* All four names of one package. */
struct kiln_rpm_digests {
        struct kiln_digest unsigned_file; /* of the file as rpmbuild wrote it; all zero: not known */
        struct kiln_digest signed_file;   /* equals unsigned_file where nothing was signed */
        struct kiln_digest header;        /* SHA256HEADER */
        struct kiln_digest payload;       /* of the compressed payload */
};

struct kiln_rpmsig;

/* Reads and hashes all of fd, a regular file. Refused (BAD_INPUT): anything that rpm would not take, or whose
 * header or payload is not what its own SHA-256 digests say. Signatures are not judged: of a signed package
 * the unsigned file is not known. `name` is for messages. */
int kiln_rpmsig_read(int fd, const char *name, struct kiln_rpmsig **ret, struct kiln_error *err);
void kiln_rpmsig_free(struct kiln_rpmsig *s);
KILN_DEFINE_CLEANUP(struct kiln_rpmsig *, kiln_rpmsig_free)

const struct kiln_rpm_digests *kiln_rpmsig_digests(const struct kiln_rpmsig *s);
const char *kiln_rpmsig_file_name(const struct kiln_rpmsig *s);  /* "name-version-release.arch.rpm" */
uint64_t kiln_rpmsig_header_offset(const struct kiln_rpmsig *s); /* signing replaces the bytes before this */

/* Signs the header of a package that is not signed yet (BAD_INPUT), appends the lead and signature header
 * that replace [0, header_offset) to *prefix, and hashes fd once more for digests.signed_file; -ESTALE when
 * its payload is no longer what was read. As rpmsign does, the space that rpmbuild reserved is used up, so
 * that the file keeps its size. */
int kiln_rpmsig_sign(struct kiln_rpmsig *s, int fd, const struct kiln_openpgp_key *k, EVP_PKEY *key,
        int64_t time_s, struct kiln_buf *prefix, struct kiln_error *err);
