/* compare_payloads() at a safe distance: it runs in the sandbox and says what it found in lines of JSON, one
 * difference each, which are read here as hostile input. */
#include "sandbox/sandbox.h"
#include "worker/base/file.h"
#include "worker/base/process.h"
#include "worker/buildroot/layer.h"
#include "worker/buildroot/scratch.h"
#include "worker/verify/compare/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DOING "comparing the payloads of"
#define WALL_S 1800
#define MEMORY_BYTES (UINT64_C(2) << 30)
#define MAPPED_BYTES (UINT64_C(1) << 30) /* beyond what the caller had mapped */
#define OUTPUT_BYTES (UINT64_C(32) << 20)
#define COMPARE_UID 1000 /* inside; any but 0: its root is read-only then */
#define SPOOL "/spool"

struct compare_job {
        const struct compare_side *a, *b;
        struct kiln_buf out;
};

/* ---- inside ---------------------------------------------------------------------------------- */

static int write_line(json_t *j)
{
        _cleanup_json_ json_t *line = j;
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        kiln_json_canonical(line, &b);
        kiln_buf_putc(&b, '\n');
        return kiln_fd_write(STDOUT_FILENO, b.data, b.len);
}

/* The process image is the caller's: both heads are in memory. The files are read through descriptors of its
 * own. Not all hosts delegate a cgroup, and libarchive makes room for whatever lengths and dictionaries a
 * payload claims: a claim above what may still be mapped makes the payload an unreadable one. */
static int entry(void *arg)
{
        const struct compare_job *job = arg;
        struct compare_side a = *job->a, b = *job->b;
        struct kiln_comparison c = {0};
        int spool = open(SPOOL, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
            r = kiln_process_bound_memory(MAPPED_BYTES);

        a.fd = open("/rpm/a", O_RDONLY | O_CLOEXEC);
        b.fd = open("/rpm/b", O_RDONLY | O_CLOEXEC);
        if (r == 0 && (spool < 0 || a.fd < 0 || b.fd < 0))
                r = -errno;
        if (r == 0)
                r = compare_payloads(&c, &a, &b, spool);
        for (size_t i = 0; i < c.n_differences; i++)
                write_line(compare_difference_json(&c.differences[i]));
        return write_line(json_pack("{s:i, s:I}", "end", -r, "cut", (json_int_t)c.cut)) < 0;
}

/* ---- outside --------------------------------------------------------------------------------- */

static void on_output(void *ctx, const void *data, size_t len)
{
        struct compare_job *job = ctx;

        if (len <= OUTPUT_BYTES && job->out.len <= OUTPUT_BYTES - len)
                kiln_buf_append(&job->out, data, len);
}

static bool nullable_string(const json_t *j, const char **ret)
{
        *ret = json_is_string(j) ? json_string_value(j) : NULL;
        return json_is_string(j) || json_is_null(j);
}

/* One difference, of those kinds that come from inside. */
static bool take_difference(const json_t *j, struct kiln_comparison *c)
{
        static const enum kiln_difference_kind kinds[] = {KILN_DIFFERENCE_PAYLOAD,
                KILN_DIFFERENCE_FILE_MISSING, KILN_DIFFERENCE_FILE_META, KILN_DIFFERENCE_FILE_CONTENT};
        const char *kind = json_string_value(json_object_get(j, "kind")),
                   *subject = json_string_value(json_object_get(j, "subject")),
                   *aspect = json_string_value(json_object_get(j, "aspect")),
                   *detail = json_string_value(json_object_get(j, "detail")), *a, *b;

        if (json_object_size(j) != 6 || !kind || !subject || !aspect || !detail ||
                !nullable_string(json_object_get(j, "a"), &a) ||
                !nullable_string(json_object_get(j, "b"), &b))
                return false;
        for (size_t i = 0; i < KILN_ARRAY_SIZE(kinds); i++)
                if (strcmp(kiln_difference_kind_name(kinds[i]), kind) == 0) {
                        compare_add(c, kinds[i], subject, aspect, a, b, detail);
                        return true;
                }
        return false;
}

static int inside_failed(int errnum, const char *name, struct kiln_error *err)
{
        return kiln_error_set(err, errnum == EFBIG ? KILN_LIMIT : KILN_INFRA, errnum, DOING, name,
                errnum == EFBIG ? "more than 64 GiB unpacked" : "reading and putting aside what is inside");
}

int compare_output_read(
        const char *text, size_t len, const char *name, struct kiln_comparison *c, struct kiln_error *err)
{
        const char *at = text, *limit = text + len, *stop;

        while (at < limit && (stop = memchr(at, '\n', (size_t)(limit - at)))) {
                _cleanup_json_ json_t *j = NULL;
                const json_t *end, *cut;

                if (kiln_json_parse(at, (size_t)(stop - at), name, &j, NULL) < 0)
                        break;
                at = stop + 1;
                end = json_object_get(j, "end");
                cut = json_object_get(j, "cut");
                if (json_is_integer(end) && json_is_integer(cut)) {
                        json_int_t errnum = json_integer_value(end);

                        if (at != limit || errnum < 0 || errnum > 4095 || json_integer_value(cut) < 0)
                                break;
                        c->cut += (uint64_t)json_integer_value(cut);
                        c->differs |= json_integer_value(cut) > 0;
                        return errnum ? inside_failed((int)errnum, name, err) : 0;
                }
                if (!take_difference(j, c))
                        break;
        }
        kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, name,
                "what came back from the sandbox is no list of differences");
        kiln_error_advise(err, "One of the two files may have been made to break its reader.");
        return -EBADMSG;
}

