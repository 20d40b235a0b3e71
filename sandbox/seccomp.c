/* The seccomp policy as the program uses it: names, text, and filters made from that text while building
 * (policy/compile.c). Decides nothing itself. */
#include "sandbox/seccomp.h"
#include "sandbox/policy.h"
#include "sandbox/util.h"

#include <linux/seccomp.h>
#include <seccomp.h>

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

        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &args) < 0)
                return -1;
        return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &main);
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
