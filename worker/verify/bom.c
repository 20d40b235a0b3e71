#include "worker/verify/bom.h"

#include "worker/attest/purl.h"
#include "worker/attest/sbom.h"
#include "worker/base/mem.h"
#include "worker/base/number.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define PURL_PREFIX "pkg:rpm/"
#define FILE_GHOST (1u << 6) /* RPMFILE_GHOST: in the header, not in the payload */

void kiln_bom_free(struct kiln_bom *b)
{
        if (!b)
                return;
        for (size_t i = 0; i < b->n_packages; i++) {
                for (size_t k = 0; k < b->packages[i].n_files; k++)
                        free(b->packages[i].files[k].path);
                free(b->packages[i].files);
                free(b->packages[i].file_name);
                free(b->packages[i].purl);
        }
        for (size_t i = 0; i < b->n_dependencies; i++)
                free(b->dependencies[i]);
        free(b->packages);
        free(b->dependencies);
        free(b->vendor);
        free(b->document);
        free(b);
}

/* ---- reading: what both formats share ---------------------------------------------------------------- */

struct reader {
        const char *name;
        struct kiln_error *err;
        struct kiln_bom *b;
};

static int bad(const struct reader *r, const char *what)
{
        return kiln_error_set(r->err, KILN_BAD_INPUT, 0, "reading the SBOM in", r->name,
                "it is no %s document that Kiln writes: %s", r->b->format, what);
}

/* The element of a list of objects whose member `key` is `value`. */
static const json_t *element(const json_t *list, const char *key, const char *value)
{
        const json_t *one;
        size_t i;

        json_array_foreach(list, i, one)
        {
                const char *is = kiln_json_string(one, key);

                if (is && strcmp(is, value) == 0)
                        return one;
        }
        return NULL;
}

/* Hexadecimal of exactly this many digits; false: it is not. */
static bool take_hex(const char *hex, size_t digits, char *to)
{
        if (!hex || strlen(hex) != digits || strspn(hex, "0123456789abcdef") != digits)
                return false;
        memcpy(to, hex, digits + 1);
        return true;
}

/* Splits the vendor off, which has to be the same everywhere. NULL: no package URL of an RPM, or another. */
static char *take_purl(struct kiln_bom *b, const char *purl)
{
        size_t vendor;
        const char *name, *slash;

        if (!purl || strncmp(purl, PURL_PREFIX, strlen(PURL_PREFIX)) != 0)
                return NULL;
        purl += strlen(PURL_PREFIX);
        slash = strchr(purl, '/');
        name = slash ? slash + 1 : purl;
        vendor = slash ? (size_t)(slash - purl) : 0;
        if (!b->vendor)
                b->vendor = kiln_strndup(purl, vendor);
        return strlen(b->vendor) == vendor && strncmp(b->vendor, purl, vendor) == 0 ? kiln_strdup(name)
                                                                                    : NULL;
}

static int compare_files(const void *a, const void *b)
{
        const struct kiln_bom_file *x = a, *y = b;
        int c = strcmp(x->path, y->path);

        return c ? c : strcmp(x->sha256, y->sha256);
}

static void sort_files(struct kiln_bom_package *p)
{
        if (p->n_files)
                qsort(p->files, p->n_files, sizeof(*p->files), compare_files);
}

/* checksums and hashes have one form, but for the names of members and algorithms. */
static int add_file(struct reader *r, struct kiln_bom_package *p, const char *path, const json_t *sums,
        const char *algorithm, const char *sha1, const char *sha256, const char *value)
{
        struct kiln_bom_file *f;

        if (!path)
                return bad(r, "a file has no name");
        f = KILN_APPEND(p->files, p->n_files);
        if (path[0] == '.' && path[1] == '/')
                path++;
        f->path = kiln_strdup(path[0] == '/' ? path + 1 : path);
        if (!take_hex(kiln_json_string(element(sums, algorithm, sha1), value), KILN_SHA1_HEX, f->sha1) ||
                !take_hex(kiln_json_string(element(sums, algorithm, sha256), value), KILN_DIGEST_HEX,
                        f->sha256))
                return bad(r, "a file has no SHA-1 and SHA-256");
        return 0;
}

