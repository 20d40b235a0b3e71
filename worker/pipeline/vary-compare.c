/* What differs between the packages of two builds. Equal headers and payloads are equal packages; only those
 * that are not are looked into, by headers, without unpacking. */
#include "worker/base/mem.h"
#include "worker/pipeline/vary.h"
#include "worker/verify/compare/compare.h"

#include <string.h>

void vary_hits_clear(struct vary_hits *h)
{
        for (size_t i = 0; i < h->n; i++) {
                free(h->list[i].package);
                free(h->list[i].subject);
                free(h->list[i].aspect);
        }
        free(h->list);
        *h = (struct vary_hits){0};
}

void vary_hits_add(struct vary_hits *hits, const char *package, const char *subject, const char *aspect)
{
        if (hits->n >= VARY_HITS_MAX)
                return;
        *KILN_APPEND(hits->list, hits->n) =
                (struct vary_hit){kiln_strdup(package), kiln_strdup(subject), kiln_strdup(aspect)};
}

bool vary_hits_have(const struct vary_hits *hits, const struct vary_hit *hit)
{
        for (size_t i = 0; i < hits->n; i++)
                if (strcmp(hits->list[i].package, hit->package) == 0 &&
                        strcmp(hits->list[i].subject, hit->subject) == 0)
                        return true;
        return false;
}

/* rpm keeps the spec in the source package with all macros expanded, %{buildroot} among them, and a digest of
 * that package in the others. */
static bool follows_from_path(const struct kiln_built *a, const struct kiln_difference *d)
{
        return d->kind == KILN_DIFFERENCE_HEADER &&
               strcmp(d->subject, a->rpm->source ? "Spec" : "Sourcepkgid") == 0;
}

/* Files first: they are what a person looks for; their digests in the header only follow from them. */
static void report_add(const struct kiln_compare_report *report, const struct kiln_built *package,
        bool other_path, struct vary_hits *hits)
{
        for (int files = 1; files >= 0; files--)
                for (size_t p = 0; p < report->n_pairs; p++)
                        for (size_t i = 0; i < report->pairs[p].n_differences; i++) {
                                const struct kiln_difference *d = &report->pairs[p].differences[i];
                                bool file = d->kind >= KILN_DIFFERENCE_FILE_MISSING &&
                                            d->kind <= KILN_DIFFERENCE_FILE_CONTENT;

                                if (other_path && follows_from_path(package, d))
                                        continue;
                                if (d->kind != KILN_DIFFERENCE_SIGNATURE && file == (bool)files)
                                        vary_hits_add(hits, package->name, d->subject, d->aspect);
                        }
}

static int pair_compare(const struct kiln_context *c, const struct kiln_built *a, const struct kiln_built *b,
        bool other_path, struct vary_hits *hits, struct kiln_error *err)
{
        static const struct kiln_compare_options options = {.ignore_signature = true, .shallow = true};
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *report = NULL;
        size_t before = hits->n;
        int r;

        bool same_payload = strcmp(a->rpm->payload_sha256, b->rpm->payload_sha256) == 0;

        if (same_payload && strcmp(a->rpm->header_sha256, b->rpm->header_sha256) == 0)
                return 0;
        r = kiln_compare_rpms(c, a->fd, a->name, b->fd, b->name, &options, &report, err);
        if (r < 0)
                return r;
        report_add(report, a, other_path, hits);
        if (hits->n == before && !(same_payload && other_path))
                vary_hits_add(hits, a->name, "payload", "");
        return 0;
}

/* Both are sorted by name (kiln_build_collect()). */
int vary_compare(const struct kiln_context *c, const struct kiln_built *a, size_t n_a,
        const struct kiln_built *b, size_t n_b, bool other_path, struct vary_hits *hits,
        struct kiln_error *err)
{
        size_t i = 0, k = 0;

        while (i < n_a || k < n_b) {
                int order = i == n_a ? 1 : k == n_b ? -1 : strcmp(a[i].name, b[k].name), r = 0;

                if (order < 0)
                        vary_hits_add(hits, a[i].name, "the package", "missing");
                else if (order > 0)
                        vary_hits_add(hits, b[k].name, "the package", "additional");
                else
                        r = pair_compare(c, &a[i], &b[k], other_path, hits, err);
                if (r < 0)
                        return r;
                i += order <= 0;
                k += order >= 0;
        }
        return 0;
}
