/* What a program does with files: inotify(7) watches on directories of the prepared root.
 *
 * Needs no privilege and asks nothing of the program, whose calls it neither delays nor sees. PID 1 sets the
 * watches before anything hostile runs (observe-walk.c); the caller reads what the kernel tells (observe.c).
 * Seen: files that are opened, mapped (they are opened first) or executed. Not seen: who did it, stat(2),
 * access(2), readlink(2), O_PATH, directories that are listed, and files in directories made later. A file is
 * reported under the directory it was opened through, links resolved: where the program may write, it can
 * hide an open by giving the file another name first. Private to the room. */
#pragma once

#include "sandbox/setup.h"

#include <stdbool.h>

/* The list that crosses from PID 1 to the caller: for each watch its descriptor and directory,
 * "12 /usr/bin\0", for each file of a KILN_WATCH_TREE "+ /path\0", and "! /path\0" when that was cut. */
#define OBSERVE_LIST_BYTES_MAX ((size_t)64 << 20)

/* Of all KILN_WATCH_TREEs of a run together: a hostile one must exhaust neither memory nor the user's
 * watches, and the rest of the list fits as well. */
#define OBSERVE_TREE_BYTES_MAX (OBSERVE_LIST_BYTES_MAX / 2)
#define OBSERVE_TREE_FILES_MAX ((size_t)1 << 19)
#define OBSERVE_TREE_DIRS_MAX ((size_t)1 << 16)
#define OBSERVE_DEPTH_MAX 100 /* a descriptor each */

struct observation {
        int fd;       /* inotify; -1: nothing is observed */
        char *text;   /* the list that PID 1 sent */
        char **paths; /* directories by watch descriptor, in text; NULL: no such watch */
        size_t n_paths;
        bool lost; /* the kernel's queue overflowed */
};

/* PID 1, in the new root: watches s->observe and hands over the descriptor. */
int observe_start(struct setup *u);

/* The caller: takes over what PID 1 sent, and passes on which files are there. 0 or negative errno; the
 * descriptors are taken on success. */
int observe_take(struct observation *o, const struct kiln_sandbox *s, int inotify_fd, int list_fd);

/* Passes on what is there now, at most a buffer full; false when nothing was. */
bool observe_read(struct observation *o, const struct kiln_sandbox *s);

void observe_clear(struct observation *o);
