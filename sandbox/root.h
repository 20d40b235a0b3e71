/* The root the program sees. Private to the room. */
#pragma once

#include "sandbox/setup.h"

/* What was opened in this mount namespace while the process still had its own outside identity. */
struct root_sources {
        int lowers[64];
        int upper;
        int work;
        int mounts[64];
        int sys; /* the host's, only with the host's network */
};
#define ROOT_LOWERS_MAX 64
#define ROOT_MOUNTS_MAX 64

void root_sources_init(struct root_sources *r);

/* Reopens all directories and files of the run in this mount namespace, as detached trees or (layers)
 * directories. */
int root_sources_open(struct setup *u, struct root_sources *r);

/* As id 0 of the first user namespace: makes the root with all its mounts, and pivots into it. Afterwards the
 * host's tree is gone from this mount namespace. Sets u->proc_fd. */
int root_enter(struct setup *u, struct root_sources *r);
