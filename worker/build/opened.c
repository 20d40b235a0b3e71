/* A build may open millions of files of its own making: what is kept is bounded. */
#include "worker/build/opened.h"

#include "worker/base/mem.h"
#include "worker/build/build.h"

#include <search.h>
#include <stdio.h>
#include <string.h>

#define PATHS_MAX ((size_t)1 << 19)

/* rpmbuild's %_tmppath and what rpmMkTempFile() calls its files there. */
#define SCRIPTS "/var/tmp/rpm-tmp."
#define SOURCES KILN_BUILD_TOPDIR "/SOURCES"
#define TREE KILN_BUILD_TOPDIR "/BUILD"

static int compare(const void *a, const void *b)
{
        return strcmp(a, b);
}

void opened_add(struct opened *o, const char *path)
{
        char *copy;

        if (tfind(path, &o->tree, compare))
                return;
        if (o->n == PATHS_MAX) {
                o->lost = true;
                return;
        }
        copy = kiln_strdup(path);
        if (!tsearch(copy, &o->tree, compare)) {
                free(copy);
                o->lost = true;
                return;
        }
        o->n++;
}

static void collect(const void *node, VISIT which, void *list)
{
        char ***next = list;

        if (which == postorder || which == leaf)
                *(*next)++ = kiln_strdup(*(char *const *)node);
}

char **opened_list(const struct opened *o)
{
        char **list = kiln_calloc(o->n + 1, sizeof(char *)), **next = list;

        twalk_r(o->tree, collect, &next);
        return list;
}

void opened_clear(struct opened *o)
{
        tdestroy(o->tree, free);
        *o = (struct opened){0};
}

/* ---- files that were there
 * ------------------------------------------------------------------------------------- */

struct file {
        char *path;
        bool opened;
};

static int file_compare(const void *a, const void *b)
{
        return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

static void file_free(void *file)
{
        free(((struct file *)file)->path);
        free(file);
}

static void present_add(struct present *p, const char *path)
{
        struct file *file;

        /* `%autosetup -S git` makes a repository around the sources: rpm's, not theirs. */
        if (p->listed || strstr(path, "/.git/"))
                return;
        if (p->n == PATHS_MAX) {
                p->lost = true;
                return;
        }
        file = kiln_calloc(1, sizeof(*file));
        file->path = kiln_strdup(path);
        if (tsearch(file, &p->tree, file_compare)) {
                p->n++;
        } else {
                file_free(file);
                p->lost = true;
        }
}

static void present_opened(struct present *p, const char *path)
{
        struct file key = {.path = (char *)(uintptr_t)path}, **found = tfind(&key, &p->tree, file_compare);

        if (found)
                (*found)->opened = true;
}

static void present_collect(const void *node, VISIT which, void *list)
{
        struct kiln_build_file **next = list;
        const struct file *file = *(struct file *const *)node;

        if (which == postorder || which == leaf)
                *(*next)++ = (struct kiln_build_file){file->path, file->opened};
}

struct kiln_build_file *present_list(const struct present *p)
{
        struct kiln_build_file *list = kiln_calloc(p->n + 1, sizeof(*list)), *next = list;

        twalk_r(p->tree, present_collect, &next);
        return list;
}

/* ---- the runs
 * -------------------------------------------------------------------------------------------------- */

/* What follows "<dir>/" in the path; NULL when it lies elsewhere. */
static const char *below(const char *path, const char *dir)
{
        size_t n = strlen(dir);

        return strncmp(path, dir, n) == 0 && path[n] == '/' ? path + n + 1 : NULL;
}

static void script(struct observed *o, enum kiln_sandbox_seen what, const char *name)
{
        if (what == KILN_SEEN_MADE && !o->script[0] &&
                strlen(name) < sizeof(o->script)) { /* others are the script's own doing */
                snprintf(o->script, sizeof(o->script), "%s", name);
                o->scripts = true;
        } else if (what == KILN_SEEN_REMOVED && strcmp(o->script, name) == 0) {
                o->script[0] = '\0';
        }
}

size_t observed_watches(enum observed_run run, struct kiln_sandbox_watch watches[OBSERVED_WATCHES])
{
        static const struct kiln_sandbox_watch all[OBSERVED_WATCHES] = {
                {KILN_WATCH_ROOT, "/"},
                {KILN_WATCH_NAMES, "/var/tmp"},
                {KILN_WATCH_TREE, SOURCES},
                {KILN_WATCH_TREE, TREE},
        };
        static const size_t n[] = {[OBSERVED_PREP] = 3, [OBSERVED_BUILD] = 4};

        memcpy(watches, all, sizeof(all));
        return n[run];
}

void observed_begin(struct observed *o, enum observed_run run)
{
        o->run = run;
        o->script[0] = '\0';
}

void observed_event(struct observed *o, enum kiln_sandbox_seen what, const char *path)
{
        const char *source = below(path, SOURCES), *file = below(path, TREE);

        switch (what) {
        case KILN_SEEN_OPENED:
                if (source && (o->script[0] || o->run == OBSERVED_PREP))
                        present_opened(&o->sources, source);
                else if (file)
                        present_opened(&o->tree, file);
                else if (!source)
                        opened_add(&o->root, path);
                break;
        case KILN_SEEN_THERE:
                if (source)
                        present_add(&o->sources, source);
                else if (file)
                        present_add(&o->tree, file);
                break;
        case KILN_SEEN_CUT:
                *(strcmp(path, SOURCES) == 0 ? &o->sources.lost : &o->tree.lost) = true;
                break;
        case KILN_SEEN_MADE:
        case KILN_SEEN_REMOVED:
                if (strncmp(path, SCRIPTS, strlen(SCRIPTS)) == 0)
                        script(o, what, path + strlen(SCRIPTS));
                break;
        }
}

void observed_end(struct observed *o, bool lost)
{
        o->root.lost |= lost;
        o->sources.listed = true;
        o->sources.lost |= lost;
        if (o->run == OBSERVED_PREP)
                return;
        o->tree.listed = true;
        o->tree.lost |= lost;
        /* Not one script: they are elsewhere, or called otherwise. */
        o->sources.lost |= !o->scripts;
}

void observed_clear(struct observed *o)
{
        opened_clear(&o->root);
        tdestroy(o->sources.tree, file_free);
        tdestroy(o->tree.tree, file_free);
        *o = (struct observed){0};
}
