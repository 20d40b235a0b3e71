/* License tags of arbitrary bytes: the expression is one line of plain text, and its own canonical form. */
#include "worker/attest/license.h"
#include "worker/base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *tag = kiln_strndup((const char *)data, size);
        _cleanup_license_ struct kiln_license once = {0}, twice = {0};

        kiln_license_parse(tag, &once);
        if (!once.expression)
                return 0;
        for (const char *s = once.expression; *s; s++)
                if (*s < ' ' || *s > '~')
                        abort();
        kiln_license_parse(once.expression, &twice);
        if (!twice.expression || strcmp(once.expression, twice.expression) != 0)
                abort();
        for (size_t i = 0; i < once.n_refs; i++)
                if (strncmp(once.refs[i].id, "LicenseRef-", 11) != 0 ||
                        !strstr(once.expression, once.refs[i].id))
                        abort();
        return 0;
}
