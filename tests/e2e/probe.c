/* Runs inside the sandbox and says, one line each, what it sees that it should not: "FAIL what". Nothing
 * printed but "ok N": N checks went well. Static, so that it needs nothing of the root. tests/e2e/sandbox.sh
 * starts it.
 *
 * Usage: probe calls PROFILE      only the system calls
 *        probe cgroup             only what a nested cgroup mount shows (check profile, single-id mode)
 *        probe fill ended|own    200 MB into a deleted file that only a second thread has open: the first has
 * ended, or has a table of its own probe PROFILE UID CPUS RELEASE NAMESPACES...   NAMESPACES: the outside's
 * "pid:[4026531836]" and so on. */
#include "tests/e2e/syscalls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned checks, failures;

#define CHECK(what, ok)                                                                                      \
        do {                                                                                                 \
                checks++;                                                                                    \
                errno = 0;                                                                                   \
                if (!(ok)) {                                                                                 \
                        printf("FAIL %s (errno %d)\n", (what), errno);                                       \
                        failures++;                                                                          \
                }                                                                                            \
        } while (0)

static char *slurp(const char *path)
{
        static char text[1 << 16];
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n, used = 0;

        text[0] = '\0';
        if (fd < 0)
                return text;
        while ((n = read(fd, text + used, sizeof text - 1 - (size_t)used)) > 0)
                used += n;
        close(fd);
        text[used] = '\0';
        return text;
}

/* ---- system calls
 * ------------------------------------------------------------------------------------------- */

struct probe {
        const char *name;
        long number;
        long args[6];
        int expect;       /* errno */
        const char *only; /* profiles it is denied in, NULL: all */
};

#define B "install build"

static char path_buffer[] = "/";

