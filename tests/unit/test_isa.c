/* The ISA check on what gcc makes here and now, on archives, RPMs and trees, and on broken files. */
#include "worker/attest/isa/isa.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/base/process.h"

#include <archive.h>
#include <archive_entry.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

static char *dir; /* everything is made here */
static int dir_fd = -1;

static char *path_of(const char *name)
{
        return kiln_path_join(dir, name);
}

/* Runs a program in the directory; fails the test when it fails. Standard output behind *out. */
static void run(struct kiln_buf *out, const char *const *argv)
{
        struct kiln_context c = {.cancel_fd = -1};
        struct kiln_process p = {.argv = argv, .cwd_fd = dir_fd, .stdin_fd = -1, .output_max = 256 << 20};
        _cleanup_buf_ struct kiln_buf errors = KILN_BUF_INIT;
        int r = kiln_process_run(&c, &p, out, &errors);

        if (r == 0)
                return;
        print_error("%s: %d: %s\n", argv[0], r, kiln_buf_str(&errors));
        fail();
}
#define RUN(...) run(NULL, (const char *const[]){__VA_ARGS__, NULL})

static void source(const char *name, const char *text)
{
        assert_int_equal(kiln_file_write(dir_fd, name, text, strlen(text), 0644), 0);
}

static void check_as(const char *file, const char *name, struct kiln_isa_report *report)
{
        _cleanup_close_ int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC);
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        assert_true(fd >= 0);
        assert_int_equal(kiln_isa_check_fd(fd, name, NULL, report, &err), 0);
}

static struct kiln_isa_file *check(const char *file, struct kiln_isa_report *report)
{
        check_as(file, file, report);
        assert_true(report->n_files > 0);
        return &report->files[report->n_files - 1];
}

static const char loops[] = "#include <stddef.h>\n"
                            "void add(float *restrict a, const float *restrict b, size_t n)\n"
                            "{ for (size_t i = 0; i < n; i++) a[i] = a[i] * b[i] + 1.0f; }\n"
                            "int bits(unsigned long x) { return __builtin_popcountl(x); }\n"
                            "int zeros(unsigned long x) { return __builtin_ctzl(x); }\n"
                            "void wide(double *restrict a, const long *restrict b, size_t n)\n"
                            "{ for (size_t i = 0; i < n; i++) a[i] = (double)b[i]; }\n";

/* ---- levels --------------------------------------------------------------------------------- */

static void test_parse(void **state)
{
        enum kiln_isa_level level = KILN_ISA_NONE;

        for (int i = KILN_ISA_V1; i < KILN_ISA_LEVELS; i++) {
                assert_int_equal(
                        kiln_isa_level_parse(kiln_isa_level_name((enum kiln_isa_level)i), &level), 0);
                assert_int_equal(level, i);
        }
        assert_int_equal(kiln_isa_level_parse("x86-64", &level), 0);
        assert_int_equal(level, KILN_ISA_V1);
        assert_int_equal(kiln_isa_level_parse("x86-64-v3", &level), 0);
        assert_int_equal(level, KILN_ISA_V3);
        assert_int_equal(kiln_isa_level_parse("v5", &level), -EINVAL);
        assert_int_equal(kiln_isa_level_parse("none", &level), -EINVAL);
        assert_int_equal(kiln_isa_level_parse("", &level), -EINVAL);
        assert_int_equal(level, KILN_ISA_V3);
}

static void test_host(void **state)
{
        enum kiln_isa_level level = kiln_isa_host_level();

        assert_int_equal(level >= KILN_ISA_V2, __builtin_cpu_supports("x86-64-v2") != 0);
        assert_int_equal(level >= KILN_ISA_V3, __builtin_cpu_supports("x86-64-v3") != 0);
        assert_int_equal(level >= KILN_ISA_V4, __builtin_cpu_supports("x86-64-v4") != 0);
}

