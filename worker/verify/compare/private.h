/* What the files of the comparison share. */
#pragma once

#include "worker/base/macros.h"
#include "worker/base/mem.h"
#include "worker/source/rpmlayout.h"
#include "worker/verify/compare/compare.h"

/* ---- writing a comparison (compare.c) -------------------------------------------------------- */

/* At most KILN_COMPARE_TEXT_BYTES of data as clean text, the caller's. */
char *compare_text(const void *data, size_t len);

/* "at most 16 bytes as hex: 1f 8b 08"; of len bytes. */
char *compare_hex(const void *data, size_t len);

/* "1700000000 (2023-11-14T22:13:20Z)". */
char *compare_time(uint64_t s);

/* Appends one difference. Strings are any bytes and are cleaned here; a or b NULL: not there; detail may be
 * NULL. */
void compare_add(struct kiln_comparison *c, enum kiln_difference_kind kind, const char *subject,
        const char *aspect, const char *a, const char *b, const char *detail);

/* The same for long texts: what is kept begins shortly before the first byte that differs. */
void compare_add_excerpt(struct kiln_comparison *c, enum kiln_difference_kind kind, const char *subject,
        const char *aspect, const char *a, size_t a_len, const char *b, size_t b_len, const char *detail);

void compare_ignore(char ***ignored, const char *fmt, ...) _printf_(2, 3);

/* Sorts by kind and path; files' kinds go together. */
void compare_sort(struct kiln_comparison *c);

void compare_clear(struct kiln_comparison *c);

/* ---- one header (header.c) ----------------------------------------------------------- */

struct compare_tag {
        uint32_t tag;
        struct kiln_rpm_value value;
};

/* The tags of one header structure, sorted; values point into it. */
struct compare_header {
        struct compare_tag *tags;
        size_t n;
};

/* BAD_INPUT: values that overlap, lie outside or are not ended. */
int compare_header_read(const unsigned char *header, size_t bytes, const char *name,
        struct compare_header *ret, struct kiln_error *err);
void compare_header_clear(struct compare_header *h);
#define _cleanup_header_ _cleanup_(compare_header_clear)

/* NULL: the header has no such tag. */
const struct kiln_rpm_value *compare_header_find(const struct compare_header *h, uint32_t tag);

bool compare_value_equal(const struct kiln_rpm_value *a, const struct kiln_rpm_value *b);

/* Element i of an integer value, whatever its width. */
uint64_t compare_value_number(const struct kiln_rpm_value *v, size_t i);

/* Lists the tags that differ; `skip` (may be NULL) takes out those that somebody else lists. */
void compare_headers(struct kiln_comparison *c, enum kiln_difference_kind kind,
        const struct compare_header *a, const struct compare_header *b, bool (*skip)(void *ctx, uint32_t tag),
        void *ctx);

/* ---- the files a header lists (files.c) ---------------------------------------------- */

struct compare_files;

/* h must stay. BAD_INPUT: lists that do not fit together. */
int compare_files_read(
        const struct compare_header *h, const char *name, struct compare_files **ret, struct kiln_error *err);
void compare_files_free(struct compare_files *f);
KILN_DEFINE_CLEANUP(struct compare_files *, compare_files_free)

/* Number of the file with this path, or -ENOENT. */
int compare_files_find(const struct compare_files *f, const char *path);

/* The tag's value (a string or number for each file) is the same for file i of a and file k of b. Where a
 * header lacks the tag: only if both do. */
bool compare_files_same(
        const struct compare_files *a, int i, const struct compare_files *b, int k, uint32_t tag);

/* Lists files only one side has, and attributes that differ. */
void compare_files_metadata(struct kiln_comparison *c, struct compare_files *a, struct compare_files *b);

/* After that: whether compare_headers() need not list this tag. ctx: two of them, [2]. */
bool compare_files_covered(void *ctx, uint32_t tag);

/* ---- two RPMs (rpm.c) ---------------------------------------------------------------- */

