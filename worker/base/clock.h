/* Time: durations come from the monotonic clock, in nanoseconds (_ns). Wall-clock time only ever lands in
 * runDetails and logs. */
#pragma once

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

static inline uint64_t kiln_clock_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

static inline int64_t kiln_clock_wall_s(void)
{
        return (int64_t)time(NULL);
}

/* RFC 3339 in UTC with seconds: "2026-01-31T12:00:00Z". */
static inline void kiln_clock_format(int64_t unix_s, char text[32])
{
        time_t t = (time_t)unix_s;
        struct tm tm;

        gmtime_r(&t, &tm);
        strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* Reads exactly that form; -EINVAL otherwise. */
static inline int kiln_clock_parse(const char *text, int64_t *ret)
{
        struct tm tm = {0};
        char again[32];
        const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
        time_t t;

        if (!end || *end)
                return -EINVAL;
        t = timegm(&tm);
        kiln_clock_format((int64_t)t, again); /* strptime() takes blanks, short numbers, and 31 February */
        if (strcmp(text, again) != 0)
                return -EINVAL;
        *ret = (int64_t)t;
        return 0;
}
