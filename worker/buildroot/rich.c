/* What rich dependencies cost the solver, found before it is asked.
 *
 * libsolv turns "((a and b) or (c and d) or …)" into rules by multiplying out, in memory and without a bound:
 * thirty such pairs make 2^30 of them, and a condition multiplies with the number of packages that meet it.
 * The dependencies come from source packages, from what a build made and from mirrors, so the size of the
 * product is computed here first, which takes no more than a look at each part. */
#include "worker/buildroot/pool_private.h"

#include <errno.h>

/* Of all packages of a repository, or of one package of ours: far more than Fedora's or a spec's together. */
#define LITERALS_MAX (double)(1 << 22)

/* So many blocks of so many packages each; doubles, so that there is no overflow but to infinity. */
struct form {
        double blocks, width;
};

/* Both normal forms of one dependency: all of these blocks, each any of its packages; and the reverse. */
struct forms {
        struct form cnf, dnf;
};

static struct form joined(struct form a, struct form b)
{
        return (struct form){a.blocks + b.blocks, a.width > b.width ? a.width : b.width};
}

static struct form multiplied(struct form a, struct form b)
{
        return (struct form){a.blocks * b.blocks, a.width + b.width};
}

static struct forms both(struct forms a, struct forms b)
{
        return (struct forms){joined(a.cnf, b.cnf), multiplied(a.dnf, b.dnf)};
}

static struct forms either(struct forms a, struct forms b)
{
        return (struct forms){multiplied(a.cnf, b.cnf), joined(a.dnf, b.dnf)};
}

static struct forms inverted(struct forms a)
{
        return (struct forms){a.dnf, a.cnf};
}

/* The same cases as libsolv's normalize_dep() (cplxdeps.c). The recursion is as deep as the text was nested
 * or chained: kiln_dependency_is_shallow(). */
static struct forms forms_of(Pool *pool, Id dep)
{
        const Reldep rd = ISRELDEP(dep) ? *GETRELDEP(pool, dep) : (Reldep){0};
        bool conditional = rd.flags == REL_COND || rd.flags == REL_UNLESS;
        struct forms name, condition, otherwise = {0};
        double providers = 0;
        bool has_else;

        if (!conditional && rd.flags != REL_AND && rd.flags != REL_OR) {
                for (const Id *p = pool_whatprovides_ptr(pool, dep); *p; p++)
                        providers++;
                providers = providers > 0 ? providers : 1;
                return (struct forms){{1, providers}, {providers, 1}};
        }
        name = forms_of(pool, rd.name);
        has_else = conditional && ISRELDEP(rd.evr) && GETRELDEP(pool, rd.evr)->flags == REL_ELSE;
        if (has_else) {
                const Reldep branches = *GETRELDEP(pool, rd.evr);

                condition = forms_of(pool, branches.name);
                otherwise = forms_of(pool, branches.evr);
        } else {
                condition = forms_of(pool, rd.evr);
        }
        switch (rd.flags) {
        case REL_AND:
                return both(name, condition);
        case REL_OR:
                return either(name, condition);
        case REL_COND:
                name = either(name, inverted(condition));
                return has_else ? both(name, either(condition, otherwise)) : name;
        default:
                name = both(name, inverted(condition));
                return has_else ? either(name, both(condition, otherwise)) : name;
        }
}

static double deps_cost(const Solvable *s, Offset deps, bool conflicts)
{
        double sum = 0;

        for (const Id *d = deps ? s->repo->idarraydata + deps : NULL; d && *d; d++) {
                struct forms f;

                if (!ISRELDEP(*d) || GETRELDEP(s->repo->pool, *d)->flags <= 7)
                        continue;
                f = forms_of(s->repo->pool, *d);
                sum += conflicts ? f.dnf.blocks * (f.dnf.width + 1) : f.cnf.blocks * (f.cnf.width + 1);
        }
        return sum;
}

int rich_add(const struct pool *p, Id id, double *sum, struct kiln_error *err)
{
        const Solvable *s = pool_id2solvable(p->pool, id);
        const struct kiln_repository *from = pool_repository_of(p, s);

        *sum += deps_cost(s, s->dep_requires, false) + deps_cost(s, s->dep_conflicts, true);
        if (*sum <= LITERALS_MAX)
                return 0;
        kiln_error_set(err, from ? KILN_INFRA : KILN_BAD_INPUT, 0, "reading the rich dependencies of",
                pool_id2str(p->pool, s->name),
                "multiplied out, as solving needs them, they are larger than any package's%s%s",
                from ? "; repository " : "", from ? from->id : "");
        return -E2BIG;
}

int rich_check(const struct pool *p, struct kiln_error *err)
{
        const Pool *pool = p->pool;
        Repo *repo;
        Solvable *s;
        Id r, id;
        int rc;

        FOR_REPOS(r, repo)
        {
                double sum = 0;

                FOR_REPO_SOLVABLES(repo, id, s)
                {
                        if (repo == p->virtual)
                                sum = 0;
                        rc = rich_add(p, id, &sum, err);
                        if (rc < 0)
                                return rc;
                }
        }
        return 0;
}
