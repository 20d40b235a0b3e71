/* Two RPM files: the level first, from their bytes alone; then headers, files, and what is in the payloads.
 */
#include "worker/verify/compare/private.h"

#include "worker/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <rpm/rpmtag.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DOING "comparing"
#define CHUNK_BYTES ((size_t)256 << 10)
#define SAME UINT64_MAX

void compare_side_clear(struct compare_side *s)
{
        compare_files_free(s->files);
        compare_header_clear(&s->signature);
        compare_header_clear(&s->header);
        kiln_rpm_layout_clear(&s->layout);
}

int compare_side_read(int fd, const char *name, struct compare_side *s, struct kiln_error *err)
{
        const struct kiln_rpm_layout *l = &s->layout;
        int r;

        s->fd = fd;
        s->name = name;
        r = kiln_rpm_layout_read(fd, name, &s->layout, err);
        if (r == 0)
                r = compare_header_read(
                        l->head + l->signature_offset, l->signature_bytes, name, &s->signature, err);
        if (r == 0)
                r = compare_header_read(l->head + l->header_offset, l->header_bytes, name, &s->header, err);
        return r < 0 ? r : compare_files_read(&s->header, name, &s->files, err);
}

static int read_at(const struct compare_side *s, void *data, size_t len, uint64_t at, struct kiln_error *err)
{
        ssize_t n = kiln_fd_read_at(s->fd, data, len, at);

        if (n < 0 || (size_t)n < len)
                return kiln_error_set(err, KILN_INFRA, n < 0 ? (int)n : EIO, "reading", s->name,
                        n < 0 ? "cannot read the file" : "the file changes while it is read");
        return 0;
}

/* Offset within the payloads of the first byte that differs (the shorter one's end counts), or SAME. */
static int payloads_compare(const struct kiln_context *c, const struct compare_side *a,
        const struct compare_side *b, uint64_t *ret, struct kiln_error *err)
{
        uint64_t a_bytes = a->layout.file_bytes - a->layout.payload_offset,
                 b_bytes = b->layout.file_bytes - b->layout.payload_offset,
                 common = a_bytes < b_bytes ? a_bytes : b_bytes;
        _cleanup_free_ char *chunk = kiln_malloc(2 * CHUNK_BYTES);
        char *other = chunk + CHUNK_BYTES;

        for (uint64_t at = 0; at < common;) {
                size_t len = common - at < CHUNK_BYTES ? (size_t)(common - at) : CHUNK_BYTES, i = 0;
                int r = read_at(a, chunk, len, a->layout.payload_offset + at, err);

                if (r == 0)
                        r = read_at(b, other, len, b->layout.payload_offset + at, err);
                if (r == 0)
                        r = kiln_context_check(c, DOING, err);
                if (r < 0)
                        return r;
                if (memcmp(chunk, other, len) != 0) {
                        while (chunk[i] == other[i])
                                i++;
                        *ret = at + i;
                        return 0;
                }
                at += len;
        }
        *ret = a_bytes == b_bytes ? SAME : common;
        return 0;
}

static bool parts_equal(const struct compare_side *a, size_t a_at, size_t a_len, const struct compare_side *b,
        size_t b_at, size_t b_len)
{
        return a_len == b_len && memcmp(a->layout.head + a_at, b->layout.head + b_at, a_len) == 0;
}

/* What lies before the header: lead, signature header, padding. */
static void signatures_compare(
        struct kiln_comparison *c, const struct compare_side *a, const struct compare_side *b, bool ignore)
{
        size_t at = a->layout.signature_offset;

        if (parts_equal(a, 0, a->layout.header_offset, b, 0, b->layout.header_offset))
                return;
        if (ignore) {
                compare_ignore(&c->ignored, "lead and signature header, which differ");
                return;
        }
        if (!parts_equal(a, 0, at, b, 0, at)) {
                _cleanup_free_ char *left = compare_text(a->layout.head + 10,
                                            strnlen((const char *)a->layout.head + 10, 66)),
                                    *right = compare_text(b->layout.head + 10,
                                            strnlen((const char *)b->layout.head + 10, 66));

                compare_add(c, KILN_DIFFERENCE_SIGNATURE, "lead", "", left, right,
                        "the first 96 bytes of the file");
        }
        compare_headers(c, KILN_DIFFERENCE_SIGNATURE, &a->signature, &b->signature, NULL, NULL);
        if (c->n_differences == 0)
                compare_add(c, KILN_DIFFERENCE_SIGNATURE, "signature header", "", "", "",
                        "the tags are the same, their order or the bytes between them differ");
}

static void headers_compare(struct kiln_comparison *c, struct compare_side *a, struct compare_side *b)
{
        size_t before = c->n_differences;
        struct compare_files *files[2] = {a->files, b->files};

        compare_files_metadata(c, a->files, b->files);
        compare_headers(c, KILN_DIFFERENCE_HEADER, &a->header, &b->header, compare_files_covered, files);
        if (c->n_differences == before && c->cut == 0)
                compare_add(c, KILN_DIFFERENCE_HEADER, "header", "", "", "",
                        "the tags are the same, their order or the bytes between them differ");
}

/* Whether a difference is listed that changes the payload. */
static bool names_payload(const struct kiln_comparison *c)
{
        for (size_t i = 0; i < c->n_differences; i++)
                if (c->differences[i].kind >= KILN_DIFFERENCE_PAYLOAD)
                        return true;
        return c->cut > 0;
}

