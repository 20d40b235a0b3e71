/* What is to be reproduced: the file of attestations, its signatures checked first, and the packages that lie
 * beside it. */
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/pipeline/reproduce-part.h"
#include "worker/source/rpmfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define DOING "looking for the provenance of"
#define SUFFIX ".intoto.jsonl"
#define SRPM_SUFFIX ".src.rpm"

static const char *const sbom_types[SBOMS] = {
        [SBOM_SPDX] = KILN_PREDICATE_SPDX, [SBOM_CYCLONEDX] = KILN_PREDICATE_CYCLONEDX};

void attested_clear(struct attested *a)
{
        kiln_envelope_free(a->provenance);
        kiln_closep(&a->dir_fd);
        free(a->dir);
        free(a->name);
        *a = (struct attested){.dir_fd = -1};
}

/* ---- finding it ---------------------------------------------------------------------------------- */

static int open_dir(struct attested *a, const char *path, struct kiln_error *err)
{
        a->dir = kiln_strdup(path);
        a->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return a->dir_fd < 0 ? kiln_error_set(err, KILN_BAD_INPUT, errno, DOING, path, "cannot open it") : 0;
}

static int open_parent(struct attested *a, const char *path, struct kiln_error *err)
{
        size_t n = (size_t)(kiln_path_base(path) - path);
        _cleanup_free_ char *dir = n ? kiln_strndup(path, n) : kiln_strdup(".");

        return open_dir(a, dir, err);
}

/* The one file of attestations in a result directory. */
static int find_in_dir(struct attested *a, struct kiln_error *err)
{
        int scan = openat(a->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = scan < 0 ? NULL : fdopendir(scan);
        struct dirent *de;
        size_t n = 0;

        while (d && (de = readdir(d)))
                /* "@" is in the names of other people's summaries. */
                if (kiln_ends_with(de->d_name, SUFFIX) && !strchr(de->d_name, '@') && n++ == 0)
                        a->name = kiln_strdup(de->d_name);
        if (d)
                closedir(d);
        if (n == 1)
                return 0;
        kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, a->dir, "it has %zu files *" SUFFIX, n);
        kiln_error_advise(err, "Name the file of attestations.");
        return -ENOENT;
}

/* Attestations are named after the source package. */
static int find_beside_rpm(struct attested *a, int fd, const char *path, struct kiln_error *err)
{
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *rpm = NULL;
        const char *nvr;
        size_t len;
        int r = kiln_rpm_open_published(fd, kiln_path_base(path), NULL, &rpm, err);

        if (r < 0)
                return r;
        nvr = rpm->source ? rpm->nvr : rpm->source_rpm;
        len = strlen(nvr);
        if (!rpm->source && kiln_ends_with(nvr, SRPM_SUFFIX))
                len -= strlen(SRPM_SUFFIX);
        if (strchr(nvr, '/') || *nvr == '.')
                return kiln_error_set(
                        err, KILN_BAD_INPUT, 0, DOING, path, "its source package is no file name");
        a->name = kiln_asprintf("%.*s" SUFFIX, (int)len, nvr);
        if (faccessat(a->dir_fd, a->name, R_OK, 0) == 0)
                return 0;
        kiln_error_set(err, KILN_BAD_INPUT, errno, DOING, path, "there is no %s beside it", a->name);
        kiln_error_advise(
                err, "Fetch it from where the package was published, or name the provenance itself.");
        return -ENOENT;
}

/* ---- reading it ---------------------------------------------------------------------------------- */

static int take(struct attested *a, struct kiln_envelope **e, struct kiln_error *err)
{
        for (size_t i = 0; i < SBOMS; i++) {
                _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;

                if (strcmp((*e)->predicate_type, sbom_types[i]) != 0)
                        continue;
                if (a->has_sbom[i])
                        return kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", a->name,
                                "it has two statements of type %s", sbom_types[i]);
                kiln_json_canonical((*e)->predicate, &text);
                a->sbom[i] = kiln_digest_of(text.data, text.len);
                a->has_sbom[i] = true;
        }
        if (strcmp((*e)->predicate_type, KILN_PREDICATE_PROVENANCE) != 0)
                return 0;
        if (a->provenance)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, 0, "reading", a->name, "it has two provenances: which one?");
        a->provenance = TAKE_PTR(*e);
        return 0;
}

