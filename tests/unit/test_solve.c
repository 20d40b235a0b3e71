/* The solver suite: what is chosen, into which layer, and what is said when nothing can be. */
#include "tests/unit/repohelp.h"

#include <errno.h>

/* rpm and what it needs is the bootstrap layer, "make" completes the base. */
#define CORE                                                                                                 \
        "=Pkg: rpm 4.20-1 x86_64\n=Req: libc.so.6()(64bit)\n=Req: /bin/sh\n=Req: rpmlib(Foo) <= 1\n"         \
        "=Pkg: glibc 2.40-1 x86_64\n=Prv: libc.so.6()(64bit)\n"                                              \
        "=Pkg: bash 5.2-1 x86_64\n=Fil: /bin/sh\n=Req: libc.so.6()(64bit)\n"                                 \
        "=Pkg: make 1:4.4-1 x86_64\n=Req: libc.so.6()(64bit)\n"

struct answer {
        struct kiln_lock *lock;
        struct kiln_error err;
        char *text; /* "name-version … !name" of the packages not in the base; "B:"/"F:" before */
};

/* Solves `requires` ("a,b") with `conflicts`; the answer's text lists the delta (everything when full). */
static void solve(
        struct fixture *f, struct target *t, const char *requires, const char *conflicts, struct answer *a)
{
        _cleanup_(kiln_pool_freep) struct kiln_pool *p = NULL;
        _cleanup_strv_ char **req = words(requires), **con = words(conflicts);
        struct kiln_solve q = {.requires = (const char *const *)req,
                .conflicts = (const char *const *)con,
                .wanted_by = "hello-1-1"};
        struct kiln_buf text = KILN_BUF_INIT;
        int r;

        memset(a, 0, sizeof(*a));
        r = kiln_pool_open(&f->context, f->store, &t->toolchain, &p, &a->err);
        if (r == 0)
                r = kiln_pool_solve(p, &q, &a->lock, &a->err);
        if (r < 0) {
                a->text = kiln_error_format(&a->err);
                return;
        }
        if (a->lock->full)
                kiln_buf_puts(&text, "full:");
        for (size_t i = 0; i < a->lock->n_packages; i++)
                if (a->lock->full || a->lock->packages[i].layer == KILN_LOCK_DELTA)
                        kiln_buf_printf(&text, "%s%s", text.len ? " " : "", a->lock->packages[i].nevra);
        a->text = kiln_buf_take(&text);
}

static void answer_clear(struct answer *a)
{
        kiln_lock_free(a->lock);
        kiln_error_clear(&a->err);
        free(a->text);
}

/* One repository of CORE and `more`. */
static void check(struct fixture *f, const char *more, const char *requires, const char *conflicts,
        const char *expected)
{
        _cleanup_free_ char *text = kiln_asprintf("%s%s", CORE, more);
        _cleanup_target_ struct target t;
        struct answer a;

        target_init(&t, f, 1, "make");
        repo_write_text(t.dirs[0], text);
        solve(f, &t, requires, conflicts, &a);
        assert_string_equal(a.text, expected);
        answer_clear(&a);
}

/* The error says each of these. */
static void check_says(struct fixture *f, const char *more, const char *requires, const char *const *says)
{
        _cleanup_free_ char *text = kiln_asprintf("%s%s", CORE, more);
        _cleanup_target_ struct target t;
        struct answer a;

        target_init(&t, f, 1, "make");
        repo_write_text(t.dirs[0], text);
        solve(f, &t, requires, "", &a);
        assert_null(a.lock);
        assert_int_equal(a.err.verdict, KILN_BAD_INPUT);
        assert_string_equal(a.err.subject, "hello-1-1");
        for (; *says; says++)
                if (!strstr(a.text, *says))
                        fail_msg("\"%s\"\ndoes not say \"%s\"", a.text, *says);
        answer_clear(&a);
}

