#include "worker/verify/logged.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/verify/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define DOING "logging"
#define SUFFIX ".intoto.jsonl"

struct item {
        char *kind;
        struct kiln_buf entry;
        json_t *proof;
};

struct job {
        const struct kiln_logging *to;
        const struct kiln_verify_keys *keys;
        const char *path, *out_dir;
        char *stem;
        struct item *items; /* one a line of the file */
        size_t n_items;
        void (*done)(void *ctx, const char *file, const json_t *log_entry);
        void *ctx;
};

static void job_clear(struct job *j)
{
        for (size_t i = 0; i < j->n_items; i++) {
                free(j->items[i].kind);
                kiln_buf_clear(&j->items[i].entry);
                if (j->items[i].proof)
                        json_decref(j->items[i].proof);
        }
        free(j->items);
        free(j->stem);
}

/* Every envelope of the file, one in memory at a time. */
static int each_line(struct job *j,
        int (*take)(struct job *j, size_t i, const struct kiln_envelopes *lines,
                const struct kiln_envelope *e, struct kiln_error *err),
        struct kiln_error *err)
{
        _cleanup_(kiln_envelopes_freep) struct kiln_envelopes *lines = NULL;
        int r = kiln_envelopes_open(AT_FDCWD, j->path, &lines, err);

        for (size_t i = 0; r == 0; i++) {
                _cleanup_(kiln_envelope_freep) struct kiln_envelope *e = NULL;

                r = kiln_envelopes_next(lines, j->keys, &e, err);
                if (r == 0)
                        r = take(j, i, lines, e, err);
        }
        return r < 0 ? r : 0;
}

static int take_entry(struct job *j, size_t i, const struct kiln_envelopes *lines,
        const struct kiln_envelope *e, struct kiln_error *err)
{
        _cleanup_free_ char *kind = kiln_bundle_kind(e);
        struct item *item;

        if (!kind)
                return kiln_error_set(err, KILN_BAD_INPUT, EINVAL, DOING, j->path,
                        "line %zu is of a kind that no bundle is named after: %s", e->line,
                        e->predicate_type);
        for (size_t k = 0; k < j->n_items; k++)
                if (strcmp(j->items[k].kind, kind) == 0)
                        return kiln_bundle_refuse_second(e, j->path, kind, err);
        item = KILN_APPEND(j->items, j->n_items);
        item->kind = TAKE_PTR(kind);
        kiln_envelope_log_entry(e, j->keys, &item->entry);
        return 0;
}

/* The file is read a second time: what was logged must still be what is there. */
static int same_entry(const struct job *j, size_t i, const struct kiln_envelope *e, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf entry = KILN_BUF_INIT;

        kiln_envelope_log_entry(e, j->keys, &entry);
        if (i < j->n_items && entry.len == j->items[i].entry.len &&
                memcmp(entry.data, j->items[i].entry.data, entry.len) == 0)
                return 0;
        return kiln_error_set(err, KILN_INFRA, ESTALE, DOING, j->path, "it changed meanwhile");
}

static int read_envelope(
        const struct kiln_envelopes *lines, const char *name, json_t **ret, struct kiln_error *err)
{
        size_t len;
        const char *text = kiln_envelopes_text(lines, &len);

        return kiln_json_parse(text, len, name, ret, err);
}

static const json_t *log_of(const json_t *proof)
{
        return json_object_get(json_object_get(proof, "logId"), "keyId");
}

/* In place of an older entry of the same log. */
static void add_proof(json_t *bundle, json_t *proof)
{
        json_t *material = json_object_get(bundle, "verificationMaterial"),
               *entries = json_object_get(material, "tlogEntries");

        if (!json_is_array(entries)) {
                entries = json_array();
                json_object_set_new(material, "tlogEntries", entries);
        }
        for (size_t i = json_array_size(entries); i-- > 0;)
                if (json_equal(log_of(json_array_get(entries, i)), log_of(proof)))
                        json_array_remove(entries, i);
        json_array_append(entries, proof);
}

