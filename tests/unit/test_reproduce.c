/* worker/pipeline/reproduce-compare.c: a difference is said whether or not it can be explained, and as far as
 * that can be read. */
#include "tests/unit/envelopehelp.h"
#include "worker/base/file.h"
#include "worker/pipeline/reproduce-part.h"
#include "worker/verify/compare/compare.h"

#include <fcntl.h>
#include <unistd.h>

#define NAME "a-1-1.noarch.rpm"
#define MORE 7 /* files, than are listed */

struct fixture {
        char dir[32];
        int dir_fd;
        EVP_PKEY *key;
        struct kiln_verify_keys keys;
        struct kiln_envelope provenance[2];
        struct kiln_envelope_subject subjects[2];
        struct attested theirs, ours;
        unsigned warnings;
        struct kiln_context context;
};

static void count(void *ctx, const struct kiln_event *event)
{
        struct fixture *f = ctx;

        f->warnings += event->kind == KILN_EVENT_WARNING;
}

static void write_file(const struct fixture *f, const char *name, const char *text)
{
        assert_int_equal(kiln_file_write(f->dir_fd, name, text, strlen(text), 0644), 0);
}

/* One side: a provenance about one package whose payload is made of `digest`. */
static void attested_make(struct fixture *f, size_t i, struct attested *a, unsigned char digest)
{
        struct kiln_envelope_subject *s = &f->subjects[i];

        s->name = (char *)NAME;
        memset(&s->digests.header, 1, sizeof(s->digests.header));
        memset(&s->digests.payload, digest, sizeof(s->digests.payload));
        s->have = KILN_DIGESTS_CONTENT;
        f->provenance[i] = (struct kiln_envelope){.subjects = s, .n_subjects = 1};
        *a = (struct attested){.dir_fd = f->dir_fd,
                .name = (char *)(i == 0 ? "theirs.intoto.jsonl" : "ours.intoto.jsonl"),
                .provenance = &f->provenance[i],
                .has_sbom = {true, true}};
}

static int setup(void **state)
{
        struct fixture *f = kiln_calloc(1, sizeof(*f));
        _cleanup_free_ char *pem = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        strcpy(f->dir, "/tmp/kiln-reproduce-XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        f->dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        f->key = envelope_key();
        pem = envelope_pem(f->key);
        assert_int_equal(kiln_verify_keys_add(&f->keys, pem, "a key", &err), 0);
        f->context = (struct kiln_context){.sink = {count, f}, .cancel_fd = -1, .cache_dir = f->dir};
        attested_make(f, 0, &f->theirs, 2);
        attested_make(f, 1, &f->ours, 3);
        write_file(f, NAME, "no package");
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        kiln_tree_remove(AT_FDCWD, f->dir);
        close(f->dir_fd);
        EVP_PKEY_free(f->key);
        kiln_verify_keys_clear(&f->keys);
        free(f);
        return 0;
}

static struct kiln_reproduction *compare(struct fixture *f, const struct original *o)
{
        const struct kiln_reproduce q = {.keys = &f->keys};
        struct kiln_reproduction *ret = kiln_calloc(1, sizeof(*ret));
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        if (reproduction_compare(&f->context, &q, &f->theirs, o, &f->ours, &f->keys, ret, &err) < 0)
                fail_msg("%s", err.cause);
        assert_int_equal(ret->n_packages, 1);
        assert_false(ret->reproduced);
        assert_true(ret->packages[0].same_header);
        assert_false(ret->packages[0].same_payload);
        return ret;
}

/* An original that neither grafting nor comparing can read. */
static void test_unexplained(void **state)
{
        struct fixture *f = *state;
        struct original o = {openat(f->dir_fd, NAME, O_RDONLY | O_CLOEXEC), KILN_RPM_SIGNED};
        _cleanup_(kiln_reproduction_freep) struct kiln_reproduction *r = compare(f, &o);

        assert_int_equal(f->warnings, 2);
        assert_false(r->packages[0].grafted);
        close(o.fd);
}

static void sbom(struct fixture *f, const char *name, size_t n_files)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT, envelope = KILN_BUF_INIT;

        kiln_buf_puts(&text, "{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[" SUBJECT(
                                     NAME) "],"
                                           "\"predicateType\":\"" KILN_PREDICATE_CYCLONEDX
                                           "\",\"predicate\":{\"specVersion\":\"1.6\","
                                           "\"serialNumber\":\"1\",\"metadata\":{\"component\":{\"purl\":"
                                           "\"pkg:rpm/a\",\"properties\":["
                                           "{\"name\":\"kiln:rpm:file\",\"value\":\"" NAME "\"},"
                                           "{\"name\":\"kiln:rpm:headerSha256\",\"value\":\"" HEX_A "\"},"
                                           "{\"name\":\"kiln:rpm:payloadSha256\",\"value\":\"" HEX_A
                                           "\"}],\"components\":[");
        for (size_t i = 0; i < n_files; i++)
                kiln_buf_printf(&text,
                        "%s{\"name\":\"f/%05zu\",\"hashes\":[{\"alg\":\"SHA-1\",\"content\":\"%.40s\"},"
                        "{\"alg\":\"SHA-256\",\"content\":\"" HEX_A "\"}]}",
                        i ? "," : "", i, HEX_A);
        kiln_buf_puts(&text, "]}}}}");
        envelope_sign(f->key, kiln_buf_str(&text), &envelope);
        write_file(f, name, kiln_buf_str(&envelope));
}

static void test_many_files(void **state)
{
        const struct original o = {-1, KILN_RPM_UNSIGNED};
        struct fixture *f = *state;

        sbom(f, "theirs.intoto.jsonl", 1 + KILN_COMPARE_DIFFERENCES_MAX + MORE);
        sbom(f, "ours.intoto.jsonl", 1);
        _cleanup_(kiln_reproduction_freep) struct kiln_reproduction *r = compare(f, &o);

        assert_int_equal(kiln_strv_length(r->packages[0].files), KILN_COMPARE_DIFFERENCES_MAX);
        assert_string_equal(r->packages[0].files[0], "/f/00001");
        assert_int_equal(f->warnings, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_unexplained, setup, teardown),
                cmocka_unit_test_setup_teardown(test_many_files, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
