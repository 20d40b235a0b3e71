/* From a request to a build root: inputs, solving, rounds. */
#include "worker/pipeline/job.h"
#include "worker/pipeline/vary.h"

#include "worker/attest/isa/isa.h"
#include "worker/base/clock.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <string.h>

#define ROUNDS_MAX 10
#define OVERLAY_BYTES_MAX ((size_t)1 << 20)
#define LOCK_BYTES_MAX ((size_t)64 << 20)

/* A job's own limits where the request has none: generous, so that only runaway builds meet them. */
static const struct kiln_sandbox_limits limits_default = {
        .wall_s = 24 * 3600,
        .silence_s = 2 * 3600,
        .output_bytes = (uint64_t)1 << 30,
        .disk_bytes = (uint64_t)128 << 30,
        .pids = 16384,
};

static int request_error(struct kiln_error *err, const struct kiln_message_error *e)
{
        return kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", "the request", "%s", e->text);
}

static void root_log(void *ctx, const void *data, size_t len)
{
        record_root_log(ctx, data, len);
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
static int check_arch(const struct kiln_job *j, const struct kiln_rpm *srpm, struct kiln_error *err)
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

/* %ifarch compares with the tag as well, and nobody would notice. */
static int note_conditions(struct kiln_job *j, struct kiln_error *err)
{
        unsigned n, first;
        int r = kiln_build_arch_conditions(j->build, &n, &first, err);

        if (r == 0 && n > 0)
                record_finding(j->record, true, "arch-tag.ifarch", j->srpm->nvr,
                        "%u condition%s of its spec (the first in line %u) name%s %s: with the arch tag %s "
                        "the other branch is taken",
                        n, n == 1 ? "" : "s", first, n == 1 ? "s" : "", j->params.arch, j->params.arch_tag);
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
                return request_error(err, &merr);
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
        r = check_arch(j, j->srpm, err);
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

/* ---- the build root
 * -------------------------------------------------------------------------------------------- */

static int pinned_lock(struct kiln_job *j, struct kiln_lock **ret, struct kiln_error *err)
{
        const Kiln__V1__Build *b = j->request->build;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        struct kiln_message_error merr;

        if (b->pinned_case == KILN__V1__BUILD__PINNED__NOT_SET) {
                *ret = kiln_lock_copy(j->solved);
                return 0;
        }
        if (b->pinned_case == KILN__V1__BUILD__PINNED_LOCK) {
                _cleanup_free_ char *json = NULL;

                if (kiln_message_to_json((const ProtobufCMessage *)b->lock, false, &json, &merr) < 0)
                        return request_error(err, &merr);
                kiln_buf_puts(&text, json);
        } else {
                struct kiln_digest d;
                _cleanup_close_ int fd = -1;

                if (kiln_digest_from_hex(b->lock_digest, &d) < 0 ||
                        kiln_store_find_verified(j->store, &d, &fd) != 0)
                        return kiln_error_set(err, KILN_BAD_INPUT, ENOENT, "looking for the lock",
                                b->lock_digest, "the store does not have it");
                if (kiln_fd_read(fd, LOCK_BYTES_MAX, &text) < 0)
                        return kiln_error_set(
                                err, KILN_INFRA, EIO, "reading the lock", b->lock_digest, "the store");
        }
        return kiln_lock_parse(kiln_buf_str(&text), text.len, "the request's lock", ret, err);
}

/* A lock of another toolchain would be built with this one's macros: neither's packages. */
static int check_lock(struct kiln_job *j, const struct kiln_lock *lock, struct kiln_error *err)
{
        if (strcmp(lock->toolchain, j->toolchain->name) == 0 &&
                kiln_digest_equal(&lock->toolchain_digest, &j->toolchain->digest))
                return 0;
        kiln_error_set(err, KILN_BAD_INPUT, 0, "building with a lock", j->srpm->nvr,
                "the lock was made with another definition of toolchain %s", lock->toolchain);
        kiln_error_advise(
                err, "Make a new one with `kiln lock`, or take the definition the lock was made with.");
        return -EINVAL;
}

/* Fetches what the lock names and opens its layers. A round is recorded unless it is the bare base (before ==
 * lock). */
static int open_round(struct kiln_job *j, struct kiln_lock *lock, char *const *requirements,
        const struct kiln_lock *before, struct kiln_error *err)
{
        const struct kiln_root_log log = {root_log, j->record};
        _cleanup_root_ struct kiln_root root;
        uint64_t begin_ns;
        int r;

        kiln_root_init(&root);
        record_phase(j->record, "fetch");
        r = kiln_lock_fetch(j->context, j->store, j->toolchain, lock, err);
        if (r < 0)
                return r;
        record_phase(j->record, "root");
        begin_ns = kiln_clock_ns();
        r = kiln_root_open(j->context, j->store, j->toolchain, lock, &j->idmap, &log, &root, err);
        if (r < 0)
                return r;
        if (before != lock)
                record_round(j->record, requirements, lock, before, &root, kiln_clock_ns() - begin_ns);
        kiln_root_close(&j->root);
        j->root = root;
        kiln_root_init(&root);
        return 0;
}

static char **requires_of(const struct kiln_rpm *srpm, bool *ret_dynamic)
{
        char **requires = kiln_calloc(1, sizeof(char *));

        *ret_dynamic = false;
        for (size_t i = 0; i < srpm->n_requires; i++) {
                _cleanup_free_ char *text = kiln_dependency_format(&srpm->requires[i]);

                if (text)
                        kiln_strv_append(&requires, text);
                else if (strcmp(srpm->requires[i].name, "rpmlib(DynamicBuildRequires)") == 0)
                        *ret_dynamic = true;
        }
        return requires;
}

static int solve(struct kiln_job *j, char *const *requires, struct kiln_lock **ret, struct kiln_error *err)
{
        _cleanup_strv_ char **conflicts = kiln_calloc(1, sizeof(char *));
        struct kiln_solve q = {.requires = (const char *const *) requires, .wanted_by = j->srpm->nvr};
        int r;

        for (size_t i = 0; j->parsed && i < j->parsed->n_conflicts; i++) {
                _cleanup_free_ char *text = kiln_dependency_format(&j->parsed->conflicts[i]);

                if (text)
                        kiln_strv_append(&conflicts, text);
        }
        q.conflicts = (const char *const *)conflicts;
        record_phase(j->record, "solve");
        if (!j->pool) {
                r = kiln_pool_open(j->context, j->store, j->toolchain, &j->pool, err);
                if (r < 0)
                        return r;
        }
        return kiln_pool_solve(j->pool, &q, ret, err);
}

void kiln_job_set_epoch(const struct kiln_job *j, struct kiln_build *b)
{
        if (j->params.source_date_epoch_s < 0 && j->srpm->changelog_time_s <= 0)
                kiln_build_set_epoch(b, j->srpm->build_time_s);
}

/* Unpacks and parses the source in the base root; afterwards the static BuildRequires are known. */
static int parse_source(struct kiln_job *j, struct kiln_error *err)
{
        int r;

        record_phase(j->record, "source");
        r = kiln_build_open(j->context, &j->params, &j->build, err);
        if (r == 0)
                r = kiln_build_unpack_source(j->build, &j->root, j->srpm_fd, j->srpm,
                        (const struct kiln_overlay *const *)j->overlays, j->n_overlays, err);
        if (r < 0)
                return r;
        kiln_job_set_epoch(j, j->build);
        r = note_conditions(j, err);
        if (r == 0)
                r = kiln_build_source(j->build, &j->root, &j->parsed, err);
        if (r == 0)
                r = check_arch(j, j->parsed, err);
        if (r == 0) {
                j->epoch_s = j->parsed->build_time_s;
                record_result(j->record)->source_date_epoch_s = j->epoch_s;
                record_set(&record_result(j->record)->nvr, j->parsed->nvr);
        }
        return r;
}

static int generate_rounds(struct kiln_job *j, bool pinned, struct kiln_error *err)
{
        for (int round = 1;; round++) {
                _cleanup_strv_ char **requires = NULL;
                _cleanup_(kiln_lock_freep) struct kiln_lock *lock = NULL;
                struct kiln_digest before, after;
                int r;

                record_phase(j->record, "buildreqs");
                r = kiln_build_generate(j->build, &j->root, &requires, err);
                if (r < 0 || !requires)
                        return r;
                if (pinned)
                        return kiln_error_set(err, KILN_BAD_INPUT, 0, "building with a lock", j->srpm->nvr,
                                "%%generate_buildrequires asks for packages that the lock does not have");
                if (round > ROUNDS_MAX)
                        return kiln_error_set(err, KILN_BAD_INPUT, 0, "generating BuildRequires of",
                                j->srpm->nvr, "they still change after %d rounds", ROUNDS_MAX);
                r = solve(j, requires, &lock, err);
                if (r < 0)
                        return r;
                before = kiln_lock_layer_digest(j->lock, 7);
                after = kiln_lock_layer_digest(lock, 7);
                if (kiln_digest_equal(&before, &after))
                        return kiln_error_set(err, KILN_BAD_INPUT, 0, "generating BuildRequires of",
                                j->srpm->nvr,
                                "the build root has all that is asked for, and rpmbuild still says something "
                                "is missing");
                r = open_round(j, lock, requires, j->lock, err);
                if (r < 0)
                        return r;
                kiln_lock_free(j->lock);
                j->lock = TAKE_PTR(lock);
        }
}

int kiln_job_prepare(struct kiln_job *j, struct kiln_error *err)
{
        bool pinned = j->solved || j->request->build->pinned_case != KILN__V1__BUILD__PINNED__NOT_SET;
        _cleanup_strv_ char **requires = NULL;
        _cleanup_(kiln_lock_freep) struct kiln_lock *base = NULL;
        static char *nothing[] = {NULL};
        int r;

        if (pinned) {
                r = pinned_lock(j, &j->lock, err);
                if (r == 0)
                        r = check_lock(j, j->lock, err);
                if (r == 0)
                        r = open_round(j, j->lock, NULL, NULL, err);
        } else {
                r = solve(j, nothing, &base, err);
                if (r == 0)
                        r = open_round(j, base, NULL, base, err);
        }
        if (r == 0)
                r = parse_source(j, err);
        if (r < 0)
                return r;
        requires = requires_of(j->parsed, &j->dynamic);
        if (!pinned) {
                r = solve(j, requires, &j->lock, err);
                if (r == 0)
                        r = open_round(j, j->lock, requires, NULL, err);
                if (r < 0)
                        return r;
        }
        return j->dynamic ? generate_rounds(j, pinned, err) : 0;
}

const struct kiln_lock *kiln_job_lock(const struct kiln_job *j)
{
        return j->lock;
}

int kiln_job_shell(struct kiln_job *j, const char *const *argv, int *ret_status, struct kiln_error *err)
{
        record_phase_end(j->record, KILN_OK);
        return kiln_build_shell(j->build, &j->root, argv, ret_status, err);
}
