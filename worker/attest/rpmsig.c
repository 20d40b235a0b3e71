#include "worker/attest/rpmsig.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define DOING "checking the package to be signed"

enum { /* rpmtag.h */
        TAG_HEADERSIGNATURES = 62,
        TAG_HEADERIMMUTABLE = 63,
        TAG_HEADERREGIONS = 64, /* real tags are above */
        SIGTAG_DSAHEADER = 267, /* despite its name: any non-RSA signature over the header */
        SIGTAG_RSAHEADER = 268,
        SIGTAG_SHA256HEADER = 273,
        SIGTAG_OPENPGP = 278,
        SIGTAG_PGP = 1002,
        SIGTAG_GPG = 1005,
        SIGTAG_RESERVEDSPACE = 1008,
        TAG_NAME = 1000,
        TAG_VERSION = 1001,
        TAG_RELEASE = 1002,
        TAG_ARCH = 1022,
        TAG_SOURCERPM = 1044,
        TAG_NOSOURCE = 1051,
        TAG_NOPATCH = 1052,
        TAG_PAYLOADDIGEST = 5092,
        TAG_PAYLOADDIGESTALGO = 5093,
        TAG_RPMFORMAT = 5114,
        ALGO_SHA256 = 8,
};

enum {
        TYPE_INT32 = 4,
        TYPE_STRING = 6,
        TYPE_BIN = 7,
        TYPE_STRING_ARRAY = 8,
        TYPE_I18NSTRING = 9,
};

#define LEAD_BYTES 96
#define INTRO_BYTES 16
#define ENTRY_BYTES 16
#define SIGNATURE_ENTRIES_MAX 64
#define SIGNATURE_BYTES_MAX (UINT32_C(96) << 10) /* the new one must fit into one reply */
#define HEADER_ENTRIES_MAX UINT32_C(65535)       /* as rpm's own limits */
#define HEADER_BYTES_MAX (UINT32_C(256) << 20)
#define CHUNK_BYTES (256 * 1024)

/* Size of an element; 0: a type rpm does not write. */
static const uint8_t type_size[] = {0, 1, 1, 2, 4, 8, 1, 1, 1, 1};

struct entry {
        uint32_t tag, type, count;
        uint32_t offset;
        uint32_t len; /* bytes of data */
};

struct header {
        unsigned char *bytes; /* intro, index, data */
        size_t len;
        struct entry *entries;
        size_t n_entries;
        const unsigned char *data;
        uint32_t data_len;
};

struct kiln_rpmsig {
        unsigned char lead[LEAD_BYTES];
        struct header signature, header;
        uint64_t header_offset, payload_offset;
        struct kiln_rpm_digests digests;
        char *file_name;
        char *name;
};

static uint32_t get_u32(const unsigned char *p)
{
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_u32(struct kiln_buf *b, uint32_t v)
{
        unsigned char p[4] = {(unsigned char)(v >> 24), (unsigned char)(v >> 16), (unsigned char)(v >> 8),
                (unsigned char)v};

        kiln_buf_append(b, p, sizeof(p));
}

void kiln_rpmsig_free(struct kiln_rpmsig *s)
{
        if (!s)
                return;
        free(s->signature.bytes);
        free(s->signature.entries);
        free(s->header.bytes);
        free(s->header.entries);
        free(s->file_name);
        free(s->name);
        free(s);
}

const struct kiln_rpm_digests *kiln_rpmsig_digests(const struct kiln_rpmsig *s)
{
        return &s->digests;
}

const char *kiln_rpmsig_file_name(const struct kiln_rpmsig *s)
{
        return s->file_name;
}

uint64_t kiln_rpmsig_header_offset(const struct kiln_rpmsig *s)
{
        return s->header_offset;
}

static int bad(const struct kiln_rpmsig *s, struct kiln_error *err, const char *what)
{
        kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, s->name, "%s", what);
        return -EBADMSG;
}

