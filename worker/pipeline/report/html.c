#include "worker/pipeline/report/html.h"

#include "worker/base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void escape(struct kiln_buf *out, const char *data, size_t len)
{
        for (size_t i = 0; i < len; i++)
                switch (data[i]) {
                case '&':
                        kiln_buf_puts(out, "&amp;");
                        break;
                case '<':
                        kiln_buf_puts(out, "&lt;");
                        break;
                case '>':
                        kiln_buf_puts(out, "&gt;");
                        break;
                case '"':
                        kiln_buf_puts(out, "&quot;");
                        break;
                case '\'':
                        kiln_buf_puts(out, "&#39;");
                        break;
                default:
                        kiln_buf_putc(out, data[i]);
                }
}

static void put_text(struct kiln_buf *out, const char *data, size_t len, unsigned flags)
{
        _cleanup_buf_ struct kiln_buf clean = KILN_BUF_INIT;

        kiln_text_clean(&clean, data, len, flags);
        escape(out, kiln_buf_str(&clean), clean.len);
}

void kiln_html_text(struct kiln_buf *out, const char *data, size_t len)
{
        put_text(out, data, len, KILN_TEXT_LINES);
}

/* Appends one number, printed with the directive at fmt (length n). */
static void put_number(struct kiln_buf *out, const char *fmt, size_t n, va_list *ap)
{
        char directive[8], text[64];

        if (n >= sizeof(directive))
                abort();
        memcpy(directive, fmt, n);
        directive[n] = '\0';
        /* The directive is one of ours, out of a literal; the compiler has checked it against its argument.
         */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        switch (directive[n - 1]) {
        case 'd':
                snprintf(text, sizeof(text), directive, va_arg(*ap, int));
                break;
        case 'u':
                if (directive[1] == 'z')
                        snprintf(text, sizeof(text), directive, va_arg(*ap, size_t));
                else if (directive[1] == 'l')
                        snprintf(text, sizeof(text), directive, va_arg(*ap, unsigned long));
                else
                        snprintf(text, sizeof(text), directive, va_arg(*ap, unsigned));
                break;
        case 'f':
                snprintf(text, sizeof(text), directive, va_arg(*ap, double));
                break;
        default:
                abort();
        }
#pragma GCC diagnostic pop
        kiln_buf_puts(out, text);
}

void kiln_html_format(struct kiln_buf *out, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        while (*fmt) {
                size_t n = strcspn(fmt, "%");

                kiln_buf_append(out, fmt, n);
                fmt += n;
                if (*fmt == '\0')
                        break;
                n = 1 + strcspn(fmt + 1, "sduf%") + 1;
                if (fmt[1] == 's') {
                        const char *s = va_arg(ap, const char *);

                        put_text(out, s, strlen(s), 0);
                } else if (fmt[1] == '%')
                        kiln_buf_putc(out, '%');
                else
                        put_number(out, fmt, n, &ap);
                fmt += n;
        }
        va_end(ap);
}
