/* The seccomp listener. Private to the room. */
#pragma once

#include "sandbox/setup.h"

struct notify {
        int listener_fd; /* -1: none yet, or everything it watched is gone */
        struct setup *setup;
        const struct kiln_sandbox *s;
        const bool *named; /* SECCOMP_NUMBERS entries: EPERM instead of ENOSYS */
        uint64_t *denied;  /* SECCOMP_NUMBERS + 1 counters */
        enum seccomp_answers answers;
        bool untraced; /* the program's clock is varied, and its tracer not started yet */
        void *request; /* as large as this kernel wants them (seccomp_unotify(2)) */
        void *response;
        size_t request_size;
        size_t response_size;
};

/* 0 or negative errno. */
int notify_init(struct notify *n, struct setup *u, int listener_fd, uint64_t *denied);
void notify_clear(struct notify *n);

/* Answers one call. 0, or -EPIPE when the listener has nobody left to listen to. */
int notify_answer(struct notify *n);