/* Hands every envelope to `each`, until it returns other than 0. */
static int for_each(struct attested *a, const struct kiln_verify_keys *keys,
        int (*each)(void *ctx, struct kiln_envelope **e, struct kiln_error *err), void *ctx,
        struct kiln_error *err)
{
        _cleanup_(kiln_envelopes_freep) struct kiln_envelopes *lines = NULL;
        int r = kiln_envelopes_open(a->dir_fd, a->name, &lines, err);

        while (r == 0) {
                _cleanup_(kiln_envelope_freep) struct kiln_envelope *e = NULL;

                r = kiln_envelopes_next(lines, keys, &e, err);
                if (r == KILN_ENVELOPES_END)
                        return 0;
                if (r == 0)
                        r = each(ctx, &e, err);
        }
        return r;
}

static int take_each(void *ctx, struct kiln_envelope **e, struct kiln_error *err)
{
        return take(ctx, e, err);
}

int attested_read(struct attested *a, const struct kiln_verify_keys *keys, struct kiln_error *err)
{
        int r = for_each(a, keys, take_each, a, err);

        if (r == 0 && !a->provenance)
                r = kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", a->name, "it has no provenance");
        /* Each is signed by itself: that one was left out takes no key. */
        for (size_t i = 0; r == 0 && i < SBOMS; i++)
                if (!a->has_sbom[i]) {
                        r = kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", a->name,
                                "it has no SBOM of type %s to compare", sbom_types[i]);
                        kiln_error_advise(
                                err, "Fetch the whole file from where the packages were published.");
                }
        return r;
}

int attested_open(const char *path, const struct kiln_verify_keys *keys, struct attested *a, int *ret_given,
        struct kiln_error *err)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        struct stat st;
        int r;

        *a = (struct attested){.dir_fd = -1};
        *ret_given = -1;
        if (fd < 0 || fstat(fd, &st) < 0) {
                kiln_error_set(err, KILN_BAD_INPUT, errno, "opening", path, "cannot open it");
                kiln_error_advise(err,
                        "Give a *" SUFFIX " file, an RPM that has one beside it, or a result directory.");
                return -ENOENT;
        }
        if (S_ISDIR(st.st_mode)) {
                r = open_dir(a, path, err);
                if (r == 0)
                        r = find_in_dir(a, err);
        } else if (kiln_ends_with(path, ".rpm")) {
                r = open_parent(a, path, err);
                if (r == 0)
                        r = find_beside_rpm(a, fd, path, err);
        } else {
                r = open_parent(a, path, err);
                a->name = kiln_strdup(kiln_path_base(path));
        }
        if (r == 0)
                r = attested_read(a, keys, err);
        if (r == 0 && kiln_ends_with(path, ".rpm"))
                *ret_given = TAKE_FD(fd);
        return r;
}

/* ---- the packages -------------------------------------------------------------------------------- */

void originals_free(struct original *o, size_t n)
{
        for (size_t i = 0; o && i < n; i++)
                kiln_closep(&o[i].fd);
        free(o);
}

static int original_digests(int fd, const char *name, const struct kiln_keyring *keyring,
        struct kiln_rpm_digests *ret, enum kiln_rpm_signature *ret_signature, struct kiln_error *err)
{
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *rpm = NULL;
        int r = kiln_rpm_open_published(fd, name, keyring, &rpm, err);

        if (r < 0)
                return r;
        if (kiln_digest_from_hex(rpm->header_sha256, &ret->header) < 0 ||
                kiln_digest_from_hex(rpm->payload_sha256, &ret->payload) < 0)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, 0, "checking", name, "it has no digests to compare by");
        *ret_signature = rpm->signature;
        return 0;
}

