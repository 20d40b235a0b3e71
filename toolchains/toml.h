/* TOML 1.0 text into a plain C tree, every node with its place in the text. The parser is toml++; no C++
 * type, exception or allocation crosses this header.
 *
 * Numbers are integers only: dates and floats are refused, since no file of ours has a use for them. */
#pragma once

#include "worker/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kiln_toml_kind {
        KILN_TOML_TABLE,
        KILN_TOML_ARRAY,
        KILN_TOML_STRING,
        KILN_TOML_INTEGER,
        KILN_TOML_BOOLEAN,
};

struct kiln_toml {
        enum kiln_toml_kind kind;
        char *key;                  /* NULL in arrays and for the document */
        unsigned line;              /* from 1 */
        unsigned column;            /* from 1 */
        char *string;               /* KILN_TOML_STRING: UTF-8 without NUL bytes */
        int64_t integer;            /* KILN_TOML_INTEGER */
        bool boolean;               /* KILN_TOML_BOOLEAN */
        struct kiln_toml *children; /* tables and arrays: in the order of the text */
        size_t n_children;
};

#define KILN_TOML_MAX ((size_t)4 << 20) /* bytes of text accepted */

/* Parses text[0..len). `name` is the file's name for messages. Errors: BAD_INPUT with "line L, column C" in
 * the cause. */
int kiln_toml_parse(
        const char *name, const char *text, size_t len, struct kiln_toml **ret, struct kiln_error *err);

/* The child of a table, or NULL. */
const struct kiln_toml *kiln_toml_get(const struct kiln_toml *table, const char *key);

/* The same parse from a file: BAD_INPUT when it is missing, too large or wrong. */
int kiln_toml_load(const char *path, struct kiln_toml **ret, struct kiln_error *err);

/* BAD_INPUT at this node's place. */
int kiln_toml_error(const char *name, const struct kiln_toml *node, struct kiln_error *err, const char *fmt,
        ...) _printf_(4, 5);

void kiln_toml_free(struct kiln_toml *t);
KILN_DEFINE_CLEANUP(struct kiln_toml *, kiln_toml_free)
#define _cleanup_toml_ _cleanup_(kiln_toml_freep)

/* A key of a table and where its value goes. STRV is a list of strings. */
enum kiln_toml_type {
        KILN_TOML_T_STRING,
        KILN_TOML_T_STRV,
        KILN_TOML_T_INTEGER,
        KILN_TOML_T_BOOLEAN,
        KILN_TOML_T_NODE
};

struct kiln_toml_field {
        const char *key;
        enum kiln_toml_type type;
        bool required;
        size_t offset; /* of char *, char **, int64_t, bool or const struct kiln_toml * */
};

/* Reads a table by description: unknown keys, wrong types and missing required keys are BAD_INPUT. Strings
 * and lists are copied (the caller's, also after an error: free what is set), nodes are borrowed. */
int kiln_toml_read(const char *name, const struct kiln_toml *table, const struct kiln_toml_field *fields,
        size_t n_fields, void *object, struct kiln_error *err);
