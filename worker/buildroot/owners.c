/* Tables of files and capabilities, sorted, each entry with the package it comes from. */
#include "worker/buildroot/owners.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/source/rpmfile.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* A path through more links than this leads nowhere (as ELOOP in path_resolution(7)). */
#define LINKS_MAX 40

struct entry {
        char *key;
        char *target; /* of links, else NULL */
        size_t package;
};

struct table {
        struct entry *entries;
        size_t n;
};

struct kiln_owners {
        size_t n; /* packages */
        struct table files, links, provides;
        struct table leads; /* a link's package by the file it leads to */
        char ***requires;   /* names, a list for each package */
};

static void table_add(struct table *t, char *key, const char *target, size_t package)
{
        *KILN_APPEND(t->entries, t->n) = (struct entry){key, target ? kiln_strdup(target) : NULL, package};
}

static int entry_compare(const void *a, const void *b)
{
        const struct entry *x = a, *y = b;
        int r = strcmp(x->key, y->key);

        return r ? r : (x->package > y->package) - (x->package < y->package);
}

static void table_sort(struct table *t)
{
        if (t->n)
                qsort(t->entries, t->n, sizeof(*t->entries), entry_compare);
}

/* The first entry with this key; NULL without one. The others with it follow. */
static const struct entry *table_find(const struct table *t, const char *key)
{
        size_t low = 0, high = t->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (strcmp(t->entries[middle].key, key) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < t->n && strcmp(t->entries[low].key, key) == 0 ? &t->entries[low] : NULL;
}

static void table_clear(struct table *t)
{
        for (size_t i = 0; i < t->n; i++) {
                free(t->entries[i].key);
                free(t->entries[i].target);
        }
        free(t->entries);
}

static int package_read(struct kiln_owners *o, struct kiln_store *s, const struct kiln_locked_package *p,
        size_t index, struct kiln_error *err)
{
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *rpm = NULL;
        _cleanup_error_ struct kiln_error why = KILN_ERROR_INIT;
        _cleanup_close_ int fd = -1;
        int r = kiln_store_find(s, &p->sha256, &fd);

        if (r != 0)
                return kiln_error_set(err, KILN_INFRA, r < 0 ? r : ENOENT, "reading what belongs to",
                        p->nevra, "it is not in the store any more");
        if (kiln_rpm_read(fd, p->nevra, &rpm, &why) < 0)
                return kiln_error_set(
                        err, KILN_INFRA, 0, "reading what belongs to", p->nevra, "the store: %s", why.cause);
        for (size_t i = 0; i < rpm->n_files; i++) {
                const struct kiln_rpm_file *f = &rpm->files[i];

                if (S_ISLNK(f->mode))
                        table_add(&o->links, kiln_strdup(f->path), f->link_target, index);
                else if (!S_ISDIR(f->mode))
                        table_add(&o->files, kiln_strdup(f->path), NULL, index);
                table_add(&o->provides, kiln_strdup(f->path), NULL, index);
        }
        for (size_t i = 0; i < rpm->n_provides; i++)
                table_add(&o->provides, kiln_strdup(rpm->provides[i].name), NULL, index);
        o->requires[index] = kiln_calloc(1, sizeof(char *));
        for (size_t i = 0; i < rpm->n_requires; i++)
                kiln_strv_append(&o->requires[index], rpm -> requires[i].name);
        return 0;
}

/* The path with the first linked directory in it replaced; NULL when there is none. */
static char *resolve_once(const struct table *links, const char *path)
{
        _cleanup_free_ char *copy = kiln_strdup(path);

        for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                const struct entry *link;

                *slash = '\0';
                link = table_find(links, copy);
                if (link && link->target[0] == '/')
                        return kiln_asprintf("%s/%s", link->target, slash + 1);
                if (link)
                        return kiln_asprintf("%.*s%s/%s", (int)(kiln_path_base(copy) - copy), copy,
                                link->target, slash + 1);
                *slash = '/';
        }
        return NULL;
}

/* "/usr/bin/../lib/x" to "/usr/lib/x". */
static char *without_dots(const char *path)
{
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;

        while (*path) {
                size_t n;

                path += strspn(path, "/");
                n = strcspn(path, "/");
                if (n == 2 && strncmp(path, "..", 2) == 0) {
                        const char *last = out.len ? strrchr(kiln_buf_str(&out), '/') : NULL;

                        out.len = last ? (size_t)(last - out.data) : 0;
                        if (out.data)
                                out.data[out.len] = '\0';
                } else if (n > 0 && !(n == 1 && *path == '.')) {
                        kiln_buf_printf(&out, "/%.*s", (int)n, path);
                }
                path += n;
        }
        return kiln_strdup(kiln_buf_str(&out));
}

