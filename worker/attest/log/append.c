/* Beginning a log and appending to it; log.h says why it is done this way. */
#include "worker/attest/log/log.h"

#include "worker/attest/log/entry.h"
#include "worker/base/mem.h"
#include "worker/base/number.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define APPENDING "appending to the log"
#define PENDING_MAGIC "kiln-log-pending-1\n"
#define PENDING_MAX (KILN_ENTRIES_BYTES_MAX + 64)
#define ROUNDS_MAX 1000 /* of finishing what others began before our turn comes */

/* ---- what comes next --------------------------------------------------------------------------------- */

struct pending {
        uint64_t base;         /* size of the log that the entries are added to */
        struct kiln_buf whole; /* the file: magic, base and newline, entries as in a bundle */
        size_t entries_at;
        char *tag; /* NULL: the file does not exist */
};

static void pending_clear(struct pending *p)
{
        kiln_buf_clear(&p->whole);
        free(p->tag);
        *p = (struct pending){0};
}

static void pending_write(struct pending *p, uint64_t base, const struct kiln_buf *entries, size_t n)
{
        p->base = base;
        kiln_buf_printf(&p->whole, PENDING_MAGIC "%" PRIu64 "\n", base);
        p->entries_at = p->whole.len;
        for (size_t i = 0; i < n; i++)
                kiln_entries_add(&p->whole, kiln_buf_str(&entries[i]), entries[i].len);
}

/* Anybody who can write to the store can have written this; what gets into the log has the form of an entry.
 */
static int pending_parse(struct pending *p)
{
        const size_t magic = strlen(PENDING_MAGIC);
        const char *text = kiln_buf_str(&p->whole), *newline, *entry;
        _cleanup_free_ char *number = NULL;
        size_t at, len, n = 0;
        int r;

        if (p->whole.len < magic || memcmp(text, PENDING_MAGIC, magic) != 0)
                return -EBADMSG;
        newline = memchr(text + magic, '\n', p->whole.len - magic);
        if (!newline)
                return -EBADMSG;
        number = kiln_strndup(text + magic, (size_t)(newline - text) - magic);
        if (kiln_number_parse(number, KILN_MERKLE_SIZE_MAX - KILN_LOG_APPEND_MAX, &p->base) < 0)
                return -EBADMSG;
        at = p->entries_at = (size_t)(newline + 1 - text);
        while ((r = kiln_entries_next(&p->whole, &at, &entry, &len)) == 0)
                if (++n > KILN_LOG_APPEND_MAX || kiln_log_entry_read(entry, len, NULL) < 0)
                        return -EBADMSG;
        return r < 0 ? r : n > 0 ? 0 : -EBADMSG;
}

static int pending_read(struct kiln_log_store *s, struct pending *p, struct kiln_error *err)
{
        int r = kiln_log_store_get(s, KILN_LOG_PENDING, PENDING_MAX, &p->whole, &p->tag, err);

        if (r != 0)
                return r;
        if (pending_parse(p) < 0) {
                kiln_error_set(err, KILN_BAD_INPUT, EBADMSG, APPENDING, KILN_LOG_PENDING,
                        "the entries that should come next are damaged");
                kiln_error_advise(err,
                        "Somebody else wrote that file. Check the log (kiln log check), then remove it.");
                return -EBADMSG;
        }
        return 0;
}

/* ---- growing the tree -------------------------------------------------------------------------------- */

struct grower {
        struct kiln_log_store *store;
        struct kiln_error *err;
        struct kiln_edge edge;
        struct kiln_buf bundle; /* entries of the last, partial bundle */
};

static void grower_free(struct grower *g)
{
        if (!g)
                return;
        kiln_buf_clear(&g->bundle);
        free(g);
}
KILN_DEFINE_CLEANUP(struct grower *, grower_free)

static int put_bytes(struct grower *g, const struct kiln_tile *t, const void *data, size_t len)
{
        _cleanup_free_ char *path = kiln_tile_path(t);

        return kiln_log_store_put(g->store, path, data, len, g->err);
}

/* A tile of hashes; with one of level 0 goes the bundle of its entries. */
static int put_tile(void *ctx, const struct kiln_tile *t, const struct kiln_digest *hashes)
{
        struct grower *g = ctx;
        struct kiln_tile entries = {KILN_TILE_ENTRIES, t->index, t->width};
        int r = t->level == 0 ? put_bytes(g, &entries, g->bundle.data, g->bundle.len) : 0;

        if (r == 0)
                r = put_bytes(g, t, hashes, t->width * sizeof(*hashes));
        if (r == 0 && t->level == 0 && t->width == KILN_TILE_WIDTH)
                kiln_buf_reset(&g->bundle);
        return r;
}

