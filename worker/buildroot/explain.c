/* Why there is no solution, in a packager's words: what is missing, who needs it, what there is instead.
 *
 * Only reads the pool and the failed solver. */
#include "worker/base/mem.h"
#include "worker/buildroot/pool_private.h"

#include <solv/evr.h>
#include <string.h>

/* Lines about one problem, and alternatives named in a line, before "and N more". */
#define LINES_MAX 20
#define ALTERNATIVES_MAX 6
/* Lines told apart; from here on they are counted as they come. */
#define DIFFERENT_MAX 1000

struct explanation {
        struct pool *pool;
        struct kiln_buf *out;
        char **said; /* lines, each once */
        size_t n_said, n_more;
};

/* Nobody reads more: a package can be made to have ten thousand problems, and each to be expensive. */
static bool is_full(const struct explanation *e)
{
        return e->n_said >= LINES_MAX;
}

static const char *name_of(struct explanation *e, Id id)
{
        Solvable *s = pool_id2solvable(e->pool->pool, id);

        if (s->repo == e->pool->virtual)
                return pool_id2str(e->pool->pool, s->name);
        return pool_solvable2str(e->pool->pool, s);
}

static void say(struct explanation *e, char *line)
{
        if (e->n_said >= DIFFERENT_MAX) {
                e->n_more++;
        } else if (!kiln_strv_contains(e->said, line)) {
                if (!is_full(e))
                        kiln_buf_printf(e->out, "%s%s", e->out->len ? "\n  " : "", line);
                kiln_strv_append(&e->said, line);
                e->n_said++;
        }
        free(line);
}

/* ---- near names */

/* Edit distance up to max (more: max + 1); names are short. */
static unsigned distance(const char *a, const char *b, unsigned max)
{
        unsigned row[65];
        size_t n = strlen(a), m = strlen(b);

        if (n > 64 || m > 64 || (n > m ? n - m : m - n) > max)
                return max + 1;
        for (size_t j = 0; j <= m; j++)
                row[j] = (unsigned)j;
        for (size_t i = 1; i <= n; i++) {
                unsigned diagonal = row[0], best = row[0] = (unsigned)i;

                for (size_t j = 1; j <= m; j++) {
                        unsigned up = row[j], cost = diagonal + (a[i - 1] != b[j - 1]);

                        if (up + 1 < cost)
                                cost = up + 1;
                        if (row[j - 1] + 1 < cost)
                                cost = row[j - 1] + 1;
                        diagonal = up;
                        row[j] = cost;
                        if (cost < best)
                                best = cost;
                }
                if (best > max)
                        return max + 1;
        }
        return row[m];
}

struct near {
        const char *name;
        unsigned distance;
};

static int compare_near(const void *a, const void *b)
{
        const struct near *x = a, *y = b;

        if (x->distance != y->distance)
                return x->distance < y->distance ? -1 : 1;
        return strcmp(x->name, y->name);
}

/* How unlike: 0 the same but for case or '-'/'_', then edits; foo against foo-devel or libfoo counts as 2. */
static unsigned unlikeness(const char *wanted, const char *name)
{
        size_t n = strlen(wanted), m = strlen(name);
        unsigned max = n <= 4 ? 1 : n <= 8 ? 2 : 3;
        const char *within;

        if (n == m) {
                size_t i;

                for (i = 0; i < n; i++) {
                        char a = wanted[i] == '_' ? '-' : wanted[i], b = name[i] == '_' ? '-' : name[i];

                        if ((a | 0x20) != (b | 0x20))
                                break;
                }
                if (i == n)
                        return 0;
        }
        within = n >= 4 ? strstr(name, wanted) : NULL;
        if (within && m - n <= 6)
                return 2;
        unsigned d = distance(wanted, name, max);
        return d <= max ? d : 100;
}

