/* License tags become SPDX expressions or references, never guesses; package URLs. */
#include "worker/attest/license.h"

#include "worker/attest/purl.h"
#include "worker/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

static const struct {
        const char *tag, *expression;
        size_t n_refs;
} cases[] = {
        {"MIT", "MIT", 0},
        {"mit and Apache-2.0", "MIT AND Apache-2.0", 0},
        {"  GPL-3.0-or-later   AND (MIT OR BSD-3-Clause)  ", "GPL-3.0-or-later AND (MIT OR BSD-3-Clause)", 0},
        {"GPL-2.0-or-later WITH GCC-exception-2.0", "GPL-2.0-or-later WITH GCC-exception-2.0", 0},
        {"GPL-2.0+", "GPL-2.0+", 0},
        {"Apache-1.0+", "Apache-1.0+", 0},
        {"MIT AND LicenseRef-Fedora-Public-Domain AND LicenseRef-Fedora-Public-Domain",
                "MIT AND LicenseRef-Fedora-Public-Domain AND LicenseRef-Fedora-Public-Domain", 1},
        {"GPLv2", "LicenseRef-GPLv2", 1},
        {"GPLv2+", "LicenseRef-GPLv2-cccc354a", 1},
        {"GPLv2+ and BSD", NULL, 1},
        {"MIT AND", NULL, 1},
        {"AND", NULL, 1},
        {"(MIT", NULL, 1},
        {"MIT)", NULL, 1},
        {"()", NULL, 1},
        {"MIT WITH", NULL, 1},
        {"MIT WITH MIT", NULL, 1},
        {"MIT MIT", NULL, 1},
        {"LicenseRef-", NULL, 1},
        {"LicenseRef-a/b", NULL, 1},
        {"DocumentRef-x:LicenseRef-y", NULL, 1},
        {"\xff\xfe", NULL, 1},
};

static void test_tags(void **state)
{
        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                _cleanup_license_ struct kiln_license l;

                kiln_license_parse(cases[i].tag, &l);
                assert_non_null(l.expression);
                assert_int_equal(l.n_refs, cases[i].n_refs);
                if (cases[i].expression) {
                        assert_string_equal(l.expression, cases[i].expression);
                } else { /* a legacy tag: one reference that carries it */
                        assert_string_equal(l.expression, l.refs[0].id);
                        assert_string_equal(l.refs[0].text, cases[i].tag);
                        assert_int_equal(strncmp(l.expression, "LicenseRef-", 11), 0);
                        assert_int_equal(
                                strspn(l.expression, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                     "0123456789-."),
                                strlen(l.expression));
                }
        }
}

static void test_none(void **state)
{
        static const char *const tags[] = {NULL, "", "  \t"};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(tags); i++) {
                _cleanup_license_ struct kiln_license l;

                kiln_license_parse(tags[i], &l);
                assert_null(l.expression);
                assert_int_equal(l.n_refs, 0);
        }
}

static void test_different_tags(void **state)
{
        _cleanup_license_ struct kiln_license a, b;

        kiln_license_parse("GPLv2+", &a);
        kiln_license_parse("GPLv2 ?", &b);
        assert_string_not_equal(a.expression, b.expression);
}

/* Deep nesting must not take the stack. */
static void test_deep(void **state)
{
        _cleanup_license_ struct kiln_license l;
        char tag[4001];

        memset(tag, '(', sizeof(tag) - 1);
        tag[sizeof(tag) - 1] = '\0';
        kiln_license_parse(tag, &l);
        assert_int_equal(l.n_refs, 1);
}

static void test_table(void **state)
{
        for (size_t i = 1; i < kiln_license_n_ids; i++)
                assert_true(strcasecmp(kiln_license_ids[i - 1], kiln_license_ids[i]) < 0);
        for (size_t i = 1; i < kiln_license_n_exceptions; i++)
                assert_true(strcasecmp(kiln_license_exceptions[i - 1], kiln_license_exceptions[i]) < 0);
}

static void test_purl(void **state)
{
        static const struct {
                const char *vendor, *name, *version, *release, *arch, *purl;
                uint32_t epoch;
        } urls[] = {
                {"fedora", "sed", "4.9", "1.fc43", "x86_64", "pkg:rpm/fedora/sed@4.9-1.fc43?arch=x86_64", 0},
                {"Fedora", "gcc-c++", "14.2.1", "3", "noarch",
                        "pkg:rpm/fedora/gcc-c%2B%2B@14.2.1-3?arch=noarch", 0},
                {"", "a", "1~rc1^g", "1", "src", "pkg:rpm/a@1~rc1%5Eg-1?arch=src&epoch=2", 2},
                {NULL, "a b", "1", "1", "src", "pkg:rpm/a%20b@1-1?arch=src", 0},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(urls); i++) {
                _cleanup_free_ char *purl = kiln_purl_rpm(urls[i].vendor, urls[i].name, urls[i].epoch,
                        urls[i].version, urls[i].release, urls[i].arch);

                assert_string_equal(purl, urls[i].purl);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tags),
                cmocka_unit_test(test_none),
                cmocka_unit_test(test_different_tags),
                cmocka_unit_test(test_deep),
                cmocka_unit_test(test_table),
                cmocka_unit_test(test_purl),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
