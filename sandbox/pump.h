/* One stream of what the program prints. Private to the room. */
#pragma once

#include "sandbox/sandbox.h"

#include <poll.h>

struct pump {
        int fd;    /* read end; -1: at its end, or never opened */
        int to_fd; /* where it goes without a callback */
        void (*give)(void *ctx, const void *data, size_t len);
        void *ctx;
        size_t pending; /* bytes of `buffer` still to be written to to_fd */
        size_t offset;
        char buffer[65536];
};

/* What to wait for next: more output, or room in to_fd while some is pending. */
void pump_poll(const struct pump *p, struct pollfd *ret);

/* Moves what can be moved without waiting. *total counts the bytes read; those above `max` (0: no limit) are
 * not passed on. Returns true when something was read. */
bool pump_run(struct pump *p, uint64_t *total, uint64_t max);
