/* The ISA step: what was built is disassembled inside the sandbox, and judged outside. Not for other rooms.
 */
#pragma once

#include "worker/attest/attest.h"
#include "worker/pipeline/job.h"

struct inspection {
        json_t *report;                        /* {"level": …, "packages": [{"package", "report"}]} */
        char **passed, **warnings, **failures; /* file names, "package:/path", for the test result */
};
void inspection_clear(struct inspection *i);

/* Findings are recorded; code above the requested level is BUILD_FAILED with the offender's name. */
int inspect_isa(struct kiln_job *j, struct inspection *ret, struct kiln_error *err);
