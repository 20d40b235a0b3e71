/* The conversion of Debian packages: the same package gives the same RPM, whoever converts it, with the names
 * and dependencies it should have. Packages are made here with dpkg-deb; rpmbuild is the host's, where the
 * real thing uses the one among the packages themselves. */
#include "toolchains/bootstrap.h"

#include "worker/base/file.h"
#include "worker/base/paths.h"
#include "worker/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char *dir;

static void run(const char *script)
{
        const char *const argv[] = {"sh", "-ec", script, "sh", dir, NULL};
        struct kiln_process p = {.argv = argv, .cwd_fd = -1, .stdin_fd = -1};
        _cleanup_buf_ struct kiln_buf errors = KILN_BUF_INIT;

        if (kiln_process_run(NULL, &p, NULL, &errors) != 0)
                fail_msg("%s", kiln_buf_str(&errors));
}

static void query(const char *glob, const char *what, struct kiln_buf *out)
{
        _cleanup_free_ char *script = kiln_asprintf("rpm -qp --nosignature %s \"$1\"/%s", what, glob);
        const char *const argv[] = {"sh", "-ec", script, "sh", dir, NULL};
        struct kiln_process p = {.argv = argv, .cwd_fd = -1, .stdin_fd = -1};

        kiln_buf_reset(out);
        assert_int_equal(kiln_process_run(NULL, &p, out, NULL), 0);
}

static int setup(void **state)
{
        _cleanup_free_ char *name = NULL;
        int fd = kiln_dir_make_temp(AT_FDCWD, "test-bootstrap-", &name);

        assert_true(fd >= 0);
        close(fd);
        dir = realpath(name, NULL);
        run("cd \"$1\"; umask 022; mkdir -p debs a/DEBIAN b/DEBIAN c/DEBIAN\n"
            "mkdir -p a/sbin a/bin a/usr/lib/x86_64-linux-gnu/pkgconfig a/usr/share/perl5/Foo "
            "a/usr/share/doc/libfoo-dev "
            "a/usr/share/man/man1 a/etc a/usr/lib/cmake/Foo a/var/empty\n"
            "printf 'prefix=/usr\\nv=1.2\\nName: foo\\nVersion: ${v}.3\\n' > "
            "a/usr/lib/x86_64-linux-gnu/pkgconfig/foo.pc\n"
            "printf 'package Foo::Bar;\\nour $VERSION = \"2.5\";\\n1;\\n' > a/usr/share/perl5/Foo/Bar.pm\n"
            "echo x > a/etc/foo.conf; echo y > 'a/usr/share/odd [name] 100%.txt'; echo z > "
            "a/usr/share/doc/libfoo-dev/README\n"
            "echo w > a/usr/share/doc/libfoo-dev/copyright; echo v > a/usr/share/man/man1/foo.1; echo u > "
            "a/usr/lib/cmake/Foo/FooConfig.cmake\n"
            "printf '#!/bin/sh\\n' > a/sbin/fooctl; chmod 755 a/sbin/fooctl; ln -s fooctl a/sbin/foolink; ln "
            "-s /usr/bin/true a/bin/footrue\n"
            "printf 'Package: libfoo-dev\\nVersion: 1:1.2~rc1-3+b1\\nArchitecture: all\\nMaintainer: x "
            "<x@y>\\n"
            "Depends: bar (>= 2.0-1), absent | baz, gone, virt\\nProvides: foo-virtual (= "
            "1.2-3)\\nDescription: 100%% foo\\n' > a/DEBIAN/control\n"
            "echo /etc/foo.conf > a/DEBIAN/conffiles\n"
            "mkdir -p b/usr/bin b/usr/lib/python3/dist-packages/Bar_Baz-1.0.0.dist-info; cp /bin/true "
            "b/usr/bin/bar-true\n"
            "printf 'Name: Bar_Baz\\nVersion: 1.0.0rc2\\n' > "
            "b/usr/lib/python3/dist-packages/Bar_Baz-1.0.0.dist-info/METADATA\n"
            "printf 'Package: bar\\nVersion: 2.0-1\\nArchitecture: amd64\\nMaintainer: x "
            "<x@y>\\nDescription: bar\\n' > b/DEBIAN/control\n"
            "mkdir -p c/usr/share/baz; echo 1 > c/usr/share/baz/1\n"
            "printf 'Package: baz\\nVersion: 3\\nArchitecture: all\\nMaintainer: x <x@y>\\nProvides: "
            "virt\\nDescription: baz\\n' > c/DEBIAN/control\n"
            "find a b c -exec touch -h -d @1600000000 {} +\n"
            "for p in a b c; do SOURCE_DATE_EPOCH=1600000000 dpkg-deb --root-owner-group -b $p debs/$p.deb; "
            "done\n"
            "mkdir -p data/bootstrap/redhat-rpm-config data/bootstrap/own\n"
            "cp " KILN_SOURCE_ROOT
            "/toolchains/bootstrap/redhat-rpm-config/perl-deps data/bootstrap/redhat-rpm-config/\n"
            "printf 'Name: own\\nVersion: 1\\nRelease: 1\\nSummary: own\\nLicense: x\\nBuildArch: "
            "noarch\\n%%description\\nown\\n"
            "%%install\\nmkdir -p %%{buildroot}/etc; cp %%{_sourcedir}/own.txt "
            "%%{buildroot}/etc/\\n%%files\\n/etc/own.txt\\n'"
            " > data/bootstrap/own/own.spec; echo own > data/bootstrap/own/own.txt\n"
            "cat > data/bootstrap/packages.toml <<E\n"
            "suite = 'x'\ncomponent = 'main'\narchitecture = 'amd64'\ninstall = ['a']\nskip = "
            "['gone']\ntools = []\n"
            "loader = 'usr/lib64/ld-linux-x86-64.so.2'\nlibrary-path = 'usr/lib/x86_64-linux-gnu'\nown = "
            "['own']\npython = '3.13'\n"
            "own-epoch = 1600000000\ndrop = ['!/usr/share/doc/*/copyright', '/usr/share/doc/*', "
            "'/usr/share/man/*']\n"
            "[provides]\nlibfoo-dev = ['foo-devel', 'foo(abi) = 7']\n[requires]\nbaz = ['own']\n"
            "[links]\nlibfoo-dev = { '/usr/bin/foo' = 'foot*' }\n[scripts]\n[toolchain]\nE\n");
        return 0;
}

