/* worker/build/opened.c: what counts as opened by a build, and what is said when it was too much. */
#include "worker/build/opened.h"

#include "worker/base/mem.h"
#include "worker/build/build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SOURCE KILN_BUILD_TOPDIR "/SOURCES/"
#define BUILD KILN_BUILD_TOPDIR "/BUILD/"
#define PATHS_MAX ((size_t)1 << 19)

static const char *opened_of(const struct present *p, char text[256])
{
        _cleanup_free_ struct kiln_build_file *list = present_list(p);
        size_t len = 0;

        text[0] = '\0';
        for (size_t i = 0; i < p->n; i++)
                len += (size_t)snprintf(
                        text + len, 256 - len, "%s%s ", list[i].opened ? "+" : "-", list[i].path);
        return text;
}

static void script_begin(struct observed *o)
{
        observed_event(o, KILN_SEEN_MADE, "/var/tmp/rpm-tmp.AbCdEf");
        observed_event(o, KILN_SEEN_OPENED, "/usr/bin/sh");
}

static void script_end(struct observed *o)
{
        observed_event(o, KILN_SEEN_REMOVED, "/var/tmp/rpm-tmp.AbCdEf");
}

static void prep(struct observed *o)
{
        observed_begin(o, OBSERVED_PREP);
        observed_event(o, KILN_SEEN_THERE, SOURCE "a.patch");
        observed_event(o, KILN_SEEN_THERE, SOURCE "b.txt");
        observed_event(o, KILN_SEEN_THERE, SOURCE "c.txt");
        observed_event(o, KILN_SEEN_THERE, SOURCE "d.inc");
        observed_event(o, KILN_SEEN_OPENED, SOURCE "d.inc"); /* %include */
        script_begin(o);
        observed_event(o, KILN_SEEN_OPENED, SOURCE "a.patch");
        script_end(o);
        observed_end(o, false);
}

/* rpmbuild reads each source for the source package: between scripts, and after them. */
static void all_read(struct observed *o)
{
        observed_event(o, KILN_SEEN_OPENED, SOURCE "a.patch");
        observed_event(o, KILN_SEEN_OPENED, SOURCE "b.txt");
        observed_event(o, KILN_SEEN_OPENED, SOURCE "c.txt");
        observed_event(o, KILN_SEEN_OPENED, SOURCE "d.inc");
}

static void test_sources(void **state)
{
        struct observed o = {0};
        char text[256];

        prep(&o);
        assert_string_equal(opened_of(&o.sources, text), "+a.patch -b.txt -c.txt +d.inc ");
        observed_begin(&o, OBSERVED_BUILD);
        observed_event(&o, KILN_SEEN_THERE, SOURCE "later"); /* a section's own */
        all_read(&o);
        script_begin(&o);
        /* Not rpmbuild's, which has one at a time: the section goes on. */
        observed_event(&o, KILN_SEEN_MADE, "/var/tmp/rpm-tmp.nested");
        observed_event(&o, KILN_SEEN_REMOVED, "/var/tmp/rpm-tmp.nested");
        observed_event(&o, KILN_SEEN_REMOVED, "/var/tmp/other");
        observed_event(&o, KILN_SEEN_OPENED, SOURCE "b.txt");
        observed_event(&o, KILN_SEEN_OPENED, SOURCE "later");
        script_end(&o);
        all_read(&o);
        observed_end(&o, false);
        assert_string_equal(opened_of(&o.sources, text), "+a.patch +b.txt -c.txt +d.inc ");
        assert_true(o.sources.listed);
        assert_false(o.sources.lost);
        assert_int_equal(o.root.n, 1); /* the shell */
        observed_clear(&o);
}

static void test_tree(void **state)
{
        struct observed o = {0};
        char text[256];

        prep(&o);
        assert_false(o.tree.listed);
        for (int round = 0; round < 2; round++) {
                observed_begin(&o, OBSERVED_BUILD);
                observed_event(&o, KILN_SEEN_THERE, BUILD "p/a.c");
                observed_event(&o, KILN_SEEN_THERE, BUILD "p/b.c");
                observed_event(&o, KILN_SEEN_THERE, BUILD "p/.git/HEAD");
                if (round > 0)
                        observed_event(&o, KILN_SEEN_THERE, BUILD "p/made.o");
                script_begin(&o);
                observed_event(&o, KILN_SEEN_OPENED, BUILD "p/a.c");
                observed_event(&o, KILN_SEEN_OPENED, BUILD "p/made.o");
                script_end(&o);
                observed_end(&o, false);
        }
        assert_string_equal(opened_of(&o.tree, text), "+p/a.c -p/b.c ");
        assert_false(o.tree.lost);
        observed_clear(&o);
}

/* What cannot be known is not said. */
static void test_lost(void **state)
{
        struct observed o = {0};

        /* the kernel's queue */
        prep(&o);
        observed_begin(&o, OBSERVED_BUILD);
        script_begin(&o);
        observed_end(&o, true);
        assert_true(o.root.lost && o.sources.lost && o.tree.lost);
        observed_clear(&o);

        /* a tree that is too large */
        observed_begin(&o, OBSERVED_BUILD);
        script_begin(&o);
        observed_event(&o, KILN_SEEN_CUT, KILN_BUILD_TOPDIR "/BUILD");
        observed_end(&o, false);
        assert_true(!o.root.lost && !o.sources.lost && o.tree.lost);
        observed_clear(&o);
        observed_begin(&o, OBSERVED_BUILD);
        script_begin(&o);
        observed_event(&o, KILN_SEEN_CUT, KILN_BUILD_TOPDIR "/SOURCES");
        observed_end(&o, false);
        assert_true(!o.root.lost && o.sources.lost && !o.tree.lost);
        observed_clear(&o);

        /* an rpmbuild whose scripts are not where they are looked for */
        observed_begin(&o, OBSERVED_BUILD);
        observed_event(&o, KILN_SEEN_MADE, "/var/tmp/a-name");
        observed_end(&o, false);
        assert_true(o.sources.lost);
        observed_clear(&o);
}

/* A build that opens, or leaves, more files than are kept. */
static void test_bounds(void **state)
{
        struct observed o = {0};
        char path[64];

        observed_begin(&o, OBSERVED_BUILD);
        for (size_t i = 0; i < PATHS_MAX; i++) {
                snprintf(path, sizeof(path), "/usr/%zu", i);
                observed_event(&o, KILN_SEEN_OPENED, path);
                snprintf(path, sizeof(path), BUILD "%zu", i);
                observed_event(&o, KILN_SEEN_THERE, path);
        }
        assert_false(o.root.lost || o.tree.lost);
        observed_event(&o, KILN_SEEN_OPENED, "/usr/0");
        assert_false(o.root.lost);
        observed_event(&o, KILN_SEEN_OPENED, "/usr/one more");
        assert_true(o.root.lost);
        assert_int_equal(o.root.n, PATHS_MAX);
        observed_event(&o, KILN_SEEN_THERE, BUILD "one more");
        assert_true(o.tree.lost);
        assert_int_equal(o.tree.n, PATHS_MAX);
        observed_clear(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sources),
                cmocka_unit_test(test_tree),
                cmocka_unit_test(test_lost),
                cmocka_unit_test(test_bounds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