static void test_march(void **state)
{
        static const char *const march[] = {
                NULL, "-march=x86-64", "-march=x86-64-v2", "-march=x86-64-v3", "-march=x86-64-v4"};

        source("loops.c", loops);
        for (int level = KILN_ISA_V1; level < KILN_ISA_LEVELS; level++) {
                _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;

                RUN("gcc", "-O3", march[level], "-mprefer-vector-width=512", "-c", "loops.c", "-o",
                        "loops.o");
                const struct kiln_isa_file *f = check("loops.o", &report);
                assert_int_equal(f->status, KILN_ISA_CHECKED);
                assert_int_equal(f->used, level);
                assert_int_equal(f->required, level);
                assert_int_equal(f->undecodable, 0);
                assert_int_equal(f->functions, 4);

                for (int wanted = KILN_ISA_V1; wanted < KILN_ISA_LEVELS; wanted++) {
                        unsigned bits = kiln_isa_judge(f, (enum kiln_isa_level)wanted);

                        assert_int_equal(!!(bits & KILN_ISA_ABOVE), level > wanted);
                        if (wanted > level)
                                assert_int_equal(bits, KILN_ISA_UNUSED);
                }
                /* Shared: the same through .eh_frame and .dynsym, and stripped. */
                RUN("gcc", "-O3", march[level], "-mprefer-vector-width=512", "-shared", "-fPIC", "-s",
                        "loops.c", "-o", "loops.so");
                f = check("loops.so", &report);
                assert_int_equal(f->required, level);
                assert_int_equal(f->used, level);
        }
}

