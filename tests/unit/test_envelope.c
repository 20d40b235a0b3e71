/* Attestation files: the signature before the payload, one of each thing, bounded, line by line. */
#include "tests/unit/envelopehelp.h"
#include "worker/base/file.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define PROVENANCE "https://slsa.dev/provenance/v1"

struct fixture {
        EVP_PKEY *key, *stranger;
        struct kiln_verify_keys keys;
        struct kiln_error err;
};

static int setup(void **state)
{
        struct fixture *f = kiln_calloc(1, sizeof(*f));
        _cleanup_free_ char *pem = NULL;

        f->key = envelope_key();
        f->stranger = envelope_key();
        pem = envelope_pem(f->key);
        assert_int_equal(kiln_verify_keys_add(&f->keys, pem, "a key", &f->err), 0);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        EVP_PKEY_free(f->key);
        EVP_PKEY_free(f->stranger);
        kiln_verify_keys_clear(&f->keys);
        kiln_error_clear(&f->err);
        free(f);
        return 0;
}

static int open_signed(struct fixture *f, EVP_PKEY *key, const char *payload, struct kiln_envelope **ret)
{
        _cleanup_buf_ struct kiln_buf line = KILN_BUF_INIT;

        envelope_sign(key, payload, &line);
        return kiln_envelope_open(line.data, line.len - 1, &f->keys, "it", ret, &f->err);
}

static void test_good(void **state)
{
        static const char payload[] =
                STATEMENT(SUBJECT("b.rpm") "," SUBJECT("a.rpm"), PROVENANCE, "{\"x\":1}");
        struct fixture *f = *state;
        _cleanup_(kiln_envelope_freep) struct kiln_envelope *e = NULL;
        struct kiln_rpm_digests d = {0};
        struct kiln_digest sha256 = kiln_digest_of(payload, strlen(payload));

        assert_int_equal(open_signed(f, f->key, payload, &e), 0);
        assert_int_equal(e->key, 0);
        assert_string_equal(e->predicate_type, PROVENANCE);
        assert_int_equal(json_integer_value(json_object_get(e->predicate, "x")), 1);
        assert_true(kiln_digest_equal(&e->payload_sha256, &sha256));
        assert_int_equal(e->n_subjects, 2);
        assert_string_equal(e->subjects[0].name, "a.rpm");
        assert_int_equal(e->subjects[0].have, 1U << 0 | 1U << 2);
        memset(&d.header, 0xaa, sizeof(d.header));
        assert_false(kiln_envelope_subject_matches(&e->subjects[0], &d, 0));
        assert_true(kiln_envelope_subject_matches(&e->subjects[0], &d, 1U << 0));
        assert_false(kiln_envelope_subject_matches(&e->subjects[0], &d, 1U << 0 | 1U << 2));
        memset(&d.signed_file, 0xbb, sizeof(d.signed_file));
        assert_true(kiln_envelope_subject_matches(&e->subjects[0], &d, 0));
}

/* A key id in the envelope decides nothing; neither does a payload that cannot be parsed, before its
 * signature. */
static void test_signature_first(void **state)
{
        struct fixture *f = *state;
        struct kiln_envelope *e = NULL;

        assert_true(open_signed(f, f->stranger, STATEMENT(SUBJECT("a.rpm"), PROVENANCE, "{}"), &e) < 0);
        assert_int_equal(f->err.verdict, KILN_NOT_REPRODUCED);
        assert_true(open_signed(f, f->stranger, "{\"a\":1,\"a\":2}", &e) < 0);
        assert_int_equal(f->err.verdict, KILN_NOT_REPRODUCED);
        assert_true(open_signed(f, f->key, "{\"a\":1,\"a\":2}", &e) < 0);
        assert_int_equal(f->err.verdict, KILN_BAD_INPUT);
        assert_non_null(strstr(f->err.cause, "duplicate"));
        assert_null(e);
}

