/* The signer process and what it hands out: keys on disk, signed packages, envelopes, refusals, confinement.
 * Each test starts the process afresh; where the tests run as root, all of them run once more as an ordinary
 * user. */
#include "worker/attest/signer.h"

#include "tests/unit/rpmmake.h"
#include "worker/attest/dsse.h"
#include "worker/base/number.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define TIME_S 1700000000

static const char spec[] =
        "Name: cup\nVersion: 1.0\nRelease: 1\nSummary: x\nLicense: MIT\nBuildArch: noarch\n"
        "%description\nx\n%prep\n%build\n%install\nmkdir -p %{buildroot}/usr/share/cup\n"
        "seq 1 20000 >%{buildroot}/usr/share/cup/numbers\n%files\n/usr/share/cup\n";

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

#define EMPTY_ROOT "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"

struct fixture {
        struct kiln_context context;
        struct kiln_signer *signer;
        struct kiln_error err;
        char *dir;
        char note[512];
};

static void on_event(void *ctx, const struct kiln_event *event)
{
        struct fixture *f = ctx;

        if (event->kind == KILN_EVENT_NOTE)
                snprintf(f->note, sizeof(f->note), "%s", event->text);
}

static int setup(void **state)
{
        struct fixture *f = kiln_calloc(1, sizeof(*f));

        f->dir = rpmmake_dir();
        f->context = (struct kiln_context){.cancel_fd = -1, .sink = {on_event, f}};
        f->context.key_dir = kiln_path_join(f->dir, "keys");
        *state = f;
        return 0;
}

static void end_signer(struct fixture *f)
{
        kiln_signer_free(f->signer);
        f->signer = NULL;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        end_signer(f);
        kiln_error_clear(&f->err);
        kiln_context_clear(&f->context);
        rpmmake_free(f->dir);
        free(f);
        return 0;
}

static void start(struct fixture *f)
{
        if (kiln_signer_spawn(&f->context, NULL, &f->signer, &f->err) < 0) {
                _cleanup_free_ char *text = kiln_error_format(&f->err);

                fail_msg("%s", text);
        }
}

static int new_file(const struct fixture *f, const char *name)
{
        _cleanup_free_ char *path = kiln_path_join(f->dir, name);
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        return fd;
}

/* Signs dir/name as dir/out. */
static int sign(struct fixture *f, const char *name, const char *out, struct kiln_subject *ret)
{
        _cleanup_close_ int fd = rpmmake_open(f->dir, name), out_fd = new_file(f, out);
        struct kiln_digest expected;

        assert_int_equal(kiln_digest_of_fd(fd, &expected, NULL), 0);
        return kiln_signer_rpm(f->signer, fd, name, &expected, TIME_S, out_fd, ret, &f->err);
}

static void sign_well(struct fixture *f, const char *name, const char *out, struct kiln_subject *ret)
{
        if (sign(f, name, out, ret) < 0) {
                _cleanup_free_ char *text = kiln_error_format(&f->err);

                fail_msg("%s", text);
        }
}

/* ---- keys
 * ---------------------------------------------------------------------------------------------------- */

static void test_first_use(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *fingerprint = NULL;

        start(f);
        assert_true(kiln_signer_public(f->signer)->created);
        fingerprint = kiln_strdup(kiln_signer_public(f->signer)->openpgp_fingerprint);
        assert_non_null(strstr(f->note, fingerprint));
        rpmmake_run(f->dir, "test \"$(stat -c %a keys)\" = 700; for k in keys/*; do test \"$(stat -c %a "
                            "$k)\" = 600; done");
        rpmmake_run(f->dir, "test \"$(cat keys/user-id)\" = 'Kiln local key <kiln@localhost>'");
        rpmmake_run(f->dir, "openssl pkey -in keys/attest.key -pubout | cmp - keys/attest.pub; "
                            "openssl pkey -in keys/rpm.key -noout; ! cmp -s keys/rpm.key keys/attest.key");
        end_signer(f);

        f->note[0] = '\0';
        start(f);
        assert_false(kiln_signer_public(f->signer)->created);
        assert_string_equal(f->note, "");
        assert_string_equal(kiln_signer_public(f->signer)->openpgp_fingerprint, fingerprint);
        assert_non_null(kiln_signer_for_bootstrap(f->signer).public_key);
}

