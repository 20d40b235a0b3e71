/* The short way through the decoder against Zydis, and the table of levels. */
#include "worker/attest/isa/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void compare(struct isa_decoder *d, const uint8_t *p)
{
        struct isa_insn fast = isa_decode(d, p, 24), full = isa_decode_full(d, p, 24, NULL);

        if (fast.len == full.len && fast.class == full.class)
                return;
        /* A remembered VEX opcode may accept mask registers that Zydis refuses; never another length or
         * class. */
        if (full.len == 0 && (p[0] == 0xc4 || p[0] == 0xc5))
                return;
        print_error("%02x %02x %02x %02x %02x %02x: length %u class %u, Zydis says %u and %u\n", p[0], p[1],
                p[2], p[3], p[4], p[5], fast.len, fast.class, full.len, full.class);
        fail();
}

/* Every opcode of both maps with every ModRM byte behind every prefix that the tables look at. */
static void test_legacy(void **state)
{
        static const uint8_t prefixes[][5] = {/* length, bytes */
                {0}, {1, 0x66}, {1, 0xf3}, {1, 0xf2}, {1, 0x48}, {2, 0x66, 0x48}, {2, 0xf3, 0x48},
                {2, 0xf2, 0x48}, {1, 0x41}, {1, 0x2e}, {1, 0x64}, {2, 0x66, 0xf3}, {2, 0xf2, 0x66},
                {3, 0x66, 0x66, 0x2e}, {2, 0x41, 0x66}, {2, 0xf2, 0xf3}, {2, 0xf0, 0x48}, {1, 0x67},
                {4, 0x66, 0x66, 0x66, 0x66}};
        static const uint8_t fillers[] = {0x11, 0x25}; /* SIB without and with a 32 bit displacement */
        struct isa_decoder d;
        uint8_t p[24];

        isa_decoder_init(&d);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(prefixes); i++)
                for (unsigned x = 0; x < 2 * 2 * 65536; x++) {
                        size_t n = prefixes[i][0];

                        memset(p, fillers[x >> 17], sizeof(p));
                        memcpy(p, prefixes[i] + 1, n);
                        if (x >> 16 & 1)
                                p[n++] = 0x0f;
                        p[n++] = x >> 8 & 0xff;
                        p[n] = x & 0xff;
                        compare(&d, p);
                }
        isa_decoder_clear(&d);
}

/* Every VEX opcode: asked twice, so that the remembered answer is what is compared. */
static void test_vex(void **state)
{
        static const uint8_t thirds[] = {0x78, 0x79, 0x7a, 0x7b, 0x7c, 0x7d, 0x7e, 0x7f, 0x20, 0x21, 0x22,
                0x23, 0xf8, 0xf9, 0xfd, 0xa5};
        struct isa_decoder d;
        uint8_t p[24];

        isa_decoder_init(&d);
        for (unsigned map = 0; map < 5; map++)
                for (size_t i = 0; i < sizeof(thirds); i++)
                        for (unsigned x = 0; x < 65536; x++) {
                                memset(p, 0x11, sizeof(p));
                                p[0] = 0xc4;
                                p[1] = (uint8_t)(0xe0 | map);
                                p[2] = thirds[i];
                                p[3] = (uint8_t)(x >> 8);
                                p[4] = (uint8_t)x;
                                compare(&d, p);
                                if (map != 1)
                                        continue;
                                p[0] = 0xc5;
                                memmove(p + 1, p + 2, 22);
                                compare(&d, p);
                        }
        isa_decoder_clear(&d);
}

static void test_random(void **state)
{
        struct isa_decoder d;
        uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);
        uint64_t p[3];

        isa_decoder_init(&d);
        for (int i = 0; i < 300000; i++) {
                for (int k = 0; k < 3; k++) {
                        seed ^= seed << 13;
                        seed ^= seed >> 7;
                        seed ^= seed << 17;
                        p[k] = seed;
                }
                struct isa_insn fast = isa_decode(&d, (uint8_t *)p, sizeof(p));
                struct isa_insn full = isa_decode_full(&d, (uint8_t *)p, sizeof(p), NULL);

                /* What Zydis refuses may be a remembered VEX opcode behind it: see compare(). */
                if (full.len) {
                        assert_int_equal(fast.len, full.len);
                        assert_int_equal(fast.class, full.class);
                }
        }
        isa_decoder_clear(&d);
}

