/* The process that libsolv runs in. What repositories and requests say is put together here to more than any
 * one part of them shows, by a library that gives up by ending the process: so it is a process that has its
 * memory bounded, no file but what it is handed, no network, and nothing to start. */
#include "worker/buildroot/pool-inside.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/base/process.h"
#include "worker/buildroot/poolwire.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define SOCKET_FD 3
#define SOLV_FD 4 /* the one file that can be written into */

/* ---- what is asked of the process outside ---------------------------------------------------------------
 */

static int ask_file(const struct pool *p, enum pool_message_kind kind, size_t repository)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        struct pool_message m;
        int fd = -1;

        if (pool_send(p->fd, NULL, kind, (uint32_t)repository, NULL, -1) < 0 ||
                pool_receive(p->fd, NULL, &m, &text, &fd) < 0 || m.kind != POOL_FILE)
                _exit(0); /* nobody is there who would want an answer */
        return fd;
}

int outside_cached(const struct pool *p, size_t repository)
{
        return ask_file(p, POOL_CACHED, repository);
}

int outside_primary(const struct pool *p, size_t repository)
{
        return ask_file(p, POOL_PRIMARY, repository);
}

int outside_filelists(const struct pool *p, size_t repository)
{
        return ask_file(p, POOL_FILELISTS, repository);
}

/* The file is the same every time: what it held before was read before the last file that was asked for
 * came. */
void outside_keep(const struct pool *p, size_t repository, const struct kiln_buf *bytes)
{
        if (bytes->len > SOLVCACHE_BYTES_MAX || ftruncate(SOLV_FD, 0) < 0 ||
                lseek(SOLV_FD, 0, SEEK_SET) != 0 || kiln_fd_write(SOLV_FD, bytes->data, bytes->len) < 0)
                return; /* not kept: made again next time */
        if (pool_send(p->fd, NULL, POOL_KEEP, (uint32_t)repository, NULL, SOLV_FD) < 0)
                _exit(0);
}

void outside_warn(const struct pool *p, const char *text)
{
        _cleanup_buf_ struct kiln_buf message = KILN_BUF_INIT;

        pool_put(&message, text);
        if (pool_send(p->fd, NULL, POOL_WARN, 0, &message, -1) < 0)
                _exit(0);
}

/* ---- confinement ----------------------------------------------------------------------------------------
 */

/* Everything else: EPERM. What could carry something away or start something is killed for trying. */
static const int allowed_calls[] = {SCMP_SYS(brk), SCMP_SYS(clock_gettime), SCMP_SYS(close), SCMP_SYS(dup),
        SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(fstat), SCMP_SYS(ftruncate), SCMP_SYS(futex),
        SCMP_SYS(getpid), SCMP_SYS(getrandom), SCMP_SYS(gettid), SCMP_SYS(lseek), SCMP_SYS(madvise),
        SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(mremap), SCMP_SYS(munmap), SCMP_SYS(newfstatat),
        SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(pread64), SCMP_SYS(read), SCMP_SYS(recvmsg),
        SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
        SCMP_SYS(sched_yield), SCMP_SYS(sendmsg), SCMP_SYS(sendto),
        SCMP_SYS(sigaltstack), /* AddressSanitizer asks for it before every function that does not return */
        SCMP_SYS(sysinfo), SCMP_SYS(write)};

static const int deadly_calls[] = {SCMP_SYS(clone), SCMP_SYS(connect), SCMP_SYS(execve), SCMP_SYS(execveat),
        SCMP_SYS(fork), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(ptrace),
        SCMP_SYS(socket), SCMP_SYS(vfork)};

/* Not F_SETOWN and F_SETSIG, which send signals to others. */
static const unsigned allowed_fcntls[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL};

#define IS(n, value) SCMP_A##n(SCMP_CMP_MASKED_EQ, UINT32_MAX, (value))

static int confine_calls(void)
{
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
        int r = filter ? 0 : -ENOMEM;

        for (size_t i = 0; r == 0 && i < KILN_ARRAY_SIZE(allowed_calls); i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_calls[i], 0);
        for (size_t i = 0; r == 0 && i < KILN_ARRAY_SIZE(deadly_calls); i++)
                r = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, deadly_calls[i], 0);
        for (size_t i = 0; r == 0 && i < KILN_ARRAY_SIZE(allowed_fcntls); i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, IS(1, allowed_fcntls[i]));
        if (r == 0) /* abort() */
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, IS(0, (uint32_t)getpid()));
        if (r == 0)
                r = seccomp_load(filter);
        seccomp_release(filter);
        return r;
}

