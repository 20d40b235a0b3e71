/* A toolchain's repositories in one libsolv pool.
 *
 * Repositories come in the order of their ids and packages are in canonical order within each, so that
 * the ids the solver works with depend on the metadata's content only. The architecture policy is the
 * toolchain's; libsolv's tables are not asked. */
#include "worker/base/mem.h"
#include "worker/buildroot/pool_private.h"
#include "worker/buildroot/solvcache.h"

#include <errno.h>
#include <fnmatch.h>
#include <solv/pool_parserpmrichdep.h>
#include <solv/poolarch.h>
#include <solv/util.h>
#include <string.h>

/* libsolv's notation: ':' separates classes of which the earlier always wins, '>' only breaks ties between
 * equal versions. Micro-architecture levels of one architecture (x86_64_v3, x86_64) are ties. */
static void set_arches(struct pool *p)
{
        _cleanup_buf_ struct kiln_buf policy = KILN_BUF_INIT;
        const char *before = NULL;

        for (char **a = p->toolchain->compatible_arches; a && *a; a++) {
                if (strcmp(*a, "noarch") == 0)
                        continue;
                if (before) {
                        size_t n = strcspn(before, "_"), m = strcspn(*a, "_");
                        bool same = strncmp(before, "x86_64", 6) == 0 && strncmp(*a, "x86_64", 6) == 0;

                        same = same || (n == m && strncmp(before, *a, n) == 0);
                        kiln_buf_putc(&policy, same ? '>' : ':');
                }
                kiln_buf_puts(&policy, *a);
                before = *a;
        }
        pool_setarchpolicy(p->pool, kiln_buf_str(&policy));
}

static bool is_excluded(const struct kiln_repository *r, const char *name)
{
        for (char **e = r->excludes; e && *e; e++)
                if (fnmatch(*e, name, 0) == 0)
                        return true;
        return false;
}

static void set_excludes(struct pool *p)
{
        Solvable *s;
        Id id;

        map_init(&p->considered, p->pool->nsolvables + VIRTUAL_MAX);
        map_setall(&p->considered);
        for (size_t i = 0; i < p->n_repositories; i++) {
                const struct kiln_repository *def = p->repositories[i].metadata->repository;

                if (!def->excludes || !def->excludes[0])
                        continue;
                FOR_REPO_SOLVABLES(p->repositories[i].repo, id, s)
                {
                        if (is_excluded(def, pool_id2str(p->pool, s->name)))
                                MAPCLR(&p->considered, id);
                }
        }
        p->pool->considered = &p->considered;
}

void pool_index(struct pool *p)
{
        /* Our files are Provides already. Without this call libsolv would search all file lists anew for
         * every path that nobody provides. */
        pool_addfileprovides(p->pool);
        pool_createwhatprovides(p->pool);
}

const struct kiln_repository *pool_repository_of(const struct pool *p, const Solvable *s)
{
        for (size_t i = 0; i < p->n_repositories; i++)
                if (p->repositories[i].repo == s->repo)
                        return p->repositories[i].metadata->repository;
        return NULL;
}

static int load_repositories(
        struct pool *p, const struct metadata *metadata, size_t n, struct kiln_error *err)
{
        int rc = 0;

        p->repositories = kiln_calloc(n + 1, sizeof(*p->repositories));
        for (; rc == 0 && p->n_repositories < n; p->n_repositories++) {
                struct pool_repository *r = &p->repositories[p->n_repositories];

                r->metadata = &metadata[p->n_repositories];
                r->repo = repo_create(p->pool, r->metadata->repository->id);
                r->repo->priority = -r->metadata->repository->priority; /* libsolv: higher wins */
                rc = solvcache_load(p, p->n_repositories, err);
        }
        return rc;
}

int inside_open(int fd, const struct kiln_toolchain *t, const struct metadata *metadata, size_t n,
        struct pool **ret, struct kiln_error *err)
{
        _cleanup_(inside_freep) struct pool *p = kiln_calloc(1, sizeof(*p));
        int rc;