struct sample {
        const char *what;
        uint8_t bytes[16];
        uint8_t len;
        enum kiln_isa_level level;
        const char *feature;
};

static const struct sample samples[] = {
        {"nop", {0x90}, 1, KILN_ISA_V1, NULL},
        {"nopw cs:0(rax,rax)", {0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}, 10, KILN_ISA_V1, NULL},
        {"endbr64", {0xf3, 0x0f, 0x1e, 0xfa}, 4, KILN_ISA_V1, NULL},
        {"rep ret", {0xf3, 0xc3}, 2, KILN_ISA_V1, NULL},
        {"cpuid", {0x0f, 0xa2}, 2, KILN_ISA_V1, NULL},
        {"xgetbv", {0x0f, 0x01, 0xd0}, 3, KILN_ISA_V1, NULL},
        {"bsr eax, ecx", {0x0f, 0xbd, 0xc1}, 3, KILN_ISA_V1, NULL},
        {"rep bsf (tzcnt)", {0xf3, 0x0f, 0xbc, 0xc1}, 4, KILN_ISA_V1, NULL},
        {"lzcnt eax, ecx", {0xf3, 0x0f, 0xbd, 0xc1}, 4, KILN_ISA_V3, NULL},
        {"popcnt eax, ecx", {0xf3, 0x0f, 0xb8, 0xc1}, 4, KILN_ISA_V2, NULL},
        {"lahf", {0x9f}, 1, KILN_ISA_V2, NULL},
        {"cmpxchg16b [rdi]", {0x48, 0x0f, 0xc7, 0x0f}, 4, KILN_ISA_V2, NULL},
        {"haddps xmm0, xmm1", {0xf2, 0x0f, 0x7c, 0xc1}, 4, KILN_ISA_V2, NULL},
        {"fisttp [rdi]", {0xdb, 0x0f}, 2, KILN_ISA_V2, NULL},
        {"pshufb xmm0, xmm1", {0x66, 0x0f, 0x38, 0x00, 0xc1}, 5, KILN_ISA_V2, NULL},
        {"ptest xmm0, xmm1", {0x66, 0x0f, 0x38, 0x17, 0xc1}, 5, KILN_ISA_V2, NULL},
        {"crc32 eax, cl", {0xf2, 0x0f, 0x38, 0xf0, 0xc1}, 5, KILN_ISA_V2, NULL},
        {"movbe eax, [rdi]", {0x0f, 0x38, 0xf0, 0x07}, 4, KILN_ISA_V3, NULL},
        {"vzeroupper", {0xc5, 0xf8, 0x77}, 3, KILN_ISA_V3, NULL},
        {"vpaddd ymm0, ymm1, ymm2", {0xc5, 0xf5, 0xfe, 0xc2}, 4, KILN_ISA_V3, NULL},
        {"vfmadd231ps xmm0, xmm1, xmm2", {0xc4, 0xe2, 0x71, 0xb8, 0xc2}, 5, KILN_ISA_V3, NULL},
        {"vcvtph2ps xmm0, xmm1", {0xc4, 0xe2, 0x79, 0x13, 0xc1}, 5, KILN_ISA_V3, NULL},
        {"andn eax, ecx, edx", {0xc4, 0xe2, 0x70, 0xf2, 0xc2}, 5, KILN_ISA_V3, NULL},
        {"shlx eax, ecx, edx", {0xc4, 0xe2, 0x69, 0xf7, 0xc1}, 5, KILN_ISA_V3, NULL},
        {"kmovw k1, eax", {0xc5, 0xf8, 0x92, 0xc8}, 4, KILN_ISA_V4, NULL},
        {"vaddps zmm0, zmm1, zmm2", {0x62, 0xf1, 0x74, 0x48, 0x58, 0xc2}, 6, KILN_ISA_V4, NULL},
        {"aesenc xmm0, xmm1", {0x66, 0x0f, 0x38, 0xdc, 0xc1}, 5, KILN_ISA_V1, "AES"},
        {"vaesenc xmm0, xmm1, xmm2", {0xc4, 0xe2, 0x71, 0xdc, 0xc2}, 5, KILN_ISA_V3, "AES"},
        {"vaesenc ymm0, ymm1, ymm2", {0xc4, 0xe2, 0x75, 0xdc, 0xc2}, 5, KILN_ISA_V3, "VAES"},
        {"pclmulqdq xmm0, xmm1, 0", {0x66, 0x0f, 0x3a, 0x44, 0xc1, 0x00}, 6, KILN_ISA_V1, "PCLMULQDQ"},
        {"sha1nexte xmm0, xmm1", {0x0f, 0x38, 0xc8, 0xc1}, 4, KILN_ISA_V1, "SHA"},
        {"rdrand eax", {0x0f, 0xc7, 0xf0}, 3, KILN_ISA_V1, "RDRAND"},
        {"vpdpbusd zmm0, zmm1, zmm2", {0x62, 0xf2, 0x75, 0x48, 0x50, 0xc2}, 6, KILN_ISA_V4, "AVX512_VNNI"},
};

