/* The rebuild beside what was attested: by digest first, then, where they differ, down to tags and files. */
#include "worker/base/mem.h"
#include "worker/pipeline/reproduce-part.h"
#include "worker/verify/compare/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define DOING "comparing"

static const char *const sbom_names[SBOMS] = {[SBOM_SPDX] = "spdx.json", [SBOM_CYCLONEDX] = "cdx.json"};

static void append_once(char ***list, const char *s)
{
        if (!*list)
                *list = kiln_calloc(1, sizeof(char *));
        if (!kiln_strv_contains(*list, s))
                kiln_strv_append(list, s);
}

/* ---- what differs -------------------------------------------------------------------------------- */

static void take_difference(struct kiln_reproduced_package *p, const struct kiln_difference *d)
{
        _cleanup_free_ char *payload = NULL;

        switch (d->kind) {
        case KILN_DIFFERENCE_HEADER:
                append_once(&p->tags, d->subject);
                break;
        case KILN_DIFFERENCE_PAYLOAD:
                payload = kiln_asprintf("payload: %s", d->subject);
                append_once(&p->tags, payload);
                break;
        case KILN_DIFFERENCE_FILE_MISSING:
        case KILN_DIFFERENCE_FILE_META:
        case KILN_DIFFERENCE_FILE_CONTENT:
                append_once(&p->files, d->subject);
                break;
        case KILN_DIFFERENCE_PACKAGE:
        case KILN_DIFFERENCE_SIGNATURE:
        case KILN_DIFFERENCE_DOCUMENT:
                break;
        }
}

static int explain(const struct kiln_context *c, struct kiln_reproduced_package *p, int original, int rebuild,
        struct kiln_error *err)
{
        static const struct kiln_compare_options options = {.ignore_signature = true};
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *report = NULL;
        int r = kiln_compare_rpms(c, original, p->name, rebuild, p->name, &options, &report, err);

        for (size_t i = 0; r == 0 && i < report->n_pairs; i++)
                for (size_t k = 0; k < report->pairs[i].n_differences; k++)
                        take_difference(p, &report->pairs[i].differences[k]);
        return r;
}

static int graft(const struct kiln_context *c, const struct kiln_keyring *keyring,
        struct kiln_reproduced_package *p, int original, int rebuild, struct kiln_error *err)
{
        _cleanup_close_ int out = kiln_graft_aside(c, err);
        int r = out < 0 ? out : kiln_graft(original, p->name, rebuild, p->name, keyring, out, &p->graft, err);

        p->grafted = r == 0;
        return r;
}

/* ---- packages ------------------------------------------------------------------------------------ */

struct comparison {
        const struct kiln_context *c;
        const struct kiln_reproduce *q;
        struct attested *theirs, *ours;
        const struct kiln_verify_keys *our_keys;
        struct kiln_bom *their_bom, *our_bom; /* read when an original is not at hand */
};

static void comparison_clear(struct comparison *k)
{
        kiln_bom_free(k->their_bom);
        kiln_bom_free(k->our_bom);
}

static const struct kiln_bom_package *bom_package(const struct kiln_bom *b, const char *name)
{
        for (size_t i = 0; b && i < b->n_packages; i++)
                if (strcmp(b->packages[i].file_name, name) == 0)
                        return &b->packages[i];
        return NULL;
}

/* The files that the SBOMs name, both lists sorted: without the original. Listed are as many as a comparison
 * of packages would keep. */
static void explain_by_sbom(struct comparison *k, struct kiln_reproduced_package *p)
{
        const struct kiln_bom_package *a, *b;
        size_t i = 0, j = 0, differing = 0;

        if (!k->their_bom)
                k->their_bom = attested_bom(k->theirs, k->q->keys);
        if (!k->our_bom)
                k->our_bom = attested_bom(k->ours, k->our_keys);
        a = bom_package(k->their_bom, p->name);
        b = bom_package(k->our_bom, p->name);
        while (a && b && (i < a->n_files || j < b->n_files)) {
                int order = i == a->n_files   ? 1
                            : j == b->n_files ? -1
                                              : strcmp(a->files[i].path, b->files[j].path);
                const char *path = order > 0 ? b->files[j].path : a->files[i].path;
                _cleanup_free_ char *absolute = kiln_asprintf("/%s", path);

                if ((order != 0 || strcmp(a->files[i].sha256, b->files[j].sha256) != 0) &&
                        ++differing <= KILN_COMPARE_DIFFERENCES_MAX)
                        append_once(&p->files, absolute);
                i += order <= 0;
                j += order >= 0;
        }
        if (differing > KILN_COMPARE_DIFFERENCES_MAX)
                kiln_sink_warning(&k->c->sink, "%s: %zu more files differ than are listed", p->name,
                        differing - KILN_COMPARE_DIFFERENCES_MAX);
}

/* Digests say already that it differs. Whoever made the original could see to it that no more can be found
 * out, which must not keep that from being said under a signature. */
