/* `kiln isa`: options, and the report as a table or JSON. Thin: everything else is worker/attest. */
#include "worker/attest/isa/isa.h"
#include "worker/base/mem.h"
#include "worker/base/text.h"
#include "worker/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* First bytes of an RPM's lead. */
static const unsigned char rpm_magic[4] = {0xed, 0xab, 0xee, 0xdb};

/* 0, or the exit status of the error it printed. */
static int check_path(const struct kiln_context *c, const char *path, struct kiln_isa_report *report)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        unsigned char magic[4] = {0};
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0) {
                kiln_error_set(&err, KILN_BAD_INPUT, errno, "opening", path, "cannot be read");
                return kiln_cli_fail(c, &err);
        }
        size_t before = report->n_files;
        uint64_t skipped = report->skipped;
        if (S_ISDIR(st.st_mode)) {
                _cleanup_free_ char *prefix = kiln_asprintf("%s/", path);

                r = kiln_isa_check_tree(fd, prefix, NULL, report, &err);
        } else if (S_ISREG(st.st_mode) && pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
                   memcmp(magic, rpm_magic, sizeof(magic)) == 0) {
                r = kiln_isa_check_rpm(fd, path, NULL, report, &err);
        } else {
                r = kiln_isa_check_fd(fd, path, NULL, report, &err);
                if (r == 0 && report->n_files == before && report->skipped > skipped) {
                        kiln_error_set(
                                &err, KILN_BAD_INPUT, 0, "checking", path, "neither ELF, ar archive nor RPM");
                        return kiln_cli_fail(c, &err);
                }
        }
        return r < 0 ? kiln_cli_fail(c, &err) : 0;
}

/* Names come out of the files: a terminal must not act on them. */
static void print_clean(const char *text)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        kiln_text_clean(&b, text, strlen(text), kiln_text_utf8() ? 0 : KILN_TEXT_ASCII);
        fputs(kiln_buf_str(&b), stdout);
}

static const char *dispatch_summary(const struct kiln_isa_file *f)
{
        bool seen[KILN_ISA_DISPATCHES] = {false};

        for (int level = (int)f->required + 1; level < KILN_ISA_LEVELS; level++)
                for (int how = 0; how < KILN_ISA_DISPATCHES; how++)
                        seen[how] |= f->counts[level][how] != 0;
        return seen[KILN_ISA_SUSPECTED]    ? "suspected"
               : seen[KILN_ISA_DISPATCHED] ? "proven"
               : seen[KILN_ISA_UNCERTAIN]  ? "uncertain"
                                           : "-";
}

static const char *judgement_word(unsigned bits)
{
        return bits & KILN_ISA_ABOVE        ? "ABOVE"
               : bits & KILN_ISA_UNREADABLE ? "UNREADABLE"
               : bits & KILN_ISA_MAYBE      ? "suspected above"
               : bits & KILN_ISA_OUTSIDE    ? "uncertain above"
               : bits & KILN_ISA_UNUSED     ? "level not used"
                                            : "ok";
}

