/* What is logged of an envelope, and proofs that it was: written, read back, checked, and refused when
 * anything in them is changed. */
#include "worker/attest/log/entry.h"
#include "worker/attest/log/tile.h"
#include "worker/base/base64.h"
#include "worker/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define NAME "kiln.example/log"
#define LEAVES 5
#define INDEX 3

struct fixture {
        EVP_PKEY *attest, *log;
        struct kiln_log_key *key;
        struct kiln_buf entry;
        struct kiln_digest leaves[LEAVES];
        json_t *proof;
};

static int get(void *ctx, unsigned level, uint64_t index, struct kiln_digest *ret)
{
        struct fixture *f = ctx;
        struct kiln_digest left, right;

        if (level == 0) {
                *ret = f->leaves[index];
                return 0;
        }
        get(f, level - 1, 2 * index, &left);
        get(f, level - 1, 2 * index + 1, &right);
        *ret = kiln_merkle_node(&left, &right);
        return 0;
}

static void sign(struct fixture *f, EVP_PKEY *with, const char *name, uint64_t size, struct kiln_buf *note)
{
        _cleanup_(kiln_log_key_freep) struct kiln_log_key *key = NULL;
        _cleanup_buf_ struct kiln_buf body = KILN_BUF_INIT;
        unsigned char signature[64];
        size_t len = sizeof(signature);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        struct kiln_digest root;

        kiln_merkle_root(get, f, size, &root);
        kiln_checkpoint_body(name, size, &root, &body);
        assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, with), 1);
        assert_int_equal(EVP_DigestSign(ctx, signature, &len, (const unsigned char *)body.data, body.len), 1);
        assert_int_equal(kiln_log_key_new(name, with, &key), 0);
        kiln_checkpoint_sign(key, body.data, signature, note);
        EVP_MD_CTX_free(ctx);
}

static int setup(void **state)
{
        struct fixture *f = kiln_calloc(1, sizeof(*f));
        struct kiln_digest payload = kiln_digest_of("payload", 7);
        unsigned char signature[64] = {1, 2, 3};
        struct kiln_merkle_proof path;
        _cleanup_(kiln_checkpoint_clear) struct kiln_checkpoint c = {0};
        _cleanup_buf_ struct kiln_buf note = KILN_BUF_INIT;

        f->attest = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        f->log = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        assert_int_equal(kiln_log_key_new(NAME, f->log, &f->key), 0);
        kiln_log_entry_write(&payload, signature, f->attest, &f->entry);
        for (unsigned char i = 0; i < LEAVES; i++)
                f->leaves[i] = kiln_merkle_leaf(&i, 1);
        f->leaves[INDEX] = kiln_merkle_leaf(f->entry.data, f->entry.len);
        kiln_merkle_inclusion(get, f, INDEX, LEAVES, &path);
        sign(f, f->log, NAME, LEAVES, &note);
        assert_int_equal(kiln_checkpoint_parse(note.data, note.len, &c), 0);
        f->proof = kiln_log_proof_write(&f->entry, f->key, &c, INDEX, &path);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        EVP_PKEY_free(f->attest);
        EVP_PKEY_free(f->log);
        kiln_log_key_free(f->key);
        kiln_buf_clear(&f->entry);
        json_decref(f->proof);
        free(f);
        return 0;
}

/* Verdict of a proof about the fixture's entry; *words: what was said. */
static enum kiln_verdict judge(const struct fixture *f, const json_t *json, char **words)
{
        _cleanup_(kiln_log_proof_clear) struct kiln_log_proof p = {0};
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        if (kiln_log_proof_read(json, "it", &p, &err) == 0)
                kiln_log_proof_check(&p, f->key, &f->entry, "it", &err);
        *words = err.cause ? kiln_strdup(err.cause) : NULL;
        return err.verdict;
}

static json_t *inclusion(json_t *proof)
{
        return json_object_get(proof, "inclusionProof");
}

static void test_entry(void **state)
{
        struct fixture *f = *state;
        struct kiln_digest payload = kiln_digest_of("payload", 7), found;

        assert_non_null(strstr(f->entry.data,
                "{\"apiVersion\":\"0.0.2\",\"kind\":\"dsse\",\"spec\":{\"dsseV002\":{\"payloadHash\":"
                "{\"algorithm\":\"SHA2_256\",\"digest\":\"I59Z7VXnN8dxR89VrQwbAwttfudIp0JpUvm4UtWpNeU="));
        assert_int_equal(kiln_log_entry_read(f->entry.data, f->entry.len, &found), 0);
        assert_memory_equal(&found, &payload, sizeof(payload));
        assert_true(kiln_log_entry_read(f->entry.data, f->entry.len - 1, NULL) < 0);
        assert_true(kiln_log_entry_read("{}", 2, NULL) < 0);
        assert_true(kiln_log_entry_read(" {}", 3, NULL) < 0);
}

static void test_good(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *words = NULL;
        _cleanup_json_ json_t *same = json_deep_copy(f->proof);

        assert_int_equal(judge(f, f->proof, &words), KILN_OK);
        /* What a verifier makes itself need not be there; numbers may be numbers. */
        json_object_del(same, "canonicalizedBody");
        json_object_del(inclusion(same), "rootHash");
        json_object_set_new(same, "logIndex", json_integer(INDEX));
        assert_int_equal(judge(f, same, &words), KILN_OK);
}

