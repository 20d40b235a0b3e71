/* Calibration: packages that somebody else built, built again here as nearly as their headers tell how, and
 * compared. What comes out is a table of what this worker reproduces exactly.
 *
 * Reads headers and bytes only; what is built goes through the one pipeline. Packages come from a directory,
 * or from a repository into one (calibrate-fetch.c). */
#pragma once

#include "proto/message.h"
#include "worker/base/context.h"
#include "worker/source/rpmfile.h"

struct kiln_calibrated_package {
        char *path, *name; /* name: file name that the package's header gives it */
        char *level;      /* what was reached: kiln_compare_level_name(), "byte-identical", "not rebuilt" or a
                             verdict; NULL before kiln_calibration_compare() */
        char *difference; /* the first one; "" */
        bool exact;       /* its signature on the rebuild gives the original; unsigned: the same file */
};

struct kiln_calibrated_source {
        char *path, *nvr; /* of the source package */
        struct kiln_calibrated_package *packages;
        size_t n_packages;
        /* as the packages' headers have it; "" where they do not */
        char *build_host, *vendor, *packager, *distribution, *optflags, *payload, *source_payload, *dist;
        int64_t build_time_s;
        int64_t changelog_time_s;
        int64_t newest_file_s; /* the latest mtime of a file */
};

struct kiln_calibration {
        struct kiln_calibrated_source *sources; /* sorted by nvr */
        size_t n_sources;
        char **unpaired; /* packages without their source package here, and the other way round */
};
void kiln_calibration_free(struct kiln_calibration *k);
KILN_DEFINE_CLEANUP(struct kiln_calibration *, kiln_calibration_free)

#define KILN_CALIBRATION_ARCH "x86_64"

struct kiln_calibration_repository {
        const char *url;        /* base URL of the packages' repository */
        const char *source_url; /* of the source packages'; NULL: the same */
        const char *key;        /* ASCII armor: repomd.xml of both must be signed by it; NULL: not checked */
        char *const *patterns;  /* globs of package names; NULL-terminated; none: all */
        uint64_t sample;        /* so many of their source packages, chosen by seed; 0: all */
        uint64_t seed;
};

/* Fetches the chosen packages of this architecture and noarch, and the source packages they were built from,
 * by the digests of the repository's metadata, into a directory that has nothing else. Errors: BAD_INPUT
 * (nothing there has such a name), USAGE (too many; the directory has something else), INFRA (network,
 * digests, a bad signature), REFUSED (offline), CANCELLED. */
int kiln_calibration_fetch(const struct kiln_context *c, const struct kiln_calibration_repository *q,
        const char *directory, struct kiln_error *err);

/* Reads every *.rpm in a directory and puts packages to their source packages. Errors: BAD_INPUT (no such
 * directory, a damaged package, nothing to pair), CANCELLED. */
int kiln_calibration_scan(const struct kiln_context *c, const char *directory, struct kiln_calibration **ret,
        struct kiln_error *err);

/* Makes a request to build the source ask for what the packages' headers say: host, time, vendor, flags,
 * payload, dist tag. */
void kiln_calibration_request(const struct kiln_calibrated_source *s, Kiln__V1__Build *build);

/* Compares the packages with those in the result directory of the rebuild. One that cannot be compared has
 * the verdict for a level. Errors: INFRA (no such directory), CANCELLED. */
int kiln_calibration_compare(const struct kiln_context *c, struct kiln_calibrated_source *s,
        const struct kiln_keyring *keyring, const char *result, struct kiln_error *err);

/* The rebuild failed: all packages have that for a level. */
void kiln_calibration_failed(struct kiln_calibrated_source *s, const struct kiln_error *why);
