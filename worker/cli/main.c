/* The whole program: every subcommand, and every library they need. front.c is what a user starts. */
#include "worker/cli/cli.h"

/* The commands whose file exists, in the order of kiln --help; made by meson.build. */
static const struct kiln_command *const commands[] = {
#include "worker/cli/commands.inc"
        NULL,
};

#ifdef __SANITIZE_ADDRESS__
/* The signer has an environment of its own, and a filter under which leaks cannot be looked for; the unit
 * tests look for them. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
        return "detect_leaks=0";
}
#endif

int main(int argc, char **argv)
{
        return kiln_cli_main(commands, argc, argv);
}
