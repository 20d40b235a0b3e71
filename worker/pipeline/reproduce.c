#include "worker/pipeline/reproduce.h"

#include "worker/attest/attest.h"
#include "worker/base/clock.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/base/paths.h"
#include "worker/pipeline/job.h"
#include "worker/pipeline/pipeline.h"
#include "worker/pipeline/reproduce-part.h"
#include "worker/verify/summary.h"
#include "worker/verify/vsa.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SRPM_SUFFIX ".src.rpm"
#define POLICY_URI "urn:kiln:policy:reproduce:v1" /* docs/attestations.md */

void kiln_reproduction_free(struct kiln_reproduction *r)
{
        if (!r)
                return;
        for (size_t i = 0; i < r->n_packages; i++) {
                free(r->packages[i].name);
                kiln_strv_free(r->packages[i].tags);
                kiln_strv_free(r->packages[i].files);
                kiln_graft_clear(&r->packages[i].graft);
        }
        for (size_t i = 0; i < r->n_findings; i++) {
                free(r->findings[i].id);
                free(r->findings[i].subject);
                free(r->findings[i].text);
        }
        free(r->findings);
        free(r->packages);
        free(r->nvr);
        free(r->builder);
        free(r->directory);
        free(r->summary);
        kiln_strv_free(r->others);
        free(r);
}

/* ---- where the rebuild goes ---------------------------------------------------------------------- */

/* name-version-release of the source package, which names the result files. */
static int find_nvr(const struct attested *a, char **ret, struct kiln_error *err)
{
        const struct kiln_envelope *e = a->provenance;

        for (size_t i = 0; i < e->n_subjects; i++) {
                const char *name = e->subjects[i].name;
                size_t n = strlen(name), s = strlen(SRPM_SUFFIX);

                if ((e->subjects[i].have & KILN_DIGESTS_CONTENT) != KILN_DIGESTS_CONTENT)
                        return kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", a->name,
                                "it does not tell the header and payload digests of %s", name);
                if (n <= s || strcmp(name + n - s, SRPM_SUFFIX) != 0)
                        continue;
                if (*ret || *name == '.')
                        return kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", a->name,
                                "it is about two source packages, or one without a name");
                *ret = kiln_strndup(name, n - s);
        }
        return *ret ? 0
                    : kiln_error_set(
                              err, KILN_BAD_INPUT, 0, "reading", a->name, "it is about no source package");
}

static char *directory_of(const struct kiln_reproduce *q, const char *nvr)
{
        _cleanup_free_ char *name =
                q->directory ? kiln_strdup(q->directory) : kiln_asprintf("%s.reproduced", nvr);
        _cleanup_free_ char *cwd = NULL;

        if (name[0] == '/')
                return TAKE_PTR(name);
        cwd = getcwd(NULL, 0);
        return kiln_path_join(cwd ? cwd : "/", name);
}

/* The rebuild's own attestations would replace those that are being checked. */
static int check_directory(const struct attested *a, const char *directory, struct kiln_error *err)
{
        struct stat theirs, ours;

        if (fstat(a->dir_fd, &theirs) < 0 || stat(directory, &ours) < 0 || theirs.st_dev != ours.st_dev ||
                theirs.st_ino != ours.st_ino)
                return 0;
        kiln_error_set(err, KILN_USAGE, 0, "reproducing into", directory,
                "that is where the provenance lies, which the rebuild's own would replace");
        kiln_error_advise(err, "Give another directory with -o.");
        return -EEXIST;
}

/* ---- the rebuild --------------------------------------------------------------------------------- */

/* The request that the provenance claims, with what a request needs besides. Borrows everything: not to be
 * freed as a message. */
struct request {
        Kiln__V1__BuildRequest request;
        Kiln__V1__Destination destination;
        Kiln__V1__Signing signing;
        Kiln__V1__HostLimits limits;
};

static void request_fill(struct request *q, const struct kiln_reproduce *asked,
        const struct kiln_claims *claims, const char *directory)
{
        kiln__v1__build_request__init(&q->request);
        kiln__v1__destination__init(&q->destination);
        kiln__v1__signing__init(&q->signing);
        kiln__v1__host_limits__init(&q->limits);
        if (asked->limits)
                q->limits = *asked->limits;
        q->request.build = claims->build;
        q->request.owner = (char *)"local";
        q->request.lane = KILN__V1__BUILD_REQUEST__LANE__VERIFY;
        q->request.destination = &q->destination;
        q->request.signing = &q->signing;
        q->request.limits = &q->limits;
        q->request.check_reproducible = asked->vary;
        q->destination.to_case = KILN__V1__DESTINATION__TO_DIRECTORY;
        q->destination.directory = (char *)directory;
        q->signing.mode = asked->signer ? KILN__V1__SIGNING__MODE__SERVED : KILN__V1__SIGNING__MODE__LOCAL;
        if (asked->signer)
                q->signing.socket = (char *)asked->signer;
}