static int judge(const struct kiln_sandbox_result *result, const char *name, struct kiln_error *err)
{
        if (result->how == KILN_SANDBOX_CANCELLED) {
                kiln_error_set(err, KILN_CANCELLED, 0, DOING, name, "cancelled");
                return -ECANCELED;
        }
        if (result->how == KILN_SANDBOX_LIMITED)
                return kiln_error_set(err, KILN_LIMIT, 0, DOING, name, "the %s limit was reached",
                        kiln_sandbox_limit_name(result->limit));
        if (result->how == KILN_SANDBOX_EXITED && result->status == 0)
                return 0;
        kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, name, "the reader ended with %s %d",
                result->how == KILN_SANDBOX_SIGNALED ? "signal" : "status", result->status);
        kiln_error_advise(err, "One of the two files may have been made to break its reader.");
        return -EBADMSG;
}

static int run(const struct kiln_context *c, const struct kiln_idmap *idmap, int root_fd,
        struct compare_job *job, struct kiln_error *err)
{
        static const char *const writable[] = {SPOOL, NULL};
        const struct kiln_sandbox_mount mounts[] = {
                {.kind = KILN_MOUNT_BIND_RO, .target = "/rpm/a", .source_fd = job->a->fd},
                {.kind = KILN_MOUNT_BIND_RO, .target = "/rpm/b", .source_fd = job->b->fd},
        };
        struct kiln_sandbox_result result;
        struct kiln_sandbox_error e = {0};
        struct kiln_sandbox s;

        kiln_sandbox_init(&s);
        s.idmap = *idmap;
        s.upper_fd = root_fd;
        s.mounts = mounts;
        s.n_mounts = KILN_ARRAY_SIZE(mounts);
        s.writable = writable;
        s.profile = KILN_PROFILE_BUILD;
        s.uid = COMPARE_UID;
        s.gid = COMPARE_UID;
        s.entry = entry;
        s.entry_arg = job;
        s.output = on_output;
        s.output_ctx = job;
        s.sys_none = true;
        s.cancel_fd = c->cancel_fd;
        s.limits = (struct kiln_sandbox_limits){
                .wall_s = WALL_S, .memory_bytes = MEMORY_BYTES, .pids = 8, .output_bytes = OUTPUT_BYTES};
        if (kiln_sandbox_run(&s, &result, &e) < 0)
                return kiln_error_from_sandbox(err, &e, DOING, job->a->name);
        return judge(&result, job->a->name, err);
}

int compare_payloads_confined(const struct kiln_context *c, const struct compare_side *a,
        const struct compare_side *b, struct kiln_comparison *into, struct kiln_error *err)
{
        _cleanup_scratch_ struct kiln_scratch scratch = KILN_SCRATCH_INIT;
        struct compare_job job = {.a = a, .b = b, .out = KILN_BUF_INIT};
        struct kiln_sandbox_error e = {0};
        _cleanup_close_ int spool = -1;
        struct kiln_idmap idmap;
        int r;

        if (kiln_idmap_find(KILN_ID_AUTO, &idmap, &e) < 0)
                return kiln_error_from_sandbox(err, &e, "looking for", "a mapping of user ids");
        r = kiln_scratch_make(c, &idmap, &scratch, err);
        if (r < 0)
                return r;
        spool = kiln_idmap_mkdir(&idmap, scratch.root_fd, &SPOOL[1], COMPARE_UID, COMPARE_UID, &e);
        if (spool < 0)
                return kiln_error_from_sandbox(err, &e, "making", "a directory to compare in");
        r = run(c, &idmap, scratch.root_fd, &job, err);
        if (r == 0)
                r = compare_output_read(kiln_buf_str(&job.out), job.out.len, a->name, into, err);
        kiln_buf_clear(&job.out);
        return r;
}
