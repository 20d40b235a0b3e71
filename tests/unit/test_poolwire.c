/* Messages between a pool's two processes: whole ones arrive, others are refused. */
#include "worker/buildroot/poolwire.h"

#include "worker/base/clock.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

struct ends {
        int a, b, fd;
        struct pool_message m;
        struct kiln_buf text;
};

static void begin(struct ends *e)
{
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        *e = (struct ends){.a = pair[0], .b = pair[1], .fd = -1};
}

static int receive(struct ends *e)
{
        kiln_closep(&e->fd);
        e->fd = -1;
        return pool_receive(e->b, NULL, &e->m, &e->text, &e->fd);
}

static void end(struct ends *e)
{
        kiln_closep(&e->a);
        kiln_closep(&e->b);
        kiln_closep(&e->fd);
        kiln_buf_clear(&e->text);
}

static void test_whole(void **state)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        _cleanup_strv_ char **strings = NULL;
        struct ends e;

        begin(&e);
        pool_put(&text, "one");
        pool_put(&text, NULL);
        pool_put(&text, "three");
        assert_int_equal(pool_send(e.a, NULL, POOL_SOLVE, 7, &text, e.a), 0);
        assert_int_equal(pool_send(e.a, NULL, POOL_FILE, 0, NULL, -1), 0);
        assert_int_equal(receive(&e), 0);
        assert_int_equal(e.m.kind, POOL_SOLVE);
        assert_int_equal(e.m.number, 7);
        assert_true(e.fd >= 0);
        assert_true(fcntl(e.fd, F_GETFD) & FD_CLOEXEC);
        strings = pool_strings(&e.text);
        assert_int_equal(kiln_strv_length(strings), 3);
        assert_string_equal(strings[0], "one");
        assert_string_equal(strings[1], "");
        assert_string_equal(strings[2], "three");
        assert_int_equal(receive(&e), 0);
        assert_int_equal(e.m.kind, POOL_FILE);
        assert_int_equal(e.fd, -1);
        assert_int_equal(e.text.len, 0);
        end(&e);
}

static void test_not_whole(void **state)
{
        const struct pool_message cut = {POOL_ANSWER, 0, 10}, huge = {POOL_ANSWER, 0, POOL_TEXT_MAX + 1};
        struct ends e;

        for (size_t n = 0; n < sizeof(cut) + 10; n++) {
                char bytes[sizeof(cut) + 10] = {0};

                begin(&e);
                memcpy(bytes, &cut, sizeof(cut));
                assert_int_equal(kiln_fd_write(e.a, bytes, n), 0);
                close(TAKE_FD(e.a));
                assert_int_equal(receive(&e), -EPIPE);
                end(&e);
        }
        begin(&e);
        assert_int_equal(kiln_fd_write(e.a, &huge, sizeof(huge)), 0);
        assert_int_equal(receive(&e), -EPROTO);
        end(&e);
        begin(&e);
        close(TAKE_FD(e.b));
        assert_true(pool_send(e.a, NULL, POOL_SOLVE, 0, NULL, -1) < 0); /* and no signal */
        end(&e);
}

static size_t count_fds(void)
{
        DIR *dir = opendir("/proc/self/fd");
        size_t n = 0;

        assert_non_null(dir);
        while (readdir(dir))
                n++;
        closedir(dir);
        return n;
}

/* A part of a message, with n_fds descriptors. */
static void send_part(int socket, const void *bytes, size_t len, size_t n_fds)
{
        union {
                char bytes[CMSG_SPACE(8 * sizeof(int))];
                struct cmsghdr align;
        } control = {{0}};
        struct iovec iov = {(void *)bytes, len};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes};
        struct cmsghdr *c;

        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        c = CMSG_FIRSTHDR(&msg);
        *c = (struct cmsghdr){
                .cmsg_len = CMSG_LEN(n_fds * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        for (size_t i = 0; i < n_fds; i++)
                memcpy(CMSG_DATA(c) + i * sizeof(int), &socket, sizeof(int));
        assert_int_equal(sendmsg(socket, &msg, 0), len);
}

/* None of them stays open, whether they come at once, in parts, or more of them than anybody makes room for.
 */
static void test_descriptors(void **state)
{
        const struct pool_message m = {POOL_WARN, 0, 4};
        struct ends e;

        for (size_t n = 2; n <= 8; n++) {
                size_t before;

                begin(&e);
                before = count_fds();
                send_part(e.a, &m, sizeof(m), n);
                close(TAKE_FD(e.a));
                assert_int_equal(receive(&e), -EPROTO);
                assert_int_equal(e.fd, -1);
                assert_int_equal(count_fds(), before - 1);
                end(&e);
        }
        begin(&e);
        send_part(e.a, &m, sizeof(m), 1);
        send_part(e.a, "text", 4, 1);
        assert_int_equal(receive(&e), -EPROTO);
        assert_int_equal(e.fd, -1);
        end(&e);
}

static void test_strings(void **state)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        char **strings = pool_strings(&text);

        assert_int_equal(kiln_strv_length(strings), 0);
        kiln_strv_free(strings);
        kiln_buf_append(&text, "a\0b", 3); /* the last has no end */
        strings = pool_strings(&text);
        assert_int_equal(kiln_strv_length(strings), 1);
        kiln_strv_free(strings);
}

/* To one who does not read. */
static int send_until_full(int socket, const struct pool_until *until)
{
        int r = 0;

        for (int i = 0; r == 0 && i < 1 << 20; i++)
                r = pool_send(socket, until, POOL_FILE, 0, NULL, -1);
        return r;
}

static void test_deadline(void **state)
{
        struct pool_until until = {-1, kiln_clock_ns() + 10000000};
        struct ends e;

        begin(&e);
        assert_int_equal(pool_receive(e.b, &until, &e.m, &e.text, &e.fd), -ETIMEDOUT);
        assert_int_equal(send_until_full(e.a, &until), -ETIMEDOUT);
        kiln_buf_append(&e.text, (char[1 << 20]){0}, 1 << 20);
        until.deadline_ns = kiln_clock_ns() + 10000000;
        assert_int_equal(pool_send(e.b, &until, POOL_SOLVE, 0, &e.text, -1), -ETIMEDOUT);
        end(&e);
}

static void test_cancelled(void **state)
{
        struct pool_until until = {-1, UINT64_MAX};
        struct ends e, cancel;

        begin(&e);
        begin(&cancel);
        assert_int_equal(kiln_fd_write(cancel.a, "x", 1), 0);
        until.cancel_fd = cancel.b;
        assert_int_equal(pool_receive(e.b, &until, &e.m, &e.text, &e.fd), -ECANCELED);
        assert_int_equal(send_until_full(e.a, &until), -ECANCELED);
        end(&cancel);
        end(&e);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_whole),
                cmocka_unit_test(test_not_whole),
                cmocka_unit_test(test_descriptors),
                cmocka_unit_test(test_strings),
                cmocka_unit_test(test_deadline),
                cmocka_unit_test(test_cancelled),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
