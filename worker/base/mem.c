#include "worker/base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void __attribute__((noreturn)) out_of_memory(void)
{
        static const char line[] = "kiln: out of memory\n";
        ssize_t ignored = write(STDERR_FILENO, line, sizeof(line) - 1);

        (void)ignored;
        _exit(4);
}

void *kiln_malloc(size_t size)
{
        void *p = malloc(size ? size : 1);

        if (!p)
                out_of_memory();
        return p;
}

void *kiln_calloc(size_t n, size_t size)
{
        void *p = calloc(n ? n : 1, size ? size : 1);

        if (!p)
                out_of_memory();
        return p;
}

void *kiln_realloc(void *p, size_t n, size_t size)
{
        void *q = reallocarray(p, n ? n : 1, size ? size : 1);

        if (!q)
                out_of_memory();
        return q;
}

char *kiln_strdup(const char *s)
{
        return kiln_memdup(s, strlen(s) + 1);
}

char *kiln_strndup(const char *s, size_t n)
{
        size_t len = strnlen(s, n);
        char *p = kiln_malloc(len + 1);

        memcpy(p, s, len);
        p[len] = '\0';
        return p;
}

void *kiln_memdup(const void *p, size_t n)
{
        void *q = kiln_malloc(n);

        if (n)
                memcpy(q, p, n);
        return q;
}

char *kiln_vasprintf(const char *fmt, va_list ap)
{
        char *s = NULL;

        if (vasprintf(&s, fmt, ap) < 0)
                out_of_memory();
        return s;
}

char *kiln_asprintf(const char *fmt, ...)
{
        va_list ap;
        char *s;

        va_start(ap, fmt);
        s = kiln_vasprintf(fmt, ap);
        va_end(ap);
        return s;
}

void *kiln_grow(void *array, size_t n, size_t size)
{
        /* Capacity is the next power of two above n: nothing needs to be stored beside the count. */
        if (n == 0 || (n & (n - 1)) == 0) {
                size_t capacity = n ? n * 2 : 1;

                array = kiln_realloc(array, capacity, size);
                memset((char *)array + n * size, 0, (capacity - n) * size);
        }
        return array;
}

bool kiln_ends_with(const char *s, const char *end)
{
        size_t n = strlen(s), m = strlen(end);

        return n > m && strcmp(s + n - m, end) == 0;
}

void kiln_strv_free(char **v)
{
        if (!v)
                return;
        for (char **p = v; *p; p++)
                free(*p);
        free(v);
}

size_t kiln_strv_length(char *const *v)
{
        size_t n = 0;

        while (v && v[n])
                n++;
        return n;
}

void kiln_strv_append(char ***v, const char *s)
{
        size_t n = kiln_strv_length(*v);

        *v = kiln_realloc(*v, n + 2, sizeof(char *));
        (*v)[n] = kiln_strdup(s);
        (*v)[n + 1] = NULL;
}

char **kiln_strv_copy(char *const *v)
{
        size_t n = kiln_strv_length(v);
        char **copy = kiln_calloc(n + 1, sizeof(char *));

        for (size_t i = 0; i < n; i++)
                copy[i] = kiln_strdup(v[i]);
        return copy;
}

int kiln_strv_contains(char *const *v, const char *s)
{
        for (; v && *v; v++)
                if (strcmp(*v, s) == 0)
                        return 1;
        return 0;
}

int kiln_strcmp_ptr(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}
