/* Header structures tag by tag: every value is read with its bounds, shown as text, and where lists differ
 * only the part that does. Nothing here depends on librpm but the names of tags. */
#include "worker/verify/compare/private.h"

#include <errno.h>
#include <inttypes.h>
#include <rpm/rpmtag.h>
#include <stdio.h>
#include <string.h>

static int compare_tags(const void *a, const void *b)
{
        const struct compare_tag *x = a, *y = b;

        if (x->tag != y->tag)
                return x->tag < y->tag ? -1 : 1;
        return x->value.data < y->value.data ? -1 : x->value.data > y->value.data;
}

int compare_header_read(const unsigned char *header, size_t bytes, const char *name,
        struct compare_header *ret, struct kiln_error *err)
{
        size_t n = kiln_rpm_value_count(header), budget = bytes;
        _cleanup_header_ struct compare_header h = {.tags = kiln_calloc(n + 1, sizeof(*h.tags))};

        for (; h.n < n; h.n++) {
                struct compare_tag *t = &h.tags[h.n];

                /* Values that lie over each other would make reading them cost more than the file is long. */
                if (kiln_rpm_value_at(header, bytes, h.n, &t->tag, &t->value) < 0 ||
                        t->value.bytes > budget) {
                        kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", name,
                                "value %zu of its header is out of bounds, overlaps others or is not ended",
                                h.n);
                        kiln_error_advise(err, "Fetch the file again from where it was published.");
                        return -EBADMSG;
                }
                budget -= t->value.bytes;
        }
        qsort(h.tags, h.n, sizeof(*h.tags), compare_tags);
        *ret = h;
        h.tags = NULL;
        return 0;
}

void compare_header_clear(struct compare_header *h)
{
        free(h->tags);
        *h = (struct compare_header){0};
}

const struct kiln_rpm_value *compare_header_find(const struct compare_header *h, uint32_t tag)
{
        size_t low = 0, high = h->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (h->tags[middle].tag < tag)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < h->n && h->tags[low].tag == tag ? &h->tags[low].value : NULL;
}

bool compare_value_equal(const struct kiln_rpm_value *a, const struct kiln_rpm_value *b)
{
        return a->type == b->type && a->count == b->count && a->bytes == b->bytes &&
               memcmp(a->data, b->data, a->bytes) == 0;
}

/* ---- values as text -------------------------------------------------------------------------- */

static bool is_text(const struct kiln_rpm_value *v)
{
        return v->type == RPM_STRING_TYPE || v->type == RPM_STRING_ARRAY_TYPE ||
               v->type == RPM_I18NSTRING_TYPE;
}

/* Bytes of one element of a value that is not text. */
static size_t width_of(const struct kiln_rpm_value *v)
{
        return v->bytes / v->count;
}

uint64_t compare_value_number(const struct kiln_rpm_value *v, size_t i)
{
        size_t width = width_of(v);
        uint64_t n = 0;

        for (size_t k = 0; k < width; k++)
                n = n << 8 | v->data[i * width + k];
        return n;
}

static size_t element_bytes(const struct kiln_rpm_value *v, size_t offset)
{
        return is_text(v) ? strlen((const char *)v->data + offset) + 1 : width_of(v);
}

/* Where the element before `end` begins. */
static size_t element_before(const struct kiln_rpm_value *v, size_t end)
{
        const unsigned char *nul;

        if (!is_text(v))
                return end - width_of(v);
        nul = end >= 2 ? memrchr(v->data, 0, end - 1) : NULL;
        return nul ? (size_t)(nul - v->data) + 1 : 0;
}

/* The part of a list that differs: elements [first, first + n) at bytes [begin, end). */
struct middle {
        size_t first, n, begin, end;
};

static void middles_find(
        const struct kiln_rpm_value *a, const struct kiln_rpm_value *b, struct middle *ma, struct middle *mb)
{
        size_t begin = 0, first = 0, a_end = a->bytes, b_end = b->bytes, na = a->count, nb = b->count;

        while (na > 0 && nb > 0) {
                size_t len = element_bytes(a, begin);

                if (len != element_bytes(b, begin) || memcmp(a->data + begin, b->data + begin, len) != 0)
                        break;
                begin += len;
                first++;
                na--;
                nb--;
        }
        while (na > 0 && nb > 0) {
                size_t a_begin = element_before(a, a_end), b_begin = element_before(b, b_end);

                if (a_end - a_begin != b_end - b_begin ||
                        memcmp(a->data + a_begin, b->data + b_begin, a_end - a_begin) != 0)
                        break;
                a_end = a_begin;
                b_end = b_begin;
                na--;
                nb--;
        }
        *ma = (struct middle){.first = first, .n = na, .begin = begin, .end = a_end};
        *mb = (struct middle){.first = first, .n = nb, .begin = begin, .end = b_end};
}

