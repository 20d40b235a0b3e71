/* RFC 3161 time stamps over the signature of a DSSE envelope: asking for one, and judging one.
 *
 * What is stamped is what Sigstore stamps: the bytes of the signature, so that the stamp says when the
 * signature existed at the latest. Only certificates that the caller brought are trusted; the chain is judged
 * at the time the stamp names, revocation lists are not looked at. A stamp is hostile bytes: at most
 * KILN_TIMESTAMP_MAX of them, read by OpenSSL. */
#pragma once

#include "worker/base/buf.h"
#include "worker/base/error.h"

#include <openssl/x509.h>
#include <stdint.h>

#define KILN_TIMESTAMP_MAX 65536      /* bytes of a TimeStampResp */
#define KILN_TIMESTAMP_SKEW_S 300     /* an authority's clock may be ahead of ours */
#define KILN_TIMESTAMP_ACCURACY_S 600 /* a stamp that is less accurate says too little */
#define KILN_TIMESTAMP_PEM_MAX 262144 /* bytes of an authority's certificates */

struct kiln_timestamp_authority {
        char *name;
        STACK_OF(X509) * certificates; /* each of them is trusted */
        int64_t from_s, until_s;       /* its stamps of [from, until) are accepted; 0: no bound */
};
struct kiln_timestamp_authorities {
        struct kiln_timestamp_authority *list;
        size_t n;
};
void kiln_timestamp_authorities_clear(struct kiln_timestamp_authorities *a);

/* Adds an authority by its certificates in PEM. BAD_INPUT: there is none, one is broken, or too many. */
int kiln_timestamp_authority_add(struct kiln_timestamp_authorities *a, const char *pem, size_t len,
        const char *name, int64_t from_s, int64_t until_s, struct kiln_error *err);

/* Appends the DER of a TimeStampReq over the SHA-256 of `data`, with a nonce and the wish for certificates.
 */
int kiln_timestamp_request(
        const void *data, size_t len, uint64_t *ret_nonce, struct kiln_buf *out, struct kiln_error *err);

struct kiln_timestamp {
        int64_t earliest_s, latest_s; /* the moment of the stamp, by its accuracy */
        size_t authority;
};

/* What a stamp is judged by. */
struct kiln_timestamp_judge {
        const struct kiln_timestamp_authorities *authorities;
        int64_t now_s;
        uint64_t nonce; /* of the request that it answers; 0: nobody knows it */
};

/* Judges the DER of a TimeStampResp over `data`. `name` says what it was found in. Errors:
 *   BAD_INPUT        it is no granted TimeStampResp in DER
 *   NOT_REPRODUCED   it stamps something else, or was changed since it was signed
 *   REFUSED          its signer leads to none of the authorities, its certificate is not for time stamping,
 * the chain was not valid then, an algorithm is weak, its time is in the future or outside of what the
 * authority is accepted for */
int kiln_timestamp_check(const void *der, size_t der_len, const void *data, size_t len,
        const struct kiln_timestamp_judge *judge, const char *name, struct kiln_timestamp *ret,
        struct kiln_error *err);