/* Many processes at once must end up with one key pair. */
static void test_race(void **state)
{
        struct fixture *f = *state;
        int pipes[2];
        char first[KILN_KEYID_HEX];

        assert_int_equal(pipe(pipes), 0);
        for (int i = 0; i < 8; i++) {
                pid_t pid = fork();

                if (pid == 0) {
                        struct kiln_signer *s;

                        if (kiln_signer_spawn(&f->context, NULL, &s, NULL) < 0)
                                _exit(1);
                        _exit(write(pipes[1], kiln_signer_public(s)->attest_keyid, KILN_KEYID_HEX) !=
                                KILN_KEYID_HEX);
                }
        }
        for (int i = 0; i < 8; i++) {
                char id[KILN_KEYID_HEX];
                int status;

                assert_true(wait(&status) > 0);
                assert_int_equal(status, 0);
                assert_int_equal(read(pipes[0], id, sizeof(id)), sizeof(id));
                if (i == 0)
                        memcpy(first, id, sizeof(id));
                assert_memory_equal(first, id, sizeof(id));
        }
        close(pipes[0]);
        close(pipes[1]);
}

static void expect_refused(struct fixture *f, enum kiln_verdict verdict, const char *word)
{
        _cleanup_free_ char *text = NULL;

        assert_true(kiln_signer_spawn(&f->context, NULL, &f->signer, &f->err) < 0);
        text = kiln_error_format(&f->err);
        assert_int_equal(f->err.verdict, verdict);
        if (!strstr(text, word))
                fail_msg("no \"%s\" in: %s", word, text);
}

static void test_open_to_others(void **state)
{
        struct fixture *f = *state;

        start(f);
        end_signer(f);
        rpmmake_run(f->dir, "chmod 755 keys");
        expect_refused(f, KILN_REFUSED, "0755");
        rpmmake_run(f->dir, "chmod 700 keys; chmod 640 keys/rpm.key");
        expect_refused(f, KILN_REFUSED, "rpm.key");
        rpmmake_run(f->dir, "chmod 600 keys/rpm.key; echo nothing >keys/rpm.key");
        expect_refused(f, KILN_BAD_INPUT, "PKCS#8");
        rpmmake_run(f->dir, "rm keys/rpm.key; ln -s /etc/passwd keys/rpm.key");
        expect_refused(f, KILN_INFRA, "rpm.key");
}

/* ---- packages
 * ------------------------------------------------------------------------------------------------- */

static void test_package(void **state)
{
        struct fixture *f = *state;
        struct kiln_subject a, b;
        _cleanup_buf_ struct kiln_buf before = KILN_BUF_INIT, after = KILN_BUF_INIT;

        rpmmake_build(f->dir, spec, "");
        start(f);
        sign_well(f, "cup-1.0-1.noarch.rpm", "signed.rpm", &a);
        assert_string_equal(a.file_name, "cup-1.0-1.noarch.rpm");
        sign_well(f, "cup-1.0-1.noarch.rpm", "again.rpm", &b);
        rpmmake_run(f->dir, "cmp signed.rpm again.rpm; ! cmp -s signed.rpm cup-1.0-1.noarch.rpm; "
                            "test $(stat -c %s signed.rpm) = $(stat -c %s cup-1.0-1.noarch.rpm)");
        free(a.file_name);
        free(b.file_name);

        /* What rpmbuild reserved is enough, so the header and payload stay where they were. */
        rpmmake_read(f->dir, "cup-1.0-1.noarch.rpm", &before);
        rpmmake_read(f->dir, "signed.rpm", &after);
        assert_memory_equal(before.data + 4504, after.data + 4504, before.len - 4504);

        rpmmake_run(f->dir,
                "mkdir db; rpmkeys --dbpath $PWD/db --import keys/rpm.asc; "
                "rpmkeys --dbpath $PWD/db --define '_pkgverify_level all' -Kv signed.rpm >said; cat said; "
                "grep -q 'Header V4 EdDSA/SHA256 Signature, key ID .*: OK' said");
        rpmmake_run(
                f->dir, "! rpmkeys --dbpath $PWD/db --define '_pkgverify_level all' -K cup-1.0-1.noarch.rpm");
        rpmmake_run(f->dir, "test \"$(rpm -qp --dbpath $PWD/db --qf '%{DSAHEADER:pgpsig}' signed.rpm | "
                            "grep -c 'Tue Nov 14 22:13:20 2023')\" = 1");

        sign_well(f, "cup-1.0-1.src.rpm", "signed.src.rpm", &a);
        assert_string_equal(a.file_name, "cup-1.0-1.src.rpm");
        free(a.file_name);
        rpmmake_run(f->dir, "rpmkeys --dbpath $PWD/db --define '_pkgverify_level all' -K signed.src.rpm");
}

