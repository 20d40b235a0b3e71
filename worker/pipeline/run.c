/* The whole line, and its ending: whatever happens, a BuildResult with one verdict. */
#include "worker/attest/attest.h"
#include "worker/base/clock.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/base/text.h"
#include "worker/pipeline/inputs.h"
#include "worker/pipeline/inspect.h"
#include "worker/pipeline/job.h"
#include "worker/pipeline/publish.h"
#include "worker/pipeline/report/report.h"
#include "worker/pipeline/stamp.h"
#include "worker/pipeline/vary.h"

#include <errno.h>
#include <string.h>

static int build(struct kiln_job *j, struct kiln_error *err)
{
        _cleanup_strv_ char **problems = NULL;
        uint64_t begin_ns = kiln_clock_ns();
        int r;

        j->build_started_s = kiln_clock_wall_s();
        r = kiln_build_packages(j->build, &j->root, err);
        if (r < 0)
                return r;
        j->build_ns = kiln_clock_ns() - begin_ns;
        record_phase(j->record, "package");
        r = kiln_build_collect(j->build, &j->built, &j->n_built, err);
        if (r < 0 || !j->pool)
                return r;

        _cleanup_free_ int *fds = kiln_calloc(j->n_built, sizeof(*fds));
        _cleanup_free_ const char **names = kiln_calloc(j->n_built, sizeof(*names));
        size_t n = 0;
        for (size_t i = 0; i < j->n_built; i++) {
                if (j->built[i].rpm->source)
                        continue;
                fds[n] = j->built[i].fd;
                names[n++] = j->built[i].name;
        }
        r = kiln_pool_installable(j->pool, fds, names, n, &problems, err);
        for (char **p = problems; r == 0 && p && *p; p++)
                record_finding(j->record, true, "package.not-installable", j->srpm->nvr, "%s", *p);
        return r;
}

/* ---- attesting
 * ------------------------------------------------------------------------------------------------- */

struct materials {
        struct kiln_attest_material *list;
        size_t n;
};

static void materials_fill(const struct kiln_job *j, struct materials *m)
{
        const Kiln__V1__Build *b = j->request->build;
        struct kiln_attest_material *source;

        source = KILN_APPEND(m->list, m->n);
        *source = (struct kiln_attest_material){b->source->name,
                b->source->n_urls ? b->source->urls[0] : NULL, "source", j->srpm->file_sha256};
        for (size_t i = 0; i < b->n_overlays; i++) {
                const Kiln__V1__Overlay *o = b->overlays[i];
                struct kiln_attest_material *one = KILN_APPEND(m->list, m->n);

                *one = (struct kiln_attest_material){o->name,
                        o->content_case == KILN__V1__OVERLAY__CONTENT_URL ? o->url : NULL, "overlay",
                        j->overlay_digests[i]};
        }
}

/* Everything that is put into externalParameters: kiln.v1.Build as JSON. */
static int request_json(const struct kiln_job *j, json_t **ret, struct kiln_error *err)
{
        _cleanup_free_ char *text = NULL;
        struct kiln_message_error merr;

        if (kiln_message_to_json((const ProtobufCMessage *)j->request->build, false, &text, &merr) < 0)
                return kiln_error_set(err, KILN_INFRA, 0, "writing", "the request", "%s", merr.text);
        return kiln_json_parse(text, strlen(text), "the request", ret, err);
}

static json_t *limits_json(const struct kiln_job *j)
{
        const struct kiln_sandbox_limits *l = &j->params.limits;

        return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b}", "wallSeconds",
                (json_int_t)l->wall_s, "silenceSeconds", (json_int_t)l->silence_s, "cpuSeconds",
                (json_int_t)l->cpu_s, "memoryBytes", (json_int_t)l->memory_bytes, "processes",
                (json_int_t)l->pids, "outputBytes", (json_int_t)l->output_bytes, "diskBytes",
                (json_int_t)l->disk_bytes, "hard", l->hard, "cgroup", kiln_build_usage(j->build)->cgroup);
}

