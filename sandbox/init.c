/* PID 1: makes the inside, starts the program, reaps, forwards signals, reports how the program ended.
 *
 * It is id 0 of the first user namespace and shares the program's pid namespace, so it must offer it nothing:
 * not dumpable (no /proc/1/mem, fd, exe, root, and no ptrace), no capabilities after set-up, no descriptors
 * but the control socket. Its end is the end of every process inside. */
#include "sandbox/caps.h"
#include "sandbox/idmap.h"
#include "sandbox/observe.h"
#include "sandbox/root.h"
#include "sandbox/setup.h"
#include "sandbox/util.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const struct {
        int flag;
        const char *step;
} namespaces[] = {
        {CLONE_NEWCGROUP, "unshare cgroup namespace"},
        {CLONE_NEWIPC, "unshare ipc namespace"},
        {CLONE_NEWUTS, "unshare uts namespace"},
        {CLONE_NEWNET, "unshare net namespace"},
        {CLONE_NEWNS, "unshare mount namespace"},
};

static int loopback_up(void)
{
        struct ifreq request = {.ifr_name = "lo"};

        _fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
                return -1;
        request.ifr_flags |= IFF_UP | IFF_RUNNING;
        return ioctl(fd, SIOCSIFFLAGS, &request);
}

static int namespaces_enter(struct setup *u)
{
        for (size_t i = 0; i < SANDBOX_COUNT(namespaces); i++) {
                if (namespaces[i].flag == CLONE_NEWNET && u->s->host_network)
                        continue;
                int n = TRY(u->hook, &u->err, namespaces[i].step, unshare(namespaces[i].flag));
                if (n < 0)
                        return n;
        }
        return 0;
}

static int identity_set(struct setup *u)
{
        const char *host = u->s->hostname ? u->s->hostname : "localhost";
        const char *domain = u->s->domain ? u->s->domain : "localdomain";
        int n;

        if ((n = idmap_become_root(&u->s->idmap, &u->err)) < 0 ||
                (n = TRY(u->hook, &u->err, "prctl PDEATHSIG", prctl(PR_SET_PDEATHSIG, SIGKILL))) < 0 ||
                (n = TRY(u->hook, &u->err, "prctl DUMPABLE", prctl(PR_SET_DUMPABLE, 0))) < 0 ||
                (n = TRY(u->hook, &u->err, "no_new_privs", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))) < 0 ||
                (n = TRY(u->hook, &u->err, "sethostname", sethostname(host, strlen(host)))) < 0 ||
                (n = TRY(u->hook, &u->err, "setdomainname", setdomainname(domain, strlen(domain)))) < 0)
                return n;
        if (u->s->host_network)
                return 0;
        return TRY(u->hook, &u->err, "loopback up", loopback_up());
}

/* A pipe whose inode belongs to the program, which may open /dev/stdout anew. Returns the read end. */
static int output_pipe(struct setup *u, int *ret_write)
{
        bool single = u->s->idmap.mode == KILN_ID_SINGLE;
        int ends[2], n;

        n = TRY(u->hook, &u->err, "output pipe", pipe2(ends, O_CLOEXEC));
        if (n < 0)
                return n;
        n = TRY(u->hook, &u->err, "output pipe",
                fchown(ends[1], single ? 0 : u->s->uid, single ? 0 : u->s->gid));
        if (n < 0) {
                close(ends[0]);
                close(ends[1]);
                return n;
        }
        *ret_write = ends[1];
        return ends[0];
}

static int output_make(struct setup *u)
{
        struct message m = {.kind = MESSAGE_OUTPUT};
        int n;

        _fd_ int out = output_pipe(u, &u->stdout_fd);
        if (out < 0)
                return out;
        if (!u->s->split_stderr) {
                u->stderr_fd = u->stdout_fd;
                n = message_send(u->control_fd, &m, &out, 1);
        } else {
                _fd_ int errors = output_pipe(u, &u->stderr_fd);
                if (errors < 0)
                        return errors;
                n = message_send(u->control_fd, &m, (const int[]){out, errors}, 2);
        }
        return n < 0 ? step_fail(&u->err, "output pipe", -n, "cannot hand over the output pipes") : 0;
}