static void test_levels(void **state)
{
        struct isa_decoder d;

        isa_decoder_init(&d);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(samples); i++) {
                const struct sample *s = &samples[i];
                struct isa_insn insn = isa_decode(&d, s->bytes, sizeof(s->bytes));
                const char *feature = isa_class_feature(insn.class);

                if (insn.len != s->len || isa_class_level(insn.class) != s->level ||
                        strcmp(feature ? feature : "", s->feature ? s->feature : "") != 0) {
                        print_error("%s: length %u, %s, %s\n", s->what, insn.len,
                                kiln_isa_level_name(isa_class_level(insn.class)),
                                feature ? feature : "no feature");
                        fail();
                }
                /* Cut short by a byte it is no instruction, whatever stands behind. */
                assert_int_equal(isa_decode(&d, s->bytes, s->len - 1u).len == s->len, 0);
        }
        assert_int_equal(isa_decode(&d, samples[4].bytes, 16).class, ISA_PROBE);
        assert_int_equal(isa_decode(&d, samples[5].bytes, 16).class, ISA_PROBE);
        isa_decoder_clear(&d);
}

static void test_references(void **state)
{
        static const struct {
                uint8_t bytes[8];
                size_t len;
                uint64_t target;
                enum isa_reference kind;
        } cases[] = {
                {{0xe8, 0x10, 0, 0, 0}, 5, 0x1015, ISA_REFERENCE_BRANCH},
                {{0xe9, 0xf0, 0xff, 0xff, 0xff}, 5, 0xff5, ISA_REFERENCE_BRANCH},
                {{0x0f, 0x84, 0x10, 0, 0, 0}, 6, 0x1016, ISA_REFERENCE_BRANCH},
                {{0x48, 0x8d, 0x05, 0x10, 0, 0, 0}, 7, 0x1017, ISA_REFERENCE_ADDRESS},
                {{0x4c, 0x8b, 0x3d, 0x10, 0, 0, 0}, 7, 0x1017, ISA_REFERENCE_LOAD},
                {{0xff, 0x25, 0x10, 0, 0, 0}, 6, 0x1016, ISA_REFERENCE_LOAD_JUMP},
                {{0xb8, 0x10, 0x20, 0x40, 0}, 5, 0x402010, ISA_REFERENCE_ADDRESS},
                {{0x48, 0xc7, 0xc0, 0x10, 0x20, 0x40, 0}, 7, 0x402010, ISA_REFERENCE_ADDRESS},
        };
        uint64_t target;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                assert_int_equal(isa_reference(cases[i].bytes, cases[i].len, 0x1000, &target), cases[i].kind);
                assert_int_equal(target, cases[i].target);
        }
        assert_int_equal(isa_reference((const uint8_t *)"\x90", 1, 0, &target), ISA_REFERENCE_NONE);
        assert_int_equal(isa_reference((const uint8_t *)"\x66\x66\x66", 3, 0, &target), ISA_REFERENCE_NONE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_legacy),
                cmocka_unit_test(test_vex),
                cmocka_unit_test(test_random),
                cmocka_unit_test(test_levels),
                cmocka_unit_test(test_references),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
