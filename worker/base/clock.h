/* Time: durations come from the monotonic clock, in nanoseconds (_ns). Wall-clock time only ever lands in
 * runDetails and logs. */
#pragma once

#include <stdint.h>
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
