/* Repository metadata: what is accepted from a mirror, what is kept, and what damaged or hostile bytes do. */
#include "tests/unit/repohelp.h"
#include "tests/unit/rpmmake.h"

#include "worker/buildroot/repomd.h"
#include "worker/buildroot/solvcache.h"

#include <errno.h>
#include <sys/mman.h>

#define PACKAGES                                                                                             \
        "=Pkg: rpm 4.20-1 x86_64\n=Pkg: make 4.4-1 x86_64\n=Pkg: foo 1-1 x86_64\n=Fil: /usr/bin/foo\n=Xfl: " \
        "/data/foo\n"

/* Solves for "foo"; the verdict. */
static enum kiln_verdict solve(struct fixture *f, struct target *t, const char *requirement, char **ret_text)
{
        _cleanup_(kiln_pool_freep) struct kiln_pool *p = NULL;
        _cleanup_(kiln_lock_freep) struct kiln_lock *l = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        const char *const requires[] = {requirement, NULL};
        struct kiln_solve q = {.requires = requires, .wanted_by = "hello-1-1"};
        int r = kiln_pool_open(&f->context, f->store, &t->toolchain, &p, &err);

        if (r == 0)
                r = kiln_pool_solve(p, &q, &l, &err);
        if (ret_text) {
                free(*ret_text);
                *ret_text = r < 0 ? kiln_error_format(&err) : kiln_strdup(l->packages[0].nevra);
        }
        if (r == 0) {
                assert_int_equal(l->n_packages, 3);
                assert_int_equal(err.verdict, KILN_OK); /* nothing is left of mirrors that failed */
        }
        return r < 0 ? err.verdict : KILN_OK;
}

static void forget_cache(struct fixture *f)
{
        kiln_store_close(f->store);
        assert_int_equal(kiln_tree_remove(AT_FDCWD, f->context.cache_dir), 0);
        fixture_open(f);
}

static void test_compressions(void **state)
{
        static const char *const suffixes[] = {"", ".gz", ".xz", ".zst"};
        struct fixture *f = *state;
        _cleanup_target_ struct target t;

        target_init(&t, f, 1, "make");
        for (size_t i = 0; i < KILN_ARRAY_SIZE(suffixes); i++) {
                forget_cache(f);
                repo_write_as(t.dirs[0], PACKAGES, suffixes[i], false, 0);
                assert_int_equal(solve(f, &t, "foo", NULL), KILN_OK);
                assert_int_equal(solve(f, &t, "/data/foo", NULL), KILN_OK);
        }
}

/* More than repomd.xml says it unpacks to is not read on. */
static void test_bounded_decompression(void **state)
{
        struct fixture *f = *state;
        _cleanup_target_ struct target t;
        _cleanup_free_ char *text = NULL;

        target_init(&t, f, 1, "make");
        repo_write_as(t.dirs[0], PACKAGES, ".gz", false, 200);
        assert_int_equal(solve(f, &t, "foo", &text), KILN_INFRA);
        assert_non_null(strstr(text, "primary metadata of repository one"));
}

static void change_file(const char *dir, const char *name, const char *suffix)
{
        _cleanup_free_ char *path = kiln_asprintf("%s/repodata/%s", dir, name);
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;

        assert_int_equal(kiln_file_read(AT_FDCWD, path, 1 << 24, &text), 0);
        kiln_buf_puts(&text, suffix);
        assert_int_equal(kiln_file_write(AT_FDCWD, path, text.data, text.len, 0644), 0);
}

static void test_changed_primary(void **state)
{
        struct fixture *f = *state;
        _cleanup_target_ struct target t;
        _cleanup_free_ char *text = NULL;

        target_init(&t, f, 1, "make");
        repo_write_text(t.dirs[0], PACKAGES);
        change_file(t.dirs[0], "primary.xml", "<!-- more -->");
        assert_int_equal(solve(f, &t, "foo", &text), KILN_INFRA);
        assert_non_null(strstr(text, "primary metadata of repository one"));
}

/* What is wrong with this primary; NULL: nothing. */
static char *convert(const struct kiln_buf *xml)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;
        _cleanup_close_ int fd = memfd_create("primary", MFD_CLOEXEC);
        size_t left_out;

        assert_true(fd >= 0);
        assert_int_equal(kiln_fd_write(fd, xml->data, xml->len), 0);
        if (solvcache_convert(fd, "primary.xml", 0, "one", &out, &left_out, &err) == 0)
                return NULL;
        assert_int_equal(err.verdict, KILN_INFRA);
        return kiln_error_format(&err);
}

