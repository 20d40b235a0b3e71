#include "worker/base/buf.h"

#include "worker/base/mem.h"

#include <stdarg.h>
#include <string.h>

static void buf_reserve(struct kiln_buf *b, size_t extra)
{
        size_t want = b->len + extra + 1;

        if (want <= b->capacity)
                return;
        size_t capacity = b->capacity ? b->capacity : 64;
        while (capacity < want)
                capacity *= 2;
        b->data = kiln_realloc(b->data, capacity, 1);
        b->capacity = capacity;
}

void kiln_buf_append(struct kiln_buf *b, const void *data, size_t len)
{
        buf_reserve(b, len);
        if (len)
                memcpy(b->data + b->len, data, len);
        b->len += len;
        b->data[b->len] = '\0';
}

void kiln_buf_puts(struct kiln_buf *b, const char *s)
{
        kiln_buf_append(b, s, strlen(s));
}

void kiln_buf_putc(struct kiln_buf *b, char c)
{
        kiln_buf_append(b, &c, 1);
}

void kiln_buf_printf(struct kiln_buf *b, const char *fmt, ...)
{
        _cleanup_free_ char *s = NULL;
        va_list ap;

        va_start(ap, fmt);
        s = kiln_vasprintf(fmt, ap);
        va_end(ap);
        kiln_buf_puts(b, s);
}

void kiln_buf_clear(struct kiln_buf *b)
{
        free(b->data);
        *b = (struct kiln_buf)KILN_BUF_INIT;
}

void kiln_buf_reset(struct kiln_buf *b)
{
        b->len = 0;
        if (b->data)
                b->data[0] = '\0';
}

char *kiln_buf_take(struct kiln_buf *b)
{
        char *s = b->data ? b->data : kiln_strdup("");

        *b = (struct kiln_buf)KILN_BUF_INIT;
        return s;
}

const char *kiln_buf_str(const struct kiln_buf *b)
{
        return b->data ? b->data : "";
}