static const struct probe probes[] = {
        {"add_key", SYS_add_key, {0}, EPERM, NULL},
        {"request_key", SYS_request_key, {0}, EPERM, NULL},
        {"keyctl", SYS_keyctl, {0}, EPERM, NULL},
        {"bpf", SYS_bpf, {0}, EPERM, NULL},
        {"perf_event_open", SYS_perf_event_open, {0}, EPERM, NULL},
        {"userfaultfd", SYS_userfaultfd, {0}, EPERM, NULL},
        {"io_uring_setup", SYS_io_uring_setup, {1, 0}, EPERM, NULL},
        {"io_uring_enter", SYS_io_uring_enter, {0}, EPERM, NULL},
        {"io_uring_register", SYS_io_uring_register, {0}, EPERM, NULL},
        {"open_by_handle_at", SYS_open_by_handle_at, {0}, EPERM, NULL},
        {"name_to_handle_at", SYS_name_to_handle_at, {0}, EPERM, NULL},
        {"fanotify_init", SYS_fanotify_init, {0}, EPERM, NULL},
        {"pidfd_getfd", SYS_pidfd_getfd, {0, 0, 0}, EPERM, NULL},
        {"init_module", SYS_init_module, {0}, EPERM, NULL},
        {"finit_module", SYS_finit_module, {0}, EPERM, NULL},
        {"delete_module", SYS_delete_module, {0}, EPERM, NULL},
        {"kexec_load", SYS_kexec_load, {0}, EPERM, NULL},
        {"kexec_file_load", SYS_kexec_file_load, {0}, EPERM, NULL},
        {"reboot", SYS_reboot, {0}, EPERM, NULL},
        {"swapon", SYS_swapon, {0}, EPERM, NULL},
        {"swapoff", SYS_swapoff, {0}, EPERM, NULL},
        {"syslog", SYS_syslog, {3, 0, 0}, EPERM, NULL},
        {"acct", SYS_acct, {0}, EPERM, NULL},
        {"quotactl", SYS_quotactl, {0}, EPERM, NULL},
        {"settimeofday", SYS_settimeofday, {0}, EPERM, NULL},
        {"clock_settime", SYS_clock_settime, {0}, EPERM, NULL},
        {"adjtimex", SYS_adjtimex, {0}, EPERM, NULL},
        {"iopl", SYS_iopl, {3}, EPERM, NULL},
        {"ioperm", SYS_ioperm, {0, 1, 1}, EPERM, NULL},
        {"vhangup", SYS_vhangup, {0}, EPERM, NULL},
        {"uselib", SYS_uselib, {0}, EPERM, NULL},
        {"move_pages", SYS_move_pages, {1, 0}, EPERM, NULL},
        {"migrate_pages", SYS_migrate_pages, {1}, EPERM, NULL},
        {"personality PER_LINUX32", SYS_personality, {8}, EPERM, NULL},
        {"clone3", SYS_clone3, {0}, ENOSYS, NULL},
        {"memfd_secret", 447, {0}, ENOSYS, NULL},
        {"a call of tomorrow", 600, {0}, ENOSYS, NULL},
        {"ioctl TIOCSTI", SYS_ioctl, {0, TIOCSTI, 0}, EPERM, NULL},
        {"ioctl TIOCSTI, upper half set", SYS_ioctl, {0, (long)(0x100000000 | TIOCSTI), 0}, EPERM, NULL},
        {"ioctl TIOCLINUX", SYS_ioctl, {0, TIOCLINUX, 0}, EPERM, NULL},
        {"ioctl TIOCSETD", SYS_ioctl, {-1, TIOCSETD, 0}, EPERM, NULL},
        {"socket AF_VSOCK", SYS_socket, {AF_VSOCK, SOCK_STREAM, 0}, EPERM, NULL},
        {"socket AF_ALG", SYS_socket, {AF_ALG, SOCK_SEQPACKET, 0}, EPERM, NULL},
        {"socket AF_PACKET", SYS_socket, {AF_PACKET, SOCK_RAW, 0}, EPERM, NULL},
        {"socket SOCK_PACKET of AF_INET", SYS_socket, {AF_INET, SOCK_PACKET, 0}, EPERM, NULL},
        {"socket SCTP", SYS_socket, {AF_INET, SOCK_STREAM, IPPROTO_SCTP}, EPERM, NULL},
        {"socket SCTP by its type", SYS_socket, {AF_INET6, SOCK_SEQPACKET, 0}, EPERM, NULL},
        {"setsockopt IPT_SO_SET_REPLACE", SYS_setsockopt, {-1, IPPROTO_IP, 64, 0, 0}, EPERM, NULL},
        {"setsockopt IP6T_SO_SET_REPLACE", SYS_setsockopt, {-1, IPPROTO_IPV6, 64, 0, 0}, EPERM, NULL},
        {"setsockopt TCP_ULP", SYS_setsockopt, {-1, IPPROTO_TCP, TCP_ULP, 0, 0}, EPERM, NULL},
        {"socket NETLINK_AUDIT", SYS_socket, {AF_NETLINK, SOCK_RAW, 9}, EPERM, NULL},
        {"ptrace", SYS_ptrace, {PTRACE_TRACEME}, EPERM, B},
        {"process_vm_readv", SYS_process_vm_readv, {1, 0, 0, 0, 0, 0}, EPERM, B},
        {"process_vm_writev", SYS_process_vm_writev, {1, 0, 0, 0, 0, 0}, EPERM, B},
        {"kcmp", SYS_kcmp, {1, 1, 0, 0, 0}, EPERM, B},
        {"mount", SYS_mount, {0, (long)path_buffer, 0, MS_BIND, 0}, EPERM, B},
        {"umount2", SYS_umount2, {(long)path_buffer, MNT_DETACH}, EPERM, B},
        {"pivot_root", SYS_pivot_root, {(long)path_buffer, (long)path_buffer}, EPERM, B},
        {"open_tree", SYS_open_tree, {AT_FDCWD, (long)path_buffer, 1}, EPERM, B},
        {"move_mount", SYS_move_mount, {0}, EPERM, B},
        {"fsopen", SYS_fsopen, {0}, EPERM, B},
        {"mount_setattr", SYS_mount_setattr, {0}, EPERM, B},
        {"setns", SYS_setns, {0, 0}, EPERM, B},
        {"unshare user", SYS_unshare, {CLONE_NEWUSER}, EPERM, B},
        {"unshare mount", SYS_unshare, {CLONE_NEWNS}, EPERM, B},
        {"unshare net", SYS_unshare, {CLONE_NEWNET}, EPERM, B},
        {"clone user", SYS_clone, {CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0}, EPERM, B},
        {"sethostname", SYS_sethostname, {(long)path_buffer, 1}, EPERM, B},
        {"chroot", SYS_chroot, {(long)path_buffer}, EPERM, "build"},
};

