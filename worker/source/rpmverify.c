#include "worker/source/rpmverify.h"

#include "worker/base/mem.h"
#include "worker/source/rpmkeyring.h"
#include "worker/source/rpmlibrary.h"

#include <errno.h>
#include <fcntl.h>
#include <rpm/rpmbase64.h>
#include <rpm/rpmcli.h>
#include <rpm/rpmpgp.h>
#include <rpm/rpmts.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CHUNK ((size_t)256 << 10)

/* Tags of the signature header and of the header (rpm/rpmtag.h; newer ones are not in 4.18's). */
#define TAG_PAYLOADDIGEST 5092
#define TAG_PAYLOADDIGESTALGO 5093
#define SIGTAG_SIZE 1000
#define SIGTAG_LONGSIZE 270
#define SIGTAG_OPENPGP 278
#define SIGNATURES_MAX 16

enum range {
        HEADER,             /* [header_offset, payload_offset) */
        HEADER_AND_PAYLOAD, /* [header_offset, end) */
        PAYLOAD,            /* [payload_offset, end) */
};

struct check {
        const char *what;
        uint32_t tag;
        enum range range;
        int algo;        /* of digests: PGPHASHALGO_*; 0: a signature, which names its own */
        rpmVSFlags skip; /* tells librpm not to look at this one */
};

static const struct check signature_header_checks[] = {
        {"SHA-256 digest of the header", 273, HEADER, PGPHASHALGO_SHA256, 0},
        {"SHA-1 digest of the header", 269, HEADER, PGPHASHALGO_SHA1, 0},
        {"MD5 digest of header and payload", 1004, HEADER_AND_PAYLOAD, PGPHASHALGO_MD5, 0},
        {"OpenPGP signature of the header", SIGTAG_OPENPGP, HEADER, 0, 0},
        {"RSA signature of the header", 268, HEADER, 0, RPMVSF_NORSAHEADER},
        {"DSA or EdDSA signature of the header", 267, HEADER, 0, RPMVSF_NODSAHEADER},
        {"RSA signature of header and payload", 1002, HEADER_AND_PAYLOAD, 0, RPMVSF_NORSA},
        {"DSA signature of header and payload", 1005, HEADER_AND_PAYLOAD, 0, RPMVSF_NODSA},
};

static const struct check payload_check = {"digest of the payload", TAG_PAYLOADDIGEST, PAYLOAD, 0, 0};

/* One digest or signature found in the file. */
struct item {
        const struct check *check;
        DIGEST_CTX ctx;
        char *expected;   /* digests: lower-case hex */
        pgpDigParams sig; /* signatures */
        bool unsupported; /* a signature this rpm cannot judge */
};

struct verification {
        const struct kiln_rpm_layout *layout;
        const char *name;
        const struct kiln_keyring *keyring;
        struct kiln_error *err;
        struct item items[KILN_ARRAY_SIZE(signature_header_checks) + SIGNATURES_MAX];
        size_t n;
        rpmVSFlags skip; /* what librpm need not look at */
        struct kiln_buf messages;
};

static int _printf_(2, 3) refuse(struct verification *v, const char *fmt, ...)
{
        _cleanup_free_ char *cause = NULL;
        va_list ap;

        va_start(ap, fmt);
        cause = kiln_vasprintf(fmt, ap);
        va_end(ap);
        kiln_error_set(v->err, KILN_BAD_INPUT, 0, "verifying", v->name, "%s", cause);
        kiln_error_advise(
                v->err, "The file was damaged or changed after it was made: fetch it again from its origin.");
        return -EBADMSG;
}

/* Public key and hash algorithm of a signature packet (RFC 4880, 5.2), 0 when it is none of version 4 or 3.
 */