/* Where a path ends when its last component may be a link too. */
static char *resolve_whole(const struct table *links, const char *path)
{
        char *at = without_dots(path);

        for (int n = 0; n < LINKS_MAX; n++) {
                const struct entry *link = table_find(links, at);
                char *next = link ? kiln_asprintf("%.*s%s",
                                            link->target[0] == '/' ? 0 : (int)(kiln_path_base(at) - at), at,
                                            link->target)
                                  : resolve_once(links, at);

                if (!next)
                        break;
                free(at);
                at = without_dots(next);
                free(next);
        }
        return at;
}

static void links_follow(struct kiln_owners *o)
{
        for (size_t i = 0; i < o->links.n; i++)
                table_add(&o->leads, resolve_whole(&o->links, o->links.entries[i].key), NULL,
                        o->links.entries[i].package);
        table_sort(&o->leads);
}

/* What the kernel tells of a file has no links in its directories, what a header says may have. */
static void files_resolve(struct kiln_owners *o)
{
        for (size_t i = 0; i < o->files.n; i++) {
                char *resolved = resolve_whole(&o->links, o->files.entries[i].key);

                free(o->files.entries[i].key);
                o->files.entries[i].key = resolved;
        }
}

int kiln_owners_open(const struct kiln_context *c, struct kiln_store *s, const struct kiln_lock *lock,
        struct kiln_owners **ret, struct kiln_error *err)
{
        _cleanup_(kiln_owners_freep) struct kiln_owners *o = kiln_calloc(1, sizeof(*o));

        o->n = lock->n_packages;
        o->requires = kiln_calloc(o->n + 1, sizeof(*o->requires));
        for (size_t i = 0; i < o->n; i++) {
                int r = kiln_context_check(c, "reading the headers of the build root", err);

                if (r == 0)
                        r = package_read(o, s, &lock->packages[i], i, err);
                if (r < 0)
                        return r;
        }
        table_sort(&o->links);
        table_sort(&o->provides);
        files_resolve(o);
        links_follow(o);
        table_sort(&o->files);
        *ret = TAKE_PTR(o);
        return 0;
}

void kiln_owners_free(struct kiln_owners *o)
{
        if (!o)
                return;
        for (size_t i = 0; i < o->n; i++)
                kiln_strv_free(o->requires[i]);
        free(o->requires);
        table_clear(&o->files);
        table_clear(&o->links);
        table_clear(&o->leads);
        table_clear(&o->provides);
        free(o);
}

size_t kiln_owners_of(const struct kiln_owners *o, const char *path)
{
        const struct entry *e = table_find(&o->files, path);

        return e ? e->package : KILN_NO_OWNER;
}

/* Marks the packages of all entries with this key; returns how many were not marked yet. */
static size_t mark(const struct table *t, const char *key, bool *by)
{
        const struct entry *e = table_find(t, key);
        size_t n = 0;

        for (; e && e < t->entries + t->n && strcmp(e->key, key) == 0; e++) {
                n += !by[e->package];
                by[e->package] = true;
        }
        return n;
}

void kiln_owners_link(const struct kiln_owners *o, const char *path, bool *by)
{
        (void)mark(&o->leads, path, by);
}

size_t kiln_owners_provide(const struct kiln_owners *o, const char *requirement, bool *by)
{
        _cleanup_free_ char *name = kiln_strndup(requirement, strcspn(requirement, " \t"));

        return mark(&o->provides, name, by);
}

void kiln_owners_reach(const struct kiln_owners *o, const bool *from, bool *reached)
{
        _cleanup_free_ size_t *queue = kiln_calloc(o->n + 1, sizeof(*queue));
        _cleanup_free_ bool *needed = kiln_calloc(o->n + 1, sizeof(*needed));
        size_t head = 0, tail = 0;

        for (size_t i = 0; i < o->n; i++) {
                reached[i] = from[i];
                if (from[i])
                        queue[tail++] = i;
        }
        while (head < tail) {
                size_t package = queue[head++];

                memset(needed, 0, o->n * sizeof(*needed));
                for (char **name = o->requires[package]; *name; name++)
                        (void)mark(&o->provides, *name, needed);
                for (size_t i = 0; i < o->n; i++) {
                        if (!needed[i] || reached[i])
                                continue;
                        reached[i] = true;
                        queue[tail++] = i;
                }
        }
}
