#include "worker/verify/envelope.h"

#include "worker/attest/log/entry.h"
#include "worker/base/base64.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define NAME_MAX_BYTES 255

/* ---- keys -------------------------------------------------------------------------------------------- */

int kiln_verify_keys_add(
        struct kiln_verify_keys *k, const char *pem, const char *name, struct kiln_error *err)
{
        struct kiln_verify_key key = {.key = kiln_dsse_public_key(pem)};

        if (!key.key || kiln_keyid(key.key, key.keyid) < 0) {
                EVP_PKEY_free(key.key);
                return kiln_error_set(err, KILN_BAD_INPUT, EINVAL, "reading the key", name,
                        "it is no Ed25519 public key in PEM form (SubjectPublicKeyInfo)");
        }
        for (size_t i = 0; i < k->n; i++)
                if (strcmp(k->keys[i].keyid, key.keyid) == 0) {
                        EVP_PKEY_free(key.key);
                        return 0;
                }
        key.name = kiln_strdup(name);
        *KILN_APPEND(k->keys, k->n) = key;
        return 0;
}

void kiln_verify_keys_clear(struct kiln_verify_keys *k)
{
        for (size_t i = 0; i < k->n; i++) {
                EVP_PKEY_free(k->keys[i].key);
                free(k->keys[i].name);
        }
        free(k->keys);
        *k = (struct kiln_verify_keys){0};
}

/* ---- one envelope ------------------------------------------------------------------------------------ */

void kiln_envelope_free(struct kiln_envelope *e)
{
        if (!e)
                return;
        for (size_t i = 0; i < e->n_subjects; i++)
                free(e->subjects[i].name);
        free(e->subjects);
        if (e->statement)
                json_decref(e->statement);
        if (e->log_entries)
                json_decref(e->log_entries);
        free(e);
}

static int bad(struct kiln_error *err, const char *name, const char *what)
{
        return kiln_error_set(err, KILN_BAD_INPUT, 0, "reading the statement in", name, "%s", what);
}

static struct kiln_digest *field_of(struct kiln_rpm_digests *d, size_t field)
{
        return (struct kiln_digest *)((char *)d + kiln_subject_digests[field].offset);
}

/* Digests of other algorithms are somebody else's and say nothing here. */
static int read_digests(
        const json_t *set, struct kiln_envelope_subject *s, const char *name, struct kiln_error *err)
{
        for (size_t f = 0; f < KILN_SUBJECT_DIGESTS; f++) {
                const json_t *value = json_object_get(set, kiln_subject_digests[f].name);

                if (!value)
                        continue;
                if (!json_is_string(value) ||
                        kiln_digest_from_hex(json_string_value(value), field_of(&s->digests, f)) < 0)
                        return bad(err, name, "a subject's digest is no lower-case SHA-256");
                s->have |= 1U << f;
        }
        return s->have ? 0 : bad(err, name, "a subject has no digest that an RPM could be compared with");
}

static int compare_subjects(const void *a, const void *b)
{
        const struct kiln_envelope_subject *x = a, *y = b;

        return strcmp(x->name, y->name);
}

static int read_subjects(struct kiln_envelope *e, const char *name, struct kiln_error *err)
{
        const json_t *list = json_object_get(e->statement, "subject"), *one;
        size_t i;

        if (!json_is_array(list) || json_array_size(list) == 0)
                return bad(err, name, "it is about nothing: it has no subject");
        if (json_array_size(list) > KILN_ENVELOPE_SUBJECTS_MAX)
                return bad(err, name, "it has too many subjects");
        json_array_foreach(list, i, one)
        {
                const char *file = json_string_value(json_object_get(one, "name"));
                struct kiln_envelope_subject *s;
                int r;

                if (!file || !*file || strlen(file) > NAME_MAX_BYTES || strchr(file, '/'))
                        return bad(err, name, "a subject's name is no file name");
                s = KILN_APPEND(e->subjects, e->n_subjects);
                s->name = kiln_strdup(file);
                r = read_digests(json_object_get(one, "digest"), s, name, err);
                if (r < 0)
                        return r;
        }
        qsort(e->subjects, e->n_subjects, sizeof(*e->subjects), compare_subjects);
        for (i = 1; i < e->n_subjects; i++)
                if (strcmp(e->subjects[i - 1].name, e->subjects[i].name) == 0)
                        return bad(err, name, "it names one subject twice");
        return 0;
}