static void test_layers(void **state)
{
        _cleanup_target_ struct target t;
        struct answer a;
        static const struct {
                const char *nevra;
                enum kiln_lock_layer layer;
        } want[] = {
                {"bash-5.2-1.x86_64", KILN_LOCK_BOOTSTRAP},
                {"foo-1-1.x86_64", KILN_LOCK_DELTA},
                {"glibc-2.40-1.x86_64", KILN_LOCK_BOOTSTRAP},
                {"make-1:4.4-1.x86_64", KILN_LOCK_BASE},
                {"rpm-4.20-1.x86_64", KILN_LOCK_BOOTSTRAP},
        };

        target_init(&t, *state, 1, "make");
        repo_write_text(t.dirs[0], CORE "=Pkg: foo 1-1 x86_64\n");
        solve(*state, &t, "foo,make >= 4", "", &a);
        assert_int_equal(a.lock->n_packages, KILN_ARRAY_SIZE(want));
        for (size_t i = 0; i < KILN_ARRAY_SIZE(want); i++) {
                assert_string_equal(a.lock->packages[i].nevra, want[i].nevra);
                assert_int_equal(a.lock->packages[i].layer, want[i].layer);
        }
        assert_false(a.lock->full);
        assert_string_equal(a.lock->packages[3].epoch, "1");
        assert_string_equal(a.lock->packages[1].location, "Packages/foo-1-1.x86_64.rpm");
        assert_string_equal(a.lock->packages[1].license, "MIT");
        assert_string_equal(a.lock->packages[1].source_rpm, "foo-1-1.src.rpm");
        assert_int_equal(a.lock->packages[1].size_bytes, strlen("foo-1-1.x86_64"));
        assert_string_equal(a.lock->repositories[0].base_url, t.urls[0][0]);
        answer_clear(&a);
        check(*state, "", "", "", "");
}

static void test_versions(void **state)
{
        static const char repo[] = "=Pkg: foo 1-1 x86_64\n=Pkg: foo 1.10-1 x86_64\n=Pkg: foo 1.9-1 x86_64\n"
                                   "=Pkg: bar 1:1-1 x86_64\n=Pkg: bar 2-1 x86_64\n=Pkg: baz 1~rc1-1 x86_64\n";

        check(*state, repo, "foo", "", "foo-1.10-1.x86_64");
        check(*state, repo, "foo < 1.10", "", "foo-1.9-1.x86_64");
        check(*state, repo, "foo = 1", "", "foo-1-1.x86_64");
        check(*state, repo, "bar", "", "bar-1:1-1.x86_64");
        check(*state, repo, "baz < 1", "", "baz-1~rc1-1.x86_64");
}

static void test_architectures(void **state)
{
        struct fixture *f = *state;
        _cleanup_target_ struct target t;
        struct answer a;

        check(f, "=Pkg: foo 2-1 i686\n=Pkg: foo 1-1 x86_64\n=Pkg: bar 1-1 noarch\n=Pkg: foo 3-1 src\n",
                "foo,bar", "", "bar-1-1.noarch foo-1-1.x86_64");
        target_init(&t, f, 1, "make");
        kiln_strv_free(t.toolchain.compatible_arches);
        t.toolchain.compatible_arches = words("x86_64_v3,x86_64,noarch");
        repo_write_text(t.dirs[0], CORE "=Pkg: foo 1-1 x86_64\n=Pkg: foo 1-1 x86_64_v3\n=Pkg: bar 2-1 "
                                        "x86_64\n=Pkg: bar 1-1 x86_64_v3\n");
        solve(f, &t, "foo,bar", "", &a);
        assert_string_equal(a.text, "bar-2-1.x86_64 foo-1-1.x86_64_v3");
        answer_clear(&a);
}

static void test_weak_dependencies_are_off(void **state)
{
        check(*state, "=Pkg: foo 1-1 x86_64\n=Rec: bar\n=Pkg: bar 1-1 x86_64\n", "foo", "", "foo-1-1.x86_64");
}

static void test_rich_dependencies(void **state)
{
        static const char repo[] =
                "=Pkg: a 1-1 x86_64\n=Pkg: b 1-1 x86_64\n=Pkg: c 1-1 x86_64\n=Prv: virt = 2\n"
                "=Pkg: d 1-1 x86_64\n=Prv: virt = 1\n=Pkg: user 1-1 x86_64\n=Req: (b if a)\n"
                "=Pkg: old 1-1 x86_64\n=Con: (a and b)\n";

        check(*state, repo, "(a if make)", "", "a-1-1.x86_64");
        check(*state, repo, "(a if b)", "", "");
        check(*state, repo, "(a unless nothing)", "", "a-1-1.x86_64");
        check(*state, repo, "(nothing or b)", "", "b-1-1.x86_64");
        check(*state, repo, "(a and b)", "", "a-1-1.x86_64 b-1-1.x86_64");
        check(*state, repo, "(virt >= 1 with virt < 2)", "", "d-1-1.x86_64");
        check(*state, repo, "(virt without virt = 1)", "", "c-1-1.x86_64");
        check(*state, repo, "user", "", "user-1-1.x86_64");
        check(*state, repo, "user,a", "", "a-1-1.x86_64 b-1-1.x86_64 user-1-1.x86_64");
        check(*state, repo, "(a if (make and bash) else b)", "", "a-1-1.x86_64");
        check(*state, repo, "old,a", "", "a-1-1.x86_64 old-1-1.x86_64");
}