/* One of the two files, its head read. */
struct compare_side {
        int fd; /* borrowed */
        const char *name;
        struct kiln_rpm_layout layout;
        struct compare_header signature, header;
        struct compare_files *files;
};
int compare_side_read(int fd, const char *name, struct compare_side *s, struct kiln_error *err);
void compare_side_clear(struct compare_side *s);

/* A pair on its own; *ret is for compare_clear(). */
int compare_rpm_pair(const struct kiln_context *context, int a, const char *a_name, int b, const char *b_name,
        const struct kiln_compare_options *o, struct kiln_comparison *ret, struct kiln_error *err);

/* "name.arch" of an RPM, the caller's. */
int compare_rpm_name(int fd, const char *name, char **ret, struct kiln_error *err);

/* ---- documents (document.c) ---------------------------------------------------------- */

enum compare_document {
        COMPARE_BYTES,
        COMPARE_JSON,
        COMPARE_ENVELOPES, /* one DSSE envelope a line */
};

/* *c has its names and is otherwise empty. */
int compare_documents(enum compare_document kind, int a, int b, const struct kiln_compare_options *o,
        struct kiln_comparison *c, struct kiln_error *err);

json_t *compare_difference_json(const struct kiln_difference *d);

/* ---- inside the sandbox only: payloads and what is in files ---------------------------------- */

/* Compares the payloads of both sides as streams and adds what differs. spool_fd: a directory in which to put
 * aside, for a moment, one file of each side. A payload that cannot be read is a difference. Negative errno:
 * -EFBIG (above a limit), -EIO, … */
int compare_payloads(
        struct kiln_comparison *c, const struct compare_side *a, const struct compare_side *b, int spool_fd);

/* A first look into two versions of one file. */
struct compare_look {
        struct kiln_comparison *c;
        const char *path;   /* whose content it is */
        const char *prefix; /* of each aspect: where in the file we are, "member x: " */
        int spool_fd;
        unsigned depth;  /* archives inside archives */
        unsigned budget; /* differences it may still list; more are counted as cut */
};
#define COMPARE_LOOK_DEPTH 3
#define COMPARE_LOOK_BUDGET 40

/* Adds at least one difference when a and b (regular files, from their start) differ, none when they do not.
 */
int compare_look(struct compare_look *l, int a, int b);

void compare_look_add(
        struct compare_look *l, const char *aspect, const char *a, const char *b, const char *detail);

/* For one format each; they add nothing when they see no difference. -EBADMSG: not of that format after all.
 */
int compare_look_elf(struct compare_look *l, int a, int b);
int compare_look_members(struct compare_look *l, int a, int b);    /* zip, ar, tar */
int compare_look_compressed(struct compare_look *l, int a, int b); /* gzip, xz, zstd, bzip2 */

/* Writes what the compressed file (gzip, xz, zstd, bzip2) holds to `to`. -EBADMSG: it is damaged, or too
 * large. */
int compare_uncompress(int fd, int to);

/* The first byte that differs in a[a_at..) and b[b_at..), at most len bytes; len: none. */
int compare_bytes(int a, uint64_t a_at, int b, uint64_t b_at, uint64_t len, uint64_t *ret);

/* "byte 12" with a few bytes of both sides as hex, shown as `shown` + offset. */
void compare_look_bytes(struct compare_look *l, const char *where, int a, uint64_t a_at, uint64_t a_len,
        int b, uint64_t b_at, uint64_t b_len, uint64_t at);

/* An empty file without a name. */
int compare_spool(int dir_fd);

struct archive; /* libarchive's */
void compare_archive_free(struct archive **a);

/* ---- and the way there (sandbox.c) --------------------------------------------------- */

/* Runs compare_payloads() inside the sandbox and adds what it found to *into. */
int compare_payloads_confined(const struct kiln_context *c, const struct compare_side *a,
        const struct compare_side *b, struct kiln_comparison *into, struct kiln_error *err);

/* Reads what comes back: lines of JSON. BAD_INPUT: anything else, or an end missing. */
int compare_output_read(
        const char *text, size_t len, const char *name, struct kiln_comparison *c, struct kiln_error *err);
