/* How code above the baseline is reached: picked at run time, perhaps, or always.
 *
 * The rules are in isa.h; this file is the evidence for each. "Proven" needs a reference from an IFUNC
 * resolver (or the loader's own choice); everything weaker is SUSPECTED. Must never call a function
 * dispatched for its name alone. */
#include "worker/attest/isa/internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* ---- names ---------------------------------------------------------------------------------- */

/* Symbols through which a program asks what the CPU can do. */
static const char *const probe_symbols[] = {
        "OPENSSL_ia32cap_P",
        "OPENSSL_ia32cap_loc",
        "__cpu_features2",
        "__cpu_indicator_init",
        "__cpu_model",
        "__get_cpu_features",
        "__get_cpuid_feature_leaf",
        "__x86_get_cpu_features",
        "__x86_get_cpuid_feature_leaf",
        "_dl_x86_get_cpu_features",
        "av_get_cpu_flags",
        "g_cpu_features",
        "gnutls_cpuid",
};

/* Words in the names of functions and files that are meant for some CPU. Lower case. */
static const char *const cpu_words[] = {
        "x86_64_v2",
        "x86_64_v3",
        "x86_64_v4",
        "adx",
        "aesni",
        "amx",
        "avx",
        "avx2",
        "avx512",
        "bmi",
        "bmi1",
        "bmi2",
        "cannonlake",
        "clmul",
        "evex",
        "evex512",
        "f16c",
        "fma",
        "fma3",
        "fma4",
        "haswell",
        "icelake",
        "knl",
        "lzcnt",
        "movbe",
        "mulx",
        "pclmul",
        "popcnt",
        "shaext",
        "skx",
        "skylake",
        "sse3",
        "sse4",
        "ssse3",
        "vaes",
        "vnni",
        "vpclmul",
        "xop",
        "ymm",
        "zmm",
        "znver",
};

/* A CPU word that is not part of a longer word: letters may not touch it, digits and marks may. */
static bool name_tells_cpu(const char *name)
{
        /* x86-64 vector ABI: _ZGV and b for SSE, c AVX, d AVX2, e AVX512; the caller's compiler picks. */
        if (strncmp(name, "_ZGV", 4) == 0 && name[4] >= 'c' && name[4] <= 'e')
                return true;
        for (const char *p = name; *p; p++) {
                if (p > name && islower((unsigned char)p[-1]) && islower((unsigned char)*p))
                        continue;
                for (size_t i = 0; i < KILN_ARRAY_SIZE(cpu_words); i++) {
                        size_t n = strlen(cpu_words[i]);

                        if (tolower((unsigned char)*p) == cpu_words[i][0] &&
                                strncasecmp(p, cpu_words[i], n) == 0 && !islower((unsigned char)p[n]))
                                return true;
                }
        }
        return false;
}

