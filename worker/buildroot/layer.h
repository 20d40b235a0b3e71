/* Layers: build roots on disk, each named by what it is made of, shared read-only by any number of builds.
 *
 * A layer is installed inside the sandbox by the target's own rpm, run from the layers below. Below a base
 * that is the closure that can run rpm, unpacked by a helper in the sandbox and thrown away afterwards. No
 * payload is parsed and no scriptlet runs outside. A finished layer is synced and renamed into place; it is
 * never written again. Two processes that make the same layer at once both succeed, one of them in vain.
 * Layers belong to one host user.
 *
 * Below <cache>/layers: <key>/root (the tree, owned by mapped ids), <key>/lease (flock: shared while in use;
 * how many entries the tree has), .new-… (being made, its lease held exclusively; without a holder it is
 * rubbish). */
#pragma once

#include "sandbox/sandbox.h"
#include "toolchains/toolchain.h"
#include "worker/buildroot/lock.h"
#include "worker/buildroot/store.h"

#define KILN_ROOT_LAYERS_MAX 2

struct kiln_root {
        int lower_fds[KILN_ROOT_LAYERS_MAX]; /* topmost first, for kiln_sandbox.lower_fds */
        int lease_fds[KILN_ROOT_LAYERS_MAX];
        size_t n_layers;
        char key[KILN_DIGEST_HEX + 1]; /* of the topmost */
        char keys[KILN_ROOT_LAYERS_MAX][KILN_DIGEST_HEX + 1];
        bool cached; /* nothing had to be installed */
};
void kiln_root_init(struct kiln_root *r);
void kiln_root_close(struct kiln_root *r); /* gives up the leases */
#define _cleanup_root_ _cleanup_(kiln_root_close)

/* Where the output of installations goes: root.log. */
struct kiln_root_log {
        void (*write)(void *ctx, const void *data, size_t len);
        void *ctx;
};

/* Finds or makes the layers of a lock whose packages are all in the store (kiln_lock_fetch()). Every package
 * file is hashed again before it is installed. Errors: BAD_INPUT (a scriptlet or a file conflict: the
 * repository's fault), REFUSED (the sandbox), INFRA, CANCELLED. *ret must be initialised. */
int kiln_root_open(const struct kiln_context *c, struct kiln_store *s, const struct kiln_toolchain *t,
        const struct kiln_lock *lock, const struct kiln_idmap *map, const struct kiln_root_log *log,
        struct kiln_root *ret, struct kiln_error *err);

/* At the end of a build: whether the layers still hold all that they were finished with. -ESTALE (verdict
 * INFRA) when somebody removed a part meanwhile: what was built is not to be believed, success or failure.
 * The layer is put aside, so that the next build makes it again. */
int kiln_root_check(const struct kiln_context *c, const struct kiln_root *r, const struct kiln_idmap *map,
        struct kiln_error *err);

/* A lock of the base alone: what a spec is parsed in before its BuildRequires are known. */
struct kiln_lock *kiln_lock_base(const struct kiln_lock *l);

/* The sandbox's error as one of ours. */
int kiln_error_from_sandbox(
        struct kiln_error *err, const struct kiln_sandbox_error *e, const char *doing, const char *subject);

struct kiln_layers_stat {
        uint64_t layers, bytes;
};
int kiln_layers_stat(const struct kiln_context *c, struct kiln_layers_stat *ret, struct kiln_error *err);

/* Removes what nobody holds: rubbish always, then least recently used layers until at most quota_bytes
 * remain. *ret_left_bytes: of what remains. */
int kiln_layers_collect(const struct kiln_context *c, uint64_t quota_bytes, uint64_t *ret_freed_bytes,
        uint64_t *ret_left_bytes, struct kiln_error *err);
