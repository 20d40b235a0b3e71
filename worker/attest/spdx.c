/* SPDX 2.3 in JSON (spdx.github.io/spdx-spec/v2.3, schemas/spdx-schema.json): relationships as
 * docs/attestations.md lists them. */
#include "worker/attest/sbom.h"

#include "worker/base/mem.h"
#include "worker/base/paths.h"

#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>

#define SOURCE_ID "SPDXRef-Source"

struct document {
        json_t *packages, *files, *relationships, *extracted;
};

static void relate(struct document *d, const char *from, const char *type, const char *to)
{
        json_array_append_new(d->relationships, json_pack("{s:s, s:s, s:s}", "spdxElementId", from,
                                                        "relationshipType", type, "relatedSpdxElement", to));
}

static json_t *checksum(const char *algorithm, const char *hex)
{
        return json_pack("{s:s, s:s}", "algorithm", algorithm, "checksumValue", hex);
}

static json_t *purl_reference(const char *purl)
{
        return json_pack("[{s:s, s:s, s:s}]", "referenceCategory", "PACKAGE-MANAGER", "referenceType", "purl",
                "referenceLocator", purl);
}

/* Each LicenseRef- once in the whole document, with its text. */
static void add_license(struct document *d, json_t *package, const struct kiln_license *l)
{
        json_object_set_new(
                package, "licenseDeclared", json_string(l->expression ? l->expression : "NOASSERTION"));
        json_object_set_new(package, "licenseConcluded", json_string("NOASSERTION"));
        json_object_set_new(package, "copyrightText", json_string("NOASSERTION"));
        for (size_t i = 0; i < l->n_refs; i++) {
                const json_t *known;
                bool found = false;
                size_t at;

                json_array_foreach(d->extracted, at, known) found =
                        found ||
                        strcmp(json_string_value(json_object_get(known, "licenseId")), l->refs[i].id) == 0;
                if (!found)
                        json_array_append_new(d->extracted,
                                json_pack("{s:s, s:o, s:s}", "licenseId", l->refs[i].id, "extractedText",
                                        kiln_sbom_text(l->refs[i].text), "name", l->refs[i].id));
        }
}