static void print_table(const struct kiln_isa_report *report, enum kiln_isa_level level)
{
        printf("%-8s %-5s %-5s %-10s ", "DECLARED", "USES", "NEEDS", "DISPATCH");
        if (level != KILN_ISA_NONE)
                printf("%-15s ", "VERDICT");
        printf("FILE\n");
        for (size_t i = 0; i < report->n_files; i++) {
                const struct kiln_isa_file *f = &report->files[i];
                bool checked = f->status == KILN_ISA_CHECKED;

                printf("%-8s %-5s %-5s %-10s ",
                        f->declared_needed ? kiln_isa_level_name(f->declared_needed) : "-",
                        checked ? kiln_isa_level_name(f->used) : "-",
                        checked ? kiln_isa_level_name(f->required) : "-",
                        checked ? dispatch_summary(f) : "-");
                if (level != KILN_ISA_NONE)
                        printf("%-15s ", judgement_word(kiln_isa_judge(f, level)));
                print_clean(f->name);
                if (!checked) {
                        printf(" (%s%s", kiln_isa_status_name(f->status), f->note ? ": " : "");
                        print_clean(f->note ? f->note : "");
                        printf(")");
                }
                for (size_t k = 0; k < f->n_features; k++)
                        printf("%s%s%s", k == 0 ? " [" : " ", f->features[k].name,
                                k + 1 == f->n_features ? "]" : "");
                printf("\n");
        }
        if (level == KILN_ISA_NONE)
                return;
        for (size_t i = 0; i < report->n_files; i++) {
                unsigned bits = kiln_isa_judge(&report->files[i], level);
                _cleanup_free_ char *why =
                        bits & ~KILN_ISA_UNUSED ? kiln_isa_explain(&report->files[i], level) : NULL;

                if (why) {
                        print_clean(why);
                        printf("\n");
                }
        }
}

static void print_json(const struct kiln_isa_report *report, enum kiln_isa_level level)
{
        _cleanup_json_ json_t *j = kiln_isa_report_json(report, level);
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        kiln_json_pretty(j, &b);
        fwrite(b.data, 1, b.len, stdout);
}

struct isa_values {
        const char *level;
        bool host;
};

int kiln_cmd_isa(struct kiln_context *c, int argc, char **argv)
{
        _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        enum kiln_isa_level level = KILN_ISA_NONE;
        struct isa_values o = {0};
        int status = KILN_OK, r;

        r = kiln_options_parse(c, &kiln_command_isa, &o, &argc, argv);
        if (r != 0)
                return kiln_options_status(r);
        if (o.host) {
                printf("%s\n", kiln_isa_level_name(kiln_isa_host_level()));
                return KILN_OK;
        }
        if (argc == 0)
                return kiln_options_complain(&kiln_command_isa, "no FILE is given");
        if (o.level && kiln_isa_level_parse(o.level, &level) < 0)
                return kiln_options_complain(&kiln_command_isa, "unknown level '%s'", o.level);

        for (int i = 0; i < argc; i++) {
                if (kiln_context_check(c, "checking ISA levels", &err) < 0)
                        return kiln_cli_fail(c, &err);
                r = check_path(c, argv[i], &report);
                if (r && (status == KILN_OK || status == KILN_BAD_INPUT))
                        status = r;
        }
        if (kiln_cli_json(c))
                print_json(&report, level);
        else if (report.n_files)
                print_table(&report, level);

        unsigned bits = kiln_isa_judge_all(&report, level);
        if (bits & KILN_ISA_ABOVE)
                return KILN_BUILD_FAILED;
        return status == KILN_OK && (bits & KILN_ISA_UNREADABLE) ? KILN_BAD_INPUT : status;
}

static const struct kiln_option isa_options[] = {
        {"level", 'l', KILN_OPTION_CHOICE, offsetof(struct isa_values, level), "LEVEL", "v1 v2 v3 v4", 0,
                "fail when a file needs more than this x86-64 level"},
        {"host", 0, KILN_OPTION_FLAG, offsetof(struct isa_values, host), NULL, NULL, 0,
                "print the level this machine can run, and nothing else"},
        {0},
};

const struct kiln_command kiln_command_isa = {
        .name = "isa",
        .summary = "say which x86-64 level files declare and really use",
        .arguments = "FILE...",
        .max_arguments = KILN_ARGUMENTS_ANY,
        .description =
                "FILE is an ELF file, an ar archive, an RPM or a directory. All code is disassembled; code "
                "above the "
                "level is accepted where it is picked at run time (IFUNC, target clones, glibc-hwcaps).\n"
                "\n"
                "Exit status: 0 fine, 1 a file needs more than the level, 3 a file cannot be read.",
        .options = isa_options,
        .common = KILN_COMMON_JSON,
        .run = kiln_cmd_isa,
};
