/* What overlays do to the spec file: tags, lines, sections. Text only: macros and conditions stay unexpanded,
 * and what is ambiguous is refused. */
#include "worker/source/overlay-private.h"

#include "worker/base/mem.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Tags that may stand in one package many times. */
static const char *const repeatable[] = {"BuildRequires", "Requires", "Provides", "Conflicts", "Obsoletes",
        "BuildConflicts", "Recommends", "Suggests", "Supplements", "Enhances", "OrderWithRequires",
        "ModularityLabel", NULL};

static bool line_is(const char *line, const char *directive)
{
        line += strspn(line, " \t");
        return strncmp(line, directive, strlen(directive)) == 0;
}

/* Where the section's own text ends: an %endif of a condition that began before it, and an %if that is meant
 * for what follows it, do not belong to it; nor do blank lines at its end. */
static size_t section_text_end(const struct spec_text *s, const struct spec_section *at)
{
        size_t opened[64], depth = 0, end = at->end;

        for (size_t i = at->first; i < at->end; i++) {
                if (line_is(s->lines[i], "%if")) {
                        if (depth < KILN_ARRAY_SIZE(opened))
                                opened[depth] = i;
                        depth++;
                } else if (line_is(s->lines[i], "%endif")) {
                        if (depth == 0) {
                                end = i;
                                break;
                        }
                        depth--;
                } else if ((line_is(s->lines[i], "%else") || line_is(s->lines[i], "%elif")) && depth == 0) {
                        end = i;
                        break;
                }
        }
        if (depth > 0 && end == at->end)
                end = opened[0];
        while (end > at->first && s->lines[end - 1][strspn(s->lines[end - 1], " \t\r")] == '\0')
                end--;
        return end;
}

/* The one section that op's section and package name. */
static int section_pick(struct overlay_target *t, const char *name, struct spec_section *ret)
{
        const char *package = t->op->package ? t->op->package : "";
        struct spec_section other;

        if (!spec_section_find(&t->spec, name, package, 0, ret))
                return overlay_fail(
                        t, "%s has no section %s%s%s", t->spec_name, name, *package ? " of " : "", package);
        if (!ret->is_preamble && spec_section_find(&t->spec, name, package, ret->first, &other))
                return overlay_fail(t, "%s has more than one section %s%s%s", t->spec_name, name,
                        *package ? " of " : "", package);
        return 0;
}

/* ---- tags */

struct tags {
        struct spec_section section;
        size_t hits, hit;   /* how many lines are op's tag (with op's value, when asked for); the last one */
        size_t family, any; /* the line behind the last tag of the same family, of any kind; 0: none */
};

static size_t family_length(const char *name)
{
        size_t n = strcspn(name, "(");

        while (n > 1 && isdigit((unsigned char)name[n - 1]))
                n--;
        return n;
}

static int tags_find(struct overlay_target *t, const char *tag, const char *value, struct tags *ret)
{
        struct tags f = {0};
        size_t end, family = family_length(tag);
        int r = section_pick(t, "%package", &f.section);

        if (r < 0)
                return r;
        end = section_text_end(&t->spec, &f.section);
        for (size_t i = f.section.first; i < f.section.end; i++) {
                struct spec_tag found;

                if (!spec_tag_parse(t->spec.lines[i], &found))
                        continue;
                if (spec_tag_is(&found, tag) &&
                        (!value || (strlen(value) == found.value_len &&
                                           memcmp(value, found.value, found.value_len) == 0))) {
                        f.hits++;
                        f.hit = i;
                }
                if (i >= end || spec_depth(&t->spec, f.section.first, i) > 0)
                        continue;
                f.any = i + 1;
                if (found.name_len >= family && strncasecmp(found.name, tag, family) == 0 &&
                        strspn(found.name + family, "0123456789") == found.name_len - family)
                        f.family = i + 1;
        }
        *ret = f;
        return 0;
}

static void tag_insert(
        struct overlay_target *t, const struct tags *f, size_t at, const char *tag, const char *value)
{
        _cleanup_free_ char *line = kiln_asprintf("%s: %s", tag, value);

