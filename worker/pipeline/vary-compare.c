/* What differs between the packages of two builds. Equal headers and payloads are equal packages; only those
 * that are not are looked into, by headers, without unpacking. */
#include "worker/base/mem.h"
#include "worker/pipeline/vary.h"
#include "worker/source/rpmlayout.h"
#include "worker/verify/compare/compare.h"

#include <rpm/rpmtag.h>
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

/* Whether b is a, but for what the build directory is called: KILN_BUILD_HOME in a, b_home in b. */
static bool same_but_home(const char *a, const char *b, const char *b_home)
{
        const size_t a_len = strlen(KILN_BUILD_HOME), b_len = strlen(b_home);

        while (*a || *b) {
                if (strncmp(a, KILN_BUILD_HOME, a_len) == 0 && strncmp(b, b_home, b_len) == 0) {
                        a += a_len;
                        b += b_len;
                } else if (*a++ != *b++) {
                        return false;
                }
        }
        return true;
}

/* The header tag that differs whenever the build directory does: rpm keeps the spec in the source package
 * with all macros expanded, %{buildroot} among them, and a digest of that package in the others. NULL: none,
 * also for a spec that has more than that different. */
static int path_tag(const struct kiln_built *a, const struct kiln_built *b, const char *b_home,
        const char **ret, struct kiln_error *err)
{
        _cleanup_layout_ struct kiln_rpm_layout a_layout = {0}, b_layout = {0};
        const char *a_spec, *b_spec;
        int r;

        *ret = !b_home || a->rpm->source ? NULL : "Sourcepkgid";
        if (!b_home || !a->rpm->source)
                return 0;
        r = kiln_rpm_layout_read(a->fd, a->name, &a_layout, err);
        if (r == 0)
                r = kiln_rpm_layout_read(b->fd, b->name, &b_layout, err);
        if (r < 0)
                return r;
        a_spec = kiln_rpm_value_string(
                a_layout.head + a_layout.header_offset, a_layout.header_bytes, RPMTAG_SPEC);
        b_spec = kiln_rpm_value_string(
                b_layout.head + b_layout.header_offset, b_layout.header_bytes, RPMTAG_SPEC);
        if (a_spec && b_spec && same_but_home(a_spec, b_spec, b_home))
                *ret = "Spec";
        return 0;
}

/* Files first: they are what a person looks for; their digests in the header only follow from them. aside: a
 * tag that is no difference; NULL: none. */
static void report_add(const struct kiln_compare_report *report, const struct kiln_built *package,
        const char *aside, struct vary_hits *hits)
{
        for (int files = 1; files >= 0; files--)
                for (size_t p = 0; p < report->n_pairs; p++)
                        for (size_t i = 0; i < report->pairs[p].n_differences; i++) {
                                const struct kiln_difference *d = &report->pairs[p].differences[i];
                                bool file = d->kind >= KILN_DIFFERENCE_FILE_MISSING &&
                                            d->kind <= KILN_DIFFERENCE_FILE_CONTENT;

                                if (aside && d->kind == KILN_DIFFERENCE_HEADER &&
                                        strcmp(d->subject, aside) == 0)
                                        continue;
                                if (d->kind != KILN_DIFFERENCE_SIGNATURE && file == (bool)files)
                                        vary_hits_add(hits, package->name, d->subject, d->aspect);
                        }
}

static int pair_compare(const struct kiln_context *c, const struct kiln_built *a, const struct kiln_built *b,
        const char *b_home, struct vary_hits *hits, struct kiln_error *err)
{
        static const struct kiln_compare_options options = {.ignore_signature = true, .shallow = true};
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *report = NULL;
        const char *aside;
        size_t before = hits->n;
        int r;

        bool same_payload = strcmp(a->rpm->payload_sha256, b->rpm->payload_sha256) == 0;

        if (same_payload && strcmp(a->rpm->header_sha256, b->rpm->header_sha256) == 0)
                return 0;
        r = path_tag(a, b, b_home, &aside, err);
        if (r == 0)
                r = kiln_compare_rpms(c, a->fd, a->name, b->fd, b->name, &options, &report, err);
        if (r < 0)
                return r;
        report_add(report, a, aside, hits);
        if (hits->n == before && !(same_payload && aside))
                vary_hits_add(hits, a->name, "payload", "");
        return 0;
}

/* Both are sorted by name (kiln_build_collect()). */
int vary_compare(const struct kiln_context *c, const struct kiln_built *a, size_t n_a,
        const struct kiln_built *b, size_t n_b, const char *b_home, struct vary_hits *hits,
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
                        r = pair_compare(c, &a[i], &b[k], b_home, hits, err);
                if (r < 0)
                        return r;
                i += order <= 0;
                k += order >= 0;
        }
        return 0;
}
