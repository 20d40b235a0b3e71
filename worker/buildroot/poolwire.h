/* What the two processes of a pool say to each other over a stream socket: pool-outside.c asks, pool-inside.c
 * answers, and asks for files meanwhile. The side outside takes what it reads for hostile. Not for other
 * rooms. */
#pragma once

#include "worker/base/buf.h"
#include "worker/base/error.h"

#include <stdint.h>

#define POOL_TEXT_MAX ((uint32_t)256 << 20)

enum pool_message_kind {
        /* to the process inside */
        POOL_SOLVE =
                1, /* strings: wanted by, requires…; number: how many of them are conflicts, at the end */
        POOL_PACKAGE,     /* string: name; a descriptor. For the next POOL_INSTALLABLE */
        POOL_INSTALLABLE, /* number: of packages */
        POOL_FILE,        /* a descriptor, or none when there is no such file */
        /* from it */
        POOL_CACHED,    /* number: the repository whose .solv file is wanted */
        POOL_PRIMARY,   /* the same, whose primary metadata is wanted */
        POOL_FILELISTS, /* the same, whose filelists are wanted */
        POOL_KEEP,      /* the same, whose .solv file this is; a descriptor */
        POOL_WARN,      /* string */
        POOL_ANSWER,    /* the lock's JSON; strings: problems; nothing: open */
        POOL_FAILED,    /* number: verdict; strings: doing, subject, cause, advice */
};

struct pool_message {
        uint32_t kind, number, len; /* len bytes of text follow */
};

/* How long the other one is waited for, whether it is to read or to write. NULL: for ever. */
struct pool_until {
        int cancel_fd;        /* -1: never */
        uint64_t deadline_ns; /* of kiln_clock_ns() */
};

/* Negative errno: -ECANCELED, -ETIMEDOUT. fd: -1 for none. */
int pool_send(int socket, const struct pool_until *until, enum pool_message_kind kind, uint32_t number,
        const struct kiln_buf *text, int fd);

/* Replaces *text; *ret_fd is the caller's, or -1. -EPIPE: the other one is gone; -ECANCELED; -ETIMEDOUT;
 * -EPROTO, also when more than one descriptor came. */
int pool_receive(int socket, const struct pool_until *until, struct pool_message *ret, struct kiln_buf *text,
        int *ret_fd);

/* Strings of a text: each with its NUL. */
void pool_put(struct kiln_buf *text, const char *string); /* NULL as "" */
char **pool_strings(const struct kiln_buf *text);         /* what comes after the last NUL is dropped */
