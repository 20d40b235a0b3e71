/* worker/source/srpm.c and unpack.c: source packages are accepted, named and unpacked by strict rules. */
#include "tests/unit/rpmmake.h"
#include "worker/source/rpmlayout.h"
#include "worker/source/srpm.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SPEC(extra)                                                                                          \
        "Name: made\nVersion: 1\nRelease: 2.fc43\nSummary: s\nLicense: MIT\nSource0: one.txt\n"              \
        "Source1: run.sh\n" extra "%description\nd\n%prep\n%build\n%install\n%files\n"

static char *make(const char *extra_spec, const char *options)
{
        char *dir = rpmmake_dir();

        rpmmake_run(dir,
                "echo one >one.txt; echo run >run.sh; chmod 755 run.sh; touch -d @1700000000 one.txt run.sh");
        rpmmake_build(dir, extra_spec, options);
        rpmmake_run(dir, "rm -rf *.x86_64.rpm; mv *src.rpm made.src.rpm");
        return dir;
}

static int empty_dir(const char *dir)
{
        _cleanup_free_ char *path = kiln_path_join(dir, "out");
        int fd = kiln_dir_make(AT_FDCWD, path, 0755);

        assert_true(fd >= 0);
        return fd;
}

/* Every payload compression that rpm knows. */
static void test_payloads(void **state)
{
        static const char *const kinds[] = {
                "w9.gzdio", "w9.bzdio", "w6.xzdio", "w6.lzdio", "w3.zstdio", "w.ufdio"};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(kinds); i++) {
                _cleanup_free_ char *options = kiln_asprintf("--define '_source_payload %s'", kinds[i]);
                char *dir = make(SPEC(""), options);
                _cleanup_close_ int fd = rpmmake_open(dir, "made.src.rpm"), out = empty_dir(dir);
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                _cleanup_(kiln_rpm_freep) struct kiln_rpm *rpm = NULL;
                _cleanup_free_ char *spec = NULL;
                struct stat st;

                if (kiln_srpm_open(fd, "made.src.rpm", NULL, KILN_SIGNATURE_ANY, &rpm, &err) < 0 ||
                        kiln_source_unpack(fd, rpm->payload_offset, "made.src.rpm", out, NULL, &err) < 0 ||
                        kiln_source_spec(out, "made.src.rpm", &spec, &err) < 0)
                        fail_msg("%s: %s", kinds[i], err.cause);
                assert_string_equal(spec, "made.spec");
                rpmmake_run(dir, "cmp one.txt out/one.txt; cmp run.sh out/run.sh; cmp made.spec "
                                 "out/made.spec; test $(ls -A out | wc -l) = 3");
                assert_int_equal(fstatat(out, "one.txt", &st, 0), 0);
                assert_int_equal(st.st_mode & 07777, 0644);
                assert_int_equal(st.st_mtim.tv_sec, 1700000000);
                assert_int_equal(fstatat(out, "run.sh", &st, 0), 0);
                assert_int_equal(st.st_mode & 07777, 0755);
                rpmmake_free(dir);
        }
}

/* One entry of cpio's newc format (cpio(5)). */
static void cpio_add(struct kiln_buf *b, const char *name, unsigned mode, const char *data)
{
        size_t name_len = strlen(name) + 1, data_len = strlen(data);

        kiln_buf_printf(b, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", 1, mode, 0, 0, 1,
                0, data_len, 0, 0, 0, 0, name_len, 0);
        kiln_buf_append(b, name, name_len);
        while (b->len % 4)
                kiln_buf_putc(b, '\0');
        kiln_buf_append(b, data, data_len);
        while (b->len % 4)
                kiln_buf_putc(b, '\0');
}

static enum kiln_verdict unpack(
        const struct kiln_buf *b, const struct kiln_source_limits *limits, char **ret_dir, char **ret_cause)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_close_ int fd = memfd_create("payload", MFD_CLOEXEC), out = -1;

        *ret_dir = rpmmake_dir();
        out = empty_dir(*ret_dir);
        assert_int_equal(kiln_fd_write(fd, b->data, b->len), 0);
        kiln_source_unpack(fd, 0, "evil.src.rpm", out, limits, &err);
        *ret_cause = kiln_strdup(err.cause ? err.cause : "");
        return err.verdict;
}

