/* Overlays: small declared changes to an upstream source package, one TOML file per logical change, each with
 * its reason. The vocabulary is that of Azure Linux's overlay files (`[metadata]` and `[[overlays]]` with a
 * `type`).
 *
 *     [metadata]                              # optional as a whole
 *     category = "azl-pruning"                # any name
 *     upstream-status = "inapplicable"        # upstreamed upstreamable needs-upstream-hook inapplicable
 *                                             # unknown
 *     reason = "No TeX in the distribution."
 *     commits = [{ url = "https://…" }]
 *     bugs = [{ url = "https://…" }]
 *
 *     [[overlays]]                            # at least one, applied in this order
 *     type = "spec-search-replace"
 *     section = "%build"                      # optional
 *     search = "--with-tex"                   # literal; or regex = "…", POSIX extended, line by line
 *     replacement = "--without-tex"           # literal
 *     count = 1                               # matches expected; or all = true: at least one
 *
 * An overlay that does not apply exactly as it says is an error that names the file and line: nothing is
 * guessed and nothing is skipped. Applying happens inside the sandbox; parsing is safe anywhere. */
#pragma once

#include "worker/base/error.h"

#include <stddef.h>

struct kiln_overlay;

/* BAD_INPUT with line and column: bad TOML, unknown types and keys, keys that are missing or do not belong.
 */
int kiln_overlay_parse(
        const char *name, const char *text, size_t len, struct kiln_overlay **ret, struct kiln_error *err);
void kiln_overlay_free(struct kiln_overlay *o);
KILN_DEFINE_CLEANUP(struct kiln_overlay *, kiln_overlay_free)

/* What the provenance says of it; "" where the file says nothing. Borrowed. */
struct kiln_overlay_metadata {
        const char *name, *category, *upstream_status, *reason;
        char *const *commits, *const *bugs; /* URLs; NULL-terminated */
};
struct kiln_overlay_metadata kiln_overlay_metadata(const struct kiln_overlay *o);

/* Changes the files in dir_fd (flat: a spec, its sources and patches). Not atomic: after an error the
 * directory is to be thrown away. Changed and added files get the spec's modification time, so that a rebuilt
 * SRPM does not depend on the clock. */
int kiln_overlay_apply(
        const struct kiln_overlay *o, int dir_fd, const char *spec_name, struct kiln_error *err);
