/* Overlay and spec of arbitrary bytes: the overlay, then a NUL, then the spec it is applied to. */
#include "worker/base/file.h"
#include "worker/source/overlay.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_(kiln_overlay_freep) struct kiln_overlay *o = NULL;
        const uint8_t *end = size ? memchr(data, 0, size) : NULL;
        size_t len = end ? (size_t)(end - data) : size;
        char dir[] = "/tmp/kiln-fuzz-XXXXXX";
        _cleanup_close_ int fd = -1;

        if (kiln_overlay_parse("fuzz.toml", (const char *)data, len, &o, &err) < 0) {
                if (err.verdict != KILN_BAD_INPUT)
                        abort();
                return 0;
        }
        (void)kiln_overlay_metadata(o);
        if (!mkdtemp(dir))
                abort();
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (kiln_file_write(fd, "fuzz.spec", end ? end + 1 : data, end ? size - len - 1 : 0, 0644) < 0 ||
                kiln_file_write(fd, "one.patch", "a\n", 2, 0644) < 0)
                abort();
        if (kiln_overlay_apply(o, fd, "fuzz.spec", &err) < 0 && err.verdict != KILN_BAD_INPUT)
                abort();
        if (kiln_tree_remove(AT_FDCWD, dir) < 0)
                abort();
        return 0;
}
