/* What the program hands down to every stage instead of global state. */
#pragma once

#include "worker/base/error.h"
#include "worker/base/event.h"

#include <stdbool.h>

struct kiln_context {
        struct kiln_sink sink;
        int cancel_fd;   /* becomes readable (and stays so) when the user or coordinator cancels; -1: never */
        bool offline;    /* no network at all; file:// stays allowed */
        char *cache_dir; /* store, layers, bootstrap repository: everything here may be deleted at any moment
                          */
        char *config_dir; /* the user's kiln.toml and toolchains/ */
        char *key_dir;    /* local signing keys, mode 0700 */
        char *data_dir;   /* installed toolchain definitions and macros (read-only) */
};

/* Fills the four directories:
 *   cache   $KILN_CACHE, else root: /var/cache/kiln, others: $XDG_CACHE_HOME/kiln or ~/.cache/kiln
 *   config  $KILN_CONFIG, else root: /etc/kiln, others: $XDG_CONFIG_HOME/kiln or ~/.config/kiln
 *   keys    $KILN_KEYS, else <config>/keys
 *   data    $KILN_DATA, else the source tree's toolchains/ when run from a build tree, else <datadir>/kiln
 *           below the prefix that the program lies in, else below the one it was built for
 * HOME is taken from the environment, else from the password database. Errors: REFUSED when there is no home.
 */
int kiln_context_init(struct kiln_context *c, struct kiln_error *err);
void kiln_context_clear(struct kiln_context *c);

/* True once cancel_fd is readable. */
bool kiln_context_cancelled(const struct kiln_context *c);

/* Returns -ECANCELED with a CANCELLED error when cancelled, else 0. */
int kiln_context_check(const struct kiln_context *c, const char *doing, struct kiln_error *err);
