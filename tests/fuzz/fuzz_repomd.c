/* What a repository says about itself. The first byte chooses: 'm' a metalink, 'l' a mirror list, else
 * repomd.xml (with its first byte). Nothing accepted leaves the repository or names another kind of URL. */
#include "worker/base/mem.h"
#include "worker/buildroot/lock.h"
#include "worker/buildroot/repomd.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void urls_check(char **urls)
{
        for (char **u = urls; u && *u; u++)
                if (strncasecmp(*u, "http://", 7) != 0 && strncasecmp(*u, "https://", 8) != 0 &&
                        strncasecmp(*u, "file://", 7) != 0)
                        abort();
}

static void location_check(const struct kiln_repomd_file *f)
{
        if (f->location && !kiln_location_is_safe(f->location))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        const char *text = (const char *)data;

        if (size > 0 && text[0] == 'm') {
                _cleanup_(kiln_metalink_clear) struct kiln_metalink link = {0};

                if (kiln_metalink_parse(text + 1, size - 1, "metalink", &link, &err) == 0)
                        urls_check(link.base_urls);
        } else if (size > 0 && text[0] == 'l') {
                _cleanup_strv_ char **urls = kiln_mirrorlist_parse(text + 1, size - 1);

                urls_check(urls);
        } else {
                _cleanup_(kiln_repomd_clear) struct kiln_repomd repomd = {0};

                if (kiln_repomd_parse(text, size, "repomd.xml", &repomd, &err) == 0) {
                        location_check(&repomd.primary);
                        location_check(&repomd.filelists);
                }
        }
        return 0;
}
