/* JSON mapping through the descriptors: one table-driven writer and one reader for every message. Never knows
 * a message by name. */
#include "proto/message.h"
#include "proto/wire.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Deepest nesting that text may have; the types themselves nest six deep. */
#define DEPTH_MAX 32

static int __attribute__((format(printf, 4, 5)))
refuse(struct kiln_message_error *err, const char *where, int r, const char *fmt, ...)
{
        va_list ap;
        size_t n;

        if (!err)
                return r;
        n = (size_t)snprintf(err->text, sizeof(err->text), "%.200s: ", where);
        va_start(ap, fmt);
        vsnprintf(err->text + n, sizeof(err->text) - n, fmt, ap);
        va_end(ap);
        return r;
}

/* "size_bytes" -> "sizeBytes". */
static void camel_name(const char *name, char out[64])
{
        size_t n = 0;

        for (; *name && n < 63; name++) {
                if (*name == '_' && name[1] >= 'a' && name[1] <= 'z')
                        out[n++] = (char)(*++name - 'a' + 'A');
                else if (*name != '_')
                        out[n++] = *name;
        }
        out[n] = '\0';
}

static size_t element_size(ProtobufCType type)
{
        switch (type) {
        case PROTOBUF_C_TYPE_UINT32:
                return sizeof(uint32_t);
        case PROTOBUF_C_TYPE_ENUM:
                return sizeof(int);
        case PROTOBUF_C_TYPE_BOOL:
                return sizeof(protobuf_c_boolean);
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_UINT64:
                return sizeof(uint64_t);
        case PROTOBUF_C_TYPE_BYTES:
                return sizeof(ProtobufCBinaryData);
        default: /* strings and messages */
                return sizeof(void *);
        }
}

/* ---- writing */

static json_t *message_json(const ProtobufCMessage *m);

static json_t *bytes_json(const ProtobufCBinaryData *b)
{
        char *text = malloc((b->len + 2) / 3 * 4 + 1);
        json_t *j = NULL;

        if (text && b->len <= KILN_MESSAGE_MAX) {
                int n = EVP_EncodeBlock(
                        (unsigned char *)text, b->data ? b->data : (const void *)"", (int)b->len);

                j = json_stringn(text, (size_t)n);
        }
        free(text);
        return j;
}

static json_t *value_json(const ProtobufCFieldDescriptor *f, const void *p)
{
        char text[32];

        switch (f->type) {
        case PROTOBUF_C_TYPE_UINT32:
                return json_integer(*(const uint32_t *)p);
        case PROTOBUF_C_TYPE_UINT64:
                snprintf(text, sizeof(text), "%" PRIu64, *(const uint64_t *)p);
                return json_string(text);
        case PROTOBUF_C_TYPE_INT64:
                snprintf(text, sizeof(text), "%" PRId64, *(const int64_t *)p);
                return json_string(text);
        case PROTOBUF_C_TYPE_BOOL:
                return json_boolean(*(const protobuf_c_boolean *)p);
        case PROTOBUF_C_TYPE_ENUM: {
                const ProtobufCEnumValue *v =
                        protobuf_c_enum_descriptor_get_value(f->descriptor, *(const int *)p);

                return v ? json_string(v->name) : NULL;
        }
        case PROTOBUF_C_TYPE_STRING:
                return json_string(*(char *const *)p ? *(char *const *)p : "");
        case PROTOBUF_C_TYPE_BYTES:
                return bytes_json(p);
        case PROTOBUF_C_TYPE_MESSAGE:
                return message_json(*(ProtobufCMessage *const *)p);
        default:
                return NULL;
        }
}

static json_t *field_json(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
        const char *base = (const char *)m;

        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
                size_t n = *(const size_t *)(const void *)(base + f->quantifier_offset);
                const char *elements = *(const char *const *)(const void *)(base + f->offset);
                json_t *array = json_array();

                for (size_t i = 0; i < n; i++)
                        if (json_array_append_new(
                                    array, value_json(f, elements + i * element_size(f->type))) < 0) {
                                json_decref(array);
                                return NULL;
                        }
                return array;
        }
        return value_json(f, base + f->offset);
}

