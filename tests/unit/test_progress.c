/* The three ways events reach a reader: a live line on a terminal, plain lines, JSON lines. */
#include "worker/base/file.h"
#include "worker/base/json.h"
#include "worker/base/mem.h"
#include "worker/base/text.h"
#include "worker/cli/progress.h"
#include "worker/cli/status.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include <cmocka.h>

static void play(const struct kiln_sink *s)
{
        kiln_sink_phase_start(s, "root");
        kiln_sink_progress(s, "root", "evil\033]0;owned\a-1.0\xe2\x80\xae.rpm", 3, 7);
        kiln_sink_warning(s, "watch \033[31mout");
        kiln_sink_log(s, "root", "log \033[2J line\n", 14);
        kiln_sink_phase_end(s, "root", UINT64_C(1500000000), 0);
        kiln_sink_phase_start(s, "build");
        kiln_sink_phase_end(s, "build", UINT64_C(61000000000), 1);
}

static void run(enum kiln_progress_mode mode, bool verbose, struct kiln_buf *out)
{
        int pipes[2];

        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        {
                _cleanup_(kiln_progress_freep) struct kiln_progress *p = kiln_progress_new(pipes[1], mode);
                struct kiln_sink s = kiln_progress_sink(p);

                kiln_progress_set_verbose(p, verbose);
                play(&s);
        }
        close(pipes[1]);
        assert_int_equal(kiln_fd_read(pipes[0], 1 << 20, out), 0);
        close(pipes[0]);
}

static void test_plain(void **state)
{
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;

        run(KILN_PROGRESS_AUTO, false, &out); /* a pipe is no terminal */
        assert_null(strchr(out.data, '\033'));
        assert_non_null(strstr(out.data, "root: started\n"));
        assert_non_null(strstr(out.data, "warning: watch out\n"));
        assert_null(strstr(out.data, "log "));
        assert_non_null(strstr(out.data, "1.5 s"));
        assert_non_null(strstr(out.data, "failed"));
        assert_null(strchr(out.data, '\r'));
}

static void test_verbose_logs_are_clean(void **state)
{
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;

        run(KILN_PROGRESS_PLAIN, true, &out);
        assert_non_null(strstr(out.data, "log  line\n"));
        assert_null(strchr(out.data, '\033'));
}

static void test_quiet(void **state)
{
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;

        run(KILN_PROGRESS_QUIET, false, &out);
        assert_string_equal(kiln_buf_str(&out), "warning: watch out\n");
}

static void test_json_lines(void **state)
{
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;
        size_t lines = 0;

        run(KILN_PROGRESS_JSON, true, &out);
        for (char *p = out.data, *end; *p; p = end + 1, lines++) {
                _cleanup_json_ json_t *j = NULL;

                end = strchr(p, '\n');
                assert_non_null(end);
                assert_int_equal(kiln_json_parse(p, (size_t)(end - p), "line", &j, NULL), 0);
                assert_non_null(json_string_value(json_object_get(j, "event")));
        }
        assert_int_equal(lines, 7);
        assert_non_null(strstr(out.data, "\"verdict\":\"BUILD_FAILED\""));
        assert_null(strstr(out.data, "\\u001b"));
}

/* A terminal's screen after the bytes in `in`: only what the display itself may use is understood. */
static void screen(const char *in, size_t len, unsigned columns, struct kiln_buf *out, unsigned *widest)
{
        _cleanup_buf_ struct kiln_buf line = KILN_BUF_INIT;

        *widest = 0;
        for (size_t i = 0; i < len; i++) {
                unsigned width;

                if (in[i] == '\r' && i + 3 < len && memcmp(in + i, "\r\033[K", 4) == 0) {
                        kiln_buf_reset(&line);
                        i += 3;
                } else if (in[i] == '\r' && i + 1 < len && in[i + 1] == '\n') {
                        continue; /* the terminal's own onlcr */
                } else if (in[i] == '\033') {
                        size_t n = strcspn(in + i, "m");

                        assert_true(n <= 4); /* ESC [ digits m */
                        i += n;
                } else if (in[i] == '\n') {
                        kiln_buf_append(out, kiln_buf_str(&line), line.len);
                        kiln_buf_putc(out, '\n');
                        kiln_buf_reset(&line);
                } else {
                        assert_true((unsigned char)in[i] >= 0x20);
                        kiln_buf_putc(&line, in[i]);
                }
                width = (unsigned)kiln_text_columns(kiln_buf_str(&line));
                if (width > *widest)
                        *widest = width;
        }
        assert_int_equal(line.len, 0); /* the status line is gone at the end */
}

