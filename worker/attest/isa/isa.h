/* Which x86-64 level (psABI, "Micro-Architecture Levels": v1 is the baseline) an ELF file declares and really
 * uses.
 *
 * Declared: the GNU_PROPERTY_X86_ISA_1_NEEDED and _USED notes. Used: every instruction of every executable
 * section, disassembled. Code above a level is no fault where the program picks it at run time. How that is
 * told apart:
 *
 * DISPATCHED: the loader or an IFUNC resolver picks it. The file lies in glibc-hwcaps/x86-64-vN/; or the
 * function's address is taken in an IFUNC resolver (STT_GNU_IFUNC symbol or R_X86_64_IRELATIVE relocation);
 * or it is a GCC or Clang clone ("f.avx2", "f.arch_x86_64_v4") whose "f" is an IFUNC; or all references to it
 * come from such functions and it is not exported.
 *
 * SUSPECTED: a person should look, the guard is not proven. The file asks the CPU (CPUID, XGETBV,
 * __cpu_model, …) and few of its larger functions use the level: less than two fifths, for v4 a fifth (an ar
 * archive counts as one file); or the function's or file's name says for which CPU it is ("…_avx2"); or
 * nothing in a file with IFUNCs refers to the function.
 *
 * UNDISPATCHED: runs wherever the file runs, as far as can be seen.
 *
 * UNCERTAIN: bytes outside every known function (symbols, .eh_frame), or behind bytes that are no
 * instruction: may well be data. Never a failure by itself.
 *
 * This is a check of quality, not a barrier: code that wants to hide its instructions can (it may generate
 * them). Input is hostile all the same: every count, offset and length is bounded, and nothing is ever
 * executed. */
#pragma once

#include "toolchains/toolchain.h"
#include "worker/base/error.h"
#include "worker/base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The highest level this CPU *and* kernel can run (CPUID and XCR0). NONE on other architectures. */
enum kiln_isa_level kiln_isa_host_level(void);

enum kiln_isa_dispatch {
        KILN_ISA_UNDISPATCHED = 0,
        KILN_ISA_SUSPECTED,
        KILN_ISA_DISPATCHED,
        KILN_ISA_UNCERTAIN,
        KILN_ISA_DISPATCHES,
};
const char *kiln_isa_dispatch_name(enum kiln_isa_dispatch d); /* "undispatched", …; static */

enum kiln_isa_status {
        KILN_ISA_CHECKED = 0, /* x86-64 code, looked at whole */
        KILN_ISA_NO_CODE,     /* x86-64 ELF without code: separate debug information, resources */
        KILN_ISA_OTHER,       /* an ELF file of another architecture; `note` says which */
        KILN_ISA_NOT_ELF,
        KILN_ISA_DAMAGED,   /* could not be read whole; `note` says why */
        KILN_ISA_TOO_LARGE, /* above a limit; `note` says which */
};
const char *kiln_isa_status_name(enum kiln_isa_status s); /* "checked", "no-code", …; static */

/* Bits of kiln_isa_file.evidence: why dispatch was assumed. */
enum {
        KILN_ISA_EVIDENCE_HWCAPS = 1 << 0, /* path below glibc-hwcaps/ */
        KILN_ISA_EVIDENCE_IFUNC = 1 << 1,  /* IFUNC symbols or IRELATIVE relocations */
        KILN_ISA_EVIDENCE_CLONES = 1 << 2, /* symbols of target_clones or target attributes */
        KILN_ISA_EVIDENCE_CPUID = 1 << 3,  /* CPUID or XGETBV is executed */
        KILN_ISA_EVIDENCE_SYMBOL = 1 << 4, /* refers to __cpu_model or alike */
        KILN_ISA_EVIDENCE_NAME = 1 << 5,   /* function or file names with a CPU feature in them */
};

struct kiln_isa_feature { /* a CPU feature that belongs to no level */
        const char *name; /* static: "AES", "SHA", … */
        uint64_t count;   /* instructions */
};

struct kiln_isa_sample {   /* the first instruction of its kind in the file */
        char *symbol;      /* NULL: no symbol covers it; owned */
        uint64_t offset;   /* from the start of the function (of the section, without one) */
        uint64_t address;  /* virtual; in a relocatable object: in its section */
        char mnemonic[24]; /* "" : there is no such instruction */
};

struct kiln_isa_file {
        char *name; /* as given; archive members: "path(member)"; owned */
        enum kiln_isa_status status;
        char *note; /* owned, may be NULL */

        enum kiln_isa_level declared_needed; /* the loader refuses the file on a CPU below this */
        enum kiln_isa_level declared_used;
        enum kiln_isa_level used; /* highest level of any instruction that is not UNCERTAIN */
        enum kiln_isa_level
                required; /* highest level of any UNDISPATCHED instruction or of declared_needed */

