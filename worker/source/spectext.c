#include "worker/source/spectext.h"

#include "worker/base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

/* rpm's build/parseSpec.c, partList. */
static const char *const section_names[] = {"%package", "%prep", "%generate_buildrequires", "%conf", "%build",
        "%install", "%check", "%clean", "%preun", "%postun", "%preuntrans", "%postuntrans", "%pretrans",
        "%posttrans", "%pre", "%post", "%files", "%changelog", "%description", "%triggerpostun",
        "%triggerprein", "%triggerun", "%triggerin", "%trigger", "%verifyscript", "%sepolicy",
        "%filetriggerin", "%filetrigger", "%filetriggerun", "%filetriggerpostun", "%transfiletriggerin",
        "%transfiletrigger", "%transfiletriggerun", "%transfiletriggerpostun", "%sourcelist", "%patchlist",
        NULL};

int spec_text_read(struct spec_text *s, const char *data, size_t len)
{
        size_t at = 0;

        if (len && memchr(data, 0, len))
                return -EINVAL;
        *s = (struct spec_text){.lines = kiln_calloc(1, sizeof(char *))};
        while (at < len) {
                const char *end = memchr(data + at, '\n', len - at);
                size_t n = end ? (size_t)(end - data) - at : len - at;

                *KILN_APPEND(s->lines, s->n) = kiln_strndup(data + at, n);
                s->newline_at_end = end != NULL;
                at += n + 1;
        }
        (void)KILN_APPEND(s->lines, s->n);
        s->n--; /* the terminator */
        return 0;
}

void spec_text_write(const struct spec_text *s, struct kiln_buf *out)
{
        for (size_t i = 0; i < s->n; i++) {
                kiln_buf_puts(out, s->lines[i]);
                if (i + 1 < s->n || s->newline_at_end)
                        kiln_buf_putc(out, '\n');
        }
}

void spec_text_clear(struct spec_text *s)
{
        kiln_strv_free(s->lines);
        *s = (struct spec_text){0};
}

void spec_text_insert(struct spec_text *s, size_t at, const char *line)
{
        char **lines = kiln_calloc(s->n + 2, sizeof(*lines));

        memcpy(lines, s->lines, at * sizeof(*lines));
        lines[at] = kiln_strdup(line);
        memcpy(lines + at + 1, s->lines + at, (s->n - at) * sizeof(*lines));
        free(s->lines);
        s->lines = lines;
        if (at == s->n)
                s->newline_at_end = true;
        s->n++;
}

void spec_text_remove(struct spec_text *s, size_t at, size_t n)
{
        for (size_t i = at; i < at + n; i++)
                free(s->lines[i]);
        memmove(s->lines + at, s->lines + at + n, (s->n - at - n + 1) * sizeof(*s->lines));
        s->n -= n;
}

void spec_text_set(struct spec_text *s, size_t at, const char *line)
{
        char *copy = kiln_strdup(line);

        free(s->lines[at]);
        s->lines[at] = copy;
}

static const char *heading_name(const char *line)
{
        const char *best = NULL;

        for (size_t i = 0; section_names[i]; i++) {
                size_t n = strlen(section_names[i]);

                if (strncmp(line, section_names[i], n) == 0 &&
                        (line[n] == '\0' || isspace((unsigned char)line[n])))
                        best = section_names[i];
        }
        return best;
}

bool spec_heading_parse(const struct spec_text *s, size_t i, char **ret_name, char **ret_package)
{
        const char *name = heading_name(s->lines[i]), *p;
        const char *package = NULL;
        size_t package_len = 0;
        bool next_is_package = false, skip = false;

        if (!name)
                return false;
        /* "%files -n foo -f list", "%package devel", "%post -p /sbin/ldconfig libs" */
        for (p = s->lines[i] + strlen(name); *p;) {
                size_t n;

                p += strspn(p, " \t");
                n = strcspn(p, " \t");
                if (n == 0)
                        break;
                if (n >= 2 && p[0] == '-' && !next_is_package && !skip) {
                        if (p[1] == 'n')
                                next_is_package = true;
                        else if (strchr("flpP", p[1]))
                                skip = true;
                        else if (p[1] == '-') /* %trigger's "-- condition" */
                                break;
                } else if (skip) {
                        skip = false;
                } else if (!package) {
                        package = p;
                        package_len = n;
                        next_is_package = false;
                }
                p += n;
        }
        /* These take no sub-package; what follows is something else. */
        if (strcmp(name, "%prep") == 0 || strcmp(name, "%build") == 0 || strcmp(name, "%install") == 0 ||
                strcmp(name, "%check") == 0 || strcmp(name, "%changelog") == 0 || strcmp(name, "%clean") == 0)
                package_len = 0;
        *ret_name = kiln_strdup(name);
        *ret_package = kiln_strndup(package ? package : "", package_len);
        return true;
}