/* The same tags in the same places as rpmsign writes: only the signature's bytes differ. */
static void test_like_rpmsign(void **state)
{
        struct fixture *f = *state;
        _cleanup_buf_ struct kiln_buf ours = KILN_BUF_INIT, theirs = KILN_BUF_INIT;
        struct kiln_subject a;
        size_t index;

        rpmmake_build(f->dir, spec, "");
        start(f);
        sign_well(f, "cup-1.0-1.noarch.rpm", "ours.rpm", &a);
        free(a.file_name);
        rpmmake_key(f->dir, "other");
        rpmmake_run(f->dir, "cp cup-1.0-1.noarch.rpm theirs.rpm");
        rpmmake_sign(f->dir, "other", "theirs.rpm");
        rpmmake_read(f->dir, "ours.rpm", &ours);
        rpmmake_read(f->dir, "theirs.rpm", &theirs);
        assert_int_equal(ours.len, theirs.len);
        assert_memory_equal(
                ours.data, theirs.data, 96 + 16 + 16 + 4); /* lead, intro, region's tag and type */
        for (index = 0; index < 8; index++)                /* tags and types of all eight entries */
                assert_memory_equal(ours.data + 112 + 16 * index, theirs.data + 112 + 16 * index, 8);
        assert_int_equal((unsigned char)ours.data[112 + 16 + 3], 267 & 0xff);
        assert_memory_equal(ours.data + 4504, theirs.data + 4504, ours.len - 4504);
}

/* Every byte of the signature header, header and payload changed in turn (a sample of the payload): never
 * signed, never a crash. */
static void test_damaged(void **state)
{
        struct fixture *f = *state;
        _cleanup_buf_ struct kiln_buf rpm = KILN_BUF_INIT;
        struct kiln_subject s;
        size_t header_end;

        rpmmake_build(f->dir, spec, "");
        rpmmake_read(f->dir, "cup-1.0-1.noarch.rpm", &rpm);
        header_end = rpm.len < 12000 ? rpm.len : 12000;
        start(f);
        for (size_t i = 0; i < header_end; i += i < 400 || i > 4480 ? 1 : 97) {
                _cleanup_close_ int fd = new_file(f, "bad.rpm"), out = new_file(f, "out.rpm");
                struct kiln_digest d;
                bool matters = i < 5 || (i >= 96 && i < 104) || i >= 4504;
                int r;

                rpm.data[i] = (char)(rpm.data[i] ^ 0x55);
                assert_int_equal(kiln_fd_write(fd, rpm.data, rpm.len), 0);
                d = kiln_digest_of(rpm.data, rpm.len);
                rpm.data[i] = (char)(rpm.data[i] ^ 0x55);
                r = kiln_signer_rpm(f->signer, fd, "bad.rpm", &d, TIME_S, out, &s, &f->err);
                if (r == 0) {
                        free(s.file_name);
                        if (matters)
                                fail_msg("byte %zu", i);
                } else if (f->err.verdict != KILN_BAD_INPUT) {
                        fail_msg("byte %zu: %s", i, f->err.cause);
                }
        }
        for (size_t len = 0; len < rpm.len; len += len < 5000 ? 13 : 997) {
                _cleanup_close_ int fd = new_file(f, "bad.rpm"), out = new_file(f, "out.rpm");
                struct kiln_digest d = kiln_digest_of(rpm.data, len);

                assert_int_equal(kiln_fd_write(fd, rpm.data, len), 0);
                assert_true(kiln_signer_rpm(f->signer, fd, "bad.rpm", &d, TIME_S, out, &s, &f->err) < 0);
                assert_int_equal(f->err.verdict, KILN_BAD_INPUT);
                assert_string_equal(f->err.subject, "bad.rpm");
        }
}

