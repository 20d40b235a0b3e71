/* The seccomp policy as the program uses it: names, text, and filters made from that text while building
 * (policy/compile.c). Decides nothing itself. */
#include "sandbox/seccomp.h"
#include "sandbox/policy.h"
#include "sandbox/util.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV /* Linux 5.19 */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

const char *kiln_profile_name(enum kiln_profile p)
{
        switch (p) {
        case KILN_PROFILE_INSTALL:
                return "install";
        case KILN_PROFILE_BUILD:
                return "build";
        case KILN_PROFILE_CHECK:
                return "check";
        }
        return "?";
}

const char *kiln_profile_text(enum kiln_profile p)
{
        switch (p) {
        case KILN_PROFILE_INSTALL:
                return policy_install;
        case KILN_PROFILE_BUILD:
                return policy_build;
        case KILN_PROFILE_CHECK:
                return policy_check;
        }
        return "";
}

const struct seccomp_policy *seccomp_policy(
        enum kiln_profile profile, bool single, enum seccomp_answers answers)
{
        return &seccomp_policies[profile][single][answers];
}

int seccomp_install(const struct seccomp_policy *p)
{
        /* the kernel only reads them */
        struct sock_fprog args = {p->n_args, (struct sock_filter *)(uintptr_t)p->args};
        struct sock_fprog main = {p->n_main, (struct sock_filter *)(uintptr_t)p->main};
        int fd;

        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &args) < 0)
                return -1;
        /* A signal must not end a call with EINTR that the listener is just answering: clock_gettime() is not
         * expected to fail. Kernels before 5.19 cannot say that. */
        fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &main);
        if (fd < 0 && errno == EINVAL)
                fd = (int)syscall(
                        SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &main);
        return fd;
}

void seccomp_name(uint32_t number, char name[32])
{
        char *known = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)number);

        if (known)
                snprintf(name, 32, "%s", known);
        else
                snprintf(name, 32, "syscall %u", number);
        free(known);
}
