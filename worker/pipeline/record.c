#include "worker/pipeline/record.h"

#include "worker/attest/isa/isa.h"
#include "worker/base/clock.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/base/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <zstd.h>

#define LOG_LEVEL 3

struct log {
        int fd;
        ZSTD_CCtx *zstd;
        int error; /* the first failed write, negative errno */
};

struct record {
        const struct kiln_context *context;
        Kiln__V1__BuildResult *result;
        uint64_t started_ns, phase_ns, build_cpu_ns;
        Kiln__V1__Phase *phase; /* the running one */
        struct log build, root;
};

void record_set(char **field, const char *value)
{
        if (*field != protobuf_c_empty_string)
                free(*field);
        *field = value && value[0] ? kiln_strdup(value) : (char *)protobuf_c_empty_string;
}

char *record_hex(const struct kiln_digest *d)
{
        char *hex = kiln_malloc(KILN_DIGEST_HEX + 1);

        kiln_digest_to_hex(d, hex);
        return hex;
}

/* The value of the first line that begins with key, quotes removed. */
static char *file_value(const char *path, const char *key)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
        size_t n = strlen(key);
        char *line, *save;

        /* /proc files have no size: read what there is. */
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || kiln_fd_read(fd, 1 << 22, &b) < 0 || !b.data)
                return NULL;
        for (line = strtok_r(b.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                if (strncmp(line, key, n) != 0)
                        continue;
                line += n + strspn(line + n, " \t:=\"");
                return kiln_strndup(line, strcspn(line, "\""));
        }
        return NULL;
}

static void record_host(struct record *r)
{
        Kiln__V1__Host *h = RECORD_NEW(Kiln__V1__Host, kiln__v1__host__init);
        _cleanup_free_ char *cpu = file_value("/proc/cpuinfo", "model name");
        _cleanup_free_ char *id = file_value("/etc/os-release", "ID="),
                            *version = file_value("/etc/os-release", "VERSION_ID=");
        _cleanup_free_ char *os =
                kiln_asprintf("%s%s%s", id ? id : "linux", version ? " " : "", version ? version : "");
        struct utsname u;
        struct sysinfo si;

        record_set(&h->kiln, KILN_VERSION);
        if (uname(&u) == 0) {
                record_set(&h->kernel_release, u.release);
                record_set(&h->worker, u.nodename);
        }
        record_set(&h->cpu_model, cpu);
        record_set(&h->isa_level, kiln_isa_level_name(kiln_isa_host_level()));
        record_set(&h->os, os);
        h->cpus = (uint32_t)get_nprocs();
        if (sysinfo(&si) == 0)
                h->memory_bytes = (uint64_t)si.totalram * si.mem_unit;
        r->result->host = h;
}

struct record *record_new(const struct kiln_context *c)
{
        struct record *r = kiln_calloc(1, sizeof(*r));

        r->context = c;
        r->result = RECORD_NEW(Kiln__V1__BuildResult, kiln__v1__build_result__init);
        r->result->attempt = 1;
        r->result->started_s = kiln_clock_wall_s();
        r->started_ns = kiln_clock_ns();
        r->build.fd = r->root.fd = -1;
        record_host(r);
        return r;
}

static void log_clear(struct log *l)
{
        kiln_closep(&l->fd);
        ZSTD_freeCCtx(l->zstd);
        *l = (struct log){.fd = -1};
}

void record_free(struct record *r)
{
        if (!r)
                return;
        log_clear(&r->build);
        log_clear(&r->root);
        kiln_message_free((ProtobufCMessage *)r->result);
        free(r);
}

Kiln__V1__BuildResult *record_result(struct record *r)
{
        return r->result;
}

Kiln__V1__BuildResult *record_take(struct record *r)
{
        return TAKE_PTR(r->result);
}

void record_phase_end(struct record *r, enum kiln_verdict verdict)
{
        uint64_t duration_ns = kiln_clock_ns() - r->phase_ns;

        if (!r->phase)
                return;
        r->phase->duration_ms = duration_ns / 1000000;
        kiln_sink_phase_end(&r->context->sink, r->phase->name, duration_ns, (int)verdict);
        r->phase = NULL;
}