static int teardown(void **state)
{
        kiln_tree_remove(AT_FDCWD, dir);
        free(dir);
        return 0;
}

static void deb_add(struct bootstrap *b, const char *file)
{
        _cleanup_free_ char *path = kiln_path_join(b->debs_dir, file);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct deb d = {.file = kiln_strdup(file)};

        assert_int_equal(kiln_digest_of_fd(fd, &d.digest, &d.size), 0);
        *KILN_APPEND(b->debs, b->n_debs) = d;
}

/* The steps between download and metadata, with the host as the tools' directory. */
static void convert(const char *name)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_free_ char *data = kiln_path_join(dir, "data");
        const struct kiln_context c = {.cancel_fd = -1, .data_dir = data};
        struct bootstrap b = {.c = &c,
                .dir = kiln_path_join(dir, name),
                .debs_dir = kiln_path_join(dir, "debs"),
                .tools_dir = kiln_strdup("/"),
                .lock = PTHREAD_MUTEX_INITIALIZER};
        _cleanup_free_ char *out = kiln_path_join(b.dir, "rpms");
        int r, fd;

        b.work_dir = kiln_path_join(b.dir, "work");
        b.rpms_dir = kiln_path_join(b.dir, "converted");
        fd = kiln_dir_make(AT_FDCWD, b.work_dir, 0755);
        close(fd);
        fd = kiln_dir_make(AT_FDCWD, b.rpms_dir, 0755);
        close(fd);
        fd = kiln_dir_make(AT_FDCWD, out, 0755);
        close(fd);
        r = bootstrap_table_load(&b, &err);
        deb_add(&b, "a.deb");
        deb_add(&b, "b.deb");
        deb_add(&b, "c.deb");
        if (r == 0)
                r = bootstrap_control_read(&b, &err);
        if (r == 0)
                r = bootstrap_convert(&b, &err);
        if (r < 0)
                fail_msg("%s: %s", err.subject, err.cause);
        assert_int_equal(kiln_strv_length(b.rpms), 4);
        for (size_t i = 0; i < 4; i++) {
                _cleanup_free_ char *to = kiln_path_join(out, kiln_path_base(b.rpms[i]));

                assert_true(link(b.rpms[i], to) == 0 || errno == EEXIST);
        }
        bootstrap_clear(&b);
}

static void the_same_package_gives_the_same_bytes(void **state)
{
        mode_t mask = umask(022);

        convert("one");
        umask(077);
        setenv("LANG", "de_DE.UTF-8", 1);
        convert("another/place");
        umask(mask);
        run("cd \"$1\"; for f in one/rpms/*.rpm; do cmp $f another/place/rpms/${f##*/}; done; ls one/rpms | "
            "wc -l | grep -qx 4");
}

/* Files of finished conversions stay as they are: same inode. */
static void a_second_run_converts_nothing(void **state)
{
        run("cd \"$1\"; ls -i one/converted/*/*.rpm > before");
        convert("one");
        run("cd \"$1\"; ls -i one/converted/*/*.rpm | cmp - before");
}