/* What objdump prints is what we count. */
static void test_objdump(void **state)
{
        _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        _cleanup_free_ char *sample = NULL, *save = NULL;
        uint64_t lines = 0, vex = 0, xmm_only = 0;

        source("loops.c", loops);
        RUN("gcc", "-O3", "-march=x86-64-v3", "-c", "loops.c", "-o", "loops.o");
        const struct kiln_isa_file *f = check("loops.o", &report);
        const struct kiln_isa_sample *s = &f->samples[KILN_ISA_V3][KILN_ISA_UNDISPATCHED];
        run(&text, (const char *const[]){"objdump", "-d", "--no-show-raw-insn", "loops.o", NULL});

        sample = kiln_asprintf("%llx:\t%s ", (unsigned long long)s->address, s->mnemonic);
        assert_non_null(strstr(kiln_buf_str(&text), sample));
        for (char *rest, *line = strtok_r(text.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
                char *tab = strchr(line, '\t');

                if (!tab)
                        continue;
                lines++;
                vex += tab[1] == 'v' && strncmp(tab + 1, "verr", 4) != 0;
                xmm_only += strncmp(tab + 1, "andn", 4) == 0 || strncmp(tab + 1, "shlx", 4) == 0;
        }
        assert_int_equal(f->instructions, lines);
        assert_int_equal(f->counts[KILN_ISA_V3][KILN_ISA_UNDISPATCHED], vex + xmm_only);
        assert_true(vex > 0);
}

/* ---- dispatch ------------------------------------------------------------------------------- */

static const char ifunc[] =
        "#include <stddef.h>\n"
        "__attribute__((target_clones(\"default\", \"avx2\", \"arch=x86-64-v4\"), noinline))\n"
        "void add(float *a, const float *b, size_t n) { for (size_t i = 0; i < n; i++) a[i] += b[i]; }\n"
        "__attribute__((target(\"avx2\"), noinline)) static void helper(float *a, const float *b)\n"
        "{ for (int i = 0; i < 64; i++) a[i] *= b[i]; __asm__ volatile(\"\"); }\n"
        "static void plain(float *a, const float *b) { a[0] = b[0]; }\n"
        "__attribute__((target(\"avx2\"))) static void fast(float *a, const float *b)\n"
        "{ helper(a, b); helper(b ? a : a + 1, b); }\n"
        "static void *choose(void)\n"
        "{ __builtin_cpu_init(); return __builtin_cpu_supports(\"avx2\") ? (void *)fast : (void *)plain; }\n"
        "void mul(float *, const float *) __attribute__((ifunc(\"choose\")));\n"
        "#ifndef NO_MAIN\n"
        "int main(int c, char **v) { float a[64] = {0}; add(a, a, 64); mul(a, a); return (int)a[c]; }\n"
        "#endif\n";

static void assert_dispatched(const struct kiln_isa_file *f)
{
        for (int level = KILN_ISA_V3; level < KILN_ISA_LEVELS; level++) {
                assert_true(f->counts[level][KILN_ISA_DISPATCHED] > 0);
                assert_int_equal(f->counts[level][KILN_ISA_UNDISPATCHED], 0);
                assert_int_equal(f->counts[level][KILN_ISA_SUSPECTED], 0);
        }
        assert_int_equal(f->used, KILN_ISA_V4);
        assert_int_equal(f->required, KILN_ISA_V1);
        assert_true(f->evidence & KILN_ISA_EVIDENCE_IFUNC);
        assert_int_equal(kiln_isa_judge(f, KILN_ISA_V1), 0);
        assert_null(kiln_isa_explain(f, KILN_ISA_V1));
}

static void test_ifunc(void **state)
{
        _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;

        source("ifunc.c", ifunc);
        RUN("gcc", "-O3", "ifunc.c", "-o", "ifunc");
        assert_dispatched(check("ifunc", &report));
        assert_true(report.files[0].evidence & KILN_ISA_EVIDENCE_CLONES);
        RUN("strip", "ifunc", "-o", "ifunc.stripped");
        assert_dispatched(check("ifunc.stripped", &report));
        RUN("gcc", "-O3", "-DNO_MAIN", "-fPIC", "-shared", "-s", "ifunc.c", "-o", "ifunc.so");
        assert_dispatched(check("ifunc.so", &report));
        RUN("gcc", "-O3", "-fPIC", "-c", "ifunc.c", "-o", "ifunc.o");
        assert_dispatched(check("ifunc.o", &report));
        RUN("gcc", "-O3", "-ffunction-sections", "-c", "ifunc.c", "-o", "ifunc.fs.o");
        assert_dispatched(check("ifunc.fs.o", &report));
}

/* The helper is also called from ordinary code: no longer only behind the resolver. */
static void test_ifunc_leak(void **state)
{
        _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;
        _cleanup_free_ char *leaky = kiln_asprintf("%s\nvoid direct(float *a) { helper(a, a); }\n", ifunc);

        source("leak.c", leaky);
        RUN("gcc", "-O3", "-DNO_MAIN", "-fPIC", "-shared", "-s", "leak.c", "-o", "leak.so");
        const struct kiln_isa_file *f = check("leak.so", &report);
        assert_true(f->counts[KILN_ISA_V3][KILN_ISA_DISPATCHED] > 0);
        assert_true(
                f->counts[KILN_ISA_V3][KILN_ISA_UNDISPATCHED] + f->counts[KILN_ISA_V3][KILN_ISA_SUSPECTED] >
                0);
        assert_true(kiln_isa_judge(f, KILN_ISA_V1) != 0);
}

static void test_undispatched(void **state)
{
        _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;

        source("always.c", "__attribute__((target(\"avx2\"), noinline)) int sum(const int *a)\n"
                           "{ int s = 0; for (int i = 0; i < 64; i++) s += a[i] * i; return s; }\n"
                           "int main(void) { int a[64] = {1}; return sum(a); }\n");
        RUN("gcc", "-O3", "always.c", "-o", "always");
        const struct kiln_isa_file *f = check("always", &report);
        _cleanup_free_ char *why = kiln_isa_explain(f, KILN_ISA_V2);

        assert_int_equal(f->required, KILN_ISA_V3);
        assert_int_equal(f->counts[KILN_ISA_V3][KILN_ISA_DISPATCHED], 0);
        assert_string_equal(f->samples[KILN_ISA_V3][KILN_ISA_UNDISPATCHED].symbol, "sum");
        assert_true(kiln_isa_judge(f, KILN_ISA_V2) & KILN_ISA_ABOVE);
        assert_int_equal(kiln_isa_judge(f, KILN_ISA_V3), 0);
        assert_non_null(strstr(why, "always: sum+0x"));
        assert_non_null(strstr(why, "needs v3"));
}

/* CPUID in the file, a minority of AVX2 code: suspected. Much of it: that is how the file was compiled. */
static void test_cpuid(void **state)
{
        static const char text[] =
                "#include <cpuid.h>\n"
                "int have(void)\n"
                "{ unsigned a, b = 0, c, d; __get_cpuid_count(7, 0, &a, &b, &c, &d); return b & 32; }\n"
                "#define OLD(n) float o##n(float *a, float x) { float s = x; for (int i = 0; i < 640; i++) "
                "\\\n"
                "{ a[i] = a[i] * x + s / (x + n); s += a[i] * n; } for (int i = 0; i < 640; i++) { a[i] += "
                "s; } \\\n"
                "for (int i = 0; i < 40; i++) { a[i] = a[i + 5] / s; s -= x * a[i + 9] - s * s; } return s; "
                "}\n"
                "OLD(1) OLD(2) OLD(3) OLD(4) OLD(5)\n"
                "__attribute__((target(\"avx2\"), noinline)) int quick(int *a)\n"
                "{ int s = 0; for (int i = 0; i < 640; i++) s += a[i] * i; return s; }\n"
                "float both(int *a, float *b) { return have() ? quick(a) : o1(b, 2); }\n";
        _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;

        source("cpuid.c", text);
        RUN("gcc", "-O3", "-funroll-loops", "-c", "cpuid.c", "-o", "cpuid.o");
        const struct kiln_isa_file *f = check("cpuid.o", &report);
        assert_true(f->evidence & KILN_ISA_EVIDENCE_CPUID);
        assert_true(f->large_functions >= 5);
        assert_true(f->counts[KILN_ISA_V3][KILN_ISA_SUSPECTED] > 0);
        assert_int_equal(f->required, KILN_ISA_V1);
        assert_int_equal(kiln_isa_judge(f, KILN_ISA_V2), KILN_ISA_MAYBE | KILN_ISA_UNUSED);

        RUN("gcc", "-O3", "-funroll-loops", "-march=x86-64-v3", "-c", "cpuid.c", "-o", "cpuid.o");
        f = check("cpuid.o", &report);
        assert_true(f->evidence & KILN_ISA_EVIDENCE_CPUID);
        assert_int_equal(f->required, KILN_ISA_V3);
        assert_true(kiln_isa_judge(f, KILN_ISA_V2) & KILN_ISA_ABOVE);
}

static void test_names(void **state)
{
        _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;

        source("loops.c", loops);
        RUN("gcc", "-O3", "-march=x86-64-v3", "-shared", "-fPIC", "loops.c", "-o", "libx.so");
        check_as("libx.so", "usr/lib64/glibc-hwcaps/x86-64-v3/libx.so", &report);
        check_as("libx.so", "usr/lib64/glibc-hwcaps/x86-64-v2/libx.so", &report);
        check_as("libx.so", "usr/lib64/libx-avx2.so", &report);
        check_as("libx.so", "usr/lib64/libxavx2x.so", &report);
        assert_int_equal(report.files[0].required, KILN_ISA_V1);
        assert_true(report.files[0].evidence & KILN_ISA_EVIDENCE_HWCAPS);
        assert_int_equal(kiln_isa_judge(&report.files[0], KILN_ISA_V1), 0);
        assert_int_equal(report.files[1].required, KILN_ISA_V3);
        assert_true(kiln_isa_judge(&report.files[2], KILN_ISA_V1) & KILN_ISA_MAYBE);
        assert_false(kiln_isa_judge(&report.files[2], KILN_ISA_V1) & KILN_ISA_ABOVE);
        assert_true(kiln_isa_judge(&report.files[3], KILN_ISA_V1) & KILN_ISA_ABOVE);
}

/* ---- what is no code ------------------------------------------------------------------------ */

static void test_data_in_text(void **state)
{
        _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;

        source("data.s", ".text\n.globl f\n.type f, @function\nf: xor %eax, %eax\nret\n.size f, .-f\n"
                         "table: .byte 0xc5, 0xf8, 0x77, 0x62, 0xf1, 0x74, 0x48, 0x58, 0xc2, 0x06, 0x07\n"
                         ".globl g\n.type g, @function\ng: bsf %ecx, %eax\n.byte 0xf3, 0x0f, 0xbc, "
                         "0xc1\nret\n.size g, .-g\n");
        RUN("gcc", "-c", "data.s", "-o", "data.o");
        const struct kiln_isa_file *f = check("data.o", &report);
        assert_int_equal(f->used, KILN_ISA_V1);
        assert_int_equal(f->required, KILN_ISA_V1);
        assert_int_equal(f->counts[KILN_ISA_V3][KILN_ISA_UNCERTAIN], 1);
        assert_int_equal(f->counts[KILN_ISA_V4][KILN_ISA_UNCERTAIN], 1);
        assert_string_equal(f->samples[KILN_ISA_V3][KILN_ISA_UNCERTAIN].mnemonic, "vzeroupper");
        assert_int_equal(f->undecodable, 2);
        assert_int_equal(kiln_isa_judge(f, KILN_ISA_V1), KILN_ISA_OUTSIDE);

        /* Inside a function nothing behind bytes that are no instruction is believed. */
        source("inside.s",
                ".text\n.globl f\n.type f, @function\nf: ret\n.byte 0x06\nvzeroupper\n.size f, .-f\n"
                ".globl g\n.type g, @function\ng: lzcnt %eax, %eax\nret\n.size g, .-g\n");
        RUN("gcc", "-c", "inside.s", "-o", "inside.o");
        f = check("inside.o", &report);
        assert_int_equal(f->counts[KILN_ISA_V3][KILN_ISA_UNCERTAIN], 1);
        assert_int_equal(f->counts[KILN_ISA_V3][KILN_ISA_UNDISPATCHED], 1);
        assert_string_equal(f->samples[KILN_ISA_V3][KILN_ISA_UNDISPATCHED].symbol, "g");
        assert_string_equal(f->samples[KILN_ISA_V3][KILN_ISA_UNDISPATCHED].mnemonic, "lzcnt");
}

static void test_notes(void **state)
{
        _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;

        source("note.c", "int f(int x) { return x; }\n");
        RUN("gcc", "-shared", "-fPIC", "-Wl,-z,x86-64-v3", "note.c", "-o", "note.so");
        const struct kiln_isa_file *f = check("note.so", &report);
        assert_int_equal(f->declared_needed, KILN_ISA_V3);
        assert_int_equal(f->used, KILN_ISA_V1);
        assert_int_equal(f->required, KILN_ISA_V3);
        _cleanup_free_ char *why = kiln_isa_explain(f, KILN_ISA_V2);
        assert_true(kiln_isa_judge(f, KILN_ISA_V2) & KILN_ISA_ABOVE);
        assert_non_null(strstr(why, "property note"));
        assert_int_equal(kiln_isa_judge(f, KILN_ISA_V3), KILN_ISA_UNUSED);

        source("note.s", ".text\nf: vzeroupper\nret\n");
        RUN("gcc", "-c", "-Wa,-mx86-used-note=yes", "note.s", "-o", "note.o");
        f = check("note.o", &report);
        assert_int_equal(f->declared_used, KILN_ISA_V3);
}

static void test_features(void **state)
{
        _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;

        source("features.s", ".text\n.type f, @function\nf: aesenc %xmm1, %xmm0\nsha1nexte %xmm1, "
                             "%xmm0\naesenc %xmm1, %xmm0\n"
                             "rdrand %eax\nret\n.size f, .-f\n");
        RUN("gcc", "-c", "features.s", "-o", "features.o");
        const struct kiln_isa_file *f = check("features.o", &report);
        assert_int_equal(f->required, KILN_ISA_V1);
        assert_int_equal(f->n_features, 3);
        assert_string_equal(f->features[0].name, "AES");
        assert_int_equal(f->features[0].count, 2);
        assert_string_equal(f->features[1].name, "RDRAND");
        assert_string_equal(f->features[2].name, "SHA");
}

/* ---- many files ----------------------------------------------------------------------------- */

static void test_archive(void **state)
{
        _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;

        source("loops.c", loops);
        source("text", "no object\n");
        RUN("gcc", "-O3", "-c", "loops.c", "-o", "short.o");
        RUN("gcc", "-O3", "-march=x86-64-v3", "-c", "loops.c", "-o", "a-name-longer-than-sixteen-bytes.o");
        RUN("rm", "-f", "lib.a");
        RUN("ar", "rcs", "lib.a", "short.o", "text", "a-name-longer-than-sixteen-bytes.o");
        check("lib.a", &report);
        assert_int_equal(report.n_files, 2);
        assert_int_equal(report.skipped, 1);
        assert_string_equal(report.files[0].name, "lib.a(short.o)");
        assert_string_equal(report.files[1].name, "lib.a(a-name-longer-than-sixteen-bytes.o)");
        assert_int_equal(report.files[0].required, KILN_ISA_V1);
        assert_int_equal(report.files[1].required, KILN_ISA_V3);
        assert_int_equal(kiln_isa_judge_all(&report, KILN_ISA_V2), KILN_ISA_ABOVE | KILN_ISA_UNUSED);

        /* Cut anywhere: what is whole is reported, the rest is damage. */
        _cleanup_buf_ struct kiln_buf whole = KILN_BUF_INIT;
        assert_int_equal(kiln_file_read(dir_fd, "lib.a", 1 << 24, &whole), 0);
        for (size_t len = 9; len < whole.len; len += 97) {
                _cleanup_isa_report_ struct kiln_isa_report cut = KILN_ISA_REPORT_INIT;

                assert_int_equal(kiln_file_write(dir_fd, "cut.a", whole.data, len, 0644), 0);
                check_as("cut.a", "cut.a", &cut);
                assert_true(cut.n_files >= 1);
                assert_true(kiln_isa_judge_all(&cut, KILN_ISA_NONE) & KILN_ISA_UNREADABLE);
        }
}

/* Lead, empty signature header, empty header (rpm's own format documentation), and a payload. */
static void make_rpm(const char *name, const char *filter)
{
        static const unsigned char header[16] = {0x8e, 0xad, 0xe8, 0x01};
        unsigned char lead[96] = {0xed, 0xab, 0xee, 0xdb, 3, 0};
        static const char *const members[][2] = {{"./usr/bin/tool", "loops.v3.so"},
                {"./usr/lib/debug/tool", "loops.v3.so"}, {"./usr/share/doc/README", "loops.c"},
                {"./usr/lib64/libold.so", "loops.v1.so"}};
        struct archive *a = archive_write_new();
        _cleanup_free_ char *path = path_of(name);
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_int_equal(kiln_fd_write(fd, lead, sizeof(lead)), 0);
        assert_int_equal(kiln_fd_write(fd, header, sizeof(header)), 0);
        assert_int_equal(kiln_fd_write(fd, header, sizeof(header)), 0);
        if (strcmp(filter, "none") != 0)
                assert_int_equal(archive_write_add_filter_by_name(a, filter), ARCHIVE_OK);
        assert_int_equal(archive_write_set_format_cpio_newc(a), ARCHIVE_OK);
        assert_int_equal(archive_write_open_fd(a, fd), ARCHIVE_OK);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(members); i++) {
                _cleanup_buf_ struct kiln_buf data = KILN_BUF_INIT;
                struct archive_entry *e = archive_entry_new();

                assert_int_equal(kiln_file_read(dir_fd, members[i][1], 1 << 24, &data), 0);
                archive_entry_set_pathname(e, members[i][0]);
                archive_entry_set_filetype(e, AE_IFREG);
                archive_entry_set_perm(e, 0755);
                archive_entry_set_size(e, (la_int64_t)data.len);
                assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
                assert_int_equal(archive_write_data(a, data.data, data.len), (la_ssize_t)data.len);
                archive_entry_free(e);
        }
        assert_int_equal(archive_write_close(a), ARCHIVE_OK);
        archive_write_free(a);
}