static int compare_hex(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Package verification code (section 7.9): SHA-1 over the files' sorted SHA-1s. */
static void verification_code(const struct kiln_scan *scan, char hex[KILN_SHA1_HEX + 1])
{
        _cleanup_free_ const char **sums = kiln_calloc(scan->n_files + 1, sizeof(*sums));
        _cleanup_buf_ struct kiln_buf all = KILN_BUF_INIT;
        unsigned char digest[20];
        size_t n = 0;

        for (size_t i = 0; i < scan->n_files; i++)
                if (S_ISREG(scan->files[i].mode))
                        sums[n++] = scan->files[i].sha1;
        qsort(sums, n, sizeof(*sums), compare_hex);
        for (size_t i = 0; i < n; i++)
                kiln_buf_puts(&all, sums[i]);
        if (EVP_Digest(kiln_buf_str(&all), all.len, digest, NULL, EVP_sha1(), NULL) != 1)
                abort(); /* SHA-1 is in OpenSSL's default provider */
        kiln_hex_encode(digest, sizeof(digest), hex);
}

static void add_files(
        struct document *d, json_t *package, const char *id, size_t index, const struct kiln_sbom_package *p)
{
        char code[KILN_SHA1_HEX + 1];
        size_t n = 0;

        for (size_t i = 0; i < p->scan->n_files; i++) {
                const struct kiln_scan_file *f = &p->scan->files[i];
                _cleanup_free_ char *file_id = kiln_asprintf("SPDXRef-File-%zu-%zu", index, n + 1);
                enum kiln_sbom_use use;
                json_t *name, *file;

                if (!S_ISREG(f->mode))
                        continue;
                n++;
                /* Relative to the package's root (section 8.1). */
                name = json_sprintf("./%s", f->path[0] == '/' ? f->path + 1 : f->path);
                if (!name) {
                        _cleanup_free_ char *dotted =
                                kiln_asprintf("./%s", f->path[0] == '/' ? f->path + 1 : f->path);

                        name = kiln_sbom_text(dotted);
                }
                file = json_pack("{s:s, s:o, s:[o, o], s:s, s:[s], s:s}", "SPDXID", file_id, "fileName", name,
                        "checksums", checksum("SHA1", f->sha1), checksum("SHA256", f->sha256),
                        "licenseConcluded", "NOASSERTION", "licenseInfoInFiles", "NOASSERTION",
                        "copyrightText", "NOASSERTION");
                use = kiln_sbom_source_use(p, f->path);
                if (use != KILN_SBOM_UNKNOWN)
                        json_object_set_new(file, "comment",
                                json_string(use == KILN_SBOM_OPENED ? "opened by the build"
                                                                    : "not opened by the build"));
                json_array_append_new(d->files, file);
                relate(d, id, "CONTAINS", file_id);
                if (p->rpm->source && kiln_sbom_is_patch(p->rpm, f->path))
                        relate(d, file_id, "PATCH_FOR", id);
        }
        /* A package without files has nothing that could have been analysed. */
        json_object_set_new(package, "filesAnalyzed", json_boolean(n > 0));
        if (n > 0) {
                verification_code(p->scan, code);
                json_object_set_new(package, "packageVerificationCode",
                        json_pack("{s:s}", "packageVerificationCodeValue", code));
                json_object_set_new(package, "licenseInfoFromFiles", json_pack("[s]", "NOASSERTION"));
        }
}

static void add_package(struct document *d, const struct kiln_sbom *s, const struct kiln_sbom_package *p,
        const char *id, size_t index)
{
        const struct kiln_rpm *r = p->rpm;
        _cleanup_free_ char *digests = kiln_asprintf(
                "rpm header SHA-256: %s; payload SHA-256: %s", r->header_sha256, r->payload_sha256);
        json_t *j = json_pack("{s:s, s:o, s:o, s:o, s:s, s:s, s:o, s:s}", "SPDXID", id, "name",
                kiln_sbom_text(r->name), "versionInfo", kiln_sbom_text(p->version), "packageFileName",
                kiln_sbom_text(p->file_name), "downloadLocation", "NOASSERTION", "primaryPackagePurpose",
                r->source ? "SOURCE" : "INSTALL", "externalRefs", purl_reference(p->purl), "comment",
                digests);

        if (s->vendor && *s->vendor) {
                _cleanup_free_ char *supplier = kiln_asprintf("Organization: %s", s->vendor);

                json_object_set_new(j, "supplier", kiln_sbom_text(supplier));
        } else {
                json_object_set_new(j, "supplier", json_string("NOASSERTION"));
        }
        if (r->summary && *r->summary)
                json_object_set_new(j, "summary", kiln_sbom_text(r->summary));
        if (r->url && (strncmp(r->url, "https://", 8) == 0 || strncmp(r->url, "http://", 7) == 0) &&
                !strpbrk(r->url, " \t\n"))
                json_object_set_new(j, "homepage", kiln_sbom_text(r->url));
        add_license(d, j, &p->license);
        add_files(d, j, id, index, p);
        json_array_append_new(d->packages, j);
}

static void add_dependency(struct document *d, const struct kiln_sbom_dependency *dep, const char *id)
{
        const struct kiln_locked_package *p = dep->locked;
        char hex[KILN_DIGEST_HEX + 1];
        json_t *j;

        kiln_digest_to_hex(&p->sha256, hex);
        j = json_pack("{s:s, s:o, s:o, s:o, s:b, s:[o], s:o}", "SPDXID", id, "name", kiln_sbom_text(p->name),
                "versionInfo", kiln_sbom_text(dep->version), "downloadLocation",
                dep->url ? kiln_sbom_text(dep->url) : json_string("NOASSERTION"), "filesAnalyzed", 0,
                "checksums", checksum("SHA256", hex), "externalRefs", purl_reference(dep->purl));
        if (dep->use != KILN_SBOM_UNKNOWN)
                json_object_set_new(j, "comment",
                        json_string(dep->use == KILN_SBOM_OPENED ? "opened by the build"
                                                                 : "installed, not opened by the build"));
        add_license(d, j, &dep->license);
        json_array_append_new(d->packages, j);
        relate(d, id, "BUILD_DEPENDENCY_OF", SOURCE_ID);
}

json_t *kiln_spdx_write(const struct kiln_sbom *s)
{
        struct document d = {json_array(), json_array(), json_array(), json_array()};
        char digest[KILN_DIGEST_HEX + 1];
        json_t *document;

        relate(&d, "SPDXRef-DOCUMENT", "DESCRIBES", SOURCE_ID);
        add_package(&d, s, &s->source, SOURCE_ID, 0);
        for (size_t i = 0; i < s->n_packages; i++) {
                _cleanup_free_ char *id = kiln_asprintf("SPDXRef-Package-%zu", i + 1);

                add_package(&d, s, &s->packages[i], id, i + 1);
                relate(&d, id, "GENERATED_FROM", SOURCE_ID);
        }
        for (size_t i = 0; i < s->n_dependencies; i++) {
                _cleanup_free_ char *id = kiln_asprintf("SPDXRef-Buildroot-%zu", i + 1);

                add_dependency(&d, &s->dependencies[i], id);
        }
        kiln_digest_to_hex(&s->build_digest, digest);
        document = json_pack("{s:s, s:s, s:s, s:o, s:o, s:{s:s, s:[s]}, s:o, s:o, s:o}", "spdxVersion",
                "SPDX-2.3", "dataLicense", "CC0-1.0", "SPDXID", "SPDXRef-DOCUMENT", "name",
                kiln_sbom_text(s->name), "documentNamespace", json_sprintf("urn:kiln:spdx:%s", digest),
                "creationInfo", "created", s->created, "creators", "Tool: kiln-" KILN_VERSION, "packages",
                d.packages, "files", d.files, "relationships", d.relationships);
        if (json_array_size(d.extracted) > 0)
                json_object_set(document, "hasExtractedLicensingInfos", d.extracted);
        json_decref(d.extracted);
        return document;
}