static void test_announced_digest(void **state)
{
        struct fixture *f = *state;
        struct kiln_digest wrong = {{1}};
        struct kiln_subject s;

        rpmmake_build(f->dir, spec, "");
        start(f);
        {
                _cleanup_close_ int fd = rpmmake_open(f->dir, "cup-1.0-1.noarch.rpm"),
                                    out = new_file(f, "out.rpm");

                assert_true(kiln_signer_rpm(f->signer, fd, "cup", &wrong, TIME_S, out, &s, &f->err) < 0);
                assert_int_equal(f->err.verdict, KILN_REFUSED);
                assert_int_equal(lseek(out, 0, SEEK_END), 0);
        }
        /* Signing twice would hide who signed first. */
        sign_well(f, "cup-1.0-1.noarch.rpm", "signed.rpm", &s);
        free(s.file_name);
        assert_true(sign(f, "signed.rpm", "twice.rpm", &s) < 0);
        assert_non_null(strstr(f->err.cause, "signed already"));
}

/* ---- statements
 * ------------------------------------------------------------------------------------------------ */

static char *statement_of(const struct kiln_subject *s, enum kiln_subject_form form, const char *type)
{
        _cleanup_json_ json_t *predicate = json_pack("{s:s}", "a", "b");
        struct kiln_buf b = KILN_BUF_INIT;

        kiln_statement_write(s, 1, form, type, predicate, &b);
        return kiln_buf_take(&b);
}

static void expect_statement(struct fixture *f, const char *text, bool good)
{
        _cleanup_buf_ struct kiln_buf envelope = KILN_BUF_INIT;
        int r = kiln_signer_statement(f->signer, text, strlen(text), &envelope, &f->err);

        if ((r == 0) != good)
                fail_msg("%s: %s", text, r == 0 ? "signed" : f->err.cause);
}

static void test_statement(void **state)
{
        struct fixture *f = *state;
        _cleanup_buf_ struct kiln_buf envelope = KILN_BUF_INIT, payload = KILN_BUF_INIT, pae = KILN_BUF_INIT;
        _cleanup_free_ char *text = NULL, *pae_path = kiln_path_join(f->dir, "pae");
        struct kiln_subject s;
        EVP_PKEY *key;

        rpmmake_build(f->dir, spec, "");
        start(f);
        sign_well(f, "cup-1.0-1.noarch.rpm", "signed.rpm", &s);
        text = statement_of(&s, KILN_SUBJECT_ALL, KILN_PREDICATE_PROVENANCE);
        assert_int_equal(kiln_signer_statement(f->signer, text, strlen(text), &envelope, &f->err), 0);
        free(s.file_name);

        key = kiln_dsse_public_key(kiln_signer_public(f->signer)->attest_pem);
        assert_int_equal(kiln_dsse_open(envelope.data, envelope.len, KILN_DSSE_INTOTO, &key, 1, "it",
                                 &payload, NULL, &f->err),
                0);
        assert_string_equal(kiln_buf_str(&payload), text);
        assert_true(kiln_dsse_open(envelope.data, envelope.len, "text/plain", &key, 1, "it", &payload, NULL,
                            &f->err) < 0);
        /* The payload's first character, "e" of base64 "ey…": any change breaks the signature. */
        envelope.data[strlen("{\"payload\":\"") + 2]++;
        assert_true(kiln_dsse_open(envelope.data, envelope.len, KILN_DSSE_INTOTO, &key, 1, "it", &payload,
                            NULL, &f->err) < 0);
        assert_int_equal(f->err.verdict, KILN_NOT_REPRODUCED);
        envelope.data[strlen("{\"payload\":\"") + 2]--;
        EVP_PKEY_free(key);
        key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        assert_true(kiln_dsse_open(envelope.data, envelope.len, KILN_DSSE_INTOTO, &key, 1, "it", &payload,
                            NULL, &f->err) < 0);
        EVP_PKEY_free(key);

        /* openssl's word on the same. */
        kiln_dsse_pae(KILN_DSSE_INTOTO, text, strlen(text), &pae);
        assert_int_equal(kiln_file_write(AT_FDCWD, pae_path, pae.data, pae.len, 0644), 0);
        {
                _cleanup_free_ char *path = kiln_path_join(f->dir, "envelope");

                assert_int_equal(kiln_file_write(AT_FDCWD, path, envelope.data, envelope.len, 0644), 0);
        }
        rpmmake_run(f->dir,
                "sed 's/.*\"sig\":\"\\([^\"]*\\)\".*/\\1/' envelope | base64 -d >sig; "
                "openssl pkeyutl -verify -rawin -pubin -inkey keys/attest.pub -in pae -sigfile sig");
}

