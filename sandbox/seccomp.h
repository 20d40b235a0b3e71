/* The built-in filters. Private to the room. */
#pragma once

#include "sandbox/sandbox.h"

#include <linux/filter.h>

#define SECCOMP_NUMBERS 1024 /* above all system calls there are */

/* Two filters, of which the kernel takes the stricter answer for each call. `args` refuses single argument
 * values of calls that `main` allows (libseccomp cannot say "all but" in one rule set) and has no listener;
 * `main` is the allow-list. */
struct seccomp_policy {
        const struct sock_filter *args;
        const struct sock_filter *main;
        unsigned short n_args;
        unsigned short n_main;
        const bool *named; /* by number: the policy's text names the call, so the listener says EPERM, else
                              ENOSYS */
};

/* Which calls the listener answers, beside counting what is denied. */
enum seccomp_answers {
        SECCOMP_ANSWER_NONE,
        SECCOMP_ANSWER_UNAME, /* "answer" lines */
        SECCOMP_ANSWER_VIEW,  /* "vary" lines too */
        SECCOMP_ANSWER_CLOCK, /* the same, and "traced refuse" lines hold */
};
#define SECCOMP_ANSWERS 4

/* By profile; "single zero" lines count; what the listener answers. */
extern const struct seccomp_policy seccomp_policies[3][2][SECCOMP_ANSWERS];
const struct seccomp_policy *seccomp_policy(
        enum kiln_profile profile, bool single, enum seccomp_answers answers);

/* Installs both filters in this process; no_new_privs must be set. Returns the listener of `main`, or -1 with
 * errno. Allocates nothing. */
int seccomp_install(const struct seccomp_policy *p);

/* "ptrace", or "syscall 511" when the library has no name. */
void seccomp_name(uint32_t number, char name[32]);
