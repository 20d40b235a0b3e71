/* A job from its request: toolchain, source, overlays, keys and limits. What comes next is job-root.c. */
#include "worker/pipeline/job.h"
#include "worker/pipeline/vary.h"

#include "worker/attest/isa/isa.h"
#include "worker/base/clock.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <string.h>

#define OVERLAY_BYTES_MAX ((size_t)1 << 20)

/* A job's own limits where the request has none: generous, so that only runaway builds meet them. */
static const struct kiln_sandbox_limits limits_default = {
        .wall_s = 24 * 3600,
        .silence_s = 2 * 3600,
        .output_bytes = (uint64_t)1 << 30,
        .disk_bytes = (uint64_t)128 << 30,
        .pids = 16384,
};

int job_request_error(struct kiln_error *err, const struct kiln_message_error *e)
{
        return kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", "the request", "%s", e->text);
}

static void build_log(void *ctx, const void *data, size_t len)
{
        record_build_log(ctx, data, len);
}

static void build_phase(void *ctx, const char *phase)
{
        record_phase(ctx, phase);
}

/* ---- inputs
 * ---------------------------------------------------------------------------------------------------- */

int job_open_toolchain(const struct kiln_context *c, const Kiln__V1__Toolchain *wanted,
        struct kiln_toolchain **ret, struct kiln_error *err)
{
        _cleanup_(kiln_toolchain_freep) struct kiln_toolchain *t = NULL;
        char hex[KILN_DIGEST_HEX + 1];
        int r = kiln_toolchain_load(c, wanted->name, &t, err);

        if (r < 0)
                return r;
        kiln_digest_to_hex(&t->digest, hex);
        if (strcmp(hex, wanted->digest) != 0) {
                kiln_error_set(err, KILN_REFUSED, 0, "loading toolchain", wanted->name,
                        "this host's definition has digest %s, the request asks for %s", hex, wanted->digest);
                kiln_error_advise(
                        err, "Install the definition the request was made with, or send it elsewhere.");
                return -EPERM;
        }
        *ret = TAKE_PTR(t);
        return 0;
}

static int check_host(struct kiln_job *j, struct kiln_error *err)
{
        enum kiln_isa_level host = kiln_isa_host_level(),
                            wanted = (enum kiln_isa_level)j->request->build->isa;
        struct kiln_sandbox_error serr = {0};
        unsigned cpus;

        if (host < wanted) {
                kiln_error_set(err, KILN_REFUSED, 0, "checking", "this host",
                        "its CPU has level %s, the build asks for %s: %%check and generated tools would not "
                        "run",
                        kiln_isa_level_name(host), kiln_isa_level_name(wanted));
                kiln_error_advise(
                        err, "Send it to another worker, or build with --isa %s.", kiln_isa_level_name(host));
                return -EPERM;
        }
        if (kiln_idmap_find(KILN_ID_AUTO, &j->idmap, &serr) < 0)
                return kiln_error_from_sandbox(err, &serr, "looking for", "a mapping of user ids");
        record_set(&record_result(j->record)->id_mode, kiln_id_mode_name(j->idmap.mode));
        cpus = j->request->build->cpus ? j->request->build->cpus : j->toolchain->cpus;
        if (cpus > record_result(j->record)->host->cpus)
                record_finding(j->record, false, "host.cpus", NULL,
                        "the build asks to see %u CPUs, this host can show %u: nproc and /proc/cpuinfo tell "
                        "the smaller number",
                        cpus, record_result(j->record)->host->cpus);
        return 0;
}

static int open_keyring(struct kiln_job *j, struct kiln_error *err)
{
        const Kiln__V1__Source *s = j->request->build->source;
        int r = 0;

        j->keyring = kiln_keyring_new();
        for (size_t i = 0; i < j->toolchain->n_keys && r == 0; i++)
                r = kiln_keyring_add(
                        j->keyring, j->toolchain->keys[i].armor, j->toolchain->keys[i].name, err);
        for (size_t i = 0; i < s->n_keys && r == 0; i++)
                r = kiln_keyring_add(j->keyring, s->keys[i], "a key of the request", err);
        return r;
}

static int fetch_source(struct kiln_job *j, struct kiln_error *err)
{
        const Kiln__V1__Source *s = j->request->build->source;
        _cleanup_free_ const char **urls = kiln_calloc(s->n_urls + 1, sizeof(*urls));
        struct kiln_fetch f = {.name = s->name, .urls = urls};
        int r;

        if (kiln_digest_from_hex(s->sha256, &f.sha256) < 0)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, 0, "reading", "the request", "source.sha256 is no digest");
        for (size_t i = 0; i < s->n_urls; i++)
                urls[i] = s->urls[i];
        r = kiln_store_find(j->store, &f.sha256, &j->srpm_fd);
        if (r == KILN_STORE_ABSENT && s->n_urls == 0)
                return kiln_error_set(err, KILN_BAD_INPUT, ENOENT, "fetching", s->name,
                        "the request names no URL and the store has no %s", s->sha256);
        if (r == KILN_STORE_ABSENT) {
                r = kiln_store_fetch(j->store, "fetch", &f, 1, err);
                if (r < 0)
                        return r;
        }
        /* What was built is what the request names, whatever happened to the store since. */
        kiln_closep(&j->srpm_fd);
        j->srpm_fd = -1;
        r = kiln_store_find_verified(j->store, &f.sha256, &j->srpm_fd);
        return r == 0 ? 0
                      : kiln_error_set(err, KILN_INFRA, r < 0 ? r : ENOENT, "reading", s->name, "the store");
}