static void test_statement_refused(void **state)
{
        struct fixture *f = *state;
        struct kiln_subject s, other;
        char *text;

        rpmmake_build(f->dir, spec, "");
        start(f);
        sign_well(f, "cup-1.0-1.noarch.rpm", "signed.rpm", &s);

        text = statement_of(&s, KILN_SUBJECT_CONTENT, KILN_PREDICATE_SPDX);
        expect_statement(f, text, true);
        free(text);
        other = s;
        other.digests.payload.bytes[0] ^= 1;
        text = statement_of(&other, KILN_SUBJECT_ALL, KILN_PREDICATE_PROVENANCE);
        expect_statement(f, text, false);
        free(text);
        other = s;
        other.file_name = (char *)"mug-1.0-1.noarch.rpm";
        text = statement_of(&other, KILN_SUBJECT_ALL, KILN_PREDICATE_PROVENANCE);
        expect_statement(f, text, false);
        free(text);
        text = statement_of(&s, KILN_SUBJECT_ALL, "https://example.org/anything");
        expect_statement(f, text, false);
        free(text);
        expect_statement(f, "", false);
        expect_statement(f, "{}", false);
        expect_statement(f, "[1]", false);
        expect_statement(f,
                "{\"_type\":\"" KILN_STATEMENT_TYPE
                "\",\"subject\":[],\"predicateType\":\"" KILN_PREDICATE_SPDX "\",\"predicate\":{}}",
                false);
        free(s.file_name);

        /* Packages belong to the conversation: a new one has seen none. */
        end_signer(f);
        start(f);
        {
                _cleanup_close_ int fd = rpmmake_open(f->dir, "cup-1.0-1.noarch.rpm");
                struct kiln_digest d;

                assert_int_equal(kiln_digest_of_fd(fd, &d, NULL), 0);
                s = (struct kiln_subject){.file_name = (char *)"cup-1.0-1.noarch.rpm"};
                text = statement_of(&s, KILN_SUBJECT_CONTENT, KILN_PREDICATE_SPDX);
                expect_statement(f, text, false);
                free(text);
                assert_int_equal(kiln_signer_show(f->signer, fd, "cup", &d, &s, &f->err), 0);
                assert_true(kiln_digest_equal(&s.digests.signed_file, &d));
                text = statement_of(&s, KILN_SUBJECT_ALL, KILN_PREDICATE_VSA);
                expect_statement(f, text, true);
                free(text);
                free(s.file_name);
        }
}

/* What somebody else signed can be judged, but nobody can claim to have built it. */
static void test_signed_shown(void **state)
{
        static const struct {
                enum kiln_subject_form form;
                const char *type;
                bool good;
        } cases[] = {
                {KILN_SUBJECT_PUBLISHED, KILN_PREDICATE_VSA, true},
                {KILN_SUBJECT_CONTENT, KILN_PREDICATE_VSA, true},
                {KILN_SUBJECT_ALL, KILN_PREDICATE_VSA, false},
                {KILN_SUBJECT_PUBLISHED, KILN_PREDICATE_PROVENANCE, false},
                {KILN_SUBJECT_CONTENT, KILN_PREDICATE_SPDX, false},
        };
        struct fixture *f = *state;
        struct kiln_subject s;
        struct kiln_digest d;

        rpmmake_build(f->dir, spec, "");
        start(f);
        sign_well(f, "cup-1.0-1.noarch.rpm", "signed.rpm", &s);
        free(s.file_name);
        end_signer(f);
        start(f);
        {
                _cleanup_close_ int fd = rpmmake_open(f->dir, "signed.rpm");

                assert_int_equal(kiln_digest_of_fd(fd, &d, NULL), 0);
                assert_int_equal(kiln_signer_show(f->signer, fd, "cup", &d, &s, &f->err), 0);
                assert_true(kiln_digest_equal(&s.digests.signed_file, &d));
        }
        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *text = statement_of(&s, cases[i].form, cases[i].type);

                expect_statement(f, text, cases[i].good);
        }
        free(s.file_name);
}

