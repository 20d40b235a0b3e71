/* Two RPMs: the levels, every kind of difference with both values, payloads of every compression read in the
 * sandbox, and what hostile files get. */
#include "tests/unit/rpmmake.h"
#include "worker/verify/compare/private.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/stat.h>

/* What the options may change: pairwise, everything else is the same bytes. */
static const char spec[] =
        "Name: pair\nVersion: 1\nRelease: 1\nLicense: MIT\n"
        "Summary: %{?summary}%{!?summary:Two of a kind}\nBuildArch: noarch\n%description\nx\n"
        "%install\nmkdir -p %{buildroot}/d\ncd %{buildroot}/d\n"
        "printf 'one\\n%{?second}%{!?second:two}\\nthree\\n' >text\n"
        "printf same >same\nln -s %{?to}%{!?to:same} link\nhead -c 300000 /dev/zero >zeros\n"
        "%{?more:echo more >more}\n"
        "touch -hd @1500000000 text link zeros %{?more:more}\n"
        "touch -d @%{?time}%{!?time:1500000000} same\ntouch -d @1500000000 .\n"
        "%files\n%dir /d\n/d/text\n/d/link\n/d/zeros\n%{?more:/d/more}\n"
        "%attr(%{?mode}%{!?mode:0644},%{?owner}%{!?owner:root},%{?owner}%{!?owner:root}) "
        "%{?capability:%caps(%{capability})} %{?flag} /d/same\n"
        "%changelog\n* Mon Jan 02 2023 A <a@example.org> - 1-1\n- x\n";

/* Under AddressSanitizer as everywhere: memory that cannot be had is a null pointer, for libarchive to see.
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
        return "allocator_may_return_null=1";
}

static char *dir;
static struct kiln_context context = {.cancel_fd = -1};

static void make(const char *file, const char *options)
{
        _cleanup_free_ char *all =
                kiln_asprintf("--nodeps --define 'source_date_epoch_from_changelog 1' --define "
                              "'use_source_date_epoch_as_buildtime 1' --define '_buildhost here' "
                              "--define '_binary_payload w1.gzdio' %s",
                        options);
        _cleanup_free_ char *move = kiln_asprintf("mv pair-1-1.noarch.rpm %s; rm -f pair-1-1.src.rpm", file);

        rpmmake_build(dir, spec, all);
        rpmmake_run(dir, move);
}

static int setup(void **state)
{
        dir = rpmmake_dir();
        context.cache_dir = dir;
        make("a.rpm", "");
        rpmmake_key(dir, "signer");
        rpmmake_run(dir, "cp a.rpm again.rpm; cp a.rpm signed.rpm");
        rpmmake_sign(dir, "signer", "signed.rpm");
        return 0;
}

static int teardown(void **state)
{
        rpmmake_free(dir);
        return 0;
}

static struct kiln_compare_report *compare(const char *a, const char *b, const struct kiln_compare_options *o)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_free_ char *left = kiln_path_join(dir, a), *right = kiln_path_join(dir, b);
        struct kiln_compare_report *r = NULL;

        if (kiln_compare_paths(&context, left, right, o, &r, &err) < 0) {
                _cleanup_free_ char *text = kiln_error_format(&err);

                fail_msg("%s", text);
        }
        assert_int_equal(r->n_pairs, 1);
        return r;
}

/* Starts with "=": the whole of it; otherwise a part. "-": not there on this side. */
static bool value_is(const char *value, const char *wanted)
{
        if (strcmp(wanted, "-") == 0)
                return value == NULL;
        return value && (wanted[0] == '=' ? strcmp(value, wanted + 1) == 0 : strstr(value, wanted) != NULL);
}

static const struct kiln_difference *find(const struct kiln_comparison *c, enum kiln_difference_kind kind,
        const char *subject, const char *aspect)
{
        for (size_t i = 0; i < c->n_differences; i++) {
                const struct kiln_difference *d = &c->differences[i];

                if (d->kind == kind && strcmp(d->subject, subject) == 0 &&
                        strncmp(d->aspect, aspect, strlen(aspect)) == 0)
                        return d;
        }
        return NULL;
}

static void expect(const struct kiln_compare_report *r, enum kiln_difference_kind kind, const char *subject,
        const char *aspect, const char *a, const char *b)
{
        const struct kiln_difference *d = find(&r->pairs[0], kind, subject, aspect);

        if (!d || !value_is(d->a, a) || !value_is(d->b, b))
                fail_msg("%s %s %s: wanted <%s> and <%s>, got <%s> and <%s>", kiln_difference_kind_name(kind),
                        subject, aspect, a, b, d ? (d->a ? d->a : "-") : "nothing",
                        d ? (d->b ? d->b : "-") : "nothing");
}

