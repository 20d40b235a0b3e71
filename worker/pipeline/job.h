/* One BuildRequest on its way through the stages, up to a build root that has everything the package asks
 * for. Not for other rooms (they use pipeline.h). */
#pragma once

#include "proto/message.h"
#include "worker/base/json.h"
#include "worker/build/build.h"
#include "worker/buildroot/layer.h"
#include "worker/buildroot/solve.h"
#include "worker/pipeline/pipeline.h"
#include "worker/pipeline/record.h"

struct kiln_job {
        const struct kiln_context *context;
        const Kiln__V1__BuildRequest *request; /* borrowed */
        const struct kiln_lock *solved;        /* borrowed; NULL: the solver is asked */
        struct record *record;
        char build_digest[KILN_DIGEST_HEX + 1];

        struct kiln_store *store;
        struct kiln_toolchain *toolchain;
        struct kiln_keyring *keyring;
        struct kiln_idmap idmap;
        int srpm_fd;
        struct kiln_rpm *srpm; /* as given */
        struct kiln_overlay **overlays;
        struct kiln_digest *overlay_digests;
        size_t n_overlays;

        struct kiln_macro *macros; /* of the request; strings borrowed */
        char **bcond_with, **bcond_without;
        struct kiln_build_params params;
        struct kiln_build *build;

        struct kiln_pool *pool; /* NULL with a lock that was known beforehand */
        struct kiln_lock *lock;
        struct kiln_root root;
        struct kiln_rpm *parsed; /* the SRPM as this toolchain's rpmbuild -bs made it */
        int64_t epoch_s;         /* SOURCE_DATE_EPOCH that packages will have */

        bool dynamic;            /* it has %generate_buildrequires */
        int64_t build_started_s; /* when the packages were built, seconds since 1970 */
        uint64_t build_ns;       /* and how long that took */
        struct kiln_built *built;
        size_t n_built;
        json_t *inputs; /* inputs.json of an observed build */
};

/* A job whose first phase has begun, with a record and nothing else. */
struct kiln_job *job_new(const struct kiln_context *c);

/* A spec without %changelog has no time of its own: the given package's build time is as fixed as its bytes.
 */
void kiln_job_set_epoch(const struct kiln_job *j, struct kiln_build *b);

/* The definition of this name, if it is the one that was asked for; REFUSED otherwise. */
int job_open_toolchain(const struct kiln_context *c, const Kiln__V1__Toolchain *wanted,
        struct kiln_toolchain **ret, struct kiln_error *err);

/* A message that cannot be read is the caller's fault: BAD_INPUT. */
int job_request_error(struct kiln_error *err, const struct kiln_message_error *e);

/* ExclusiveArch and ExcludeArch against the arch that packages are tagged with: REFUSED. */
int job_check_arch(const struct kiln_job *j, const struct kiln_rpm *srpm, struct kiln_error *err);
