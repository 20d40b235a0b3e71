/* The phases of a build as an inline SVG: one row a phase, time to the right. */
#include "worker/base/mem.h"
#include "worker/pipeline/report/html.h"
#include "worker/pipeline/report/part.h"

#include <stdio.h>
#include <string.h>

/* In the SVG's own unit, about one CSS pixel. */
enum {
        WIDTH = 880,
        LEFT = 96,  /* where time begins */
        RIGHT = 92, /* room behind the last bar for its duration */
        ROW = 26,
        BAR = 16,
        AXIS = 24, /* height of the axis below the rows */
        TICKS_MAX = 8,
};

/* What a phase is for, which is what its bar's colour says. */
static const struct {
        const char *class, *title;
} groups[] = {
        {"prepare", "prepare"},
        {"build", "build"},
        {"prove", "prove and publish"},
};
static const struct {
        const char *phase;
        unsigned group;
} group_of[] = {
        {"fetch", 0},
        {"source", 0},
        {"solve", 0},
        {"root", 0},
        {"buildreqs", 0},
        {"isa", 2},
        {"vary", 2},
        {"attest", 2},
        {"publish", 2},
};

static unsigned group_find(const char *phase)
{
        for (size_t i = 0; i < KILN_ARRAY_SIZE(group_of); i++)
                if (strcmp(group_of[i].phase, phase) == 0)
                        return group_of[i].group;
        return 1;
}

/* Distance between ticks: the smallest of 1, 2, 5 times a power of ten (up to a minute), or a good number of
 * minutes, that gives at most TICKS_MAX of them. */
static uint64_t tick_ms(uint64_t total_ms)
{
        static const uint64_t steps[] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000,
                30000, 60000, 120000, 300000, 600000, 1200000, 1800000, 3600000, 7200000, 14400000, 43200000};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(steps); i++)
                if (total_ms / steps[i] <= TICKS_MAX)
                        return steps[i];
        return total_ms / TICKS_MAX + 1;
}

static double x_of(uint64_t ms, uint64_t total_ms)
{
        return LEFT + (double)ms / (double)total_ms * (WIDTH - LEFT - RIGHT);
}

static void put_axis(uint64_t total_ms, size_t rows, struct kiln_buf *out)
{
        uint64_t step = tick_ms(total_ms);
        unsigned bottom = (unsigned)rows * ROW + 4;

        for (uint64_t ms = 0; ms <= total_ms; ms += step) {
                char text[KILN_REPORT_TEXT];
                double x = x_of(ms, total_ms);

                if (ms >= 60000 && ms < 3600000 && ms % 60000 == 0)
                        snprintf(text, sizeof(text), "%u min", (unsigned)(ms / 60000));
                else if (ms >= 1000 && ms % 1000 == 0 && ms < 600000)
                        snprintf(text, sizeof(text), "%u s", (unsigned)(ms / 1000));
                else
                        kiln_report_duration(ms, text);
                kiln_html_format(out, "<line class=\"tick\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" y2=\"%u\"/>", x,
                        x, bottom);
                kiln_html_format(out,
                        "<text class=\"axis\" x=\"%.1f\" y=\"%u\" text-anchor=\"middle\">%s</text>\n", x,
                        bottom + 15, ms ? text : "0");
        }
}

/* One line of the picture: a phase, which may have run in several rounds. */
struct row {
        const char *name;
        uint64_t ms;     /* of all rounds */
        uint64_t end_ms; /* of the last one */
        size_t last;     /* its index */
};

static size_t row_find(struct row **rows, size_t *n, const char *name)
{
        size_t i;

        for (i = 0; i < *n; i++)
                if (strcmp((*rows)[i].name, name) == 0)
                        return i;
        KILN_APPEND(*rows, *n)->name = name;
        return i;
}

static void put_bar(const json_t *phase, size_t row, bool bad, uint64_t total_ms, struct kiln_buf *out)
{
        const char *name = kiln_report_string(phase, "name");
        uint64_t offset = kiln_report_number(phase, "offsetMs"), ms = kiln_report_number(phase, "durationMs");
        double x = x_of(offset, total_ms), width = x_of(offset + ms, total_ms) - x;
        char text[KILN_REPORT_TEXT];

        if (width < 2)
                width = 2; /* a phase that took no time is still to be seen */
        kiln_report_duration(ms, text);
        kiln_html_format(out,
                "<rect class=\"bar %s\" x=\"%.1f\" y=\"%u\" width=\"%.1f\" height=\"%d\" rx=\"2\"><title>%s: "
                "%s%s</title></rect>\n",
                bad ? "bad" : groups[group_find(name)].class, x, (unsigned)row * ROW + 4, width, BAR, name,
                text, bad ? ", failed" : "");
}

static void put_row(const struct row *r, size_t row, bool bad, uint64_t total_ms, struct kiln_buf *out)
{
        unsigned y = (unsigned)row * ROW + 4 + 12;
        char text[KILN_REPORT_TEXT];

        kiln_report_duration(r->ms, text);
        kiln_html_format(out, "<text x=\"%d\" y=\"%u\" text-anchor=\"end\">%s</text>", LEFT - 10, y, r->name);
        kiln_html_format(out, "<text class=\"time\" x=\"%.1f\" y=\"%u\">%s%s</text>\n",
                x_of(r->end_ms, total_ms) + 8, y, text, bad ? " \xe2\x9c\x97" : "");
}

