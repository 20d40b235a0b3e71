/* Runs a fuzz target over the files of the directories given, in the order of their names: what libFuzzer
 * does with -runs=0, for compilers that have none. */
#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_BYTES_MAX ((size_t)16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int is_name(const struct dirent *de)
{
        return de->d_name[0] != '.';
}

static void replay(int dir_fd, const char *name)
{
        _cleanup_buf_ struct kiln_buf input = KILN_BUF_INIT;
        _cleanup_free_ uint8_t *exact = NULL;
        int r = kiln_file_read(dir_fd, name, INPUT_BYTES_MAX, &input);

        if (r < 0) {
                fprintf(stderr, "%s: %s\n", name, strerror(-r));
                exit(2);
        }
        /* In memory of exactly this size, so that a sanitizer sees the first byte behind it. */
        exact = kiln_malloc(input.len ? input.len : 1);
        if (input.len)
                memcpy(exact, input.data, input.len);
        fprintf(stderr, "%s\n", name);
        LLVMFuzzerTestOneInput(exact, input.len);
}

int main(int argc, char **argv)
{
        unsigned files = 0;

        for (int i = 1; i < argc; i++) {
                _cleanup_close_ int dir_fd = open(argv[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                struct dirent **entries;
                int n = scandir(argv[i], &entries, is_name, alphasort);

                if (dir_fd < 0 || n < 0) {
                        fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
                        return 2;
                }
                for (int k = 0; k < n; k++, files++) {
                        replay(dir_fd, entries[k]->d_name);
                        free(entries[k]);
                }
                free(entries);
        }
        return files == 0;
}
