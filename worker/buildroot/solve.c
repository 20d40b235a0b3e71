/* From requirements to a lock.
 *
 * Three solutions: the core alone (the base layer), the part of it that can run rpm (the bootstrap layer),
 * and core plus requirements, at first with every package of the base held as it is. Only when that has no
 * solution may the base change, and the lock is then one full layer. */
#include "worker/base/mem.h"
#include "worker/buildroot/pool_private.h"

#include <errno.h>
#include <string.h>

Solver *pool_run(struct pool *p, Queue *jobs, int *ret_problems)
{
        Solver *solver = solver_create(p->pool);

        solver_set_flag(solver, SOLVER_FLAG_IGNORE_RECOMMENDED, 1);
        *ret_problems = solver_solve(solver, jobs);
        return solver;
}

static int compare_id(const void *a, const void *b, void *ctx)
{
        return *(const Id *)a - *(const Id *)b;
}

/* The packages the solver chose, without virtual ones, sorted. */
static void take_solution(struct pool *p, Solver *solver, Queue *out)
{
        Queue decisions;

        queue_init(&decisions);
        solver_get_decisionqueue(solver, &decisions);
        queue_empty(out);
        for (int i = 0; i < decisions.count; i++) {
                Id id = decisions.elements[i];

                if (id > SYSTEMSOLVABLE && pool_id2solvable(p->pool, id)->repo != p->virtual)
                        queue_push(out, id);
        }
        queue_free(&decisions);
        solv_sort(out->elements, (size_t)out->count, sizeof(Id), compare_id, NULL);
}

/* Does a dependency on a file have no provider? Then the filelists must be searched. */
static bool lacks_file(Pool *pool, Id dep)
{
        if (ISRELDEP(dep)) {
                Reldep *rd = GETRELDEP(pool, dep);
                Id evr = rd->evr;

                if (lacks_file(pool, rd->name))
                        return true;
                return rd->flags > 7 && lacks_file(pool, evr);
        }
        return *pool_id2str(pool, dep) == '/' && !*pool_whatprovides_ptr(pool, dep);
}

static bool virtual_lacks_file(struct pool *p, Id virtual)
{
        Solvable *s = pool_id2solvable(p->pool, virtual);
        Queue deps;
        bool lacks = false;

        queue_init(&deps);
        queue_empty(&deps); /* libsolv appends */
        solvable_lookup_deparray(s, SOLVABLE_REQUIRES, &deps, 0);
        for (int i = 0; i < deps.count && !lacks; i++)
                lacks = lacks_file(p->pool, deps.elements[i]);
        queue_free(&deps);
        return lacks;
}

static bool problems_lack_file(struct pool *p, Solver *solver)
{
        bool lacks = false;
        Queue rules;

        queue_init(&rules);
        for (Id problem = 0; !lacks && (problem = solver_next_problem(solver, problem));) {
                solver_findallproblemrules(solver, problem, &rules);
                for (int i = 0; i < rules.count && !lacks; i++) {
                        Id from, to, dep;

                        solver_ruleinfo(solver, rules.elements[i], &from, &to, &dep);
                        lacks = dep && lacks_file(p->pool, dep);
                }
        }
        queue_free(&rules);
        return lacks;
}

/* Solves; when it fails for want of a file, loads the filelists and solves again. 0: *out is the solution; 1:
 * there is none, and *ret_solver (may be NULL) knows why; negative errno. */
static int solve_once(struct pool *p, Queue *jobs, Queue *out, Solver **ret_solver, struct kiln_error *err)
{
        int problems, rc;
        Solver *solver = pool_run(p, jobs, &problems);

        if (problems > 0 && !p->has_filelists && problems_lack_file(p, solver)) {
                solver_free(solver);
                rc = pool_load_filelists(p, err);
                if (rc < 0)
                        return rc;
                solver = pool_run(p, jobs, &problems);
        }
        if (problems == 0)
                take_solution(p, solver, out);
        if (problems > 0 && ret_solver)
                *ret_solver = solver;
        else
                solver_free(solver);
        return problems > 0;
}

static void job_push(Queue *jobs, Id how, Id id)
{
        queue_push2(jobs, how | SOLVER_SOLVABLE, id);
}

static int unsatisfiable(struct pool *p, Solver *solver, const char *who, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;

        explain_problems(p, solver, &text);
        kiln_error_set(err, KILN_BAD_INPUT, 0, "finding packages for", who, "%s", kiln_buf_str(&text));
        kiln_error_advise(err, "Toolchain %s looked in: %s", p->toolchain->name,
                p->n_repositories ? repository_name_url(p->repositories[0].metadata->repository)
                                  : "no repository");
        return -ENOENT;
}

