/* repomd.xml, metalinks and mirror lists: what a repository says about itself. Pure parsing of outside bytes,
 * also for the fuzzer. */
#pragma once

#include "worker/base/digest.h"
#include "worker/base/error.h"

#include <stddef.h>
#include <stdint.h>

#define KILN_REPOMD_BYTES_MAX ((size_t)4 << 20)
#define KILN_METALINK_BYTES_MAX ((size_t)4 << 20)

/* One metadata file. location is NULL when the repository has none of that kind. */
struct kiln_repomd_file {
        char *location; /* below the base URL, checked by kiln_location_is_safe() */
        struct kiln_digest sha256;
        uint64_t size_bytes;      /* 0: not said */
        uint64_t open_size_bytes; /* uncompressed; 0: not said */
};

struct kiln_repomd {
        struct kiln_repomd_file primary, filelists;
};

/* BAD is what the caller makes of it: the error is INFRA, since another mirror may do better. */
int kiln_repomd_parse(
        const char *xml, size_t len, const char *name, struct kiln_repomd *ret, struct kiln_error *err);
void kiln_repomd_clear(struct kiln_repomd *r);

struct kiln_metalink {
        char **base_urls;           /* best first; NULL-terminated */
        struct kiln_digest *sha256; /* of the repomd.xml files that may be accepted */
        size_t n_sha256;
};

int kiln_metalink_parse(
        const char *xml, size_t len, const char *name, struct kiln_metalink *ret, struct kiln_error *err);
void kiln_metalink_clear(struct kiln_metalink *m);

/* One base URL a line, '#' begins a comment; what is no http, https or file URL is left out. */
char **kiln_mirrorlist_parse(const char *text, size_t len);
