#include "worker/base/json.h"

#include "worker/base/mem.h"

#include <errno.h>
#include <stdint.h>

/* Nesting that jansson's recursive parser may reach on outside data. */
#define DEPTH_MAX 64

static void dump(const json_t *j, size_t flags, struct kiln_buf *out)
{
        char *s = json_dumps(j, flags | JSON_SORT_KEYS | JSON_ENCODE_ANY);

        if (!s)
                abort(); /* only an object that holds itself, or no memory */
        kiln_buf_puts(out, s);
        free(s);
}

void kiln_json_canonical(const json_t *j, struct kiln_buf *out)
{
        dump(j, JSON_COMPACT, out);
}

void kiln_json_pretty(const json_t *j, struct kiln_buf *out)
{
        dump(j, JSON_INDENT(2), out);
        kiln_buf_putc(out, '\n');
}

struct shape {
        size_t deepest; /* nesting of brackets */
        size_t items;
};

/* Brackets and commas outside strings: counted before the recursive parser sees the text and gives each value
 * some hundred bytes. */
static struct shape shape_of(const char *data, size_t len)
{
        struct shape s = {0, 0};
        size_t depth = 0;
        int in_string = 0;

        for (size_t i = 0; i < len; i++) {
                char c = data[i];

                if (in_string) {
                        if (c == '\\')
                                i++;
                        else if (c == '"')
                                in_string = 0;
                } else if (c == '"') {
                        in_string = 1;
                } else if (c == '[' || c == '{') {
                        s.items++;
                        if (++depth > s.deepest)
                                s.deepest = depth;
                } else if ((c == ']' || c == '}') && depth > 0) {
                        depth--;
                } else if (c == ',') {
                        s.items++;
                }
        }
        return s;
}

size_t kiln_json_items(const char *data, size_t len)
{
        return shape_of(data, len).items;
}

int kiln_json_parse_bounded(const char *data, size_t len, size_t max_items, const char *what, json_t **ret,
        struct kiln_error *err)
{
        struct shape shape = shape_of(data, len);
        json_error_t je;
        json_t *j;

        if (shape.deepest > DEPTH_MAX)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, 0, "reading", what, "nested deeper than %d levels", DEPTH_MAX);
        if (shape.items > max_items)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, E2BIG, "reading", what, "it has more than %zu items", max_items);
        j = json_loadb(data, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
        if (!j)
                return kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", what, "line %d column %d: %s",
                        je.line, je.column, je.text);
        *ret = j;
        return 0;
}

int kiln_json_parse(const char *data, size_t len, const char *what, json_t **ret, struct kiln_error *err)
{
        return kiln_json_parse_bounded(data, len, SIZE_MAX, what, ret, err);
}
