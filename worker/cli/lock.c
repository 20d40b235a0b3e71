/* kiln lock: solve, and print the lock that `kiln rebuild --lock` takes. */
#include "worker/base/mem.h"
#include "worker/cli/cli.h"
#include "worker/cli/request.h"
#include "worker/pipeline/pipeline.h"

#include <stdio.h>

static const struct kiln_option options[] = {REQUEST_OPTIONS, {NULL}};

const struct kiln_command kiln_command_lock = {
        .name = "lock",
        .summary = "solve a source package's build root and print its lock",
        .arguments = "SRPM",
        .min_arguments = 1,
        .max_arguments = 1,
        .description =
                "The lock names every package of the build root by NEVRA and SHA-256, those that\n"
                "%generate_buildrequires asks for included. It is canonical JSON: same lock, same bytes.",
        .options = options,
        .common = KILN_COMMON_JSON | KILN_COMMON_OFFLINE,
        .run = kiln_cmd_lock,
};

int kiln_cmd_lock(struct kiln_context *c, int argc, char **argv)
{
        _cleanup_(request_options_clear) struct request_options o = {0};
        _cleanup_(kiln_request_freep) Kiln__V1__BuildRequest *request = NULL;
        _cleanup_(kiln_job_closep) struct kiln_job *job = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        int r = kiln_options_parse(c, &kiln_command_lock, &o, &argc, argv);

        if (r != 0)
                return kiln_options_status(r);
        r = request_build(c, &o, argv[0], &request, &err);
        if (r == 0)
                r = kiln_job_open(c, request, &job, &err);
        if (r == 0)
                r = kiln_job_prepare(job, &err);
        if (r < 0)
                return kiln_cli_fail(c, &err);
        kiln_lock_write(kiln_job_lock(job), &text);
        kiln_cli_release_terminal(c);
        fputs(kiln_buf_str(&text), stdout);
        return KILN_OK;
}
