/* The content-addressed store: every file named by its SHA-256, fetched once, shared by any number of
 * processes.
 *
 * A file is either absent or complete and right: it is hashed while it streams in, synced and renamed into
 * place; a wrong hash never lands. Everything here may be deleted at any moment (promise 4). */
#pragma once

#include "worker/base/context.h"
#include "worker/base/digest.h"

#include <stddef.h>
#include <stdint.h>

struct kiln_store;

/* A handle is for one thread at a time (any number of handles and processes may share the directory).
 *
 * Below <cache>/store:
 *   sha256/ab/cd/abcd…   the files, 0444; atime is the last use (set explicitly, so noatime mounts work)
 *   partial/abcd…        what is being fetched, flocked by who fetches it; survives a kill and is resumed
 *   partial/.add-…       what is being copied in, flocked likewise
 *   lease/…              one file a live process, flocked; its mtime is when the lease began
 *   gate                 flock: shared while a file is looked up and touched, exclusive while one is removed
 *
 * What is trusted: the name of a file is trusted by kiln_store_find() (its size is checked where it is
 * known); bytes are hashed when they arrive, and again by kiln_store_find_verified(), which is what installs
 * layers.
 *
 * Opens <cache>/store, making it. Also takes a lease (shared flock on a file of this process's own) under
 * which everything this process has touched is safe from collection until close. */
int kiln_store_open(const struct kiln_context *c, struct kiln_store **ret, struct kiln_error *err);
void kiln_store_close(struct kiln_store *s);
KILN_DEFINE_CLEANUP(struct kiln_store *, kiln_store_close)

/* O_RDONLY descriptor of the file with this digest; 1 (not negative: a condition) when it is absent; negative
 * errno. */
#define KILN_STORE_ABSENT 1
int kiln_store_find(struct kiln_store *s, const struct kiln_digest *d, int *ret_fd);

/* The same, and the content is hashed again: for whoever is about to install or hand out the bytes. A file
 * whose content is not what its name says is removed, told as a warning, and absent. */
int kiln_store_find_verified(struct kiln_store *s, const struct kiln_digest *d, int *ret_fd);

/* Copies all of fd in; *ret is its digest. When `expected` is not NULL and differs: BAD_INPUT, nothing
 * stored. */
int kiln_store_add(struct kiln_store *s, int fd, const char *name, const struct kiln_digest *expected,
        struct kiln_digest *ret, struct kiln_error *err);
int kiln_store_add_bytes(
        struct kiln_store *s, const void *data, size_t len, struct kiln_digest *ret, struct kiln_error *err);

struct kiln_fetch {
        const char *name;        /* for progress and errors: NEVRA or file name */
        const char *const *urls; /* NULL-terminated: mirrors in order; http, https, file */
        struct kiln_digest sha256;
        uint64_t size_bytes; /* 0: unknown; otherwise more is an error at once */
        uint64_t max_bytes;  /* bound when size is unknown; 0: 8 GiB */
};

/* Fetches what is absent, in parallel (libcurl multi: HTTP/2, resume, mirror failover, back-off). All or
 * nothing in the return value; what arrived stays. Errors: INFRA (network, disk, bad digest after all
 * mirrors), REFUSED (offline), CANCELLED. Progress events carry bytes under `phase`. */
int kiln_store_fetch(struct kiln_store *s, const char *phase, const struct kiln_fetch *what, size_t n,
        struct kiln_error *err);

/* One URL whose digest is not known beforehand, into the store; *ret is the digest. max_bytes 0: 8 GiB. */
int kiln_store_fetch_url(struct kiln_store *s, const char *phase, const char *url, uint64_t max_bytes,
        struct kiln_digest *ret, struct kiln_error *err);

/* Downloads something whose digest is not known beforehand (repomd.xml, metalink, a URL the user named);
 * max_bytes bounds it. The content goes behind *out. */
struct kiln_buf;
int kiln_store_download(struct kiln_store *s, const char *const *urls, uint64_t max_bytes,
        struct kiln_buf *out, struct kiln_error *err);

struct kiln_store_stat {
        uint64_t files, bytes;   /* the store, as on disk */
        uint64_t metadata_bytes; /* repository metadata, .solv files, package facts */
};
int kiln_store_stat(struct kiln_store *s, struct kiln_store_stat *ret, struct kiln_error *err);

/* Removes least recently used files (of the store and the .solv cache) until at most quota_bytes remain;
 * never what another live lease protects. Layers are collected by the layers' own code. */
int kiln_store_collect(
        struct kiln_store *s, uint64_t quota_bytes, uint64_t *ret_freed_bytes, struct kiln_error *err);
