/* Bringing files from mirrors into the store: one loop over libcurl's multi interface.
 *
 * Each wanted file is a transfer with its list of mirrors. A mirror that fails for now (network, 5xx) is
 * tried again in a later round, after a pause; one that is wrong (4xx, wrong size, wrong digest) is never
 * asked for that file again. Partial files survive and are continued, their hash with them.
 *
 * Must never commit a file whose SHA-256 is not the wanted one, and never speak anything but http, https and
 * file. */
#include "worker/base/clock.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/buildroot/store_private.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define RUNNING_MAX 24
#define PER_HOST_MAX 6
#define REDIRECTS_MAX 5
#define BYTES_MAX (UINT64_C(8) << 30) /* of a file; also when neither size nor bound is given */
#define MS_NS UINT64_C(1000000)
#define HOST_DOWN_NS (30 * 1000 * MS_NS) /* an unreachable host is tried last for this long */
#define WAIT_OTHER_NS (100 * MS_NS)      /* another process fetches the same file: look again */
#define PROGRESS_NS (100 * MS_NS)

enum transfer_state {
        TRANSFER_READY,
        TRANSFER_RUNNING,
        TRANSFER_DONE,
};

struct mirror {
        const char *url;
        char *cause; /* of the last failure, NULL: none yet */
        bool dead;   /* never again for this file */
        bool tried;  /* in this round */
        bool offline;
};

struct transfer {
        struct kiln_store *store;
        const char *name;
        struct mirror *mirrors;
        size_t n_mirrors;
        struct kiln_digest want;
        bool any_digest;     /* the digest is the result, not a condition */
        uint64_t size_bytes; /* 0: unknown */
        uint64_t max_bytes;

        struct kiln_buf *buf; /* either into memory … */
        int fd;               /* … or into partial/, -1 while not open */
        char partial[KILN_DIGEST_HEX + 8];
        struct kiln_hasher *hasher; /* over the have_bytes of the partial */
        uint64_t have_bytes;
        size_t base_len; /* of buf before us */
        bool mixed;      /* the bytes so far are not all from the mirror now asked */
        bool restarted;  /* this mirror was already asked again from 0 */

        enum transfer_state state;
        size_t mirror;
        unsigned round;
        uint64_t not_before_ns;
        CURL *easy;
        char message[CURL_ERROR_SIZE];
        bool too_large;
        int write_error; /* positive errno */
};

struct host {
        char *name;
        uint64_t down_until_ns;
};

struct engine {
        struct kiln_store *store;
        const char *phase;
        CURLM *multi;
        struct transfer *transfers;
        size_t n;
        size_t running;
        struct host *hosts;
        size_t n_hosts;
        uint64_t progress_ns, total_bytes;
        struct kiln_error *err;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_start(void)
{
        curl_global_init(CURL_GLOBAL_DEFAULT);
}

void fetch_shutdown(void *multi)
{
        if (multi)
                curl_multi_cleanup(multi);
}

static CURLM *fetch_multi(struct kiln_store *s)
{
        pthread_once(&curl_once, curl_start);
        if (!s->multi) {
                s->multi = curl_multi_init();
                if (!s->multi)
                        return NULL;
                curl_multi_setopt(s->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
                curl_multi_setopt(s->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)PER_HOST_MAX);
                curl_multi_setopt(s->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)RUNNING_MAX);
        }
        return s->multi;
}

/* ---- mirrors and hosts */

static char *url_host(const char *url)
{
        const char *p = strstr(url, "://");

        p = p ? p + 3 : url;
        return kiln_strndup(p, strcspn(p, "/?#"));
}

static struct host *host_find(struct engine *e, const char *url)
{
        _cleanup_free_ char *name = url_host(url);
        struct host *h;

