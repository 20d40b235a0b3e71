/* Do two RPM files, or two result directories, hold the same; and if not, what differs.
 *
 * Equality comes in levels, because signing changes nothing but the signature header: the same file, the same
 * header and payload, the same payload. Headers are read by bounded parsers here; payloads are taken apart
 * only inside the sandbox, and what comes back from there is read as hostile input. Changes nothing of what
 * it compares, trusts none of the digests it finds (bytes are compared with bytes), and passes over nothing
 * silently: what was set aside is in `ignored`, what did not fit is counted in `cut`. */
#pragma once

#include "worker/base/context.h"
#include "worker/base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From equal to different: the larger value is the worse one. */
enum kiln_compare_level {
        KILN_SAME_FILE = 0, /* byte for byte */
        KILN_SAME_CONTENT,  /* RPM: header and payload, only the lead or the signature header differ */
        KILN_SAME_PAYLOAD,  /* RPM: the payload as it is stored (compressed); the header differs */
        KILN_DIFFERENT,
};
const char *kiln_compare_level_name(
        enum kiln_compare_level level); /* "same-file", "same-content", …; static */

const char *kiln_compare_level_words(
        enum kiln_compare_level level); /* "the same header and payload", …; static */

/* In the order in which differences are listed. */
enum kiln_difference_kind {
        KILN_DIFFERENCE_PACKAGE = 0, /* a package or file of a result directory that the other one lacks */
        KILN_DIFFERENCE_SIGNATURE,   /* lead and signature header. subject: tag name */
        KILN_DIFFERENCE_HEADER,      /* subject: tag name as librpm has it ("Buildtime"), or "tag 1234" */
        KILN_DIFFERENCE_PAYLOAD, /* compression, order, trailing bytes: nothing of one file. subject: which of
                                    them */
        KILN_DIFFERENCE_FILE_MISSING, /* subject: path; a or b is NULL: the side that lacks it */
        KILN_DIFFERENCE_FILE_META,    /* subject: path; aspect: "mode", "owner", "group", "mtime", "size",
                                         "digest", … */
        KILN_DIFFERENCE_FILE_CONTENT, /* subject: path; aspect: where inside, e.g. "section .text", "byte
                                         1234" */
        KILN_DIFFERENCE_DOCUMENT,     /* lock, SBOM, provenance. subject: file name; aspect: JSON pointer */
};
const char *kiln_difference_kind_name(enum kiln_difference_kind kind); /* "header", "file-meta", …; static */

const char *kiln_difference_kind_words(
        enum kiln_difference_kind kind); /* for people: "header tag", …; static */

/* All text is clean (worker/base/text.h), UTF-8 and at most KILN_COMPARE_TEXT_BYTES long. */
struct kiln_difference {
        enum kiln_difference_kind kind;
        char *subject;
        char *aspect; /* "" where the kind has none */
        char *a, *b;  /* both values; NULL: not there on that side */
        char *detail; /* more about it for people; "" when there is nothing */
};

/* One pair: two packages, or two documents of result directories. */
struct kiln_comparison {
        char *name;            /* of a package name.arch, of a document its file name; clean */
        char *a_name, *b_name; /* file names; NULL: that side has none. Clean */
        enum kiln_compare_level level;
        bool differs; /* beyond what was to be ignored */
        struct kiln_difference *differences;
        size_t n_differences;
        uint64_t cut;   /* differences that were found, but not kept */
        char **ignored; /* what was set aside, one sentence each; NULL: nothing */
};

struct kiln_compare_report {
        char *a_name, *b_name;         /* as given, clean */
        struct kiln_comparison *pairs; /* at least one; of directories sorted by name */
        size_t n_pairs;
        enum kiln_compare_level level; /* the worst of the pairs */
        bool differs;                  /* any pair differs */
        char **ignored;                /* what of the directories was not compared; NULL: nothing */
};
void kiln_compare_report_free(struct kiln_compare_report *r);
KILN_DEFINE_CLEANUP(struct kiln_compare_report *, kiln_compare_report_free)

#define KILN_COMPARE_TEXT_BYTES 512
#define KILN_COMPARE_DIFFERENCES_MAX 2000 /* kept of one pair */

struct kiln_compare_options {
        bool ignore_signature; /* lead and signature header (RPM), signatures of envelopes */
        bool shallow; /* stop at levels, header tags and file metadata: no payload is opened, no sandbox is
                         needed */
};

/* Two RPM files, read from their start. options may be NULL. c: its cache directory holds the sandbox's root
 * for a moment, its cancel_fd ends it. Returns 0 and a report of one pair, or a negative errno with *err:
 * BAD_INPUT (no RPM, or headers that cannot be read; a payload that cannot be read is a difference), REFUSED
 * (no sandbox to be had), LIMIT, CANCELLED, INFRA. */
int kiln_compare_rpms(const struct kiln_context *c, int a, const char *a_name, int b, const char *b_name,
        const struct kiln_compare_options *options, struct kiln_compare_report **ret, struct kiln_error *err);

/* Two result directories (descriptors of them): packages are paired by name and architecture, documents by
 * kind. */
int kiln_compare_directories(const struct kiln_context *c, int a, const char *a_name, int b,
        const char *b_name, const struct kiln_compare_options *options, struct kiln_compare_report **ret,
        struct kiln_error *err);

/* Whether runs of one request may leave other bytes under this name of a result directory: attestations,
 * logs, pages. Everything else is the same from each of them, or something is wrong. */
bool kiln_compare_name_varies(const char *name);

/* Opens both paths and calls one of the two above; one file and one directory: BAD_INPUT. */
int kiln_compare_paths(const struct kiln_context *c, const char *a, const char *b,
        const struct kiln_compare_options *options, struct kiln_compare_report **ret, struct kiln_error *err);

/* The report as `kiln diff --json` prints it; the caller's reference. */
json_t *kiln_compare_report_json(const struct kiln_compare_report *r);