/* What a rebuild from the provenance alone needs besides the dependencies: how they make up the lock. */
static json_t *internal_json(const struct kiln_job *j)
{
        struct kiln_digest d = kiln_lock_digest(j->lock);
        _cleanup_free_ char *hex = record_hex(&d);

        return json_pack("{s:{s:s, s:b, s:s}, s:I}", "lock", "arch", j->lock->arch, "full", j->lock->full,
                "sha256", hex, "sourceDateEpoch", (json_int_t)j->epoch_s);
}

static int open_signer(const struct kiln_job *j, struct kiln_signer **ret, struct kiln_error *err)
{
        switch (j->request->signing ? j->request->signing->mode : KILN__V1__SIGNING__MODE__LOCAL) {
        case KILN__V1__SIGNING__MODE__UNSIGNED:
                *ret = NULL;
                return 0;
        case KILN__V1__SIGNING__MODE__SERVED:
                return kiln_signer_connect(j->context, j->request->signing->socket, ret, err);
        default:
                return kiln_signer_spawn(j->context, NULL, ret, err);
        }
}

static const Kiln__V1__Artefact__Kind attest_kinds[] = {
        [KILN_ATTEST_RPM] = KILN__V1__ARTEFACT__KIND__RPM,
        [KILN_ATTEST_SRPM] = KILN__V1__ARTEFACT__KIND__SRPM,
        [KILN_ATTEST_SPDX] = KILN__V1__ARTEFACT__KIND__SPDX,
        [KILN_ATTEST_CYCLONEDX] = KILN__V1__ARTEFACT__KIND__CYCLONEDX,
        [KILN_ATTEST_ENVELOPES] = KILN__V1__ARTEFACT__KIND__ATTESTATIONS,
};

static void record_attested(
        struct kiln_job *j, const struct kiln_attest_result *result, const struct kiln_signer *signer)
{
        for (size_t i = 0; i < result->n_artefacts; i++) {
                const struct kiln_attest_artefact *from = &result->artefacts[i];
                Kiln__V1__Artefact *a = RECORD_NEW(Kiln__V1__Artefact, kiln__v1__artefact__init);
                _cleanup_free_ char *hex = record_hex(&from->sha256);

                record_set(&a->name, from->name);
                record_set(&a->sha256, hex);
                a->kind = attest_kinds[from->kind];
                a->size_bytes = from->size_bytes;
                if (from->kind == KILN_ATTEST_RPM || from->kind == KILN_ATTEST_SRPM) {
                        const struct kiln_rpm *rpm = j->built[i].rpm; /* packages come in the input's order */
                        _cleanup_free_ char *unsigned_hex = record_hex(&rpm->file_sha256);

                        record_set(&a->header_sha256, rpm->header_sha256);
                        record_set(&a->payload_sha256, rpm->payload_sha256);
                        record_set(&a->unsigned_sha256, unsigned_hex);
                        record_set(&a->nevra, rpm->nevra);
                        if (signer)
                                record_set(&a->signer, kiln_signer_public(signer)->openpgp_fingerprint);
                }
                record_artefact(j->record, a);
        }
}

static void scans_free(struct kiln_scan **scans, size_t n)
{
        for (size_t i = 0; scans && i < n; i++)
                kiln_scan_free(scans[i]);
        free(scans);
}

static int scan(struct kiln_job *j, struct kiln_scan ***ret, struct kiln_error *err)
{
        struct kiln_scan **scans = kiln_calloc(j->n_built, sizeof(*scans));
        _cleanup_free_ int *fds = kiln_calloc(j->n_built, sizeof(*fds));
        _cleanup_free_ const struct kiln_rpm **rpms = kiln_calloc(j->n_built, sizeof(*rpms));
        int r;

        for (size_t i = 0; i < j->n_built; i++) {
                fds[i] = j->built[i].fd;
                rpms[i] = j->built[i].rpm;
        }
        r = kiln_scan_packages(j->context, &j->idmap, fds, rpms, j->n_built, scans, err);
        if (r < 0) {
                scans_free(scans, j->n_built);
                return r;
        }
        *ret = scans;
        return 0;
}

