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

static inline void kiln_json_decrefp(json_t **j)
{
        if (*j)
                json_decref(*j);
}
#define _cleanup_json_ _cleanup_(kiln_json_decrefp)
