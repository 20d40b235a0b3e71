#include "worker/attest/openpgp.h"

#include "worker/base/mem.h"

#include <errno.h>
#include <string.h>

enum { /* RFC 4880 sections 4.3, 5.2.1, 5.2.3.1, 9 */
        PACKET_SIGNATURE = 2,
        PACKET_PUBLIC_KEY = 6,
        PACKET_USER_ID = 13,
        TYPE_BINARY = 0x00,
        TYPE_POSITIVE_CERTIFICATION = 0x13,
        SUBPACKET_CREATED = 2,
        SUBPACKET_ISSUER = 16,
        SUBPACKET_KEY_FLAGS = 27,
        SUBPACKET_ISSUER_FINGERPRINT = 33,
        FLAG_CERTIFY_AND_SIGN = 0x01 | 0x02,
        ALGORITHM_EDDSA = 22,
        HASH_SHA256 = 8,
};

static const unsigned char ed25519_oid[] = {0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01};

static void put_u16(struct kiln_buf *b, size_t v)
{
        kiln_buf_putc(b, (char)(v >> 8));
        kiln_buf_putc(b, (char)v);
}

static void put_u32(struct kiln_buf *b, uint32_t v)
{
        put_u16(b, v >> 16);
        put_u16(b, v & 0xffff);
}

/* New-format header (section 4.2.2); rpm's own parser, gpg and sequoia all read it. */
static void put_packet(struct kiln_buf *out, int tag, const struct kiln_buf *body)
{
        kiln_buf_putc(out, (char)(0xc0 | tag));
        if (body->len < 192) {
                kiln_buf_putc(out, (char)body->len);
        } else if (body->len < 8384) {
                kiln_buf_putc(out, (char)(((body->len - 192) >> 8) + 192));
                kiln_buf_putc(out, (char)(body->len - 192));
        } else {
                kiln_buf_putc(out, (char)255);
                put_u32(out, (uint32_t)body->len);
        }
        kiln_buf_append(out, body->data, body->len);
}

/* Multiprecision integer (section 3.2): leading zero bits are not written. */
static void put_mpi(struct kiln_buf *b, const unsigned char *n, size_t len)
{
        size_t bits;

        while (len > 0 && *n == 0) {
                n++;
                len--;
        }
        bits = len * 8;
        for (unsigned char top = len ? *n : 0xff; !(top & 0x80); top = (unsigned char)(top << 1))
                bits--;
        put_u16(b, bits);
        kiln_buf_append(b, n, len);
}

/* Subpackets here are all shorter than 192 bytes (section 5.2.3.1). */
static void put_subpacket(struct kiln_buf *b, int type, const void *data, size_t len)
{
        kiln_buf_putc(b, (char)(len + 1));
        kiln_buf_putc(b, (char)type);
        kiln_buf_append(b, data, len);
}

static void put_key_body(struct kiln_buf *b, const unsigned char *public_key, uint32_t created_s)
{
        unsigned char point[1 + KILN_ED25519_BYTES] = {0x40}; /* "native" point prefix */

        memcpy(point + 1, public_key, KILN_ED25519_BYTES);
        kiln_buf_putc(b, 4);
        put_u32(b, created_s);
        kiln_buf_putc(b, ALGORITHM_EDDSA);
        kiln_buf_putc(b, sizeof(ed25519_oid));
        kiln_buf_append(b, ed25519_oid, sizeof(ed25519_oid));
        put_mpi(b, point, sizeof(point));
}

/* What a fingerprint or certification hashes of a key (sections 5.2.4, 12.2). */
static void put_hashed_key(struct kiln_buf *b, const struct kiln_openpgp_key *k)
{
        _cleanup_buf_ struct kiln_buf body = KILN_BUF_INIT;

        put_key_body(&body, k->public_key, k->created_s);
        kiln_buf_putc(b, (char)0x99);
        put_u16(b, body.len);
        kiln_buf_append(b, body.data, body.len);
}

int kiln_openpgp_key_init(struct kiln_openpgp_key *ret, const EVP_PKEY *key, uint32_t created_s)
{
        _cleanup_buf_ struct kiln_buf hashed = KILN_BUF_INIT;
        struct kiln_openpgp_key k = {.created_s = created_s};
        size_t len = sizeof(k.public_key);

        if (EVP_PKEY_get_id(key) != EVP_PKEY_ED25519 ||
                EVP_PKEY_get_raw_public_key(key, k.public_key, &len) != 1 || len != sizeof(k.public_key))
                return -EINVAL;
        put_hashed_key(&hashed, &k);
        if (EVP_Digest(hashed.data, hashed.len, k.fingerprint, NULL, EVP_sha1(), NULL) != 1)
                return -EIO;
        *ret = k;
        return 0;
}

