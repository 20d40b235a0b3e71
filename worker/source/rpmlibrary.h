/* librpm's process-wide state, confined: initialised once, without the host's configuration, macro files or
 * rpmdb, and used by one thread at a time. What librpm prints is caught instead of reaching stderr. */
#pragma once

#include "worker/base/buf.h"

/* Everything that calls librpm's reading side does so between these two; not recursive. *messages collects
 * what librpm says meanwhile, one line each. */
void kiln_rpm_library_enter(struct kiln_buf *messages);
void kiln_rpm_library_leave(void);
