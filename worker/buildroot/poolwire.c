#include "worker/buildroot/poolwire.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

union control {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
};

int pool_send(int socket, enum pool_message_kind kind, uint32_t number, const struct kiln_buf *text, int fd)
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
        do
                n = sendmsg(socket, &msg, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n != sizeof(m)) /* a buffer that is too full for twelve bytes makes sendmsg() wait */
                return n < 0 ? -errno : -EPROTO;
        for (size_t done = 0; text && done < text->len; done += (size_t)n) {
                n = send(socket, text->data + done, text->len - done, MSG_NOSIGNAL);
                if (n < 0 && errno == EINTR)
                        n = 0;
                if (n < 0)
                        return -errno;
        }
        return 0;
}

static int wait_readable(int socket, int cancel_fd)
{
        struct pollfd p[2] = {{socket, POLLIN, 0}, {cancel_fd, POLLIN, 0}};

        while (poll(p, 2, -1) < 0)
                if (errno != EINTR)
                        return -errno;
        return p[1].revents ? -ECANCELED : 0;
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
static ssize_t receive_some(int socket, int cancel_fd, void *data, size_t len, int *ret_fd)
{
        struct iovec iov = {data, len};
        union control control;
        struct msghdr msg = {.msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof(control.bytes)};
        int r = wait_readable(socket, cancel_fd);
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

int pool_receive(int socket, int cancel_fd, struct pool_message *ret, struct kiln_buf *text, int *ret_fd)
{
        _cleanup_close_ int fd = -1;
        struct pool_message m;
        char chunk[65536];

        for (size_t got = 0; got < sizeof(m);) {
                ssize_t n = receive_some(socket, cancel_fd, (char *)&m + got, sizeof(m) - got, &fd);

                if (n < 0)
                        return (int)n;
                got += (size_t)n;
        }
        if (m.len > POOL_TEXT_MAX)
                return -EPROTO;
        kiln_buf_reset(text);
        while (text->len < m.len) {
                size_t left = m.len - text->len;
                ssize_t n = receive_some(
                        socket, cancel_fd, chunk, left < sizeof(chunk) ? left : sizeof(chunk), &fd);

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