/* Process ids count up from the last one, which a namespace's owner may set (pid_namespaces(7)). */
static int pid_set(struct setup *u)
{
        char text[16];

        if (u->s->first_pid <= 0)
                return 0;
        int length = snprintf(text, sizeof text, "%d", (int)u->s->first_pid - 1);
        _fd_ int fd = TRY(u->hook, &u->err, "first pid",
                openat(u->proc_fd, "sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC));
        return fd < 0 ? fd : TRY(u->hook, &u->err, "first pid", write(fd, text, (size_t)length));
}

static int init_setup(struct setup *u)
{
        struct root_sources sources;
        struct message m;
        int fds[2], n;

        n = TRY(u->hook, &u->err, "prctl PDEATHSIG", prctl(PR_SET_PDEATHSIG, SIGKILL));
        if (n < 0)
                return n;
        n = message_recv(u->control_fd, &m, fds); /* the caller has put this process into its cgroup */
        if (n < 0 || m.kind != MESSAGE_GO)
                _exit(127);
        root_sources_init(&sources);
        if ((n = namespaces_enter(u)) < 0 || (n = root_sources_open(u, &sources)) < 0)
                return n;
        u->stdin_fd = u->s->stdin_fd;
        if ((n = identity_set(u)) < 0 || (n = root_enter(u, &sources)) < 0 || (n = observe_start(u)) < 0 ||
                (n = pid_set(u)) < 0)
                return n;
        if (u->s->terminal)
                return 0;
        if (u->stdin_fd < 0) {
                u->stdin_fd = TRY(u->hook, &u->err, "open /dev/null", open("/dev/null", O_RDWR | O_CLOEXEC));
                if (u->stdin_fd < 0)
                        return u->stdin_fd;
        }
        return output_make(u);
}

/* The program can read PID 1's command line, which is the caller's, host paths and all. */
static void name_forget(void)
{
        unsigned long start = 0, end = 0;
        char text[2048];
        ssize_t n;

        prctl(PR_SET_NAME, "kiln-init");
        _fd_ int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (n = read(fd, text, sizeof text - 1)) <= 0)
                return;
        text[n] = '\0';
        /* fields 48 and 49 of proc(5)'s stat; the name in field 2 may hold anything but ends with the last
         * ')' */
        char *at = strrchr(text, ')');
        for (int field = 2; at && field < 48; field++)
                at = strchr(at + 1, ' ');
        if (at && sscanf(at, " %lu %lu", &start, &end) == 2 && start != 0 && start < end)
                memset((void *)start, 0, end - start);
}

/* Forwarded from outside only: inside, signals to PID 1 mean nothing. */
static bool forwardable(const siginfo_t *info)
{
        return info->si_pid == 0 && info->si_signo != SIGCHLD;
}

static void init_reap(struct setup *u, pid_t program, const sigset_t *signals)
{
        struct message m = {.kind = MESSAGE_EXIT};
        siginfo_t info;
        int status;
        pid_t pid;

        for (;;) {
                while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
                        if (pid != program)
                                continue;
                        m.exit.status = status;
                        getrusage(RUSAGE_CHILDREN, &m.exit.usage);
                        message_send(u->control_fd, &m, NULL, 0);
                        _exit(0); /* and the kernel kills whatever the program left running */
                }
                if (sigwaitinfo(signals, &info) > 0 && forwardable(&info))
                        kill(program, info.si_signo);
        }
}

/* After the fork and before anything hostile runs: all power goes. */
static int init_reduce(struct setup *u)
{
        int keep[] = {u->control_fd, u->ready_fd};

        for (int fd = 0; fd < 3; fd++)
                close(fd);
        if (TRY(u->hook, &u->err, "reduce PID 1", setup_close_all_but(keep, SANDBOX_COUNT(keep))) < 0 ||
                TRY(u->hook, &u->err, "reduce PID 1", caps_bound(NULL, 0)) < 0 ||
                TRY(u->hook, &u->err, "reduce PID 1", caps_set(NULL, 0)) < 0)
                return -1;
        name_forget();
        if (write(u->ready_fd, "r", 1) != 1)
                return step_fail(&u->err, "reduce PID 1", errno, "cannot release the program");
        sandbox_close(&u->ready_fd);
        return 0;
}

void init_main(struct setup *u)
{
        sigset_t all;
        pid_t program;
        int ready[2];

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        if (init_setup(u) < 0 || TRY(u->hook, &u->err, "pipe", pipe2(ready, O_CLOEXEC)) < 0)
                setup_die(u);
        program = TRY(u->hook, &u->err, "fork program", fork());
        if (program < 0)
                setup_die(u);
        if (program == 0) {
                close(ready[1]);
                u->ready_fd = ready[0];
                program_main(u);
        }
        u->ready_fd = ready[1];
        if (init_reduce(u) < 0)
                setup_die(u);
        init_reap(u, program, &all);
        _exit(127);
}
