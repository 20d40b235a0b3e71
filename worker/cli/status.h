/* What the display knows about the running job, and the lines it makes of that. Pure text: no descriptor, no
 * clock of its own. */
#pragma once

#include "worker/base/buf.h"
#include "worker/base/event.h"

#include <stdbool.h>
#include <stdint.h>

struct kiln_status {
        bool utf8, colour;
        char phase[64]; /* cleaned; "" when none runs */
        char item[256];
        uint64_t done, total;
        uint64_t started_ns;
};

void kiln_status_init(struct kiln_status *s, bool colour);

/* Takes the event in; appends the lines that stay on the screen for good, each with its '\n' (none for most
 * events). */
void kiln_status_event(
        struct kiln_status *s, const struct kiln_event *event, uint64_t now_ns, struct kiln_buf *lines);

/* What a build printed, when it is not shown line by line: its last line becomes the item while the phase
 * reports no progress of its own. */
void kiln_status_log(struct kiln_status *s, const char *data, size_t len);

/* Appends the status line for so many columns: never wider, without '\n'. Nothing while no phase runs. */
void kiln_status_line(const struct kiln_status *s, uint64_t now_ns, unsigned columns, struct kiln_buf *out);

/* "12 of 171", "1.2 of 40.0 MiB" or "" (nothing known). Bytes are told from items by the phase: only "fetch"
 * counts bytes. */
void kiln_status_count(const struct kiln_status *s, struct kiln_buf *out);

/* "0.4 s", "12.3 s", "3 min 07 s". */
void kiln_status_duration(uint64_t ns, struct kiln_buf *out);
