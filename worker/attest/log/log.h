/* A static log of our own (c2sp.org/tlog-tiles) in a store: begun, appended to, proved from, checked.
 *
 * Appending is safe with several writers and when one is killed anywhere. Besides the files of the
 * specification there is one more, `pending`: the size of the log and the entries that come next. A writer
 * puts his entries there in exchange for ones that the checkpoint already covers; from then on everything
 * follows from the log and that file, and whoever comes along finishes it, with the same bytes: tiles first,
 * the checkpoint, again in an exchange, last. So nobody can overwrite what another one's checkpoint needs,
 * and there is no lock that a dead writer could leave.
 *
 * A store is not believed: tiles must lead to the checkpoint, the checkpoint must be signed by the log's key
 * and extend the last one that this user has seen (kiln_log_look()), also each one that comes while entries
 * are appended. */
#pragma once

#include "worker/attest/log/note.h"
#include "worker/attest/log/store.h"
#include "worker/attest/log/tile.h"

#define KILN_LOG_APPEND_MAX 256 /* entries at once */
#define KILN_LOG_CHECKPOINT "checkpoint"
#define KILN_LOG_PENDING "pending"

/* Signs a checkpoint's body; the key may be in another process. */
struct kiln_log_signer {
        int (*sign)(void *ctx, const char *body, size_t len, unsigned char ret[64], struct kiln_error *err);
        void *ctx;
        const struct kiln_log_key *key;
};

/* Begins an empty log, and changes nothing where it cannot. REFUSED: there is one already, this user has seen
 * entries in the key's log, or the store cannot exchange files safely. */
int kiln_log_init(const struct kiln_context *c, struct kiln_log_store *s,
        const struct kiln_log_signer *signer, struct kiln_error *err);

/* The log's checkpoint, signed by its key. *ret_tag (may be NULL) as in kiln_log_store_get(). BAD_INPUT:
 * there is none, or it has not the form of one; NOT_REPRODUCED: it is not signed by this key. */
int kiln_log_checkpoint(struct kiln_log_store *s, const struct kiln_log_key *key, struct kiln_checkpoint *ret,
        char **ret_tag, struct kiln_error *err);

/* The same, but it must extend the last checkpoint of this log that this user has seen, which is kept in
 * <config>/logs; the newer one is kept then. NOT_REPRODUCED also: the log was rewound, or forked. */
int kiln_log_look(const struct kiln_context *c, struct kiln_log_store *s, const struct kiln_log_key *key,
        struct kiln_checkpoint *ret, char **ret_tag, struct kiln_error *err);

/* Appends 1 to KILN_LOG_APPEND_MAX entries: the first has index *ret_index, and *ret is a checkpoint that
 * covers all. Errors: as kiln_log_look(); NOT_REPRODUCED also when the log's files contradict its
 * checkpoint. */
int kiln_log_append(const struct kiln_context *c, struct kiln_log_store *s,
        const struct kiln_log_signer *signer, const struct kiln_buf *entries, size_t n, uint64_t *ret_index,
        struct kiln_checkpoint *ret, struct kiln_error *err);

/* Proof that the checkpoint's tree holds the leaf there. NOT_REPRODUCED: the tiles do not lead to it. */
int kiln_log_prove(struct kiln_log_store *s, const struct kiln_checkpoint *c, uint64_t index,
        const struct kiln_digest *leaf, struct kiln_merkle_proof *ret, struct kiln_error *err);

/* Whether `now` extends `before`, by the tiles. NOT_REPRODUCED: the log was rewound, or forked. */
int kiln_log_extends(struct kiln_log_store *s, const struct kiln_checkpoint *before,
        const struct kiln_checkpoint *now, struct kiln_error *err);

/* Reads every entry and tile and holds them against the checkpoint. each (may be NULL) is told of every
 * entry, before the whole is known to be good; negative ends the check. NOT_REPRODUCED: something was
 * changed. */
int kiln_log_check(struct kiln_log_store *s, const struct kiln_checkpoint *c,
        int (*each)(void *ctx, uint64_t index, const char *entry, size_t len), void *ctx,
        struct kiln_error *err);

/* ---- between the files of this room ------------------------------------------------------------------ */

struct log_source { /* for log_fetch() */
        struct kiln_log_store *store;
        struct kiln_error *err;
};

/* A kiln_tile_fetch from a store. NOT_REPRODUCED: the tile is missing, or its length is wrong. */
int log_fetch(void *source, const struct kiln_tile *t, struct kiln_buf *out);

/* How many entries this user has seen in the key's log. */
int log_seen_size(
        const struct kiln_context *c, const struct kiln_log_key *key, uint64_t *ret, struct kiln_error *err);

int log_lies(struct kiln_error *err, const char *path, const char *fmt, ...) _printf_(3, 4);
