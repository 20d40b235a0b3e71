/* A source package: what it says of itself, whether it may be built at all, and its files in a directory.
 *
 * kiln_source_unpack() and kiln_source_spec() handle hostile bytes and are for the sandbox only
 * (kiln_source_entry() is made to be kiln_sandbox.entry); the rest reads nothing but the verified header. */
#pragma once

#include "worker/source/overlay.h"
#include "worker/source/rpmfile.h"

enum kiln_signature_policy {      /* as Source.SignaturePolicy of proto/kiln/v1/request.proto */
        KILN_SIGNATURE_ANY = 1,   /* unsigned and signed by an unknown key are accepted */
        KILN_SIGNATURE_KNOWN_KEY, /* a good signature by a key of the keyring is demanded */
};

/* kiln_rpm_open() and: it is a source package, not a nosrc one, and its signature meets the policy; BAD_INPUT
 * otherwise. */
int kiln_srpm_open(int fd, const char *name, const struct kiln_keyring *keyring,
        enum kiln_signature_policy policy, struct kiln_rpm **ret, struct kiln_error *err);

/* The dist tag in a release: ".fc43" of "0.2.rc1.fc43.1"; NULL when there is none. The caller's. */
char *kiln_srpm_dist(const char *release);

/* REFUSED when ExclusiveArch or ExcludeArch of the SRPM's header rule arch ("x86_64") out. */
int kiln_srpm_check_arch(const struct kiln_rpm *srpm, const char *arch, struct kiln_error *err);

struct kiln_source_limits { /* 0: the default */
        uint64_t files;     /* 4096 */
        uint64_t bytes;     /* of all files, unpacked; 16 GiB */
};

/* Unpacks the payload, which begins at payload_offset of fd, into dir_fd (an empty directory): regular files
 * only, with flat names, none twice; modes become 0644 or 0755, times are the payload's. Payloads: cpio,
 * plain or compressed with gzip, bzip2, xz, lzma or zstd; of packages of format 6, which name files by their
 * place in the header, fd must be the whole package. BAD_INPUT for anything else, LIMIT when a limit is
 * exceeded. */
int kiln_source_unpack(int fd, uint64_t payload_offset, const char *name, int dir_fd,
        const struct kiln_source_limits *limits, struct kiln_error *err);

/* The name of the one *.spec file; the caller's. BAD_INPUT when there is none or another one. */
int kiln_source_spec(int dir_fd, const char *name, char **ret, struct kiln_error *err);

/* Both of them and the overlays, as one sandbox entry. What must stay open inside goes into
 * kiln_sandbox.keep_fds by the caller. */
struct kiln_source_job {
        int srpm_fd;
        uint64_t payload_offset;
        const char *name; /* of the SRPM, for messages */
        const char *dir;  /* absolute path inside the sandbox, or NULL: dir_fd */
        int dir_fd;
        struct kiln_source_limits limits;
        const struct kiln_overlay *const *overlays; /* in order */
        size_t n_overlays;
        int report_fd; /* a pipe: read by the parent, given to kiln_source_report() */
};

/* `arg` is a struct kiln_source_job. Exit status: 0 or the verdict. */
int kiln_source_entry(void *arg);

/* What the entry reported: 0 and the spec's file name, or its error in *err. A report that was cut short is
 * INFRA. */
int kiln_source_report(const char *data, size_t len, char **ret_spec, struct kiln_error *err);
