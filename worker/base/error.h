/* What an operation says when it fails, and whose fault it was.
 *
 * Error policy of the project (ARCHITECTURE.md): inside a stage a function returns negative errno for what is
 * fatal and is handed on, and a positive, named condition for what its caller must handle. At a stage's edge
 * it also fills a `struct kiln_error`: the verdict, what was being done, to what, the cause, and what the
 * user can do next. Libraries never print; worker/cli does, and the event stream carries the same to a
 * coordinator. */
#pragma once

#include "worker/base/macros.h"

/* The verdicts; their numbers are the exit statuses of `kiln`. */
enum kiln_verdict {
        KILN_OK = 0,
        KILN_BUILD_FAILED = 1,
        KILN_USAGE = 2,
        KILN_BAD_INPUT = 3,
        KILN_INFRA = 4,
        KILN_LIMIT = 5,
        KILN_REFUSED = 6,
        KILN_NOT_REPRODUCED = 7,
        KILN_CANCELLED = 8,
};

const char *kiln_verdict_name(enum kiln_verdict v); /* "OK", "BUILD_FAILED", …; static */

struct kiln_error {
        enum kiln_verdict verdict; /* KILN_OK: no error is set */
        int errnum;                /* positive errno, or 0 when no system call was at fault */
        char *doing;               /* "fetching", "installing the base layer"; owned */
        char *subject;             /* file, package or URL it was done to; owned, may be NULL */
        char *cause;               /* what went wrong; owned */
        char *advice;              /* what the user can do; owned, may be NULL */
};

#define KILN_ERROR_INIT                                                                                      \
        {                                                                                                    \
                KILN_OK, 0, NULL, NULL, NULL, NULL                                                           \
        }

/* Fills *e (freeing what it held) and returns -errnum, or -EIO when errnum is 0. `e` may be NULL: only the
 * return value remains. The cause is formatted from fmt; when errnum is set, ": <strerror>" is appended.
 * BAD_INPUT and BUILD_FAILED become INFRA when errnum says that the host is at fault (EIO, ENOMEM, EMFILE,
 * ENFILE). */
int kiln_error_set(struct kiln_error *e, enum kiln_verdict v, int errnum, const char *doing,
        const char *subject, const char *fmt, ...) _printf_(6, 7);

/* Sets what the user can do next. */
void kiln_error_advise(struct kiln_error *e, const char *fmt, ...) _printf_(2, 3);

/* "doing subject: cause" and, on a second line, the advice. Owned by the caller. */
char *kiln_error_format(const struct kiln_error *e);

void kiln_error_clear(struct kiln_error *e);
#define _cleanup_error_ _cleanup_(kiln_error_clear)