static int go_on(const struct comparison *k, const struct kiln_reproduced_package *p, const char *what,
        struct kiln_error *why, struct kiln_error *err)
{
        if (why->verdict == KILN_CANCELLED) {
                *err = *why;
                *why = (struct kiln_error)KILN_ERROR_INIT;
                return -ECANCELED;
        }
        kiln_sink_warning(&k->c->sink, "%s differs, and %s: %s", p->name, what, why->cause);
        kiln_error_clear(why);
        return 0;
}

static int explain_difference(struct comparison *k, const struct original *o,
        struct kiln_reproduced_package *p, int rebuild, struct kiln_error *err)
{
        _cleanup_error_ struct kiln_error why = KILN_ERROR_INIT;
        int r;

        if (p->at_hand && o->signature != KILN_RPM_UNSIGNED &&
                graft(k->c, k->q->keyring, p, o->fd, rebuild, &why) < 0) {
                r = go_on(k, p, "the original's signature cannot be tried on it", &why, err);
                if (r < 0)
                        return r;
        }
        if (p->at_hand) {
                if (explain(k->c, p, o->fd, rebuild, &why) == 0)
                        return 0;
                r = go_on(k, p, "what differs can be told by the SBOMs only", &why, err);
                if (r < 0)
                        return r;
        }
        explain_by_sbom(k, p);
        return 0;
}

static bool same_digest(
        const struct kiln_envelope_subject *a, const struct kiln_envelope_subject *b, unsigned form)
{
        return a->have & b->have & form && kiln_envelope_subject_matches(a, &b->digests, ~form);
}

static int compare_package(struct comparison *k, const struct kiln_envelope_subject *s,
        const struct original *o, struct kiln_reproduced_package *p, struct kiln_error *err)
{
        const struct kiln_envelope_subject *mine = kiln_envelope_subject_find(k->ours->provenance, s->name);
        _cleanup_close_ int rebuild = -1;

        p->name = kiln_strdup(s->name);
        p->at_hand = o->fd >= 0;
        p->rebuilt = mine != NULL;
        if (!mine)
                return 0;
        p->same_header = same_digest(s, mine, KILN_DIGEST_HEADER);
        p->same_payload = same_digest(s, mine, KILN_DIGEST_PAYLOAD);
        rebuild = openat(k->ours->dir_fd, s->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (rebuild < 0)
                return kiln_error_set(err, KILN_INFRA, errno, DOING, s->name, "cannot open the rebuild");
        if (!p->same_header || !p->same_payload)
                return explain_difference(k, o, p, rebuild, err);
        return p->at_hand && o->signature != KILN_RPM_UNSIGNED
                       ? graft(k->c, k->q->keyring, p, o->fd, rebuild, err)
                       : 0;
}

/* ---- documents ----------------------------------------------------------------------------------- */

static void compare_documents(
        const struct attested *theirs, const struct attested *ours, struct kiln_reproduction *ret)
{
        if (!json_equal(json_object_get(theirs->provenance->predicate, "buildDefinition"),
                    json_object_get(ours->provenance->predicate, "buildDefinition")))
                append_once(&ret->others, "buildDefinition");
        for (size_t i = 0; i < SBOMS; i++)
                if (!kiln_digest_equal(&theirs->sbom[i], &ours->sbom[i]))
                        append_once(&ret->others, sbom_names[i]);
        for (size_t i = 0; i < ours->provenance->n_subjects; i++) {
                const char *name = ours->provenance->subjects[i].name;
                _cleanup_free_ char *what = kiln_asprintf("extra package %s", name);

                if (!kiln_envelope_subject_find(theirs->provenance, name))
                        append_once(&ret->others, what);
        }
}

int reproduction_compare(const struct kiln_context *c, const struct kiln_reproduce *q,
        struct attested *theirs, const struct original *originals, struct attested *ours,
        const struct kiln_verify_keys *our_keys, struct kiln_reproduction *ret, struct kiln_error *err)
{
        _cleanup_(comparison_clear) struct comparison k = {
                .c = c, .q = q, .theirs = theirs, .ours = ours, .our_keys = our_keys};
        const struct kiln_envelope *e = theirs->provenance;
        int r = 0;

        ret->reproduced = true;
        for (size_t i = 0; r == 0 && i < e->n_subjects; i++) {
                struct kiln_reproduced_package *p = KILN_APPEND(ret->packages, ret->n_packages);

                kiln_sink_progress(&c->sink, "compare", e->subjects[i].name, i, e->n_subjects);
                r = kiln_context_check(c, DOING, err);
                if (r == 0)
                        r = compare_package(&k, &e->subjects[i], &originals[i], p, err);
                ret->reproduced = ret->reproduced && p->rebuilt && p->same_header && p->same_payload;
        }
        compare_documents(theirs, ours, ret);
        ret->reproduced = ret->reproduced && !ret->others;
        return r;
}