static void packet_algorithms(const unsigned char *p, size_t len, unsigned *pubkey, unsigned *hash)
{
        size_t body;

        *pubkey = *hash = 0;
        if (len < 3)
                return;
        if ((p[0] & 0xc0) == 0xc0)
                body = p[1] < 192 ? 2 : p[1] < 224 ? 3 : 6;
        else
                body = 2 + ((size_t)1 << (p[0] & 3)) - 1;
        if (body + 4 <= len && (p[body] == 4 || p[body] == 6)) {
                *pubkey = p[body + 2];
                *hash = p[body + 3];
        } else if (body + 17 <= len && p[body] == 3) {
                *pubkey = p[body + 15];
                *hash = p[body + 16];
        }
}

static int signature_begin(
        struct verification *v, const struct check *c, const unsigned char *packet, size_t len)
{
        struct item *item = &v->items[v->n];
        unsigned pubkey, hash;

        if (v->n == KILN_ARRAY_SIZE(v->items))
                return refuse(v, "it carries more than %d signatures", SIGNATURES_MAX);
        *item = (struct item){.check = c};
        packet_algorithms(packet, len, &pubkey, &hash);
        if (pubkey == 0)
                return refuse(v, "the %s is no OpenPGP signature packet", c->what);
        v->n++;
        /* What rpm 4.18's parser can check; all else is reported as such, not as a bad signature. */
        if (pubkey != PGPPUBKEYALGO_RSA && pubkey != PGPPUBKEYALGO_RSA_SIGN && pubkey != PGPPUBKEYALGO_DSA &&
                pubkey != PGPPUBKEYALGO_EDDSA) {
                item->unsupported = true;
                return 0;
        }
        item->ctx = rpmDigestInit((int)hash, RPMDIGEST_NONE);
        if (!item->ctx) {
                item->unsupported = true;
                return 0;
        }
        if (pgpPrtParams(packet, len, PGPTAG_SIGNATURE, &item->sig) != 0 ||
                pgpSignatureType(item->sig) != PGPSIGTYPE_BINARY)
                return refuse(v, "the %s is damaged", c->what);
        return 0;
}

