/* Judges the packages of one source package that lie in one directory, with the attestations beside them:
 * `kiln verify`'s work on one group. Offline; changes nothing; every byte is hostile until a signature or
 * digest has vouched for it, and payloads are only read inside the sandbox (worker/attest/scan.h).
 *
 * What was found is JSON, since it crosses a process border and is the machine form of the result as well:
 *     {source, directory, verdict, complete, packages: [{file, name, verdict, sha256, headerSha256,
 * payloadSha256, signature, signer, form, keys, dissent}], attestations: [{file, beside, line, type, key,
 * sha256, stamped: {time, by}}], checks: {<check>: verdict}, findings: [{check, verdict, about, text}]}
 * complete: this host could do all that was asked; beside: the file lies in `directory`. docs/attestations.md
 * says which check looks at what. */
#pragma once

#include "worker/base/context.h"
#include "worker/verify/policy.h"

struct kiln_verify_options {
        const struct kiln_policy *policy;
        int64_t now_s;      /* the moment that key validity is judged at */
        bool quick;         /* SBOMs are held against headers; no payload is unpacked */
        char *const *files; /* attestations from elsewhere; NULL-terminated, NULL: none */
};

struct kiln_verify_group {
        char *directory; /* of the attestations */
        char *nvr;       /* of the source package: names the attestations */
        char **files;    /* the packages; NULL-terminated */
        bool alone;      /* the directory was named and has no other group: lock.json is this one's */
};

/* A new reference; never NULL. What cannot be done is a finding. */
json_t *kiln_verify_judge(
        const struct kiln_context *c, const struct kiln_verify_options *o, const struct kiln_verify_group *g);

/* The one that decides when several verdicts come together: tampering before what cannot be read, before what
 * the host could not do, before an unmet policy. */
enum kiln_verdict kiln_verify_worse(enum kiln_verdict a, enum kiln_verdict b);

/* From a verdict's name; INFRA for anything else. */
enum kiln_verdict kiln_verify_verdict_of(const char *name);
