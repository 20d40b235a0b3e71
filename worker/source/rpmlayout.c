#include "worker/source/rpmlayout.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define LEAD_BYTES 96
#define INTRO_BYTES 16 /* magic 4, reserved 4, index entries 4, data bytes 4; all big-endian */
#define ENTRY_BYTES 16 /* tag, type, offset, count */

/* rpm's own bounds (lib/header.c: headerMaxbytes, hdrchkTags), so that nothing is refused that rpm reads. */
#define ENTRIES_MAX 0xffffU
#define HEADER_DATA_MAX 0x0fffffffU
#define SIGNATURE_DATA_MAX 0x03ffffffU

#define TYPE_STRING 6 /* RPM_STRING_TYPE */

#define TAG_SOURCERPM 1044 /* in binary packages only */
#define TAG_RPMFORMAT 5114

static const unsigned char lead_magic[4] = {0xed, 0xab, 0xee, 0xdb};
static const unsigned char header_magic[8] = {0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0};

static uint32_t be32(const unsigned char *p)
{
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int read_at(int fd, void *data, size_t len, uint64_t offset)
{
        ssize_t n = kiln_fd_read_at(fd, data, len, offset);

        return n < 0 ? (int)n : (size_t)n < len ? -ENODATA : 0;
}

static int bad(struct kiln_error *err, const char *name, const char *cause)
{
        kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", name, "%s", cause);
        kiln_error_advise(err, "Fetch the file again from where it was published.");
        return -EBADMSG;
}

static int read_failed(struct kiln_error *err, const char *name, int r)
{
        if (r == -ENODATA)
                return bad(err, name, "the file is truncated inside its headers");
        return kiln_error_set(err, KILN_INFRA, r, "reading", name, "cannot read the file");
}

/* The size of the header structure at `offset`, from its intro alone. */
static int header_measure(int fd, const char *name, const char *which, uint64_t offset, uint64_t file_bytes,
        uint32_t data_max, size_t *ret, struct kiln_error *err)
{
        unsigned char intro[INTRO_BYTES];
        uint32_t entries, data;
        uint64_t bytes;
        int r;

        r = read_at(fd, intro, sizeof(intro), offset);
        if (r < 0)
                return read_failed(err, name, r);
        if (memcmp(intro, header_magic, sizeof(header_magic)) != 0) {
                kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", name,
                        "the %s does not begin with its magic", which);
                return -EBADMSG;
        }
        entries = be32(intro + 8);
        data = be32(intro + 12);
        if (entries == 0 || entries > ENTRIES_MAX || data > data_max) {
                kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", name,
                        "the %s claims %u entries and %u bytes of data", which, entries, data);
                return -EBADMSG;
        }
        bytes = INTRO_BYTES + (uint64_t)entries * ENTRY_BYTES + data;
        if (bytes > file_bytes - offset)
                return read_failed(err, name, -ENODATA);
        *ret = (size_t)bytes;
        return 0;
}

/* What rpm calls a package format stands in the header only from 6 on. Binary packages of format 6 take rpm 6
 * to be installed; of a source package just the payload differs (stripped.h). */
static int format_check(const struct kiln_rpm_layout *l, const char *name, struct kiln_error *err)
{
        struct kiln_rpm_value v;
        uint64_t format = 0;
        int r;

        r = kiln_rpm_value_find(l->head + l->header_offset, l->header_bytes, TAG_RPMFORMAT, &v);
        if (r == -ENOENT)
                return 0;
        if (r < 0 || kiln_rpm_value_number(&v, &format) < 0)
                return bad(err, name, "the header's package format is not a number");
        if (format <= 4 || (format == 6 && kiln_rpm_value_find(l->head + l->header_offset, l->header_bytes,
                                                   TAG_SOURCERPM, &v) == -ENOENT))
                return 0;
        kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", name,
                "it is an RPM of package format %llu; formats 3 and 4 are supported, and 6 of source "
                "packages",
                (unsigned long long)format);
        kiln_error_advise(err, "Make it with --define '_rpmformat 4'.");
        return -EPROTONOSUPPORT;
}