        for (size_t i = 0; i < e->n_hosts; i++)
                if (strcmp(e->hosts[i].name, name) == 0)
                        return &e->hosts[i];
        h = KILN_APPEND(e->hosts, e->n_hosts);
        h->name = TAKE_PTR(name);
        return h;
}

/* Chooses the next mirror; false when none is left in any round. */
static bool mirror_choose(struct engine *e, struct transfer *t)
{
        uint64_t now = kiln_clock_ns();
        size_t down = t->n_mirrors, dead = 0;

        for (size_t i = 0; i < t->n_mirrors; i++) {
                struct mirror *m = &t->mirrors[i];

                if (m->dead)
                        dead++;
                if (m->dead || m->tried)
                        continue;
                if (host_find(e, m->url)->down_until_ns <= now) {
                        t->mirror = i;
                        return true;
                }
                if (down == t->n_mirrors)
                        down = i;
        }
        if (down < t->n_mirrors) {
                t->mirror = down;
                return true;
        }
        if (dead == t->n_mirrors || ++t->round >= e->store->rounds)
                return false;
        for (size_t i = 0; i < t->n_mirrors; i++)
                t->mirrors[i].tried = false;
        t->not_before_ns = now + ((uint64_t)e->store->backoff_ms << (t->round - 1)) * MS_NS;
        return mirror_choose(e, t);
}

static void mirror_failed(struct transfer *t, bool dead, char *cause)
{
        struct mirror *m = &t->mirrors[t->mirror];

        free(m->cause);
        m->cause = cause;
        m->tried = true;
        m->dead |= dead;
        t->restarted = false;
        if (t->have_bytes > 0)
                t->mixed = true;
}

static bool url_is(const char *url, const char *scheme)
{
        return strncasecmp(url, scheme, strlen(scheme)) == 0;
}

static void mirrors_init(struct transfer *t, const char *const *urls, bool offline)
{
        for (; urls && *urls; urls++) {
                struct mirror *m = KILN_APPEND(t->mirrors, t->n_mirrors);
                bool network = url_is(*urls, "http://") || url_is(*urls, "https://");

                m->url = *urls;
                if (!network && !url_is(*urls, "file://")) {
                        m->dead = true;
                        m->cause = kiln_strdup("only http, https and file URLs are fetched");
                } else if (network && offline) {
                        m->dead = m->offline = true;
                        m->cause = kiln_strdup("not asked: offline");
                }
        }
}

/* The error when no mirror is left. */
static int mirrors_exhausted(const struct engine *e, const struct transfer *t)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        size_t offline = 0;
        int r;

        for (size_t i = 0; i < t->n_mirrors; i++) {
                const struct mirror *m = &t->mirrors[i];

                offline += m->offline;
                if (i < 8)
                        kiln_buf_printf(
                                &text, "%s%s: %s", i ? "; " : "", m->url, m->cause ? m->cause : "not asked");
        }
        if (t->n_mirrors == 0)
                kiln_buf_puts(&text, "no URL is known for it");
        if (offline > 0) {
                r = kiln_error_set(e->err, KILN_REFUSED, ENETUNREACH, "fetching", t->name, "%s", text.data);
                kiln_error_advise(e->err, "It is not in the store: run once without --offline.");
                return r;
        }
        r = kiln_error_set(e->err, KILN_INFRA, 0, "fetching", t->name, "%s", text.data);
        kiln_error_advise(e->err, "Check the network and the repository's URLs, then try again.");
        return r;
}

/* ---- one transfer */

static void transfer_reset_data(struct transfer *t)
{
        kiln_hasher_free(t->hasher);
        t->hasher = kiln_hasher_new();
        t->have_bytes = 0;
        t->mixed = false;
        if (t->buf) {
                t->buf->len = t->base_len;
                if (t->buf->data)
                        t->buf->data[t->base_len] = '\0';
        }
        if (t->fd >= 0 && (ftruncate(t->fd, 0) < 0 || lseek(t->fd, 0, SEEK_SET) < 0))
                t->write_error = errno;
}