static void test_same_file(void **state)
{
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *r =
                compare("a.rpm", "again.rpm", NULL);

        assert_int_equal(r->level, KILN_SAME_FILE);
        assert_false(r->differs);
        assert_int_equal(r->pairs[0].n_differences, 0);
        assert_string_equal(r->pairs[0].name, "pair.noarch");
        assert_null(r->pairs[0].ignored);
}

static void test_signature_only(void **state)
{
        static const struct kiln_compare_options ignore = {.ignore_signature = true};
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *r = compare(
                                                                                "a.rpm", "signed.rpm", NULL),
                                                                        *s = compare("a.rpm", "signed.rpm",
                                                                                &ignore);

        assert_int_equal(r->level, KILN_SAME_CONTENT);
        assert_true(r->differs);
        expect(r, KILN_DIFFERENCE_SIGNATURE, "Dsaheader", "", "-", "");
        for (size_t i = 0; i < r->pairs[0].n_differences; i++)
                assert_int_equal(r->pairs[0].differences[i].kind, KILN_DIFFERENCE_SIGNATURE);

        assert_int_equal(s->level, KILN_SAME_CONTENT);
        assert_false(s->differs);
        assert_int_equal(s->pairs[0].n_differences, 0);
        assert_int_equal(kiln_strv_length(s->pairs[0].ignored), 1);
        assert_non_null(strstr(s->pairs[0].ignored[0], "signature header"));
}

static void test_header_only(void **state)
{
        static const struct kiln_compare_options ignore = {.ignore_signature = true};

        make("b.rpm", "--define 'summary Another' --define '_buildhost elsewhere'");
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *r =
                compare("a.rpm", "b.rpm", &ignore);

        assert_int_equal(r->level, KILN_SAME_PAYLOAD);
        assert_true(r->differs);
        expect(r, KILN_DIFFERENCE_HEADER, "Buildhost", "", "=here", "=elsewhere");
        expect(r, KILN_DIFFERENCE_HEADER, "Summary", "", "=Two of a kind", "=Another");
        for (size_t i = 0; i < r->pairs[0].n_differences; i++)
                assert_int_equal(r->pairs[0].differences[i].kind, KILN_DIFFERENCE_HEADER);
}

static void test_file_attributes(void **state)
{
        make("b.rpm",
                "--define 'mode 0600' --define 'owner daemon' --define 'to text' --define 'time 1400000000' "
                "--define 'capability cap_net_raw=p' --define 'flag %config(noreplace)' --define 'more 1'");
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *r = compare("a.rpm", "b.rpm", NULL);

        assert_int_equal(r->level, KILN_DIFFERENT);
        expect(r, KILN_DIFFERENCE_FILE_META, "/d/same", "mode", "=100644", "=100600");
        expect(r, KILN_DIFFERENCE_FILE_META, "/d/same", "owner", "=root", "=daemon");
        expect(r, KILN_DIFFERENCE_FILE_META, "/d/same", "group", "=root", "=daemon");
        expect(r, KILN_DIFFERENCE_FILE_META, "/d/same", "mtime", "=1500000000 (2017-07-14T02:40:00Z)",
                "=1400000000 (2014-05-13T16:53:20Z)");
        expect(r, KILN_DIFFERENCE_FILE_META, "/d/same", "capability", "=", "cap_net_raw");
        expect(r, KILN_DIFFERENCE_FILE_META, "/d/same", "flags", "=", "=config,noreplace");
        expect(r, KILN_DIFFERENCE_FILE_META, "/d/link", "link target", "=same", "=text");
        expect(r, KILN_DIFFERENCE_FILE_MISSING, "/d/more", "", "-", "size 5");
        /* What the header says already is not said again of the payload, and nothing else differs. */
        for (size_t i = 0; i < r->pairs[0].n_differences; i++) {
                assert_null(strstr(r->pairs[0].differences[i].aspect, "payload"));
                assert_int_not_equal(r->pairs[0].differences[i].kind, KILN_DIFFERENCE_FILE_CONTENT);
                assert_int_not_equal(r->pairs[0].differences[i].kind, KILN_DIFFERENCE_PAYLOAD);
                assert_string_not_equal(r->pairs[0].differences[i].subject, "Basenames");
        }
}

