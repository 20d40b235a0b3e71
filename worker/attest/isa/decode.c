/* One instruction: how long it is and which class it belongs to.
 *
 * Zydis knows the truth and takes about 200 ns for it. Four fifths of all code are a few dozen baseline
 * opcodes whose length a table tells; only those take the short way, anything else goes to Zydis, and VEX
 * instructions ask it once per opcode. The unit test compares both ways over all opcodes, prefixes and ModRM
 * bytes. Must never claim more than Zydis would: where the table is silent, it is silent. */
#include "worker/attest/isa/internal.h"

#include <string.h>

/* One byte per opcode. */
enum {
        LEN_BASE = 1 << 0, /* known baseline with the prefixes that follow */
        LEN_MODRM = 1 << 1,
        LEN_IMM8 = 1 << 2,
        LEN_IMMZ = 1 << 3,  /* 2 bytes with a 66 prefix, else 4 */
        LEN_MEM = 1 << 4,   /* ModRM must name memory */
        LEN_GROUP = 1 << 5, /* ModRM.reg chooses: see below */
        LEN_NO66 = 1 << 6,  /* not with an operand size prefix */
        LEN_REP = 1 << 7,   /* also with F2 or F3 */
};
#define B LEN_BASE
#define BM (LEN_BASE | LEN_MODRM)
#define BM8 (LEN_BASE | LEN_MODRM | LEN_IMM8)
#define BMZ (LEN_BASE | LEN_MODRM | LEN_IMMZ)
#define B8 (LEN_BASE | LEN_IMM8)
#define BZ (LEN_BASE | LEN_IMMZ)
#define G8 (BM8 | LEN_GROUP)
#define GZ (BMZ | LEN_GROUP)
#define GM (BM | LEN_GROUP)
#define LM (BM | LEN_MEM)
#define J8 (LEN_BASE | LEN_IMM8 | LEN_NO66)
#define JZ (LEN_BASE | LEN_IMMZ | LEN_NO66)
#define BS (LEN_BASE | LEN_REP)
#define RT (LEN_BASE | LEN_REP | LEN_NO66)
#define N6 (LEN_BASE | LEN_NO66)

/* Opcodes of one byte (SDM 2D, table A-2). */
/* clang-format off */
static const uint8_t one_byte[256] = {
        /* 0 */ BM, BM, BM, BM, B8, BZ, 0, 0, BM, BM, BM, BM, B8, BZ, 0, 0,
        /* 1 */ BM, BM, BM, BM, B8, BZ, 0, 0, BM, BM, BM, BM, B8, BZ, 0, 0,
        /* 2 */ BM, BM, BM, BM, B8, BZ, 0, 0, BM, BM, BM, BM, B8, BZ, 0, 0,
        /* 3 */ BM, BM, BM, BM, B8, BZ, 0, 0, BM, BM, BM, BM, B8, BZ, 0, 0,
        /* 4 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        /* 5 */ B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B,
        /* 6 */ 0, 0, 0, BM, 0, 0, 0, 0, BZ, BMZ, B8, BM8, 0, 0, 0, 0,
        /* 7 */ J8, J8, J8, J8, J8, J8, J8, J8, J8, J8, J8, J8, J8, J8, J8, J8,
        /* 8 */ BM8, BMZ, 0, BM8, BM, BM, BM, BM, BM, BM, BM, BM, 0, LM, 0, 0,
        /* 9 */ BS, B, B, B, B, B, B, B, B, B, 0, 0, 0, 0, 0, 0,
        /* A */ 0, 0, 0, 0, BS, BS, BS, BS, B8, BZ, BS, BS, BS, BS, BS, BS,
        /* B */ B8, B8, B8, B8, B8, B8, B8, B8, BZ, BZ, BZ, BZ, BZ, BZ, BZ, BZ,
        /* C */ BM8, BM8, 0, RT, 0, 0, G8, GZ, 0, N6, 0, 0, B, 0, 0, 0,
        /* D */ BM, BM, BM, BM, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        /* E */ 0, 0, 0, 0, 0, 0, 0, 0, JZ, JZ, 0, J8, 0, 0, 0, 0,
        /* F */ 0, 0, 0, 0, 0, 0, GM, GM, 0, 0, 0, 0, 0, 0, GM, GM,
};
/* clang-format on */

