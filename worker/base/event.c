#include "worker/base/event.h"

#include "worker/base/mem.h"

#include <string.h>

static void emit(const struct kiln_sink *s, const struct kiln_event *event)
{
        if (s && s->emit)
                s->emit(s->ctx, event);
}

void kiln_sink_phase_start(const struct kiln_sink *s, const char *phase)
{
        emit(s, &(struct kiln_event){.kind = KILN_EVENT_PHASE_START, .phase = phase});
}

void kiln_sink_phase_end(const struct kiln_sink *s, const char *phase, uint64_t duration_ns, int verdict)
{
        emit(s, &(struct kiln_event){.kind = KILN_EVENT_PHASE_END,
                        .phase = phase,
                        .duration_ns = duration_ns,
                        .done = (uint64_t)verdict});
}

void kiln_sink_progress(
        const struct kiln_sink *s, const char *phase, const char *item, uint64_t done, uint64_t total)
{
        emit(s, &(struct kiln_event){.kind = KILN_EVENT_PROGRESS,
                        .phase = phase,
                        .text = item,
                        .len = item ? strlen(item) : 0,
                        .done = done,
                        .total = total});
}

static void _printf_(3, 0)
        emit_line(const struct kiln_sink *s, enum kiln_event_kind kind, const char *fmt, va_list ap)
{
        _cleanup_free_ char *text = kiln_vasprintf(fmt, ap);

        emit(s, &(struct kiln_event){.kind = kind, .text = text, .len = strlen(text)});
}

void kiln_sink_note(const struct kiln_sink *s, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        emit_line(s, KILN_EVENT_NOTE, fmt, ap);
        va_end(ap);
}

void kiln_sink_warning(const struct kiln_sink *s, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        emit_line(s, KILN_EVENT_WARNING, fmt, ap);
        va_end(ap);
}

void kiln_sink_log(const struct kiln_sink *s, const char *phase, const void *data, size_t len)
{
        emit(s, &(struct kiln_event){.kind = KILN_EVENT_LOG, .phase = phase, .text = data, .len = len});
}
