#include "worker/attest/log/note.h"

#include "worker/base/base64.h"
#include "worker/base/mem.h"
#include "worker/base/number.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define TYPE_ED25519 1
#define DASH "\xe2\x80\x94 " /* an em dash and a blank begin a signature's line */
#define ID_BYTES 4

/* ---- text -------------------------------------------------------------------------------------------- */

/* Bytes of the UTF-8 character at p (RFC 3629); 0: there is none. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        size_t n = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
        uint32_t c = n > 1 ? p[0] & (0x7fU >> n) : p[0];

        if (n == 0 || n > left)
                return 0;
        for (size_t i = 1; i < n; i++) {
                if (p[i] >> 6 != 2)
                        return 0;
                c = c << 6 | (p[i] & 0x3f);
        }
        return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n;
}

/* UTF-8 without control characters but newlines. */
static bool is_text(const char *text, size_t len)
{
        const unsigned char *p = (const unsigned char *)text;
        size_t n;

        for (size_t i = 0; i < len; i += n) {
                n = utf8_len(p + i, len - i);
                if (n == 0 || (p[i] < 0x20 && p[i] != '\n'))
                        return false;
        }
        return true;
}

/* Blanks outside ASCII are refused with everything else outside it: names are URLs without a scheme. */
static bool is_name(const char *s, size_t len)
{
        if (len == 0 || len > KILN_LOG_NAME_MAX)
                return false;
        for (size_t i = 0; i < len; i++)
                if (s[i] <= 0x20 || s[i] >= 0x7f || s[i] == '+')
                        return false;
        return true;
}

bool kiln_log_name_is_good(const char *name)
{
        return is_name(name, strlen(name));
}

/* ---- keys -------------------------------------------------------------------------------------------- */

void kiln_log_key_free(struct kiln_log_key *k)
{
        if (!k)
                return;
        free(k->name);
        EVP_PKEY_free(k->key);
        free(k);
}

static int new_key(const char *name, size_t len, const unsigned char public[32], struct kiln_log_key **ret)
{
        _cleanup_(kiln_log_key_freep) struct kiln_log_key *k = kiln_calloc(1, sizeof(*k));
        _cleanup_hasher_ struct kiln_hasher *h = kiln_hasher_new();

        if (!is_name(name, len))
                return -EINVAL;
        k->name = kiln_strndup(name, len);
        memcpy(k->public, public, sizeof(k->public));
        k->key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public, sizeof(k->public));
        if (!k->key)
                return -EINVAL;
        kiln_hasher_update(h, name, len);
        kiln_hasher_update(h, "\n\x01", 2);
        kiln_hasher_update(h, public, sizeof(k->public));
        k->id = kiln_hasher_finish(h);
        *ret = TAKE_PTR(k);
        return 0;
}

int kiln_log_key_new(const char *name, const EVP_PKEY *key, struct kiln_log_key **ret)
{
        unsigned char public[32];
        size_t len = sizeof(public);

        if (EVP_PKEY_get_id(key) != EVP_PKEY_ED25519 || EVP_PKEY_get_raw_public_key(key, public, &len) != 1 ||
                len != sizeof(public))
                return -EINVAL;
        return new_key(name, strlen(name), public, ret);
}

int kiln_log_key_parse(const char *text, struct kiln_log_key **ret)
{
        _cleanup_(kiln_log_key_freep) struct kiln_log_key *k = NULL;
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
        const char *id = strchr(text, '+'), *data = id ? strchr(id + 1, '+') : NULL;
        char hex[2 * ID_BYTES + 1];
        int r;

        if (!data || data - id != 1 + 2 * ID_BYTES ||
                kiln_base64_decode(data + 1, strcspn(data + 1, "\n"), &b) < 0)
                return -EINVAL;
        data += 1 + strcspn(data + 1, "\n");
        if (strcmp(data, "") != 0 && strcmp(data, "\n") != 0)
                return -EINVAL;
        if (b.len != 1 + sizeof(k->public) || b.data[0] != TYPE_ED25519)
                return -EINVAL;
        r = new_key(text, (size_t)(id - text), (unsigned char *)b.data + 1, &k);
        if (r < 0)
                return r;
        kiln_hex_encode(k->id.bytes, ID_BYTES, hex);
        if (memcmp(hex, id + 1, 2 * ID_BYTES) != 0)
                return -EINVAL;
        *ret = TAKE_PTR(k);
        return 0;
}