/* All of len bytes at offset. -ENODATA: the file ends before. */
static int read_at(int fd, uint64_t offset, void *data, size_t len)
{
        ssize_t n = kiln_fd_read_at(fd, data, len, offset);

        return n < 0 ? (int)n : (size_t)n < len ? -ENODATA : 0;
}

/* Bytes that `count` elements of a type take at p; UINT32_MAX: they do not fit into max. */
static uint32_t data_length(uint32_t type, uint32_t count, const unsigned char *p, uint32_t max)
{
        uint64_t len = 0;

        if (type < TYPE_STRING || type == TYPE_BIN) {
                len = (uint64_t)count * type_size[type];
                return len <= max ? (uint32_t)len : UINT32_MAX;
        }
        if (type == TYPE_STRING && count != 1)
                return UINT32_MAX;
        for (uint32_t i = 0; i < count; i++) {
                const unsigned char *end = len < max ? memchr(p + len, '\0', max - len) : NULL;

                if (!end)
                        return UINT32_MAX;
                len = (uint64_t)(end - p) + 1;
        }
        return (uint32_t)len;
}

/* The region entry comes first and its trailer, at the end of the data, covers the whole index: what rpm
 * writes, and what makes the bytes that are signed the ones that are used. */
static const char *check_region(const struct header *h, uint32_t region)
{
        const struct entry *e = h->entries;
        const unsigned char *t;

        if (e->tag != region || e->type != TYPE_BIN || e->count != ENTRY_BYTES)
                return "a header does not begin with its region";
        t = h->data + e->offset;
        if (e->offset + ENTRY_BYTES != h->data_len || get_u32(t) != region || get_u32(t + 4) != TYPE_BIN ||
                get_u32(t + 8) != (uint32_t) - (int32_t)(h->n_entries * ENTRY_BYTES) ||
                get_u32(t + 12) != ENTRY_BYTES)
                return "a header's region does not cover it";
        return NULL;
}

static const char *parse_entries(struct header *h)
{
        for (size_t i = 0; i < h->n_entries; i++) {
                const unsigned char *p = h->bytes + INTRO_BYTES + i * ENTRY_BYTES;
                struct entry *e = &h->entries[i];

                *e = (struct entry){.tag = get_u32(p),
                        .type = get_u32(p + 4),
                        .offset = get_u32(p + 8),
                        .count = get_u32(p + 12)};
                if (i > 0 && e->tag <= (i > 1 ? e[-1].tag : TAG_HEADERREGIONS))
                        return "a header's entries are not in order";
                if (e->type == 0 || e->type >= KILN_ARRAY_SIZE(type_size))
                        return "a header has an entry of an unknown type";
                if (e->offset >= h->data_len || e->offset % type_size[e->type] != 0 || e->count == 0)
                        return "a header has an entry outside its data";
                e->len = data_length(e->type, e->count, h->data + e->offset, h->data_len - e->offset);
                if (e->len == UINT32_MAX)
                        return "a header has an entry that reaches outside its data";
        }
        return NULL;
}

/* Reads the header structure at offset. */
static int read_header(struct kiln_rpmsig *s, int fd, uint64_t offset, uint32_t region, struct header *h,
        struct kiln_error *err)
{
        static const unsigned char magic[8] = {0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0};
        bool signature = region == TAG_HEADERSIGNATURES;
        unsigned char intro[INTRO_BYTES];
        const char *wrong;
        uint32_t n, len;
        int r = read_at(fd, offset, intro, sizeof(intro));