static bool field_present(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
        const char *base = (const char *)m;

        if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
                return *(const uint32_t *)(const void *)(base + f->quantifier_offset) == f->id;
        if (f->label != PROTOBUF_C_LABEL_REPEATED && f->type == PROTOBUF_C_TYPE_MESSAGE)
                return *(void *const *)(const void *)(base + f->offset) != NULL;
        return true;
}

static json_t *message_json(const ProtobufCMessage *m)
{
        json_t *object = json_object();

        for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
                const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
                char name[64];

                if (!field_present(m, f))
                        continue;
                camel_name(f->name, name);
                if (json_object_set_new(object, name, field_json(m, f)) < 0) {
                        json_decref(object);
                        return NULL;
                }
        }
        return object;
}

int kiln_message_to_json(const ProtobufCMessage *m, bool pretty, char **ret, struct kiln_message_error *err)
{
        json_t *j = message_json(m);
        char *text;

        if (!j)
                return refuse(err, "the message", -EBADMSG,
                        "it holds an unknown enum value or text that is not UTF-8");
        text = json_dumps(j, JSON_SORT_KEYS | (pretty ? JSON_INDENT(2) : JSON_COMPACT));
        json_decref(j);
        if (!text)
                return -ENOMEM;
        if (pretty) {
                size_t n = strlen(text);
                char *longer = realloc(text, n + 2);

                if (!longer) {
                        free(text);
                        return -ENOMEM;
                }
                memcpy(longer + n, "\n", 2);
                text = longer;
        }
        *ret = text;
        return 0;
}

/* ---- reading */

static int message_parse(const ProtobufCMessageDescriptor *type, json_t *j, const char *where,
        ProtobufCMessage **ret, struct kiln_message_error *err);

/* Digits with an optional minus; the mapping allows a JSON number in its place. */
static int integer_parse(json_t *j, int64_t *ret_signed, uint64_t *ret_unsigned)
{
        const char *s = json_string_value(j);
        char *end;

        if (json_is_integer(j)) {
                *ret_signed = json_integer_value(j);
                *ret_unsigned = (uint64_t)json_integer_value(j);
                return json_integer_value(j) < 0 ? -1 : 1;
        }
        if (!s || !(s[0] == '-' ? s[1] >= '0' && s[1] <= '9' : s[0] >= '0' && s[0] <= '9'))
                return 0;
        errno = 0;
        if (s[0] == '-') {
                *ret_signed = strtoll(s, &end, 10);
                return errno == 0 && *end == '\0' ? -1 : 0;
        }
        *ret_unsigned = strtoull(s, &end, 10);
        *ret_signed = (int64_t)*ret_unsigned;
        return errno == 0 && *end == '\0' ? 1 : 0;
}

static int number_parse(const ProtobufCFieldDescriptor *f, json_t *j, void *p, const char *where,
        struct kiln_message_error *err)
{
        int64_t s = 0;
        uint64_t u = 0;
        int sign = integer_parse(j, &s, &u);

        if (sign == 0)
                return refuse(err, where, -EBADMSG, "it is no whole number");
        if (f->type == PROTOBUF_C_TYPE_INT64) {
                if (sign > 0 && u > INT64_MAX)
                        return refuse(err, where, -EBADMSG, "the number is too large");
                *(int64_t *)p = s;
                return 0;
        }
        if (sign < 0 || (f->type == PROTOBUF_C_TYPE_UINT32 && u > UINT32_MAX))
                return refuse(err, where, -EBADMSG, "the number is out of range");
        if (f->type == PROTOBUF_C_TYPE_UINT32)
                *(uint32_t *)p = (uint32_t)u;
        else
                *(uint64_t *)p = u;
        return 0;
}

static int enum_parse(const ProtobufCFieldDescriptor *f, json_t *j, void *p, const char *where,
        struct kiln_message_error *err)
{
        const ProtobufCEnumValue *v = NULL;

