/* The TOML shim: every kind of wrong text is an error with a place; nothing gets through by accident. */
#include "toolchains/toml.h"

#include "worker/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void bad_texts(void **state)
{
        static const struct {
                const char *text;
                unsigned line; /* 0: anywhere */
        } cases[] = {
                {"a = ", 1},
                {"a = 1\nb = ]", 2},
                {"[", 0},
                {"[\n", 0},
                {"a = 1\na = 2", 2},
                {"[t]\n[t]", 2},
                {"a = \"x", 1},
                {"a = \"\\q\"", 1},
                {"a = 1.5", 1},
                {"a = 1979-05-27", 1},
                {"\n\na = \"\\u0000\"", 3},
                {"a = 99999999999999999999", 1},
                {"\xff = 1", 1},
                {"a = \"\xc3\"", 0},
                {"a.b = 1\na.b.c = 2", 2},
                {"a = 1 b = 2", 1},
                {"= 1", 1},
                {"\xef\xbb\xb7\n", 1}, /* U+FEF7, which is no white space */
                {"\xe2\x80\xb1 = 1", 1},
                {"a = tru", 1},
                {"a = [1, ", 0},
                {"a = {b = 1", 0},
                {"a = '''x", 0},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                struct kiln_toml *t = NULL;
                char line[32];

                assert_true(kiln_toml_parse("x.toml", cases[i].text, strlen(cases[i].text), &t, &err) < 0);
                assert_null(t);
                assert_int_equal(err.verdict, KILN_BAD_INPUT);
                assert_string_equal(err.subject, "x.toml");
                snprintf(line, sizeof(line), "line %u,", cases[i].line);
                if (cases[i].line && !strstr(err.cause, line))
                        fail_msg("case %zu: %s", i, err.cause);
        }
}

static void deep_nesting_is_refused(void **state)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        static char text[20010];
        struct kiln_toml *t = NULL;

        memcpy(text, "a = ", 4);
        memset(text + 4, '[', 10000);
        memset(text + 10004, ']', 10000);
        assert_true(kiln_toml_parse("x", text, 20004, &t, &err) < 0);
        assert_int_equal(err.verdict, KILN_BAD_INPUT);
}

static void too_large_is_refused(void **state)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        char *text = kiln_malloc(KILN_TOML_MAX + 1);
        struct kiln_toml *t = NULL;

        memset(text, '\n', KILN_TOML_MAX + 1);
        assert_true(kiln_toml_parse("x", text, KILN_TOML_MAX + 1, &t, &err) < 0);
        assert_int_equal(kiln_toml_parse("x", text, KILN_TOML_MAX, &t, NULL), 0);
        kiln_toml_free(t);
        free(text);
}

static void values_keep_their_order_and_place(void **state)
{
        static const char text[] = "z = 1\na = \"b\"\n[t]\nq = true\nc = [\"x\", \"y\"]\n";
        _cleanup_toml_ struct kiln_toml *t = NULL;
        const struct kiln_toml *n;

        assert_int_equal(kiln_toml_parse("x", text, strlen(text), &t, NULL), 0);
        assert_int_equal(t->n_children, 3);
        assert_string_equal(t->children[0].key, "z");
        assert_int_equal(t->children[0].integer, 1);
        assert_string_equal(t->children[1].string, "b");
        n = kiln_toml_get(kiln_toml_get(t, "t"), "c");
        assert_non_null(n);
        assert_int_equal(n->line, 5);
        assert_int_equal(n->column, 1);
        assert_string_equal(n->children[1].string, "y");
        assert_null(kiln_toml_get(t, "nothing"));
}

static void tables_are_read_by_description(void **state)
{
        struct object {
                char *s;
                char **v;
                int64_t i;
                bool b;
        };
        static const struct kiln_toml_field fields[] = {
                {"s", KILN_TOML_T_STRING, true, offsetof(struct object, s)},
                {"v", KILN_TOML_T_STRV, false, offsetof(struct object, v)},
                {"i", KILN_TOML_T_INTEGER, false, offsetof(struct object, i)},
                {"b", KILN_TOML_T_BOOLEAN, false, offsetof(struct object, b)},
        };
        static const struct {
                const char *text, *cause;
        } cases[] = {
                {"s = \"x\"\nv = [\"1\", \"2\"]\ni = -3\nb = true", NULL},
                {"s = 1", "line 1, column 1: 's' must be a string"},
                {"s = \"x\"\nv = [1]", "line 2, column 1: 'v' must be a list of strings"},
                {"s = \"x\"\nw = 1", "line 2, column 1: unknown key 'w'"},
                {"i = 1", "'s' is missing"},
                {"s = \"x\"\nb = 1", "'b' must be true or false"},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                _cleanup_toml_ struct kiln_toml *t = NULL;
                struct object o = {0};
                int r;

                assert_int_equal(kiln_toml_parse("x", cases[i].text, strlen(cases[i].text), &t, NULL), 0);
                r = kiln_toml_read("x", t, fields, KILN_ARRAY_SIZE(fields), &o, &err);
                if (cases[i].cause) {
                        assert_true(r < 0);
                        assert_non_null(strstr(err.cause, cases[i].cause));
                } else {
                        assert_int_equal(r, 0);
                        assert_int_equal(kiln_strv_length(o.v), 2);
                        assert_int_equal(o.i, -3);
                        assert_true(o.b);
                }
                free(o.s);
                kiln_strv_free(o.v);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(bad_texts),
                cmocka_unit_test(deep_nesting_is_refused),
                cmocka_unit_test(too_large_is_refused),
                cmocka_unit_test(values_keep_their_order_and_place),
                cmocka_unit_test(tables_are_read_by_description),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
