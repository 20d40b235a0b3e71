#include "proto/wire.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum wire_type { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* The field being walked, linked up to the outermost message. */
struct place {
        const struct place *above;
        const ProtobufCFieldDescriptor *field;
        unsigned index;
};

struct walk {
        struct kiln_message_error *err;
        unsigned fields; /* seen so far */
};

struct cursor {
        const unsigned char *p, *end;
};

/* Writes "a.b[2].c" behind text; returns its length. */
static size_t place_print(const struct place *at, char *text, size_t size)
{
        size_t n;

        if (!at || !at->field)
                return 0;
        n = place_print(at->above, text, size);
        if (n < size)
                n += (size_t)snprintf(text + n, size - n, "%s%s", n ? "." : "", at->field->name);
        if (n < size && at->field->label == PROTOBUF_C_LABEL_REPEATED)
                n += (size_t)snprintf(text + n, size - n, "[%u]", at->index);
        return n < size ? n : size - 1;
}

static int __attribute__((format(printf, 3, 4)))
refuse(struct walk *w, const struct place *at, const char *fmt, ...)
{
        char path[256] = "the message";
        va_list ap;
        size_t n;

        if (!w->err)
                return -EBADMSG;
        place_print(at, path, sizeof(path));
        n = (size_t)snprintf(w->err->text, sizeof(w->err->text), "%s: ", path);
        va_start(ap, fmt);
        vsnprintf(w->err->text + n, sizeof(w->err->text) - n, fmt, ap);
        va_end(ap);
        return -EBADMSG;
}

/* At most ten bytes, and no bit above the 64th. */
static bool varint_read(struct cursor *c, uint64_t *ret)
{
        uint64_t v = 0;

        for (unsigned shift = 0; shift < 70 && c->p < c->end; shift += 7) {
                unsigned char b = *c->p++;

                if (shift == 63 && b > 1)
                        return false;
                v |= (uint64_t)(b & 0x7f) << shift;
                if (!(b & 0x80)) {
                        *ret = v;
                        return true;
                }
        }
        return false;
}

bool kiln_wire_text_ok(const unsigned char *s, size_t len)
{
        size_t i = 0;

        while (i < len) {
                unsigned char c = s[i];
                size_t more = c < 0x80 ? 0 : c >= 0xc2 && c <= 0xdf ? 1 : (c & 0xf0) == 0xe0 ? 2 : 3;

                if (c == 0 || (c >= 0x80 && c < 0xc2) || c > 0xf4 || more > len - i - 1)
                        return false;
                for (size_t k = 1; k <= more; k++)
                        if ((s[i + k] & 0xc0) != 0x80)
                                return false;
                /* Overlong forms, surrogates, and what is above U+10FFFF. */
                if ((c == 0xe0 && s[i + 1] < 0xa0) || (c == 0xed && s[i + 1] > 0x9f) ||
                        (c == 0xf0 && s[i + 1] < 0x90) || (c == 0xf4 && s[i + 1] > 0x8f))
                        return false;
                i += more + 1;
        }
        return true;
}

bool kiln_wire_enum_known(const ProtobufCFieldDescriptor *field, int64_t value)
{
        return value >= INT32_MIN && value <= INT32_MAX &&
               protobuf_c_enum_descriptor_get_value(field->descriptor, (int)value) != NULL;
}

static int number_check(struct walk *w, const struct place *at, uint64_t v)
{
        switch (at->field->type) {
        case PROTOBUF_C_TYPE_UINT64:
        case PROTOBUF_C_TYPE_INT64:
                return 0;
        case PROTOBUF_C_TYPE_UINT32:
                return v <= UINT32_MAX ? 0 : refuse(w, at, "the number does not fit into 32 bits");
        case PROTOBUF_C_TYPE_BOOL:
                return v <= 1 ? 0 : refuse(w, at, "it is neither true nor false");
        case PROTOBUF_C_TYPE_ENUM:
                return kiln_wire_enum_known(at->field, (int64_t)v)
                               ? 0
                               : refuse(w, at, "unknown value %lld", (long long)v);
        default:
                return refuse(w, at, "it has the wrong wire type");
        }
}

static int message_walk(
        struct walk *w, const struct place *above, const ProtobufCMessageDescriptor *type, struct cursor c);

static int bytes_check(struct walk *w, const struct place *at, struct cursor value)
{
        switch (at->field->type) {
        case PROTOBUF_C_TYPE_STRING:
                return kiln_wire_text_ok(value.p, (size_t)(value.end - value.p))
                               ? 0
                               : refuse(w, at, "it is not UTF-8 text without NUL");
        case PROTOBUF_C_TYPE_BYTES:
                return 0;
        case PROTOBUF_C_TYPE_MESSAGE:
                return message_walk(w, at, at->field->descriptor, value);
        default:
                return refuse(w, at, "it has the wrong wire type");
        }
}

/* Position in the mask of what was seen: a oneof counts as its first member. */
static unsigned field_slot(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *f)
{
        unsigned slot = (unsigned)(f - type->fields);

        for (unsigned i = 0; (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && i < slot; i++)
                if ((type->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
                        type->fields[i].quantifier_offset == f->quantifier_offset)
                        return i;
        return slot;
}

static int message_walk(
        struct walk *w, const struct place *above, const ProtobufCMessageDescriptor *type, struct cursor c)
{
        unsigned counts[64] = {0};
        uint64_t seen = 0;

        while (c.p < c.end) {
                struct place at = {.above = above};
                uint64_t key, v;
                unsigned slot;
                int r;

                if (!varint_read(&c, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX >> 3)
                        return refuse(w, above, "it is no protobuf message");
                at.field = protobuf_c_message_descriptor_get_field(type, (unsigned)(key >> 3));
                if (!at.field)
                        return refuse(w, above, "unknown field %llu", (unsigned long long)(key >> 3));
                if (++w->fields > KILN_MESSAGE_FIELDS_MAX)
                        return refuse(w, &at, "more than %u fields", KILN_MESSAGE_FIELDS_MAX);
                slot = field_slot(type, at.field);
                if (slot >= 64)
                        return refuse(w, &at, "the message type has too many fields");
                if (at.field->label == PROTOBUF_C_LABEL_REPEATED)
                        at.index = counts[slot]++;
                else if (seen & UINT64_C(1) << slot)
                        return refuse(w, &at, "it stands there twice, or beside another one of its oneof");
                seen |= UINT64_C(1) << slot;

                if (!varint_read(&c, &v))
                        return refuse(w, &at, "it is truncated");
                if ((key & 7) == VARINT) {
                        r = number_check(w, &at, v);
                } else if ((key & 7) == BYTES) {
                        if (v > (uint64_t)(c.end - c.p))
                                return refuse(w, &at, "it is truncated");
                        r = bytes_check(w, &at, (struct cursor){c.p, c.p + v});
                        c.p += v;
                } else {
                        r = refuse(w, &at, "it has the wrong wire type");
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

int kiln_wire_check(const ProtobufCMessageDescriptor *type, const unsigned char *data, size_t len,
        struct kiln_message_error *err)
{
        struct walk w = {.err = err};

        if (len > KILN_MESSAGE_MAX) {
                refuse(&w, NULL, "%zu bytes are more than the %zu that are allowed", len, KILN_MESSAGE_MAX);
                return -EFBIG;
        }
        /* Depth is bounded by the types: none of them contains itself. */
        return message_walk(&w, NULL, type, (struct cursor){data, data + len});
}
