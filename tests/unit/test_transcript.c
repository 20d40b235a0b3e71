/* What is read out of rpmbuild's output: phases, the failing command, the last lines. */
#include "worker/build/transcript.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void add_phase(void *ctx, const char *phase)
{
        kiln_buf_printf(ctx, "%s ", phase);
}

static void feed(struct transcript *t, const char *text)
{
        transcript_feed(t, text, strlen(text));
}

static void test_phases(void **state)
{
        _cleanup_buf_ struct kiln_buf phases = KILN_BUF_INIT;
        struct transcript t = {.phase = add_phase, .ctx = &phases};

        feed(&t, "Executing(%prep): /bin/sh -e /var/tmp/rpm-tmp.1\n+ umask 022\nExecuting(%bu");
        feed(&t, "ild): /bin/sh -e /var/tmp/rpm-tmp.2\nExecuting(%install): x\nExecuting(%check): x\n");
        feed(&t, "Processing files: a-1-1.x86_64\nProcessing files: b-1-1.x86_64\n");
        assert_string_equal(kiln_buf_str(&phases), "prep build install check package ");
        transcript_clear(&t);
}

static void test_failing_command(void **state)
{
        struct transcript t = {0};

        feed(&t, "Executing(%build): /bin/sh -e /var/tmp/rpm-tmp.2\n+ ./configure\nchecking for gcc\n+ make "
                 "-j2\nmake: *** [x] "
                 "Error 1\nerror: Bad exit status from /var/tmp/rpm-tmp.2 (%build)\n");
        assert_string_equal(t.section, "%build");
        assert_string_equal(t.command, "make -j2");
        assert_string_equal(t.error, "Bad exit status from /var/tmp/rpm-tmp.2 (%build)");
        transcript_reset(&t);
        assert_string_equal(t.section, "");
        assert_int_equal(t.tail.len, 0);
        transcript_clear(&t);
}

/* Hostile output: no end of line, NUL bytes, more than any buffer. */
static void test_hostile(void **state)
{
        struct transcript t = {0};
        char block[4096];

        memset(block, 'x', sizeof(block));
        block[100] = '\0';
        for (int i = 0; i < 1000; i++)
                transcript_feed(&t, block, sizeof(block));
        assert_true(t.tail.len <= 4 * TRANSCRIPT_TAIL_BYTES + sizeof(block));
        assert_true(t.line_len < sizeof(t.line));
        feed(&t, "\n+ true\n");
        assert_string_equal(t.command, "true");
        memset(block, '+', sizeof(block));
        memcpy(block, "Executing(", 10);
        transcript_feed(&t, block, sizeof(block));
        feed(&t, "): /bin/sh\n");
        assert_true(strlen(t.section) < sizeof(t.section));
        transcript_clear(&t);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_phases),
                cmocka_unit_test(test_failing_command),
                cmocka_unit_test(test_hostile),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
