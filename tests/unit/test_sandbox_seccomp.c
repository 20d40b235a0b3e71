/* sandbox/seccomp.c and policy/: runs the exported BPF, since what counts is the filter and not the intent.
 */
#include "sandbox/seccomp.h"
#include "sandbox/util.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#ifndef __x86_64__
#error "the expected answers below are those of x86-64"
#endif

/* The classic BPF of seccomp(2): only what libseccomp emits; anything else fails the test. */
static uint32_t bpf_run(const struct sock_filter *program, unsigned short n, const struct seccomp_data *data)
{
        uint32_t a = 0;

        for (unsigned pc = 0; pc < n; pc++) {
                const struct sock_filter *i = &program[pc];

                switch (i->code) {
                case BPF_LD | BPF_W | BPF_ABS:
                        assert_true(i->k <= sizeof *data - 4 && i->k % 4 == 0);
                        memcpy(&a, (const char *)data + i->k, 4);
                        break;
                case BPF_ALU | BPF_AND | BPF_K:
                        a &= i->k;
                        break;
                case BPF_JMP | BPF_JA:
                        pc += i->k;
                        break;
                case BPF_JMP | BPF_JEQ | BPF_K:
                        pc += a == i->k ? i->jt : i->jf;
                        break;
                case BPF_JMP | BPF_JGE | BPF_K:
                        pc += a >= i->k ? i->jt : i->jf;
                        break;
                case BPF_JMP | BPF_JGT | BPF_K:
                        pc += a > i->k ? i->jt : i->jf;
                        break;
                case BPF_RET | BPF_K:
                        return i->k;
                default:
                        fail_msg("instruction %u: unexpected code %#x", pc, i->code);
                }
        }
        fail_msg("the program ran off its end");
        return 0;
}

/* The kernel takes the answer with the smallest action value (signed) of all filters (seccomp(2)). */
static uint32_t verdict(const struct seccomp_policy *p, const struct seccomp_data *data)
{
        uint32_t a = bpf_run(p->args, p->n_args, data), b = bpf_run(p->main, p->n_main, data);

        return (int32_t)(a & SECCOMP_RET_ACTION_FULL) < (int32_t)(b & SECCOMP_RET_ACTION_FULL) ? a : b;
}

static uint32_t call(const struct seccomp_policy *p, int number, uint64_t a0, uint64_t a1, uint64_t a2)
{
        struct seccomp_data data = {.nr = number, .arch = AUDIT_ARCH_X86_64, .args = {a0, a1, a2}};

        return verdict(p, &data);
}

#define NOTIFY SECCOMP_RET_USER_NOTIF
#define ALLOW SECCOMP_RET_ALLOW
#define ERR(e) (SECCOMP_RET_ERRNO | (e))
#define HIGH UINT64_C(0xdeadbeef00000000) /* what a 32-bit argument's upper half may hold */

#define VARIANTS (3 * 2 * SECCOMP_ANSWERS)

struct variant {
        enum kiln_profile profile;
        bool single;
        enum seccomp_answers answers;
        const struct seccomp_policy *policy;
};

static void variants_make(struct variant v[VARIANTS])
{
        for (unsigned i = 0; i < VARIANTS; i++) {
                v[i].profile = (enum kiln_profile)(i % 3);
                v[i].single = i / 3 % 2;
                v[i].answers = (enum seccomp_answers)(i / 6);
                v[i].policy = seccomp_policy(v[i].profile, v[i].single, v[i].answers);
        }
}

static void test_other_architectures(void **state)
{
        struct variant v[VARIANTS];

        variants_make(v);
        for (unsigned i = 0; i < VARIANTS; i++) {
                for (int number = 0; number < 600; number++) {
                        struct seccomp_data i386 = {.nr = number, .arch = AUDIT_ARCH_I386};
                        struct seccomp_data x32 = {.nr = number | 0x40000000, .arch = AUDIT_ARCH_X86_64};

                        assert_int_equal(verdict(v[i].policy, &i386), SECCOMP_RET_KILL_PROCESS);
                        assert_int_equal(verdict(v[i].policy, &x32), SECCOMP_RET_KILL_PROCESS);
                }
        }
}

