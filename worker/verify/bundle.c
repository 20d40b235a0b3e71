#include "worker/verify/bundle.h"

#include "worker/base/base64.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MEDIA_TYPE "application/vnd.dev.sigstore.bundle.v0.3+json"
#define MATERIAL "verificationMaterial"
#define LOG_ENTRIES_MAX 16
#define BODY "canonicalizedBody"
#define STAMP_TEXT_MAX (4 * ((KILN_TIMESTAMP_MAX + 2) / 3)) /* base64 */

static const struct {
        const char *type, *kind;
} kinds[] = {
        {KILN_PREDICATE_PROVENANCE, "provenance"},
        {KILN_PREDICATE_SPDX, "spdx"},
        {KILN_PREDICATE_CYCLONEDX, "cyclonedx"},
        {KILN_PREDICATE_VSA, "summary"},
};
#define TEST_PREFIX "test-"
#define ENVELOPES_SUFFIX ".intoto.jsonl"

static bool is_word(const char *s, size_t len)
{
        return len > 0 && len < 64 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789") >= len;
}

bool kiln_bundle_is_suffix(const char *rest)
{
        size_t n = strlen(rest), m = strlen(KILN_BUNDLE_SUFFIX);

        if (*rest != '.' || n <= m || strcmp(rest + n - m, KILN_BUNDLE_SUFFIX) != 0)
                return false;
        rest++;
        n -= m + 1;
        for (size_t i = 0; i < KILN_ARRAY_SIZE(kinds); i++)
                if (strlen(kinds[i].kind) == n && strncmp(rest, kinds[i].kind, n) == 0)
                        return true;
        m = strlen(TEST_PREFIX);
        return n > m && strncmp(rest, TEST_PREFIX, m) == 0 && is_word(rest + m, n - m);
}

char *kiln_bundle_kind(const struct kiln_envelope *e)
{
        const char *test;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(kinds); i++)
                if (strcmp(kinds[i].type, e->predicate_type) == 0)
                        return kiln_strdup(kinds[i].kind);
        test = json_string_value(
                json_object_get(json_array_get(json_object_get(e->predicate, "configuration"), 0), "name"));
        if (strcmp(e->predicate_type, KILN_PREDICATE_TEST) != 0 || !test || !is_word(test, strlen(test)))
                return NULL;
        return kiln_asprintf(TEST_PREFIX "%s", test);
}

json_t *kiln_bundle_write(const json_t *envelope, const char *keyid)
{
        return json_pack("{s:s, s:{s:{s:s}}, s:O}", "mediaType", MEDIA_TYPE, MATERIAL, "publicKey", "hint",
                keyid, "dsseEnvelope", envelope);
}

json_t *kiln_bundle_at(int dir_fd, const char *path, const json_t *envelope, const char *keyid)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        _cleanup_json_ json_t *old = NULL;

        if (kiln_file_read(dir_fd, path, KILN_DSSE_ENVELOPE_MAX, &text) == 0 &&
                kiln_json_parse_bounded(
                        kiln_buf_str(&text), text.len, KILN_DSSE_ITEMS_MAX, path, &old, NULL) == 0 &&
                json_is_object(json_object_get(old, MATERIAL)) &&
                json_equal(json_object_get(old, "dsseEnvelope"), envelope))
                return TAKE_PTR(old);
        return kiln_bundle_write(envelope, keyid);
}

static json_t *stamps_of(const json_t *bundle)
{
        return json_object_get(
                json_object_get(json_object_get(bundle, MATERIAL), "timestampVerificationData"),
                "rfc3161Timestamps");
}

void kiln_bundle_add_stamp(json_t *bundle, const void *der, size_t len)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;

        if (!stamps_of(bundle))
                json_object_set_new(json_object_get(bundle, MATERIAL), "timestampVerificationData",
                        json_pack("{s:[]}", "rfc3161Timestamps"));
        kiln_base64_encode(der, len, &text);
        json_array_append_new(stamps_of(bundle), json_pack("{s:s}", "signedTimestamp", kiln_buf_str(&text)));
}

static int stamp(json_t *bundle, const json_t *envelope, struct kiln_tsa *tsa, const char *name,
        struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf signature = KILN_BUF_INIT, der = KILN_BUF_INIT;
        int r = kiln_dsse_signature(envelope, &signature);

        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, -r, "stamping", name, "it has no signature");
        if (json_array_size(stamps_of(bundle)) >= KILN_BUNDLE_STAMPS_MAX)
                return kiln_error_set(err, KILN_INFRA, E2BIG, "stamping", name,
                        "it has as many time stamps as a bundle may have");
        r = kiln_tsa_stamp(tsa, signature.data, signature.len, &der, err);
        if (r == 0)
                kiln_bundle_add_stamp(bundle, der.data, der.len);
        return r;
}