static void test_refused(void **state)
{
        static const struct {
                const char *payload, *why;
        } cases[] = {
                {"", ""},
                {"[]", "no in-toto Statement"},
                {"{}", "no in-toto Statement"},
                {STATEMENT("", PROVENANCE, "{}"), "about nothing"},
                {STATEMENT(SUBJECT("a.rpm"), PROVENANCE, "[]"), "no predicate"},
                {STATEMENT(SUBJECT("a.rpm") "," SUBJECT("a.rpm"), PROVENANCE, "{}"), "twice"},
                {STATEMENT(SUBJECT("../a.rpm"), PROVENANCE, "{}"), "no file name"},
                {STATEMENT(SUBJECT(""), PROVENANCE, "{}"), "no file name"},
                {STATEMENT("{\"name\":\"a\",\"digest\":{}}", PROVENANCE, "{}"), "no digest"},
                {STATEMENT("{\"name\":\"a\",\"digest\":{\"sha512\":\"" HEX_A "\"}}", PROVENANCE, "{}"),
                        "no digest"},
                {STATEMENT("{\"name\":\"a\",\"digest\":{\"sha256\":\"AA\"}}", PROVENANCE, "{}"),
                        "lower-case"},
                {STATEMENT("{\"name\":\"a\",\"digest\":{\"sha256\":7}}", PROVENANCE, "{}"), "lower-case"},
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                struct kiln_envelope *e = NULL;

                assert_true(open_signed(f, f->key, cases[i].payload, &e) < 0);
                assert_int_equal(f->err.verdict, KILN_BAD_INPUT);
                assert_non_null(strstr(f->err.cause, cases[i].why));
                assert_null(e);
        }
}

static void test_file(void **state)
{
        struct fixture *f = *state;
        char dir[] = "/tmp/kiln-test-XXXXXX";
        _cleanup_free_ char *path = NULL;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        _cleanup_(kiln_envelopes_freep) struct kiln_envelopes *lines = NULL;
        struct kiln_envelope *e = NULL;
        const char *said;
        size_t len, first;

        assert_non_null(mkdtemp(dir));
        path = kiln_path_join(dir, "x.intoto.jsonl");
        envelope_sign(f->key, STATEMENT(SUBJECT("a.rpm"), PROVENANCE, "{}"), &text);
        first = text.len;
        envelope_sign(f->stranger, STATEMENT(SUBJECT("b.rpm"), PROVENANCE, "{}"), &text);
        envelope_sign(f->key, STATEMENT(SUBJECT("c.rpm"), PROVENANCE, "{}"), &text);
        kiln_buf_puts(&text, "{\"cut");
        assert_int_equal(kiln_file_write(AT_FDCWD, path, text.data, text.len, 0644), 0);

        assert_int_equal(kiln_envelopes_open(AT_FDCWD, path, &lines, &f->err), 0);
        assert_int_equal(kiln_envelopes_next(lines, &f->keys, &e, &f->err), 0);
        assert_string_equal(e->subjects[0].name, "a.rpm");
        said = kiln_envelopes_text(lines, &len);
        assert_int_equal(len, first - 1);
        assert_memory_equal(said, text.data, len);
        kiln_envelope_free(e);
        assert_true(kiln_envelopes_next(lines, &f->keys, &e, &f->err) < 0); /* the stranger's */
        assert_int_equal(kiln_envelopes_next(lines, &f->keys, &e, &f->err), 0);
        assert_string_equal(e->subjects[0].name, "c.rpm");
        assert_int_equal(e->line, 3);
        kiln_envelope_free(e);
        assert_true(kiln_envelopes_next(lines, &f->keys, &e, &f->err) < 0);
        assert_non_null(strstr(f->err.cause, "cut off"));
        assert_int_equal(kiln_envelopes_next(lines, &f->keys, &e, &f->err), KILN_ENVELOPES_END);
        assert_int_equal(kiln_tree_remove(AT_FDCWD, dir), 0);
}

/* What a file can hold that nobody signed costs little. */
static void test_flood(void **state)
{
        struct fixture *f = *state;
        char dir[] = "/tmp/kiln-test-XXXXXX";
        _cleanup_free_ char *path = NULL;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT, nested = KILN_BUF_INIT;
        _cleanup_(kiln_envelopes_freep) struct kiln_envelopes *lines = NULL;
        struct kiln_envelope *e = NULL;

        assert_non_null(mkdtemp(dir));
        path = kiln_path_join(dir, "x.intoto.jsonl");
        for (size_t i = 0; i < 2 * KILN_ENVELOPES_MAX; i++)
                kiln_buf_putc(&text, '\n');
        assert_int_equal(kiln_file_write(AT_FDCWD, path, text.data, text.len, 0644), 0);
        assert_int_equal(kiln_envelopes_open(AT_FDCWD, path, &lines, &f->err), 0);
        for (size_t i = 0; i <= KILN_ENVELOPES_MAX; i++)
                assert_true(kiln_envelopes_next(lines, &f->keys, &e, &f->err) < 0);
        assert_non_null(strstr(f->err.cause, "too many lines"));
        assert_int_equal(kiln_envelopes_next(lines, &f->keys, &e, &f->err), KILN_ENVELOPES_END);
        assert_int_equal(kiln_tree_remove(AT_FDCWD, dir), 0);

        kiln_buf_puts(&nested, "{\"payload\":[[]");
        for (size_t i = 0; i < KILN_DSSE_ITEMS_MAX; i++)
                kiln_buf_puts(&nested, ",[]");
        kiln_buf_puts(&nested, "]}");
        assert_true(kiln_envelope_open(nested.data, nested.len, &f->keys, "it", &e, &f->err) < 0);
        assert_int_equal(f->err.verdict, KILN_BAD_INPUT);
        assert_non_null(strstr(f->err.cause, "items"));
        assert_int_equal(kiln_json_items("{\"a\": \"[,\\\",\", \"b\": []}", 24), 3);
}

