/* Loaded before the C library (LD_PRELOAD) by faults.sh: lets one chosen call of kiln fail, as a full or
 * broken disk, a clock set back or an old kernel would.
 *
 * KILN_FAULT is one of
 *   count=FILE       no fault; FILE gets two numbers: how many calls ENOSPC and EIO could have hit
 *   ENOSPC=N         the Nth call that needs room fails, and every later one
 *   EIO=N            the Nth call that reads or writes a file fails, once
 *   clock=N          from the Nth question on it is three days earlier
 *   no-openat2, no-overlay, no-time-namespace, no-user-namespace   what a kernel may not have; also in forks
 *
 * Only the process that was started has disk and clock faults, not what it forks: where they hit is then
 * always the same. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char fault[64];
static char count_file[256];
static unsigned long wanted, room_calls, disk_calls, clock_calls;
static pid_t owner;

__attribute__((constructor)) static void start(void)
{
        const char *v = getenv("KILN_FAULT"), *equals = v ? strchr(v, '=') : NULL,
                   *o = getenv("KILN_FAULT_OWNER");
        char pid[16];

        /* kiln executes itself once (worker/cli/front.c) and stays who it is; what others execute is not
         * meant. */
        snprintf(pid, sizeof(pid), "%d", (int)getpid());
        if (!v || (o && strcmp(o, pid) != 0))
                return;
        setenv("KILN_FAULT_OWNER", pid, 1);
        snprintf(fault, sizeof(fault), "%.*s", equals ? (int)(equals - v) : (int)strlen(v), v);
        if (strcmp(fault, "count") == 0)
                snprintf(count_file, sizeof(count_file), "%s", equals + 1);
        else if (equals)
                wanted = strtoul(equals + 1, NULL, 10);
        owner = getpid();
}

__attribute__((destructor)) static void end(void)
{
        FILE *f = count_file[0] && getpid() == owner ? fopen(count_file, "we") : NULL;

        if (!f)
                return;
        fprintf(f, "%lu %lu\n", room_calls, disk_calls);
        fclose(f);
}

static bool is(const char *name)
{
        return strcmp(fault, name) == 0;
}

/* Whether this call is to fail, with errno set. Only regular files and directories are on a disk. */
static bool hit(int fd, bool needs_room)
{
        struct stat st;
        int saved = errno;

        if (owner == 0 || getpid() != owner)
                return false;
        if (fd >= 0 && (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))) {
                errno = saved;
                return false;
        }
        disk_calls++;
        room_calls += needs_room;
        if (is("EIO") && disk_calls == wanted)
                return errno = EIO, true;
        if (is("ENOSPC") && needs_room && room_calls >= wanted)
                return errno = ENOSPC, true;
        errno = saved;
        return false;
}

/* The C library's own function of this name. */
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t n)
{
        return hit(fd, true) ? -1 : NEXT(write)(fd, data, n);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t offset)
{
        return hit(fd, true) ? -1 : NEXT(pwrite64)(fd, data, n, offset);
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags)
{
        return hit(out, true) ? -1 : NEXT(copy_file_range)(in, in_at, out, out_at, n, flags);
}

ssize_t read(int fd, void *data, size_t n)
{
        return hit(fd, false) ? -1 : NEXT(read)(fd, data, n);
}

ssize_t pread64(int fd, void *data, size_t n, off64_t offset)
{
        return hit(fd, false) ? -1 : NEXT(pread64)(fd, data, n, offset);
}

int fsync(int fd)
{
        return hit(fd, true) ? -1 : NEXT(fsync)(fd);
}

int syncfs(int fd)
{
        return hit(fd, true) ? -1 : NEXT(syncfs)(fd);
}

int mkdirat(int fd, const char *path, mode_t mode)
{
        return hit(-1, true) ? -1 : NEXT(mkdirat)(fd, path, mode);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
        return hit(-1, true) ? -1 : NEXT(linkat)(from, old, to, new, flags);
}

int renameat(int from, const char *old, int to, const char *new)
{
        return hit(-1, true) ? -1 : NEXT(renameat)(from, old, to, new);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
        return hit(-1, true) ? -1 : NEXT(renameat2)(from, old, to, new, flags);
}

int openat64(int fd, const char *path, int flags, ...)
{
        mode_t mode = 0;
        va_list args;

        if (flags & O_CREAT) {
                va_start(args, flags);
                mode = va_arg(args, mode_t);
                va_end(args);
                if (hit(-1, true))
                        return -1;
        }
        return NEXT(openat64)(fd, path, flags, mode);
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
        int r = NEXT(clock_gettime)(clock, t);

        if (r == 0 && clock == CLOCK_REALTIME && is("clock") && getpid() == owner && ++clock_calls >= wanted)
                t->tv_sec -= 3 * 24 * 3600;
        return r;
}

time_t time(time_t *ret)
{
        struct timespec t;

        clock_gettime(CLOCK_REALTIME, &t);
        if (ret)
                *ret = t.tv_sec;
        return t.tv_sec;
}

/* ---- kernels that lack something */

long syscall(long number, ...)
{
        long a[6];
        va_list args;

        va_start(args, number);
        for (int i = 0; i < 6; i++)
                a[i] = va_arg(args, long);
        va_end(args);
        if (number == SYS_openat2 && is("no-openat2"))
                return errno = ENOSYS, -1;
        return NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int unshare(int flags)
{
        if ((flags & CLONE_NEWUSER) && is("no-user-namespace"))
                return errno = ENOSPC, -1; /* user.max_user_namespaces = 0 */
        if ((flags & 0x80) && is("no-time-namespace"))
                return errno = EINVAL, -1;
        return NEXT(unshare)(flags);
}

int fsopen(const char *name, unsigned flags)
{
        if (strcmp(name, "overlay") == 0 && is("no-overlay"))
                return errno = ENODEV, -1;
        return NEXT(fsopen)(name, flags);
}
