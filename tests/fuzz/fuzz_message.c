/* Every message type over arbitrary bytes, as wire format (first byte 0..4) and as JSON (5..9). What is
 * accepted must survive writing and reading again unchanged. */
#include "proto/message.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *const types[] = {
        &kiln__v1__build_request__descriptor,
        &kiln__v1__build__descriptor,
        &kiln__v1__build_result__descriptor,
        &kiln__v1__build_event__descriptor,
        &kiln__v1__lock__descriptor,
};
#define TYPES (sizeof(types) / sizeof(types[0]))

static void same_again(const ProtobufCMessageDescriptor *type, const ProtobufCMessage *m)
{
        struct kiln_message_error err;
        unsigned char *bytes, *bytes2;
        ProtobufCMessage *again, *from_json;
        size_t len, len2;
        char *json;

        if (kiln_message_pack(m, &bytes, &len, &err) < 0 ||
                kiln_message_unpack(type, bytes, len, &again, &err) < 0 ||
                kiln_message_pack(again, &bytes2, &len2, &err) < 0 || len != len2 ||
                memcmp(bytes, bytes2, len) != 0)
                abort();
        free(bytes2);
        if (kiln_message_to_json(again, false, &json, &err) < 0 ||
                kiln_message_from_json(type, json, strlen(json), &from_json, &err) < 0 ||
                kiln_message_pack(from_json, &bytes2, &len2, &err) < 0 || len != len2 ||
                memcmp(bytes, bytes2, len) != 0)
                abort();
        kiln_message_free(again);
        kiln_message_free(from_json);
        free(bytes);
        free(bytes2);
        free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const ProtobufCMessageDescriptor *type;
        struct kiln_message_error err;
        ProtobufCMessage *m = NULL;
        int r;

        if (size < 1 || data[0] >= 2 * TYPES)
                return 0;
        type = types[data[0] % TYPES];
        r = data[0] < TYPES ? kiln_message_unpack(type, data + 1, size - 1, &m, &err)
                            : kiln_message_from_json(type, (const char *)data + 1, size - 1, &m, &err);
        if (r < 0)
                return 0;
        same_again(type, m);
        if (type == &kiln__v1__build_request__descriptor)
                (void)kiln_request_check((const Kiln__V1__BuildRequest *)m, &err);
        else if (type == &kiln__v1__build_result__descriptor)
                (void)kiln_result_check((const Kiln__V1__BuildResult *)m, &err);
        kiln_message_free(m);
        return 0;
}