static void probe_calls(const char *profile)
{
        for (size_t i = 0; i < sizeof probes / sizeof probes[0]; i++) {
                const struct probe *p = &probes[i];

                if (p->only && !strstr(p->only, profile))
                        continue;
                errno = 0;
                long r = syscall(
                        p->number, p->args[0], p->args[1], p->args[2], p->args[3], p->args[4], p->args[5]);
                int e = errno;
                if (p->number == SYS_clone && r == 0)
                        _exit(0);
                checks++;
                if (r != -1 || e != p->expect) {
                        printf("FAIL %s: %ld, errno %d\n", p->name, r, e);
                        failures++;
                }
        }
        /* Every call there is: none that is not allowed gets past the filter, whatever its arguments. */
        int column = strcmp(profile, "install") == 0 ? 0 : strcmp(profile, "build") == 0 ? 1 : 2;
        for (unsigned i = 0; i < n_known_calls; i++) {
                const struct known_call *k = &known_calls[i];
                char standing = k->standing[column];

                for (long a = -1; a <= 1 && standing != 'A'; a++) {
                        int expect = standing == 'D' ? EPERM : ENOSYS;

                        errno = 0;
                        long r = syscall(k->number, a, a, a, a, a, a);
                        checks++;
                        if (r != -1 || errno != expect) {
                                printf("FAIL %s(%ld, ...): %ld, errno %d\n", k->name, a, r, errno);
                                failures++;
                        }
                }
        }
        /* the 32-bit way in: killed, not answered */
        pid_t child = fork();
        if (child == 0) {
                long r;

                __asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory");
                _exit(r == 0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        CHECK("int 0x80 kills", WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

/* ---- what is visible
 * ----------------------------------------------------------------------------------------- */

static unsigned long long status_hex(const char *key)
{
        char *text = slurp("/proc/self/status"), *at = strstr(text, key);

        return at ? strtoull(at + strlen(key), NULL, 16) : 0xbad;
}

static void probe_ids(const char *profile, unsigned uid)
{
        static const int install[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_KILL,
                CAP_SETGID, CAP_SETUID, CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_MKNOD, CAP_SETFCAP};
        unsigned long long allowed = 0;
        gid_t groups[64];

        if (uid == 0)
                for (size_t i = 0; i < sizeof install / sizeof install[0]; i++)
                        allowed |= 1ull << install[i];
        CHECK("uid", getuid() == uid && geteuid() == uid);
        CHECK("gid", getgid() == uid && getegid() == uid);
        CHECK("effective capabilities", status_hex("CapEff:") == allowed);
        CHECK("permitted capabilities", status_hex("CapPrm:") == allowed);
        CHECK("bounding set", status_hex("CapBnd:") == allowed);
        CHECK("inheritable capabilities", status_hex("CapInh:") == 0);
        CHECK("ambient capabilities", status_hex("CapAmb:") == 0);
        CHECK("no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
        CHECK("seccomp", status_hex("Seccomp:") == 2);
        CHECK("session of its own", getsid(0) == getpid());
        CHECK("no controlling terminal", open("/dev/tty", O_RDWR | O_CLOEXEC) < 0);
        if (uid != 0) {
                unsigned long inner, outer, n;

                CHECK("one id in the map",
                        sscanf(slurp("/proc/self/uid_map"), "%lu %lu %lu", &inner, &outer, &n) == 3 &&
                                inner == uid && n == 1);
                CHECK("setgroups is denied", strncmp(slurp("/proc/self/setgroups"), "deny", 4) == 0);
                CHECK("cannot become root", setuid(0) < 0 && setresuid(0, 0, 0) < 0 && setgid(0) < 0);
                kill(1, SIGKILL); /* in single-id mode allowed, and without effect: PID 1 is still asked below
                                   */
                kill(1, SIGTERM);
        } else {
                CHECK("no groups", getgroups(64, groups) <= 1);
        }
        (void)profile;
}

static void probe_descriptors(void)
{
        DIR *d = opendir("/proc/self/fd");

        CHECK("/proc/self/fd", d != NULL);
        for (struct dirent *e; d && (e = readdir(d)) != NULL;)
                CHECK("an inherited descriptor",
                        e->d_name[0] == '.' || atoi(e->d_name) <= 2 || atoi(e->d_name) == dirfd(d));
        if (d)
                closedir(d);
        for (int fd = 3; fd < 4096; fd++)
                if (fcntl(fd, F_GETFD) >= 0) {
                        printf("FAIL descriptor %d is open\n", fd);
                        failures++;
                }
}

static void probe_processes(void)
{
        DIR *d = opendir("/proc");
        unsigned n = 0;

        for (struct dirent *e; d && (e = readdir(d)) != NULL;)
                n += e->d_name[0] >= '0' && e->d_name[0] <= '9';
        if (d)
                closedir(d);
        CHECK("only PID 1 and this one", n == 2 && getpid() == 2);
        CHECK("PID 1's command line tells nothing", strcmp(slurp("/proc/1/cmdline"), "") == 0);
        CHECK("PID 1's environment", open("/proc/1/environ", O_RDONLY | O_CLOEXEC) < 0);
        CHECK("PID 1's memory", open("/proc/1/mem", O_RDWR | O_CLOEXEC) < 0);
        CHECK("PID 1's program", open("/proc/1/exe", O_RDONLY | O_CLOEXEC) < 0);
        CHECK("PID 1's root", open("/proc/1/root", O_RDONLY | O_CLOEXEC) < 0);
        CHECK("PID 1's descriptors", opendir("/proc/1/fd") == NULL);
        CHECK("PID 1's namespaces", open("/proc/1/ns/user", O_RDONLY | O_CLOEXEC) < 0);
        CHECK("PID 1 has no capabilities",
                strstr(slurp("/proc/1/status"), "CapEff:\t0000000000000000") != NULL);
        CHECK("sysrq", open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC) < 0);
        CHECK("kcore", open("/proc/kcore", O_RDONLY | O_CLOEXEC) < 0);
        CHECK("kernel settings", open("/proc/sys/kernel/core_pattern", O_WRONLY | O_CLOEXEC) < 0);
        CHECK("kernel messages", open("/proc/kmsg", O_RDONLY | O_CLOEXEC) < 0);
}

static void probe_namespaces(char **outside)
{
        static const char *const names[] = {
                "user", "mnt", "pid", "net", "uts", "ipc", "cgroup", "time", NULL};

        for (const char *const *name = names; *name; name++) {
                char path[64], link[64];

                snprintf(path, sizeof path, "/proc/self/ns/%s", *name);
                ssize_t n = readlink(path, link, sizeof link - 1);
                CHECK("a namespace's link", n > 0);
                link[n > 0 ? n : 0] = '\0';
                for (char **o = outside; *o; o++)
                        CHECK(link, strcmp(link, *o) != 0);
        }
        CHECK("cgroup path", strstr(slurp("/proc/self/cgroup"), "..") == NULL);
}

static void probe_mounts(unsigned uid)
{
        struct stat st;

        CHECK("/ cannot be written", open("/kiln-probe", O_CREAT | O_WRONLY | O_CLOEXEC, 0600) < 0);
        CHECK("/usr cannot be written", mkdir("/usr/kiln-probe", 0700) < 0);
        CHECK("/sys cannot be written",
                open("/sys/kernel/mm/transparent_hugepage/enabled", O_WRONLY | O_CLOEXEC) < 0);
        CHECK("no block devices", access("/dev/vda", F_OK) < 0 && access("/dev/sda", F_OK) < 0);
        CHECK("no kernel log device", access("/dev/kmsg", F_OK) < 0 && access("/dev/mem", F_OK) < 0);
        CHECK("no fuse, kvm", access("/dev/fuse", F_OK) < 0 && access("/dev/kvm", F_OK) < 0);
        CHECK("/dev/null", stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode) &&
                                   open("/dev/null", O_RDWR | O_CLOEXEC) >= 0);
        CHECK("/dev/shm", open("/dev/shm/x", O_CREAT | O_RDWR | O_CLOEXEC, 0600) >= 0);
        int pts = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
        CHECK("a terminal of its own", pts >= 0);
        close(pts);
        CHECK("device nodes cannot be made", uid == 0 || mknod("/dev/shm/null", S_IFCHR | 0666, 0x103) < 0);
        for (char *line = slurp("/proc/self/mountinfo"), *next; line && *line; line = next) {
                next = strchr(line, '\n');
                if (next)
                        *next++ = '\0';
                CHECK("a shared mount", strstr(line, " shared:") == NULL && strstr(line, " master:") == NULL);
                CHECK("a mount with set-id programs", strstr(line, "nosuid") != NULL);
        }
}

static void probe_network(void)
{
        struct sockaddr_in address = {
                .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x01010101), .sin_port = htons(53)};
        struct if_nameindex *names = if_nameindex();
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        int lite = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDPLITE);

        CHECK("UDP-Lite, where the kernel has it", lite >= 0 || errno == EPROTONOSUPPORT);
        close(lite);
        CHECK("only lo",
                names && names[0].if_name && strcmp(names[0].if_name, "lo") == 0 && !names[1].if_name);
        CHECK("no way out", connect(fd, (struct sockaddr *)&address, sizeof address) < 0);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        CHECK("loopback works", connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
        close(fd);
}

/* Root of a network namespace of one's own, as test suites may make it: the kernel would let it have all of
 * these. */
static void probe_nested_network(void)
{
        int status;
        pid_t child = fork();

        if (child == 0) {
                failures = 0;
                CHECK("a nested network", unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0);
                CHECK("packet socket", socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0) < 0 && errno == EPERM);
                CHECK("packet socket by its old name",
                        socket(AF_INET, SOCK_PACKET | SOCK_CLOEXEC, 0) < 0 && errno == EPERM);
                int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
                CHECK("raw socket", fd >= 0);
                CHECK("iptables", setsockopt(fd, IPPROTO_IP, 64, NULL, 0) < 0 && errno == EPERM);
                fflush(stdout);
                _exit(failures != 0);
        }
        CHECK("nested network", waitpid(child, &status, 0) == child && status == 0);
}

static bool write_text(const char *path, const char *text)
{
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

        close(fd);
        return ok;
}

/* In single-id mode the program owns its cgroup: what it sees of it must hold no limit, and take no more
 * levels. */
static void probe_nested_cgroup(void)
{
        char uids[32], gids[32];

        snprintf(uids, sizeof uids, "0 %u 1", (unsigned)getuid());
        snprintf(gids, sizeof gids, "0 %u 1", (unsigned)getgid());
        CHECK("nested namespaces", unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP) == 0);
        CHECK("ids", write_text("/proc/self/setgroups", "deny") && write_text("/proc/self/uid_map", uids) &&
                             write_text("/proc/self/gid_map", gids));
        CHECK("cgroup2", mount("none", "/tmp", "cgroup2", 0, NULL) == 0);
        CHECK("a cgroup", access("/tmp/cgroup.procs", F_OK) == 0);
        CHECK("no limits", access("/tmp/memory.max", F_OK) < 0 && access("/tmp/pids.max", F_OK) < 0);
        CHECK("no more levels", mkdir("/tmp/more", 0700) < 0 && errno == EAGAIN);
}

