/* The paths that the sandbox told of, against the headers of what was installed. */
#include "worker/pipeline/inputs.h"

#include "worker/attest/sbom.h"
#include "worker/base/mem.h"
#include "worker/buildroot/owners.h"

#include <string.h>

#define TREE_PATHS_MAX 20000

/* Packages that were asked for, and who is there for them alone. */
struct demand {
        bool *asked;      /* by index of the lock's packages */
        bool **reached;   /* for those asked: they and all they need; else NULL */
        unsigned *askers; /* how many of those asked need this one */
        bool *base;       /* needed whatever the package asks for */
};

void inputs_clear(struct inputs *in)
{
        free(in->opened);
        kiln_strv_free(in->sources);
        *in = (struct inputs){0};
}

static void demand_clear(struct demand *d, size_t n)
{
        for (size_t i = 0; d->reached && i < n; i++)
                free(d->reached[i]);
        free(d->asked);
        free(d->reached);
        free(d->askers);
        free(d->base);
}

static void demand_fill(struct demand *d, const struct kiln_owners *o, const struct kiln_lock *lock,
        char *const *requirements)
{
        size_t n = lock->n_packages;

        d->asked = kiln_calloc(n + 1, sizeof(*d->asked));
        d->reached = kiln_calloc(n + 1, sizeof(*d->reached));
        d->askers = kiln_calloc(n + 1, sizeof(*d->askers));
        d->base = kiln_calloc(n + 1, sizeof(*d->base));
        for (size_t i = 0; i < n; i++)
                d->base[i] = lock->packages[i].layer != KILN_LOCK_DELTA;
        kiln_owners_reach(o, d->base, d->base);
        for (; *requirements; requirements++)
                kiln_owners_provide(o, *requirements, d->asked);
        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ bool *from = NULL;

                if (!d->asked[i])
                        continue;
                from = kiln_calloc(n + 1, sizeof(*from));
                from[i] = true;
                d->reached[i] = kiln_calloc(n + 1, sizeof(bool));
                kiln_owners_reach(o, from, d->reached[i]);
                for (size_t k = 0; k < n; k++)
                        d->askers[k] += d->reached[i][k];
        }
}

/* Itself opened, or something that is there for it alone. */
static bool is_used(const struct demand *d, const bool *opened, size_t n, size_t package)
{
        if (opened[package])
                return true;
        for (size_t i = 0; i < n; i++)
                if (opened[i] && d->reached[package][i] && d->askers[i] == 1 && !d->base[i])
                        return true;
        return false;
}

static json_t *requirements_judge(struct kiln_job *j, const struct kiln_owners *o, const bool *opened,
        bool complete, char *const *requirements)
{
        size_t n = j->lock->n_packages;
        json_t *list = json_array();
        struct demand d = {0};

        demand_fill(&d, o, j->lock, requirements);
        for (; *requirements; requirements++) {
                _cleanup_free_ bool *by = kiln_calloc(n + 1, sizeof(*by));
                json_t *packages = json_array(), *row;
                bool used = false;

                kiln_owners_provide(o, *requirements, by);
                for (size_t i = 0; i < n; i++) {
                        if (!by[i])
                                continue;
                        used |= is_used(&d, opened, n, i);
                        json_array_append_new(packages, kiln_sbom_text(j->lock->packages[i].nevra));
                }
                row = json_pack(
                        "{s:o, s:o}", "requirement", kiln_sbom_text(*requirements), "packages", packages);
                /* What no single package provides (a rich dependency) is not judged. */
                if (json_array_size(packages) > 0 && (used || complete))
                        json_object_set_new(row, "used", json_boolean(used));
                if (json_array_size(packages) > 0 && !used && complete)
                        record_finding(j->record, false, "buildrequires.unused", *requirements,
                                "the build opened no file of it, nor of what is there for it alone");
                json_array_append_new(list, row);
        }
        demand_clear(&d, n);
        return list;
}

/* The source package that was made; NULL without one. */
static const struct kiln_rpm *source_of(const struct kiln_job *j)
{
        for (size_t i = 0; i < j->n_built; i++)
                if (j->built[i].rpm->source)
                        return j->built[i].rpm;
        return NULL;
}

/* It names the generated ones too. */
static char **requirements_of(const struct kiln_rpm *source)
{
        char **all = kiln_calloc(1, sizeof(char *));

        for (size_t k = 0; source && k < source->n_requires; k++) {
                _cleanup_free_ char *text = kiln_dependency_format(&source->requires[k]);

                if (text && !kiln_strv_contains(all, text))
                        kiln_strv_append(&all, text);
        }
        return all;
}

static int file_find(const void *name, const void *file)
{
        return strcmp(name, ((const struct kiln_build_file *)file)->path);
}