static void test_file_content(void **state)
{
        make("b.rpm", "--define 'second 2'");
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *r = compare("a.rpm", "b.rpm", NULL);

        expect(r, KILN_DIFFERENCE_FILE_META, "/d/text", "size", "=14", "=12");
        expect(r, KILN_DIFFERENCE_FILE_META, "/d/text", "digest", "", "");
        expect(r, KILN_DIFFERENCE_FILE_CONTENT, "/d/text", "line 2", "=two", "=2");
}

/* One content, all ways rpm packs it: the files are the same, and the difference has a name. */
static void test_compressions(void **state)
{
        static const char *const payloads[] = {
                "w.ufdio", "w9.gzdio", "w9.bzdio", "w2.xzdio", "w2.lzdio", "w3.zstdio"};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(payloads); i++) {
                _cleanup_free_ char *options = kiln_asprintf("--define '_binary_payload %s'", payloads[i]);

                make("b.rpm", options);
                _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *r =
                        compare("a.rpm", "b.rpm", NULL);

                assert_int_equal(r->level, KILN_DIFFERENT);
                expect(r, KILN_DIFFERENCE_PAYLOAD, "stored bytes", "byte ", "", "");
                assert_non_null(
                        strstr(find(&r->pairs[0], KILN_DIFFERENCE_PAYLOAD, "stored bytes", "")->detail,
                                "all files are the same"));
                assert_null(find(&r->pairs[0], KILN_DIFFERENCE_FILE_CONTENT, "/d/zeros", ""));
        }
}

/* Of an uncompressed payload, changed behind the header's back. `python` gets the payload as p and leaves it
 * there. */
static void tamper(const char *file, const char *python)
{
        _cleanup_free_ char *script =
                kiln_asprintf("cat >tamper.py <<'END'\nimport re\nd = open('plain.rpm', 'rb').read()\nat = "
                              "d.index(b'070701')\n"
                              "p = d[at:]\n%s\nopen('%s', 'wb').write(d[:at] + p)\nEND\npython3 tamper.py",
                        python, file);

        make("plain.rpm", "--define '_binary_payload w.ufdio'");
        rpmmake_run(dir, script);
}

static void test_tampered_content(void **state)
{
        tamper("b.rpm", "p = p.replace(b'one\\ntwo', b'one\\ntwx')");
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *r =
                compare("plain.rpm", "b.rpm", NULL);

        /* The headers are the same bytes and say that the file is the same: the payloads are compared all the
         * same. */
        assert_int_equal(r->level, KILN_DIFFERENT);
        assert_int_equal(r->pairs[0].n_differences, 1);
        expect(r, KILN_DIFFERENCE_FILE_CONTENT, "/d/text", "byte 6", "=6f 0a 74 68 72 65 65 0a",
                "=78 0a 74 68 72 65 65 0a");
}

static void test_tampered_entries(void **state)
{
        /* The mode of /d/text: eight hex digits, 14 bytes into its entry. */
        tamper("b.rpm", "i = p.index(b'./d/text') - 110\n"
                        "p = p[:i + 14] + b'000089ed' + p[i + 22:]");
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *r =
                compare("plain.rpm", "b.rpm", NULL);

        assert_int_equal(r->pairs[0].n_differences, 1);
        expect(r, KILN_DIFFERENCE_FILE_META, "/d/text", "payload mode", "=100644", "=104755");
}

/* cpio entries as a list: (name, bytes). */
#define ENTRIES                                                                                              \
        "e = []\nwhile p:\n n = int(p[94:102], 16); s = int(p[54:62], 16)\n h = (110 + n + 3) // 4 * 4\n"    \
        " t = h + (s + 3) // 4 * 4\n e.append((p[110:110 + n - 1], p[:t])); p = p[t:]\n"                     \
        " if e[-1][0] == b'TRAILER!!!': break\n"

static void test_order(void **state)
{
        tamper("b.rpm", ENTRIES "p = b''.join(b for _, b in e[-2::-1] + e[-1:])");
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *r = compare(
                                                                                "plain.rpm", "b.rpm", NULL),
                                                                        *s = NULL;

        assert_int_equal(r->pairs[0].n_differences, 1);
        expect(r, KILN_DIFFERENCE_PAYLOAD, "order", "", "=/d", "=/d/zeros");

        /* Content is compared in any order. */
        tamper("c.rpm", ENTRIES "p = b''.join(b for _, b in e[-2::-1] + e[-1:]).replace(b'two', b'twx')");
        s = compare("plain.rpm", "c.rpm", NULL);
        assert_int_equal(s->pairs[0].n_differences, 2);
        expect(s, KILN_DIFFERENCE_FILE_CONTENT, "/d/text", "byte 6", "", "");
}

