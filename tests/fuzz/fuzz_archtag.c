/* The conditions of arbitrary bytes as a spec: no more than there are lines, the first one a line that
 * exists. */
#include "worker/build/archtag.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        unsigned first = 0, lines = 1, found;

        for (size_t i = 0; i < size; i++)
                lines += data[i] == '\n';
        found = arch_tag_conditions((const char *)data, size, "x86_64", "x86_64_v3", &first);
        if (found > lines || first > lines || (found == 0) != (first == 0))
                abort();
        return 0;
}
