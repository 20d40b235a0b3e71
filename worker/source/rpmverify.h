/* The digests and signatures of one RPM file, checked over its very bytes.
 *
 * Every digest (but an MD5 that SHA-256 makes superfluous) and signature of the file is judged by itself
 * here, so that "unsigned", "signed by somebody unknown", "tampered" and "cannot be checked" are never
 * confused; librpm's rpmVerifySignatures() then judges the same file, and has to agree. */
#pragma once

#include "worker/source/rpmfile.h"
#include "worker/source/rpmlayout.h"

struct kiln_rpm_verified {
        enum kiln_rpm_signature signature;
        char *signer; /* NULL if unsigned */
        struct kiln_digest file_sha256, header_sha256, payload_sha256;
};

int kiln_rpm_verify(int fd, const char *name, const struct kiln_rpm_layout *l,
        const struct kiln_keyring *keyring, struct kiln_rpm_verified *ret, struct kiln_error *err);
