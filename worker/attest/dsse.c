#include "worker/attest/dsse.h"

#include "worker/base/base64.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <string.h>

#define DOING "checking the signature of"

static void pae_head(const char *type, size_t len, struct kiln_buf *out)
{
        kiln_buf_printf(out, "DSSEv1 %zu %s %zu ", strlen(type), type, len);
}

void kiln_dsse_pae(const char *type, const void *payload, size_t len, struct kiln_buf *out)
{
        pae_head(type, len, out);
        kiln_buf_append(out, payload, len);
}

void kiln_dsse_write(const char *type, const void *payload, size_t len, const char *keyid,
        const unsigned char signature[64], struct kiln_buf *out)
{
        /* Base64 needs no escapes and keyid is hex, so the canonical form can be written as it stands. */
        kiln_buf_puts(out, "{\"payload\":\"");
        kiln_base64_encode(payload, len, out);
        kiln_buf_printf(
                out, "\",\"payloadType\":\"%s\",\"signatures\":[{\"keyid\":\"%s\",\"sig\":\"", type, keyid);
        kiln_base64_encode(signature, 64, out);
        kiln_buf_puts(out, "\"}]}\n");
}

EVP_PKEY *kiln_dsse_public_key(const char *pem)
{
        BIO *bio = BIO_new_mem_buf(pem, (int)strlen(pem));
        EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;

        BIO_free(bio);
        if (key && EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) {
                EVP_PKEY_free(key);
                key = NULL;
        }
        return key;
}

static bool verifies(EVP_PKEY *key, const struct kiln_buf *pae, const struct kiln_buf *signature)
{
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
                  EVP_DigestVerify(ctx, (const unsigned char *)signature->data, signature->len,
                          (const unsigned char *)pae->data, pae->len) == 1;

        EVP_MD_CTX_free(ctx);
        return ok;
}

/* ---- parsing what nobody vouches for ---------------------------------------------------------------------
 */

static void longest_string(const char *text, size_t len, const char **ret, size_t *ret_len)
{
        *ret = text;
        *ret_len = 0;
        for (size_t i = 0; i < len; i++) {
                size_t begin = i + 1;

                if (text[i] != '"')
                        continue;
                for (i = begin; i < len && text[i] != '"'; i++)
                        i += text[i] == '\\';
                if (i < len && i - begin > *ret_len) {
                        *ret = text + begin;
                        *ret_len = i - begin;
                }
        }
}

/* In a rest without '#', and without the one escape that makes it, only one string can be "#": ours. Other
 * escapes are in every checkpoint. */
static bool can_stand_for(const char *rest, size_t len)
{
        static const char escape[] = "\\u0023";

        return !memchr(rest, KILN_DSSE_CUT[0], len) && !memmem(rest, len, escape, strlen(escape));
}

int kiln_dsse_parse(
        const char *text, size_t len, const char *name, struct kiln_dsse_text *ret, struct kiln_error *err)
{
        enum { LONG = 1024 };
        _cleanup_buf_ struct kiln_buf rest = KILN_BUF_INIT;
        struct kiln_dsse_text t = {0};
        const char *cut, *end;
        size_t cut_len;
        int r;

        longest_string(text, len, &cut, &cut_len);
        end = cut + cut_len;
        if (cut_len >= LONG && len - cut_len <= KILN_DSSE_REST_MAX && !memchr(cut, '\\', cut_len) &&
                can_stand_for(text, (size_t)(cut - text)) && can_stand_for(end, (size_t)(text + len - end))) {
                kiln_buf_append(&rest, text, (size_t)(cut - text));
                kiln_buf_puts(&rest, KILN_DSSE_CUT);
                kiln_buf_append(&rest, end, (size_t)(text + len - end));
                t.cut = cut;
                t.cut_len = cut_len;
                text = rest.data;
                len = rest.len;
        }
        if (len > KILN_DSSE_REST_MAX)
                return kiln_error_set(err, KILN_BAD_INPUT, EFBIG, DOING, name,
                        "it has more beside its payload than an envelope needs");
        r = kiln_json_parse_bounded(text, len, KILN_DSSE_ITEMS_MAX, name, &t.json, err);
        if (r == 0)
                *ret = t;
        return r;
}

void kiln_dsse_text_clear(struct kiln_dsse_text *t)
{
        if (t->json)
                json_decref(t->json);
        *t = (struct kiln_dsse_text){0};
}

