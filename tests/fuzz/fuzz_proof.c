/* Log entries with their proofs, of arbitrary bytes: the first line is a TransparencyLogEntry, the second the
 * entry it is held against. Whatever holds under the key below is of the one tree that it signed. */
#include "worker/attest/log/entry.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define VKEY "kiln.example/log+dcf4bb0b+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct kiln_log_key *key;
        const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
        size_t len = newline ? (size_t)(newline - data) : size;
        _cleanup_(kiln_log_proof_clear) struct kiln_log_proof p = {0};
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_buf_ struct kiln_buf entry = KILN_BUF_INIT;
        _cleanup_json_ json_t *json = NULL;

        if (!key && kiln_log_key_parse(VKEY, &key) < 0)
                abort();
        if (newline)
                kiln_buf_append(&entry, newline + 1, size - len - 1);
        kiln_log_entry_read(kiln_buf_str(&entry), entry.len, NULL);
        if (kiln_json_parse_bounded((const char *)data, len, 1000, "fuzz", &json, NULL) < 0)
                return 0;
        if (kiln_log_proof_read(json, "fuzz", &p, &err) < 0) {
                if (err.verdict != KILN_BAD_INPUT)
                        abort();
                return 0;
        }
        if (kiln_log_proof_check(&p, key, &entry, "fuzz", &err) == 0) {
                /* The leaves of that tree are "entry 0" to "entry 10". */
                if (p.index > 10 || entry.len < 7 || memcmp(entry.data, "entry ", 6) != 0 ||
                        (uint64_t)strtoull(entry.data + 6, NULL, 10) != p.index)
                        abort();
        } else if (err.verdict != KILN_NOT_REPRODUCED) {
                abort();
        }
        return 0;
}