        if (r < 0)
                return bad(s, err, "it ends before its header");
        n = get_u32(intro + 8);
        len = get_u32(intro + 12);
        if (memcmp(intro, magic, sizeof(magic)) != 0)
                return bad(s, err, "a header's magic number is wrong");
        if (n == 0 || n > (signature ? SIGNATURE_ENTRIES_MAX : HEADER_ENTRIES_MAX) || len < ENTRY_BYTES ||
                len > (signature ? SIGNATURE_BYTES_MAX : HEADER_BYTES_MAX))
                return bad(s, err, "a header's size is out of bounds");
        h->len = INTRO_BYTES + (size_t)n * ENTRY_BYTES + len;
        h->bytes = kiln_malloc(h->len);
        if (read_at(fd, offset, h->bytes, h->len) < 0)
                return bad(s, err, "it ends within a header");
        if (memcmp(h->bytes, intro, sizeof(intro)) != 0)
                return bad(s, err, "it changes while it is read");
        h->n_entries = n;
        h->entries = kiln_calloc(n, sizeof(*h->entries));
        h->data = h->bytes + INTRO_BYTES + (size_t)n * ENTRY_BYTES;
        h->data_len = len;
        wrong = parse_entries(h);
        if (!wrong)
                wrong = check_region(h, region);
        return wrong ? bad(s, err, wrong) : 0;
}

static const struct entry *find(const struct header *h, uint32_t tag)
{
        for (size_t i = 0; i < h->n_entries; i++)
                if (h->entries[i].tag == tag)
                        return &h->entries[i];
        return NULL;
}

/* A string (or an array's first); NULL: there is none of these types. */
static const char *get_string(const struct header *h, uint32_t tag)
{
        const struct entry *e = find(h, tag);

        if (!e || (e->type != TYPE_STRING && e->type != TYPE_STRING_ARRAY && e->type != TYPE_I18NSTRING))
                return NULL;
        return (const char *)h->data + e->offset;
}

/* What a file name can be made of: no '/', nothing a terminal or a shell would take for something else. */
static bool is_label(const char *s)
{
        return s && *s && *s != '.' && *s != '-' &&
               strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-~^") == strlen(s);
}

static int name_it(struct kiln_rpmsig *s, struct kiln_error *err)
{
        const struct header *h = &s->header;
        const char *name = get_string(h, TAG_NAME), *version = get_string(h, TAG_VERSION),
                   *release = get_string(h, TAG_RELEASE), *arch = get_string(h, TAG_ARCH);

        if (!get_string(h, TAG_SOURCERPM))
                arch = find(h, TAG_NOSOURCE) || find(h, TAG_NOPATCH) ? "nosrc" : "src";
        if (!is_label(name) || !is_label(version) || !is_label(release) || !is_label(arch))
                return bad(s, err, "it has no proper name, version, release and architecture");
        if (strlen(name) + strlen(version) + strlen(release) + strlen(arch) > 240)
                return bad(s, err, "its name, version and release are too long for a file name");
        s->file_name = kiln_asprintf("%s-%s-%s.%s.rpm", name, version, release, arch);
        return 0;
}

/* Hashes fd from `from` to its end into file, and from payload_offset on into payload. */
static int hash_from(const struct kiln_rpmsig *s, int fd, uint64_t from, struct kiln_hasher *file,
        struct kiln_digest *ret_payload)
{
        _cleanup_hasher_ struct kiln_hasher *payload = kiln_hasher_new();
        _cleanup_free_ unsigned char *chunk = kiln_malloc(CHUNK_BYTES);
        uint64_t at = from;

        for (;;) {
                /* A chunk never straddles the payload's start. */
                size_t want = at < s->payload_offset && s->payload_offset - at < CHUNK_BYTES
                                      ? (size_t)(s->payload_offset - at)
                                      : CHUNK_BYTES;
                ssize_t n = kiln_fd_read_at(fd, chunk, want, at);

                if (n < 0)
                        return (int)n;
                if (n == 0)
                        break;
                kiln_hasher_update(file, chunk, (size_t)n);
                if (at >= s->payload_offset)
                        kiln_hasher_update(payload, chunk, (size_t)n);
                at += (uint64_t)n;
        }
        *ret_payload = kiln_hasher_finish(payload);
        return 0;
}

static bool is_signed(const struct kiln_rpmsig *s)
{
        static const uint32_t signatures[] = {
                SIGTAG_DSAHEADER, SIGTAG_RSAHEADER, SIGTAG_OPENPGP, SIGTAG_PGP, SIGTAG_GPG};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(signatures); i++)
                if (find(&s->signature, signatures[i]))
                        return true;
        return false;
}

