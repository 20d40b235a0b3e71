/* What the files of this room share: cleanup attributes, ownership transfer, small system call wrappers.
 *
 * The room uses nothing else of the project, so these few lines exist here once more. Private: the one header
 * others include is sandbox.h. */
#pragma once

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <linux/openat2.h>

#ifndef _cleanup_
#define _cleanup_(f) __attribute__((cleanup(f)))
#endif
#ifndef TAKE_FD
#define TAKE_FD(fd)                                                                                          \
        ({                                                                                                   \
                int _taken = (fd);                                                                           \
                (fd) = -1;                                                                                   \
                _taken;                                                                                      \
        })
#endif

#define SANDBOX_COUNT(a) (sizeof(a) / sizeof((a)[0]))

static inline void sandbox_closep(int *fd)
{
        if (*fd >= 0)
                close(*fd);
}
#define _fd_ _cleanup_(sandbox_closep)

static inline void sandbox_freep(void *p)
{
        free(*(void **)p);
}
#define _mem_ _cleanup_(sandbox_freep)

static inline void sandbox_fclosep(FILE **f)
{
        if (*f)
                fclose(*f);
}
#define _file_ _cleanup_(sandbox_fclosep)

/* Closes *fd when it is open and forgets it. */
static inline void sandbox_close(int *fd)
{
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

static inline uint64_t sandbox_now_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/* openat2(2), which glibc does not wrap. `resolve` is RESOLVE_*. EAGAIN says that somebody mounted or renamed
 * something, anywhere on the machine, while ".." was looked up; on a busy one that happens, and not often in
 * a row. */
static inline int sandbox_openat2(
        int dir_fd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
        struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
        int fd;

        for (int tries = 0; tries < 1000; tries++) {
                fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
                if (fd >= 0 || errno != EAGAIN)
                        break;
        }
        return fd;
}

static inline int sandbox_pidfd_open(pid_t pid)
{
        return (int)syscall(SYS_pidfd_open, pid, 0);
}

static inline int sandbox_pidfd_kill(int pidfd, int sig)
{
        return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}