/* Each source or patch that the spec names and the package has. */
static void sources_judge(struct kiln_job *j, const struct kiln_rpm *source, struct inputs *ret)
{
        bool complete = false;
        size_t n = 0;
        _cleanup_free_ struct kiln_build_file *files = kiln_build_sources(j->build, &n, &complete);
        json_t *list = json_array();
        _cleanup_strv_ char **opened = kiln_calloc(1, sizeof(char *));

        for (int patches = 0; patches < 2; patches++) {
                char *const *name = !source ? NULL : patches ? source->patches : source->sources;

                for (; name && *name; name++) {
                        const struct kiln_build_file *file =
                                bsearch(*name, files, n, sizeof(*files), file_find);
                        const char *kind = patches ? "patch" : "source";
                        json_t *row;

                        if (!file)
                                continue;
                        row = json_pack("{s:o, s:s}", "name", kiln_sbom_text(*name), "kind", kind);
                        if (file->opened || complete)
                                json_object_set_new(row, "opened", json_boolean(file->opened));
                        if (file->opened)
                                kiln_strv_append(&opened, *name);
                        else if (complete)
                                record_finding(j->record, false, patches ? "patch.unused" : "source.unused",
                                        *name, "the build did not open it");
                        json_array_append_new(list, row);
                }
        }
        json_object_set_new(
                j->inputs, "sources", json_pack("{s:b, s:o}", "complete", complete, "files", list));
        if (complete)
                ret->sources = TAKE_PTR(opened);
        else
                record_finding(j->record, true, "inputs.incomplete", "sources",
                        "not all that the build opened was seen: what is not listed may be used");
}

/* Both lists end after TREE_PATHS_MAX, the numbers do not. */
static json_t *tree_json(struct kiln_job *j)
{
        static const char *const keys[] = {"unopened", "opened"};
        bool complete = false;
        size_t n = 0;
        _cleanup_free_ struct kiln_build_file *files = kiln_build_tree(j->build, &n, &complete);
        json_t *paths[2] = {json_array(), json_array()}, *tree;
        size_t counts[2] = {0};

        for (size_t i = 0; i < n; i++)
                if (counts[files[i].opened]++ < TREE_PATHS_MAX)
                        json_array_append_new(paths[files[i].opened], kiln_sbom_text(files[i].path));
        tree = json_pack("{s:b}", "complete", complete);
        for (int opened = 0; opened < 2; opened++) {
                json_t *part =
                        json_pack("{s:I, s:O}", "number", (json_int_t)counts[opened], "files", paths[opened]);

                /* Nobody knows that of those when something was lost. */
                if (opened || complete)
                        json_object_set(tree, keys[opened], part);
                json_decref(part);
                json_decref(paths[opened]);
        }
        if (!complete)
                record_finding(j->record, true, "inputs.incomplete", "the source tree",
                        "not all of it was watched: what is not listed may be used");
        return tree;
}

int inputs_observe(struct kiln_job *j, struct inputs *ret, struct kiln_error *err)
{
        _cleanup_(kiln_owners_freep) struct kiln_owners *o = NULL;
        _cleanup_strv_ char **paths = NULL, **requirements = NULL;
        const struct kiln_rpm *source = source_of(j);
        size_t n = j->lock->n_packages;
        bool complete = false;
        int r = kiln_owners_open(j->context, j->store, j->lock, &o, err);

        if (r < 0)
                return r;
        requirements = requirements_of(source);
        paths = kiln_build_opened(j->build, &complete);
        _cleanup_free_ json_t **files = kiln_calloc(n + 1, sizeof(*files));
        json_t *packages = json_array(), *others = json_array();
        bool *opened = kiln_calloc(n + 1, sizeof(*opened));

        for (size_t i = 0; i < n; i++)
                files[i] = json_array();
        for (char **path = paths; *path; path++) {
                size_t owner = kiln_owners_of(o, *path);

                json_array_append_new(owner == KILN_NO_OWNER ? others : files[owner], kiln_sbom_text(*path));
                if (owner != KILN_NO_OWNER)
                        opened[owner] = true;
                kiln_owners_link(o, *path, opened);
        }
        for (size_t i = 0; i < n; i++)
                json_array_append_new(packages,
                        json_pack("{s:o, s:b, s:o}", "nevra", kiln_sbom_text(j->lock->packages[i].nevra),
                                "opened", opened[i], "files", files[i]));
        if (!complete)
                record_finding(j->record, true, "inputs.incomplete", NULL,
                        "the build opened more files than could be followed: what is not listed may be used");
        j->inputs = json_pack("{s:b, s:o, s:o, s:o, s:o}", "complete", complete, "packages", packages,
                "buildRequires", requirements_judge(j, o, opened, complete, requirements), "others", others,
                "tree", tree_json(j));
        sources_judge(j, source, ret);
        /* "Not opened" is said under a signature there, which nobody knows when something was lost. */
        ret->opened = complete ? opened : NULL;
        if (!complete)
                free(opened);
        return 0;
}
