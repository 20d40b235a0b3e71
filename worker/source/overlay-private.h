/* What overlay.c (reading) and overlay-spec.c, overlay-file.c (applying) share. */
#pragma once

#include "toolchains/toml.h"
#include "worker/base/buf.h"
#include "worker/source/overlay.h"
#include "worker/source/spectext.h"

struct overlay_op;

/* What an operation works on. */
struct overlay_target {
        const struct kiln_overlay *overlay;
        const struct overlay_op *op;
        int dir_fd;
        const char *spec_name;
        struct spec_text spec;
        bool spec_changed;
        struct timespec *times; /* of the spec, two: for whatever is written */
        struct kiln_error *err;
};

struct overlay_type {
        const char *name;
        unsigned required, allowed; /* masks of KEY_* */
        int (*apply)(struct overlay_target *t);
};

enum {
        KEY_TAG = 1 << 0,
        KEY_VALUE = 1 << 1,
        KEY_SECTION = 1 << 2,
        KEY_PACKAGE = 1 << 3,
        KEY_MATCH = 1 << 4, /* search or regex: exactly one of them */
        KEY_REPLACEMENT = 1 << 5,
        KEY_COUNT = 1 << 6, /* count, all */
        KEY_LINES = 1 << 7,
        KEY_FILE = 1 << 8,
        KEY_TEXT = 1 << 9,
        KEY_MACRO = 1 << 10,
        KEY_STRIP = 1 << 11,
};

struct overlay_op {
        const struct overlay_type *type;
        const struct kiln_toml *node; /* its place; borrowed from the overlay's tree */
        char *type_name, *description, *tag, *value, *section, *package, *search, *regex, *replacement, *file,
                *text, *macro;
        char **lines;
        int64_t count, strip;
        bool all;
};

struct kiln_overlay {
        char *name, *category, *upstream_status, *reason;
        char **commits, **bugs;
        struct kiln_toml *tree;
        struct overlay_op *ops;
        size_t n_ops;
};

extern const struct overlay_type overlay_types[]; /* ended by a NULL name */

/* BAD_INPUT at the operation's place; returns negative. */
int overlay_fail(struct overlay_target *t, const char *fmt, ...) _printf_(2, 3);

/* Replaces every match of op's search or regex in text; *n is how often. Negative after overlay_fail(). */
int overlay_replace(struct overlay_target *t, const char *text, size_t len, struct kiln_buf *out, size_t *n);
int overlay_count_check(struct overlay_target *t, size_t n, const char *where);

int overlay_file_write(
        struct overlay_target *t, const char *name, const void *data, size_t len, bool executable);

/* The operations, by the names of overlay_types[]. */
int overlay_spec_tag_add(struct overlay_target *t);
int overlay_spec_tag_insert(struct overlay_target *t);
int overlay_spec_tag_set(struct overlay_target *t);
int overlay_spec_tag_update(struct overlay_target *t);
int overlay_spec_tag_remove(struct overlay_target *t);
int overlay_spec_lines_prepend(struct overlay_target *t);
int overlay_spec_lines_append(struct overlay_target *t);
int overlay_spec_replace(struct overlay_target *t);
int overlay_spec_macro_set(struct overlay_target *t);
int overlay_spec_section_remove(struct overlay_target *t);
int overlay_spec_subpackage_remove(struct overlay_target *t);
int overlay_patch_add(struct overlay_target *t);
int overlay_patch_remove(struct overlay_target *t);
int overlay_source_add(struct overlay_target *t);
int overlay_file_add(struct overlay_target *t);
int overlay_file_remove(struct overlay_target *t);
int overlay_file_rename(struct overlay_target *t);
int overlay_file_replace(struct overlay_target *t);
int overlay_file_prepend(struct overlay_target *t);
