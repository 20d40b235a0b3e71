/* A whole log, entry by entry and tile by tile, against its checkpoint. */
#include "worker/attest/log/log.h"

#include "worker/base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct checker {
        struct log_source source;
        struct kiln_edge edge;
        int (*each)(void *ctx, uint64_t index, const char *entry, size_t len);
        void *ctx;
};

/* The tile that these hashes make is the one in the store. */
static int compare_tile(void *ctx, const struct kiln_tile *t, const struct kiln_digest *hashes)
{
        struct checker *c = ctx;
        _cleanup_buf_ struct kiln_buf bytes = KILN_BUF_INIT;
        int r = log_fetch(&c->source, t, &bytes);

        if (r == 0 && memcmp(bytes.data, hashes, bytes.len) != 0) {
                _cleanup_free_ char *path = kiln_tile_path(t);

                r = log_lies(c->source.err, path, "its hashes are not those of the entries");
        }
        return r;
}

static int check_bundle(struct checker *c, const struct kiln_tile *t)
{
        _cleanup_buf_ struct kiln_buf bundle = KILN_BUF_INIT;
        _cleanup_free_ char *path = kiln_tile_path(t);
        size_t at = 0, len;
        unsigned n = 0;
        const char *entry;
        int r = log_fetch(&c->source, t, &bundle), more = 0;

        while (r == 0 && (more = kiln_entries_next(&bundle, &at, &entry, &len)) == 0 && n < t->width) {
                struct kiln_digest leaf = kiln_merkle_leaf(entry, len);

                if (c->each)
                        r = c->each(c->ctx, c->edge.size, entry, len);
                n++;
                if (r == 0)
                        r = kiln_edge_add(&c->edge, &leaf);
        }
        if (r == 0 && (more != 1 || n != t->width))
                r = log_lies(c->source.err, path, "it does not hold %u entries", t->width);
        return r;
}

int kiln_log_check(struct kiln_log_store *s, const struct kiln_checkpoint *checkpoint,
        int (*each)(void *ctx, uint64_t index, const char *entry, size_t len), void *ctx,
        struct kiln_error *err)
{
        _cleanup_free_ struct checker *c = kiln_calloc(1, sizeof(*c));
        struct kiln_digest root;
        int r = 0;

        *c = (struct checker){
                .source = {s, err}, .edge = {.each = compare_tile, .ctx = c}, .each = each, .ctx = ctx};
        for (uint64_t i = 0; r == 0 && c->edge.size < checkpoint->size; i++) {
                struct kiln_tile t = {
                        KILN_TILE_ENTRIES, i, kiln_tile_width(KILN_TILE_ENTRIES, i, checkpoint->size)};

                r = check_bundle(c, &t);
        }
        if (r == 0)
                r = kiln_edge_flush(&c->edge);
        if (r < 0)
                return r;
        root = kiln_edge_root(&c->edge);
        if (!kiln_digest_equal(&root, &checkpoint->root))
                return log_lies(err, KILN_LOG_CHECKPOINT,
                        "its root is not that of the %" PRIu64 " entries it covers", checkpoint->size);
        return 0;
}
