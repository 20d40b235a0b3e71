/* One stream of what the program prints: from its pipe to the caller.
 *
 * The program never holds the caller's own descriptors, so it can neither read a terminal through them nor
 * change them; a slow reader outside makes the program wait, never the caller's limits. */
#include "sandbox/pump.h"
#include "sandbox/util.h"

#include <limits.h>

void pump_poll(const struct pump *p, struct pollfd *ret)
{
        *ret = p->pending > 0 ? (struct pollfd){p->to_fd, POLLOUT, 0} : (struct pollfd){p->fd, POLLIN, 0};
}

static void pump_flush(struct pump *p)
{
        /* POLLOUT promises room for PIPE_BUF bytes in a pipe: so much never blocks (poll(2), pipe(7)) */
        size_t n = p->pending < PIPE_BUF ? p->pending : PIPE_BUF;
        ssize_t done = write(p->to_fd, p->buffer + p->offset, n);

        if (done < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (done < 0) { /* nobody reads any more: thrown away, but still counted */
                p->pending = 0;
                return;
        }
        p->offset += (size_t)done;
        p->pending -= (size_t)done;
}

bool pump_run(struct pump *p, uint64_t *total, uint64_t max)
{
        ssize_t n;

        if (p->pending > 0) {
                pump_flush(p);
                return true;
        }
        do
                n = read(p->fd, p->buffer, sizeof p->buffer);
        while (n < 0 && errno == EINTR);
        if (n <= 0) {
                sandbox_close(&p->fd);
                return false;
        }
        size_t given = (size_t)n;
        if (max > 0 && *total + given > max)
                given = *total < max ? (size_t)(max - *total) : 0;
        *total += (uint64_t)n;
        if (p->give) {
                if (given > 0)
                        p->give(p->ctx, p->buffer, given);
        } else {
                p->offset = 0;
                p->pending = given;
        }
        return true;
}
