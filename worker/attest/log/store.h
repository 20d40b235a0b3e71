/* Where a log's files are: a directory, or an HTTP server that takes PUT (WebDAV or an object store).
 *
 * Nothing that comes out of a store is trusted. Two files change and are only ever exchanged for what they
 * were read as (kiln_log_store_swap()), in a directory under a lock, over HTTP by ETag; all others are
 * written with the same bytes whoever writes them. */
#pragma once

#include "worker/base/buf.h"
#include "worker/base/context.h"

struct kiln_log_store;

/* `where` is an http:// or https:// URL, or a directory, which is made when it does not exist and `make`.
 * Errors: REFUSED (--offline), BAD_INPUT, INFRA. */
int kiln_log_store_open(const struct kiln_context *c, const char *where, bool make,
        struct kiln_log_store **ret, struct kiln_error *err);
void kiln_log_store_free(struct kiln_log_store *s);
KILN_DEFINE_CLEANUP(struct kiln_log_store *, kiln_log_store_free)

enum {
        KILN_LOG_ABSENT = 1,  /* there is no such file */
        KILN_LOG_CHANGED = 2, /* it is not what it was read as */
};

/* Appends a file's bytes, at most max. *ret_tag (may be NULL): what kiln_log_store_swap() takes, the
 * caller's. KILN_LOG_ABSENT without an error. */
int kiln_log_store_get(struct kiln_log_store *s, const char *path, size_t max, struct kiln_buf *out,
        char **ret_tag, struct kiln_error *err);

/* Writes a file, on disk when this returns, with the directories above it. */
int kiln_log_store_put(
        struct kiln_log_store *s, const char *path, const void *data, size_t len, struct kiln_error *err);

/* The same, but only if the file still has this tag (NULL: does not exist). KILN_LOG_CHANGED without an
 * error. */
int kiln_log_store_swap(struct kiln_log_store *s, const char *path, const char *tag, const void *data,
        size_t len, struct kiln_error *err);

/* Whether the store really refuses to exchange a file for another when the condition does not hold: some
 * servers ignore it, and two writers would fork a log there. On a server one more file, `probe`, is for this.
 * REFUSED. */
int kiln_log_store_probe(struct kiln_log_store *s, struct kiln_error *err);