static size_t transfer_write(char *data, size_t size, size_t n, void *userdata)
{
        struct transfer *t = userdata;
        uint64_t bound = t->size_bytes ? t->size_bytes : t->max_bytes;
        int r = 0;

        n *= size;
        if (n > bound - t->have_bytes) {
                t->too_large = true;
                return 0;
        }
        if (t->buf)
                kiln_buf_append(t->buf, data, n);
        else
                r = kiln_fd_write(t->fd, data, n);
        if (r < 0) {
                t->write_error = -r;
                return 0;
        }
        kiln_hasher_update(t->hasher, data, n);
        t->have_bytes += n;
        return n;
}

/* Hashes what an earlier run left in the partial, so that only the rest must come. */
static int transfer_adopt_partial(struct transfer *t)
{
        enum { CHUNK = 1 << 18 };
        _cleanup_free_ char *chunk = NULL;
        struct stat st;

        if (fstat(t->fd, &st) < 0)
                return -errno;
        if (st.st_size == 0)
                return 0;
        if ((uint64_t)st.st_size > (t->size_bytes ? t->size_bytes : t->max_bytes)) {
                transfer_reset_data(t);
                return -t->write_error;
        }
        chunk = kiln_malloc(CHUNK);
        for (;;) {
                ssize_t n = read(t->fd, chunk, CHUNK);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                kiln_hasher_update(t->hasher, chunk, (size_t)n);
                t->have_bytes += (uint64_t)n;
        }
        t->mixed = true;
        return 0;
}

static CURL *transfer_easy(struct transfer *t)
{
        const char *url = t->mirrors[t->mirror].url;
        CURL *c = curl_easy_init();

        if (!c)
                return NULL;
        curl_easy_setopt(c, CURLOPT_URL, url);
        curl_easy_setopt(c, CURLOPT_PRIVATE, t);
        curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->message);
        curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, transfer_write);
        curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
        curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
        curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
        curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
        curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https,file");
        /* Never down from https, and never from the network to this machine's files. */
        curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, url_is(url, "https://") ? "https" : "http,https");
        curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
        curl_easy_setopt(c, CURLOPT_PIPEWAIT, 1L);
        curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)t->store->connect_s);
        curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1024L);
        curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)t->store->stall_s);
        curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 128L * 1024);
        curl_easy_setopt(c, CURLOPT_USERAGENT, "kiln");
        if (t->have_bytes > 0)
                curl_easy_setopt(c, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)t->have_bytes);
        return c;
}

/* The file is complete: right or wrong? Returns 0 (done, or to be tried elsewhere), negative errno. */
static int transfer_complete(struct engine *e, struct transfer *t)
{
        struct kiln_digest got;
        char hex[KILN_DIGEST_HEX + 1];
        int r;

        if (t->buf) {
                t->state = TRANSFER_DONE;
                return 0;
        }
        got = kiln_hasher_finish(t->hasher);
        if (t->any_digest)
                t->want = got;
        if (kiln_digest_equal(&got, &t->want)) {
                r = store_partial_commit(e->store, t->fd, t->partial, &got);
                if (r < 0)
                        return store_write_error(e->store, -r, t->name, e->err);
                kiln_closep(&t->fd);
                t->fd = -1;
                t->state = TRANSFER_DONE;
                return 0;
        }
        bool again = t->mixed && !t->restarted;
        transfer_reset_data(t);
        if (again) {
                /* Some of the bytes came from elsewhere: this mirror gets one chance with all of them. */
                t->restarted = true;
                return 0;
        }
        kiln_digest_to_hex(&got, hex);
        mirror_failed(t, true, kiln_asprintf("wrong SHA-256 %s", hex));
        return 0;
}

