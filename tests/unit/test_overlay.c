/* worker/source/overlay*.c, spectext.c: overlays change exactly what they say, or fail and name their line.
 */
#include "tests/unit/rpmmake.h"
#include "worker/source/overlay.h"

#include <sys/stat.h>

static const char spec[] = "%global with_docs 1\n"     /*  1 */
                           "%bcond_without tests\n"    /*  2 */
                           "Name: foo\n"               /*  3 */
                           "Version:\t1.2\n"           /*  4 */
                           "Release: 1%{?dist}\n"      /*  5 */
                           "Summary: A foo\n"          /*  6 */
                           "License: MIT\n"            /*  7 */
                           "Source0: foo-1.2.tar.gz\n" /*  8 */
                           "Source1: extra.conf\n"     /*  9 */
                           "Patch1: one.patch\n"       /* 10 */
                           "Patch3: %{name}-%{version}-three.patch\n"
                           "BuildRequires: gcc\n"
                           "BuildRequires: make >= 4\n"
                           "%if %{with tests}\n"
                           "BuildRequires: check\n"
                           "%endif\n"
                           "\n"
                           "%description\n"
                           "Foo.\n"
                           "\n"
                           "%package devel\n"
                           "Summary: Headers\n"
                           "Requires: %{name}%{?_isa} = %{version}-%{release}\n"
                           "\n"
                           "%description devel\n"
                           "Headers.\n"
                           "\n"
                           "%package -n libfoo\n"
                           "Summary: Library\n"
                           "\n"
                           "%description -n libfoo\n"
                           "Library.\n"
                           "\n"
                           "%prep\n"
                           "%setup -q\n"
                           "%patch1 -p1\n"
                           "%patch -P 3 -p1 -b .three\n"
                           "\n"
                           "%build\n"
                           "%configure --with-tex --with-x\n"
                           "%make_build\n"
                           "\n"
                           "%install\n"
                           "%make_install\n"
                           "\n"
                           "%if 0%{?with_docs}\n"
                           "%files devel\n"
                           "/usr/include/foo.h\n"
                           "%endif\n"
                           "\n"
                           "%files -n libfoo\n"
                           "/usr/lib64/libfoo.so\n"
                           "\n"
                           "%changelog\n"
                           "* Thu Jan 01 2026 A <a@b> - 1.2-1\n"
                           "- First\n";

static const struct timespec then[2] = {{1700000000, 0}, {1700000000, 0}};

static void put(const char *dir, const char *name, const char *text)
{
        _cleanup_free_ char *path = kiln_path_join(dir, name);

        assert_int_equal(kiln_file_write(AT_FDCWD, path, text, strlen(text), 0644), 0);
        assert_int_equal(utimensat(AT_FDCWD, path, then, 0), 0);
}

static char *make_sources(void)
{
        char *dir = rpmmake_dir();

        put(dir, "foo.spec", spec);
        put(dir, "one.patch", "one\n");
        put(dir, "foo-1.2-three.patch", "three\n");
        put(dir, "extra.conf", "a = 1\nb = 2\na = 3\n");
        return dir;
}

/* Applies in a fresh directory; returns 0 or negative with *err set; *ret_dir is the caller's. */
static int apply(const char *toml, char **ret_dir, struct kiln_error *err)
{
        _cleanup_(kiln_overlay_freep) struct kiln_overlay *o = NULL;
        char *dir = make_sources();
        _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = kiln_overlay_parse("o.toml", toml, strlen(toml), &o, err);

        if (r == 0)
                r = kiln_overlay_apply(o, fd, "foo.spec", err);
        *ret_dir = dir;
        return r;
}