/* What libsolv's parser would follow by recursion or keep in memory, in whatever disguise. */
static void test_primary_is_looked_at(void **state)
{
        static const char declaration[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
        static const struct {
                const char *before, *repeated;
                int n;
                const char *after, *says; /* NULL: nothing */
        } cases[] = {
                {declaration, "<package/>", 100, "", NULL},
                {"", "", 0, "", NULL},
                {"<?xml version='1.0'?>", "<e name=\"(a or b)\"/>", 100, "", NULL},
                {declaration, "text", 250000, "", NULL},
                {declaration, "text", 300000, "", "larger"},
                {"<e name=\"(a", " or a", 1001, ")\"/>", "chained"},
                {"<e name=\"", "(", 101, "\"/>", "nested"},
                {"<e name=\"", "&#40;", 101, "\"/>", "nested"},
                {"<e name=\"", "&#x0028;", 101, "\"/>", "nested"},
                {"<e name=\"&#40;a", "&#32;or&#x20;a", 501, ")\"/>", "chained"},
                {"<p:e\n x:name\n='", "(", 101, "'/>", "nested"},
                {"<!-- ", "<", 2, "-->", "larger"},
                {"<![CDATA[", "<", 2, "]]>", "larger"},
                {"<?pi ", "<", 2, "?>", "larger"},
                {"<!DOCTYPE m [<!ENTITY e \"((((\">]>", "", 0, "", "larger"},
                {"<?xml version='1.0' encoding='ISO-8859-1'?>", "", 0, "", "encoding"},
                {declaration, "<package\n/>", 1000001, "", "more packages"},
                {declaration, "<package>", 20, "", "primary"},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                _cleanup_buf_ struct kiln_buf xml = KILN_BUF_INIT;
                bool declared = strncmp(cases[i].before, "<?xml", 5) == 0;
                _cleanup_free_ char *text = NULL;

                kiln_buf_printf(&xml, declared ? "%s<metadata>" : "<metadata>%s", cases[i].before);
                for (int k = 0; k < cases[i].n; k++)
                        kiln_buf_puts(&xml, cases[i].repeated);
                kiln_buf_printf(&xml, "%s</metadata>", cases[i].after);
                text = convert(&xml);
                if (!text != !cases[i].says || (text && !strstr(text, cases[i].says)))
                        fail_msg("%zu: %s", i, text ? text : "taken");
        }
        /* Before anything else: a declaration that goes on, and other encodings than the one declared. */
        static const char *const first[] = {"<?xml <a> ?>", "<?pi <a> <b> ?>", "\xfe\xff", "<\0m\0>\0"};
        for (size_t i = 0; i < KILN_ARRAY_SIZE(first); i++) {
                _cleanup_buf_ struct kiln_buf xml = KILN_BUF_INIT;
                _cleanup_free_ char *text = NULL;

                kiln_buf_append(&xml, first[i], i == 3 ? 6 : strlen(first[i]));
                kiln_buf_puts(&xml, "<metadata/>");
                text = convert(&xml);
                assert_non_null(text);
        }
}

/* The .solv file is used (primary is not asked for again) and, when damaged in any place, made anew. */
static void test_solv_cache(void **state)
{
        struct fixture *f = *state;
        _cleanup_target_ struct target t;
        _cleanup_free_ char *dir = kiln_path_join(f->context.cache_dir, "solv"), *store = NULL;
        _cleanup_free_ char *script = NULL;

        target_init(&t, f, 1, "make");
        repo_write_text(t.dirs[0], PACKAGES);
        assert_int_equal(solve(f, &t, "foo", NULL), KILN_OK);
        store = kiln_path_join(f->context.cache_dir, "store");
        kiln_store_close(f->store);
        assert_int_equal(kiln_tree_remove(AT_FDCWD, store), 0);
        fixture_open(f);
        script = kiln_asprintf("mv %s/repodata/primary.xml %s/kept", t.dirs[0], f->dir);
        assert_int_equal(system(script), 0);
        assert_int_equal(solve(f, &t, "foo", NULL), KILN_OK);
        /* Damage: now primary is needed, and it is not there. */
        for (int i = 0; i < 5; i++) {
                _cleanup_free_ char *command =
                        kiln_asprintf("f=$(ls %s/*.solv) && s=$(stat -c %%s $f) && chmod u+w $f && printf "
                                      "'\\xff\\xfe' | dd of=$f bs=1 "
                                      "seek=$((s * %d / 5 + 3)) conv=notrunc status=none",
                                dir, i);

                assert_int_equal(system(command), 0);
                assert_int_equal(solve(f, &t, "foo", NULL), KILN_INFRA);
        }
        free(script);
        script = kiln_asprintf("mv %s/kept %s/repodata/primary.xml", f->dir, t.dirs[0]);
        assert_int_equal(system(script), 0);
        assert_int_equal(solve(f, &t, "foo", NULL), KILN_OK);
        free(script);
        script = kiln_asprintf("truncate -s 10 %s/*.solv", dir);
        assert_int_equal(system(script), 0);
        assert_int_equal(solve(f, &t, "foo", NULL), KILN_OK);
        assert_int_equal(kiln_tree_remove(AT_FDCWD, f->context.cache_dir), 0);
        assert_int_equal(solve(f, &t, "foo", NULL), KILN_INFRA); /* the store's directory is gone */
}

static void sign(struct fixture *f, const char *repo, const char *who, const char *options)
{
        _cleanup_free_ char *script =
                kiln_asprintf("export GNUPGHOME=$PWD/gnupg; gpg -q --batch --yes %s -u %s@example.org -o "
                              "%s/repodata/repomd.xml.asc %s/repodata/repomd.xml; gpgconf --kill all",
                        options, who, repo, repo);

        rpmmake_run(f->dir, script);
}

static void test_repomd_signature(void **state)
{
        struct fixture *f = *state;
        _cleanup_buf_ struct kiln_buf armor = KILN_BUF_INIT;
        _cleanup_target_ struct target t;
        _cleanup_free_ char *path = kiln_path_join(f->dir, "good.asc"), *asc = NULL, *text = NULL;
        size_t index = 0;
        struct kiln_key key = {.name = (char *)"good.asc"};

        rpmmake_key(f->dir, "good");
        rpmmake_key(f->dir, "evil");
        assert_int_equal(kiln_file_read(AT_FDCWD, path, 1 << 20, &armor), 0);
        key.armor = armor.data;
        target_init(&t, f, 1, "make");
        t.toolchain.keys = &key;
        t.toolchain.n_keys = 1;
        t.repositories[0].keys = &index;
        t.repositories[0].n_keys = 1;
        t.repositories[0].check_repomd = true;
        repo_write_text(t.dirs[0], PACKAGES);
        asc = kiln_path_join(t.dirs[0], "repodata/repomd.xml.asc");

        assert_int_equal(solve(f, &t, "foo", &text), KILN_INFRA); /* no signature at all */
        assert_non_null(strstr(text, "repomd.xml.asc"));
        sign(f, t.dirs[0], "evil", "--armor --detach-sign");
        assert_int_equal(solve(f, &t, "foo", &text), KILN_INFRA);
        if (!strstr(text, "a key that is not among the repository's keys"))
                fail_msg("%s", text);
        assert_int_equal(kiln_file_write(AT_FDCWD, asc, "rubbish\n", 8, 0644), 0);
        assert_int_equal(solve(f, &t, "foo", &text), KILN_INFRA);
        sign(f, t.dirs[0], "good", "--armor --textmode --detach-sign"); /* a text signature */
        assert_int_equal(solve(f, &t, "foo", &text), KILN_INFRA);
        sign(f, t.dirs[0], "good", "--armor --detach-sign");
        assert_int_equal(solve(f, &t, "foo", NULL), KILN_OK);
        sign(f, t.dirs[0], "good", "--armor --digest-algo SHA512 --detach-sign");
        assert_int_equal(solve(f, &t, "foo", NULL), KILN_OK);
        sign(f, t.dirs[0], "good",
                "--armor --digest-algo SHA512 --detach-sign -u evil@example.org"); /* both */
        assert_int_equal(solve(f, &t, "foo", NULL), KILN_OK);
        change_file(t.dirs[0], "repomd.xml", "\n");
        assert_int_equal(solve(f, &t, "foo", &text), KILN_INFRA);
        assert_non_null(strstr(text, "not a good signature"));
}

static void write_metalink(struct fixture *f, const char *digest, const char *const *dirs, const char *name)
{
        _cleanup_buf_ struct kiln_buf xml = KILN_BUF_INIT;
        _cleanup_free_ char *path = kiln_path_join(f->dir, name);

        kiln_buf_printf(&xml,
                "<?xml version=\"1.0\"?><metalink version=\"3.0\" "
                "xmlns=\"http://www.metalinker.org/\"><files>"
                "<file name=\"repomd.xml\"><verification><hash type=\"md5\">x</hash>"
                "<hash type=\"sha256\">%s</hash></verification><resources>",
                digest);
        for (int i = 0; dirs[i]; i++)
                kiln_buf_printf(&xml,
                        "<url protocol=\"file\" preference=\"%d\">file://%s/repodata/repomd.xml</url>"
                        "<url protocol=\"rsync\">rsync://x/repodata/repomd.xml</url>",
                        100 - i, dirs[i]);
        kiln_buf_puts(&xml, "</resources></file></files></metalink>");
        assert_int_equal(kiln_file_write(AT_FDCWD, path, xml.data, xml.len, 0644), 0);
}

/* The best mirror is out of date, the next is not. */
static void test_metalink(void **state)
{
        struct fixture *f = *state;
        _cleanup_target_ struct target t;
        _cleanup_buf_ struct kiln_buf repomd = KILN_BUF_INIT;
        _cleanup_free_ char *path = NULL, *url = kiln_asprintf("file://%s/metalink", f->dir), *text = NULL;
        char hex[KILN_DIGEST_HEX + 1];
        struct kiln_digest d;

        target_init(&t, f, 2, "make");
        repo_write_text(t.dirs[0], "=Pkg: foo 0-0 x86_64\n");
        repo_write_text(t.dirs[1], PACKAGES);
        path = kiln_path_join(t.dirs[1], "repodata/repomd.xml");
        assert_int_equal(kiln_file_read(AT_FDCWD, path, 1 << 20, &repomd), 0);
        d = kiln_digest_of(repomd.data, repomd.len);
        kiln_digest_to_hex(&d, hex);
        write_metalink(f, hex, (const char *const[]){t.dirs[0], t.dirs[1], NULL}, "metalink");
        t.toolchain.n_repositories = 1;
        t.repositories[0].base_urls = NULL;
        t.repositories[0].metalink = url;
        assert_int_equal(solve(f, &t, "foo", NULL), KILN_OK);
        hex[0] = hex[0] == '0' ? '1' : '0';
        write_metalink(f, hex, (const char *const[]){t.dirs[0], t.dirs[1], NULL}, "metalink");
        assert_int_equal(solve(f, &t, "foo", &text), KILN_INFRA);
        assert_non_null(strstr(text, "not one of the metalink's"));
        /* A mirror list has no digests. */
        free(path);
        free(text);
        text = kiln_asprintf("# comment\nrsync://x/y\nfile://%s\n", t.dirs[1]);
        path = kiln_path_join(f->dir, "mirrorlist");
        assert_int_equal(kiln_file_write(AT_FDCWD, path, text, strlen(text), 0644), 0);
        t.repositories[0].metalink = NULL;
        free(path);
        path = kiln_asprintf("file://%s/mirrorlist", f->dir);
        t.repositories[0].mirrorlist = path;
        assert_int_equal(solve(f, &t, "foo", NULL), KILN_OK);
}

/* Offline: what a run before has verified is used, and nothing else. */
static void test_offline(void **state)
{
        struct fixture *f = *state;
        _cleanup_target_ struct target t;
        _cleanup_free_ char *text = NULL;
        char *saved, *http[] = {(char *)"http://127.0.0.1:1/none", NULL};

        target_init(&t, f, 1, "make");
        repo_write_text(t.dirs[0], PACKAGES);
        f->context.offline = true;
        assert_int_equal(solve(f, &t, "foo", NULL), KILN_OK); /* file:// is no network */
        t.repositories[0].base_urls = http;
        assert_int_equal(solve(f, &t, "foo", &text), KILN_REFUSED);
        assert_non_null(strstr(text, "offline"));
        saved = t.urls[0][0];
        (void)saved;
}

/* ---- the parsers */

#define REPOMD(data) "<repomd>" data "</repomd>"
#define PRIMARY(checksum, rest) "<data type=\"primary\">" checksum rest "</data>"
#define SHA                                                                                                  \
        "<checksum "                                                                                         \
        "type=\"sha256\">aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa</checksum>"
#define LOC "<location href=\"repodata/p.xml.gz\"/>"

static void test_repomd_parser(void **state)
{
        static const char *const bad[] = {
                "",
                "<repomd>",
                "<other/>",
                REPOMD(""),
                REPOMD(PRIMARY("", LOC)),
                REPOMD(PRIMARY(SHA, "")),
                REPOMD(PRIMARY(SHA, "<location href=\"../p\"/>")),
                REPOMD(PRIMARY(SHA, "<location href=\"/etc/passwd\"/>")),
                REPOMD(PRIMARY(SHA, "<location xml:base=\"http://x/\" href=\"p\"/>")),
                REPOMD(PRIMARY(SHA, "<location href=\"a b\"/>")),
                REPOMD(PRIMARY("<checksum type=\"md5\">aa</checksum>", LOC)),
                REPOMD(PRIMARY("<checksum type=\"sha256\">aa</checksum>", LOC)),
                REPOMD(PRIMARY(SHA, LOC "<size>-1</size>")),
                REPOMD(PRIMARY(SHA, LOC "<size>99999999999999999999999</size>")),
                REPOMD(PRIMARY(SHA, LOC "<open-size>x</open-size>")),
                REPOMD(PRIMARY(SHA, LOC) PRIMARY(SHA, LOC)),
                "<!DOCTYPE r [<!ENTITY a \"b\">]>" REPOMD(PRIMARY(SHA, LOC)),
                REPOMD(PRIMARY(SHA, LOC)) "x",
        };
        static const char good[] =
                REPOMD("<data type=\"other\"><checksum type=\"md5\">x</checksum></data>" PRIMARY(
                        SHA, LOC "<size> 12 </size><open-size>34</open-size>"));
        struct kiln_repomd r;

        assert_int_equal(kiln_repomd_parse(good, strlen(good), "x", &r, NULL), 0);
        assert_string_equal(r.primary.location, "repodata/p.xml.gz");
        assert_int_equal(r.primary.size_bytes, 12);
        assert_int_equal(r.primary.open_size_bytes, 34);
        assert_null(r.filelists.location);
        kiln_repomd_clear(&r);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(bad); i++)
                if (kiln_repomd_parse(bad[i], strlen(bad[i]), "x", &r, NULL) == 0)
                        fail_msg("accepted: %s", bad[i]);
}

