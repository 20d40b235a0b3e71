/* kiln rebuild: the main job. Fills a BuildRequest, runs the pipeline, says how it ended. */
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/base/text.h"
#include "worker/cli/cli.h"
#include "worker/cli/request.h"
#include "worker/pipeline/pipeline.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct kiln_option options[] = {
        REQUEST_OPTIONS,
        {"observe", 0, KILN_OPTION_FLAG, offsetof(struct request_options, observe), NULL, NULL, 0,
                "record what the build opens: inputs.json, marks in the SBOMs"},
        {"output", 'o', KILN_OPTION_STRING, offsetof(struct request_options, output), "DIR", NULL, 0,
                "where the result goes (default: the current directory)"},
        {"check-reproducible", 0, KILN_OPTION_FLAG, offsetof(struct request_options, check_reproducible),
                NULL, NULL, 0,
                "build a second time with everything varied that must not matter, and compare"},
        {"also-vary", 0, KILN_OPTION_STRINGS, offsetof(struct request_options, varied), "FACTOR", NULL, 0,
                "vary this too in the second build: build-path"},
        {"unvaried", 0, KILN_OPTION_STRINGS, offsetof(struct request_options, unvaried), "FACTOR", NULL, 0,
                "leave this alone in the second build, such as clock"},
        {"sign", 0, KILN_OPTION_CHOICE, offsetof(struct request_options, signing), "WITH", "local none", 0,
                "sign with the local key pair (default; made on first use) or not at all"},
        {"signer", 0, KILN_OPTION_STRING, offsetof(struct request_options, signer), "SOCKET", NULL, 0,
                "sign with the `kiln signer` that listens there"},
        {"tsa", 0, KILN_OPTION_STRING, offsetof(struct request_options, tsa), "URL", NULL, 0,
                "have each attestation stamped by this time-stamp authority (RFC 3161): Sigstore bundles"},
        {"tsa-cert", 0, KILN_OPTION_STRINGS, offsetof(struct request_options, tsa_certs), "FILE", NULL, 0,
                "with --tsa: the certificates that its stamps must lead to"},
        {NULL},
};

const struct kiln_command kiln_command_rebuild = {
        .name = "rebuild",
        .summary = "rebuild a source package into signed packages with SBOM and provenance",
        .arguments = "SRPM",
        .min_arguments = 1,
        .max_arguments = 1,
        .description =
                "SRPM is a file or an http(s) URL. Everything the build can read is fetched by SHA-256 "
                "before it\n"
                "begins; it has no network. The result directory holds signed packages, SBOMs (SPDX, "
                "CycloneDX),\n"
                "provenance (in-toto, SLSA), the lock of the build root, logs, result.json and report.html.",
        .options = options,
        .common = KILN_COMMON_JSON | KILN_COMMON_OFFLINE,
        .run = kiln_cmd_rebuild,
};

static void print_result(
        const struct kiln_context *c, const Kiln__V1__BuildResult *result, const char *directory)
{
        _cleanup_free_ char *json = NULL;
        struct kiln_message_error merr;

        kiln_cli_release_terminal(c);
        if (kiln_cli_json(c)) {
                if (kiln_message_to_json((const ProtobufCMessage *)result, false, &json, &merr) == 0)
                        puts(json);
                return;
        }
        for (size_t i = 0; i < result->n_artefacts; i++) {
                const Kiln__V1__Artefact *a = result->artefacts[i];
                _cleanup_buf_ struct kiln_buf path = KILN_BUF_INIT;
                _cleanup_free_ char *joined = kiln_path_join(directory, a->name);

                kiln_text_clean(&path, joined, strlen(joined), kiln_text_utf8() ? 0 : KILN_TEXT_ASCII);
                puts(kiln_buf_str(&path));
        }
}

/* The last lines of a failed build, for people. */
static void print_tail(const struct kiln_context *c, const Kiln__V1__BuildResult *result)
{
        const char *tail = result->error ? result->error->log_tail : "", *p;
        _cleanup_buf_ struct kiln_buf clean = KILN_BUF_INIT;
        unsigned lines = 0;

        if (!tail[0] || kiln_cli_json(c))
                return;
        for (p = tail + strlen(tail); p > tail && lines < 21; p--)
                lines += p[-1] == '\n';
        if (p > tail)
                p++;
        kiln_text_clean(&clean, p, strlen(p), KILN_TEXT_LINES | (kiln_text_utf8() ? 0 : KILN_TEXT_ASCII));
        kiln_cli_release_terminal(c);
        fprintf(stderr, "%s\n", kiln_buf_str(&clean));
}

static int check_factors(
        const struct request_options *o, const char *option, char *const *factors, struct kiln_error *err)
{
        if (factors && !o->check_reproducible)
                return kiln_error_set(err, KILN_USAGE, 0, "reading", option, "it needs --check-reproducible");
        for (; factors && *factors; factors++)
                if (!kiln_pipeline_varies(*factors)) {
                        kiln_error_set(err, KILN_USAGE, 0, "reading", option,
                                "no factor of a second build is called %s", *factors);
                        kiln_error_advise(err, "kiln-rebuild(1) lists them.");
                        return -EINVAL;
                }
        return 0;
}

static int check_tsa(const struct request_options *o, struct kiln_error *err)
{
        if (!o->tsa != !o->tsa_certs)
                return kiln_error_set(err, KILN_USAGE, 0, "reading", o->tsa ? "--tsa" : "--tsa-cert",
                        "--tsa and --tsa-cert need one another: a stamp that nobody can check proves "
                        "nothing");
        if (o->tsa && o->signing && strcmp(o->signing, "none") == 0)
                return kiln_error_set(err, KILN_USAGE, 0, "reading", "--tsa",
                        "without signatures there is nothing to stamp");
        return 0;
}

int kiln_cmd_rebuild(struct kiln_context *c, int argc, char **argv)
{
        _cleanup_(request_options_clear) struct request_options o = {0};
        _cleanup_(kiln_request_freep) Kiln__V1__BuildRequest *request = NULL;
        _cleanup_(kiln_result_freep) Kiln__V1__BuildResult *result = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_free_ char *directory = NULL;
        int r = kiln_options_parse(c, &kiln_command_rebuild, &o, &argc, argv);

        if (r != 0)
                return kiln_options_status(r);
        directory = request_directory(&o);
        r = check_factors(&o, "--unvaried", o.unvaried, &err);
        if (r == 0)
                r = check_factors(&o, "--also-vary", o.varied, &err);
        if (r == 0)
                r = check_tsa(&o, &err);
        if (r == 0)
                r = request_build(c, &o, argv[0], &request, &err);
        if (r < 0 && err.verdict == KILN_USAGE)
                return kiln_cli_fail(c, &err);
        result = r < 0 ? kiln_pipeline_give_up(c, directory, &err) : kiln_pipeline_run(c, request, &err);
        if (err.verdict != KILN_OK)
                print_tail(c, result);
        if (err.verdict == KILN_OK || err.verdict == KILN_NOT_REPRODUCED || kiln_cli_json(c))
                print_result(c, result, directory);
        if (err.verdict != KILN_OK)
                return kiln_cli_fail(c, &err);
        return KILN_OK;
}