void record_phase(struct record *r, const char *name)
{
        if (r->phase && strcmp(r->phase->name, name) == 0)
                return;
        record_phase_end(r, KILN_OK);
        r->phase_ns = kiln_clock_ns();
        r->phase = RECORD_NEW(Kiln__V1__Phase, kiln__v1__phase__init);
        record_set(&r->phase->name, name);
        r->phase->offset_ms = (r->phase_ns - r->started_ns) / 1000000;
        *KILN_APPEND(r->result->phases, r->result->n_phases) = r->phase;
        kiln_sink_phase_start(&r->context->sink, name);
}

const char *record_phase_name(const struct record *r)
{
        if (r->phase)
                return r->phase->name;
        return r->result->n_phases ? r->result->phases[r->result->n_phases - 1]->name : "";
}

/* ---- logs
 * ------------------------------------------------------------------------------------------------------ */

static int log_open(struct log *l, int dir_fd)
{
        l->fd = openat(dir_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0644);
        if (l->fd < 0)
                return -errno;
        l->zstd = ZSTD_createCCtx();
        if (!l->zstd)
                return -ENOMEM;
        ZSTD_CCtx_setParameter(l->zstd, ZSTD_c_compressionLevel, LOG_LEVEL);
        ZSTD_CCtx_setParameter(l->zstd, ZSTD_c_checksumFlag, 1);
        return 0;
}

int record_logs_open(struct record *r, int dir_fd, struct kiln_error *err)
{
        int n = log_open(&r->build, dir_fd);

        if (n == 0)
                n = log_open(&r->root, dir_fd);
        return n < 0 ? kiln_error_set(err, KILN_INFRA, n, "opening", "the logs", "an unnamed file") : 0;
}

static void log_compress(struct log *l, const void *data, size_t len, ZSTD_EndDirective end)
{
        ZSTD_inBuffer in = {data, len, 0};
        char chunk[16384];

        if (l->fd < 0 || l->error)
                return;
        for (;;) {
                ZSTD_outBuffer out = {chunk, sizeof(chunk), 0};
                size_t left = ZSTD_compressStream2(l->zstd, &out, &in, end);

                if (ZSTD_isError(left)) {
                        l->error = -EIO;
                        return;
                }
                int n = kiln_fd_write(l->fd, chunk, out.pos);
                if (n < 0) {
                        l->error = n;
                        return;
                }
                if (in.pos == in.size && (end == ZSTD_e_continue || left == 0))
                        return;
        }
}

void record_build_log(struct record *r, const void *data, size_t len)
{
        log_compress(&r->build, data, len, ZSTD_e_continue);
        kiln_sink_log(&r->context->sink, record_phase_name(r), data, len);
}

static void root_write(void *ctx, const void *data, size_t len)
{
        struct record *r = ctx;

        log_compress(&r->root, data, len, ZSTD_e_continue);
}

struct kiln_root_log record_root_log(struct record *r)
{
        return (struct kiln_root_log){root_write, r};
}

void record_root_printf(struct record *r, const char *fmt, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        text = kiln_vasprintf(fmt, ap);
        va_end(ap);
        root_write(r, text, strlen(text));
}

int record_logs_close(struct record *r, int *ret_build_fd, int *ret_root_fd, struct kiln_error *err)
{
        struct log *logs[] = {&r->build, &r->root};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(logs); i++) {
                log_compress(logs[i], "", 0, ZSTD_e_end);
                if (logs[i]->error)
                        return kiln_error_set(err, KILN_INFRA, logs[i]->error, "writing",
                                i ? "root.log" : "build.log", "log");
        }
        *ret_build_fd = r->build.fd;
        *ret_root_fd = r->root.fd;
        return 0;
}

/* ---- what was found
 * -------------------------------------------------------------------------------------------- */