struct kiln_digest kiln_dsse_digest(const struct kiln_dsse_text *t, const json_t *envelope)
{
        static const char mark[] = "\"" KILN_DSSE_CUT "\"";
        _cleanup_buf_ struct kiln_buf canonical = KILN_BUF_INIT;
        _cleanup_hasher_ struct kiln_hasher *h = kiln_hasher_new();
        const char *at;
        size_t before;

        kiln_json_canonical(envelope, &canonical);
        at = t->cut ? memmem(canonical.data, canonical.len, mark, strlen(mark)) : NULL;
        before = at ? (size_t)(at + 1 - canonical.data) : canonical.len;
        kiln_hasher_update(h, canonical.data, before);
        if (at) {
                kiln_hasher_update(h, t->cut, t->cut_len);
                kiln_hasher_update(h, at + 2, canonical.len - before - 1);
        }
        return kiln_hasher_finish(h);
}

const char *kiln_dsse_string(
        const struct kiln_dsse_text *t, const json_t *object, const char *key, size_t *ret_len)
{
        const json_t *j = json_object_get(object, key);

        if (t->cut && json_is_string(j) && strcmp(json_string_value(j), KILN_DSSE_CUT) == 0) {
                *ret_len = t->cut_len;
                return t->cut;
        }
        *ret_len = json_string_length(j);
        return json_string_value(j);
}

/* ---- opening ---------------------------------------------------------------------------------------------
 */

/* A signature is too short to be what was cut out. */
int kiln_dsse_signature(const json_t *envelope, struct kiln_buf *out)
{
        const json_t *sig =
                json_object_get(json_array_get(json_object_get(envelope, "signatures"), 0), "sig");

        return json_is_string(sig) &&
                               kiln_base64_decode(json_string_value(sig), json_string_length(sig), out) ==
                                       0 &&
                               out->len == KILN_DSSE_SIGNATURE_BYTES
                       ? 0
                       : -EINVAL;
}

int kiln_dsse_open_json(const struct kiln_dsse_text *t, const json_t *envelope, const char *type,
        EVP_PKEY *const *keys, size_t n_keys, const char *name, struct kiln_buf *payload, size_t *ret_key,
        struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf pae = KILN_BUF_INIT, signature = KILN_BUF_INIT;
        size_t text_len, said_len, body_len, head_len;
        const char *said = kiln_dsse_string(t, envelope, "payloadType", &said_len),
                   *text = kiln_dsse_string(t, envelope, "payload", &text_len);
        const json_t *signatures = json_object_get(envelope, "signatures");

        if (!said || !text || !json_is_array(signatures) || text_len % 4 != 0 ||
                text_len / 4 * 3 > KILN_DSSE_PAYLOAD_MAX + 2)
                return kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, name, "it is no DSSE envelope");
        if (strlen(type) != said_len || memcmp(type, said, said_len) != 0)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, 0, DOING, name, "its payload type is not %s", type);
        if (json_array_size(signatures) != 1)
                return kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, name,
                        "it has %zu signatures instead of one", json_array_size(signatures));
        if (kiln_dsse_signature(envelope, &signature) < 0)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, 0, DOING, name, "its signature is none of Ed25519 in base64");
        body_len = kiln_base64_decoded_len(text, text_len);
        pae_head(type, body_len, &pae);
        head_len = pae.len;
        if (kiln_base64_decode(text, text_len, &pae) < 0)
                return kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, name, "it is no DSSE envelope");
        /* The key id is a hint that nobody signed: every key is tried. */
        for (size_t k = 0; k < n_keys; k++)
                if (verifies(keys[k], &pae, &signature)) {
                        kiln_buf_append(payload, pae.data + head_len, body_len);
                        if (ret_key)
                                *ret_key = k;
                        return 0;
                }
        return kiln_error_set(err, KILN_NOT_REPRODUCED, 0, DOING, name,
                "none of the %zu keys given made its signature", n_keys);
}

int kiln_dsse_open(const char *line, size_t len, const char *type, EVP_PKEY *const *keys, size_t n_keys,
        const char *name, struct kiln_buf *payload, size_t *ret_key, struct kiln_error *err)
{
        _cleanup_dsse_text_ struct kiln_dsse_text t = {0};
        int r = kiln_dsse_parse(line, len, name, &t, err);

        return r < 0 ? r : kiln_dsse_open_json(&t, t.json, type, keys, n_keys, name, payload, ret_key, err);
}
