/* report.html: whatever the result says, the page is well-formed, holds no markup of others, and fetches
 * nothing. tests/judges/report looks at the same page in a browser. */
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/pipeline/report/html.h"
#include "worker/pipeline/report/report.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static json_t *read_json(const char *name)
{
        _cleanup_free_ char *path = kiln_asprintf("%s/tests/data/report/%s", getenv("KILN_TREE"), name);
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
        json_t *j = NULL;

        assert_int_equal(kiln_file_read(AT_FDCWD, path, 1 << 24, &b), 0);
        assert_int_equal(kiln_json_parse(kiln_buf_str(&b), b.len, name, &j, NULL), 0);
        return j;
}

static bool is_void(const char *name, size_t n)
{
        static const char *const voids[] = {"meta", "br", "!DOCTYPE"};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(voids); i++)
                if (strlen(voids[i]) == n && memcmp(voids[i], name, n) == 0)
                        return true;
        return false;
}

/* Every element is closed in order, and is one that this page uses: nothing from outside became markup. */
static void check_markup(const char *html)
{
        static const char *const known[] = {"!DOCTYPE", "html", "head", "meta", "title", "style", "body",
                "header", "main", "section", "h1", "h2", "h3", "p", "span", "strong", "code", "pre", "dl",
                "dt", "dd", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "div", "details",
                "summary", "svg", "g", "rect", "line", "text", "br"};
        struct {
                const char *name;
                size_t n;
        } stack[64];
        size_t depth = 0;

        for (const char *p = html; (p = strchr(p, '<')); p++) {
                bool closing = p[1] == '/';
                const char *name = p + 1 + closing, *end = strchr(p, '>');
                size_t n = strcspn(name, " />");
                bool found = false;

                assert_non_null(end);
                for (size_t i = 0; i < KILN_ARRAY_SIZE(known); i++)
                        found |= strlen(known[i]) == n && memcmp(known[i], name, n) == 0;
                if (!found)
                        fail_msg("unknown element at: %.60s", p);
                if (closing) {
                        assert_true(depth > 0);
                        depth--;
                        if (stack[depth].n != n || memcmp(stack[depth].name, name, n) != 0)
                                fail_msg("closed out of order: %.60s", p);
                } else if (end[-1] != '/' && !is_void(name, n)) {
                        assert_true(depth < KILN_ARRAY_SIZE(stack));
                        stack[depth].name = name;
                        stack[depth++].n = n;
                }
                /* No event handler, no reference to anything. */
                for (const char *q = p; q < end; q++) {
                        assert_true(strncmp(q, " on", 3) != 0);
                        assert_true(strncmp(q, "href", 4) != 0 && strncmp(q, " src", 4) != 0);
                }
                p = end;
        }
        assert_int_equal(depth, 0);
}

static void write_page(const char *result_name, const char *lock_name, const char *log, struct kiln_buf *out)
{
        _cleanup_json_ json_t *result = read_json(result_name),
                              *lock = lock_name ? read_json(lock_name) : NULL;

        assert_int_equal(kiln_report_write(result, lock, NULL, log, out), 0);
        check_markup(kiln_buf_str(out));
        assert_non_null(strstr(out->data, "Content-Security-Policy"));
        assert_null(strstr(out->data, "url("));
}

static void test_good_build(void **state)
{
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT, again = KILN_BUF_INIT;

        write_page("good.json", "lock.json", "checking for gcc... gcc\n", &out);
        assert_non_null(strstr(out.data, "<h1>sed-4.9-3.fc43</h1>"));
        assert_non_null(strstr(out.data, "sha256sum -c"));
        assert_non_null(strstr(out.data, "sed-4.9-3.fc43.x86_64.rpm"));
        assert_non_null(strstr(out.data, "<svg"));
        assert_non_null(strstr(out.data, "checking for gcc"));
        assert_non_null(strstr(out.data, "isa.unused-level"));
        assert_non_null(strstr(out.data, "glibc-2.41"));
        write_page("good.json", "lock.json", "checking for gcc... gcc\n", &again);
        assert_string_equal(out.data, again.data);
}

