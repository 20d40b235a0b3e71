/* The monitor: makes the user namespace and PID 1, then answers the seccomp listener until PID 1 is gone.
 *
 * It stays in the host's pid and mount namespaces because the listener names processes by pid, but is id 0 of
 * the sandbox's user namespace with two capabilities there: taking it over would give little more than an
 * installing package has anyway. Killing it kills PID 1, and so everything. */
#include "sandbox/caps.h"
#include "sandbox/disk.h"
#include "sandbox/idmap.h"
#include "sandbox/notify.h"
#include "sandbox/setup.h"
#include "sandbox/trace.h"
#include "sandbox/util.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static void monitor_loop(struct setup *u, int init_pidfd)
{
        struct message denied = {.kind = MESSAGE_DENIED};
        struct notify notify = {.listener_fd = -1};
        struct pollfd polled[] = {{init_pidfd, POLLIN, 0}, {u->monitor_fd, POLLIN, 0}, {-1, POLLIN, 0}};

        for (;;) {
                if (poll(polled, SANDBOX_COUNT(polled), -1) < 0 && errno != EINTR)
                        break;
                /* Only what is there to read: with nobody left to listen to, receiving blocks for ever before
                 * Linux 6.11 */
                if (polled[2].revents & POLLIN) {
                        if (notify_answer(&notify) < 0)
                                polled[2].fd = -1;
                } else if (polled[2].revents) {
                        polled[2].fd = -1;
                }
                if (polled[1].revents) {
                        struct message m;
                        int fds[2];

                        if (message_recv(u->monitor_fd, &m, fds) == 0 && fds[0] >= 0 &&
                                notify.listener_fd < 0 && notify_init(&notify, u, fds[0], denied.denied) == 0)
                                polled[2].fd = fds[0];
                        polled[1].fd = -1; /* one listener, once */
                }
                if (polled[0].revents)
                        break;
        }
        message_send(u->control_fd, &denied, NULL, 0);
}

static int monitor_setup(struct setup *u, pid_t *ret_watcher)
{
        struct message m = {.kind = MESSAGE_UNSHARED};
        int fds[2], n;

        n = TRY(u->hook, &u->err, "prctl PDEATHSIG", prctl(PR_SET_PDEATHSIG, SIGKILL));
        if (n < 0)
                return n;
        if (getppid() != u->caller)
                _exit(127);
        /* so that the caller, were it undumpable, can write this process's id maps; undone below */
        prctl(PR_SET_DUMPABLE, 1);
        n = TRY(u->hook, &u->err, "unshare user namespace", unshare(CLONE_NEWUSER));
        if (n < 0)
                return n;
        n = message_send(u->control_fd, &m, NULL, 0);
        if (n == 0)
                n = message_recv(u->control_fd, &m, fds);
        if (n < 0 || m.kind != MESSAGE_GO)
                _exit(127); /* the caller has given up, and knows why */
        /* before the pid namespace: a process of that would be seen inside, and PID 1's end would wait for it
         */
        n = disk_start(u, ret_watcher);
        if (n < 0)
                return n;
        n = trace_start(u); /* likewise */
        if (n < 0)
                return n;
        n = TRY(u->hook, &u->err, "unshare time namespace", unshare(CLONE_NEWTIME));
        if (n < 0)
                return n;
        return TRY(u->hook, &u->err, "unshare pid namespace", unshare(CLONE_NEWPID));
}

static void children_wait(void)
{
        while (wait(NULL) > 0 || errno == EINTR)
                ;
}

/* Takes its children with it, so that nothing is left when the caller hears of the failure. */
static void __attribute__((noreturn)) monitor_die(struct setup *u, pid_t init, pid_t watcher)
{
        if (init > 0)
                kill(init, SIGKILL);
        if (watcher > 0)
                kill(watcher, SIGKILL);
        sandbox_close(&u->trace_fd);
        children_wait();
        setup_die(u);
}

void monitor_main(struct setup *u)
{
        /* to answer uname; to end PID 1 and the watcher whoever they are yet */
        static const int caps[] = {CAP_SYS_PTRACE, CAP_DAC_OVERRIDE, CAP_KILL};
        struct message m = {.kind = MESSAGE_INIT};
        pid_t init = -1, watcher = -1;
        int n;

        setup_signals_reset();
        if (!u->s->terminal)
                setsid(); /* the terminal's signals are for the caller, which cancels in order */
        for (const int *sig = (const int[]){SIGINT, SIGQUIT, SIGHUP, SIGTSTP, SIGTTIN, SIGTTOU, SIGPIPE, 0};
                *sig; sig++)
                signal(*sig, SIG_IGN);
        sandbox_close(&u->caller_fd);
        if (monitor_setup(u, &watcher) < 0)
                monitor_die(u, init, watcher);

        init = TRY(u->hook, &u->err, "fork PID 1", fork());
        if (init < 0)
                monitor_die(u, init, watcher);
        if (init == 0) {
                sandbox_close(&u->monitor_fd);
                sandbox_close(&u->trace_fd);
                init_main(u);
        }
        sandbox_close(&u->program_fd);
        sandbox_close(&u->exec_fd);
        m.pid = init;
        int pidfd = TRY(u->hook, &u->err, "pidfd_open", sandbox_pidfd_open(init));
        if (pidfd < 0 || idmap_become_root(&u->s->idmap, &u->err) < 0)
                monitor_die(u, init, watcher);
        /* changing ids has cleared it */
        n = TRY(u->hook, &u->err, "prctl PDEATHSIG", prctl(PR_SET_PDEATHSIG, SIGKILL));
        if (n < 0)
                monitor_die(u, init, watcher);
        prctl(PR_SET_DUMPABLE, 0);
        int keep[] = {u->control_fd, u->monitor_fd, u->trace_fd, pidfd};
        if (setup_close_all_but(keep, SANDBOX_COUNT(keep)) < 0) {
                step_fail(&u->err, "close_range", errno, "cannot close descriptors");
                monitor_die(u, init, watcher);
        }
        if (TRY(u->hook, &u->err, "reduce monitor", caps_reduce(caps, SANDBOX_COUNT(caps))) < 0 ||
                TRY(u->hook, &u->err, "reduce monitor", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) < 0)
                monitor_die(u, init, watcher);
        n = message_send(u->control_fd, &m, &pidfd, 1);
        if (n < 0)
                _exit(127);
        monitor_loop(u, pidfd);
        if (watcher > 0)
                kill(watcher, SIGKILL);
        sandbox_close(&u->trace_fd);
        children_wait();
        _exit(0);
}