/* Nothing the text does not name is ever allowed, whatever its arguments. */
static void test_unknown(void **state)
{
        struct variant v[VARIANTS];

        variants_make(v);
        for (unsigned i = 0; i < VARIANTS; i++) {
                for (int number = 0; number < SECCOMP_NUMBERS; number++)
                        if (!v[i].policy->named[number])
                                assert_int_equal(call(v[i].policy, number, 1, 1, 1), NOTIFY);
                assert_int_equal(call(v[i].policy, 511, 0, 0, 0), NOTIFY);
                assert_int_equal(call(v[i].policy, 100000, 0, 0, 0), NOTIFY);
                assert_false(v[i].policy->named[SYS_memfd_secret]);
        }
}

static const int denied_always[] = {SYS_add_key, SYS_request_key, SYS_keyctl, SYS_bpf, SYS_perf_event_open,
        SYS_userfaultfd, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_open_by_handle_at,
        SYS_name_to_handle_at, SYS_fanotify_init, SYS_pidfd_getfd, SYS_init_module, SYS_finit_module,
        SYS_delete_module, SYS_kexec_load, SYS_kexec_file_load, SYS_reboot, SYS_swapon, SYS_swapoff,
        SYS_syslog, SYS_acct, SYS_quotactl, SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime,
        SYS_adjtimex, SYS_iopl, SYS_ioperm, SYS_vhangup, SYS_uselib, SYS_move_pages, SYS_migrate_pages};
static const int denied_but_in_check[] = {SYS_mount, SYS_umount2, SYS_pivot_root, SYS_open_tree,
        SYS_move_mount, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_mount_setattr, SYS_setns,
        SYS_sethostname, SYS_setdomainname, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
        SYS_kcmp};
static const int allowed_always[] = {SYS_read, SYS_write, SYS_openat, SYS_openat2, SYS_execve, SYS_fork,
        SYS_vfork, SYS_exit_group, SYS_mmap, SYS_ioctl, SYS_futex, SYS_rseq, SYS_sendmsg, SYS_seccomp,
        SYS_prctl, SYS_close_range, SYS_faccessat2, SYS_statx, SYS_copy_file_range, SYS_getrandom,
        SYS_memfd_create, SYS_sched_setaffinity};

static void test_lists(void **state)
{
        struct variant v[VARIANTS];

        variants_make(v);
        for (unsigned i = 0; i < VARIANTS; i++) {
                const struct seccomp_policy *p = v[i].policy;

                for (size_t k = 0; k < SANDBOX_COUNT(denied_always); k++) {
                        assert_int_equal(call(p, denied_always[k], 0, 0, 0), NOTIFY);
                        assert_true(p->named[denied_always[k]]);
                }
                for (size_t k = 0; k < SANDBOX_COUNT(denied_but_in_check); k++) {
                        assert_int_equal(call(p, denied_but_in_check[k], 0, 0, 0),
                                v[i].profile == KILN_PROFILE_CHECK ? ALLOW : NOTIFY);
                        assert_true(p->named[denied_but_in_check[k]]);
                }
                for (size_t k = 0; k < SANDBOX_COUNT(allowed_always); k++)
                        assert_int_equal(call(p, allowed_always[k], 0, 0, 0), ALLOW);
                assert_int_equal(call(p, SYS_clone3, 0, 0, 0), ERR(ENOSYS));
                assert_int_equal(
                        call(p, SYS_uname, 0, 0, 0), v[i].answers >= SECCOMP_ANSWER_UNAME ? NOTIFY : ALLOW);
                assert_int_equal(
                        call(p, SYS_chroot, 0, 0, 0), v[i].profile == KILN_PROFILE_BUILD ? NOTIFY : ALLOW);
        }
}