static int not_the_original(const struct attested *a, const char *name, struct kiln_error *err)
{
        kiln_error_set(err, KILN_NOT_REPRODUCED, 0, "checking", name,
                "its header or payload is not what the provenance in %s is about", a->name);
        kiln_error_advise(err, "One of them was changed or belongs to another build: fetch both again.");
        return -EBADMSG;
}

/* The file that was named: whatever its name, one subject is it. */
static int take_given(struct attested *a, int given, const char *path, const struct kiln_keyring *keyring,
        struct original *originals, struct kiln_error *err)
{
        const struct kiln_envelope *e = a->provenance;
        enum kiln_rpm_signature signature;
        struct kiln_rpm_digests d = {0};
        int r = original_digests(given, path, keyring, &d, &signature, err);

        if (r < 0)
                return r;
        for (size_t i = 0; i < e->n_subjects; i++) {
                if (!kiln_envelope_subject_matches(&e->subjects[i], &d, ~(unsigned)KILN_DIGESTS_CONTENT))
                        continue;
                originals[i].signature = signature;
                originals[i].fd = fcntl(given, F_DUPFD_CLOEXEC, 3);
                return originals[i].fd < 0 ? kiln_error_set(err, KILN_INFRA, errno, "opening", path,
                                                     "cannot open it again")
                                           : 0;
        }
        return not_the_original(a, path, err);
}

/* A file beside the attestations; that there is none is fine. One that cannot be looked at is not: it may
 * have been tampered with. */
static int take_beside(struct attested *a, const struct kiln_envelope_subject *s,
        const struct kiln_keyring *keyring, struct original *o, struct kiln_error *err)
{
        _cleanup_close_ int fd = openat(a->dir_fd, s->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        struct kiln_rpm_digests d = {0};
        struct stat st;
        int r;

        if (fd < 0 && errno == ENOENT)
                return 0;
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
                r = kiln_error_set(err, KILN_BAD_INPUT, fd < 0 ? errno : 0, "opening the original", s->name,
                        fd < 0 ? "cannot open it" : "it is no regular file");
                kiln_error_advise(
                        err, "Make it readable, or move it away: its digests are known without it.");
                return r;
        }
        r = original_digests(fd, s->name, keyring, &d, &o->signature, err);
        if (r < 0)
                return r;
        if (!kiln_envelope_subject_matches(s, &d, ~(unsigned)KILN_DIGESTS_CONTENT))
                return not_the_original(a, s->name, err);
        o->fd = TAKE_FD(fd);
        return 0;
}

int originals_open(struct attested *a, int given, const char *path, const struct kiln_keyring *keyring,
        struct original **ret, struct kiln_error *err)
{
        const struct kiln_envelope *e = a->provenance;
        struct original *o = kiln_calloc(e->n_subjects, sizeof(*o));
        int r = 0;

        for (size_t i = 0; i < e->n_subjects; i++)
                o[i].fd = -1;
        if (given >= 0)
                r = take_given(a, given, path, keyring, o, err);
        for (size_t i = 0; r == 0 && i < e->n_subjects; i++)
                if (o[i].fd < 0)
                        r = take_beside(a, &e->subjects[i], keyring, &o[i], err);
        if (r < 0) {
                originals_free(o, e->n_subjects);
                return r;
        }
        *ret = o;
        return 0;
}

/* ---- the SBOM ------------------------------------------------------------------------------------ */

struct wanted {
        const char *name;
        struct kiln_bom *bom;
};

static int bom_each(void *ctx, struct kiln_envelope **e, struct kiln_error *err)
{
        struct wanted *w = ctx;

        if (strcmp((*e)->predicate_type, KILN_PREDICATE_CYCLONEDX) != 0)
                return 0;
        return kiln_bom_read_cyclonedx((*e)->predicate, w->name, &w->bom, err);
}

struct kiln_bom *attested_bom(struct attested *a, const struct kiln_verify_keys *keys)
{
        struct wanted w = {.name = a->name};

        (void)for_each(a, keys, bom_each, &w, NULL);
        return w.bom;
}
