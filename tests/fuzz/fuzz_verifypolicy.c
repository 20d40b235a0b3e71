/* Policy files of arbitrary bytes. */
#include "worker/verify/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(kiln_policy_freep) struct kiln_policy *p = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        if (kiln_policy_parse("fuzz", (const char *)data, size, "/nonexistent", &p, &err) < 0) {
                if (err.verdict != KILN_BAD_INPUT)
                        abort();
        } else if (p->agree_operators > p->agree_keys || p->n_owners != p->keys.n) {
                abort();
        }
        return 0;
}
