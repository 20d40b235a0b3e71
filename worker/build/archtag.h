/* What an arch tag such as x86_64_v3 does to a spec that only knows x86_64, put into words. Not for other
 * rooms. */
#pragma once

#include <stddef.h>

/* Lines with %ifarch, %ifnarch or %elifarch that name arch and not tag: how many. *ret_first: the number of
 * the first one, from 1. Names that only a macro's expansion has are not seen. */
unsigned arch_tag_conditions(
        const char *spec, size_t len, const char *arch, const char *tag, unsigned *ret_first);

/* Advice about a build with a tag that failed after it printed tail; the caller's. */
char *arch_tag_advice(const char *tag, const char *tail);