int kiln_rpm_layout_read(int fd, const char *name, struct kiln_rpm_layout *ret, struct kiln_error *err)
{
        _cleanup_layout_ struct kiln_rpm_layout l = {.signature_offset = LEAD_BYTES};
        unsigned char lead[LEAD_BYTES];
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return kiln_error_set(err, KILN_INFRA, errno, "reading", name, "cannot look at the file");
        if (!S_ISREG(st.st_mode))
                return bad(err, name, "it is not a regular file");
        l.file_bytes = (uint64_t)st.st_size;
        if (l.file_bytes < LEAD_BYTES + 2 * INTRO_BYTES)
                return bad(err, name, "it is too short for an RPM file");
        r = read_at(fd, lead, sizeof(lead), 0);
        if (r < 0)
                return read_failed(err, name, r);
        if (memcmp(lead, lead_magic, sizeof(lead_magic)) != 0)
                return bad(err, name, "it is not an RPM file");

        r = header_measure(fd, name, "signature header", l.signature_offset, l.file_bytes, SIGNATURE_DATA_MAX,
                &l.signature_bytes, err);
        if (r < 0)
                return r;
        l.header_offset = l.signature_offset + ((l.signature_bytes + 7) & ~(size_t)7);
        if (l.header_offset > l.file_bytes - INTRO_BYTES)
                return read_failed(err, name, -ENODATA);
        r = header_measure(
                fd, name, "header", l.header_offset, l.file_bytes, HEADER_DATA_MAX, &l.header_bytes, err);
        if (r < 0)
                return r;
        l.payload_offset = l.header_offset + l.header_bytes;

        l.head = kiln_malloc(l.payload_offset);
        r = read_at(fd, l.head, l.payload_offset, 0);
        if (r < 0)
                return read_failed(err, name, r);
        /* The intros were read a moment ago: nobody may have changed the file meanwhile. */
        if (be32(l.head + l.signature_offset + 8) * (uint64_t)ENTRY_BYTES +
                                be32(l.head + l.signature_offset + 12) + INTRO_BYTES !=
                        l.signature_bytes ||
                be32(l.head + l.header_offset + 8) * (uint64_t)ENTRY_BYTES +
                                be32(l.head + l.header_offset + 12) + INTRO_BYTES !=
                        l.header_bytes)
                return bad(err, name, "the file changes while it is read");
        r = format_check(&l, name, err);
        if (r < 0)
                return r;
        *ret = l;
        l.head = NULL;
        return 0;
}

void kiln_rpm_layout_clear(struct kiln_rpm_layout *l)
{
        free(l->head);
        l->head = NULL;
}

/* Bytes that `count` elements of `type` take at data[0..avail), or 0 when they do not fit. */
static size_t value_bytes(uint32_t type, uint32_t count, const unsigned char *data, size_t avail)
{
        static const unsigned char widths[] = {[1] = 1, [2] = 1, [3] = 2, [4] = 4, [5] = 8, [7] = 1};
        const unsigned char *p = data;

        if (count == 0 || count > avail)
                return 0;
        if (type == TYPE_STRING || type == 8 || type == 9) {
                if (type == TYPE_STRING && count != 1)
                        return 0;
                for (uint32_t i = 0; i < count; i++) {
                        const unsigned char *end = memchr(p, 0, avail - (size_t)(p - data));

                        if (!end)
                                return 0;
                        p = end + 1;
                }
                return (size_t)(p - data);
        }
        if (type >= KILN_ARRAY_SIZE(widths) || widths[type] == 0)
                return 0;
        return (uint64_t)count * widths[type] <= avail ? (size_t)count * widths[type] : 0;
}

size_t kiln_rpm_value_count(const unsigned char *header)
{
        return be32(header + 8);
}

int kiln_rpm_value_at(
        const unsigned char *header, size_t bytes, size_t i, uint32_t *ret_tag, struct kiln_rpm_value *ret)
{
        uint32_t entries = be32(header + 8), data_bytes = be32(header + 12), offset;
        const unsigned char *index = header + INTRO_BYTES, *data = index + (size_t)entries * ENTRY_BYTES;
        const unsigned char *entry = index + i * ENTRY_BYTES;
        struct kiln_rpm_value v;

        if (INTRO_BYTES + (uint64_t)entries * ENTRY_BYTES + data_bytes != bytes || i >= entries)
                return -EINVAL;
        v.type = be32(entry + 4);
        offset = be32(entry + 8);
        v.count = be32(entry + 12);
        if (offset >= data_bytes)
                return -EINVAL;
        v.data = data + offset;
        v.bytes = value_bytes(v.type, v.count, v.data, data_bytes - offset);
        if (v.bytes == 0)
                return -EINVAL;
        *ret_tag = be32(entry);
        *ret = v;
        return 0;
}

int kiln_rpm_value_find(const unsigned char *header, size_t bytes, uint32_t tag, struct kiln_rpm_value *ret)
{
        uint32_t entries = be32(header + 8), data_bytes = be32(header + 12), found;
        size_t hit = SIZE_MAX;

        if (INTRO_BYTES + (uint64_t)entries * ENTRY_BYTES + data_bytes != bytes)
                return -EINVAL;
        for (size_t i = 0; i < entries; i++) {
                if (be32(header + INTRO_BYTES + i * ENTRY_BYTES) != tag)
                        continue;
                if (hit != SIZE_MAX)
                        return -EINVAL;
                hit = i;
        }
        return hit == SIZE_MAX ? -ENOENT : kiln_rpm_value_at(header, bytes, hit, &found, ret);
}

int kiln_rpm_value_number(const struct kiln_rpm_value *v, uint64_t *ret)
{
        if (v->count != 1)
                return -EINVAL;
        if (v->type == 4)
                *ret = be32(v->data);
        else if (v->type == 5)
                *ret = (uint64_t)be32(v->data) << 32 | be32(v->data + 4);
        else
                return -EINVAL;
        return 0;
}

const char *kiln_rpm_value_string(const unsigned char *header, size_t bytes, uint32_t tag)
{
        struct kiln_rpm_value v;

        if (kiln_rpm_value_find(header, bytes, tag, &v) < 0 || v.type != TYPE_STRING)
                return NULL;
        return (const char *)v.data;
}
