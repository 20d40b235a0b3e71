#include "worker/attest/attest.h"

#include "worker/attest/provenance.h"
#include "worker/attest/sbom.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* A file that is written, but not there yet. */
struct pending {
        char *aside; /* name below the result directory */
        struct kiln_attest_artefact artefact;
};

struct job {
        const struct kiln_attest_input *in;
        struct kiln_signer *signer;
        int dir_fd;
        struct pending *files;
        size_t n_files;
        struct kiln_subject *subjects; /* file names are the artefacts' */
        size_t n_subjects;
};

void kiln_attest_result_free(struct kiln_attest_result *r)
{
        if (!r)
                return;
        for (size_t i = 0; i < r->n_artefacts; i++)
                free(r->artefacts[i].name);
        free(r->artefacts);
        free(r);
}

/* What is still aside after an error goes away. */
static void job_clear(struct job *j)
{
        for (size_t i = 0; i < j->n_files; i++) {
                if (j->files[i].aside)
                        unlinkat(j->dir_fd, j->files[i].aside, 0);
                free(j->files[i].aside);
                free(j->files[i].artefact.name);
        }
        free(j->files);
        free(j->subjects);
}

static int no_write(struct kiln_error *err, const char *name, int r)
{
        return kiln_error_set(err, KILN_INFRA, -r, "writing the result", name, "cannot write it");
}

/* Begins a file; the descriptor is the caller's. */
static int begin(struct job *j, enum kiln_attest_kind kind, const char *name, struct kiln_error *err)
{
        struct pending *p;
        char *aside = kiln_asprintf(".%s.%d.part", name, getpid());
        int fd;

        unlinkat(j->dir_fd, aside, 0); /* of a process of this id that was killed */
        fd = openat(j->dir_fd, aside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0) {
                free(aside);
                return no_write(err, name, -errno);
        }
        p = KILN_APPEND(j->files, j->n_files);
        p->aside = aside;
        p->artefact.kind = kind;
        p->artefact.name = kiln_strdup(name);
        return fd;
}

static int check_input(const struct kiln_attest_input *in, struct kiln_error *err)
{
        size_t sources = 0;

        if (!*in->nvr || strchr(in->nvr, '/') || *in->nvr == '.')
                return kiln_error_set(
                        err, KILN_BAD_INPUT, EINVAL, "attesting", in->nvr, "it is no name for files");
        for (size_t i = 0; i < in->n_packages; i++) {
                int r = kiln_scan_check(in->packages[i].scan, in->packages[i].rpm, err);

                if (r < 0)
                        return r;
                sources += in->packages[i].rpm->source;
        }
        if (sources != 1)
                return kiln_error_set(err, KILN_BUILD_FAILED, EINVAL, "attesting", in->nvr,
                        "the build made %zu source packages instead of one", sources);
        return 0;
}

/* ---- packages
 * ----------------------------------------------------------------------------------------------------- */

static int copy_unsigned(
        const struct kiln_attest_package *p, int fd, struct kiln_subject *s, struct kiln_error *err)
{
        uint64_t bytes;
        int r = kiln_fd_copy(p->fd, fd, &bytes);

        if (r == 0)
                r = kiln_digest_of_fd(fd, &s->digests.unsigned_file, NULL);
        if (r < 0)
                return no_write(err, p->rpm->nevra, r);
        if (!kiln_digest_equal(&s->digests.unsigned_file, &p->rpm->file_sha256))
                return kiln_error_set(
                        err, KILN_INFRA, ESTALE, "copying", p->rpm->nevra, "it changed since it was read");
        s->digests.signed_file = s->digests.unsigned_file;
        if (kiln_digest_from_hex(p->rpm->header_sha256, &s->digests.header) < 0 ||
                kiln_digest_from_hex(p->rpm->payload_sha256, &s->digests.payload) < 0)
                return kiln_error_set(err, KILN_BUILD_FAILED, EBADMSG, "attesting", p->rpm->nevra,
                        "it has no SHA-256 digests of its header and payload");
        return 0;
}

static int add_package(struct job *j, const struct kiln_attest_package *p, struct kiln_error *err)
{
        _cleanup_free_ char *name = kiln_asprintf("%s.%s.rpm", p->rpm->nvr, p->rpm->arch);
        _cleanup_close_ int fd = -1;
        struct kiln_attest_artefact *a;
        struct kiln_subject s = {0};
        struct stat st;
        int r;

        fd = begin(j, p->rpm->source ? KILN_ATTEST_SRPM : KILN_ATTEST_RPM, name, err);
        if (fd < 0)
                return fd;
        if (j->signer) {
                r = kiln_signer_rpm(j->signer, p->fd, name, &p->rpm->file_sha256, j->in->source_date_epoch_s,
                        fd, &s, err);
                if (r == 0 && strcmp(s.file_name, name) != 0)
                        r = kiln_error_set(err, KILN_BUILD_FAILED, EBADMSG, "signing", name,
                                "its header names it %s", s.file_name);
                free(s.file_name);
        } else {
                r = copy_unsigned(p, fd, &s, err);
        }
        if (r < 0)
                return r;
        if (fsync(fd) < 0 || fstat(fd, &st) < 0)
                return no_write(err, name, -errno);
        a = &j->files[j->n_files - 1].artefact;
        a->size_bytes = (uint64_t)st.st_size;
        a->sha256 = s.digests.signed_file;
        a->digests = s.digests;
        s.file_name = a->name;
        *KILN_APPEND(j->subjects, j->n_subjects) = s;
        return 0;
}

