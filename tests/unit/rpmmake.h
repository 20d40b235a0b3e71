/* RPMs made when a test runs: rpmbuild for the packages, gpg and rpmsign for signatures, everything below one
 * temporary directory that rpmmake_free() removes. */
#pragma once

#include "worker/base/buf.h"
#include "worker/base/context.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/base/process.h"

#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Runs a shell script in `dir`; anything but success fails the test with what it said. */
static inline void rpmmake_run(const char *dir, const char *script)
{
        _cleanup_free_ char *text =
                kiln_asprintf("set -eu; cd '%s'; export HOME='%s' LC_ALL=C.UTF-8; %s", dir, dir, script);
        const char *argv[] = {"bash", "-c", text, NULL};
        struct kiln_process p = {.argv = argv, .cwd_fd = -1, .stdin_fd = -1};
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT, errors = KILN_BUF_INIT;
        int r = kiln_process_run(NULL, &p, &out, &errors);

        if (r != 0)
                fail_msg("script ended with %d: %s\n%s%s", r, script, kiln_buf_str(&out),
                        kiln_buf_str(&errors));
}

static inline char *rpmmake_dir(void)
{
        char template[] = "/tmp/kiln-test-XXXXXX";

        assert_non_null(mkdtemp(template));
        return kiln_strdup(template);
}

static inline void rpmmake_free(char *dir)
{
        if (dir)
                assert_int_equal(kiln_tree_remove(AT_FDCWD, dir), 0);
        free(dir);
}

/* Builds `spec` in dir; every package lands directly in dir. */
static inline void rpmmake_build(const char *dir, const char *spec, const char *options)
{
        _cleanup_free_ char *path = kiln_path_join(dir, "made.spec");
        _cleanup_free_ char *script = kiln_asprintf("rpmbuild --quiet -ba --define \"_topdir $PWD/top\" "
                                                    "--define \"_sourcedir $PWD\" --define \"_rpmdir $PWD\" "
                                                    "--define \"_srcrpmdir $PWD\" --define '_build_name_fmt "
                                                    "%%%%{name}-%%%%{version}-%%%%{release}.%%%%{arch}.rpm' "
                                                    "--define '_dbpath /nonexistent' --define 'debug_package "
                                                    "%%{nil}' %s made.spec 2>&1; rm -rf top",
                options);

        assert_int_equal(kiln_file_write(AT_FDCWD, path, spec, strlen(spec), 0644), 0);
        rpmmake_run(dir, script);
}

/* An Ed25519 key called `who` in dir/gnupg, its public half in dir/<who>.asc. */
static inline void rpmmake_key(const char *dir, const char *who)
{
        _cleanup_free_ char *script =
                kiln_asprintf("mkdir -pm 700 gnupg; export GNUPGHOME=$PWD/gnupg; "
                              "gpg -q --batch --passphrase '' --quick-gen-key '%s <%s@example.org>' ed25519 "
                              "sign never 2>&1; "
                              "gpg -q --armor --export %s@example.org >%s.asc; gpgconf --kill all",
                        who, who, who, who);

        rpmmake_run(dir, script);
}

static inline void rpmmake_sign(const char *dir, const char *who, const char *file)
{
        _cleanup_free_ char *script = kiln_asprintf("export GNUPGHOME=$PWD/gnupg; rpmsign --define \"__gpg "
                                                    "$(command -v gpg)\" --define '_gpg_name %s@example.org' "
                                                    "--define \"_gpg_path $PWD/gnupg\" "
                                                    "--addsign %s 2>&1; gpgconf --kill all",
                who, file);

        rpmmake_run(dir, script);
}

static inline int rpmmake_open(const char *dir, const char *file)
{
        _cleanup_free_ char *path = kiln_path_join(dir, file);
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                fail_msg("no %s", path);
        return fd;
}

static inline void rpmmake_read(const char *dir, const char *file, struct kiln_buf *out)
{
        _cleanup_free_ char *path = kiln_path_join(dir, file);

        if (kiln_file_read(AT_FDCWD, path, (size_t)64 << 20, out) < 0)
                fail_msg("cannot read %s", path);
}

/* RPM files of other projects: $KILN_TEST_DATA, or shared/data beside the source tree; NULL where there are
 * none. */
static inline char *rpmmake_data(void)
{
        static const char *const places[] = {"/../shared/data", "/../../shared/data"};
        const char *v = getenv("KILN_TEST_DATA"), *root = getenv("MESON_SOURCE_ROOT");

        if (v)
                return kiln_strdup(v);
        for (size_t i = 0; root && i < KILN_ARRAY_SIZE(places); i++) {
                _cleanup_free_ char *dir = kiln_asprintf("%s%s", root, places[i]);
                _cleanup_free_ char *readme = kiln_path_join(dir, "README.md");

                if (kiln_file_exists(AT_FDCWD, readme))
                        return TAKE_PTR(dir);
        }
        return NULL;
}
