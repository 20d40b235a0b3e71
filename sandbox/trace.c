/* The tracer: takes the quick clock away from every program that is executed, so that the time of day can be
 * varied.
 *
 * clock_gettime, gettimeofday and time do not enter the kernel: the kernel maps code into each program, the
 * vDSO, that reads the clock there (vdso(7)). No namespace shifts that clock and no filter sees such a call.
 * So a process of the sandbox's own stops each program right after execve, before its first instruction, and
 * writes the plain system call over the beginning of those functions. A static program, one that looks for
 * the vDSO in its own way, and one in another language then all make a system call, which the listener
 * answers. What code could still do is read the processor's time stamp counter, and the kernel's times of
 * files.
 *
 * ptrace(2) is what can stop a program there. The tracer forwards signals and stops unchanged, as strace
 * does, reads nothing but the address the kernel put the vDSO at and, at a signal, which call was
 * interrupted, and writes nothing but constant instructions and "restart" as that call's result. It must
 * never let a program run whose vDSO it could not change: that one is killed. */
#include "sandbox/trace.h"
#include "sandbox/caps.h"
#include "sandbox/idmap.h"
#include "sandbox/util.h"

#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/user.h>
#include <sys/wait.h>

#ifdef __x86_64__

/* mov $number, %eax; syscall; ret: what these functions are for, and one word to write. They return negative
 * errno as the kernel does. */
#define STUB(number) ((UINT64_C(0xc3050f) << 40) | ((uint64_t)(number) << 8) | 0xb8)

static const struct {
        const char *name;
        uint64_t stub;
} functions[] = {
        {"__vdso_clock_gettime", STUB(SYS_clock_gettime)},
        {"__vdso_gettimeofday", STUB(SYS_gettimeofday)},
        {"__vdso_time", STUB(SYS_time)},
};

/* The kernel's own (include/linux/errno.h), seen by tracers only. */
#define ERESTARTSYS 512L
#define ERESTARTNOINTR 513L

/* Where each function begins, relative to the vDSO's first byte; the kernel maps the same image everywhere.
 */
struct vdso {
        uint64_t offsets[SANDBOX_COUNT(functions)];
        bool there; /* a kernel can be told to map none (vdso=0) */
};

/* Reads this process's own vDSO: an image of the kernel's, with sections (linux
 * Documentation/ABI/stable/vdso).
 */
static int vdso_find(struct vdso *ret)
{
        const char *image = (const char *)getauxval(AT_SYSINFO_EHDR);
        const Elf64_Ehdr *header = (const void *)image;
        const Elf64_Shdr *sections;
        size_t found = 0;

        *ret = (struct vdso){.there = image != NULL};
        if (!image)
                return 0;
        sections = (const void *)(image + header->e_shoff);
        for (size_t s = 0; s < header->e_shnum; s++) {
                const Elf64_Sym *symbols = (const void *)(image + sections[s].sh_offset);

                if (sections[s].sh_type != SHT_DYNSYM)
                        continue;
                const char *names = image + sections[sections[s].sh_link].sh_offset;
                for (size_t i = 0; i < sections[s].sh_size / sizeof *symbols; i++)
                        for (size_t f = 0; f < SANDBOX_COUNT(functions); f++)
                                if (strcmp(names + symbols[i].st_name, functions[f].name) == 0 &&
                                        symbols[i].st_size >= sizeof functions[f].stub) {
                                        ret->offsets[f] = symbols[i].st_value;
                                        found++;
                                }
        }
        return found == SANDBOX_COUNT(functions) ? 0 : -ENOENT;
}

/* Where the kernel has put the vDSO of a program that has not run yet; 0: it has none. */
static int vdso_base(pid_t pid, uint64_t *ret)
{
        Elf64_auxv_t vector[64];
        char path[32];

        snprintf(path, sizeof path, "/proc/%d/auxv", (int)pid);
        _fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, vector, sizeof vector);
        if (n < 0)
                return -errno;
        *ret = 0;
        for (size_t i = 0; i < (size_t)n / sizeof *vector && vector[i].a_type != AT_NULL; i++)
                if (vector[i].a_type == AT_SYSINFO_EHDR)
                        *ret = vector[i].a_un.a_val;
        return 0;
}

