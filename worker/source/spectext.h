/* A spec file as lines and sections: just enough to edit it by place, never to understand its macros (only
 * the target's own rpm does that). */
#pragma once

#include "worker/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct spec_text {
        char **lines; /* without their newlines; NULL-terminated; owned */
        size_t n;
        bool newline_at_end;
};

/* Lines [first, end) behind the section's heading; the preamble, which has none, begins at 0. */
struct spec_section {
        size_t heading, first, end;
        bool is_preamble;
};

/* -EINVAL when it holds NUL. */
int spec_text_read(struct spec_text *s, const char *data, size_t len);
void spec_text_write(const struct spec_text *s, struct kiln_buf *out);
void spec_text_clear(struct spec_text *s);
#define _cleanup_spec_text_ _cleanup_(spec_text_clear)

void spec_text_insert(struct spec_text *s, size_t at, const char *line);
void spec_text_remove(struct spec_text *s, size_t at, size_t n);
void spec_text_set(struct spec_text *s, size_t at, const char *line);

/* The section called name ("%build"; "" or "%package" with package "": the preamble) of a sub-package ("" for
 * the main one). `after` is the end of the previous hit, to find several: 0 at first. False when there is
 * none. */
bool spec_section_find(const struct spec_text *s, const char *name, const char *package, size_t after,
        struct spec_section *ret);

/* True when lines[i] begins a section; *ret_package is its sub-package's name, full as given with -n, else
 * the part behind "-"; the caller's. */
bool spec_heading_parse(const struct spec_text *s, size_t i, char **ret_name, char **ret_package);

/* Sub-package names are given as "devel" or in full; this compares either with a heading's. */
bool spec_package_equal(const struct spec_text *s, const char *heading_package, const char *asked);

/* "Tag(qualifier): value" -> true; the parts point into the line. */
struct spec_tag {
        const char *name, *value;
        size_t name_len, value_len;
};
bool spec_tag_parse(const char *line, struct spec_tag *ret);
bool spec_tag_is(const struct spec_tag *t, const char *name); /* case does not matter */

/* Value of the main package's tag, or NULL; the caller's. */
char *spec_tag_value(const struct spec_text *s, const char *name);

/* %{name}, %name, %{version}, %version and %{release}-less text: what file names in tags are usually made of.
 * Other macros stay as they are. The caller's. */
char *spec_expand(const struct spec_text *s, const char *text);

/* How deep lines[i] lies in %if…%endif. */
size_t spec_depth(const struct spec_text *s, size_t first, size_t i);