static void test_failed_build(void **state)
{
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;

        write_page("failed.json", NULL, NULL, &out);
        assert_non_null(strstr(out.data, "BUILD_FAILED"));
        assert_non_null(strstr(out.data, "What went wrong"));
        assert_non_null(strstr(out.data, "bar bad"));
        assert_non_null(strstr(out.data, "undefined reference to"));
        /* Colours of the compiler's messages are gone, their text is not. */
        assert_null(strchr(out.data, '\033'));
}

/* Every string of the good result, replaced by markup, quotes, control characters and direction marks. */
static void poison(json_t *j, const char *text)
{
        const char *key;
        json_t *v;
        void *next;
        size_t i;

        json_object_foreach_safe(j, next, key, v)
        {
                if (json_is_string(v))
                        json_object_set_new(j, key, json_string(text));
                else
                        poison(v, text);
        }
        json_array_foreach(j, i, v)
        {
                if (json_is_string(v))
                        json_array_set_new(j, i, json_string(text));
                else
                        poison(v, text);
        }
}

static void test_hostile_strings(void **state)
{
        static const char *const texts[] = {
                "</title></style><script>alert(1)</script>",
                "\"><img src=x onerror=alert(1)>",
                "' onmouseover='alert(1)",
                "]]>--><!--&amp;&#60;",
                "\033[31m\033]0;t\a\xe2\x80\xae\x7f\t",
                "%s%n%1000000d",
                "END\n; rm -rf ~\n",
                "-1",
                "99999999999999999999999999",
                "18446744073709551615",
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(texts); i++) {
                _cleanup_json_ json_t *result = read_json("good.json"), *lock = read_json("lock.json"),
                                      *failed = read_json("failed.json");
                _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT, bad = KILN_BUF_INIT;

                poison(result, texts[i]);
                poison(lock, texts[i]);
                poison(failed, texts[i]);
                assert_int_equal(kiln_report_write(result, lock, NULL, NULL, &out), 0);
                assert_int_equal(kiln_report_write(failed, NULL, NULL, texts[i], &bad), 0);
                check_markup(out.data);
                check_markup(bad.data);
                assert_null(strstr(out.data, "<script"));
                assert_null(strstr(out.data, "\xe2\x80\xae"));
                assert_null(strchr(out.data, '\033'));
                assert_null(strstr(out.data, "\n; rm -rf"));
        }
}

static void test_any_shape(void **state)
{
        static const char *const shapes[] = {"{}",
                "{\"phases\":7,\"artefacts\":{},\"error\":[],\"peaks\":null}",
                "{\"phases\":[1,null,{}],\"artefacts\":[[]],\"findings\":[3],\"buildroot\":[{}],\"denied\":[{"
                "}],"
                "\"error\":{},\"host\":{},\"peaks\":{}}",
                "{\"verdict\":\"OK\",\"phases\":[{\"name\":\"x\",\"offsetMs\":\"18446744073709551615\","
                "\"durationMs\":"
                "\"18446744073709551615\"}]}"};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(shapes); i++) {
                _cleanup_json_ json_t *j = json_loads(shapes[i], 0, NULL);
                _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;

                assert_non_null(j);
                assert_int_equal(kiln_report_write(j, j, j, "", &out), 0);
                check_markup(out.data);
        }
        _cleanup_json_ json_t *array = json_array();
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;
        assert_int_equal(kiln_report_write(array, NULL, NULL, NULL, &out), -EINVAL);
        assert_int_equal(out.len, 0);
}

/* Of a long log the end is what is seen. */
static void test_long_log_folds(void **state)
{
        _cleanup_json_ json_t *j = json_pack("{s:s}", "verdict", "OK");
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT, log = KILN_BUF_INIT;
        const char *folded, *tail;

        for (int i = 0; i < 100; i++)
                kiln_buf_printf(&log, "line %d\n", i);
        assert_int_equal(kiln_report_write(j, NULL, NULL, log.data, &out), 0);
        check_markup(out.data);
        folded = strstr(out.data, "What came before");
        tail = strstr(out.data, "log tail");
        assert_true(folded && tail && folded < tail);
        assert_true(strstr(out.data, "line 75\n") < tail);
        assert_true(strstr(tail, "line 76\n") && strstr(tail, "line 99</pre>"));
        assert_null(strstr(tail, "line 75"));
}

