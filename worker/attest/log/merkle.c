#include "worker/attest/log/merkle.h"

#define LEVELS 64

static struct kiln_digest hash_of(unsigned char prefix, const void *a, size_t n, const void *b, size_t m)
{
        _cleanup_hasher_ struct kiln_hasher *h = kiln_hasher_new();

        kiln_hasher_update(h, &prefix, 1);
        kiln_hasher_update(h, a, n);
        kiln_hasher_update(h, b, m);
        return kiln_hasher_finish(h);
}

struct kiln_digest kiln_merkle_leaf(const void *entry, size_t len)
{
        return hash_of(0, entry, len, "", 0);
}

struct kiln_digest kiln_merkle_node(const struct kiln_digest *left, const struct kiln_digest *right)
{
        return hash_of(1, left->bytes, KILN_DIGEST_BYTES, right->bytes, KILN_DIGEST_BYTES);
}

struct kiln_digest kiln_merkle_empty(void)
{
        return kiln_digest_of("", 0);
}

/* The exponent of the largest power of two that is not above n. */
static unsigned log2_of(uint64_t n)
{
        return 63 - (unsigned)__builtin_clzll(n);
}

/* The root over leaves [first, end), not empty. `first` is where a split of RFC 6962 leaves it: a multiple of
 * every power of two that fits into what is left, so all pieces but the last are complete subtrees. */
static int range_hash(kiln_merkle_get get, void *ctx, uint64_t first, uint64_t end, struct kiln_digest *ret)
{
        struct kiln_digest pieces[LEVELS];
        size_t n = 0;

        while (first < end) {
                unsigned level = log2_of(end - first);
                int r = get(ctx, level, first >> level, &pieces[n]);

                if (r < 0)
                        return r;
                n++;
                first += UINT64_C(1) << level;
        }
        *ret = pieces[--n];
        while (n > 0)
                *ret = kiln_merkle_node(&pieces[--n], ret);
        return 0;
}

int kiln_merkle_root(kiln_merkle_get get, void *ctx, uint64_t size, struct kiln_digest *ret)
{
        if (size == 0) {
                *ret = kiln_merkle_empty();
                return 0;
        }
        return range_hash(get, ctx, 0, size, ret);
}

/* Where RFC 6962 splits [first, end): behind the largest power of two of leaves that is smaller than all. */
static uint64_t split_of(uint64_t first, uint64_t end)
{
        return first + (UINT64_C(1) << log2_of(end - first - 1));
}

/* Proofs are found from the root down and told from the leaf up. */
static void reverse(struct kiln_merkle_proof *p)
{
        for (size_t i = 0; i < p->n / 2; i++) {
                struct kiln_digest d = p->hashes[i];

                p->hashes[i] = p->hashes[p->n - 1 - i];
                p->hashes[p->n - 1 - i] = d;
        }
}

int kiln_merkle_inclusion(
        kiln_merkle_get get, void *ctx, uint64_t index, uint64_t size, struct kiln_merkle_proof *ret)
{
        uint64_t first = 0, end = size;

        ret->n = 0;
        while (end - first > 1) {
                uint64_t split = split_of(first, end);
                bool left = index < split;
                int r = left ? range_hash(get, ctx, split, end, &ret->hashes[ret->n])
                             : range_hash(get, ctx, first, split, &ret->hashes[ret->n]);

                if (r < 0)
                        return r;
                ret->n++;
                if (left)
                        end = split;
                else
                        first = split;
        }
        reverse(ret);
        return 0;
}

int kiln_merkle_consistency(
        kiln_merkle_get get, void *ctx, uint64_t old, uint64_t size, struct kiln_merkle_proof *ret)
{
        uint64_t first = 0, end = size;
        int r = 0;

        ret->n = 0;
        if (old == 0 || old == size)
                return 0;
        while (r == 0 && end != old) {
                uint64_t split = split_of(first, end);
                bool left = old <= split;

                r = left ? range_hash(get, ctx, split, end, &ret->hashes[ret->n])
                         : range_hash(get, ctx, first, split, &ret->hashes[ret->n]);
                ret->n++;
                if (left)
                        end = split;
                else
                        first = split;
        }
        /* The old tree as a whole is the one hash that who checks has already. */
        if (r == 0 && first > 0)
                r = range_hash(get, ctx, first, end, &ret->hashes[ret->n++]);
        if (r < 0)
                return r;
        reverse(ret);
        return 0;
}

bool kiln_merkle_includes(const struct kiln_digest *root, uint64_t size, const struct kiln_digest *leaf,
        uint64_t index, const struct kiln_merkle_proof *proof)
{
        struct kiln_digest hash = *leaf;
        uint64_t at = index, last = size - 1;

        if (index >= size)
                return false;
        for (size_t i = 0; i < proof->n; i++) {
                if (last == 0)
                        return false;
                if (at & 1 || at == last) {
                        hash = kiln_merkle_node(&proof->hashes[i], &hash);
                        while (!(at & 1) && at != 0) {
                                at >>= 1;
                                last >>= 1;
                        }
                } else {
                        hash = kiln_merkle_node(&hash, &proof->hashes[i]);
                }
                at >>= 1;
                last >>= 1;
        }
        return last == 0 && kiln_digest_equal(&hash, root);
}

bool kiln_merkle_extends(const struct kiln_digest *root, uint64_t size, const struct kiln_digest *old_root,
        uint64_t old, const struct kiln_merkle_proof *proof)
{
        struct kiln_digest now, before;
        struct kiln_digest empty = kiln_merkle_empty();
        uint64_t at = old - 1, last = size - 1;
        size_t i = 0;

        if (old > size)
                return false;
        if (old == 0)
                return proof->n == 0 && kiln_digest_equal(old_root, &empty);
        if (old == size)
                return proof->n == 0 && kiln_digest_equal(old_root, root);
        if (proof->n == 0)
                return false;
        while (at & 1) {
                at >>= 1;
                last >>= 1;
        }
        /* A power of two of leaves is a complete subtree of the new tree: the proof begins behind it. */
        now = before = at == 0 ? *old_root : proof->hashes[i++];
        for (; i < proof->n; i++) {
                if (last == 0)
                        return false;
                if (at & 1 || at == last) {
                        before = kiln_merkle_node(&proof->hashes[i], &before);
                        now = kiln_merkle_node(&proof->hashes[i], &now);
                        while (!(at & 1) && at != 0) {
                                at >>= 1;
                                last >>= 1;
                        }
                } else {
                        now = kiln_merkle_node(&now, &proof->hashes[i]);
                }
                at >>= 1;
                last >>= 1;
        }
        return last == 0 && kiln_digest_equal(&before, old_root) && kiln_digest_equal(&now, root);
}
