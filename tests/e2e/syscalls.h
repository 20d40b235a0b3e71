/* Every system call that libseccomp knows, and how it stands in the profiles install, build and check: 'D'
 * denied, 'E' not there by policy, '-' not named, 'A' allowed or answered, at least sometimes. Made by
 * syscalls.c. */
#pragma once

struct known_call {
        int number;
        const char *name;
        char standing[3];
};

extern const struct known_call known_calls[];
extern const unsigned n_known_calls;
