/* Any bytes become text that steers no terminal: no control character but line ends, and cleaning twice is
 * cleaning once. */
#include "worker/base/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        for (unsigned flags = 0; flags < 4; flags++) {
                _cleanup_buf_ struct kiln_buf once = KILN_BUF_INIT, twice = KILN_BUF_INIT;

                kiln_text_clean(&once, (const char *)data, size, flags);
                for (size_t i = 0; i < once.len; i++) {
                        unsigned char c = (unsigned char)once.data[i];

                        if ((c < 0x20 && !(c == '\n' && (flags & KILN_TEXT_LINES))) || c == 0x7f ||
                                (c > 0x7e && (flags & KILN_TEXT_ASCII)))
                                abort();
                }
                kiln_text_clean(&twice, kiln_buf_str(&once), once.len, flags);
                if (once.len != twice.len || strcmp(kiln_buf_str(&once), kiln_buf_str(&twice)) != 0)
                        abort();
                for (size_t columns = 0; columns < 100; columns += 7) {
                        size_t fit = kiln_text_fit(kiln_buf_str(&once), columns);

                        if (fit > once.len || fit > 4 * columns)
                                abort();
                }
        }
        return 0;
}
