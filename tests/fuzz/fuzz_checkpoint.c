/* Checkpoints, verifier keys and bundles of entries of arbitrary bytes. One checkpoint of the corpus is
 * signed by the key below: whatever is accepted under it says what that one says. */
#include "worker/attest/log/note.h"
#include "worker/attest/log/tile.h"

#include "worker/base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* RFC 8032, section 7.1, test 1. */
#define VKEY "kiln.example/log+dcf4bb0b+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct kiln_log_key *key;
        _cleanup_(kiln_log_key_freep) struct kiln_log_key *other = NULL;
        _cleanup_(kiln_checkpoint_clear) struct kiln_checkpoint c = {0};
        _cleanup_free_ char *text = kiln_strndup((const char *)data, size);
        struct kiln_buf bundle = {.data = (char *)(uintptr_t)data, .len = size};
        const char *entry;
        size_t at = 0, len;

        if (!key && kiln_log_key_parse(VKEY, &key) < 0)
                abort();
        if (kiln_checkpoint_parse((const char *)data, size, &c) == 0) {
                _cleanup_buf_ struct kiln_buf body = KILN_BUF_INIT;

                kiln_checkpoint_body(c.origin, c.size, &c.root, &body);
                /* One text for one meaning: only extensions come behind it. */
                if (body.len > c.body_len || memcmp(body.data, c.note, body.len) != 0)
                        abort();
                if (kiln_checkpoint_check(&c, key) == 0 && (c.size != 11 || strcmp(c.origin, key->name) != 0))
                        abort();
        }
        if (kiln_log_key_parse(text, &other) == 0) {
                _cleanup_free_ char *again = kiln_log_key_format(other);

                if (strncmp(again, text, strlen(again)) != 0)
                        abort();
        }
        while (size > 0 && kiln_entries_next(&bundle, &at, &entry, &len) == 0)
                if (entry + len > (const char *)data + size)
                        abort();
        return 0;
}
