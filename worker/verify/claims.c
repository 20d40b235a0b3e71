#include "worker/verify/claims.h"

#include "worker/attest/attest.h"
#include "worker/base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define DEPENDENCIES_MAX 200000
#define SANDBOXES_MAX 16

struct reader {
        const char *name;
        struct kiln_error *err;
        struct kiln_claims *c;
        json_t *repositories, *packages; /* of the lock's JSON, borrowed */
        bool located;                    /* every repository has a URL: the lock's bytes can be made again */
        size_t sources, toolchains, locks, overlays;
};

void kiln_claims_clear(struct kiln_claims *c)
{
        kiln_build_free(c->build);
        kiln_lock_free(c->lock);
        free(c->builder);
        kiln_strv_free(c->sandbox);
        *c = (struct kiln_claims){0};
}

static int _printf_(3, 4) refuse(const struct reader *r, enum kiln_verdict verdict, const char *fmt, ...)
{
        _cleanup_free_ char *cause = NULL;
        va_list ap;

        va_start(ap, fmt);
        cause = kiln_vasprintf(fmt, ap);
        va_end(ap);
        return kiln_error_set(r->err, verdict, 0, "reading the provenance in", r->name, "%s", cause);
}

/* Exactly these members. */
static int check_members(
        const struct reader *r, const json_t *object, const char *where, const char *const *known, size_t n)
{
        const char *key;
        json_t *value;

        if (!json_is_object(object))
                return refuse(r, KILN_BAD_INPUT, "%s is missing or no object", where);
        json_object_foreach((json_t *)object, key, value)
        {
                size_t i = 0;

                while (i < n && strcmp(known[i], key) != 0)
                        i++;
                if (i == n)
                        return refuse(r, KILN_BAD_INPUT, "%s has a member that is not known: %s", where, key);
        }
        if (json_object_size(object) != n)
                return refuse(r, KILN_BAD_INPUT, "%s lacks a member", where);
        return 0;
}

static int read_build(struct reader *r, const json_t *external)
{
        static const char *const known[] = {"build"};
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        struct kiln_message_error e;
        char hex[KILN_DIGEST_HEX + 1];
        int rc = check_members(r, external, "externalParameters", known, KILN_ARRAY_SIZE(known));

        if (rc < 0)
                return rc;
        kiln_json_canonical(json_object_get(external, "build"), &text);
        if (kiln_build_from_json(kiln_buf_str(&text), text.len, &r->c->build, &e) < 0)
                return refuse(r, KILN_BAD_INPUT, "externalParameters.build: %s", e.text);
        if (!r->c->build->source || !r->c->build->toolchain || kiln_build_digest(r->c->build, hex, &e) < 0 ||
                kiln_digest_from_hex(hex, &r->c->build_digest) < 0)
                return refuse(r, KILN_BAD_INPUT, "externalParameters.build is not complete");
        return 0;
}

/* ---- resolvedDependencies ---------------------------------------------------------------------------- */

static int take_source(struct reader *r, const char *name, const char *sha256, const json_t *j)
{
        const Kiln__V1__Source *source = r->c->build->source;

        if (r->sources++ || strcmp(sha256, source->sha256) != 0 || strcmp(name, source->name) != 0)
                return refuse(
                        r, KILN_NOT_REPRODUCED, "the source it resolved is not the one it was asked for");
        return 0;
}

static int take_overlay(struct reader *r, const char *name, const char *sha256, const json_t *j)
{
        const Kiln__V1__Build *build = r->c->build;
        size_t i = r->overlays++;

        if (i >= build->n_overlays || strcmp(sha256, build->overlays[i]->sha256) != 0 ||
                strcmp(name, build->overlays[i]->name) != 0)
                return refuse(
                        r, KILN_NOT_REPRODUCED, "the overlays it resolved are not those it was asked for");
        return 0;
}

static int take_toolchain(struct reader *r, const char *name, const char *sha256, const json_t *j)
{
        const Kiln__V1__Toolchain *t = r->c->build->toolchain;

        if (r->toolchains++ || strcmp(sha256, t->digest) != 0 || strcmp(name, t->name) != 0)
                return refuse(
                        r, KILN_NOT_REPRODUCED, "the toolchain it resolved is not the one it was asked for");
        return 0;
}

static int take_lock(struct reader *r, const char *name, const char *sha256, const json_t *j)
{
        if (r->locks++ || kiln_digest_from_hex(sha256, &r->c->lock_sha256) < 0)
                return refuse(r, KILN_BAD_INPUT, "it names more than one lock");
        return 0;
}

static int take_repository(struct reader *r, const char *name, const char *sha256, const json_t *j)
{
        const char *uri = kiln_json_string(j, "uri");

        r->located = r->located && uri;
        json_array_append_new(r->repositories,
                json_pack("{s:s, s:s, s:s}", "id", name, "baseUrl", uri ? uri : "", "repomdSha256", sha256));
        return 0;
}

