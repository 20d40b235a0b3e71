/* What the files of the judge share. Nothing outside worker/verify/judge*.c includes this. */
#pragma once

#include "worker/attest/sbom.h"
#include "worker/verify/bom.h"
#include "worker/verify/claims.h"
#include "worker/verify/judge.h"
#include "worker/verify/vsa.h"

#include <stddef.h>

/* The checks, in the order they are made; what is not in a result was not made. */
enum judge_check {
        CHECK_PACKAGE,      /* digests and signatures inside the RPM */
        CHECK_ATTESTATIONS, /* envelopes: signatures, form, one of a kind */
        CHECK_TIMES,        /* time stamps over their signatures */
        CHECK_SUBJECTS,     /* statements are about these very packages */
        CHECK_PROVENANCE,   /* known, consistent, by an accepted builder */
        CHECK_SBOM,         /* files, purls, build root */
        CHECK_LOCK,         /* lock.json */
        CHECK_TESTS,        /* test results */
        CHECK_LOG,          /* transparency logs */
        CHECK_POLICY,       /* what the policy demands or does not allow */
        CHECK_VOTES,        /* k of n, dissent */
        N_CHECKS,
};

enum judge_form {
        FORM_UNATTESTED = 0,
        FORM_SIGNED,   /* the file as published */
        FORM_UNSIGNED, /* the file as rpmbuild wrote it */
        FORM_RESIGNED, /* same header and payload, another signature header */
        FORM_CONTENT,  /* only statements without file digests speak of it */
};

struct judge_package {
        const char *path;
        int fd;
        struct kiln_rpm *rpm; /* NULL: it could not be read */
        struct kiln_scan *scan;
        char *name;                      /* canonical file name */
        struct kiln_rpm_digests digests; /* signed_file: of this file */
        enum judge_form form;
        uint64_t vouched, dissented; /* masks of keys */
        size_t *dates;               /* which of the judge's times say that this very file existed */
        size_t n_dates;
        enum kiln_verdict verdict;
};

struct judge_claims { /* one provenance */
        size_t key;
        char *where;
        struct kiln_claims claims;
};

struct judge_bom {
        size_t key;
        char *where;
        struct kiln_bom *bom;
        struct kiln_digest document; /* of the canonical JSON */
        size_t items;                /* kiln_json_items() of it */
};

struct judge_test {
        size_t key;
        char *where, *name;
        bool failed;
        struct kiln_digest build_digest;
        char *isa; /* of the test "isa": the level that was demanded; NULL: not said */
};

struct judge_seen { /* an envelope that was read */
        char *kind, *where;
        size_t key;
        struct kiln_digest payload_sha256;
        bool logged;     /* an accepted log holds it */
        bool other_kind; /* it came with a log entry that is not of the kind that is read */
        char *elsewhere; /* a log that holds it, by what it says, and is not accepted; NULL: none */
};

struct judge_head { /* a tree that a log has signed */
        const char *log;
        uint64_t size;
        struct kiln_digest root;
        char *where;
};

struct judge_time { /* what a time stamp says of a signature */
        unsigned char signature[KILN_DSSE_SIGNATURE_BYTES];
        char *where; /* file that the stamp is in */
        enum kiln_verdict verdict;
        char *problem;                /* unless the verdict is OK; else: */
        int64_t earliest_s, latest_s; /* the signature existed at this moment */
        char *by;                     /* name of the authority */
};

struct judge {
        const struct kiln_context *context;
        const struct kiln_verify_options *o;
        const struct kiln_policy *policy;
        const struct kiln_verify_group *group;
        int dir_fd;
        struct judge_package *packages;
        size_t n_packages;
        struct judge_claims *claims;
        size_t n_claims;
        struct judge_bom *boms;
        size_t n_boms;
        struct judge_test *tests;
        size_t n_tests;
        struct judge_seen *seen;
        size_t n_seen;
        struct judge_time *times; /* complete before the first attestation is read */
        size_t n_times;
        struct judge_head *heads;
        size_t n_heads;
        json_t *findings, *attestations;
        bool incomplete; /* something was not judged for want of this host */
        bool made[N_CHECKS];
        enum kiln_verdict checks[N_CHECKS];
};

/* A finding: about one package, or (NULL) about all of them. */
void judge_find(struct judge *j, enum judge_check check, struct judge_package *about,
        enum kiln_verdict verdict, const char *fmt, ...) _printf_(5, 6);

/* The same from an error, whose verdict is kept; clears it. */
void judge_find_error(
        struct judge *j, enum judge_check check, struct judge_package *about, struct kiln_error *err);

/* judge-attest.c: reads every attestation. */
void judge_read_attestations(struct judge *j);

/* The provenance by this key; NULL: none. */
const struct judge_claims *judge_claims_by(const struct judge *j, size_t key);

/* judge-time.c: notes what the stamps of a bundle say. A file that is no bundle has none. */
void judge_read_times(struct judge *j, int dir_fd, const char *path);
void judge_time_clear(struct judge_time *t);

/* The earliest moment at which the envelope's signature is known to have existed; NULL: nobody says. */
const struct judge_time *judge_time_of(const struct judge *j, const struct kiln_envelope *e);

/* Finds what is wrong with the stamps over an envelope's signature; false: the policy demands one that holds.
 */
bool judge_times(struct judge *j, const struct kiln_envelope *e, const char *where);

/* Whether the key that signed was valid: by what all stamps say, or now when there is none. */
bool judge_key_is_valid(struct judge *j, const struct kiln_envelope *e, const char *where);

/* The same for the key of a package's own signature: attestations that name this very file date it. */
void judge_date(struct judge *j, const struct kiln_envelope *e, struct judge_package *p);
void judge_package_key(struct judge *j, struct judge_package *p, const struct kiln_policy_package_key *key);

/* judge-log.c: the log entries that came with an envelope; seen: what is known of it. Then, over everything
 * that was read, what is in no log. */
void judge_log_entries(
        struct judge *j, const struct kiln_envelope *e, struct judge_seen *seen, const char *where);
void judge_logged(struct judge *j);

/* judge-policy.c: policy and votes, over what was read. */
void judge_policy(struct judge *j);