int kiln_bundle_make(const struct kiln_envelopes *lines, const struct kiln_envelope *e,
        const struct kiln_verify_keys *keys, struct kiln_tsa *tsa, const char *stem, int dir_fd,
        char **ret_name, struct kiln_buf *text, struct kiln_error *err)
{
        _cleanup_free_ char *kind = kiln_bundle_kind(e), *name = NULL;
        _cleanup_json_ json_t *envelope = NULL, *bundle = NULL;
        const char *line;
        size_t len;
        int r;

        if (!kind)
                return KILN_BUNDLE_NAMELESS;
        line = kiln_envelopes_text(lines, &len);
        r = kiln_json_parse(line, len, stem, &envelope, err);
        if (r < 0)
                return r;
        name = kiln_asprintf("%s.%s" KILN_BUNDLE_SUFFIX, stem, kind);
        bundle = dir_fd < 0 ? kiln_bundle_write(envelope, keys->keys[e->key].keyid)
                            : kiln_bundle_at(dir_fd, name, envelope, keys->keys[e->key].keyid);
        if (tsa)
                r = stamp(bundle, envelope, tsa, stem, err);
        if (r < 0)
                return r;
        kiln_json_canonical(bundle, text);
        kiln_buf_putc(text, '\n');
        *ret_name = TAKE_PTR(name);
        return 0;
}

int kiln_bundle_refuse_second(
        const struct kiln_envelope *e, const char *file, const char *kind, struct kiln_error *err)
{
        kiln_error_set(err, KILN_BAD_INPUT, EEXIST, "writing bundles of", file,
                "line %zu is a second one of the kind %s, and both would have one name", e->line, kind);
        kiln_error_advise(err, "Put it into another file <nvr>" ENVELOPES_SUFFIX ", in another directory.");
        return -EEXIST;
}

int kiln_bundle_export(const char *directory, const char *file, const struct kiln_verify_keys *keys,
        struct kiln_tsa *tsa, const char *out_dir, struct kiln_error *err)
{
        _cleanup_(kiln_envelopes_freep) struct kiln_envelopes *lines = NULL;
        _cleanup_free_ char *path = kiln_path_join(directory, file),
                            *stem = kiln_strndup(file, strlen(file) - strlen(ENVELOPES_SUFFIX));
        _cleanup_strv_ char **kinds_had = NULL;
        _cleanup_close_ int out_fd = kiln_dir_make(AT_FDCWD, out_dir, 0755);
        int r;

        if (out_fd < 0)
                return kiln_error_set(err, KILN_INFRA, -out_fd, "writing bundles into", out_dir,
                        "cannot make the directory");
        r = kiln_envelopes_open(AT_FDCWD, path, &lines, err);
        while (r == 0) {
                _cleanup_(kiln_envelope_freep) struct kiln_envelope *e = NULL;
                _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
                _cleanup_free_ char *kind = NULL, *name = NULL;

                r = kiln_envelopes_next(lines, keys, &e, err);
                if (r != 0)
                        break;
                kind = kiln_bundle_kind(e);
                if (!kind)
                        continue;
                if (kiln_strv_contains(kinds_had, kind))
                        return kiln_bundle_refuse_second(e, path, kind, err);
                kiln_strv_append(&kinds_had, kind);
                r = kiln_bundle_make(lines, e, keys, tsa, stem, out_fd, &name, &text, err);
                if (r < 0)
                        break;
                r = kiln_file_write(out_fd, name, text.data, text.len, 0644);
                if (r < 0)
                        kiln_error_set(err, KILN_INFRA, -r, "writing the bundle", name, "cannot write it");
        }
        return r < 0 ? r : 0;
}

static int bad(struct kiln_error *err, const char *name, const char *what)
{
        return kiln_error_set(err, KILN_BAD_INPUT, 0, "reading the bundle", name, "%s", what);
}

/* Which log they are of, and whether they hold, is the judge's business. */
static int read_log_entries(const struct kiln_dsse_text *text, const json_t *material,
        struct kiln_envelope *e, const char *name, struct kiln_error *err)
{
        json_t *entries = json_object_get(material, "tlogEntries"), *one;
        size_t i;

        if (!entries || json_is_null(entries) || (json_is_array(entries) && json_array_size(entries) == 0))
                return 0;
        if (!json_is_array(entries) || json_array_size(entries) > LOG_ENTRIES_MAX)
                return bad(err, name, "its log entries are no list of a sane length");
        /* What was cut out of the text can be a body, where that is longer than the payload. */
        json_array_foreach(entries, i, one)
        {
                size_t len;
                const char *body = kiln_dsse_string(text, one, BODY, &len);

                if (body && text->cut == body)
                        json_object_set_new(one, BODY, json_stringn(body, len));
        }
        e->log_entries = json_incref(entries);
        return 0;
}

