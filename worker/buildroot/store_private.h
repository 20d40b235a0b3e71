/* What store.c, fetch.c and collect.c share. Not for other rooms. */
#pragma once

#include "worker/buildroot/store.h"

#include <stdbool.h>
#include <time.h>

struct kiln_store {
        const struct kiln_context *context;
        int root_fd;    /* <cache>/store */
        int files_fd;   /* sha256/ */
        int partial_fd; /* partial/ */
        int gate_fd;
        int lease_fd;
        char *lease_name;
        struct timespec lease_time;

        void *multi; /* CURLM: keeps connections open between fetches; NULL until the first */

        /* How patient a fetch is; kiln_store_open() sets the defaults, tests shorten them. */
        unsigned stall_s;    /* below 1 KiB/s for this long is a failure of the mirror */
        unsigned connect_s;  /* to connect */
        unsigned backoff_ms; /* before a second round over the mirrors; doubles */
        unsigned rounds;     /* over the mirrors that may recover */
};

/* "ab/cd/abcd…" */
#define STORE_PATH_MAX (KILN_DIGEST_HEX + 8)
void store_path(const struct kiln_digest *d, char path[STORE_PATH_MAX]);

/* kiln_store_find() that also takes a file of another size than size_bytes (0: any) for damaged: it is
 * removed and absent. */
int store_find_sized(struct kiln_store *s, const struct kiln_digest *d, uint64_t size_bytes, int *ret_fd);

/* Makes partial/name with an exclusive flock; -EWOULDBLOCK when another process works on it. */
int store_partial_open(struct kiln_store *s, const char *name);

/* The finished, hashed partial behind fd becomes the file named d: 0444, synced, renamed. */
int store_partial_commit(struct kiln_store *s, int fd, const char *name, const struct kiln_digest *d);

/* Removes what killed processes left that no later one can use: their leases, and partials without a digest
 * for a name. Does nothing when the store is busy. */
void store_sweep(struct kiln_store *s);

void fetch_shutdown(void *multi); /* curl_multi_cleanup(); NULL is fine */

/* An INFRA error in words for a failed write to the cache; returns its negative errno. */
int store_write_error(struct kiln_store *s, int errnum, const char *name, struct kiln_error *err);
