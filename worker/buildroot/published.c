/* primary.xml (createrepo_c), without a solver. Must never hand on a name or a location that leaves a
 * directory. */
#include "worker/buildroot/published.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/base/number.h"
#include "worker/buildroot/lock.h"
#include "worker/buildroot/solvcache.h"
#include "worker/buildroot/xml.h"

#include <errno.h>
#include <string.h>

struct parser {
        struct kiln_published *out;
        struct kiln_published_package now; /* between <package> and </package> */
        char *version, *release;
        bool is_primary, in_package, sha256, have_digest;
};

static void package_clear(struct kiln_published_package *p)
{
        free(p->file_name);
        free(p->name);
        free(p->arch);
        free(p->source_rpm);
        free(p->location);
        *p = (struct kiln_published_package){0};
}

void kiln_published_free(struct kiln_published *p)
{
        if (!p)
                return;
        for (size_t i = 0; i < p->n_packages; i++)
                package_clear(&p->packages[i]);
        free(p->packages);
        kiln_strv_free(p->mirrors);
        free(p);
}

static void parser_reset(struct parser *p)
{
        package_clear(&p->now);
        free(p->version);
        free(p->release);
        p->version = p->release = NULL;
        p->in_package = p->have_digest = false;
}

/* The first one counts; a second one is a lie to one of two readers. */
static void take(struct xml *x, char **into, const char *text)
{
        if (*into)
                xml_stop(x, "a package has something twice");
        else if (!text)
                xml_stop(x, "an attribute is missing");
        else
                *into = kiln_strdup(text);
}

static void on_start(struct xml *x, const char *name, const char **attributes)
{
        struct parser *p = x->ctx;
        const char *value;

        if (x->depth == 1) {
                p->is_primary = strcmp(name, "metadata") == 0;
        } else if (x->depth == 2) {
                value = xml_attribute(attributes, "type");
                parser_reset(p);
                p->in_package = strcmp(name, "package") == 0 && value && strcmp(value, "rpm") == 0;
        } else if (!p->in_package || x->depth != 3) {
                return;
        } else if (strcmp(name, "version") == 0) {
                take(x, &p->version, xml_attribute(attributes, "ver"));
                take(x, &p->release, xml_attribute(attributes, "rel"));
        } else if (strcmp(name, "checksum") == 0) {
                value = xml_attribute(attributes, "type");
                p->sha256 = value && (strcmp(value, "sha256") == 0 || strcmp(value, "sha-256") == 0);
        } else if (strcmp(name, "size") == 0) {
                value = xml_attribute(attributes, "package");
                if (!value || kiln_number_parse(value, INT64_MAX, &p->now.size_bytes) < 0)
                        xml_stop(x, "a package's size is no number");
        } else if (strcmp(name, "location") == 0) {
                value = xml_attribute(attributes, "href");
                if (!value || !kiln_location_is_safe(value) || xml_attribute(attributes, "base"))
                        xml_stop(x, "a location is not a plain path below the repository");
                else
                        take(x, &p->now.location, value);
        }
}

static bool is_file_name(const char *s)
{
        return *s != '.' && !strchr(s, '/') && kiln_location_is_safe(s);
}

static void package_end(struct xml *x, struct parser *p)
{
        struct kiln_published_package *now = &p->now;

        if (!now->name || !now->arch || !p->version || !p->release || !now->location || !p->have_digest) {
                xml_stop(x, "a package without name, version, arch, location or SHA-256 checksum");
                return;
        }
        now->source = strcmp(now->arch, "src") == 0 || strcmp(now->arch, "nosrc") == 0;
        if (!now->source_rpm)
                now->source_rpm = kiln_strdup("");
        now->file_name = kiln_asprintf("%s-%s-%s.%s.rpm", now->name, p->version, p->release, now->arch);
        if (!is_file_name(now->file_name) || (*now->source_rpm && !is_file_name(now->source_rpm)))
                xml_stop(x, "a package's name is no file name");
        else if (p->out->n_packages >= KILN_PUBLISHED_MAX)
                xml_stop(x, "there are too many packages");
        if (x->bad)
                return;
        *KILN_APPEND(p->out->packages, p->out->n_packages) = *now;
        *now = (struct kiln_published_package){0};
}