static int attest(struct kiln_job *j, const struct inspection *isa, const struct inputs *inputs,
        const struct variation *varied, struct kiln_tsa *tsa, struct publication *p, struct kiln_error *err)
{
        static const enum kiln_profile profiles[] = {
                KILN_PROFILE_INSTALL, KILN_PROFILE_BUILD, KILN_PROFILE_CHECK};
        const Kiln__V1__BuildResult *so_far = record_result(j->record);
        _cleanup_(kiln_signer_freep) struct kiln_signer *signer = NULL;
        _cleanup_(kiln_attest_result_freep) struct kiln_attest_result *result = NULL;
        _cleanup_json_ json_t *request = NULL, *limits = limits_json(j), *internal = internal_json(j);
        _cleanup_free_ struct kiln_attest_package *packages = kiln_calloc(j->n_built, sizeof(*packages));
        struct kiln_attest_policy policies[2];
        struct kiln_attest_denied denied[KILN_ARRAY_SIZE(((struct kiln_build_usage *)0)->denied)];
        const struct kiln_build_usage *usage = kiln_build_usage(j->build);
        struct materials materials = {0};
        struct kiln_scan **scans = NULL;
        struct kiln_attest_test tests[] = {{.name = "isa",
                                                   .passed = isa->passed,
                                                   .warnings = isa->warnings,
                                                   .failures = isa->failures,
                                                   .details = isa->report},
                {.name = "reproducible",
                        .failed = !varied->reproduced,
                        .passed = varied->passed,
                        .warnings = varied->warnings,
                        .failures = varied->failures,
                        .details = varied->details}};
        struct kiln_attest_input in = {
                .nvr = j->parsed->nvr,
                .vendor = j->toolchain->vendor,
                .source_date_epoch_s = j->epoch_s,
                .lock = j->lock,
                .opened = inputs->opened,
                .opened_sources = inputs->sources,
                .packages = packages,
                .n_packages = j->n_built,
                .started_s = so_far->started_s,
                .finished_s = kiln_clock_wall_s(),
                .host = so_far->host->worker,
                .id_mode = so_far->id_mode,
                .cpu_model = so_far->host->cpu_model,
                .policies = policies,
                .n_policies = KILN_ARRAY_SIZE(policies),
                .denied = denied,
                .n_denied = usage->n_denied,
                .limits = limits,
                .tests = tests,
                .n_tests = varied->done ? 2 : 1,
        };
        int r;

        r = request_json(j, &request, err);
        if (r == 0)
                r = open_signer(j, &signer, err);
        if (r == 0)
                r = scan(j, &scans, err);
        if (r < 0)
                return r;
        tests[0].warned = isa->warnings[0] != NULL;
        tests[1].warned = varied->warnings != NULL;
        in.request = request;
        in.internal = internal;
        if (kiln_digest_from_hex(j->build_digest, &in.build_digest) < 0)
                return kiln_error_set(err, KILN_INFRA, 0, "attesting", j->srpm->nvr, "no build digest");
        for (size_t i = 0; i < j->n_built; i++)
                packages[i] = (struct kiln_attest_package){j->built[i].fd, j->built[i].rpm, scans[i]};
        for (size_t i = 0; i < KILN_ARRAY_SIZE(policies); i++) {
                enum kiln_profile profile = i == 0 ? profiles[0] : j->params.profile;
                const char *text = kiln_profile_text(profile);

                policies[i] = (struct kiln_attest_policy){
                        kiln_profile_name(profile), kiln_digest_of(text, strlen(text))};
        }
        for (size_t i = 0; i < usage->n_denied; i++)
                denied[i] = (struct kiln_attest_denied){usage->denied[i].name, usage->denied[i].count};
        materials_fill(j, &materials);
        in.materials = materials.list;
        in.n_materials = materials.n;
        r = kiln_attest(j->context, signer, &in, p->stage_fd, &result, err);
        if (r == 0)
                record_attested(j, result, signer);
        if (r == 0 && tsa)
                r = stamp_attestations(j, tsa, kiln_signer_public(signer)->attest_pem, in.nvr, p, err);
        free(materials.list);
        scans_free(scans, j->n_built);
        return r;
}