static int add_dependency(struct reader *r, const char *sha256, const char *purl)
{
        _cleanup_free_ char *name = take_purl(r->b, purl);
        char hex[KILN_DIGEST_HEX + 1];

        if (!name || !take_hex(sha256, KILN_DIGEST_HEX, hex))
                return bad(
                        r, "a package of the build root has no package URL of the same vendor and SHA-256");
        *KILN_APPEND(r->b->dependencies, r->b->n_dependencies) = kiln_asprintf("%s %s", hex, name);
        return 0;
}

/* The last step of reading. */
static int finish(struct reader *r, const char *document, struct kiln_bom **ret)
{
        if (!document || r->b->n_packages == 0)
                return bad(r, "it names no document and package");
        r->b->document = kiln_strdup(document);
        for (size_t i = 0; i < r->b->n_packages; i++)
                sort_files(&r->b->packages[i]);
        if (r->b->n_dependencies)
                qsort(r->b->dependencies, r->b->n_dependencies, sizeof(*r->b->dependencies), kiln_strcmp_ptr);
        *ret = TAKE_PTR(r->b);
        return 0;
}

/* ---- SPDX -------------------------------------------------------------------------------------------- */

/* Ids of packages and files, to look up what relationships speak of. */
struct spdx {
        struct reader r;
        json_t *indices;  /* SPDXID of a package of ours: its index in b->packages */
        json_t *elements; /* SPDXID of other packages, and of files that no package claimed yet */
};

static int spdx_package(struct spdx *s, const json_t *j)
{
        static const char comment[] = "rpm header SHA-256: %64[0-9a-f]; payload SHA-256: %64[0-9a-f]";
        const char *id = kiln_json_string(j, "SPDXID"), *file = kiln_json_string(j, "packageFileName"),
                   *digests = kiln_json_string(j, "comment");
        struct kiln_bom_package *p;

        if (!id || json_object_get(s->indices, id) || json_object_get(s->elements, id))
                return bad(&s->r, "a package has no SPDXID of its own");
        if (!file)
                return json_object_set(s->elements, id, (json_t *)j);
        json_object_set_new(s->indices, id, json_integer((json_int_t)s->r.b->n_packages));
        p = KILN_APPEND(s->r.b->packages, s->r.b->n_packages);
        p->file_name = kiln_strdup(file);
        p->purl = take_purl(
                s->r.b, kiln_json_string(element(json_object_get(j, "externalRefs"), "referenceType", "purl"),
                                "referenceLocator"));
        if (!p->purl || !digests || sscanf(digests, comment, p->header, p->payload) != 2)
                return bad(
                        &s->r, "a package has no package URL of the same vendor, header and payload digest");
        return 0;
}

static int spdx_contains(struct spdx *s, const char *from, const char *to)
{
        const json_t *index = json_object_get(s->indices, from), *file = json_object_get(s->elements, to);
        struct kiln_bom_package *p;
        int rc;

        if (!index || !file)
                return bad(
                        &s->r, "CONTAINS is not about a package and a file that no other package contains");
        p = &s->r.b->packages[json_integer_value(index)];
        rc = add_file(&s->r, p, kiln_json_string(file, "fileName"), json_object_get(file, "checksums"),
                "algorithm", "SHA1", "SHA256", "checksumValue");
        json_object_del(s->elements, to);
        return rc;
}

