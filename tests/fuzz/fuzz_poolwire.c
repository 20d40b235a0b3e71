/* What a solver that was taken over may say: parts of a stream, each with up to three descriptors. The input
 * is a sequence of (number of descriptors, length, bytes). Nothing stays open, whatever arrives. */
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/buildroot/poolwire.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FDS_MAX 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool send_part(int socket, const uint8_t *bytes, size_t len, size_t n_fds)
{
        union {
                char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
                struct cmsghdr header;
        } control = {{0}};
        struct iovec iov = {(void *)bytes, len};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

        if (n_fds > 0) {
                int fds[FDS_MAX] = {socket, socket, socket};

                control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(n_fds * sizeof(int)),
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS};
                memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
                msg.msg_control = control.bytes;
                msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        }
        return sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

static void receive_all(int socket)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        struct pool_message m;

        for (;;) {
                _cleanup_close_ int fd = -1;
                _cleanup_strv_ char **strings = NULL;

                if (pool_receive(socket, NULL, &m, &text, &fd) < 0) {
                        if (fd >= 0)
                                abort();
                        return;
                }
                if (text.len != m.len)
                        abort();
                strings = pool_strings(&text);
                if (kiln_strv_length(strings) > text.len)
                        abort();
        }
}

/* Which of the next 32 descriptors are open. */
static uint32_t open_after(int fd)
{
        uint32_t set = 0;

        for (int i = 0; i < 32; i++)
                set |= (uint32_t)(fcntl(fd + 1 + i, F_GETFD) >= 0) << i;
        return set;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint32_t before;
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                abort();
        before = open_after(pair[1]);
        while (size >= 2) {
                size_t n_fds = data[0] % (FDS_MAX + 1), len = data[1];

                data += 2;
                size -= 2;
                len = len < size ? len : size;
                if (len == 0 || !send_part(pair[0], data, len, n_fds))
                        break;
                data += len;
                size -= len;
        }
        shutdown(pair[0], SHUT_WR);
        receive_all(pair[1]);
        if (open_after(pair[1]) != before)
                abort();
        close(pair[0]);
        close(pair[1]);
        return 0;
}
