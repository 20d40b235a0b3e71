#include "worker/base/json.h"

#include "worker/base/mem.h"

#include <errno.h>

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

/* Deepest nesting of brackets outside strings: checked before the recursive parser sees the text. */
static size_t text_depth(const char *data, size_t len)
{
        size_t depth = 0, deepest = 0;
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
                        if (++depth > deepest)
                                deepest = depth;
                } else if ((c == ']' || c == '}') && depth > 0) {
                        depth--;
                }
        }
        return deepest;
}

int kiln_json_parse(const char *data, size_t len, const char *what, json_t **ret, struct kiln_error *err)
{
        json_error_t je;
        json_t *j;

        if (text_depth(data, len) > DEPTH_MAX)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, 0, "reading", what, "nested deeper than %d levels", DEPTH_MAX);
        j = json_loadb(data, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
        if (!j)
                return kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", what, "line %d column %d: %s",
                        je.line, je.column, je.text);
        *ret = j;
        return 0;
}
