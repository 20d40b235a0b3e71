/* The adversarial second build: the same lock once more, with everything varied that must not matter. Not for
 * other rooms.
 *
 * What is varied is a table of factors (vary-factors.c). Whether a factor really was varied is looked up from
 * inside both builds, with the target's own shell; only then it may be called tested. When the second build
 * differs, builds with one factor varied and all others held name the culprits (vary.c). */
#pragma once

#include "worker/base/json.h"
#include "worker/pipeline/job.h"

#define VARY_FACTORS_MAX 16

/* What the factors are made from. */
struct vary_host {
        const struct kiln_build_params *params; /* of the first build */
        int64_t started_s;                      /* the first build, seconds since 1970 */
        unsigned cpus;                          /* of this host */
        uint64_t memory_bytes;                  /* likewise */
        uint64_t memory_free_bytes;
        uint64_t disk_bytes; /* what the first build needed */
        enum kiln_id_mode id_mode;
};

/* How a build is run: the first one's parameters, changed. */
struct vary_setting {
        struct kiln_build_params params;
        bool single_id; /* on a root that was installed under a single id */
        bool other_ids; /* and stand for other ids on the host */
};

struct vary_factor {
        const char *name; /* of the test, and of the finding "vary.<name>" */
        const char *what; /* "the host name": a difference comes with it */
        /* NULL when it can be varied here, else why not. */
        const char *(*obstacle)(const struct vary_host *h);
        /* The value it is held at while the culprit is looked for; NULL: the first build's is constant. */
        void (*hold)(struct vary_setting *s, const struct vary_host *h);
        void (*vary)(struct vary_setting *s, const struct vary_host *h);
        /* Whether what both builds saw differs; NULL: every word must. */
        bool (*differs)(const char *first, const char *second);
        bool asked_only; /* varied when the request names it (BuildRequest.varied) */
};
extern const struct vary_factor vary_factors[];
extern const size_t vary_n_factors;

/* Whether the request names only factors that there are. */
int vary_check(const Kiln__V1__BuildRequest *q, struct kiln_error *err);

void vary_host_init(struct vary_host *h, const struct kiln_job *j);

/* For the target's shell: prints a line "<factor> <words>" for each factor. */
extern const char vary_probe[];
#define VARY_PROBE_BYTES_MAX 8192
/* The words of a factor in what the probe printed; the caller's, NULL: none. */
char *vary_seen(const char *text, const char *factor);
bool vary_differs(const struct vary_factor *f, const char *first, const char *second);

/* One thing that is different in another build. */
struct vary_hit {
        char *package; /* file name; "" when the build itself ended otherwise */
        char *subject; /* path, header tag, or what happened */
        char *aspect;  /* "digest", "mode"; "" for none */
};
struct vary_hits {
        struct vary_hit *list;
        size_t n;
};
void vary_hits_clear(struct vary_hits *h);
/* Adds what differs between two builds' packages, at most VARY_HITS_MAX. b_home: what b's build directory
 * was called, where that was not KILN_BUILD_HOME; then tag Sourcepkgid is no difference, and neither is tag
 * Spec where only that name differs. NULL: the same for both. */
int vary_compare(const struct kiln_context *c, const struct kiln_built *a, size_t n_a,
        const struct kiln_built *b, size_t n_b, const char *b_home, struct vary_hits *hits,
        struct kiln_error *err);
void vary_hits_add(struct vary_hits *hits, const char *package, const char *subject, const char *aspect);
bool vary_hits_have(const struct vary_hits *hits, const struct vary_hit *hit);
#define VARY_HITS_MAX 4096

enum vary_state {
        VARY_UNVARIED = 0, /* it could not be varied here, or did not vary */
        VARY_PASSED,       /* it varied, and made no difference */
        VARY_UNJUDGED,     /* it varied in a build that differs, and was not tried alone */
        VARY_FAILED,       /* it makes a difference */
};

struct variation {
        bool done; /* a second build was asked for and judged */
        bool reproduced;
        struct {
                enum vary_state state;
                char *first, *second; /* what both builds saw */
        } factors[VARY_FACTORS_MAX];
        char **passed, **warnings, **failures; /* names, for the attestation */
        json_t *details;
        char *culprit; /* one sentence about the first difference; NULL when there is none */
};
void variation_clear(struct variation *v);

/* Builds again and judges. Findings and notes go to the record. A difference is no error: look at
 * ret->reproduced. Errors: LIMIT, INFRA, REFUSED, CANCELLED. */
int vary(struct kiln_job *j, struct variation *ret, struct kiln_error *err);
