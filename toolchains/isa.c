/* The psABI levels' names and the macros that select one. The macro is Fedora's own switch: its x86_64 flags
 * are
 * "-march=x86-64%{?__cflags_arch_x86_64_level}" (redhat-rpm-config, buildflags.md). */
#include "toolchains/toolchain.h"

#include "worker/base/mem.h"

#include <errno.h>
#include <string.h>

static const struct {
        enum kiln_isa_level level;
        const char *name, *march, *suffix;
} levels[] = {
        {KILN_ISA_V1, "v1", "x86-64", "%{nil}"},
        {KILN_ISA_V2, "v2", "x86-64-v2", "-v2"},
        {KILN_ISA_V3, "v3", "x86-64-v3", "-v3"},
        {KILN_ISA_V4, "v4", "x86-64-v4", "-v4"},
};

const char *kiln_isa_level_name(enum kiln_isa_level l)
{
        for (size_t i = 0; i < KILN_ARRAY_SIZE(levels); i++)
                if (levels[i].level == l)
                        return levels[i].name;
        return "none";
}

int kiln_isa_level_parse(const char *s, enum kiln_isa_level *ret)
{
        for (size_t i = 0; i < KILN_ARRAY_SIZE(levels); i++)
                if (strcmp(s, levels[i].name) == 0 || strcmp(s, levels[i].march) == 0 ||
                        (levels[i].level == KILN_ISA_V1 && strcmp(s, "x86-64-v1") == 0)) {
                        *ret = levels[i].level;
                        return 0;
                }
        return -EINVAL;
}

void kiln_isa_level_macros(enum kiln_isa_level l, struct kiln_macro **ret, size_t *ret_n)
{
        struct kiln_macro *macros = NULL;
        size_t n = 0;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(levels); i++)
                if (levels[i].level == l) {
                        *KILN_APPEND(macros, n) = (struct kiln_macro){
                                kiln_strdup("__cflags_arch_x86_64_level"), kiln_strdup(levels[i].suffix)};
                        *KILN_APPEND(macros, n) = (struct kiln_macro){
                                kiln_strdup("_kiln_isa_level"), kiln_strdup(levels[i].name)};
                }
        *ret = macros;
        *ret_n = n;
}
