#include "worker/attest/tsa.h"

#include "worker/base/clock.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define DOING "asking for a time stamp"
#define TRIES 3
#define PAUSE_MS 1000 /* before the second try, four times as long before the third */
#define CONNECT_S 15L
#define ANSWER_S 60L

struct kiln_tsa {
        const struct kiln_context *context;
        char *url;
        struct kiln_timestamp_authorities authorities;
        CURL *easy;
        struct curl_slist *headers;
        char message[CURL_ERROR_SIZE];
};

void kiln_tsa_free(struct kiln_tsa *t)
{
        if (!t)
                return;
        curl_easy_cleanup(t->easy);
        curl_slist_free_all(t->headers);
        kiln_timestamp_authorities_clear(&t->authorities);
        free(t->url);
        free(t);
}

static size_t take(char *data, size_t size, size_t n, void *userdata)
{
        struct kiln_buf *answer = userdata;

        n *= size;
        if (n > KILN_TIMESTAMP_MAX - answer->len)
                return 0;
        kiln_buf_append(answer, data, n);
        return n;
}

static int is_cancelled(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
        const struct kiln_tsa *t = ctx;

        (void)a, (void)b, (void)c, (void)d;
        return kiln_context_cancelled(t->context);
}

static int prepare(struct kiln_tsa *t, struct kiln_error *err)
{
        struct curl_slist *all;

        t->easy = curl_easy_init();
        t->headers = curl_slist_append(NULL, "Content-Type: application/timestamp-query");
        all = curl_slist_append(t->headers, "Accept: application/timestamp-reply");
        if (!t->easy || !t->headers || !all)
                return kiln_error_set(err, KILN_INFRA, 0, DOING, t->url, "libcurl");
        curl_easy_setopt(t->easy, CURLOPT_URL, t->url);
        curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
        curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->message);
        curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, take);
        curl_easy_setopt(t->easy, CURLOPT_XFERINFOFUNCTION, is_cancelled);
        curl_easy_setopt(t->easy, CURLOPT_XFERINFODATA, t);
        curl_easy_setopt(t->easy, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(t->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
        curl_easy_setopt(t->easy, CURLOPT_TIMEOUT, ANSWER_S);
        curl_easy_setopt(t->easy, CURLOPT_USERAGENT, "kiln");
        return 0;
}

int kiln_tsa_open(const struct kiln_context *c, const char *url, const char *pem, size_t len,
        struct kiln_tsa **ret, struct kiln_error *err)
{
        _cleanup_(kiln_tsa_freep) struct kiln_tsa *t = kiln_calloc(1, sizeof(*t));
        int r;

        t->context = c;
        t->url = kiln_strdup(url);
        if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, EINVAL, DOING, url, "an authority has an http or https URL");
        r = kiln_timestamp_authority_add(&t->authorities, pem, len, url, 0, 0, err);
        if (r < 0)
                return r;
        if (c->offline) {
                r = kiln_error_set(err, KILN_REFUSED, ENETUNREACH, DOING, url, "not asked: offline");
                kiln_error_advise(err, "Leave out --offline or --tsa.");
                return r;
        }
        r = prepare(t, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(t);
        return 0;
}

int kiln_tsa_read_certificates(char *const *files, struct kiln_buf *out, struct kiln_error *err)
{
        for (char *const *f = files; f && *f; f++) {
                int r = kiln_file_read(AT_FDCWD, *f, KILN_TIMESTAMP_PEM_MAX, out);

                if (r < 0)
                        return kiln_error_set(
                                err, KILN_BAD_INPUT, -r, "reading the certificates", *f, "cannot read them");
                kiln_buf_putc(out, '\n');
        }
        return 0;
}

/* Asks once. *ret_why is the caller's; NULL: an answer came. False: asking again may help. */
static bool ask(struct kiln_tsa *t, const struct kiln_buf *request, struct kiln_buf *answer, char **ret_why)
{
        long status = 0;
        CURLcode rc;

        *t->message = '\0';
        kiln_buf_reset(answer);
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, request->data);
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE, (long)request->len);
        curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, answer);
        rc = curl_easy_perform(t->easy);
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        if (rc == CURLE_WRITE_ERROR)
                *ret_why = kiln_asprintf("its answer is longer than %d bytes", KILN_TIMESTAMP_MAX);
        else if (rc != CURLE_OK)
                *ret_why = kiln_strdup(*t->message ? t->message : curl_easy_strerror(rc));
        else if (status != 200)
                *ret_why = kiln_asprintf("it answers with HTTP status %ld", status);
        return rc == CURLE_OK ? status < 500 && status != 408 && status != 429 : rc == CURLE_WRITE_ERROR;
}

/* Until there is an answer or no hope; *ret_why as above. */
static int ask_often(struct kiln_tsa *t, const struct kiln_buf *request, struct kiln_buf *answer,
        char **ret_why, struct kiln_error *err)
{
        for (int i = 1, pause_ms = PAUSE_MS;; i++, pause_ms *= 4) {
                struct pollfd cancel = {t->context->cancel_fd, POLLIN, 0};
                bool final = ask(t, request, answer, ret_why);
                int r = kiln_context_check(t->context, DOING, err);

                if (r < 0 || final || !*ret_why || i == TRIES)
                        return r;
                free(TAKE_PTR(*ret_why));
                poll(&cancel, 1, pause_ms);
        }
}

static int no_stamp(struct kiln_error *err, const char *url, const char *why)
{
        int r = kiln_error_set(err, KILN_INFRA, 0, DOING, url, "%s", why);

        kiln_error_advise(err,
                "Try again, or with another authority; what was signed can be stamped later: kiln "
                "verify --bundle DIR --tsa URL --tsa-cert FILE.");
        return r;
}

int kiln_tsa_stamp(
        struct kiln_tsa *t, const void *data, size_t len, struct kiln_buf *out, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf request = KILN_BUF_INIT, answer = KILN_BUF_INIT;
        _cleanup_error_ struct kiln_error refused = KILN_ERROR_INIT;
        _cleanup_free_ char *why = NULL;
        struct kiln_timestamp_judge judge = {&t->authorities, 0, 0};
        struct kiln_timestamp stamp;
        int r = kiln_timestamp_request(data, len, &judge.nonce, &request, err);

        if (r == 0)
                r = ask_often(t, &request, &answer, &why, err);
        if (r < 0)
                return r;
        if (why)
                return no_stamp(err, t->url, why);
        judge.now_s = kiln_clock_wall_s();
        r = kiln_timestamp_check(
                kiln_buf_str(&answer), answer.len, data, len, &judge, "its answer", &stamp, &refused);
        if (r < 0)
                return no_stamp(err, t->url, refused.cause);
        kiln_buf_append(out, answer.data, answer.len);
        return 0;
}