static void test_stray_entries(void **state)
{
        tamper("b.rpm", ENTRIES "p = b''.join(b for n, b in e if n != b'./d/same')");
        tamper("c.rpm", ENTRIES "p = b''.join(b.replace(b'./d/same', b'./d/evil') for n, b in e)");
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *r = compare(
                                                                                "plain.rpm", "b.rpm", NULL),
                                                                        *s = compare(
                                                                                "plain.rpm", "c.rpm", NULL);

        expect(r, KILN_DIFFERENCE_FILE_MISSING, "/d/same", "", "=in the payload", "-");
        expect(s, KILN_DIFFERENCE_FILE_MISSING, "/d/same", "", "=in the payload", "-");
        expect(s, KILN_DIFFERENCE_FILE_MISSING, "/d/evil", "", "-", "=in the payload");
}

static void test_damaged_payload(void **state)
{
        rpmmake_run(dir, "head -c -200 a.rpm >b.rpm");
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *r = compare("a.rpm", "b.rpm", NULL);

        assert_int_equal(r->level, KILN_DIFFERENT);
        expect(r, KILN_DIFFERENCE_PAYLOAD, "unreadable", "", "=readable", "");
}

/* A name of 4 GB: whoever made room for it first would be in trouble. */
static void test_claims(void **state)
{
        tamper("b.rpm", "p = p[:94] + b'f0000000' + p[102:]");
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *r =
                compare("plain.rpm", "b.rpm", NULL);

        expect(r, KILN_DIFFERENCE_PAYLOAD, "unreadable", "", "=readable", "");
}

static void test_shallow(void **state)
{
        static const struct kiln_compare_options shallow = {.shallow = true};

        make("b.rpm", "--define 'second 2'");
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *r =
                compare("a.rpm", "b.rpm", &shallow);

        expect(r, KILN_DIFFERENCE_PAYLOAD, "stored bytes", "byte ", "", "");
        expect(r, KILN_DIFFERENCE_FILE_META, "/d/text", "size", "=14", "=12");
        assert_null(find(&r->pairs[0], KILN_DIFFERENCE_FILE_CONTENT, "/d/text", ""));
}

static void test_clean_and_bounded(void **state)
{
        make("b.rpm", "--define \"summary $(printf 'x\\033]0;title\\007y%0600d' 1)\"");
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *r = compare("a.rpm", "b.rpm", NULL);
        const struct kiln_difference *d = find(&r->pairs[0], KILN_DIFFERENCE_HEADER, "Summary", "");

        assert_non_null(d);
        assert_null(strchr(d->b, '\033'));
        assert_true(strlen(d->b) <= KILN_COMPARE_TEXT_BYTES);
}

static void test_json(void **state)
{
        make("b.rpm", "--define 'more 1'");
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *r = compare("a.rpm", "b.rpm", NULL);
        _cleanup_json_ json_t *j = kiln_compare_report_json(r);
        const json_t *pair = json_array_get(json_object_get(j, "pairs"), 0), *d;
        size_t i, missing = 0;

        assert_string_equal(json_string_value(json_object_get(j, "level")), "different");
        assert_true(json_is_true(json_object_get(j, "differs")));
        assert_int_equal(json_array_size(json_object_get(pair, "differences")), r->pairs[0].n_differences);
        json_array_foreach(json_object_get(pair, "differences"), i, d) missing +=
                strcmp(json_string_value(json_object_get(d, "kind")), "file-missing") == 0 &&
                json_is_null(json_object_get(d, "a")) && json_is_string(json_object_get(d, "b"));
        assert_int_equal(missing, 1);
}

