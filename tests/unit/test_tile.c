/* Tiles: paths and widths as specified, and trees grown leaf by leaf whose tiles give the same roots and
 * proofs as the leaves themselves. */
#include "worker/attest/log/tile.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define LEAVES 66000 /* three levels of tiles */

struct kept {
        struct kiln_tile tile;
        struct kiln_digest *hashes;
};

struct fixture {
        struct kept *kept;
        size_t n_kept;
        struct kiln_digest *leaves;
        struct kiln_edge edge;
};

static int keep(void *ctx, const struct kiln_tile *t, const struct kiln_digest *hashes)
{
        struct fixture *f = ctx;

        *KILN_APPEND(f->kept, f->n_kept) = (struct kept){*t, kiln_memdup(hashes, t->width * sizeof(*hashes))};
        return 0;
}

static int fetch(void *ctx, const struct kiln_tile *t, struct kiln_buf *out)
{
        struct fixture *f = ctx;

        for (size_t i = 0; i < f->n_kept; i++)
                if (f->kept[i].tile.level == t->level && f->kept[i].tile.index == t->index &&
                        f->kept[i].tile.width == t->width) {
                        kiln_buf_append(out, f->kept[i].hashes, t->width * sizeof(struct kiln_digest));
                        return 0;
                }
        return -ENOENT;
}

static int from_leaves(void *ctx, unsigned level, uint64_t index, struct kiln_digest *ret)
{
        struct fixture *f = ctx;
        struct kiln_digest left, right;

        if (level == 0) {
                *ret = f->leaves[index];
                return 0;
        }
        from_leaves(f, level - 1, 2 * index, &left);
        from_leaves(f, level - 1, 2 * index + 1, &right);
        *ret = kiln_merkle_node(&left, &right);
        return 0;
}

static int setup(void **state)
{
        struct fixture *f = kiln_calloc(1, sizeof(*f));

        f->leaves = kiln_calloc(LEAVES, sizeof(*f->leaves));
        for (uint32_t i = 0; i < LEAVES; i++)
                f->leaves[i] = kiln_merkle_leaf(&i, sizeof(i));
        f->edge.each = keep;
        f->edge.ctx = f;
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        for (size_t i = 0; i < f->n_kept; i++)
                free(f->kept[i].hashes);
        free(f->kept);
        free(f->leaves);
        free(f);
        return 0;
}

static void test_paths(void **state)
{
        static const struct {
                struct kiln_tile tile;
                const char *path;
        } cases[] = {
                {{0, 0, 256}, "tile/0/000"},
                {{1, 999, 1}, "tile/1/999.p/1"},
                {{0, 1000, 256}, "tile/0/x001/000"},
                {{2, 1234067, 255}, "tile/2/x001/x234/067.p/255"},
                {{KILN_TILE_ENTRIES, 7, 256}, "tile/entries/007"},
                {{KILN_TILE_ENTRIES, 7, 17}, "tile/entries/007.p/17"},
                {{0, UINT64_MAX, 256}, "tile/0/x018/x446/x744/x073/x709/x551/615"},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *path = kiln_tile_path(&cases[i].tile);

                assert_string_equal(path, cases[i].path);
        }
}

/* The example of the specification: 70,000 entries. */
static void test_widths(void **state)
{
        assert_int_equal(kiln_tile_width(0, 272, 70000), 256);
        assert_int_equal(kiln_tile_width(0, 273, 70000), 112);
        assert_int_equal(kiln_tile_width(KILN_TILE_ENTRIES, 273, 70000), 112);
        assert_int_equal(kiln_tile_width(0, 274, 70000), 0);
        assert_int_equal(kiln_tile_width(1, 0, 70000), 256);
        assert_int_equal(kiln_tile_width(1, 1, 70000), 17);
        assert_int_equal(kiln_tile_width(2, 0, 70000), 1);
        assert_int_equal(kiln_tile_width(3, 0, 70000), 0);
        assert_int_equal(kiln_tile_width(0, 0, 256), 256);
        assert_int_equal(kiln_tile_width(1, 0, 256), 1);
        assert_int_equal(kiln_tile_width(0, UINT64_MAX, UINT64_MAX), 0);
}

static bool is_told(uint64_t size)
{
        static const uint64_t sizes[] = {0, 1, 2, 255, 256, 257, 511, 512, 1000, 65535, 65536, 65537, LEAVES};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(sizes); i++)
                if (sizes[i] == size)
                        return true;
        return false;
}