/* The last bundle goes on with what it has: held against the hashes, which the checkpoint vouches for. */
static int read_bundle(struct grower *g)
{
        struct log_source source = {g->store, g->err};
        struct kiln_tile t = {KILN_TILE_ENTRIES, g->edge.size / KILN_TILE_WIDTH,
                (unsigned)(g->edge.size % KILN_TILE_WIDTH)};
        const char *entry;
        size_t at = 0, len;
        unsigned i = 0;
        int r = t.width > 0 ? log_fetch(&source, &t, &g->bundle) : 0;

        if (r < 0)
                return r;
        while ((r = kiln_entries_next(&g->bundle, &at, &entry, &len)) == 0 && i < t.width) {
                struct kiln_digest leaf = kiln_merkle_leaf(entry, len);

                if (!kiln_digest_equal(&leaf, &g->edge.hashes[0][i++]))
                        r = -EBADMSG;
                if (r < 0)
                        break;
        }
        if (r == 1 && i == t.width)
                return 0;
        return log_lies(g->err, "entries", "the last %u are not those that the checkpoint covers", t.width);
}

static int grower_open(struct kiln_log_store *s, const struct kiln_checkpoint *c, struct grower **ret,
        struct kiln_error *err)
{
        _cleanup_(grower_freep) struct grower *g = kiln_calloc(1, sizeof(*g));
        struct log_source source = {s, err};
        _cleanup_(kiln_tree_clear) struct kiln_tree tree = {log_fetch, &source, c->size, NULL, 0};
        struct kiln_digest root;
        int r;

        g->store = s;
        g->err = err;
        g->edge.each = put_tile;
        g->edge.ctx = g;
        r = kiln_edge_read(&g->edge, &tree);
        if (r < 0)
                return r;
        root = kiln_edge_root(&g->edge);
        if (!kiln_digest_equal(&root, &c->root))
                return log_lies(err, "tiles", "they do not lead to the checkpoint");
        r = read_bundle(g);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(g);
        return 0;
}

static int grow(struct grower *g, const struct pending *p)
{
        size_t at = p->entries_at, len;
        const char *entry;
        int r = 0;

        while (r == 0 && kiln_entries_next(&p->whole, &at, &entry, &len) == 0) {
                struct kiln_digest leaf = kiln_merkle_leaf(entry, len);

                kiln_entries_add(&g->bundle, entry, len);
                r = kiln_edge_add(&g->edge, &leaf);
        }
        return r < 0 ? r : kiln_edge_flush(&g->edge);
}

/* ---- checkpoints ------------------------------------------------------------------------------------- */

/* Signs and publishes the head of a tree in exchange for what has this tag. KILN_LOG_CHANGED. */
static int publish(struct kiln_log_store *s, const struct kiln_log_signer *signer, uint64_t size,
        const struct kiln_digest *root, const char *tag, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf body = KILN_BUF_INIT, note = KILN_BUF_INIT;
        unsigned char signature[64];
        int r;

        kiln_checkpoint_body(signer->key->name, size, root, &body);
        r = signer->sign(signer->ctx, body.data, body.len, signature, err);
        if (r < 0)
                return r;
        kiln_checkpoint_sign(signer->key, body.data, signature, &note);
        return kiln_log_store_swap(s, KILN_LOG_CHECKPOINT, tag, note.data, note.len, err);
}

static int is_there(const struct kiln_log_signer *signer, struct kiln_error *err)
{
        return kiln_error_set(
                err, KILN_REFUSED, EEXIST, "beginning the log", signer->key->name, "there is a log already");
}

/* What was seen must go on where it ended. */
static int check_unseen(
        const struct kiln_context *c, const struct kiln_log_signer *signer, struct kiln_error *err)
{
        uint64_t seen = 0;
        int r = log_seen_size(c, signer->key, &seen, err);

        if (r < 0 || seen == 0)
                return r;
        r = kiln_error_set(err, KILN_REFUSED, 0, "beginning the log", signer->key->name,
                "it was seen with %" PRIu64 " entries, and would be forked", seen);
        kiln_error_advise(err, "Bring its files back, or begin another log with other keys.");
        return r;
}

/* Whether it is an empty log of this key that is there. */
static bool is_begun(struct kiln_log_store *s, const struct kiln_log_signer *signer)
{
        _cleanup_(kiln_checkpoint_clear) struct kiln_checkpoint there = {0};
        _cleanup_error_ struct kiln_error ignored = KILN_ERROR_INIT;

        return kiln_log_checkpoint(s, signer->key, &there, NULL, &ignored) == 0 && there.size == 0;
}

int kiln_log_init(const struct kiln_context *c, struct kiln_log_store *s,
        const struct kiln_log_signer *signer, struct kiln_error *err)
{
        const struct kiln_digest empty = kiln_merkle_empty();
        _cleanup_buf_ struct kiln_buf there = KILN_BUF_INIT;
        int r = kiln_log_store_get(s, KILN_LOG_CHECKPOINT, KILN_NOTE_MAX, &there, NULL, err);

        if (r == 0)
                return is_there(signer, err);
        if (r == KILN_LOG_ABSENT)
                r = check_unseen(c, signer, err);
        if (r == 0)
                r = kiln_log_store_probe(s, err);
        if (r == 0)
                r = publish(s, signer, 0, &empty, NULL, err);
        /* Not so when only the answer to our own exchange got lost. */
        if (r == KILN_LOG_CHANGED)
                return is_begun(s, signer) ? 0 : is_there(signer, err);
        return r;
}

