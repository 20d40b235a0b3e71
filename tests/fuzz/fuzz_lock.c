/* A lock from a file: what is accepted has one text only. */
#include "worker/buildroot/lock.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(kiln_lock_freep) struct kiln_lock *l = NULL, *again = NULL;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT, second = KILN_BUF_INIT;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        if (kiln_lock_parse((const char *)data, size, "fuzz", &l, &err) < 0) {
                if (l || err.verdict != KILN_BAD_INPUT)
                        abort();
                return 0;
        }
        kiln_lock_write(l, &text);
        if (kiln_lock_parse(text.data, text.len, "again", &again, &err) < 0)
                abort();
        kiln_lock_write(again, &second);
        if (text.len != second.len || memcmp(text.data, second.data, text.len) != 0)
                abort();
        return 0;
}