static void test_hostile_payloads(void **state)
{
        static const struct {
                const char *name;
                unsigned mode;
                const char *says;
        } table[] = {
                {"../escape", 0100644, "file name"},
                {"/etc/passwd", 0100644, "file name"},
                {"sub/file", 0100644, "file name"},
                {"..", 0100644, "file name"},
                {"", 0100644, "file name"},
                {"new\nline", 0100644, "file name"},
                {"dir", 0040755, "no regular file"},
                {"link", 0120777, "no regular file"},
                {"fifo", 0010644, "no regular file"},
                {"null", 0020666, "no regular file"},
                {"disk", 0060600, "no regular file"},
                {"first", 0100644, "twice"},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(table); i++) {
                _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
                _cleanup_free_ char *cause = NULL;
                char *dir;

                cpio_add(&b, "first", 0100644, "x");
                cpio_add(&b, table[i].name, table[i].mode, "../../target");
                cpio_add(&b, "TRAILER!!!", 0, "");
                assert_int_equal(unpack(&b, NULL, &dir, &cause), KILN_BAD_INPUT);
                if (!strstr(cause, table[i].says))
                        fail_msg("%s: %s", table[i].name, cause);
                rpmmake_run(dir, "test \"$(find . | sort | tr '\\n' ' ')\" = '. ./out ./out/first '");
                rpmmake_free(dir);
        }
}

static void test_damaged_payloads(void **state)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        cpio_add(&b, "first", 0100644, "some data that is cut");
        for (size_t len = 0; len < b.len; len += 7) {
                struct kiln_buf part = {b.data, len, b.capacity};
                _cleanup_free_ char *cause = NULL;
                char *dir;

                assert_int_equal(unpack(&part, NULL, &dir, &cause), KILN_BAD_INPUT);
                rpmmake_free(dir);
        }
}

/* ---- format 6: the same package, its payload without names and sizes */

static void pad(struct kiln_buf *b)
{
        while (b->len % 4)
                kiln_buf_putc(b, '\0');
}

static void stripped_add(struct kiln_buf *b, const char *dir, unsigned place, const char *name)
{
        _cleanup_buf_ struct kiln_buf data = KILN_BUF_INIT;

        kiln_buf_printf(b, "07070X%08x", place);
        pad(b);
        if (name)
                rpmmake_read(dir, name, &data);
        kiln_buf_append(b, data.data, data.len);
        pad(b);
}

/* made.src.rpm's head; its files are made.spec, one.txt and run.sh, in the header's order. */
static char *make_stripped(struct kiln_rpm_layout *l)
{
        char *dir = make(SPEC(""), "");
        _cleanup_close_ int fd = rpmmake_open(dir, "made.src.rpm");

        assert_int_equal(kiln_rpm_layout_read(fd, "made.src.rpm", l, NULL), 0);
        return dir;
}

static enum kiln_verdict unpack_stripped(
        const char *dir, const struct kiln_rpm_layout *l, const struct kiln_buf *payload, char **ret_cause)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_close_ int fd = memfd_create("package", MFD_CLOEXEC), out = -1;

        rpmmake_run(dir, "rm -rf out");
        out = empty_dir(dir);
        assert_int_equal(kiln_fd_write(fd, l->head, l->payload_offset), 0);
        assert_int_equal(kiln_fd_write(fd, payload->data, payload->len), 0);
        kiln_source_unpack(fd, l->payload_offset, "stripped.src.rpm", out, NULL, &err);
        *ret_cause = kiln_strdup(err.cause ? err.cause : "");
        return err.verdict;
}

