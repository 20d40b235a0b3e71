/* The inputs of a rebuild, all by digest: what the store has, what a mirror has, and what nobody has. */
#include "worker/base/mem.h"
#include "worker/pipeline/reproduce-part.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define DOING "looking for the inputs of"
#define LISTED_MAX 20 /* missing inputs that an error names; it says how many more there are */

struct input {
        const char *name, *kind;
        struct kiln_digest sha256;
        uint64_t size_bytes;     /* 0: not known */
        const char *below;       /* path below a mirror */
        const char *const *urls; /* where the provenance says it is; n_urls of them */
        size_t n_urls;
        const struct kiln_repository *repository; /* of packages, by the definition */
};

struct needs {
        struct kiln_store *store;
        struct input *list;
        size_t n;
};

static void needs_clear(struct needs *in)
{
        free(in->list);
}

static bool is_local(const char *url)
{
        return strncmp(url, "file://", 7) == 0;
}

static bool in_store(const struct needs *in, const struct kiln_digest *d)
{
        _cleanup_close_ int fd = -1;

        return kiln_store_find(in->store, d, &fd) == 0;
}

static void add(struct needs *in, struct input one)
{
        if (!in_store(in, &one.sha256))
                *KILN_APPEND(in->list, in->n) = one;
}

static const struct kiln_repository *repository_of(const struct kiln_toolchain *t, const char *id)
{
        for (size_t i = 0; i < t->n_repositories; i++)
                if (strcmp(t->repositories[i].id, id) == 0)
                        return &t->repositories[i];
        return NULL;
}

/* What the store does not have. */
static int list_absent(struct needs *in, const struct kiln_claims *claims, const struct kiln_toolchain *t,
        struct kiln_error *err)
{
        const Kiln__V1__Build *b = claims->build;
        struct input one = {.name = b->source->name,
                .kind = "source package",
                .below = b->source->name,
                .urls = (const char *const *)b->source->urls,
                .n_urls = b->source->n_urls};

        if (kiln_digest_from_hex(b->source->sha256, &one.sha256) < 0)
                return kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, b->source->name, "its digest is none");
        add(in, one);
        for (size_t i = 0; i < b->n_overlays; i++) {
                const Kiln__V1__Overlay *o = b->overlays[i];

                if (o->content_case != KILN__V1__OVERLAY__CONTENT_URL)
                        continue;
                one = (struct input){.name = o->name,
                        .kind = "overlay",
                        .below = o->name,
                        .urls = (const char *const *)&o->url,
                        .n_urls = 1};
                if (kiln_digest_from_hex(o->sha256, &one.sha256) < 0)
                        return kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, o->name, "its digest is none");
                add(in, one);
        }
        for (size_t i = 0; i < claims->lock->n_packages; i++) {
                const struct kiln_locked_package *p = &claims->lock->packages[i];

                add(in, (struct input){.name = p->nevra,
                                .kind = "package",
                                .sha256 = p->sha256,
                                .size_bytes = p->size_bytes,
                                .below = p->location,
                                .repository = repository_of(t, p->repository)});
        }
        return 0;
}

/* ---- bringing them ------------------------------------------------------------------------------- */

static int add_source(
        const char *path, const struct needs *in, const struct kiln_claims *claims, struct kiln_error *err)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        struct kiln_digest wanted, got;
        int r;

        if (fd < 0)
                return kiln_error_set(err, KILN_BAD_INPUT, errno, "opening", path, "source package");
        if (kiln_digest_from_hex(claims->build->source->sha256, &wanted) < 0)
                return kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, path, "the provenance's digest is none");
        r = kiln_store_add(in->store, fd, path, &wanted, &got, err);
        if (r < 0 && err->verdict == KILN_BAD_INPUT)
                kiln_error_advise(err,
                        "The provenance is about another file, %s. The source package of a result directory "
                        "is "
                        "the rebuilt one, not the one that was given.",
                        claims->build->source->name);
        return r;
}

