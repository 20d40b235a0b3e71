#include "worker/cli/status.h"

#include "worker/base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)

enum style { PLAIN, BOLD, DIM, GREEN, RED, YELLOW, CYAN };

static const char *const styles[] = {
        "", "\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[33m", "\033[36m"};

static void put(const struct kiln_status *s, struct kiln_buf *out, enum style style, const char *text)
{
        bool styled = s->colour && style != PLAIN;

        if (styled)
                kiln_buf_puts(out, styles[style]);
        kiln_buf_puts(out, text);
        if (styled)
                kiln_buf_puts(out, "\033[0m");
}

void kiln_status_init(struct kiln_status *s, bool colour)
{
        *s = (struct kiln_status){.utf8 = kiln_text_utf8(), .colour = colour};
}

static void clean_into(const struct kiln_status *s, char *to, size_t size, const char *text, size_t len)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        /* Four bytes a character at most; what is longer is cut before cleaning, and again after. */
        kiln_text_clean(&b, text, len < size ? len : size - 1, s->utf8 ? 0 : KILN_TEXT_ASCII);
        snprintf(to, size, "%s", kiln_buf_str(&b));
}

static bool counts_bytes(const struct kiln_status *s)
{
        return strcmp(s->phase, "fetch") == 0;
}

static void put_bytes(struct kiln_buf *out, uint64_t bytes, uint64_t unit_of)
{
        static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
        size_t u = 0;
        double v = (double)bytes;

        for (uint64_t n = unit_of; n >= 1024 && u < 4; n /= 1024, u++)
                v /= 1024;
        kiln_buf_printf(out, u ? "%.1f" : "%.0f", v);
        if (bytes == unit_of)
                kiln_buf_printf(out, " %s", units[u]);
}

void kiln_status_count(const struct kiln_status *s, struct kiln_buf *out)
{
        if (s->total == 0 && s->done == 0)
                return;
        if (!counts_bytes(s)) {
                kiln_buf_printf(out, "%" PRIu64, s->done);
                if (s->total)
                        kiln_buf_printf(out, " of %" PRIu64, s->total);
                return;
        }
        put_bytes(out, s->done, s->total ? s->total : s->done);
        if (s->total && s->done != s->total) {
                kiln_buf_puts(out, " of ");
                put_bytes(out, s->total, s->total);
        }
}

void kiln_status_duration(uint64_t ns, struct kiln_buf *out)
{
        uint64_t s = ns / SECOND;

        if (s < 100)
                kiln_buf_printf(out, "%" PRIu64 ".%" PRIu64 " s", s, ns % SECOND / (SECOND / 10));
        else if (s < 3600)
                kiln_buf_printf(out, "%" PRIu64 " min %02" PRIu64 " s", s / 60, s % 60);
        else
                kiln_buf_printf(out, "%" PRIu64 " h %02" PRIu64 " min", s / 3600, s / 60 % 60);
}

static void phase_ended(
        struct kiln_status *s, const char *phase, uint64_t duration_ns, bool good, struct kiln_buf *lines)
{
        _cleanup_buf_ struct kiln_buf duration = KILN_BUF_INIT;
        char name[64], padded[80];

        clean_into(s, name, sizeof(name), phase, strlen(phase));
        snprintf(padded, sizeof(padded), " %-10s ", name);
        kiln_status_duration(duration_ns, &duration);
        if (good)
                put(s, lines, GREEN, s->utf8 ? "\xe2\x9c\x93" : "+"); /* check mark */
        else
                put(s, lines, RED, s->utf8 ? "\xe2\x9c\x97" : "x"); /* ballot x */
        kiln_buf_puts(lines, padded);
        put(s, lines, DIM, kiln_buf_str(&duration));
        if (!good)
                put(s, lines, RED, "  failed");
        kiln_buf_putc(lines, '\n');
        s->phase[0] = s->item[0] = '\0';
        s->done = s->total = 0;
}

void kiln_status_event(
        struct kiln_status *s, const struct kiln_event *event, uint64_t now_ns, struct kiln_buf *lines)
{
        const char *phase = event->phase ? event->phase : "", *text = event->text ? event->text : "";
        unsigned flags = s->utf8 ? 0 : KILN_TEXT_ASCII;

