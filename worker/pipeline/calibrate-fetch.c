/* Packages of a published repository, and their source packages, into a directory that can be calibrated
 * with. Every file by the digest that the repository's metadata has for it. */
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/buildroot/published.h"
#include "worker/pipeline/calibrate.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#define DOING "choosing packages of"
#define SOURCES_MAX 1000

/* One source package, with its place in the order of a sample. */
struct chosen {
        const char *source_rpm;
        struct kiln_digest rank;
};

struct selection {
        struct chosen *sources; /* sorted by source_rpm, each once */
        size_t n_sources;
        bool *matched; /* by pattern: it chose something */
};

static void selection_clear(struct selection *s)
{
        free(s->sources);
        free(s->matched);
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(((const struct chosen *)a)->source_rpm, ((const struct chosen *)b)->source_rpm);
}

static int compare_ranks(const void *a, const void *b)
{
        return memcmp(((const struct chosen *)a)->rank.bytes, ((const struct chosen *)b)->rank.bytes,
                KILN_DIGEST_BYTES);
}

/* What a build here could make, and was asked for. */
static bool is_wanted(const struct kiln_calibration_repository *q, const struct kiln_published_package *p,
        struct selection *s)
{
        bool wanted = !q->patterns || !q->patterns[0];

        if (p->source || !*p->source_rpm ||
                (strcmp(p->arch, KILN_CALIBRATION_ARCH) != 0 && strcmp(p->arch, "noarch") != 0))
                return false;
        for (size_t i = 0; q->patterns && q->patterns[i]; i++)
                if (fnmatch(q->patterns[i], p->name, 0) == 0)
                        s->matched[i] = wanted = true;
        return wanted;
}

/* The same seed and repository give the same sample, whatever order the repository has. */
static void sample(struct selection *s, uint64_t n, uint64_t seed)
{
        for (size_t i = 0; i < s->n_sources; i++) {
                _cleanup_free_ char *text =
                        kiln_asprintf("%llu\n%s", (unsigned long long)seed, s->sources[i].source_rpm);

                s->sources[i].rank = kiln_digest_of(text, strlen(text));
        }
        qsort(s->sources, s->n_sources, sizeof(*s->sources), compare_ranks);
        if (n < s->n_sources)
                s->n_sources = (size_t)n;
        qsort(s->sources, s->n_sources, sizeof(*s->sources), compare_names);
}

static int choose(const struct kiln_calibration_repository *q, const struct kiln_published *binary,
        struct selection *s, struct kiln_error *err)
{
        size_t kept = 0;

        s->matched = kiln_calloc(kiln_strv_length(q->patterns) + 1, sizeof(*s->matched));
        for (size_t i = 0; i < binary->n_packages; i++)
                if (is_wanted(q, &binary->packages[i], s))
                        *KILN_APPEND(s->sources, s->n_sources) =
                                (struct chosen){.source_rpm = binary->packages[i].source_rpm};
        for (size_t i = 0; q->patterns && q->patterns[i]; i++)
                if (!s->matched[i])
                        return kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, q->url,
                                "no package there is called %s", q->patterns[i]);
        if (s->n_sources == 0)
                return kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, q->url,
                        "it has no packages of " KILN_CALIBRATION_ARCH " or noarch");
        qsort(s->sources, s->n_sources, sizeof(*s->sources), compare_names);
        for (size_t i = 0; i < s->n_sources; i++)
                if (kept == 0 || strcmp(s->sources[kept - 1].source_rpm, s->sources[i].source_rpm) != 0)
                        s->sources[kept++] = s->sources[i];
        s->n_sources = kept;
        if (q->sample)
                sample(s, q->sample, q->seed);
        if (s->n_sources <= SOURCES_MAX)
                return 0;
        kiln_error_set(err, KILN_USAGE, 0, DOING, q->url, "they come from %zu source packages, more than %d",
                s->n_sources, SOURCES_MAX);
        kiln_error_advise(err, "Name some, or take --sample.");
        return -E2BIG;
}

/* ---- fetching ---------------------------------------------------------------------------------------- */

struct wanted {
        const struct kiln_published_package **packages;
        char ***urls;
        size_t n;
};

static void wanted_clear(struct wanted *w)
{
        for (size_t i = 0; i < w->n; i++)
                kiln_strv_free(w->urls[i]);
        free(w->urls);
        free(w->packages);
}

static void want(
        struct wanted *w, const struct kiln_published *from, const struct kiln_published_package *package)
{
        char **urls = kiln_calloc(1, sizeof(*urls));
        size_t n = w->n;

        for (char **m = from->mirrors; *m; m++) {
                _cleanup_free_ char *url = kiln_asprintf("%s/%s", *m, package->location);

                kiln_strv_append(&urls, url);
        }
        *KILN_APPEND(w->packages, w->n) = package;
        *KILN_APPEND(w->urls, n) = urls;
}