/* By digest, so that the store has it for whoever builds this again. */
static int fetch_overlay(
        struct kiln_job *j, const Kiln__V1__Overlay *o, struct kiln_buf *text, struct kiln_error *err)
{
        const char *urls[] = {o->url, NULL};
        struct kiln_fetch f = {.name = o->name, .urls = urls, .max_bytes = OVERLAY_BYTES_MAX};
        _cleanup_close_ int fd = -1;
        int r;

        if (kiln_digest_from_hex(o->sha256, &f.sha256) < 0)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, 0, "reading overlay", o->name, "its sha256 is no digest");
        r = kiln_store_fetch(j->store, "fetch", &f, 1, err);
        if (r < 0)
                return r;
        r = kiln_store_find_verified(j->store, &f.sha256, &fd);
        if (r == 0)
                r = kiln_fd_read(fd, OVERLAY_BYTES_MAX, text);
        return r == 0 ? 0
                      : kiln_error_set(
                                err, KILN_INFRA, r < 0 ? r : ENOENT, "reading overlay", o->name, "the store");
}

static int open_overlays(struct kiln_job *j, struct kiln_error *err)
{
        const Kiln__V1__Build *b = j->request->build;
        int r = 0;

        j->overlays = kiln_calloc(b->n_overlays + 1, sizeof(*j->overlays));
        j->overlay_digests = kiln_calloc(b->n_overlays + 1, sizeof(*j->overlay_digests));
        for (size_t i = 0; i < b->n_overlays && r == 0; i++) {
                const Kiln__V1__Overlay *o = b->overlays[i];
                _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
                struct kiln_digest d;

                if (o->content_case == KILN__V1__OVERLAY__CONTENT_URL)
                        r = fetch_overlay(j, o, &text, err);
                else
                        kiln_buf_append(&text, o->data.data, o->data.len);
                if (r < 0)
                        break;
                d = kiln_digest_of(kiln_buf_str(&text), text.len);
                _cleanup_free_ char *hex = record_hex(&d);
                if (strcmp(hex, o->sha256) != 0)
                        return kiln_error_set(err, KILN_BAD_INPUT, 0, "reading overlay", o->name,
                                "its SHA-256 is %s, the request says %s", hex, o->sha256);
                j->overlay_digests[i] = d;
                r = kiln_overlay_parse(o->name, kiln_buf_str(&text), text.len, &j->overlays[i], err);
                if (r == 0)
                        j->n_overlays++;
        }
        return r;
}

static void limits_from_request(struct kiln_job *j)
{
        const Kiln__V1__HostLimits *h = j->request->limits;
        const Kiln__V1__VisibleLimits *v = j->request->build->limits;
        struct kiln_sandbox_limits *l = &j->params.limits;

        *l = limits_default;
        if (h) {
                const struct {
                        uint64_t wanted, *into;
                } table[] = {{h->wall_s, &l->wall_s}, {h->silence_s, &l->silence_s}, {h->cpu_s, &l->cpu_s},
                        {h->memory_bytes, &l->memory_bytes}, {h->pids, &l->pids},
                        {h->output_bytes, &l->output_bytes}, {h->disk_bytes, &l->disk_bytes}};

                for (size_t i = 0; i < KILN_ARRAY_SIZE(table); i++)
                        if (table[i].wanted)
                                *table[i].into = table[i].wanted;
                l->hard = h->hard;
        }
        if (v) {
                l->file_bytes = v->file_bytes;
                if (v->processes)
                        l->pids = v->processes;
        }
}

/* rpm compares ExclusiveArch and ExcludeArch with what packages are tagged with. */
int job_check_arch(const struct kiln_job *j, const struct kiln_rpm *srpm, struct kiln_error *err)
{
        const Kiln__V1__Build *b = j->request->build;
        bool tagged = b->arch_tag && b->arch_tag[0];
        int r = kiln_srpm_check_arch(srpm, tagged ? b->arch_tag : b->arch, err);

        if (r < 0 && tagged)
                kiln_error_advise(err,
                        "ExclusiveArch and ExcludeArch are compared with the arch tag: build without "
                        "--arch-tag, for %s packages with the level's flags.",
                        b->arch);
        return r;
}

