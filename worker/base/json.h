/* JSON as Kiln reads and writes it (RFC 8259, through jansson).
 *
 * Canonical form: keys sorted by their bytes, no white space, UTF-8, integers only where a number is needed,
 * one newline at the end. What is hashed or signed is always written by kiln_json_canonical(). */
#pragma once

#include "worker/base/buf.h"
#include "worker/base/error.h"

#include <jansson.h>

/* Appends the canonical form without the newline. */
void kiln_json_canonical(const json_t *j, struct kiln_buf *out);

/* The same, indented by two blanks, for files that people read; ends with a newline. */
void kiln_json_pretty(const json_t *j, struct kiln_buf *out);

/* Parses all of data: duplicate keys, NUL in strings, nesting above 64 and anything behind the value are
 * refused. `what` names the document in the error (BAD_INPUT). Returns 0 and a new reference. */
int kiln_json_parse(const char *data, size_t len, const char *what, json_t **ret, struct kiln_error *err);

/* The same for text that nobody vouches for yet: one of more items is refused before memory is spent on them.
 * Items are brackets and commas outside strings, so that all JSON texts of one value have as many. */
int kiln_json_parse_bounded(const char *data, size_t len, size_t max_items, const char *what, json_t **ret,
        struct kiln_error *err);
size_t kiln_json_items(const char *data, size_t len);

/* A member that is a string; NULL: there is none. Borrowed. */
static inline const char *kiln_json_string(const json_t *object, const char *key)
{
        return json_string_value(json_object_get(object, key));
}

static inline void kiln_json_decrefp(json_t **j)
{
        if (*j)
                json_decref(*j);
}
#define _cleanup_json_ _cleanup_(kiln_json_decrefp)