static int observe(struct kiln_job *j, struct publication *p, struct inputs *inputs, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        int r = inputs_observe(j, inputs, err);

        if (r < 0)
                return r;
        kiln_json_pretty(j->inputs, &text);
        return publication_add(
                p, j->record, "inputs.json", KILN__V1__ARTEFACT__KIND__INPUTS, text.data, text.len, err);
}

/* ---- the end
 * --------------------------------------------------------------------------------------------------- */

/* Verdicts that another worker cannot change. */
static bool verdict_is_final(enum kiln_verdict v)
{
        return v == KILN_BUILD_FAILED || v == KILN_BAD_INPUT || v == KILN_USAGE;
}

static void result_error(struct kiln_job *j, const struct kiln_error *err)
{
        Kiln__V1__BuildResult *result = record_result(j->record);
        Kiln__V1__Error *e = RECORD_NEW(Kiln__V1__Error, kiln__v1__error__init);

        record_set(&e->doing, err->doing);
        record_set(&e->subject, err->subject);
        record_set(&e->cause, err->cause);
        record_set(&e->advice, err->advice);
        record_set(&e->phase, record_phase_name(j->record));
        if (err->verdict == KILN_BUILD_FAILED && j->build) {
                _cleanup_buf_ struct kiln_buf clean = KILN_BUF_INIT;
                const char *tail = kiln_build_tail(j->build);

                kiln_text_clean(&clean, tail, strlen(tail), KILN_TEXT_LINES);
                record_set(&e->log_tail, kiln_buf_str(&clean));
        }
        result->error = e;
        result->verdict = (Kiln__V1__Verdict)err->verdict;
        result->final = verdict_is_final(err->verdict);
}

static int stage_report(struct kiln_job *j, struct publication *p, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf page = KILN_BUF_INIT, lock_text = KILN_BUF_INIT;
        _cleanup_json_ json_t *result = NULL, *lock = NULL;
        _cleanup_free_ char *text = NULL;
        struct kiln_message_error merr;

        if (kiln_message_to_json((ProtobufCMessage *)record_result(j->record), false, &text, &merr) < 0)
                return kiln_error_set(err, KILN_INFRA, 0, "writing", "result.json", "%s", merr.text);
        if (kiln_json_parse(text, strlen(text), "the result", &result, err) < 0)
                return -EIO;
        if (j->lock) {
                kiln_lock_write(j->lock, &lock_text);
                if (kiln_json_parse(lock_text.data, lock_text.len, "the lock", &lock, err) < 0)
                        return -EIO;
        }
        if (kiln_report_write(result, lock, j->inputs, j->build ? kiln_build_tail(j->build) : NULL, &page) <
                0)
                return kiln_error_set(
                        err, KILN_INFRA, 0, "writing", "report.html", "the result is no object");
        return publication_add(
                p, j->record, "report.html", KILN__V1__ARTEFACT__KIND__REPORT, page.data, page.len, err);
}

