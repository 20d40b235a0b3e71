/* Tiles of a log (c2sp.org/tlog-tiles): how a tree's hashes and entries are cut into files, and trees read
 * from or grown into them. Knows no store: bytes come and go through callbacks, and none that come are
 * trusted before a root has vouched for them. */
#pragma once

#include "worker/attest/log/merkle.h"
#include "worker/base/buf.h"

#define KILN_TILE_WIDTH 256 /* hashes or entries of a full tile */
#define KILN_TILE_HEIGHT                                                                                     \
        8 /* levels of the tree between a tile's hashes and those of the next level's tiles */
#define KILN_TILE_LEVELS 8
#define KILN_TILE_BYTES ((size_t)KILN_TILE_WIDTH * KILN_DIGEST_BYTES)

#define KILN_LOG_ENTRY_MAX 65535 /* bytes: lengths have 16 bits */
#define KILN_ENTRIES_BYTES_MAX ((size_t)KILN_TILE_WIDTH * (2 + KILN_LOG_ENTRY_MAX))

#define KILN_TILE_ENTRIES (-1) /* in place of a level: the bundle of entries below a tile of level 0 */

struct kiln_tile {
        int level;      /* or KILN_TILE_ENTRIES */
        uint64_t index; /* within the level */
        unsigned width; /* 1 to KILN_TILE_WIDTH */
};

/* "tile/0/x001/234", "tile/entries/000.p/17"; the caller's. */
char *kiln_tile_path(const struct kiln_tile *t);

/* How wide a tile is in a tree of this size; 0: it has none. */
unsigned kiln_tile_width(int level, uint64_t index, uint64_t size);

/* Appends a tile's bytes (as the store has them) behind what *out holds. Returns 0 or negative errno. */
typedef int (*kiln_tile_fetch)(void *ctx, const struct kiln_tile *t, struct kiln_buf *out);

/* A tree of a fixed size whose hashes are read from tiles, each once. kiln_tree_get() is a kiln_merkle_get;
 * -EBADMSG: a tile has not the length of its width. */
struct kiln_tree {
        kiln_tile_fetch fetch;
        void *ctx;
        uint64_t size;
        struct kiln_tree_tile {
                struct kiln_tile tile;
                struct kiln_digest *hashes;
        } * tiles;
        size_t n_tiles;
};
int kiln_tree_get(void *tree, unsigned level, uint64_t index, struct kiln_digest *ret);
void kiln_tree_clear(struct kiln_tree *t);

/* The right edge of a tree: what is needed to add leaves. */
struct kiln_edge {
        uint64_t size;
        struct kiln_digest hashes[KILN_TILE_LEVELS][KILN_TILE_WIDTH]; /* of each level's last, partial tile */
        /* Told of each tile when it is full, and by kiln_edge_flush() of those that are not; NULL: nobody is.
         */
        int (*each)(void *ctx, const struct kiln_tile *t, const struct kiln_digest *hashes);
        void *ctx;
};

/* Reads the edge of a tree of this size. Only a root says whether it is true (kiln_edge_root()). */
int kiln_edge_read(struct kiln_edge *e, struct kiln_tree *tree);
int kiln_edge_add(struct kiln_edge *e, const struct kiln_digest *leaf);
int kiln_edge_flush(struct kiln_edge *e);
struct kiln_digest kiln_edge_root(struct kiln_edge *e);

/* Entries of a bundle, one after the other: 0; 1: there is no more; -EBADMSG: cut off. */
int kiln_entries_next(const struct kiln_buf *bundle, size_t *at, const char **ret, size_t *ret_len);
void kiln_entries_add(struct kiln_buf *bundle, const void *entry, size_t len);