static void probe_view(unsigned cpus, const char *release)
{
        struct utsname name;
        struct rlimit core;
        cpu_set_t set;
        char wanted[32];

        CHECK("uname",
                uname(&name) == 0 && strcmp(name.release, release) == 0 && strcmp(name.nodename, "box") == 0);
        /* a package brings it: covered only for the unprivileged id */
        CHECK("machine-id",
                getuid() == 0 ||
                        strcmp(slurp("/etc/machine-id"), "6b696c6e6b696c6e6b696c6e6b696c6e\n") == 0 ||
                        access("/etc/machine-id", F_OK) < 0);
        CHECK("osrelease", strncmp(slurp("/proc/sys/kernel/osrelease"), release, strlen(release)) == 0);
        CHECK("version", strstr(slurp("/proc/version"), release) != NULL);
        snprintf(wanted, sizeof wanted, cpus == 1 ? "0\n" : "0-%u\n", cpus - 1);
        CHECK("processors online", strcmp(slurp("/sys/devices/system/cpu/online"), wanted) == 0);
        CHECK("sysconf", sysconf(_SC_NPROCESSORS_ONLN) == (long)cpus);
        CHECK("affinity", sched_getaffinity(0, sizeof set, &set) == 0 && (unsigned)CPU_COUNT(&set) <= cpus);
        unsigned n = 0;
        for (char *at = slurp("/proc/cpuinfo"); (at = strstr(at, "processor\t")) != NULL; at++)
                n++;
        CHECK("cpuinfo", n == cpus);
        CHECK("umask", umask(022) == 022);
        CHECK("core dumps", getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 1);
        CHECK("environment", getenv("PATH") && !getenv("KILN_PROBE_SECRET") && !getenv("SUDO_USER"));
        CHECK("standard input", lseek(0, 0, SEEK_CUR) == 0 || errno == ESPIPE);
}