static int spdx_relationship(struct spdx *s, const json_t *j)
{
        const char *from = kiln_json_string(j, "spdxElementId"),
                   *type = kiln_json_string(j, "relationshipType"),
                   *to = kiln_json_string(j, "relatedSpdxElement");
        const json_t *dependency;
        int rc;

        if (!from || !type || !to)
                return bad(&s->r, "a relationship is not complete");
        if (strcmp(type, "CONTAINS") == 0)
                return spdx_contains(s, from, to);
        if (strcmp(type, "BUILD_DEPENDENCY_OF") != 0)
                return 0;
        dependency = json_object_get(s->elements, from);
        rc = add_dependency(&s->r,
                kiln_json_string(element(json_object_get(dependency, "checksums"), "algorithm", "SHA256"),
                        "checksumValue"),
                kiln_json_string(
                        element(json_object_get(dependency, "externalRefs"), "referenceType", "purl"),
                        "referenceLocator"));
        json_object_del(s->elements, from);
        return rc;
}

int kiln_bom_read_spdx(
        const json_t *document, const char *name, struct kiln_bom **ret, struct kiln_error *err)
{
        _cleanup_(kiln_bom_freep) struct kiln_bom *b = kiln_calloc(1, sizeof(*b));
        _cleanup_json_ json_t *indices = json_object(), *elements = json_object();
        struct spdx s = {{name, err, b}, indices, elements};
        const char *version = kiln_json_string(document, "spdxVersion");
        const json_t *one;
        size_t i;
        int rc = 0;

        b->format = "SPDX";
        if (!version || strcmp(version, "SPDX-2.3") != 0)
                return bad(&s.r, "its version is not SPDX-2.3");
        json_array_foreach(json_object_get(document, "packages"), i, one)
        {
                rc = spdx_package(&s, one);
                if (rc < 0)
                        return rc;
        }
        json_array_foreach(json_object_get(document, "files"), i, one)
        {
                const char *id = kiln_json_string(one, "SPDXID");

                if (!id || json_object_get(elements, id))
                        return bad(&s.r, "a file has no SPDXID of its own");
                json_object_set(elements, id, (json_t *)one);
        }
        json_array_foreach(json_object_get(document, "relationships"), i, one)
        {
                rc = spdx_relationship(&s, one);
                if (rc < 0)
                        return rc;
        }
        if (json_object_size(elements) > 0)
                return bad(&s.r, "a file or package stands in no relationship");
        rc = finish(&s.r, kiln_json_string(document, "documentNamespace"), ret);
        b = s.r.b;
        return rc;
}

/* ---- CycloneDX --------------------------------------------------------------------------------------- */

static int cyclonedx_package(struct reader *r, const json_t *j)
{
        const json_t *properties = json_object_get(j, "properties"), *file;
        const char *name = kiln_json_string(element(properties, "name", "kiln:rpm:file"), "value");
        struct kiln_bom_package *p = KILN_APPEND(r->b->packages, r->b->n_packages);
        size_t i;

        p->purl = take_purl(r->b, kiln_json_string(j, "purl"));
        if (!name || !p->purl ||
                !take_hex(kiln_json_string(element(properties, "name", "kiln:rpm:headerSha256"), "value"),
                        KILN_DIGEST_HEX, p->header) ||
                !take_hex(kiln_json_string(element(properties, "name", "kiln:rpm:payloadSha256"), "value"),
                        KILN_DIGEST_HEX, p->payload))
                return bad(r, "a package has no package URL of the same vendor, header and payload digest");
        p->file_name = kiln_strdup(name);
        json_array_foreach(json_object_get(j, "components"), i, file)
        {
                int rc = add_file(r, p, kiln_json_string(file, "name"), json_object_get(file, "hashes"),
                        "alg", "SHA-1", "SHA-256", "content");

                if (rc < 0)
                        return rc;
        }
        return 0;
}