/* The annotations are the lock's entry but for the spelling of two members. */
static int take_package(struct reader *r, const char *name, const char *sha256, const json_t *j)
{
        const json_t *annotations = json_object_get(j, "annotations");
        const char *header = kiln_json_string(json_object_get(j, "digest"), "rpmHeaderSha256"),
                   *layer = kiln_json_string(annotations, "layer");
        const json_t *size = json_object_get(annotations, "sizeBytes");
        _cleanup_free_ char *upper = kiln_strdup(layer ? layer : "");
        json_t *package = json_copy((json_t *)annotations);

        for (char *c = upper; *c; c++)
                *c = (char)toupper((unsigned char)*c);
        json_object_del(package, "kind");
        json_object_set_new(package, "nevra", json_string(name));
        json_object_set_new(package, "sha256", json_string(sha256));
        json_object_set_new(package, "headerSha256", json_string(header ? header : ""));
        json_object_set_new(package, "layer", json_string(upper));
        json_object_set_new(
                package, "sizeBytes", json_sprintf("%" JSON_INTEGER_FORMAT, json_integer_value(size)));
        json_array_append_new(r->packages, package);
        return 0;
}

static int read_dependency(struct reader *r, const json_t *j)
{
        static const struct {
                const char *kind;
                int (*take)(struct reader *r, const char *name, const char *sha256, const json_t *j);
        } kinds[] = {
                {"source", take_source},
                {"overlay", take_overlay},
                {"toolchain", take_toolchain},
                {"lock", take_lock},
                {"repository", take_repository},
                {"package", take_package},
        };
        const char *name = kiln_json_string(j, "name"),
                   *sha256 = kiln_json_string(json_object_get(j, "digest"), "sha256"),
                   *kind = kiln_json_string(json_object_get(j, "annotations"), "kind");
        struct kiln_digest digest;

        if (!name || !sha256 || !kind || kiln_digest_from_hex(sha256, &digest) < 0)
                return refuse(r, KILN_BAD_INPUT, "a dependency has no name, digest and kind");
        for (size_t i = 0; i < KILN_ARRAY_SIZE(kinds); i++)
                if (strcmp(kinds[i].kind, kind) == 0)
                        return kinds[i].take(r, name, sha256, j);
        return refuse(r, KILN_BAD_INPUT, "a dependency's kind is not known: %s", kind);
}

/* The lock that the build resolved is the one that the request brought, where it brought one. */
static int check_pinned(const struct reader *r, const char *sha256)
{
        _cleanup_(kiln_lock_freep) struct kiln_lock *lock = NULL;
        const Kiln__V1__Build *build = r->c->build;
        _cleanup_free_ char *json = NULL;
        struct kiln_message_error e;
        char hex[KILN_DIGEST_HEX + 1];
        struct kiln_digest digest;
        const char *asked = hex;
        int rc;

        switch (build->pinned_case) {
        case KILN__V1__BUILD__PINNED_LOCK_DIGEST:
                asked = build->lock_digest;
                break;
        case KILN__V1__BUILD__PINNED_LOCK:
                if (kiln_message_to_json((const ProtobufCMessage *)build->lock, false, &json, &e) < 0)
                        return refuse(r, KILN_BAD_INPUT, "externalParameters.build.lock: %s", e.text);
                rc = kiln_lock_parse(json, strlen(json), r->name, &lock, r->err);
                if (rc < 0)
                        return rc;
                digest = kiln_lock_digest(lock);
                kiln_digest_to_hex(&digest, hex);
                break;
        default:
                return 0;
        }
        return strcmp(asked, sha256) == 0 ? 0
                                          : refuse(r, KILN_NOT_REPRODUCED,
                                                    "the lock it resolved is not the one it was asked for");
}

/* The lock from its parts: kiln_lock_parse() is what judges their form. */
static int make_lock(struct reader *r, const json_t *internal, json_t *parts)
{
        static const char *const known[] = {"lock", "sourceDateEpoch"}, *const of_lock[] = {
                                                                                "arch", "full", "sha256"};
        const json_t *said = json_object_get(internal, "lock");
        const char *arch = kiln_json_string(said, "arch"), *sha256 = kiln_json_string(said, "sha256");
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        struct kiln_digest digest;
        int rc = check_members(r, internal, "internalParameters", known, KILN_ARRAY_SIZE(known));

        if (rc == 0)
                rc = check_members(r, said, "internalParameters.lock", of_lock, KILN_ARRAY_SIZE(of_lock));
        if (rc < 0)
                return rc;
        if (!arch || !sha256 || !json_is_boolean(json_object_get(said, "full")) ||
                kiln_digest_from_hex(sha256, &digest) < 0)
                return refuse(r, KILN_BAD_INPUT, "internalParameters.lock is missing or of the wrong form");
        if (!kiln_digest_equal(&digest, &r->c->lock_sha256))
                return refuse(r, KILN_NOT_REPRODUCED, "it names two different locks");
        rc = check_pinned(r, sha256);
        if (rc < 0)
                return rc;
        json_object_set_new(parts, "toolchain", json_string(r->c->build->toolchain->name));
        json_object_set_new(parts, "toolchainDigest", json_string(r->c->build->toolchain->digest));
        json_object_set_new(parts, "arch", json_string(arch));
        json_object_set_new(parts, "full", json_boolean(json_is_true(json_object_get(said, "full"))));
        kiln_json_canonical(parts, &text);
        rc = kiln_lock_parse(kiln_buf_str(&text), text.len, r->name, &r->c->lock, r->err);
        if (rc < 0)
                return rc;
        digest = kiln_lock_digest(r->c->lock);
        if (r->located && !kiln_digest_equal(&digest, &r->c->lock_sha256))
                return refuse(r, KILN_NOT_REPRODUCED, "its packages are not those of the lock it names");
        return 0;
}

