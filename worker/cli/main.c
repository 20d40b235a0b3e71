/* The whole program: every subcommand, and every library they need. front.c is what a user starts. */
#include "worker/cli/cli.h"

/* The commands whose file exists, in the order of kiln --help; made by meson.build. */
static const struct kiln_command *const commands[] = {
#include "worker/cli/commands.inc"
        NULL,
};

int main(int argc, char **argv)
{
        return kiln_cli_main(commands, argc, argv);
}