/* The socket, the file in memory, and nothing that kiln reads, writes to or has a terminal at. */
static int confine_fds(int *fd)
{
        _cleanup_close_ int socket = fcntl(*fd, F_DUPFD_CLOEXEC, SOLV_FD + 1);
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC),
                            solv = memfd_create("solv", MFD_CLOEXEC);

        if (socket < 0 || null < 0 || solv < 0 || dup2(solv, SOLV_FD) < 0 || dup2(socket, SOCKET_FD) < 0)
                return -errno;
        for (int i = 0; i < SOCKET_FD; i++)
                if (dup2(null, i) < 0)
                        return -errno;
        *fd = SOCKET_FD;
        return 0;
}

/* The signals of a terminal are the other process's, which ends this one; its handlers would write into
 * descriptors that are others here. */
int pool_confine(int *fd, pid_t parent)
{
        static const struct rlimit no_core = {0, 0}, cpu = {POOL_CPU_S, POOL_CPU_S},
                                   file = {SOLVCACHE_BYTES_MAX, SOLVCACHE_BYTES_MAX};
        static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ};
        int r;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(ignored); i++)
                signal(ignored[i], SIG_IGN);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                return -ESRCH;
        r = confine_fds(fd);
        if (r < 0)
                return r;
        if (close_range(SOLV_FD + 1, ~0U, 0) < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0 ||
                setrlimit(RLIMIT_CPU, &cpu) < 0 || setrlimit(RLIMIT_FSIZE, &file) < 0 ||
                prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        if (kiln_process_bound_memory(POOL_MEMORY_BYTES) < 0)
                return -EPERM;
        return confine_calls();
}

/* ---- requests -------------------------------------------------------------------------------------------
 */

static int answer(struct pool *p, int r, const struct kiln_buf *text, const struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf failure = KILN_BUF_INIT;

        if (r == 0)
                return pool_send(p->fd, NULL, POOL_ANSWER, 0, text, -1);
        pool_put(&failure, err->doing);
        pool_put(&failure, err->subject);
        pool_put(&failure, err->cause);
        pool_put(&failure, err->advice);
        return pool_send(p->fd, NULL, POOL_FAILED, err->verdict, &failure, -1);
}

static int serve_solve(struct pool *p, const struct kiln_buf *request, size_t n_conflicts)
{
        _cleanup_strv_ char **strings = pool_strings(request);
        _cleanup_(kiln_lock_freep) struct kiln_lock *lock = NULL;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        size_t n = kiln_strv_length(strings) - 1 - n_conflicts;
        _cleanup_free_ const char **requires = kiln_calloc(n + 1, sizeof(*requires));
        const struct kiln_solve q = {.requires = requires,
                .conflicts = (const char *const *)strings + 1 + n,
                .wanted_by = strings[0]};
        int r;

        memcpy(requires, strings + 1, n * sizeof(*requires));
        r = inside_solve(p, &q, &lock, &err);
        if (r == 0)
                kiln_lock_write(lock, &text);
        return answer(p, r, &text, &err);
}

struct packages {
        int *fds;
        char **names;
        size_t n;
};

static void packages_clear(struct packages *p)
{
        for (size_t i = 0; i < p->n; i++)
                kiln_closep(&p->fds[i]);
        free(p->fds);
        kiln_strv_free(p->names);
        *p = (struct packages){0};
}

static int serve_installable(struct pool *p, struct packages *packages)
{
        _cleanup_strv_ char **problems = NULL;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        int r = inside_installable(
                p, packages->fds, (const char *const *)packages->names, packages->n, &problems, &err);

        for (char **s = problems; r == 0 && *s; s++)
                pool_put(&text, *s);
        packages_clear(packages);
        return answer(p, r, &text, &err);
}

static int serve(struct pool *p, struct packages *packages)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        _cleanup_close_ int fd = -1;
        struct pool_message m;
        int r = pool_receive(p->fd, NULL, &m, &text, &fd), n = (int)packages->n;

        if (r < 0)
                return r;
        switch (m.kind) {
        case POOL_SOLVE:
                return serve_solve(p, &text, m.number);
        case POOL_PACKAGE:
                kiln_strv_append(&packages->names, kiln_buf_str(&text));
                packages->fds = kiln_realloc(packages->fds, (size_t)n + 1, sizeof(*packages->fds));
                packages->fds[packages->n++] = TAKE_FD(fd);
                return 0;
        case POOL_INSTALLABLE:
                return serve_installable(p, packages);
        default:
                return -EPROTO;
        }
}

void pool_inside(
        int fd, pid_t parent, const struct kiln_toolchain *t, const struct metadata *metadata, size_t n)
{
        struct pool unopened = {0}, *p = &unopened;
        struct packages packages = {0};
        struct kiln_error err = KILN_ERROR_INIT;
        int r = pool_confine(&fd, parent);

        unopened.fd = fd;
        if (r < 0)
                kiln_error_set(&err, KILN_INFRA, -r, "confining", "the solver", "a step failed");
        else
                r = inside_open(fd, t, metadata, n, &p, &err);
        if (answer(p, r, NULL, &err) == 0 && r == 0)
                while (serve(p, &packages) == 0)
                        ;
        _exit(0);
}
