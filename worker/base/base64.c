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

/* Only these: EVP_DecodeBlock() by itself leaves out white space at both ends. */
static bool is_alphabet(const char *s, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if (!((s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= 'a' && s[i] <= 'z') ||
                            (s[i] >= '0' && s[i] <= '9') || s[i] == '+' || s[i] == '/'))
                        return false;
        return true;
}

static size_t padding_of(const char *text, size_t len)
{
        size_t padding = 0;

        while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
                padding++;
        return padding;
}

size_t kiln_base64_decoded_len(const char *text, size_t len)
{
        return len / 4 * 3 - padding_of(text, len);
}

int kiln_base64_decode(const char *text, size_t len, struct kiln_buf *out)
{
        enum { QUANTA = 1024 };
        unsigned char bytes[3 * QUANTA], again[5];
        size_t padding = padding_of(text, len);

        if (len % 4 != 0 || !is_alphabet(text, len - padding))
                return -EINVAL;
        for (size_t i = 0; i < len; i += 4 * QUANTA) {
                size_t n = len - i < 4 * QUANTA ? len - i : 4 * QUANTA, last = i + n == len ? padding : 0;

                if (EVP_DecodeBlock(bytes, (const unsigned char *)text + i, (int)n) != (int)(n / 4 * 3))
                        return -EINVAL;
                if (last) {
                        EVP_EncodeBlock(again, bytes + n / 4 * 3 - 3, (int)(3 - last));
                        if (memcmp(again, text + len - 4, 4) != 0)
                                return -EINVAL;
                }
                kiln_buf_append(out, bytes, n / 4 * 3 - last);
        }
        return 0;
}
