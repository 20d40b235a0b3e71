#include "worker/attest/log/rekor.h"

#include "worker/base/base64.h"

#include <errno.h>
#include <openssl/x509.h>
#include <string.h>

#define DOING "logging"
#define ANSWER_MAX ((size_t)1 << 20)
#define ANSWER_ITEMS_MAX 500
#define TIMEOUT_S 120 /* it answers when a checkpoint covers the entry: clients must wait at least 20 s */

static void write_request(const json_t *envelope, const EVP_PKEY *key, struct kiln_buf *out)
{
        _cleanup_json_ json_t *request = NULL;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        unsigned char *der = NULL;
        int len = i2d_PUBKEY(key, &der);

        kiln_base64_encode(der, len > 0 ? (size_t)len : 0, &text);
        OPENSSL_free(der);
        request = json_pack("{s:{s:O, s:[{s:{s:s}, s:s}]}}", "dsseRequestV002", "envelope", envelope,
                "verifiers", "publicKey", "rawBytes", kiln_buf_str(&text), "keyDetails", "PKIX_ED25519");
        kiln_json_canonical(request, out);
}

/* google.rpc.Status, as its gateway answers errors. */
static int refused(const struct kiln_http_answer *a, const char *name, struct kiln_error *err)
{
        _cleanup_json_ json_t *status = NULL;
        const char *said = NULL;

        if (kiln_json_parse_bounded(
                    kiln_buf_str(&a->body), a->body.len, ANSWER_ITEMS_MAX, name, &status, NULL) == 0)
                said = kiln_json_string(status, "message");
        kiln_error_set(err, KILN_REFUSED, 0, DOING, name, "the log answered %ld: %s", a->status,
                said ? said : "it does not say why");
        if (a->status == 400)
                kiln_error_advise(err, "Rekor takes DSSE entries up to release 2.2; since 2.3 there is no "
                                       "kind that Ed25519 fits.");
        return -EPERM;
}

static int take_answer(const struct kiln_http_answer *a, const struct kiln_log_key *log,
        const struct kiln_buf *entry, const char *name, json_t **ret, struct kiln_error *err)
{
        _cleanup_(kiln_log_proof_clear) struct kiln_log_proof proof = {0};
        _cleanup_json_ json_t *json = NULL;
        int r = kiln_json_parse_bounded(
                kiln_buf_str(&a->body), a->body.len, ANSWER_ITEMS_MAX, "the log's answer", &json, err);

        if (r == 0)
                r = kiln_log_proof_read(json, name, &proof, err);
        if (r == 0)
                r = kiln_log_proof_check(&proof, log, entry, name, err);
        if (r < 0)
                return r;
        /* Written anew: only what was checked. */
        *ret = kiln_log_proof_write(entry, log, &proof.checkpoint, proof.index, &proof.path);
        return 0;
}

int kiln_rekor_add(struct kiln_http *h, const struct kiln_log_key *log, const json_t *envelope,
        const EVP_PKEY *key, const struct kiln_buf *entry, const char *name, json_t **ret,
        struct kiln_error *err)
{
        _cleanup_(kiln_http_answer_clear) struct kiln_http_answer answer = {0};
        _cleanup_buf_ struct kiln_buf request = KILN_BUF_INIT;
        struct kiln_http_request q = {.method = "POST",
                .path = "api/v2/log/entries",
                .headers = {"Content-Type: application/json", "Accept: application/json"},
                .answer_max = ANSWER_MAX,
                .timeout_s = TIMEOUT_S};
        int r;

        write_request(envelope, key, &request);
        q.body = request.data;
        q.body_len = request.len;
        r = kiln_http_do(h, &q, &answer, err);
        if (r < 0)
                return r;
        if (answer.status != 200 && answer.status != 201)
                return refused(&answer, name, err);
        return take_answer(&answer, log, entry, name, ret, err);
}
