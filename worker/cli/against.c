#include "worker/cli/against.h"

#include "worker/base/json.h"
#include "worker/base/mem.h"
#include "worker/base/text.h"
#include "worker/cli/cli.h"
#include "worker/verify/compare/compare.h"
#include "worker/verify/graft.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define LISTED_MAX 20 /* differences, for people */

static int open_rpm(const char *path, int *ret, struct kiln_error *err)
{
        *ret = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        return *ret < 0 ? kiln_error_set(err, KILN_BAD_INPUT, errno, "opening", path, "RPM package") : 0;
}

static void print_json(
        const struct kiln_graft *g, const struct kiln_compare_report *report, enum kiln_verdict verdict)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        char original[KILN_DIGEST_HEX + 1], graft[KILN_DIGEST_HEX + 1];
        _cleanup_json_ json_t *j = NULL;

        kiln_digest_to_hex(&g->original_sha256, original);
        kiln_digest_to_hex(&g->graft_sha256, graft);
        j = json_pack("{s:s, s:b, s:b, s:b, s:b, s:s, s:s, s:s, s:s?, s:s?}", "verdict",
                kiln_verdict_name(verdict), "identical", g->identical, "sameHeader", g->same_header,
                "samePayload", g->same_payload, "keyKnown", g->signature == KILN_RPM_SIGNED, "signer",
                g->signer ? g->signer : "", "originalSha256", original, "graftSha256", graft, "reason",
                g->reason, "rpmSays", g->rpm_says);
        if (report)
                json_object_set_new(j, "comparison", kiln_compare_report_json(report));
        kiln_json_canonical(j, &text);
        puts(kiln_buf_str(&text));
}

static void print_differences(const struct kiln_comparison *pair)
{
        for (size_t i = 0; i < pair->n_differences && i < LISTED_MAX; i++) {
                const struct kiln_difference *d = &pair->differences[i];

                printf("  %s %s%s%s: %s | %s\n", kiln_difference_kind_name(d->kind), d->subject,
                        d->aspect[0] ? " " : "", d->aspect, d->a ? d->a : "(none)", d->b ? d->b : "(none)");
        }
        if (pair->n_differences > LISTED_MAX)
                printf("  and %zu more: see kiln diff\n", pair->n_differences - LISTED_MAX);
}

static void print_text(const struct kiln_graft *g, const char *original, const char *rebuild)
{
        _cleanup_buf_ struct kiln_buf clean = KILN_BUF_INIT;
        _cleanup_free_ char *text = NULL;

        if (!g->identical)
                text = kiln_asprintf("%s is not %s: %s\nrpm says: %s", rebuild, original, g->reason,
                        g->rpm_says ? g->rpm_says : "nothing against it");
        else if (g->signature == KILN_RPM_SIGNED)
                text = kiln_asprintf(
                        "%s with the signature of %s is byte-identical to it; rpm verifies it with key %s",
                        rebuild, original, g->signer);
        else
                text = kiln_asprintf("%s with the signature of %s is byte-identical to it; it is signed by "
                                     "key %s, which is none of those given",
                        rebuild, original, g->signer);
        kiln_text_clean(
                &clean, text, strlen(text), KILN_TEXT_LINES | (kiln_text_utf8() ? 0 : KILN_TEXT_ASCII));
        puts(kiln_buf_str(&clean));
}

int against_run(const struct kiln_context *c, const char *original, const char *rebuild,
        const struct kiln_keyring *keyring)
{
        _cleanup_close_ int original_fd = -1, rebuild_fd = -1, out = -1;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        static const struct kiln_compare_options shallow = {.ignore_signature = true, .shallow = true};
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *report = NULL;
        _cleanup_graft_ struct kiln_graft g = {0};
        enum kiln_verdict verdict;
        int r = open_rpm(original, &original_fd, &err);

        if (r == 0)
                r = open_rpm(rebuild, &rebuild_fd, &err);
        if (r == 0)
                r = out = kiln_graft_aside(c, &err);
        if (r >= 0)
                r = kiln_graft(original_fd, original, rebuild_fd, rebuild, keyring, out, &g, &err);
        if (r >= 0 && !g.identical)
                r = kiln_compare_rpms(c, original_fd, original, rebuild_fd, rebuild, &shallow, &report, &err);
        if (r < 0)
                return kiln_cli_fail(c, &err);
        verdict = !g.identical                     ? KILN_NOT_REPRODUCED
                  : g.signature != KILN_RPM_SIGNED ? KILN_REFUSED
                                                   : KILN_OK;
        if (kiln_cli_json(c))
                print_json(&g, report, verdict);
        else
                print_text(&g, original, rebuild);
        if (report && !kiln_cli_json(c))
                print_differences(&report->pairs[0]);
        return (int)verdict;
}