static void expect(const struct fixture *f, json_t *changed, enum kiln_verdict verdict, const char *words)
{
        _cleanup_json_ json_t *owned = changed;
        _cleanup_free_ char *said = NULL;

        assert_int_equal(judge(f, owned, &said), verdict);
        assert_non_null(strstr(said, words));
}

static json_t *with_note(struct fixture *f, EVP_PKEY *key, const char *name, uint64_t size)
{
        _cleanup_buf_ struct kiln_buf note = KILN_BUF_INIT;
        json_t *j = json_deep_copy(f->proof);

        sign(f, key, name, size, &note);
        json_object_set_new(
                json_object_get(inclusion(j), "checkpoint"), "envelope", json_string(kiln_buf_str(&note)));
        return j;
}

static void test_wrong(void **state)
{
        struct fixture *f = *state;
        json_t *hashes = json_object_get(inclusion(f->proof), "hashes");
        json_t *j;

        j = json_deep_copy(f->proof);
        json_array_set(json_object_get(inclusion(j), "hashes"), 0, json_array_get(hashes, 1));
        expect(f, j, KILN_NOT_REPRODUCED, "does not lead to the checkpoint");
        j = json_deep_copy(f->proof);
        json_array_remove(json_object_get(inclusion(j), "hashes"), 0);
        expect(f, j, KILN_NOT_REPRODUCED, "does not lead to the checkpoint");
        j = json_deep_copy(f->proof);
        json_object_set_new(j, "logIndex", json_string("2"));
        json_object_set_new(inclusion(j), "logIndex", json_string("2"));
        expect(f, j, KILN_NOT_REPRODUCED, "does not lead to the checkpoint");
        j = json_deep_copy(f->proof);
        json_object_set_new(j, "canonicalizedBody", json_string("e30="));
        expect(f, j, KILN_NOT_REPRODUCED, "another envelope");
        expect(f, with_note(f, f->attest, NAME, LEAVES), KILN_NOT_REPRODUCED, "signed by another key");
        expect(f, with_note(f, f->log, "other.example", LEAVES), KILN_NOT_REPRODUCED, "is of another log");
        expect(f, with_note(f, f->log, NAME, INDEX), KILN_NOT_REPRODUCED, "older than the entry");
        expect(f, with_note(f, f->log, NAME, LEAVES - 1), KILN_NOT_REPRODUCED, "does not lead");
}

/* Protobuf's JSON leaves out what is 0. */
static void test_first(void **state)
{
        static const char *const zeros[] = {NULL, "null", "0"};
        struct fixture *f = *state;
        struct kiln_merkle_proof path;
        _cleanup_(kiln_checkpoint_clear) struct kiln_checkpoint c = {0};
        _cleanup_buf_ struct kiln_buf note = KILN_BUF_INIT;
        _cleanup_json_ json_t *first = NULL;

        f->leaves[0] = f->leaves[INDEX];
        kiln_merkle_inclusion(get, f, 0, LEAVES, &path);
        sign(f, f->log, NAME, LEAVES, &note);
        assert_int_equal(kiln_checkpoint_parse(note.data, note.len, &c), 0);
        first = kiln_log_proof_write(&f->entry, f->key, &c, 0, &path);
        json_object_del(inclusion(first), "logIndex");
        for (size_t i = 0; i < KILN_ARRAY_SIZE(zeros); i++) {
                _cleanup_free_ char *words = NULL;

                if (zeros[i])
                        json_object_set_new(first, "logIndex", json_loads(zeros[i], JSON_DECODE_ANY, NULL));
                else
                        json_object_del(first, "logIndex");
                assert_int_equal(judge(f, first, &words), KILN_OK);
        }
}

static void test_form(void **state)
{
        struct fixture *f = *state;
        static const struct {
                const char *path[3], *value; /* NULL: the member is removed */
        } cases[] = {
                {{"kindVersion"}, NULL},
                {{"kindVersion", "version"}, "\"0.0.1\""},
                {{"kindVersion", "kind"}, "\"hashedrekord\""},
                {{"inclusionProof"}, NULL},
                {{"inclusionProof"}, "[]"},
                {{"inclusionProof", "checkpoint"}, NULL},
                {{"inclusionProof", "checkpoint", "envelope"}, "\"x\""},
                {{"inclusionProof", "checkpoint", "envelope"}, "7"},
                {{"inclusionProof", "hashes"}, "{}"},
                {{"inclusionProof", "hashes"}, "[7]"},
                {{"inclusionProof", "hashes"}, "[\"AAAA\"]"},
                {{"inclusionProof", "logIndex"}, "\"4\""},
                {{"logIndex"}, NULL},
                {{"logIndex"}, "-1"},
                {{"logIndex"}, "\"-1\""},
                {{"logIndex"}, "\"9223372036854775808\""},
                {{"logIndex"}, "1.5"},
                {{"canonicalizedBody"}, "\"?\""},
                {{"canonicalizedBody"}, "{}"},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                json_t *changed = json_deep_copy(f->proof), *at = changed;
                const char *const *name = cases[i].path;

                for (; name < cases[i].path + 2 && name[1]; name++)
                        at = json_object_get(at, *name);
                if (cases[i].value)
                        json_object_set_new(at, *name, json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
                else
                        json_object_del(at, *name);
                expect(f, changed, KILN_BAD_INPUT, "it");
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_entry),
                cmocka_unit_test(test_good),
                cmocka_unit_test(test_wrong),
                cmocka_unit_test(test_first),
                cmocka_unit_test(test_form),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
