/* CycloneDX 1.6 in JSON (cyclonedx.org/docs/1.6/json): the SRPM is what it is about, its RPMs with their
 * files are the components, the build root is the formulation. */
#include "worker/attest/sbom.h"

#include "worker/base/mem.h"
#include "worker/base/paths.h"

#include <string.h>
#include <sys/stat.h>

#define SOURCE_REF "source"

void kiln_cyclonedx_serial(const struct kiln_digest *d, char text[46])
{
        unsigned char b[16];
        char hex[33];

        memcpy(b, d->bytes, sizeof(b));
        b[6] = (unsigned char)((b[6] & 0x0f) | 0x80);
        b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
        kiln_hex_encode(b, sizeof(b), hex);
        snprintf(text, 46, "urn:uuid:%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

static json_t *hash(const char *algorithm, const char *hex)
{
        return json_pack("{s:s, s:s}", "alg", algorithm, "content", hex);
}

static json_t *property(const char *name, const char *value)
{
        return json_pack("{s:s, s:o}", "name", name, "value", kiln_sbom_text(value));
}

/* An expression when the tag was one; a legacy tag is a license by name, with its own words. */
static void add_license(json_t *component, const struct kiln_license *l)
{
        if (!l->expression)
                return;
        if (l->n_refs == 1 && strcmp(l->refs[0].id, l->expression) == 0)
                json_object_set_new(component, "licenses",
                        json_pack("[{s:{s:s, s:{s:o}}}]", "license", "name", l->expression, "text", "content",
                                kiln_sbom_text(l->refs[0].text)));
        else
                json_object_set_new(component, "licenses", json_pack("[{s:s}]", "expression", l->expression));
}

static json_t *source_properties(const struct kiln_sbom_package *p, const char *file)
{
        enum kiln_sbom_use use = kiln_sbom_source_use(p, file);
        json_t *list = json_array();

        if (use != KILN_SBOM_UNKNOWN)
                json_array_append_new(
                        list, property("kiln:build:use", use == KILN_SBOM_OPENED ? "opened" : "unopened"));
        json_array_append_new(
                list, property("kiln:source:kind", kiln_sbom_is_patch(p->rpm, file)            ? "patch"
                                                   : kiln_strv_contains(p->rpm->sources, file) ? "source"
                                                                                               : "spec"));
        return list;
}

static json_t *files(const struct kiln_sbom_package *p)
{
        json_t *list = json_array();

        for (size_t i = 0; i < p->scan->n_files; i++) {
                const struct kiln_scan_file *f = &p->scan->files[i];
                json_t *file;

                if (!S_ISREG(f->mode))
                        continue;
                file = json_pack("{s:s, s:o, s:[o, o]}", "type", "file", "name", kiln_sbom_text(f->path),
                        "hashes", hash("SHA-1", f->sha1), hash("SHA-256", f->sha256));
                if (p->rpm->source)
                        json_object_set_new(file, "properties", source_properties(p, f->path));
                json_array_append_new(list, file);
        }
        return list;
}

static json_t *package(const struct kiln_sbom *s, const struct kiln_sbom_package *p, const char *ref)
{
        const struct kiln_rpm *r = p->rpm;
        json_t *j = json_pack("{s:s, s:s, s:o, s:o, s:s, s:o, s:[o, o, o]}", "type",
                r->source ? "application" : "library", "bom-ref", ref, "name", kiln_sbom_text(r->name),
                "version", kiln_sbom_text(p->version), "purl", p->purl, "components", files(p), "properties",
                property("kiln:rpm:file", p->file_name), property("kiln:rpm:headerSha256", r->header_sha256),
                property("kiln:rpm:payloadSha256", r->payload_sha256));

        if (s->vendor && *s->vendor)
                json_object_set_new(j, "supplier", json_pack("{s:o}", "name", kiln_sbom_text(s->vendor)));
        if (r->summary && *r->summary)
                json_object_set_new(j, "description", kiln_sbom_text(r->summary));
        add_license(j, &p->license);
        if (!r->source)
                json_object_set_new(j, "pedigree",
                        json_pack("{s:[{s:s, s:o, s:o, s:s}]}", "ancestors", "type", "application", "name",
                                kiln_sbom_text(s->source.rpm->name), "version",
                                kiln_sbom_text(s->source.version), "purl", s->source.purl));
        return j;
}

static json_t *dependency(const struct kiln_sbom_dependency *d, const char *ref)
{
        char hex[KILN_DIGEST_HEX + 1];
        json_t *j;

        kiln_digest_to_hex(&d->locked->sha256, hex);
        j = json_pack("{s:s, s:s, s:o, s:o, s:s, s:[o]}", "type", "library", "bom-ref", ref, "name",
                kiln_sbom_text(d->locked->name), "version", kiln_sbom_text(d->version), "purl", d->purl,
                "hashes", hash("SHA-256", hex));
        if (d->url && !strpbrk(d->url, " \t\n"))
                json_object_set_new(j, "externalReferences",
                        json_pack("[{s:s, s:o}]", "type", "distribution", "url", kiln_sbom_text(d->url)));
        if (d->use != KILN_SBOM_UNKNOWN)
                json_object_set_new(j, "properties",
                        json_pack("[o]", property("kiln:build:use",
                                                 d->use == KILN_SBOM_OPENED ? "opened" : "installed")));
        add_license(j, &d->license);
        return j;
}

json_t *kiln_cyclonedx_write(const struct kiln_sbom *s)
{
        json_t *components = json_array(), *buildroot = json_array(), *refs = json_array(),
               *dependencies = json_array();
        char serial[46];

        for (size_t i = 0; i < s->n_packages; i++) {
                _cleanup_free_ char *ref = kiln_asprintf("package-%zu", i + 1);

                json_array_append_new(components, package(s, &s->packages[i], ref));
                json_array_append_new(dependencies, json_pack("{s:s}", "ref", ref));
        }
        for (size_t i = 0; i < s->n_dependencies; i++) {
                _cleanup_free_ char *ref = kiln_asprintf("buildroot-%zu", i + 1);

                json_array_append_new(buildroot, dependency(&s->dependencies[i], ref));
                json_array_append_new(refs, json_string(ref));
        }
        json_array_insert_new(dependencies, 0, json_pack("{s:s, s:o}", "ref", SOURCE_REF, "dependsOn", refs));
        kiln_cyclonedx_serial(&s->build_digest, serial);
        return json_pack(
                "{s:s, s:s, s:s, s:s, s:i, s:{s:s, s:{s:[{s:s, s:s, s:s}]}, s:o}, s:o, s:[{s:s, s:o}], s:o}",
                "$schema", "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat", "CycloneDX",
                "specVersion", "1.6", "serialNumber", serial, "version", 1, "metadata", "timestamp",
                s->created, "tools", "components", "type", "application", "name", "kiln", "version",
                KILN_VERSION, "component", package(s, &s->source, SOURCE_REF), "components", components,
                "formulation", "bom-ref", "build", "components", buildroot, "dependencies", dependencies);
}