/* Dissent can be about what was never here; approval cannot. */
static void test_dissent(void **state)
{
        static const struct {
                const char *result, *digest, *hex;
                bool good;
        } cases[] = {
                {"FAILED", "rpmHeaderSha256", HEX64, true},
                {"FAILED", "sha256", HEX64, true},
                {"PASSED", "rpmHeaderSha256", HEX64, false},
                {"failed", "rpmHeaderSha256", HEX64, false},
                {"FAILED", "sha512", HEX64, false},
                {"FAILED", "sha256", "abc", false},
                {"FAILED", "sha256", HEX64 "0", false},
        };
        struct fixture *f = *state;

        start(f);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                static const char *const types[] = {KILN_PREDICATE_VSA, KILN_PREDICATE_PROVENANCE};

                for (size_t t = 0; t < KILN_ARRAY_SIZE(types); t++) {
                        _cleanup_free_ char *text = kiln_asprintf(
                                "{\"_type\":\"" KILN_STATEMENT_TYPE
                                "\",\"subject\":[{\"name\":\"far-1-1.noarch.rpm\",\"digest\":{\"%s\":\"%s\"}}"
                                "],"
                                "\"predicateType\":\"%s\",\"predicate\":{\"verificationResult\":\"%s\"}}",
                                cases[i].digest, cases[i].hex, types[t], cases[i].result);

                        expect_statement(f, text, cases[i].good && t == 0);
                }
        }
}

static void test_repomd(void **state)
{
        static const char good[] =
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<repomd xmlns=\"x\"></repomd>\n";
        static const char *const refused[] = {"", "hello", "<?xml version=\"1.0\"?><metalink/>", "<repomd/>"};
        struct fixture *f = *state;
        _cleanup_free_ char *armor = NULL, *again = NULL, *path = kiln_path_join(f->dir, "repomd.xml"),
                            *asc = kiln_path_join(f->dir, "repomd.xml.asc");
        struct kiln_bootstrap_signer b;

        start(f);
        b = kiln_signer_for_bootstrap(f->signer);
        assert_int_equal(b.sign(b.ctx, good, strlen(good), &armor, &f->err), 0);
        assert_int_equal(b.sign(b.ctx, good, strlen(good), &again, &f->err), 0);
        assert_string_equal(armor, again);
        assert_int_equal(kiln_file_write(AT_FDCWD, path, good, strlen(good), 0644), 0);
        assert_int_equal(kiln_file_write(AT_FDCWD, asc, armor, strlen(armor), 0644), 0);
        rpmmake_run(f->dir, "sqv --keyring keys/rpm.asc repomd.xml.asc repomd.xml");
        for (size_t i = 0; i < KILN_ARRAY_SIZE(refused); i++) {
                char *none = NULL;

                assert_true(b.sign(b.ctx, refused[i], strlen(refused[i]), &none, &f->err) < 0);
                assert_int_equal(f->err.verdict, KILN_REFUSED);
        }
}

/* The log's key signs checkpoints of its log, and no other text. */
static void test_checkpoint(void **state)
{
        static const char *const refused[] = {"", "other.example\n0\n" EMPTY_ROOT, "log.example\n0\n",
                "log.example\n00\n" EMPTY_ROOT, "log.example\n0\n" EMPTY_ROOT "more\n",
                "log.example\n0\n" EMPTY_ROOT "\n\xe2\x80\x94 log.example AAAAAAAA\n", "DSSEv1 1 a 1 b"};
        static const char body[] = "log.example\n0\n" EMPTY_ROOT;
        struct fixture *f = *state;
        _cleanup_(kiln_log_key_freep) struct kiln_log_key *key = NULL;
        _cleanup_(kiln_checkpoint_clear) struct kiln_checkpoint c = {0};
        _cleanup_buf_ struct kiln_buf note = KILN_BUF_INIT;
        struct kiln_signer *other = NULL;
        unsigned char signature[64];

        start(f);
        assert_null(kiln_signer_public(f->signer)->log_vkey);
        assert_true(kiln_signer_checkpoint(f->signer, body, strlen(body), signature, &f->err) < 0);
        assert_int_equal(f->err.verdict, KILN_REFUSED);
        end_signer(f);

        assert_int_equal(kiln_signer_spawn_log(&f->context, "log.example", &f->signer, &f->err), 0);
        assert_int_equal(kiln_log_key_parse(kiln_signer_public(f->signer)->log_vkey, &key), 0);
        assert_int_equal(kiln_signer_checkpoint(f->signer, body, strlen(body), signature, &f->err), 0);
        kiln_checkpoint_sign(key, body, signature, &note);
        assert_int_equal(kiln_checkpoint_parse(note.data, note.len, &c), 0);
        assert_int_equal(kiln_checkpoint_check(&c, key), 0);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(refused); i++) {
                assert_true(kiln_signer_checkpoint(
                                    f->signer, refused[i], strlen(refused[i]), signature, &f->err) < 0);
                assert_int_equal(f->err.verdict, KILN_REFUSED);
        }
        end_signer(f);

        assert_true(kiln_signer_spawn_log(&f->context, "other.example", &other, &f->err) < 0);
        assert_int_equal(f->err.verdict, KILN_REFUSED);
        rpmmake_run(f->dir,
                "test \"$(cat keys/log-origin)\" = log.example; test $(stat -c %a keys/log.key) = 600");
        start(f); /* whichever log it is */
        assert_non_null(kiln_signer_public(f->signer)->log_vkey);
}

