/* One RPM or SRPM file: its signature and digests checked, its header read. The only place that talks to
 * librpm's reading side; librpm's global state (configuration, macros) is initialised here and nowhere else,
 * and never from the host's macro files.
 *
 * Never unpacks a payload. */
#pragma once

#include "worker/base/context.h"
#include "worker/base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Public keys, in memory only; the host's rpmdb keyring is never consulted. */
struct kiln_keyring;
struct kiln_keyring *kiln_keyring_new(void);
/* Adds an ASCII-armored key (all of its subkeys too). BAD_INPUT when it is none. */
int kiln_keyring_add(struct kiln_keyring *k, const char *armor, const char *name, struct kiln_error *err);
size_t kiln_keyring_count(const struct kiln_keyring *k);
void kiln_keyring_free(struct kiln_keyring *k);
KILN_DEFINE_CLEANUP(struct kiln_keyring *, kiln_keyring_free)

enum kiln_rpm_signature {
        KILN_RPM_UNSIGNED = 0, /* digests are good, there is no signature */
        KILN_RPM_SIGNED,       /* digests are good, a signature of a key in the keyring is good */
        KILN_RPM_UNKNOWN_KEY,  /* digests are good, signed by a key that is not in the keyring */
};

struct kiln_rpm_file {
        char *path;        /* absolute */
        char *link_target; /* "" when it is none */
        char *user, *group;
        char *digest_hex; /* of regular files, algorithm file_digest_algo of the RPM (normally SHA-256), else
                             "" */
        char *capabilities; /* "" when none */
        uint64_t size;
        int64_t mtime_s;
        mode_t mode;
        uint32_t flags; /* RPMFILE_* (config 1, doc 2, ghost 64, license 128, …) */
};

/* Rich dependencies, "(a if (b or c))", are parsed by recursion in librpm and libsolv, for each parenthesis
 * and for each operator of a chain, which has a blank behind it: what has more of either is nobody's package.
 */
#define KILN_DEPENDENCY_DEPTH_MAX 100
#define KILN_DEPENDENCY_BLANKS_MAX 1000
bool kiln_dependency_is_shallow(const char *name);

struct kiln_rpm_dependency {
        char *name, *evr; /* evr "" when unversioned */
        uint32_t flags;   /* RPMSENSE_* */
};

struct kiln_rpm {
        char *name, *version, *release, *arch; /* arch "src" or "nosrc" for source packages */
        bool has_epoch;
        uint32_t epoch;
        char *nevra; /* name-[epoch:]version-release.arch */
        char *nvr;   /* name-version-release */
        bool source;
        char *summary, *description, *license, *url, *vendor, *packager, *group, *source_rpm, *build_host,
                *platform, *optflags;
        int64_t build_time_s;
        int64_t changelog_time_s;              /* of the newest %changelog entry; 0 without one */
        char **exclusive_arch, **exclude_arch; /* NULL-terminated, may be empty */
        struct kiln_rpm_dependency *requires, *provides, *conflicts, *obsoletes;
        size_t n_requires, n_provides, n_conflicts, n_obsoletes;
        char **sources, **patches; /* file names */
        struct kiln_rpm_file *files;
        size_t n_files;
        char *file_digest_algo; /* "sha256", "md5", … */

        enum kiln_rpm_signature signature;
        char *signer; /* fingerprint in lower-case hex, or key id when only that is known; NULL if unsigned */

        struct kiln_digest file_sha256; /* of the whole file */
        uint64_t file_bytes;
        char *header_sha256;  /* SHA256HEADER as in the signature header (hex), computed when absent */
        char *payload_sha256; /* over the compressed payload (PAYLOADDIGEST, re-checked), hex */
        uint64_t header_offset,
                payload_offset; /* of the file: [header_offset, end) is what signing leaves unchanged */
};

/* Reads fd from its start; `name` is for messages. Every digest the file carries is checked (an MD5
 * digest only where SHA-256 digests do not cover the same bytes); any bad digest
 * or bad signature is BAD_INPUT with the words of what is wrong. A truncated, corrupt or unsupported (v6
 * without support) file is BAD_INPUT. keyring may be NULL: any signature is then of an unknown key. The
 * result is the caller's. */
int kiln_rpm_open(int fd, const char *name, const struct kiln_keyring *keyring, struct kiln_rpm **ret,
        struct kiln_error *err);
/* The same for a file that somebody published: what is no RPM is BAD_INPUT, one whose parts do not fit
 * together was tampered with and is NOT_REPRODUCED. */
int kiln_rpm_open_published(int fd, const char *name, const struct kiln_keyring *keyring,
        struct kiln_rpm **ret, struct kiln_error *err);
/* What the header says, and nothing is checked: for a file whose bytes were found to be the right ones
 * before. Signature and digests of the result are not set. */
int kiln_rpm_read(int fd, const char *name, struct kiln_rpm **ret, struct kiln_error *err);
void kiln_rpm_free(struct kiln_rpm *r);
KILN_DEFINE_CLEANUP(struct kiln_rpm *, kiln_rpm_free)

/* rpm's version comparison (rpmvercmp on epoch, version, release of "e:v-r" strings). */
int kiln_evr_compare(const char *a, const char *b);