/* ---- turns ------------------------------------------------------------------------------------------- */

struct turn {
        struct kiln_checkpoint checkpoint;
        char *tag;
        struct pending ours;         /* as it was last put, or tried to be, into the store */
        bool claimed;                /* it is there, or was: our entries are at ours.base */
        struct kiln_checkpoint made; /* the tree that was signed last; no store gets two different ones */
};

static void turn_clear(struct turn *t)
{
        kiln_checkpoint_clear(&t->checkpoint);
        free(t->tag);
        pending_clear(&t->ours);
}

static bool is_ours(const struct turn *t, const struct pending *p)
{
        return t->ours.whole.len > 0 && t->ours.whole.len == p->whole.len &&
               memcmp(t->ours.whole.data, p->whole.data, p->whole.len) == 0;
}

/* Adds to the log what comes next. KILN_LOG_CHANGED: somebody else was faster. */
static int finish(struct kiln_log_store *s, const struct kiln_log_signer *signer, struct turn *t,
        const struct pending *p, struct kiln_error *err)
{
        _cleanup_(grower_freep) struct grower *g = NULL;
        struct kiln_checkpoint made = {0};
        int r = grower_open(s, &t->checkpoint, &g, err);

        if (r == 0)
                r = grow(g, p);
        if (r < 0)
                return r;
        made.size = g->edge.size;
        made.root = kiln_edge_root(&g->edge);
        if (t->made.size > t->checkpoint.size &&
                (t->made.size != made.size || !kiln_digest_equal(&t->made.root, &made.root)))
                return log_lies(err, KILN_LOG_PENDING,
                        "other entries come next than those with which the log was signed already");
        t->made = made;
        return publish(s, signer, made.size, &made.root, t->tag, err);
}

/* Puts our entries where the next ones are. KILN_LOG_CHANGED: somebody else's are there now. */
static int claim(struct kiln_log_store *s, struct turn *t, const struct pending *before,
        const struct kiln_buf *entries, size_t n, struct kiln_error *err)
{
        int r;

        pending_clear(&t->ours);
        pending_write(&t->ours, t->checkpoint.size, entries, n);
        r = kiln_log_store_swap(s, KILN_LOG_PENDING, before->tag, t->ours.whole.data, t->ours.whole.len, err);
        t->claimed = r == 0;
        return r;
}

/* One step: 1: our entries are in the log; 0: not yet. What comes next is read first: it cannot be exchanged
 * before the checkpoint covers it, so that a checkpoint that is read later is never behind it. */
static int step(const struct kiln_context *c, struct kiln_log_store *s, const struct kiln_log_signer *signer,
        struct turn *t, const struct kiln_buf *entries, size_t n, struct kiln_error *err)
{
        _cleanup_(pending_clear) struct pending next = {0};
        bool any;
        int r = pending_read(s, &next, err);

        if (r < 0)
                return r;
        any = r == 0;
        /* An exchange whose answer got lost. */
        t->claimed |= any && is_ours(t, &next);
        kiln_checkpoint_clear(&t->checkpoint);
        free(TAKE_PTR(t->tag));
        r = kiln_log_look(c, s, signer->key, &t->checkpoint, &t->tag, err);
        if (r == 0 && t->made.size <= t->checkpoint.size)
                r = kiln_log_extends(s, &t->made, &t->checkpoint, err);
        if (r < 0)
                return r;
        if (t->claimed && t->ours.base < t->checkpoint.size)
                return 1;
        if (any && next.base > t->checkpoint.size)
                return log_lies(err, KILN_LOG_CHECKPOINT,
                        "it was rewound: it covers %" PRIu64 " entries, others were added to %" PRIu64,
                        t->checkpoint.size, next.base);
        if (!any || next.base < t->checkpoint.size)
                r = claim(s, t, &next, entries, n, err);
        else
                r = finish(s, signer, t, &next, err);
        return r < 0 ? r : 0;
}

int kiln_log_append(const struct kiln_context *c, struct kiln_log_store *s,
        const struct kiln_log_signer *signer, const struct kiln_buf *entries, size_t n, uint64_t *ret_index,
        struct kiln_checkpoint *ret, struct kiln_error *err)
{
        _cleanup_(turn_clear) struct turn t = {.made.root = kiln_merkle_empty()};
        int r = 0;

        if (n == 0 || n > KILN_LOG_APPEND_MAX)
                return kiln_error_set(err, KILN_BAD_INPUT, E2BIG, APPENDING, signer->key->name,
                        "%zu entries at once; 1 to %d are possible", n, KILN_LOG_APPEND_MAX);
        r = kiln_log_store_probe(s, err);
        for (int round = 0; r == 0 && round < ROUNDS_MAX; round++)
                r = step(c, s, signer, &t, entries, n, err);
        if (r < 0)
                return r;
        if (r == 0)
                return kiln_error_set(
                        err, KILN_INFRA, EBUSY, APPENDING, signer->key->name, "others are always faster");
        *ret_index = t.ours.base;
        *ret = t.checkpoint;
        t.checkpoint = (struct kiln_checkpoint){0};
        return 0;
}
