/* The seccomp listener: answers uname(2), in a varied build also who asks for the time of day or the memory's
 * size, and counts the calls the policy denies.
 *
 * It must not become a way out. No decision is taken on memory of the program, which could change it
 * afterwards: only the call's number and the clock's, as the kernel reported them, decide. Nothing is read
 * from that memory, and what is written to it is one structure of fixed size that says nothing of the host
 * which the call would not say. No call is ever told to continue, and no descriptor is handed over. If this
 * process dies, the kernel answers ENOSYS for it. */
#include "sandbox/notify.h"
#include "sandbox/trace.h"
#include "sandbox/util.h"
#include "sandbox/view.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/utsname.h>

int notify_init(struct notify *n, struct setup *u, int listener_fd, uint64_t *denied)
{
        struct seccomp_notif_sizes sizes;

        if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
                return -errno;
        memset(n, 0, sizeof *n);
        n->listener_fd = listener_fd;
        n->s = u->s;
        n->named = u->policy->named;
        n->denied = denied;
        n->setup = u;
        n->answers = setup_answers(u->s);
        n->untraced = setup_clock_varied(u->s);
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

/* Writes an answer into the caller's buffer. Returns 0 or negative errno for the caller. */
static int answer_write(const struct notify *n, const struct seccomp_notif *request, uint64_t address,
        const void *answer, size_t size)
{
        char path[32];
        uint64_t id = request->id;

        snprintf(path, sizeof path, "/proc/%d/mem", (int)request->pid);
        _fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return -EPERM;
        /* Only if the caller still waits does the pid, and with it the open memory, belong to it
         * (seccomp_unotify(2)). */
        if (ioctl(n->listener_fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) < 0)
                return -EPERM;
        return pwrite(fd, answer, size, (off_t)address) == (ssize_t)size ? 0 : -EFAULT;
}

static int64_t uname_answer(const struct notify *n, const struct seccomp_notif *request)
{
        const struct kiln_sandbox *s = n->s;
        struct utsname name = {.sysname = "Linux"};
        struct utsname host;

        uname(&host);
        memcpy(name.machine, host.machine, sizeof name.machine);
        snprintf(name.release, sizeof name.release, "%s",
                s->kernel_release ? s->kernel_release : host.release);
        snprintf(name.version, sizeof name.version, "%s",
                s->kernel_release ? VIEW_KERNEL_VERSION : host.version);
        snprintf(name.nodename, sizeof name.nodename, "%s", s->hostname ? s->hostname : "localhost");
        snprintf(name.domainname, sizeof name.domainname, "%s", s->domain ? s->domain : "localdomain");
        return answer_write(n, request, request->data.args[0], &name, sizeof name);
}

/* What a clock of the host says, as the program is to see it. Any of the clocks that tell the time of day:
 * the filter lets no other reach the listener. */
static int clock_read(const struct kiln_sandbox *s, clockid_t clock, struct timespec *ret)
{
        struct timespec now = {0};

        if (clock_gettime(clock, &now) < 0)
                return -errno;
        if (s->clock_hold_s)
                now = (struct timespec){.tv_sec = s->clock_hold_s};
        now.tv_sec += s->clock_shift_s;
        *ret = now;
        return 0;
}

static int64_t clock_gettime_answer(const struct notify *n, const struct seccomp_notif *request)
{
        struct timespec now = {0};
        int r = clock_read(n->s, (clockid_t)request->data.args[0], &now);

        return r < 0 ? r : answer_write(n, request, request->data.args[1], &now, sizeof now);
}

static int64_t gettimeofday_answer(const struct notify *n, const struct seccomp_notif *request)
{
        const struct timezone zone = {0};
        struct timespec now = {0};
        int r = clock_read(n->s, CLOCK_REALTIME, &now);

        if (r == 0 && request->data.args[0]) {
                const struct timeval value = {now.tv_sec, now.tv_nsec / 1000};

                r = answer_write(n, request, request->data.args[0], &value, sizeof value);
        }
        if (r == 0 && request->data.args[1])
                r = answer_write(n, request, request->data.args[1], &zone, sizeof zone);
        return r;
}

static int64_t time_answer(const struct notify *n, const struct seccomp_notif *request)
{
        struct timespec now = {0};
        int r = clock_read(n->s, CLOCK_REALTIME, &now);

        if (r == 0 && request->data.args[0])
                r = answer_write(n, request, request->data.args[0], &now.tv_sec, sizeof now.tv_sec);
        return r < 0 ? r : now.tv_sec;
}

static int64_t sysinfo_answer(const struct notify *n, const struct seccomp_notif *request)
{
        struct sysinfo info;

        if (sysinfo(&info) < 0)
                return -errno;
        if (n->s->memory_bytes) {
                unsigned long *const parts[] = {&info.freeram, &info.sharedram, &info.bufferram};

                info.totalram = n->s->memory_bytes / info.mem_unit;
                for (size_t i = 0; i < SANDBOX_COUNT(parts); i++)
                        if (*parts[i] > info.totalram)
                                *parts[i] = info.totalram;
        }
        return answer_write(n, request, request->data.args[0], &info, sizeof info);
}

static const struct {
        unsigned number;
        enum seccomp_answers from; /* below this, the call does not reach the listener */
        int64_t (*answer)(const struct notify *n, const struct seccomp_notif *request);
} answers[] = {
        {SYS_uname, SECCOMP_ANSWER_UNAME, uname_answer},
        {SYS_clock_gettime, SECCOMP_ANSWER_VIEW, clock_gettime_answer},
        {SYS_gettimeofday, SECCOMP_ANSWER_VIEW, gettimeofday_answer},
        {SYS_time, SECCOMP_ANSWER_VIEW, time_answer},
        {SYS_sysinfo, SECCOMP_ANSWER_VIEW, sysinfo_answer},
};

/* Whether the call is one to be answered; then the answer is filled in. */
static bool answer_find(
        struct notify *n, const struct seccomp_notif *request, struct seccomp_notif_resp *response)
{
        for (size_t i = 0; i < SANDBOX_COUNT(answers); i++) {
                int64_t value;

                if ((unsigned)request->data.nr != answers[i].number || n->answers < answers[i].from)
                        continue;
                value = answers[i].answer(n, request);
                if (value < 0)
                        response->error = (int32_t)value;
                else
                        response->val = value;
                return true;
        }
        return false;
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
        if (n->untraced) {
                /* The first call there is comes from the program's own process, before it is executed
                 * (program.c), and its answer says whether it may be. */
                n->untraced = false;
                if (trace_program(n->setup, (pid_t)request->pid) < 0)
                        response->error = -EPERM;
        }
        if (response->error < 0 || answer_find(n, request, response)) {
                /* answered */
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
