/* Merkle trees: the published roots, then every small tree against the recursive definition, proofs made and
 * checked, and every changed proof refused. */
#include "worker/attest/log/merkle.h"
#include "worker/base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define LEAVES 70

static struct kiln_digest leaves[LEAVES];

/* RFC 6962, section 2.1, word for word. */
static struct kiln_digest naive(uint64_t first, uint64_t n)
{
        struct kiln_digest left, right;
        uint64_t k = 1;

        if (n == 0)
                return kiln_digest_of("", 0);
        if (n == 1)
                return leaves[first];
        while (2 * k < n)
                k *= 2;
        left = naive(first, k);
        right = naive(first + k, n - k);
        return kiln_merkle_node(&left, &right);
}

static int get(void *ctx, unsigned level, uint64_t index, struct kiln_digest *ret)
{
        uint64_t size = *(uint64_t *)ctx, first = index << level, n = UINT64_C(1) << level;

        assert_true(first + n <= size);
        *ret = naive(first, n);
        return 0;
}

static int setup(void **state)
{
        for (size_t i = 0; i < LEAVES; i++) {
                unsigned char entry[] = {(unsigned char)i, 7};

                leaves[i] = kiln_merkle_leaf(entry, sizeof(entry));
        }
        return 0;
}

/* The tree that the test suites of Certificate Transparency's implementations share. */
static void test_published(void **state)
{
        static const struct {
                const char *bytes;
                size_t len;
                const char *root; /* of the tree up to this leaf */
        } known[] = {
                {"", 0, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
                {"\x00", 1, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"},
                {"\x10", 1, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"},
                {"\x20\x21", 2, "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"},
                {"\x30\x31", 2, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"},
                {"\x40\x41\x42\x43", 4, "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"},
                {"\x50\x51\x52\x53\x54\x55\x56\x57", 8,
                        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"},
                {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16,
                        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"},
        };

        for (uint64_t i = 0; i < KILN_ARRAY_SIZE(known); i++) {
                uint64_t size = i + 1;
                struct kiln_digest root;
                char hex[KILN_DIGEST_HEX + 1];

                leaves[i] = kiln_merkle_leaf(known[i].bytes, known[i].len);
                assert_int_equal(kiln_merkle_root(get, &size, size, &root), 0);
                kiln_digest_to_hex(&root, hex);
                assert_string_equal(hex, known[i].root);
        }
        setup(NULL);
}

static void test_roots(void **state)
{
        for (uint64_t size = 0; size <= LEAVES; size++) {
                struct kiln_digest root, expected = naive(0, size);

                assert_int_equal(kiln_merkle_root(get, &size, size, &root), 0);
                assert_memory_equal(&root, &expected, sizeof(root));
        }
}

/* No proof with a bit, a hash, an index or a size changed holds. */
static void spoil_inclusion(
        const struct kiln_digest *root, uint64_t size, uint64_t index, const struct kiln_merkle_proof *proof)
{
        struct kiln_merkle_proof bad = *proof;
        struct kiln_digest other = *root;

        other.bytes[31] ^= 1;
        assert_false(kiln_merkle_includes(&other, size, &leaves[index], index, proof));
        other = leaves[index];
        other.bytes[0] ^= 1;
        assert_false(kiln_merkle_includes(root, size, &other, index, proof));
        for (size_t i = 0; i < proof->n; i++) {
                bad.hashes[i].bytes[i % KILN_DIGEST_BYTES] ^= 0x80;
                assert_false(kiln_merkle_includes(root, size, &leaves[index], index, &bad));
                bad = *proof;
        }
        bad.n++;
        assert_false(kiln_merkle_includes(root, size, &leaves[index], index, &bad));
        bad.n = proof->n - 1;
        if (proof->n > 0)
                assert_false(kiln_merkle_includes(root, size, &leaves[index], index, &bad));
        for (uint64_t i = 0; i <= size; i++)
                if (i != index)
                        assert_false(kiln_merkle_includes(root, size, &leaves[index], i, proof));
}

static void test_inclusion(void **state)
{
        for (uint64_t size = 1; size <= LEAVES; size++) {
                struct kiln_digest root = naive(0, size);

                for (uint64_t index = 0; index < size; index++) {
                        struct kiln_merkle_proof proof;

                        assert_int_equal(kiln_merkle_inclusion(get, &size, index, size, &proof), 0);
                        assert_true(kiln_merkle_includes(&root, size, &leaves[index], index, &proof));
                        spoil_inclusion(&root, size, index, &proof);
                }
        }
}

static void test_consistency(void **state)
{
        for (uint64_t size = 0; size <= LEAVES; size++) {
                struct kiln_digest root = naive(0, size);

                for (uint64_t old = 0; old <= size; old++) {
                        struct kiln_digest before = naive(0, old), other = before;
                        struct kiln_merkle_proof proof, bad;

                        assert_int_equal(kiln_merkle_consistency(get, &size, old, size, &proof), 0);
                        assert_true(kiln_merkle_extends(&root, size, &before, old, &proof));
                        other.bytes[3] ^= 4;
                        assert_false(kiln_merkle_extends(&root, size, &other, old, &proof));
                        other = root;
                        other.bytes[3] ^= 4;
                        assert_false(old > 0 && kiln_merkle_extends(&other, size, &before, old, &proof));
                        bad = proof;
                        for (size_t i = 0; i < proof.n; i++) {
                                bad.hashes[i].bytes[9] ^= 1;
                                assert_false(kiln_merkle_extends(&root, size, &before, old, &bad));
                                bad = proof;
                        }
                        bad.n++;
                        assert_false(kiln_merkle_extends(&root, size, &before, old, &bad));
                        assert_false(old > 0 && old != size &&
                                     kiln_merkle_extends(&root, size, &before, old - 1, &proof));
                }
        }
}

/* Sizes that no tree in a test has: nothing overflows, nothing holds. */
static void test_large(void **state)
{
        struct kiln_merkle_proof proof = {.n = KILN_MERKLE_PROOF_MAX};

        assert_false(kiln_merkle_includes(&leaves[0], UINT64_MAX, &leaves[1], UINT64_MAX - 1, &proof));
        assert_false(kiln_merkle_includes(&leaves[0], 0, &leaves[1], 0, &proof));
        assert_false(kiln_merkle_extends(&leaves[0], UINT64_MAX, &leaves[1], UINT64_MAX - 1, &proof));
        assert_false(kiln_merkle_extends(&leaves[0], UINT64_MAX, &leaves[1], 1, &proof));
        assert_false(kiln_merkle_extends(&leaves[0], 1, &leaves[1], 2, &proof));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_published),
                cmocka_unit_test(test_roots),
                cmocka_unit_test(test_inclusion),
                cmocka_unit_test(test_consistency),
                cmocka_unit_test(test_large),
        };

        return cmocka_run_group_tests(tests, setup, NULL);
}