/* ---- documents
 * ----------------------------------------------------------------------------------------------------- */

static int add_document(struct job *j, enum kiln_attest_kind kind, const char *suffix,
        const struct kiln_buf *text, struct kiln_error *err)
{
        _cleanup_free_ char *name = kiln_asprintf("%s.%s", j->in->nvr, suffix);
        _cleanup_close_ int fd = begin(j, kind, name, err);
        struct kiln_attest_artefact *a;
        int r;

        if (fd < 0)
                return fd;
        r = kiln_fd_write(fd, text->data, text->len);
        if (r == 0 && fsync(fd) < 0)
                r = -errno;
        if (r < 0)
                return no_write(err, name, r);
        a = &j->files[j->n_files - 1].artefact;
        a->size_bytes = text->len;
        a->sha256 = kiln_digest_of(text->data, text->len);
        return 0;
}

static int add_statement(struct job *j, enum kiln_subject_form form, const char *type, json_t *predicate,
        struct kiln_buf *envelopes, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;

        kiln_statement_write(j->subjects, j->n_subjects, form, type, predicate, &text);
        return kiln_signer_statement(j->signer, text.data, text.len, envelopes, err);
}

static int add_sbom(struct job *j, enum kiln_attest_kind kind, const char *suffix, const char *type,
        json_t *sbom, struct kiln_buf *envelopes, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        int r;

        kiln_json_pretty(sbom, &text);
        r = add_document(j, kind, suffix, &text, err);
        if (r < 0 || !j->signer)
                return r;
        return add_statement(j, KILN_SUBJECT_CONTENT, type, sbom, envelopes, err);
}

static int add_documents(struct job *j, struct kiln_digest *ret_definition, struct kiln_error *err)
{
        const struct kiln_attest_input *in = j->in;
        _cleanup_(kiln_sbom_freep) struct kiln_sbom *sbom = kiln_sbom_new(in);
        _cleanup_json_ json_t *definition = kiln_provenance_definition(in), *spdx = kiln_spdx_write(sbom),
                              *cyclonedx = kiln_cyclonedx_write(sbom);
        _cleanup_buf_ struct kiln_buf envelopes = KILN_BUF_INIT, canonical = KILN_BUF_INIT;
        int r = 0;

        kiln_json_canonical(definition, &canonical);
        *ret_definition = kiln_digest_of(canonical.data, canonical.len);
        if (j->signer) {
                _cleanup_json_ json_t *provenance = kiln_provenance_write(in, TAKE_PTR(definition));

                r = add_statement(
                        j, KILN_SUBJECT_ALL, KILN_PREDICATE_PROVENANCE, provenance, &envelopes, err);
        }
        if (r == 0)
                r = add_sbom(j, KILN_ATTEST_SPDX, "spdx.json", KILN_PREDICATE_SPDX, spdx, &envelopes, err);
        if (r == 0)
                r = add_sbom(j, KILN_ATTEST_CYCLONEDX, "cdx.json", KILN_PREDICATE_CYCLONEDX, cyclonedx,
                        &envelopes, err);
        for (size_t i = 0; r == 0 && j->signer && i < in->n_tests; i++) {
                _cleanup_json_ json_t *test = kiln_test_result_write(in, &in->tests[i]);

                r = add_statement(j, KILN_SUBJECT_ALL, KILN_PREDICATE_TEST, test, &envelopes, err);
        }
        if (r == 0 && j->signer)
                r = add_document(j, KILN_ATTEST_ENVELOPES, "intoto.jsonl", &envelopes, err);
        return r;
}

/* ---- all
 * --------------------------------------------------------------------------------------------------------------
 */

static int publish(struct job *j, struct kiln_error *err)
{
        for (size_t i = 0; i < j->n_files; i++) {
                struct pending *p = &j->files[i];

                if (renameat(j->dir_fd, p->aside, j->dir_fd, p->artefact.name) < 0)
                        return no_write(err, p->artefact.name, -errno);
                free(TAKE_PTR(p->aside));
        }
        return fsync(j->dir_fd) < 0 ? no_write(err, NULL, -errno) : 0;
}

int kiln_attest(const struct kiln_context *c, struct kiln_signer *signer, const struct kiln_attest_input *in,
        int out_dir_fd, struct kiln_attest_result **ret, struct kiln_error *err)
{
        _cleanup_(job_clear) struct job j = {.in = in, .signer = signer, .dir_fd = out_dir_fd};
        _cleanup_(kiln_attest_result_freep) struct kiln_attest_result *result =
                kiln_calloc(1, sizeof(*result));
        int r = check_input(in, err);

        for (size_t i = 0; r == 0 && i < in->n_packages; i++) {
                kiln_sink_progress(&c->sink, "attest", in->packages[i].rpm->nevra, i, in->n_packages);
                r = kiln_context_check(c, "attesting", err);
                if (r == 0)
                        r = add_package(&j, &in->packages[i], err);
        }
        if (r == 0)
                r = add_documents(&j, &result->build_definition, err);
        if (r == 0)
                r = kiln_context_check(c, "attesting", err);
        if (r == 0)
                r = publish(&j, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < j.n_files; i++) {
                struct kiln_attest_artefact *a = KILN_APPEND(result->artefacts, result->n_artefacts);

                *a = j.files[i].artefact;
                j.files[i].artefact.name = NULL;
        }
        *ret = TAKE_PTR(result);
        return 0;
}