/* Two files of envelopes; the first is always the same. Returns the level; *differs. */
static enum kiln_compare_level envelopes(const char *python, bool ignore, bool *differs)
{
        const struct kiln_compare_options o = {.ignore_signature = ignore};
        _cleanup_free_ char *script = kiln_asprintf(
                "cat >env.py <<'END'\nimport base64, json\n"
                "def c(j): return json.dumps(j, sort_keys=True, separators=(',', ':'))\n"
                "s = [{'predicateType': t, 'predicate': {'buildDefinition': 1, 'runDetails': 1}, 'subject': "
                "[{'digest': {'sha256': 'x', 'rpmHeaderSha256': 'h'}}]} for t in "
                "('https://slsa.dev/provenance/v1', 't')]\n"
                "def e(j): return {'payload': base64.b64encode(c(j).encode()).decode(), 'payloadType': 'p', "
                "'signatures': [{'sig': 's' + c(j)}]}\n"
                "def w(n, l): open(n, 'w').write(''.join(x + '\\n' for x in l))\n"
                "w('env.a', [c(e(j)) for j in s])\nl = [e(j) for j in s]\n%s\nEND\npython3 env.py",
                python);
        struct kiln_comparison c = {.name = kiln_strdup("x")};
        enum kiln_compare_level level;

        rpmmake_run(dir, script);
        _cleanup_close_ int a = rpmmake_open(dir, "env.a"), b = rpmmake_open(dir, "env.b");
        assert_int_equal(compare_documents(COMPARE_ENVELOPES, a, b, &o, &c, NULL), 0);
        level = c.level;
        *differs = c.differs;
        if (!c.differs && level != KILN_SAME_FILE) /* what was set aside is said */
                assert_non_null(c.ignored);
        compare_clear(&c);
        return level;
}

static void test_envelopes(void **state)
{
        static const struct {
                const char *python;
                enum kiln_compare_level level, ignoring;
                bool differs, differs_ignoring;
        } cases[] = {
                {"w('env.b', map(c, l))", KILN_SAME_FILE, KILN_SAME_FILE, false, false},
                {"s[0]['predicate']['runDetails'] = 2; w('env.b', map(c, map(e, s)))", KILN_SAME_CONTENT,
                        KILN_SAME_CONTENT, false, false},
                /* Of another predicate it is no detail of the run. */
                {"s[1]['predicate']['runDetails'] = 2; w('env.b', map(c, map(e, s)))", KILN_DIFFERENT,
                        KILN_DIFFERENT, true, true},
                {"s[0]['predicate']['buildDefinition'] = 2; w('env.b', map(c, map(e, s)))", KILN_DIFFERENT,
                        KILN_DIFFERENT, true, true},
                {"l[0]['signatures'][0]['sig'] = 'z'; w('env.b', map(c, l))", KILN_SAME_CONTENT,
                        KILN_SAME_CONTENT, true, false},
                {"s[0]['subject'][0]['digest']['sha256'] = 'y'; w('env.b', map(c, map(e, s)))",
                        KILN_DIFFERENT, KILN_SAME_CONTENT, true, false},
                {"s[0]['subject'][0]['digest']['rpmHeaderSha256'] = 'y'; w('env.b', map(c, map(e, s)))",
                        KILN_DIFFERENT, KILN_DIFFERENT, true, true},
                {"l[0]['payloadType'] = 'q'; w('env.b', map(c, l))", KILN_DIFFERENT, KILN_DIFFERENT, true,
                        true},
                {"l[0]['more'] = 1; w('env.b', map(c, l))", KILN_DIFFERENT, KILN_DIFFERENT, true, true},
                {"w('env.b', map(json.dumps, l))", KILN_DIFFERENT, KILN_DIFFERENT, true, true},
                {"w('env.b', map(c, l[::-1]))", KILN_DIFFERENT, KILN_DIFFERENT, true, true},
                {"w('env.b', map(c, l[:1]))", KILN_DIFFERENT, KILN_DIFFERENT, true, true},
                {"l[0]['payload'] = base64.b64encode(json.dumps(s[0]).encode()).decode(); w('env.b', map(c, "
                 "l))",
                        KILN_DIFFERENT, KILN_DIFFERENT, true, true},
                {"w('env.b', ['nonsense'])", KILN_DIFFERENT, KILN_DIFFERENT, true, true},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                bool differs, differs_ignoring;
                enum kiln_compare_level level = envelopes(cases[i].python, false, &differs),
                                        ignoring = envelopes(cases[i].python, true, &differs_ignoring);

                if (level != cases[i].level || ignoring != cases[i].ignoring || differs != cases[i].differs ||
                        differs_ignoring != cases[i].differs_ignoring)
                        fail_msg("%s: %s %d, ignoring signatures %s %d", cases[i].python,
                                kiln_compare_level_name(level), differs, kiln_compare_level_name(ignoring),
                                differs_ignoring);
        }
}

/* ---- hostile --------------------------------------------------------------------------------- */

