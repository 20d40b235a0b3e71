#include "worker/verify/bundle.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MEDIA_TYPE "application/vnd.dev.sigstore.bundle.v0.3+json"

static const struct {
        const char *type, *kind;
} kinds[] = {
        {KILN_PREDICATE_PROVENANCE, "provenance"},
        {KILN_PREDICATE_SPDX, "spdx"},
        {KILN_PREDICATE_CYCLONEDX, "cyclonedx"},
        {KILN_PREDICATE_VSA, "summary"},
};
#define LOG_ENTRIES_MAX 16
#define BODY "canonicalizedBody"
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
        return json_pack("{s:s, s:{s:{s:s}}, s:O}", "mediaType", MEDIA_TYPE, "verificationMaterial",
                "publicKey", "hint", keyid, "dsseEnvelope", envelope);
}

static int write_one(const struct kiln_envelopes *lines, const struct kiln_envelope *e,
        const struct kiln_verify_keys *keys, const char *stem, int out_fd, struct kiln_error *err)
{
        _cleanup_free_ char *kind = kiln_bundle_kind(e), *name = NULL;
        _cleanup_json_ json_t *envelope = NULL, *bundle = NULL;
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;
        const char *text;
        size_t len;
        int r;

        if (!kind)
                return 0;
        text = kiln_envelopes_text(lines, &len);
        r = kiln_json_parse(text, len, stem, &envelope, err);
        if (r < 0)
                return r;
        bundle = kiln_bundle_write(envelope, keys->keys[e->key].keyid);
        kiln_json_canonical(bundle, &out);
        kiln_buf_putc(&out, '\n');
        name = kiln_asprintf("%s.%s" KILN_BUNDLE_SUFFIX, stem, kind);
        r = kiln_file_write(out_fd, name, out.data, out.len, 0644);
        return r < 0 ? kiln_error_set(err, KILN_INFRA, -r, "writing the bundle", name, "cannot write it") : 0;
}

int kiln_bundle_export(const char *directory, const char *file, const struct kiln_verify_keys *keys,
        const char *out_dir, struct kiln_error *err)
{
        _cleanup_(kiln_envelopes_freep) struct kiln_envelopes *lines = NULL;
        _cleanup_free_ char *path = kiln_path_join(directory, file),
                            *stem = kiln_strndup(file, strlen(file) - strlen(ENVELOPES_SUFFIX));
        _cleanup_close_ int out_fd = kiln_dir_make(AT_FDCWD, out_dir, 0755);
        int r;

        if (out_fd < 0)
                return kiln_error_set(err, KILN_INFRA, -out_fd, "writing bundles into", out_dir,
                        "cannot make the directory");
        r = kiln_envelopes_open(AT_FDCWD, path, &lines, err);
        while (r == 0) {
                _cleanup_(kiln_envelope_freep) struct kiln_envelope *e = NULL;

                r = kiln_envelopes_next(lines, keys, &e, err);
                if (r == 0)
                        r = write_one(lines, e, keys, stem, out_fd, err);
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
        material = json_object_get(bundle, "verificationMaterial");
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