        uint64_t code_bytes;
        uint64_t instructions;
        uint64_t functions;                    /* known ones: symbols and .eh_frame together */
        uint64_t undecodable;                  /* bytes */
        uint64_t large_functions;              /* of 64 instructions and more */
        uint64_t large_using[KILN_ISA_LEVELS]; /* those of them that have an instruction of this level or a
                                                  higher one */
        uint64_t counts[KILN_ISA_LEVELS]
                       [KILN_ISA_DISPATCHES]; /* instructions of exactly this level, v2 and up */
        struct kiln_isa_sample samples[KILN_ISA_LEVELS][KILN_ISA_DISPATCHES];

        unsigned evidence;
        struct kiln_isa_feature *features; /* sorted by name */
        size_t n_features;
};

struct kiln_isa_report {
        struct kiln_isa_file *files;
        size_t n_files;
        uint64_t skipped; /* regular files that are neither ELF nor ar */
};

#define KILN_ISA_REPORT_INIT                                                                                 \
        {                                                                                                    \
                NULL, 0, 0                                                                                   \
        }

void kiln_isa_report_clear(struct kiln_isa_report *r);
#define _cleanup_isa_report_ _cleanup_(kiln_isa_report_clear)

struct kiln_isa_limits {
        uint64_t file_bytes;  /* one ELF file or archive */
        uint64_t total_bytes; /* all ELF files and archives of one RPM or tree, unpacked */
        uint64_t files;       /* entries of one RPM, tree or ar archive */
};
extern const struct kiln_isa_limits kiln_isa_limits_default; /* 1 GiB, 16 GiB, 1,000,000 */

/* Checks what fd holds (a regular file or memfd; the position does not matter and does not move): an ELF
 * file, or an ar archive whose members are reported one by one. Appends to *report; something that is neither
 * only counts in `skipped`. A damaged file is a reported status, not an error. limits NULL: the defaults.
 * Returns 0 or negative errno (reading failed; *err: INFRA). */
int kiln_isa_check_fd(int fd, const char *name, const struct kiln_isa_limits *limits,
        struct kiln_isa_report *report, struct kiln_error *err);

/* Checks every regular file below dir_fd in sorted order; never follows a link, never leaves the file system.
 * `prefix` is put before the reported names (""). For use inside the sandbox on an unpacked payload. */
int kiln_isa_check_tree(int dir_fd, const char *prefix, const struct kiln_isa_limits *limits,
        struct kiln_isa_report *report, struct kiln_error *err);

/* Checks every ELF file and archive in the payload of the RPM behind fd, read as a stream from offset 0
 * through libarchive; nothing is unpacked to disk. Files below usr/lib/debug/ are skipped: they hold no code.
 * Reported names are "name:/usr/bin/x". Errors: BAD_INPUT (no RPM, broken payload), LIMIT (too many entries,
 * too much data), INFRA. */
int kiln_isa_check_rpm(int fd, const char *name, const struct kiln_isa_limits *limits,
        struct kiln_isa_report *report, struct kiln_error *err);

/* What a file means for a wanted level: bits, 0 = nothing to say. */
enum {
        KILN_ISA_ABOVE = 1 << 0,      /* failure: undispatched code, or a NEEDED note, above the level */
        KILN_ISA_UNREADABLE = 1 << 1, /* failure: damaged or too large, so nothing is known */
        KILN_ISA_MAYBE = 1 << 2,      /* finding: suspected dispatch above the level */
        KILN_ISA_OUTSIDE = 1 << 3,    /* finding: instructions above the level outside known functions */
        KILN_ISA_UNUSED = 1 << 4,     /* finding: no instruction of the level (v2 and up) in the file */
};
#define KILN_ISA_FAILURES (KILN_ISA_ABOVE | KILN_ISA_UNREADABLE)

unsigned kiln_isa_judge(const struct kiln_isa_file *file, enum kiln_isa_level level);
unsigned kiln_isa_judge_all(
        const struct kiln_isa_report *report, enum kiln_isa_level level); /* all bits together */

/* One sentence on the worst offender above `level`, for an error or a finding: file, function, address,
 * mnemonic. NULL when there is none. Owned by the caller. */
char *kiln_isa_explain(const struct kiln_isa_file *file, enum kiln_isa_level level);

/* A new reference: {"files": [...], "level": "v3", "skipped": n, "verdict": "ok" | "above" | "unreadable"};
 * level and verdict (and "judgement" of each file, an array of words) are left out for level NONE. The same
 * input gives the same bytes through kiln_json_canonical(). Names that are not UTF-8 have their bytes
 * replaced by U+FFFD. */
json_t *kiln_isa_report_json(const struct kiln_isa_report *report, enum kiln_isa_level level);