char *kiln_log_key_format(const struct kiln_log_key *k)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
        unsigned char data[1 + sizeof(k->public)] = {TYPE_ED25519};
        char hex[2 * ID_BYTES + 1];

        memcpy(data + 1, k->public, sizeof(k->public));
        kiln_hex_encode(k->id.bytes, ID_BYTES, hex);
        kiln_buf_printf(&b, "%s+%s+", k->name, hex);
        kiln_base64_encode(data, sizeof(data), &b);
        return kiln_buf_take(&b);
}

/* ---- reading ----------------------------------------------------------------------------------------- */

void kiln_checkpoint_clear(struct kiln_checkpoint *c)
{
        free(c->note);
        free(c->origin);
        *c = (struct kiln_checkpoint){0};
}

/* One line that ends at `end`, moved past; NULL: there is none. */
static const char *next_line(const char **at, const char *end, size_t *ret_len)
{
        const char *line = *at, *newline = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;

        if (!newline)
                return NULL;
        *ret_len = (size_t)(newline - line);
        *at = newline + 1;
        return line;
}

struct signature {
        const char *name;
        size_t name_len;
        struct kiln_buf bytes;
};

static int read_signature(const char *line, size_t len, struct signature *ret)
{
        const size_t dash = strlen(DASH);
        const char *blank;

        kiln_buf_reset(&ret->bytes);
        if (len <= dash || memcmp(line, DASH, dash) != 0)
                return -EINVAL;
        ret->name = line + dash;
        blank = memchr(ret->name, ' ', len - dash);
        if (!blank)
                return -EINVAL;
        ret->name_len = (size_t)(blank - ret->name);
        if (ret->name_len == 0 || memchr(ret->name, '+', ret->name_len) ||
                kiln_base64_decode(blank + 1, (size_t)(line + len - blank - 1), &ret->bytes) < 0 ||
                ret->bytes.len <= ID_BYTES)
                return -EINVAL;
        return 0;
}

/* Lines of signatures, from behind the blank line to the end of the note. */
static int check_signatures(const char *at, const char *end)
{
        struct signature s = {.bytes = KILN_BUF_INIT};
        const char *line;
        size_t len, n = 0;
        int r = 0;

        while (r == 0 && at < end) {
                line = next_line(&at, end, &len);
                r = line ? read_signature(line, len, &s) : -EINVAL;
                if (r == 0 && ++n > KILN_NOTE_SIGNATURES_MAX)
                        r = -EFBIG;
        }
        kiln_buf_clear(&s.bytes);
        return r < 0 ? r : n > 0 ? 0 : -EINVAL;
}

/* "0", or digits that do not begin with a zero. */
static int read_size(const char *line, size_t len, uint64_t *ret)
{
        _cleanup_free_ char *text = kiln_strndup(line, len);

        if (strlen(text) != len || (text[0] == '0' && len > 1) ||
                kiln_number_parse(text, KILN_MERKLE_SIZE_MAX, ret) < 0)
                return -EINVAL;
        return 0;
}

static int read_body(const char *body, size_t body_len, struct kiln_checkpoint *c)
{
        _cleanup_buf_ struct kiln_buf root = KILN_BUF_INIT;
        const char *at = body, *end = body + body_len, *origin, *line;
        size_t origin_len, len;

        origin = next_line(&at, end, &origin_len);
        if (!origin || origin_len == 0 || origin_len > KILN_LOG_NAME_MAX)
                return -EINVAL;
        line = next_line(&at, end, &len);
        if (!line || read_size(line, len, &c->size) < 0)
                return -EINVAL;
        line = next_line(&at, end, &len);
        if (!line || kiln_base64_decode(line, len, &root) < 0 || root.len != KILN_DIGEST_BYTES)
                return -EINVAL;
        memcpy(c->root.bytes, root.data, KILN_DIGEST_BYTES);
        while (at < end) /* extensions, which mean nothing to us */
                if (!next_line(&at, end, &len) || len == 0)
                        return -EINVAL;
        c->origin = kiln_strndup(origin, origin_len);
        return 0;
}