static void test_stripped(void **state)
{
        static const char *const kinds[] = {"cat", "gzip", "xz", "zstd"};
        static const char *const names[] = {"made.spec", "one.txt", "run.sh"};
        _cleanup_layout_ struct kiln_rpm_layout l = {0};
        _cleanup_buf_ struct kiln_buf plain = KILN_BUF_INIT;
        char *dir = make_stripped(&l);
        _cleanup_free_ char *path = kiln_path_join(dir, "payload");

        for (unsigned i = 0; i < 3; i++)
                stripped_add(&plain, dir, i, names[i]);
        cpio_add(&plain, "TRAILER!!!", 0, "");
        assert_int_equal(kiln_file_write(AT_FDCWD, path, plain.data, plain.len, 0644), 0);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(kinds); i++) {
                _cleanup_free_ char *script = kiln_asprintf("%s <payload >packed", kinds[i]), *cause = NULL;
                _cleanup_buf_ struct kiln_buf packed = KILN_BUF_INIT;

                rpmmake_run(dir, script);
                rpmmake_read(dir, "packed", &packed);
                if (unpack_stripped(dir, &l, &packed, &cause) != KILN_OK)
                        fail_msg("%s: %s", kinds[i], cause);
                rpmmake_run(dir, "for f in one.txt run.sh made.spec; do cmp $f out/$f; done; test $(ls -A "
                                 "out | wc -l) = 3; "
                                 "test $(stat -c %a-%Y out/one.txt out/run.sh | tr '\\n' +) = "
                                 "644-1700000000+755-1700000000+");
        }
        for (size_t len = 0; len < plain.len; len += 13) {
                struct kiln_buf part = {plain.data, len, plain.capacity};
                _cleanup_free_ char *cause = NULL;

                assert_int_equal(unpack_stripped(dir, &l, &part, &cause), KILN_BAD_INPUT);
        }
        rpmmake_free(dir);
}

static void test_hostile_stripped(void **state)
{
        static const struct {
                const char *payload; /* a letter each: a place of the header, T the trailer, X no hexadecimal
                                        digit */
                uint32_t tag;        /* one of the header to be changed; 0: none */
                const char *says;
        } table[] = {
                {"13T", 0, "does not know"},
                {"11T", 0, "twice"},
                {"1XT", 0, "unknown kind"},
                {"1t", 0, "unknown kind"},
                {"1", 0, "too early"},
                {"1T", 1028 /* sizes */, "too early"},
                {"1T", 1096 /* inodes */, "no regular file"},
                {"1T", 1030 /* modes */, "no regular file"},
                {"1T", 1117 /* names */, "file name"},
                {"1T", 1118 /* directories */, "do not fit together"},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(table); i++) {
                _cleanup_layout_ struct kiln_rpm_layout l = {0};
                _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
                _cleanup_free_ char *cause = NULL;
                char *dir = make_stripped(&l);
                struct kiln_rpm_value v;

                for (const char *p = table[i].payload; *p; p++)
                        if (*p == 'T')
                                cpio_add(&b, "TRAILER!!!", 0, "");
                        else if (*p == 't')
                                cpio_add(&b, "TRAILER???", 0, "");
                        else if (*p == 'X')
                                kiln_buf_append(&b, "07070X0000000x\0\0", 16);
                        else
                                stripped_add(&b, dir, (unsigned)(*p - '0'), *p == '1' ? "one.txt" : NULL);
                if (table[i].tag) {
                        assert_int_equal(kiln_rpm_value_find(
                                                 l.head + l.header_offset, l.header_bytes, table[i].tag, &v),
                                0);
                        unsigned char *data = (unsigned char *)(uintptr_t)v.data;
                        size_t width = v.bytes / v.count;

                        if (table[i].tag == 1117)
                                memcpy(data + strlen("made.spec") + 1, "../", 3);
                        else if (table[i].tag == 1118)
                                data[0] = 'x';
                        else if (table[i].tag == 1096)
                                memcpy(data + width, data, width);
                        else
                                memset(data + width, 0x20, width); /* a huge size; a character device */
                }
                assert_int_equal(unpack_stripped(dir, &l, &b, &cause), KILN_BAD_INPUT);
                if (!strstr(cause, table[i].says))
                        fail_msg("%s, tag %u: %s", table[i].payload, table[i].tag, cause);
                rpmmake_free(dir);
        }
}

