#include "worker/attest/purl.h"

#include "worker/base/buf.h"

#include <string.h>

/* Unreserved characters stay; everything else is percent-encoded. */
static void put(struct kiln_buf *b, const char *s, int lower)
{
        static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~";

        for (; *s; s++) {
                char c = *s;

                if (lower && c >= 'A' && c <= 'Z')
                        c = (char)(c - 'A' + 'a');
                if (strchr(plain, c))
                        kiln_buf_putc(b, c);
                else
                        kiln_buf_printf(b, "%%%02X", (unsigned char)c);
        }
}

char *kiln_purl_rpm(const char *vendor, const char *name, uint32_t epoch, const char *version,
        const char *release, const char *arch)
{
        struct kiln_buf b = KILN_BUF_INIT;

        kiln_buf_puts(&b, "pkg:rpm/");
        if (vendor && *vendor) {
                put(&b, vendor, 1); /* the type's rule: namespaces are lower case */
                kiln_buf_putc(&b, '/');
        }
        put(&b, name, 0);
        kiln_buf_putc(&b, '@');
        put(&b, version, 0);
        kiln_buf_putc(&b, '-');
        put(&b, release, 0);
        kiln_buf_puts(&b, "?arch=");
        put(&b, arch, 0);
        if (epoch)
                kiln_buf_printf(&b, "&epoch=%u", epoch);
        return kiln_buf_take(&b);
}
