/* What the payload of an RPM holds: every file with its digests.
 *
 * kiln_scan_payload() takes a hostile payload apart and only ever runs inside the sandbox; its output crosses
 * the border as lines of text, which kiln_scan_parse() reads as hostile input; kiln_scan_check() compares the
 * result with the header. Nothing is unpacked to disk. Line: mode in octal, size, SHA-1, SHA-256 ("-" where
 * it is no regular file), path in hex; the last line is "end" and the number of lines before. */
#pragma once

#include "sandbox/sandbox.h"
#include "worker/base/buf.h"
#include "worker/base/context.h"
#include "worker/source/rpmfile.h"

#include <sys/types.h>

#define KILN_SHA1_HEX 40

struct kiln_scan_file {
        char *path;                   /* absolute; of a source package: the file name */
        char sha1[KILN_SHA1_HEX + 1]; /* of regular files, else "" */
        char sha256[KILN_DIGEST_HEX + 1];
        uint64_t size;
        mode_t mode;
};

struct kiln_scan {
        struct kiln_scan_file *files; /* sorted by path, each once */
        size_t n_files;
};
void kiln_scan_free(struct kiln_scan *s);
KILN_DEFINE_CLEANUP(struct kiln_scan *, kiln_scan_free)

struct kiln_scan_limits {
        uint64_t files; /* entries */
        uint64_t bytes; /* unpacked */
};
extern const struct kiln_scan_limits kiln_scan_limits_default; /* 1,000,000; 64 GiB */

/* Reads the RPM behind fd from its start and writes its lines to out_fd. elf, when given, gets
 * every ELF file as a memfd, which it must not close. 0 or negative errno (-EBADMSG: no proper payload,
 * -EFBIG: above a limit, what elf returned). */
int kiln_scan_payload(int fd, int out_fd, const struct kiln_scan_limits *limits,
        int (*elf)(void *ctx, const char *path, int fd), void *ctx);

/* Reads those lines. BAD_INPUT: anything else, or an end missing. */
int kiln_scan_parse(
        const char *text, size_t len, const char *name, struct kiln_scan **ret, struct kiln_error *err);

/* Every regular file is in the header with this size and digest, and the other way round (ghosts apart).
 * BUILD_FAILED: the package does not contain what it says. */
int kiln_scan_check(const struct kiln_scan *s, const struct kiln_rpm *rpm, struct kiln_error *err);

/* Runs kiln_scan_payload() on n packages in one sandbox (no network, read-only packages, bounded memory and
 * time) and checks each result against its header. ret: n results, the caller's to free. Errors:
 * BUILD_FAILED, LIMIT, CANCELLED, REFUSED (no sandbox to be had), INFRA. */
int kiln_scan_packages(const struct kiln_context *c, const struct kiln_idmap *idmap, const int *fds,
        const struct kiln_rpm *const *rpms, size_t n, struct kiln_scan **ret, struct kiln_error *err);
