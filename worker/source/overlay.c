/* Reading overlay files and driving their operations; what each does to a spec is in overlay-spec.c, to other
 * files in overlay-file.c. */
#include "worker/source/overlay-private.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#define SPEC_MAX ((size_t)16 << 20)
#define OPS_MAX 1024
#define PLACE (KEY_SECTION | KEY_PACKAGE)

const struct overlay_type overlay_types[] = {
        {"spec-add-tag", KEY_TAG | KEY_VALUE, KEY_PACKAGE, overlay_spec_tag_add},
        {"spec-insert-tag", KEY_TAG | KEY_VALUE, KEY_PACKAGE, overlay_spec_tag_insert},
        {"spec-set-tag", KEY_TAG | KEY_VALUE, KEY_PACKAGE, overlay_spec_tag_set},
        {"spec-update-tag", KEY_TAG | KEY_VALUE, KEY_PACKAGE, overlay_spec_tag_update},
        {"spec-remove-tag", KEY_TAG, KEY_VALUE | KEY_PACKAGE, overlay_spec_tag_remove},
        {"spec-set-macro", KEY_MACRO | KEY_VALUE, 0, overlay_spec_macro_set},
        {"spec-prepend-lines", KEY_LINES, PLACE, overlay_spec_lines_prepend},
        {"spec-append-lines", KEY_LINES, PLACE, overlay_spec_lines_append},
        {"spec-search-replace", KEY_MATCH, PLACE | KEY_REPLACEMENT | KEY_COUNT, overlay_spec_replace},
        {"spec-remove-section", KEY_SECTION, KEY_PACKAGE, overlay_spec_section_remove},
        {"spec-remove-subpackage", KEY_PACKAGE, 0, overlay_spec_subpackage_remove},
        {"patch-add", KEY_FILE | KEY_TEXT, KEY_STRIP, overlay_patch_add},
        {"patch-remove", KEY_FILE, 0, overlay_patch_remove},
        {"source-add", KEY_FILE | KEY_TEXT, 0, overlay_source_add},
        {"file-add", KEY_FILE | KEY_TEXT, 0, overlay_file_add},
        {"file-remove", KEY_FILE, 0, overlay_file_remove},
        {"file-rename", KEY_FILE | KEY_REPLACEMENT, 0, overlay_file_rename},
        {"file-search-replace", KEY_FILE | KEY_MATCH, KEY_REPLACEMENT | KEY_COUNT, overlay_file_replace},
        {"file-prepend-lines", KEY_FILE | KEY_LINES, 0, overlay_file_prepend},
        {0},
};

static const struct kiln_toml_field op_fields[] = {
        {"type", KILN_TOML_T_STRING, true, offsetof(struct overlay_op, type_name)},
        {"description", KILN_TOML_T_STRING, false, offsetof(struct overlay_op, description)},
        {"tag", KILN_TOML_T_STRING, false, offsetof(struct overlay_op, tag)},
        {"value", KILN_TOML_T_STRING, false, offsetof(struct overlay_op, value)},
        {"section", KILN_TOML_T_STRING, false, offsetof(struct overlay_op, section)},
        {"package", KILN_TOML_T_STRING, false, offsetof(struct overlay_op, package)},
        {"search", KILN_TOML_T_STRING, false, offsetof(struct overlay_op, search)},
        {"regex", KILN_TOML_T_STRING, false, offsetof(struct overlay_op, regex)},
        {"replacement", KILN_TOML_T_STRING, false, offsetof(struct overlay_op, replacement)},
        {"file", KILN_TOML_T_STRING, false, offsetof(struct overlay_op, file)},
        {"text", KILN_TOML_T_STRING, false, offsetof(struct overlay_op, text)},
        {"macro", KILN_TOML_T_STRING, false, offsetof(struct overlay_op, macro)},
        {"lines", KILN_TOML_T_STRV, false, offsetof(struct overlay_op, lines)},
        {"count", KILN_TOML_T_INTEGER, false, offsetof(struct overlay_op, count)},
        {"strip", KILN_TOML_T_INTEGER, false, offsetof(struct overlay_op, strip)},
        {"all", KILN_TOML_T_BOOLEAN, false, offsetof(struct overlay_op, all)},
};

