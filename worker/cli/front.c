/* The program `kiln` as it is started: the bare sandbox, and the way to everything else.
 *
 * Loading the libraries that building, solving and signing need takes longer than setting a sandbox up. What
 * needs none of them runs here; for the rest this process becomes the whole program (main.c) with the same
 * arguments. It must stay free of what main.c is linked with. */
#include "worker/base/error.h"
#include "worker/base/mem.h"
#include "worker/cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct kiln_command *const light[] = {&kiln_command_sandbox, NULL};

/* Beside this file: in the build directory, or as installed. KILN_WHOLE may be absolute. */
static const char *const places[] = {"whole/kiln", KILN_WHOLE};

static int become_whole(char **argv)
{
        char self[4096];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

        if (n < 0) {
                fprintf(stderr, "kiln: INFRA: looking for the program: /proc/self/exe: %s\n",
                        strerror(errno));
                return KILN_INFRA;
        }
        self[n] = '\0';
        *strrchr(self, '/') = '\0';
        for (size_t i = 0; i < KILN_ARRAY_SIZE(places); i++) {
                _cleanup_free_ char *path = places[i][0] == '/' ? kiln_strdup(places[i])
                                                                : kiln_asprintf("%s/%s", self, places[i]);

                execv(path, argv);
                if (errno != ENOENT && errno != ENOTDIR)
                        break;
        }
        fprintf(stderr,
                "kiln: INFRA: starting the program: cannot execute %s: %s\n"
                "The installation is not complete: install Kiln again.\n",
                KILN_WHOLE, strerror(errno));
        return KILN_INFRA;
}

int main(int argc, char **argv)
{
        if (argc >= 2 && strcmp(argv[1], kiln_command_sandbox.name) == 0)
                return kiln_cli_main(light, argc, argv);
        return become_whole(argv);
}