static void test_file_dependencies(void **state)
{
        static const char repo[] = "=Pkg: tool 1-1 x86_64\n=Fil: /usr/bin/tool\n=Xfl: /usr/share/tool/data\n"
                                   "=Pkg: user 1-1 x86_64\n=Req: /usr/share/tool/data\n=Pkg: other 1-1 "
                                   "x86_64\n=Req: /usr/bin/tool\n";

        check(*state, repo, "/usr/bin/tool", "", "tool-1-1.x86_64");
        check(*state, repo, "/usr/share/tool/data", "", "tool-1-1.x86_64");
        check(*state, repo, "other", "", "other-1-1.x86_64 tool-1-1.x86_64");
        check(*state, repo, "user", "", "tool-1-1.x86_64 user-1-1.x86_64");
        check(*state, repo, "(/usr/share/tool/data if make)", "", "tool-1-1.x86_64");
}

/* Filelists cost much: a request that does not need them must not ask for them. */
static void test_filelists_only_when_needed(void **state)
{
        struct fixture *f = *state;
        _cleanup_target_ struct target t;
        _cleanup_free_ char *path = NULL;
        struct answer a;

        target_init(&t, f, 1, "make");
        repo_write_text(t.dirs[0], CORE "=Pkg: foo 1-1 x86_64\n=Req: /bin/sh\n=Xfl: /usr/lib/foo\n");
        path = kiln_path_join(t.dirs[0], "repodata/filelists.xml");
        unlink(path);
        solve(f, &t, "foo", "", &a);
        assert_string_equal(a.text, "foo-1-1.x86_64");
        answer_clear(&a);
        solve(f, &t, "/usr/lib/foo", "", &a);
        assert_int_equal(a.err.verdict, KILN_INFRA);
        answer_clear(&a);
}

static void test_build_conflicts(void **state)
{
        static const char repo[] = "=Pkg: a 1-1 x86_64\n=Prv: virt\n=Pkg: b 1-1 x86_64\n=Prv: virt\n";

        check(*state, repo, "virt", "a", "b-1-1.x86_64");
        check(*state, repo, "virt", "b", "a-1-1.x86_64");
}

static void test_obsoletes_and_conflicts(void **state)
{
        static const char repo[] =
                "=Pkg: new 1-1 x86_64\n=Obs: old < 2\n=Prv: old = 2\n=Pkg: old 1-1 x86_64\n"
                "=Pkg: c1 1-1 x86_64\n=Con: c2\n=Prv: any\n=Pkg: c2 1-1 x86_64\n=Prv: any\n";

        check(*state, repo, "old", "", "new-1-1.x86_64");
        check(*state, repo, "c1,any", "", "c1-1-1.x86_64");
        check_says(*state, repo, "c1,c2",
                (const char *const[]){"c1-1-1.x86_64 conflicts with c2 provided by c2-1-1.x86_64", NULL});
}

/* The base stays as it is when it can; when it cannot, everything is one layer. */
static void test_full(void **state)
{
        struct fixture *f = *state;
        static const char repo[] =
                CORE "=Pkg: lib 1-1 x86_64\n=Prv: virt\n=Pkg: alt 1-1 x86_64\n=Prv: virt\n=Con: lib\n"
                     "=Pkg: need-alt 1-1 x86_64\n=Req: alt\n=Pkg: need-virt 1-1 x86_64\n=Req: virt\n";
        _cleanup_target_ struct target t;
        const char *chosen;
        struct answer a;

        target_init(&t, f, 1, "make,virt");
        repo_write_text(t.dirs[0], repo);
        solve(f, &t, "need-virt", "", &a);
        assert_string_equal(a.text, "need-virt-1-1.x86_64");
        chosen = a.lock->packages[0].name; /* alt sorts first when it was chosen */
        bool has_alt = strcmp(chosen, "alt") == 0;
        answer_clear(&a);
        solve(f, &t, has_alt ? "lib" : "alt", "", &a);
        assert_true(a.lock->full);
        for (size_t i = 0; i < a.lock->n_packages; i++)
                assert_string_not_equal(a.lock->packages[i].name, has_alt ? "alt" : "lib");
        answer_clear(&a);
}

