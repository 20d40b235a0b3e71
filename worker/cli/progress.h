/* Where events end up on the command line: a live status line on a terminal, plain lines elsewhere, JSON
 * lines with --json. Always stderr; results own stdout.
 *
 * Text in events comes from packages and builds and is hostile: nothing but printable characters reaches a
 * terminal (text.h). */
#pragma once

#include "worker/base/context.h"
#include "worker/base/event.h"

#include <stdbool.h>

enum kiln_progress_mode {
        KILN_PROGRESS_AUTO = 0, /* LIVE when fd is a terminal that can move its cursor, else PLAIN */
        KILN_PROGRESS_PLAIN,    /* one line at each phase's start and end, progress every few seconds */
        KILN_PROGRESS_LIVE,     /* one status line that rewrites itself, drawn by a child process */
        KILN_PROGRESS_JSON,     /* one JSON object a line */
        KILN_PROGRESS_QUIET,    /* warnings only */
};

struct kiln_progress;

/* Writes to fd, which stays the caller's. */
struct kiln_progress *kiln_progress_new(int fd, enum kiln_progress_mode mode);
/* Ends the display, leaving the terminal as it was found. */
void kiln_progress_free(struct kiln_progress *p);
KILN_DEFINE_CLEANUP(struct kiln_progress *, kiln_progress_free)

struct kiln_sink kiln_progress_sink(struct kiln_progress *p);

/* The display behind a context's sink; NULL when the sink is another one. */
struct kiln_progress *kiln_progress_of(const struct kiln_context *c);

/* Before the first event. */
void kiln_progress_set_mode(struct kiln_progress *p, enum kiln_progress_mode mode);
enum kiln_progress_mode kiln_progress_mode(const struct kiln_progress *p);

/* Shows KILN_EVENT_LOG too (what builds print, cleaned). With JSON, log events are then included. */
void kiln_progress_set_verbose(struct kiln_progress *p, bool verbose);

/* Takes the status line away until the next event. */
void kiln_progress_pause(struct kiln_progress *p);