static void want_all(const struct kiln_calibration_repository *q, const struct kiln_published *binary,
        const struct kiln_published *source, struct selection *s, struct wanted *w)
{
        for (size_t i = 0; i < binary->n_packages; i++) {
                const struct kiln_published_package *p = &binary->packages[i];
                struct chosen key = {.source_rpm = p->source_rpm};

                if (is_wanted(q, p, s) && bsearch(&key, s->sources, s->n_sources, sizeof(key), compare_names))
                        want(w, binary, p);
        }
        /* One that is not published leaves its packages unpaired, which the table says. */
        for (size_t i = 0; i < s->n_sources; i++) {
                const struct kiln_published_package *p =
                        kiln_published_find(source, s->sources[i].source_rpm);

                if (p && p->source)
                        want(w, source, p);
        }
}

static int fetch(struct kiln_store *store, const struct wanted *w, struct kiln_error *err)
{
        _cleanup_free_ struct kiln_fetch *what = kiln_calloc(w->n, sizeof(*what));

        for (size_t i = 0; i < w->n; i++)
                what[i] = (struct kiln_fetch){.name = w->packages[i]->file_name,
                        .urls = (const char *const *)w->urls[i],
                        .sha256 = w->packages[i]->sha256,
                        .size_bytes = w->packages[i]->size_bytes};
        return kiln_store_fetch(store, "fetch", what, w->n, err);
}

/* ---- the directory ----------------------------------------------------------------------------------- */

static bool is_chosen(const struct wanted *w, const char *name)
{
        for (size_t i = 0; i < w->n; i++)
                if (strcmp(w->packages[i]->file_name, name) == 0)
                        return true;
        return false;
}

/* What another selection left would be calibrated with too. */
static int check_directory(int dir_fd, const char *directory, const struct wanted *w, struct kiln_error *err)
{
        int scan = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
        DIR *d = scan < 0 ? NULL : fdopendir(scan);
        struct dirent *de;

        if (!d)
                return kiln_error_set(err, KILN_INFRA, errno, "reading", directory, "the directory");
        while (r == 0 && (de = readdir(d))) {
                if (de->d_name[0] == '.' || is_chosen(w, de->d_name))
                        continue;
                r = kiln_error_set(err, KILN_USAGE, 0, "fetching packages into", directory,
                        "it has %s, which was not asked for", de->d_name);
                kiln_error_advise(err, "Give another directory with -o, or remove that one.");
        }
        closedir(d);
        return r;
}

static int place(
        struct kiln_store *store, int dir_fd, const struct kiln_published_package *p, struct kiln_error *err)
{
        _cleanup_free_ char *aside = kiln_asprintf(".%s", p->file_name);
        _cleanup_close_ int in = -1, out = -1;
        int r = kiln_store_find_verified(store, &p->sha256, &in);

        if (r != 0)
                return kiln_error_set(
                        err, KILN_INFRA, r < 0 ? -r : ENOENT, "reading", p->file_name, "the store");
        out = openat(dir_fd, aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
        r = out < 0 ? -errno : kiln_fd_copy(in, out, NULL);
        if (r == 0 && renameat(dir_fd, aside, dir_fd, p->file_name) < 0)
                r = -errno;
        if (r < 0 && out >= 0)
                (void)unlinkat(dir_fd, aside, 0);
        return r < 0 ? kiln_error_set(err, KILN_INFRA, -r, "writing", p->file_name, "cannot write it") : 0;
}

static int place_all(
        struct kiln_store *store, const char *directory, const struct wanted *w, struct kiln_error *err)
{
        _cleanup_close_ int dir_fd = kiln_dir_make(AT_FDCWD, directory, 0755);
        int r = dir_fd < 0 ? kiln_error_set(err, KILN_INFRA, -dir_fd, "making", directory, "a directory")
                           : check_directory(dir_fd, directory, w, err);

        for (size_t i = 0; r == 0 && i < w->n; i++)
                r = place(store, dir_fd, w->packages[i], err);
        return r;
}

int kiln_calibration_fetch(const struct kiln_context *c, const struct kiln_calibration_repository *q,
        const char *directory, struct kiln_error *err)
{
        _cleanup_(kiln_published_freep) struct kiln_published *binary = NULL, *source = NULL;
        _cleanup_(kiln_store_closep) struct kiln_store *store = NULL;
        _cleanup_(selection_clear) struct selection s = {0};
        _cleanup_(wanted_clear) struct wanted w = {0};
        int r = kiln_store_open(c, &store, err);

        if (r == 0)
                r = kiln_published_open(c, store, q->url, q->key, &binary, err);
        if (r == 0 && q->source_url)
                r = kiln_published_open(c, store, q->source_url, q->key, &source, err);
        if (r == 0)
                r = choose(q, binary, &s, err);
        if (r < 0)
                return r;
        want_all(q, binary, source ? source : binary, &s, &w);
        kiln_sink_note(&c->sink, "%zu files of %zu source packages are needed", w.n, s.n_sources);
        r = fetch(store, &w, err);
        return r < 0 ? r : place_all(store, directory, &w, err);
}
