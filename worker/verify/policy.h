/* What `kiln verify` demands: a TOML file, or the defaults. kiln-verify(1) describes the file.
 *
 * With a policy file everything that deviates from a plain build is refused unless the file allows it;
 * without one, what an attestation declares openly is accepted. */
#pragma once

#include "worker/attest/log/note.h"
#include "worker/attest/timestamp.h"
#include "worker/source/rpmfile.h"
#include "worker/verify/envelope.h"

#define KILN_POLICY_KEYS_MAX 64 /* sets of keys are masks of uint64_t */

enum kiln_policy_dissent {
        KILN_DISSENT_REFUSE = 0, /* one FAILED summary of an accepted key is enough */
        KILN_DISSENT_OUTVOTE,    /* more keys must agree than dissent */
        KILN_DISSENT_IGNORE,
};

/* Whom an attestation key belongs to; parallel to keys.keys. */
struct kiln_policy_owner {
        char *name, *operator_name;
        char **builders;         /* ids it may sign provenance for; NULL: any */
        int64_t from_s, until_s; /* valid in [from, until); 0: no bound */
};

struct kiln_policy_package_key {
        char *fingerprint;
        int64_t from_s, until_s;
};

/* What a build may have that a plain one has not. */
struct kiln_policy_allow {
        bool overlays, macros, skip_check;
        bool unsigned_source;   /* an SRPM of an unknown signer was accepted */
        bool unsigned_inputs;   /* packages of the build root that nobody signed */
        bool unsigned_packages; /* the RPM judged carries no signature */
        bool resigned;          /* header and payload are as attested, the signature header is another */
        bool failed_tests;
};

struct kiln_policy {
        char *uri;                 /* file name; "default" */
        struct kiln_digest sha256; /* of the file; all zero: the defaults */
        struct kiln_verify_keys keys;
        struct kiln_policy_owner *owners;
        size_t n_owners;
        struct kiln_keyring *keyring;
        struct kiln_policy_package_key *package_keys;
        size_t n_package_keys;
        struct kiln_timestamp_authorities authorities;
        struct kiln_log_key *
                *logs; /* transparency logs whose entries count; several keys can be of one name */
        size_t n_logs;
        int64_t agree_keys, agree_operators; /* how many must vouch for a package */
        enum kiln_policy_dissent dissent;
        char *isa;             /* "v1" … "v4"; NULL: any */
        char **profiles;       /* names of request.proto's SandboxProfile; NULL: any */
        char **sandbox;        /* digests of sandbox policies; NULL: any */
        char **tests;          /* names of test results that must be there */
        bool provenance, sbom; /* must be there */
        bool time_stamp;       /* every attestation must have one of an authority */
        bool logged;           /* every attestation must be in one of the logs */
        struct kiln_policy_allow allow;
};
void kiln_policy_free(struct kiln_policy *p);
KILN_DEFINE_CLEANUP(struct kiln_policy *, kiln_policy_free)

/* The defaults, without a key. */
struct kiln_policy *kiln_policy_new(void);

/* Reads a policy file. Errors: BAD_INPUT. */
int kiln_policy_load(const char *path, struct kiln_policy **ret, struct kiln_error *err);

/* The same from text; key files are looked up in dir. */
int kiln_policy_parse(const char *name, const char *text, size_t len, const char *dir,
        struct kiln_policy **ret, struct kiln_error *err);

/* Adds a key file that may speak for any builder: PEM (attestations) or ASCII-armored OpenPGP (packages). */
int kiln_policy_add_key(struct kiln_policy *p, const char *path, struct kiln_error *err);

/* Adds a file with a log's verifier key (worker/attest/log/note.h). */
int kiln_policy_add_log(struct kiln_policy *p, const char *path, struct kiln_error *err);

/* Adds the public halves of a local key pair, where there is one. */
int kiln_policy_add_local(struct kiln_policy *p, const char *key_dir, struct kiln_error *err);

/* The key files somebody named (NULL: nobody did), else the local keys: who names none believes their own
 * word. key_dir NULL: no local ones. */
int kiln_policy_add_keys(
        struct kiln_policy *p, char *const *paths, const char *key_dir, struct kiln_error *err);

/* BAD_INPUT (-ENOKEY) when there is no key that attestations could be by. */
int kiln_policy_check_keys(const struct kiln_policy *p, struct kiln_error *err);

/* Adds a file of certificates whose time stamps are accepted. */
int kiln_policy_add_authority(struct kiln_policy *p, const char *path, struct kiln_error *err);

/* Whether a moment lies in [from, until). */
bool kiln_policy_valid_at(int64_t from_s, int64_t until_s, int64_t at_s);
