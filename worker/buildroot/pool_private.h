/* The solver's side of a pool: what pool.c, rich.c, solve.c, explain.c, installable.c, filelists.c and
 * solvcache.c share. All of it runs in a process of its own (pool-inside.c), which has no file but those that
 * the process outside (pool-outside.c) hands it. Not for other rooms. */
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
        const struct metadata *metadata; /* as it was opened outside */
        Repo *repo;
};

struct pool {
        int fd; /* to the process outside */
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

/* kiln_pool_open() and the others of solve.h, as they are done inside. `metadata` is borrowed. */
int inside_open(int fd, const struct kiln_toolchain *t, const struct metadata *metadata, size_t n,
        struct pool **ret, struct kiln_error *err);
void inside_free(struct pool *p);
KILN_DEFINE_CLEANUP(struct pool *, inside_free)
int inside_solve(struct pool *p, const struct kiln_solve *q, struct kiln_lock **ret, struct kiln_error *err);
int inside_installable(struct pool *p, const int *rpm_fds, const char *const *names, size_t n,
        char ***ret_problems, struct kiln_error *err);

/* What is asked of the process outside. It answers, or ends this one. */
int outside_cached(const struct pool *p, size_t repository); /* the .solv file; -1: there is none */
int outside_primary(const struct pool *p, size_t repository);
int outside_filelists(const struct pool *p, size_t repository);
void outside_keep(
        const struct pool *p, size_t repository, const struct kiln_buf *bytes); /* as the .solv file */
void outside_warn(const struct pool *p, const char *text);

/* "name", "name >= evr", "(rich)" -> Id; 0 when it is none. */
Id pool_parse_dependency(Pool *pool, const char *text);

/* A solvable that requires and conflicts with these; to be freed with pool_virtual_free(), last made first
 * freed. */
Id pool_virtual_new(struct pool *p, const char *name, const char *const *requires,
        const char *const *conflicts, struct kiln_error *err);
void pool_virtual_free(struct pool *p, Id id);

/* After the packages' Provides changed; then their rich dependencies may cost more, too. */
void pool_index(struct pool *p);

/* Adds what the solver needs for the rich dependencies of a package to *sum; -E2BIG when that is too much. */
int rich_add(const struct pool *p, Id id, double *sum, struct kiln_error *err);
int rich_check(const struct pool *p, struct kiln_error *err); /* of all packages */

/* Searches the filelists for every file somebody depends on and nobody provides so far. */
int pool_load_filelists(struct pool *p, struct kiln_error *err);

/* Runs the solver; the solver (its problems) is the caller's, *ret_problems their number. */
Solver *pool_run(struct pool *p, Queue *jobs, int *ret_problems);

/* The problems in a packager's words, one a line. `virtual_name` is what virtual solvables are called. */
void explain_problems(struct pool *p, Solver *solver, struct kiln_buf *out);

/* The repository of a solvable; NULL for a virtual one. */
const struct kiln_repository *pool_repository_of(const struct pool *p, const Solvable *s);