/* Opcodes behind 0F (SDM 2D, table A-3): which mandatory prefixes leave it in the baseline, and its shape. */
enum {
        PP_NONE = 1 << 0,
        PP_66 = 1 << 1,
        PP_F3 = 1 << 2,
        PP_F2 = 1 << 3,
        TWO_NO_MODRM = 1 << 4,
        TWO_IMM8 = 1 << 5,
        TWO_REL32 = 1 << 6,
        TWO_MEM = 1 << 7,
};
#define PN PP_NONE
#define P6 PP_66
#define P3 PP_F3
#define P2 PP_F2
#define PD (PP_NONE | PP_66)
#define PA (PP_NONE | PP_66 | PP_F3 | PP_F2)
#define PR (PP_NONE | TWO_NO_MODRM | TWO_REL32)
#define PX (PP_NONE | TWO_NO_MODRM)
#define PM (PP_NONE | PP_66 | TWO_MEM)
#define S8 (PP_NONE | PP_66 | TWO_IMM8)

/* clang-format off */
static const uint8_t two_byte[256] = {
        /* 0 */ 0, 0, 0, 0, 0, PX, 0, 0, 0, 0, 0, PX, 0, 0, 0, 0,
        /* 1 */ PA, PA, PN, PM, PD, PD, PN, PM, 0, 0, 0, 0, 0, 0, 0, PD,
        /* 2 */ 0, 0, 0, 0, 0, 0, 0, 0, PD, PD, P3 | P2, PM, P3 | P2, P3 | P2, PD, PD,
        /* 3 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        /* 4 */ PD, PD, PD, PD, PD, PD, PD, PD, PD, PD, PD, PD, PD, PD, PD, PD,
        /* 5 */ 0, PA, PN | P3, PN | P3, PD, PD, PD, PD, PA, PA, PA, PD | P3, PA, PA, PA, PA,
        /* 6 */ P6, P6, P6, P6, P6, P6, P6, P6, P6, P6, P6, P6, P6, P6, P6, P6 | P3,
        /* 7 */ P6 | P3 | P2 | TWO_IMM8, 0, 0, 0, P6, P6, P6, 0, 0, 0, 0, 0, 0, 0, P6 | P3, P6 | P3,
        /* 8 */ PR, PR, PR, PR, PR, PR, PR, PR, PR, PR, PR, PR, PR, PR, PR, PR,
        /* 9 */ PN, PN, PN, PN, PN, PN, PN, PN, PN, PN, PN, PN, PN, PN, PN, PN,
        /* A */ 0, 0, 0, PD, S8, PD, 0, 0, 0, 0, 0, PD, S8, PD, 0, PD,
        /* B */ PD, PD, 0, PD, 0, 0, PD, PD, 0, 0, 0, PD, PD, PD, PD, PD,
        /* C */ PD, PD, PA | TWO_IMM8, PP_NONE | TWO_MEM, 0, 0, S8, 0, PX, PX, PX, PX, PX, PX, PX, PX,
        /* D */ 0, P6, P6, P6, P6, P6, P6, 0, P6, P6, P6, P6, P6, P6, P6, P6,
        /* E */ P6, P6, P6, P6, P6, P6, P6 | P3 | P2, P6 | TWO_MEM, P6, P6, P6, P6, P6, P6, P6, P6,
        /* F */ 0, P6, P6, P6, P6, P6, P6, 0, P6, P6, P6, P6, P6, P6, P6, 0,
};
/* clang-format on */

/* A word of `vex`: class, and how long the immediate is. */
#define VEX_KNOWN 0x8000u
#define VEX_IMM8 0x4000u
#define VEX_KEYS (1u << 19)

void isa_decoder_init(struct isa_decoder *d)
{
        memset(d, 0, sizeof(*d));
        ZydisDecoderInit(&d->zydis, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
}

void isa_decoder_clear(struct isa_decoder *d)
{
        free(d->vex);
        d->vex = NULL;
}

struct isa_insn isa_decode_full(
        const struct isa_decoder *d, const uint8_t *p, size_t len, const char **mnemonic)
{
        ZydisDecodedInstruction insn;

        if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&d->zydis, NULL, p, len, &insn)))
                return (struct isa_insn){0, ISA_BASELINE};
        /* Xeon Phi's first generation spoke another language; no x86-64 CPU of any level decodes it. */
        if (insn.meta.isa_set >= ZYDIS_ISA_SET_KNCE && insn.meta.isa_set <= ZYDIS_ISA_SET_KNC_PF_HINT)
                return (struct isa_insn){0, ISA_BASELINE};
        if (mnemonic)
                *mnemonic = ZydisMnemonicGetString(insn.mnemonic);
        return (struct isa_insn){insn.length, isa_class_of(&insn)};
}