/* Elements as text with blanks and commas between; NULL: there are none. */
static char *middle_text(uint32_t tag, const struct kiln_rpm_value *v, const struct middle *m)
{
        struct kiln_buf b = KILN_BUF_INIT;
        size_t at = m->begin;

        if (m->n == 0)
                return NULL;
        if (v->type == RPM_BIN_TYPE)
                return compare_hex(v->data + m->begin, m->end - m->begin);
        for (size_t i = 0; i < m->n && b.len <= KILN_COMPARE_TEXT_BYTES; i++) {
                if (i > 0)
                        kiln_buf_puts(&b, ", ");
                if (is_text(v))
                        kiln_buf_puts(&b, (const char *)v->data + at);
                else if (tag == RPMTAG_BUILDTIME || tag == RPMTAG_CHANGELOGTIME) {
                        _cleanup_free_ char *time = compare_time(compare_value_number(v, m->first + i));

                        kiln_buf_puts(&b, time);
                } else
                        kiln_buf_printf(&b, "%" PRIu64, compare_value_number(v, m->first + i));
                at += element_bytes(v, at);
        }
        return kiln_buf_take(&b);
}

static const char *type_name(const struct kiln_rpm_value *v)
{
        static const char *const names[] = {"null", "char", "8-bit number", "16-bit number", "32-bit number",
                "64-bit number", "string", "bytes", "string list", "translated strings"};

        return v->type < KILN_ARRAY_SIZE(names) ? names[v->type] : "unknown";
}

/* ---- names ----------------------------------------------------------------------------------- */

/* Numbers that mean something else in a signature header (rpm/rpmtag.h, enum rpmSigTag_e). */
static const struct {
        uint32_t tag;
        const char *name;
} signature_names[] = {
        {RPMSIGTAG_SIZE, "Size"},
        {RPMSIGTAG_LEMD5_1, "Lemd5_1"},
        {RPMSIGTAG_PGP, "Pgp"},
        {RPMSIGTAG_LEMD5_2, "Lemd5_2"},
        {RPMSIGTAG_MD5, "Md5"},
        {RPMSIGTAG_GPG, "Gpg"},
        {RPMSIGTAG_PGP5, "Pgp5"},
        {RPMSIGTAG_PAYLOADSIZE, "Payloadsize"},
        {RPMSIGTAG_RESERVEDSPACE, "Reservedspace"},
};

static char *tag_name(enum kiln_difference_kind kind, uint32_t tag)
{
        const char *name;

        for (size_t i = 0; kind == KILN_DIFFERENCE_SIGNATURE && i < KILN_ARRAY_SIZE(signature_names); i++)
                if (signature_names[i].tag == tag)
                        return kiln_strdup(signature_names[i].name);
        name = tag <= INT32_MAX ? rpmTagGetName((rpmTagVal)tag) : NULL;
        return name && name[0] != '(' ? kiln_strdup(name) : kiln_asprintf("tag %" PRIu32, tag);
}

/* Lists that are read together: which list names the elements of which. */
static const struct {
        uint32_t tag, name;
} named_by[] = {
        {RPMTAG_REQUIREVERSION, RPMTAG_REQUIRENAME},
        {RPMTAG_REQUIREFLAGS, RPMTAG_REQUIRENAME},
        {RPMTAG_PROVIDEVERSION, RPMTAG_PROVIDENAME},
        {RPMTAG_PROVIDEFLAGS, RPMTAG_PROVIDENAME},
        {RPMTAG_CONFLICTVERSION, RPMTAG_CONFLICTNAME},
        {RPMTAG_CONFLICTFLAGS, RPMTAG_CONFLICTNAME},
        {RPMTAG_OBSOLETEVERSION, RPMTAG_OBSOLETENAME},
        {RPMTAG_OBSOLETEFLAGS, RPMTAG_OBSOLETENAME},
        {RPMTAG_RECOMMENDVERSION, RPMTAG_RECOMMENDNAME},
        {RPMTAG_RECOMMENDFLAGS, RPMTAG_RECOMMENDNAME},
        {RPMTAG_SUGGESTVERSION, RPMTAG_SUGGESTNAME},
        {RPMTAG_SUGGESTFLAGS, RPMTAG_SUGGESTNAME},
        {RPMTAG_SUPPLEMENTVERSION, RPMTAG_SUPPLEMENTNAME},
        {RPMTAG_SUPPLEMENTFLAGS, RPMTAG_SUPPLEMENTNAME},
        {RPMTAG_ENHANCEVERSION, RPMTAG_ENHANCENAME},
        {RPMTAG_ENHANCEFLAGS, RPMTAG_ENHANCENAME},
        {RPMTAG_CHANGELOGTIME, RPMTAG_CHANGELOGNAME},
        {RPMTAG_CHANGELOGTEXT, RPMTAG_CHANGELOGNAME},
};

