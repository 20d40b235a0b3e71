/* Names, causes and advice of failed set-up steps. Never decides to go on: that is the point of a step. */
#include "sandbox/step.h"

#include <stdarg.h>
#include <string.h>

/* What a failure of a step means for the user: the first row whose step is a prefix of the failed one and
 * whose errno matches (0: any) is used. Every row is a host that lacks or forbids something. */
static const struct {
        const char *step;
        int errnum;
        const char *advice;
} advices[] = {
        {"unshare user", EPERM,
                "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1 (Debian), "
                "kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu); in a container, its seccomp "
                "profile must "
                "allow unshare"},
        {"unshare user", ENOSPC, "raise sysctl user.max_user_namespaces"},
        {"unshare user", EINVAL, "this kernel has no user namespaces (CONFIG_USER_NS)"},
        {"unshare time", EINVAL, "this kernel has no time namespaces (CONFIG_TIME_NS, Linux 5.6)"},
        {"unshare", ENOSPC, "raise the limits below sysctl user.max_*_namespaces"},
        {"unshare", EPERM,
                "the host forbids namespaces inside a user namespace: sysctl "
                "kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), or the container's seccomp "
                "profile"},
        {"unshare", EINVAL, "this kernel lacks that namespace"},
        {"mount /proc", EPERM,
                "the host's /proc is partly covered (as in a container): run there with an uncovered /proc, "
                "for "
                "podman --security-opt unmask=ALL"},
        {"mount /sys", EPERM,
                "the host's /sys is partly covered (as in a container): uncover it, or run with no /sys"},
        {"mount overlay", EINVAL,
                "overlayfs in a user namespace needs Linux 5.11 and an upper directory on a file system with "
                "user.* attributes (not NFS, not another overlay)"},
        {"mount overlay", EPERM, "overlayfs in a user namespace needs Linux 5.11"},
        {"mount overlay", ENODEV, "load the overlay kernel module"},
        {"newuidmap", 0,
                "install the uidmap (Debian) or shadow-utils (Fedora) package with its setuid helpers, and "
                "check this "
                "user's lines in /etc/subuid and /etc/subgid"},
        {"newgidmap", 0,
                "install the uidmap (Debian) or shadow-utils (Fedora) package with its setuid helpers, and "
                "check this "
                "user's lines in /etc/subuid and /etc/subgid"},
        {"find id range", 0,
                "give this user a range: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "
                "USER, and "
                "install newuidmap; or use --idmode single"},
        {"seccomp", EINVAL,
                "this kernel has no seccomp filters with a listener (Linux 5.0, CONFIG_SECCOMP_FILTER)"},
        {"seccomp", EBUSY,
                "another seccomp listener is already active for this program: start it outside of that "
                "supervisor"},
        {"answer uname", 0, "the host forbids supervision: sysctl kernel.yama.ptrace_scope must be below 3"},
        {"watch files", ENOSPC, "raise sysctl fs.inotify.max_user_watches"},
        {"watch files", EMFILE, "raise sysctl fs.inotify.max_user_instances"},
        {"answer clock", 0,
                "the clock cannot be varied here: sysctl kernel.yama.ptrace_scope must be below 3, and the "
                "processor x86-64"},
        {"first pid", 0, "this kernel cannot choose process ids (CONFIG_CHECKPOINT_RESTORE)"},
        {"cgroup", 0,
                "hard limits need a delegated cgroup v2: systemd-run --user --scope -p Delegate=yes, or "
                "Delegate=yes in the service"},
        /* whatever it was: a call that is not there */
        {"", ENOSYS,
                "Kiln needs Linux 5.12, with openat2, mount_setattr and pidfd_open; in a container, a "
                "seccomp profile "
                "that knows them"},
};

static void advise(struct kiln_sandbox_error *err)
{
        err->advice[0] = '\0';
        err->refused = false;
        for (size_t i = 0; i < SANDBOX_COUNT(advices); i++) {
                if (strncmp(err->step, advices[i].step, strlen(advices[i].step)) != 0)
                        continue;
                if (advices[i].errnum != 0 && advices[i].errnum != err->errnum)
                        continue;
                snprintf(err->advice, sizeof err->advice, "%s", advices[i].advice);
                err->refused = true;
                return;
        }
}

int step_fail(struct kiln_sandbox_error *err, const char *step, int errnum, const char *fmt, ...)
{
        va_list ap;

        if (errnum <= 0)
                errnum = EIO;
        if (!err)
                return -errnum;
        err->errnum = errnum;
        snprintf(err->step, sizeof err->step, "%s", step);
        va_start(ap, fmt);
        vsnprintf(err->message, sizeof err->message, fmt, ap);
        va_end(ap);
        size_t used = strlen(err->message);
        snprintf(err->message + used, sizeof err->message - used, ": %s", strerror(errnum));
        advise(err);
        return -errnum;
}

int step_fault(const struct step_hook *hook, const char *step)
{
        return hook ? hook->before(hook->ctx, step) : 0;
}