static int name_compare(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The loader's directories: ".../glibc-hwcaps/x86-64-v3/..." (ld.so(8)). */
static enum kiln_isa_level hwcaps_level(const char *path)
{
        static const char marker[] = "glibc-hwcaps/x86-64-v";
        const char *p = strstr(path, marker);

        if (!p)
                return KILN_ISA_NONE;
        char digit = p[sizeof(marker) - 1];
        if (digit < '2' || digit > '4' || p[sizeof(marker)] != '/')
                return KILN_ISA_NONE;
        return (enum kiln_isa_level)(KILN_ISA_V2 + (digit - '2'));
}

static bool symbols_ask_cpu(const struct isa_elf *e)
{
        for (int table = 0; table < 2; table++) {
                for (size_t i = 1; i < e->n_symbols[table]; i++) {
                        GElf_Sym sym;
                        const char *name;

                        if (!gelf_getsym(e->symbols[table], (int)i, &sym) || !sym.st_name)
                                continue;
                        name = isa_string(&e->names[table], sym.st_name);
                        if (name && bsearch(&name, probe_symbols, KILN_ARRAY_SIZE(probe_symbols),
                                            sizeof(name), name_compare))
                                return true;
                }
        }
        return false;
}

/* ---- proof ---------------------------------------------------------------------------------- */

/* "foo.avx2", "foo.arch_x86_64_v4.cold" where foo (or foo.ifunc, foo.resolver) is an IFUNC or its resolver.
 */
static void clones_mark(struct isa_elf *e, unsigned *evidence)
{
        _cleanup_free_ const char **bases = NULL;
        size_t n = 0;

        for (int table = 0; table < 2; table++) {
                for (size_t i = 1; i < e->n_symbols[table]; i++) {
                        GElf_Sym sym;
                        const char *name;

                        if (gelf_getsym(e->symbols[table], (int)i, &sym) &&
                                GELF_ST_TYPE(sym.st_info) == STT_GNU_IFUNC &&
                                (name = isa_string(&e->names[table], sym.st_name)))
                                *KILN_APPEND(bases, n) = name;
                }
        }
        if (n == 0)
                return;
        qsort(bases, n, sizeof(*bases), name_compare);
        for (size_t i = 0; i < e->n_uses; i++) {
                struct isa_func *f = &e->funcs[e->uses[i].func];
                const char *name = isa_elf_func_name(e, f), *dot = name ? strchr(name + 1, '.') : NULL;

                if (!dot || !(strncmp(dot, ".arch_", 6) == 0 || name_tells_cpu(dot)))
                        continue;
                for (const char *const *end = (const char *const[]){"", ".ifunc", NULL}; *end; end++) {
                        _cleanup_free_ char *base = kiln_asprintf("%.*s%s", (int)(dot - name), name, *end);

                        if (bsearch(&base, bases, n, sizeof(*bases), name_compare)) {
                                f->flags |= ISA_FUNC_DISPATCHED;
                                *evidence |= KILN_ISA_EVIDENCE_CLONES;
                        }
                }
        }
}

static int proof(struct isa_elf *e, struct isa_decoder *d, unsigned *evidence)
{
        bool ifunc = false;

        for (size_t i = 0; i < e->n_funcs && !ifunc; i++)
                ifunc = e->funcs[i].flags & ISA_FUNC_IFUNC;
        if (!ifunc || e->n_uses == 0) {
                *evidence |= ifunc ? KILN_ISA_EVIDENCE_IFUNC : 0;
                return 0;
        }
        *evidence |= KILN_ISA_EVIDENCE_IFUNC;
        clones_mark(e, evidence);

        return isa_graph_mark(e, d);
}

/* ---- judgement ------------------------------------------------------------------------------ */

/* Code compiled for a level shows it in this share of its larger functions, or more; libraries that choose at
 * run time stay below. Measured with GCC 12 -O2: 47% for v3 and 15% for v4 of Kiln's own, scalar, functions.
 * The densest of all libraries of a Debian system that choose: 37% for v2 (SVT-AV1), 27% for v3 and 14% for
 * v4 (xxHash). A scalar file compiled for v4 is thus only suspected: better than to fail xxHash. */
static const struct {
        unsigned over, of;
} wholesale_share[KILN_ISA_LEVELS] = {
        [KILN_ISA_V2] = {2, 5},
        [KILN_ISA_V3] = {2, 5},
        [KILN_ISA_V4] = {1, 5},
};

bool isa_wholesale(int level, uint64_t large, uint64_t using)
{
        return large > 0 && using * wholesale_share[level].of >= large * wholesale_share[level].over;
}

/* Counts the larger functions, and those that use each level or a higher one. */
static void large_functions_count(const struct isa_elf *e, struct kiln_isa_file *out)
{
        for (size_t i = 0; i < e->n_funcs; i++) {
                const struct isa_func *f = &e->funcs[i];

                if (f->instructions < ISA_LARGE_FUNCTION)
                        continue;
                out->large_functions++;
                for (int level = KILN_ISA_V4, highest = 0; f->use && level >= KILN_ISA_V2; level--) {
                        highest |= e->uses[f->use - 1].counts[level] != 0;
                        out->large_using[level] += (uint64_t)highest;
                }
        }
}

static void sample_take(
        const struct isa_elf *e, const struct isa_decoder *d, uint64_t linear, struct kiln_isa_sample *sample)
{
        const struct isa_func *f = isa_elf_func_covering(e, linear);
        const struct isa_section *s = isa_elf_section(e, linear);
        const char *name = f ? isa_elf_func_name(e, f) : NULL, *mnemonic = NULL;
        uint8_t bytes[ISA_INSN_MAX];
        size_t n;

        if (sample->mnemonic[0] || !s)
                return;
        n = isa_scan_bytes(e, linear, bytes);
        isa_decode_full(d, bytes, n, &mnemonic);
        snprintf(sample->mnemonic, sizeof(sample->mnemonic), "%s", mnemonic ? mnemonic : "?");
        sample->symbol = name ? kiln_strndup(name, 512) : NULL;
        sample->address = isa_elf_address(e, linear);
        sample->offset = linear - (f ? f->start : s->linear);
}

int isa_dispatch(struct isa_elf *e, struct isa_decoder *d, struct kiln_isa_file *out)
{
        enum kiln_isa_level hwcaps = hwcaps_level(out->name);
        const char *base = strrchr(out->name, '/');
        bool file_named = name_tells_cpu(base ? base + 1 : out->name);
        int r = proof(e, d, &out->evidence);

        if (r < 0)
                return r;
        if (hwcaps)
                out->evidence |= KILN_ISA_EVIDENCE_HWCAPS;
        if (e->probes)
                out->evidence |= KILN_ISA_EVIDENCE_CPUID;
        if (symbols_ask_cpu(e))
                out->evidence |= KILN_ISA_EVIDENCE_SYMBOL;
        large_functions_count(e, out);

        for (size_t i = 0; i < e->n_uses; i++) {
                const struct isa_use *use = &e->uses[i];
                struct isa_func *f = &e->funcs[use->func];
                const char *name = isa_elf_func_name(e, f);
                bool named = file_named || (name && name_tells_cpu(name));
                bool unused =
                        (f->flags & (ISA_FUNC_UNREFERENCED | ISA_FUNC_EXPORTED)) == ISA_FUNC_UNREFERENCED;

                for (int level = KILN_ISA_V2; level < KILN_ISA_LEVELS; level++) {
                        enum kiln_isa_dispatch how = KILN_ISA_UNDISPATCHED;

                        if (!use->counts[level])
                                continue;
                        if ((hwcaps && level <= (int)hwcaps) || (f->flags & ISA_FUNC_DISPATCHED))
                                how = KILN_ISA_DISPATCHED;
                        else if (named || unused)
                                how = KILN_ISA_SUSPECTED;
                        else if ((out->evidence & (KILN_ISA_EVIDENCE_CPUID | KILN_ISA_EVIDENCE_SYMBOL)) &&
                                 !isa_wholesale(level, out->large_functions, out->large_using[level]))
                                how = KILN_ISA_SUSPECTED;
                        if (named && how == KILN_ISA_SUSPECTED)
                                out->evidence |= KILN_ISA_EVIDENCE_NAME;
                        out->counts[level][how] += use->counts[level];
                        sample_take(e, d, use->first[level], &out->samples[level][how]);
                }
        }
        for (int level = KILN_ISA_V2; level < KILN_ISA_LEVELS; level++) {
                if (!e->uncertain[level])
                        continue;
                out->counts[level][KILN_ISA_UNCERTAIN] = e->uncertain[level];
                sample_take(e, d, e->uncertain_first[level], &out->samples[level][KILN_ISA_UNCERTAIN]);
        }
        return 0;
}
