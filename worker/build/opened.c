/* A build may open millions of files of its own making: what is kept is bounded. */
#include "worker/build/opened.h"

#include "worker/base/mem.h"

#include <search.h>
#include <string.h>

#define PATHS_MAX ((size_t)1 << 19)

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