/* Without a package around it there is no list. */
static void test_stripped_alone(void **state)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
        _cleanup_free_ char *cause = NULL;
        char *dir;

        kiln_buf_append(&b, "07070X00000000\0\0", 16);
        for (size_t i = 0; i < 128; i++)
                kiln_buf_putc(&b, 'x');
        assert_int_equal(unpack(&b, NULL, &dir, &cause), KILN_BAD_INPUT);
        assert_non_null(strstr(cause, "not an RPM file"));
        rpmmake_free(dir);
}

static void test_limits(void **state)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
        static const struct kiln_source_limits limits[] = {
                {.files = 1}, {.bytes = 8}, {.files = 2, .bytes = 9}};
        static const enum kiln_verdict verdicts[] = {KILN_LIMIT, KILN_LIMIT, KILN_OK};

        cpio_add(&b, "a", 0100644, "12345");
        cpio_add(&b, "b", 0100644, "6789");
        cpio_add(&b, "TRAILER!!!", 0, "");
        for (size_t i = 0; i < KILN_ARRAY_SIZE(limits); i++) {
                _cleanup_free_ char *cause = NULL;
                char *dir;

                assert_int_equal(unpack(&b, &limits[i], &dir, &cause), verdicts[i]);
                rpmmake_free(dir);
        }
}

static void test_spec_file(void **state)
{
        static const struct {
                const char *make, *says;
        } table[] = {{"touch a.txt .spec", "it has none"}, {"touch a.spec b.spec", "more than one"}};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(table); i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                char *dir = rpmmake_dir(), *spec = NULL;
                _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                rpmmake_run(dir, table[i].make);
                assert_true(kiln_source_spec(fd, "x.src.rpm", &spec, &err) < 0);
                assert_int_equal(err.verdict, KILN_BAD_INPUT);
                assert_non_null(strstr(err.cause, table[i].says));
                rpmmake_free(dir);
        }
}

static void test_dist(void **state)
{
        static const struct {
                const char *release, *dist;
        } table[] = {{"4.fc43", ".fc43"}, {"0.2.rc1.fc43.1", ".fc43"}, {"2.mga6", ".mga6"},
                {"5.el9_2.1", ".el9_2"}, {"1.azl4", ".azl4"}, {"1", NULL}, {"1.felix", NULL}, {"1.fcx", NULL},
                {"1.20260101git", NULL}, {"1.el", NULL}, {"3.amzn2023", ".amzn2023"}, {"1.el7.fc43", ".fc43"},
                {"1.fc43x", NULL}, {"", NULL}};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(table); i++) {
                _cleanup_free_ char *d = kiln_srpm_dist(table[i].release);

                if (!table[i].dist)
                        assert_null(d);
                else
                        assert_string_equal(d, table[i].dist);
        }
}

static void test_arch(void **state)
{
        static const struct {
                const char *spec;
                bool allowed;
        } table[] = {
                {SPEC(""), true},
                {SPEC("ExclusiveArch: x86_64 aarch64\n"), true},
                {SPEC("ExclusiveArch: x86_64\nExcludeArch: aarch64\n"), true},
                {SPEC("ExcludeArch: s390x\n"), true},
        };
        static const char *const lists[][3] = {{"aarch64", NULL}, {"noarch", NULL},
                {"aarch64", "x86_64", NULL}, {"noarch", "aarch64", NULL}};
        static const bool allowed[] = {false, true, true, false};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(table); i++) {
                char *dir = make(table[i].spec, "");
                _cleanup_close_ int fd = rpmmake_open(dir, "made.src.rpm");
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                _cleanup_(kiln_rpm_freep) struct kiln_rpm *rpm = NULL;

                assert_int_equal(kiln_srpm_open(fd, "made.src.rpm", NULL, KILN_SIGNATURE_ANY, &rpm, &err), 0);
                assert_int_equal(kiln_srpm_check_arch(rpm, "x86_64", &err) == 0, table[i].allowed);
                rpmmake_free(dir);
        }
        /* What this machine's rpmbuild would not build. */
        for (size_t i = 0; i < KILN_ARRAY_SIZE(lists); i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                char *none[] = {NULL}, nevra[] = "a-1-1.src";
                struct kiln_rpm exclusive = {
                        .nevra = nevra, .exclusive_arch = (char **)(uintptr_t)lists[i], .exclude_arch = none};
                struct kiln_rpm exclude = {
                        .nevra = nevra, .exclusive_arch = none, .exclude_arch = (char **)(uintptr_t)lists[i]};

                assert_int_equal(kiln_srpm_check_arch(&exclusive, "x86_64", &err) == 0, allowed[i]);
                assert_int_equal(err.verdict, allowed[i] ? KILN_OK : KILN_REFUSED);
                kiln_error_clear(&err);
                assert_int_equal(kiln_srpm_check_arch(&exclude, "x86_64", &err) == 0, i != 2);
        }
}