static void *fill(void *how)
{
        static char block[1 << 20];
        int fd;

        if (strcmp(how, "own") == 0 && unshare(CLONE_FILES) < 0)
                exit(1);
        fd = open("deleted", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || unlink("deleted") < 0)
                exit(1);
        memset(block, 'x', sizeof block);
        for (int i = 0; i < 200; i++)
                if (write(fd, block, sizeof block) != sizeof block)
                        exit(1);
        sleep(20);
        exit(0);
}

int main(int argc, char **argv)
{
        pthread_t thread;

        if (argc == 3 && strcmp(argv[1], "fill") == 0) {
                if (pthread_create(&thread, NULL, fill, argv[2]) != 0)
                        return 1;
                if (strcmp(argv[2], "ended") == 0)
                        pthread_exit(NULL);
                pthread_join(thread, NULL);
                return 0;
        }
        if (argc == 3 &&
                strcmp(argv[1], "calls") == 0) { /* in a build, which has other processes and mounts */
                probe_calls(argv[2]);
                printf("%s %u\n", failures ? "failed" : "ok", failures ? failures : checks);
                return failures != 0;
        }
        if (argc == 2 && strcmp(argv[1], "cgroup") == 0) {
                probe_nested_cgroup();
                return failures != 0;
        }
        if (argc < 5)
                return 2;
        unsigned uid = (unsigned)atoi(argv[2]);
        probe_processes(); /* first: later ones fork */
        probe_descriptors();
        probe_ids(argv[1], uid);
        probe_namespaces(argv + 5);
        probe_mounts(uid);
        probe_network();
        if (strcmp(argv[1], "check") == 0)
                probe_nested_network();
        probe_view((unsigned)atoi(argv[3]), argv[4]);
        probe_calls(argv[1]);
        printf("%s %u\n", failures ? "failed" : "ok", failures ? failures : checks);
        return failures != 0;
}
