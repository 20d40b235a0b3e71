/* Signals of the whole program: the first SIGINT, SIGTERM or SIGHUP asks for an orderly end, a second one
 * ends at once. The only global state there is, since a signal handler has no other way. */
#pragma once

/* Installs the handlers. Returns the descriptor (valid until the process ends) that becomes and stays
 * readable when the user cancels, or negative errno. SIGPIPE is caught, not ignored: writes get EPIPE here,
 * and programs started from here get the default back. */
int kiln_cancel_init(void);
