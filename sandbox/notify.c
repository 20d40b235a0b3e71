/* The seccomp listener: answers uname(2), and counts the calls the policy denies.
 *
 * It must not become a way out. No decision is taken on memory of the program, which could change it
 * afterwards: only the call's number, as the kernel reported it, decides. Nothing is read from that memory,
 * and the one thing written to it, uname's answer, is constant. No call is ever told to continue, and no
 * descriptor is handed over. If this process dies, the kernel answers ENOSYS for it. */
#include "sandbox/notify.h"
#include "sandbox/util.h"
#include "sandbox/view.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>

int notify_init(struct notify *n, const struct setup *u, int listener_fd, uint64_t *denied)
{
        struct seccomp_notif_sizes sizes;

        if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
                return -errno;
        memset(n, 0, sizeof *n);
        n->listener_fd = listener_fd;
        n->s = u->s;
        n->named = u->policy->named;
        n->denied = denied;
        n->request_size = sizes.seccomp_notif;
        if (n->request_size < sizeof(struct seccomp_notif))
                n->request_size = sizeof(struct seccomp_notif);
        n->response_size = sizes.seccomp_notif_resp;
        if (n->response_size < sizeof(struct seccomp_notif_resp))
                n->response_size = sizeof(struct seccomp_notif_resp);
        n->request = calloc(1, n->request_size);
        n->response = calloc(1, n->response_size);
        if (n->request && n->response)
                return 0;
        notify_clear(n);
        return -ENOMEM;
}

void notify_clear(struct notify *n)
{
        free(n->request);
        free(n->response);
        n->request = n->response = NULL;
}

/* Writes the fixed answer into the caller's buffer. Returns 0 or negative errno for the caller. */
static int uname_answer(const struct notify *n, const struct seccomp_notif *request)
{
        const struct kiln_sandbox *s = n->s;
        struct utsname name = {.sysname = "Linux", .version = VIEW_KERNEL_VERSION};
        struct utsname host;
        char path[32];
        uint64_t id = request->id;

        uname(&host);
        memcpy(name.machine, host.machine, sizeof name.machine);
        snprintf(name.release, sizeof name.release, "%s", s->kernel_release);
        snprintf(name.nodename, sizeof name.nodename, "%s", s->hostname ? s->hostname : "localhost");
        snprintf(name.domainname, sizeof name.domainname, "%s", s->domain ? s->domain : "localdomain");

        snprintf(path, sizeof path, "/proc/%d/mem", (int)request->pid);
        _fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return -EPERM;
        /* Only if the caller still waits does the pid, and with it the open memory, belong to it
         * (seccomp_unotify(2)). */
        if (ioctl(n->listener_fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) < 0)
                return -EPERM;
        if (pwrite(fd, &name, sizeof name, (off_t)request->data.args[0]) != (ssize_t)sizeof name)
                return -EFAULT;
        return 0;
}

int notify_answer(struct notify *n)
{
        struct seccomp_notif *request = n->request;
        struct seccomp_notif_resp *response = n->response;
        unsigned number;

        memset(request, 0, n->request_size); /* the kernel insists (EINVAL) */
        memset(response, 0, n->response_size);
        if (ioctl(n->listener_fd, SECCOMP_IOCTL_NOTIF_RECV, request) < 0)
                return errno == EINTR || errno == ENOENT || errno == EAGAIN ? 0 : -EPIPE;
        number = (unsigned)request->data.nr;
        response->id = request->id;
        if (number == SYS_uname && n->s->kernel_release) {
                response->error = uname_answer(n, request);
        } else if (number < SECCOMP_NUMBERS) {
                n->denied[number]++;
                response->error = n->named[number] ? -EPERM : -ENOSYS;
        } else {
                n->denied[SECCOMP_NUMBERS]++;
                response->error = -ENOSYS;
        }
        /* ENOENT: the caller was killed meanwhile */
        ioctl(n->listener_fd, SECCOMP_IOCTL_NOTIF_SEND, response);
        return 0;
}
