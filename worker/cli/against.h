/* kiln verify --against: a distribution's signature on our rebuild. */
#pragma once

#include "worker/base/context.h"
#include "worker/source/rpmfile.h"

/* Grafts the signature of the RPM at `original` on the RPM at `rebuild` and says what comes out. Returns the
 * exit status: OK (byte-identical, and rpm verifies it with a key of the keyring), REFUSED (byte-identical,
 * by a key that is not in it), NOT_REPRODUCED, or what an error has. */
int against_run(const struct kiln_context *c, const char *original, const char *rebuild,
        const struct kiln_keyring *keyring);