/* Afterwards `file` is what it was but for `from`, in whose place `to` stands. */
static void expect_text(const char *toml, const char *file, const char *from, const char *to)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_buf_ struct kiln_buf expected = KILN_BUF_INIT, seen = KILN_BUF_INIT;
        const char *original = strcmp(file, "foo.spec") == 0 ? spec : "a = 1\nb = 2\na = 3\n";
        const char *at = strstr(original, from);
        char *dir;
        struct stat st;
        _cleanup_free_ char *path = NULL;

        assert_non_null(at);
        kiln_buf_append(&expected, original, (size_t)(at - original));
        kiln_buf_puts(&expected, to);
        kiln_buf_puts(&expected, at + strlen(from));
        if (apply(toml, &dir, &err) < 0) {
                _cleanup_free_ char *text = kiln_error_format(&err);

                fail_msg("%s\n%s", toml, text);
        }
        rpmmake_read(dir, file, &seen);
        assert_string_equal(kiln_buf_str(&seen), kiln_buf_str(&expected));
        path = kiln_path_join(dir, file);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mtim.tv_sec, then[0].tv_sec); /* not the clock's */
        rpmmake_free(dir);
}

static void expect_failure(const char *toml, const char *says)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        char *dir;

        if (apply(toml, &dir, &err) == 0)
                fail_msg("accepted: %s", toml);
        assert_int_equal(err.verdict, KILN_BAD_INPUT);
        assert_string_equal(err.subject, "o.toml");
        if (!strstr(err.cause, says) || !strstr(err.cause, "line "))
                fail_msg("%s\nsays \"%s\", must say \"%s\"", toml, err.cause, says);
        rpmmake_free(dir);
}

#define OP(type, rest) "[[overlays]]\ntype = \"" type "\"\n" rest "\n"

static void test_tags(void **state)
{
        static const struct {
                const char *toml, *from, *to;
        } table[] = {
                {OP("spec-set-tag", "tag='Version'\nvalue='2.0'"), "Version:\t1.2", "Version:\t2.0"},
                {OP("spec-update-tag", "tag='license'\nvalue='BSD'"), "License: MIT", "License: BSD"},
                {OP("spec-set-tag", "tag='URL'\nvalue='https://x'"), "BuildRequires: make >= 4\n",
                        "BuildRequires: make >= 4\nURL: https://x\n"},
                {OP("spec-add-tag", "tag='BuildRequires'\nvalue='bison'"), "make >= 4\n",
                        "make >= 4\nBuildRequires: bison\n"},
                {OP("spec-insert-tag", "tag='Source9'\nvalue='m'"), "Source1: extra.conf\n",
                        "Source1: extra.conf\nSource9: m\n"},
                {OP("spec-remove-tag", "tag='BuildRequires'\nvalue='gcc'"), "BuildRequires: gcc\n", ""},
                {OP("spec-remove-tag", "tag='Summary'\npackage='libfoo'"),
                        "%package -n libfoo\nSummary: Library\n", "%package -n libfoo\n"},
                {OP("spec-set-tag", "tag='Summary'\npackage='devel'\nvalue='H'"), "Summary: Headers",
                        "Summary: H"},
                {OP("spec-set-tag", "tag='Summary'\npackage='foo-devel'\nvalue='H'"), "Summary: Headers",
                        "Summary: H"},
                {OP("spec-add-tag", "tag='Requires'\npackage='devel'\nvalue='z'"), "%{version}-%{release}\n",
                        "%{version}-%{release}\nRequires: z\n"},
                {OP("spec-set-macro", "macro='with_docs'\nvalue='0'"), "%global with_docs 1",
                        "%global with_docs 0"},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(table); i++)
                expect_text(table[i].toml, "foo.spec", table[i].from, table[i].to);
        expect_failure(OP("spec-add-tag", "tag='License'\nvalue='X'"), "has License already, in line 7");
        expect_failure(OP("spec-add-tag", "tag='BuildRequires'\nvalue='gcc'"), "already");
        expect_failure(OP("spec-update-tag", "tag='URL'\nvalue='X'"), "0 times");
        expect_failure(OP("spec-set-tag", "tag='BuildRequires'\nvalue='X'"), "3 times");
        expect_failure(OP("spec-remove-tag", "tag='BuildRequires'"), "value says which");
        expect_failure(OP("spec-set-tag", "tag='Summary'\npackage='nope'\nvalue='H'"),
                "no section %package of nope");
        expect_failure(OP("spec-set-macro", "macro='nope'\nvalue='0'"), "0 times");
}

