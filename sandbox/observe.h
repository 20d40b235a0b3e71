/* Which files a program opens: inotify(7) watches on the directories of the prepared root.
 *
 * Needs no privilege and asks nothing of the program, whose calls it neither delays nor sees. PID 1 sets the
 * watches before anything hostile runs; the caller reads what the kernel tells. Seen: files that are opened,
 * mapped (they are opened first) or executed. Not seen: stat(2), access(2), readlink(2), O_PATH, directories
 * that are listed, and files in directories made later. A file is reported under the directory it was opened
 * through, links resolved. Private to the room. */
#pragma once

#include "sandbox/setup.h"

#include <stdbool.h>

struct observation {
        int fd;       /* inotify; -1: nothing is observed */
        char *text;   /* the list that PID 1 sent */
        char **paths; /* directories by watch descriptor, in text; NULL: no such watch */
        size_t n_paths;
        bool lost; /* the kernel's queue overflowed */
};

/* PID 1, in the new root: watches s->observe and hands over the descriptor. */
int observe_start(struct setup *u);

/* The caller: takes over what PID 1 sent. 0 or negative errno; the descriptors are taken on success. */
int observe_take(struct observation *o, int inotify_fd, int list_fd);

/* Passes on what is there now, at most a buffer full; false when nothing was. */
bool observe_read(struct observation *o, const struct kiln_sandbox *s);

void observe_clear(struct observation *o);