/* ---- reading */

static unsigned op_keys(const struct overlay_op *op)
{
        const struct {
                const char *key;
                unsigned bit;
        } keys[] = {{"tag", KEY_TAG}, {"value", KEY_VALUE}, {"section", KEY_SECTION},
                {"package", KEY_PACKAGE}, {"search", KEY_MATCH}, {"regex", KEY_MATCH},
                {"replacement", KEY_REPLACEMENT}, {"count", KEY_COUNT}, {"all", KEY_COUNT},
                {"lines", KEY_LINES}, {"file", KEY_FILE}, {"text", KEY_TEXT}, {"macro", KEY_MACRO},
                {"strip", KEY_STRIP}};
        unsigned mask = 0;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(keys); i++)
                if (kiln_toml_get(op->node, keys[i].key))
                        mask |= keys[i].bit;
        return mask;
}

static const char *key_names(unsigned mask)
{
        static const struct {
                unsigned bit;
                const char *name;
        } names[] = {{KEY_TAG, "tag"}, {KEY_VALUE, "value"}, {KEY_SECTION, "section"},
                {KEY_PACKAGE, "package"}, {KEY_MATCH, "search or regex"}, {KEY_REPLACEMENT, "replacement"},
                {KEY_COUNT, "count or all"}, {KEY_LINES, "lines"}, {KEY_FILE, "file"}, {KEY_TEXT, "text"},
                {KEY_MACRO, "macro"}, {KEY_STRIP, "strip"}};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(names); i++)
                if (mask & names[i].bit)
                        return names[i].name;
        return "";
}