/* Curl's results after which the same mirror cannot do better with this file. */
static bool is_permanent(CURLcode rc, long status)
{
        static const CURLcode codes[] = {CURLE_UNSUPPORTED_PROTOCOL, CURLE_URL_MALFORMAT,
                CURLE_TOO_MANY_REDIRECTS, CURLE_FILE_COULDNT_READ_FILE, CURLE_PEER_FAILED_VERIFICATION,
                CURLE_FILESIZE_EXCEEDED, CURLE_REMOTE_FILE_NOT_FOUND, CURLE_READ_ERROR};

        if (rc == CURLE_HTTP_RETURNED_ERROR)
                return status < 500 && status != 408 && status != 425 && status != 429;
        for (size_t i = 0; i < KILN_ARRAY_SIZE(codes); i++)
                if (rc == codes[i])
                        return true;
        return false;
}

static bool is_unreachable(CURLcode rc)
{
        return rc == CURLE_COULDNT_RESOLVE_HOST || rc == CURLE_COULDNT_CONNECT ||
               rc == CURLE_OPERATION_TIMEDOUT || rc == CURLE_SSL_CONNECT_ERROR;
}

static int transfer_ended(struct engine *e, struct transfer *t, CURLcode rc)
{
        long status = 0;
        bool resumed = false;

        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        resumed = t->have_bytes > 0;
        t->state = TRANSFER_READY;
        if (t->write_error)
                return store_write_error(e->store, t->write_error, t->name, e->err);
        if (t->too_large) {
                t->too_large = false;
                transfer_reset_data(t);
                mirror_failed(t, true, kiln_strdup("longer than it may be"));
        } else if (rc == CURLE_OK && t->size_bytes && t->have_bytes < t->size_bytes) {
                mirror_failed(t, true,
                        kiln_asprintf("ends after %llu of %llu bytes", (unsigned long long)t->have_bytes,
                                (unsigned long long)t->size_bytes));
        } else if (rc == CURLE_OK) {
                return transfer_complete(e, t);
        } else if (resumed && !t->restarted &&
                   (rc == CURLE_RANGE_ERROR || rc == CURLE_BAD_DOWNLOAD_RESUME || status == 416)) {
                transfer_reset_data(t); /* it cannot continue: the same mirror again, from the start */
                t->restarted = true;
        } else {
                if (is_unreachable(rc))
                        host_find(e, t->mirrors[t->mirror].url)->down_until_ns =
                                kiln_clock_ns() + HOST_DOWN_NS;
                mirror_failed(t, is_permanent(rc, status),
                        kiln_strdup(*t->message ? t->message : curl_easy_strerror(rc)));
        }
        if (t->write_error)
                return store_write_error(e->store, t->write_error, t->name, e->err);
        return 0;
}

/* Opens the partial. Returns 0, 1 when there is nothing to do now (done, or another process is at it). */
static int transfer_open(struct engine *e, struct transfer *t)
{
        _cleanup_close_ int there = -1;
        int r;

        if (!t->any_digest) {
                r = store_find_sized(e->store, &t->want, t->size_bytes, &there);
                if (r < 0)
                        return kiln_error_set(
                                e->err, KILN_INFRA, -r, "looking up", t->name, "the store cannot be read");
                if (r == 0) {
                        t->state = TRANSFER_DONE;
                        return 1;
                }
        }
        t->fd = store_partial_open(e->store, t->partial);
        if (t->fd == -EWOULDBLOCK) {
                t->fd = -1;
                t->not_before_ns = kiln_clock_ns() + WAIT_OTHER_NS;
                return 1;
        }
        if (t->fd < 0)
                return store_write_error(e->store, -TAKE_FD(t->fd), t->name, e->err);
        r = transfer_adopt_partial(t);
        if (r < 0)
                return store_write_error(e->store, -r, t->name, e->err);
        if (t->size_bytes && t->have_bytes == t->size_bytes) {
                r = transfer_complete(e, t);
                if (r < 0)
                        return r;
                return t->state == TRANSFER_DONE ? 1 : 0;
        }
        return 0;
}

