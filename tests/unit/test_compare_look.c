/* The first look into two versions of one file, format by format; and that it stays bounded with what is no
 * such format. */
#include "tests/unit/rpmmake.h"
#include "worker/verify/compare/private.h"

#include <stdbool.h>
#include <sys/stat.h>

static char *dir;

/* Writes the files a and b. */
static const char make[] =
        "cat >make.py <<'END'\n"
        "import gzip, io, lzma, bz2, struct, sys, tarfile, zipfile\n"
        "def w(name, data):\n open(name, 'wb').write(data)\n"
        "w('text.a', b'one\\ntwo\\nthree\\n'); w('text.b', b'one\\ntwo\\nTHREE\\n')\n"
        "w('shorter.a', b'one\\ntwo\\n'); w('shorter.b', b'one\\n')\n"
        "w('long.a', b'x' * 5000 + b'1' + b'y' * 5000); w('long.b', b'x' * 5000 + b'2' + b'y' * 5000)\n"
        "w('bin.a', bytes(70000) + b'\\x01' + bytes(9)); w('bin.b', bytes(70000) + b'\\x02' + bytes(9))\n"
        "w('gzip.a', gzip.compress(b'same', mtime=1)); w('gzip.b', gzip.compress(b'same', mtime=2))\n"
        "w('gztext.a', gzip.compress(b'a\\nb\\n', mtime=1)); w('gztext.b', gzip.compress(b'a\\nc\\n', "
        "mtime=1))\n"
        "big = b''.join(b'%d\\n' % i for i in range(9999))\n"
        "w('level.a', gzip.compress(big, 6, mtime=1)); w('level.b', gzip.compress(big, 5, mtime=1))\n"
        "w('xz.a', lzma.compress(b'a\\nb\\n')); w('xz.b', lzma.compress(b'a\\nc\\n'))\n"
        "w('bz2.a', bz2.compress(b'a\\nb\\n')); w('bz2.b', bz2.compress(b'a\\nc\\n'))\n"
        "def tar(mtime, data, order=0, more=()):\n"
        " f = io.BytesIO(); t = tarfile.open(fileobj=f, mode='w', format=tarfile.USTAR_FORMAT)\n"
        " for n in sorted(('x', 'y', 'z') + more, reverse=order):\n"
        "  i = tarfile.TarInfo(n); i.mtime = mtime; i.size = len(data); t.addfile(i, io.BytesIO(data))\n"
        " t.close(); return f.getvalue()\n"
        "w('tar.a', tar(1, b'1')); w('tar.b', tar(2, b'1'))\n"
        "w('tarin.a', tar(1, b'a\\n1\\n')); w('tarin.b', tar(1, b'a\\n2\\n', more=('new',)))\n"
        "w('tarorder.a', tar(1, b'1')); w('tarorder.b', tar(1, b'1', True))\n"
        "w('tgz.a', gzip.compress(tar(1, b'a\\n1\\n'), mtime=1)); w('tgz.b', gzip.compress(tar(1, "
        "b'a\\n2\\n'), mtime=1))\n"
        "def zip(date, data):\n"
        " f = io.BytesIO(); z = zipfile.ZipFile(f, 'w', zipfile.ZIP_DEFLATED)\n"
        " z.writestr(zipfile.ZipInfo('m/A.class', date), data); z.close(); return f.getvalue()\n"
        "w('zip.a', zip((2020, 1, 1, 0, 0, 0), b'q\\n')); w('zip.b', zip((2020, 1, 1, 0, 0, 2), b'q\\n'))\n"
        "w('zipin.a', zip((2020, 1, 1, 0, 0, 0), b'q\\n')); w('zipin.b', zip((2020, 1, 1, 0, 0, 0), "
        "b'r\\n'))\n"
        "def ar(mtime, data):\n"
        " return b'!<arch>\\n' + b'%-16s%-12d%-6d%-6d%-8o%-10d`\\n' % (b'o.o/', mtime, 0, 0, 0o644, "
        "len(data)) + data\n"
        "w('ar.a', ar(1, b'12')); w('ar.b', ar(2, b'12')); w('arin.a', ar(1, b'12')); w('arin.b', ar(1, "
        "b'13'))\n"
        "def pyc(flags, mtime, size, code):\n return b'\\xa7\\r\\r\\n' + struct.pack('<III', flags, mtime, "
        "size) + code\n"
        "w('m.pyc.a', pyc(0, 1000000000, 5, b'\\x00\\x00')); w('m.pyc.b', pyc(0, 1000000001, 5, "
        "b'\\x00\\x01'))\n"
        "def nest(data):\n for i in range(9):\n"
        "  f = io.BytesIO(); t = tarfile.open(fileobj=f, mode='w'); i = tarfile.TarInfo('x'); i.size = "
        "len(data)\n"
        "  t.addfile(i, io.BytesIO(data)); data = f.getvalue()\n return data\n"
        "w('nest.a', nest(b'1\\n')); w('nest.b', nest(b'2\\n'))\n"
        "w('broken.a', b'\\x1f\\x8b\\x08\\x00' + bytes(30)); w('broken.b', b'\\x1f\\x8b\\x08\\x00' + "
        "bytes(29) + b'1')\n"
        "w('elfish.a', b'\\x7fELF\\x02\\x01\\x01' + b'\\xff' * 99); w('elfish.b', b'\\x7fELF\\x02\\x01\\x01' "
        "+ b'\\xfe' * 99)\n"
        "def notes(name, n):\n"
        " w(name, b''.join(struct.pack('<III', 4, 4, 7) + b'me\\0\\0' + struct.pack('<I', i == n) for i in "
        "range(1, 301)))\n"
        "notes('notes', 0); notes('notes.256', 256); notes('notes.257', 257)\n"
        "END\npython3 make.py\n"
        "cat >e.c <<'END'\n#include <stdio.h>\nint before(int x) { return x * 3; }\nint answer(int x) { "
        "return x + N; }\n"
        "int main(void) { return before(1) + answer(2) + puts(S); }\nEND\n"
        "one() { o=$1; shift; cc -O0 -Wl,--build-id=sha1 \"$@\" e.c -o $o; }\n"
        "one elf.a -DN=1 -DS='\"s\"'; one elf.b -DN=2 -DS='\"s\"'; one str.a -DN=1 -DS='\"first\"'; one "
        "str.b -DN=1 "
        "-DS='\"other\"'\n"
        "cp str.a sec.a; cp str.a sec.b; printf '1234' >note; objcopy --add-section .extra=note sec.b\n"
        "noted() { objcopy --add-section .note.many=$1 --set-section-flags .note.many=readonly str.a $2; }\n"
        "noted notes last.a; noted notes.256 last.b; cp last.a behind.a; noted notes.257 behind.b\n";

