/* Checks a detached signature with librpm's OpenPGP code: the same keys and the same code that judge
 * packages.
 *
 * Must never accept a signature of another type than "binary document" (RFC 4880 section 5.2.1, 0x00), and
 * never parse the signed data before the signature is found good. */
#include "worker/buildroot/openpgp.h"

#include "worker/base/mem.h"
#include "worker/source/rpmkeyring.h"
#include "worker/source/rpmlibrary.h"

#include <errno.h>
#include <rpm/rpmbase64.h>
#include <rpm/rpmpgp.h>
#include <string.h>

#define ARMOR_MAX ((size_t)1 << 20)
#define ARMOR_BEGIN "-----BEGIN PGP SIGNATURE-----"
#define ARMOR_END "-----END PGP SIGNATURE-----"

/* The length of the packet at p with its header (RFC 4880 section 4.2); 0 when it does not fit. */
static size_t packet_length(const uint8_t *p, size_t left)
{
        size_t header, body;

        if (left < 2 || !(p[0] & 0x80))
                return 0;
        if (p[0] & 0x40) { /* new format */
                if (p[1] < 192) {
                        header = 2;
                        body = p[1];
                } else if (p[1] < 224 && left >= 3) {
                        header = 3;
                        body = ((size_t)(p[1] - 192) << 8) + p[2] + 192;
                } else if (p[1] == 255 && left >= 6) {
                        header = 6;
                        body = (size_t)p[2] << 24 | (size_t)p[3] << 16 | (size_t)p[4] << 8 | p[5];
                } else {
                        return 0;
                }
        } else {
                size_t bytes = (size_t)1 << (p[0] & 3);

                if ((p[0] & 3) == 3 || left < 1 + bytes)
                        return 0;
                header = 1 + bytes;
                body = 0;
                for (size_t i = 0; i < bytes; i++)
                        body = body << 8 | p[1 + i];
        }
        return body <= left - header ? header + body : 0;
}

/* The bytes of the first armored signature (RFC 4880 section 6.2; librpm's own decoder takes public keys
 * only). The checksum line is not needed: a wrong bit makes a bad signature. */
static bool armor_decode(const char *text, uint8_t **ret, size_t *ret_len)
{
        const char *begin = strstr(text, ARMOR_BEGIN), *end = begin ? strstr(begin, "\n" ARMOR_END) : NULL;
        _cleanup_buf_ struct kiln_buf base64 = KILN_BUF_INIT;
        bool in_headers = true;
        void *bytes = NULL;

        if (!end)
                return false;
        for (const char *line = strchr(begin, '\n'); line && line < end;) {
                const char *next = strchr(++line, '\n');
                size_t n = (size_t)(next - line); /* there is one: end begins with it */

                while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == ' ' || line[n - 1] == '\t'))
                        n--;
                if (n == 0)
                        in_headers = false;
                else if (!in_headers && *line == '=')
                        break;
                else if (!in_headers)
                        kiln_buf_append(&base64, line, n);
                line = next;
        }
        if (base64.len == 0 || rpmBase64Decode(base64.data, &bytes, ret_len) != 0)
                return false;
        *ret = bytes;
        return true;
}

static const char *verify_packet(const struct kiln_keyring *k, const void *data, size_t len,
        const uint8_t *packet, size_t packet_len, char **ret_signer)
{
        pgpDigParams sig = NULL;
        DIGEST_CTX ctx = NULL;
        const char *cause = "it cannot be read";
        rpmRC rc;

        if (pgpPrtParams(packet, packet_len, PGPTAG_SIGNATURE, &sig) != 0 || !sig)
                goto out;
        cause = "it is not a signature over a file";
        if (pgpSignatureType(sig) != PGPSIGTYPE_BINARY)
                goto out;
        cause = "its hash algorithm is not supported";
        switch (pgpDigParamsAlgo(sig, PGPVAL_HASHALGO)) {
        case PGPHASHALGO_SHA256:
        case PGPHASHALGO_SHA384:
        case PGPHASHALGO_SHA512:
                ctx = rpmDigestInit((int)pgpDigParamsAlgo(sig, PGPVAL_HASHALGO), RPMDIGEST_NONE);
                break;
        default:
                break;
        }
        if (!ctx)
                goto out;
        rpmDigestUpdate(ctx, data, len);
        rc = rpmKeyringVerifySig(k->ring, sig, ctx);
        if (rc == RPMRC_OK) {
                *ret_signer = kiln_keyring_signer(k, pgpDigParamsSignID(sig));
                cause = NULL;
        } else if (rc == RPMRC_NOKEY) {
                cause = "it was made by a key that is not among the repository's keys";
        } else {
                cause = "it is not a good signature";
        }
out:
        if (ctx)
                rpmDigestFinal(ctx, NULL, NULL, 0);
        pgpDigParamsFree(sig);
        return cause;
}

int kiln_openpgp_verify(const struct kiln_keyring *k, const void *data, size_t len, const char *armor,
        size_t armor_len, const char *name, char **ret_signer, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf messages = KILN_BUF_INIT;
        _cleanup_free_ char *text = NULL, *signer = NULL;
        _cleanup_free_ uint8_t *packets = NULL;
        const char *cause = "it is no ASCII-armored OpenPGP signature";
        size_t packets_len = 0;

        if (armor_len <= ARMOR_MAX && !memchr(armor, '\0', armor_len)) {
                text = kiln_strndup(armor, armor_len);
                kiln_rpm_library_enter(&messages);
                if (armor_decode(text, &packets, &packets_len))
                        for (size_t at = 0, n; at < packets_len && !signer; at += n) {
                                n = packet_length(packets + at, packets_len - at);
                                if (n == 0)
                                        break;
                                cause = verify_packet(k, data, len, packets + at, n, &signer);
                        }
                kiln_rpm_library_leave();
        }
        if (signer) {
                *ret_signer = TAKE_PTR(signer);
                return 0;
        }
        kiln_error_set(err, KILN_INFRA, 0, "checking the signature of", name, "%s", cause);
        kiln_error_advise(err, "The repository, its mirror or the toolchain's key is not what it should be.");
        return -EBADMSG;
}
