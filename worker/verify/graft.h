/* Grafting: the signature header that a distribution put on its package, on the header and payload of a
 * rebuild. Signing changes nothing behind the signature header, so when the rebuild reproduces the original
 * the graft is the original, byte for byte, and rpm accepts it with the distribution's key. */
#pragma once

#include "worker/base/context.h"
#include "worker/source/rpmfile.h"

struct kiln_graft {
        bool identical; /* the graft is the original, byte for byte */
        bool same_header, same_payload;
        enum kiln_rpm_signature signature; /* of the original, judged with the keyring: never UNSIGNED */
        char *signer;                      /* of the original: fingerprint or key id */
        struct kiln_digest original_sha256, graft_sha256;
        char *reason;   /* one sentence: why it is not identical; NULL when it is */
        char *rpm_says; /* why rpm refuses the graft; NULL: it accepts it */
};
void kiln_graft_clear(struct kiln_graft *g);
#define _cleanup_graft_ _cleanup_(kiln_graft_clear)

/* Puts everything before the header of `original` before the header and payload of `rebuild` (signed or not:
 * its own signature header is left out), writes that to out_fd (an empty regular file, open for reading too),
 * and has rpm verify it with `keyring` (NULL: any key is unknown). Both inputs are hostile; the rebuild's own
 * digests are not asked: whether it fits is what the graft shows. *ret is filled on success, whatever the
 * outcome. Errors: BAD_INPUT (no RPM files; the original is not signed), NOT_REPRODUCED (the original was
 * tampered with), INFRA. */
int kiln_graft(int original_fd, const char *original_name, int rebuild_fd, const char *rebuild_name,
        const struct kiln_keyring *keyring, int out_fd, struct kiln_graft *ret, struct kiln_error *err);

/* A place for a graft: a file below the cache directory (packages can be large) that has no name, so that
 * nothing is left behind. The descriptor, or INFRA. */
int kiln_graft_aside(const struct kiln_context *c, struct kiln_error *err);
