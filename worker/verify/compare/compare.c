/* The comparison as a value: differences are added, bounded, sorted, counted. */
#include "worker/verify/compare/private.h"

#include "worker/base/clock.h"
#include "worker/base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *kiln_compare_level_name(enum kiln_compare_level level)
{
        static const char *const names[] = {"same-file", "same-content", "same-payload", "different"};

        return names[level];
}

const char *kiln_compare_level_words(enum kiln_compare_level level)
{
        static const char *const words[] = {"the same file", "the same content, other signatures",
                "the same payload, another header", "different"};

        return words[level];
}

const char *kiln_difference_kind_words(enum kiln_difference_kind kind)
{
        static const char *const words[] = {
                "only in one:", "signature:", "header tag", "payload:", "file", "file", "file", "document"};

        return words[kind];
}

const char *kiln_difference_kind_name(enum kiln_difference_kind kind)
{
        static const char *const names[] = {"package", "signature", "header", "payload", "file-missing",
                "file-meta", "file-content", "document"};

        return names[kind];
}

/* Bytes of s[0..len) up to `max` that end with a whole UTF-8 character. */
static size_t cut_length(const char *s, size_t len, size_t max)
{
        if (len <= max)
                return len;
        while (max > 0 && ((unsigned char)s[max] & 0xc0) == 0x80)
                max--;
        return max;
}

char *compare_text(const void *data, size_t len)
{
        struct kiln_buf b = KILN_BUF_INIT;
        size_t kept = cut_length(data, len, KILN_COMPARE_TEXT_BYTES - strlen("…"));

        kiln_text_clean(&b, data, kept, 0);
        if (kept < len)
                kiln_buf_puts(&b, "…");
        return kiln_buf_take(&b);
}

char *compare_hex(const void *data, size_t len)
{
        const unsigned char *p = data;
        struct kiln_buf b = KILN_BUF_INIT;

        for (size_t i = 0; i < len && i < 16; i++)
                kiln_buf_printf(&b, "%s%02x", i ? " " : "", p[i]);
        if (len > 16)
                kiln_buf_puts(&b, " …");
        return kiln_buf_take(&b);
}

char *compare_time(uint64_t s)
{
        char text[32];

        if (s > UINT32_MAX) /* of what rpm writes, nothing is */
                return kiln_asprintf("%" PRIu64, s);
        kiln_clock_format((int64_t)s, text);
        return kiln_asprintf("%" PRIu64 " (%s)", s, text);
}

static char *text_or_null(const char *s, size_t len)
{
        return s ? compare_text(s, len) : NULL;
}

void compare_add(struct kiln_comparison *c, enum kiln_difference_kind kind, const char *subject,
        const char *aspect, const char *a, const char *b, const char *detail)
{
        struct kiln_difference *d;

        c->differs = true;
        if (c->n_differences >= KILN_COMPARE_DIFFERENCES_MAX) {
                c->cut++;
                return;
        }
        d = KILN_APPEND(c->differences, c->n_differences);
        d->kind = kind;
        d->subject = compare_text(subject, strlen(subject));
        d->aspect = compare_text(aspect, strlen(aspect));
        d->a = text_or_null(a, a ? strlen(a) : 0);
        d->b = text_or_null(b, b ? strlen(b) : 0);
        d->detail = compare_text(detail ? detail : "", detail ? strlen(detail) : 0);
}

/* s from shortly before byte `at` on. */
static char *excerpt(const char *s, size_t len, size_t at)
{
        static const size_t before = 40;
        struct kiln_buf b = KILN_BUF_INIT;

        if (at > 2 * before) {
                at -= before;
                while (at < len && ((unsigned char)s[at] & 0xc0) == 0x80)
                        at++;
                kiln_buf_puts(&b, "…");
        } else
                at = 0;
        kiln_buf_append(&b, s + at, len - at < KILN_COMPARE_TEXT_BYTES ? len - at : KILN_COMPARE_TEXT_BYTES);
        return kiln_buf_take(&b);
}

void compare_add_excerpt(struct kiln_comparison *c, enum kiln_difference_kind kind, const char *subject,
        const char *aspect, const char *a, size_t a_len, const char *b, size_t b_len, const char *detail)
{
        _cleanup_free_ char *left = NULL, *right = NULL;
        size_t at = 0;

        while (at < a_len && at < b_len && a[at] == b[at])
                at++;
        left = excerpt(a, a_len, at);
        right = excerpt(b, b_len, at);
        compare_add(c, kind, subject, aspect, left, right, detail);
}

void compare_ignore(char ***ignored, const char *fmt, ...)
{
        _cleanup_free_ char *raw = NULL, *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        raw = kiln_vasprintf(fmt, ap);
        va_end(ap);
        text = compare_text(raw, strlen(raw));
        kiln_strv_append(ignored, text);
}

static int order_of(const struct kiln_difference *d)
{
        /* One file's kinds go together. */
        return d->kind == KILN_DIFFERENCE_FILE_META || d->kind == KILN_DIFFERENCE_FILE_CONTENT
                       ? KILN_DIFFERENCE_FILE_MISSING
                       : (int)d->kind;
}

struct ranked {
        struct kiln_difference d;
        size_t number;
};

static int compare_ranked(const void *a, const void *b)
{
        const struct ranked *x = a, *y = b;
        int r = order_of(&x->d) - order_of(&y->d);

        if (r == 0 && order_of(&x->d) == KILN_DIFFERENCE_FILE_MISSING)
                r = strcmp(x->d.subject, y->d.subject);
        if (r == 0)
                r = x->number < y->number ? -1 : 1;
        return r;
}

void compare_sort(struct kiln_comparison *c)
{
        _cleanup_free_ struct ranked *ranked = kiln_calloc(c->n_differences + 1, sizeof(*ranked));

        for (size_t i = 0; i < c->n_differences; i++)
                ranked[i] = (struct ranked){.d = c->differences[i], .number = i};
        qsort(ranked, c->n_differences, sizeof(*ranked), compare_ranked);
        for (size_t i = 0; i < c->n_differences; i++)
                c->differences[i] = ranked[i].d;
}

void compare_clear(struct kiln_comparison *c)
{
        for (size_t i = 0; i < c->n_differences; i++) {
                struct kiln_difference *d = &c->differences[i];

                free(d->subject);
                free(d->aspect);
                free(d->a);
                free(d->b);
                free(d->detail);
        }
        free(c->differences);
        free(c->name);
        free(c->a_name);
        free(c->b_name);
        kiln_strv_free(c->ignored);
        *c = (struct kiln_comparison){0};
}

void kiln_compare_report_free(struct kiln_compare_report *r)
{
        if (!r)
                return;
        for (size_t i = 0; i < r->n_pairs; i++)
                compare_clear(&r->pairs[i]);
        free(r->pairs);
        free(r->a_name);
        free(r->b_name);
        kiln_strv_free(r->ignored);
        free(r);
}
