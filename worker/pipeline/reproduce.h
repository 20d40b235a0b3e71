/* Rebuilds what a provenance is about, from nothing but that provenance; compares; says under a signature
 * what came out.
 *
 * The provenance's signature is checked before anything in it is looked at. The rebuild is the one pipeline,
 * run with the request and the lock that the provenance names: every input by its digest, from the store,
 * from mirrors, or from where the provenance says. */
#pragma once

#include "proto/message.h"
#include "worker/base/context.h"
#include "worker/verify/envelope.h"
#include "worker/verify/graft.h"

struct kiln_reproduce {
        const char *path; /* a file of attestations, an RPM that has one beside it, or a result directory */
        const struct kiln_verify_keys *keys; /* whose provenance is believed */
        const struct kiln_keyring *keyring;  /* who may have signed the original packages; NULL: nobody */
        const char *source;                  /* the source package, for a store without it; NULL */
        char *const *mirrors;               /* base URLs that are tried first; NULL-terminated; may be NULL */
        const char *directory;              /* of the rebuild; NULL: "<nvr>.reproduced" */
        const char *signer;                 /* socket of a served signer; NULL: the local keys */
        const Kiln__V1__HostLimits *limits; /* of the rebuild; NULL: the worker's own */
        bool vary;                          /* the rebuild is built a second time, with everything varied
                                               (BuildRequest.check_reproducible) */
};

struct kiln_reproduced_package {
        char *name;   /* file name */
        bool rebuilt; /* the rebuild has a package of this name */
        bool at_hand; /* the original file was there and compared; otherwise only its digests are known */
        bool same_header, same_payload;
        char **tags;  /* header tags (and properties of the payload as such) that differ; NULL-terminated */
        char **files; /* paths that differ */
        bool grafted; /* the original was signed: graft says what its signature makes of the rebuild */
        struct kiln_graft graft;
};

/* What the varied second build gave: the findings of the rebuild. */
struct kiln_reproduction_finding {
        char *id;      /* "vary.<factor>" of a culprit, "vary.not-varied", "vary.reproduced" */
        char *subject; /* a path, a factor, the source package; "" */
        char *text;    /* one sentence */
};

struct kiln_reproduction {
        bool reproduced;
        bool varied;      /* a second build was asked for */
        bool varied_same; /* and gave the packages of the rebuild */
        struct kiln_reproduction_finding *findings;
        size_t n_findings;
        char *nvr;
        char *builder;                            /* whose word was checked */
        char *directory;                          /* of the rebuild */
        char *summary;                            /* file name of the verification summary there */
        struct kiln_reproduced_package *packages; /* those of the provenance, sorted by name */
        size_t n_packages;
        char **others; /* what differs besides: "lock.json", "extra package …"; NULL-terminated */
};
void kiln_reproduction_free(struct kiln_reproduction *r);
KILN_DEFINE_CLEANUP(struct kiln_reproduction *, kiln_reproduction_free)

/* 0 whether it was reproduced or not: the result says, and so does the verification summary (one DSSE
 * envelope) beside the rebuild. A varied build that differs says nothing against the provenance: it is no
 * dissent, and no KILN_VSA_LEVEL_VARIED. Errors, without a summary: NOT_REPRODUCED (no key of ours signed the
 * provenance; an original at hand is not what it is about), REFUSED (parameters or a toolchain that are not
 * known here), BAD_INPUT, INFRA (inputs that cannot be had, by name), and what the rebuild itself ended with.
 */
int kiln_reproduce(const struct kiln_context *c, const struct kiln_reproduce *q,
        struct kiln_reproduction **ret, struct kiln_error *err);