static int vdso_replace(const struct vdso *v, pid_t pid)
{
        uint64_t base = 0;
        int r = v->there ? vdso_base(pid, &base) : 0;

        if (r < 0 || base == 0)
                return r;
        for (size_t f = 0; f < SANDBOX_COUNT(functions); f++)
                if (ptrace(PTRACE_POKETEXT, pid, base + v->offsets[f], functions[f].stub) < 0)
                        return -errno;
        return 0;
}

/* A signal that comes while the listener has not taken a call yet ends its wait, and where its handler is
 * without SA_RESTART the program would see EINTR from a clock, which none expects. The call is begun anew
 * instead, after the handler, as the kernel does with calls that cannot fail so. */
static void clock_restart(pid_t pid)
{
        const size_t number_at = offsetof(struct user_regs_struct, orig_rax),
                     result_at = offsetof(struct user_regs_struct, rax);
        long number, result;

        errno = 0;
        number = ptrace(PTRACE_PEEKUSER, pid, number_at, 0);
        result = ptrace(PTRACE_PEEKUSER, pid, result_at, 0);
        if (errno == 0 && result == -ERESTARTSYS &&
                (number == SYS_clock_gettime || number == SYS_gettimeofday || number == SYS_time))
                ptrace(PTRACE_POKEUSER, pid, result_at, -ERESTARTNOINTR);
}

/* One stop of one traced thread; it goes on as if nothing had been. */
static void stop_handle(const struct vdso *v, pid_t pid, int status)
{
        int sig = WSTOPSIG(status), event = status >> 16;

        if (event == PTRACE_EVENT_STOP &&
                (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU)) {
                ptrace(PTRACE_LISTEN, pid, 0, 0); /* stopped by job control: stays so until SIGCONT */
                return;
        }
        if (event == 0)
                clock_restart(pid);
        if (event == PTRACE_EVENT_EXEC && vdso_replace(v, pid) < 0)
                kill(pid, SIGKILL);
        ptrace(PTRACE_CONT, pid, 0, event ? 0 : sig);
}

static void __attribute__((noreturn)) tracer_main(struct setup *u, int fd)
{
        static const int caps[] = {CAP_SYS_PTRACE, CAP_DAC_OVERRIDE, CAP_KILL}; /* as the monitor's */
        const long options = PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                             PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC;
        struct vdso v;
        int status;
        pid_t pid;

        if (idmap_become_root(&u->s->idmap, &u->err) < 0)
                setup_die(u);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_DUMPABLE, 0);
        if (setup_close_all_but(&fd, 1) < 0 || caps_reduce(caps, SANDBOX_COUNT(caps)) < 0 ||
                vdso_find(&v) < 0)
                _exit(1);
        if (read(fd, &pid, sizeof pid) != sizeof pid) /* the monitor has given up */
                _exit(1);
        if (ptrace(PTRACE_SEIZE, pid, 0, options) < 0 || write(fd, &pid, sizeof pid) != sizeof pid)
                _exit(1);
        close(fd);
        for (;;) {
                pid = waitpid(-1, &status, __WALL);
                if (pid < 0 && errno != EINTR)
                        _exit(0); /* nobody is left */
                if (pid > 0 && WIFSTOPPED(status))
                        stop_handle(&v, pid, status);
        }
}

int trace_start(struct setup *u)
{
        int pair[2], n;

        if (!setup_clock_varied(u->s))
                return 0;
        n = TRY(u->hook, &u->err, "answer clock",
                socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
        if (n < 0)
                return n;
        _fd_ int theirs = pair[1];
        u->trace_fd = pair[0];
        n = TRY(u->hook, &u->err, "fork tracer", fork());
        if (n != 0)
                return n < 0 ? n : 0;
        tracer_main(u, theirs);
}

int trace_program(struct setup *u, pid_t program)
{
        bool traced = send(u->trace_fd, &program, sizeof program, MSG_NOSIGNAL) == sizeof program &&
                      read(u->trace_fd, &program, sizeof program) == sizeof program;

        sandbox_close(&u->trace_fd);
        return traced ? 0 : -EPERM;
}

bool trace_possible(void)
{
        struct vdso v;

        return vdso_find(&v) == 0;
}

#else

int trace_start(struct setup *u)
{
        return setup_clock_varied(u->s) ? step_fail(&u->err, "answer clock", ENOSYS, "not on this processor")
                                        : 0;
}

int trace_program(struct setup *u, pid_t program)
{
        return -ENOSYS;
}

bool trace_possible(void)
{
        return false;
}

#endif
