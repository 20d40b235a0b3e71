#include "worker/cli/live.h"

#include "worker/base/clock.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/cli/status.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* How often the line is drawn while nothing happens, and at most while much does. */
#define TICK_MS 125
#define TICK_NS (UINT64_C(1000000) * TICK_MS)
#define REDRAW_NS UINT64_C(50000000)

#define TEXT_MAX ((size_t)16 << 10) /* of one message; longer log events are sent in pieces */

struct kiln_live {
        int socket;
        pid_t child;
};

/* One datagram: this, the phase, the text. The two ends are one program, forked. */
struct message {
        enum { MESSAGE_EVENT, MESSAGE_LOG, MESSAGE_PAUSE, MESSAGE_STOP } type;
        enum kiln_event_kind kind;
        uint64_t done, total, duration_ns;
        uint32_t phase_len, text_len;
};

struct screen {
        int fd;
        struct kiln_status status;
        bool drawn;      /* a status line is on the screen */
        bool paused;     /* and none may be until the next event */
        bool unfinished; /* the last log line has not ended */
        uint64_t drawn_ns;
};

static unsigned columns_of(int fd)
{
        struct winsize w;

        return ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

/* Replaces the status line by `lines` and draws it anew below, all in one write: nothing flickers. */
static void draw(struct screen *s, const char *lines, size_t len, bool with_status)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
        uint64_t now = kiln_clock_ns();
        size_t before;

        if (s->drawn)
                kiln_buf_puts(&b, "\r\033[K");
        s->drawn = false;
        if (len) {
                kiln_buf_append(&b, lines, len);
                s->unfinished = lines[len - 1] != '\n';
        }
        before = b.len;
        if (with_status && !s->unfinished) {
                /* One column less than there are: the cursor never wraps. */
                kiln_status_line(&s->status, now, columns_of(s->fd) - 1, &b);
                s->drawn = b.len > before;
        }
        if (b.len)
                kiln_fd_write(s->fd, b.data, b.len);
        s->drawn_ns = now;
}

/* Returns false at the end. */
static bool handle(struct screen *s, int socket)
{
        static _Alignas(struct message) char packet[sizeof(struct message) + 64 + TEXT_MAX];
        _cleanup_buf_ struct kiln_buf lines = KILN_BUF_INIT;
        ssize_t n = recv(socket, packet, sizeof(packet), 0);
        struct message *m = (struct message *)packet;
        char phase[65];

        if (n < 0 && errno == EINTR)
                return true;
        if (n < (ssize_t)sizeof(*m) || m->type == MESSAGE_STOP)
                return false;
        if (m->type == MESSAGE_PAUSE) {
                draw(s, s->unfinished ? "\n" : "", s->unfinished ? 1 : 0, false);
                s->paused = true;
                return send(socket, "", 1, MSG_NOSIGNAL) == 1;
        }
        if (m->type == MESSAGE_LOG) {
                kiln_status_log(&s->status, packet + sizeof(*m), m->text_len);
                return true; /* drawn with the next tick */
        }
        memcpy(phase, packet + sizeof(*m), m->phase_len);
        phase[m->phase_len] = '\0';
        s->paused = false;
        struct kiln_event event = {
                .kind = m->kind,
                .phase = phase,
                .text = packet + sizeof(*m) + m->phase_len,
                .len = m->text_len,
                .done = m->done,
                .total = m->total,
                .duration_ns = m->duration_ns,
        };
        uint64_t now = kiln_clock_ns();
        /* What is not a log line begins on a line of its own. */
        if (s->unfinished && m->kind != KILN_EVENT_LOG && m->kind != KILN_EVENT_PROGRESS)
                kiln_buf_putc(&lines, '\n');
        kiln_status_event(&s->status, &event, now, &lines);
        if (lines.len || now - s->drawn_ns >= REDRAW_NS)
                draw(s, kiln_buf_str(&lines), lines.len, true);
        return true;
}

