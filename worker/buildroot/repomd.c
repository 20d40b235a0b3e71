/* Parses repomd.xml (createrepo_c), metalinks (RFC 5854's forerunner, version 3.0, as MirrorManager writes
 * them) and mirror lists. Must never hand on a location that leaves the repository or a number that was not
 * checked. */
#include "worker/buildroot/repomd.h"

#include "worker/base/mem.h"
#include "worker/base/number.h"
#include "worker/buildroot/lock.h"
#include "worker/buildroot/xml.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define MIRRORS_MAX 1000
#define REPOMD_SUFFIX "/repodata/repomd.xml"

static int parse_error(struct kiln_error *err, const char *name, const char *why)
{
        kiln_error_set(err, KILN_INFRA, 0, "reading", name, "%s", why ? why : "it is no proper XML");
        kiln_error_advise(
                err, "The repository or its mirror is broken: try again later or use another mirror.");
        return -EBADMSG;
}

/* ---- repomd.xml */

struct repomd_parser {
        struct kiln_repomd out;
        struct kiln_repomd_file *file; /* inside <data type="…"> of a kind we want; else NULL */
        bool is_repomd, sha256, have_digest;
};

static void repomd_start(struct xml *x, const char *name, const char **attributes)
{
        struct repomd_parser *p = x->ctx;

        if (x->depth == 1) {
                p->is_repomd = strcmp(name, "repomd") == 0;
        } else if (x->depth == 2 && strcmp(name, "data") == 0) {
                const char *type = xml_attribute(attributes, "type");

                p->file = NULL;
                p->have_digest = false;
                if (type && strcmp(type, "primary") == 0)
                        p->file = &p->out.primary;
                else if (type && strcmp(type, "filelists") == 0)
                        p->file = &p->out.filelists;
                if (p->file && p->file->location)
                        xml_stop(x, "it names the same metadata twice");
        } else if (p->file && strcmp(name, "location") == 0) {
                const char *href = xml_attribute(attributes, "href");

                if (!href || !kiln_location_is_safe(href) || xml_attribute(attributes, "base"))
                        xml_stop(x, "a location is not a plain path below the repository");
                else if (!p->file->location)
                        p->file->location = kiln_strdup(href);
        } else if (p->file && strcmp(name, "checksum") == 0) {
                const char *type = xml_attribute(attributes, "type");

                p->sha256 = type && (strcmp(type, "sha256") == 0 || strcmp(type, "sha-256") == 0);
        }
}

static void repomd_end(struct xml *x, const char *name, const char *text)
{
        struct repomd_parser *p = x->ctx;

        if (!p->file)
                return;
        if (strcmp(name, "checksum") == 0) {
                if (!p->sha256)
                        xml_stop(x, "its metadata has no SHA-256 checksum");
                else if (kiln_digest_from_hex(text, &p->file->sha256) < 0)
                        xml_stop(x, "a checksum is not 64 hexadecimal digits");
                else
                        p->have_digest = true;
        } else if (strcmp(name, "size") == 0 || strcmp(name, "open-size") == 0) {
                if (kiln_number_parse(text, INT64_MAX,
                            *name == 's' ? &p->file->size_bytes : &p->file->open_size_bytes) < 0)
                        xml_stop(x, "a size is no number");
        } else if (x->depth == 1 && strcmp(name, "data") == 0) {
                if (!p->file->location || !p->have_digest)
                        xml_stop(x, "metadata without location or checksum");
                p->file = NULL;
        }
}

int kiln_repomd_parse(
        const char *xml, size_t len, const char *name, struct kiln_repomd *ret, struct kiln_error *err)
{
        struct repomd_parser p = {0};
        struct xml x = {.start = repomd_start, .end = repomd_end, .ctx = &p};
        const char *why = len > KILN_REPOMD_BYTES_MAX ? "it is too large" : NULL;

        xml_init(&x);
        if (!why && !xml_feed(&x, xml, len, true))
                why = x.bad;
        if (!why && !p.is_repomd)
                why = "it is no repomd.xml";
        if (!why && !p.out.primary.location)
                why = "it names no primary metadata";
        xml_clear(&x);
        if (why) {
                kiln_repomd_clear(&p.out);
                return parse_error(err, name, why);
        }
        *ret = p.out;
        return 0;
}

void kiln_repomd_clear(struct kiln_repomd *r)
{
        free(r->primary.location);
        free(r->filelists.location);
        *r = (struct kiln_repomd){0};
}

/* ---- metalink */

struct ranked_url {
        char *url;
        uint64_t preference; /* 100 is best */
        size_t order;
};

struct metalink_parser {
        struct kiln_metalink out;
        struct ranked_url *urls;
        size_t n_urls;
        uint64_t preference;
        bool is_metalink, in_repomd, sha256;
};