static void test_priorities_and_excludes(void **state)
{
        struct fixture *f = *state;
        _cleanup_target_ struct target t;
        struct answer a;

        target_init(&t, f, 2, "make");
        repo_write_text(t.dirs[0], CORE "=Pkg: foo 2-1 x86_64\n=Pkg: bar 2-1 x86_64\n");
        repo_write_text(t.dirs[1], "=Pkg: foo 1-1 x86_64\n=Pkg: bar 3-1 x86_64\n");
        solve(f, &t, "foo,bar", "", &a);
        assert_string_equal(a.text, "bar-3-1.x86_64 foo-2-1.x86_64");
        answer_clear(&a);
        t.repositories[1].priority = 10; /* lower wins */
        solve(f, &t, "foo,bar", "", &a);
        assert_string_equal(a.text, "bar-3-1.x86_64 foo-1-1.x86_64");
        answer_clear(&a);
        t.repositories[1].priority = 99;
        t.repositories[1].excludes = words("ba*");
        solve(f, &t, "foo,bar", "", &a);
        assert_string_equal(a.text, "bar-2-1.x86_64 foo-2-1.x86_64");
        assert_string_equal(a.lock->packages[0].repository, "one");
        answer_clear(&a);
        solve(f, &t, "bar >= 3", "", &a);
        assert_non_null(strstr(a.text, "nothing provides bar >= 3 needed by hello-1-1"));
        answer_clear(&a);
}

static void test_explanations(void **state)
{
        static const char repo[] =
                "=Pkg: foo 1-1 x86_64\n=Pkg: zlib-devel 1-1 x86_64\n=Prv: pkgconfig(zlib)\n"
                "=Pkg: deep 1-1 x86_64\n=Req: deeper\n=Pkg: deeper 1-1 x86_64\n=Req: missing >= 3\n"
                "=Pkg: only32 1-1 i686\n=Pkg: python3-devel 3.14-1 x86_64\n";
        static const struct {
                const char *requires, *says[4];
        } cases[] = {
                {"nothere", {"nothing provides nothere needed by hello-1-1"}},
                {"foo >= 2", {"nothing provides foo >= 2 needed by hello-1-1",
                                     "available: foo-1-1.x86_64 from one"}},
                {"zlib-devl", {"nothing provides zlib-devl", "there is zlib-devel"}},
                {"pkgconfig(zlibb)", {"nothing provides pkgconfig(zlibb)", "there is pkgconfig(zlib)"}},
                {"python3_devel", {"there is python3-devel"}},
                {"deep", {"nothing provides missing >= 3 needed by deeper-1-1.x86_64",
                                 "deep-1-1.x86_64 requires deeper", "hello-1-1 requires deep"}},
                {"only32", {"only32-1-1.i686 of repository one is for another architecture"}},
                {"one-missing,two-missing", {"nothing provides one-missing", "nothing provides two-missing"}},
                {"/usr/bin/nothere", {"nothing provides /usr/bin/nothere needed by hello-1-1"}},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                const char *says[5] = {
                        cases[i].says[0], cases[i].says[1], cases[i].says[2], cases[i].says[3]};

                check_says(*state, repo, cases[i].requires, says);
        }
}

/* What belongs to the core must not be blamed for the request's missing packages. */
static void test_explanation_blames_the_right_one(void **state)
{
        struct fixture *f = *state;
        _cleanup_target_ struct target t;
        struct answer a;

        target_init(&t, f, 1, "make");
        repo_write_text(t.dirs[0], CORE);
        solve(f, &t, "nothere", "", &a);
        assert_null(strstr(a.text, "core of toolchain"));
        answer_clear(&a);
        kiln_strv_append(&t.toolchain.core, "gone");
        solve(f, &t, "make", "", &a);
        assert_non_null(strstr(a.text, "nothing provides gone needed by the core of toolchain test"));
        answer_clear(&a);
}

