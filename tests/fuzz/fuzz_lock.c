/* Locks: what is accepted has one canonical form, which reads back to itself. */
#include "worker/buildroot/lock.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_(kiln_lock_freep) struct kiln_lock *lock = NULL, *again = NULL, *copy = NULL;
        _cleanup_buf_ struct kiln_buf once = KILN_BUF_INIT, twice = KILN_BUF_INIT;

        if (kiln_lock_parse((const char *)data, size, "fuzz.json", &lock, &err) < 0) {
                if (err.verdict != KILN_BAD_INPUT || lock)
                        abort();
                return 0;
        }
        kiln_lock_write(lock, &once);
        if (kiln_lock_parse(once.data, once.len, "again", &again, &err) < 0)
                abort();
        copy = kiln_lock_copy(again);
        kiln_lock_write(copy, &twice);
        if (once.len != twice.len || memcmp(once.data, twice.data, once.len) != 0)
                abort();
        for (size_t i = 0; i < lock->n_packages; i++)
                if (!kiln_location_is_safe(lock->packages[i].location))
                        abort();
        return 0;
}