static int check_digests(struct kiln_rpmsig *s, int fd, struct kiln_error *err)
{
        _cleanup_hasher_ struct kiln_hasher *file = kiln_hasher_new();
        const struct entry *algo = find(&s->header, TAG_PAYLOADDIGESTALGO);
        const char *payload_hex = get_string(&s->header, TAG_PAYLOADDIGEST),
                   *header_hex = get_string(&s->signature, SIGTAG_SHA256HEADER);
        struct kiln_digest said;
        int r;

        if (!header_hex || !payload_hex || !algo || algo->type != TYPE_INT32 ||
                get_u32(s->header.data + algo->offset) != ALGO_SHA256)
                return bad(s, err,
                        "it carries no SHA-256 digests of its header and payload (rpm 4.14 and later do)");
        s->digests.header = kiln_digest_of(s->header.bytes, s->header.len);
        if (kiln_digest_from_hex(header_hex, &said) < 0 || !kiln_digest_equal(&said, &s->digests.header))
                return bad(s, err, "its header is not what its SHA256HEADER says");
        r = hash_from(s, fd, 0, file, &s->digests.payload);
        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, -r, DOING, s->name, "cannot read it");
        if (kiln_digest_from_hex(payload_hex, &said) < 0 || !kiln_digest_equal(&said, &s->digests.payload))
                return bad(s, err, "its payload is not what its PAYLOADDIGEST says");
        s->digests.signed_file = kiln_hasher_finish(file);
        if (!is_signed(s))
                s->digests.unsigned_file = s->digests.signed_file;
        return 0;
}

