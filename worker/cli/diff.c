/* `kiln diff`: options, the comparison as text or JSON, and diffoscope. Thin: worker/verify/compare compares,
 * worker/pipeline/report writes the page. */
#include "worker/pipeline/report/diff.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/base/process.h"
#include "worker/base/text.h"
#include "worker/cli/cli.h"
#include "worker/verify/compare/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct diff_values {
        const char *ignore, *html;
        bool diffoscope;
};

/* The text is clean already, but for what this terminal does not understand. */
static void print(const char *prefix, const char *text)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        kiln_text_clean(&b, text, strlen(text), kiln_text_utf8() ? 0 : KILN_TEXT_ASCII);
        printf("%s%s\n", prefix, kiln_buf_str(&b));
}

static void print_pair_summary(const struct kiln_comparison *c)
{
        _cleanup_free_ char *line = NULL;
        uint64_t n = c->n_differences + c->cut;

        if (c->a_name && c->b_name)
                line = kiln_asprintf("%s: %s%s", c->name, kiln_compare_level_words(c->level),
                        c->level != KILN_SAME_FILE && !c->differs ? " (nothing else differs)" : "");
        else
                line = kiln_asprintf("%s: only in %s", c->name, c->a_name ? "A" : "B");
        print("", line);
        if (n > 0 && c->a_name && c->b_name)
                printf("  %llu difference%s\n", (unsigned long long)n, n == 1 ? "" : "s");
        for (char **i = c->ignored; i && *i; i++)
                print("  ignored: ", *i);
}

/* Short values on one line, long ones below each other. */
static void print_values(const struct kiln_difference *d)
{
        const char *a = d->a ? d->a : "(absent)", *b = d->b ? d->b : "(absent)";

        if (d->a && d->b && !*d->a && !*d->b)
                return;
        if (strlen(a) + strlen(b) < 80) {
                _cleanup_free_ char *both = kiln_asprintf("%s -> %s", a, b);

                print("      ", both);
                return;
        }
        print("      A ", a);
        print("      B ", b);
}

static void print_differences(const struct kiln_comparison *c)
{
        const char *subject = NULL;

        for (size_t i = 0; i < c->n_differences; i++) {
                const struct kiln_difference *d = &c->differences[i];
                bool file = d->kind >= KILN_DIFFERENCE_FILE_MISSING;

                if (!file || !subject || strcmp(subject, d->subject) != 0) {
                        _cleanup_free_ char *line =
                                kiln_asprintf("%s %s", kiln_difference_kind_words(d->kind), d->subject);

                        print("  ", line);
                }
                subject = file ? d->subject : NULL;
                if (*d->aspect || *d->detail) {
                        _cleanup_free_ char *line =
                                kiln_asprintf("%s%s%s%s", d->aspect, *d->aspect && *d->detail ? " (" : "",
                                        d->detail, *d->aspect && *d->detail ? ")" : "");

                        print("    ", line);
                }
                print_values(d);
        }
        if (c->cut)
                printf("  and %llu more differences that are not shown\n", (unsigned long long)c->cut);
}

static void print_report(const struct kiln_compare_report *r)
{
        print("A: ", r->a_name);
        print("B: ", r->b_name);
        printf("%s\n\n", r->differs                   ? "They differ."
                         : r->level == KILN_SAME_FILE ? "They are the same."
                                                      : "Nothing differs but what is ignored.");
        for (size_t i = 0; i < r->n_pairs; i++)
                print_pair_summary(&r->pairs[i]);
        for (char **i = r->ignored; i && *i; i++)
                print("ignored: ", *i);
        for (size_t i = 0; i < r->n_pairs; i++) {
                if (r->pairs[i].n_differences + r->pairs[i].cut == 0)
                        continue;
                print("\n", r->pairs[i].name);
                print_differences(&r->pairs[i]);
        }
}

static void print_json(const struct kiln_compare_report *r)
{
        _cleanup_json_ json_t *j = kiln_compare_report_json(r);
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        kiln_json_pretty(j, &b);
        fwrite(b.data, 1, b.len, stdout);
}

