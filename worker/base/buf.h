/* A growable byte buffer, always NUL-terminated behind its length. */
#pragma once

#include "worker/base/macros.h"

#include <stddef.h>
#include <stdint.h>

struct kiln_buf {
        char *data; /* NULL while empty */
        size_t len;
        size_t capacity;
};

#define KILN_BUF_INIT                                                                                        \
        {                                                                                                    \
                NULL, 0, 0                                                                                   \
        }

void kiln_buf_append(struct kiln_buf *b, const void *data, size_t len);
void kiln_buf_puts(struct kiln_buf *b, const char *s);
void kiln_buf_putc(struct kiln_buf *b, char c);
void kiln_buf_printf(struct kiln_buf *b, const char *fmt, ...) _printf_(2, 3);
void kiln_buf_clear(struct kiln_buf *b);            /* frees */
void kiln_buf_reset(struct kiln_buf *b);            /* keeps the memory, length 0 */
char *kiln_buf_take(struct kiln_buf *b);            /* the string ("" when empty), now the caller's */
const char *kiln_buf_str(const struct kiln_buf *b); /* "" when empty */
#define _cleanup_buf_ _cleanup_(kiln_buf_clear)