/* A phase of several rounds is one row with several bars, and what is written there is their sum. */
static void test_rounds_share_a_row(void **state)
{
        _cleanup_json_ json_t *j =
                json_loads("{\"phases\":[{\"name\":\"root\",\"offsetMs\":\"0\",\"durationMs\":\"1500\"},"
                           "{\"name\":\"prep\",\"offsetMs\":\"1500\",\"durationMs\":\"500\"},"
                           "{\"name\":\"root\",\"offsetMs\":\"2000\",\"durationMs\":\"700\"}]}",
                        0, NULL);
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;
        size_t bars = 0, labels = 0;

        assert_int_equal(kiln_report_write(j, NULL, NULL, NULL, &out), 0);
        check_markup(out.data);
        for (const char *p = out.data; (p = strstr(p, "<rect class=\"bar")); p++)
                bars++;
        for (const char *p = out.data; (p = strstr(p, ">root</text>")); p++)
                labels++;
        assert_int_equal(bars, 3);
        assert_int_equal(labels, 1);
        assert_non_null(strstr(out.data, ">2.2 s</text>"));
}

static void test_format(void **state)
{
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;

        kiln_html_format(&out, "<a>%s</a>%d %u %zu %lu %.1f%%", "<&>\"'\a", -1, 2u, (size_t)3, 4ul, 5.25);
        assert_string_equal(out.data, "<a>&lt;&amp;&gt;&quot;&#39;?</a>-1 2 3 4 5.2%");
}

/* What an observed build opened: what is unused is named, what is not known is not. */
static void test_inputs(void **state)
{
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT, cut = KILN_BUF_INIT;
        _cleanup_json_ json_t *result = read_json("good.json"), *names = json_array();
        _cleanup_json_ json_t *inputs = NULL;

        for (int i = 0; i < 600; i++)
                json_array_append_new(names, json_sprintf("p/<i>%03d", i));
        inputs = json_pack("{s:b, s:[{s:s, s:b}, {s:s, s:b}, {s:s}], s:{s:b, s:[{s:s, s:b}, {s:s, s:b}]}, "
                           "s:{s:b, s:{s:i, s:[s]}, s:{s:i, s:O}}}",
                "complete", 1, "buildRequires", "requirement", "idle-devel", "used", 0, "requirement",
                "busy-devel", "used", 1, "requirement", "(rich or poor)", "sources", "complete", 1, "files",
                "name", "left.patch", "opened", 0, "name", "taken.patch", "opened", 1, "tree", "complete", 1,
                "opened", "number", 1, "files", "p/a.c", "unopened", "number", 600, "files", names);
        assert_non_null(inputs);
        assert_int_equal(kiln_report_write(result, NULL, inputs, NULL, &out), 0);
        check_markup(kiln_buf_str(&out));
        assert_non_null(strstr(out.data, "<li>idle-devel</li>"));
        assert_non_null(strstr(out.data, "<li>left.patch</li>"));
        assert_null(strstr(out.data, "<li>busy-devel"));
        assert_null(strstr(out.data, "<li>(rich"));
        assert_null(strstr(out.data, "<li>taken.patch"));
        assert_non_null(strstr(out.data, "Of 601 files"));
        assert_non_null(strstr(out.data, "<li>p/&lt;i&gt;499</li>"));
        assert_null(strstr(out.data, "&gt;500"));

        json_object_set_new(json_object_get(inputs, "sources"), "complete", json_false());
        json_object_del(json_object_get(inputs, "tree"), "unopened");
        assert_int_equal(kiln_report_write(result, NULL, inputs, NULL, &cut), 0);
        check_markup(kiln_buf_str(&cut));
        assert_non_null(strstr(cut.data, "Not all that the build opened was seen"));
        assert_non_null(strstr(cut.data, "Not all of the unpacked sources was watched"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good_build),
                cmocka_unit_test(test_failed_build),
                cmocka_unit_test(test_hostile_strings),
                cmocka_unit_test(test_any_shape),
                cmocka_unit_test(test_long_log_folds),
                cmocka_unit_test(test_rounds_share_a_row),
                cmocka_unit_test(test_inputs),
                cmocka_unit_test(test_format),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