static void say_near(struct explanation *e, const char *wanted)
{
        Pool *pool = e->pool->pool;
        struct near *found = NULL;
        size_t n = 0;
        _cleanup_buf_ struct kiln_buf line = KILN_BUF_INIT;

        for (Id id = ID_NUM_INTERNAL; id < pool->ss.nstrings; id++) {
                const char *name = pool_id2str(pool, id);
                unsigned d;

                /* pkgconfig(x) against pkgconfig(y), paths against paths */
                if ((*wanted == '/') != (*name == '/') || !strchr(wanted, '(') != !strchr(name, '('))
                        continue;
                d = unlikeness(wanted, name);
                if (d == 100 || !*pool_whatprovides_ptr(pool, id) || strcmp(name, wanted) == 0)
                        continue;
                *KILN_APPEND(found, n) = (struct near){name, d};
        }
        if (n > 0) {
                qsort(found, n, sizeof(*found), compare_near);
                kiln_buf_puts(&line, "there is ");
                for (size_t i = 0; i < n && i < 4; i++)
                        kiln_buf_printf(&line, "%s%s", i ? ", " : "", found[i].name);
                say(e, kiln_buf_take(&line));
        }
        free(found);
}

/* ---- what there is under a name */

/* Packages of that name that may not be used: excluded, or of another architecture. */
static void say_unusable(struct explanation *e, Id name)
{
        Pool *pool = e->pool->pool;
        Solvable *s;
        Id p;

        FOR_POOL_SOLVABLES(p)
        {
                const struct kiln_repository *r;

                s = pool_id2solvable(pool, p);
                r = pool_repository_of(e->pool, s);
                if (!r || s->name != name)
                        continue;
                if (!MAPTST(&e->pool->considered, p))
                        say(e, kiln_asprintf("%s of repository %s is excluded by the toolchain",
                                       pool_solvable2str(pool, s), r->id));
                else if (!pool->id2arch[s->arch])
                        say(e, kiln_asprintf("%s of repository %s is for another architecture",
                                       pool_solvable2str(pool, s), r->id));
        }
}

static Id plain_name(Pool *pool, Id dep)
{
        while (ISRELDEP(dep))
                dep = GETRELDEP(pool, dep)->name;
        return dep;
}

/* What provides the name at all, in other versions. */
static void say_other_versions(struct explanation *e, Id dep)
{
        Pool *pool = e->pool->pool;
        _cleanup_buf_ struct kiln_buf line = KILN_BUF_INIT;
        Id name = plain_name(pool, dep), p, pp;
        size_t n = 0;

        FOR_PROVIDES(p, pp, name)
        {
                Solvable *s = pool_id2solvable(pool, p);
                const struct kiln_repository *r = pool_repository_of(e->pool, s);

                if (++n <= ALTERNATIVES_MAX)
                        kiln_buf_printf(&line, "%s%s%s%s", n == 1 ? "available: " : ", ",
                                pool_solvable2str(pool, s), r ? " from " : "", r ? r->id : "");
        }
        if (n > ALTERNATIVES_MAX)
                kiln_buf_printf(&line, " and %zu more", n - ALTERNATIVES_MAX);
        if (n > 0)
                say(e, kiln_buf_take(&line));
        else
                say_unusable(e, name);
        if (n == 0 && !ISRELDEP(dep))
                say_near(e, pool_id2str(pool, name));
}

/* ---- rules */

