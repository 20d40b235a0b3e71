#include "worker/base/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* One UTF-8 sequence at p (RFC 3629: shortest form, no surrogates, up to U+10FFFF). Returns its length, 0
 * when it is invalid. */
static size_t decode(const unsigned char *p, size_t len, uint32_t *ret)
{
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        size_t n = p[0] < 0x80   ? 1
                   : p[0] < 0xc2 ? 0
                   : p[0] < 0xe0 ? 2
                   : p[0] < 0xf0 ? 3
                   : p[0] < 0xf5 ? 4
                                 : 0;
        uint32_t c;

        if (n == 0 || n > len)
                return 0;
        c = n == 1 ? p[0] : p[0] & (0xffu >> (n + 1));
        for (size_t i = 1; i < n; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (p[i] & 0x3fu);
        }
        if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
                return 0;
        *ret = c;
        return n;
}

struct range {
        uint32_t first, last;
};

static bool in_ranges(const struct range *r, size_t n, uint32_t c)
{
        for (size_t i = 0; i < n; i++)
                if (c >= r[i].first && c <= r[i].last)
                        return true;
        return false;
}

/* Never shown: controls, and what changes the order or look of the text around it. */
static const struct range hostile[] = {
        {0x00, 0x1f}, {0x7f, 0x9f}, {0xad, 0xad}, {0x61c, 0x61c},
        {0x200b, 0x200f}, /* zero-width, direction marks */
        {0x2028, 0x202e}, /* line separators, direction embedding and override */
        {0x2060, 0x206f}, /* invisible operators, direction isolates */
        {0xe000, 0xf8ff}, /* private use */
        {0xfe00, 0xfe0f}, /* variation selectors */
        {0xfeff, 0xfeff}, {0xfff0, 0xfffb}, {0xfffe, 0xffff},
        {0xe0000, 0x10ffff}, /* tags, more private use */
};

/* Two columns wide (Unicode's East Asian Width W and F, in coarse ranges). */
static const struct range wide[] = {
        {0x1100, 0x115f},
        {0x2e80, 0xa4cf},
        {0xac00, 0xd7a3},
        {0xf900, 0xfaff},
        {0xfe30, 0xfe6f},
        {0xff00, 0xff60},
        {0xffe0, 0xffe6},
        {0x1f300, 0x1faff},
        {0x20000, 0x3fffd},
};

/* Length of the escape sequence at p, which begins with ESC: CSI, OSC and other strings, or two bytes. */
static size_t escape_length(const char *p, size_t len)
{
        size_t i = 2;

        if (len < 2)
                return 1;
        if (p[1] == '[') { /* ECMA-48 5.4: parameters and intermediates, then one final byte */
                while (i < len && p[i] >= 0x20 && p[i] <= 0x3f)
                        i++;
                return i < len && p[i] >= 0x40 && p[i] <= 0x7e ? i + 1 : i;
        }
        if (strchr("]P^_X", p[1])) { /* a string up to BEL or ST, but never beyond the line */
                for (; i < len && p[i] != '\n'; i++) {
                        if (p[i] == '\a')
                                return i + 1;
                        if (p[i] == '\033')
                                return i + 1 < len && p[i + 1] == '\\' ? i + 2 : i;
                }
                return i;
        }
        return p[1] >= 0x20 && p[1] <= 0x7e ? 2 : 1;
}

void kiln_text_clean(struct kiln_buf *out, const char *data, size_t len, unsigned flags)
{
        size_t n;

        for (size_t i = 0; i < len; i += n) {
                uint32_t c;

                if (data[i] == '\033') {
                        n = escape_length(data + i, len - i);
                        continue;
                }
                n = decode((const unsigned char *)data + i, len - i, &c);
                if (n == 0) {
                        n = 1;
                        kiln_buf_putc(out, '?');
                } else if (c == '\n' && (flags & KILN_TEXT_LINES))
                        kiln_buf_putc(out, '\n');
                else if (c == '\t' || c == '\n')
                        kiln_buf_putc(out, ' ');
                else if (in_ranges(hostile, sizeof(hostile) / sizeof(hostile[0]), c) ||
                         (c > 0x7e && (flags & KILN_TEXT_ASCII)))
                        kiln_buf_putc(out, '?');
                else
                        kiln_buf_append(out, data + i, n);
        }
}

/* Walks cleaned text; stops before the character that would pass `most` columns. */
static size_t measure(const char *s, size_t most, size_t *ret_columns)
{
        size_t len = strlen(s), i = 0, columns = 0;

        while (i < len) {
                uint32_t c = 0;
                size_t n = decode((const unsigned char *)s + i, len - i, &c), w;

                w = n && in_ranges(wide, sizeof(wide) / sizeof(wide[0]), c) ? 2 : 1;
                if (columns + w > most)
                        break;
                columns += w;
                i += n ? n : 1;
        }
        *ret_columns = columns;
        return i;
}

size_t kiln_text_columns(const char *s)
{
        size_t columns;

        measure(s, SIZE_MAX, &columns);
        return columns;
}

size_t kiln_text_fit(const char *s, size_t columns)
{
        size_t used;

        return measure(s, columns, &used);
}

bool kiln_text_utf8(void)
{
        static const char *const variables[] = {"LC_ALL", "LC_CTYPE", "LANG"};

        for (size_t i = 0; i < 3; i++) {
                const char *v = getenv(variables[i]);

                if (v && *v)
                        return strcasestr(v, "UTF-8") || strcasestr(v, "UTF8");
        }
        return false;
}