static void make_libraries(void)
{
        source("loops.c", loops);
        RUN("gcc", "-O3", "-shared", "-fPIC", "loops.c", "-o", "loops.v1.so");
        RUN("gcc", "-O3", "-march=x86-64-v3", "-shared", "-fPIC", "loops.c", "-o", "loops.v3.so");
}

static void test_rpm(void **state)
{
        static const char *const filters[] = {"gzip", "bzip2", "xz", "lzma", "zstd", "none"};

        make_libraries();
        for (size_t i = 0; i < KILN_ARRAY_SIZE(filters); i++) {
                _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

                make_rpm("x.rpm", filters[i]);
                _cleanup_close_ int fd = openat(dir_fd, "x.rpm", O_RDONLY | O_CLOEXEC);
                assert_int_equal(kiln_isa_check_rpm(fd, "x.rpm", NULL, &report, &err), 0);
                assert_int_equal(report.n_files, 2);
                assert_int_equal(report.skipped, 1);
                assert_string_equal(report.files[0].name, "x.rpm:/usr/bin/tool");
                assert_string_equal(report.files[1].name, "x.rpm:/usr/lib64/libold.so");
                assert_int_equal(report.files[0].required, KILN_ISA_V3);
                assert_int_equal(report.files[1].required, KILN_ISA_V1);
        }
}

