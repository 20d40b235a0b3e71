/* RPM files of arbitrary bytes: read and verified; and, as they come, as an SRPM's payload that is unpacked.
 */
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/source/rpmlayout.h"
#include "worker/source/srpm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void payload_unpack(int fd, uint64_t offset)
{
        static const struct kiln_source_limits limits = {.files = 64, .bytes = 1 << 20};
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        char dir[] = "/tmp/kiln-fuzz-XXXXXX";
        _cleanup_close_ int out = -1;

        if (!mkdtemp(dir))
                abort();
        out = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        (void)kiln_source_unpack(fd, offset, "fuzz.src.rpm", out, &limits, &err);
        if (kiln_tree_remove(AT_FDCWD, dir) < 0)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const uint8_t magic[4] = {0xed, 0xab, 0xee, 0xdb};
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *rpm = NULL;
        _cleanup_layout_ struct kiln_rpm_layout layout = {0};
        _cleanup_close_ int fd = memfd_create("fuzz", MFD_CLOEXEC);

        if (fd < 0 || kiln_fd_write(fd, data, size) < 0)
                return 0;
        if (size < 4 || memcmp(data, magic, 4) != 0) {
                payload_unpack(fd, 0);
                return 0;
        }
        /* Payloads of format 6 refer to the header: with digests to be met, hardly an input would come that
         * far. */
        if (kiln_rpm_layout_read(fd, "fuzz.rpm", &layout, NULL) == 0)
                payload_unpack(fd, layout.payload_offset);
        if (kiln_rpm_open(fd, "fuzz.rpm", NULL, &rpm, &err) < 0) {
                if (err.verdict != KILN_BAD_INPUT)
                        abort();
                return 0;
        }
        if (rpm->signature == KILN_RPM_SIGNED) /* by whom? there is no key */
                abort();
        if (rpm->source) {
                free(kiln_srpm_dist(rpm->release));
                (void)kiln_srpm_check_arch(rpm, "x86_64", &err);
                payload_unpack(fd, rpm->payload_offset);
        }
        return 0;
}
