/* SHA-256, the name of everything (FIPS 180-4, through OpenSSL's EVP). */
#pragma once

#include "worker/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KILN_DIGEST_BYTES 32
#define KILN_DIGEST_HEX (2 * KILN_DIGEST_BYTES)

struct kiln_digest {
        unsigned char bytes[KILN_DIGEST_BYTES];
};

struct kiln_hasher; /* a running hash */

struct kiln_hasher *kiln_hasher_new(void);
void kiln_hasher_update(struct kiln_hasher *h, const void *data, size_t len);
struct kiln_digest kiln_hasher_finish(struct kiln_hasher *h); /* h may only be freed afterwards */
void kiln_hasher_free(struct kiln_hasher *h);
KILN_DEFINE_CLEANUP(struct kiln_hasher *, kiln_hasher_free)
#define _cleanup_hasher_ _cleanup_(kiln_hasher_freep)

struct kiln_digest kiln_digest_of(const void *data, size_t len);

/* Hashes fd from offset 0 to its end with pread (the file position does not move). *ret_size may be NULL.
 * Returns 0 or negative errno. */
int kiln_digest_of_fd(int fd, struct kiln_digest *ret, uint64_t *ret_size);

bool kiln_digest_equal(const struct kiln_digest *a, const struct kiln_digest *b);
void kiln_digest_to_hex(const struct kiln_digest *d, char hex[KILN_DIGEST_HEX + 1]); /* lower case */

/* Exactly 64 lower-case hexadecimal digits; anything else is -EINVAL. */
int kiln_digest_from_hex(const char *hex, struct kiln_digest *ret);

void kiln_hex_encode(const void *data, size_t len, char *hex /* 2 * len + 1 */);
