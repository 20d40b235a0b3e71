/* Would packages that were just built install? Each is solved for with the others and the repositories at
 * hand.
 *
 * Reads only what kiln_rpm_open() has verified. */
#include "worker/base/mem.h"
#include "worker/buildroot/pool_private.h"
#include "worker/source/rpmfile.h"

#include <rpm/rpmds.h>
#include <solv/pool_parserpmrichdep.h>
#include <string.h>

static Id dependency_id(Pool *pool, const struct kiln_rpm_dependency *d)
{
        int flags = 0;

        if (d->name[0] == '(')
                return pool_parserpmrichdep(pool, d->name);
        if (d->flags & RPMSENSE_LESS)
                flags |= REL_LT;
        if (d->flags & RPMSENSE_GREATER)
                flags |= REL_GT;
        if (d->flags & RPMSENSE_EQUAL)
                flags |= REL_EQ;
        if (!flags || !d->evr || !*d->evr)
                return pool_str2id(pool, d->name, 1);
        return pool_rel2id(pool, pool_str2id(pool, d->name, 1), pool_str2id(pool, d->evr, 1), flags, 1);
}

static Offset add_dependencies(struct pool *p, const struct kiln_rpm_dependency *list, size_t n, Offset to)
{
        for (size_t i = 0; i < n; i++) {
                Id id;

                if (strncmp(list[i].name, "rpmlib(", 7) == 0)
                        continue;
                id = dependency_id(p->pool, &list[i]);
                if (id)
                        to = repo_addid(p->virtual, to, id);
        }
        return to;
}

/* A package tagged with a level of the toolchain's arch ("x86_64_v3") installs where that level is set; the
 * toolchain itself need not know the tag. */
static const char *arch_of(const struct pool *p, const struct kiln_rpm *rpm)
{
        const char *arch = p->toolchain->arch;
        size_t n = strlen(arch);

        return strncmp(rpm->arch, arch, n) == 0 && strncmp(rpm->arch + n, "_v", 2) == 0 ? arch : rpm->arch;
}

static Id add_package(struct pool *p, const struct kiln_rpm *rpm)
{
        Id id = repo_add_solvable(p->virtual);
        _cleanup_free_ char *evr = NULL;
        Solvable *s = pool_id2solvable(p->pool, id);

        evr = rpm->has_epoch && rpm->epoch > 0
                      ? kiln_asprintf("%u:%s-%s", rpm->epoch, rpm->version, rpm->release)
                      : kiln_asprintf("%s-%s", rpm->version, rpm->release);
        s->name = pool_str2id(p->pool, rpm->name, 1);
        s->evr = pool_str2id(p->pool, evr, 1);
        s->arch = pool_str2id(p->pool, arch_of(p, rpm), 1);
        s->dep_provides = add_dependencies(p, rpm->provides, rpm->n_provides, 0);
        for (size_t i = 0; i < rpm->n_files; i++)
                s->dep_provides =
                        repo_addid(p->virtual, s->dep_provides, pool_str2id(p->pool, rpm->files[i].path, 1));
        s->dep_requires = add_dependencies(p, rpm->requires, rpm->n_requires, 0);
        s->dep_conflicts = add_dependencies(p, rpm->conflicts, rpm->n_conflicts, 0);
        s->dep_obsoletes = add_dependencies(p, rpm->obsoletes, rpm->n_obsoletes, 0);
        return id;
}

static void check_one(struct pool *p, Id id, const char *name, char ***problems)
{
        Queue jobs;
        Solver *solver;
        int n;

        queue_init(&jobs);
        queue_push2(&jobs, SOLVER_INSTALL | SOLVER_SOLVABLE, id);
        solver = pool_run(p, &jobs, &n);
        if (n > 0) {
                _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
                _cleanup_free_ char *line = NULL;

                explain_problems(p, solver, &text);
                line = kiln_asprintf("%s: %s", name, kiln_buf_str(&text));
                kiln_strv_append(problems, line);
        }
        solver_free(solver);
        queue_free(&jobs);
}

/* A dependency of a new package on a file that nobody provides so far. */
static bool lacks_files(struct pool *p, const Queue *ids)
{
        bool lacks = false;
        Queue deps;

        queue_init(&deps);
        for (int i = 0; i < ids->count && !lacks; i++) {
                if (!ids->elements[i])
                        continue;
                queue_empty(&deps); /* libsolv appends */
                solvable_lookup_deparray(
                        pool_id2solvable(p->pool, ids->elements[i]), SOLVABLE_REQUIRES, &deps, 0);
                for (int k = 0; k < deps.count && !lacks; k++)
                        lacks = !ISRELDEP(deps.elements[k]) &&
                                *pool_id2str(p->pool, deps.elements[k]) == '/' &&
                                !*pool_whatprovides_ptr(p->pool, deps.elements[k]);
        }
        queue_free(&deps);
        return lacks;
}

int inside_installable(struct pool *p, const int *rpm_fds, const char *const *names, size_t n,
        char ***ret_problems, struct kiln_error *err)
{
        _cleanup_strv_ char **problems = kiln_calloc(1, sizeof(*problems));
        Queue ids;
        int rc = 0;

        if (n > VIRTUAL_MAX / 2)
                return kiln_error_set(err, KILN_LIMIT, 0, "checking what was built", NULL,
                        "%zu packages are more than can be checked", n);
        queue_init(&ids);
        for (size_t i = 0; rc == 0 && i < n; i++) {
                _cleanup_(kiln_rpm_freep) struct kiln_rpm *rpm = NULL;

                rc = kiln_rpm_open(rpm_fds[i], names[i], NULL, &rpm, err);
                if (rc == 0)
                        queue_push(&ids, rpm->source ? 0 : add_package(p, rpm));
        }
        if (rc == 0) {
                pool_index(p);
                rc = rich_check(p, err);
                if (rc == 0 && !p->has_filelists && lacks_files(p, &ids))
                        rc = pool_load_filelists(p, err);
        }
        for (int i = 0; rc == 0 && i < ids.count; i++)
                if (ids.elements[i])
                        check_one(p, ids.elements[i], names[i], &problems);
        for (int i = ids.count; i-- > 0;)
                pool_virtual_free(p, ids.elements[i]);
        pool_index(p);
        queue_free(&ids);
        if (rc == 0)
                *ret_problems = TAKE_PTR(problems);
        return rc;
}
