#include "worker/pipeline/report/part.h"

#include "worker/base/clock.h"
#include "worker/base/number.h"
#include "worker/pipeline/report/html.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *kiln_report_string(const json_t *j, const char *key)
{
        const char *s = json_string_value(json_object_get(j, key));

        return s ? s : "";
}

uint64_t kiln_report_number(const json_t *j, const char *key)
{
        const json_t *v = json_object_get(j, key);
        uint64_t n = 0;

        if (json_is_integer(v))
                return json_integer_value(v) > 0 ? (uint64_t)json_integer_value(v) : 0;
        if (json_is_string(v) && kiln_number_parse(json_string_value(v), UINT64_MAX, &n) < 0)
                return 0;
        return n;
}

bool kiln_report_bool(const json_t *j, const char *key)
{
        return json_is_true(json_object_get(j, key));
}

void kiln_report_size(uint64_t bytes, char text[KILN_REPORT_TEXT])
{
        static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
        double v = (double)bytes / 1024;
        size_t u = 0;

        if (bytes < 1024) {
                snprintf(text, KILN_REPORT_TEXT, "%" PRIu64 " B", bytes);
                return;
        }
        for (; v >= 1024 && u < 5; u++)
                v /= 1024;
        snprintf(text, KILN_REPORT_TEXT, v < 100 ? "%.1f %s" : "%.0f %s", v, units[u]);
}

void kiln_report_duration(uint64_t ms, char text[KILN_REPORT_TEXT])
{
        uint64_t s = ms / 1000;

        if (ms < 1000)
                snprintf(text, KILN_REPORT_TEXT, "%" PRIu64 " ms", ms);
        else if (s < 100)
                snprintf(text, KILN_REPORT_TEXT, "%" PRIu64 ".%" PRIu64 " s", s, ms % 1000 / 100);
        else if (s < 3600)
                snprintf(text, KILN_REPORT_TEXT, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
        else
                snprintf(text, KILN_REPORT_TEXT, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
}

void kiln_report_time(uint64_t unix_s, char text[KILN_REPORT_TEXT])
{
        char iso[32];

        /* Beyond the year 9999 the form changes; nothing of ours is that late. */
        if (unix_s > UINT64_C(253402300799)) {
                snprintf(text, KILN_REPORT_TEXT, "%" PRIu64, unix_s);
                return;
        }
        kiln_clock_format((int64_t)unix_s, iso);
        snprintf(text, KILN_REPORT_TEXT, "%.10s %.8s UTC", iso, iso + 11);
}

void kiln_report_list(const char *title, const json_t *items, size_t max, struct kiln_buf *out)
{
        const json_t *item;
        size_t i;

        if (json_array_size(items) == 0)
                return;
        kiln_html_format(out, "<p class=\"label\">%s</p><ul class=\"chips\">", title);
        json_array_foreach(items, i, item)
        {
                if (i == max)
                        break;
                kiln_html_format(out, "<li>%s</li>", json_string_value(item) ? json_string_value(item) : "");
        }
        kiln_html_format(out, "</ul>\n");
}