/* Both kinds of keys in a directory that does not exist yet. */
static void test_log_first(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(kiln_signer_spawn_log(&f->context, "log.example", &f->signer, &f->err), 0);
        assert_true(kiln_signer_public(f->signer)->created);
        assert_non_null(kiln_signer_public(f->signer)->log_vkey);
}

/* ---- the process
 * ----------------------------------------------------------------------------------------------- */

static pid_t child_of_ours(void)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
        _cleanup_free_ char *path = kiln_asprintf("/proc/self/task/%d/children", getpid());
        uint64_t pid = 0;

        assert_int_equal(kiln_file_read(AT_FDCWD, path, 4096, &b), 0);
        assert_non_null(b.data);
        *strchrnul(b.data, ' ') = '\0';
        assert_int_equal(kiln_number_parse(b.data, INT32_MAX, &pid), 0);
        return (pid_t)pid;
}

static void status_line(pid_t pid, const char *key, char *value, size_t size)
{
        _cleanup_free_ char *path = kiln_asprintf("/proc/%d/status", pid);
        char line[256];
        FILE *file = fopen(path, "re");

        assert_non_null(file);
        *value = '\0';
        while (fgets(line, sizeof(line), file))
                if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
                        snprintf(value, size, "%s", line + strlen(key) + 2);
        fclose(file);
}

static void test_confined(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *environ_path = NULL, *mem_path = NULL;
        char value[256], expected[64];
        pid_t pid;

        start(f);
        pid = child_of_ours();
        status_line(pid, "Seccomp", value, sizeof(value));
        assert_string_equal(value, "2\n");
        status_line(pid, "NoNewPrivs", value, sizeof(value));
        assert_string_equal(value, "1\n");
        status_line(pid, "CapEff", value, sizeof(value));
        assert_string_equal(value, "0000000000000000\n");
        status_line(pid, "Uid", value, sizeof(value));
        if (geteuid() == 0)
                snprintf(expected, sizeof(expected), "%1$d\t%1$d\t%1$d\t%1$d\n", KILN_SIGNER_UID);
        else
                snprintf(expected, sizeof(expected), "%1$d\t%1$d\t%1$d\t%1$d\n", geteuid());
        assert_string_equal(value, expected);
        status_line(pid, "VmLck", value, sizeof(value));
        assert_string_not_equal(value, "       0 kB\n");
        /* Not dumpable: its own user cannot look into its memory (root can, nothing stops root). */
        mem_path = kiln_asprintf("/proc/%d/mem", pid);
        if (geteuid() != 0)
                assert_int_equal(open(mem_path, O_RDONLY | O_CLOEXEC), -1);
}

/* Nothing of the keys is in this process, its arguments or its environment. */
static void test_no_key_here(void **state)
{
        struct fixture *f = *state;

        start(f);
        assert_int_equal(kiln_signer_public(f->signer)->created, true);
        {
                _cleanup_free_ char *path = kiln_asprintf("/proc/%d/cmdline", child_of_ours());
                _cleanup_buf_ struct kiln_buf line = KILN_BUF_INIT;
                int fd = open(path, O_RDONLY | O_CLOEXEC);

                assert_true(fd >= 0);
                assert_int_equal(kiln_fd_read(fd, 4096, &line), 0);
                close(fd);
                assert_true(line.len > 0 && line.len < 256);
        }
}