static void put_table(const json_t *phases, const char *failed, struct kiln_buf *out)
{
        const json_t *phase;
        size_t i;

        kiln_html_format(out,
                "<details><summary>The same as a table</summary>\n<div class=\"wide\"><table><thead><tr>"
                "<th scope=\"col\">Phase</th><th scope=\"col\" class=\"n\">Began after</th>"
                "<th scope=\"col\" class=\"n\">Took</th><th scope=\"col\" class=\"n\">CPU time</th>"
                "<th scope=\"col\" class=\"n\">Peak memory</th></tr></thead><tbody>\n");
        json_array_foreach(phases, i, phase)
        {
                const char *name = kiln_report_string(phase, "name");
                uint64_t memory = kiln_report_number(phase, "peakMemoryBytes"),
                         cpu = kiln_report_number(phase, "cpuMs");
                char offset[KILN_REPORT_TEXT], took[KILN_REPORT_TEXT],
                        used[KILN_REPORT_TEXT] = "\xe2\x80\x93", peak[KILN_REPORT_TEXT] = "\xe2\x80\x93";

                kiln_report_duration(kiln_report_number(phase, "offsetMs"), offset);
                kiln_report_duration(kiln_report_number(phase, "durationMs"), took);
                if (cpu)
                        kiln_report_duration(cpu, used);
                if (memory)
                        kiln_report_size(memory, peak);
                kiln_html_format(out,
                        "<tr><th scope=\"row\">%s%s</th><td class=\"n\">%s</td><td class=\"n\">%s</td>"
                        "<td class=\"n\">%s</td><td class=\"n\">%s</td></tr>\n",
                        name, *failed && strcmp(failed, name) == 0 ? " (failed)" : "", offset, took, used,
                        peak);
        }
        kiln_html_format(out, "</tbody></table></div></details>\n");
}

/* Fills the rows; 0 when what is there does not add up, which only a hostile result does. Else the time of
 * all. */
static uint64_t rows_fill(const json_t *phases, struct row **rows, size_t *n_rows)
{
        uint64_t total_ms = 1;
        const json_t *phase;
        size_t i;

        json_array_foreach(phases, i, phase)
        {
                uint64_t offset = kiln_report_number(phase, "offsetMs"),
                         ms = kiln_report_number(phase, "durationMs"), end;
                size_t at = row_find(rows, n_rows, kiln_report_string(phase, "name"));

                if (__builtin_add_overflow(offset, ms, &end) || end > UINT64_C(1) << 40)
                        return 0;
                (*rows)[at].ms += ms;
                (*rows)[at].last = i;
                if (end > (*rows)[at].end_ms)
                        (*rows)[at].end_ms = end;
                if (end > total_ms)
                        total_ms = end;
        }
        return total_ms;
}

static void put_legend(const struct row *rows, size_t n_rows, const char *total, struct kiln_buf *out)
{
        bool seen[KILN_ARRAY_SIZE(groups)] = {false};

        for (size_t i = 0; i < n_rows; i++)
                seen[group_find(rows[i].name)] = true;
        kiln_html_format(out, "<p class=\"legend\">");
        for (size_t i = 0; i < KILN_ARRAY_SIZE(groups); i++)
                if (seen[i])
                        kiln_html_format(
                                out, "<span class=\"key %s\"></span>%s ", groups[i].class, groups[i].title);
        kiln_html_format(out, "<span class=\"total\">%s in all</span></p>\n", total);
}

void kiln_report_timeline(const json_t *phases, const char *failed, struct kiln_buf *out)
{
        _cleanup_free_ struct row *rows = NULL;
        size_t n_rows = 0, i;
        uint64_t total_ms = rows_fill(phases, &rows, &n_rows);
        const json_t *phase;
        char text[KILN_REPORT_TEXT];

        if (n_rows == 0 || total_ms == 0)
                return;
        kiln_report_duration(total_ms, text);
        kiln_html_format(out, "<section id=\"timeline\"><h2>Timeline</h2>\n");
        put_legend(rows, n_rows, text, out);
        kiln_html_format(out,
                "<div class=\"wide\"><svg viewBox=\"0 0 %d %u\" role=\"img\" aria-label=\"Phases of the "
                "build over "
                "%s; the table below says the same\">\n",
                WIDTH, (unsigned)n_rows * ROW + AXIS, text);
        put_axis(total_ms, n_rows, out);
        json_array_foreach(phases, i, phase)
        {
                size_t at = row_find(&rows, &n_rows, kiln_report_string(phase, "name"));

                put_bar(phase, at, i == rows[at].last && strcmp(failed, rows[at].name) == 0, total_ms, out);
        }
        for (i = 0; i < n_rows; i++)
                put_row(&rows[i], i, strcmp(failed, rows[i].name) == 0, total_ms, out);
        kiln_html_format(out, "</svg></div>\n");
        put_table(phases, failed, out);
        kiln_html_format(out, "</section>\n");
}
