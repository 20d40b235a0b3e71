#include "worker/attest/provenance.h"

#include "worker/attest/purl.h"
#include "worker/attest/sbom.h"
#include "worker/base/clock.h"
#include "worker/base/mem.h"
#include "worker/base/number.h"
#include "worker/base/paths.h"

#include <string.h>

static json_t *hex_of(const struct kiln_digest *d)
{
        char hex[KILN_DIGEST_HEX + 1];

        kiln_digest_to_hex(d, hex);
        return json_string(hex);
}

/* json_t of somebody else's object, or an empty one. */
static json_t *object_or_empty(const json_t *j)
{
        return j ? json_deep_copy(j) : json_object();
}

static void add_material(json_t *list, const struct kiln_attest_material *m)
{
        json_t *j = json_pack("{s:o, s:{s:o}, s:{s:s}}", "name", kiln_sbom_text(m->name), "digest", "sha256",
                hex_of(&m->sha256), "annotations", "kind", m->kind);

        if (m->uri)
                json_object_set_new(j, "uri", kiln_sbom_text(m->uri));
        json_array_append_new(list, j);
}

/* Toolchain, lock, repositories: by name and digest. */
static void add_named(
        json_t *list, const char *kind, const char *name, const char *uri, const struct kiln_digest *d)
{
        add_material(
                list, &(struct kiln_attest_material){.name = name, .uri = uri, .kind = kind, .sha256 = *d});
}

static const char *const layer_names[] = {
        [KILN_LOCK_BOOTSTRAP] = "bootstrap", [KILN_LOCK_BASE] = "base", [KILN_LOCK_DELTA] = "delta"};

/* All of the lock's entry: the lock can be made again from the provenance alone. */
static void add_package(json_t *list, const struct kiln_attest_input *in, const struct kiln_locked_package *p)
{
        _cleanup_free_ char *uri = kiln_sbom_locked_url(in->lock, p);
        uint64_t epoch = 0;

        if (!uri) {
                if (kiln_number_parse(p->epoch, UINT32_MAX, &epoch) < 0)
                        epoch = 0;
                uri = kiln_purl_rpm(in->vendor, p->name, (uint32_t)epoch, p->version, p->release, p->arch);
        }
        json_array_append_new(list,
                json_pack("{s:o, s:o, s:{s:o, s:o}, s:{s:s, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:I, "
                          "s:o, s:o, s:o}}",
                        "name", kiln_sbom_text(p->nevra), "uri", kiln_sbom_text(uri), "digest", "sha256",
                        hex_of(&p->sha256), "rpmHeaderSha256", hex_of(&p->header_sha256), "annotations",
                        "kind", "package", "name", kiln_sbom_text(p->name), "epoch", kiln_sbom_text(p->epoch),
                        "version", kiln_sbom_text(p->version), "release", kiln_sbom_text(p->release), "arch",
                        kiln_sbom_text(p->arch), "layer", layer_names[p->layer], "repository",
                        kiln_sbom_text(p->repository), "location", kiln_sbom_text(p->location), "sizeBytes",
                        (json_int_t)p->size_bytes, "signer", kiln_sbom_text(p->signer), "license",
                        kiln_sbom_text(p->license), "sourceRpm", kiln_sbom_text(p->source_rpm)));
}

json_t *kiln_provenance_definition(const struct kiln_attest_input *in)
{
        const struct kiln_lock *lock = in->lock;
        struct kiln_digest lock_digest = kiln_lock_digest(lock);
        json_t *list = json_array();

        for (size_t i = 0; i < in->n_materials; i++)
                add_material(list, &in->materials[i]);
        add_named(list, "toolchain", lock->toolchain, NULL, &lock->toolchain_digest);
        add_named(list, "lock", "lock.json", NULL, &lock_digest);
        for (size_t i = 0; i < lock->n_repositories; i++) {
                const struct kiln_locked_repository *r = &lock->repositories[i];
                bool local = strncmp(r->base_url, "file:", 5) == 0;

                add_named(list, "repository", r->id, local ? NULL : r->base_url, &r->repomd_sha256);
        }
        for (size_t i = 0; i < lock->n_packages; i++)
                add_package(list, in, &lock->packages[i]);
        return json_pack("{s:s, s:{s:o}, s:o, s:o}", "buildType", KILN_BUILD_TYPE, "externalParameters",
                "build", object_or_empty(in->request), "internalParameters", object_or_empty(in->internal),
                "resolvedDependencies", list);
}

static json_t *run_annotations(const struct kiln_attest_input *in)
{
        json_t *denied = json_object(), *policies = json_object();
        json_t *j = json_pack("{s:o, s:o, s:o}", "host", kiln_sbom_text(in->host), "idMode",
                kiln_sbom_text(in->id_mode), "cpuModel", kiln_sbom_text(in->cpu_model));

        for (size_t i = 0; i < in->n_denied; i++)
                json_object_set_new(
                        denied, in->denied[i].call, json_integer((json_int_t)in->denied[i].count));
        json_object_set_new(j, "deniedCalls", denied);
        for (size_t i = 0; i < in->n_policies; i++)
                json_object_set_new(policies, in->policies[i].profile, hex_of(&in->policies[i].text_sha256));
        json_object_set_new(j, "sandboxPolicySha256", policies);
        if (in->limits)
                json_object_set_new(j, "limits", object_or_empty(in->limits));
        return j;
}

json_t *kiln_provenance_write(const struct kiln_attest_input *in, json_t *definition)
{
        char started[32], finished[32];

        kiln_clock_format(in->started_s, started);
        kiln_clock_format(in->finished_s, finished);
        return json_pack("{s:o, s:{s:{s:o, s:{s:s}}, s:{s:o, s:s, s:s}, s:[{s:s, s:o}]}}", "buildDefinition",
                definition, "runDetails", "builder", "id",
                kiln_sbom_text(in->builder_id ? in->builder_id : KILN_BUILDER_ID), "version", "kiln",
                KILN_VERSION, "metadata", "invocationId", hex_of(&in->build_digest), "startedOn", started,
                "finishedOn", finished, "byproducts", "name", "run", "annotations", run_annotations(in));
}

static json_t *names(char *const *v)
{
        json_t *list = json_array();

        for (; v && *v; v++)
                json_array_append_new(list, kiln_sbom_text(*v));
        return list;
}

json_t *kiln_test_result_write(const struct kiln_attest_input *in, const struct kiln_attest_test *t)
{
        json_t *annotations = object_or_empty(t->details);

        return json_pack("{s:s, s:[{s:o, s:{s:o}, s:o}], s:o, s:o, s:o}", "result",
                t->failed   ? "FAILED"
                : t->warned ? "WARNED"
                            : "PASSED",
                "configuration", "name", kiln_sbom_text(t->name), "digest", "sha256",
                hex_of(&in->build_digest), "annotations", annotations, "passedTests", names(t->passed),
                "warnedTests", names(t->warnings), "failedTests", names(t->failures));
}
