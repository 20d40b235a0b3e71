#include "worker/base/digest.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

struct kiln_hasher {
        EVP_MD_CTX *ctx;
};

struct kiln_hasher *kiln_hasher_new(void)
{
        struct kiln_hasher *h = kiln_calloc(1, sizeof(*h));

        h->ctx = EVP_MD_CTX_new();
        /* SHA-256 is in OpenSSL's default provider; without it nothing here can work. */
        if (!h->ctx || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1)
                abort();
        return h;
}

void kiln_hasher_update(struct kiln_hasher *h, const void *data, size_t len)
{
        if (EVP_DigestUpdate(h->ctx, data, len) != 1)
                abort();
}

struct kiln_digest kiln_hasher_finish(struct kiln_hasher *h)
{
        struct kiln_digest d;

        if (EVP_DigestFinal_ex(h->ctx, d.bytes, NULL) != 1)
                abort();
        return d;
}

void kiln_hasher_free(struct kiln_hasher *h)
{
        if (!h)
                return;
        EVP_MD_CTX_free(h->ctx);
        free(h);
}

struct kiln_digest kiln_digest_of(const void *data, size_t len)
{
        _cleanup_hasher_ struct kiln_hasher *h = kiln_hasher_new();

        kiln_hasher_update(h, data, len);
        return kiln_hasher_finish(h);
}

int kiln_digest_of_fd(int fd, struct kiln_digest *ret, uint64_t *ret_size)
{
        _cleanup_hasher_ struct kiln_hasher *h = kiln_hasher_new();
        _cleanup_free_ char *chunk = kiln_malloc(256 * 1024);
        uint64_t size = 0;

        for (;;) {
                ssize_t n = kiln_fd_read_at(fd, chunk, 256 * 1024, size);

                if (n < 0)
                        return (int)n;
                if (n == 0)
                        break;
                kiln_hasher_update(h, chunk, (size_t)n);
                size += (uint64_t)n;
        }
        *ret = kiln_hasher_finish(h);
        if (ret_size)
                *ret_size = size;
        return 0;
}

bool kiln_digest_equal(const struct kiln_digest *a, const struct kiln_digest *b)
{
        return memcmp(a->bytes, b->bytes, KILN_DIGEST_BYTES) == 0;
}

void kiln_hex_encode(const void *data, size_t len, char *hex)
{
        static const char digits[] = "0123456789abcdef";
        const unsigned char *p = data;

        for (size_t i = 0; i < len; i++) {
                hex[2 * i] = digits[p[i] >> 4];
                hex[2 * i + 1] = digits[p[i] & 15];
        }
        hex[2 * len] = '\0';
}

void kiln_digest_to_hex(const struct kiln_digest *d, char hex[KILN_DIGEST_HEX + 1])
{
        kiln_hex_encode(d->bytes, KILN_DIGEST_BYTES, hex);
}

static int hex_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return -1;
}

int kiln_digest_from_hex(const char *hex, struct kiln_digest *ret)
{
        struct kiln_digest d;

        if (strlen(hex) != KILN_DIGEST_HEX)
                return -EINVAL;
        for (size_t i = 0; i < KILN_DIGEST_BYTES; i++) {
                int hi = hex_value(hex[2 * i]), lo = hex_value(hex[2 * i + 1]);

                if (hi < 0 || lo < 0)
                        return -EINVAL;
                d.bytes[i] = (unsigned char)(hi << 4 | lo);
        }
        *ret = d;
        return 0;
}
