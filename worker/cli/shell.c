/* kiln shell: the build root of a source package, with the build's own sandbox around it. */
#include "worker/base/mem.h"
#include "worker/cli/cli.h"
#include "worker/cli/request.h"
#include "worker/pipeline/pipeline.h"

static const struct kiln_option options[] = {REQUEST_OPTIONS, {NULL}};

const struct kiln_command kiln_command_shell = {
        .name = "shell",
        .summary = "open a shell in a source package's build root",
        .arguments = "SRPM [COMMAND...]",
        .min_arguments = 1,
        .max_arguments = KILN_ARGUMENTS_ANY,
        .description = "The shell has what a build has: the same root, user, sandbox and sources (in "
                       "~/build), no network.\n"
                       "What it changes is gone when it ends. With --lock, the root is that of the lock.\n"
                       "Its exit status is that of the shell or COMMAND.",
        .options = options,
        .common = KILN_COMMON_OFFLINE,
        .program = true,
        .run = kiln_cmd_shell,
};

int kiln_cmd_shell(struct kiln_context *c, int argc, char **argv)
{
        _cleanup_(request_options_clear) struct request_options o = {0};
        _cleanup_(kiln_request_freep) Kiln__V1__BuildRequest *request = NULL;
        _cleanup_(kiln_job_closep) struct kiln_job *job = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        int status = 0, r = kiln_options_parse(c, &kiln_command_shell, &o, &argc, argv);

        if (r != 0)
                return kiln_options_status(r);
        r = request_build(c, &o, argv[0], &request, &err);
        if (r == 0)
                r = kiln_job_open(c, request, &job, &err);
        if (r == 0)
                r = kiln_job_prepare(job, &err);
        if (r == 0) {
                kiln_cli_release_terminal(c);
                r = kiln_job_shell(job, argc > 1 ? (const char *const *)argv + 1 : NULL, &status, &err);
        }
        return r < 0 ? kiln_cli_fail(c, &err) : status;
}