int kiln_rpmsig_read(int fd, const char *name, struct kiln_rpmsig **ret, struct kiln_error *err)
{
        _cleanup_(kiln_rpmsig_freep) struct kiln_rpmsig *s = kiln_calloc(1, sizeof(*s));
        const struct entry *format;
        struct stat st;
        int r;

        s->name = kiln_strdup(name);
        if (fstat(fd, &st) < 0)
                return kiln_error_set(err, KILN_INFRA, errno, DOING, name, "cannot look at it");
        if (!S_ISREG(st.st_mode))
                return bad(s, err, "it is not a regular file");
        if (read_at(fd, 0, s->lead, LEAD_BYTES) < 0 || memcmp(s->lead, "\xed\xab\xee\xdb", 4) != 0)
                return bad(s, err, "it is not an RPM package");
        if (s->lead[4] != 3)
                return bad(s, err, "its package format is not 4, the one that can be signed here");
        r = read_header(s, fd, LEAD_BYTES, TAG_HEADERSIGNATURES, &s->signature, err);
        if (r < 0)
                return r;
        s->header_offset = LEAD_BYTES + ((s->signature.len + 7) & ~(size_t)7);
        r = read_header(s, fd, s->header_offset, TAG_HEADERIMMUTABLE, &s->header, err);
        if (r < 0)
                return r;
        format = find(&s->header, TAG_RPMFORMAT);
        if (format && (format->type != TYPE_INT32 || get_u32(s->header.data + format->offset) != 4))
                return bad(s, err, "its package format is not 4, the one that can be signed here");
        s->payload_offset = s->header_offset + s->header.len;
        r = name_it(s, err);
        if (r == 0)
                r = check_digests(s, fd, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

static int compare_tags(const void *a, const void *b)
{
        const struct entry *x = a, *y = b;

        return x->tag < y->tag ? -1 : x->tag > y->tag;
}

static void put_entry(struct kiln_buf *index, uint32_t tag, uint32_t type, uint32_t offset, uint32_t count)
{
        put_u32(index, tag);
        put_u32(index, type);
        put_u32(index, offset);
        put_u32(index, count);
}

/* Writes entries (region first, then by tag, data in the same order) as headerExport() of rpm does.
 * RESERVEDSPACE is the largest tag: it comes last and takes what is left of old_len, the whole header's
 * former length. */
static void write_signature_header(
        const struct header *old, const void *signature, size_t signature_len, struct kiln_buf *out)
{
        _cleanup_free_ struct entry *entries = kiln_calloc(old->n_entries + 1, sizeof(*entries));
        _cleanup_buf_ struct kiln_buf index = KILN_BUF_INIT, data = KILN_BUF_INIT;
        static const unsigned char zeros[8];
        bool reserve = find(old, SIGTAG_RESERVEDSPACE);
        size_t n = 0, n_out;
        int64_t left;

        for (size_t i = 1; i < old->n_entries; i++)
                if (old->entries[i].tag != SIGTAG_RESERVEDSPACE)
                        entries[n++] = old->entries[i];
        entries[n++] = (struct entry){.tag = SIGTAG_DSAHEADER,
                .type = TYPE_BIN,
                .count = (uint32_t)signature_len,
                .len = (uint32_t)signature_len};
        qsort(entries, n, sizeof(*entries), compare_tags);

        for (size_t i = 0; i < n; i++) {
                const struct entry *e = &entries[i];
                size_t align = type_size[e->type];
                const void *bytes =
                        e->tag == SIGTAG_DSAHEADER ? signature : (const void *)(old->data + e->offset);

                kiln_buf_append(&data, zeros, (align - data.len % align) % align);
                put_entry(&index, e->tag, e->type, (uint32_t)data.len, e->count);
                kiln_buf_append(&data, bytes, e->len);
        }
        left = (int64_t)old->len -
               (int64_t)(INTRO_BYTES + ENTRY_BYTES + index.len + ENTRY_BYTES + data.len + ENTRY_BYTES);
        if (reserve && left > 0) {
                put_entry(&index, SIGTAG_RESERVEDSPACE, TYPE_BIN, (uint32_t)data.len, (uint32_t)left);
                for (int64_t i = 0; i < left; i++)
                        kiln_buf_putc(&data, '\0');
        }
        n_out = 1 + index.len / ENTRY_BYTES;
        kiln_buf_append(out, old->bytes, 8); /* magic */
        put_u32(out, (uint32_t)n_out);
        put_u32(out, (uint32_t)data.len + ENTRY_BYTES);
        put_entry(out, TAG_HEADERSIGNATURES, TYPE_BIN, (uint32_t)data.len, ENTRY_BYTES);
        kiln_buf_append(out, index.data, index.len);
        kiln_buf_append(out, data.data, data.len);
        put_entry(out, TAG_HEADERSIGNATURES, TYPE_BIN, (uint32_t) - (int32_t)(n_out * ENTRY_BYTES),
                ENTRY_BYTES);
        kiln_buf_append(out, zeros, (8 - out->len % 8) % 8); /* the lead's 96 bytes keep this aligned */
}

int kiln_rpmsig_sign(struct kiln_rpmsig *s, int fd, const struct kiln_openpgp_key *k, EVP_PKEY *key,
        int64_t time_s, struct kiln_buf *prefix, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf signature = KILN_BUF_INIT, out = KILN_BUF_INIT;
        _cleanup_hasher_ struct kiln_hasher *file = kiln_hasher_new();
        struct kiln_digest payload;
        int r;

        if (is_signed(s))
                return bad(s, err, "it is signed already");
        r = kiln_openpgp_sign(k, key, s->header.bytes, s->header.len, time_s, &signature);
        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, -r, "signing", s->name, "cannot make the signature");
        kiln_buf_append(&out, s->lead, LEAD_BYTES);
        write_signature_header(&s->signature, signature.data, signature.len, &out);
        kiln_hasher_update(file, out.data, out.len);
        kiln_hasher_update(file, s->header.bytes, s->header.len);
        r = hash_from(s, fd, s->payload_offset, file, &payload);
        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, -r, "signing", s->name, "cannot read it");
        if (!kiln_digest_equal(&payload, &s->digests.payload)) {
                kiln_error_set(
                        err, KILN_INFRA, ESTALE, "signing", s->name, "it changed while it was being signed");
                return -ESTALE;
        }
        s->digests.signed_file = kiln_hasher_finish(file);
        kiln_buf_append(prefix, out.data, out.len);
        return 0;
}
