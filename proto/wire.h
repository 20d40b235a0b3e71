/* Walks protobuf's wire format (https://protobuf.dev/programming-guides/encoding) along a descriptor, before
 * anything is allocated, and names the first thing that is not as it must be. */
#pragma once

#include "proto/message.h"

int kiln_wire_check(const ProtobufCMessageDescriptor *type, const unsigned char *data, size_t len,
        struct kiln_message_error *err);

/* UTF-8 (RFC 3629: no surrogates, no overlong forms) without NUL. */
bool kiln_wire_text_ok(const unsigned char *s, size_t len);

bool kiln_wire_enum_known(const ProtobufCFieldDescriptor *field, int64_t value);