static void __attribute__((noreturn)) display(int terminal, int socket, pid_t parent)
{
        struct screen s = {.fd = terminal};
        struct pollfd p = {.fd = socket, .events = POLLIN};
        sigset_t none;

        /* Ctrl-C is the parent's to handle; this process ends when the parent says so or is gone. */
        signal(SIGINT, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        signal(SIGTERM, SIG_IGN);
        signal(SIGPIPE, SIG_IGN);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        kiln_status_init(&s.status, !(getenv("NO_COLOR") && *getenv("NO_COLOR")));
        for (;;) {
                int r = poll(&p, 1, s.paused || s.status.phase[0] == '\0' ? 1000 : TICK_MS);

                if (r > 0 && !handle(&s, socket))
                        break;
                if (getppid() != parent)
                        break;
                if (!s.paused && kiln_clock_ns() - s.drawn_ns >= TICK_NS)
                        draw(&s, "", 0, true);
        }
        draw(&s, s.unfinished ? "\n" : "", s.unfinished ? 1 : 0, false);
        _exit(0);
}

struct kiln_live *kiln_live_start(int fd)
{
        int pair[2];
        pid_t parent = getpid(), child;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return NULL;
        child = fork();
        if (child == 0) {
                /* Nothing else of the parent's stays open here: not its locks, not the other end. */
                int socket = dup2(pair[1], 3) == 3 ? 3 : -1;
                int terminal = dup2(fd, 2) == 2 ? 2 : -1;

                if (socket < 0 || terminal < 0)
                        _exit(1);
                close(0);
                close(1);
                close_range(4, ~0u, 0);
                display(terminal, socket, parent);
        }
        close(pair[1]);
        if (child < 0) {
                close(pair[0]);
                return NULL;
        }
        struct kiln_live *l = kiln_calloc(1, sizeof(*l));
        *l = (struct kiln_live){.socket = pair[0], .child = child};
        return l;
}

static void send_message(struct kiln_live *l, struct message *m, const char *phase, const char *text)
{
        struct iovec parts[3] = {{m, sizeof(*m)}, {(char *)phase, m->phase_len}, {(char *)text, m->text_len}};
        struct msghdr h = {.msg_iov = parts, .msg_iovlen = 3};

        while (sendmsg(l->socket, &h, MSG_NOSIGNAL) < 0 && errno == EINTR)
                ;
}

void kiln_live_send(struct kiln_live *l, const struct kiln_event *event)
{
        const char *phase = event->phase ? event->phase : "", *text = event->text ? event->text : "";
        size_t len = event->text ? event->len : 0;

        do {
                size_t piece = len < TEXT_MAX ? len : TEXT_MAX;
                struct message m = {
                        .type = MESSAGE_EVENT,
                        .kind = event->kind,
                        .done = event->done,
                        .total = event->total,
                        .duration_ns = event->duration_ns,
                        .phase_len = (uint32_t)strnlen(phase, 64),
                        .text_len = (uint32_t)piece,
                };

                send_message(l, &m, phase, text);
                text += piece;
                len -= piece;
        } while (len > 0 && event->kind == KILN_EVENT_LOG);
}

void kiln_live_log(struct kiln_live *l, const char *data, size_t len)
{
        size_t tail = len < 512 ? len : 512; /* more than any status line shows */
        struct message m = {.type = MESSAGE_LOG, .text_len = (uint32_t)tail};

        send_message(l, &m, "", data + len - tail);
}

void kiln_live_pause(struct kiln_live *l)
{
        struct message m = {.type = MESSAGE_PAUSE};
        char ack;

        send_message(l, &m, "", "");
        while (recv(l->socket, &ack, 1, 0) < 0 && errno == EINTR)
                ;
}

void kiln_live_stop(struct kiln_live *l)
{
        struct message m = {.type = MESSAGE_STOP};

        send_message(l, &m, "", "");
        while (waitpid(l->child, NULL, 0) < 0 && errno == EINTR)
                ;
        close(l->socket);
        free(l);
}
