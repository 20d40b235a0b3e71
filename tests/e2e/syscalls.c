/* Writes a table of every system call that libseccomp knows here, and what the policy's text says of it in
 * each profile: for probe.c, which then tries them. Reads the text in its own way, not the filter's
 * (sandbox/policy/compile.c).
 *
 * Usage: syscalls > table.c */
#include "sandbox/policy.h"

#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBERS 1024

/* 'D' denied, 'E' not there by policy, '-' not named, 'A' allowed or answered, at least sometimes. */
static char standing(const char *policy, const char *name, int number)
{
        char *text = strdup(policy), *save = NULL, *word_save, numbered[96];
        char found = '-';

        if (!text)
                abort();
        snprintf(numbered, sizeof(numbered), "%s=%d", name, number);
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                char *condition = strstr(line, " if "), *verb;

                if (line[0] == '#')
                        continue;
                if (condition)
                        *condition = '\0';
                verb = strtok_r(line, " ", &word_save);
                for (char *w = strtok_r(NULL, " ", &word_save); w; w = strtok_r(NULL, " ", &word_save)) {
                        if (strcmp(w, name) != 0 && strcmp(w, numbered) != 0)
                                continue;
                        if (strcmp(verb, "deny") == 0)
                                found = found == 'A' ? 'A' : 'D';
                        else if (strcmp(verb, "enosys") == 0)
                                found = found == 'A' ? 'A' : 'E';
                        else
                                found = 'A';
                }
        }
        free(text);
        return found;
}

int main(void)
{
        printf("#include \"tests/e2e/syscalls.h\"\n\nconst struct known_call known_calls[] = {\n");
        for (int number = 0; number < NUMBERS; number++) {
                char *name = seccomp_syscall_resolve_num_arch(seccomp_arch_native(), number);

                if (name)
                        printf("{%d, \"%s\", {'%c', '%c', '%c'}},\n", number, name,
                                standing(policy_install, name, number), standing(policy_build, name, number),
                                standing(policy_check, name, number));
                free(name);
        }
        printf("};\nconst unsigned n_known_calls = sizeof(known_calls) / sizeof(known_calls[0]);\n");
        return ferror(stdout) || fflush(stdout) != 0;
}
