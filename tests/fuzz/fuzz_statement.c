/* Statements as a key that is accepted may have signed them: provenance, SBOMs, summaries. */
#include "worker/verify/bom.h"
#include "worker/verify/claims.h"
#include "worker/verify/envelope.h"
#include "worker/verify/vsa.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_predicate(const struct kiln_envelope *e)
{
        _cleanup_(kiln_bom_freep) struct kiln_bom *spdx = NULL, *cyclonedx = NULL;
        _cleanup_(kiln_claims_clear) struct kiln_claims claims = {0};
        _cleanup_(kiln_vsa_clear) struct kiln_vsa vsa = {0};
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        if (kiln_claims_read(e->predicate, "fuzz", &claims, &err) == 0 &&
                (!claims.build || !claims.lock || !claims.builder || !claims.sandbox))
                abort();
        if (kiln_bom_read_spdx(e->predicate, "fuzz", &spdx, &err) == 0 && !spdx->n_packages)
                abort();
        if (kiln_bom_read_cyclonedx(e->predicate, "fuzz", &cyclonedx, &err) == 0 && claims.lock)
                kiln_bom_check_build(cyclonedx, claims.lock, &claims.build_digest, "fuzz", &err);
        if (kiln_vsa_read(e->predicate, "fuzz", &vsa, &err) == 0) {
                _cleanup_json_ json_t *again = kiln_vsa_write(&vsa);
                _cleanup_(kiln_vsa_clear) struct kiln_vsa reread = {0};

                if (!again || kiln_vsa_read(again, "fuzz", &reread, &err) < 0 || reread.passed != vsa.passed)
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(kiln_envelope_freep) struct kiln_envelope *e = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        if (kiln_envelope_read_payload((const char *)data, size, "fuzz", &e, &err) < 0) {
                if (err.verdict != KILN_BAD_INPUT)
                        abort();
                return 0;
        }
        read_predicate(e);
        return 0;
}