static int read_statement(struct kiln_envelope *e, const char *name, struct kiln_error *err)
{
        const char *type = json_string_value(json_object_get(e->statement, "_type"));

        e->predicate_type = json_string_value(json_object_get(e->statement, "predicateType"));
        e->predicate = json_object_get(e->statement, "predicate");
        if (!type || strcmp(type, KILN_STATEMENT_TYPE) != 0)
                return bad(err, name, "it is no in-toto Statement v1");
        if (!e->predicate_type || !json_is_object(e->predicate))
                return bad(err, name, "it has no predicate with a type");
        return read_subjects(e, name, err);
}

int kiln_envelope_read_payload(
        const char *payload, size_t len, const char *name, struct kiln_envelope **ret, struct kiln_error *err)
{
        _cleanup_(kiln_envelope_freep) struct kiln_envelope *e = kiln_calloc(1, sizeof(*e));
        int r = kiln_json_parse(payload, len, name, &e->statement, err);

        if (r == 0)
                r = read_statement(e, name, err);
        if (r < 0)
                return r;
        e->payload_sha256 = kiln_digest_of(payload, len);
        *ret = TAKE_PTR(e);
        return 0;
}

/* Of an envelope whose signature was checked: it is one of Ed25519. */
static void take_signature(struct kiln_envelope *e, const json_t *envelope)
{
        _cleanup_buf_ struct kiln_buf bytes = KILN_BUF_INIT;

        if (kiln_dsse_signature(envelope, &bytes) == 0)
                memcpy(e->signature, bytes.data, sizeof(e->signature));
}

void kiln_envelope_log_entry(
        const struct kiln_envelope *e, const struct kiln_verify_keys *keys, struct kiln_buf *out)
{
        kiln_log_entry_write(&e->payload_sha256, e->signature, keys->keys[e->key].key, out);
}

static int open_part(const struct kiln_dsse_text *text, const json_t *envelope,
        const struct kiln_verify_keys *keys, const char *name, struct kiln_envelope **ret,
        struct kiln_error *err)
{
        _cleanup_free_ EVP_PKEY **all = kiln_calloc(keys->n ? keys->n : 1, sizeof(*all));
        _cleanup_buf_ struct kiln_buf payload = KILN_BUF_INIT;
        size_t key;
        int r;

        for (size_t i = 0; i < keys->n; i++)
                all[i] = keys->keys[i].key;
        r = kiln_dsse_open_json(text, envelope, KILN_DSSE_INTOTO, all, keys->n, name, &payload, &key, err);
        if (r == 0)
                r = kiln_envelope_read_payload(kiln_buf_str(&payload), payload.len, name, ret, err);
        if (r == 0)
                (*ret)->key = key;
        if (r == 0)
                take_signature(*ret, envelope);
        return r;
}

int kiln_envelope_open_json(const struct kiln_dsse_text *text, const json_t *envelope,
        const struct kiln_verify_keys *keys, const char *name, struct kiln_envelope **ret,
        struct kiln_error *err)
{
        int r = open_part(text, envelope, keys, name, ret, err);

        if (r == 0)
                (*ret)->sha256 = kiln_dsse_digest(text, envelope);
        return r;
}

int kiln_envelope_open(const char *text, size_t len, const struct kiln_verify_keys *keys, const char *name,
        struct kiln_envelope **ret, struct kiln_error *err)
{
        _cleanup_dsse_text_ struct kiln_dsse_text parsed = {0};
        int r = kiln_dsse_parse(text, len, name, &parsed, err);

        if (r == 0)
                r = open_part(&parsed, parsed.json, keys, name, ret, err);
        if (r == 0)
                (*ret)->sha256 = kiln_digest_of(text, len);
        return r;
}

/* ---- a file of them ---------------------------------------------------------------------------------- */

struct kiln_envelopes {
        int fd;
        char *name;
        struct kiln_buf ahead; /* the line that was read last, and what was read behind it */
        size_t line_len;       /* with its newline; 0: there is none yet */
        size_t lines;
        bool end;
};

void kiln_envelopes_free(struct kiln_envelopes *e)
{
        if (!e)
                return;
        if (e->fd >= 0)
                close(e->fd);
        free(e->name);
        kiln_buf_clear(&e->ahead);
        free(e);
}