/* Logs, lock, report and result.json; of a failed build too. */
static int finish(struct kiln_job *j, struct publication *p, struct kiln_error *err)
{
        Kiln__V1__BuildResult *result = record_result(j->record);
        _cleanup_free_ char *text = NULL;
        struct kiln_message_error merr;
        int build_fd = -1, root_fd = -1, r;

        record_phase(j->record, "publish");
        r = record_logs_close(j->record, &build_fd, &root_fd, err);
        if (r == 0)
                r = publication_add_fd(
                        p, j->record, "build.log.zst", KILN__V1__ARTEFACT__KIND__BUILD_LOG, build_fd, err);
        if (r == 0)
                r = publication_add_fd(
                        p, j->record, "root.log.zst", KILN__V1__ARTEFACT__KIND__ROOT_LOG, root_fd, err);
        if (r == 0 && j->lock) {
                _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
                struct kiln_digest d = kiln_lock_digest(j->lock);
                _cleanup_free_ char *hex = record_hex(&d);

                kiln_lock_write(j->lock, &b);
                record_set(&result->lock_digest, hex);
                r = publication_add(
                        p, j->record, "lock.json", KILN__V1__ARTEFACT__KIND__LOCK, b.data, b.len, err);
        }
        if (r < 0)
                return r;
        if (result->verdict == KILN__V1__VERDICT__OK) {
                char hex[KILN_DIGEST_HEX + 1];

                if (kiln_outputs_digest(result, hex, &merr) < 0)
                        return kiln_error_set(err, KILN_INFRA, 0, "naming", "the outputs", "%s", merr.text);
                record_set(&result->outputs_digest, hex);
        }
        result->finished_s = kiln_clock_wall_s();
        r = stage_report(j, p, err);
        if (r < 0)
                return r;
        /* Publishing a failure is no failure. */
        record_phase_end(j->record, KILN_OK);
        if (kiln_message_to_json((ProtobufCMessage *)result, true, &text, &merr) < 0)
                return kiln_error_set(err, KILN_INFRA, 0, "writing", "result.json", "%s", merr.text);
        r = publication_add(
                p, NULL, "result.json", KILN__V1__ARTEFACT__KIND__KIND_UNSPECIFIED, text, strlen(text), err);
        return r < 0 ? r : publication_commit(p, err);
}

static int run(struct kiln_job *j, struct publication *p, struct kiln_error *err)
{
        _cleanup_(inspection_clear) struct inspection isa = {0};
        _cleanup_(inputs_clear) struct inputs inputs = {0};
        _cleanup_(variation_clear) struct variation varied = {0};
        _cleanup_(kiln_tsa_freep) struct kiln_tsa *tsa = NULL;
        int r = stamp_open(j, &tsa, err);

        if (r == 0)
                r = kiln_job_prepare(j, err);
        if (r == 0)
                r = build(j, err);
        if (r == 0) {
                record_phase(j->record, "isa");
                r = inspect_isa(j, &isa, err);
        }
        if (r == 0 && j->request->check_reproducible) {
                record_phase(j->record, "vary");
                r = vary(j, &varied, err);
        }
        if (r == 0) {
                record_phase(j->record, "attest");
                if (j->params.observe)
                        r = observe(j, p, &inputs, err);
        }
        if (r == 0)
                r = attest(j, &isa, &inputs, &varied, tsa, p, err);
        if (r == 0 && varied.done && !varied.reproduced) {
                kiln_error_set(err, KILN_NOT_REPRODUCED, 0, "building a second time", j->srpm->nvr, "%s",
                        varied.culprit);
                kiln_error_advise(err,
                        "report.html lists what differs; the packages of the first build are in the "
                        "result.");
                r = -EIO;
        }
        return r;
}

/* A build whose layers or scratch directory somebody removed meanwhile neither succeeded nor failed: what it
 * missed is not the package's fault. */
static int check_caches(struct kiln_job *j, int r, struct kiln_error *err)
{
        _cleanup_error_ struct kiln_error why = KILN_ERROR_INIT;
        int n = 0;

        if (r < 0 && err->verdict != KILN_BUILD_FAILED && err->verdict != KILN_BAD_INPUT &&
                err->verdict != KILN_NOT_REPRODUCED && err->verdict != KILN_INFRA)
                return r;
        if (j->build && kiln_build_intact(j->build) < 0) {
                n = kiln_error_set(&why, KILN_INFRA, ESTALE, "building", j->srpm->nvr,
                        "the scratch directory below %s was removed meanwhile", j->context->cache_dir);
                kiln_error_advise(&why, "Run the same command again.");
        } else if (j->root.n_layers) {
                n = kiln_root_check(j->context, &j->root, &j->idmap, &why);
        }
        if (n == 0)
                return r;
        kiln_error_clear(err);
        *err = why;
        why = (struct kiln_error)KILN_ERROR_INIT;
        return n;
}

