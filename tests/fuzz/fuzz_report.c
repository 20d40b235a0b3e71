/* Any JSON, as result, lock and inputs, becomes a page whose only tags are ours. */
#include "worker/pipeline/report/report.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_buf_ struct kiln_buf page = KILN_BUF_INIT;
        _cleanup_json_ json_t *j = NULL;

        if (kiln_json_parse((const char *)data, size, "input", &j, NULL) < 0)
                return 0;
        if (kiln_report_write(j, j, j, json_string_value(json_object_get(j, "log")), &page) < 0)
                return 0;
        /* Every '<' opens a tag of this page: lower case, or the DOCTYPE. */
        for (const char *p = page.data; (p = strchr(p, '<')); p++) {
                const char *name = p + 1 + (p[1] == '/');

                if (strncmp(name, "!DOCTYPE", 8) != 0 && (*name < 'a' || *name > 'z'))
                        abort();
                if (strncmp(name, "script", 6) == 0 || strncmp(name, "img", 3) == 0)
                        abort();
        }
        return 0;
}
