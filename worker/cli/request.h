/* A BuildRequest made from a command line: what `kiln rebuild`, `kiln lock` and `kiln shell` share. There is
 * one pipeline; this only fills its message. */
#pragma once

#include "proto/message.h"
#include "worker/base/context.h"
#include "worker/cli/options.h"

struct request_options {
        const char *toolchain, *isa, *lock, *arch_tag, *dist, *output, *signing, *signer, *tsa;
        char **with, **without, **define, **overlay, **key, **unvaried, **varied, **tsa_certs;
        uint64_t wall, silence, memory, pids, cpu, disk, log_bytes, cpus;
        bool no_check, known_key, hard, nested, observe, check_reproducible;
};

void request_options_clear(struct request_options *o);

/* Reads the SRPM (a path or URL) into the store, chooses toolchain and defaults, and says which. *ret is the
 * caller's (kiln_request_free()). */
int request_build(const struct kiln_context *c, const struct request_options *o, const char *srpm,
        Kiln__V1__BuildRequest **ret, struct kiln_error *err);

/* Where -o wants the result, as an absolute path; the caller's. */
char *request_directory(const struct request_options *o);

/* Rows for an option table whose values struct begins with a struct request_options. */
#define REQUEST_OPTIONS                                                                                      \
        {"toolchain", 't', KILN_OPTION_STRING, offsetof(struct request_options, toolchain), "NAME", NULL, 0, \
                "build against this toolchain (default: configured, else by dist tag, else bootstrap)"},     \
                {"isa", 0, KILN_OPTION_CHOICE, offsetof(struct request_options, isa), "LEVEL",               \
                        "v1 v2 v3 v4", 0, "x86-64 level of the packages (default: the toolchain's)"},        \
                {"arch-tag", 0, KILN_OPTION_STRING, offsetof(struct request_options, arch_tag), "ARCH",      \
                        NULL, 0, "tag packages with another arch, such as x86_64_v3"},                       \
                {"dist", 0, KILN_OPTION_STRING, offsetof(struct request_options, dist), "TAG", NULL, 0,      \
                        "%dist, such as .fc43 (default: the toolchain's)"},                                  \
                {"with", 0, KILN_OPTION_STRINGS, offsetof(struct request_options, with), "BCOND", NULL, 0,   \
                        "enable a build condition"},                                                         \
                {"without", 0, KILN_OPTION_STRINGS, offsetof(struct request_options, without), "BCOND",      \
                        NULL, 0, "disable a build condition"},                                               \
                {"define", 'D', KILN_OPTION_STRINGS, offsetof(struct request_options, define),               \
                        "'NAME BODY'", NULL, 0, "define a macro"},                                           \
                {"overlay", 0, KILN_OPTION_STRINGS, offsetof(struct request_options, overlay), "FILE", NULL, \
                        0, "change the source as this overlay file says"},                                   \
                {"no-check", 0, KILN_OPTION_FLAG, offsetof(struct request_options, no_check), NULL, NULL, 0, \
                        "leave %check out"},                                                                 \
                {"lock", 0, KILN_OPTION_STRING, offsetof(struct request_options, lock), "FILE", NULL, 0,     \
                        "build in exactly this root; the solver is not asked"},                              \
                {"key", 0, KILN_OPTION_STRINGS, offsetof(struct request_options, key), "FILE", NULL, 0,      \
                        "a public key that may have signed the source package"},                             \
                {"known-key", 0, KILN_OPTION_FLAG, offsetof(struct request_options, known_key), NULL, NULL,  \
                        0, "refuse a source package that no known key has signed"},                          \
                {"nested", 0, KILN_OPTION_FLAG, offsetof(struct request_options, nested), NULL, NULL, 0,     \
                        "leave /proc uncovered, so that containers in %check can mount their own"},          \
                {"cpus", 0, KILN_OPTION_NUMBER, offsetof(struct request_options, cpus), "N", NULL, 4096,     \
                        "processors a build sees (default: the toolchain's)"},                               \
                {"wall", 0, KILN_OPTION_DURATION, offsetof(struct request_options, wall), "TIME", NULL,      \
                        1u << 30, "longest time a build may take"},                                          \
                {"silence", 0, KILN_OPTION_DURATION, offsetof(struct request_options, silence), "TIME",      \
                        NULL, 1u << 30, "longest time without output"},                                      \
                {"cpu-time", 0, KILN_OPTION_DURATION, offsetof(struct request_options, cpu), "TIME", NULL,   \
                        1u << 30, "processor time"},                                                         \
                {"memory", 0, KILN_OPTION_SIZE, offsetof(struct request_options, memory), "SIZE", NULL,      \
                        UINT64_C(1) << 62, "memory of all processes together (needs a delegated cgroup)"},   \
                {"processes", 0, KILN_OPTION_NUMBER, offsetof(struct request_options, pids), "N", NULL,      \
                        1u << 22, "how many processes there may be"},                                        \
                {"disk", 0, KILN_OPTION_SIZE, offsetof(struct request_options, disk), "SIZE", NULL,          \
                        UINT64_C(1) << 62, "what a build may write"},                                        \
                {"log-size", 0, KILN_OPTION_SIZE, offsetof(struct request_options, log_bytes), "SIZE", NULL, \
                        UINT64_C(1) << 62, "what a build may print"},                                        \
        {                                                                                                    \
                "hard-limits", 0, KILN_OPTION_FLAG, offsetof(struct request_options, hard), NULL, NULL, 0,   \
                        "refuse when memory and processes cannot be limited here"                            \
        }
