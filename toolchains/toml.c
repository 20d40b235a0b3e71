#include "toolchains/toml.h"

#include "toolchains/toml-raw.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

static void toml_clear(struct kiln_toml *t)
{
        for (size_t i = 0; i < t->n_children; i++)
                toml_clear(&t->children[i]);
        free(t->children);
        free(t->key);
        free(t->string);
}

void kiln_toml_free(struct kiln_toml *t)
{
        if (!t)
                return;
        toml_clear(t);
        free(t);
}

int kiln_toml_parse(
        const char *name, const char *text, size_t len, struct kiln_toml **ret, struct kiln_error *err)
{
        _cleanup_toml_ struct kiln_toml *root = NULL;
        unsigned line = 0, column = 0;
        char what[512];

        if (len > KILN_TOML_MAX)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, EFBIG, "reading", name, "more than %zu bytes", KILN_TOML_MAX);
        root = kiln_calloc(1, sizeof(*root));
        if (kiln_toml_raw_parse(text, len, root, &line, &column, what, sizeof(what)) < 0) {
                kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", name, "line %u, column %u: %s", line,
                        column, what);
                return -EINVAL;
        }
        *ret = TAKE_PTR(root);
        return 0;
}

int kiln_toml_load(const char *path, struct kiln_toml **ret, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        int r = kiln_file_read(AT_FDCWD, path, KILN_TOML_MAX, &text);

        if (r < 0)
                return kiln_error_set(err, KILN_BAD_INPUT, -r, "reading", path, "cannot read it");
        return kiln_toml_parse(path, kiln_buf_str(&text), text.len, ret, err);
}

const struct kiln_toml *kiln_toml_get(const struct kiln_toml *table, const char *key)
{
        for (size_t i = 0; table && table->kind == KILN_TOML_TABLE && i < table->n_children; i++)
                if (strcmp(table->children[i].key, key) == 0)
                        return &table->children[i];
        return NULL;
}

int kiln_toml_error(
        const char *name, const struct kiln_toml *node, struct kiln_error *err, const char *fmt, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        text = kiln_vasprintf(fmt, ap);
        va_end(ap);
        kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", name, "line %u, column %u: %s", node->line,
                node->column, text);
        return -EINVAL;
}

static const char *const type_names[] = {
        [KILN_TOML_T_STRING] = "a string",
        [KILN_TOML_T_STRV] = "a list of strings",
        [KILN_TOML_T_INTEGER] = "an integer",
        [KILN_TOML_T_BOOLEAN] = "true or false",
        [KILN_TOML_T_NODE] = "a value",
};

/* 0, or -EINVAL when the node is of another type. */
static int field_set(const struct kiln_toml_field *f, const struct kiln_toml *n, void *object)
{
        void *target = (char *)object + f->offset;

        switch (f->type) {
        case KILN_TOML_T_STRING:
                if (n->kind != KILN_TOML_STRING)
                        return -EINVAL;
                *(char **)target = kiln_strdup(n->string);
                return 0;
        case KILN_TOML_T_STRV:
                if (n->kind != KILN_TOML_ARRAY)
                        return -EINVAL;
                for (size_t i = 0; i < n->n_children; i++) {
                        if (n->children[i].kind != KILN_TOML_STRING)
                                return -EINVAL;
                        kiln_strv_append((char ***)target, n->children[i].string);
                }
                return 0;
        case KILN_TOML_T_INTEGER:
                if (n->kind != KILN_TOML_INTEGER)
                        return -EINVAL;
                *(int64_t *)target = n->integer;
                return 0;
        case KILN_TOML_T_BOOLEAN:
                if (n->kind != KILN_TOML_BOOLEAN)
                        return -EINVAL;
                *(bool *)target = n->boolean;
                return 0;
        case KILN_TOML_T_NODE:
                *(const struct kiln_toml **)target = n;
                return 0;
        }
        return -EINVAL;
}

int kiln_toml_read(const char *name, const struct kiln_toml *table, const struct kiln_toml_field *fields,
        size_t n_fields, void *object, struct kiln_error *err)
{
        for (size_t i = 0; i < table->n_children; i++) {
                const struct kiln_toml *n = &table->children[i];
                const struct kiln_toml_field *f = NULL;

                for (size_t k = 0; k < n_fields && !f; k++)
                        if (strcmp(fields[k].key, n->key) == 0)
                                f = &fields[k];
                if (!f)
                        return kiln_toml_error(name, n, err, "unknown key '%s'", n->key);
                if (field_set(f, n, object) < 0)
                        return kiln_toml_error(name, n, err, "'%s' must be %s", n->key, type_names[f->type]);
        }
        for (size_t k = 0; k < n_fields; k++)
                if (fields[k].required && !kiln_toml_get(table, fields[k].key))
                        return kiln_toml_error(name, table, err, "'%s' is missing", fields[k].key);
        return 0;
}