/* Bytes that are no request end the conversation and nothing else. */
static void test_served(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *path = kiln_path_join(f->dir, "socket");
        struct kiln_signer *one, *two;
        int cancel = eventfd(0, EFD_CLOEXEC), status, r = -1;
        pid_t pid = fork();

        if (pid == 0) {
                uid_t allowed[] = {geteuid()};
                struct kiln_signer_server server = {.key_dir = f->context.key_dir,
                        .fd = -1,
                        .socket_path = path,
                        .allowed = allowed,
                        .n_allowed = 1,
                        .cancel_fd = cancel};

                alarm(60); /* also where the test fails before it ends this */
                _exit(kiln_signer_serve(&server, NULL) == 0 ? 0 : 1);
        }
        for (int i = 0; i < 100 && r < 0; i++) {
                r = kiln_signer_connect(&f->context, path, &one, &f->err);
                if (r < 0)
                        usleep(50000);
        }
        assert_int_equal(r, 0);
        assert_int_equal(kiln_signer_connect(&f->context, path, &two, &f->err), 0);
        assert_string_equal(kiln_signer_public(one)->attest_keyid, kiln_signer_public(two)->attest_keyid);
        kiln_signer_free(one);
        {
                _cleanup_free_ char *armor = NULL;

                assert_int_equal(kiln_signer_repomd(two, "<?xml ?><repomd>", 16, &armor, &f->err), 0);
        }
        kiln_signer_free(two);

        /* A user who is not allowed is told so. */
        if (geteuid() == 0) {
                pid_t stranger = fork();

                if (stranger == 0) {
                        struct kiln_error err = KILN_ERROR_INIT;
                        struct kiln_signer *s;

                        if (chmod(f->dir, 0755) < 0 || setresuid(1234, 1234, 1234) < 0)
                                _exit(2);
                        r = kiln_signer_connect(&f->context, path, &s, &err);
                        _exit(r < 0 && err.verdict == KILN_REFUSED ? 0 : 1);
                }
                assert_int_equal(waitpid(stranger, &status, 0), stranger);
                assert_int_equal(status, 0);
        }
        assert_int_equal(eventfd_write(cancel, 1), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        close(cancel);
}

/* The program this test executes as its signer is itself. */
static int be_signer(int argc, char **argv)
{
        struct kiln_signer_server server = {.key_dir = argv[5], .fd = 3};

        if (argc == 8 && strcmp(argv[6], "--log-origin") == 0)
                server.log_origin = argv[7];
        return (argc == 6 || server.log_origin) && kiln_signer_serve(&server, NULL) == 0 ? 0 : 1;
}

static int all_tests(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_first_use, setup, teardown),
                cmocka_unit_test_setup_teardown(test_race, setup, teardown),
                cmocka_unit_test_setup_teardown(test_open_to_others, setup, teardown),
                cmocka_unit_test_setup_teardown(test_package, setup, teardown),
                cmocka_unit_test_setup_teardown(test_like_rpmsign, setup, teardown),
                cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
                cmocka_unit_test_setup_teardown(test_announced_digest, setup, teardown),
                cmocka_unit_test_setup_teardown(test_statement, setup, teardown),
                cmocka_unit_test_setup_teardown(test_statement_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(test_signed_shown, setup, teardown),
                cmocka_unit_test_setup_teardown(test_dissent, setup, teardown),
                cmocka_unit_test_setup_teardown(test_repomd, setup, teardown),
                cmocka_unit_test_setup_teardown(test_checkpoint, setup, teardown),
                cmocka_unit_test_setup_teardown(test_log_first, setup, teardown),
                cmocka_unit_test_setup_teardown(test_confined, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_key_here, setup, teardown),
                cmocka_unit_test_setup_teardown(test_served, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
        int status, failed;

        if (argc > 1 && strcmp(argv[1], "signer") == 0)
                return be_signer(argc, argv);
        failed = all_tests();
        if (geteuid() == 0) {
                pid_t pid = fork();

                if (pid == 0) {
                        if (setgid(54321) < 0 || setuid(54321) < 0)
                                _exit(99);
                        _exit(all_tests());
                }
                if (waitpid(pid, &status, 0) != pid || status != 0)
                        failed++;
        }
        return failed;
}
