/* Where the parts of an RPM file lie: lead, signature header, header, payload (rpm's docs/manual/format.md),
 * and the values of single tags, read with every length checked before librpm sees a byte.
 *
 * Never allocates what a file merely claims: every size is first held against the size of the file. */
#pragma once

#include "worker/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kiln_rpm_layout {
        unsigned char *head; /* the file's first payload_offset bytes; owned */
        uint64_t file_bytes;
        size_t signature_offset, signature_bytes; /* intro, index and data; without the padding behind */
        size_t header_offset, header_bytes;
        size_t payload_offset;
};

/* Reads everything before the payload. BAD_INPUT for what is no RPM file, is truncated or is of a format this
 * program does not read. */
int kiln_rpm_layout_read(int fd, const char *name, struct kiln_rpm_layout *ret, struct kiln_error *err);
void kiln_rpm_layout_clear(struct kiln_rpm_layout *l);
#define _cleanup_layout_ _cleanup_(kiln_rpm_layout_clear)

/* One tag's value; points into the layout's head. */
struct kiln_rpm_value {
        uint32_t type; /* RPM_*_TYPE of rpm/rpmtag.h */
        uint32_t count;
        const unsigned char *data;
        size_t bytes; /* of count elements; of strings with their NULs */
};

/* 0, -ENOENT, or -EINVAL when the tag stands there twice, lies outside the data or is not ended. */
int kiln_rpm_value_find(const unsigned char *header, size_t bytes, uint32_t tag, struct kiln_rpm_value *ret);

/* Number of tags, and the tag and value of entry i below that. -EINVAL as above (a second entry of a tag is
 * no error here). `bytes` as in the layout. */
size_t kiln_rpm_value_count(const unsigned char *header);
int kiln_rpm_value_at(
        const unsigned char *header, size_t bytes, size_t i, uint32_t *ret_tag, struct kiln_rpm_value *ret);

/* The value as one number (INT32 or INT64 with count 1), else -EINVAL. */
int kiln_rpm_value_number(const struct kiln_rpm_value *v, uint64_t *ret);

/* A tag's value when it is one string, which then ends with a NUL; NULL when it is not there or of another
 * type. Points into the header. `bytes` as in the layout. */
const char *kiln_rpm_value_string(const unsigned char *header, size_t bytes, uint32_t tag);