/* Bytes of ModRM, SIB and displacement (SDM 2A, 2.1.5; 64 bit addressing). */
static inline unsigned modrm_len(const uint8_t *p)
{
        unsigned mod = p[0] >> 6, rm = p[0] & 7;

        if (mod == 3)
                return 1;
        if (rm == 4) {
                if (mod == 0)
                        return (p[1] & 7) == 5 ? 6 : 2;
                return mod == 1 ? 3 : 6;
        }
        if (mod == 0)
                return rm == 5 ? 5 : 1;
        return mod == 1 ? 2 : 5;
}

struct prefixes {
        unsigned n; /* bytes */
        bool rex, rex_w, opsize, rep, repne;
};

/* False: prefixes that only Zydis should judge. */
static inline bool prefixes_read(const uint8_t *p, struct prefixes *x)
{
        unsigned n = 0;
        uint8_t c;

        for (;; n++) {
                c = p[n];
                if (c == 0x66)
                        x->opsize = true;
                else if (c == 0xf3 && !x->repne)
                        x->rep = true;
                else if (c == 0xf2 && !x->rep)
                        x->repne = true;
                else if (c != 0x64 && c != 0x65 && c != 0x2e)
                        break;
                if (n == 4)
                        return false;
        }
        if ((c & 0xf0) == 0x40) {
                x->rex = true;
                x->rex_w = c & 8;
                n++;
        }
        x->n = n;
        return true;
}

/* Group opcodes: which ModRM.reg are plain. F6 and F7 have an immediate for reg 0 and 1 only. */
static inline bool group_plain(uint8_t opcode, uint8_t modrm, unsigned *imm, bool wide)
{
        unsigned reg = modrm >> 3 & 7;

        switch (opcode) {
        case 0xc6:
        case 0xc7:
                return reg == 0;
        case 0xf6:
                *imm = reg < 2 ? 1 : 0;
                return true;
        case 0xf7:
                *imm = reg < 2 ? (wide ? 4 : 2) : 0;
                return true;
        case 0xfe:
                return reg < 2;
        default: /* FF: far calls and jumps are left to Zydis; branches mind the operand size */
                return reg < 2 || ((reg == 2 || reg == 4 || reg == 6) && wide);
        }
}

/* Length of a baseline instruction that the tables know, else 0. p has at least ISA_INSN_MAX bytes. */
static inline unsigned fast_length(const uint8_t *p)
{
        struct prefixes x = {0};
        unsigned n, imm = 0;
        uint8_t opcode, shape;

        if (!prefixes_read(p, &x))
                return 0;
        n = x.n;
        opcode = p[n++];
        if (opcode != 0x0f) {
                bool wide = !x.opsize || x.rex_w;

                shape = one_byte[opcode];
                if (!(shape & LEN_BASE) || ((x.rep || x.repne) && !(shape & LEN_REP)) ||
                        (x.opsize && (shape & LEN_NO66)))
                        return 0;
                if (shape & LEN_IMM8)
                        imm = 1;
                else if (shape & LEN_IMMZ)
                        imm = (opcode & 0xf8) == 0xb8 && x.rex_w ? 8 : (wide ? 4 : 2);
                if (shape & LEN_MODRM) {
                        uint8_t modrm = p[n];

                        if ((shape & LEN_MEM) && modrm >= 0xc0)
                                return 0;
                        if ((shape & LEN_GROUP) && !group_plain(opcode, modrm, &imm, wide))
                                return 0;
                        n += modrm_len(p + n);
                }
                return n + imm;
        }

        opcode = p[n++];
        shape = two_byte[opcode];
        unsigned pp = x.rep ? PP_F3 : x.repne ? PP_F2 : x.opsize ? PP_66 : PP_NONE;
        if (!(shape & pp))
                return 0;
        if (shape & TWO_NO_MODRM)
                return n + (shape & TWO_REL32 ? 4 : 0);
        if ((shape & TWO_MEM) && p[n] >= 0xc0)
                return 0;
        if (shape & TWO_IMM8)
                imm = 1;
        return n + modrm_len(p + n) + imm;
}

/* VEX without other prefixes (SDM 2A, 2.3.5): whatever decides what it is makes the key; the rest are
 * registers. */
static struct isa_insn vex_decode(struct isa_decoder *d, const uint8_t *p, size_t len)
{
        bool three = p[0] == 0xc4;
        unsigned map = three ? p[1] & 0x1f : 1, last = three ? p[2] : p[1], w = three ? p[2] >> 7 : 0;
        const uint8_t *opcode = p + (three ? 3 : 2);
        uint8_t modrm = opcode[1];

