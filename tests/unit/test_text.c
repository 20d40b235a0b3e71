/* Nothing a build prints may steer the terminal. */
#include "worker/base/mem.h"
#include "worker/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *in, unsigned flags, const char *want)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        kiln_text_clean(&b, in, strlen(in), flags);
        assert_string_equal(kiln_buf_str(&b), want);
}

static void test_escapes_vanish(void **state)
{
        expect("plain text", 0, "plain text");
        expect("a\033[31mred\033[0m b", 0, "ared b");
        expect("\033[2J\033[1;1Hhome", 0, "home");
        expect("\033]0;title\aafter", 0, "after");
        expect("\033]8;;http://x\033\\link\033]8;;\033\\", 0, "link");
        expect("\033Pq#0;2\033\\x", 0, "x");
        expect("\033c reset", 0, " reset");
        expect("open \033]0;never ends\nnext", KILN_TEXT_LINES, "open \nnext");
        expect("cut \033[", 0, "cut ");
        expect("cut \033", 0, "cut ");
        expect("nested \033]0;\033[31m\a", 0, "nested ?");
}

static void test_controls(void **state)
{
        expect("a\bb\rc\x7f", 0, "a?b?c?");
        expect("a\tb\nc", 0, "a b c");
        expect("a\tb\nc", KILN_TEXT_LINES, "a b\nc");
        expect("csi \xc2\x9b 31m", 0, "csi ? 31m");       /* C1 CSI as UTF-8 */
        expect("raw \x9b", 0, "raw ?");                   /* and as a bare byte */
        expect("rtl \xe2\x80\xae gnp", 0, "rtl ? gnp");   /* U+202E */
        expect("iso \xe2\x81\xa6 x", 0, "iso ? x");       /* U+2066 */
        expect("zero\xe2\x80\x8bwidth", 0, "zero?width"); /* U+200B */
        expect("tag \xf3\xa0\x81\x81", 0, "tag ?");       /* U+E0041 */
}

static void test_utf8(void **state)
{
        expect("gr\xc3\xbc\xc3\x9f", 0, "gr\xc3\xbc\xc3\x9f");
        expect("gr\xc3\xbc", KILN_TEXT_ASCII, "gr?");
        expect("over\xc0\xaf", 0, "over??");         /* too long a form of '/' */
        expect("sur\xed\xa0\x80", 0, "sur???");      /* surrogate */
        expect("big\xf4\x90\x80\x80", 0, "big????"); /* above U+10FFFF */
        expect("cut\xe2\x82", 0, "cut??");
}

/* Whatever the bytes, the result holds no control character but the newlines asked for, and is UTF-8. */
static void test_any_bytes(void **state)
{
        uint32_t seed = 12345;

        for (int round = 0; round < 2000; round++) {
                _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT, twice = KILN_BUF_INIT;
                char in[64];

                for (size_t i = 0; i < sizeof(in); i++) {
                        seed = seed * 1664525 + 1013904223;
                        in[i] = (seed >> 24) % 5 == 0 ? '\033' : (char)(seed >> 16);
                }
                kiln_text_clean(&b, in, sizeof(in), KILN_TEXT_LINES);
                for (size_t i = 0; i < b.len; i++)
                        assert_true((unsigned char)b.data[i] >= 0x20 || b.data[i] == '\n');
                assert_null(memchr(kiln_buf_str(&b), 0x7f, b.len));
                kiln_text_clean(&twice, kiln_buf_str(&b), b.len, KILN_TEXT_LINES);
                assert_string_equal(kiln_buf_str(&twice), kiln_buf_str(&b));
        }
}

static void test_columns(void **state)
{
        assert_int_equal(kiln_text_columns("abc"), 3);
        assert_int_equal(kiln_text_columns("gr\xc3\xbc\xc3\x9f"), 4);
        assert_int_equal(kiln_text_columns("\xe6\xbc\xa2\xe5\xad\x97"), 4);
        assert_int_equal(kiln_text_fit("\xe6\xbc\xa2\xe5\xad\x97", 3), 3);
        assert_int_equal(kiln_text_fit("abcdef", 4), 4);
        assert_int_equal(kiln_text_fit("ab", 4), 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_escapes_vanish),
                cmocka_unit_test(test_controls),
                cmocka_unit_test(test_utf8),
                cmocka_unit_test(test_any_bytes),
                cmocka_unit_test(test_columns),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
