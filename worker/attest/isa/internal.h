/* What the files of the ISA check share. Nothing outside worker/attest/isa*.c includes this (the unit test of
 * the decoder does). */
#pragma once

#include "worker/attest/isa/isa.h"
#include "worker/base/mem.h"

#include <Zydis/Zydis.h>
#include <gelf.h>
#include <libelf.h>

/* ---- level.c: the table ----------------------------------------------------------------- */

/* What an instruction means. 0 is an instruction of the baseline, which is what most are. */
enum isa_class_special {
        ISA_BASELINE = 0,
        ISA_PROBE = 255, /* CPUID, XGETBV: asks, uses nothing */
};

/* Class of an instruction: 0, ISA_PROBE, or an index for isa_class_level() and isa_class_feature(). */
uint8_t isa_class_of(const ZydisDecodedInstruction *insn);
enum kiln_isa_level isa_class_level(
        uint8_t class);                       /* V1 for the baseline, probes and features without a level */
const char *isa_class_feature(uint8_t class); /* NULL: belongs to a level */

/* ---- decode.c --------------------------------------------------------------------------- */

#define ISA_INSN_MAX 15 /* bytes; Intel SDM 2A 2.3.11 */

struct isa_func;

struct isa_decoder {
        ZydisDecoder zydis;
        uint16_t *vex; /* answers remembered by opcode, see decode.c; made at the first VEX instruction */
};

struct isa_insn {
        uint8_t len;   /* 0: not an instruction */
        uint8_t class; /* see above */
};

void isa_decoder_init(struct isa_decoder *d);
void isa_decoder_clear(struct isa_decoder *d);

/* Decodes the instruction at p. Reads at most `len` bytes. */
struct isa_insn isa_decode(struct isa_decoder *d, const uint8_t *p, size_t len);

/* The same without any shortcut: the reference, and what names a sample. mnemonic may be NULL. */
struct isa_insn isa_decode_full(
        const struct isa_decoder *d, const uint8_t *p, size_t len, const char **mnemonic);

enum isa_reference {
        ISA_REFERENCE_NONE = 0,
        ISA_REFERENCE_BRANCH,    /* call or jump there */
        ISA_REFERENCE_ADDRESS,   /* its address is taken */
        ISA_REFERENCE_LOAD,      /* the pointer stored there is loaded (GOT) */
        ISA_REFERENCE_LOAD_JUMP, /* the pointer stored there is called */
};

/* What an instruction of `len` bytes at `address` refers to by a 32 bit displacement or immediate. */
enum isa_reference isa_reference(const uint8_t *p, size_t len, uint64_t address, uint64_t *ret);

typedef void (*isa_reference_fn)(
        void *arg, const struct isa_func *from, enum isa_reference kind, uint64_t address, size_t section);

/* ---- elf.c ------------------------------------------------------------------------------ */

struct isa_section {     /* executable bytes of the file */
        uint64_t offset; /* in the file */
        uint64_t size;
        uint64_t address;
        uint64_t linear; /* where it begins when all executable sections are laid end to end */
        size_t index;    /* section header; 0: from a program header */
};

enum {
        ISA_FUNC_IFUNC = 1 << 0,        /* the resolver */
        ISA_FUNC_EXPORTED = 1 << 1,     /* reachable from other files by name */
        ISA_FUNC_DISPATCHED = 1 << 2,   /* proven */
        ISA_FUNC_NAMED = 1 << 3,        /* its name tells a CPU feature */
        ISA_FUNC_UNREFERENCED = 1 << 4, /* nothing in the file refers to it */
        ISA_FUNC_LABEL = 1 << 5,        /* a place to resynchronise, not a function: no end is known */
};

struct isa_func {
        uint64_t start, end; /* linear */
        uint32_t symbol;     /* index in symtab, 0: none (.eh_frame only) */
        uint32_t table;      /* 0: .symtab, 1: .dynsym */
        uint32_t use;        /* index + 1 in uses; 0: only baseline */
        uint32_t instructions;
        uint8_t flags;
};

struct isa_use { /* what a function has above the baseline */
        uint32_t func;
        uint64_t counts[KILN_ISA_LEVELS];
        uint64_t first[KILN_ISA_LEVELS]; /* linear */
};

/* A string table: ends with NUL, or is empty. */
struct isa_strings {
        const char *data; /* libelf's */
        size_t size;
};

struct isa_elf {
        int fd;
        uint64_t size;
        Elf *elf;
        bool relocatable;
        bool class32; /* the x32 ABI */
        size_t n_scn;

        struct isa_section *sections; /* sorted by linear, disjoint in the file */
        size_t n_sections;
        uint32_t *by_address; /* sections' indices; NULL in relocatable files, where all begin at 0 */
        uint32_t *by_index;   /* section header -> section + 1 */
        uint64_t code_bytes;