int kiln_bom_read_cyclonedx(
        const json_t *document, const char *name, struct kiln_bom **ret, struct kiln_error *err)
{
        _cleanup_(kiln_bom_freep) struct kiln_bom *b = kiln_calloc(1, sizeof(*b));
        struct reader r = {name, err, b};
        const char *version = kiln_json_string(document, "specVersion");
        const json_t *one;
        size_t i;
        int rc;

        b->format = "CycloneDX";
        if (!version || strcmp(version, "1.6") != 0)
                return bad(&r, "its version is not 1.6");
        rc = cyclonedx_package(&r, json_object_get(json_object_get(document, "metadata"), "component"));
        json_array_foreach(json_object_get(document, "components"), i, one) if (rc == 0) rc =
                cyclonedx_package(&r, one);
        one = json_object_get(json_array_get(json_object_get(document, "formulation"), 0), "components");
        for (i = 0; rc == 0 && i < json_array_size(one); i++) {
                const json_t *d = json_array_get(one, i);

                rc = add_dependency(&r,
                        kiln_json_string(element(json_object_get(d, "hashes"), "alg", "SHA-256"), "content"),
                        kiln_json_string(d, "purl"));
        }
        if (rc == 0)
                rc = finish(&r, kiln_json_string(document, "serialNumber"), ret);
        b = r.b;
        return rc;
}

/* ---- comparing --------------------------------------------------------------------------------------- */

struct comparison {
        const struct kiln_bom *b;
        const char *name, *package;
        struct kiln_error *err;
};

static int _printf_(2, 3) differs(const struct comparison *c, const char *fmt, ...)
{
        _cleanup_free_ char *cause = NULL;
        va_list ap;

        va_start(ap, fmt);
        cause = kiln_vasprintf(fmt, ap);
        va_end(ap);
        return kiln_error_set(c->err, KILN_NOT_REPRODUCED, 0, "comparing with the SBOM", c->package,
                "the %s document in %s %s", c->b->format, c->name, cause);
}

/* In the spelling of the documents. */
static char *document_path(const char *path)
{
        _cleanup_json_ json_t *text = kiln_sbom_text(path[0] == '/' ? path + 1 : path);

        return kiln_strdup(json_string_value(text));
}

static void files_of_scan(const struct kiln_scan *scan, struct kiln_bom_package *p)
{
        for (size_t i = 0; i < scan->n_files; i++) {
                const struct kiln_scan_file *from = &scan->files[i];
                struct kiln_bom_file *f;

                if (!S_ISREG(from->mode))
                        continue;
                f = KILN_APPEND(p->files, p->n_files);
                f->path = document_path(from->path);
                memcpy(f->sha1, from->sha1, sizeof(f->sha1));
                memcpy(f->sha256, from->sha256, sizeof(f->sha256));
        }
}

static void files_of_header(const struct kiln_rpm *rpm, struct kiln_bom_package *p)
{
        for (size_t i = 0; i < rpm->n_files; i++) {
                const struct kiln_rpm_file *from = &rpm->files[i];
                struct kiln_bom_file *f;

                if (!S_ISREG(from->mode) || from->flags & FILE_GHOST)
                        continue;
                f = KILN_APPEND(p->files, p->n_files);
                f->path = document_path(from->path);
                if (strlen(from->digest_hex) == KILN_DIGEST_HEX)
                        memcpy(f->sha256, from->digest_hex, sizeof(f->sha256));
        }
}

static int compare_all_files(
        const struct comparison *c, const struct kiln_bom_package *said, const struct kiln_bom_package *real)
{
        for (size_t i = 0, k = 0; i < said->n_files || k < real->n_files; i++, k++) {
                const struct kiln_bom_file *s = i < said->n_files ? &said->files[i] : NULL,
                                           *f = k < real->n_files ? &real->files[k] : NULL;
                int order = !s ? 1 : !f ? -1 : strcmp(s->path, f->path);

                if (order > 0)
                        return differs(c, "does not list %s", f->path);
                if (order < 0)
                        return differs(c, "lists %s, which is not in the package", s->path);
                if (strcmp(s->sha256, f->sha256) != 0)
                        return differs(c, "says SHA-256 %s of %s, which has %s", s->sha256, s->path,
                                f->sha256[0] ? f->sha256 : "none");
                if (f->sha1[0] && strcmp(s->sha1, f->sha1) != 0)
                        return differs(c, "says SHA-1 %s of %s, which has %s", s->sha1, s->path, f->sha1);
        }
        return 0;
}