/* A request may name its lock by digest alone: that one is known. */
static int store_lock(struct kiln_store *store, const struct kiln_claims *claims, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        struct kiln_digest d;

        if (claims->build->pinned_case != KILN__V1__BUILD__PINNED_LOCK_DIGEST)
                return 0;
        kiln_lock_write(claims->lock, &text);
        return kiln_store_add_bytes(store, text.data, text.len, &d, err);
}

/* What a second build, with everything varied, gave. That it differs is a result like another: the packages
 * of the first are there and compared. */
static void take_variation(
        const Kiln__V1__BuildResult *result, struct kiln_reproduction *ret, struct kiln_error *err)
{
        static const char prefix[] = "vary.";

        ret->varied = true;
        ret->varied_same = err->verdict == KILN_OK;
        if (err->verdict == KILN_NOT_REPRODUCED)
                kiln_error_clear(err);
        for (size_t i = 0; i < result->n_findings; i++) {
                const Kiln__V1__Finding *f = result->findings[i];

                if (strncmp(f->id, prefix, strlen(prefix)) == 0)
                        *KILN_APPEND(ret->findings, ret->n_findings) = (struct kiln_reproduction_finding){
                                kiln_strdup(f->id), kiln_strdup(f->subject), kiln_strdup(f->text)};
        }
}

/* *ret_nvr names the rebuild's attestations: the original's name, unless that is what differs. */
static int rebuild(const struct kiln_context *c, const struct kiln_reproduce *q,
        const struct kiln_claims *claims, const struct kiln_toolchain *t, struct kiln_reproduction *ret,
        char **ret_nvr, struct kiln_error *err)
{
        _cleanup_(kiln_store_closep) struct kiln_store *store = NULL;
        _cleanup_(kiln_result_freep) Kiln__V1__BuildResult *result = NULL;
        struct request request;
        int r = kiln_store_open(c, &store, err);

        if (r == 0)
                r = needs_bring(c, q, store, claims, t, err);
        if (r == 0)
                r = store_lock(store, claims, err);
        if (r < 0)
                return r;
        /* The store stays open: its lease protects what was brought. */
        request_fill(&request, q, claims, ret->directory);
        result = kiln_pipeline_rerun(c, &request.request, claims->lock, err);
        if (q->vary)
                take_variation(result, ret, err);
        if (err->verdict != KILN_OK)
                return -EIO;
        *ret_nvr = kiln_strdup(result->nvr);
        return 0;
}

/* ---- the summary --------------------------------------------------------------------------------- */

static bool package_same(const struct kiln_reproduced_package *p)
{
        return p->rebuilt && p->same_header && p->same_payload;
}

static size_t count_differing(const struct kiln_reproduction *r)
{
        size_t n = 0;

        for (size_t i = 0; i < r->n_packages; i++)
                n += !package_same(&r->packages[i]);
        return n;
}

/* The packages a summary is about: all when it is good, else those that differ; all again when it is only the
 * documents about them that differ. */
static bool is_about(const struct kiln_reproduction *r, const struct kiln_reproduced_package *p)
{
        return count_differing(r) == 0 || !package_same(p);
}

static void vsa_fill(struct kiln_vsa *v, const struct kiln_reproduction *r, const struct attested *theirs)
{
        v->passed = r->reproduced;
        v->verifier = kiln_strdup(KILN_VERIFIER_ID);
        v->verifier_version = kiln_strdup(KILN_VERSION);
        v->verified_s = kiln_clock_wall_s();
        v->resource_uri = kiln_asprintf("urn:kiln:source:%s", r->nvr);
        v->policy_uri = kiln_strdup(POLICY_URI);
        v->levels = kiln_calloc(1, sizeof(char *));
        kiln_strv_append(&v->levels, r->reproduced ? KILN_VSA_LEVEL_REPRODUCED : KILN_VSA_LEVEL_FAILED);
        if (r->reproduced && r->varied_same)
                kiln_strv_append(&v->levels, KILN_VSA_LEVEL_VARIED);
        *KILN_APPEND(v->inputs, v->n_inputs) =
                (struct kiln_vsa_input){kiln_strdup(theirs->name), theirs->provenance->sha256};
        for (size_t i = 0; !r->reproduced && i < r->n_packages; i++) {
                const struct kiln_reproduced_package *p = &r->packages[i];

                if (is_about(r, p))
                        *KILN_APPEND(v->differences, v->n_differences) = (struct kiln_vsa_difference){
                                kiln_strdup(p->name), kiln_strv_copy(package_same(p) ? r->others : p->tags),
                                kiln_strv_copy(p->files)};
        }
}