int kiln_bundle_parse(const char *text, size_t len, const struct kiln_verify_keys *keys, const char *name,
        struct kiln_envelope **ret, struct kiln_error *err)
{
        _cleanup_(kiln_envelope_freep) struct kiln_envelope *e = NULL;
        _cleanup_dsse_text_ struct kiln_dsse_text parsed = {0};
        const json_t *bundle, *material, *envelope;
        const char *type;
        int r = kiln_dsse_parse(text, len, name, &parsed, err);

        if (r < 0)
                return r;
        bundle = parsed.json;
        type = json_string_value(json_object_get(bundle, "mediaType"));
        material = json_object_get(bundle, MATERIAL);
        envelope = json_object_get(bundle, "dsseEnvelope");
        if (!type || strcmp(type, MEDIA_TYPE) != 0)
                return bad(err, name, "its media type is not " MEDIA_TYPE);
        if (!envelope || json_object_get(bundle, "messageSignature"))
                return bad(err, name, "it holds no DSSE envelope");
        if (!json_is_object(json_object_get(material, "publicKey")) ||
                json_object_get(material, "certificate") || json_object_get(material, "x509CertificateChain"))
                return bad(err, name, "it was signed with a certificate; only keys are accepted");
        r = kiln_envelope_open_json(&parsed, envelope, keys, name, &e, err);
        if (r == 0)
                r = read_log_entries(&parsed, material, e, name, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(e);
        return 0;
}

int kiln_bundle_read(int dir_fd, const char *path, const struct kiln_verify_keys *keys,
        struct kiln_envelope **ret, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        int r = kiln_file_read(dir_fd, path, KILN_DSSE_ENVELOPE_MAX, &text);

        if (r < 0)
                return kiln_error_set(err, KILN_BAD_INPUT, -r, "reading the bundle", kiln_path_base(path),
                        "cannot read it");
        return kiln_bundle_parse(kiln_buf_str(&text), text.len, keys, kiln_path_base(path), ret, err);
}

/* ---- time stamps ------------------------------------------------------------------------------------- */

void kiln_bundle_stamps_clear(struct kiln_bundle_stamps *s)
{
        for (size_t i = 0; i < s->n; i++)
                kiln_buf_clear(&s->stamps[i]);
        free(s->stamps);
        kiln_buf_clear(&s->signature);
        *s = (struct kiln_bundle_stamps){0};
}

static int read_stamps(const struct kiln_dsse_text *parsed, const json_t *list, const char *name,
        struct kiln_bundle_stamps *s, struct kiln_error *err)
{
        const json_t *one;
        size_t i;

        if (!json_is_array(list) || json_array_size(list) > KILN_BUNDLE_STAMPS_MAX)
                return bad(err, name, "its time stamps are no list of a sane length");
        json_array_foreach(list, i, one)
        {
                size_t len;
                const char *text = kiln_dsse_string(parsed, one, "signedTimestamp", &len);
                struct kiln_buf *der = KILN_APPEND(s->stamps, s->n);

                if (!text || len > STAMP_TEXT_MAX || kiln_base64_decode(text, len, der) < 0)
                        return bad(err, name, "a time stamp in it is no base64 of a sane length");
        }
        return 0;
}

int kiln_bundle_stamps_parse(const char *text, size_t len, const char *name, struct kiln_bundle_stamps *ret,
        struct kiln_error *err)
{
        _cleanup_(kiln_bundle_stamps_clear) struct kiln_bundle_stamps s = {0};
        _cleanup_dsse_text_ struct kiln_dsse_text parsed = {0};
        int r;

        *ret = s;
        if (kiln_dsse_parse(text, len, name, &parsed, NULL) < 0 || !stamps_of(parsed.json))
                return 0;
        if (kiln_dsse_signature(json_object_get(parsed.json, "dsseEnvelope"), &s.signature) < 0) {
                kiln_buf_reset(&s.signature);
                return 0;
        }
        r = read_stamps(&parsed, stamps_of(parsed.json), name, &s, err);
        if (r < 0)
                return r;
        *ret = s;
        s = (struct kiln_bundle_stamps){0};
        return 0;
}

int kiln_bundle_stamps_read(
        int dir_fd, const char *path, struct kiln_bundle_stamps *ret, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;

        *ret = (struct kiln_bundle_stamps){0};
        if (kiln_file_read(dir_fd, path, KILN_DSSE_ENVELOPE_MAX, &text) < 0)
                return 0;
        return kiln_bundle_stamps_parse(kiln_buf_str(&text), text.len, kiln_path_base(path), ret, err);
}
