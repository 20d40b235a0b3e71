/* Envelopes and statements of arbitrary bytes. One envelope of the corpus is signed by the key below;
 * whatever opens under it says what that one says: nobody here can sign anything else. */
#include "worker/attest/dsse.h"
#include "worker/attest/statement.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* RFC 8032, section 7.1, test 1: the secret key is public. */
static const unsigned char key_bytes[32] = {0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe,
        0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68,
        0xf7, 0x07, 0x51, 0x1a};
#define SIGNED "{}"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static EVP_PKEY *key;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_buf_ struct kiln_buf payload = KILN_BUF_INIT;
        struct kiln_subject subject = {.file_name = (char *)"a-1-1.noarch.rpm"};
        int r;

        if (!key)
                key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key_bytes, sizeof(key_bytes));
        r = kiln_dsse_open((const char *)data, size, KILN_DSSE_INTOTO, &key, 1, "fuzz", &payload, NULL, &err);
        if (r == 0 && strcmp(kiln_buf_str(&payload), SIGNED) != 0)
                abort();
        if (r < 0 && (payload.len || (err.verdict != KILN_BAD_INPUT && err.verdict != KILN_NOT_REPRODUCED)))
                abort();
        kiln_error_clear(&err);
        r = kiln_statement_check((const char *)data, size, &subject, 1, &err);
        if (r < 0 && err.verdict != KILN_BAD_INPUT && err.verdict != KILN_REFUSED)
                abort();
        return 0;
}