static void test_rpm_limits(void **state)
{
        static const struct {
                struct kiln_isa_limits limits;
                int r;
                enum kiln_verdict verdict;
        } cases[] = {
                {{1000, 1 << 30, 100}, 0, KILN_OK}, /* the files are too large, one by one */
                {{1 << 30, 1000, 100}, -EFBIG, KILN_LIMIT},
                {{1 << 30, 1 << 30, 2}, -E2BIG, KILN_LIMIT},
        };

        make_libraries();
        make_rpm("x.rpm", "gzip");
        _cleanup_close_ int fd = openat(dir_fd, "x.rpm", O_RDWR | O_CLOEXEC);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(cases); i++) {
                _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

                assert_int_equal(
                        kiln_isa_check_rpm(fd, "x.rpm", &cases[i].limits, &report, &err), cases[i].r);
                assert_int_equal(err.verdict, cases[i].verdict);
                if (cases[i].r)
                        continue;
                assert_int_equal(report.n_files, 2);
                assert_int_equal(report.files[0].status, KILN_ISA_TOO_LARGE);
                assert_true(kiln_isa_judge_all(&report, KILN_ISA_V3) & KILN_ISA_UNREADABLE);
        }

        _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        assert_int_equal(ftruncate(fd, 2000), 0);
        assert_int_equal(kiln_isa_check_rpm(fd, "x.rpm", NULL, &report, &err), -EBADMSG);
        assert_int_equal(err.verdict, KILN_BAD_INPUT);
}

