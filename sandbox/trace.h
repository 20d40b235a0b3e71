/* The tracer of a varied clock. Private to the room. */
#pragma once

#include "sandbox/setup.h"

/* Whether this kernel's vDSO is one whose functions can be replaced. */
bool trace_possible(void);

/* Starts the tracer, when the run has a varied clock: by the monitor, before it makes the pid namespace, to
 * which the tracer must not belong. Sets u->trace_fd; when that is closed, the tracer ends. */
int trace_start(struct setup *u);

/* Lets the tracer take the vDSO's clock away from whatever `program` and its descendants execute from now on,
 * while the program waits for an answer. The tracer ends with the last of them; if it dies before, or the
 * monitor, they are killed. 0 or negative errno. */
int trace_program(struct setup *u, pid_t program);
