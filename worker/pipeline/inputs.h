/* What a build opened: of its root, whose it was, and which BuildRequires nobody needed; of its sources and
 * of the tree that %prep made of them. Not for other rooms. */
#pragma once

#include "worker/base/json.h"
#include "worker/pipeline/job.h"

struct inputs {
        bool *opened;   /* by index of the lock's packages; NULL when events were lost */
        char **sources; /* names of those that were opened; NULL when events were lost */
};
void inputs_clear(struct inputs *in);

/* After the packages were collected: fills j->inputs (docs/attestations.md says what is in it) and *ret.
 * Unused BuildRequires, sources and patches become findings. */
int inputs_observe(struct kiln_job *j, struct inputs *ret, struct kiln_error *err);
