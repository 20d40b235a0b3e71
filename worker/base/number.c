#include "worker/base/number.h"

#include "worker/base/macros.h"

#include <errno.h>
#include <string.h>

struct suffix {
        char letter;
        uint64_t factor;
};

static int parse(const char *s, const struct suffix *suffixes, size_t n_suffixes, uint64_t max, uint64_t *ret)
{
        uint64_t value = 0;

        if (*s < '0' || *s > '9')
                return -EINVAL;
        for (; *s >= '0' && *s <= '9'; s++)
                if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
                        __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
                        return -ERANGE;
        if (*s) {
                uint64_t factor = 0;

                for (size_t i = 0; i < n_suffixes; i++)
                        if (suffixes[i].letter == *s)
                                factor = suffixes[i].factor;
                if (!factor || s[1])
                        return -EINVAL;
                if (__builtin_mul_overflow(value, factor, &value))
                        return -ERANGE;
        }
        if (value > max)
                return -ERANGE;
        *ret = value;
        return 0;
}

int kiln_number_parse(const char *s, uint64_t max, uint64_t *ret)
{
        return parse(s, NULL, 0, max, ret);
}

int kiln_size_parse(const char *s, uint64_t max, uint64_t *ret_bytes)
{
        static const struct suffix sizes[] = {{'K', UINT64_C(1) << 10}, {'M', UINT64_C(1) << 20},
                {'G', UINT64_C(1) << 30}, {'T', UINT64_C(1) << 40}};

        return parse(s, sizes, KILN_ARRAY_SIZE(sizes), max, ret_bytes);
}

int kiln_duration_parse(const char *s, uint64_t max_s, uint64_t *ret_s)
{
        static const struct suffix units[] = {{'s', 1}, {'m', 60}, {'h', 3600}};

        return parse(s, units, KILN_ARRAY_SIZE(units), max_s, ret_s);
}