static int setup(void **state)
{
        dir = rpmmake_dir();
        rpmmake_run(dir, make);
        return 0;
}

static int teardown(void **state)
{
        rpmmake_free(dir);
        return 0;
}

static int look(const char *name, struct kiln_comparison *c)
{
        _cleanup_free_ char *left = kiln_asprintf("%s.a", name), *right = kiln_asprintf("%s.b", name);
        _cleanup_close_ int a = rpmmake_open(dir, left), b = rpmmake_open(dir, right),
                            spool = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct compare_look l = {.c = c,
                .path = name,
                .prefix = "",
                .spool_fd = spool,
                .depth = COMPARE_LOOK_DEPTH,
                .budget = COMPARE_LOOK_BUDGET};

        assert_true(spool >= 0);
        return compare_look(&l, a, b);
}

/* Values may go on behind what is wanted. */
static bool has(const struct kiln_comparison *c, const char *aspect, const char *a, const char *b)
{
        for (size_t i = 0; i < c->n_differences; i++) {
                const struct kiln_difference *d = &c->differences[i];

                if (strcmp(d->aspect, aspect) == 0 && strncmp(d->a ? d->a : "-", a, strlen(a)) == 0 &&
                        strncmp(d->b ? d->b : "-", b, strlen(b)) == 0)
                        return true;
        }
        return false;
}

