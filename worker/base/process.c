#include "worker/base/process.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define OUTPUT_MAX ((size_t)16 << 20)
#define ERRORS_MAX ((size_t)64 << 10)

static void __attribute__((noreturn)) child(const struct kiln_process *p, int out, int errors, int status_fd)
{
        char path[512], home[512];
        const char *host_path = getenv("PATH"), *host_home = getenv("HOME");
        const char *fixed[] = {path, home, "LC_ALL=C.UTF-8", "TZ=UTC", NULL};
        int in = p->stdin_fd >= 0 ? p->stdin_fd : open("/dev/null", O_RDONLY);

        snprintf(path, sizeof(path), "PATH=%s",
                host_path ? host_path : "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        snprintf(home, sizeof(home), "HOME=%s", host_home ? host_home : "/");
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(errors, 2) < 0 ||
                (p->cwd_fd >= 0 && fchdir(p->cwd_fd) < 0))
                goto fail;
        signal(SIGPIPE, SIG_DFL);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execvpe(p->argv[0], (char *const *)p->argv, (char *const *)(p->env ? p->env : fixed));
fail:;
        int e = errno;
        ssize_t ignored = write(status_fd, &e, sizeof(e));
        (void)ignored;
        _exit(127);
}

static void keep_tail(struct kiln_buf *b, const char *data, size_t len)
{
        kiln_buf_append(b, data, len);
        if (b->len > 2 * ERRORS_MAX) {
                memmove(b->data, b->data + b->len - ERRORS_MAX, ERRORS_MAX);
                b->len = ERRORS_MAX;
                b->data[b->len] = '\0';
        }
}

/* Reads both pipes until the end of each. */
static int pump(const struct kiln_context *c, const struct kiln_process *p, int out_fd, int err_fd,
        struct kiln_buf *out, struct kiln_buf *errors)
{
        size_t max = p->output_max ? p->output_max : OUTPUT_MAX, seen = 0;
        struct pollfd fds[3] = {{out_fd, POLLIN, 0}, {err_fd, POLLIN, 0}, {c ? c->cancel_fd : -1, POLLIN, 0}};
        char chunk[16384];

        while (fds[0].fd >= 0 || fds[1].fd >= 0) {
                if (poll(fds, 3, -1) < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (fds[2].revents)
                        return -ECANCELED;
                for (int i = 0; i < 2; i++) {
                        if (!fds[i].revents)
                                continue;
                        ssize_t n = read(fds[i].fd, chunk, sizeof(chunk));
                        if (n < 0 && errno == EINTR)
                                continue;
                        if (n <= 0) {
                                fds[i].fd = -1;
                                continue;
                        }
                        if (i == 0) {
                                seen += (size_t)n;
                                if (seen > max)
                                        return -EFBIG;
                                if (out)
                                        kiln_buf_append(out, chunk, (size_t)n);
                        } else if (errors) {
                                keep_tail(errors, chunk, (size_t)n);
                        }
                }
        }
        return 0;
}

int kiln_process_run(const struct kiln_context *c, const struct kiln_process *p, struct kiln_buf *out,
        struct kiln_buf *errors)
{
        _cleanup_close_ int out_r = -1, out_w = -1, err_r = -1, err_w = -1, exec_r = -1, exec_w = -1;
        int fds[2], r, status, exec_errno = 0;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        out_r = fds[0], out_w = fds[1];
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        err_r = fds[0], err_w = fds[1];
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        exec_r = fds[0], exec_w = fds[1];

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                child(p, out_w, err_w, exec_w);
        setpgid(pid, pid);
        close(TAKE_FD(out_w));
        close(TAKE_FD(err_w));
        close(TAKE_FD(exec_w));

        r = pump(c, p, out_r, err_r, out, errors);
        if (r < 0)
                kill(-pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        if (r < 0)
                return r;
        if (read(exec_r, &exec_errno, sizeof(exec_errno)) == sizeof(exec_errno))
                return -exec_errno;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -EPIPE;
}

int kiln_process_bound_memory(uint64_t more_bytes)
{
        _cleanup_buf_ struct kiln_buf statm = KILN_BUF_INIT;
        struct rlimit limit;
        unsigned long pages;
        rlim_t most;
        int r = kiln_file_read(AT_FDCWD, "/proc/self/statm", 4096, &statm);

        if (r < 0 || sscanf(kiln_buf_str(&statm), "%lu", &pages) != 1)
                return r < 0 ? r : -EIO;
        if (getrlimit(RLIMIT_AS, &limit) < 0)
                return -errno;
        most = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + more_bytes;
        limit.rlim_max = limit.rlim_max < most ? limit.rlim_max : most; /* RLIM_INFINITY is the largest */
        limit.rlim_cur = limit.rlim_cur < most ? limit.rlim_cur : most;
        return setrlimit(RLIMIT_AS, &limit) < 0 ? -errno : 0;
}