/* Against the leaves: the root, some inclusion proofs and some consistency proofs. */
static void check_tree(struct fixture *f, uint64_t size)
{
        struct kiln_tree tree = {.fetch = fetch, .ctx = f, .size = size};
        struct kiln_digest expected, root, before;
        struct kiln_edge again = {0};

        assert_int_equal(kiln_merkle_root(from_leaves, f, size, &expected), 0);
        root = kiln_edge_root(&f->edge);
        assert_memory_equal(&root, &expected, sizeof(root));
        assert_int_equal(kiln_merkle_root(kiln_tree_get, &tree, size, &root), 0);
        assert_memory_equal(&root, &expected, sizeof(root));
        assert_int_equal(kiln_edge_read(&again, &tree), 0);
        root = kiln_edge_root(&again);
        assert_memory_equal(&root, &expected, sizeof(root));
        for (uint64_t index = 0; index < size; index += 1 + size / 7) {
                struct kiln_merkle_proof proof;

                assert_int_equal(kiln_merkle_inclusion(kiln_tree_get, &tree, index, size, &proof), 0);
                assert_true(kiln_merkle_includes(&root, size, &f->leaves[index], index, &proof));
                assert_int_equal(kiln_merkle_consistency(kiln_tree_get, &tree, index, size, &proof), 0);
                kiln_merkle_root(from_leaves, f, index, &before);
                assert_true(kiln_merkle_extends(&root, size, &before, index, &proof));
        }
        kiln_tree_clear(&tree);
}

static void test_growing(void **state)
{
        struct fixture *f = *state;

        for (uint64_t size = 0; size <= LEAVES; size++) {
                if (size > 0)
                        assert_int_equal(kiln_edge_add(&f->edge, &f->leaves[size - 1]), 0);
                if (is_told(size)) {
                        assert_int_equal(kiln_edge_flush(&f->edge), 0);
                        check_tree(f, size);
                }
        }
}

/* A tile that is missing, or shorter than the size says. */
static void test_damaged(void **state)
{
        struct fixture *f = *state;
        struct kiln_tree tree = {.fetch = fetch, .ctx = f, .size = 12345};
        struct kiln_edge e = {0};

        assert_int_equal(kiln_edge_read(&e, &tree), -ENOENT); /* no checkpoint had this size */
        kiln_tree_clear(&tree);
}

static int fetch_short(void *ctx, const struct kiln_tile *t, struct kiln_buf *out)
{
        kiln_buf_puts(out, "short");
        return 0;
}

static void test_short(void **state)
{
        struct kiln_tree tree = {.fetch = fetch_short, .size = 3};
        struct kiln_digest d;

        assert_int_equal(kiln_tree_get(&tree, 0, 0, &d), -EBADMSG);
        tree.size = 0;
        assert_int_equal(kiln_tree_get(&tree, 0, 0, &d), -EBADMSG);
        kiln_tree_clear(&tree);
}

static void test_entries(void **state)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
        _cleanup_free_ char *large = kiln_calloc(1, KILN_LOG_ENTRY_MAX);
        const char *entry;
        size_t at = 0, len;

        kiln_entries_add(&b, "one", 3);
        kiln_entries_add(&b, "", 0);
        kiln_entries_add(&b, large, KILN_LOG_ENTRY_MAX);
        assert_int_equal(kiln_entries_next(&b, &at, &entry, &len), 0);
        assert_int_equal(len, 3);
        assert_memory_equal(entry, "one", 3);
        assert_int_equal(kiln_entries_next(&b, &at, &entry, &len), 0);
        assert_int_equal(len, 0);
        assert_int_equal(kiln_entries_next(&b, &at, &entry, &len), 0);
        assert_int_equal(len, KILN_LOG_ENTRY_MAX);
        assert_int_equal(kiln_entries_next(&b, &at, &entry, &len), 1);
        b.len--;
        at = 7;
        assert_int_equal(kiln_entries_next(&b, &at, &entry, &len), -EBADMSG);
        b.len = 8;
        assert_int_equal(kiln_entries_next(&b, &at, &entry, &len), -EBADMSG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_paths),
                cmocka_unit_test(test_widths),
                cmocka_unit_test(test_growing),
                cmocka_unit_test(test_damaged),
                cmocka_unit_test(test_short),
                cmocka_unit_test(test_entries),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