static void params_from_request(struct kiln_job *j)
{
        const Kiln__V1__Build *b = j->request->build;
        struct kiln_build_params *p = &j->params;

        j->macros = kiln_calloc(b->n_macros + 1, sizeof(*j->macros));
        for (size_t i = 0; i < b->n_macros; i++)
                j->macros[i] = (struct kiln_macro){b->macros[i]->name, b->macros[i]->body};
        for (size_t i = 0; i < b->n_bcond_with; i++)
                kiln_strv_append(&j->bcond_with, b->bcond_with[i]);
        for (size_t i = 0; i < b->n_bcond_without; i++)
                kiln_strv_append(&j->bcond_without, b->bcond_without[i]);
        *p = (struct kiln_build_params){
                .toolchain = j->toolchain,
                .idmap = j->idmap,
                .macros = j->macros,
                .n_macros = b->n_macros,
                .bcond_with = j->bcond_with,
                .bcond_without = j->bcond_without,
                .isa = (enum kiln_isa_level)b->isa,
                .arch = b->arch,
                .arch_tag = b->arch_tag,
                .dist = b->dist,
                .source_date_epoch_s =
                        b->epoch->policy == KILN__V1__EPOCH__POLICY__FIXED ? b->epoch->fixed_s : -1,
                .skip_check = b->skip_check,
                .profile = b->profile == KILN__V1__BUILD__SANDBOX_PROFILE__CHECK ? KILN_PROFILE_CHECK
                                                                                 : KILN_PROFILE_BUILD,
                .nested_mounts = b->nested_mounts,
                .observe = b->observe_inputs,
                .cpus = b->cpus,
                .log = {build_log, build_phase, j->record},
        };
        limits_from_request(j);
}

struct kiln_job *job_new(const struct kiln_context *c)
{
        struct kiln_job *j = kiln_calloc(1, sizeof(*j));

        j->context = c;
        j->srpm_fd = -1;
        j->epoch_s = -1;
        j->record = record_new(c);
        kiln_root_init(&j->root);
        record_phase(j->record, "fetch");
        return j;
}

int kiln_job_open(const struct kiln_context *c, const Kiln__V1__BuildRequest *request, struct kiln_job **ret,
        struct kiln_error *err)
{
        struct kiln_job *j = *ret = job_new(c);
        const Kiln__V1__Build *b = request->build;
        struct kiln_message_error merr;
        int r;

        j->request = request;
        if (kiln_request_check(request, &merr) < 0 || kiln_build_digest(b, j->build_digest, &merr) < 0)
                return job_request_error(err, &merr);
        record_set(&record_result(j->record)->build_digest, j->build_digest);
        r = vary_check(request, err);
        if (r == 0)
                r = job_open_toolchain(c, b->toolchain, &j->toolchain, err);
        if (r == 0)
                r = check_host(j, err);
        if (r == 0)
                r = kiln_store_open(c, &j->store, err);
        if (r == 0)
                r = fetch_source(j, err);
        if (r == 0)
                r = open_overlays(j, err);
        if (r == 0)
                r = open_keyring(j, err);
        if (r < 0)
                return r;

        record_phase(j->record, "source");
        r = kiln_srpm_open(j->srpm_fd, b->source->name, j->keyring,
                (enum kiln_signature_policy)b->source->signature_policy, &j->srpm, err);
        if (r < 0)
                return r;
        record_set(&record_result(j->record)->nvr, j->srpm->nvr);
        if (j->srpm->signature == KILN_RPM_UNKNOWN_KEY)
                record_finding(j->record, false, "source.unknown-key", b->source->name,
                        "is signed by key %s, which neither the toolchain nor the request knows",
                        j->srpm->signer);
        r = job_check_arch(j, j->srpm, err);
        if (r < 0)
                return r;
        params_from_request(j);
        kiln_build_sweep(c, NULL);
        return 0;
}

void kiln_job_close(struct kiln_job *j)
{
        if (!j)
                return;
        kiln_built_free(j->built, j->n_built);
        kiln_json_decrefp(&j->inputs);
        kiln_build_close(j->build);
        kiln_root_close(&j->root);
        kiln_rpm_free(j->parsed);
        kiln_rpm_free(j->srpm);
        kiln_lock_free(j->lock);
        kiln_pool_free(j->pool);
        for (size_t i = 0; i < j->n_overlays; i++)
                kiln_overlay_free(j->overlays[i]);
        free(j->overlays);
        free(j->overlay_digests);
        free(j->macros);
        kiln_strv_free(j->bcond_with);
        kiln_strv_free(j->bcond_without);
        kiln_closep(&j->srpm_fd);
        kiln_keyring_free(j->keyring);
        kiln_toolchain_free(j->toolchain);
        kiln_store_close(j->store);
        record_free(j->record);
        free(j);
}
