/* What a running job tells the outside: the terminal's progress display, a JSON stream, a coordinator.
 *
 * Stages emit events through the sink in their context and never print. Strings in an event are borrowed for
 * the duration of the call. */
#pragma once

#include "worker/base/macros.h"

#include <stddef.h>
#include <stdint.h>

enum kiln_event_kind {
        KILN_EVENT_PHASE_START, /* phase */
        KILN_EVENT_PHASE_END,   /* phase, duration_ns, verdict in done (0 = went well) */
        KILN_EVENT_PROGRESS,    /* phase, text = item, done/total (total 0: unknown), in units of the stage */
        KILN_EVENT_NOTE,        /* text: one line a person should see */
        KILN_EVENT_WARNING,     /* text: one line a person must see */
        KILN_EVENT_LOG,         /* text, len: raw bytes a build printed */
};

struct kiln_event {
        enum kiln_event_kind kind;
        const char *phase;
        const char *text;
        size_t len;
        uint64_t done;
        uint64_t total;
        uint64_t duration_ns;
};

struct kiln_sink {
        void (*emit)(void *ctx, const struct kiln_event *event); /* NULL: nobody listens */
        void *ctx;
};

void kiln_sink_phase_start(const struct kiln_sink *s, const char *phase);
void kiln_sink_phase_end(const struct kiln_sink *s, const char *phase, uint64_t duration_ns, int verdict);
void kiln_sink_progress(
        const struct kiln_sink *s, const char *phase, const char *item, uint64_t done, uint64_t total);
void kiln_sink_note(const struct kiln_sink *s, const char *fmt, ...) _printf_(2, 3);
void kiln_sink_warning(const struct kiln_sink *s, const char *fmt, ...) _printf_(2, 3);
void kiln_sink_log(const struct kiln_sink *s, const char *phase, const void *data, size_t len);
