/* The table from instruction sets to levels, and what this host can run.
 *
 * Source: x86-64 psABI, section "Micro-Architecture Levels", table 3.1; the sets are those of Zydis 4.0. A
 * set that is not in the table belongs to the baseline. Must never guess: a feature outside all levels is
 * listed by its name. */
#include "worker/attest/isa/internal.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

struct isa_row {
        enum kiln_isa_level level; /* NONE: not in the table, thus baseline */
        const char *feature;       /* CPU feature beyond all levels; with a level: it needs both */
};

/* The encoding counts too: a VEX instruction needs the AVX state of v3, an EVEX instruction AVX512F of v4,
 * whatever else it needs. */
#define SET(name) [ZYDIS_ISA_SET_##name]
#define EVEX3(name, feature)                                                                                 \
        SET(name##_128) = {KILN_ISA_V4, feature}, SET(name##_256) = {KILN_ISA_V4, feature},                  \
        SET(name##_512) = {KILN_ISA_V4, feature}

static const struct isa_row rows[ZYDIS_ISA_SET_MAX_VALUE + 1] = {
        /* v2 */
        SET(CMPXCHG16B) = {KILN_ISA_V2, NULL},
        SET(LAHF) = {KILN_ISA_V2, NULL},
        SET(POPCNT) = {KILN_ISA_V2, NULL},
        SET(SSE3) = {KILN_ISA_V2, NULL},
        SET(SSE3X87) = {KILN_ISA_V2, NULL},
        SET(SSE4) = {KILN_ISA_V2, NULL}, /* SSE4.1 */
        SET(SSE42) = {KILN_ISA_V2, NULL},
        SET(SSSE3) = {KILN_ISA_V2, NULL},
        SET(SSSE3MMX) = {KILN_ISA_V2, NULL},

        /* v3 */
        SET(AVX) = {KILN_ISA_V3, NULL},
        SET(AVX2) = {KILN_ISA_V3, NULL},
        SET(AVX2GATHER) = {KILN_ISA_V3, NULL},
        SET(BMI1) = {KILN_ISA_V3, NULL}, /* but see TZCNT below */
        SET(BMI2) = {KILN_ISA_V3, NULL},
        SET(F16C) = {KILN_ISA_V3, NULL},
        SET(FMA) = {KILN_ISA_V3, NULL},
        SET(LZCNT) = {KILN_ISA_V3, NULL},
        SET(MOVBE) = {KILN_ISA_V3, NULL},
        SET(XSAVE) = {KILN_ISA_V3, NULL}, /* OSXSAVE */

        /* v4 */
        EVEX3(AVX512F, NULL),
        SET(AVX512F_128N) = {KILN_ISA_V4, NULL},
        SET(AVX512F_SCALAR) = {KILN_ISA_V4, NULL},
        SET(AVX512F_KOP) = {KILN_ISA_V4, NULL},
        EVEX3(AVX512BW, NULL),
        SET(AVX512BW_128N) = {KILN_ISA_V4, NULL},
        SET(AVX512BW_KOP) = {KILN_ISA_V4, NULL},
        EVEX3(AVX512CD, NULL),
        EVEX3(AVX512DQ, NULL),
        SET(AVX512DQ_128N) = {KILN_ISA_V4, NULL},
        SET(AVX512DQ_SCALAR) = {KILN_ISA_V4, NULL},
        SET(AVX512DQ_KOP) = {KILN_ISA_V4, NULL},

        /* beyond v4, but with the state of v4 */
        SET(AVX512ER_512) = {KILN_ISA_V4, "AVX512ER"},
        SET(AVX512ER_SCALAR) = {KILN_ISA_V4, "AVX512ER"},
        SET(AVX512PF_512) = {KILN_ISA_V4, "AVX512PF"},
        SET(AVX512_4FMAPS_512) = {KILN_ISA_V4, "AVX512_4FMAPS"},
        SET(AVX512_4FMAPS_SCALAR) = {KILN_ISA_V4, "AVX512_4FMAPS"},
        SET(AVX512_4VNNIW_512) = {KILN_ISA_V4, "AVX512_4VNNIW"},
        EVEX3(AVX512_BF16, "AVX512_BF16"),
        EVEX3(AVX512_BITALG, "AVX512_BITALG"),
        EVEX3(AVX512_FP16, "AVX512_FP16"),
        SET(AVX512_FP16_128N) = {KILN_ISA_V4, "AVX512_FP16"},
        SET(AVX512_FP16_SCALAR) = {KILN_ISA_V4, "AVX512_FP16"},
        EVEX3(AVX512_GFNI, "GFNI"),
        EVEX3(AVX512_IFMA, "AVX512_IFMA"),
        EVEX3(AVX512_VAES, "VAES"),
        EVEX3(AVX512_VBMI, "AVX512_VBMI"),
        EVEX3(AVX512_VBMI2, "AVX512_VBMI2"),
        EVEX3(AVX512_VNNI, "AVX512_VNNI"),
        EVEX3(AVX512_VP2INTERSECT, "AVX512_VP2INTERSECT"),
        EVEX3(AVX512_VPCLMULQDQ, "VPCLMULQDQ"),
        EVEX3(AVX512_VPOPCNTDQ, "AVX512_VPOPCNTDQ"),

        /* beyond v3, but with the state of v3 */
        SET(AVXAES) = {KILN_ISA_V3, "AES"},
        SET(AVX_GFNI) = {KILN_ISA_V3, "GFNI"},
        SET(AVX_VNNI) = {KILN_ISA_V3, "AVX_VNNI"},
        SET(FMA4) = {KILN_ISA_V3, "FMA4"},
        SET(VAES) = {KILN_ISA_V3, "VAES"},
        SET(VPCLMULQDQ) = {KILN_ISA_V3, "VPCLMULQDQ"},
        SET(XOP) = {KILN_ISA_V3, "XOP"},

        /* in no level at all */
        SET(ADOX_ADCX) = {KILN_ISA_V1, "ADX"},
        SET(AES) = {KILN_ISA_V1, "AES"},
        SET(AMD3DNOW) = {KILN_ISA_V1, "3DNOW"},
        SET(AMD_INVLPGB) = {KILN_ISA_V1, "INVLPGB"},
        SET(AMX_BF16) = {KILN_ISA_V1, "AMX_BF16"},
        SET(AMX_INT8) = {KILN_ISA_V1, "AMX_INT8"},
        SET(AMX_TILE) = {KILN_ISA_V1, "AMX_TILE"},
        SET(CET) = {KILN_ISA_V1, "CET_SS"}, /* but see ENDBR below */
        SET(CLFLUSHOPT) = {KILN_ISA_V1, "CLFLUSHOPT"},
        SET(CLWB) = {KILN_ISA_V1, "CLWB"},
        SET(CLZERO) = {KILN_ISA_V1, "CLZERO"},
        SET(ENQCMD) = {KILN_ISA_V1, "ENQCMD"},
        SET(GFNI) = {KILN_ISA_V1, "GFNI"},
        SET(HRESET) = {KILN_ISA_V1, "HRESET"},
        SET(INVPCID) = {KILN_ISA_V1, "INVPCID"},
        SET(KEYLOCKER) = {KILN_ISA_V1, "KEYLOCKER"},
        SET(KEYLOCKER_WIDE) = {KILN_ISA_V1, "KEYLOCKER"},
        SET(LWP) = {KILN_ISA_V1, "LWP"},
        SET(MCOMMIT) = {KILN_ISA_V1, "MCOMMIT"},
        SET(MONITOR) = {KILN_ISA_V1, "MONITOR"},
        SET(MONITORX) = {KILN_ISA_V1, "MONITORX"},
        SET(MOVDIR) = {KILN_ISA_V1, "MOVDIR"},
        SET(MPX) = {KILN_ISA_V1, "MPX"},
        SET(PADLOCK_ACE) = {KILN_ISA_V1, "PADLOCK"},
        SET(PADLOCK_PHE) = {KILN_ISA_V1, "PADLOCK"},
        SET(PADLOCK_PMM) = {KILN_ISA_V1, "PADLOCK"},
        SET(PADLOCK_RNG) = {KILN_ISA_V1, "PADLOCK"},
        SET(PCLMULQDQ) = {KILN_ISA_V1, "PCLMULQDQ"},
        SET(PCONFIG) = {KILN_ISA_V1, "PCONFIG"},
        SET(PKU) = {KILN_ISA_V1, "PKU"},
        SET(PT) = {KILN_ISA_V1, "PT"},
        SET(RDPID) = {KILN_ISA_V1, "RDPID"},
        SET(RDPRU) = {KILN_ISA_V1, "RDPRU"},
        SET(RDRAND) = {KILN_ISA_V1, "RDRAND"},
        SET(RDSEED) = {KILN_ISA_V1, "RDSEED"},
        SET(RDTSCP) = {KILN_ISA_V1, "RDTSCP"},
        SET(RDWRFSGS) = {KILN_ISA_V1, "FSGSBASE"},
        SET(RTM) = {KILN_ISA_V1, "RTM"},
        SET(SERIALIZE) = {KILN_ISA_V1, "SERIALIZE"},
        SET(SGX) = {KILN_ISA_V1, "SGX"},
        SET(SGX_ENCLV) = {KILN_ISA_V1, "SGX"},
        SET(SHA) = {KILN_ISA_V1, "SHA"},
        SET(SMAP) = {KILN_ISA_V1, "SMAP"},
        SET(SMX) = {KILN_ISA_V1, "SMX"},
        SET(SNP) = {KILN_ISA_V1, "SNP"},
        SET(SSE4A) = {KILN_ISA_V1, "SSE4A"},
        SET(SVM) = {KILN_ISA_V1, "SVM"},
        SET(TBM) = {KILN_ISA_V1, "TBM"},
        SET(TDX) = {KILN_ISA_V1, "TDX"},
        SET(TSX_LDTRK) = {KILN_ISA_V1, "TSXLDTRK"},
        SET(UINTR) = {KILN_ISA_V1, "UINTR"},
        SET(VMFUNC) = {KILN_ISA_V1, "VMX"},
        SET(VTX) = {KILN_ISA_V1, "VMX"},
        SET(WAITPKG) = {KILN_ISA_V1, "WAITPKG"},
        SET(XSAVEC) = {KILN_ISA_V1, "XSAVEC"},
        SET(XSAVEOPT) = {KILN_ISA_V1, "XSAVEOPT"},
        SET(XSAVES) = {KILN_ISA_V1, "XSAVES"},
};
_Static_assert((int)ZYDIS_ISA_SET_MAX_VALUE < (int)ISA_PROBE, "classes fit a byte");

uint8_t isa_class_of(const ZydisDecodedInstruction *insn)
{
        ZydisISASet set = insn->meta.isa_set;

        switch (insn->mnemonic) {
        case ZYDIS_MNEMONIC_CPUID:
        case ZYDIS_MNEMONIC_XGETBV: /* always behind a look at CPUID.OSXSAVE: part of asking */
                return ISA_PROBE;
        case ZYDIS_MNEMONIC_TZCNT:
                /* F3 BSF for older CPUs: GCC writes "rep bsf" into baseline code on purpose. LZCNT is no such
                 * thing: BSR gives another result, so nobody writes it without knowing the CPU. */
                return ISA_BASELINE;
        case ZYDIS_MNEMONIC_ENDBR32: /* no-operations where CET is unknown */
        case ZYDIS_MNEMONIC_ENDBR64:
        case ZYDIS_MNEMONIC_RDSSPD:
        case ZYDIS_MNEMONIC_RDSSPQ:
                return ISA_BASELINE;
        case ZYDIS_MNEMONIC_VPCLMULQDQ: /* 128 bits wide: PCLMULQDQ and AVX; Zydis says only AVX */
                if (set == ZYDIS_ISA_SET_AVX)
                        return ZYDIS_ISA_SET_VPCLMULQDQ;
                break;
        default:
                break;
        }
        return rows[set].level ? (uint8_t)set : ISA_BASELINE;
}

enum kiln_isa_level isa_class_level(uint8_t class)
{
        if (class == ISA_PROBE || rows[class].level == KILN_ISA_NONE)
                return KILN_ISA_V1;
        return rows[class].level;
}

const char *isa_class_feature(uint8_t class)
{
        return class == ISA_PROBE ? NULL : rows[class].feature;
}

#if defined(__x86_64__)

/* Registers of the leaves that the levels are made of. */
enum { R1_ECX, R7_EBX, R81_ECX, REGISTERS };

static const struct {
        enum kiln_isa_level level;
        int reg;
        unsigned bits;
} needs[] = {
        {KILN_ISA_V2, R1_ECX, bit_SSE3 | bit_SSSE3 | bit_CMPXCHG16B | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT},
        {KILN_ISA_V2, R81_ECX, bit_LAHF_LM},
        {KILN_ISA_V3, R1_ECX, bit_FMA | bit_MOVBE | bit_OSXSAVE | bit_AVX | bit_F16C},
        {KILN_ISA_V3, R7_EBX, bit_BMI | bit_AVX2 | bit_BMI2},
        {KILN_ISA_V3, R81_ECX, bit_LZCNT},
        {KILN_ISA_V4, R7_EBX, bit_AVX512F | bit_AVX512DQ | bit_AVX512CD | bit_AVX512BW | bit_AVX512VL},
};

/* State components that the kernel must save: SDM 1, 13.1. */
#define XCR0_AVX 0x06u    /* SSE, AVX */
#define XCR0_AVX512 0xe6u /* also opmask and both ZMM parts */

enum kiln_isa_level kiln_isa_host_level(void)
{
        unsigned a, b, c, d, regs[REGISTERS] = {0}, xcr0 = 0, high;
        enum kiln_isa_level level = KILN_ISA_V4;

        if (__get_cpuid(1, &a, &b, &c, &d))
                regs[R1_ECX] = c;
        if (__get_cpuid_count(7, 0, &a, &b, &c, &d))
                regs[R7_EBX] = b;
        if (__get_cpuid(0x80000001, &a, &b, &c, &d))
                regs[R81_ECX] = c;
        if (regs[R1_ECX] & bit_OSXSAVE)
                __asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));

        for (size_t i = 0; i < KILN_ARRAY_SIZE(needs); i++)
                if ((regs[needs[i].reg] & needs[i].bits) != needs[i].bits && level >= needs[i].level)
                        level = needs[i].level - 1;
        if ((xcr0 & XCR0_AVX) != XCR0_AVX && level >= KILN_ISA_V3)
                level = KILN_ISA_V2;
        if ((xcr0 & XCR0_AVX512) != XCR0_AVX512 && level >= KILN_ISA_V4)
                level = KILN_ISA_V3;
        return level;
}

#else

enum kiln_isa_level kiln_isa_host_level(void)
{
        return KILN_ISA_NONE;
}

#endif
