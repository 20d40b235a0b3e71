#include "worker/attest/log/entry.h"

#include "worker/attest/log/tile.h"
#include "worker/base/base64.h"
#include "worker/base/mem.h"
#include "worker/base/number.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/x509.h>
#include <string.h>

/* ---- entries ----------------------------------------------------------------------------------------- */

static json_t *base64_of(const void *data, size_t len)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        kiln_base64_encode(data, len, &b);
        return json_string(kiln_buf_str(&b));
}

void kiln_log_entry_write(const struct kiln_digest *payload_sha256, const unsigned char signature[64],
        const EVP_PKEY *key, struct kiln_buf *out)
{
        _cleanup_json_ json_t *entry = NULL;
        unsigned char *der = NULL;
        int len = i2d_PUBKEY(key, &der);

        entry = json_pack("{s:s, s:s, s:{s:{s:{s:s, s:o}, s:[{s:o, s:{s:s, s:{s:o}}}]}}}", "apiVersion",
                KILN_LOG_KIND_VERSION, "kind", KILN_LOG_KIND, "spec", "dsseV002", "payloadHash", "algorithm",
                "SHA2_256", "digest", base64_of(payload_sha256->bytes, KILN_DIGEST_BYTES), "signatures",
                "content", base64_of(signature, 64), "verifier", "keyDetails", "PKIX_ED25519", "publicKey",
                "rawBytes", base64_of(len > 0 ? der : NULL, len > 0 ? (size_t)len : 0));
        OPENSSL_free(der);
        kiln_json_canonical(entry, out);
}

int kiln_log_entry_read(const char *entry, size_t len, struct kiln_digest *ret_payload)
{
        _cleanup_json_ json_t *j = NULL;
        _cleanup_buf_ struct kiln_buf digest = KILN_BUF_INIT, again = KILN_BUF_INIT;
        const char *kind, *version, *text;

        if (kiln_json_parse_bounded(entry, len, 32, "an entry", &j, NULL) < 0)
                return -EINVAL;
        kind = kiln_json_string(j, "kind");
        version = kiln_json_string(j, "apiVersion");
        text = kiln_json_string(
                json_object_get(json_object_get(json_object_get(j, "spec"), "dsseV002"), "payloadHash"),
                "digest");
        kiln_json_canonical(j, &again);
        if (!kind || strcmp(kind, KILN_LOG_KIND) != 0 || !version ||
                strcmp(version, KILN_LOG_KIND_VERSION) != 0 || !text || again.len != len ||
                memcmp(again.data, entry, len) != 0)
                return -EINVAL;
        if (kiln_base64_decode(text, strlen(text), &digest) < 0 || digest.len != KILN_DIGEST_BYTES)
                return -EINVAL;
        if (ret_payload)
                memcpy(ret_payload->bytes, digest.data, KILN_DIGEST_BYTES);
        return 0;
}

/* ---- proofs: writing --------------------------------------------------------------------------------- */

static json_t *number_of(uint64_t n)
{
        _cleanup_free_ char *text = kiln_asprintf("%" PRIu64, n);

        return json_string(text);
}

json_t *kiln_log_proof_write(const struct kiln_buf *entry, const struct kiln_log_key *key,
        const struct kiln_checkpoint *checkpoint, uint64_t index, const struct kiln_merkle_proof *proof)
{
        json_t *hashes = json_array();

        for (size_t i = 0; i < proof->n; i++)
                json_array_append_new(hashes, base64_of(proof->hashes[i].bytes, KILN_DIGEST_BYTES));
        /* The time is Rekor v1's; a log of tiles has none. */
        return json_pack("{s:o, s:{s:o}, s:{s:s, s:s}, s:s, s:{s:o, s:o, s:o, s:o, s:{s:s}}, s:o}",
                "logIndex", number_of(index), "logId", "keyId", base64_of(key->id.bytes, KILN_DIGEST_BYTES),
                "kindVersion", "kind", KILN_LOG_KIND, "version", KILN_LOG_KIND_VERSION, "integratedTime", "0",
                "inclusionProof", "logIndex", number_of(index), "rootHash",
                base64_of(checkpoint->root.bytes, KILN_DIGEST_BYTES), "treeSize", number_of(checkpoint->size),
                "hashes", hashes, "checkpoint", "envelope", checkpoint->note, "canonicalizedBody",
                base64_of(kiln_buf_str(entry), entry->len));
}

/* ---- proofs: reading --------------------------------------------------------------------------------- */

void kiln_log_proof_clear(struct kiln_log_proof *p)
{
        kiln_checkpoint_clear(&p->checkpoint);
        kiln_buf_clear(&p->entry);
        *p = (struct kiln_log_proof){0};
}

static int bad(struct kiln_error *err, const char *name, const char *what)
{
        return kiln_error_set(err, KILN_BAD_INPUT, EINVAL, "reading the log entry of", name, "%s", what);
}