static void test_lines(void **state)
{
        static const struct {
                const char *toml, *from, *to;
        } table[] = {
                {OP("spec-prepend-lines", "section='%build'\nlines=['x','y']"), "%build\n", "%build\nx\ny\n"},
                {OP("spec-append-lines", "section='%build'\nlines=['x']"), "%make_build\n",
                        "%make_build\nx\n"},
                /* not behind the %if that is meant for %files devel */
                {OP("spec-append-lines", "section='%install'\nlines=['x']"), "%make_install\n",
                        "%make_install\nx\n"},
                /* not behind the %endif of that condition */
                {OP("spec-append-lines", "section='%files'\npackage='devel'\nlines=['x']"), "foo.h\n",
                        "foo.h\nx\n"},
                {OP("spec-prepend-lines", "lines=['# top']"), "%global", "# top\n%global"},
                {OP("spec-append-lines", "lines=['# end']"), "- First\n", "- First\n# end\n"},
                {OP("spec-append-lines", "section='%files'\npackage='libfoo'\nlines=['x']"), "libfoo.so\n",
                        "libfoo.so\nx\n"},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(table); i++)
                expect_text(table[i].toml, "foo.spec", table[i].from, table[i].to);
        expect_failure(OP("spec-append-lines", "section='%check'\nlines=['x']"), "no section %check");
        expect_failure(OP("spec-append-lines", "section='%files'\nlines=['x']"), "no section %files");
}

static void test_replace(void **state)
{
        static const struct {
                const char *toml, *from, *to;
        } table[] = {
                {OP("spec-search-replace", "search='--with-tex '"), "--with-tex ", ""},
                {OP("spec-search-replace", "section='%build'\nsearch='--with-tex'\nreplacement='--x $1 \\1'"),
                        "--with-tex", "--x $1 \\1"},
                {OP("spec-search-replace", "regex='^%configure.*$'\nreplacement='./c'"),
                        "%configure --with-tex --with-x", "./c"},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(table); i++)
                expect_text(table[i].toml, "foo.spec", table[i].from, table[i].to);
        expect_failure(OP("spec-search-replace", "search='nothing like it'"),
                "found 0 times in foo.spec, expected 1");
        expect_failure(OP("spec-search-replace", "search='--with-'"), "found 2 times");
        expect_failure(OP("spec-search-replace", "search='--with-'\ncount=3"),
                "found 2 times in foo.spec, expected 3");
        expect_failure(OP("spec-search-replace", "search='zzz'\nall=true"), "not found");
        expect_failure(
                OP("spec-search-replace", "section='%prep'\nsearch='--with-tex'"), "found 0 times in %prep");
        expect_text(OP("spec-search-replace", "search='--with-'\ncount=2\nreplacement='--no-'"), "foo.spec",
                "--with-tex --with-x", "--no-tex --no-x");
        expect_text(OP("file-search-replace", "file='extra.*'\nregex='^a ='\nreplacement='c ='\nall=true"),
                "extra.conf", "a = 1\nb = 2\na = 3\n", "c = 1\nb = 2\nc = 3\n");
        expect_text(OP("file-prepend-lines", "file='extra.conf'\nlines=['z = 0']"), "extra.conf", "a = 1",
                "z = 0\na = 1");
        expect_failure(OP("file-search-replace", "file='*.spec'\nsearch='foo'\nall=true"),
                "no file but perhaps the spec");
        expect_failure(OP("file-search-replace", "file='extra.conf'\nsearch='a'"), "found 2 times");
}

static void test_sections(void **state)
{
        expect_text(OP("spec-remove-section", "section='%changelog'"), "foo.spec",
                "%changelog\n* Thu Jan 01 2026 A <a@b> - 1.2-1\n- First\n", "");
}

/* Sub-packages go with every section they have, and nothing else goes. */
static void test_subpackage(void **state)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_buf_ struct kiln_buf seen = KILN_BUF_INIT;
        char *dir;

        assert_int_equal(apply(OP("spec-remove-subpackage", "package='devel'"), &dir, &err), 0);
        rpmmake_read(dir, "foo.spec", &seen);
        assert_null(strstr(kiln_buf_str(&seen), "devel"));
        assert_null(strstr(kiln_buf_str(&seen), "foo.h"));
        assert_non_null(strstr(kiln_buf_str(&seen), "%if 0%{?with_docs}\n%endif\n"));
        assert_non_null(strstr(kiln_buf_str(&seen), "%files -n libfoo\n"));
        rpmmake_free(dir);
        expect_failure(OP("spec-remove-subpackage", "package='nope'"), "no sub-package nope");
}