bool spec_package_equal(const struct spec_text *s, const char *heading_package, const char *asked)
{
        _cleanup_free_ char *name = NULL, *expanded = NULL, *full = NULL;

        if (strcmp(heading_package, asked) == 0)
                return true;
        if (!*heading_package || !*asked)
                return false;
        name = spec_tag_value(s, "Name");
        expanded = spec_expand(s, heading_package);
        full = kiln_asprintf("%s-%s", name ? name : "", asked);
        if (strcmp(expanded, asked) == 0 || strcmp(expanded, full) == 0)
                return true;
        free(full);
        full = kiln_asprintf("%s-%s", name ? name : "", expanded);
        return strcmp(full, asked) == 0;
}

bool spec_section_find(const struct spec_text *s, const char *name, const char *package, size_t after,
        struct spec_section *ret)
{
        bool preamble = (!*name || strcmp(name, "%package") == 0) && !*package;
        size_t i;

        if (preamble && after > 0)
                return false;
        for (i = after; !preamble && i < s->n; i++) {
                _cleanup_free_ char *found = NULL, *of = NULL;

                if (spec_heading_parse(s, i, &found, &of) && strcmp(found, *name ? name : "%package") == 0 &&
                        spec_package_equal(s, of, package))
                        break;
        }
        if (!preamble && i == s->n)
                return false;
        ret->is_preamble = preamble;
        ret->heading = i;
        ret->first = preamble ? 0 : i + 1;
        for (ret->end = ret->first; ret->end < s->n; ret->end++)
                if (heading_name(s->lines[ret->end]))
                        break;
        return true;
}

bool spec_tag_parse(const char *line, struct spec_tag *ret)
{
        const char *p = line + strspn(line, " \t"), *colon;

        ret->name = p;
        while (isalnum((unsigned char)*p))
                p++;
        ret->name_len = (size_t)(p - ret->name);
        if (ret->name_len == 0 || !isalpha((unsigned char)*ret->name))
                return false;
        if (*p == '(') { /* Requires(post), Summary(de) */
                p = strchr(p, ')');
                if (!p)
                        return false;
                p++;
        }
        colon = p + strspn(p, " \t");
        if (*colon != ':')
                return false;
        ret->value = colon + 1 + strspn(colon + 1, " \t");
        ret->value_len = strlen(ret->value);
        while (ret->value_len && isspace((unsigned char)ret->value[ret->value_len - 1]))
                ret->value_len--;
        return true;
}

bool spec_tag_is(const struct spec_tag *t, const char *name)
{
        const char *qualifier = strchr(name, '(');
        size_t n = qualifier ? (size_t)(qualifier - name) : strlen(name);

        if (n != t->name_len || strncasecmp(t->name, name, n) != 0)
                return false;
        if (qualifier) /* asked for with a qualifier: that one only */
                return strncasecmp(t->name + n, qualifier, strlen(qualifier)) == 0;
        return true;
}

char *spec_tag_value(const struct spec_text *s, const char *name)
{
        for (size_t i = 0; i < s->n && !heading_name(s->lines[i]); i++) {
                struct spec_tag t;

                if (spec_tag_parse(s->lines[i], &t) && spec_tag_is(&t, name))
                        return kiln_strndup(t.value, t.value_len);
        }
        return NULL;
}

char *spec_expand(const struct spec_text *s, const char *text)
{
        static const char *const tags[] = {"name", "version"};
        struct kiln_buf out = KILN_BUF_INIT;

        while (*text) {
                size_t used = 0;

                for (size_t i = 0; *text == '%' && i < KILN_ARRAY_SIZE(tags) && !used; i++) {
                        size_t n = strlen(tags[i]);
                        bool braced = text[1] == '{';
                        const char *after = text + 1 + braced + n;
                        _cleanup_free_ char *value = NULL;

                        if (strncmp(text + 1 + braced, tags[i], n) != 0 ||
                                (braced ? *after != '}' : isalnum((unsigned char)*after) || *after == '_'))
                                continue;
                        value = spec_tag_value(s, tags[i]);
                        if (!value || strchr(value, '%')) /* made of other macros: left alone */
                                continue;
                        kiln_buf_puts(&out, value);
                        used = 1 + n + 2 * (size_t)braced;
                }
                if (!used)
                        kiln_buf_putc(&out, text[used++]);
                text += used;
        }
        return kiln_buf_take(&out);
}

size_t spec_depth(const struct spec_text *s, size_t first, size_t i)
{
        size_t depth = 0;

        for (size_t k = first; k < i; k++) {
                const char *p = s->lines[k] + strspn(s->lines[k], " \t");

                if (strncmp(p, "%if", 3) == 0)
                        depth++;
                else if (strncmp(p, "%endif", 6) == 0 && depth)
                        depth--;
        }
        return depth;
}
