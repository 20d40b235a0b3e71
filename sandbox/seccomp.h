/* From the policy's text to filters. Private to the room. */
#pragma once

#include "sandbox/sandbox.h"

#include <linux/filter.h>

/* Two filters, of which the kernel takes the stricter answer for each call. `args` refuses single argument
 * values of calls that `main` allows (libseccomp cannot say "all but" in one rule set) and has no listener;
 * `main` is the allow-list. */
struct seccomp_policy {
        struct sock_filter *args;
        struct sock_filter *main;
        unsigned short n_args;
        unsigned short n_main;
        bool named[1024]; /* by number: the policy's text names the call, so the listener says EPERM, else
                             ENOSYS */
};

#define SECCOMP_NUMBERS 1024

/* Compiles a profile. `single`: "single zero" lines count. `answer`: calls of "answer" lines go to the
 * listener, else they are allowed. The caller clears *ret. */
int seccomp_compile(enum kiln_profile profile, bool single, bool answer, struct seccomp_policy *ret,
        struct kiln_sandbox_error *err);
void seccomp_clear(struct seccomp_policy *p);

/* Installs both filters in this process; no_new_privs must be set. Returns the listener of `main`. Allocates
 * nothing. */
int seccomp_install(const struct seccomp_policy *p);

/* "ptrace", or "syscall 511" when the library has no name. */
void seccomp_name(uint32_t number, char name[32]);
