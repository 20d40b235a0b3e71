/* Repository metadata in libsolv's own format, by repomd digest. Not for other rooms. */
#pragma once

#include "worker/buildroot/pool_private.h"

#include <solv/pool.h>
#include <solv/repo.h>

/* Goes up when what is kept of a package changes. */
#define SOLVCACHE_FORMAT 1
#define SOLVCACHE_BYTES_MAX ((size_t)1 << 30)

/* Adds the packages of a repository: from its .solv file when there is a good one, else from primary (and has
 * it kept). What is kept of a package: NEVRA, Provides (files of primary among them), Requires, Conflicts,
 * Obsoletes, digest, size, location, license, source package. Packages are in a canonical order, so that
 * solving does not depend on the order in primary.xml. */
int solvcache_load(const struct pool *p, size_t repository, struct kiln_error *err);

/* A decompressing stream over fd (the suffix of name says how) that fails after max bytes: *ret is the
 * caller's. */
int solvcache_open_bounded(
        int fd, const char *name, uint64_t max, FILE **ret, const char *subject, struct kiln_error *err);

/* The two halves of it, also for the fuzzer. Reads primary from fd, twice (name and max as above), and
 * appends to *out what a cache file holds; *ret_left_out: packages that cannot be used. */
int solvcache_convert(int fd, const char *name, uint64_t max, const char *id, struct kiln_buf *out,
        size_t *ret_left_out, struct kiln_error *err);

/* Adds the packages of a cache file's bytes, which are checked. 0, or 1 when they are not good. */
int solvcache_parse(const struct kiln_buf *bytes, Repo *repo);
