/* From the policy's text to BPF: for the generator, which runs while building, and the fuzzer. Private to the
 * room. */
#pragma once

#include "sandbox/seccomp.h"

#include <linux/filter.h>
#include <stdbool.h>

struct compiled {
        struct sock_filter *args, *main;
        unsigned short n_args, n_main;
        bool named[SECCOMP_NUMBERS];
};

/* `single` and `answers` choose among the variants (seccomp.h). 0, or negative errno for a text that is not
 * fully understood, said on standard error; the two programs are the caller's to free, also then. */
int policy_compile(const char *policy, bool single, enum seccomp_answers answers, struct compiled *ret);