static int write_bundle(struct job *j, size_t i, const struct kiln_envelopes *lines,
        const struct kiln_envelope *e, struct kiln_error *err)
{
        _cleanup_free_ char *name = NULL, *path = NULL;
        _cleanup_json_ json_t *envelope = NULL, *bundle = NULL;
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;
        int r = same_entry(j, i, e, err);

        if (r == 0)
                r = read_envelope(lines, j->path, &envelope, err);
        if (r < 0)
                return r;
        name = kiln_asprintf("%s.%s" KILN_BUNDLE_SUFFIX, j->stem, j->items[i].kind);
        path = kiln_path_join(j->out_dir, name);
        bundle = kiln_bundle_at(AT_FDCWD, path, envelope, j->keys->keys[e->key].keyid);
        add_proof(bundle, j->items[i].proof);
        kiln_json_canonical(bundle, &out);
        kiln_buf_putc(&out, '\n');
        r = kiln_file_write(AT_FDCWD, path, out.data, out.len, 0644);
        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, -r, "writing the bundle", path, "cannot write it");
        j->done(j->ctx, path, j->items[i].proof);
        return 0;
}

/* ---- a log of our own -------------------------------------------------------------------------------- */

static int append(struct job *j, struct kiln_error *err)
{
        _cleanup_free_ struct kiln_buf *entries = kiln_calloc(j->n_items + 1, sizeof(*entries));
        _cleanup_(kiln_checkpoint_clear) struct kiln_checkpoint c = {0};
        uint64_t index = 0;
        int r;

        for (size_t i = 0; i < j->n_items; i++)
                entries[i] = j->items[i].entry;
        r = kiln_log_append(
                j->to->context, j->to->store, &j->to->signer, entries, j->n_items, &index, &c, err);
        for (size_t i = 0; r == 0 && i < j->n_items; i++) {
                struct kiln_digest leaf = kiln_merkle_leaf(entries[i].data, entries[i].len);
                struct kiln_merkle_proof path;

                r = kiln_log_prove(j->to->store, &c, index + i, &leaf, &path, err);
                if (r == 0)
                        j->items[i].proof =
                                kiln_log_proof_write(&entries[i], j->to->key, &c, index + i, &path);
        }
        return r;
}

/* ---- Rekor ------------------------------------------------------------------------------------------- */

static int send(struct job *j, size_t i, const struct kiln_envelopes *lines, const struct kiln_envelope *e,
        struct kiln_error *err)
{
        _cleanup_free_ char *name = kiln_asprintf("%s line %zu", kiln_path_base(j->path), e->line);
        _cleanup_json_ json_t *envelope = NULL;
        int r = same_entry(j, i, e, err);

        if (r == 0)
                r = read_envelope(lines, name, &envelope, err);
        if (r < 0)
                return r;
        return kiln_rekor_add(j->to->rekor, j->to->key, envelope, j->keys->keys[e->key].key,
                &j->items[i].entry, name, &j->items[i].proof, err);
}

int kiln_logging_add(const struct kiln_logging *l, const char *path, const struct kiln_verify_keys *keys,
        const char *out_dir, void (*done)(void *ctx, const char *file, const json_t *log_entry), void *ctx,
        struct kiln_error *err)
{
        _cleanup_(job_clear) struct job j = {
                .to = l, .keys = keys, .path = path, .out_dir = out_dir, .done = done, .ctx = ctx};
        const char *base = kiln_path_base(path);
        int r;

        if (!kiln_ends_with(base, SUFFIX))
                return kiln_error_set(err, KILN_BAD_INPUT, EINVAL, DOING, path,
                        "it is not named as attestations are: <nvr>" SUFFIX);
        j.stem = kiln_strndup(base, strlen(base) - strlen(SUFFIX));
        r = each_line(&j, take_entry, err);
        if (r == 0)
                r = l->store ? append(&j, err) : each_line(&j, send, err);
        return r == 0 ? each_line(&j, write_bundle, err) : r;
}