static bool url_is_fetchable(const char *url)
{
        return strncasecmp(url, "https://", 8) == 0 || strncasecmp(url, "http://", 7) == 0 ||
               strncasecmp(url, "file://", 7) == 0;
}

static void metalink_start(struct xml *x, const char *name, const char **attributes)
{
        struct metalink_parser *p = x->ctx;
        const char *value;

        if (x->depth == 1)
                p->is_metalink = strcmp(name, "metalink") == 0;
        else if (strcmp(name, "file") == 0) {
                value = xml_attribute(attributes, "name");
                p->in_repomd = value && strcmp(value, "repomd.xml") == 0;
        } else if (strcmp(name, "hash") == 0) {
                value = xml_attribute(attributes, "type");
                p->sha256 = value && strcmp(value, "sha256") == 0;
        } else if (strcmp(name, "url") == 0) {
                value = xml_attribute(attributes, "preference");
                if (!value || kiln_number_parse(value, 1000, &p->preference) < 0)
                        p->preference = 0;
        }
}

static void metalink_url(struct metalink_parser *p, const char *text)
{
        size_t n = strlen(text), suffix = strlen(REPOMD_SUFFIX);

        if (!url_is_fetchable(text) || n <= suffix || strcmp(text + n - suffix, REPOMD_SUFFIX) != 0 ||
                p->n_urls >= MIRRORS_MAX)
                return;
        struct ranked_url *u = KILN_APPEND(p->urls, p->n_urls);
        u->url = kiln_strndup(text, n - suffix);
        u->preference = p->preference;
        u->order = p->n_urls;
}

static void metalink_end(struct xml *x, const char *name, const char *text)
{
        struct metalink_parser *p = x->ctx;
        struct kiln_digest d;

        if (!p->in_repomd)
                return;
        if (strcmp(name, "file") == 0) {
                p->in_repomd = false;
        } else if (strcmp(name, "hash") == 0 && p->sha256) {
                if (kiln_digest_from_hex(text, &d) < 0)
                        xml_stop(x, "a hash is not 64 hexadecimal digits");
                else if (p->out.n_sha256 < MIRRORS_MAX)
                        *KILN_APPEND(p->out.sha256, p->out.n_sha256) = d;
        } else if (strcmp(name, "url") == 0) {
                metalink_url(p, text);
        }
}

static int compare_preference(const void *a, const void *b)
{
        const struct ranked_url *x = a, *y = b;

        if (x->preference != y->preference)
                return x->preference > y->preference ? -1 : 1;
        return (x->order > y->order) - (x->order < y->order);
}

int kiln_metalink_parse(
        const char *xml, size_t len, const char *name, struct kiln_metalink *ret, struct kiln_error *err)
{
        struct metalink_parser p = {0};
        struct xml x = {.start = metalink_start, .end = metalink_end, .ctx = &p};
        const char *why = len > KILN_METALINK_BYTES_MAX ? "it is too large" : NULL;

        xml_init(&x);
        if (!why && !xml_feed(&x, xml, len, true))
                why = x.bad;
        if (!why && !p.is_metalink)
                why = "it is no metalink";
        if (!why && p.out.n_sha256 == 0)
                why = "it has no SHA-256 of repomd.xml";
        if (!why && p.n_urls == 0)
                why = "it has no usable URL of repomd.xml";
        xml_clear(&x);
        if (p.n_urls > 0)
                qsort(p.urls, p.n_urls, sizeof(*p.urls), compare_preference);
        for (size_t i = 0; i < p.n_urls; i++) {
                kiln_strv_append(&p.out.base_urls, p.urls[i].url);
                free(p.urls[i].url);
        }
        free(p.urls);
        if (why) {
                kiln_metalink_clear(&p.out);
                return parse_error(err, name, why);
        }
        *ret = p.out;
        return 0;
}

void kiln_metalink_clear(struct kiln_metalink *m)
{
        kiln_strv_free(m->base_urls);
        free(m->sha256);
        *m = (struct kiln_metalink){0};
}

/* ---- mirror list */

char **kiln_mirrorlist_parse(const char *text, size_t len)
{
        char **urls = kiln_calloc(1, sizeof(*urls));
        size_t n = 0;

        while (len > 0 && n < MIRRORS_MAX) {
                const char *end = memchr(text, '\n', len);
                size_t line = end ? (size_t)(end - text) : len, used = end ? line + 1 : line;
                _cleanup_free_ char *url = NULL;

                while (line > 0 && strchr(" \t\r", text[line - 1]) && text[line - 1])
                        line--;
                while (line > 0 && text[line - 1] == '/')
                        line--;
                url = kiln_strndup(text, line);
                if (url_is_fetchable(url) && strlen(url) == line && !strpbrk(url, " \t\"'<>")) {
                        kiln_strv_append(&urls, url);
                        n++;
                }
                text += used;
                len -= used;
        }
        return urls;
}
