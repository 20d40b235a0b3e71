/* The program's process, from fork to execve: gives up power in the order of SECURITY.md, each step fatal.
 *
 * no_new_privs and the mounts are PID 1's work and done. Here: ids, second user namespace, working directory,
 * bounding set, capabilities, session, descriptors, rlimits, seccomp. Nothing hostile has run in this sandbox
 * yet. */
#include "sandbox/caps.h"
#include "sandbox/limits.h"
#include "sandbox/mount.h"
#include "sandbox/setup.h"
#include "sandbox/util.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>

/* How long the first answer to a question for the time may take; only tells an answer from none. */
#define CLOCK_CHECK_S 300

static int proc_self_write(int proc_fd, const char *file, const char *text)
{
        char path[32];

        snprintf(path, sizeof path, "self/%s", file);
        _fd_ int fd = openat(proc_fd, path, O_WRONLY | O_CLOEXEC);
        return fd < 0 ? -1 : (int)write(fd, text, strlen(text));
}

/* The unprivileged id: a second user namespace in which only it exists. */
static int nested_user(struct setup *u)
{
        const struct kiln_sandbox *s = u->s;
        bool single = s->idmap.mode == KILN_ID_SINGLE; /* the one id there is gets the build's number */
        uid_t uid = single ? 0 : s->uid;
        gid_t gid = single ? 0 : s->gid;
        char uids[48], gids[48];
        int n;

        if ((n = TRY(u->hook, &u->err, "setresgid", setresgid(gid, gid, gid))) < 0 ||
                (n = TRY(u->hook, &u->err, "setresuid", setresuid(uid, uid, uid))) < 0)
                return n;
        prctl(PR_SET_DUMPABLE, 1); /* or its own /proc files are not its own; execve decides anew */
        n = TRY(u->hook, &u->err, "unshare second user namespace", unshare(CLONE_NEWUSER));
        if (n < 0)
                return n;
        snprintf(uids, sizeof uids, "%u %u 1\n", s->uid, uid);
        snprintf(gids, sizeof gids, "%u %u 1\n", s->gid, gid);
        if ((n = TRY(u->hook, &u->err, "write setgroups", proc_self_write(u->proc_fd, "setgroups", "deny"))) <
                        0 ||
                (n = TRY(u->hook, &u->err, "write gid_map", proc_self_write(u->proc_fd, "gid_map", gids))) <
                        0)
                return n;
        return TRY(u->hook, &u->err, "write uid_map", proc_self_write(u->proc_fd, "uid_map", uids));
}

static int stdio_set(struct setup *u)
{
        int n = 0;

        if (u->s->terminal)
                return 0;
        const int from[] = {u->stdin_fd, u->stdout_fd, u->stderr_fd};
        /* above 2 first, so that none is overwritten before it is used */
        int high[3];
        for (int i = 0; i < 3 && n >= 0; i++)
                n = high[i] =
                        TRY(u->hook, &u->err, "standard descriptors", fcntl(from[i], F_DUPFD_CLOEXEC, 3));
        for (int i = 0; i < 3 && n >= 0; i++)
                n = TRY(u->hook, &u->err, "standard descriptors", dup2(high[i], i));
        return n;
}

static int descriptors_close(struct setup *u)
{
        int keep[8] = {u->control_fd, u->program_fd, u->exec_fd, -1, -1, -1, -1, -1};

        for (size_t i = 0; i < u->s->n_keep_fds; i++) {
                int fd = u->s->keep_fds[i];
                keep[3 + i] = fd;
                if (fd >= 0 && TRY(u->hook, &u->err, "keep descriptor", fcntl(fd, F_SETFD, 0)) < 0)
                        return -errno;
        }
        return TRY(u->hook, &u->err, "close_range", setup_close_all_but(keep, SANDBOX_COUNT(keep)));
}

static int cwd_set(struct setup *u)
{
        const char *cwd = u->s->cwd ? u->s->cwd : "/";

        _fd_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        _fd_ int fd = mount_lookup(root, cwd, O_PATH | O_DIRECTORY);
        if (fd < 0)
                return step_fail(&u->err, "working directory", -fd, "cannot open %s in the root", cwd);
        return TRY(u->hook, &u->err, "working directory", fchdir(fd));
}

static int session_make(struct setup *u)
{
        if (!u->s->terminal)
                return TRY(u->hook, &u->err, "setsid", setsid());
        /* Job control needs the caller's session, so only a group of its own, in the foreground; the policy
         * refuses pushing characters into the terminal. */
        int n = TRY(u->hook, &u->err, "setpgid", setpgid(0, 0));
        if (n < 0)
                return n;
        signal(SIGTTOU, SIG_IGN);
        if (isatty(STDIN_FILENO))
                n = TRY(u->hook, &u->err, "foreground", tcsetpgrp(STDIN_FILENO, getpgrp()));
        signal(SIGTTOU, SIG_DFL);
        return n;
}