static void test_formats(void **state)
{
        static const struct {
                const char *name, *aspect, *a, *b;
                size_t n; /* differences in all; 0: any number */
        } cases[] = {
                {"text", "line 3", "three", "THREE", 1},
                {"shorter", "line 2", "two", "-", 1},
                {"bin", "byte 70000", "01 00 00 00 00 00 00 00 00 00", "02 00 00 00 00 00 00 00 00 00", 1},
                {"gzip", "gzip mtime", "1 (1970-01-01T00:00:01Z)", "2 (1970-01-01T00:00:02Z)", 1},
                {"gztext", "uncompressed: line 2", "b", "c", 1},
                {"level", "compression", "", "", 1},
                {"xz", "uncompressed: line 2", "b", "c", 1},
                {"bz2", "uncompressed: line 2", "b", "c", 1},
                {"tar", "member x: mtime", "1 (1970-01-01T00:00:01Z)", "2 (1970-01-01T00:00:02Z)", 3},
                {"tarin", "member x: line 2", "1", "2", 0},
                {"tarin", "member new", "-", "there", 0},
                {"tarorder", "member order", "", "", 1},
                {"tgz", "uncompressed: member x: line 2", "1", "2", 2},
                {"zip", "member m/A.class: mtime", "1577836800 (2020-01-01T00:00:00Z)",
                        "1577836802 (2020-01-01T00:00:02Z)", 1},
                {"zipin", "member m/A.class: line 1", "q", "r", 1},
                {"ar", "member o.o: mtime", "1 (1970-01-01T00:00:01Z)", "2 (1970-01-01T00:00:02Z)", 1},
                {"arin", "member o.o: line 1", "12", "13", 1},
                {"m.pyc", "pyc source mtime", "1000000000 (2001-09-09T01:46:40Z)",
                        "1000000001 (2001-09-09T01:46:41Z)", 0},
                {"elf", "first differing symbol", "answer + ", "answer + ", 0},
                {"str", "section .rodata, byte 4", "66 69 72 73 74 00", "6f 74 68 65 72 00", 0},
                {"sec", "section .extra", "-", "4 bytes", 0},
        };

        setenv("TZ", "UTC", 1);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                struct kiln_comparison c = {0};

                assert_int_equal(look(cases[i].name, &c), 0);
                if (!has(&c, cases[i].aspect, cases[i].a, cases[i].b) ||
                        (cases[i].n && c.n_differences != cases[i].n)) {
                        for (size_t k = 0; k < c.n_differences; k++)
                                print_error("%s: <%s> <%s>\n", c.differences[k].aspect,
                                        c.differences[k].a ? c.differences[k].a : "-",
                                        c.differences[k].b ? c.differences[k].b : "-");
                        fail_msg("%s: no %s", cases[i].name, cases[i].aspect);
                }
                compare_clear(&c);
        }
}

/* Each note is found by walking from the first: the 256th is the last that is looked for. */
static void test_many_notes(void **state)
{
        struct kiln_comparison last = {0}, behind = {0};

        assert_int_equal(look("last", &last), 0);
        assert_true(
                has(&last, "note 256 of .note.many", "me type 0x7, 4 bytes: 00", "me type 0x7, 4 bytes: 01"));
        compare_clear(&last);
        assert_int_equal(look("behind", &behind), 0);
        assert_true(behind.differs);
        for (size_t i = 0; i < behind.n_differences; i++)
                assert_null(strstr(behind.differences[i].aspect, "note "));
        compare_clear(&behind);
}

static void test_build_id(void **state)
{
        struct kiln_comparison c = {0};
        bool found = false;

        assert_int_equal(look("elf", &c), 0);
        for (size_t i = 0; i < c.n_differences; i++)
                found |= strcmp(c.differences[i].aspect, "build-id") == 0 &&
                         strlen(c.differences[i].a) == 40 && strlen(c.differences[i].b) == 40;
        assert_true(found);
        compare_clear(&c);
}

static void test_long_line(void **state)
{
        struct kiln_comparison c = {0};

        assert_int_equal(look("long", &c), 0);
        assert_int_equal(c.n_differences, 1);
        assert_non_null(strstr(c.differences[0].a, "x1y"));
        assert_non_null(strstr(c.differences[0].b, "x2y"));
        compare_clear(&c);
}

/* What only looks like a format is compared by bytes; archives in archives end somewhere. */
static void test_not_what_it_seems(void **state)
{
        static const char *const names[] = {"broken", "elfish", "nest"};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(names); i++) {
                struct kiln_comparison c = {0};

                assert_int_equal(look(names[i], &c), 0);
                assert_true(c.n_differences >= 1);
                if (!strstr(c.differences[c.n_differences - 1].aspect, "byte "))
                        fail_msg("%s: %s", names[i], c.differences[c.n_differences - 1].aspect);
                compare_clear(&c);
        }
}

static void test_same(void **state)
{
        struct kiln_comparison c = {0};

        rpmmake_run(dir, "cp elf.a same.a; cp elf.a same.b");
        assert_int_equal(look("same", &c), 0);
        assert_int_equal(c.n_differences, 0);
        assert_false(c.differs);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_formats),
                cmocka_unit_test(test_many_notes),
                cmocka_unit_test(test_build_id),
                cmocka_unit_test(test_long_line),
                cmocka_unit_test(test_not_what_it_seems),
                cmocka_unit_test(test_same),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
