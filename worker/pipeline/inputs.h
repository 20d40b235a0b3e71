/* What a build opened of its root, whose it was, and which BuildRequires nobody needed. Not for
 * other rooms. */
#pragma once

#include "worker/base/json.h"
#include "worker/pipeline/job.h"

struct inputs {
        bool *opened; /* by index of the lock's packages; NULL when events were lost */
        json_t *json; /* inputs.json, see docs/attestations.md */
};
void inputs_clear(struct inputs *in);

/* After the packages were collected. Unused BuildRequires become findings. */
int inputs_observe(struct kiln_job *j, struct inputs *ret, struct kiln_error *err);