static void test_malformed_requirements(void **state)
{
        enum { DEEP = 200000 }; /* far more than a parser's stack can take */
        _cleanup_free_ char *deep = kiln_calloc(DEEP + 1, 1);
        _cleanup_buf_ struct kiln_buf chain = KILN_BUF_INIT;

        kiln_buf_puts(&chain, " (foo");
        for (int i = 0; i < DEEP; i++)
                kiln_buf_puts(&chain, " or foo");
        kiln_buf_puts(&chain, ")");
        const char *const bad[] = {"foo >=", "foo >= 1 2", "foo 1", "(foo", "(foo and)", "foo =! 1",
                "foo <> 1", ">= 1", deep, chain.data};

        memset(deep, '(', DEEP);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(bad); i++) {
                struct fixture *f = *state;
                _cleanup_target_ struct target t;
                struct answer a;

                target_init(&t, f, 1, "make");
                repo_write_text(t.dirs[0], CORE "=Pkg: foo 1-1 x86_64\n");
                solve(f, &t, bad[i], "", &a);
                if (a.lock || a.err.verdict != KILN_BAD_INPUT)
                        fail_msg("accepted: %s", bad[i]);
                answer_clear(&a);
        }
}

/* What libsolv would multiply out without a bound: 2^27 clauses, or all combinations of packages that meet a
 * condition. Long ones that stay small are no fault. */
#define PAIRS                                                                                                \
        "((make and p1) or (make and p2) or (make and p3) or (make and p4) or (make and p5) or (make and "   \
        "p6) or (make and p7) or (make and p8) or (make and p9) or (make and p10) or (make and p11) or "     \
        "(make and p12) or (make and p13) or (make and p14) or (make and p15) or (make and p16) or (make "   \
        "and p17) or (make and p18) or (make and p19) or (make and p20) or (make and p21) or (make and "     \
        "p22) or (make and p23) or (make and p24) or (make and p25) or (make and p26) or (make and p27))"

static void test_rich_dependencies_are_bounded(void **state)
{
        const struct {
                const char *more, *requires, *subject;
                enum kiln_verdict verdict;
        } bad[] = {
                {"", PAIRS, "hello-1-1", KILN_BAD_INPUT},
                {"", "(a if (any and one and any >= 0))", "hello-1-1", KILN_BAD_INPUT},
                {"", "(a if (any and (a unless (one or any)) and one))", "hello-1-1", KILN_BAD_INPUT},
                {"=Pkg: user 1-1 x86_64\n=Req: " PAIRS "\n", "make", "user", KILN_INFRA},
                {"=Pkg: user 1-1 x86_64\n=Con: (any and (one and any >= 0))\n", "make", "user", KILN_INFRA},
        };
        _cleanup_buf_ struct kiln_buf repo = KILN_BUF_INIT, any = KILN_BUF_INIT;

        kiln_buf_puts(&any, "(make");
        for (int i = 0; i < 100; i++)
                kiln_buf_puts(&any, " or any");
        kiln_buf_puts(&any, ")");
        kiln_buf_puts(&repo, "=Pkg: a 1-1 x86_64\n");
        for (int i = 0; i < 300; i++)
                kiln_buf_printf(&repo, "=Pkg: p%d 1-1 x86_64\n=Prv: any\n=Prv: one\n", i);
        check(*state, repo.data, any.data, "", "");
        check(*state, repo.data, "(a unless (any and one))", "", "a-1-1.x86_64");
        for (size_t i = 0; i < KILN_ARRAY_SIZE(bad); i++) {
                _cleanup_target_ struct target t;
                _cleanup_free_ char *text = kiln_asprintf("%s%s%s", CORE, repo.data, bad[i].more);
                struct answer a;

                target_init(&t, *state, 1, "make");
                repo_write_text(t.dirs[0], text);
                solve(*state, &t, bad[i].requires, "", &a);
                if (!strstr(a.text, "multiplied out"))
                        fail_msg("%zu: %s", i, a.text);
                assert_int_equal(a.err.verdict, bad[i].verdict);
                assert_string_equal(a.err.subject, bad[i].subject);
                answer_clear(&a);
        }
}

static char *packages_of(const struct kiln_lock *l)
{
        struct kiln_buf text = KILN_BUF_INIT;

        for (size_t i = 0; i < l->n_packages; i++)
                kiln_buf_printf(&text, "%s %s %d\n", l->packages[i].nevra, l->packages[i].repository,
                        (int)l->packages[i].layer);
        return kiln_buf_take(&text);
}

