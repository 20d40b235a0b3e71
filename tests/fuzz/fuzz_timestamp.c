/* Time stamps of arbitrary bytes: none is accepted but those that the authority made, whose key is gone. */
#include "worker/attest/timestamp.h"

#include <stdlib.h>

#define STAMPED_S INT64_C(1700000000)

static const char pem[] = "-----BEGIN CERTIFICATE-----\n"
                          "MIIBGDCBwKADAgECAgEBMAoGCCqGSM49BAMCMAwxCjAIBgNVBAMMAVIwHhcNMjMx\n"
                          "MTEzMjIxMzIwWhcNMjMxMTE1MjIxMzIwWjAMMQowCAYDVQQDDAFSMFkwEwYHKoZI\n"
                          "zj0CAQYIKoZIzj0DAQcDQgAEp1/KgmY1ibl5YoDb7VNIJQIxB0Re1fZDuyuBU0vm\n"
                          "iZTZKNX+oM17tJq52/ZUYNUf6zBeAKJm3scRGKDLLAY8DqMTMBEwDwYDVR0TAQH/\n"
                          "BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAo1A6BKD/E7LwKZJIBXol2u/D3eA29\n"
                          "ELKyAGFeE1sbNgIgXof+qGqa8U49KVh0z3Ogu15MDLmkOmg2rYJJ4AvgkuM=\n"
                          "-----END CERTIFICATE-----\n";
static const char data[] = "the signature that is stamped";

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
        struct kiln_timestamp_authorities authorities = {0};
        const struct kiln_timestamp_judge judge = {&authorities, STAMPED_S + 1000000, 0};
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        struct kiln_timestamp t;

        if (kiln_timestamp_authority_add(&authorities, pem, sizeof(pem) - 1, "fuzz", 0, 0, NULL) < 0)
                abort();
        if (kiln_timestamp_check(input, size, data, sizeof(data), &judge, "fuzz", &t, &err) == 0) {
                if (t.earliest_s > STAMPED_S || t.latest_s < STAMPED_S || t.latest_s - t.earliest_s > 6)
                        abort();
        } else if (err.verdict != KILN_BAD_INPUT && err.verdict != KILN_NOT_REPRODUCED &&
                   err.verdict != KILN_REFUSED) {
                abort();
        }
        kiln_timestamp_authorities_clear(&authorities);
        return 0;
}