static int transfer_start(struct engine *e, struct transfer *t)
{
        int r;

        if (!t->buf && t->fd < 0) {
                r = transfer_open(e, t);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        if (!t->restarted && !mirror_choose(e, t))
                return mirrors_exhausted(e, t);
        if (t->not_before_ns > kiln_clock_ns())
                return 0;
        if (t->buf)
                transfer_reset_data(t); /* what comes into memory is never resumed */
        t->easy = transfer_easy(t);
        if (!t->easy || curl_multi_add_handle(e->multi, t->easy) != CURLM_OK)
                return kiln_error_set(e->err, KILN_INFRA, ENOMEM, "fetching", t->name, "libcurl");
        t->state = TRANSFER_RUNNING;
        e->running++;
        return 0;
}

static void transfer_close_easy(struct engine *e, struct transfer *t)
{
        if (!t->easy)
                return;
        curl_multi_remove_handle(e->multi, t->easy);
        curl_easy_cleanup(t->easy);
        t->easy = NULL;
        e->running--;
}

/* Nobody will continue what is empty, has no digest for a name, or came from mirrors that all have something
 * else; and where there is no room it is in the way. */
static bool partial_is_useless(const struct transfer *t)
{
        struct stat st;
        size_t dead = 0;

        for (size_t i = 0; i < t->n_mirrors; i++)
                dead += t->mirrors[i].dead;
        return t->any_digest || t->write_error || (dead == t->n_mirrors && t->state != TRANSFER_DONE) ||
               (fstat(t->fd, &st) == 0 && st.st_size == 0);
}

static void transfer_clear(struct engine *e, struct transfer *t)
{
        transfer_close_easy(e, t);
        if (t->fd >= 0) {
                if (partial_is_useless(t))
                        unlinkat(e->store->partial_fd, t->partial, 0);
                kiln_closep(&t->fd);
        }
        for (size_t i = 0; i < t->n_mirrors; i++)
                free(t->mirrors[i].cause);
        free(t->mirrors);
        kiln_hasher_free(t->hasher);
}

/* ---- the loop */

static void engine_progress(struct engine *e, bool last)
{
        uint64_t now = kiln_clock_ns(), done = 0;
        const char *item = "";

        if (!e->phase || (!last && now < e->progress_ns + PROGRESS_NS))
                return;
        e->progress_ns = now;
        for (size_t i = 0; i < e->n; i++) {
                const struct transfer *t = &e->transfers[i];

                done += t->state == TRANSFER_DONE && t->size_bytes ? t->size_bytes : t->have_bytes;
                if (t->state == TRANSFER_RUNNING)
                        item = t->name;
        }
        kiln_sink_progress(&e->store->context->sink, e->phase, item, done, e->total_bytes);
}

static int engine_collect_ended(struct engine *e)
{
        CURLMsg *m;
        int left, r = 0;

        while (r == 0 && (m = curl_multi_info_read(e->multi, &left))) {
                char *private = NULL;
                CURLcode rc = m->data.result;

                if (m->msg != CURLMSG_DONE)
                        continue;
                curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
                struct transfer *t = (struct transfer *)(void *)private;
                r = transfer_ended(e, t, rc);
                transfer_close_easy(e, t);
        }
        return r;
}

/* Starts what may start; *ret_wait_ms: how long nothing else will. Returns the number not yet done. */
static int engine_start_ready(struct engine *e, size_t *ret_left, int *ret_wait_ms)
{
        uint64_t now = kiln_clock_ns();
        int wait_ms = 1000;

        *ret_left = 0;
        for (size_t i = 0; i < e->n; i++) {
                struct transfer *t = &e->transfers[i];

                if (t->state == TRANSFER_READY && e->running < RUNNING_MAX && t->not_before_ns <= now) {
                        int r = transfer_start(e, t);

                        if (r < 0)
                                return r;
                }
                if (t->state == TRANSFER_DONE)
                        continue;
                (*ret_left)++;
                if (t->state == TRANSFER_READY && e->running < RUNNING_MAX) {
                        uint64_t ms = t->not_before_ns > now ? (t->not_before_ns - now) / MS_NS + 1 : 1;

                        if (ms < (uint64_t)wait_ms)
                                wait_ms = (int)ms;
                }
        }
        *ret_wait_ms = wait_ms;
        return 0;
}

static int engine_run(struct engine *e)
{
        struct curl_waitfd cancel = {e->store->context->cancel_fd, CURL_WAIT_POLLIN, 0};
        size_t left = 0;

        for (;;) {
                int wait_ms = 0, still = 0, r = kiln_context_check(e->store->context, "fetching", e->err);

                if (r == 0)
                        r = engine_start_ready(e, &left, &wait_ms);
                if (r < 0)
                        return r;
                if (left == 0)
                        return 0;
                if (curl_multi_perform(e->multi, &still) != CURLM_OK)
                        return kiln_error_set(e->err, KILN_INFRA, 0, "fetching", NULL, "libcurl failed");
                size_t before = e->running;
                r = engine_collect_ended(e);
                if (r < 0)
                        return r;
                engine_progress(e, false);
                if (e->running < before)
                        continue; /* room for another */
                if (curl_multi_poll(e->multi, &cancel, cancel.fd >= 0 ? 1 : 0, wait_ms, NULL) != CURLM_OK)
                        return kiln_error_set(e->err, KILN_INFRA, 0, "fetching", NULL, "libcurl failed");
        }
}

static int engine_check_space(struct engine *e)
{
        struct statvfs vfs;
        uint64_t room;

        if (fstatvfs(e->store->root_fd, &vfs) < 0)
                return 0;
        room = (uint64_t)vfs.f_bavail * vfs.f_frsize;
        if (e->total_bytes <= room)
                return 0;
        kiln_error_set(e->err, KILN_INFRA, ENOSPC, "fetching", NULL,
                "%llu MiB are needed and %llu MiB free in %s", (unsigned long long)(e->total_bytes >> 20),
                (unsigned long long)(room >> 20), e->store->context->cache_dir);
        kiln_error_advise(e->err, "Free some space, for instance with `kiln cache gc --quota 10G`.");
        return -ENOSPC;
}

/* Runs the engine over transfers that have name, want, sizes and sink set. */
static int engine_fetch(struct engine *e)
{
        int r;

        e->multi = fetch_multi(e->store);
        if (!e->multi)
                return kiln_error_set(e->err, KILN_INFRA, ENOMEM, "fetching", NULL, "libcurl");
        for (size_t i = 0; i < e->n; i++) {
                struct transfer *t = &e->transfers[i];

                t->store = e->store;
                t->hasher = kiln_hasher_new();
                if (t->max_bytes == 0)
                        t->max_bytes = BYTES_MAX;
                if (t->size_bytes > BYTES_MAX) /* whoever states it; the sum cannot overflow then */
                        return kiln_error_set(e->err, KILN_INFRA, EFBIG, "fetching", t->name,
                                "it is to have %llu MiB; a file may have %llu",
                                (unsigned long long)(t->size_bytes >> 20),
                                (unsigned long long)(BYTES_MAX >> 20));
                e->total_bytes += t->size_bytes;
        }
        r = engine_check_space(e);
        if (r == 0)
                r = engine_run(e);
        if (r == 0)
                engine_progress(e, true);
        return r;
}

static void engine_clear(struct engine *e)
{
        for (size_t i = 0; i < e->n; i++)
                transfer_clear(e, &e->transfers[i]);
        for (size_t i = 0; i < e->n_hosts; i++)
                free(e->hosts[i].name);
        free(e->hosts);
}

static int compare_wanted(const void *a, const void *b)
{
        const struct kiln_fetch *const *x = a, *const *y = b;

        return memcmp((*x)->sha256.bytes, (*y)->sha256.bytes, KILN_DIGEST_BYTES);
}

/* What is absent, each digest once (two transfers of one digest would wait for each other's lock). */
static int absent_of(struct kiln_store *s, const struct kiln_fetch *what, size_t n,
        const struct kiln_fetch **wanted, size_t *ret_n, struct kiln_error *err)
{
        size_t n_wanted = 0, n_unique = 0;

        for (size_t i = 0; i < n; i++) {
                _cleanup_close_ int fd = -1;
                int r = store_find_sized(s, &what[i].sha256, what[i].size_bytes, &fd);

                if (r < 0)
                        return kiln_error_set(
                                err, KILN_INFRA, -r, "looking up", what[i].name, "the store cannot be read");
                if (r == KILN_STORE_ABSENT)
                        wanted[n_wanted++] = &what[i];
        }
        qsort(wanted, n_wanted, sizeof(*wanted), compare_wanted);
        for (size_t i = 0; i < n_wanted; i++)
                if (n_unique == 0 || compare_wanted(&wanted[n_unique - 1], &wanted[i]) != 0)
                        wanted[n_unique++] = wanted[i];
        *ret_n = n_unique;
        return 0;
}

int kiln_store_fetch(struct kiln_store *s, const char *phase, const struct kiln_fetch *what, size_t n,
        struct kiln_error *err)
{
        _cleanup_free_ const struct kiln_fetch **wanted = kiln_calloc(n + 1, sizeof(*wanted));
        _cleanup_free_ struct transfer *transfers = NULL;
        struct engine e = {.store = s, .phase = phase, .err = err};
        int r = absent_of(s, what, n, wanted, &e.n, err);

        if (r < 0 || e.n == 0)
                return r;
        e.transfers = transfers = kiln_calloc(e.n, sizeof(*transfers));
        for (size_t i = 0; i < e.n; i++) {
                struct transfer *t = &transfers[i];

                t->name = wanted[i]->name;
                t->want = wanted[i]->sha256;
                t->size_bytes = wanted[i]->size_bytes;
                t->max_bytes = wanted[i]->max_bytes;
                t->fd = -1;
                kiln_digest_to_hex(&t->want, t->partial);
                mirrors_init(t, wanted[i]->urls, s->context->offline);
        }
        r = engine_fetch(&e);
        engine_clear(&e);
        return r;
}

int kiln_store_fetch_url(struct kiln_store *s, const char *phase, const char *url, uint64_t max_bytes,
        struct kiln_digest *ret, struct kiln_error *err)
{
        const char *const urls[] = {url, NULL};
        struct transfer t = {.name = url, .any_digest = true, .max_bytes = max_bytes, .fd = -1};
        struct engine e = {.store = s, .phase = phase, .transfers = &t, .n = 1, .err = err};
        int r;

        snprintf(t.partial, sizeof(t.partial), ".url-%d-%llx", (int)getpid(),
                (unsigned long long)kiln_clock_ns());
        mirrors_init(&t, urls, s->context->offline);
        r = engine_fetch(&e);
        if (r == 0)
                *ret = t.want;
        engine_clear(&e);
        return r;
}

int kiln_store_download(struct kiln_store *s, const char *const *urls, uint64_t max_bytes,
        struct kiln_buf *out, struct kiln_error *err)
{
        struct transfer t = {.name = urls && urls[0] ? urls[0] : "",
                .max_bytes = max_bytes,
                .fd = -1,
                .buf = out,
                .base_len = out->len};
        struct engine e = {.store = s, .phase = NULL, .transfers = &t, .n = 1, .err = err};
        int r;

        mirrors_init(&t, urls, s->context->offline);
        r = engine_fetch(&e);
        engine_clear(&e);
        return r;
}
