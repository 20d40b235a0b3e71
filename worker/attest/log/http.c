#include "worker/attest/log/http.h"

#include "worker/base/mem.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>

#define DOING "talking to"
#define TRIES 4
#define PAUSE_MS 500 /* before the second try; doubles */
#define CONNECT_S 30
#define ETAG_MAX 256
#define SAID_MAX 200 /* bytes of an answer that an error quotes */

struct kiln_http {
        const struct kiln_context *context;
        CURL *easy;
        char *base;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_start(void)
{
        curl_global_init(CURL_GLOBAL_DEFAULT);
}

void kiln_http_free(struct kiln_http *h)
{
        if (!h)
                return;
        curl_easy_cleanup(h->easy);
        free(h->base);
        free(h);
}

void kiln_http_answer_clear(struct kiln_http_answer *a)
{
        free(a->etag);
        kiln_buf_clear(&a->body);
        *a = (struct kiln_http_answer){0};
}

int kiln_http_open(
        const struct kiln_context *c, const char *base_url, struct kiln_http **ret, struct kiln_error *err)
{
        _cleanup_(kiln_http_freep) struct kiln_http *h = kiln_calloc(1, sizeof(*h));
        size_t len = strlen(base_url);

        if (c->offline)
                return kiln_error_set(err, KILN_REFUSED, 0, DOING, base_url, "--offline was given");
        pthread_once(&curl_once, curl_start);
        while (len > 0 && base_url[len - 1] == '/')
                len--;
        h->context = c;
        h->base = kiln_strndup(base_url, len);
        h->easy = curl_easy_init();
        if (!h->easy)
                return kiln_error_set(err, KILN_INFRA, 0, DOING, base_url, "libcurl does not start");
        *ret = TAKE_PTR(h);
        return 0;
}

/* ---- one exchange ------------------------------------------------------------------------------------ */

struct exchange {
        struct kiln_http *http;
        const struct kiln_http_request *request;
        struct kiln_http_answer answer;
        bool too_large;
};

static size_t take_body(char *data, size_t size, size_t n, void *ctx)
{
        struct exchange *x = ctx;

        if (size * n > x->request->answer_max - x->answer.body.len) {
                x->too_large = true;
                return 0;
        }
        kiln_buf_append(&x->answer.body, data, size * n);
        return size * n;
}

static size_t take_header(char *data, size_t size, size_t n, void *ctx)
{
        static const char name[] = "etag:";
        struct exchange *x = ctx;
        size_t len = size * n, at = sizeof(name) - 1;

        if (len < at || strncasecmp(data, name, at) != 0)
                return len;
        while (at < len && (data[at] == ' ' || data[at] == '\t'))
                at++;
        for (n = len; n > at && (unsigned char)data[n - 1] <= ' ';)
                n--;
        if (n > at && n - at <= ETAG_MAX) {
                free(x->answer.etag);
                x->answer.etag = kiln_strndup(data + at, n - at);
        }
        return len;
}

static int watch(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
        const struct exchange *x = ctx;

        return kiln_context_cancelled(x->http->context);
}

static CURLcode perform(struct exchange *x, const char *url, struct curl_slist *headers, char *message)
{
        const struct kiln_http_request *q = x->request;
        CURL *e = x->http->easy;

        curl_easy_reset(e); /* keeps the connection */
        curl_easy_setopt(e, CURLOPT_URL, url);
        curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(e, CURLOPT_USERAGENT, "kiln");
        curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_OPTIONAL);
        curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
        curl_easy_setopt(e, CURLOPT_TIMEOUT, (long)q->timeout_s);
        curl_easy_setopt(e, CURLOPT_ERRORBUFFER, message);
        curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
        curl_easy_setopt(e, CURLOPT_WRITEDATA, x);
        curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_header);
        curl_easy_setopt(e, CURLOPT_HEADERDATA, x);
        curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, watch);
        curl_easy_setopt(e, CURLOPT_XFERINFODATA, x);
        curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
        if (q->body) {
                curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_len);
                curl_easy_setopt(e, CURLOPT_POSTFIELDS, q->body);
        }
        curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, q->method);
        return curl_easy_perform(e);
}

/* True: there is an answer. False: the failure is in *err and may pass. */
static bool ask(struct exchange *x, const char *url, struct curl_slist *headers, struct kiln_error *err)
{
        char message[CURL_ERROR_SIZE] = "";
        CURLcode code;
        size_t said;

        kiln_http_answer_clear(&x->answer);
        code = perform(x, url, headers, message);
        if (code != CURLE_OK) {
                kiln_error_set(err, x->too_large ? KILN_BAD_INPUT : KILN_INFRA, 0, DOING, url, "%s",
                        x->too_large ? "its answer is too large"
                        : *message   ? message
                                     : curl_easy_strerror(code));
                return false;
        }
        curl_easy_getinfo(x->http->easy, CURLINFO_RESPONSE_CODE, &x->answer.status);
        if (x->answer.status < 500 && x->answer.status != 429)
                return true;
        said = x->answer.body.len < SAID_MAX ? x->answer.body.len : SAID_MAX;
        kiln_error_set(err, KILN_INFRA, 0, DOING, url, "it answered %ld to %s: %.*s", x->answer.status,
                x->request->method, (int)said, kiln_buf_str(&x->answer.body));
        return false;
}

void kiln_http_pause(const struct kiln_http *h, int ms)
{
        struct pollfd p = {.fd = h->context->cancel_fd, .events = POLLIN};

        poll(&p, 1, ms);
}

int kiln_http_do(struct kiln_http *h, const struct kiln_http_request *q, struct kiln_http_answer *ret,
        struct kiln_error *err)
{
        struct exchange x = {.http = h, .request = q};
        _cleanup_free_ char *url = q->path ? kiln_asprintf("%s/%s", h->base, q->path) : kiln_strdup(h->base);
        struct curl_slist *headers = curl_slist_append(NULL, "Expect:"); /* no round trip before the body */
        int r = 0;

        for (const char *const *header = q->headers; *header; header++)
                headers = curl_slist_append(headers, *header);
        for (int tries = 1;; tries++) {
                r = kiln_context_check(h->context, DOING, err);
                if (r < 0 || ask(&x, url, headers, err))
                        break;
                r = -EIO;
                if (tries == TRIES || x.too_large)
                        break;
                kiln_http_pause(h, PAUSE_MS << (tries - 1));
        }
        curl_slist_free_all(headers);
        if (r < 0) {
                kiln_http_answer_clear(&x.answer);
                return r;
        }
        kiln_error_clear(err);
        *ret = x.answer;
        return 0;
}
