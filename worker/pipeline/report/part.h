/* What the files that make pages share: reading JSON, and saying sizes and times. Private to them. */
#pragma once

#include "worker/base/buf.h"
#include "worker/base/json.h"

#include <stdbool.h>
#include <stdint.h>

/* A member as text ("" when it is absent or none); points into j. */
const char *kiln_report_string(const json_t *j, const char *key);
/* A member as a number that is not negative: protobuf's JSON mapping writes 64-bit ones as strings. 0 when
 * absent. */
uint64_t kiln_report_number(const json_t *j, const char *key);
bool kiln_report_bool(const json_t *j, const char *key);

/* Everything before the page's own content: policy, style, <body>. */
void kiln_report_head(const char *title, struct kiln_buf *out);

#define KILN_REPORT_TEXT 32
void kiln_report_size(uint64_t bytes, char text[KILN_REPORT_TEXT]);  /* "1.2 MiB" */
void kiln_report_duration(uint64_t ms, char text[KILN_REPORT_TEXT]); /* "1.2 s", "3 min 7 s" */
void kiln_report_time(uint64_t unix_s, char text[KILN_REPORT_TEXT]); /* "2026-01-31 12:00:00 UTC" */

/* The picture of the phases, and the same as a table. `failed` names the phase that failed, or "". */
void kiln_report_timeline(const json_t *phases, const char *failed, struct kiln_buf *out);

/* The sections about what went into the build: lock packages and rounds. */
void kiln_report_buildroot(const json_t *rounds, const json_t *lock, struct kiln_buf *out);

/* Strings in boxes, at most `max`; nothing for an empty list. */
void kiln_report_list(const char *title, const json_t *items, size_t max, struct kiln_buf *out);

/* The section about what an observed build opened; nothing without inputs.json. */
void kiln_report_inputs(const json_t *inputs, struct kiln_buf *out);
