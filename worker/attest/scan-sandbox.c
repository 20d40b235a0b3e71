/* Looking into payloads from a safe distance: kiln_scan_payload() on every package, in one sandbox. */
#include "worker/attest/scan.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/buildroot/layer.h"
#include "worker/buildroot/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define DOING "looking into the payloads"
#define WALL_S 1800
#define MEMORY_BYTES (UINT64_C(2) << 30)
#define OUTPUT_BYTES (UINT64_C(1) << 30)
#define SCAN_UID 1000 /* inside; any but 0: its root is read-only then */

/* Exit statuses of the entry: which package, and why, is one line on its output's end. */
enum {
        ENTRY_FINE = 0,
        ENTRY_FAILED = 1,
};

struct scan_job {
        size_t n;
        struct kiln_buf out;
};

/* Inside. The packages are /rpm/0, /rpm/1, …; all results go to standard output, one after the other. */
static int entry(void *arg)
{
        const struct scan_job *job = arg;

        for (size_t i = 0; i < job->n; i++) {
                _cleanup_free_ char *path = kiln_asprintf("/rpm/%zu", i);
                _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
                int r = fd < 0 ? -errno : kiln_scan_payload(fd, STDOUT_FILENO, NULL, NULL, NULL);

                if (r < 0) {
                        _cleanup_free_ char *line = kiln_asprintf("failed %zu %d\n", i, -r);

                        kiln_fd_write(STDOUT_FILENO, line, strlen(line));
                        return ENTRY_FAILED;
                }
        }
        return ENTRY_FINE;
}

static void on_output(void *ctx, const void *data, size_t len)
{
        struct scan_job *job = ctx;

        kiln_buf_append(&job->out, data, len);
}

/* How the run ended, if not well. A payload that made the reader crash or give up is the package's fault. */
static int judge(const struct kiln_sandbox_result *result, const struct scan_job *job,
        const struct kiln_rpm *const *rpms, struct kiln_error *err)
{
        const char *last =
                job->out.data ? memrchr(job->out.data, '\n', job->out.len ? job->out.len - 1 : 0) : NULL;
        size_t which;
        int errnum;

        if (result->how == KILN_SANDBOX_CANCELLED) {
                kiln_error_set(err, KILN_CANCELLED, 0, DOING, NULL, "cancelled");
                return -ECANCELED;
        }
        if (result->how == KILN_SANDBOX_LIMITED)
                return kiln_error_set(err, KILN_LIMIT, 0, DOING, NULL, "the %s limit was reached",
                        kiln_sandbox_limit_name(result->limit));
        if (result->how == KILN_SANDBOX_EXITED && result->status == ENTRY_FINE)
                return 0;
        last = last ? last + 1 : kiln_buf_str(&job->out);
        if (sscanf(last, "failed %zu %d", &which, &errnum) == 2 && which < job->n && errnum > 0 &&
                errnum < 4096)
                return kiln_error_set(err, errnum == EFBIG ? KILN_LIMIT : KILN_BUILD_FAILED, errnum, DOING,
                        rpms[which]->nevra, "its payload cannot be read");
        return kiln_error_set(err, KILN_BUILD_FAILED, 0, DOING, NULL, "the reader ended with %s %d",
                result->how == KILN_SANDBOX_SIGNALED ? "signal" : "status", result->status);
}

/* Cuts the output at its "end" lines. */
static int parse_all(const struct scan_job *job, const struct kiln_rpm *const *rpms, struct kiln_scan **scans,
        struct kiln_error *err)
{
        const char *at = kiln_buf_str(&job->out), *limit = at + job->out.len;

        for (size_t i = 0; i < job->n; i++) {
                const char *end = limit, *stop = strncmp(at, "end ", 4) == 0 ? at : strstr(at, "\nend ");
                int r;

                if (stop && (stop = strchr(stop + 1, '\n')))
                        end = stop + 1;
                r = kiln_scan_parse(at, (size_t)(end - at), rpms[i]->nevra, &scans[i], err);
                if (r == 0)
                        r = kiln_scan_check(scans[i], rpms[i], err);
                if (r < 0)
                        return r;
                at = end;
        }
        return at == limit ? 0
                           : kiln_error_set(err, KILN_BUILD_FAILED, EBADMSG, DOING, NULL,
                                     "the reader said too much");
}

static int run(const struct kiln_context *c, const struct kiln_idmap *idmap, int root_fd, const int *fds,
        struct scan_job *job, const struct kiln_rpm *const *rpms, struct kiln_error *err)
{
        _cleanup_free_ struct kiln_sandbox_mount *mounts = kiln_calloc(job->n ? job->n : 1, sizeof(*mounts));
        _cleanup_strv_ char **targets = NULL;
        struct kiln_sandbox_result result;
        struct kiln_sandbox_error e = {0};
        struct kiln_sandbox s;

        for (size_t i = 0; i < job->n; i++) {
                _cleanup_free_ char *target = kiln_asprintf("/rpm/%zu", i);

                kiln_strv_append(&targets, target);
                mounts[i] = (struct kiln_sandbox_mount){
                        .kind = KILN_MOUNT_BIND_RO, .target = targets[i], .source_fd = fds[i]};
        }
        kiln_sandbox_init(&s);
        s.idmap = *idmap;
        s.upper_fd = root_fd;
        s.mounts = mounts;
        s.n_mounts = job->n;
        s.profile = KILN_PROFILE_BUILD;
        s.uid = SCAN_UID;
        s.gid = SCAN_UID;
        s.entry = entry;
        s.entry_arg = job;
        s.output = on_output;
        s.output_ctx = job;
        s.sys_none = true;
        s.cancel_fd = c->cancel_fd;
        s.limits = (struct kiln_sandbox_limits){
                .wall_s = WALL_S, .memory_bytes = MEMORY_BYTES, .pids = 8, .output_bytes = OUTPUT_BYTES};
        if (kiln_sandbox_run(&s, &result, &e) < 0)
                return kiln_error_from_sandbox(err, &e, DOING, "the packages");
        return judge(&result, job, rpms, err);
}

int kiln_scan_packages(const struct kiln_context *c, const struct kiln_idmap *idmap, const int *fds,
        const struct kiln_rpm *const *rpms, size_t n, struct kiln_scan **ret, struct kiln_error *err)
{
        _cleanup_free_ struct kiln_scan **scans = kiln_calloc(n ? n : 1, sizeof(*scans));
        _cleanup_scratch_ struct kiln_scratch scratch = KILN_SCRATCH_INIT;
        struct scan_job job = {.n = n, .out = KILN_BUF_INIT};
        int r = kiln_scratch_make(c, idmap, &scratch, err);

        if (r < 0)
                return r;
        r = run(c, idmap, scratch.root_fd, fds, &job, rpms, err);
        if (r == 0)
                r = parse_all(&job, rpms, scans, err);
        kiln_buf_clear(&job.out);
        for (size_t i = 0; i < n; i++) {
                if (r < 0)
                        kiln_scan_free(scans[i]);
                else
                        ret[i] = scans[i];
        }
        return r;
}