/* Says where the payloads, as they are stored, begin to differ. */
static int stored_bytes_add(struct kiln_comparison *c, const struct compare_side *a,
        const struct compare_side *b, uint64_t at, const char *detail, struct kiln_error *err)
{
        _cleanup_free_ char *aspect = kiln_asprintf("byte %" PRIu64, at), *left = NULL, *right = NULL;
        const struct compare_side *sides[2] = {a, b};
        char **texts[2] = {&left, &right};

        for (size_t i = 0; i < 2; i++) {
                uint64_t from = sides[i]->layout.payload_offset + at,
                         rest = sides[i]->layout.file_bytes - from;
                unsigned char bytes[16];
                size_t len = rest < sizeof(bytes) ? (size_t)rest : sizeof(bytes);
                int r = read_at(sides[i], bytes, len, from, err);

                if (r < 0)
                        return r;
                *texts[i] = compare_hex(bytes, len);
        }
        compare_add(c, KILN_DIFFERENCE_PAYLOAD, "stored bytes", aspect, left, right, detail);
        return 0;
}

/* name.arch, by which packages are paired. */
static char *package_name(const struct compare_side *s)
{
        const struct kiln_rpm_value *name = compare_header_find(&s->header, RPMTAG_NAME),
                                    *arch = compare_header_find(&s->header, RPMTAG_ARCH),
                                    *source = compare_header_find(&s->header, RPMTAG_SOURCERPM);
        bool texts = name && name->type == RPM_STRING_TYPE && arch && arch->type == RPM_STRING_TYPE;

        /* Every binary package names its source package, no source package does. */
        return texts ? kiln_asprintf(
                               "%s.%s", (const char *)name->data, source ? (const char *)arch->data : "src")
                     : kiln_strdup("");
}

static int compare_sides(const struct kiln_context *context, struct compare_side *a, struct compare_side *b,
        const struct kiln_compare_options *o, struct kiln_comparison *c, struct kiln_error *err)
{
        const struct kiln_rpm_layout *la = &a->layout, *lb = &b->layout;
        bool same_header =
                parts_equal(a, la->header_offset, la->header_bytes, b, lb->header_offset, lb->header_bytes);
        bool same_before = parts_equal(a, 0, la->header_offset, b, 0, lb->header_offset);
        uint64_t at;
        int r = payloads_compare(context, a, b, &at, err);

        if (r < 0)
                return r;
        c->level = at != SAME     ? KILN_DIFFERENT
                   : !same_header ? KILN_SAME_PAYLOAD
                   : !same_before ? KILN_SAME_CONTENT
                                  : KILN_SAME_FILE;
        signatures_compare(c, a, b, o->ignore_signature);
        if (!same_header)
                headers_compare(c, a, b);
        if (at != SAME && !o->shallow)
                r = compare_payloads_confined(context, a, b, c, err);
        /* No file differs, and yet the bytes do; or nobody looked. */
        if (r == 0 && at != SAME && (o->shallow || !names_payload(c)))
                r = stored_bytes_add(c, a, b, at,
                        o->shallow ? "" : "all files are the same: another compression or padding", err);
        if (r < 0)
                return r;
        compare_sort(c);
        return 0;
}

int compare_rpm_name(int fd, const char *name, char **ret, struct kiln_error *err)
{
        _cleanup_(compare_side_clear) struct compare_side s = {0};
        int r = compare_side_read(fd, name, &s, err);

        if (r == 0)
                *ret = package_name(&s);
        return r;
}

int compare_rpm_pair(const struct kiln_context *context, int a, const char *a_name, int b, const char *b_name,
        const struct kiln_compare_options *o, struct kiln_comparison *ret, struct kiln_error *err)
{
        _cleanup_(compare_side_clear) struct compare_side sa = {0}, sb = {0};
        struct kiln_comparison c = {0};
        int r = compare_side_read(a, a_name, &sa, err);

        if (r == 0)
                r = compare_side_read(b, b_name, &sb, err);
        if (r < 0)
                return r;
        c.name = package_name(&sa);
        c.a_name = compare_text(kiln_path_base(a_name), strlen(kiln_path_base(a_name)));
        c.b_name = compare_text(kiln_path_base(b_name), strlen(kiln_path_base(b_name)));
        r = compare_sides(context, &sa, &sb, o, &c, err);
        if (r < 0) {
                compare_clear(&c);
                return r;
        }
        *ret = c;
        return 0;
}

int kiln_compare_rpms(const struct kiln_context *c, int a, const char *a_name, int b, const char *b_name,
        const struct kiln_compare_options *options, struct kiln_compare_report **ret, struct kiln_error *err)
{
        static const struct kiln_compare_options defaults = {0};
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *report =
                kiln_calloc(1, sizeof(*report));
        struct kiln_comparison pair;
        int r = compare_rpm_pair(c, a, a_name, b, b_name, options ? options : &defaults, &pair, err);

        if (r < 0)
                return r;
        report->a_name = compare_text(a_name, strlen(a_name));
        report->b_name = compare_text(b_name, strlen(b_name));
        *KILN_APPEND(report->pairs, report->n_pairs) = pair;
        report->level = pair.level;
        report->differs = pair.differs;
        *ret = TAKE_PTR(report);
        return 0;
}
