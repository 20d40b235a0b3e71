/* Which package of a lock owns a file of the root, satisfies a requirement, and is there for whom: what the
 * packages' headers say, read again from the store. */
#pragma once

#include "worker/buildroot/lock.h"
#include "worker/buildroot/store.h"

struct kiln_owners;

#define KILN_NO_OWNER SIZE_MAX

/* Reads every package of the lock from the store; indices below are into lock->packages. INFRA when one is
 * not there or cannot be read. */
int kiln_owners_open(const struct kiln_context *c, struct kiln_store *s, const struct kiln_lock *lock,
        struct kiln_owners **ret, struct kiln_error *err);
void kiln_owners_free(struct kiln_owners *o);
KILN_DEFINE_CLEANUP(struct kiln_owners *, kiln_owners_free)

/* The package that owns an absolute path, links in its directories resolved; KILN_NO_OWNER. */
size_t kiln_owners_of(const struct kiln_owners *o, const char *path);

/* Sets by[i] for each package with a link that leads to this file: who opened it may have come that way,
 * which the kernel does not tell. */
void kiln_owners_link(const struct kiln_owners *o, const char *path, bool *by);

/* Sets by[i] for each package that provides the requirement ("name", "name >= 1", "/a/path"; versions are not
 * looked at: the solver did). Returns how many do. */
size_t kiln_owners_provide(const struct kiln_owners *o, const char *requirement, bool *by);

/* Sets reached[i] for every package that is in `from`, or needed by one that is reached. `from` may be
 * `reached`. */
void kiln_owners_reach(const struct kiln_owners *o, const bool *from, bool *reached);