void record_finding(struct record *r, bool warning, const char *id, const char *subject, const char *fmt, ...)
{
        Kiln__V1__Finding *f = RECORD_NEW(Kiln__V1__Finding, kiln__v1__finding__init);
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        text = kiln_vasprintf(fmt, ap);
        va_end(ap);
        f->severity = warning ? KILN__V1__FINDING__SEVERITY__WARNING : KILN__V1__FINDING__SEVERITY__INFO;
        record_set(&f->id, id);
        record_set(&f->subject, subject);
        record_set(&f->text, text);
        *KILN_APPEND(r->result->findings, r->result->n_findings) = f;
        if (warning)
                kiln_sink_warning(&r->context->sink, "%s: %s", subject ? subject : id, text);
}

static bool lock_has(const struct kiln_lock *l, const char *nevra)
{
        for (size_t i = 0; l && i < l->n_packages; i++)
                if (strcmp(l->packages[i].nevra, nevra) == 0)
                        return true;
        return false;
}

void record_round(struct record *r, char *const *requirements, const struct kiln_lock *lock,
        const struct kiln_lock *before, const struct kiln_root *root, uint64_t duration_ns)
{
        Kiln__V1__BuildrootRound *round =
                RECORD_NEW(Kiln__V1__BuildrootRound, kiln__v1__buildroot_round__init);

        for (; requirements && *requirements; requirements++)
                *KILN_APPEND(round->requirements, round->n_requirements) = kiln_strdup(*requirements);
        if (round->n_requirements)
                qsort(round->requirements, round->n_requirements, sizeof(char *), kiln_strcmp_ptr);
        for (size_t i = 0; i < lock->n_packages; i++)
                if (!lock_has(before, lock->packages[i].nevra))
                        *KILN_APPEND(round->packages, round->n_packages) =
                                kiln_strdup(lock->packages[i].nevra);
        record_set(&round->layer, root->key);
        round->cached = root->cached;
        round->duration_ms = duration_ns / 1000000;
        *KILN_APPEND(r->result->buildroot, r->result->n_buildroot) = round;

        record_root_printf(r, "round %zu: %zu packages, %zu new, layer %s%s\n", r->result->n_buildroot,
                lock->n_packages, round->n_packages, root->key, root->cached ? " (there already)" : "");
        for (size_t i = 0; i < round->n_requirements; i++)
                record_root_printf(r, "  requires %s\n", round->requirements[i]);
        for (size_t i = 0; i < round->n_packages; i++)
                record_root_printf(r, "  package %s\n", round->packages[i]);
}

void record_usage(struct record *r, const struct kiln_build_usage *u)
{
        Kiln__V1__Peaks *p = RECORD_NEW(Kiln__V1__Peaks, kiln__v1__peaks__init);

        p->memory_bytes = u->peak_memory_bytes;
        p->rss_bytes = u->peak_rss_bytes;
        p->pids = u->peak_pids;
        p->output_bytes = u->output_bytes;
        p->disk_bytes = u->peak_disk_bytes;
        p->cpu_ms = (u->user_ns + u->system_ns) / 1000000;
        p->cgroup = u->cgroup;
        if (u->first_exec_ns > r->started_ns)
                r->result->first_exec_ms = (u->first_exec_ns - r->started_ns) / 1000000;
        if (r->result->peaks)
                kiln_message_free((ProtobufCMessage *)r->result->peaks);
        r->result->peaks = p;
        for (size_t i = 0; i < u->n_denied; i++) {
                Kiln__V1__DeniedCall *d = RECORD_NEW(Kiln__V1__DeniedCall, kiln__v1__denied_call__init);

                record_set(&d->syscall, u->denied[i].name);
                d->count = u->denied[i].count;
                size_t at = r->result->n_denied;
                (void)KILN_APPEND(r->result->denied, r->result->n_denied);
                for (; at > 0 && strcmp(r->result->denied[at - 1]->syscall, d->syscall) > 0; at--)
                        r->result->denied[at] = r->result->denied[at - 1];
                r->result->denied[at] = d;
        }
}

void record_artefact(struct record *r, Kiln__V1__Artefact *artefact)
{
        size_t at = r->result->n_artefacts;

        (void)KILN_APPEND(r->result->artefacts, r->result->n_artefacts);
        for (; at > 0 && strcmp(r->result->artefacts[at - 1]->name, artefact->name) > 0; at--)
                r->result->artefacts[at] = r->result->artefacts[at - 1];
        r->result->artefacts[at] = artefact;
}
