/* What is written down while a job runs: phases, logs, findings; in the end the BuildResult. Not for other
 * rooms. */
#pragma once

#include "proto/message.h"
#include "worker/base/context.h"
#include "worker/base/digest.h"
#include "worker/build/build.h"

struct record;

struct record *record_new(const struct kiln_context *c);
void record_free(struct record *r);
KILN_DEFINE_CLEANUP(struct record *, record_free)

/* Begins a phase (ending the one before); a phase that already runs goes on. */
void record_phase(struct record *r, const char *name);
void record_phase_end(struct record *r, enum kiln_verdict verdict);
const char *record_phase_name(const struct record *r); /* of the running or last one; "" before the first */

/* Logs are compressed as they come (zstd, one frame, fixed level) into unnamed files below dir_fd. */
int record_logs_open(struct record *r, int dir_fd, struct kiln_error *err);
void record_build_log(struct record *r, const void *data, size_t len);
struct kiln_root_log record_root_log(struct record *r); /* for what makes a root */
void record_root_printf(struct record *r, const char *fmt, ...) _printf_(2, 3);
/* Ends both; the descriptors are the record's. */
int record_logs_close(struct record *r, int *ret_build_fd, int *ret_root_fd, struct kiln_error *err);

void record_finding(struct record *r, bool warning, const char *id, const char *subject, const char *fmt, ...)
        _printf_(5, 6);
void record_round(struct record *r, char *const *requirements, const struct kiln_lock *lock,
        const struct kiln_lock *before, const struct kiln_root *root, uint64_t duration_ns);
void record_usage(struct record *r, const struct kiln_build_usage *u);
void record_artefact(struct record *r, Kiln__V1__Artefact *artefact); /* takes it over */

/* The message so far; the record's until record_take(). */
Kiln__V1__BuildResult *record_result(struct record *r);
Kiln__V1__BuildResult *record_take(struct record *r);

/* Sets a string field of a message: frees what it had, copies. */
void record_set(char **field, const char *value);
char *record_hex(const struct kiln_digest *d); /* the caller's */

#define RECORD_NEW(type, init)                                                                               \
        ({                                                                                                   \
                type *_m = kiln_malloc(sizeof(type));                                                        \
                init(_m);                                                                                    \
                _m;                                                                                          \
        })