int kiln_checkpoint_parse(const char *note, size_t len, struct kiln_checkpoint *ret)
{
        _cleanup_(kiln_checkpoint_clear) struct kiln_checkpoint c = {0};
        const char *gap = NULL;
        int r;

        if (len > KILN_NOTE_MAX)
                return -EFBIG;
        if (!is_text(note, len))
                return -EINVAL;
        for (size_t i = 0; i + 1 < len; i++) /* the last empty line */
                if (note[i] == '\n' && note[i + 1] == '\n')
                        gap = note + i;
        if (!gap)
                return -EINVAL;
        c.body_len = (size_t)(gap + 1 - note);
        r = check_signatures(gap + 2, note + len);
        if (r == 0)
                r = read_body(note, c.body_len, &c);
        if (r < 0)
                return r;
        c.note = kiln_strndup(note, len);
        *ret = c;
        c = (struct kiln_checkpoint){0};
        return 0;
}

static bool verifies(const struct kiln_log_key *key, const struct kiln_checkpoint *c, const char *signature)
{
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key->key) == 1 &&
                  EVP_DigestVerify(ctx, (const unsigned char *)signature, 64, (const unsigned char *)c->note,
                          c->body_len) == 1;

        EVP_MD_CTX_free(ctx);
        return ok;
}

int kiln_checkpoint_check(const struct kiln_checkpoint *c, const struct kiln_log_key *key)
{
        const char *at = c->note + c->body_len + 1, *end = at + strlen(at), *line;
        struct signature s = {.bytes = KILN_BUF_INIT};
        int result = KILN_CHECKPOINT_UNSIGNED;
        size_t len;

        if (strcmp(c->origin, key->name) != 0)
                return KILN_CHECKPOINT_OTHER_LOG;
        while ((line = next_line(&at, end, &len)) && result == KILN_CHECKPOINT_UNSIGNED) {
                if (read_signature(line, len, &s) < 0 || s.name_len != strlen(key->name) ||
                        memcmp(s.name, key->name, s.name_len) != 0 ||
                        memcmp(s.bytes.data, key->id.bytes, ID_BYTES) != 0)
                        continue;
                result = s.bytes.len == ID_BYTES + 64 && verifies(key, c, s.bytes.data + ID_BYTES)
                                 ? 0
                                 : KILN_CHECKPOINT_FORGED;
        }
        kiln_buf_clear(&s.bytes);
        return result;
}

const char *kiln_checkpoint_why(int result)
{
        static const char *const words[] = {
                [0] = "was signed by the log's key",
                [KILN_CHECKPOINT_OTHER_LOG] = "is of another log",
                [KILN_CHECKPOINT_UNSIGNED] = "was signed by another key, not by the log's",
                [KILN_CHECKPOINT_FORGED] = "carries a signature that the log's key did not make",
        };

        return words[result];
}

/* ---- writing ----------------------------------------------------------------------------------------- */

void kiln_checkpoint_body(
        const char *origin, uint64_t size, const struct kiln_digest *root, struct kiln_buf *out)
{
        kiln_buf_printf(out, "%s\n%" PRIu64 "\n", origin, size);
        kiln_base64_encode(root->bytes, KILN_DIGEST_BYTES, out);
        kiln_buf_putc(out, '\n');
}

bool kiln_checkpoint_is_body(const char *body, size_t len, const char *origin)
{
        _cleanup_(kiln_checkpoint_clear) struct kiln_checkpoint c = {0};
        _cleanup_buf_ struct kiln_buf again = KILN_BUF_INIT;

        if (len > KILN_NOTE_MAX || !is_text(body, len) || read_body(body, len, &c) < 0)
                return false;
        kiln_checkpoint_body(origin, c.size, &c.root, &again);
        return again.len == len && memcmp(again.data, body, len) == 0;
}

void kiln_checkpoint_sign(const struct kiln_log_key *key, const char *body, const unsigned char signature[64],
        struct kiln_buf *out)
{
        unsigned char bytes[ID_BYTES + 64];

        memcpy(bytes, key->id.bytes, ID_BYTES);
        memcpy(bytes + ID_BYTES, signature, 64);
        kiln_buf_printf(out, "%s\n" DASH "%s ", body, key->name);
        kiln_base64_encode(bytes, sizeof(bytes), out);
        kiln_buf_putc(out, '\n');
}
