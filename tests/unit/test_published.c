/* worker/buildroot/published.c: what is read from primary.xml, and what is refused. */
#include "worker/buildroot/published.h"

#include "worker/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define DIGEST "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define PACKAGE(name, arch, href, more)                                                                      \
        "<package type=\"rpm\"><name>" name "</name><arch>" arch "</arch><version epoch=\"0\" ver=\"1\" "    \
        "rel=\"2\"/><checksum type=\"sha256\" pkgid=\"YES\">" DIGEST "</checksum><size package=\"7\"/>"      \
        "<location href=\"" href "\"/>" more "</package>"
#define SOURCE(name) "<format><rpm:sourcerpm>" name "</rpm:sourcerpm></format>"
#define METADATA(packages) "<metadata xmlns:rpm=\"r\">" packages "</metadata>"

static int parse(const char *xml, struct kiln_published **ret, struct kiln_error *err)
{
        FILE *in = fmemopen((void *)(uintptr_t)xml, strlen(xml), "r");
        int r;

        assert_non_null(in);
        r = kiln_published_parse(in, "test", ret, err);
        fclose(in);
        return r;
}

static void test_good(void **state)
{
        _cleanup_(kiln_published_freep) struct kiln_published *p = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        const struct kiln_published_package *found;

        assert_int_equal(
                parse(METADATA(PACKAGE("b", "x86_64", "Packages/b.rpm", SOURCE("a-1-2.src.rpm")) PACKAGE(
                              "a", "src", "a.rpm", "<format><rpm:sourcerpm/></format>")
                                      PACKAGE("a", "noarch", "z.rpm", SOURCE("a-1-2.src.rpm"))
                                              PACKAGE("a", "noarch", "y.rpm", SOURCE("other.src.rpm"))),
                        &p, &err),
                0);
        assert_int_equal(p->n_packages, 3); /* one of two with one name: by location, whatever the order */
        assert_null(kiln_published_find(p, "a-1-2"));
        found = kiln_published_find(p, "a-1-2.noarch.rpm");
        assert_string_equal(found->location, "y.rpm");
        found = kiln_published_find(p, "a-1-2.src.rpm");
        assert_true(found->source);
        assert_string_equal(found->source_rpm, "");
        found = kiln_published_find(p, "b-1-2.x86_64.rpm");
        assert_false(found->source);
        assert_string_equal(found->source_rpm, "a-1-2.src.rpm");
        assert_string_equal(found->location, "Packages/b.rpm");
        assert_int_equal(found->size_bytes, 7);
}

static void test_bad(void **state)
{
        static const char *const bad[] = {
                "x",
                "<repomd/>",
                "<metadata>",
                METADATA("<package type=\"rpm\"><name>a</name></package>"),
                METADATA(PACKAGE("a/b", "noarch", "a.rpm", "")),
                METADATA(PACKAGE("..", "noarch", "a.rpm", "")),
                METADATA(PACKAGE(".a", "noarch", "a.rpm", "")),
                METADATA(PACKAGE("a b", "noarch", "a.rpm", "")),
                METADATA(PACKAGE("a", "noarch", "../a.rpm", "")),
                METADATA(PACKAGE("a", "noarch", "/a.rpm", "")),
                METADATA(PACKAGE("a", "noarch", "http://h/a.rpm", "")),
                METADATA(PACKAGE("a", "noarch", "a.rpm", SOURCE("../a.src.rpm"))),
                METADATA(PACKAGE("a", "noarch", "a.rpm", SOURCE("a.src.rpm") SOURCE("b.src.rpm"))),
                METADATA(PACKAGE("a", "noarch", "a.rpm", "<name>b</name>")),
                METADATA(PACKAGE("a", "noarch", "a.rpm", "<location href=\"b.rpm\"/>")),
                METADATA(PACKAGE("a", "noarch", "a.rpm", "<size package=\"-1\"/>")),
                METADATA(PACKAGE("a", "noarch", "a.rpm", "<checksum type=\"sha256\">" DIGEST "</checksum>")),
                METADATA("<package type=\"rpm\"><name>a</name><arch>noarch</arch><version ver=\"1\" "
                         "rel=\"2\"/>"
                         "<checksum type=\"sha\">" DIGEST "</checksum><location href=\"a.rpm\"/></package>"),
                METADATA("<package type=\"rpm\"><name>a</name><arch>noarch</arch><version ver=\"1\"/>"
                         "<checksum type=\"sha256\">" DIGEST
                         "</checksum><location href=\"a.rpm\"/></package>"),
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(bad); i++) {
                _cleanup_(kiln_published_freep) struct kiln_published *p = NULL;
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

                if (parse(bad[i], &p, &err) == 0 || err.verdict != KILN_INFRA || p)
                        fail_msg("case %zu: %s", i, bad[i]);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
