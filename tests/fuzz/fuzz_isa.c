/* The ISA check over arbitrary bytes: an ELF file, an ar archive or, behind an RPM's magic, a package. */
#include "worker/attest/isa/isa.h"
#include "worker/base/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const uint8_t rpm_magic[4] = {0xed, 0xab, 0xee, 0xdb};
        static const struct kiln_isa_limits limits = {1 << 20, 4 << 20, 1000};
        _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_close_ int fd = memfd_create("fuzz", MFD_CLOEXEC);

        if (fd < 0 || kiln_fd_write(fd, data, size) < 0)
                return 0;
        if (size >= 4 && memcmp(data, rpm_magic, 4) == 0)
                (void)kiln_isa_check_rpm(fd, "fuzz.rpm", &limits, &report, &err);
        else if (kiln_isa_check_fd(fd, "fuzz", &limits, &report, &err) < 0)
                abort(); /* what a file contains is never an error of ours */

        for (int level = KILN_ISA_NONE; level < KILN_ISA_LEVELS; level++) {
                _cleanup_json_ json_t *j = kiln_isa_report_json(&report, (enum kiln_isa_level)level);
                _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;

                kiln_json_canonical(j, &text);
                for (size_t i = 0; i < report.n_files; i++)
                        free(kiln_isa_explain(&report.files[i], (enum kiln_isa_level)level));
        }
        return 0;
}
