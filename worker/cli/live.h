/* The live status line, drawn by a child process: it can tick while a stage is busy, without threads or
 * timers in the process that sets up sandboxes. The child holds nothing but the terminal and one socket, and
 * ends with its parent. */
#pragma once

#include "worker/base/event.h"

struct kiln_live;

/* NULL when the child cannot be made: use plain lines. fd stays the caller's. */
struct kiln_live *kiln_live_start(int fd);
void kiln_live_send(struct kiln_live *l, const struct kiln_event *event);
/* What a build printed, for the status line only. */
void kiln_live_log(struct kiln_live *l, const char *data, size_t len);
/* Returns once the status line is gone; the next event brings it back. */
void kiln_live_pause(struct kiln_live *l);
/* The same, and the child has ended. */
void kiln_live_stop(struct kiln_live *l);