        spec_text_insert(&t->spec, at ? at : section_text_end(&t->spec, &f->section), line);
        t->spec_changed = true;
}

static void tag_replace(struct overlay_target *t, size_t at, const char *value)
{
        struct spec_tag found;
        _cleanup_free_ char *line = NULL;

        if (!spec_tag_parse(t->spec.lines[at], &found))
                return;
        line = kiln_asprintf("%.*s%s%s", (int)(found.value - t->spec.lines[at]), t->spec.lines[at],
                found.value[-1] == ':' ? " " : "", value);
        spec_text_set(&t->spec, at, line);
        t->spec_changed = true;
}

static int tag_add(struct overlay_target *t, bool by_family)
{
        const struct overlay_op *op = t->op;
        size_t plain = strcspn(op->tag, "(");
        bool many = false;
        struct tags f;
        int r;

        for (size_t i = 0; repeatable[i]; i++)
                many |= strlen(repeatable[i]) == plain && strncasecmp(repeatable[i], op->tag, plain) == 0;
        r = tags_find(t, op->tag, many ? op->value : NULL, &f);
        if (r < 0)
                return r;
        if (f.hits)
                return overlay_fail(t, "%s has %s already, in line %zu", t->spec_name, op->tag, f.hit + 1);
        tag_insert(t, &f, by_family && f.family ? f.family : f.any, op->tag, op->value);
        return 0;
}

int overlay_spec_tag_add(struct overlay_target *t)
{
        return tag_add(t, false);
}

int overlay_spec_tag_insert(struct overlay_target *t)
{
        return tag_add(t, true);
}

int overlay_spec_tag_set(struct overlay_target *t)
{
        struct tags f;
        int r = tags_find(t, t->op->tag, NULL, &f);

        if (r < 0)
                return r;
        if (f.hits > 1)
                return overlay_fail(t, "%s has %s %zu times", t->spec_name, t->op->tag, f.hits);
        if (f.hits)
                tag_replace(t, f.hit, t->op->value);
        else
                tag_insert(t, &f, f.family ? f.family : f.any, t->op->tag, t->op->value);
        return 0;
}

int overlay_spec_tag_update(struct overlay_target *t)
{
        struct tags f;
        int r = tags_find(t, t->op->tag, NULL, &f);

        if (r < 0)
                return r;
        if (f.hits != 1)
                return overlay_fail(
                        t, "%s has %s %zu times, expected once", t->spec_name, t->op->tag, f.hits);
        tag_replace(t, f.hit, t->op->value);
        return 0;
}

int overlay_spec_tag_remove(struct overlay_target *t)
{
        struct tags f;
        int r = tags_find(t, t->op->tag, t->op->value, &f);

        if (r < 0)
                return r;
        if (f.hits != 1)
                return overlay_fail(t, "%s has %s%s%s %zu times, expected once%s", t->spec_name, t->op->tag,
                        t->op->value ? ": " : "", t->op->value ? t->op->value : "", f.hits,
                        f.hits && !t->op->value ? " (value says which)" : "");
        spec_text_remove(&t->spec, f.hit, 1);
        t->spec_changed = true;
        return 0;
}

/* ---- lines and sections */

static void lines_insert(struct overlay_target *t, size_t at)
{
        for (size_t i = 0; t->op->lines[i]; i++)
                spec_text_insert(&t->spec, at + i, t->op->lines[i]);
        t->spec_changed = true;
}

int overlay_spec_lines_prepend(struct overlay_target *t)
{
        struct spec_section at = {0};
        int r = t->op->section ? section_pick(t, t->op->section, &at) : 0;

        if (r == 0)
                lines_insert(t, at.first);
        return r;
}

int overlay_spec_lines_append(struct overlay_target *t)
{
        struct spec_section at;
        int r;

        if (!t->op->section) {
                lines_insert(t, t->spec.n);
                return 0;
        }
        r = section_pick(t, t->op->section, &at);
        if (r == 0)
                lines_insert(t, section_text_end(&t->spec, &at));
        return r;
}

static void range_write(const struct spec_text *s, size_t first, size_t end, struct kiln_buf *out)
{
        for (size_t i = first; i < end; i++) {
                kiln_buf_puts(out, s->lines[i]);
                if (i + 1 < s->n || s->newline_at_end)
                        kiln_buf_putc(out, '\n');
        }
}