static int read_dependencies(struct reader *r, const json_t *list, const json_t *internal)
{
        _cleanup_json_ json_t *parts = json_pack("{s:[], s:[]}", "repositories", "packages");
        const json_t *one;
        size_t i;

        if (!json_is_array(list) || json_array_size(list) > DEPENDENCIES_MAX)
                return refuse(r, KILN_BAD_INPUT, "resolvedDependencies is missing or too long");
        r->repositories = json_object_get(parts, "repositories");
        r->packages = json_object_get(parts, "packages");
        r->located = true;
        json_array_foreach(list, i, one)
        {
                int rc = read_dependency(r, one);

                if (rc < 0)
                        return rc;
        }
        if (!r->sources || !r->toolchains || !r->locks || r->overlays != r->c->build->n_overlays)
                return refuse(r, KILN_NOT_REPRODUCED,
                        "it does not name the source, the toolchain, the lock and every overlay");
        return make_lock(r, internal, parts);
}

/* ---- runDetails -------------------------------------------------------------------------------------- */

static int read_run(struct reader *r, const json_t *run)
{
        const char *builder = kiln_json_string(json_object_get(run, "builder"), "id"),
                   *invocation = kiln_json_string(json_object_get(run, "metadata"), "invocationId"), *profile;
        json_t *one, *policies, *digest;
        struct kiln_digest said;
        size_t i;

        if (!builder || !*builder)
                return refuse(r, KILN_BAD_INPUT, "runDetails.builder.id is missing");
        if (!invocation || kiln_digest_from_hex(invocation, &said) < 0 ||
                !kiln_digest_equal(&said, &r->c->build_digest))
                return refuse(r, KILN_NOT_REPRODUCED,
                        "its invocationId is not the digest of the build it was asked for");
        r->c->builder = kiln_strdup(builder);
        r->c->sandbox = kiln_calloc(1, sizeof(*r->c->sandbox));
        json_array_foreach(json_object_get(run, "byproducts"), i, one)
        {
                policies = json_object_get(json_object_get(one, "annotations"), "sandboxPolicySha256");
                if (json_object_size(policies) > SANDBOXES_MAX)
                        return refuse(r, KILN_BAD_INPUT, "it names too many sandbox policies");
                json_object_foreach(policies, profile, digest) if (json_is_string(digest))
                        kiln_strv_append(&r->c->sandbox, json_string_value(digest));
        }
        return 0;
}

int kiln_claims_read(
        const json_t *predicate, const char *name, struct kiln_claims *ret, struct kiln_error *err)
{
        static const char *const top[] = {"buildDefinition", "runDetails"}, *const definition_members[] = {
                                                                                    "buildType",
                                                                                    "externalParameters",
                                                                                    "internalParameters",
                                                                                    "resolvedDependencies"};
        _cleanup_(kiln_claims_clear) struct kiln_claims c = {0};
        struct reader r = {.name = name, .err = err, .c = &c};
        const json_t *definition = json_object_get(predicate, "buildDefinition");
        const char *type = kiln_json_string(definition, "buildType");
        int rc = check_members(&r, predicate, "the predicate", top, KILN_ARRAY_SIZE(top));

        if (rc == 0)
                rc = check_members(&r, definition, "buildDefinition", definition_members,
                        KILN_ARRAY_SIZE(definition_members));
        if (rc < 0)
                return rc;
        if (!type || strcmp(type, KILN_BUILD_TYPE) != 0)
                return refuse(&r, KILN_BAD_INPUT, "its build type is not known: %s", type ? type : "none");
        rc = read_build(&r, json_object_get(definition, "externalParameters"));
        if (rc == 0)
                rc = read_dependencies(&r, json_object_get(definition, "resolvedDependencies"),
                        json_object_get(definition, "internalParameters"));
        if (rc == 0)
                rc = read_run(&r, json_object_get(predicate, "runDetails"));
        if (rc < 0)
                return rc;
        *ret = c;
        c = (struct kiln_claims){0};
        return 0;
}
