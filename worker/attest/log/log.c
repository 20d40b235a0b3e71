#include "worker/attest/log/log.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>

#define READING "reading the log"
#define SEEN_DIRECTORY "logs"

int log_lies(struct kiln_error *err, const char *path, const char *fmt, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        text = kiln_vasprintf(fmt, ap);
        va_end(ap);
        return kiln_error_set(err, KILN_NOT_REPRODUCED, 0, "checking the log's", path, "%s", text);
}

int log_fetch(void *source, const struct kiln_tile *t, struct kiln_buf *out)
{
        struct log_source *from = source;
        _cleanup_free_ char *path = kiln_tile_path(t);
        bool entries = t->level == KILN_TILE_ENTRIES;
        size_t before = out->len;
        int r = kiln_log_store_get(
                from->store, path, entries ? KILN_ENTRIES_BYTES_MAX : KILN_TILE_BYTES, out, NULL, from->err);

        if (r == KILN_LOG_ABSENT)
                return log_lies(from->err, path, "it is missing, though the checkpoint covers it");
        if (r == 0 && !entries && out->len - before != (size_t)t->width * KILN_DIGEST_BYTES)
                return log_lies(from->err, path, "it does not hold %u hashes", t->width);
        return r;
}

int kiln_log_checkpoint(struct kiln_log_store *s, const struct kiln_log_key *key, struct kiln_checkpoint *ret,
        char **ret_tag, struct kiln_error *err)
{
        _cleanup_(kiln_checkpoint_clear) struct kiln_checkpoint c = {0};
        _cleanup_buf_ struct kiln_buf note = KILN_BUF_INIT;
        _cleanup_free_ char *tag = NULL;
        int r = kiln_log_store_get(s, KILN_LOG_CHECKPOINT, KILN_NOTE_MAX, &note, ret_tag ? &tag : NULL, err);

        if (r == KILN_LOG_ABSENT) {
                kiln_error_set(err, KILN_BAD_INPUT, ENOENT, READING, key->name, "it has no checkpoint");
                kiln_error_advise(err, "Begin a log with `kiln log init`.");
                return -ENOENT;
        }
        if (r < 0)
                return r;
        if (kiln_checkpoint_parse(kiln_buf_str(&note), note.len, &c) < 0)
                return kiln_error_set(err, KILN_BAD_INPUT, EBADMSG, READING, key->name,
                        "its checkpoint has not the form of one");
        r = kiln_checkpoint_check(&c, key);
        if (r == KILN_CHECKPOINT_OTHER_LOG)
                return log_lies(
                        err, KILN_LOG_CHECKPOINT, "it is of the log %s, not of %s", c.origin, key->name);
        if (r != 0)
                return log_lies(err, KILN_LOG_CHECKPOINT, "it %s", kiln_checkpoint_why(r));
        *ret = c;
        c = (struct kiln_checkpoint){0};
        if (ret_tag)
                *ret_tag = TAKE_PTR(tag);
        return 0;
}

int kiln_log_prove(struct kiln_log_store *s, const struct kiln_checkpoint *c, uint64_t index,
        const struct kiln_digest *leaf, struct kiln_merkle_proof *ret, struct kiln_error *err)
{
        struct log_source source = {s, err};
        _cleanup_(kiln_tree_clear) struct kiln_tree tree = {log_fetch, &source, c->size, NULL, 0};
        int r = kiln_merkle_inclusion(kiln_tree_get, &tree, index, c->size, ret);

        if (r == 0 && !kiln_merkle_includes(&c->root, c->size, leaf, index, ret))
                r = log_lies(
                        err, "tiles", "they do not lead from entry %" PRIu64 " to the checkpoint", index);
        return r;
}

int kiln_log_extends(struct kiln_log_store *s, const struct kiln_checkpoint *before,
        const struct kiln_checkpoint *now, struct kiln_error *err)
{
        struct log_source source = {s, err};
        _cleanup_(kiln_tree_clear) struct kiln_tree tree = {log_fetch, &source, now->size, NULL, 0};
        struct kiln_merkle_proof proof;
        int r;

        if (before->size > now->size)
                return log_lies(err, KILN_LOG_CHECKPOINT,
                        "it was rewound: it covers %" PRIu64 " entries, an earlier one covered %" PRIu64,
                        now->size, before->size);
        r = kiln_merkle_consistency(kiln_tree_get, &tree, before->size, now->size, &proof);
        if (r == 0 && !kiln_merkle_extends(&now->root, now->size, &before->root, before->size, &proof))
                r = log_lies(err, KILN_LOG_CHECKPOINT,
                        "the log was forked: what an earlier checkpoint of %" PRIu64
                        " entries covered is not what it begins with",
                        before->size);
        return r;
}

