#include "worker/cli/progress.h"

#include "worker/base/clock.h"
#include "worker/base/file.h"
#include "worker/base/json.h"
#include "worker/base/mem.h"
#include "worker/base/text.h"
#include "worker/cli/live.h"
#include "worker/cli/status.h"

#include <string.h>

/* Plain and JSON output show progress no more often than this. */
#define PLAIN_EVERY_NS UINT64_C(5000000000)
#define JSON_EVERY_NS UINT64_C(500000000)
/* And the status line shows the build's last line no more often than this. */
#define LOG_EVERY_NS UINT64_C(200000000)

struct kiln_progress {
        int fd;
        enum kiln_progress_mode mode; /* never AUTO */
        bool verbose;
        struct kiln_live *live; /* started by the first event */
        struct kiln_status status;
        uint64_t shown_ns;
};

static enum kiln_progress_mode mode_for(int fd)
{
        const char *term = getenv("TERM");

        return isatty(fd) && term && *term && strcmp(term, "dumb") != 0 ? KILN_PROGRESS_LIVE
                                                                        : KILN_PROGRESS_PLAIN;
}

struct kiln_progress *kiln_progress_new(int fd, enum kiln_progress_mode mode)
{
        struct kiln_progress *p = kiln_calloc(1, sizeof(*p));

        p->fd = fd;
        kiln_progress_set_mode(p, mode);
        kiln_status_init(&p->status, false);
        return p;
}

void kiln_progress_free(struct kiln_progress *p)
{
        if (!p)
                return;
        if (p->live)
                kiln_live_stop(p->live);
        free(p);
}

/* Lines of a plain log; status holds phase and counts. */
static void plain(struct kiln_progress *p, const struct kiln_event *event)
{
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT, lines = KILN_BUF_INIT;
        uint64_t now = kiln_clock_ns();

        kiln_status_event(&p->status, event, now, &lines);
        switch (event->kind) {
        case KILN_EVENT_PHASE_START:
                kiln_buf_printf(&out, "%s: started\n", p->status.phase);
                p->shown_ns = now;
                break;
        case KILN_EVENT_PROGRESS:
                if (now - p->shown_ns < PLAIN_EVERY_NS)
                        return;
                p->shown_ns = now;
                kiln_buf_printf(&out, "%s: ", p->status.phase);
                kiln_status_count(&p->status, &out);
                kiln_buf_printf(&out, "%s%s\n", p->status.done || p->status.total ? " " : "", p->status.item);
                break;
        case KILN_EVENT_PHASE_END:
        case KILN_EVENT_NOTE:
        case KILN_EVENT_WARNING:
        case KILN_EVENT_LOG:
                kiln_buf_append(&out, kiln_buf_str(&lines), lines.len);
                break;
        }
        if (out.len)
                kiln_fd_write(p->fd, out.data, out.len);
}

static json_t *clean_string(const char *text, size_t len)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        kiln_text_clean(&b, text ? text : "", text ? len : 0, KILN_TEXT_LINES);
        return json_stringn(kiln_buf_str(&b), b.len);
}

static void json_line(struct kiln_progress *p, const struct kiln_event *event)
{
        static const char *const names[] = {
                [KILN_EVENT_PHASE_START] = "phaseStart",
                [KILN_EVENT_PHASE_END] = "phaseEnd",
                [KILN_EVENT_PROGRESS] = "progress",
                [KILN_EVENT_NOTE] = "note",
                [KILN_EVENT_WARNING] = "warning",
                [KILN_EVENT_LOG] = "log",
        };
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
        _cleanup_json_ json_t *j = json_object();
        uint64_t now = kiln_clock_ns();

        if (event->kind == KILN_EVENT_PROGRESS) {
                if (now - p->shown_ns < JSON_EVERY_NS)
                        return;
                p->shown_ns = now;
        }
        json_object_set_new(j, "event", json_string(names[event->kind]));
        if (event->phase)
                json_object_set_new(j, "phase", clean_string(event->phase, strlen(event->phase)));
        if (event->text)
                json_object_set_new(j, "text", clean_string(event->text, event->len));
        if (event->kind == KILN_EVENT_PROGRESS) {
                json_object_set_new(j, "done", json_integer((json_int_t)event->done));
                json_object_set_new(j, "total", json_integer((json_int_t)event->total));
        }
        if (event->kind == KILN_EVENT_PHASE_END) {
                json_object_set_new(
                        j, "durationMs", json_integer((json_int_t)(event->duration_ns / 1000000)));
                json_object_set_new(
                        j, "verdict", json_string(kiln_verdict_name((enum kiln_verdict)event->done)));
        }
        kiln_json_canonical(j, &b);
        kiln_buf_putc(&b, '\n');
        kiln_fd_write(p->fd, b.data, b.len);
}

static void emit(void *ctx, const struct kiln_event *event)
{
        struct kiln_progress *p = ctx;

        if (event->kind == KILN_EVENT_LOG && !p->verbose) {
                uint64_t now = kiln_clock_ns();

                if (p->live && event->text && now - p->shown_ns >= LOG_EVERY_NS) {
                        p->shown_ns = now;
                        kiln_live_log(p->live, event->text, event->len);
                }
                return;
        }
        if (p->mode == KILN_PROGRESS_LIVE && !p->live) {
                p->live = kiln_live_start(p->fd);
                if (!p->live)
                        p->mode = KILN_PROGRESS_PLAIN;
        }
        switch (p->mode) {
        case KILN_PROGRESS_LIVE:
                kiln_live_send(p->live, event);
                break;
        case KILN_PROGRESS_JSON:
                json_line(p, event);
                break;
        case KILN_PROGRESS_QUIET:
                if (event->kind == KILN_EVENT_WARNING || event->kind == KILN_EVENT_LOG)
                        plain(p, event);
                break;
        case KILN_PROGRESS_PLAIN:
        case KILN_PROGRESS_AUTO:
                plain(p, event);
                break;
        }
}

struct kiln_sink kiln_progress_sink(struct kiln_progress *p)
{
        return (struct kiln_sink){.emit = emit, .ctx = p};
}

struct kiln_progress *kiln_progress_of(const struct kiln_context *c)
{
        return c->sink.emit == emit ? c->sink.ctx : NULL;
}

void kiln_progress_set_mode(struct kiln_progress *p, enum kiln_progress_mode mode)
{
        p->mode = mode == KILN_PROGRESS_AUTO ? mode_for(p->fd) : mode;
}

enum kiln_progress_mode kiln_progress_mode(const struct kiln_progress *p)
{
        return p->mode;
}

void kiln_progress_set_verbose(struct kiln_progress *p, bool verbose)
{
        p->verbose = verbose;
}

void kiln_progress_pause(struct kiln_progress *p)
{
        if (p->live)
                kiln_live_pause(p->live);
}
