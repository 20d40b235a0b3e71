/* Package URLs of RPMs (github.com/package-url/purl-spec, type "rpm"). */
#pragma once

#include <stdint.h>

/* "pkg:rpm/fedora/gcc-c%2B%2B@14.2.1-3.fc43?arch=x86_64&epoch=1"; vendor may be NULL or "", epoch 0 is left
 * out. The caller's. */
char *kiln_purl_rpm(const char *vendor, const char *name, uint32_t epoch, const char *version,
        const char *release, const char *arch);
