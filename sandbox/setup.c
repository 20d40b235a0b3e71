/* How the processes of one run talk, and what each does on taking over. */
#include "sandbox/setup.h"
#include "sandbox/util.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>

int message_send(int fd, const struct message *m, const int *fds, size_t n_fds)
{
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(2 * sizeof(int))];
        } control = {0};
        struct iovec iov = {(void *)(uintptr_t)m, sizeof *m};
        struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

        if (n_fds > 0) {
                h.msg_control = control.space;
                h.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                struct cmsghdr *c = CMSG_FIRSTHDR(&h);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
                memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
        }
        ssize_t n;
        do
                n = sendmsg(fd, &h, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : 0;
}

int message_recv(int fd, struct message *m, int fds[2])
{
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(2 * sizeof(int))];
        } control = {0};
        struct iovec iov = {m, sizeof *m};
        struct msghdr h = {.msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.space,
                .msg_controllen = sizeof control.space};
        ssize_t n;

        fds[0] = fds[1] = -1;
        do
                n = recvmsg(fd, &h, MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len > CMSG_LEN(0))
                memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
        if (n == sizeof *m)
                return 0;
        sandbox_close(&fds[0]);
        sandbox_close(&fds[1]);
        return n == 0 ? -EPIPE : -EPROTO;
}

void setup_die(struct setup *u)
{
        struct message m = {.kind = MESSAGE_ERROR, .error = u->err};

        message_send(u->control_fd, &m, NULL, 0);
        _exit(127);
}

bool setup_clock_varied(const struct kiln_sandbox *s)
{
        return s->clock_shift_s != 0 || s->clock_hold_s != 0;
}

enum seccomp_answers setup_answers(const struct kiln_sandbox *s)
{
        if (setup_clock_varied(s))
                return SECCOMP_ANSWER_CLOCK;
        if (s->memory_bytes)
                return SECCOMP_ANSWER_VIEW;
        return s->kernel_release ? SECCOMP_ANSWER_UNAME : SECCOMP_ANSWER_NONE;
}

void setup_signals_reset(void)
{
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigset_t none;

        for (int sig = 1; sig < NSIG; sig++)
                sigaction(
                        sig, &action, NULL); /* fails for KILL and STOP, and glibc's own two: as it should */
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
}

static int int_compare(const void *a, const void *b)
{
        return *(const int *)a - *(const int *)b;
}

int setup_close_all_but(int *keep, size_t n)
{
        unsigned next = 3;

        qsort(keep, n, sizeof *keep, int_compare);
        for (size_t i = 0; i < n; i++) {
                if (keep[i] < (int)next)
                        continue;
                if ((unsigned)keep[i] > next && syscall(SYS_close_range, next, (unsigned)keep[i] - 1, 0) < 0)
                        return -1;
                next = (unsigned)keep[i] + 1;
        }
        return (int)syscall(SYS_close_range, next, ~0u, 0);
}