        if (map < 1 || map > 3)
                return isa_decode_full(d, p, len, NULL);
        /* VZEROUPPER and VZEROALL are the only VEX instructions without ModRM. */
        if (map == 1 && opcode[0] == 0x77)
                return isa_decode_full(d, p, len, NULL);

        unsigned key = map - 1;
        key = key << 2 | (last & 3);
        key = key << 8 | opcode[0];
        key = key << 1 | w;
        key = key << 1 | (last >> 2 & 1);
        key = key << 1 | (modrm >= 0xc0);
        key = key << 3 | (modrm >> 3 & 7);
        key = key << 1 | ((last & 0x78) == 0x78);

        if (!d->vex)
                d->vex = kiln_calloc(VEX_KEYS, sizeof(*d->vex));
        unsigned shape = (unsigned)(opcode - p) + 1 + modrm_len(opcode + 1);
        uint16_t known = d->vex[key];
        if (known)
                return (struct isa_insn){(uint8_t)(shape + (known & VEX_IMM8 ? 1 : 0)), known & 0xff};

        struct isa_insn insn = isa_decode_full(d, p, len, NULL);
        /* Gathers and tile instructions are valid only with some registers: always ask. */
        if ((insn.len == shape || insn.len == shape + 1) && isa_class_level(insn.class) >= KILN_ISA_V3 &&
                insn.class != ZYDIS_ISA_SET_AVX2GATHER)
                d->vex[key] = (uint16_t)(VEX_KNOWN | (insn.len > shape ? VEX_IMM8 : 0) | insn.class);
        return insn;
}

struct isa_insn isa_decode(struct isa_decoder *d, const uint8_t *p, size_t len)
{
        static const uint8_t endbr64[4] = {0xf3, 0x0f, 0x1e, 0xfa};

        if (len >= ISA_INSN_MAX) {
                unsigned n = fast_length(p);

                if (n)
                        return (struct isa_insn){(uint8_t)n, ISA_BASELINE};
                if (p[0] == 0xc5 || p[0] == 0xc4)
                        return vex_decode(d, p, len);
                if (memcmp(p, endbr64, sizeof(endbr64)) == 0)
                        return (struct isa_insn){sizeof(endbr64), ISA_BASELINE};
        }
        return isa_decode_full(d, p, len, NULL);
}

static int64_t displacement(const uint8_t *p)
{
        int32_t v;

        memcpy(&v, p, sizeof(v));
        return v;
}

enum isa_reference isa_reference(const uint8_t *p, size_t len, uint64_t address, uint64_t *ret)
{
        const uint8_t *end = p + len;
        bool rex_w = false;

        while (p < end && (*p == 0x66 || *p == 0xf2 || *p == 0xf3 || *p == 0x2e || *p == 0x3e || *p == 0x64 ||
                                  *p == 0x65))
                p++;
        if (p < end && (*p & 0xf0) == 0x40)
                rex_w = *p++ & 8;

        size_t left = (size_t)(end - p);
        if (left == 5 && (p[0] == 0xe8 || p[0] == 0xe9)) { /* call, jmp */
                *ret = address + len + (uint64_t)displacement(p + 1);
                return ISA_REFERENCE_BRANCH;
        }
        if (left == 5 && (p[0] & 0xf8) == 0xb8 && !rex_w) { /* mov r32, imm32: addresses of non-PIC code */
                *ret = (uint32_t)displacement(p + 1);
                return ISA_REFERENCE_ADDRESS;
        }
        if (left != 6)
                return ISA_REFERENCE_NONE;
        *ret = address + len + (uint64_t)displacement(p + 2);
        if (p[0] == 0x0f && (p[1] & 0xf0) == 0x80) /* jcc */
                return ISA_REFERENCE_BRANCH;
        if (p[0] == 0x8d && (p[1] & 0xc7) == 0x05) /* lea [rip + x] */
                return ISA_REFERENCE_ADDRESS;
        if (p[0] == 0x8b && (p[1] & 0xc7) == 0x05) /* mov [rip + x] */
                return ISA_REFERENCE_LOAD;
        if (p[0] == 0xff && (p[1] == 0x15 || p[1] == 0x25)) /* call, jmp *[rip + x] */
                return ISA_REFERENCE_LOAD_JUMP;
        if (p[0] == 0xc7 && (p[1] & 0xf8) == 0xc0) { /* mov r64, imm32 */
                *ret = (uint64_t)displacement(p + 2);
                return ISA_REFERENCE_ADDRESS;
        }
        return ISA_REFERENCE_NONE;
}
