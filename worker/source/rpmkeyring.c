#include "worker/source/rpmkeyring.h"

#include "worker/base/mem.h"
#include "worker/source/rpmlibrary.h"

#include <errno.h>
#include <rpm/rpmpgp.h>
#include <string.h>

#define ARMOR_BEGIN "-----BEGIN PGP PUBLIC KEY BLOCK-----"
#define ARMOR_END "-----END PGP PUBLIC KEY BLOCK-----"
#define ARMOR_MAX ((size_t)4 << 20)

struct kiln_keyring *kiln_keyring_new(void)
{
        struct kiln_keyring *k = kiln_calloc(1, sizeof(*k));

        kiln_rpm_library_enter(NULL);
        k->ring = rpmKeyringNew();
        kiln_rpm_library_leave();
        return k;
}

void kiln_keyring_free(struct kiln_keyring *k)
{
        if (!k)
                return;
        kiln_rpm_library_enter(NULL);
        rpmKeyringFree(k->ring);
        kiln_rpm_library_leave();
        for (size_t i = 0; i < k->n_ids; i++)
                free(k->ids[i].fingerprint);
        free(k->ids);
        free(k);
}

size_t kiln_keyring_count(const struct kiln_keyring *k)
{
        return k->n_keys;
}

char *kiln_keyring_signer(const struct kiln_keyring *k, const unsigned char key_id[8])
{
        char hex[17];

        for (size_t i = 0; k && i < k->n_ids; i++)
                if (memcmp(k->ids[i].key_id, key_id, 8) == 0)
                        return kiln_strdup(k->ids[i].fingerprint);
        kiln_hex_encode(key_id, 8, hex);
        return kiln_strdup(hex);
}

static int id_add(struct kiln_keyring *k, rpmPubkey key, const char *fingerprint)
{
        pgpDigParams params = rpmPubkeyPgpDigParams(key);
        struct keyring_id *id;

        if (!params)
                return -EINVAL;
        id = KILN_APPEND(k->ids, k->n_ids);
        memcpy(id->key_id, pgpDigParamsSignID(params), 8);
        id->fingerprint = kiln_strdup(fingerprint);
        return 0;
}

/* One certificate: primary key, user ids, subkeys. */
static int certificate_add(struct kiln_keyring *k, const uint8_t *packets, size_t len)
{
        _cleanup_free_ char *hex = NULL;
        rpmPubkey key = rpmPubkeyNew(packets, len), *subkeys = NULL;
        uint8_t *fp = NULL;
        size_t fp_len = 0;
        int n = 0, r = -EINVAL;

        if (!key)
                return -EINVAL;
        if (pgpPubkeyFingerprint(packets, len, &fp, &fp_len) != 0)
                goto out;
        hex = kiln_malloc(2 * fp_len + 1);
        kiln_hex_encode(fp, fp_len, hex);
        free(fp);
        if (rpmKeyringAddKey(k->ring, key) < 0)
                goto out;
        r = id_add(k, key, hex);
        subkeys = rpmGetSubkeys(key, &n);
        for (int i = 0; i < n; i++) {
                /* 1: the ring has it already */
                if (r == 0 && rpmKeyringAddKey(k->ring, subkeys[i]) >= 0)
                        r = id_add(k, subkeys[i], hex);
                rpmPubkeyFree(subkeys[i]);
        }
        free(subkeys);
        k->n_keys += r == 0;
out:
        rpmPubkeyFree(key);
        return r;
}

/* One armor block; key files of distributions may hold several, and a block several certificates. */
static int block_add(struct kiln_keyring *k, const char *block)
{
        uint8_t *packets = NULL;
        size_t len = 0, at = 0;
        int r = -EINVAL;

        if (pgpParsePkts(block, &packets, &len) != PGPARMOR_PUBKEY)
                goto out;
        while (at < len) {
                size_t one = 0;

                r = -EINVAL;
                if (pgpPubKeyCertLen(packets + at, len - at, &one) != 0 || one == 0)
                        goto out;
                r = certificate_add(k, packets + at, one);
                if (r < 0)
                        goto out;
                at += one;
        }
out:
        free(packets);
        return r;
}

int kiln_keyring_add(struct kiln_keyring *k, const char *armor, const char *name, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf messages = KILN_BUF_INIT;
        const char *begin = strlen(armor) <= ARMOR_MAX ? strstr(armor, ARMOR_BEGIN) : NULL;
        int r = -EINVAL;

        kiln_rpm_library_enter(&messages);
        while (begin) {
                const char *end = strstr(begin, ARMOR_END);
                _cleanup_free_ char *block = NULL;

                r = -EINVAL;
                if (!end)
                        break;
                end += strlen(ARMOR_END);
                block = kiln_asprintf("%.*s\n", (int)(end - begin), begin);
                r = block_add(k, block);
                if (r < 0)
                        break;
                begin = strstr(end, ARMOR_BEGIN);
        }
        kiln_rpm_library_leave();
        if (r == 0)
                return 0;
        kiln_error_set(err, KILN_BAD_INPUT, 0, "reading the public key", name, "%s",
                strstr(armor, ARMOR_BEGIN)
                        ? "librpm cannot use it: an algorithm, a subkey or a form that it does not know"
                        : "it is no ASCII-armored OpenPGP public key");
        kiln_error_advise(err, "RSA, DSA and Ed25519 OpenPGP keys of version 4 can be used; export one with "
                               "gpg --armor --export.");
        return -EINVAL;
}
