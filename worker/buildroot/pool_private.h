/* What pool.c, rich.c, solve.c, explain.c and installable.c share. Not for other rooms. */
#pragma once

#include "worker/buildroot/metadata.h"
#include "worker/buildroot/solve.h"

#include <solv/bitmap.h>
#include <solv/pool.h>
#include <solv/queue.h>
#include <solv/repo.h>
#include <solv/solver.h>

/* Solvables of our own (a request, packages just built) that may be added after the maps are made. */
#define VIRTUAL_MAX 4096

struct pool_repository {
        struct metadata metadata;
        Repo *repo;
};

struct kiln_pool {
        const struct kiln_context *context;
        struct kiln_store *store;
        const struct kiln_toolchain *toolchain;
        Pool *pool;
        struct pool_repository *repositories; /* sorted by id */
        size_t n_repositories;
        Repo *virtual;
        Map considered;     /* all but the excluded */
        bool has_filelists; /* filelists were searched for what was wanted then */
        bool has_base;
        Queue base; /* the solved core, without virtuals, sorted */
};

/* "name", "name >= evr", "(rich)" -> Id; 0 when it is none. */
Id pool_parse_dependency(Pool *pool, const char *text);

/* A solvable that requires and conflicts with these; to be freed with pool_virtual_free(), last made first
 * freed. */
Id pool_virtual_new(struct kiln_pool *p, const char *name, const char *const *requires,
        const char *const *conflicts, struct kiln_error *err);
void pool_virtual_free(struct kiln_pool *p, Id id);

/* After the packages' Provides changed; then their rich dependencies may cost more, too. */
void pool_index(struct kiln_pool *p);

/* Adds what the solver needs for the rich dependencies of a package to *sum; -E2BIG when that is too much. */
int rich_add(const struct kiln_pool *p, Id id, double *sum, struct kiln_error *err);
int rich_check(const struct kiln_pool *p, struct kiln_error *err); /* of all packages */

/* Searches the filelists for every file somebody depends on and nobody provides so far. */
int pool_load_filelists(struct kiln_pool *p, struct kiln_error *err);

/* Runs the solver; the solver (its problems) is the caller's, *ret_problems their number. */
Solver *pool_run(struct kiln_pool *p, Queue *jobs, int *ret_problems);

/* The problems in a packager's words, one a line. `virtual_name` is what virtual solvables are called. */
void explain_problems(struct kiln_pool *p, Solver *solver, struct kiln_buf *out);

/* The repository of a solvable; NULL for a virtual one. */
const struct kiln_repository *pool_repository_of(const struct kiln_pool *p, const Solvable *s);