static bool in_dir(const char *dir, const char *name)
{
        _cleanup_free_ char *path = kiln_path_join(dir, name);

        return kiln_file_exists(AT_FDCWD, path);
}

static void test_patch_lines(void **state)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_buf_ struct kiln_buf seen = KILN_BUF_INIT, patch = KILN_BUF_INIT;
        char *dir;

        assert_int_equal(
                apply(OP("patch-add", "file='new.patch'\nstrip=2\ntext='''\nnew\n'''"), &dir, &err), 0);
        rpmmake_read(dir, "foo.spec", &seen);
        rpmmake_read(dir, "new.patch", &patch);
        assert_string_equal(kiln_buf_str(&patch), "new\n");
        assert_non_null(strstr(kiln_buf_str(&seen), "-b .three\n%patch -P 4 -p2\n"));
        assert_non_null(strstr(kiln_buf_str(&seen), "three.patch\nPatch4: new.patch\n"));
        rpmmake_free(dir);

        kiln_buf_reset(&seen);
        assert_int_equal(
                apply(OP("patch-remove", "file='*-three.patch'") OP("patch-remove", "file='one.patch'"), &dir,
                        &err),
                0);
        rpmmake_read(dir, "foo.spec", &seen);
        assert_null(strstr(kiln_buf_str(&seen), "atch1"));
        assert_null(strstr(kiln_buf_str(&seen), "atch -P"));
        assert_null(strstr(kiln_buf_str(&seen), "three"));
        assert_false(in_dir(dir, "foo-1.2-three.patch"));
        assert_false(in_dir(dir, "one.patch"));
        assert_true(in_dir(dir, "extra.conf"));
        rpmmake_free(dir);
        expect_failure(OP("patch-remove", "file='two*'"), "no Patch tag");
        expect_failure(OP("patch-add", "file='one.patch'\ntext='x'"), "one.patch exists already");
}

static void test_files(void **state)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_buf_ struct kiln_buf seen = KILN_BUF_INIT;
        char *dir;

        assert_int_equal(
                apply(OP("source-add", "file='s.txt'\ntext='s'") OP("file-add", "file='f.txt'\ntext='f'")
                                OP("file-rename", "file='extra.conf'\nreplacement='more.conf'")
                                        OP("file-remove", "file='one.*'"),
                        &dir, &err),
                0);
        rpmmake_read(dir, "foo.spec", &seen);
        assert_non_null(strstr(kiln_buf_str(&seen), "Source1: extra.conf\nSource2: s.txt\n"));
        assert_true(in_dir(dir, "s.txt") && in_dir(dir, "f.txt") && in_dir(dir, "more.conf"));
        assert_false(in_dir(dir, "one.patch") || in_dir(dir, "extra.conf"));
        rpmmake_free(dir);
        expect_failure(OP("file-add", "file='b.spec'\ntext='f'"), "another spec");
        expect_failure(OP("file-rename", "file='foo.spec'\nreplacement='x'"), "perhaps the spec");
        expect_failure(OP("file-rename", "file='one.patch'\nreplacement='extra.conf'"), "exists already");
        expect_failure(OP("file-remove", "file='*.tar'"), "no file");
}