        switch (event->kind) {
        case KILN_EVENT_PHASE_START:
                clean_into(s, s->phase, sizeof(s->phase), phase, strlen(phase));
                s->item[0] = '\0';
                s->done = s->total = 0;
                s->started_ns = now_ns;
                break;
        case KILN_EVENT_PHASE_END:
                phase_ended(s, phase, event->duration_ns, event->done == 0, lines);
                break;
        case KILN_EVENT_PROGRESS:
                if (s->phase[0] == '\0') {
                        clean_into(s, s->phase, sizeof(s->phase), phase, strlen(phase));
                        s->started_ns = now_ns;
                }
                clean_into(s, s->item, sizeof(s->item), text, event->len);
                s->done = event->done;
                s->total = event->total;
                break;
        case KILN_EVENT_NOTE:
                kiln_text_clean(lines, text, event->len, flags);
                kiln_buf_putc(lines, '\n');
                break;
        case KILN_EVENT_WARNING:
                put(s, lines, YELLOW, "warning: ");
                kiln_text_clean(lines, text, event->len, flags);
                kiln_buf_putc(lines, '\n');
                break;
        case KILN_EVENT_LOG:
                kiln_text_clean(lines, text, event->len, flags | KILN_TEXT_LINES);
                break;
        }
}

void kiln_status_log(struct kiln_status *s, const char *data, size_t len)
{
        const char *start, *end = data + len;

        if (s->done || s->total)
                return;
        while (end > data && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' '))
                end--;
        for (start = end; start > data && start[-1] != '\n' && start[-1] != '\r';)
                start--;
        if (end > start)
                clean_into(s, s->item, sizeof(s->item), start, (size_t)(end - start));
}

/* A bar of `width` cells, filled to done/total. */
static void put_bar(const struct kiln_status *s, size_t width, struct kiln_buf *out)
{
        uint64_t done = s->done < s->total ? s->done : s->total;
        size_t full = (size_t)((double)done / (double)s->total * (double)width);
        _cleanup_buf_ struct kiln_buf on = KILN_BUF_INIT, off = KILN_BUF_INIT;

        for (size_t i = 0; i < width; i++)
                if (s->utf8)
                        kiln_buf_puts(i < full ? &on : &off, i < full ? "\xe2\x94\x81" : "\xe2\x94\x80");
                else
                        kiln_buf_putc(i < full ? &on : &off, i < full ? '#' : '.');
        put(s, out, CYAN, kiln_buf_str(&on));
        put(s, out, DIM, kiln_buf_str(&off));
}

static void put_elapsed(char text[32], uint64_t ns)
{
        uint64_t t = ns / SECOND;

        if (t < 3600)
                snprintf(text, 32, "%" PRIu64 ":%02" PRIu64, t / 60, t % 60);
        else
                snprintf(text, 32, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, t / 3600, t / 60 % 60, t % 60);
}

void kiln_status_line(const struct kiln_status *s, uint64_t now_ns, unsigned columns, struct kiln_buf *out)
{
        static const char *const spinner[] = {"\xe2\xa0\x8b", "\xe2\xa0\x99", "\xe2\xa0\xb8", "\xe2\xa0\xb4",
                "\xe2\xa0\xa6", "\xe2\xa0\x87"};
        static const char *const ascii_spinner[] = {"|", "/", "-", "\\"};
        _cleanup_buf_ struct kiln_buf count = KILN_BUF_INIT;
        char elapsed[32], phase[80];
        uint64_t ns = now_ns - s->started_ns, tick = ns / (SECOND / 8);
        bool roomy = columns >= 64, bar = roomy && s->total > 0;
        size_t used, room;

        if (s->phase[0] == '\0' || columns < 8)
                return;
        put_elapsed(elapsed, ns);
        kiln_status_count(s, &count);
        snprintf(phase, sizeof(phase), roomy ? " %-10s " : " %s ", s->phase);

        /* Everything but the item has a known width; what does not fit is left out from the right. */
        used = 1 + kiln_text_columns(phase) + strlen(elapsed);
        if (used + 1 > columns) {
                kiln_buf_append(out, s->phase, kiln_text_fit(s->phase, columns - 1));
                return;
        }
        put(s, out, CYAN, s->utf8 ? spinner[tick % 6] : ascii_spinner[tick % 4]);
        put(s, out, BOLD, phase);
        if (bar && used + 22 < columns) {
                put_bar(s, 20, out);
                kiln_buf_putc(out, ' ');
                used += 21;
        }
        put(s, out, DIM, elapsed);
        if (count.len && used + 2 + count.len < columns) {
                kiln_buf_printf(out, "  %s", count.data);
                used += 2 + count.len;
        }
        room = used + 3 < columns ? columns - used - 3 : 0;
        if (s->item[0] && room >= 4) {
                kiln_buf_puts(out, "  ");
                kiln_buf_append(out, s->item, kiln_text_fit(s->item, room));
        }
}
