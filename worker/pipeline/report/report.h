/* report.html: one page that says how a build ended, to people. Self-contained: no script, nothing fetched; a
 * content security policy in the page holds browsers to that.
 *
 * A pure function of its arguments. Every string in them is hostile and ends up as text. */
#pragma once

#include "worker/base/buf.h"
#include "worker/base/json.h"

/* Appends the page. `result` is kiln.v1.BuildResult in protobuf's JSON mapping (result.json), `lock` is
 * lock.json or NULL, `inputs` inputs.json or NULL, `log_tail` the end of the build's log or NULL. What is
 * missing or of the wrong kind is left out. Returns 0, or -EINVAL when result is no JSON object. */
int kiln_report_write(const json_t *result, const json_t *lock, const json_t *inputs, const char *log_tail,
        struct kiln_buf *out);