/* Hashes data and the signature's own trailer (section 5.2.4), signs that digest, appends the packet. */
static int put_signature(const struct kiln_openpgp_key *k, EVP_PKEY *key, int type, bool certification,
        const void *data, size_t data_len, uint32_t time_s, struct kiln_buf *out)
{
        _cleanup_buf_ struct kiln_buf hashed = KILN_BUF_INIT, body = KILN_BUF_INIT, unhashed = KILN_BUF_INIT;
        unsigned char created[4] = {(unsigned char)(time_s >> 24), (unsigned char)(time_s >> 16),
                (unsigned char)(time_s >> 8), (unsigned char)time_s};
        unsigned char issuer[1 + KILN_OPENPGP_FINGERPRINT_BYTES] = {4}; /* key version */
        unsigned char flags = FLAG_CERTIFY_AND_SIGN, digest[32], signature[64];
        size_t signature_len = sizeof(signature);
        EVP_MD_CTX *ctx;
        int r;

        memcpy(issuer + 1, k->fingerprint, sizeof(k->fingerprint));
        put_subpacket(&hashed, SUBPACKET_CREATED, created, sizeof(created));
        if (certification)
                put_subpacket(&hashed, SUBPACKET_KEY_FLAGS, &flags, 1);
        put_subpacket(&hashed, SUBPACKET_ISSUER_FINGERPRINT, issuer, sizeof(issuer));
        /* rpm up to 4.18 finds the key by this one only. */
        put_subpacket(&unhashed, SUBPACKET_ISSUER, k->fingerprint + 12, 8);

        kiln_buf_putc(&body, 4);
        kiln_buf_putc(&body, (char)type);
        kiln_buf_putc(&body, ALGORITHM_EDDSA);
        kiln_buf_putc(&body, HASH_SHA256);
        put_u16(&body, hashed.len);
        kiln_buf_append(&body, hashed.data, hashed.len);

        {
                _cleanup_buf_ struct kiln_buf trailer = KILN_BUF_INIT;

                kiln_buf_append(&trailer, body.data, body.len);
                kiln_buf_putc(&trailer, 4);
                kiln_buf_putc(&trailer, (char)0xff);
                put_u32(&trailer, (uint32_t)body.len);
                ctx = EVP_MD_CTX_new();
                r = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
                                    EVP_DigestUpdate(ctx, data, data_len) == 1 &&
                                    EVP_DigestUpdate(ctx, trailer.data, trailer.len) == 1 &&
                                    EVP_DigestFinal_ex(ctx, digest, NULL) == 1 &&
                                    EVP_MD_CTX_reset(ctx) == 1 &&
                                    EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
                                    EVP_DigestSign(ctx, signature, &signature_len, digest, sizeof(digest)) ==
                                            1 &&
                                    signature_len == sizeof(signature)
                            ? 0
                            : -EIO;
                EVP_MD_CTX_free(ctx);
        }
        if (r < 0)
                return r;
        put_u16(&body, unhashed.len);
        kiln_buf_append(&body, unhashed.data, unhashed.len);
        kiln_buf_append(&body, digest, 2);
        put_mpi(&body, signature, 32);
        put_mpi(&body, signature + 32, 32);
        put_packet(out, PACKET_SIGNATURE, &body);
        return 0;
}

int kiln_openpgp_write_key(
        const struct kiln_openpgp_key *k, EVP_PKEY *key, const char *user_id, struct kiln_buf *out)
{
        _cleanup_buf_ struct kiln_buf body = KILN_BUF_INIT, uid = KILN_BUF_INIT, certified = KILN_BUF_INIT,
                                      packets = KILN_BUF_INIT;
        int r;

        put_key_body(&body, k->public_key, k->created_s);
        put_packet(&packets, PACKET_PUBLIC_KEY, &body);
        kiln_buf_puts(&uid, user_id);
        put_packet(&packets, PACKET_USER_ID, &uid);

        put_hashed_key(&certified, k);
        kiln_buf_putc(&certified, (char)0xb4);
        put_u32(&certified, (uint32_t)uid.len);
        kiln_buf_append(&certified, uid.data, uid.len);
        r = put_signature(k, key, TYPE_POSITIVE_CERTIFICATION, true, certified.data, certified.len,
                k->created_s, &packets);
        if (r < 0)
                return r;
        kiln_buf_append(out, packets.data, packets.len);
        return 0;
}

int kiln_openpgp_sign(const struct kiln_openpgp_key *k, EVP_PKEY *key, const void *data, size_t len,
        int64_t time_s, struct kiln_buf *out)
{
        if (time_s < k->created_s)
                time_s = k->created_s;
        if (time_s > UINT32_MAX) /* the format's four octets end in 2106 */
                return -ERANGE;
        return put_signature(k, key, TYPE_BINARY, false, data, len, (uint32_t)time_s, out);
}

static uint32_t crc24(const unsigned char *p, size_t len)
{
        uint32_t crc = 0xb704ce;

        for (size_t i = 0; i < len; i++) {
                crc ^= (uint32_t)p[i] << 16;
                for (int bit = 0; bit < 8; bit++) {
                        crc <<= 1;
                        if (crc & 0x1000000)
                                crc ^= 0x1864cfb;
                }
        }
        return crc & 0xffffff;
}

void kiln_openpgp_armor(enum kiln_armor kind, const void *data, size_t len, struct kiln_buf *out)
{
        const char *name = kind == KILN_ARMOR_PUBLIC_KEY ? "PUBLIC KEY BLOCK" : "SIGNATURE";
        const unsigned char *p = data;
        uint32_t crc = crc24(p, len);
        unsigned char sum[3] = {(unsigned char)(crc >> 16), (unsigned char)(crc >> 8), (unsigned char)crc};
        unsigned char line[65];

        kiln_buf_printf(out, "-----BEGIN PGP %s-----\n\n", name);
        for (size_t i = 0; i < len; i += 48) {
                EVP_EncodeBlock(line, p + i, (int)(len - i < 48 ? len - i : 48));
                kiln_buf_printf(out, "%s\n", line);
        }
        EVP_EncodeBlock(line, sum, sizeof(sum));
        kiln_buf_printf(out, "=%s\n-----END PGP %s-----\n", line, name);
}
