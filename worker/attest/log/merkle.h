/* Merkle trees of RFC 6962, section 2.1 (the same as RFC 9162's with SHA-256): hashing, proofs and their
 * checks. Knows neither where hashes are kept nor what is logged. */
#pragma once

#include "worker/base/digest.h"

/* Largest tree: sizes are int64 in the messages of Rekor, and every level fits into a tile path. */
#define KILN_MERKLE_SIZE_MAX ((uint64_t)INT64_MAX)
#define KILN_MERKLE_PROOF_MAX 128 /* hashes; a proof within the largest tree has fewer */

struct kiln_merkle_proof {
        struct kiln_digest hashes[KILN_MERKLE_PROOF_MAX]; /* from the leaf's side to the root's */
        size_t n;
};

struct kiln_digest kiln_merkle_leaf(const void *entry, size_t len);
struct kiln_digest kiln_merkle_node(const struct kiln_digest *left, const struct kiln_digest *right);
struct kiln_digest kiln_merkle_empty(void); /* the root of a tree without leaves */

/* Where hashes come from: that of the complete subtree over the leaves [index << level, (index + 1) <<
 * level). Returns 0 or negative errno. */
typedef int (*kiln_merkle_get)(void *ctx, unsigned level, uint64_t index, struct kiln_digest *ret);

/* The root of the first `size` leaves, and proofs about them: that a leaf (index < size) is among them, that
 * the first `old` (<= size) were a tree of their own before. Return 0 or what `get` returned. */
int kiln_merkle_root(kiln_merkle_get get, void *ctx, uint64_t size, struct kiln_digest *ret);
int kiln_merkle_inclusion(
        kiln_merkle_get get, void *ctx, uint64_t index, uint64_t size, struct kiln_merkle_proof *ret);
int kiln_merkle_consistency(
        kiln_merkle_get get, void *ctx, uint64_t old, uint64_t size, struct kiln_merkle_proof *ret);

/* Whether a proof holds (RFC 9162, sections 2.1.3.2 and 2.1.4.2). Any input is fine. */
bool kiln_merkle_includes(const struct kiln_digest *root, uint64_t size, const struct kiln_digest *leaf,
        uint64_t index, const struct kiln_merkle_proof *proof);
bool kiln_merkle_extends(const struct kiln_digest *root, uint64_t size, const struct kiln_digest *old_root,
        uint64_t old, const struct kiln_merkle_proof *proof);