        p->fd = fd;
        p->toolchain = t;
        p->pool = pool_create();
        queue_init(&p->base);
        pool_setdisttype(p->pool, DISTTYPE_RPM);
        set_arches(p);
        rc = load_repositories(p, metadata, n, err);
        if (rc < 0)
                return rc;
        p->virtual = repo_create(p->pool, "kiln");
        set_excludes(p);
        pool_index(p);
        rc = rich_check(p, err);
        if (rc < 0)
                return rc;
        *ret = TAKE_PTR(p);
        return 0;
}

void inside_free(struct pool *p)
{
        if (!p)
                return;
        free(p->repositories);
        queue_free(&p->base);
        p->pool->considered = NULL;
        pool_free(p->pool);
        map_free(&p->considered);
        free(p);
}

/* ---- dependencies */

static int parse_operator(const char *s, size_t n)
{
        int flags = 0;

        for (size_t i = 0; i < n; i++) {
                int bit = s[i] == '<' ? REL_LT : s[i] == '>' ? REL_GT : s[i] == '=' ? REL_EQ : 0;

                if (!bit || (flags & bit))
                        return 0;
                flags |= bit;
        }
        return flags == (REL_LT | REL_GT) || flags == (REL_LT | REL_GT | REL_EQ) ? 0 : flags;
}

Id pool_parse_dependency(Pool *pool, const char *text)
{
        static const char *const blank = " \t";
        size_t name, op, evr;
        const char *p;
        int flags;

        text += strspn(text, blank);
        if (*text == '(')
                return kiln_dependency_is_shallow(text) ? pool_parserpmrichdep(pool, text) : 0;
        name = strcspn(text, blank);
        if (name == 0)
                return 0;
        p = text + name;
        p += strspn(p, blank);
        if (!*p)
                return pool_strn2id(pool, text, (unsigned)name, 1);
        op = strspn(p, "<>=");
        flags = parse_operator(p, op);
        if (!flags)
                return 0;
        p += op;
        p += strspn(p, blank);
        evr = strcspn(p, blank);
        if (evr == 0 || p[evr + strspn(p + evr, blank)])
                return 0;
        return pool_rel2id(pool, pool_strn2id(pool, text, (unsigned)name, 1),
                pool_strn2id(pool, p, (unsigned)evr, 1), flags, 1);
}

Id pool_virtual_new(struct pool *p, const char *name, const char *const *requires,
        const char *const *conflicts, struct kiln_error *err)
{
        Id id = repo_add_solvable(p->virtual);
        Solvable *s = pool_id2solvable(p->pool, id);
        double cost = 0;

        s->name = pool_str2id(p->pool, name, 1);
        s->arch = ARCH_NOARCH;
        s->evr = ID_EMPTY;
        for (int pass = 0; pass < 2; pass++) {
                const char *const *list = pass ? conflicts : requires;

                for (; list && *list; list++) {
                        Id dep;

                        if (strncmp(*list, "rpmlib(", 7) == 0)
                                continue; /* the target's own rpm will judge it */
                        dep = pool_parse_dependency(p->pool, *list);
                        if (!dep) {
                                pool_virtual_free(p, id);
                                kiln_error_set(err, KILN_BAD_INPUT, 0, "reading the dependency", *list,
                                        "it is no \"name\", \"name >= version\" or \"(rich dependency)\"");
                                return 0;
                        }
                        s = pool_id2solvable(p->pool, id);
                        if (pass)
                                s->dep_conflicts = repo_addid(p->virtual, s->dep_conflicts, dep);
                        else
                                s->dep_requires = repo_addid(p->virtual, s->dep_requires, dep);
                }
        }
        if (rich_add(p, id, &cost, err) < 0) {
                pool_virtual_free(p, id);
                return 0;
        }
        return id;
}

void pool_virtual_free(struct pool *p, Id id)
{
        if (id)
                repo_free_solvable(p->virtual, id, 1);
}