/* The outcome is INFRA when even the result could not be written: nobody must believe in it. */
static void failed_late(struct kiln_job *j, const struct kiln_error *err)
{
        Kiln__V1__BuildResult *result = record_result(j->record);

        if (result->error) {
                kiln_message_free((ProtobufCMessage *)result->error);
                result->error = NULL;
        }
        record_set(&result->outputs_digest, "");
        result_error(j, err);
}

/* The result directory, with the logs in it. */
static int open_publication(
        struct kiln_job *j, const char *directory, struct publication *p, struct kiln_error *err)
{
        int r = publication_open(p, directory, err);

        return r < 0 ? r : record_logs_open(j->record, p->stage_fd, err);
}

/* The one way to end: r and *err say how the job went, late_r and *late whether there is a result directory.
 * The outputs of a build that is not reproducible are promised as those of a good one are: without them the
 * job ends with *late. A failure stays what it is. */
static Kiln__V1__BuildResult *conclude(struct kiln_job *j, struct publication *p, int r, int late_r,
        struct kiln_error *late, struct kiln_error *err)
{
        const struct kiln_sink *sink = &j->context->sink;

        if (r < 0) {
                record_phase_end(j->record, err->verdict);
                result_error(j, err);
        }
        if (late_r == 0)
                late_r = finish(j, p, late);
        if (late_r < 0 && (r == 0 || err->verdict == KILN_NOT_REPRODUCED)) {
                if (r < 0)
                        kiln_sink_warning(sink, "it is not reproducible: %s", err->cause);
                kiln_error_clear(err);
                *err = *late;
                *late = (struct kiln_error)KILN_ERROR_INIT;
                failed_late(j, err);
        } else if (late_r < 0) {
                kiln_sink_warning(
                        sink, "the result directory is not written: %s: %s", late->subject, late->cause);
        }
        return record_take(j->record);
}

Kiln__V1__BuildResult *kiln_pipeline_rerun(const struct kiln_context *c,
        const Kiln__V1__BuildRequest *request, const struct kiln_lock *lock, struct kiln_error *err)
{
        _cleanup_(publication_close) struct publication p = PUBLICATION_INIT;
        _cleanup_(kiln_job_closep) struct kiln_job *j = NULL;
        _cleanup_error_ struct kiln_error late = KILN_ERROR_INIT;
        int r = kiln_job_open(c, request, &j, err);
        int late_r;

        j->solved = lock;
        if (request->destination && request->destination->to_case == KILN__V1__DESTINATION__TO_DIRECTORY)
                late_r = open_publication(j, request->destination->directory, &p, &late);
        else
                late_r = kiln_error_set(&late, KILN_BAD_INPUT, 0, "publishing", "the result",
                        "the request names no directory");
        if (r == 0 && late_r == 0)
                r = check_caches(j, run(j, &p, err), err);
        if (j->build)
                record_usage(j->record, kiln_build_usage(j->build));
        return conclude(j, &p, r, late_r, &late, err);
}

Kiln__V1__BuildResult *kiln_pipeline_give_up(
        const struct kiln_context *c, const char *directory, struct kiln_error *err)
{
        _cleanup_(publication_close) struct publication p = PUBLICATION_INIT;
        _cleanup_(kiln_job_closep) struct kiln_job *j = job_new(c);
        _cleanup_error_ struct kiln_error late = KILN_ERROR_INIT;
        int late_r = open_publication(j, directory, &p, &late);

        return conclude(j, &p, -EIO, late_r, &late, err);
}

Kiln__V1__BuildResult *kiln_pipeline_run(
        const struct kiln_context *c, const Kiln__V1__BuildRequest *request, struct kiln_error *err)
{
        return kiln_pipeline_rerun(c, request, NULL, err);
}