static void test_tree(void **state)
{
        _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        make_libraries();
        RUN("rm", "-rf", "tree");
        RUN("mkdir", "-p", "tree/usr/bin", "tree/usr/lib64");
        RUN("cp", "loops.v3.so", "tree/usr/lib64/b.so");
        RUN("cp", "loops.v1.so", "tree/usr/lib64/a.so");
        RUN("cp", "loops.c", "tree/usr/lib64/c");
        RUN("ln", "-s", "../../../loops.v3.so", "tree/usr/bin/link");
        RUN("ln", "-s", "..", "tree/usr/bin/up");
        RUN("mkfifo", "tree/usr/bin/fifo");
        _cleanup_close_ int fd = openat(dir_fd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(kiln_isa_check_tree(fd, "/", NULL, &report, &err), 0);
        assert_int_equal(report.n_files, 2);
        assert_int_equal(report.skipped, 1);
        assert_string_equal(report.files[0].name, "/usr/lib64/a.so");
        assert_string_equal(report.files[1].name, "/usr/lib64/b.so");
        assert_int_equal(report.files[1].required, KILN_ISA_V3);

        struct kiln_isa_limits few = {1 << 30, 1 << 30, 3};
        assert_int_equal(kiln_isa_check_tree(fd, "/", &few, &report, &err), -E2BIG);
        assert_int_equal(err.verdict, KILN_LIMIT);
}

/* ---- broken files --------------------------------------------------------------------------- */

static int memory_file(const void *data, size_t len)
{
        int fd = memfd_create("test", MFD_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(kiln_fd_write(fd, data, len), 0);
        return fd;
}

static enum kiln_isa_status check_bytes(const void *data, size_t len)
{
        _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_close_ int fd = memory_file(data, len);

        assert_int_equal(kiln_isa_check_fd(fd, "bytes", NULL, &report, &err), 0);
        return report.n_files ? report.files[0].status : KILN_ISA_NOT_ELF;
}

static void test_broken(void **state)
{
        _cleanup_buf_ struct kiln_buf whole = KILN_BUF_INIT, bent = KILN_BUF_INIT;
        Elf64_Ehdr *eh;
        Elf64_Shdr *sh;

        make_libraries();
        assert_int_equal(kiln_file_read(dir_fd, "loops.v3.so", 1 << 24, &whole), 0);
        kiln_buf_append(&bent, whole.data, whole.len);
        eh = (Elf64_Ehdr *)(void *)bent.data;
        sh = (Elf64_Shdr *)(void *)(bent.data + eh->e_shoff);
        assert_int_equal(check_bytes(bent.data, bent.len), KILN_ISA_CHECKED);

        eh->e_machine = EM_AARCH64;
        assert_int_equal(check_bytes(bent.data, bent.len), KILN_ISA_OTHER);
        eh->e_machine = EM_X86_64;

        eh->e_shoff += 0x10000000;
        assert_int_equal(check_bytes(bent.data, bent.len), KILN_ISA_DAMAGED);
        eh->e_shoff -= 0x10000000;

        uint16_t shnum = eh->e_shnum;
        eh->e_shnum = 0; /* the count is in the size of section 0 */
        sh[0].sh_size = UINT64_C(1) << 40;
        assert_int_equal(check_bytes(bent.data, bent.len), KILN_ISA_TOO_LARGE);
        sh[0].sh_size = 100000;
        assert_int_equal(check_bytes(bent.data, bent.len), KILN_ISA_DAMAGED);
        sh[0].sh_size = shnum;
        assert_int_equal(check_bytes(bent.data, bent.len), KILN_ISA_CHECKED);
        eh->e_shnum = shnum;

        for (int i = 1; i < shnum; i++) {
                if (!(sh[i].sh_flags & SHF_EXECINSTR))
                        continue;
                uint64_t size = sh[i].sh_size;
                sh[i].sh_size = whole.len;
                assert_int_equal(check_bytes(bent.data, bent.len), KILN_ISA_DAMAGED);
                sh[i].sh_size = UINT64_MAX;
                assert_int_equal(check_bytes(bent.data, bent.len), KILN_ISA_DAMAGED);
                sh[i].sh_size = size;
        }

        /* Names without an end are no names; the code is looked at all the same. */
        for (int i = 1; i < shnum; i++)
                if (sh[i].sh_type == SHT_STRTAB)
                        bent.data[sh[i].sh_offset + sh[i].sh_size - 1] = 'x';
        assert_int_equal(check_bytes(bent.data, bent.len), KILN_ISA_CHECKED);

        /* No section headers: what the kernel would map executable is looked at, though no function is known.
         */
        eh->e_shoff = eh->e_shnum = eh->e_shstrndx = 0;
        assert_int_equal(check_bytes(bent.data, bent.len), KILN_ISA_CHECKED);
}

/* Nothing crashes, and nothing is an error of ours, whatever byte is wrong. */
static void test_mutations(void **state)
{
        _cleanup_buf_ struct kiln_buf whole = KILN_BUF_INIT;
        uint64_t seed = 88172645463325252;

        make_libraries();
        assert_int_equal(kiln_file_read(dir_fd, "loops.v3.so", 1 << 24, &whole), 0);
        size_t table = ((Elf64_Ehdr *)(void *)whole.data)->e_shoff;
        for (size_t len = 0; len < whole.len; len += 331)
                check_bytes(whole.data, len);
        for (int i = 0; i < 3000; i++) {
                size_t places[4];
                char saved[4];

                for (int k = 0; k < 4; k++) {
                        seed ^= seed << 13;
                        seed ^= seed >> 7;
                        seed ^= seed << 17;
                        /* Half of them where it hurts most: the headers. */
                        places[k] = k == 0   ? seed % 64
                                    : k == 1 ? table + seed % (whole.len - table)
                                             : seed % whole.len;
                        saved[k] = whole.data[places[k]];
                        if (k > 0 || i % 4 == 0)
                                whole.data[places[k]] = (char)(seed >> 32);
                }
                check_bytes(whole.data, whole.len);
                for (int k = 3; k >= 0; k--)
                        whole.data[places[k]] = saved[k];
        }
        assert_int_equal(check_bytes(whole.data, whole.len), KILN_ISA_CHECKED);
}

static void test_json(void **state)
{
        _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT, again = KILN_BUF_INIT;
        _cleanup_json_ json_t *j = NULL, *k = NULL;

        make_libraries();
        check_as("loops.v3.so", "bad\xff name\xc3\xa9", &report);
        check_as("loops.v1.so", "plain", &report);
        j = kiln_isa_report_json(&report, KILN_ISA_V2);
        k = kiln_isa_report_json(&report, KILN_ISA_V2);
        kiln_json_canonical(j, &text);
        kiln_json_canonical(k, &again);
        assert_string_equal(kiln_buf_str(&text), kiln_buf_str(&again));
        assert_string_equal(json_string_value(json_object_get(j, "verdict")), "above");
        json_t *files = json_object_get(j, "files"), *first = json_array_get(files, 0);
        assert_int_equal(json_array_size(files), 2);
        assert_string_equal(
                json_string_value(json_object_get(first, "name")), "bad\xef\xbf\xbd name\xc3\xa9");
        assert_string_equal(json_string_value(json_object_get(first, "required")), "v3");
        assert_string_equal(
                json_string_value(json_array_get(json_object_get(first, "judgement"), 0)), "above");
        assert_non_null(json_object_get(
                json_object_get(json_object_get(json_object_get(first, "levels"), "v3"), "undispatched"),
                "first"));
}

static int setup(void **state)
{
        char template[] = "/tmp/kiln-test-isa-XXXXXX";

        dir = kiln_strdup(mkdtemp(template) ? template : "/nonexistent");
        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return dir_fd < 0;
}

static int teardown(void **state)
{
        close(dir_fd);
        int r = kiln_tree_remove(AT_FDCWD, dir);
        free(dir);
        return r;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_host),
                cmocka_unit_test(test_march),
                cmocka_unit_test(test_objdump),
                cmocka_unit_test(test_ifunc),
                cmocka_unit_test(test_ifunc_leak),
                cmocka_unit_test(test_undispatched),
                cmocka_unit_test(test_cpuid),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_data_in_text),
                cmocka_unit_test(test_notes),
                cmocka_unit_test(test_features),
                cmocka_unit_test(test_archive),
                cmocka_unit_test(test_rpm),
                cmocka_unit_test(test_rpm_limits),
                cmocka_unit_test(test_tree),
                cmocka_unit_test(test_broken),
                cmocka_unit_test(test_mutations),
                cmocka_unit_test(test_json),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
