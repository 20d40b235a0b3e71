#include "worker/attest/sbom.h"

#include "worker/attest/purl.h"
#include "worker/base/clock.h"
#include "worker/base/mem.h"
#include "worker/base/number.h"
#include "worker/base/text.h"

#include <string.h>

static void package_fill(
        struct kiln_sbom_package *p, const char *vendor, const struct kiln_attest_package *from)
{
        const struct kiln_rpm *r = from->rpm;

        p->rpm = r;
        p->scan = from->scan;
        p->version = r->has_epoch ? kiln_asprintf("%u:%s-%s", r->epoch, r->version, r->release)
                                  : kiln_asprintf("%s-%s", r->version, r->release);
        p->purl =
                kiln_purl_rpm(vendor, r->name, r->has_epoch ? r->epoch : 0, r->version, r->release, r->arch);
        p->file_name = kiln_asprintf("%s.%s.rpm", r->nvr, r->arch);
        kiln_license_parse(r->license, &p->license);
}

static void package_clear(struct kiln_sbom_package *p)
{
        free(p->version);
        free(p->purl);
        free(p->file_name);
        kiln_license_clear(&p->license);
}

char *kiln_sbom_locked_url(const struct kiln_lock *lock, const struct kiln_locked_package *p)
{
        for (size_t i = 0; i < lock->n_repositories; i++) {
                const char *base = lock->repositories[i].base_url;

                if (strcmp(lock->repositories[i].id, p->repository) != 0)
                        continue;
                if (strncmp(base, "https://", 8) != 0 && strncmp(base, "http://", 7) != 0)
                        return NULL;
                return kiln_asprintf("%s%s%s", base, base[strlen(base) - 1] == '/' ? "" : "/", p->location);
        }
        return NULL;
}

static void dependency_fill(struct kiln_sbom_dependency *d, const char *vendor, const struct kiln_lock *lock,
        const struct kiln_locked_package *p)
{
        uint64_t epoch = 0;

        if (kiln_number_parse(p->epoch, UINT32_MAX, &epoch) < 0)
                epoch = 0;
        d->locked = p;
        d->version = epoch ? kiln_asprintf("%" PRIu64 ":%s-%s", epoch, p->version, p->release)
                           : kiln_asprintf("%s-%s", p->version, p->release);
        d->purl = kiln_purl_rpm(vendor, p->name, (uint32_t)epoch, p->version, p->release, p->arch);
        d->url = kiln_sbom_locked_url(lock, p);
        kiln_license_parse(p->license, &d->license);
}

static int compare_packages(const void *a, const void *b)
{
        const struct kiln_sbom_package *x = a, *y = b;

        return strcmp(x->file_name, y->file_name);
}

struct kiln_sbom *kiln_sbom_new(const struct kiln_attest_input *in)
{
        struct kiln_sbom *s = kiln_calloc(1, sizeof(*s));

        s->name = in->nvr;
        s->vendor = in->vendor;
        s->build_digest = in->build_digest;
        kiln_clock_format(in->source_date_epoch_s, s->created);
        for (size_t i = 0; i < in->n_packages; i++) {
                const struct kiln_attest_package *p = &in->packages[i];

                package_fill(
                        p->rpm->source ? &s->source : KILN_APPEND(s->packages, s->n_packages), in->vendor, p);
        }
        s->source.opened = in->opened_sources;
        if (s->n_packages)
                qsort(s->packages, s->n_packages, sizeof(*s->packages), compare_packages);
        for (size_t i = 0; i < in->lock->n_packages; i++) {
                struct kiln_sbom_dependency *d = KILN_APPEND(s->dependencies, s->n_dependencies);

                dependency_fill(d, in->vendor, in->lock, &in->lock->packages[i]);
                if (in->opened)
                        d->use = in->opened[i] ? KILN_SBOM_OPENED : KILN_SBOM_UNOPENED;
        }
        return s;
}

void kiln_sbom_free(struct kiln_sbom *s)
{
        if (!s)
                return;
        package_clear(&s->source);
        for (size_t i = 0; i < s->n_packages; i++)
                package_clear(&s->packages[i]);
        for (size_t i = 0; i < s->n_dependencies; i++) {
                free(s->dependencies[i].version);
                free(s->dependencies[i].purl);
                free(s->dependencies[i].url);
                kiln_license_clear(&s->dependencies[i].license);
        }
        free(s->packages);
        free(s->dependencies);
        free(s);
}

json_t *kiln_sbom_text(const char *s)
{
        _cleanup_buf_ struct kiln_buf clean = KILN_BUF_INIT;
        json_t *j = json_string(s ? s : "");

        if (j)
                return j;
        kiln_text_clean(&clean, s, strlen(s), 0);
        return json_string(kiln_buf_str(&clean));
}

bool kiln_sbom_is_patch(const struct kiln_rpm *source, const char *file)
{
        return kiln_strv_contains(source->patches, file);
}

enum kiln_sbom_use kiln_sbom_source_use(const struct kiln_sbom_package *source, const char *file)
{
        if (!source->opened ||
                !(kiln_sbom_is_patch(source->rpm, file) || kiln_strv_contains(source->rpm->sources, file)))
                return KILN_SBOM_UNKNOWN;
        return kiln_strv_contains(source->opened, file) ? KILN_SBOM_OPENED : KILN_SBOM_UNOPENED;
}