/* Answers are written into this process's memory, which a host can forbid: better found out now. */
static int release_check(struct setup *u)
{
        struct utsname name;
        int n;

        if (!u->s->kernel_release)
                return 0;
        n = TRY(u->hook, &u->err, "answer uname", uname(&name));
        if (n < 0)
                return n;
        return strcmp(name.release, u->s->kernel_release) == 0
                       ? 0
                       : step_fail(&u->err, "answer uname", EIO, "uname was not answered");
}

static int clock_check(struct setup *u, time_t before)
{
        const struct kiln_sandbox *s = u->s;
        struct timespec said;
        int64_t wanted = (s->clock_hold_s ? s->clock_hold_s : before) + s->clock_shift_s;
        int n;

        if (!setup_clock_varied(s))
                return 0;
        n = TRY(u->hook, &u->err, "answer clock", syscall(SYS_clock_gettime, CLOCK_REALTIME, &said));
        if (n < 0)
                return n;
        if (said.tv_sec >= wanted && said.tv_sec < wanted + CLOCK_CHECK_S)
                return 0;
        return step_fail(&u->err, "answer clock", EIO, "the time of day was not answered");
}

static int seccomp_enter(struct setup *u)
{
        struct message m = {.kind = MESSAGE_GO};
        time_t before = time(NULL);
        int n;

        int listener = TRY(u->hook, &u->err, "seccomp", seccomp_install(u->policy));
        if (listener < 0)
                return listener;
        n = message_send(u->program_fd, &m, &listener, 1);
        close(listener);
        if (n < 0)
                return step_fail(&u->err, "seccomp", -n, "cannot hand over the listener");
        n = clock_check(u, before);
        return n < 0 ? n : release_check(u);
}

/* Like execvpe(3), but with the PATH of the environment given, and without a shell for files of unknown
 * format. */
static int exec_search(const char *const *argv, const char *const *env)
{
        static const char *const no_env[] = {NULL};
        const char *path = "/usr/bin:/bin", *at;
        char file[PATH_MAX];
        int best = ENOENT;

        if (!env)
                env = no_env;
        if (strchr(argv[0], '/')) {
                execve(argv[0], (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
                return -errno;
        }
        for (const char *const *e = env; *e; e++)
                if (strncmp(*e, "PATH=", 5) == 0)
                        path = *e + 5;
        for (at = path;; at++) {
                size_t n = strcspn(at, ":");
                int length = snprintf(file, sizeof file, "%.*s%s%s", (int)n, at, n ? "/" : "./", argv[0]);

                if (length > 0 && (size_t)length < sizeof file) {
                        execve(file, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
                        if (errno != ENOENT && errno != ENOTDIR)
                                best = errno;
                }
                at += n;
                if (*at == '\0')
                        return -best;
        }
}

static int program_setup(struct setup *u)
{
        const struct kiln_sandbox *s = u->s;
        const int *keep = s->uid == 0 ? caps_install : NULL;
        size_t n_keep = s->uid == 0 ? n_caps_install : 0;
        char ready;
        int n;

        if ((n = stdio_set(u)) < 0)
                return n;
        if (read(u->ready_fd, &ready, 1) != 1) /* PID 1 has given up its power by now, or failed */
                _exit(127);
        if (s->uid != 0 && (n = nested_user(u)) < 0)
                return n;
        if (s->uid == 0)
                prctl(PR_SET_DUMPABLE,
                        1); /* for the answer to uname before execve; nothing else runs here yet */
        if ((n = cwd_set(u)) < 0 ||
                (n = TRY(u->hook, &u->err, "drop bounding set", caps_bound(keep, n_keep))) < 0 ||
                (n = TRY(u->hook, &u->err, "drop capabilities", caps_set(keep, n_keep))) < 0 ||
                (n = session_make(u)) < 0)
                return n;
        umask(s->umask ? s->umask : 022);
        if (s->fixed_addresses &&
                (n = TRY(u->hook, &u->err, "fixed addresses", personality(ADDR_NO_RANDOMIZE))) < 0)
                return n;
        if ((n = descriptors_close(u)) < 0 ||
                (n = TRY(u->hook, &u->err, "processor affinity", limits_affinity(s->cpus))) < 0 ||
                (n = TRY(u->hook, &u->err, "rlimits", limits_apply(&s->limits, u->cgroup))) < 0)
                return n;
        setup_signals_reset();
        return seccomp_enter(u);
}

void program_main(struct setup *u)
{
        const struct kiln_sandbox *s = u->s;
        struct message m = {.kind = MESSAGE_EXECUTING};
        char *no_env[] = {NULL};

        if (program_setup(u) < 0)
                setup_die(u);
        close(u->program_fd);
        m.ns = sandbox_now_ns();
        if (TRY(u->hook, &u->err, "execute", message_send(u->control_fd, &m, NULL, 0)) < 0)
                setup_die(u);
        if (s->entry) {
                environ = s->env ? (char **)(uintptr_t)s->env : no_env;
                close(u->control_fd);
                close(u->exec_fd);
                _exit(s->entry(s->entry_arg) & 0xff);
        }
        int r = exec_search(s->argv, s->env);
        step_fail(&u->err, "execute", -r, "cannot execute %.200s in the root", s->argv[0]);
        setup_die(u);
}