/* ---- what this user has seen ------------------------------------------------------------------------- */

struct memory {
        const struct kiln_log_key *key;
        char *dir;
        int dir_fd;
        char name[KILN_DIGEST_HEX + 1];
};

static void memory_clear(struct memory *m)
{
        free(m->dir);
        kiln_closep(&m->dir_fd);
}

static int memory_failed(const struct memory *m, int r, struct kiln_error *err)
{
        kiln_error_set(err, KILN_INFRA, -r, "remembering the checkpoint of", m->key->name, "cannot use %s/%s",
                m->dir, m->name);
        if (r == -EBADMSG || r == -EINVAL)
                kiln_error_advise(err, "Remove that file: it is no checkpoint of this log.");
        return r;
}

static int memory_open(const struct kiln_context *c, const struct kiln_log_key *key, struct memory *m,
        struct kiln_error *err)
{
        m->key = key;
        m->dir = kiln_path_join(c->config_dir, SEEN_DIRECTORY);
        m->dir_fd = kiln_dir_make(AT_FDCWD, m->dir, 0700);
        kiln_digest_to_hex(&key->id, m->name);
        return m->dir_fd < 0 ? memory_failed(m, m->dir_fd, err) : 0;
}

/* Where none was seen, an empty one, which every log extends. */
static int memory_read(const struct memory *m, struct kiln_checkpoint *ret, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf note = KILN_BUF_INIT;
        int r = kiln_file_read(m->dir_fd, m->name, KILN_NOTE_MAX, &note);

        if (r == -ENOENT) {
                ret->root = kiln_merkle_empty();
                return 0;
        }
        if (r == 0)
                r = kiln_checkpoint_parse(kiln_buf_str(&note), note.len, ret);
        if (r == 0 && kiln_checkpoint_check(ret, m->key) != 0)
                r = -EBADMSG;
        return r < 0 ? memory_failed(m, r, err) : 0;
}

/* `before` was read before `now` was asked for. Other processes of this user may have seen more since then;
 * the lock is for them. */
static int memory_write(const struct memory *m, struct kiln_log_store *s,
        const struct kiln_checkpoint *before, const struct kiln_checkpoint *now, struct kiln_error *err)
{
        _cleanup_(kiln_checkpoint_clear) struct kiln_checkpoint last = {0};
        _cleanup_free_ char *name = kiln_asprintf("%s.lock", m->name);
        _cleanup_close_ int lock = openat(m->dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        int r = lock < 0 ? -errno : kiln_fd_lock(lock, LOCK_EX);

        if (r < 0)
                return memory_failed(m, r, err);
        r = memory_read(m, &last, err);
        if (r < 0)
                return r;
        if (last.size > now->size)
                return kiln_log_extends(s, before, now, err);
        r = kiln_log_extends(s, &last, now, err);
        if (r < 0 || last.size == now->size)
                return r;
        r = kiln_file_write(m->dir_fd, m->name, now->note, strlen(now->note), 0600);
        return r < 0 ? memory_failed(m, r, err) : 0;
}

int kiln_log_look(const struct kiln_context *c, struct kiln_log_store *s, const struct kiln_log_key *key,
        struct kiln_checkpoint *ret, char **ret_tag, struct kiln_error *err)
{
        _cleanup_(memory_clear) struct memory m = {.dir_fd = -1};
        _cleanup_(kiln_checkpoint_clear) struct kiln_checkpoint before = {0}, now = {0};
        _cleanup_free_ char *tag = NULL;
        int r = memory_open(c, key, &m, err);

        if (r == 0)
                r = memory_read(&m, &before, err);
        if (r == 0)
                r = kiln_log_checkpoint(s, key, &now, ret_tag ? &tag : NULL, err);
        if (r == -ENOENT && before.size > 0)
                kiln_error_advise(
                        err, "It was seen with %" PRIu64 " entries: is this where it is?", before.size);
        if (r == 0)
                r = memory_write(&m, s, &before, &now, err);
        if (r < 0)
                return r;
        *ret = now;
        now = (struct kiln_checkpoint){0};
        if (ret_tag)
                *ret_tag = TAKE_PTR(tag);
        return 0;
}

int log_seen_size(
        const struct kiln_context *c, const struct kiln_log_key *key, uint64_t *ret, struct kiln_error *err)
{
        _cleanup_(memory_clear) struct memory m = {.dir_fd = -1};
        _cleanup_(kiln_checkpoint_clear) struct kiln_checkpoint before = {0};
        int r = memory_open(c, key, &m, err);

        if (r == 0)
                r = memory_read(&m, &before, err);
        *ret = before.size;
        return r;
}
