/* Toolchain definitions: whatever the text is, loading ends with a toolchain or with a BAD_INPUT error. */
#include "toolchains/toolchain.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct kiln_context c = {.cancel_fd = -1, .data_dir = (char *)"/nonexistent"};
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_toolchain_ struct kiln_toolchain *t = NULL;
        int r = kiln_toolchain_parse(&c, "/nonexistent/fuzz.toml", (const char *)data, size, &t, &err);

        if (r == 0 ? !t || !t->n_repositories || !t->core : t || err.verdict != KILN_BAD_INPUT)
                abort();
        return 0;
}
