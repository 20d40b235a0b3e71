/* The in-memory keyring behind rpmfile.h, as its neighbours see it. */
#pragma once

#include "worker/source/rpmfile.h"

#include <rpm/rpmcrypto.h>
#include <rpm/rpmkeyring.h>

struct keyring_id {
        unsigned char key_id[8];
        char *fingerprint; /* of the primary key, lower-case hex */
};

struct kiln_keyring {
        rpmKeyring ring;
        struct keyring_id *ids; /* primary keys and subkeys */
        size_t n_ids;
        size_t n_keys; /* primary keys */
};

/* Fingerprint of the certificate that the key with this id belongs to, else the id itself in hex; the
 * caller's. */
char *kiln_keyring_signer(const struct kiln_keyring *k, const unsigned char key_id[8]);