        struct isa_func *funcs; /* sorted by start, one per start */
        size_t n_funcs;
        struct isa_use *uses;
        size_t n_uses;

        Elf_Data *symbols[2]; /* .symtab, .dynsym; libelf's */
        size_t n_symbols[2];
        struct isa_strings names[2]; /* theirs */
        struct isa_strings section_names;
        uint64_t loaded; /* bytes of sections handed out by isa_elf_data() */

        uint64_t uncertain_first[KILN_ISA_LEVELS]; /* linear */
        uint64_t uncertain[KILN_ISA_LEVELS];
        uint64_t features[256]; /* instructions by class, the certain ones */
        bool probes;            /* CPUID or XGETBV is executed */
};

/* Opens and indexes: sections, notes, functions. Fills out->status and note when it returns a positive value
 * (nothing more to do); 0: go on; negative errno: reading failed. */
int isa_elf_open(struct isa_elf *e, int fd, struct kiln_isa_file *out);
void isa_elf_close(struct isa_elf *e);

/* The file is damaged or above a limit; returns 1. */
int isa_elf_bad(struct kiln_isa_file *out, enum kiln_isa_status status, const char *fmt, ...) _printf_(3, 4);

#define ISA_RELOCATION_BYTES_MAX (UINT64_C(256) << 20)

/* A section's bytes (libelf's, until isa_elf_close), at most max; NULL: none, damaged or larger. */
Elf_Data *isa_elf_data(struct isa_elf *e, Elf_Scn *scn, const GElf_Shdr *sh, uint64_t max);

/* The string table in section `index`; and a string in it: NULL when outside, empty or absurdly long.
 * (elf_strptr() would search the table for its end each time, and decompress it.) */
struct isa_strings isa_elf_strings(struct isa_elf *e, size_t index);
const char *isa_string(const struct isa_strings *s, uint64_t offset);

/* linear position of a virtual address (of an offset in section `index` in relocatable files); false: not
 * code. */
bool isa_elf_linear(const struct isa_elf *e, size_t index, uint64_t address, uint64_t *ret);
const struct isa_section *isa_elf_section(const struct isa_elf *e, uint64_t linear);
uint64_t isa_elf_address(const struct isa_elf *e, uint64_t linear);

/* ---- func.c ----------------------------------------------------------------------------- */

/* Fills funcs and symbols. 0, or 1 (out says why). */
int isa_functions_find(struct isa_elf *e, struct kiln_isa_file *out);

/* The function that begins at, or covers, a linear position; NULL: none. */
struct isa_func *isa_elf_func_at(const struct isa_elf *e, uint64_t linear);
struct isa_func *isa_elf_func_covering(const struct isa_elf *e, uint64_t linear);
const char *isa_elf_func_name(const struct isa_elf *e, const struct isa_func *f); /* NULL: none */

void isa_elf_add_func(
        struct isa_elf *e, uint64_t start, uint64_t end, uint32_t table, uint32_t symbol, uint8_t flags);

/* ---- unwind.c: functions from .eh_frame (LSB 5.0 Core, 10.6) ---------------------------- */

void isa_unwind_functions(struct isa_elf *e, const uint8_t *data, size_t len, uint64_t address);

/* ---- scan.c ----------------------------------------------------------------------------- */

/* Disassembles everything once; fills funcs' use, uses, uncertain, features and out's totals. 0, 1 (damaged)
 * or negative errno. */
int isa_scan(struct isa_elf *e, struct isa_decoder *d, struct kiln_isa_file *out);

/* Ranges with more instructions than this are "larger functions" (isa.h). */
#define ISA_LARGE_FUNCTION 64

/* Walks the code again and tells fn of every reference, with the function it is in (NULL: none). 0 or
 * negative errno. */
int isa_scan_references(struct isa_elf *e, struct isa_decoder *d, isa_reference_fn fn, void *arg);

/* Copies up to ISA_INSN_MAX bytes at a linear position; returns how many. */
size_t isa_scan_bytes(const struct isa_elf *e, uint64_t linear, uint8_t bytes[ISA_INSN_MAX]);

/* ---- graph.c ---------------------------------------------------------------------------- */

/* Marks ISA_FUNC_DISPATCHED what IFUNC resolvers choose from and what only that refers to, and
 * ISA_FUNC_UNREFERENCED what nothing refers to. 0 or negative errno. */
int isa_graph_mark(struct isa_elf *e, struct isa_decoder *d);

/* ---- dispatch.c ------------------------------------------------------------------------- */

/* So many of the larger functions use the level that the file was compiled for it. */
bool isa_wholesale(int level, uint64_t large, uint64_t using);

/* So many of the larger functions use the level that the file was compiled for it. */
bool isa_wholesale(int level, uint64_t large, uint64_t using);

/* Sorts what the scan found into out->counts and samples by how it is reached. */
int isa_dispatch(struct isa_elf *e, struct isa_decoder *d, struct kiln_isa_file *out);