static void test_live(void **state)
{
        struct winsize size = {.ws_row = 24, .ws_col = 50};
        _cleanup_buf_ struct kiln_buf raw = KILN_BUF_INIT, lines = KILN_BUF_INIT;
        unsigned widest;
        int master, slave;
        char chunk[4096];
        ssize_t n;

        assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
        setenv("LC_ALL", "C.UTF-8", 1);
        setenv("TERM", "xterm", 1);
        {
                _cleanup_(kiln_progress_freep) struct kiln_progress *p =
                        kiln_progress_new(slave, KILN_PROGRESS_AUTO);
                struct kiln_sink s = kiln_progress_sink(p);

                assert_int_equal(kiln_progress_mode(p), KILN_PROGRESS_LIVE);
                kiln_sink_phase_start(&s, "fetch");
                for (int i = 0; i < 20; i++) {
                        kiln_sink_progress(&s, "fetch",
                                "a-package-with-a-name-that-is-longer-than-any-terminal-1.0.rpm",
                                (uint64_t)i << 20, 20 << 20);
                        poll(NULL, 0, 20);
                }
                kiln_progress_pause(p);
                play(&s);
        }
        close(slave);
        while ((n = read(master, chunk, sizeof(chunk))) > 0)
                kiln_buf_append(&raw, chunk, (size_t)n);
        close(master);
        screen(raw.data, raw.len, size.ws_col, &lines, &widest);
        assert_true(widest > 20 && widest < size.ws_col);
        assert_non_null(strstr(raw.data, "MiB"));
        assert_non_null(strstr(lines.data, "warning: watch out\n"));
        assert_null(strstr(raw.data, "owned"));
        assert_null(strstr(raw.data, "\xe2\x80\xae"));
        assert_null(strstr(lines.data, "MiB")); /* progress leaves nothing behind */
}

static void test_no_colour(void **state)
{
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;
        struct kiln_status s;
        struct kiln_event e = {.kind = KILN_EVENT_PHASE_END, .phase = "root"};

        kiln_status_init(&s, false);
        kiln_status_event(&s, &e, 0, &out);
        assert_null(strchr(out.data, '\033'));
}

static void test_last_log_line(void **state)
{
        static const char log[] = "first\n\033[1mgcc -c\033[0m main.c\r\n\n";
        struct kiln_status s;
        struct kiln_event e = {
                .kind = KILN_EVENT_PROGRESS, .phase = "root", .text = "item", .len = 4, .done = 1};
        _cleanup_buf_ struct kiln_buf lines = KILN_BUF_INIT;

        kiln_status_init(&s, false);
        kiln_status_log(&s, log, sizeof(log) - 1);
        assert_string_equal(s.item, "gcc -c main.c");
        kiln_status_log(&s, "\n\n", 2);
        kiln_status_log(&s, "", 0);
        assert_string_equal(s.item, "gcc -c main.c");
        kiln_status_event(&s, &e, 0, &lines);
        kiln_status_log(&s, log, sizeof(log) - 1);
        assert_string_equal(s.item, "item"); /* real progress is worth more */
}

static void test_any_width_fits(void **state)
{
        struct kiln_status s;

        kiln_status_init(&s, false);
        for (unsigned utf8 = 0; utf8 < 2; utf8++)
                for (unsigned columns = 1; columns < 200; columns++) {
                        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT, lines = KILN_BUF_INIT;
                        struct kiln_event e = {.kind = KILN_EVENT_PROGRESS,
                                .phase = "buildreqs",
                                .text = "\xe6\xbc\xa2\xe5\xad\x97-glibc-common-2.41-12.x86_64.rpm",
                                .len = 38,
                                .done = 98,
                                .total = 171};

                        s.utf8 = utf8;
                        kiln_status_event(&s, &e, 0, &lines);
                        kiln_status_line(&s, UINT64_C(3723000000000), columns, &out);
                        assert_true(kiln_text_columns(kiln_buf_str(&out)) <= columns);
                }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_plain),
                cmocka_unit_test(test_verbose_logs_are_clean),
                cmocka_unit_test(test_quiet),
                cmocka_unit_test(test_json_lines),
                cmocka_unit_test(test_live),
                cmocka_unit_test(test_no_colour),
                cmocka_unit_test(test_last_log_line),
                cmocka_unit_test(test_any_width_fits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