static void test_policy(void **state)
{
        char *dir = make(SPEC(""), "");
        _cleanup_(kiln_keyring_freep) struct kiln_keyring *known = kiln_keyring_new(),
                                                          *other = kiln_keyring_new();
        _cleanup_buf_ struct kiln_buf a = KILN_BUF_INIT, b = KILN_BUF_INIT;

        rpmmake_run(dir, "cp made.src.rpm signed.src.rpm");
        rpmmake_key(dir, "alice");
        rpmmake_key(dir, "bob");
        rpmmake_sign(dir, "alice", "signed.src.rpm");
        rpmmake_read(dir, "alice.asc", &a);
        rpmmake_read(dir, "bob.asc", &b);
        assert_int_equal(kiln_keyring_add(known, kiln_buf_str(&a), "alice", NULL), 0);
        assert_int_equal(kiln_keyring_add(other, kiln_buf_str(&b), "bob", NULL), 0);

        const struct {
                const char *file;
                const struct kiln_keyring *keys;
                enum kiln_signature_policy policy;
                const char *says; /* NULL: accepted */
        } table[] = {
                {"made.src.rpm", known, KILN_SIGNATURE_ANY, NULL},
                {"made.src.rpm", known, KILN_SIGNATURE_KNOWN_KEY, "not signed"},
                {"signed.src.rpm", other, KILN_SIGNATURE_ANY, NULL},
                {"signed.src.rpm", other, KILN_SIGNATURE_KNOWN_KEY, "not among the known"},
                {"signed.src.rpm", NULL, KILN_SIGNATURE_KNOWN_KEY, "not among the known"},
                {"signed.src.rpm", known, KILN_SIGNATURE_KNOWN_KEY, NULL},
        };
        for (size_t i = 0; i < KILN_ARRAY_SIZE(table); i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                _cleanup_(kiln_rpm_freep) struct kiln_rpm *rpm = NULL;
                _cleanup_close_ int fd = rpmmake_open(dir, table[i].file);
                int r = kiln_srpm_open(fd, table[i].file, table[i].keys, table[i].policy, &rpm, &err);

                if (!table[i].says)
                        assert_int_equal(r, 0);
                else if (r == 0 || err.verdict != KILN_BAD_INPUT || !strstr(err.cause, table[i].says))
                        fail_msg("%zu: %s", i, r == 0 ? "accepted" : err.cause);
        }
        rpmmake_free(dir);
}

/* Binary and nosrc packages are no sources. */
static void test_not_source(void **state)
{
        char *dir = rpmmake_dir();
        static const char *const files[] = {"bin.rpm", "no.src.rpm"}, *const says[] = {
                                                                              "binary package", "nosrc"};

        rpmmake_run(dir, "echo one >one.txt; echo run >run.sh");
        rpmmake_build(dir, SPEC("NoSource: 0\nBuildArch: noarch\n"), "");
        rpmmake_run(dir, "mv *noarch.rpm bin.rpm; mv *src.rpm no.src.rpm");
        for (size_t i = 0; i < 2; i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                _cleanup_(kiln_rpm_freep) struct kiln_rpm *rpm = NULL;
                _cleanup_close_ int fd = rpmmake_open(dir, files[i]);

                assert_true(kiln_srpm_open(fd, files[i], NULL, KILN_SIGNATURE_ANY, &rpm, &err) < 0);
                assert_int_equal(err.verdict, KILN_BAD_INPUT);
                if (!strstr(err.cause, says[i]))
                        fail_msg("%s", err.cause);
        }
        rpmmake_free(dir);
}