static int compare_files_of(const struct comparison *c, const struct kiln_bom_package *said,
        const struct kiln_rpm *rpm, const struct kiln_scan *scan)
{
        struct kiln_bom_package real = {0};
        int rc;

        if (scan)
                files_of_scan(scan, &real);
        else
                files_of_header(rpm, &real);
        sort_files(&real);
        rc = compare_all_files(c, said, &real);
        for (size_t i = 0; i < real.n_files; i++)
                free(real.files[i].path);
        free(real.files);
        return rc;
}

int kiln_bom_check_package(const struct kiln_bom *b, const struct kiln_rpm *rpm, const struct kiln_scan *scan,
        const char *name, struct kiln_error *err)
{
        _cleanup_free_ char *file_name = kiln_asprintf("%s.%s.rpm", rpm->nvr, rpm->arch),
                            *purl = kiln_purl_rpm(NULL, rpm->name, rpm->has_epoch ? rpm->epoch : 0,
                                    rpm->version, rpm->release, rpm->arch);
        struct comparison c = {b, name, file_name, err};
        const struct kiln_bom_package *said = NULL;

        for (size_t i = 0; i < b->n_packages; i++) {
                if (strcmp(b->packages[i].file_name, file_name) != 0)
                        continue;
                if (said)
                        return differs(&c, "lists it twice");
                said = &b->packages[i];
        }
        if (!said)
                return differs(&c, "does not list it");
        if (strcmp(said->purl, purl + strlen(PURL_PREFIX)) != 0)
                return differs(&c, "calls it %s, not %s", said->purl, purl + strlen(PURL_PREFIX));
        if (strcmp(said->header, rpm->header_sha256) != 0 || strcmp(said->payload, rpm->payload_sha256) != 0)
                return differs(&c, "says another header or payload digest");
        return compare_files_of(&c, said, rpm, scan);
}

int kiln_bom_check_build(const struct kiln_bom *b, const struct kiln_lock *lock,
        const struct kiln_digest *build_digest, const char *name, struct kiln_error *err)
{
        _cleanup_strv_ char **wanted = kiln_calloc(lock->n_packages + 1, sizeof(*wanted));
        struct comparison c = {b, name, "the build root", err};
        char hex[KILN_DIGEST_HEX + 1], serial[46];
        _cleanup_free_ char *space = NULL;

        kiln_digest_to_hex(build_digest, hex);
        kiln_cyclonedx_serial(build_digest, serial);
        space = kiln_asprintf("urn:kiln:spdx:%s", hex);
        if (strcmp(b->document, space) != 0 && strcmp(b->document, serial) != 0)
                return differs(&c, "is about another build: it calls itself %s", b->document);
        for (size_t i = 0; i < lock->n_packages; i++) {
                const struct kiln_locked_package *p = &lock->packages[i];
                _cleanup_free_ char *purl = NULL;
                uint64_t epoch = 0;

                if (kiln_number_parse(p->epoch, UINT32_MAX, &epoch) < 0)
                        epoch = 0;
                purl = kiln_purl_rpm(NULL, p->name, (uint32_t)epoch, p->version, p->release, p->arch);
                kiln_digest_to_hex(&p->sha256, hex);
                wanted[i] = kiln_asprintf("%s %s", hex, purl + strlen(PURL_PREFIX));
        }
        if (lock->n_packages)
                qsort(wanted, lock->n_packages, sizeof(*wanted), kiln_strcmp_ptr);
        for (size_t i = 0; i < lock->n_packages || i < b->n_dependencies; i++) {
                const char *said = i < b->n_dependencies ? b->dependencies[i] : NULL;

                if (!said || !wanted[i] || strcmp(said, wanted[i]) != 0)
                        return differs(&c,
                                "has another build root than the provenance: %zu packages against %zu, "
                                "the first difference is %s",
                                b->n_dependencies, lock->n_packages,
                                said ? strchr(said, ' ') + 1 : strchr(wanted[i], ' ') + 1);
        }
        return 0;
}
