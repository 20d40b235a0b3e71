#include "worker/cli/cancel.h"

#include "worker/base/macros.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>

static int cancel_fd = -1;
static volatile sig_atomic_t asked;

static void on_signal(int signo)
{
        static const char line[] = "\nkiln: stopping; once more to stop at once\n";
        uint64_t one = 1;
        int saved = errno;
        ssize_t ignored;

        if (asked) {
                signal(signo, SIG_DFL);
                raise(signo); /* delivered when this handler returns */
        } else {
                asked = 1;
                ignored = write(cancel_fd, &one, sizeof(one));
                if (signo == SIGINT && isatty(STDERR_FILENO))
                        ignored = write(STDERR_FILENO, line, sizeof(line) - 1);
                (void)ignored;
        }
        errno = saved;
}

static void on_pipe(int signo)
{
}

int kiln_cancel_init(void)
{
        struct sigaction stop = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
        struct sigaction broken = {.sa_handler = on_pipe, .sa_flags = SA_RESTART};
        static const int stops[] = {SIGINT, SIGTERM, SIGHUP};

        if (cancel_fd < 0)
                cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (cancel_fd < 0)
                return -errno;
        for (size_t i = 0; i < KILN_ARRAY_SIZE(stops); i++) {
                struct sigaction old;

                /* nohup(1) and a shell's background jobs ignore some of them on purpose. */
                if (sigaction(stops[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
                        continue;
                if (sigaction(stops[i], &stop, NULL) < 0)
                        return -errno;
        }
        return sigaction(SIGPIPE, &broken, NULL) < 0 ? -errno : cancel_fd;
}