/* Many equal alternatives: the order of packages in primary and of repositories in the definition, and
 * whether the metadata came from the cache, must not matter. */
static void test_same_metadata_same_lock(void **state)
{
        struct fixture *f = *state;
        struct kiln_buf one = KILN_BUF_INIT, two = KILN_BUF_INIT;
        _cleanup_free_ char *first = NULL;

        kiln_buf_puts(&one, CORE);
        for (int i = 0; i < 40; i++) {
                kiln_buf_printf(&one, "=Pkg: alt%d 1-1 x86_64\n=Prv: choice%d\n=Prv: any\n=Req: choice%d\n",
                        (i * 7) % 40, i % 5, (i + 1) % 5);
                kiln_buf_printf(
                        &two, "=Pkg: alt%d 1-1 x86_64\n=Prv: choice%d\n=Prv: any\n", (i * 3) % 40, i % 5);
        }
        for (int variant = 0; variant < 8; variant++) {
                _cleanup_target_ struct target t;
                _cleanup_free_ char *text = NULL;
                struct kiln_repository swap;
                struct answer a;

                target_init(&t, f, 2, "make");
                repo_write_as(t.dirs[0], one.data, "", variant & 1, 0);
                repo_write_as(t.dirs[1], two.data, "", variant & 1, 0);
                if (variant & 2) {
                        swap = t.repositories[0];
                        t.repositories[0] = t.repositories[1];
                        t.repositories[1] = swap;
                }
                if (variant & 4) /* with and without .solv files */
                        assert_int_equal(kiln_tree_remove(AT_FDCWD, f->context.cache_dir), 0);
                kiln_store_close(f->store);
                fixture_open(f);
                solve(f, &t, "choice0,choice3,any", "", &a);
                assert_non_null(a.lock);
                text = packages_of(a.lock);
                if (first)
                        assert_string_equal(text, first);
                else
                        first = TAKE_PTR(text);
                answer_clear(&a);
        }
        kiln_buf_clear(&one);
        kiln_buf_clear(&two);
}

/* One pool answers several requests (the rounds of dynamic BuildRequires) as fresh ones would. */
static void test_pool_is_reusable(void **state)
{
        struct fixture *f = *state;
        _cleanup_(kiln_pool_freep) struct kiln_pool *p = NULL;
        _cleanup_target_ struct target t;
        struct kiln_digest first = {{0}};

        target_init(&t, f, 1, "make");
        repo_write_text(t.dirs[0], CORE "=Pkg: a 1-1 x86_64\n=Xfl: /a/file\n=Pkg: b 1-1 x86_64\n=Req: a\n");
        assert_int_equal(kiln_pool_open(&f->context, f->store, &t.toolchain, &p, NULL), 0);
        for (int i = 0; i < 6; i++) {
                static const char *const b[] = {"b", NULL}, *const file[] = {"/a/file", NULL},
                                         *const gone[] = {"gone", NULL};
                struct kiln_solve q = {.requires = b, .wanted_by = "x"}, q2 = {.requires = file},
                                  q3 = {.requires = gone};
                _cleanup_(kiln_lock_freep) struct kiln_lock *l = NULL, *l2 = NULL, *l3 = NULL;
                struct kiln_digest d;

                assert_int_equal(kiln_pool_solve(p, &q, &l, NULL), 0);
                d = kiln_lock_digest(l);
                if (i == 0)
                        first = d;
                assert_true(kiln_digest_equal(&d, &first));
                assert_int_equal(kiln_pool_solve(p, &q2, &l2, NULL), 0);
                assert_int_equal(l2->n_packages, 5);
                assert_true(kiln_pool_solve(p, &q3, &l3, NULL) < 0);
        }
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(test_layers),
                T(test_versions),
                T(test_architectures),
                T(test_weak_dependencies_are_off),
                T(test_rich_dependencies),
                T(test_rich_dependencies_are_bounded),
                T(test_file_dependencies),
                T(test_filelists_only_when_needed),
                T(test_build_conflicts),
                T(test_obsoletes_and_conflicts),
                T(test_full),
                T(test_priorities_and_excludes),
                T(test_explanations),
                T(test_explanation_blames_the_right_one),
                T(test_malformed_requirements),
                T(test_same_metadata_same_lock),
                T(test_pool_is_reusable),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
