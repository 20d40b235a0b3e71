#include "worker/base/error.h"

#include "worker/base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

static const char *const verdict_names[] = {
        [KILN_OK] = "OK",
        [KILN_BUILD_FAILED] = "BUILD_FAILED",
        [KILN_USAGE] = "USAGE",
        [KILN_BAD_INPUT] = "BAD_INPUT",
        [KILN_INFRA] = "INFRA",
        [KILN_LIMIT] = "LIMIT",
        [KILN_REFUSED] = "REFUSED",
        [KILN_NOT_REPRODUCED] = "NOT_REPRODUCED",
        [KILN_CANCELLED] = "CANCELLED",
};

const char *kiln_verdict_name(enum kiln_verdict v)
{
        if ((size_t)v >= KILN_ARRAY_SIZE(verdict_names))
                return "INFRA";
        return verdict_names[v];
}

/* A broken disk and a host without memory or descriptors are nobody's bad input, whatever was read when it
 * showed. */
static enum kiln_verdict blame(enum kiln_verdict v, int errnum)
{
        bool host = errnum == EIO || errnum == ENOMEM || errnum == EMFILE || errnum == ENFILE;

        return host && (v == KILN_BAD_INPUT || v == KILN_BUILD_FAILED) ? KILN_INFRA : v;
}

int kiln_error_set(struct kiln_error *e, enum kiln_verdict v, int errnum, const char *doing,
        const char *subject, const char *fmt, ...)
{
        _cleanup_free_ char *cause = NULL;
        va_list ap;

        if (errnum < 0)
                errnum = -errnum;
        if (!e)
                return errnum ? -errnum : -EIO;

        va_start(ap, fmt);
        cause = kiln_vasprintf(fmt, ap);
        va_end(ap);

        struct kiln_error fresh = {
                .verdict = blame(v, errnum),
                .errnum = errnum,
                .doing = kiln_strdup(doing),
                .subject = subject ? kiln_strdup(subject) : NULL,
                .cause = errnum ? kiln_asprintf("%s: %s", cause, strerror(errnum)) : TAKE_PTR(cause),
        };
        /* Only now: the arguments may point into what *e held. */
        kiln_error_clear(e);
        *e = fresh;
        return errnum ? -errnum : -EIO;
}

void kiln_error_advise(struct kiln_error *e, const char *fmt, ...)
{
        va_list ap;

        if (!e)
                return;
        free(e->advice);
        va_start(ap, fmt);
        e->advice = kiln_vasprintf(fmt, ap);
        va_end(ap);
}

char *kiln_error_format(const struct kiln_error *e)
{
        return kiln_asprintf("%s%s%s: %s%s%s", e->doing ? e->doing : "working", e->subject ? " " : "",
                e->subject ? e->subject : "", e->cause ? e->cause : "unknown error", e->advice ? "\n" : "",
                e->advice ? e->advice : "");
}

void kiln_error_clear(struct kiln_error *e)
{
        free(e->doing);
        free(e->subject);
        free(e->cause);
        free(e->advice);
        *e = (struct kiln_error)KILN_ERROR_INIT;
}
