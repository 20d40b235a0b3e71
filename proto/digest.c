#include "proto/message.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int sha256_hex(const void *data, size_t len, char hex[65])
{
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned n = 0;

        if (EVP_Digest(data, len, digest, &n, EVP_sha256(), NULL) != 1 || n != 32)
                return -EIO;
        for (unsigned i = 0; i < n; i++)
                snprintf(hex + 2 * (size_t)i, 3, "%02x", digest[i]);
        return 0;
}

int kiln_build_digest(const Kiln__V1__Build *build, char hex[65], struct kiln_message_error *err)
{
        unsigned char *data = NULL;
        size_t len = 0;
        int r = kiln_message_pack(&build->base, &data, &len, err);

        if (r < 0)
                return r;
        r = sha256_hex(data, len, hex);
        free(data);
        return r;
}

static int line_compare(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool digest_ok(const char *s)
{
        return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

/* The artefact's line in what outputs_digest covers, "" when it does not count, NULL when a digest is
 * missing. */
static const char *artefact_line(const Kiln__V1__Artefact *a, char line[256])
{
        const char *kind = NULL;

        switch (a->kind) {
        case KILN__V1__ARTEFACT__KIND__RPM:
        case KILN__V1__ARTEFACT__KIND__SRPM:
                if (!digest_ok(a->header_sha256) || !digest_ok(a->payload_sha256))
                        return NULL;
                snprintf(line, 256, "rpm %s %s\n", a->header_sha256, a->payload_sha256);
                return line;
        case KILN__V1__ARTEFACT__KIND__SPDX:
        case KILN__V1__ARTEFACT__KIND__CYCLONEDX:
                kind = "sbom";
                break;
        case KILN__V1__ARTEFACT__KIND__LOCK:
                kind = "lock";
                break;
        default:
                return "";
        }
        if (!digest_ok(a->sha256))
                return NULL;
        snprintf(line, 256, "%s %s\n", kind, a->sha256);
        return line;
}

int kiln_outputs_digest(const Kiln__V1__BuildResult *result, char hex[65], struct kiln_message_error *err)
{
        size_t n = 0, len = 0;
        char **lines = calloc(result->n_artefacts + 1, sizeof(*lines)), *all = NULL;
        int r = -ENOMEM;

        if (!lines)
                return r;
        for (size_t i = 0; i < result->n_artefacts; i++) {
                char buffer[256];
                const char *line = artefact_line(result->artefacts[i], buffer);

                if (!line) {
                        if (err)
                                snprintf(err->text, sizeof(err->text),
                                        "artefacts[%zu] (%s): a digest is missing", i,
                                        result->artefacts[i]->name);
                        r = -EINVAL;
                        goto out;
                }
                if (!*line)
                        continue;
                lines[n] = strdup(line);
                if (!lines[n])
                        goto out;
                len += strlen(lines[n++]);
        }
        qsort(lines, n, sizeof(*lines), line_compare);
        all = malloc(len + 1);
        if (!all)
                goto out;
        for (size_t i = 0, at = 0; i < n; i++) {
                size_t one = strlen(lines[i]);

                memcpy(all + at, lines[i], one);
                at += one;
        }
        r = sha256_hex(all, len, hex);
out:
        for (size_t i = 0; i < n; i++)
                free(lines[i]);
        free(lines);
        free(all);
        return r;
}
