/* The steps of setting a sandbox up: each has a name, any of them failing is fatal, and tests can make any of
 * them fail.
 *
 * Every system call on whose success the isolation depends goes through TRY(). The hook is a pointer handed
 * to sandbox_run_hooked() by tests that link this room; nothing from outside (environment, file, option)
 * reaches it. */
#pragma once

#include "sandbox/sandbox.h"
#include "sandbox/util.h"

#include <stdbool.h>

struct step_hook {
        int (*before)(void *ctx, const char *step); /* positive errno: the step fails with it; 0: it runs */
        void *ctx;                                  /* shared memory: steps run in several processes */
};

/* Fills *err for a failed step and returns -errnum. Adds advice, and `refused`, from the table in step.c. */
int step_fail(struct kiln_sandbox_error *err, const char *step, int errnum, const char *fmt, ...)
        __attribute__((format(printf, 4, 5)));

/* The errno the hook wants, else 0. */
int step_fault(const struct step_hook *hook, const char *step);

/* Runs `call` (which returns -1 and sets errno on failure) as the named step. Yields its value, or negative
 * errno with *err filled. */
#define TRY(hook, err, step, call)                                                                           \
        ({                                                                                                   \
                int _fault = step_fault((hook), (step));                                                     \
                long _value;                                                                                 \
                if (_fault > 0) {                                                                            \
                        errno = _fault;                                                                      \
                        _value = -1;                                                                         \
                } else {                                                                                     \
                        _value = (long)(call);                                                               \
                }                                                                                            \
                _value < 0 ? step_fail((err), (step), errno, "%s failed", (step)) : (int)_value;             \
        })
