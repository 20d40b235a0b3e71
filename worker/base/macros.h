/* Small helpers every file may use: cleanup attributes, ownership transfer, array size.
 *
 * Ownership policy of the whole project: a local that owns something carries a cleanup attribute; handing
 * it over is TAKE_PTR/TAKE_FD in the last lines of the function; x_free(NULL) is fine and returns NULL. */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define KILN_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))

#define TAKE_PTR(p)                                                                                          \
        ({                                                                                                   \
                __typeof__(p) _taken = (p);                                                                  \
                (p) = NULL;                                                                                  \
                _taken;                                                                                      \
        })
#define TAKE_FD(fd)                                                                                          \
        ({                                                                                                   \
                int _taken = (fd);                                                                           \
                (fd) = -1;                                                                                   \
                _taken;                                                                                      \
        })

/* Defines x_freep() for use with _cleanup_() from a function `type *f(type *)` or `void f(type *)`. */
#define KILN_DEFINE_CLEANUP(type, f)                                                                         \
        static inline void f##p(type *p)                                                                     \
        {                                                                                                    \
                if (*p)                                                                                      \
                        f(*p);                                                                               \
        }

static inline void kiln_freep(void *p)
{
        free(*(void **)p);
}

static inline void kiln_closep(int *fd)
{
        if (*fd >= 0)
                close(*fd);
}

#define _cleanup_free_ _cleanup_(kiln_freep)
#define _cleanup_close_ _cleanup_(kiln_closep)
