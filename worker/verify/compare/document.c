/* Documents of result directories: JSON value by value, in-toto envelopes statement by statement, anything
 * else by bytes. Signatures are compared, not checked: that is the work of kiln verify. */
#include "worker/verify/compare/private.h"

#include "worker/base/file.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>

#define JSON_BYTES_MAX ((size_t)64 << 20) /* larger documents are compared by bytes */
#define ENVELOPES_MAX 256
#define DIFFERENCES_MAX 200 /* of one document */

static const char runs_note[] = "runDetails of the provenance, which differ: times and host of one run";

struct document {
        struct kiln_comparison *c;
        const char *name;
        unsigned budget;
};

static void document_add(
        struct document *d, const char *aspect, const char *a, const char *b, const char *detail)
{
        d->c->differs = true;
        if (d->budget == 0) {
                d->c->cut++;
                return;
        }
        d->budget--;
        compare_add(d->c, KILN_DIFFERENCE_DOCUMENT, d->name, aspect, a, b, detail);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static char *json_text(const json_t *j)
{
        struct kiln_buf b = KILN_BUF_INIT;

        if (!j)
                return NULL;
        if (json_is_string(j))
                return kiln_strdup(json_string_value(j));
        kiln_json_canonical(j, &b);
        return kiln_buf_take(&b);
}

static void json_compare(struct document *d, const char *pointer, const json_t *a, const json_t *b);

/* One more step of a JSON pointer (RFC 6901). */
static void json_step(
        struct document *d, const char *pointer, const char *key, const json_t *a, const json_t *b)
{
        struct kiln_buf path = KILN_BUF_INIT;

        kiln_buf_puts(&path, pointer);
        kiln_buf_putc(&path, '/');
        for (; *key; key++) {
                if (*key == '~' || *key == '/')
                        kiln_buf_puts(&path, *key == '~' ? "~0" : "~1");
                else
                        kiln_buf_putc(&path, *key);
        }
        json_compare(d, kiln_buf_str(&path), a, b);
        kiln_buf_clear(&path);
}

static void objects_compare(struct document *d, const char *pointer, const json_t *a, const json_t *b)
{
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)a, key, value)
                json_step(d, pointer, key, value, json_object_get(b, key));
        json_object_foreach((json_t *)b, key, value) if (!json_object_get(a, key))
                json_step(d, pointer, key, NULL, value);
}

/* What is equal at both ends is left out, so that one more element is one difference. */
static void arrays_compare(struct document *d, const char *pointer, const json_t *a, const json_t *b)
{
        size_t n = json_array_size(a), m = json_array_size(b), first = 0, last = 0;

        while (first < n && first < m && json_equal(json_array_get(a, first), json_array_get(b, first)))
                first++;
        while (last < n - first && last < m - first &&
                json_equal(json_array_get(a, n - 1 - last), json_array_get(b, m - 1 - last)))
                last++;
        for (size_t i = first; i < n - last || i < m - last; i++) {
                _cleanup_free_ char *key = kiln_asprintf("%zu", i);

                json_step(d, pointer, key, i < n - last ? json_array_get(a, i) : NULL,
                        i < m - last ? json_array_get(b, i) : NULL);
        }
}

static void json_compare(struct document *d, const char *pointer, const json_t *a, const json_t *b)
{
        _cleanup_free_ char *left = NULL, *right = NULL;

        if (a && b && json_equal(a, b))
                return;
        if (json_is_object(a) && json_is_object(b))
                return objects_compare(d, pointer, a, b);
        if (json_is_array(a) && json_is_array(b))
                return arrays_compare(d, pointer, a, b);
        if (d->budget == 0)
                return document_add(d, pointer, NULL, NULL, NULL);
        left = json_text(a);
        right = json_text(b);
        document_add(d, pointer, left, right, NULL);
}

/* ---- in-toto envelopes ----------------------------------------------------------------------- */

struct statement {
        json_t *envelope, *statement;
        const char *type; /* predicate type; borrowed */
        bool used;
        bool canonical; /* written as kiln writes envelopes */
};

struct statements {
        struct statement *list;
        size_t n;
};

static void statements_clear(struct statements *s)
{
        for (size_t i = 0; i < s->n; i++) {
                json_decref(s->list[i].envelope);
                json_decref(s->list[i].statement);
        }
        free(s->list);
}

/* The payload of an envelope as JSON, or NULL. */
static json_t *payload_parse(const json_t *envelope, const char *name)
{
        const json_t *text = json_object_get(envelope, "payload");
        size_t len = json_string_length(text), padding = 0;
        _cleanup_free_ unsigned char *bytes = NULL;
        json_t *j = NULL;
        int n;

        if (len == 0 || len % 4 != 0 || len > INT32_MAX)
                return NULL;
        for (const char *s = json_string_value(text); padding < 2 && s[len - 1 - padding] == '=';)
                padding++;
        bytes = kiln_malloc(len / 4 * 3 + 1);
        n = EVP_DecodeBlock(bytes, (const unsigned char *)json_string_value(text), (int)len);
        if (n < (int)padding || kiln_json_parse((const char *)bytes, (size_t)n - padding, name, &j, NULL) < 0)
                return NULL;
        return j;
}