/* What no mirror has is not an error yet: the pipeline asks the named places. */
static void fetch_from_mirrors(const struct kiln_context *c, struct needs *in, char *const *mirrors)
{
        _cleanup_free_ struct kiln_fetch *what = kiln_calloc(in->n, sizeof(*what));
        _cleanup_free_ char ***urls = kiln_calloc(in->n, sizeof(*urls));
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        for (size_t i = 0; i < in->n; i++) {
                const struct input *one = &in->list[i];

                urls[i] = kiln_calloc(1, sizeof(char *));
                for (char *const *m = mirrors; *m; m++) {
                        size_t len = strlen(*m);
                        _cleanup_free_ char *url = kiln_asprintf(
                                "%s%s%s", *m, len && (*m)[len - 1] == '/' ? "" : "/", one->below);

                        kiln_strv_append(&urls[i], url);
                }
                what[i] = (struct kiln_fetch){.name = one->name,
                        .urls = (const char *const *)urls[i],
                        .sha256 = one->sha256,
                        .size_bytes = one->size_bytes};
        }
        if (kiln_store_fetch(in->store, "fetch", what, in->n, &err) < 0)
                kiln_sink_note(&c->sink, "the mirrors do not have everything: %s: %s",
                        err.subject ? err.subject : "fetching", err.cause);
        for (size_t i = 0; i < in->n; i++)
                kiln_strv_free(urls[i]);
}

/* ---- what is missing ----------------------------------------------------------------------------- */

static bool have_local_copy(const struct input *one)
{
        for (char **u = one->repository ? one->repository->base_urls : NULL; u && *u; u++) {
                _cleanup_free_ char *path = NULL;

                if (!is_local(*u))
                        continue;
                path = kiln_asprintf("%s/%s", *u + strlen("file://"), one->below);
                if (access(path, R_OK) == 0)
                        return true;
        }
        return false;
}

/* Whether the pipeline can still get it from somewhere. */
static bool can_be_had(const struct kiln_context *c, const struct input *one)
{
        if (have_local_copy(one))
                return true;
        if (c->offline)
                return false;
        return one->n_urls > 0 || one->repository != NULL;
}

static int check_missing(const struct kiln_context *c, const struct needs *in,
        const struct kiln_claims *claims, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        size_t n = 0;

        for (size_t i = 0; i < in->n; i++) {
                const struct input *one = &in->list[i];
                char hex[KILN_DIGEST_HEX + 1];

                if (in_store(in, &one->sha256) || can_be_had(c, one) || n++ >= LISTED_MAX)
                        continue;
                kiln_digest_to_hex(&one->sha256, hex);
                kiln_buf_printf(&text, "\n  %s %s, sha256 %s", one->kind, one->name, hex);
                if (one->n_urls)
                        kiln_buf_printf(&text, ", %s", one->urls[0]);
        }
        if (n == 0)
                return 0;
        if (n > LISTED_MAX)
                kiln_buf_printf(&text, "\n  and %zu more", n - LISTED_MAX);
        kiln_error_set(err, KILN_INFRA, 0, DOING, claims->build->source->name, "%s:%s",
                c->offline
                        ? "neither the store nor a local repository has, and nothing may be fetched (offline)"
                        : "the store does not have, and the provenance names no place for",
                kiln_buf_str(&text));
        kiln_error_advise(err, "Give the source package with --source, other files with --mirror%s.",
                c->offline ? ", or leave --offline out" : "");
        return -ENOENT;
}

int needs_bring(const struct kiln_context *c, const struct kiln_reproduce *q, struct kiln_store *store,
        const struct kiln_claims *claims, const struct kiln_toolchain *t, struct kiln_error *err)
{
        _cleanup_(needs_clear) struct needs in = {.store = store};
        int r = 0;

        if (q->source)
                r = add_source(q->source, &in, claims, err);
        if (r == 0)
                r = list_absent(&in, claims, t, err);
        if (r < 0)
                return r;
        if (q->mirrors && q->mirrors[0] && in.n > 0)
                fetch_from_mirrors(c, &in, q->mirrors);
        r = kiln_context_check(c, "fetching", err);
        return r < 0 ? r : check_missing(c, &in, claims, err);
}