/* Solves one virtual package, all of it or an explanation. */
static int solve_virtual(
        struct pool *p, Queue *jobs, Id virtual, const char *who, Queue *out, struct kiln_error *err)
{
        Solver *solver = NULL;
        int rc = 0;

        if (!p->has_filelists && virtual_lacks_file(p, virtual))
                rc = pool_load_filelists(p, err);
        if (rc == 0)
                rc = solve_once(p, jobs, out, &solver, err);
        if (rc > 0)
                rc = unsatisfiable(p, solver, who, err);
        if (solver)
                solver_free(solver);
        return rc;
}

static Id core_virtual(struct pool *p, const char *who, struct kiln_error *err)
{
        _cleanup_strv_ char **both = kiln_strv_copy(p->toolchain->core);

        for (char **b = p->toolchain->bootstrap; b && *b; b++)
                kiln_strv_append(&both, *b);
        return pool_virtual_new(p, who, (const char *const *)both, NULL, err);
}

/* The core alone; done once for a pool. */
static int solve_base(struct pool *p, struct kiln_error *err)
{
        _cleanup_free_ char *who = kiln_asprintf("the core of toolchain %s", p->toolchain->name);
        Queue jobs;
        Id core;
        int rc;

        if (p->has_base)
                return 0;
        core = core_virtual(p, who, err);
        if (!core)
                return -EINVAL;
        queue_init(&jobs);
        job_push(&jobs, SOLVER_INSTALL, core);
        rc = solve_virtual(p, &jobs, core, who, &p->base, err);
        queue_free(&jobs);
        pool_virtual_free(p, core);
        p->has_base = rc == 0;
        return rc;
}

/* The part of `within` that the bootstrap requirements need. */
static int solve_bootstrap(struct pool *p, const Queue *within, Queue *out, struct kiln_error *err)
{
        _cleanup_free_ char *who = kiln_asprintf("the bootstrap layer of toolchain %s", p->toolchain->name);
        Id virtual = pool_virtual_new(p, who, (const char *const *)p->toolchain->bootstrap, NULL, err);
        Map only;
        Queue jobs;
        int rc;

        if (!virtual)
                return -EINVAL;
        map_init(&only, p->pool->nsolvables + VIRTUAL_MAX);
        for (int i = 0; i < within->count; i++)
                MAPSET(&only, within->elements[i]);
        MAPSET(&only, virtual);
        MAPSET(&only, SYSTEMSOLVABLE);
        queue_init(&jobs);
        job_push(&jobs, SOLVER_INSTALL, virtual);
        p->pool->considered = &only;
        rc = solve_virtual(p, &jobs, virtual, who, out, err);
        p->pool->considered = &p->considered;
        queue_free(&jobs);
        map_free(&only);
        pool_virtual_free(p, virtual);
        return rc;
}

/* Core plus request. *ret_full: the base had to change. */
static int solve_all(
        struct pool *p, const struct kiln_solve *q, Queue *out, bool *ret_full, struct kiln_error *err)
{
        const char *who = q->wanted_by ? q->wanted_by : "the request";
        Id request = pool_virtual_new(p, who, q->requires, q->conflicts, err), core;
        _cleanup_free_ char *core_name = kiln_asprintf("the core of toolchain %s", p->toolchain->name);
        Queue jobs;
        int rc = 0;

        if (!request)
                return -EINVAL;
        queue_init(&jobs);
        if (!p->has_filelists && virtual_lacks_file(p, request))
                rc = pool_load_filelists(p, err);
        for (int i = 0; i < p->base.count; i++)
                job_push(&jobs, SOLVER_INSTALL, p->base.elements[i]);
        job_push(&jobs, SOLVER_INSTALL, request);
        if (rc == 0)
                rc = solve_once(p, &jobs, out, NULL, err);
        *ret_full = rc > 0;
        if (rc > 0) {
                core = core_virtual(p, core_name, err);
                queue_empty(&jobs);
                for (int i = 0; i < p->base.count; i++)
                        job_push(&jobs, SOLVER_FAVOR, p->base.elements[i]);
                job_push(&jobs, SOLVER_INSTALL, core);
                job_push(&jobs, SOLVER_INSTALL, request);
                rc = core ? solve_virtual(p, &jobs, request, who, out, err) : -EINVAL;
                pool_virtual_free(p, core);
        }
        queue_free(&jobs);
        pool_virtual_free(p, request);
        return rc;
}

