/* What a repository or a mirror manager sends: repomd.xml, metalink, mirror list, and the armored signature.
 */
#include "worker/base/mem.h"
#include "worker/buildroot/lock.h"
#include "worker/buildroot/openpgp.h"
#include "worker/buildroot/repomd.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *text = (const char *)data;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_(kiln_keyring_freep) struct kiln_keyring *empty = kiln_keyring_new();
        _cleanup_strv_ char **mirrors = kiln_mirrorlist_parse(text, size);
        struct kiln_repomd repomd;
        struct kiln_metalink link;
        char *signer = NULL;

        (void)mirrors;
        if (kiln_repomd_parse(text, size, "fuzz", &repomd, &err) == 0) {
                if (!kiln_location_is_safe(repomd.primary.location))
                        abort();
                kiln_repomd_clear(&repomd);
        }
        if (kiln_metalink_parse(text, size, "fuzz", &link, &err) == 0)
                kiln_metalink_clear(&link);
        if (kiln_openpgp_verify(empty, "data", 4, text, size, "fuzz", &signer, &err) == 0)
                abort(); /* an empty keyring vouches for nothing */
        return 0;
}