static bool is_canonical(const json_t *j, const char *text, size_t len)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        kiln_json_canonical(j, &b);
        return b.len == len && memcmp(b.data, text, len) == 0;
}

/* -EBADMSG: not one envelope a line. */
static int statements_read(const struct kiln_buf *text, const char *name, struct statements *ret)
{
        const char *at = kiln_buf_str(text), *limit = at + text->len;

        while (at < limit) {
                const char *end = memchr(at, '\n', (size_t)(limit - at));
                struct statement *s;

                if (!end || ret->n >= ENVELOPES_MAX)
                        return -EBADMSG;
                s = KILN_APPEND(ret->list, ret->n);
                if (kiln_json_parse(at, (size_t)(end - at), name, &s->envelope, NULL) < 0)
                        return -EBADMSG;
                s->canonical = is_canonical(s->envelope, at, (size_t)(end - at));
                s->statement = payload_parse(s->envelope, name);
                s->type = json_string_value(json_object_get(s->statement, "predicateType"));
                if (!s->type)
                        return -EBADMSG;
                at = end + 1;
        }
        return 0;
}

static struct statement *statement_find(struct statements *s, const char *type)
{
        for (size_t i = 0; i < s->n; i++)
                if (!s->list[i].used && strcmp(s->list[i].type, type) == 0)
                        return &s->list[i];
        return NULL;
}

/* A published file's digest is another one under another signature. */
static void forget_signed_digests(json_t *statement)
{
        json_t *subjects = json_object_get(statement, "subject"), *subject;
        size_t i;

        json_array_foreach(subjects, i, subject)
                json_object_del(json_object_get(subject, "digest"), "sha256");
}

/* What is neither payload nor signature, and what JSON does not show: the same in other words, or in another
 * order. */
static void envelope_compare(struct document *d, const struct statement *a, const struct statement *b)
{
        _cleanup_json_ json_t *x = json_copy(a->envelope), *y = json_copy(b->envelope);
        _cleanup_free_ char *pointer = kiln_asprintf("%s envelope ", a->type);

        if (json_equal(a->statement, b->statement) &&
                !json_equal(json_object_get(x, "payload"), json_object_get(y, "payload")))
                document_add(d, a->type, "", "", "the same statement in other bytes");
        if (a->canonical != b->canonical)
                document_add(d, a->type, a->canonical ? "canonical" : "not canonical",
                        b->canonical ? "canonical" : "not canonical",
                        "the way in which the envelope is written");
        json_object_del(x, "payload");
        json_object_del(y, "payload");
        json_object_del(x, "signatures");
        json_object_del(y, "signatures");
        json_compare(d, pointer, x, y);
}

static void statement_compare(
        struct document *d, struct statement *a, struct statement *b, const struct kiln_compare_options *o)
{
        _cleanup_free_ char *pointer = kiln_asprintf("%s ", a->type);
        json_t *run_a = json_object_get(json_object_get(a->statement, "predicate"), "runDetails"),
               *run_b = json_object_get(json_object_get(b->statement, "predicate"), "runDetails");

        if (run_a && run_b && strcmp(a->type, "https://slsa.dev/provenance/v1") == 0 &&
                !json_equal(run_a, run_b)) {
                compare_ignore(&d->c->ignored, "%s", runs_note);
                json_object_del(json_object_get(a->statement, "predicate"), "runDetails");
                json_object_del(json_object_get(b->statement, "predicate"), "runDetails");
        }
        if (o->ignore_signature) {
                forget_signed_digests(a->statement);
                forget_signed_digests(b->statement);
        }
        json_compare(d, pointer, a->statement, b->statement);
}

/* Whether signatures differ where what they sign does not: of two statements they have to, even if what
 * differs there is set aside. */
static void signatures_compare(struct document *d, const struct statement *a, const struct statement *b,
        const struct kiln_compare_options *o)
{
        const json_t *x = json_object_get(a->envelope, "signatures"),
                     *y = json_object_get(b->envelope, "signatures");
        _cleanup_free_ char *left = NULL, *right = NULL;

        if (json_equal(x, y))
                return;
        if (o->ignore_signature) {
                compare_ignore(&d->c->ignored, "signatures of %s, which differ", a->type);
                return;
        }
        if (!json_equal(a->statement, b->statement))
                return;
        left = json_text(x);
        right = json_text(y);
        compare_add(d->c, KILN_DIFFERENCE_SIGNATURE, a->type, "", left, right, "signatures of the envelope");
}