/* The SBOM of a package with 100,000 files opens; its bundle's digest is its line's. */
static void test_large(void **state)
{
        static const char file[] =
                "{\"fileName\":\"./usr/share/a-directory/another-one/a-file-%d\",\"SPDXID\":"
                "\"SPDXRef-File-%d\",\"checksums\":[{\"algorithm\":\"SHA256\","
                "\"checksumValue\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
                "abcdef\"},{\"algorithm\":\"SHA1\",\"checksumValue\":"
                "\"0123456789abcdef0123456789abcdef01234567\"}],\"licenseConcluded\":"
                "\"NOASSERTION\",\"copyrightText\":\"NOASSERTION\",\"fileTypes\":[\"TEXT\"]}";
        struct fixture *f = *state;
        _cleanup_(kiln_envelope_freep) struct kiln_envelope *e = NULL, *again = NULL;
        _cleanup_buf_ struct kiln_buf payload = KILN_BUF_INIT, line = KILN_BUF_INIT;
        _cleanup_dsse_text_ struct kiln_dsse_text text = {0};

        kiln_buf_puts(&payload, "{\"_type\":\"" KILN_STATEMENT_TYPE
                                "\",\"subject\":[" SUBJECT("a.rpm") "],\"predicateType\":\"" PROVENANCE
                                                                    "\",\"predicate\":{\"files\":[");
        for (int i = 0; i < 100000; i++) {
                kiln_buf_puts(&payload, i ? "," : "");
                kiln_buf_printf(&payload, file, i, i);
        }
        kiln_buf_puts(&payload, "]}}");
        envelope_sign(f->key, kiln_buf_str(&payload), &line);
        kiln_buf_clear(&payload);
        assert_int_equal(kiln_envelope_open(line.data, line.len - 1, &f->keys, "it", &e, &f->err), 0);
        assert_int_equal(json_array_size(json_object_get(e->predicate, "files")), 100000);
        assert_int_equal(kiln_dsse_parse(line.data, line.len - 1, "it", &text, &f->err), 0);
        assert_int_equal(kiln_envelope_open_json(&text, text.json, &f->keys, "it", &again, &f->err), 0);
        assert_true(kiln_digest_equal(&again->sha256, &e->sha256));
}

/* What only stands for the payload must not be taken for one, and a long string elsewhere is none. */
static void test_cut(void **state)
{
        static const struct {
                const char *format, *why;
        } cases[] = {
                {"{\"x\":\"%s\",\"payload\":\"#\",\"payloadType\":\"" KILN_DSSE_INTOTO
                 "\",\"signatures\":[%s]}",
                        "no DSSE envelope"},
                {"{\"x\":\"%s\",\"payload\":\"\\u0023\",\"payloadType\":\"" KILN_DSSE_INTOTO
                 "\",\"signatures\":[%s]}",
                        "no DSSE envelope"},
                {"{\"payload\":\"%s\",\"payload\":\"AAAA\",\"payloadType\":\"" KILN_DSSE_INTOTO
                 "\",\"signatures\":[%s]}",
                        "duplicate"},
                {"{\"payload\":\"AAAA\",\"x\":\"%s\",\"payloadType\":\"" KILN_DSSE_INTOTO
                 "\",\"signatures\":[%s]}",
                        "none of the 1 keys"},
        };
        struct fixture *f = *state;
        _cleanup_buf_ struct kiln_buf payload = KILN_BUF_INIT, line = KILN_BUF_INIT;
        _cleanup_free_ char *body = NULL, *signatures = NULL;
        char *at;

        kiln_buf_puts(&payload, STATEMENT(SUBJECT("a.rpm"), PROVENANCE, "{\"x\":\""));
        payload.len = (size_t)(strstr(payload.data, "{\"x\":\"") + 6 - payload.data);
        for (int i = 0; i < 2000; i++)
                kiln_buf_putc(&payload, 'x');
        kiln_buf_puts(&payload, "\"}}");
        envelope_sign(f->key, kiln_buf_str(&payload), &line);
        at = strstr(line.data, "\"payload\":\"") + 11;
        body = kiln_strndup(at, strcspn(at, "\""));
        at = strstr(line.data, "\"signatures\":[") + 14;
        signatures = kiln_strndup(at, strcspn(at, "]"));
        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
                struct kiln_envelope *e = NULL;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                kiln_buf_printf(&text, cases[i].format, body, signatures);
#pragma GCC diagnostic pop
                kiln_error_clear(&f->err);
                assert_true(kiln_envelope_open(text.data, text.len, &f->keys, "it", &e, &f->err) < 0);
                assert_non_null(strcasestr(f->err.cause, cases[i].why));
        }
}

