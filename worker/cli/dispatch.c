/* Finds the subcommand, hands it a context, and turns its ending into an exit status. It knows no stage. */
#include "worker/base/json.h"
#include "worker/base/mem.h"
#include "worker/base/paths.h"
#include "worker/base/text.h"
#include "worker/cli/cancel.h"
#include "worker/cli/cli.h"
#include "worker/cli/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define COMMANDS_MAX 64

static const char usage_head[] =
        "Usage: kiln COMMAND [OPTIONS] [ARGUMENTS]\n"
        "\n"
        "Kiln rebuilds source RPMs: the same source into the same packages, every time,\n"
        "and can prove it.\n"
        "\n"
        "Commands:\n";

static const char usage_tail[] =
        "\n"
        "      --help                show this help; 'kiln COMMAND --help' for one command\n"
        "      --version             show the version\n"
        "\n"
        "Exit status: 0 OK, 1 build failed, 2 usage, 3 bad input, 4 infrastructure,\n"
        "5 limit exceeded, 6 refused on this host, 7 not reproduced, 8 cancelled.\n";

static int usage(const struct kiln_command *const *commands)
{
        fputs(usage_head, stdout);
        for (size_t i = 0; commands[i]; i++)
                printf("  %-12s%s\n", commands[i]->name, commands[i]->summary);
        fputs(usage_tail, stdout);
        return KILN_OK;
}

static int unknown_command(const struct kiln_command *const *commands, const char *word)
{
        static const char *const options[] = {"--help", "--version", NULL};
        const char *names[COMMANDS_MAX + 1] = {NULL};
        _cleanup_buf_ struct kiln_buf clean = KILN_BUF_INIT;
        const char *near;

        for (size_t i = 0; commands[i] && i < COMMANDS_MAX; i++)
                names[i] = commands[i]->name;
        near = kiln_options_nearest(word, word[0] == '-' ? options : names);
        kiln_text_clean(&clean, word, strlen(word), kiln_text_utf8() ? 0 : KILN_TEXT_ASCII);
        fprintf(stderr, "kiln: unknown %s '%s'%s%s%s\nSee 'kiln --help'.\n",
                word[0] == '-' ? "option" : "command", kiln_buf_str(&clean), near ? "; did you mean '" : "",
                near ? near : "", near ? "'?" : "");
        return KILN_USAGE;
}

bool kiln_cli_json(const struct kiln_context *c)
{
        const struct kiln_progress *p = kiln_progress_of(c);

        return p && kiln_progress_mode(p) == KILN_PROGRESS_JSON;
}

void kiln_cli_release_terminal(const struct kiln_context *c)
{
        struct kiln_progress *p = kiln_progress_of(c);

        if (p)
                kiln_progress_pause(p);
}

static json_t *json_text(const char *s)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        kiln_text_clean(&b, s ? s : "", s ? strlen(s) : 0, KILN_TEXT_LINES);
        return json_stringn(kiln_buf_str(&b), b.len);
}

int kiln_cli_fail(const struct kiln_context *c, const struct kiln_error *e)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        kiln_cli_release_terminal(c);
        if (kiln_cli_json(c)) {
                _cleanup_json_ json_t *j = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "event", "error",
                        "verdict", kiln_verdict_name(e->verdict), "doing", json_text(e->doing), "subject",
                        json_text(e->subject), "cause", json_text(e->cause), "advice", json_text(e->advice));

                kiln_json_canonical(j, &b);
                fprintf(stderr, "%s\n", kiln_buf_str(&b));
        } else {
                _cleanup_free_ char *text = kiln_error_format(e);

                kiln_text_clean(
                        &b, text, strlen(text), KILN_TEXT_LINES | (kiln_text_utf8() ? 0 : KILN_TEXT_ASCII));
                fprintf(stderr, "kiln: %s: %s\n", kiln_verdict_name(e->verdict), kiln_buf_str(&b));
        }
        /* A failure without a verdict is a mistake of ours, and ours is INFRA. */
        return e->verdict == KILN_OK ? KILN_INFRA : (int)e->verdict;
}

/* Results that did not reach their reader are no success. */
static int finish_output(int status)
{
        if (fflush(stdout) == 0 && !ferror(stdout))
                return status;
        if (errno != EPIPE)
                fprintf(stderr, "kiln: INFRA: writing standard output: %s\n", strerror(errno));
        return status == KILN_OK ? KILN_INFRA : status;
}

/* Descriptors 0 to 2 are open, so that no file of ours gets their number. */
static void open_standard(void)
{
        for (int fd = 0; fd < 3; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd)
                        _exit(KILN_INFRA);
}

static int run(const struct kiln_command *command, int argc, char **argv)
{
        _cleanup_(kiln_progress_freep) struct kiln_progress *progress =
                kiln_progress_new(STDERR_FILENO, KILN_PROGRESS_AUTO);
        _cleanup_(kiln_context_clear) struct kiln_context c = {.cancel_fd = -1};
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        int fd = kiln_cancel_init();

        if (fd < 0) {
                kiln_error_set(&err, KILN_INFRA, -fd, "setting up", "signal handling", "no descriptor");
                return kiln_cli_fail(&c, &err);
        }
        if (kiln_context_init(&c, &err) < 0)
                return kiln_cli_fail(&c, &err);
        c.sink = kiln_progress_sink(progress);
        c.cancel_fd = fd;
        return command->run(&c, argc, argv);
}

int kiln_cli_main(const struct kiln_command *const *commands, int argc, char **argv)
{
        open_standard();
        /* Mapped ids read what is made below the cache, and no caller's umask may show in a package. What is
         * secret has its mode spelled out. */
        umask(022);
        setlocale(LC_CTYPE, "C.UTF-8"); /* file names are bytes in UTF-8, whatever the user's locale */

        if (argc < 2) {
                fputs("kiln: say what to do\nSee 'kiln --help'.\n", stderr);
                return KILN_USAGE;
        }
        /* "kiln help rebuild" is what many type first. */
        if (strcmp(argv[1], "help") == 0 && argc > 2) {
                argv[1] = argv[2];
                argv[2] = (char *)"--help";
                argc = 3;
        }
        if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
                return finish_output(usage(commands));
        if (strcmp(argv[1], "--version") == 0) {
                puts("kiln " KILN_VERSION);
                return finish_output(KILN_OK);
        }
        if (strcmp(argv[1], "--dump-options") == 0) {
                _cleanup_free_ char *json = kiln_options_dump(commands);

                fputs(json, stdout);
                return finish_output(KILN_OK);
        }
        for (size_t i = 0; commands[i]; i++)
                if (strcmp(argv[1], commands[i]->name) == 0)
                        return finish_output(run(commands[i], argc - 1, argv + 1));
        return unknown_command(commands, argv[1]);
}
