/* What the runs of one build opened: of the root, of its sources, of the tree that %prep unpacked. Not for
 * other rooms (they use build.h).
 *
 * The kernel does not tell who opened a file, and rpmbuild itself reads every source for the source package,
 * in between and after the sections. So what is opened there does not count for a source: only what happens
 * while a section's script exists (rpmbuild makes rpm-tmp.XXXXXX, runs it and removes it), and all that
 * happens in the run of %prep, which makes no source package but parses the spec. */
#pragma once

#include "sandbox/sandbox.h"

#include <stdbool.h>
#include <stddef.h>

struct opened {     /* a set of paths */
        void *tree; /* tsearch(3) */
        size_t n;
        bool lost; /* there were more */
};

void opened_add(struct opened *o, const char *path);
char **opened_list(const struct opened *o); /* sorted, NULL-terminated; the caller's */
void opened_clear(struct opened *o);

struct present {    /* files that were there beforehand */
        void *tree; /* tsearch(3) */
        size_t n;
        bool listed; /* no more are taken */
        bool lost;   /* there were more, or more of them were opened */
};

enum observed_run {
        OBSERVED_PREP = 0, /* what is unpacked now is no input */
        OBSERVED_BUILD,    /* sections, with the tree that %prep left */
};

struct observed {
        struct opened root;
        struct present sources, tree; /* by their paths below SOURCES and BUILD */
        enum observed_run run;
        char script[32]; /* the section's that runs; "" in between */
        bool scripts;    /* there was one in some run */
};

#define OBSERVED_WATCHES 4
/* What such a run is watched with; returns how many of them. */
size_t observed_watches(enum observed_run run, struct kiln_sandbox_watch watches[OBSERVED_WATCHES]);

/* One run: its beginning, what the sandbox tells of it, its end. `lost`: more happened than was told. */
void observed_begin(struct observed *o, enum observed_run run);
void observed_event(struct observed *o, enum kiln_sandbox_seen what, const char *path);
void observed_end(struct observed *o, bool lost);
void observed_clear(struct observed *o);

/* Sorted by path; the paths are p's. */
struct kiln_build_file *present_list(const struct present *p);
