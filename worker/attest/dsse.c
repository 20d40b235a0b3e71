#include "worker/attest/dsse.h"

#include "worker/base/mem.h"

#include <errno.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <string.h>

#define DOING "checking the signature of"

void kiln_dsse_pae(const char *type, const void *payload, size_t len, struct kiln_buf *out)
{
        kiln_buf_printf(out, "DSSEv1 %zu %s %zu ", strlen(type), type, len);
        kiln_buf_append(out, payload, len);
}

static void put_base64(struct kiln_buf *b, const unsigned char *p, size_t len)
{
        unsigned char quantum[4 * 256 + 1];

        for (size_t i = 0; i < len; i += 3 * 256) {
                int n = EVP_EncodeBlock(quantum, p + i, (int)(len - i < 3 * 256 ? len - i : 3 * 256));

                kiln_buf_append(b, quantum, (size_t)n);
        }
}

void kiln_dsse_write(const char *type, const void *payload, size_t len, const char *keyid,
        const unsigned char signature[64], struct kiln_buf *out)
{
        /* Base64 needs no escapes and keyid is hex, so the canonical form can be written as it stands. */
        kiln_buf_puts(out, "{\"payload\":\"");
        put_base64(out, payload, len);
        kiln_buf_printf(
                out, "\",\"payloadType\":\"%s\",\"signatures\":[{\"keyid\":\"%s\",\"sig\":\"", type, keyid);
        put_base64(out, signature, 64);
        kiln_buf_puts(out, "\"}]}\n");
}

/* Strict standard base64 with padding; -EINVAL otherwise. */
static int get_base64(const char *s, size_t len, struct kiln_buf *out)
{
        unsigned char quantum[3];
        size_t padding = 0;

        if (len % 4 != 0)
                return -EINVAL;
        while (padding < 2 && padding < len && s[len - 1 - padding] == '=')
                padding++;
        for (size_t i = 0; i < len; i += 4) {
                bool last = i + 4 == len;

                if (memchr(s + i, '=', last ? 4 - padding : 4) ||
                        EVP_DecodeBlock(quantum, (const unsigned char *)s + i, 4) != 3)
                        return -EINVAL;
                kiln_buf_append(out, quantum, last ? 3 - padding : 3);
        }
        return 0;
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

static const char *member(const json_t *object, const char *key, size_t *ret_len)
{
        const json_t *j = json_object_get(object, key);

        *ret_len = json_string_length(j);
        return json_string_value(j);
}

int kiln_dsse_open_json(const json_t *envelope, const char *type, EVP_PKEY *const *keys, size_t n_keys,
        const char *name, struct kiln_buf *payload, size_t *ret_key, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf body = KILN_BUF_INIT, pae = KILN_BUF_INIT, signature = KILN_BUF_INIT;
        size_t text_len, said_len, sig_len;
        const char *said = member(envelope, "payloadType", &said_len),
                   *text = member(envelope, "payload", &text_len), *sig;
        const json_t *signatures = json_object_get(envelope, "signatures");

        if (!said || !text || !json_is_array(signatures) || get_base64(text, text_len, &body) < 0)
                return kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, name, "it is no DSSE envelope");
        if (strlen(type) != said_len || memcmp(type, said, said_len) != 0)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, 0, DOING, name, "its payload type is not %s", type);
        if (json_array_size(signatures) != 1)
                return kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, name,
                        "it has %zu signatures instead of one", json_array_size(signatures));
        sig = member(json_array_get(signatures, 0), "sig", &sig_len);
        if (!sig || get_base64(sig, sig_len, &signature) < 0 || signature.len != 64)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, 0, DOING, name, "its signature is none of Ed25519 in base64");
        kiln_dsse_pae(type, kiln_buf_str(&body), body.len, &pae);
        /* The key id is a hint that nobody signed: every key is tried. */
        for (size_t k = 0; k < n_keys; k++)
                if (verifies(keys[k], &pae, &signature)) {
                        kiln_buf_append(payload, body.data, body.len);
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
        _cleanup_json_ json_t *envelope = NULL;
        int r = kiln_json_parse_bounded(line, len, KILN_DSSE_ITEMS_MAX, name, &envelope, err);

        return r < 0 ? r : kiln_dsse_open_json(envelope, type, keys, n_keys, name, payload, ret_key, err);
}
