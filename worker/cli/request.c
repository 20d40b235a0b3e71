#include "worker/cli/request.h"

#include "toolchains/toolchain.h"
#include "worker/attest/tsa.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/buildroot/lock.h"
#include "worker/buildroot/store.h"
#include "worker/source/srpm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define TEXT_BYTES_MAX ((size_t)16 << 20)
#define ARCH "x86_64"

#define NEW(type, init)                                                                                      \
        ({                                                                                                   \
                type *_m = kiln_malloc(sizeof(type));                                                        \
                init(_m);                                                                                    \
                _m;                                                                                          \
        })

void request_options_clear(struct request_options *o)
{
        kiln_strv_free(o->with);
        kiln_strv_free(o->without);
        kiln_strv_free(o->define);
        kiln_strv_free(o->overlay);
        kiln_strv_free(o->key);
        kiln_strv_free(o->unvaried);
        kiln_strv_free(o->varied);
        kiln_strv_free(o->tsa_certs);
}

static bool is_url(const char *s)
{
        return strncmp(s, "http://", 7) == 0 || strncmp(s, "https://", 8) == 0;
}

static char *text_or_empty(const char *s)
{
        return s && s[0] ? kiln_strdup(s) : (char *)protobuf_c_empty_string;
}

static char *hex_of(const struct kiln_digest *d)
{
        char *hex = kiln_malloc(KILN_DIGEST_HEX + 1);

        kiln_digest_to_hex(d, hex);
        return hex;
}