static void test_refused(void **state)
{
        static const struct {
                const char *toml, *says;
        } table[] = {
                {"nonsense", "line 1"},
                {"[\n", "line "}, /* an assertion inside toml++ must not end the program */
                {"[metadata]\ncategory='x'\nupstream-status='unknown'\n", "overlays"},
                {"overlays = []", "1 to 1024 times"},
                {"overlays = 1", "1 to 1024 times"},
                {"overlays = [1]", "table"},
                {"nope = 1\n" OP("file-remove", "file='x'"), "nope"},
                {OP("spec-frobnicate", ""), "unknown overlay type"},
                {OP("spec-set-tag", "tag='X'"), "needs the key value"},
                {OP("spec-set-tag", "tag='X'\nvalue='y'\nlines=['z']"), "has no key lines"},
                {OP("spec-set-tag", "tag='X'\nvalue='y'\nbogus=1"), "bogus"},
                {OP("spec-search-replace", "search='x'\nregex='y'"), "exactly one"},
                {OP("spec-search-replace", "search=''"), "exactly one"},
                {OP("spec-search-replace", "regex='('"), "regex is none"},
                {OP("spec-search-replace", "search='x'\ncount=1\nall=true"), "exclude each other"},
                {OP("spec-search-replace", "search='x'\ncount=0"), "count must be"},
                {OP("spec-search-replace", "search='x'\npackage='p'"), "package needs a section"},
                {OP("spec-search-replace", "search='x'\nsection='build'"), "a section is given as"},
                {OP("file-add", "file='../x'\ntext='x'"), "plain name"},
                {OP("file-add", "file='/etc/passwd'\ntext='x'"), "plain name"},
                {OP("file-add", "file='..'\ntext='x'"), "plain name"},
                {OP("file-rename", "file='a'\nreplacement='a/b'"), "plain name"},
                {OP("spec-set-tag", "tag='X'\nvalue=\"a\\nb\""), "one line each"},
                {OP("spec-append-lines", "lines=[\"a\\nb\"]"), "one line"},
                {OP("patch-add", "file='x'\ntext='y'\nstrip=99"), "strip must"},
                {"[metadata]\ncategory='x'\nupstream-status='maybe'\n" OP("file-remove", "file='x'"),
                        "upstream-status is one of"},
                {"[metadata]\ncategory='x'\nupstream-status='unknown'\nbugs=[{url='ftp://x'}]\n" OP(
                         "file-remove", "file='x'"),
                        "https://"},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(table); i++)
                expect_failure(table[i].toml, table[i].says);
        /* The second operation's line is the one that is named. */
        expect_failure(OP("spec-set-tag", "tag='Version'\nvalue='3'")
                               OP("spec-search-replace", "search='nope'"),
                "line 5: spec-search-replace");
}

static void test_metadata(void **state)
{
        static const char toml[] =
                "[metadata]\ncategory='azl-pruning'\nupstream-status='inapplicable'\nreason='No TeX.'\n"
                "bugs=[{url='https://b/1'},{url='https://b/2'}]\n" OP("file-remove", "file='x'");
        _cleanup_(kiln_overlay_freep) struct kiln_overlay *o = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        struct kiln_overlay_metadata m;

        assert_int_equal(kiln_overlay_parse("o.toml", toml, strlen(toml), &o, &err), 0);
        m = kiln_overlay_metadata(o);
        assert_string_equal(m.name, "o.toml");
        assert_string_equal(m.category, "azl-pruning");
        assert_string_equal(m.upstream_status, "inapplicable");
        assert_string_equal(m.reason, "No TeX.");
        assert_string_equal(m.bugs[1], "https://b/2");
        assert_null(m.bugs[2]);
        assert_null(m.commits[0]);
}

/* A link in the directory is not followed: it cannot come from an SRPM, but nothing here relies on that. */
static void test_link(void **state)
{
        _cleanup_(kiln_overlay_freep) struct kiln_overlay *o = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        static const char toml[] = OP("file-search-replace", "file='evil.conf'\nsearch='secret'");
        char *dir = make_sources();
        _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        put(dir, "target", "secret\n");
        assert_int_equal(symlinkat("target", fd, "evil.conf"), 0);
        assert_int_equal(kiln_overlay_parse("o.toml", toml, strlen(toml), &o, &err), 0);
        assert_true(kiln_overlay_apply(o, fd, "foo.spec", &err) < 0);
        assert_non_null(strstr(err.cause, "no regular file"));
        rpmmake_free(dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tags),
                cmocka_unit_test(test_lines),
                cmocka_unit_test(test_replace),
                cmocka_unit_test(test_sections),
                cmocka_unit_test(test_subpackage),
                cmocka_unit_test(test_patch_lines),
                cmocka_unit_test(test_files),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_metadata),
                cmocka_unit_test(test_link),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
