#include "worker/attest/log/store.h"

#include "worker/attest/log/http.h"
#include "worker/base/digest.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DOING "using the log at"
#define LOCK_NAME ".lock"
#define PROBE "probe"
#define TIMEOUT_S 120
#define WEAK_TRIES 3
#define WEAK_MS 1100
#define SWAPPED_MAX ((size_t)64 << 20) /* bytes; above what either of the two files can have */

struct kiln_log_store {
        char *where;
        int dir_fd; /* -1: over HTTP */
        struct kiln_http *http;
};

static bool is_url(const char *where)
{
        return strncmp(where, "http://", 7) == 0 || strncmp(where, "https://", 8) == 0;
}

void kiln_log_store_free(struct kiln_log_store *s)
{
        if (!s)
                return;
        free(s->where);
        kiln_closep(&s->dir_fd);
        kiln_http_free(s->http);
        free(s);
}

int kiln_log_store_open(const struct kiln_context *c, const char *where, bool make,
        struct kiln_log_store **ret, struct kiln_error *err)
{
        _cleanup_(kiln_log_store_freep) struct kiln_log_store *s = kiln_calloc(1, sizeof(*s));
        int r = 0;

        s->dir_fd = -1;
        s->where = kiln_strdup(where);
        if (is_url(where)) {
                r = kiln_http_open(c, where, &s->http, err);
        } else if (strstr(where, "://")) {
                return kiln_error_set(err, KILN_USAGE, EINVAL, DOING, where,
                        "a log is a directory or an http or https URL");
        } else {
                s->dir_fd = make ? kiln_dir_make(AT_FDCWD, where, 0755)
                                 : open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (s->dir_fd < 0) {
                        r = make ? s->dir_fd : -errno;
                        kiln_error_set(err, r == -ENOENT ? KILN_BAD_INPUT : KILN_INFRA, -r, DOING, where,
                                "cannot open the directory");
                }
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

static int failed(
        const struct kiln_log_store *s, const char *path, int r, const char *what, struct kiln_error *err)
{
        _cleanup_free_ char *file = kiln_path_join(s->where, path);

        return kiln_error_set(err, KILN_INFRA, -r, DOING, file, "%s", what);
}

/* ---- a directory ------------------------------------------------------------------------------------- */

static char *tag_of(const struct kiln_buf *bytes, size_t from)
{
        struct kiln_digest d = kiln_digest_of(kiln_buf_str(bytes) + from, bytes->len - from);
        char hex[KILN_DIGEST_HEX + 1];

        kiln_digest_to_hex(&d, hex);
        return kiln_strdup(hex);
}

static int directory_get(
        struct kiln_log_store *s, const char *path, size_t max, struct kiln_buf *out, char **ret_tag)
{
        size_t before = out->len;
        int r = kiln_file_read(s->dir_fd, path, max, out);

        if (r == -ENOENT || r == -ENOTDIR)
                return KILN_LOG_ABSENT;
        if (r == 0 && ret_tag)
                *ret_tag = tag_of(out, before);
        return r;
}

/* The directory that a path's file is in, made where it is not there; follows no link that lies in the log.
 */
static int parent_open(struct kiln_log_store *s, const char *path)
{
        _cleanup_close_ int fd = fcntl(s->dir_fd, F_DUPFD_CLOEXEC, 0);

        for (const char *slash; fd >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
                _cleanup_free_ char *name = kiln_strndup(path, (size_t)(slash - path));
                int below;

                if (mkdirat(fd, name, 0755) == 0 ? fsync(fd) < 0 : errno != EEXIST)
                        return -errno;
                below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                if (below < 0)
                        return -errno;
                close(fd);
                fd = below;
        }
        return fd < 0 ? -errno : TAKE_FD(fd);
}

static int directory_put(struct kiln_log_store *s, const char *path, const void *data, size_t len)
{
        _cleanup_close_ int fd = parent_open(s, path);

        return fd < 0 ? fd : kiln_file_write(fd, kiln_path_base(path), data, len, 0644);
}

/* The lock is held for the moment of the exchange only; the kernel ends it with the process. */
static int directory_swap(
        struct kiln_log_store *s, const char *path, const char *tag, const void *data, size_t len)
{
        _cleanup_buf_ struct kiln_buf now = KILN_BUF_INIT;
        _cleanup_free_ char *found = NULL;
        _cleanup_close_ int lock =
                openat(s->dir_fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        int r;

        if (lock < 0)
                return -errno;
        r = kiln_fd_lock(lock, LOCK_EX);
        if (r < 0)
                return r;
        r = directory_get(s, path, SWAPPED_MAX, &now, &found);
        if (r < 0)
                return r;
        if (r == KILN_LOG_ABSENT ? tag != NULL : !tag || strcmp(tag, found) != 0)
                return KILN_LOG_CHANGED;
        return directory_put(s, path, data, len);
}

/* ---- over HTTP --------------------------------------------------------------------------------------- */

static int unexpected(const struct kiln_log_store *s, const char *path, const char *method,
        const struct kiln_http_answer *a, struct kiln_error *err)
{
        _cleanup_free_ char *what = kiln_asprintf("the server answered %ld to %s", a->status, method);
        int r = failed(s, path, 0, what, err);

        if (a->status == 401 || a->status == 403)
                kiln_error_advise(err, "Put the user name and password for this server into ~/.netrc.");
        return r;
}

/* A weak tag promises nothing about the bytes. Apache gives one for what was written within the last second:
 * then a strong one is only a matter of waiting. */
static int strong_get(struct kiln_log_store *s, const struct kiln_http_request *q, bool strong,
        struct kiln_http_answer *ret, struct kiln_error *err)
{
        for (int tries = 0;; tries++) {
                int r = kiln_http_do(s->http, q, ret, err);

                if (r < 0 || !strong || ret->status != 200 || !ret->etag || ret->etag[0] == '"' ||
                        tries == WEAK_TRIES)
                        return r;
                kiln_http_answer_clear(ret);
                kiln_http_pause(s->http, WEAK_MS);
        }
}

static int http_get(struct kiln_log_store *s, const char *path, size_t max, struct kiln_buf *out,
        char **ret_tag, struct kiln_error *err)
{
        _cleanup_(kiln_http_answer_clear) struct kiln_http_answer a = {0};
        const struct kiln_http_request q = {.method = "GET",
                .path = path,
                .headers = {"Cache-Control: no-cache"},
                .answer_max = max,
                .timeout_s = TIMEOUT_S};
        int r = strong_get(s, &q, ret_tag != NULL, &a, err);

        if (r < 0)
                return r;
        if (a.status == 404 || a.status == 410)
                return KILN_LOG_ABSENT;
        if (a.status != 200)
                return unexpected(s, path, "GET", &a, err);
        if (ret_tag && (!a.etag || a.etag[0] != '"')) {
                failed(s, path, 0, "the server gives no strong ETag, so that two writers could fork the log",
                        err);
                return -EOPNOTSUPP;
        }
        if (ret_tag)
                *ret_tag = TAKE_PTR(a.etag);
        kiln_buf_append(out, a.body.data, a.body.len);
        return 0;
}

/* WebDAV servers want the collections above a file to exist; 405: it does. */
static int make_parents(struct kiln_log_store *s, const char *path, struct kiln_error *err)
{
        for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
                _cleanup_(kiln_http_answer_clear) struct kiln_http_answer a = {0};
                _cleanup_free_ char *parent = kiln_strndup(path, (size_t)(slash + 1 - path));
                const struct kiln_http_request q = {
                        .method = "MKCOL", .path = parent, .answer_max = 65536, .timeout_s = TIMEOUT_S};
                int r = kiln_http_do(s->http, &q, &a, err);

                if (r < 0)
                        return r;
                if (a.status != 201 && a.status != 405)
                        return unexpected(s, parent, "MKCOL", &a, err);
        }
        return 0;
}

static int http_put(struct kiln_log_store *s, const char *path, const char *condition, const void *data,
        size_t len, struct kiln_error *err)
{
        const struct kiln_http_request q = {.method = "PUT",
                .path = path,
                .body = data,
                .body_len = len,
                .headers = {"Content-Type: application/octet-stream", condition},
                .answer_max = 65536,
                .timeout_s = TIMEOUT_S};

        for (bool again = false;; again = true) {
                _cleanup_(kiln_http_answer_clear) struct kiln_http_answer a = {0};
                int r = kiln_http_do(s->http, &q, &a, err);

                if (r < 0)
                        return r;
                if (a.status >= 200 && a.status < 300)
                        return 0;
                if (a.status == 412)
                        return KILN_LOG_CHANGED;
                if ((a.status != 404 && a.status != 409) || again || !strchr(path, '/'))
                        return unexpected(s, path, "PUT", &a, err);
                r = make_parents(s, path, err);
                if (r < 0)
                        return r;
        }
}

/* ---- both -------------------------------------------------------------------------------------------- */

int kiln_log_store_get(struct kiln_log_store *s, const char *path, size_t max, struct kiln_buf *out,
        char **ret_tag, struct kiln_error *err)
{
        int r = s->http ? http_get(s, path, max, out, ret_tag, err)
                        : directory_get(s, path, max, out, ret_tag);

        return r < 0 && !s->http ? failed(s, path, r, "cannot read it", err) : r;
}

int kiln_log_store_put(
        struct kiln_log_store *s, const char *path, const void *data, size_t len, struct kiln_error *err)
{
        int r = s->http ? http_put(s, path, NULL, data, len, err) : directory_put(s, path, data, len);

        return r < 0 && !s->http ? failed(s, path, r, "cannot write it", err) : r;
}

int kiln_log_store_swap(struct kiln_log_store *s, const char *path, const char *tag, const void *data,
        size_t len, struct kiln_error *err)
{
        _cleanup_free_ char *condition =
                tag ? kiln_asprintf("If-Match: %s", tag) : kiln_strdup("If-None-Match: *");
        int r = s->http ? http_put(s, path, condition, data, len, err)
                        : directory_swap(s, path, tag, data, len);

        return r < 0 && !s->http ? failed(s, path, r, "cannot write it", err) : r;
}

int kiln_log_store_probe(struct kiln_log_store *s, struct kiln_error *err)
{
        static const char bytes[] = "Whether this server honours If-Match and If-None-Match.\n";
        _cleanup_buf_ struct kiln_buf there = KILN_BUF_INIT;
        _cleanup_free_ char *tag = NULL;
        int r;

        if (!s->http)
                return 0;
        /* A file of its own, always the same: a server that ignores the conditions loses nothing. */
        r = kiln_log_store_get(s, PROBE, sizeof(bytes), &there, &tag, err);
        if (r == KILN_LOG_ABSENT)
                r = kiln_log_store_put(s, PROBE, bytes, strlen(bytes), err);
        if (r == 0 && !tag)
                r = kiln_log_store_get(s, PROBE, sizeof(bytes), &there, &tag, err);
        if (r == 0)
                r = kiln_log_store_swap(s, PROBE, NULL, bytes, strlen(bytes), err);
        if (r == KILN_LOG_CHANGED)
                r = kiln_log_store_swap(s, PROBE, "\"kiln-no-such-tag\"", bytes, strlen(bytes), err);
        if (r < 0 || r == KILN_LOG_CHANGED)
                return r < 0 ? r : 0;
        kiln_error_set(err, KILN_REFUSED, 0, DOING, s->where,
                "the server ignores If-Match and If-None-Match, so that two writers could fork the log");
        kiln_error_advise(err, "Use a server that honours them (RFC 9110, section 13), or a directory.");
        return -EOPNOTSUPP;
}
