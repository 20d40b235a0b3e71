/* What the files that make vary() share: one build more (vary-build.c), the search and what is said (vary.c).
 * Private to them. */
#pragma once

#include "worker/pipeline/vary.h"

#define VARY_ROOTS 4 /* single_id and other_ids, or not */

struct search {
        struct kiln_job *job;
        struct vary_host host;
        struct variation *result;
        const char *obstacles[VARY_FACTORS_MAX]; /* looked for once, so that no build has its own idea; NULL:
                                                    none */
        bool silent[VARY_FACTORS_MAX];           /* nobody asked for it: no test, and nothing is said */
        struct kiln_root roots[VARY_ROOTS];      /* open once they were needed; the first is the job's own */
        uint64_t longest_ns;        /* any of the builds that ended with packages took this long */
        struct vary_hits all;       /* what the second build has different */
        struct vary_hits noise;     /* what two builds differ in with everything held */
        struct vary_hits explained; /* what culprits were found for, noise included */
        struct kiln_built *held;    /* the build with everything held */
        size_t n_held;
        unsigned builds;
        bool failed; /* the second build */
};
void search_init(struct search *s, struct kiln_job *j, struct variation *result);
void search_clear(struct search *s);

/* One build more. */
struct outcome {
        char *failure; /* how it ended, when not with packages; else NULL */
        bool slow;     /* since it took too long */
        struct kiln_built *built;
        size_t n_built;
        char *probe; /* NULL unless asked for */
};
void outcome_clear(struct outcome *o);

/* The first build's parameters, with bounds of our own. */
void setting_init(const struct search *s, struct vary_setting *setting);

/* What both shells and the host see of a build. */
int vary_probe_run(struct kiln_build *b, const struct kiln_root *root, char **ret, struct kiln_error *err);

/* Builds with this setting. A build that fails is an outcome like another: the first one did not.
 * VARY_NO_ROOM: it was in memory, where there was not enough; it must be made on disk to be judged. */
#define VARY_NO_ROOM 1
int build_once(struct search *s, struct vary_setting *setting, const char *what, bool with_probe,
        struct outcome *ret, struct kiln_error *err);