/* The peak of a process that opens a line of so many MiB, none of them signed. */
static long bomb(struct fixture *f, const char *head, int mib, enum kiln_verdict wanted)
{
        char dir[] = "/tmp/kiln-test-XXXXXX";
        _cleanup_free_ char *path = NULL, *chunk = kiln_malloc(1 << 20);
        struct rusage usage;
        int fd, status;
        pid_t pid;

        assert_non_null(mkdtemp(dir));
        path = kiln_path_join(dir, "x.intoto.jsonl");
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(kiln_fd_write(fd, head, strlen(head)), 0);
        memset(chunk, 'A', 1 << 20);
        for (int i = 0; i < mib; i++)
                assert_int_equal(kiln_fd_write(fd, chunk, 1 << 20), 0);
        assert_int_equal(dprintf(fd,
                                 "\",\"payloadType\":\"" KILN_DSSE_INTOTO
                                 "\",\"signatures\":[{\"sig\":\"%.86s==\"}]}\n",
                                 chunk) > 0,
                1);
        close(fd);
        pid = fork();
        if (pid == 0) {
                struct kiln_envelopes *lines = NULL;
                struct kiln_envelope *e = NULL;
                int r = kiln_envelopes_open(AT_FDCWD, path, &lines, &f->err);

                if (r == 0)
                        r = kiln_envelopes_next(lines, &f->keys, &e, &f->err);
                _exit(r < 0 ? f->err.verdict : 99);
        }
        assert_int_equal(wait4(pid, &status, 0, &usage), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), wanted);
        assert_int_equal(kiln_tree_remove(AT_FDCWD, dir), 0);
        return usage.ru_maxrss / 1024;
}

static void test_bomb(void **state)
{
        struct fixture *f = *state;
        const int largest = (int)(KILN_DSSE_ENVELOPE_MAX >> 20);
        long mib = bomb(f, "{\"payload\":\"", 100, KILN_NOT_REPRODUCED);

#ifndef __SANITIZE_ADDRESS__                      /* which keeps what was freed */
        assert_in_range(mib, 100, 100 + 75 + 25); /* the line and what it decodes to */
        mib = bomb(f, "{\"payload\":\"AAAA\",\"x\":[\"\\n", 100, KILN_BAD_INPUT);
        assert_in_range(mib, 100, 100 + 25);
#endif
        bomb(f, "{\"payload\":\"", largest + 1, KILN_BAD_INPUT);
        assert_true(mib > 0);
}

static void test_keys(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *pem = envelope_pem(f->key);
        EVP_PKEY *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
        _cleanup_free_ char *rsa_pem = envelope_pem(rsa);

        assert_int_equal(kiln_verify_keys_add(&f->keys, pem, "again", &f->err), 0);
        assert_int_equal(f->keys.n, 1);
        assert_true(kiln_verify_keys_add(&f->keys, rsa_pem, "rsa", &f->err) < 0);
        assert_true(kiln_verify_keys_add(&f->keys, "", "empty", &f->err) < 0);
        assert_int_equal(f->err.verdict, KILN_BAD_INPUT);
        EVP_PKEY_free(rsa);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                /* first: a fork begins with what this process holds */
                cmocka_unit_test_setup_teardown(test_bomb, setup, teardown),
                cmocka_unit_test_setup_teardown(test_good, setup, teardown),
                cmocka_unit_test_setup_teardown(test_signature_first, setup, teardown),
                cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(test_file, setup, teardown),
                cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
                cmocka_unit_test_setup_teardown(test_large, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
                cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
