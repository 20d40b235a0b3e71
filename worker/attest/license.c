#include "worker/attest/license.h"

#include "worker/base/buf.h"
#include "worker/base/digest.h"
#include "worker/base/mem.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define TAG_MAX 4096 /* bytes; longer ones become a reference */
#define DEPTH_MAX 32 /* parentheses in each other */
#define SLUG_MAX 60

struct parser {
        const char *at;
        char token[256]; /* "" at the end; "(" and ")" are tokens */
        bool bad;
        unsigned depth;
        struct kiln_buf out;
        struct kiln_license *license;
};

void kiln_license_clear(struct kiln_license *l)
{
        free(l->expression);
        for (size_t i = 0; i < l->n_refs; i++) {
                free(l->refs[i].id);
                free(l->refs[i].text);
        }
        free(l->refs);
        *l = (struct kiln_license){0};
}

static void next(struct parser *p)
{
        size_t len;

        p->at += strspn(p->at, " \t\n");
        len = *p->at == '(' || *p->at == ')' ? 1 : strcspn(p->at, " \t\n()");
        if (len >= sizeof(p->token)) {
                p->bad = true;
                len = 0;
        }
        memcpy(p->token, p->at, len);
        p->token[len] = '\0';
        p->at += len;
}

static bool is(const struct parser *p, const char *word)
{
        return strcasecmp(p->token, word) == 0;
}

static int compare_case(const void *key, const void *element)
{
        return strcasecmp(key, *(const char *const *)element);
}

static const char *lookup(const char *const *table, size_t n, const char *id)
{
        const char *const *found = bsearch(id, table, n, sizeof(*table), compare_case);

        return found ? *found : NULL;
}

/* idstring = 1*(ALPHA / DIGIT / "-" / ".") */
static bool is_idstring(const char *s)
{
        return *s &&
               strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == strlen(s);
}

static void add_ref(struct kiln_license *l, const char *id, char *text)
{
        struct kiln_license_ref *ref;

        for (size_t i = 0; i < l->n_refs; i++)
                if (strcmp(l->refs[i].id, id) == 0) {
                        free(text);
                        return;
                }
        ref = KILN_APPEND(l->refs, l->n_refs);
        ref->id = kiln_strdup(id);
        ref->text = text;
}

/* simple-expression: an identifier of the list, perhaps with "+", or a reference. References to other
 * documents are not taken: there is no document they could mean. */
static void simple(struct parser *p)
{
        size_t len = strlen(p->token);
        const char *id;
        bool later = len > 1 && p->token[len - 1] == '+';

        if (strncmp(p->token, "LicenseRef-", 11) == 0 && is_idstring(p->token + 11)) {
                kiln_buf_puts(&p->out, p->token);
                add_ref(p->license, p->token,
                        kiln_asprintf(
                                "The package's License tag names %s; its text is in the package.", p->token));
                next(p);
                return;
        }
        id = lookup(kiln_license_ids, kiln_license_n_ids, p->token); /* "GPL-2.0+" is itself in the list */
        if (!id && later) {
                p->token[len - 1] = '\0';
                id = lookup(kiln_license_ids, kiln_license_n_ids, p->token);
        } else {
                later = false;
        }
        if (!id) {
                p->bad = true;
                return;
        }
        kiln_buf_printf(&p->out, "%s%s", id, later ? "+" : "");
        next(p);
        if (is(p, "WITH")) {
                next(p);
                id = lookup(kiln_license_exceptions, kiln_license_n_exceptions, p->token);
                if (!id) {
                        p->bad = true;
                        return;
                }
                kiln_buf_printf(&p->out, " WITH %s", id);
                next(p);
        }
}

static void expression(struct parser *p);

static void factor(struct parser *p)
{
        if (!is(p, "(")) {
                simple(p);
                return;
        }
        if (++p->depth > DEPTH_MAX) {
                p->bad = true;
                return;
        }
        kiln_buf_putc(&p->out, '(');
        next(p);
        expression(p);
        if (!is(p, ")"))
                p->bad = true;
        kiln_buf_putc(&p->out, ')');
        next(p);
        p->depth--;
}

/* AND binds closer than OR, but here the order is only copied. */
static void expression(struct parser *p)
{
        factor(p);
        while (!p->bad && (is(p, "AND") || is(p, "OR"))) {
                kiln_buf_puts(&p->out, is(p, "AND") ? " AND " : " OR ");
                next(p);
                factor(p);
        }
}

/* "GPLv2+ and BSD" -> "LicenseRef-GPLv2-and-BSD-1a2b3c4d": what cannot be in an id becomes "-", and then the
 * tag's digest keeps different tags apart. */
static char *legacy_id(const char *tag)
{
        struct kiln_buf b = KILN_BUF_INIT;
        bool changed = strlen(tag) > SLUG_MAX;

        kiln_buf_puts(&b, "LicenseRef-");
        for (size_t i = 0; tag[i] && i < SLUG_MAX; i++) {
                char one[2] = {tag[i], '\0'};
                bool fine = is_idstring(one);

                changed = changed || !fine;
                if (fine)
                        kiln_buf_putc(&b, tag[i]);
                else if (b.data[b.len - 1] != '-')
                        kiln_buf_putc(&b, '-');
        }
        if (changed) {
                struct kiln_digest d = kiln_digest_of(tag, strlen(tag));
                char hex[KILN_DIGEST_HEX + 1];

                kiln_digest_to_hex(&d, hex);
                kiln_buf_printf(&b, "%s%.8s", b.data[b.len - 1] == '-' ? "" : "-", hex);
        }
        return kiln_buf_take(&b);
}

void kiln_license_parse(const char *tag, struct kiln_license *ret)
{
        struct kiln_license l = {0};
        struct parser p = {.at = tag, .license = &l};

        *ret = l;
        if (!tag || tag[strspn(tag, " \t\n")] == '\0')
                return;
        if (strlen(tag) <= TAG_MAX) {
                next(&p);
                expression(&p);
                if (!p.bad && p.token[0] == '\0' && *p.at == '\0') {
                        l.expression = kiln_buf_take(&p.out);
                        *ret = l;
                        return;
                }
        }
        kiln_buf_clear(&p.out);
        kiln_license_clear(&l);
        l.expression = legacy_id(tag);
        add_ref(&l, l.expression, kiln_strdup(tag));
        *ret = l;
}