        if (json_is_string(j))
                v = protobuf_c_enum_descriptor_get_value_by_name(f->descriptor, json_string_value(j));
        else if (json_is_integer(j) && kiln_wire_enum_known(f, json_integer_value(j)))
                v = protobuf_c_enum_descriptor_get_value(f->descriptor, (int)json_integer_value(j));
        if (!v)
                return refuse(err, where, -EBADMSG, "unknown value %.60s",
                        json_is_string(j) ? json_string_value(j) : "");
        *(int *)p = v->value;
        return 0;
}

static int bytes_parse(json_t *j, void *p, const char *where, struct kiln_message_error *err)
{
        ProtobufCBinaryData *b = p;
        const char *s = json_string_value(j);
        size_t len = json_string_length(j), pad = 0;
        unsigned char *data;
        int n;

        if (!s || len % 4 || len > KILN_MESSAGE_MAX)
                return refuse(err, where, -EBADMSG, "it is not base64");
        while (pad < 2 && pad < len && s[len - 1 - pad] == '=')
                pad++;
        if (strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") != len - pad)
                return refuse(err, where, -EBADMSG, "it is not base64");
        if (len == 0)
                return 0;
        data = malloc(len);
        if (!data)
                return -ENOMEM;
        n = EVP_DecodeBlock(data, (const unsigned char *)s, (int)len);
        if (n < (int)pad) {
                free(data);
                return refuse(err, where, -EBADMSG, "it is not base64");
        }
        b->data = data;
        b->len = (size_t)n - pad;
        return 0;
}

static int value_parse(const ProtobufCFieldDescriptor *f, json_t *j, void *p, const char *where,
        struct kiln_message_error *err)
{
        switch (f->type) {
        case PROTOBUF_C_TYPE_UINT32:
        case PROTOBUF_C_TYPE_UINT64:
        case PROTOBUF_C_TYPE_INT64:
                return number_parse(f, j, p, where, err);
        case PROTOBUF_C_TYPE_BOOL:
                if (!json_is_boolean(j))
                        return refuse(err, where, -EBADMSG, "it is neither true nor false");
                *(protobuf_c_boolean *)p = json_is_true(j);
                return 0;
        case PROTOBUF_C_TYPE_ENUM:
                return enum_parse(f, j, p, where, err);
        case PROTOBUF_C_TYPE_STRING:
                if (!json_is_string(j))
                        return refuse(err, where, -EBADMSG, "it is no text");
                /* NUL cannot stand in it: jansson refuses \u0000 unless told otherwise. */
                *(char **)p = strdup(json_string_value(j));
                return *(char **)p ? 0 : -ENOMEM;
        case PROTOBUF_C_TYPE_BYTES:
                return bytes_parse(j, p, where, err);
        case PROTOBUF_C_TYPE_MESSAGE:
                return message_parse(f->descriptor, j, where, p, err);
        default:
                return refuse(err, where, -EBADMSG, "its type has no JSON form here");
        }
}

static int repeated_parse(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, json_t *j,
        const char *where, struct kiln_message_error *err)
{
        size_t *n = (size_t *)(void *)((char *)m + f->quantifier_offset), count = json_array_size(j);
        char **elements = (char **)(void *)((char *)m + f->offset);

        if (!json_is_array(j))
                return refuse(err, where, -EBADMSG, "it is no array");
        if (count == 0)
                return 0;
        *elements = calloc(count, element_size(f->type));
        if (!*elements)
                return -ENOMEM;
        for (size_t i = 0; i < count; i++) {
                char place[256];
                int r;

                snprintf(place, sizeof(place), "%.200s[%zu]", where, i);
                r = value_parse(f, json_array_get(j, i), *elements + i * element_size(f->type), place, err);
                if (r < 0)
                        return r;
                (*n)++; /* what protobuf-c frees when a later one is refused */
        }
        return 0;
}

static int field_parse(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, json_t *j, const char *where,
        struct kiln_message_error *err)
{
        int r;

        if (json_is_null(j)) /* the mapping's other way to leave a field out */
                return 0;
        if (f->label == PROTOBUF_C_LABEL_REPEATED)
                return repeated_parse(m, f, j, where, err);
        if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
                uint32_t *which = (uint32_t *)(void *)((char *)m + f->quantifier_offset);

                if (*which)
                        return refuse(err, where, -EBADMSG, "it stands beside another one of its oneof");
                r = value_parse(f, j, (char *)m + f->offset, where, err);
                if (r == 0)
                        *which = f->id;
                return r;
        }
        return value_parse(f, j, (char *)m + f->offset, where, err);
}

