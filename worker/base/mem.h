/* Allocation that cannot fail.
 *
 * Sizes that come from outside are bounded *before* they reach these functions; what remains are small
 * objects, and a process that cannot get those has nothing better to do than end: it writes one line to
 * stderr and exits with status 4 (INFRA, another worker may succeed). This is the one place where library
 * code ends the process. */
#pragma once

#include "worker/base/macros.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

void *kiln_malloc(size_t size) __attribute__((malloc, returns_nonnull));
void *kiln_calloc(size_t n, size_t size)
        __attribute__((malloc, returns_nonnull)); /* zeroed, overflow-checked */
void *kiln_realloc(void *p, size_t n, size_t size) __attribute__((returns_nonnull));
char *kiln_strdup(const char *s) __attribute__((malloc, returns_nonnull, nonnull));
char *kiln_strndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull, nonnull));
void *kiln_memdup(const void *p, size_t n) __attribute__((malloc, returns_nonnull));
char *kiln_asprintf(const char *fmt, ...) _printf_(1, 2) __attribute__((malloc, returns_nonnull));
char *kiln_vasprintf(const char *fmt, va_list ap) _printf_(1, 0) __attribute__((malloc, returns_nonnull));

/* Grows *array (elements of `size` bytes) so that index n is valid; capacity doubles. New space is zeroed.
 * Use through KILN_APPEND. */
void *kiln_grow(void *array, size_t n, size_t size);

/* Appends a zeroed element to a (pointer, count) pair and yields its address. */
#define KILN_APPEND(array, n) ((array) = kiln_grow((array), (n), sizeof(*(array))), &(array)[(n)++])

/* Whether s is something with `end` behind it: "x.rpm" ends so in ".rpm", ".rpm" does not. */
bool kiln_ends_with(const char *s, const char *end);

/* A NULL-terminated vector of strings: owned by whoever holds it. */
void kiln_strv_free(char **v);
size_t kiln_strv_length(char *const *v); /* v may be NULL: 0 */
void kiln_strv_append(char ***v, const char *s);
char **kiln_strv_copy(char *const *v);
int kiln_strv_contains(char *const *v, const char *s);
int kiln_strcmp_ptr(const void *a, const void *b); /* for qsort() of char* */

static inline void kiln_strv_freep(char ***v)
{
        kiln_strv_free(*v);
}
#define _cleanup_strv_ _cleanup_(kiln_strv_freep)
