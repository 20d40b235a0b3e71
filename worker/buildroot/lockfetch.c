/* Brings a lock's packages into the store and checks each of them: SHA-256 (by the store), signature by the
 * keys of its repository, NEVRA and header digest.
 *
 * Must never let a package pass whose signature was not found good, unless the toolchain's definition says
 * that its repository has unsigned packages; the lock then says so too. */
#include "worker/base/mem.h"
#include "worker/buildroot/facts.h"
#include "worker/buildroot/metadata.h"
#include "worker/buildroot/solve.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

struct source {                                   /* one repository of the lock */
        const struct kiln_repository *repository; /* NULL: the toolchain has it no longer */
        struct kiln_keyring *keyring;             /* made when first needed */
        struct kiln_digest keys;
        char **mirrors; /* likewise */
};

struct lockfetch {
        const struct kiln_context *context;
        struct kiln_store *store;
        const struct kiln_toolchain *toolchain;
        struct kiln_lock *lock;
        struct source *sources; /* as lock->repositories */
        struct kiln_error *err;
};

static int compare_keys(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static struct kiln_digest keys_digest(const struct kiln_toolchain *t, const struct kiln_repository *r)
{
        _cleanup_free_ const char **armors = kiln_calloc(r->n_keys + 1, sizeof(*armors));
        _cleanup_hasher_ struct kiln_hasher *h = kiln_hasher_new();

        for (size_t i = 0; i < r->n_keys; i++)
                armors[i] = t->keys[r->keys[i]].armor;
        qsort(armors, r->n_keys, sizeof(*armors), compare_keys);
        for (size_t i = 0; i < r->n_keys; i++)
                kiln_hasher_update(h, armors[i], strlen(armors[i]) + 1);
        return kiln_hasher_finish(h);
}

static int sources_find(struct lockfetch *l)
{
        l->sources = kiln_calloc(l->lock->n_repositories + 1, sizeof(*l->sources));
        for (size_t i = 0; i < l->lock->n_repositories; i++) {
                const char *id = l->lock->repositories[i].id;
                struct source *s = &l->sources[i];

                for (size_t k = 0; k < l->toolchain->n_repositories; k++)
                        if (strcmp(l->toolchain->repositories[k].id, id) == 0)
                                s->repository = &l->toolchain->repositories[k];
                if (!s->repository) {
                        int rc = kiln_error_set(l->err, KILN_BAD_INPUT, 0, "reading the lock", id,
                                "toolchain %s has no repository of this name", l->toolchain->name);

                        kiln_error_advise(
                                l->err, "Use the toolchain the lock was made with (%s).", l->lock->toolchain);
                        return rc;
                }
                s->keys = keys_digest(l->toolchain, s->repository);
        }
        return 0;
}

static void sources_free(struct lockfetch *l)
{
        for (size_t i = 0; l->sources && i < l->lock->n_repositories; i++) {
                kiln_keyring_free(l->sources[i].keyring);
                kiln_strv_free(l->sources[i].mirrors);
        }
        free(l->sources);
}

static struct source *source_of(struct lockfetch *l, const struct kiln_locked_package *p)
{
        for (size_t i = 0; i < l->lock->n_repositories; i++)
                if (strcmp(l->lock->repositories[i].id, p->repository) == 0)
                        return &l->sources[i];
        return NULL;
}

/* ---- fetching */

static int package_urls(
        struct lockfetch *l, const struct kiln_locked_package *p, struct source *s, char ***ret)
{
        _cleanup_strv_ char **urls = kiln_calloc(1, sizeof(*urls));

        if (!s->mirrors) {
                int rc = repository_mirrors(l->store, s->repository, &s->mirrors, NULL, l->err);

                if (rc < 0)
                        return rc;
        }
        for (char **m = s->mirrors; *m; m++) {
                _cleanup_free_ char *url = kiln_asprintf("%s/%s", *m, p->location);

                kiln_strv_append(&urls, url);
        }
        *ret = TAKE_PTR(urls);
        return 0;
}

static int fetch_absent(struct lockfetch *l)
{
        size_t n = 0;
        _cleanup_free_ struct kiln_fetch *what = kiln_calloc(l->lock->n_packages + 1, sizeof(*what));
        _cleanup_free_ char ***urls = kiln_calloc(l->lock->n_packages + 1, sizeof(*urls));
        int rc = 0;

        for (size_t i = 0; rc == 0 && i < l->lock->n_packages; i++) {
                const struct kiln_locked_package *p = &l->lock->packages[i];
                struct source *s = source_of(l, p);
                _cleanup_close_ int fd = -1;
                struct stat st;

                if (kiln_store_find(l->store, &p->sha256, &fd) == 0 && fstat(fd, &st) == 0 &&
                        (p->size_bytes == 0 || (uint64_t)st.st_size == p->size_bytes))
                        continue;
                rc = s ? package_urls(l, p, s, &urls[n])
                       : kiln_error_set(l->err, KILN_BAD_INPUT, 0, "reading the lock", p->nevra,
                                 "its repository %s is not in the lock", p->repository);
                if (rc < 0)
                        break;
                what[n] = (struct kiln_fetch){
                        .name = p->nevra,
                        .urls = (const char *const *)urls[n],
                        .sha256 = p->sha256,
                        .size_bytes = p->size_bytes,
                };
                n++;
        }
        if (rc == 0 && n > 0)
                rc = kiln_store_fetch(l->store, "fetch", what, n, l->err);
        for (size_t i = 0; i < n; i++)
                kiln_strv_free(urls[i]);
        return rc;
}

/* ---- checking */

static int read_facts(struct lockfetch *l, const struct kiln_locked_package *p, struct source *s, int fd,
        const struct stat *st, struct facts *ret)
{
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *rpm = NULL;
        struct facts f = {0};
        int rc;

        if (!s->keyring) {
                rc = repository_keyring(l->toolchain, s->repository, &s->keyring, l->err);
                if (rc < 0)
                        return rc;
        }
        rc = kiln_rpm_open(fd, p->nevra, s->keyring, &rpm, l->err);
        if (rc < 0) {
                /* The repository promised this very file: fetched packages are infrastructure. */
                if (l->err && l->err->verdict == KILN_BAD_INPUT)
                        l->err->verdict = KILN_INFRA;
                return rc;
        }
        if (!kiln_digest_equal(&rpm->file_sha256, &p->sha256))
                return kiln_error_set(l->err, KILN_INFRA, 0, "checking", p->nevra,
                        "its file in the store changed while it was read");
        if (!rpm->header_sha256 || kiln_digest_from_hex(rpm->header_sha256, &f.header_sha256) < 0)
                return kiln_error_set(
                        l->err, KILN_INFRA, 0, "checking", p->nevra, "it has no SHA-256 of its header");
        f.nevra = kiln_strdup(rpm->nevra);
        f.signature = rpm->signature;
        f.signer = kiln_strdup(rpm->signature == KILN_RPM_SIGNED && rpm->signer ? rpm->signer : "");
        facts_write(l->context, &p->sha256, &s->keys, st, &f);
        *ret = f;
        return 0;
}

static int check_signature(struct lockfetch *l, const struct kiln_locked_package *p, const struct source *s,
        const struct facts *f)
{
        int rc;

        if (f->signature == KILN_RPM_SIGNED)
                return 0;
        if (s->repository->unsigned_packages && f->signature == KILN_RPM_UNSIGNED)
                return 0;
        if (f->signature == KILN_RPM_UNSIGNED) {
                rc = kiln_error_set(l->err, KILN_INFRA, 0, "checking the signature of", p->nevra,
                        "it is not signed, and repository %s of toolchain %s must have signed packages",
                        p->repository, l->toolchain->name);
                kiln_error_advise(l->err, "If that repository really has unsigned packages, say so in the "
                                          "toolchain's definition: unsigned-packages = true");
                return rc;
        }
        rc = kiln_error_set(l->err, KILN_INFRA, 0, "checking the signature of", p->nevra,
                "it is signed by a key that is not among those of repository %s", p->repository);
        kiln_error_advise(l->err, "The toolchain's definition names the keys that are accepted.");
        return rc;
}

static int check_identity(struct lockfetch *l, struct kiln_locked_package *p, const struct facts *f)
{
        if (strcmp(f->nevra, p->nevra) != 0)
                return kiln_error_set(l->err, KILN_BAD_INPUT, 0, "checking", p->nevra,
                        "the package of this digest is %s", f->nevra);
        if (!kiln_digest_is_zero(&p->header_sha256) &&
                !kiln_digest_equal(&p->header_sha256, &f->header_sha256))
                return kiln_error_set(l->err, KILN_BAD_INPUT, 0, "checking", p->nevra,
                        "its SHA256HEADER is not the lock's");
        /* A lock that was once fetched names its signers: another one (or none any more) is another lock. */
        if (!kiln_digest_is_zero(&p->header_sha256) && strcmp(p->signer, f->signer) != 0)
                return kiln_error_set(l->err, KILN_BAD_INPUT, 0, "checking", p->nevra,
                        "it is signed by %s, the lock says %s", *f->signer ? f->signer : "nobody",
                        *p->signer ? p->signer : "nobody");
        p->header_sha256 = f->header_sha256;
        free(p->signer);
        p->signer = kiln_strdup(f->signer);
        return 0;
}

static int check_package(struct lockfetch *l, struct kiln_locked_package *p)
{
        _cleanup_(facts_clear) struct facts f = {0};
        struct source *s = source_of(l, p);
        _cleanup_close_ int fd = -1;
        struct stat st;
        int rc = kiln_store_find(l->store, &p->sha256, &fd);

        if (rc != 0 || fstat(fd, &st) < 0)
                return kiln_error_set(l->err, KILN_INFRA, rc < 0 ? -rc : ENOENT, "checking", p->nevra,
                        "it vanished from the store");
        if (facts_read(l->context, &p->sha256, &s->keys, &st, &f) != 0) {
                rc = read_facts(l, p, s, fd, &st, &f);
                if (rc < 0)
                        return rc;
        }
        rc = check_signature(l, p, s, &f);
        return rc < 0 ? rc : check_identity(l, p, &f);
}

/* Damaged on disk (the digest is wrong although the name says otherwise): removed, so that it is fetched
 * anew. */
static bool is_damaged(struct lockfetch *l, const struct kiln_locked_package *p)
{
        _cleanup_close_ int fd = -1;

        return kiln_store_find_verified(l->store, &p->sha256, &fd) == KILN_STORE_ABSENT;
}

static int check_all(struct lockfetch *l, bool *ret_again)
{
        int rc = 0;

        for (size_t i = 0; rc == 0 && i < l->lock->n_packages; i++) {
                struct kiln_locked_package *p = &l->lock->packages[i];

                rc = kiln_context_check(l->context, "checking packages", l->err);
                if (rc == 0)
                        rc = check_package(l, p);
                if (rc < 0 && rc != -ECANCELED && is_damaged(l, p))
                        *ret_again = true;
                kiln_sink_progress(
                        &l->context->sink, "verify", p->nevra, (uint64_t)i + 1, l->lock->n_packages);
        }
        return rc;
}

int kiln_lock_fetch(const struct kiln_context *c, struct kiln_store *s, const struct kiln_toolchain *t,
        struct kiln_lock *lock, struct kiln_error *err)
{
        struct lockfetch l = {.context = c, .store = s, .toolchain = t, .lock = lock, .err = err};
        int rc = sources_find(&l);

        for (int tries = 0; rc == 0 && tries < 3; tries++) {
                bool again = false;

                rc = fetch_absent(&l);
                if (rc == 0)
                        rc = check_all(&l, &again);
                if (rc == 0 || !again)
                        break;
                kiln_error_clear(err ? err : &(struct kiln_error)KILN_ERROR_INIT);
                if (tries < 2)
                        rc = 0;
        }
        sources_free(&l);
        return rc;
}
