#include "worker/attest/log/tile.h"

#include "worker/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

char *kiln_tile_path(const struct kiln_tile *t)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
        char groups[8][8]; /* 3 digits each: enough for 2^63 */
        uint64_t rest = t->index;
        size_t n = 0;

        do {
                snprintf(groups[n++], sizeof(groups[0]), "%03u", (unsigned)(rest % 1000));
                rest /= 1000;
        } while (rest > 0);
        if (t->level == KILN_TILE_ENTRIES)
                kiln_buf_puts(&b, "tile/entries");
        else
                kiln_buf_printf(&b, "tile/%d", t->level);
        while (n > 0) {
                n--;
                kiln_buf_printf(&b, "/%s%s", n > 0 ? "x" : "", groups[n]);
        }
        if (t->width < KILN_TILE_WIDTH)
                kiln_buf_printf(&b, ".p/%u", t->width);
        return kiln_buf_take(&b);
}

unsigned kiln_tile_width(int level, uint64_t index, uint64_t size)
{
        uint64_t hashes = size >> (level == KILN_TILE_ENTRIES ? 0 : level * KILN_TILE_HEIGHT);
        uint64_t before;

        if (__builtin_mul_overflow(index, (uint64_t)KILN_TILE_WIDTH, &before) || before >= hashes)
                return 0;
        return hashes - before < KILN_TILE_WIDTH ? (unsigned)(hashes - before) : KILN_TILE_WIDTH;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static int tree_tile(struct kiln_tree *t, int level, uint64_t index, const struct kiln_tree_tile **ret)
{
        _cleanup_buf_ struct kiln_buf bytes = KILN_BUF_INIT;
        struct kiln_tile tile = {level, index, kiln_tile_width(level, index, t->size)};
        struct kiln_tree_tile *new;
        int r;

        for (size_t i = 0; i < t->n_tiles; i++)
                if (t->tiles[i].tile.level == level && t->tiles[i].tile.index == index) {
                        *ret = &t->tiles[i];
                        return 0;
                }
        if (tile.width == 0)
                return -EBADMSG;
        r = t->fetch(t->ctx, &tile, &bytes);
        if (r < 0)
                return r;
        if (bytes.len != (size_t)tile.width * KILN_DIGEST_BYTES)
                return -EBADMSG;
        new = KILN_APPEND(t->tiles, t->n_tiles);
        new->tile = tile;
        new->hashes = (struct kiln_digest *)kiln_buf_take(&bytes); /* bytes only: no alignment */
        *ret = new;
        return 0;
}

int kiln_tree_get(void *tree, unsigned level, uint64_t index, struct kiln_digest *ret)
{
        unsigned up = level % KILN_TILE_HEIGHT, n = 1U << up;
        uint64_t first = index << up;
        struct kiln_digest hashes[KILN_TILE_WIDTH / 2];
        const struct kiln_tree_tile *t;
        unsigned at;
        int r = tree_tile(tree, (int)(level / KILN_TILE_HEIGHT), first / KILN_TILE_WIDTH, &t);

        if (r < 0)
                return r;
        at = (unsigned)(first % KILN_TILE_WIDTH);
        if (at + n > t->tile.width)
                return -EBADMSG;
        memcpy(hashes, t->hashes + at, n * sizeof(*hashes));
        for (; n > 1; n /= 2)
                for (unsigned i = 0; i < n / 2; i++)
                        hashes[i] = kiln_merkle_node(&hashes[2 * i], &hashes[2 * i + 1]);
        *ret = hashes[0];
        return 0;
}

void kiln_tree_clear(struct kiln_tree *t)
{
        for (size_t i = 0; i < t->n_tiles; i++)
                free(t->tiles[i].hashes);
        free(t->tiles);
        t->tiles = NULL;
        t->n_tiles = 0;
}

/* ---- growing ----------------------------------------------------------------------------------------- */

/* Index of a level's last tile; no tree is wider than one tile of the top level. */
static uint64_t edge_index(const struct kiln_edge *e, int level)
{
        return level + 1 < KILN_TILE_LEVELS ? e->size >> (level + 1) * KILN_TILE_HEIGHT : 0;
}

/* Hashes of a level's partial tile. */
static unsigned edge_width(const struct kiln_edge *e, int level)
{
        return (unsigned)(e->size >> level * KILN_TILE_HEIGHT) % KILN_TILE_WIDTH;
}

int kiln_edge_read(struct kiln_edge *e, struct kiln_tree *tree)
{
        e->size = tree->size;
        for (int level = 0; level < KILN_TILE_LEVELS; level++) {
                unsigned width = edge_width(e, level);
                const struct kiln_tree_tile *t;
                int r;

                if (width == 0)
                        continue;
                r = tree_tile(tree, level, edge_index(e, level), &t);
                if (r < 0)
                        return r;
                memcpy(e->hashes[level], t->hashes, width * sizeof(*t->hashes));
        }
        return 0;
}

/* The hash over a full tile. */
static struct kiln_digest tile_root(const struct kiln_digest *hashes)
{
        struct kiln_digest h[KILN_TILE_WIDTH];

        memcpy(h, hashes, sizeof(h));
        for (unsigned n = KILN_TILE_WIDTH; n > 1; n /= 2)
                for (unsigned i = 0; i < n / 2; i++)
                        h[i] = kiln_merkle_node(&h[2 * i], &h[2 * i + 1]);
        return h[0];
}

int kiln_edge_add(struct kiln_edge *e, const struct kiln_digest *leaf)
{
        struct kiln_digest hash = *leaf;
        uint64_t size = e->size + 1;

        if (e->size >= KILN_MERKLE_SIZE_MAX)
                return -EFBIG;
        for (int level = 0;; level++) {
                struct kiln_tile t = {level, edge_index(e, level), KILN_TILE_WIDTH};
                unsigned width = edge_width(e, level);
                int r;

                e->hashes[level][width] = hash;
                if (width + 1 < KILN_TILE_WIDTH || level + 1 == KILN_TILE_LEVELS)
                        break;
                r = e->each ? e->each(e->ctx, &t, e->hashes[level]) : 0;
                if (r < 0)
                        return r;
                hash = tile_root(e->hashes[level]);
        }
        e->size = size;
        return 0;
}

int kiln_edge_flush(struct kiln_edge *e)
{
        for (int level = 0; level < KILN_TILE_LEVELS; level++) {
                struct kiln_tile t = {level, edge_index(e, level), edge_width(e, level)};
                int r = t.width > 0 && e->each ? e->each(e->ctx, &t, e->hashes[level]) : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

static int edge_get(void *edge, unsigned level, uint64_t index, struct kiln_digest *ret)
{
        struct kiln_edge *e = edge;
        unsigned up = level % KILN_TILE_HEIGHT, n = 1U << up;
        struct kiln_digest hashes[KILN_TILE_WIDTH / 2];

        memcpy(hashes, e->hashes[level / KILN_TILE_HEIGHT] + (index << up) % KILN_TILE_WIDTH,
                n * sizeof(*hashes));
        for (; n > 1; n /= 2)
                for (unsigned i = 0; i < n / 2; i++)
                        hashes[i] = kiln_merkle_node(&hashes[2 * i], &hashes[2 * i + 1]);
        *ret = hashes[0];
        return 0;
}

struct kiln_digest kiln_edge_root(struct kiln_edge *e)
{
        struct kiln_digest root;

        /* A root is made of the complete subtrees that the size's binary digits name: all are on the edge. */
        kiln_merkle_root(edge_get, e, e->size, &root);
        return root;
}

/* ---- entries ----------------------------------------------------------------------------------------- */

int kiln_entries_next(const struct kiln_buf *bundle, size_t *at, const char **ret, size_t *ret_len)
{
        const unsigned char *p = (const unsigned char *)bundle->data + *at;
        size_t left = bundle->len - *at, len;

        if (left == 0)
                return 1;
        len = left >= 2 ? (size_t)p[0] << 8 | p[1] : SIZE_MAX;
        if (left < 2 || left - 2 < len)
                return -EBADMSG;
        *ret = (const char *)p + 2;
        *ret_len = len;
        *at += 2 + len;
        return 0;
}

void kiln_entries_add(struct kiln_buf *bundle, const void *entry, size_t len)
{
        kiln_buf_putc(bundle, (char)(len >> 8));
        kiln_buf_putc(bundle, (char)len);
        kiln_buf_append(bundle, entry, len);
}
