#include "worker/build/archtag.h"

#include "worker/base/mem.h"

#include <stdbool.h>
#include <string.h>

static bool is_blank(char c)
{
        return c && strchr(" \t\r,", c);
}

static bool word_is(const char *word, size_t len, const char *wanted)
{
        return strlen(wanted) == len && memcmp(word, wanted, len) == 0;
}

/* The next word of a line, NULL at its end. */
static const char *next_word(const char **at, const char *end, size_t *ret_len)
{
        const char *word;

        while (*at < end && is_blank(**at))
                (*at)++;
        word = *at;
        while (*at < end && !is_blank(**at))
                (*at)++;
        *ret_len = (size_t)(*at - word);
        return *ret_len ? word : NULL;
}

static bool line_conditions(const char *at, const char *end, const char *arch, const char *tag)
{
        static const char *const directives[] = {"%ifarch", "%ifnarch", "%elifarch"};
        bool is_condition = false, names_arch = false;
        size_t len;
        const char *word = next_word(&at, end, &len);

        for (size_t i = 0; word && i < KILN_ARRAY_SIZE(directives); i++)
                is_condition = is_condition || word_is(word, len, directives[i]);
        if (!is_condition)
                return false;
        while ((word = next_word(&at, end, &len))) {
                if (word_is(word, len, tag))
                        return false;
                names_arch = names_arch || word_is(word, len, arch);
        }
        return names_arch;
}

unsigned arch_tag_conditions(
        const char *spec, size_t len, const char *arch, const char *tag, unsigned *ret_first)
{
        const char *end = spec + len;
        unsigned found = 0, number = 0;

        while (spec < end) {
                const char *stop = memchr(spec, '\n', (size_t)(end - spec));

                if (!stop)
                        stop = end;
                number++;
                if (line_conditions(spec, stop, arch, tag) && found++ == 0)
                        *ret_first = number;
                spec = stop < end ? stop + 1 : end;
        }
        return found;
}

char *arch_tag_advice(const char *tag, const char *tail)
{
        _cleanup_free_ char *platform = kiln_asprintf("%s-", tag);

        /* config.sub: "Invalid configuration 'x86_64_v3-redhat-linux-gnu': machine 'x86_64_v3-redhat' not
         * recognized" */
        if (strstr(tail, "Invalid configuration") && strstr(tail, platform))
                return kiln_asprintf(
                        "config.sub does not know the arch tag %s: build without --arch-tag, for packages "
                        "of the arch itself with the level's flags.",
                        tag);
        return kiln_asprintf(
                "build.log.zst has it all; `kiln shell` opens the same build root. The arch tag %s may be "
                "why: try without --arch-tag.",
                tag);
}
