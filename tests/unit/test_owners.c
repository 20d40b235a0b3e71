/* worker/buildroot/owners.c: whose a file is, whatever links lead to it, and who is there for whom. */
#include "tests/unit/rpmmake.h"
#include "tests/unit/storehelp.h"

#include "worker/buildroot/owners.h"

enum { TOOL, NAMES, LIBRARY, COUNT };

static const char spec[] =
        "Name: tool\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n"
        "Requires: library >= 1\n%description\nd\n"
        "%package -n names\nSummary: s\nProvides: cc = 9\nRequires: tool\n%description -n names\nd\n"
        "%package -n library\nSummary: s\nRequires: /opt/bin/tool-1\n%description -n library\nd\n"
        "%install\ncd %{buildroot}; mkdir -p opt/bin opt/lib; echo 1 >opt/bin/tool-1; echo 2 >opt/lib/l\n"
        "ln -s tool-1 opt/bin/tool; ln -s ../../opt/bin/tool opt/lib/cc; ln -s opt/lib lib; ln -s nowhere "
        "opt/dangling\n"
        "mkdir usr; ln -s ../opt/bin usr/bin; echo 3 >opt/bin/by-link\n"
        "%files\n/opt/bin/tool-1\n/opt/bin/by-link\n"
        "%files -n names\n/opt/bin/tool\n/opt/lib/cc\n/lib\n/usr/bin\n/opt/dangling\n"
        "%files -n library\n/opt/lib/l\n";

static void lock_add(struct fixture *f, struct kiln_lock *l, const char *dir, const char *name)
{
        struct kiln_locked_package *p = KILN_APPEND(l->packages, l->n_packages);
        _cleanup_free_ char *file = kiln_asprintf("%s-1-1.noarch.rpm", name);
        _cleanup_buf_ struct kiln_buf bytes = KILN_BUF_INIT;

        rpmmake_read(dir, file, &bytes);
        *p = (struct kiln_locked_package){
                .name = kiln_strdup(name), .nevra = kiln_asprintf("%s-1-1.noarch", name)};
        p->sha256 = put_bytes(f, bytes.data, bytes.len);
}

static void test_owners(void **state)
{
        struct fixture *f = *state;
        _cleanup_(kiln_lock_freep) struct kiln_lock *l = kiln_lock_new();
        _cleanup_(kiln_owners_freep) struct kiln_owners *o = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        bool by[COUNT] = {false}, from[COUNT] = {false}, reached[COUNT];

        rpmmake_build(f->dir, spec, "");
        lock_add(f, l, f->dir, "tool");
        lock_add(f, l, f->dir, "names");
        lock_add(f, l, f->dir, "library");
        if (kiln_owners_open(&f->context, f->store, l, &o, &err) < 0)
                fail_msg("%s", kiln_error_format(&err));

        assert_int_equal(kiln_owners_of(o, "/opt/bin/tool-1"), TOOL);
        assert_int_equal(kiln_owners_of(o, "/opt/lib/l"), LIBRARY);
        assert_int_equal(kiln_owners_of(o, "/opt/bin"), KILN_NO_OWNER);
        assert_int_equal(kiln_owners_of(o, "/opt/dangling"), KILN_NO_OWNER);

        kiln_owners_link(o, "/opt/bin/tool-1", by); /* opt/lib/cc, over opt/bin/tool */
        assert_true(by[NAMES] && !by[TOOL] && !by[LIBRARY]);
        by[NAMES] = false;
        kiln_owners_link(o, "/opt/lib/l", by);
        assert_false(by[NAMES]);

        assert_int_equal(kiln_owners_provide(o, "cc >= 12", by), 1);
        assert_true(by[NAMES]);
        assert_int_equal(kiln_owners_provide(o, "cc", by), 0); /* marked already */
        assert_int_equal(kiln_owners_provide(o, "/opt/lib/l", by), 1);
        assert_int_equal(kiln_owners_provide(o, "nobody", by), 0);

        from[LIBRARY] = true; /* needs tool, which needs library */
        kiln_owners_reach(o, from, reached);
        assert_true(reached[LIBRARY] && reached[TOOL] && !reached[NAMES]);
}

static void test_gone(void **state)
{
        struct fixture *f = *state;
        _cleanup_(kiln_lock_freep) struct kiln_lock *l = kiln_lock_new();
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        struct kiln_owners *o;

        *KILN_APPEND(l->packages, l->n_packages) = (struct kiln_locked_package){
                .nevra = kiln_strdup("a-1-1.noarch"), .sha256 = put(f, "no RPM")};
        assert_true(kiln_owners_open(&f->context, f->store, l, &o, &err) < 0);
        assert_int_equal(err.verdict, KILN_INFRA);
        kiln_error_clear(&err);
        l->packages[0].sha256.bytes[0] ^= 1;
        assert_true(kiln_owners_open(&f->context, f->store, l, &o, &err) < 0);
        assert_int_equal(err.verdict, KILN_INFRA);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_owners, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_gone, fixture_setup, fixture_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
