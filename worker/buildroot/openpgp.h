/* Detached OpenPGP signatures (repomd.xml.asc) against an in-memory keyring. Not for other rooms. */
#pragma once

#include "worker/source/rpmfile.h"

/* Is one of the signatures in `armor` a good one over data by a key of the keyring? 0: yes, and *ret_signer
 * is the certificate's fingerprint (the caller's). Otherwise negative with an error (INFRA: a bad signature
 * on something fetched); `name` is for messages. Key expiry is not judged (never by the
 * signature's own time). */
int kiln_openpgp_verify(const struct kiln_keyring *k, const void *data, size_t len, const char *armor,
        size_t armor_len, const char *name, char **ret_signer, struct kiln_error *err);