/* An int64 in protobuf's JSON: a string, or a number, or left out where it is 0. */
static int read_number(const json_t *j, uint64_t *ret)
{
        if (!j || json_is_null(j)) {
                *ret = 0;
                return 0;
        }
        if (json_is_integer(j) && json_integer_value(j) >= 0) {
                *ret = (uint64_t)json_integer_value(j);
                return 0;
        }
        return json_is_string(j) ? kiln_number_parse(json_string_value(j), INT64_MAX, ret) : -EINVAL;
}

static int read_hashes(const json_t *list, struct kiln_merkle_proof *ret)
{
        const json_t *one;
        size_t i;

        if (list && !json_is_array(list))
                return -EINVAL;
        if (json_array_size(list) > KILN_MERKLE_PROOF_MAX)
                return -EFBIG;
        json_array_foreach(list, i, one)
        {
                _cleanup_buf_ struct kiln_buf hash = KILN_BUF_INIT;

                if (!json_is_string(one) ||
                        kiln_base64_decode(json_string_value(one), json_string_length(one), &hash) < 0 ||
                        hash.len != KILN_DIGEST_BYTES)
                        return -EINVAL;
                memcpy(ret->hashes[i].bytes, hash.data, KILN_DIGEST_BYTES);
        }
        ret->n = json_array_size(list);
        return 0;
}

static int read_entry(const json_t *body, struct kiln_buf *out)
{
        if (!body)
                return 0;
        if (!json_is_string(body) || json_string_length(body) > 2 * KILN_LOG_ENTRY_MAX)
                return -EINVAL;
        return kiln_base64_decode(json_string_value(body), json_string_length(body), out);
}

bool kiln_log_proof_is_kind(const json_t *json)
{
        const json_t *version = json_object_get(json, "kindVersion");
        const char *kind = kiln_json_string(version, "kind"), *number = kiln_json_string(version, "version");

        return kind && number && strcmp(kind, KILN_LOG_KIND) == 0 &&
               strcmp(number, KILN_LOG_KIND_VERSION) == 0;
}

int kiln_log_proof_read(
        const json_t *json, const char *name, struct kiln_log_proof *ret, struct kiln_error *err)
{
        _cleanup_(kiln_log_proof_clear) struct kiln_log_proof p = {0};
        const json_t *inclusion = json_object_get(json, "inclusionProof"), *note;
        uint64_t again;

        note = json_object_get(json_object_get(inclusion, "checkpoint"), "envelope");
        if (!kiln_log_proof_is_kind(json))
                return bad(err, name, "it is not of the kind " KILN_LOG_KIND " " KILN_LOG_KIND_VERSION);
        if (!json_is_object(inclusion) || !json_is_string(note))
                return bad(err, name, "it has no inclusion proof with a checkpoint");
        if (read_number(json_object_get(json, "logIndex"), &p.index) < 0)
                return bad(err, name, "its index is no number");
        if (json_object_get(inclusion, "logIndex") &&
                (read_number(json_object_get(inclusion, "logIndex"), &again) < 0 || again != p.index))
                return bad(err, name, "it has two indices");
        if (read_hashes(json_object_get(inclusion, "hashes"), &p.path) < 0)
                return bad(err, name, "its inclusion proof is no list of SHA-256 hashes");
        if (read_entry(json_object_get(json, "canonicalizedBody"), &p.entry) < 0)
                return bad(err, name, "its body is no base64 of a sane size");
        if (kiln_checkpoint_parse(json_string_value(note), json_string_length(note), &p.checkpoint) < 0)
                return bad(err, name, "its checkpoint has not the form of one");
        *ret = p;
        p = (struct kiln_log_proof){0};
        return 0;
}

static int refuse(struct kiln_error *err, const char *name, const char *log, const char *what)
{
        return kiln_error_set(
                err, KILN_NOT_REPRODUCED, 0, "checking the log entry of", name, "%s (log %s)", what, log);
}

int kiln_log_proof_check(const struct kiln_log_proof *p, const struct kiln_log_key *key,
        const struct kiln_buf *entry, const char *name, struct kiln_error *err)
{
        struct kiln_digest leaf = kiln_merkle_leaf(kiln_buf_str(entry), entry->len);
        int signature = kiln_checkpoint_check(&p->checkpoint, key);

        if (signature != 0) {
                _cleanup_free_ char *what =
                        kiln_asprintf("its checkpoint %s", kiln_checkpoint_why(signature));

                return refuse(err, name, key->name, what);
        }
        if (p->entry.len > 0 &&
                (p->entry.len != entry->len || memcmp(p->entry.data, entry->data, entry->len) != 0))
                return refuse(err, name, key->name, "what was logged is another envelope than this");
        if (p->index >= p->checkpoint.size)
                return refuse(err, name, key->name, "its checkpoint is older than the entry");
        if (!kiln_merkle_includes(&p->checkpoint.root, p->checkpoint.size, &leaf, p->index, &p->path))
                return refuse(err, name, key->name,
                        "its inclusion proof does not lead to the checkpoint: this envelope is not at that "
                        "place in the log");
        return 0;
}
