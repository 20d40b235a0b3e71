/* Writes the filters that are built in: run while building, so that a policy that does not compile fails the
 * build and not a sandbox, and no run spends time on it.
 *
 * Usage: generate > filters.c */
#include "sandbox/policy.h"
#include "sandbox/policy/compile.h"

#include <stdio.h>
#include <stdlib.h>

static void filter_print(
        const char *name, const char *suffix, const struct sock_filter *filter, unsigned short n)
{
        printf("static const struct sock_filter %s_%s[] = {\n", name, suffix);
        for (unsigned short i = 0; i < n; i++)
                printf("{%#x, %u, %u, %#x},\n", filter[i].code, filter[i].jt, filter[i].jf, filter[i].k);
        printf("};\n");
}

int main(void)
{
        const char *const texts[] = {policy_install, policy_build, policy_check};
        enum { PER_PROFILE = 2 * SECCOMP_ANSWERS, COUNT = 3 * PER_PROFILE };
        char name[COUNT][16];

        printf("#include \"sandbox/seccomp.h\"\n");
        for (unsigned i = 0; i < COUNT; i++) {
                struct compiled c = {0};

                if (policy_compile(texts[i / PER_PROFILE], i / SECCOMP_ANSWERS % 2,
                            (enum seccomp_answers)(i % SECCOMP_ANSWERS), &c) < 0)
                        return 1;
                snprintf(name[i], sizeof name[i], "filter_%u", i);
                filter_print(name[i], "args", c.args, c.n_args);
                filter_print(name[i], "main", c.main, c.n_main);
                printf("static const bool %s_named[SECCOMP_NUMBERS] = {\n", name[i]);
                for (unsigned n = 0; n < SECCOMP_NUMBERS; n++)
                        if (c.named[n])
                                printf("[%u] = true,\n", n);
                printf("};\n");
                free(c.args);
                free(c.main);
        }
        printf("const struct seccomp_policy seccomp_policies[3][2][SECCOMP_ANSWERS] = {\n");
        for (unsigned i = 0; i < COUNT; i++)
                printf("[%u][%u][%u] = {%s_args, %s_main, sizeof %s_args / sizeof %s_args[0], "
                       "sizeof %s_main / sizeof %s_main[0], %s_named},\n",
                        i / PER_PROFILE, i / SECCOMP_ANSWERS % 2, i % SECCOMP_ANSWERS, name[i], name[i],
                        name[i], name[i], name[i], name[i], name[i]);
        printf("};\n");
        return ferror(stdout) || fflush(stdout) != 0;
}