static void test_not_an_rpm(void **state)
{
        static const char *const files[] = {"text", "short.rpm", "overlap.rpm"};

        rpmmake_run(dir, "echo hello >text; head -c 500 a.rpm >short.rpm");
        /* Every entry of the header claims the value of the first: each in bounds, together more than there
         * is. */
        rpmmake_run(dir, "cat >overlap.py <<'END'\n"
                         "import struct\nd = bytearray(open('a.rpm', 'rb').read())\n"
                         "at = d.index(b'\\x8e\\xad\\xe8\\x01', 100)\n"
                         "n, size = struct.unpack('>II', d[at + 8:at + 16])\n"
                         "for i in range(1, n):\n"
                         " d[at + 16 * i + 20:at + 16 * i + 32] = struct.pack('>III', 7, 0, size)\n"
                         "open('overlap.rpm', 'wb').write(d)\nEND\npython3 overlap.py");
        for (size_t i = 0; i < KILN_ARRAY_SIZE(files); i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                _cleanup_free_ char *a = kiln_path_join(dir, "a.rpm"), *b = kiln_path_join(dir, files[i]);
                struct kiln_compare_report *r = NULL;

                assert_true(kiln_compare_paths(&context, a, b, NULL, &r, &err) < 0);
                assert_int_equal(err.verdict, KILN_BAD_INPUT);
                assert_null(r);
        }
}

static void test_output_of_the_sandbox(void **state)
{
        static const struct {
                const char *text;
                bool fine;
        } cases[] = {
                {"{\"cut\":0,\"end\":0}\n", true},
                {"{\"a\":\"1\",\"aspect\":\"x\",\"b\":null,\"detail\":\"\",\"kind\":\"file-content\","
                 "\"subject\":\"/x\"}\n"
                 "{\"cut\":3,\"end\":0}\n",
                        true},
                {"", false},
                {"{\"cut\":0,\"end\":0}", false},
                {"{\"cut\":0,\"end\":0}\n{\"cut\":0,\"end\":0}\n", false},
                {"{\"cut\":-1,\"end\":0}\n", false},
                {"{\"cut\":0,\"end\":5}\n", false},
                {"[]\n{\"cut\":0,\"end\":0}\n", false},
                /* Inside, nobody knows of headers. */
                {"{\"a\":\"1\",\"aspect\":\"\",\"b\":null,\"detail\":\"\",\"kind\":\"header\",\"subject\":"
                 "\"Name\"}\n"
                 "{\"cut\":0,\"end\":0}\n",
                        false},
                {"{\"a\":1,\"aspect\":\"\",\"b\":null,\"detail\":\"\",\"kind\":\"payload\",\"subject\":\"x\"}"
                 "\n"
                 "{\"cut\":0,\"end\":0}\n",
                        false},
                {"{\"aspect\":\"\",\"b\":null,\"detail\":\"\",\"kind\":\"payload\",\"subject\":\"x\"}\n"
                 "{\"cut\":0,\"end\":0}\n",
                        false},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                struct kiln_comparison c = {0};
                int r = compare_output_read(cases[i].text, strlen(cases[i].text), "x.rpm", &c, &err);

                assert_int_equal(r == 0, cases[i].fine);
                assert_int_equal(err.verdict != KILN_OK, !cases[i].fine);
                compare_clear(&c);
        }
}

static void test_many_differences(void **state)
{
        struct kiln_comparison c = {0};

        for (int i = 0; i < KILN_COMPARE_DIFFERENCES_MAX + 7; i++)
                compare_add(&c, KILN_DIFFERENCE_HEADER, "Name", "", "a", "b", NULL);
        assert_int_equal(c.n_differences, KILN_COMPARE_DIFFERENCES_MAX);
        assert_int_equal(c.cut, 7);
        compare_clear(&c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_same_file),
                cmocka_unit_test(test_signature_only),
                cmocka_unit_test(test_header_only),
                cmocka_unit_test(test_file_attributes),
                cmocka_unit_test(test_file_content),
                cmocka_unit_test(test_compressions),
                cmocka_unit_test(test_tampered_content),
                cmocka_unit_test(test_tampered_entries),
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_stray_entries),
                cmocka_unit_test(test_damaged_payload),
                cmocka_unit_test(test_claims),
                cmocka_unit_test(test_shallow),
                cmocka_unit_test(test_clean_and_bounded),
                cmocka_unit_test(test_json),
                cmocka_unit_test(test_envelopes),
                cmocka_unit_test(test_not_an_rpm),
                cmocka_unit_test(test_output_of_the_sandbox),
                cmocka_unit_test(test_many_differences),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