static int write_page(const char *path, const struct kiln_compare_report *r, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
        int e;

        kiln_report_diff_write(r, &b);
        e = kiln_file_write(AT_FDCWD, path, b.data, b.len, 0644);
        return e < 0 ? kiln_error_set(err, KILN_INFRA, e, "writing", path, "the page") : 0;
}

static int run_diffoscope(const struct kiln_context *c, const char *a, const char *b, struct kiln_error *err)
{
        const char *argv[] = {"diffoscope", "--text", "-", "--", a, b, NULL};
        struct kiln_process p = {.argv = argv, .cwd_fd = -1, .stdin_fd = -1};
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT, errors = KILN_BUF_INIT, clean = KILN_BUF_INIT;
        int r = kiln_process_run(c, &p, &out, &errors);

        if (r == -ECANCELED)
                return kiln_error_set(err, KILN_CANCELLED, ECANCELED, "running", "diffoscope", "cancelled");
        if (r < 0 || r > 1) {
                kiln_error_set(err, KILN_INFRA, r < 0 ? -r : 0, "running", "diffoscope", "%s",
                        errors.len ? kiln_buf_str(&errors) : "it cannot be run");
                kiln_error_advise(err, "Install it, or leave --diffoscope away.");
                return -EIO;
        }
        kiln_text_clean(&clean, kiln_buf_str(&out), out.len,
                KILN_TEXT_LINES | (kiln_text_utf8() ? 0 : KILN_TEXT_ASCII));
        printf("\ndiffoscope says:\n%s", kiln_buf_str(&clean));
        return 0;
}

int kiln_cmd_diff(struct kiln_context *c, int argc, char **argv)
{
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *report = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        struct kiln_compare_options options = {0};
        struct diff_values o = {0};
        int r = kiln_options_parse(c, &kiln_command_diff, &o, &argc, argv);

        if (r != 0)
                return kiln_options_status(r);
        if (o.diffoscope && kiln_cli_json(c))
                return kiln_options_complain(
                        &kiln_command_diff, "--diffoscope prints text: not together with --json");
        options.ignore_signature = o.ignore != NULL;
        if (kiln_compare_paths(c, argv[0], argv[1], &options, &report, &err) < 0)
                return kiln_cli_fail(c, &err);
        if (o.html && write_page(o.html, report, &err) < 0)
                return kiln_cli_fail(c, &err);
        kiln_cli_release_terminal(c);
        if (kiln_cli_json(c))
                print_json(report);
        else
                print_report(report);
        if (o.diffoscope && report->differs && run_diffoscope(c, argv[0], argv[1], &err) < 0)
                return kiln_cli_fail(c, &err);
        return report->differs ? KILN_NOT_REPRODUCED : KILN_OK;
}

static const struct kiln_option diff_options[] = {
        {"ignore", 0, KILN_OPTION_CHOICE, offsetof(struct diff_values, ignore), "WHAT", "signature", 0,
                "do not compare signatures: lead and signature header of packages, signatures of envelopes"},
        {"html", 0, KILN_OPTION_STRING, offsetof(struct diff_values, html), "FILE", NULL, 0,
                "also write the comparison as a page"},
        {"diffoscope", 0, KILN_OPTION_FLAG, offsetof(struct diff_values, diffoscope), NULL, NULL, 0,
                "when they differ, also run diffoscope (outside the sandbox) and show what it says"},
        {0},
};

const struct kiln_command kiln_command_diff = {
        .name = "diff",
        .summary = "compare two packages or result directories: headers, files, what is in them",
        .arguments = "A B",
        .min_arguments = 2,
        .max_arguments = 2,
        .description = "A and B are two RPMs, two source RPMs or two result directories. Says whether they "
                       "are the same file, "
                       "have the same header and payload, or the same payload; and if not, every tag and "
                       "file that differs. "
                       "Payloads are read inside the sandbox. What is not compared is printed.\n"
                       "\n"
                       "Exit status: 0 nothing differs, 7 something does, 3 one of the two is no RPM.",
        .options = diff_options,
        .common = KILN_COMMON_JSON,
        .run = kiln_cmd_diff,
};