static int signatures_begin(struct verification *v, const struct check *c, const struct kiln_rpm_value *value)
{
        const unsigned char *p = value->data;

        if (c->tag != SIGTAG_OPENPGP) {
                if (value->type != RPM_BIN_TYPE)
                        return refuse(v, "the %s has the wrong type", c->what);
                return signature_begin(v, c, value->data, value->bytes);
        }
        if (value->type != RPM_STRING_ARRAY_TYPE)
                return refuse(v, "the %s has the wrong type", c->what);
        for (uint32_t i = 0; i < value->count; i++, p += strlen((const char *)p) + 1) {
                void *packet = NULL;
                size_t len = 0;
                int r;

                if (rpmBase64Decode((const char *)p, &packet, &len) != 0)
                        return refuse(v, "the %s is not base64", c->what);
                r = signature_begin(v, c, packet, len);
                free(packet);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int digest_begin(
        struct verification *v, const struct check *c, const struct kiln_rpm_value *value, int algo)
{
        struct item *item = &v->items[v->n];
        size_t want = rpmDigestLength(algo);
        DIGEST_CTX ctx = rpmDigestInit(algo, RPMDIGEST_NONE);

        if (!ctx)
                return 0; /* a FIPS host has no MD5; what covers nothing at all is refused later */
        *item = (struct item){.check = c, .ctx = ctx};
        v->n++;
        if (value->type == RPM_BIN_TYPE && value->bytes == want) {
                item->expected = kiln_malloc(2 * want + 1);
                kiln_hex_encode(value->data, want, item->expected);
        } else if ((value->type == RPM_STRING_TYPE || value->type == RPM_STRING_ARRAY_TYPE) &&
                   value->count == 1 && value->bytes == 2 * want + 1) {
                item->expected = kiln_strdup((const char *)value->data);
        } else {
                return refuse(v, "the %s has the wrong length", c->what);
        }
        return 0;
}

/* The bytes that header and payload together must have. */
static int size_check(struct verification *v)
{
        const struct kiln_rpm_layout *l = v->layout;
        struct kiln_rpm_value value;
        uint64_t claimed, there = l->file_bytes - l->header_offset;
        uint32_t tag = SIGTAG_LONGSIZE;
        int r;

        r = kiln_rpm_value_find(l->head + l->signature_offset, l->signature_bytes, tag, &value);
        if (r == -ENOENT)
                r = kiln_rpm_value_find(
                        l->head + l->signature_offset, l->signature_bytes, SIGTAG_SIZE, &value);
        if (r == -ENOENT)
                return 0;
        if (r < 0 || kiln_rpm_value_number(&value, &claimed) < 0)
                return refuse(v, "the size in the signature header is not a number");
        if (claimed != there)
                return refuse(v, "header and payload are %llu bytes, its signature header says %llu (%s)",
                        (unsigned long long)there, (unsigned long long)claimed,
                        there < claimed ? "truncated" : "something was appended");
        return 0;
}

static int items_begin(struct verification *v)
{
        const struct kiln_rpm_layout *l = v->layout;
        const unsigned char *header = l->head + l->header_offset;
        struct kiln_rpm_value value;
        uint64_t algo = PGPHASHALGO_SHA256;
        int r;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(signature_header_checks); i++) {
                const struct check *c = &signature_header_checks[i];

                r = kiln_rpm_value_find(l->head + l->signature_offset, l->signature_bytes, c->tag, &value);
                if (r == -ENOENT)
                        continue;
                if (r < 0)
                        return refuse(v, "the %s is damaged", c->what);
                r = c->algo ? digest_begin(v, c, &value, c->algo) : signatures_begin(v, c, &value);
                if (r < 0)
                        return r;
        }

        r = kiln_rpm_value_find(header, l->header_bytes, TAG_PAYLOADDIGEST, &value);
        if (r == -ENOENT)
                return 0;
        if (r == 0) {
                struct kiln_rpm_value number;

                r = kiln_rpm_value_find(header, l->header_bytes, TAG_PAYLOADDIGESTALGO, &number);
                if (r == 0)
                        r = kiln_rpm_value_number(&number, &algo);
                else if (r == -ENOENT)
                        r = 0;
        }
        if (r < 0)
                return refuse(v, "the %s is damaged", payload_check.what);
        if (algo > 255 || rpmDigestLength((int)algo) == 0)
                return refuse(
                        v, "the payload's digest is of unknown algorithm %llu", (unsigned long long)algo);
        return digest_begin(v, &payload_check, &value, (int)algo);
}

static struct item *digest_item(struct verification *v, enum range range)
{
        for (size_t i = 0; i < v->n; i++)
                if (v->items[i].expected && v->items[i].check->range == range &&
                        strlen(v->items[i].expected) >= 64)
                        return &v->items[i];
        return NULL;
}

/* Each byte is hashed as often as it has to be. Where SHA-256 (or longer) digests of header and payload stand
 * in the file, an MD5 digest of the same bytes proves nothing more; and the SHA-256 of the payload is one
 * that bytes_hash() makes anyway: its item stays without a context. */
static void items_thin(struct verification *v)
{
        struct item *payload = digest_item(v, PAYLOAD);

        if (payload && strlen(payload->expected) == KILN_DIGEST_HEX) {
                rpmDigestFinal(payload->ctx, NULL, NULL, 0);
                payload->ctx = NULL;
        }
        if (!payload || !digest_item(v, HEADER))
                return;
        for (size_t i = 0; i < v->n; i++)
                if (v->items[i].expected && v->items[i].check->range == HEADER_AND_PAYLOAD) {
                        rpmDigestFinal(v->items[i].ctx, NULL, NULL, 0);
                        free(v->items[i].expected);
                        v->items[i] = v->items[--v->n];
                        v->skip |= RPMVSF_NOMD5;
                        return;
                }
}

static void items_update(struct verification *v, enum range range, const void *data, size_t len)
{
        for (size_t i = 0; i < v->n; i++) {
                enum range r = v->items[i].check->range;

                if (v->items[i].ctx && (range == HEADER           ? r != PAYLOAD
                                               : range == PAYLOAD ? r != HEADER
                                                                  : false))
                        rpmDigestUpdate(v->items[i].ctx, data, len);
        }
}

/* One pass over the payload: every digest sees the same bytes. */
static int bytes_hash(struct verification *v, int fd, struct kiln_rpm_verified *out)
{
        const struct kiln_rpm_layout *l = v->layout;
        _cleanup_hasher_ struct kiln_hasher *file = kiln_hasher_new(), *payload = kiln_hasher_new();
        _cleanup_free_ char *chunk = kiln_malloc(CHUNK);
        uint64_t at = l->payload_offset;

        kiln_hasher_update(file, l->head, l->payload_offset);
        items_update(v, HEADER, l->head + l->header_offset, l->header_bytes);
        for (;;) {
                ssize_t n = pread(fd, chunk, CHUNK, (off_t)at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return kiln_error_set(
                                v->err, KILN_INFRA, errno, "verifying", v->name, "cannot read the file");
                if (n == 0)
                        break;
                kiln_hasher_update(file, chunk, (size_t)n);
                kiln_hasher_update(payload, chunk, (size_t)n);
                items_update(v, PAYLOAD, chunk, (size_t)n);
                at += (uint64_t)n;
        }
        if (at != l->file_bytes)
                return refuse(v, "the file changes while it is read");
        out->file_sha256 = kiln_hasher_finish(file);
        out->payload_sha256 = kiln_hasher_finish(payload);
        out->header_sha256 = kiln_digest_of(l->head + l->header_offset, l->header_bytes);
        return 0;
}

static int digest_judge(struct verification *v, struct item *item, const struct kiln_rpm_verified *hashed)
{
        _cleanup_free_ char *seen = NULL;
        void *data = NULL;
        size_t len = 0;

        if (item->ctx) {
                rpmDigestFinal(item->ctx, &data, &len, 1);
                item->ctx = NULL;
                seen = data;
        } else {
                seen = kiln_malloc(KILN_DIGEST_HEX + 1);
                kiln_digest_to_hex(&hashed->payload_sha256, seen);
        }
        if (!seen || strcasecmp(seen, item->expected) != 0)
                return refuse(v, "the %s is wrong: it is %s, the file says %s", item->check->what,
                        seen ? seen : "unknown", item->expected);
        return 0;
}

struct tally {
        size_t good, unknown, unsupported;
        bool good_known_to_librpm;
        rpmVSFlags skip;
        const unsigned char *good_id, *unknown_id;
        unsigned covered; /* mask of 1 << enum range */
};

static int items_judge(struct verification *v, const struct kiln_rpm_verified *hashed, struct tally *t)
{
        for (size_t i = 0; i < v->n; i++) {
                struct item *item = &v->items[i];
                rpmRC rc = RPMRC_NOKEY;
                int r;

                if (item->expected) {
                        r = digest_judge(v, item, hashed);
                        if (r < 0)
                                return r;
                        t->covered |= 1U << item->check->range;
                        continue;
                }
                if (item->unsupported) {
                        t->unsupported++;
                        t->skip |= item->check->skip;
                        continue;
                }
                if (v->keyring)
                        rc = rpmKeyringVerifySig(v->keyring->ring, item->sig, item->ctx);
                if (rc == RPMRC_OK) {
                        t->good++;
                        t->good_id = pgpDigParamsSignID(item->sig);
                        t->good_known_to_librpm |= item->check->skip != 0;
                } else if (rc == RPMRC_NOKEY) {
                        t->unknown++;
                        t->unknown_id = pgpDigParamsSignID(item->sig);
                        t->skip |= item->check->skip;
                } else {
                        _cleanup_free_ char *signer =
                                kiln_keyring_signer(v->keyring, pgpDigParamsSignID(item->sig));

                        return refuse(v, "the %s by key %s is wrong", item->check->what, signer);
                }
        }
        if (!(t->covered & (1U << HEADER_AND_PAYLOAD)) && t->covered != (1U << HEADER | 1U << PAYLOAD))
                return refuse(v, "it carries no digest of its %s",
                        t->covered & (1U << HEADER) ? "payload" : "header");
        if (t->unsupported && !t->good && !t->unknown) {
                refuse(v, "its signature is of an algorithm that is not supported");
                kiln_error_advise(v->err, "RSA, DSA and Ed25519 signatures can be checked.");
                return -EBADMSG;
        }
        return 0;
}

/* The second judge. */
static int librpm_judge(struct verification *v, int fd, const struct tally *t)
{
        struct rpmQVKArguments_s qva = {0};
        char path[40];
        _cleanup_close_ int own = -1;
        rpmKeyring ring;
        rpmts ts;
        FD_t f;
        int bad, broke;

        /* An open file description of its own: librpm moves the position. */
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        own = open(path, O_RDONLY | O_CLOEXEC);
        if (own < 0)
                own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (own < 0 || lseek(own, 0, SEEK_SET) < 0)
                return kiln_error_set(
                        v->err, KILN_INFRA, errno, "verifying", v->name, "cannot open the file again");
        f = fdDup(own);
        ts = rpmtsCreate();
        /* Without one set, librpm would read the host's. */
        ring = v->keyring ? rpmKeyringLink(v->keyring->ring) : rpmKeyringNew();
        rpmtsSetKeyring(ts, ring);
        rpmKeyringFree(ring);
        rpmtsSetVfyLevel(ts, t->good_known_to_librpm ? RPMSIG_VERIFIABLE_TYPE : RPMSIG_DIGEST_TYPE);
        rpmtsSetVfyFlags(ts, t->skip | v->skip);
        kiln_buf_reset(&v->messages);
        bad = rpmVerifySignatures(&qva, ts, f, v->name);
        rpmtsFree(ts);
        broke = Ferror(f);
        Fclose(f);
        if (bad && broke)
                return kiln_error_set(v->err, KILN_INFRA, EIO, "verifying", v->name, "cannot read it");
        if (bad)
                return refuse(v, "librpm refuses it: %s", kiln_buf_str(&v->messages));
        return 0;
}

static void items_clear(struct verification *v)
{
        for (size_t i = 0; i < v->n; i++) {
                if (v->items[i].ctx)
                        rpmDigestFinal(v->items[i].ctx, NULL, NULL, 0);
                pgpDigParamsFree(v->items[i].sig);
                free(v->items[i].expected);
        }
}

int kiln_rpm_verify(int fd, const char *name, const struct kiln_rpm_layout *l,
        const struct kiln_keyring *keyring, struct kiln_rpm_verified *ret, struct kiln_error *err)
{
        struct verification v = {.layout = l, .name = name, .keyring = keyring, .err = err};
        struct kiln_rpm_verified out = {.signature = KILN_RPM_UNSIGNED};
        struct tally t = {0};
        int r;

        kiln_rpm_library_enter(&v.messages);
        r = size_check(&v);
        if (r == 0)
                r = items_begin(&v);
        if (r == 0) {
                items_thin(&v);
                r = bytes_hash(&v, fd, &out);
        }
        if (r == 0)
                r = items_judge(&v, &out, &t);
        if (r == 0)
                r = librpm_judge(&v, fd, &t);
        if (r == 0 && t.good) {
                out.signature = KILN_RPM_SIGNED;
                out.signer = kiln_keyring_signer(keyring, t.good_id);
        } else if (r == 0 && t.unknown) {
                out.signature = KILN_RPM_UNKNOWN_KEY;
                out.signer = kiln_keyring_signer(keyring, t.unknown_id);
        }
        items_clear(&v);
        kiln_rpm_library_leave();
        kiln_buf_clear(&v.messages);
        if (r == 0)
                *ret = out;
        return r;
}
