/* The messages of kiln.v1 as C programs use them: strict reading, canonical writing, JSON both ways, the
 * digests that name requests and results.
 *
 * Reading is stricter than protobuf's own: what this program does not know it refuses, so that two programs
 * of different age can never understand one request differently.
 *
 * The structures are protobuf-c's (kiln/v1/request.pb-c.h and its neighbours); ours are freed with
 * kiln_message_free(). */
#pragma once

#include "kiln/v1/event.pb-c.h"
#include "kiln/v1/lock.pb-c.h"
#include "kiln/v1/request.pb-c.h"
#include "kiln/v1/result.pb-c.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes that one message may have, on the wire and as JSON text. */
#define KILN_MESSAGE_MAX ((size_t)16 << 20)
/* Fields and elements, all in all: what bounds memory. */
#define KILN_MESSAGE_FIELDS_MAX (1U << 18)

struct kiln_message_error {
        char text[512]; /* one sentence, beginning with the field's path: "build.overlays[2].sha256: …" */
};

/* Bytes to message. Refused (-EBADMSG): unknown fields and enum values at any depth, wrong wire types,
 * numbers out of range, a singular field or oneof that stands twice, strings that are not UTF-8 or hold NUL,
 * whatever is left over; -EFBIG above the limits. */
int kiln_message_unpack(const ProtobufCMessageDescriptor *type, const void *data, size_t len,
        ProtobufCMessage **ret, struct kiln_message_error *err);

/* Message to its canonical bytes: fields in the order of their numbers, defaults left out. Checks what it
 * wrote as kiln_message_unpack() would. *ret is the caller's (free). */
int kiln_message_pack(
        const ProtobufCMessage *m, unsigned char **ret, size_t *ret_len, struct kiln_message_error *err);

void kiln_message_free(ProtobufCMessage *m); /* NULL is fine */

/* protobuf's JSON mapping (https://protobuf.dev/programming-guides/json): lowerCamelCase names sorted by
 * their bytes, every field present but unset messages and oneofs, enums by name, 64-bit numbers as strings,
 * bytes as base64. `pretty`: indented by two, with a newline at the end; otherwise no white space and none.
 * *ret is the caller's (free). */
int kiln_message_to_json(const ProtobufCMessage *m, bool pretty, char **ret, struct kiln_message_error *err);

/* The way back; also takes enums as known numbers, numbers as numbers or strings, names as in the .proto
 * file. Unknown and duplicate names are refused. */
int kiln_message_from_json(const ProtobufCMessageDescriptor *type, const char *text, size_t len,
        ProtobufCMessage **ret, struct kiln_message_error *err);

/* SHA-256 over the canonical bytes of BuildRequest.build, in hex. */
int kiln_build_digest(const Kiln__V1__Build *build, char hex[65], struct kiln_message_error *err);

/* As BuildResult.outputs_digest defines it, from the artefacts. */
int kiln_outputs_digest(const Kiln__V1__BuildResult *result, char hex[65], struct kiln_message_error *err);

/* What the types alone do not say: values that must be given, forms of digests, names, URLs and limits.
 * -EINVAL. */
int kiln_request_check(const Kiln__V1__BuildRequest *request, struct kiln_message_error *err);
int kiln_result_check(const Kiln__V1__BuildResult *result, struct kiln_message_error *err);

/* Typed forms: kiln_request_unpack(data, len, &request, &err), kiln_request_free(request), _cleanup_request_.
 */
#define KILN_MESSAGE_DEFINE(noun, type, descriptor)                                                          \
        static inline int kiln_##noun##_unpack(                                                              \
                const void *data, size_t len, type **ret, struct kiln_message_error *err)                    \
        {                                                                                                    \
                ProtobufCMessage *m;                                                                         \
                int r = kiln_message_unpack(&(descriptor), data, len, &m, err);                              \
                                                                                                             \
                if (r == 0)                                                                                  \
                        *ret = (type *)m;                                                                    \
                return r;                                                                                    \
        }                                                                                                    \
        static inline int kiln_##noun##_from_json(                                                           \
                const char *text, size_t len, type **ret, struct kiln_message_error *err)                    \
        {                                                                                                    \
                ProtobufCMessage *m;                                                                         \
                int r = kiln_message_from_json(&(descriptor), text, len, &m, err);                           \
                                                                                                             \
                if (r == 0)                                                                                  \
                        *ret = (type *)m;                                                                    \
                return r;                                                                                    \
        }                                                                                                    \
        static inline void kiln_##noun##_free(type *m)                                                       \
        {                                                                                                    \
                kiln_message_free((ProtobufCMessage *)m);                                                    \
        }                                                                                                    \
        static inline void kiln_##noun##_freep(type **m)                                                     \
        {                                                                                                    \
                kiln_##noun##_free(*m);                                                                      \
        }

KILN_MESSAGE_DEFINE(request, Kiln__V1__BuildRequest, kiln__v1__build_request__descriptor)
KILN_MESSAGE_DEFINE(build, Kiln__V1__Build, kiln__v1__build__descriptor)
KILN_MESSAGE_DEFINE(result, Kiln__V1__BuildResult, kiln__v1__build_result__descriptor)
KILN_MESSAGE_DEFINE(event, Kiln__V1__BuildEvent, kiln__v1__build_event__descriptor)
KILN_MESSAGE_DEFINE(lockmsg, Kiln__V1__Lock, kiln__v1__lock__descriptor)