static void test_metalink_parser(void **state)
{
        static const char *const bad[] = {"", "<metalink/>",
                "<metalink><files><file name=\"repomd.xml\"/></files></metalink>",
                "<metalink><files><file "
                "name=\"repomd.xml\"><url>http://x/repodata/repomd.xml</url></file></files></metalink>",
                "<metalink><files><file name=\"repomd.xml\"><hash "
                "type=\"sha256\">aaaa</hash></file></files></metalink>"};
        struct kiln_metalink m;
        char **list;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(bad); i++)
                if (kiln_metalink_parse(bad[i], strlen(bad[i]), "x", &m, NULL) == 0)
                        fail_msg("accepted: %s", bad[i]);
        static const char text[] =
                "# one\r\nhttp://a/b/ \r\nftp://c\nfile:///d//\n\n  \nhttps://e f\nhttps://g";
        list = kiln_mirrorlist_parse(text, strlen(text));
        assert_int_equal(kiln_strv_length(list), 3);
        assert_string_equal(list[0], "http://a/b");
        assert_string_equal(list[1], "file:///d");
        assert_string_equal(list[2], "https://g");
        kiln_strv_free(list);
}

/* Packages that cannot be used are left out, the rest is. */
static void test_unusable_packages(void **state)
{
        struct fixture *f = *state;
        _cleanup_target_ struct target t;

        target_init(&t, f, 1, "make");
        repo_write_text(t.dirs[0],
                PACKAGES "=Pkg: foo 9-9 x86_64\n=Loc: ../../etc/passwd\n=Pkg: foo 8-8 x86_64\n=Loc: /abs\n");
        assert_int_equal(solve(f, &t, "foo = 1", NULL), KILN_OK);
        assert_int_equal(solve(f, &t, "foo >= 8", NULL), KILN_BAD_INPUT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(test_compressions),
                T(test_bounded_decompression),
                T(test_changed_primary),
                T(test_primary_is_looked_at),
                T(test_solv_cache),
                T(test_repomd_signature),
                T(test_metalink),
                T(test_offline),
                T(test_repomd_parser),
                T(test_metalink_parser),
                T(test_unusable_packages),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
