/* What was found out about a package file under certain keys, remembered. Not for other rooms.
 *
 * A fact holds for one file as it lies in the store: size, mtime and inode are part of it, so a file that was
 * replaced or written to is checked again. Whoever can write to the cache directory is trusted not to forge
 * facts (it could replace a finished layer just as well); layers hash every file again
 * (kiln_store_find_verified()). */
#pragma once

#include "worker/base/digest.h"
#include "worker/source/rpmfile.h"

#include <sys/stat.h>

struct facts {
        char *nevra;
        struct kiln_digest header_sha256;
        enum kiln_rpm_signature signature;
        char *signer; /* "" for unsigned */
};
void facts_clear(struct facts *f);

/* keys: digest of the keys it was checked against. 0, or 1 when nothing (valid) is known. */
int facts_read(const struct kiln_context *c, const struct kiln_digest *file, const struct kiln_digest *keys,
        const struct stat *st, struct facts *ret);

/* Not being able to write is no error: the file is checked again next time. */
void facts_write(const struct kiln_context *c, const struct kiln_digest *file, const struct kiln_digest *keys,
        const struct stat *st, const struct facts *f);