static void names_and_dependencies_are_fedoras(void **state)
{
        static const struct {
                const char *glob, *what, *line;
        } expected[] = {
                {"one/rpms/libfoo-dev*.rpm",
                        "--qf '%{EPOCH}:%{VERSION}-%{RELEASE} %{ARCH} %{SUMMARY} %{BUILDHOST} "
                        "%{BUILDTIME}\\n'",
                        "1:1.2~rc1-3+b1 noarch 100% foo kiln 1600000000\n"},
                {"one/rpms/libfoo-dev*.rpm", "--provides", "foo-devel = 1:1.2~rc1-3+b1\n"},
                {"one/rpms/libfoo-dev*.rpm", "--provides", "foo(abi) = 7\n"},
                {"one/rpms/libfoo-dev*.rpm", "--provides", "foo-virtual = 1.2-3\n"},
                {"one/rpms/libfoo-dev*.rpm", "--provides", "pkgconfig(foo) = 1.2.3\n"},
                {"one/rpms/libfoo-dev*.rpm", "--provides", "perl(Foo::Bar) = 2.5\n"},
                {"one/rpms/libfoo-dev*.rpm", "--provides", "cmake(Foo)\n"},
                {"one/rpms/libfoo-dev*.rpm", "--provides", "/usr/sbin/fooctl\n"},
                {"one/rpms/libfoo-dev*.rpm", "--requires", "bar >= 2.0-1\n"},
                {"one/rpms/libfoo-dev*.rpm", "--requires", "baz\n"},
                {"one/rpms/libfoo-dev*.rpm", "--requires", "virt\n"},
                {"one/rpms/libfoo-dev*.rpm", "-l", "/usr/bin/fooctl\n"},
                {"one/rpms/libfoo-dev*.rpm", "-l", "/usr/share/odd [name] 100%.txt\n"},
                {"one/rpms/libfoo-dev*.rpm", "-l", "/usr/share/doc/libfoo-dev/copyright\n"},
                {"one/rpms/libfoo-dev*.rpm", "-l", "/var/empty\n"},
                {"one/rpms/libfoo-dev*.rpm", "-c", "/etc/foo.conf\n"},
                {"one/rpms/libfoo-dev*.rpm", "--qf '[%{FILENAMES} %{FILELINKTOS} %{FILEUSERNAME}\\n]'",
                        "/usr/bin/foo footrue root\n"},
                {"one/rpms/bar*.rpm", "--requires", "libc.so.6()(64bit)\n"},
                {"one/rpms/bar*.rpm", "--provides", "python3dist(bar-baz) = 1~rc2\n"},
                {"one/rpms/bar*.rpm", "--provides", "python3.13dist(bar-baz) = 1~rc2\n"},
                {"one/rpms/baz*.rpm", "--requires", "own\n"},
        };
        static const char *const unwanted[] = {"/usr/sbin", "/sbin/", "README", "foo.1"};
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(expected); i++) {
                query(expected[i].glob, expected[i].what, &out);
                if (!strstr(kiln_buf_str(&out), expected[i].line))
                        fail_msg("no %sin:\n%s", expected[i].line, kiln_buf_str(&out));
        }
        query("one/rpms/libfoo-dev*.rpm", "-l", &out);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(unwanted); i++)
                assert_null(strstr(kiln_buf_str(&out), unwanted[i]));
        query("one/rpms/libfoo-dev*.rpm", "--requires", &out);
        assert_null(strstr(kiln_buf_str(&out), "gone"));
        assert_null(strstr(kiln_buf_str(&out), "absent"));
}

static void versions_are_split_as_debian_means_them(void **state)
{
        static const char *const cases[][4] = {
                {"1.2", "", "1.2", "1"},
                {"1.2-3", "", "1.2", "3"},
                {"4:14.2.0-1", "4", "14.2.0", "1"},
                {"1.79.2+dfsg-7", "", "1.79.2+dfsg", "7"},
                {"1.0-rc1-2+b3", "", "1.0_rc1", "2+b3"},
                {"2.41-12+deb13u4", "", "2.41", "12+deb13u4"},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *epoch = NULL, *version = NULL, *release = NULL;

                bootstrap_version_split(cases[i][0], &epoch, &version, &release);
                assert_string_equal(epoch, cases[i][1]);
                assert_string_equal(version, cases[i][2]);
                assert_string_equal(release, cases[i][3]);
        }
}

static void relations_are_read(void **state)
{
        const char *pos = "libc6 (>= 2.34), debconf (>= 0.5) | debconf-2.0, python3:any, x [amd64] "
                          "<!nocheck>, (broken), y(<<2)";
        static const struct {
                size_t n;
                const char *name, *operator, * version;
        } expected[] = {{1, "libc6", ">=", "2.34"}, {2, "debconf", ">=", "0.5"}, {1, "python3", NULL, NULL},
                {1, "x", NULL, NULL}, {1, "y", "<<", "2"}};
        struct relation *r;
        size_t n;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(expected); i++) {
                assert_true(bootstrap_relation_next(&pos, &r, &n));
                assert_int_equal(n, expected[i].n);
                assert_string_equal(r[0].name, expected[i].name);
                assert_true(!expected[i].operator== !r[0].operator);
                if (r[0].operator) {
                        assert_string_equal(r[0].operator, expected[i].operator);
                        assert_string_equal(r[0].version, expected[i].version);
                }
                bootstrap_relations_free(r, n);
        }
        assert_false(bootstrap_relation_next(&pos, &r, &n));
        free(r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_same_package_gives_the_same_bytes),
                cmocka_unit_test(a_second_run_converts_nothing),
                cmocka_unit_test(names_and_dependencies_are_fedoras),
                cmocka_unit_test(versions_are_split_as_debian_means_them),
                cmocka_unit_test(relations_are_read),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
