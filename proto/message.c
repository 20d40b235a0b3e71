#include "proto/message.h"

#include "proto/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int kiln_message_unpack(const ProtobufCMessageDescriptor *type, const void *data, size_t len,
        ProtobufCMessage **ret, struct kiln_message_error *err)
{
        ProtobufCMessage *m;
        int r = kiln_wire_check(type, data, len, err);

        if (r < 0)
                return r;
        m = protobuf_c_message_unpack(type, NULL, len, len ? data : (const void *)"");
        if (!m) {
                snprintf(err ? err->text : (char[1]){0}, err ? sizeof(err->text) : 1,
                        "the message: protobuf-c refuses it");
                return -EBADMSG;
        }
        *ret = m;
        return 0;
}

int kiln_message_pack(
        const ProtobufCMessage *m, unsigned char **ret, size_t *ret_len, struct kiln_message_error *err)
{
        size_t len = protobuf_c_message_get_packed_size(m);
        unsigned char *data;
        int r;

        if (len > KILN_MESSAGE_MAX)
                return kiln_wire_check(m->descriptor, NULL, len, err);
        data = malloc(len ? len : 1);
        if (!data)
                return -ENOMEM;
        protobuf_c_message_pack(m, data);
        r = kiln_wire_check(m->descriptor, data, len, err);
        if (r < 0) {
                free(data);
                return r;
        }
        *ret = data;
        *ret_len = len;
        return 0;
}

void kiln_message_free(ProtobufCMessage *m)
{
        if (m)
                protobuf_c_message_free_unpacked(m, NULL);
}