/* The SRPM into the store; *ret_release is its release, for the choice of a toolchain. */
static int read_source(const struct kiln_context *c, const char *srpm, Kiln__V1__Source *s,
        char **ret_release, struct kiln_error *err)
{
        _cleanup_(kiln_store_closep) struct kiln_store *store = NULL;
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *rpm = NULL;
        _cleanup_close_ int fd = -1;
        struct kiln_digest d;
        int r = kiln_store_open(c, &store, err);

        if (r < 0)
                return r;
        if (is_url(srpm)) {
                r = kiln_store_fetch_url(store, "fetch", srpm, 0, &d, err);
                if (r == 0 && kiln_store_find(store, &d, &fd) != 0)
                        r = kiln_error_set(err, KILN_INFRA, ENOENT, "reading", srpm, "the store");
        } else {
                fd = open(srpm, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
                if (fd < 0) {
                        r = kiln_error_set(err, KILN_BAD_INPUT, errno, "opening", srpm, "source package");
                        kiln_error_advise(err, "Give the path or http(s) URL of a *.src.rpm file.");
                }
        }
        if (r == 0)
                r = kiln_srpm_open(fd, kiln_path_base(srpm), NULL, KILN_SIGNATURE_ANY, &rpm, err);
        if (r == 0 && !is_url(srpm))
                r = kiln_store_add(store, fd, kiln_path_base(srpm), NULL, &d, err);
        if (r < 0)
                return r;
        if (is_url(srpm))
                *KILN_APPEND(s->urls, s->n_urls) = kiln_strdup(srpm);
        s->sha256 = hex_of(&d);
        s->name = kiln_asprintf("%s.src.rpm", rpm->nvr);
        *ret_release = kiln_strdup(rpm->release);
        return 0;
}

static int read_keys(const struct request_options *o, Kiln__V1__Source *s, struct kiln_error *err)
{
        s->signature_policy = o->known_key ? KILN__V1__SOURCE__SIGNATURE_POLICY__KNOWN_KEY
                                           : KILN__V1__SOURCE__SIGNATURE_POLICY__ANY;
        for (char **k = o->key; k && *k; k++) {
                _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
                int r = kiln_file_read(AT_FDCWD, *k, TEXT_BYTES_MAX, &text);

                if (r < 0)
                        return kiln_error_set(err, KILN_BAD_INPUT, r, "reading key", *k, "cannot read it");
                *KILN_APPEND(s->keys, s->n_keys) = kiln_buf_take(&text);
        }
        return 0;
}

static int read_overlays(const struct request_options *o, Kiln__V1__Build *b, struct kiln_error *err)
{
        for (char **path = o->overlay; path && *path; path++) {
                _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
                Kiln__V1__Overlay *overlay;
                struct kiln_digest d;
                int r = kiln_file_read(AT_FDCWD, *path, TEXT_BYTES_MAX, &text);

                if (r < 0)
                        return kiln_error_set(
                                err, KILN_BAD_INPUT, r, "reading overlay", *path, "cannot read it");
                overlay = NEW(Kiln__V1__Overlay, kiln__v1__overlay__init);
                d = kiln_digest_of(kiln_buf_str(&text), text.len);
                overlay->name = kiln_strdup(kiln_path_base(*path));
                overlay->sha256 = hex_of(&d);
                overlay->content_case = KILN__V1__OVERLAY__CONTENT_DATA;
                overlay->data.len = text.len;
                overlay->data.data = (uint8_t *)kiln_buf_take(&text);
                *KILN_APPEND(b->overlays, b->n_overlays) = overlay;
        }
        return 0;
}

static int read_macros(const struct request_options *o, Kiln__V1__Build *b, struct kiln_error *err)
{
        for (char **d = o->define; d && *d; d++) {
                size_t n = strcspn(*d, " \t");
                const char *body = *d + n + strspn(*d + n, " \t");
                Kiln__V1__Macro *m;

                if (n == 0 || !body[0])
                        return kiln_error_set(
                                err, KILN_USAGE, 0, "reading", *d, "--define takes 'NAME BODY'");
                m = NEW(Kiln__V1__Macro, kiln__v1__macro__init);
                m->name = kiln_strndup(*d, n);
                m->body = kiln_strdup(body);
                *KILN_APPEND(b->macros, b->n_macros) = m;
        }
        return 0;
}

static int read_time_stamping(
        const struct request_options *o, Kiln__V1__BuildRequest *q, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf pem = KILN_BUF_INIT;
        int r;

        if (!o->tsa)
                return 0;
        r = kiln_tsa_read_certificates(o->tsa_certs, &pem, err);
        if (r < 0)
                return r;
        q->time_stamping = NEW(Kiln__V1__TimeStamping, kiln__v1__time_stamping__init);
        q->time_stamping->url = kiln_strdup(o->tsa);
        q->time_stamping->certificates = kiln_buf_take(&pem);
        return 0;
}

static void sorted_set(char *const *from, char ***into, size_t *n)
{
        _cleanup_strv_ char **copy = kiln_strv_copy(from);
        size_t count = kiln_strv_length(copy);

        if (count)
                qsort(copy, count, sizeof(char *), kiln_strcmp_ptr);
        for (size_t i = 0; i < count; i++)
                if (i == 0 || strcmp(copy[i], copy[i - 1]) != 0)
                        *KILN_APPEND(*into, *n) = kiln_strdup(copy[i]);
}

static int read_lock(const struct request_options *o, Kiln__V1__Build *b, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT, canonical = KILN_BUF_INIT;
        _cleanup_(kiln_lock_freep) struct kiln_lock *lock = NULL;
        struct kiln_message_error merr;
        int r;

        if (!o->lock)
                return 0;
        r = kiln_file_read(AT_FDCWD, o->lock, TEXT_BYTES_MAX, &text);
        if (r < 0)
                return kiln_error_set(err, KILN_BAD_INPUT, r, "reading lock", o->lock, "cannot read it");
        r = kiln_lock_parse(kiln_buf_str(&text), text.len, o->lock, &lock, err);
        if (r < 0)
                return r;
        kiln_lock_write(lock, &canonical);
        if (kiln_lockmsg_from_json(canonical.data, canonical.len, &b->lock, &merr) < 0)
                return kiln_error_set(err, KILN_BAD_INPUT, 0, "reading lock", o->lock, "%s", merr.text);
        b->pinned_case = KILN__V1__BUILD__PINNED_LOCK;
        return 0;
}

static int choose_toolchain(const struct kiln_context *c, const struct request_options *o,
        const char *release, Kiln__V1__Build *b, struct kiln_error *err)
{
        _cleanup_(kiln_toolchain_freep) struct kiln_toolchain *t = NULL;
        _cleanup_free_ char *name = NULL, *reason = NULL;
        enum kiln_isa_level level;
        int r = 0;

        if (o->toolchain)
                name = kiln_strdup(o->toolchain);
        else if (b->pinned_case == KILN__V1__BUILD__PINNED_LOCK)
                name = kiln_strdup(b->lock->toolchain);
        else
                r = kiln_toolchain_choose(c, release, &name, &reason, err);
        if (r == 0)
                r = kiln_toolchain_load(c, name, &t, err);
        if (r < 0)
                return r;
        if (reason)
                kiln_sink_note(&c->sink, "toolchain %s: %s", name, reason);
        level = t->isa;
        if (o->isa && kiln_isa_level_parse(o->isa, &level) < 0)
                return kiln_error_set(err, KILN_USAGE, 0, "reading", o->isa, "no such level");
        b->toolchain = NEW(Kiln__V1__Toolchain, kiln__v1__toolchain__init);
        b->toolchain->name = TAKE_PTR(name);
        b->toolchain->digest = hex_of(&t->digest);
        b->isa = (Kiln__V1__Build__IsaLevel)level;
        b->epoch = NEW(Kiln__V1__Epoch, kiln__v1__epoch__init);
        b->epoch->policy = t->epoch_policy == KILN_EPOCH_FIXED ? KILN__V1__EPOCH__POLICY__FIXED
                                                               : KILN__V1__EPOCH__POLICY__CHANGELOG;
        b->epoch->fixed_s = t->epoch_policy == KILN_EPOCH_FIXED ? t->epoch_fixed_s : 0;
        return 0;
}

char *request_directory(const struct request_options *o)
{
        const char *path = o->output ? o->output : ".";
        _cleanup_free_ char *cwd = NULL;

        /* The request must mean the same wherever it is read. */
        if (path[0] == '/')
                return kiln_strdup(path);
        cwd = getcwd(NULL, 0);
        return strcmp(path, ".") == 0 ? kiln_strdup(cwd ? cwd : "/") : kiln_path_join(cwd ? cwd : "/", path);
}

static void fill_rest(const struct request_options *o, Kiln__V1__BuildRequest *q)
{
        Kiln__V1__Build *b = q->build;
        Kiln__V1__HostLimits *l = NEW(Kiln__V1__HostLimits, kiln__v1__host_limits__init);

        sorted_set(o->with, &b->bcond_with, &b->n_bcond_with);
        sorted_set(o->without, &b->bcond_without, &b->n_bcond_without);
        b->arch = kiln_strdup(ARCH);
        b->arch_tag = text_or_empty(o->arch_tag);
        b->dist = text_or_empty(o->dist);
        b->skip_check = o->no_check;
        b->network = KILN__V1__BUILD__NETWORK_POLICY__NO_NETWORK;
        b->profile = o->no_check ? KILN__V1__BUILD__SANDBOX_PROFILE__BUILD
                                 : KILN__V1__BUILD__SANDBOX_PROFILE__CHECK;
        b->cpus = (uint32_t)o->cpus;
        b->nested_mounts = o->nested;
        b->observe_inputs = o->observe;
        l->wall_s = o->wall;
        l->silence_s = o->silence;
        l->cpu_s = o->cpu;
        l->memory_bytes = o->memory;
        l->pids = o->pids;
        l->disk_bytes = o->disk;
        l->output_bytes = o->log_bytes;
        l->hard = o->hard;
        q->limits = l;
        q->check_reproducible = o->check_reproducible;
        sorted_set(o->unvaried, &q->unvaried, &q->n_unvaried);
        sorted_set(o->varied, &q->varied, &q->n_varied);
        q->lane = KILN__V1__BUILD_REQUEST__LANE__BATCH;
        q->owner = kiln_strdup("local");
        q->signing = NEW(Kiln__V1__Signing, kiln__v1__signing__init);
        q->signing->mode = KILN__V1__SIGNING__MODE__LOCAL;
        if (o->signer) {
                q->signing->mode = KILN__V1__SIGNING__MODE__SERVED;
                q->signing->socket = kiln_strdup(o->signer);
        } else if (o->signing && strcmp(o->signing, "none") == 0) {
                q->signing->mode = KILN__V1__SIGNING__MODE__UNSIGNED;
        }
        q->destination = NEW(Kiln__V1__Destination, kiln__v1__destination__init);
        q->destination->to_case = KILN__V1__DESTINATION__TO_DIRECTORY;
        q->destination->directory = request_directory(o);
}

int request_build(const struct kiln_context *c, const struct request_options *o, const char *srpm,
        Kiln__V1__BuildRequest **ret, struct kiln_error *err)
{
        _cleanup_(kiln_request_freep) Kiln__V1__BuildRequest *q =
                NEW(Kiln__V1__BuildRequest, kiln__v1__build_request__init);
        _cleanup_free_ char *release = NULL;
        int r;

        q->build = NEW(Kiln__V1__Build, kiln__v1__build__init);
        q->build->source = NEW(Kiln__V1__Source, kiln__v1__source__init);
        r = read_source(c, srpm, q->build->source, &release, err);
        if (r == 0)
                r = read_keys(o, q->build->source, err);
        if (r == 0)
                r = read_time_stamping(o, q, err);
        if (r == 0)
                r = read_overlays(o, q->build, err);
        if (r == 0)
                r = read_macros(o, q->build, err);
        if (r == 0)
                r = read_lock(o, q->build, err);
        if (r == 0)
                r = choose_toolchain(c, o, release, q->build, err);
        if (r < 0)
                return r;
        fill_rest(o, q);
        *ret = TAKE_PTR(q);
        return 0;
}