/* The signer hashes what a good word is about. */
static int show(struct kiln_signer *s, const struct attested *ours, const char *name, struct kiln_error *err)
{
        _cleanup_close_ int fd = openat(ours->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        struct kiln_subject seen = {0};
        struct kiln_digest d;
        int r = fd < 0 ? -errno : kiln_digest_of_fd(fd, &d, NULL);

        if (r < 0)
                return kiln_error_set(
                        err, KILN_INFRA, r, "signing the summary about", name, "cannot read it");
        r = kiln_signer_show(s, fd, name, &d, &seen, err);
        free(seen.file_name);
        return r;
}

static int summarise(struct kiln_signer *s, const struct attested *theirs, const struct attested *ours,
        struct kiln_reproduction *ret, struct kiln_error *err)
{
        const struct kiln_envelope *e = theirs->provenance;
        _cleanup_free_ struct kiln_subject *subjects = kiln_calloc(e->n_subjects, sizeof(*subjects));
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT, envelope = KILN_BUF_INIT;
        _cleanup_(kiln_vsa_clear) struct kiln_vsa v = {0};
        _cleanup_json_ json_t *predicate = NULL;
        size_t n = 0;
        int r = 0;

        for (size_t i = 0; i < e->n_subjects; i++)
                if (is_about(ret, &ret->packages[i]))
                        subjects[n++] = (struct kiln_subject){e->subjects[i].name, e->subjects[i].digests};
        for (size_t i = 0; r == 0 && ret->reproduced && i < e->n_subjects; i++)
                r = show(s, ours, e->subjects[i].name, err);
        if (r < 0)
                return r;
        vsa_fill(&v, ret, theirs);
        predicate = kiln_vsa_write(&v);
        /* Of the four names of a package, the two that do not depend on who signed it. */
        kiln_statement_write(subjects, n, KILN_SUBJECT_CONTENT, KILN_PREDICATE_VSA, predicate, &text);
        r = kiln_signer_statement(s, text.data, text.len, &envelope, err);
        if (r < 0)
                return r;
        /* Summaries of several rebuilders can lie beside the packages: `kiln verify` reads them all. */
        ret->summary = kiln_asprintf("%s@%.16s.intoto.jsonl", ret->nvr, kiln_signer_public(s)->attest_keyid);
        r = kiln_file_write(ours->dir_fd, ret->summary, envelope.data, envelope.len, 0644);
        return r < 0 ? kiln_error_set(err, KILN_INFRA, r, "writing", ret->summary, "the result directory")
                     : 0;
}

/* ---- all ----------------------------------------------------------------------------------------- */

static int read_ours(struct attested *ours, const char *directory, const char *nvr, struct kiln_signer *s,
        struct kiln_verify_keys *keys, struct kiln_error *err)
{
        int rc = kiln_verify_keys_add(keys, kiln_signer_public(s)->attest_pem, "this worker's key", err);

        if (rc < 0)
                return rc;
        ours->dir = kiln_strdup(directory);
        ours->name = kiln_asprintf("%s.intoto.jsonl", nvr);
        ours->dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (ours->dir_fd < 0)
                return kiln_error_set(err, KILN_INFRA, errno, "reading", directory, "the rebuild");
        return attested_read(ours, keys, err);
}

/* The base URL of a repository of one host is not in a provenance; the definition has it. */
static const char *local_base_url(const struct kiln_toolchain *t, const char *id)
{
        for (size_t i = 0; i < t->n_repositories; i++) {
                const struct kiln_repository *r = &t->repositories[i];

                if (strcmp(r->id, id) == 0)
                        return r->uri ? r->uri : r->base_urls[0];
        }
        return NULL;
}

static int complete_lock(
        struct kiln_claims *claims, const struct kiln_toolchain *t, const char *name, struct kiln_error *err)
{
        struct kiln_digest digest;

        for (size_t i = 0; i < claims->lock->n_repositories; i++) {
                struct kiln_locked_repository *r = &claims->lock->repositories[i];
                const char *url = *r->base_url ? NULL : local_base_url(t, r->id);

                if (!url)
                        continue;
                free(r->base_url);
                r->base_url = kiln_strdup(url);
        }
        digest = kiln_lock_digest(claims->lock);
        if (kiln_digest_equal(&digest, &claims->lock_sha256))
                return 0;
        return kiln_error_set(err, KILN_NOT_REPRODUCED, EBADMSG, "reading the provenance in", name,
                "its packages are not those of the lock it names");
}

/* Names and URLs of the provenance have the form that those of any request must have, before one is used. */
static int check_request(const struct kiln_reproduce *q, const struct kiln_claims *claims, const char *name,
        struct kiln_error *err)
{
        struct kiln_message_error merr;
        struct request request;

        request_fill(&request, q, claims, "/");
        if (kiln_request_check(&request.request, &merr) == 0)
                return 0;
        return kiln_error_set(err, KILN_BAD_INPUT, EBADMSG, "reading the provenance in", name,
                "externalParameters: %s", merr.text);
}

/* Everything that can be refused before a build is. */
static int prepare(const struct kiln_context *c, const struct kiln_reproduce *q, const struct attested *a,
        struct kiln_claims *claims, struct kiln_toolchain **ret_toolchain, struct kiln_error *err)
{
        int r = kiln_claims_read(a->provenance->predicate, a->name, claims, err);

        if (r == 0)
                r = check_request(q, claims, a->name, err);
        if (r == 0)
                r = job_open_toolchain(c, claims->build->toolchain, ret_toolchain, err);
        return r < 0 ? r : complete_lock(claims, *ret_toolchain, a->name, err);
}

/* The same profile with another text is another sandbox. It is said, and counts for nothing by itself. */
static void compare_policies(
        const struct kiln_context *c, const struct kiln_claims *theirs, const struct attested *ours)
{
        _cleanup_(kiln_claims_clear) struct kiln_claims mine = {0};
        bool same = kiln_claims_read(ours->provenance->predicate, ours->name, &mine, NULL) == 0 &&
                    kiln_strv_length(mine.sandbox) == kiln_strv_length(theirs->sandbox);

        for (char **p = theirs->sandbox; same && *p; p++)
                same = kiln_strv_contains(mine.sandbox, *p);
        if (!same)
                kiln_sink_warning(&c->sink, "%s was built under another sandbox policy than this program's",
                        ours->name);
}

int kiln_reproduce(const struct kiln_context *c, const struct kiln_reproduce *q,
        struct kiln_reproduction **ret, struct kiln_error *err)
{
        _cleanup_(kiln_reproduction_freep) struct kiln_reproduction *out = kiln_calloc(1, sizeof(*out));
        _cleanup_(attested_clear) struct attested theirs = {.dir_fd = -1}, ours = {.dir_fd = -1};
        _cleanup_(kiln_verify_keys_clear) struct kiln_verify_keys our_keys = {0};
        _cleanup_(kiln_claims_clear) struct kiln_claims claims = {0};
        _cleanup_(kiln_toolchain_freep) struct kiln_toolchain *t = NULL;
        _cleanup_(kiln_signer_freep) struct kiln_signer *s = NULL;
        _cleanup_free_ char *our_nvr = NULL;
        _cleanup_close_ int given = -1;
        struct original *originals = NULL;
        int r = attested_open(q->path, q->keys, &theirs, &given, err);

        if (r == 0)
                r = find_nvr(&theirs, &out->nvr, err);
        if (r == 0)
                r = prepare(c, q, &theirs, &claims, &t, err);
        if (r < 0)
                return r;
        out->builder = kiln_strdup(claims.builder);
        out->directory = directory_of(q, out->nvr);
        r = check_directory(&theirs, out->directory, err);
        if (r == 0)
                r = originals_open(&theirs, given, q->path, q->keyring, &originals, err);
        if (r < 0)
                return r;
        kiln_sink_note(&c->sink, "rebuilding %s as %s says it was built", out->nvr, out->builder);
        r = rebuild(c, q, &claims, t, out, &our_nvr, err);
        if (r == 0)
                r = kiln_signer_open(c, q->signer, &s, err);
        if (r == 0)
                r = read_ours(&ours, out->directory, our_nvr, s, &our_keys, err);
        if (r == 0)
                r = reproduction_compare(c, q, &theirs, originals, &ours, &our_keys, out, err);
        originals_free(originals, theirs.provenance->n_subjects);
        if (r == 0) {
                compare_policies(c, &claims, &ours);
                r = summarise(s, &theirs, &ours, out, err);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(out);
        return 0;
}