int overlay_spec_replace(struct overlay_target *t)
{
        _cleanup_buf_ struct kiln_buf part = KILN_BUF_INIT, all = KILN_BUF_INIT;
        struct spec_section at = {.first = 0, .end = t->spec.n};
        size_t n;
        int r = t->op->section ? section_pick(t, t->op->section, &at) : 0;

        if (r < 0)
                return r;
        range_write(&t->spec, 0, at.first, &all);
        range_write(&t->spec, at.first, at.end, &part);
        r = overlay_replace(t, kiln_buf_str(&part), part.len, &all, &n);
        if (r == 0)
                r = overlay_count_check(t, n, t->op->section ? t->op->section : t->spec_name);
        if (r < 0)
                return r;
        range_write(&t->spec, at.end, t->spec.n, &all);
        spec_text_clear(&t->spec);
        if (spec_text_read(&t->spec, kiln_buf_str(&all), all.len) < 0)
                return overlay_fail(t, "the spec would be no text");
        t->spec_changed = true;
        return 0;
}

int overlay_spec_macro_set(struct overlay_target *t)
{
        size_t hits = 0, hit = 0, body = 0, name_len = strlen(t->op->macro);
        _cleanup_free_ char *line = NULL;

        for (size_t i = 0; i < t->spec.n; i++) {
                const char *start = t->spec.lines[i], *p = start + strspn(start, " \t");

                if (strncmp(p, "%global", 7) != 0 && strncmp(p, "%define", 7) != 0)
                        continue;
                p += 7;
                if (!strspn(p, " \t"))
                        continue;
                p += strspn(p, " \t");
                if (strncmp(p, t->op->macro, name_len) != 0 || !strspn(p + name_len, " \t"))
                        continue;
                p += name_len;
                p += strspn(p, " \t");
                hits++;
                hit = i;
                body = (size_t)(p - start);
        }
        if (hits != 1)
                return overlay_fail(t, "%s defines the macro %s %zu times, expected once", t->spec_name,
                        t->op->macro, hits);
        line = kiln_strdup(t->spec.lines[hit]);
        if (*line && line[strlen(line) - 1] == '\\')
                return overlay_fail(
                        t, "the macro %s has more than one line; use spec-search-replace", t->op->macro);
        line[body] = '\0';
        free(t->spec.lines[hit]);
        t->spec.lines[hit] = kiln_asprintf("%s%s", line, t->op->value);
        t->spec_changed = true;
        return 0;
}

static void section_remove(struct overlay_target *t, const struct spec_section *at)
{
        spec_text_remove(&t->spec, at->heading, section_text_end(&t->spec, at) - at->heading);
        t->spec_changed = true;
}

int overlay_spec_section_remove(struct overlay_target *t)
{
        struct spec_section at;
        int r = section_pick(t, t->op->section, &at);

        if (r < 0)
                return r;
        if (at.is_preamble)
                return overlay_fail(t, "the preamble cannot be removed");
        section_remove(t, &at);
        return 0;
}

int overlay_spec_subpackage_remove(struct overlay_target *t)
{
        size_t removed = 0;
        bool declared = false;

        if (!*t->op->package)
                return overlay_fail(t, "package is empty");
        for (size_t i = t->spec.n; i-- > 0;) {
                _cleanup_free_ char *name = NULL, *package = NULL;
                struct spec_section at = {.heading = i, .first = i + 1};

                if (!spec_heading_parse(&t->spec, i, &name, &package) ||
                        !spec_package_equal(&t->spec, package, t->op->package))
                        continue;
                for (at.end = at.first; at.end < t->spec.n; at.end++) {
                        _cleanup_free_ char *n = NULL, *p = NULL;

                        if (spec_heading_parse(&t->spec, at.end, &n, &p))
                                break;
                }
                declared |= strcmp(name, "%package") == 0;
                section_remove(t, &at);
                removed++;
        }
        if (!removed || !declared)
                return overlay_fail(t, "%s has no sub-package %s", t->spec_name, t->op->package);
        return 0;
}