/* ---- the lock */

static bool contains(const Queue *sorted, Id id)
{
        int low = 0, high = sorted->count;

        while (low < high) {
                int mid = low + (high - low) / 2;

                if (sorted->elements[mid] < id)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low < sorted->count && sorted->elements[low] == id;
}

static void split_evr(const char *evr, struct kiln_locked_package *to)
{
        const char *colon = strchr(evr, ':'), *version = colon ? colon + 1 : evr;
        const char *dash = strrchr(version, '-'); /* is_usable() saw to it that there is one */

        to->epoch = colon ? kiln_strndup(evr, (size_t)(colon - evr)) : kiln_strdup("0");
        to->version = dash ? kiln_strndup(version, (size_t)(dash - version)) : kiln_strdup(version);
        to->release = kiln_strdup(dash ? dash + 1 : "");
}

static void lock_package(struct pool *p, Id id, struct kiln_locked_package *to)
{
        Solvable *s = pool_id2solvable(p->pool, id);
        unsigned medianr;
        Id type;
        const unsigned char *digest = solvable_lookup_bin_checksum(s, SOLVABLE_CHECKSUM, &type);
        const char *license = solvable_lookup_str(s, SOLVABLE_LICENSE);
        const char *source = solvable_lookup_sourcepkg(s);

        split_evr(pool_id2str(p->pool, s->evr), to);
        to->name = kiln_strdup(pool_id2str(p->pool, s->name));
        to->arch = kiln_strdup(pool_id2str(p->pool, s->arch));
        to->nevra = kiln_nevra_format(to->name, to->epoch, to->version, to->release, to->arch);
        memcpy(to->sha256.bytes, digest, KILN_DIGEST_BYTES);
        to->size_bytes = solvable_lookup_num(s, SOLVABLE_DOWNLOADSIZE, 0);
        to->repository = kiln_strdup(pool_repository_of(p, s)->id);
        to->location = kiln_strdup(solvable_lookup_location(s, &medianr));
        to->signer = kiln_strdup("");
        to->license = kiln_strdup(license ? license : "");
        to->source_rpm = kiln_strdup(source ? source : "");
}

static int compare_nevra(const void *a, const void *b)
{
        const struct kiln_locked_package *x = a, *y = b;

        return strcmp(x->nevra, y->nevra);
}

static struct kiln_lock *lock_make(struct pool *p, const Queue *all, const Queue *bootstrap, bool full)
{
        struct kiln_lock *l = kiln_lock_new();

        free(l->toolchain);
        free(l->arch);
        l->toolchain = kiln_strdup(p->toolchain->name);
        l->toolchain_digest = p->toolchain->digest;
        l->arch = kiln_strdup(p->toolchain->arch);
        l->full = full;
        for (size_t i = 0; i < p->n_repositories; i++) {
                struct kiln_locked_repository *r = KILN_APPEND(l->repositories, l->n_repositories);
                const struct metadata *m = p->repositories[i].metadata;

                r->id = kiln_strdup(m->repository->id);
                r->base_url = kiln_strdup(repository_name_url(m->repository));
                r->repomd_sha256 = m->repomd_sha256;
        }
        for (int i = 0; i < all->count; i++) {
                struct kiln_locked_package *package = KILN_APPEND(l->packages, l->n_packages);
                Id id = all->elements[i];

                lock_package(p, id, package);
                package->layer = contains(bootstrap, id)  ? KILN_LOCK_BOOTSTRAP
                                 : contains(&p->base, id) ? KILN_LOCK_BASE
                                                          : KILN_LOCK_DELTA;
        }
        if (l->n_packages > 0)
                qsort(l->packages, l->n_packages, sizeof(*l->packages), compare_nevra);
        return l;
}

int inside_solve(struct pool *p, const struct kiln_solve *q, struct kiln_lock **ret, struct kiln_error *err)
{
        Queue all, bootstrap;
        bool full = false;
        int rc;

        queue_init(&all);
        queue_init(&bootstrap);
        rc = solve_base(p, err);
        if (rc == 0)
                rc = solve_all(p, q, &all, &full, err);
        if (rc == 0)
                rc = solve_bootstrap(p, full ? &all : &p->base, &bootstrap, err);
        if (rc == 0)
                *ret = lock_make(p, &all, &bootstrap, full);
        queue_free(&all);
        queue_free(&bootstrap);
        return rc;
}