static void test_arguments(void **state)
{
        struct variant v[VARIANTS];

        variants_make(v);
        for (unsigned i = 0; i < VARIANTS; i++) {
                const struct seccomp_policy *p = v[i].policy;
                bool check = v[i].profile == KILN_PROFILE_CHECK;

                for (uint64_t high = 0;; high = HIGH) {
                        assert_int_equal(call(p, SYS_ioctl, 0, high | TIOCSTI, 0), ERR(EPERM));
                        assert_int_equal(call(p, SYS_ioctl, 0, high | TIOCLINUX, 0), ERR(EPERM));
                        assert_int_equal(call(p, SYS_ioctl, 0, high | TIOCSETD, 0), ERR(EPERM));
                        assert_int_equal(call(p, SYS_ioctl, 0, high | TCGETS, 0), ALLOW);
                        for (unsigned bit = 0; bit < 32; bit++) {
                                uint32_t flag = 1u << bit;
                                bool namespace = flag == CLONE_NEWNS || flag == CLONE_NEWCGROUP ||
                                                 flag == CLONE_NEWUTS || flag == CLONE_NEWIPC ||
                                                 flag == CLONE_NEWUSER || flag == CLONE_NEWPID ||
                                                 flag == CLONE_NEWNET;

                                assert_int_equal(call(p, SYS_clone, high | flag, 0, 0),
                                        flag == CLONE_UNTRACED && v[i].answers == SECCOMP_ANSWER_CLOCK
                                                ? ERR(EPERM)
                                        : namespace && !check ? NOTIFY
                                                              : ALLOW);
                                assert_int_equal(call(p, SYS_unshare, high | flag, 0, 0),
                                        (namespace || flag == CLONE_NEWTIME) && !check ? NOTIFY : ALLOW);
                                assert_int_equal(call(p, SYS_personality, high | flag, 0, 0),
                                        flag == ADDR_NO_RANDOMIZE ? ALLOW : NOTIFY);
                        }
                        assert_int_equal(call(p, SYS_personality, high | 0xffffffff, 0, 0), ALLOW);
                        assert_int_equal(call(p, SYS_personality, high, 0, 0), ALLOW);
                        if (high)
                                break;
                }
        }
}

/* The sockets of AF_INET and AF_INET6 that the policy allows. */
static bool inet_is_listed(uint32_t type, uint32_t protocol)
{
        switch (type) {
        case SOCK_STREAM:
                return protocol == 0 || protocol == IPPROTO_TCP || protocol == 262 /* IPPROTO_MPTCP */;
        case SOCK_DGRAM:
                return protocol == 0 || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE ||
                       protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
        case SOCK_RAW:
                return true;
        default:
                return false;
        }
}

static void test_sockets(void **state)
{
        struct variant v[VARIANTS];

        variants_make(v);
        for (unsigned i = 0; i < VARIANTS; i++) {
                const struct seccomp_policy *p = v[i].policy;

                for (uint64_t high = 0;; high = HIGH) {
                        for (uint32_t family = 0; family < 64; family++)
                                assert_int_equal(call(p, SYS_socket, high | family, SOCK_STREAM, high),
                                        family == AF_UNIX || family == AF_INET || family == AF_INET6 ||
                                                        family == AF_NETLINK
                                                ? ALLOW
                                                : NOTIFY);
                        for (uint32_t type = 0; type < 16; type++)
                                for (uint32_t protocol = 0; protocol < 300; protocol++) {
                                        uint64_t flagged = high | type | SOCK_CLOEXEC | SOCK_NONBLOCK;
                                        long long wanted = inet_is_listed(type, protocol) ? ALLOW : NOTIFY;

                                        assert_int_equal(
                                                call(p, SYS_socket, high | AF_INET, flagged, high | protocol),
                                                wanted);
                                        assert_int_equal(call(p, SYS_socket, high | AF_INET6, flagged,
                                                                 high | protocol),
                                                wanted);
                                }
                        for (uint32_t option = 0; option < 256; option++) {
                                bool ip = option == 64 || option == 65;
                                bool arp_or_bridge =
                                        option == 96 || option == 97 || option == 128 || option == 129;

                                assert_int_equal(call(p, SYS_setsockopt, 3, high | IPPROTO_IP, high | option),
                                        ip || arp_or_bridge ? ERR(EPERM) : ALLOW);
                                assert_int_equal(
                                        call(p, SYS_setsockopt, 3, high | IPPROTO_IPV6, high | option),
                                        ip ? ERR(EPERM) : ALLOW);
                                assert_int_equal(
                                        call(p, SYS_setsockopt, 3, high | IPPROTO_TCP, high | option),
                                        option == TCP_ULP ? ERR(EPERM) : ALLOW);
                                assert_int_equal(
                                        call(p, SYS_setsockopt, 3, high | SOL_SOCKET, high | option), ALLOW);
                        }
                        for (uint32_t protocol = 0; protocol < 32; protocol++)
                                assert_int_equal(
                                        call(p, SYS_socket, high | AF_NETLINK, SOCK_RAW, high | protocol),
                                        protocol == 0 || protocol == 4 || protocol == 15 ? ALLOW : NOTIFY);
                        assert_int_equal(call(p, SYS_socketpair, high | AF_UNIX, 1, 0), ALLOW);
                        assert_int_equal(call(p, SYS_socketpair, high | AF_TIPC, 1, 0), NOTIFY);
                        if (high)
                                break;
                }
        }
}

