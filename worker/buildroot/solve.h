/* From requirements to a lock: repository metadata (repomd) through libsolv.
 *
 * Weak dependencies are off. The architecture policy is explicit (the toolchain's compatible arches), never
 * libsolv's own tables. Never decides on anything that is not in verified metadata. */
#pragma once

#include "toolchains/toolchain.h"
#include "worker/buildroot/lock.h"
#include "worker/buildroot/store.h"

struct kiln_pool; /* a toolchain's repositories, loaded */

/* Fetches and checks repomd.xml (signature where the toolchain asks for it) and primary/filelists as needed,
 * uses and writes the .solv cache by repomd digest. The pool keeps using c, s and t: they must outlive it. */
int kiln_pool_open(const struct kiln_context *c, struct kiln_store *s, const struct kiln_toolchain *t,
        struct kiln_pool **ret, struct kiln_error *err);
void kiln_pool_free(struct kiln_pool *p);
KILN_DEFINE_CLEANUP(struct kiln_pool *, kiln_pool_free)

struct kiln_solve {
        const char *const
                *requires; /* NULL-terminated dependency strings as rpm prints them: "gcc", "foo >= 1.2",
                              "pkgconfig(x)", "/usr/bin/y", "(a if b)"; on top of the toolchain's core */
        const char *const *conflicts; /* BuildConflicts, may be NULL */
        const char *wanted_by;        /* for explanations: the SRPM's NVR */
};

/* Solves core alone (base), then core + requires. Packages of the base keep their layer when the delta leaves
 * them alone; otherwise lock->full is set. An unsatisfiable set is BAD_INPUT whose cause says in a packager's
 * words what is missing, needed by whom, and what was available. SHA256HEADER and signer are still empty:
 * kiln_lock_fetch() fills them. */
int kiln_pool_solve(
        struct kiln_pool *p, const struct kiln_solve *q, struct kiln_lock **ret, struct kiln_error *err);

/* Would each of these freshly built packages (descriptors of RPM files; source packages are passed over)
 * install together with what the repositories and the others have? Two of them may conflict with one another:
 * each is solved for by itself. Returns 0 and *ret_problems = NULL-terminated lines (empty: all installable).
 */
int kiln_pool_installable(struct kiln_pool *p, const int *rpm_fds, const char *const *names, size_t n,
        char ***ret_problems, struct kiln_error *err);

/* Brings every package of the lock into the store, checks each against its repository's keys on the in-memory
 * keyring way (unsigned only where the definition says so), checks NEVRA and SHA256HEADER against the lock
 * where the lock has them and fills them where it has not. Facts about a file already checked under the same
 * keys are remembered by digest. pool may be NULL when the lock came from a file. */
int kiln_lock_fetch(const struct kiln_context *c, struct kiln_store *s, const struct kiln_toolchain *t,
        struct kiln_lock *lock, struct kiln_error *err);