static void explain_rule(struct explanation *e, Solver *solver, Id rule)
{
        Pool *pool = e->pool->pool;
        Id from, to, dep;
        SolverRuleinfo type = solver_ruleinfo(solver, rule, &from, &to, &dep);
        const char *what = dep ? pool_dep2str(pool, dep) : "";

        switch (type) {
        case SOLVER_RULE_PKG_NOTHING_PROVIDES_DEP:
                say(e, kiln_asprintf("nothing provides %s needed by %s", what, name_of(e, from)));
                say_other_versions(e, dep);
                break;
        case SOLVER_RULE_PKG_REQUIRES:
                say(e, kiln_asprintf("%s requires %s, but none of its providers can be installed",
                               name_of(e, from), what));
                break;
        case SOLVER_RULE_PKG_NOT_INSTALLABLE:
                say_unusable(e, pool_id2solvable(pool, from)->name);
                break;
        case SOLVER_RULE_PKG_CONFLICTS:
                say(e, kiln_asprintf("%s conflicts with %s provided by %s", name_of(e, from), what,
                               name_of(e, to)));
                break;
        case SOLVER_RULE_PKG_SELF_CONFLICT:
                say(e, kiln_asprintf("%s conflicts with %s that it provides itself", name_of(e, from), what));
                break;
        case SOLVER_RULE_PKG_OBSOLETES:
        case SOLVER_RULE_PKG_IMPLICIT_OBSOLETES:
                say(e, kiln_asprintf(
                               "%s obsoletes %s provided by %s", name_of(e, from), what, name_of(e, to)));
                break;
        case SOLVER_RULE_PKG_SAME_NAME:
                say(e, kiln_asprintf("%s and %s cannot both be installed", name_of(e, from), name_of(e, to)));
                break;
        default:
                break; /* jobs are ours and say nothing about the packages */
        }
}

/* The most telling lines first: what is missing, then conflicts, then chains. */
static int rule_weight(Solver *solver, Id rule)
{
        Id from, to, dep;

        switch (solver_ruleinfo(solver, rule, &from, &to, &dep)) {
        case SOLVER_RULE_PKG_NOTHING_PROVIDES_DEP:
                return 0;
        case SOLVER_RULE_PKG_NOT_INSTALLABLE:
                return 1;
        case SOLVER_RULE_PKG_REQUIRES:
                return 3;
        default:
                return 2;
        }
}

/* The solver stops at the first contradiction of a request; a packager wants to hear of everything missing.
 */
static void say_missing(struct explanation *e)
{
        Pool *pool = e->pool->pool;
        Solvable *s;
        Queue deps;
        Id p;

        queue_init(&deps);
        FOR_REPO_SOLVABLES(e->pool->virtual, p, s)
        {
                queue_empty(&deps); /* libsolv appends */
                solvable_lookup_deparray(s, SOLVABLE_REQUIRES, &deps, 0);
                for (int i = 0; i < deps.count; i++) {
                        Id dep = deps.elements[i];
                        bool rich = ISRELDEP(dep) && GETRELDEP(pool, dep)->flags > 7;

                        if (rich || *pool_whatprovides_ptr(pool, dep))
                                continue;
                        say(e, kiln_asprintf("nothing provides %s needed by %s", pool_dep2str(pool, dep),
                                       name_of(e, p)));
                        if (!is_full(e))
                                say_other_versions(e, dep);
                }
        }
        queue_free(&deps);
}

void explain_problems(struct pool *p, Solver *solver, struct kiln_buf *out)
{
        struct explanation e = {.pool = p, .out = out, .said = NULL};
        Queue rules;
        size_t lines;

        say_missing(&e);
        queue_init(&rules);
        for (Id problem = 0; e.n_said < DIFFERENT_MAX && (problem = solver_next_problem(solver, problem));) {
                solver_findallproblemrules(solver, problem, &rules);
                for (int weight = 0; weight <= 3; weight++)
                        for (int i = 0; i < rules.count; i++)
                                if (rule_weight(solver, rules.elements[i]) == weight)
                                        explain_rule(&e, solver, rules.elements[i]);
        }
        queue_free(&rules);
        lines = e.n_said + e.n_more;
        if (lines > LINES_MAX)
                kiln_buf_printf(out, "\n  and %zu more lines", lines - LINES_MAX);
        if (lines == 0)
                kiln_buf_puts(out, "the requirements contradict one another");
        kiln_strv_free(e.said);
}