static int envelopes_compare(struct document *d, const struct kiln_buf *a, const struct kiln_buf *b,
        const struct kiln_compare_options *o)
{
        _cleanup_(statements_clear) struct statements x = {0}, y = {0};
        int r = statements_read(a, d->name, &x);

        if (r == 0)
                r = statements_read(b, d->name, &y);
        if (r < 0)
                return r;
        if (o->ignore_signature)
                compare_ignore(&d->c->ignored, "subjects' sha256, which is of the signed files");
        for (size_t i = 0; i < x.n; i++) {
                struct statement *other = statement_find(&y, x.list[i].type);

                x.list[i].used = true;
                if (!other) {
                        document_add(d, x.list[i].type, "a statement", NULL, NULL);
                        continue;
                }
                other->used = true;
                if ((size_t)(other - y.list) != i)
                        document_add(d, x.list[i].type, "", "", "statements come in another order");
                envelope_compare(d, &x.list[i], other);
                signatures_compare(d, &x.list[i], other, o);
                statement_compare(d, &x.list[i], other, o); /* takes out of them what is set aside */
        }
        for (size_t k = 0; k < y.n; k++)
                if (!y.list[k].used)
                        document_add(d, y.list[k].type, NULL, "a statement", NULL);
        return 0;
}

/* ---- any document ---------------------------------------------------------------------------- */

static int bytes_differ(struct document *d, int a, uint64_t a_size, int b, uint64_t b_size, uint64_t at)
{
        _cleanup_free_ char *aspect = kiln_asprintf("byte %" PRIu64, at), *left = NULL, *right = NULL,
                            *detail = kiln_asprintf("of %" PRIu64 " and %" PRIu64 " bytes", a_size, b_size);
        unsigned char x[16], y[16];
        ssize_t n = pread(a, x, sizeof(x), (off_t)at), m = pread(b, y, sizeof(y), (off_t)at);

        if (n < 0 || m < 0)
                return -errno;
        left = n ? compare_hex(x, (size_t)n) : NULL;
        right = m ? compare_hex(y, (size_t)m) : NULL;
        document_add(d, aspect, left, right, detail);
        return 0;
}

static int both_read(int a, int b, struct kiln_buf *x, struct kiln_buf *y)
{
        int r = lseek(a, 0, SEEK_SET) < 0 || lseek(b, 0, SEEK_SET) < 0 ? -errno : 0;

        if (r == 0)
                r = kiln_fd_read(a, JSON_BYTES_MAX, x);
        return r < 0 ? r : kiln_fd_read(b, JSON_BYTES_MAX, y);
}

/* -EBADMSG: they cannot be read as what they should be. */
static int look(
        struct document *d, enum compare_document kind, int a, int b, const struct kiln_compare_options *o)
{
        _cleanup_buf_ struct kiln_buf x = KILN_BUF_INIT, y = KILN_BUF_INIT;
        _cleanup_json_ json_t *left = NULL, *right = NULL;
        int r = kind == COMPARE_BYTES ? -EBADMSG : both_read(a, b, &x, &y);

        if (r < 0)
                return r == -EFBIG ? -EBADMSG : r;
        if (kind == COMPARE_ENVELOPES)
                return envelopes_compare(d, &x, &y, o);
        if (kiln_json_parse(kiln_buf_str(&x), x.len, d->name, &left, NULL) < 0 ||
                kiln_json_parse(kiln_buf_str(&y), y.len, d->name, &right, NULL) < 0)
                return -EBADMSG;
        json_compare(d, "", left, right);
        return 0;
}

int compare_documents(enum compare_document kind, int a, int b, const struct kiln_compare_options *o,
        struct kiln_comparison *c, struct kiln_error *err)
{
        struct document d = {.c = c, .name = c->name, .budget = DIFFERENCES_MAX};
        struct stat x, y;
        uint64_t most, at = 0;
        int r = fstat(a, &x) < 0 || fstat(b, &y) < 0 ? -errno : 0;

        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, r, "comparing", c->name, "cannot look at the file");
        most = (uint64_t)(x.st_size > y.st_size ? x.st_size : y.st_size);
        r = compare_bytes(a, 0, b, 0, most, &at);
        if (r == 0 && at == most)
                return 0; /* level SAME_FILE, as it was made */
        if (r == 0)
                r = look(&d, kind, a, b, o);
        /* No JSON, or the same JSON in other words: but not the same bytes. Envelopes may differ in what is
         * set aside. */
        if (r == -EBADMSG || (r == 0 && !c->differs && kind != COMPARE_ENVELOPES))
                r = bytes_differ(&d, a, (uint64_t)x.st_size, b, (uint64_t)y.st_size, at);
        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, r, "comparing", c->name, "cannot read it");
        compare_sort(c);
        c->level = KILN_SAME_CONTENT;
        for (size_t i = 0; i < c->n_differences; i++)
                if (c->differences[i].kind != KILN_DIFFERENCE_SIGNATURE)
                        c->level = KILN_DIFFERENT;
        return 0;
}