static const ProtobufCFieldDescriptor *field_find(const ProtobufCMessageDescriptor *type, const char *name)
{
        for (unsigned i = 0; i < type->n_fields; i++) {
                char camel[64];

                camel_name(type->fields[i].name, camel);
                if (strcmp(camel, name) == 0 || strcmp(type->fields[i].name, name) == 0)
                        return &type->fields[i];
        }
        return NULL;
}

static int message_fill(ProtobufCMessage *m, json_t *j, const char *where, struct kiln_message_error *err)
{
        uint64_t seen = 0;
        const char *name;
        json_t *value;

        json_object_foreach(j, name, value)
        {
                const ProtobufCFieldDescriptor *f = field_find(m->descriptor, name);
                unsigned slot;
                char place[256];
                int r;

                snprintf(place, sizeof(place), "%.150s%s%.60s", where, *where ? "." : "", name);
                if (!f)
                        return refuse(err, place, -EBADMSG, "unknown name");
                slot = (unsigned)(f - m->descriptor->fields);
                if (slot >= 64 || seen & UINT64_C(1) << slot)
                        return refuse(err, place, -EBADMSG, "it stands there twice");
                seen |= UINT64_C(1) << slot;
                r = field_parse(m, f, value, place, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int message_parse(const ProtobufCMessageDescriptor *type, json_t *j, const char *where,
        ProtobufCMessage **ret, struct kiln_message_error *err)
{
        ProtobufCMessage *m;
        int r;

        if (!json_is_object(j))
                return refuse(err, *where ? where : "the message", -EBADMSG, "it is no object");
        m = calloc(1, type->sizeof_message);
        if (!m)
                return -ENOMEM;
        protobuf_c_message_init(type, m);
        r = message_fill(m, j, where, err);
        if (r < 0) {
                kiln_message_free(m);
                return r;
        }
        *ret = m;
        return 0;
}

static unsigned text_depth(const char *s, size_t len)
{
        unsigned depth = 0, deepest = 0;
        bool quoted = false;

        for (size_t i = 0; i < len; i++) {
                if (quoted && s[i] == '\\')
                        i++;
                else if (s[i] == '"')
                        quoted = !quoted;
                else if (!quoted && (s[i] == '{' || s[i] == '['))
                        deepest = ++depth > deepest ? depth : deepest;
                else if (!quoted && (s[i] == '}' || s[i] == ']') && depth)
                        depth--;
        }
        return deepest;
}

int kiln_message_from_json(const ProtobufCMessageDescriptor *type, const char *text, size_t len,
        ProtobufCMessage **ret, struct kiln_message_error *err)
{
        json_error_t wrong;
        json_t *j;
        int r;

        if (len > KILN_MESSAGE_MAX)
                return refuse(err, "the message", -EFBIG, "%zu bytes are more than the %zu that are allowed",
                        len, KILN_MESSAGE_MAX);
        if (text_depth(text, len) > DEPTH_MAX)
                return refuse(err, "the message", -EBADMSG, "nested deeper than %d levels", DEPTH_MAX);
        j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &wrong);
        if (!j)
                return refuse(err, "the message", -EBADMSG, "line %d column %d: %.160s", wrong.line,
                        wrong.column, wrong.text);
        r = message_parse(type, j, "", ret, err);
        json_decref(j);
        return r;
}