/* What is only answered, and when. */
static void test_answers(void **state)
{
        static const int owners[] = {SYS_chown, SYS_fchown, SYS_lchown, SYS_fchownat, SYS_setgroups};
        static const int syncs[] = {SYS_fsync, SYS_fdatasync, SYS_sync, SYS_syncfs, SYS_sync_file_range};
        struct variant v[VARIANTS];

        variants_make(v);
        for (unsigned i = 0; i < VARIANTS; i++) {
                const struct seccomp_policy *p = v[i].policy;
                bool install = v[i].profile == KILN_PROFILE_INSTALL;

                for (size_t k = 0; k < SANDBOX_COUNT(owners); k++)
                        assert_int_equal(
                                call(p, owners[k], 0, 0, 0), install && v[i].single ? ERR(0) : ALLOW);
                for (size_t k = 0; k < SANDBOX_COUNT(syncs); k++)
                        assert_int_equal(call(p, syncs[k], 0, 0, 0), install ? ERR(0) : ALLOW);
                for (uint32_t type = 0; type < 16; type++) {
                        uint32_t mode = type << 12 | 0644;
                        bool device = mode == (S_IFCHR | 0644) || mode == (S_IFBLK | 0644);

                        assert_int_equal(call(p, SYS_mknod, 0, mode, 0), install && device ? ERR(0) : ALLOW);
                        assert_int_equal(
                                call(p, SYS_mknodat, 0, 0, mode), install && device ? ERR(0) : ALLOW);
                }
        }
}

/* The time of day and the memory's size: the kernel's answer, or the listener's in a varied build. */
static void test_varied(void **state)
{
        static const clockid_t of_day[] = {
                CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_REALTIME_ALARM, CLOCK_TAI};
        static const int calls[] = {SYS_gettimeofday, SYS_time, SYS_sysinfo};
        struct variant v[VARIANTS];

        variants_make(v);
        for (unsigned i = 0; i < VARIANTS; i++) {
                const struct seccomp_policy *p = v[i].policy;
                uint32_t varied = v[i].answers >= SECCOMP_ANSWER_VIEW ? NOTIFY : ALLOW;

                for (size_t k = 0; k < SANDBOX_COUNT(calls); k++)
                        assert_int_equal(call(p, calls[k], 0, 0, 0), varied);
                for (uint64_t clock = 0; clock < 12; clock++) {
                        bool tells = false;

                        for (size_t k = 0; k < SANDBOX_COUNT(of_day); k++)
                                tells |= clock == (uint64_t)of_day[k];
                        if (clock == 10) /* CLOCK_SGI_CYCLE: no kernel has it any more */
                                continue;
                        assert_int_equal(call(p, SYS_clock_gettime, clock, 0, 0), tells ? varied : ALLOW);
                        assert_int_equal(
                                call(p, SYS_clock_gettime, HIGH | clock, 0, 0), tells ? varied : ALLOW);
                }
                assert_int_equal(call(p, SYS_clock_gettime, (uint32_t)-6, 0, 0), ALLOW);
                assert_int_equal(call(p, SYS_clock_gettime, (uint64_t)-6, 0, 0), ALLOW);
        }
}

static void test_text(void **state)
{
        for (enum kiln_profile p = KILN_PROFILE_INSTALL; p <= KILN_PROFILE_CHECK; p++) {
                const char *text = kiln_profile_text(p);

                assert_non_null(strstr(text, "\ndeny bpf "));
                assert_non_null(strstr(text, kiln_profile_name(p)));
                assert_int_equal(text[strlen(text) - 1], '\n');
        }
        assert_string_not_equal(kiln_profile_text(KILN_PROFILE_BUILD), kiln_profile_text(KILN_PROFILE_CHECK));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_other_architectures),
                cmocka_unit_test(test_unknown),
                cmocka_unit_test(test_lists),
                cmocka_unit_test(test_arguments),
                cmocka_unit_test(test_sockets),
                cmocka_unit_test(test_answers),
                cmocka_unit_test(test_varied),
                cmocka_unit_test(test_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
