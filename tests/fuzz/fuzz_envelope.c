/* Envelopes and bundles as they lie in files: nobody signed these, so none may be taken. */
#include "worker/verify/bundle.h"

static const char pem[] = "-----BEGIN PUBLIC KEY-----\n"
                          "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
                          "-----END PUBLIC KEY-----\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(kiln_verify_keys_clear) struct kiln_verify_keys keys = {0};
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_(kiln_bundle_stamps_clear) struct kiln_bundle_stamps stamps = {0};
        struct kiln_envelope *e = NULL;

        if (kiln_verify_keys_add(&keys, pem, "fuzz", &err) < 0)
                abort();
        if (kiln_envelope_open((const char *)data, size, &keys, "fuzz", &e, &err) == 0 ||
                (err.verdict != KILN_BAD_INPUT && err.verdict != KILN_NOT_REPRODUCED))
                abort();
        if (kiln_bundle_parse((const char *)data, size, &keys, "fuzz", &e, &err) == 0 ||
                (err.verdict != KILN_BAD_INPUT && err.verdict != KILN_NOT_REPRODUCED))
                abort();
        kiln_error_clear(&err);
        if (kiln_bundle_stamps_parse((const char *)data, size, "fuzz", &stamps, &err) < 0
                        ? err.verdict != KILN_BAD_INPUT || stamps.n > 0
                        : stamps.n > KILN_BUNDLE_STAMPS_MAX || (stamps.n > 0 && stamps.signature.len != 64))
                abort();
        return 0;
}
