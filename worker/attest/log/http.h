/* One HTTP exchange after the other with one server, through libcurl. Bounded: bodies, headers, time. Speaks
 * http and https only and follows no redirects: what is written must go where it was sent. */
#pragma once

#include "worker/base/buf.h"
#include "worker/base/context.h"

struct kiln_http;

/* REFUSED: --offline. User name and password come from ~/.netrc, if it has them. */
int kiln_http_open(
        const struct kiln_context *c, const char *base_url, struct kiln_http **ret, struct kiln_error *err);
void kiln_http_free(struct kiln_http *h);
KILN_DEFINE_CLEANUP(struct kiln_http *, kiln_http_free)

struct kiln_http_request {
        const char *method; /* "GET", "PUT", … */
        const char *path;   /* behind the base URL and a slash; NULL: the base URL itself */
        const void *body;   /* NULL: none */
        size_t body_len;
        const char *headers[4]; /* "Name: value", NULL-terminated */
        size_t answer_max;      /* bytes of the answer's body */
        unsigned timeout_s;     /* of the whole exchange */
};

struct kiln_http_answer {
        long status;
        char *etag; /* NULL: the answer has none */
        struct kiln_buf body;
};
void kiln_http_answer_clear(struct kiln_http_answer *a);

/* Waits, or until somebody cancels. */
void kiln_http_pause(const struct kiln_http *h, int ms);

/* Any status but 5xx and 429 is an answer; those are asked for again, some times. Errors: INFRA (no answer),
 * CANCELLED, BAD_INPUT (the answer is too large). */
int kiln_http_do(struct kiln_http *h, const struct kiln_http_request *q, struct kiln_http_answer *ret,
        struct kiln_error *err);