int kiln_envelopes_open(int dir_fd, const char *path, struct kiln_envelopes **ret, struct kiln_error *err)
{
        _cleanup_(kiln_envelopes_freep) struct kiln_envelopes *e = kiln_calloc(1, sizeof(*e));
        struct stat st;

        e->name = kiln_strdup(kiln_path_base(path));
        e->fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (e->fd < 0 || fstat(e->fd, &st) < 0)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, errno, "reading the attestations in", path, "cannot open it");
        if (!S_ISREG(st.st_mode) || st.st_size > (off_t)KILN_ENVELOPES_BYTES_MAX)
                return kiln_error_set(err, KILN_BAD_INPUT, S_ISREG(st.st_mode) ? EFBIG : EINVAL,
                        "reading the attestations in", path, "it is no regular file of a sane size");
        *ret = TAKE_PTR(e);
        return 0;
}

/* Leaves the next line at the start of e->ahead. KILN_ENVELOPES_END: there is none. */
static int next_line(struct kiln_envelopes *e, size_t *ret_len, struct kiln_error *err)
{
        size_t seen = 0;

        if (e->line_len) {
                e->ahead.len -= e->line_len;
                memmove(e->ahead.data, e->ahead.data + e->line_len, e->ahead.len + 1);
                e->line_len = 0;
        }
        for (;;) {
                char chunk[65536];
                const char *newline =
                        e->ahead.len > seen ? memchr(e->ahead.data + seen, '\n', e->ahead.len - seen) : NULL;
                ssize_t n;

                if (newline) {
                        *ret_len = (size_t)(newline - e->ahead.data);
                        return 0;
                }
                if (e->end && e->ahead.len == 0)
                        return KILN_ENVELOPES_END;
                if (e->end)
                        return kiln_error_set(err, KILN_BAD_INPUT, 0, "reading the attestations in", e->name,
                                "its last line is cut off");
                seen = e->ahead.len;
                if (seen > KILN_DSSE_ENVELOPE_MAX)
                        return kiln_error_set(err, KILN_BAD_INPUT, EFBIG, "reading the attestations in",
                                e->name, "a line is too long for an envelope");
                n = read(e->fd, chunk, sizeof(chunk));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return kiln_error_set(err, KILN_INFRA, errno, "reading the attestations in", e->name,
                                "cannot read it");
                kiln_buf_append(&e->ahead, chunk, (size_t)n);
                e->end = n == 0;
        }
}

int kiln_envelopes_next(struct kiln_envelopes *e, const struct kiln_verify_keys *keys,
        struct kiln_envelope **ret, struct kiln_error *err)
{
        _cleanup_free_ char *name = NULL;
        size_t len = 0;
        int r = next_line(e, &len, err);

        if (r != 0) {
                kiln_buf_clear(&e->ahead);
                e->end = true;
                return r;
        }
        e->line_len = len + 1;
        name = kiln_asprintf("%s line %zu", e->name, ++e->lines);
        if (e->lines > KILN_ENVELOPES_MAX) {
                /* One error and the end: there can be a thousand million lines. */
                kiln_buf_clear(&e->ahead);
                e->line_len = 0;
                e->end = true;
                return kiln_error_set(
                        err, KILN_BAD_INPUT, E2BIG, "reading the attestations in", e->name, "too many lines");
        }
        r = kiln_envelope_open(kiln_buf_str(&e->ahead), len, keys, name, ret, err);
        if (r == 0)
                (*ret)->line = e->lines;
        return r;
}

const char *kiln_envelopes_text(const struct kiln_envelopes *e, size_t *ret_len)
{
        *ret_len = e->line_len ? e->line_len - 1 : 0;
        return kiln_buf_str(&e->ahead);
}

const struct kiln_envelope_subject *kiln_envelope_subject_find(
        const struct kiln_envelope *e, const char *name)
{
        const struct kiln_envelope_subject wanted = {.name = (char *)name};

        return bsearch(&wanted, e->subjects, e->n_subjects, sizeof(*e->subjects), compare_subjects);
}

bool kiln_envelope_subject_matches(
        const struct kiln_envelope_subject *s, const struct kiln_rpm_digests *d, unsigned unknown)
{
        struct kiln_envelope_subject own = *s;
        struct kiln_rpm_digests theirs = *d;
        bool compared = false;

        for (size_t f = 0; f < KILN_SUBJECT_DIGESTS; f++) {
                if (!(s->have & ~unknown & 1U << f))
                        continue;
                if (!kiln_digest_equal(field_of(&own.digests, f), field_of(&theirs, f)))
                        return false;
                compared = true;
        }
        return compared;
}