/* Flat: the directory of a source package has no others. */
static bool file_name_ok(const char *s)
{
        return *s && strlen(s) <= 255 && !strchr(s, '/') && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

static bool one_line(const char *s)
{
        return !s || !strpbrk(s, "\n\r");
}

static int op_check(struct kiln_overlay *o, struct overlay_op *op, struct kiln_error *err)
{
        unsigned keys = op_keys(op), extra, missing;

        for (op->type = overlay_types; op->type->name; op->type++)
                if (strcmp(op->type->name, op->type_name) == 0)
                        break;
        if (!op->type->name)
                return kiln_toml_error(o->name, op->node, err, "unknown overlay type \"%s\"", op->type_name);
        missing = op->type->required & ~keys;
        extra = keys & ~(op->type->required | op->type->allowed);
        if (missing)
                return kiln_toml_error(
                        o->name, op->node, err, "%s needs the key %s", op->type->name, key_names(missing));
        if (extra)
                return kiln_toml_error(
                        o->name, op->node, err, "%s has no key %s", op->type->name, key_names(extra));
        if ((op->search && op->regex) || (op->search && !*op->search) || (op->regex && !*op->regex))
                return kiln_toml_error(
                        o->name, op->node, err, "exactly one of search and regex, and not empty");
        if (op->all && kiln_toml_get(op->node, "count"))
                return kiln_toml_error(o->name, op->node, err, "count and all exclude each other");
        if (!kiln_toml_get(op->node, "count"))
                op->count = 1;
        if (op->count < 1 || op->count > 100000)
                return kiln_toml_error(o->name, op->node, err, "count must be from 1 to 100000");
        if (!kiln_toml_get(op->node, "strip"))
                op->strip = 1;
        if (op->strip < 0 || op->strip > 20)
                return kiln_toml_error(o->name, op->node, err, "strip must be from 0 to 20");
        if ((op->file && !file_name_ok(op->file)) ||
                (strcmp(op->type->name, "file-rename") == 0 && !file_name_ok(op->replacement)))
                return kiln_toml_error(o->name, op->node, err, "a file is a plain name without \"/\"");
        if (op->section && (op->section[0] != '%' || strpbrk(op->section, " \t")))
                return kiln_toml_error(o->name, op->node, err,
                        "a section is given as \"%%build\", a sub-package with the key package");
        if (op->package && !op->section && (op->type->allowed & KEY_SECTION))
                return kiln_toml_error(o->name, op->node, err, "package needs a section here");
        if (!one_line(op->tag) || !one_line(op->value) || !one_line(op->macro) || !one_line(op->package))
                return kiln_toml_error(
                        o->name, op->node, err, "tag, value, macro and package are one line each");
        for (size_t i = 0; op->lines && op->lines[i]; i++)
                if (!one_line(op->lines[i]))
                        return kiln_toml_error(o->name, op->node, err, "an element of lines is one line");
        return 0;
}

static int regex_check(struct kiln_overlay *o, struct overlay_op *op, struct kiln_error *err)
{
        char why[128];
        regex_t re;
        int r;

        if (!op->regex)
                return 0;
        r = regcomp(&re, op->regex, REG_EXTENDED);
        if (r == 0) {
                regfree(&re);
                return 0;
        }
        regerror(r, NULL, why, sizeof(why));
        return kiln_toml_error(o->name, op->node, err, "the regex is none: %s", why);
}

static int urls_read(
        struct kiln_overlay *o, const struct kiln_toml *node, char ***ret, struct kiln_error *err)
{
        for (size_t i = 0; node && i < node->n_children; i++) {
                const struct kiln_toml *url = kiln_toml_get(&node->children[i], "url");

                if (node->kind != KILN_TOML_ARRAY || !url || url->kind != KILN_TOML_STRING ||
                        (strncmp(url->string, "https://", 8) != 0 && strncmp(url->string, "http://", 7) != 0))
                        return kiln_toml_error(o->name, node, err, "it is a list of { url = \"https://…\" }");
                kiln_strv_append(ret, url->string);
        }
        return 0;
}

static int metadata_read(struct kiln_overlay *o, const struct kiln_toml *node, struct kiln_error *err)
{
        struct {
                char *category, *upstream_status, *reason;
                const struct kiln_toml *commits, *bugs;
        } m = {0};
        static const char *const statuses[] = {
                "upstreamed", "upstreamable", "needs-upstream-hook", "inapplicable", "unknown"};
        const struct kiln_toml_field fields[] = {
                {"category", KILN_TOML_T_STRING, true, offsetof(__typeof__(m), category)},
                {"upstream-status", KILN_TOML_T_STRING, true, offsetof(__typeof__(m), upstream_status)},
                {"reason", KILN_TOML_T_STRING, false, offsetof(__typeof__(m), reason)},
                {"commits", KILN_TOML_T_NODE, false, offsetof(__typeof__(m), commits)},
                {"bugs", KILN_TOML_T_NODE, false, offsetof(__typeof__(m), bugs)},
        };
        int r = kiln_toml_read(o->name, node, fields, KILN_ARRAY_SIZE(fields), &m, err);

        o->category = m.category;
        o->upstream_status = m.upstream_status;
        o->reason = m.reason;
        if (r < 0)
                return r;
        for (size_t i = 0; i <= KILN_ARRAY_SIZE(statuses); i++) {
                if (i == KILN_ARRAY_SIZE(statuses))
                        return kiln_toml_error(o->name, node, err,
                                "upstream-status is one of upstreamed, upstreamable, needs-upstream-hook, "
                                "inapplicable, unknown");
                if (strcmp(statuses[i], o->upstream_status) == 0)
                        break;
        }
        r = urls_read(o, m.commits, &o->commits, err);
        return r == 0 ? urls_read(o, m.bugs, &o->bugs, err) : r;
}

static int document_read(struct kiln_overlay *o, struct kiln_error *err)
{
        struct {
                const struct kiln_toml *metadata, *overlays;
        } d = {0};
        const struct kiln_toml_field fields[] = {
                {"metadata", KILN_TOML_T_NODE, false, offsetof(__typeof__(d), metadata)},
                {"overlays", KILN_TOML_T_NODE, true, offsetof(__typeof__(d), overlays)},
        };
        int r = kiln_toml_read(o->name, o->tree, fields, KILN_ARRAY_SIZE(fields), &d, err);

        if (r == 0 && d.metadata)
                r = metadata_read(o, d.metadata, err);
        if (r < 0)
                return r;
        if (d.overlays->kind != KILN_TOML_ARRAY || d.overlays->n_children == 0 ||
                d.overlays->n_children > OPS_MAX)
                return kiln_toml_error(
                        o->name, d.overlays, err, "[[overlays]] must stand there 1 to %d times", OPS_MAX);
        for (size_t i = 0; i < d.overlays->n_children; i++) {
                const struct kiln_toml *node = &d.overlays->children[i];
                struct overlay_op *op = KILN_APPEND(o->ops, o->n_ops);

                op->node = node;
                if (node->kind != KILN_TOML_TABLE)
                        return kiln_toml_error(o->name, node, err, "an overlay is a table");
                r = kiln_toml_read(o->name, node, op_fields, KILN_ARRAY_SIZE(op_fields), op, err);
                if (r == 0)
                        r = op_check(o, op, err);
                if (r == 0)
                        r = regex_check(o, op, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

int kiln_overlay_parse(
        const char *name, const char *text, size_t len, struct kiln_overlay **ret, struct kiln_error *err)
{
        _cleanup_(kiln_overlay_freep) struct kiln_overlay *o = kiln_calloc(1, sizeof(*o));
        int r;

        o->name = kiln_strdup(name);
        r = kiln_toml_parse(name, text, len, &o->tree, err);
        if (r == 0)
                r = document_read(o, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(o);
        return 0;
}

void kiln_overlay_free(struct kiln_overlay *o)
{
        if (!o)
                return;
        for (size_t i = 0; i < o->n_ops; i++) {
                struct overlay_op *op = &o->ops[i];
                char *strings[] = {op->type_name, op->description, op->tag, op->value, op->section,
                        op->package, op->search, op->regex, op->replacement, op->file, op->text, op->macro};

                for (size_t k = 0; k < KILN_ARRAY_SIZE(strings); k++)
                        free(strings[k]);
                kiln_strv_free(op->lines);
        }
        free(o->ops);
        free(o->name);
        free(o->category);
        free(o->upstream_status);
        free(o->reason);
        kiln_strv_free(o->commits);
        kiln_strv_free(o->bugs);
        kiln_toml_free(o->tree);
        free(o);
}

struct kiln_overlay_metadata kiln_overlay_metadata(const struct kiln_overlay *o)
{
        static char *const none[] = {NULL};

        return (struct kiln_overlay_metadata){
                .name = o->name,
                .category = o->category ? o->category : "",
                .upstream_status = o->upstream_status ? o->upstream_status : "",
                .reason = o->reason ? o->reason : "",
                .commits = o->commits ? o->commits : none,
                .bugs = o->bugs ? o->bugs : none,
        };
}

/* ---- applying */

int overlay_fail(struct overlay_target *t, const char *fmt, ...)
{
        _cleanup_free_ char *cause = NULL;
        const char *what = t->op->description;
        va_list ap;

        va_start(ap, fmt);
        cause = kiln_vasprintf(fmt, ap);
        va_end(ap);
        kiln_error_set(t->err, KILN_BAD_INPUT, 0, "applying the overlay", t->overlay->name,
                "line %u: %s%s%s%s: %s", t->op->node->line, t->op->type->name, what ? " (" : "",
                what ? what : "", what ? ")" : "", cause);
        kiln_error_advise(t->err, "The source package changed, or the overlay was made for another one: look "
                                  "at its spec and adapt the overlay.");
        return -EINVAL;
}

static int regex_replace(struct overlay_target *t, const char *text, struct kiln_buf *out, size_t *n)
{
        const char *with = t->op->replacement ? t->op->replacement : "";
        int flags = 0;
        regmatch_t m;
        regex_t re;

        if (regcomp(&re, t->op->regex, REG_EXTENDED | REG_NEWLINE) != 0)
                return overlay_fail(t, "the regex is none");
        while (regexec(&re, text, 1, &m, flags) == 0) {
                kiln_buf_append(out, text, (size_t)m.rm_so);
                kiln_buf_puts(out, with);
                (*n)++;
                text += m.rm_eo;
                if (m.rm_so == m.rm_eo) { /* an empty match must not stand still */
                        if (!*text)
                                break;
                        kiln_buf_putc(out, *text++);
                }
                flags = text[-1] == '\n' ? 0 : REG_NOTBOL;
        }
        kiln_buf_puts(out, text);
        regfree(&re);
        return 0;
}

int overlay_replace(struct overlay_target *t, const char *text, size_t len, struct kiln_buf *out, size_t *n)
{
        const char *with = t->op->replacement ? t->op->replacement : "", *end = text + len;
        size_t search_len;

        *n = 0;
        if (t->op->regex) {
                if (len && memchr(text, 0, len))
                        return overlay_fail(t, "a regex cannot be used on a binary file");
                return regex_replace(t, text, out, n);
        }
        search_len = strlen(t->op->search);
        for (;;) {
                const char *hit = len ? memmem(text, (size_t)(end - text), t->op->search, search_len) : NULL;

                if (!hit)
                        break;
                kiln_buf_append(out, text, (size_t)(hit - text));
                kiln_buf_puts(out, with);
                text = hit + search_len;
                (*n)++;
        }
        kiln_buf_append(out, text, (size_t)(end - text));
        return 0;
}

int overlay_count_check(struct overlay_target *t, size_t n, const char *where)
{
        const char *what = t->op->search ? t->op->search : t->op->regex;

        if (t->op->all ? n >= 1 : n == (size_t)t->op->count)
                return 0;
        if (t->op->all)
                return overlay_fail(t, "\"%s\" is not found in %s", what, where);
        return overlay_fail(t,
                "\"%s\" is found %zu times in %s, expected %lld (count = N or all = true says otherwise)",
                what, n, where, (long long)t->op->count);
}

int overlay_file_write(
        struct overlay_target *t, const char *name, const void *data, size_t len, bool executable)
{
        int r = kiln_file_write(t->dir_fd, name, data, len, executable ? 0755 : 0644);

        if (r == 0 && utimensat(t->dir_fd, name, t->times, AT_SYMLINK_NOFOLLOW) < 0)
                r = -errno;
        if (r < 0)
                return kiln_error_set(t->err, KILN_INFRA, r, "applying the overlay", t->overlay->name,
                        "cannot write %s", name);
        return 0;
}

static int spec_write(struct overlay_target *t)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;

        spec_text_write(&t->spec, &text);
        return overlay_file_write(t, t->spec_name, kiln_buf_str(&text), text.len, false);
}

int kiln_overlay_apply(
        const struct kiln_overlay *o, int dir_fd, const char *spec_name, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        struct timespec times[2];
        struct overlay_target t = {
                .overlay = o, .dir_fd = dir_fd, .spec_name = spec_name, .times = times, .err = err};
        struct stat st;
        int r;

        if (fstatat(dir_fd, spec_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
                return kiln_error_set(err, KILN_BAD_INPUT, 0, "applying the overlay", o->name,
                        "there is no spec file %s", spec_name);
        times[0] = times[1] = st.st_mtim;
        r = kiln_file_read(dir_fd, spec_name, SPEC_MAX, &text);
        if (r < 0)
                return kiln_error_set(err, r == -EFBIG ? KILN_BAD_INPUT : KILN_INFRA, r, "reading", spec_name,
                        "cannot read the spec file");
        if (spec_text_read(&t.spec, kiln_buf_str(&text), text.len) < 0)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, 0, "reading", spec_name, "the spec file is no text");
        for (size_t i = 0; r == 0 && i < o->n_ops; i++) {
                t.op = &o->ops[i];
                r = t.op->type->apply(&t);
        }
        if (r == 0 && t.spec_changed)
                r = spec_write(&t);
        spec_text_clear(&t.spec);
        return r;
}
