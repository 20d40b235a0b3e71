#include "worker/base/base64.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

void kiln_base64_encode(const void *data, size_t len, struct kiln_buf *out)
{
        const unsigned char *p = data;
        unsigned char chunk[4 * 256 + 1];

        for (size_t i = 0; i < len; i += 3 * 256) {
                int n = EVP_EncodeBlock(chunk, p + i, (int)(len - i < 3 * 256 ? len - i : 3 * 256));

                kiln_buf_append(out, chunk, (size_t)n);
        }
}

int kiln_base64_decode(const char *text, size_t len, struct kiln_buf *out)
{
        unsigned char quantum[3], again[5];
        size_t padding = 0;

        if (len % 4 != 0)
                return -EINVAL;
        while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
                padding++;
        for (size_t i = 0; i < len; i += 4) {
                size_t last = i + 4 == len ? padding : 0;

                if (memchr(text + i, '=', 4 - last) ||
                        EVP_DecodeBlock(quantum, (const unsigned char *)text + i, 4) != 3)
                        return -EINVAL;
                if (last) {
                        EVP_EncodeBlock(again, quantum, (int)(3 - last));
                        if (memcmp(again, text + i, 4) != 0)
                                return -EINVAL;
                }
                kiln_buf_append(out, quantum, 3 - last);
        }
        return 0;
}