/* Element i of a list of strings, or NULL. */
static const char *element_string(const struct kiln_rpm_value *v, size_t i)
{
        const char *s;

        if (!v || !is_text(v) || i >= v->count)
                return NULL;
        for (s = (const char *)v->data; i > 0; i--)
                s += strlen(s) + 1;
        return s;
}

static const char *element_name(const struct compare_header *h, uint32_t tag, size_t i)
{
        for (size_t k = 0; k < KILN_ARRAY_SIZE(named_by); k++)
                if (named_by[k].tag == tag)
                        return element_string(compare_header_find(h, named_by[k].name), i);
        return NULL;
}

/* ---- differences ----------------------------------------------------------------------------- */

static char *detail_of(const struct compare_header *h, uint32_t tag, const struct kiln_rpm_value *a,
        const struct kiln_rpm_value *b, const struct middle *ma, const struct middle *mb)
{
        const char *of;

        if (a->type != b->type)
                return kiln_asprintf("%s in the one, %s in the other", type_name(a), type_name(b));
        if (a->type == RPM_BIN_TYPE)
                return kiln_asprintf("from byte %zu of %u and %u", ma->first, a->count, b->count);
        if (a->count <= 1 && b->count <= 1)
                return kiln_strdup("");
        of = ma->n ? element_name(h, tag, ma->first) : NULL;
        return kiln_asprintf("from element %zu on; %zu of %u, %zu of %u%s%.200s%s", ma->first + 1, ma->n,
                a->count, mb->n, b->count, of ? " (" : "", of ? of : "", of ? ")" : "");
}

static void value_differs(struct kiln_comparison *c, enum kiln_difference_kind kind,
        const struct compare_header *h, uint32_t tag, const struct kiln_rpm_value *a,
        const struct kiln_rpm_value *b)
{
        _cleanup_free_ char *name = tag_name(kind, tag), *left = NULL, *right = NULL, *detail = NULL;
        struct middle ma = {.n = a ? a->count : 0, .end = a ? a->bytes : 0},
                      mb = {.n = b ? b->count : 0, .end = b ? b->bytes : 0};

        if (a && b && a->type == b->type)
                middles_find(a, b, &ma, &mb);
        if (a && b)
                detail = detail_of(h, tag, a, b, &ma, &mb);
        left = a ? middle_text(tag, a, &ma) : NULL;
        right = b ? middle_text(tag, b, &mb) : NULL;
        if (left && right && is_text(a) && is_text(b))
                compare_add_excerpt(c, kind, name, "", left, strlen(left), right, strlen(right), detail);
        else
                compare_add(c, kind, name, "", left, right, detail);
}

void compare_headers(struct kiln_comparison *c, enum kiln_difference_kind kind,
        const struct compare_header *a, const struct compare_header *b, bool (*skip)(void *ctx, uint32_t tag),
        void *ctx)
{
        const struct kiln_rpm_value *region[2] = {NULL, NULL};
        size_t i = 0, k = 0, before = c->n_differences;
        uint32_t region_tag = 0;

        while (i < a->n || k < b->n) {
                bool left = i < a->n && (k == b->n || a->tags[i].tag <= b->tags[k].tag),
                     right = k < b->n && (i == a->n || b->tags[k].tag <= a->tags[i].tag);
                uint32_t tag = left ? a->tags[i].tag : b->tags[k].tag;
                const struct kiln_rpm_value *va = left ? &a->tags[i++].value : NULL,
                                            *vb = right ? &b->tags[k++].value : NULL;

                if (va && vb && compare_value_equal(va, vb))
                        continue;
                if (tag == RPMTAG_HEADERSIGNATURES || tag == RPMTAG_HEADERIMMUTABLE) {
                        /* Holds the number of tags: differs whenever there is one more. Not news beside that.
                         */
                        region_tag = tag;
                        region[0] = va;
                        region[1] = vb;
                } else if (!skip || !skip(ctx, tag))
                        value_differs(c, kind, a, tag, va, vb);
        }
        if (region_tag && c->n_differences == before && c->cut == 0)
                value_differs(c, kind, a, region_tag, region[0], region[1]);
}
