#include "worker/buildroot/poolwire.h"

#include "worker/base/clock.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

union control {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
};

static int wait_for(int socket, short events, const struct pool_until *until)
{
        struct pollfd p[2] = {{socket, events, 0}, {until ? until->cancel_fd : -1, POLLIN, 0}};
        int n, left_ms = -1;

        do {
                uint64_t now = until ? kiln_clock_ns() : 0;

                if (until && now >= until->deadline_ns)
                        return -ETIMEDOUT;
                if (until) {
                        uint64_t ms = (until->deadline_ns - now) / 1000000 + 1;

                        left_ms = ms < INT_MAX ? (int)ms : INT_MAX;
                }
                n = poll(p, 2, left_ms);
                if (n < 0 && errno != EINTR)
                        return -errno;
        } while (n <= 0);
        return p[1].revents ? -ECANCELED : 0;
}

/* One sendmsg(), when there is room. */
static ssize_t send_some(int socket, const struct pool_until *until, const struct msghdr *msg)
{
        for (;;) {
                ssize_t n = sendmsg(socket, msg, MSG_NOSIGNAL | MSG_DONTWAIT);
                int r;

                if (n >= 0)
                        return n;
                if (errno != EINTR && errno != EAGAIN)
                        return -errno;
                r = wait_for(socket, POLLOUT, until);
                if (r < 0)
                        return r;
        }
}

int pool_send(int socket, const struct pool_until *until, enum pool_message_kind kind, uint32_t number,
        const struct kiln_buf *text, int fd)
{
        struct pool_message m = {kind, number, text ? (uint32_t)text->len : 0};
        struct iovec iov = {&m, sizeof(m)};
        union control control = {{0}};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
        ssize_t n;

        if (text && text->len > POOL_TEXT_MAX)
                return -EFBIG;
        if (fd >= 0) {
                struct cmsghdr *c;

                msg.msg_control = control.bytes;
                msg.msg_controllen = sizeof(control.bytes);
                c = CMSG_FIRSTHDR(&msg);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(fd));
                memcpy(CMSG_DATA(c), &fd, sizeof(fd));
        }
        n = send_some(socket, until, &msg);
        if (n != sizeof(m)) /* twelve bytes go whole or not at all */
                return n < 0 ? (int)n : -EPROTO;
        for (size_t done = 0; text && done < text->len; done += (size_t)n) {
                iov = (struct iovec){text->data + done, text->len - done};
                n = send_some(socket, until, &(struct msghdr){.msg_iov = &iov, .msg_iovlen = 1});
                if (n < 0)
                        return (int)n;
        }
        return 0;
}

/* The kernel has put as many descriptors into this process as the control buffer holds, however long the
 * message says it is: each is kept or closed. Another one than the first is -EPROTO. */
static int take_fds(struct msghdr *msg, int *ret_fd)
{
        int r = msg->msg_flags & MSG_CTRUNC ? -EPROTO : 0;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
                const unsigned char *at = CMSG_DATA(c);

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t left = c->cmsg_len - CMSG_LEN(0); left >= sizeof(int); left -= sizeof(int)) {
                        _cleanup_close_ int fd = -1;

                        memcpy(&fd, at, sizeof(fd));
                        at += sizeof(fd);
                        if (*ret_fd >= 0)
                                r = -EPROTO;
                        else
                                *ret_fd = TAKE_FD(fd);
                }
        }
        return r;
}

/* One recvmsg(), the descriptor that came with it in *ret_fd. */
static ssize_t receive_some(int socket, const struct pool_until *until, void *data, size_t len, int *ret_fd)
{
        struct iovec iov = {data, len};
        union control control;
        struct msghdr msg = {.msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof(control.bytes)};
        int r = wait_for(socket, POLLIN, until);
        ssize_t n;

        if (r < 0)
                return r;
        do
                n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n <= 0)
                return n < 0 && errno != ECONNRESET ? -errno : -EPIPE;
        r = take_fds(&msg, ret_fd);
        return r < 0 ? r : n;
}

int pool_receive(int socket, const struct pool_until *until, struct pool_message *ret, struct kiln_buf *text,
        int *ret_fd)
{
        _cleanup_close_ int fd = -1;
        struct pool_message m;
        char chunk[65536];

        for (size_t got = 0; got < sizeof(m);) {
                ssize_t n = receive_some(socket, until, (char *)&m + got, sizeof(m) - got, &fd);

                if (n < 0)
                        return (int)n;
                got += (size_t)n;
        }
        if (m.len > POOL_TEXT_MAX)
                return -EPROTO;
        kiln_buf_reset(text);
        while (text->len < m.len) {
                size_t left = m.len - text->len;
                ssize_t n =
                        receive_some(socket, until, chunk, left < sizeof(chunk) ? left : sizeof(chunk), &fd);

                if (n < 0)
                        return (int)n;
                kiln_buf_append(text, chunk, (size_t)n);
        }
        *ret = m;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

void pool_put(struct kiln_buf *text, const char *string)
{
        kiln_buf_append(text, string ? string : "", string ? strlen(string) + 1 : 1);
}

char **pool_strings(const struct kiln_buf *text)
{
        size_t n = 0, at = 0;
        char **strings;

        for (size_t i = 0; i < text->len; i++)
                n += text->data[i] == '\0';
        strings = kiln_calloc(n + 1, sizeof(*strings));
        for (size_t i = 0; i < n; i++) {
                strings[i] = kiln_strdup(text->data + at);
                at += strlen(strings[i]) + 1;
        }
        return strings;
}