static void on_end(struct xml *x, const char *name, const char *text)
{
        struct parser *p = x->ctx;

        if (!p->in_package)
                return;
        if (x->depth == 1) {
                package_end(x, p);
                parser_reset(p);
        } else if (x->depth == 3 && strcmp(name, "sourcerpm") == 0) {
                take(x, &p->now.source_rpm, text);
        } else if (x->depth != 2) {
                return;
        } else if (strcmp(name, "name") == 0) {
                take(x, &p->now.name, text);
        } else if (strcmp(name, "arch") == 0) {
                take(x, &p->now.arch, text);
        } else if (strcmp(name, "checksum") == 0) {
                if (!p->sha256 || p->have_digest || kiln_digest_from_hex(text, &p->now.sha256) < 0)
                        xml_stop(x, "a package's checksum is not one SHA-256");
                p->have_digest = true;
        }
}

static int compare_packages(const void *a, const void *b)
{
        const struct kiln_published_package *x = a, *y = b;
        int order = strcmp(x->file_name, y->file_name);

        return order ? order : strcmp(x->location, y->location);
}

static void sort(struct kiln_published *p)
{
        size_t kept = 0;

        if (p->n_packages)
                qsort(p->packages, p->n_packages, sizeof(*p->packages), compare_packages);
        for (size_t i = 0; i < p->n_packages; i++) {
                if (kept && strcmp(p->packages[kept - 1].file_name, p->packages[i].file_name) == 0)
                        package_clear(&p->packages[i]);
                else
                        p->packages[kept++] = p->packages[i];
        }
        p->n_packages = kept;
}

int kiln_published_parse(FILE *in, const char *name, struct kiln_published **ret, struct kiln_error *err)
{
        _cleanup_(kiln_published_freep) struct kiln_published *out = kiln_calloc(1, sizeof(*out));
        struct parser p = {.out = out};
        struct xml x = {.start = on_start, .end = on_end, .ctx = &p};
        const char *bad;

        xml_init(&x);
        bad = xml_read(&x, in);
        if (!bad && !p.is_primary)
                bad = "it is no primary metadata";
        xml_clear(&x);
        parser_reset(&p);
        if (bad) {
                kiln_error_set(err, KILN_INFRA, 0, "reading the primary metadata of", name, "%s", bad);
                return -EBADMSG;
        }
        sort(out);
        *ret = TAKE_PTR(out);
        return 0;
}

const struct kiln_published_package *kiln_published_find(
        const struct kiln_published *p, const char *file_name)
{
        size_t low = 0, high = p->n_packages;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = strcmp(file_name, p->packages[middle].file_name);

                if (order == 0)
                        return &p->packages[middle];
                if (order < 0)
                        high = middle;
                else
                        low = middle + 1;
        }
        return NULL;
}

int kiln_published_open(const struct kiln_context *c, struct kiln_store *s, const char *url, const char *key,
        struct kiln_published **ret, struct kiln_error *err)
{
        _cleanup_(kiln_published_freep) struct kiln_published *out = NULL;
        _cleanup_(metadata_clear) struct metadata m = {0};
        char *urls[] = {(char *)url, NULL};
        size_t first_key = 0;
        struct kiln_key keys[] = {{.name = (char *)"the repository's key", .armor = (char *)key}};
        struct kiln_repository repository = {.id = (char *)url,
                .base_urls = urls,
                .keys = &first_key,
                .n_keys = key != NULL,
                .check_repomd = key != NULL};
        struct kiln_toolchain definition = {.keys = keys, .n_keys = key != NULL};
        _cleanup_close_ int fd = -1;
        FILE *in = NULL;
        int r = metadata_open(c, s, &definition, &repository, &m, err);

        if (r == 0)
                r = metadata_fetch(&m, s, &m.repomd.primary, "primary", &fd, err);
        if (r == 0)
                r = solvcache_open_bounded(fd, kiln_path_base(m.repomd.primary.location),
                        m.repomd.primary.open_size_bytes, &in, url, err);
        if (r < 0)
                return r;
        r = kiln_published_parse(in, url, &out, err);
        fclose(in);
        if (r < 0)
                return r;
        out->mirrors = TAKE_PTR(m.mirrors);
        *ret = TAKE_PTR(out);
        return 0;
}
