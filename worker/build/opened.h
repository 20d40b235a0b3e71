/* The set of paths that the runs of one build opened. Not for other rooms (they use build.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct opened {
        void *tree; /* tsearch(3) */
        size_t n;
        bool lost; /* there were more */
};

void opened_add(struct opened *o, const char *path);
char **opened_list(const struct opened *o); /* sorted, NULL-terminated; the caller's */
void opened_clear(struct opened *o);