/* Runs the entry in a child, as the sandbox does, and reads its report. */
static int job(const char *dir, const char *toml, char **ret_spec, struct kiln_error *err)
{
        _cleanup_(kiln_overlay_freep) struct kiln_overlay *o = NULL;
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *rpm = NULL;
        _cleanup_close_ int fd = rpmmake_open(dir, "made.src.rpm"), out = empty_dir(dir);
        _cleanup_buf_ struct kiln_buf report = KILN_BUF_INIT;
        const struct kiln_overlay *overlays[1];
        int fds[2], status, r;
        pid_t pid;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(kiln_overlay_parse("o.toml", toml, strlen(toml), &o, err), 0);
        assert_int_equal(kiln_srpm_open(fd, "made.src.rpm", NULL, KILN_SIGNATURE_ANY, &rpm, err), 0);
        overlays[0] = o;
        pid = fork();
        if (pid == 0) {
                struct kiln_source_job j = {.srpm_fd = fd,
                        .payload_offset = rpm->payload_offset,
                        .name = "made.src.rpm",
                        .dir_fd = out,
                        .overlays = overlays,
                        .n_overlays = 1,
                        .report_fd = fds[1]};

                _exit(kiln_source_entry(&j));
        }
        close(fds[1]);
        assert_int_equal(kiln_fd_read(fds[0], 65536, &report), 0);
        close(fds[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        r = kiln_source_report(report.data, report.len, ret_spec, err);
        assert_int_equal(WEXITSTATUS(status), (int)err->verdict);
        return r;
}

static void test_entry(void **state)
{
        char *dir = make(SPEC(""), ""), *spec = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        assert_int_equal(
                job(dir, "[[overlays]]\ntype='spec-set-tag'\ntag='Version'\nvalue='9'\n", &spec, &err), 0);
        assert_string_equal(spec, "made.spec");
        rpmmake_run(dir, "grep -qx 'Version: 9' out/made.spec; rm -rf out");
        free(spec);
        assert_true(job(dir, "[[overlays]]\ntype='spec-search-replace'\nsearch='nope'\n", &spec, &err) < 0);
        assert_int_equal(err.verdict, KILN_BAD_INPUT);
        assert_string_equal(err.subject, "o.toml");
        assert_non_null(strstr(err.cause, "found 0 times"));
        assert_non_null(err.advice);
        rpmmake_free(dir);
}

static void test_report_refused(void **state)
{
        static const struct {
                const char *data;
                size_t len;
        } table[] = {{"", 0}, {"0", 1}, {"0a.spec\0\0\0\0", 10}, {"0a.spec\0\0\0\0\0x", 13},
                {"9a.spec\0\0\0\0\0", 12}, {"0../a\0\0\0\0\0", 10}, {"0\0\0\0\0\0", 6},
                {"0a\0doing\0\0cause\0\0", 16}};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(table); i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                char *spec = NULL;

                assert_true(kiln_source_report(table[i].data, table[i].len, &spec, &err) < 0);
                assert_int_equal(err.verdict, KILN_INFRA);
                assert_null(spec);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_payloads),
                cmocka_unit_test(test_hostile_payloads),
                cmocka_unit_test(test_damaged_payloads),
                cmocka_unit_test(test_stripped),
                cmocka_unit_test(test_hostile_stripped),
                cmocka_unit_test(test_stripped_alone),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_spec_file),
                cmocka_unit_test(test_dist),
                cmocka_unit_test(test_arch),
                cmocka_unit_test(test_policy),
                cmocka_unit_test(test_not_source),
                cmocka_unit_test(test_entry),
                cmocka_unit_test(test_report_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
