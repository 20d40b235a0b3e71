#include "worker/verify/vsa.h"

#include "worker/base/clock.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <string.h>

#define PASSED "PASSED"
#define FAILED "FAILED"
#define TEXT_MAX 4096 /* bytes of any string that is read */

void kiln_vsa_clear(struct kiln_vsa *v)
{
        for (size_t i = 0; i < v->n_inputs; i++)
                free(v->inputs[i].uri);
        for (size_t i = 0; i < v->n_differences; i++) {
                free(v->differences[i].package);
                kiln_strv_free(v->differences[i].tags);
                kiln_strv_free(v->differences[i].files);
        }
        free(v->inputs);
        free(v->differences);
        free(v->verifier);
        free(v->verifier_version);
        free(v->resource_uri);
        free(v->policy_uri);
        kiln_strv_free(v->levels);
        *v = (struct kiln_vsa){0};
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static bool digest_said(const struct kiln_digest *d)
{
        return !kiln_digest_equal(d, &(struct kiln_digest){0});
}

static json_t *digest_set(const struct kiln_digest *d)
{
        char hex[KILN_DIGEST_HEX + 1];

        kiln_digest_to_hex(d, hex);
        return json_pack("{s:s}", "sha256", hex);
}

/* File names in a package need not be UTF-8. */
static json_t *text(const char *s)
{
        json_t *j = json_string(s);

        return j ? j : json_string("?");
}

static json_t *texts(char *const *v)
{
        json_t *list = json_array();

        for (; v && *v; v++)
                json_array_append_new(list, text(*v));
        return list;
}

static json_t *write_policy(const struct kiln_vsa *v)
{
        json_t *policy = json_pack("{s:o}", "uri", text(v->policy_uri ? v->policy_uri : ""));

        if (digest_said(&v->policy_sha256))
                json_object_set_new(policy, "digest", digest_set(&v->policy_sha256));
        return policy;
}

static json_t *write_differences(const struct kiln_vsa *v)
{
        json_t *list = json_array();

        for (size_t i = 0; i < v->n_differences; i++) {
                const struct kiln_vsa_difference *d = &v->differences[i];

                json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "package", text(d->package), "tags",
                                                    texts(d->tags), "files", texts(d->files)));
        }
        return list;
}

json_t *kiln_vsa_write(const struct kiln_vsa *v)
{
        json_t *verifier = json_pack("{s:o}", "id", text(v->verifier)), *inputs = json_array(), *j;
        char when[32];

        if (v->verifier_version)
                json_object_set_new(
                        verifier, "version", json_pack("{s:o}", "kiln", text(v->verifier_version)));
        for (size_t i = 0; i < v->n_inputs; i++)
                json_array_append_new(inputs, json_pack("{s:o, s:o}", "uri", text(v->inputs[i].uri), "digest",
                                                      digest_set(&v->inputs[i].sha256)));
        j = json_pack("{s:o, s:o, s:o, s:o, s:s, s:o, s:s}", "verifier", verifier, "resourceUri",
                text(v->resource_uri), "policy", write_policy(v), "inputAttestations", inputs,
                "verificationResult", v->passed ? PASSED : FAILED, "verifiedLevels", texts(v->levels),
                "slsaVersion", "1.0");
        if (v->verified_s) {
                kiln_clock_format(v->verified_s, when);
                json_object_set_new(j, "timeVerified", json_string(when));
        }
        if (!v->passed)
                json_object_set_new(j, "kiln_differences", write_differences(v));
        return j;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static int bad(struct kiln_error *err, const char *name, const char *field)
{
        return kiln_error_set(err, KILN_BAD_INPUT, 0, "reading the verification summary in", name,
                "%s is missing or of the wrong form", field);
}

/* A string of bounded length; 1 when it is absent and may be. */
static int read_text(const json_t *object, const char *key, bool required, char **ret)
{
        const json_t *j = json_object_get(object, key);

        if (!j && !required)
                return 1;
        if (!json_is_string(j) || json_string_length(j) > TEXT_MAX)
                return -EBADMSG;
        *ret = kiln_strdup(json_string_value(j));
        return 0;
}

static int read_texts(const json_t *list, char ***ret)
{
        const json_t *one;
        size_t i;
        char **v;

        if (!list)
                return 0;
        if (!json_is_array(list) || json_array_size(list) > KILN_VSA_ITEMS_MAX)
                return -EBADMSG;
        v = *ret = kiln_calloc(json_array_size(list) + 1, sizeof(*v));
        json_array_foreach(list, i, one)
        {
                if (!json_is_string(one) || json_string_length(one) > TEXT_MAX)
                        return -EBADMSG;
                v[i] = kiln_strdup(json_string_value(one));
        }
        return 0;
}

static int read_sha256(const json_t *set, struct kiln_digest *ret)
{
        const char *hex = json_string_value(json_object_get(set, "sha256"));

        return hex ? kiln_digest_from_hex(hex, ret) : -EBADMSG;
}

static int read_inputs(const json_t *list, struct kiln_vsa *v)
{
        const json_t *one;
        size_t i;

        if (!list)
                return 0;
        if (!json_is_array(list) || json_array_size(list) > KILN_VSA_ITEMS_MAX)
                return -EBADMSG;
        json_array_foreach(list, i, one)
        {
                struct kiln_vsa_input *input = KILN_APPEND(v->inputs, v->n_inputs);

                if (read_text(one, "uri", true, &input->uri) < 0 ||
                        read_sha256(json_object_get(one, "digest"), &input->sha256) < 0)
                        return -EBADMSG;
        }
        return 0;
}

static int read_differences(const json_t *list, struct kiln_vsa *v)
{
        const json_t *one;
        size_t i;

        if (!list)
                return 0;
        if (!json_is_array(list) || json_array_size(list) > KILN_VSA_ITEMS_MAX ||
                (v->passed && json_array_size(list) > 0))
                return -EBADMSG;
        json_array_foreach(list, i, one)
        {
                struct kiln_vsa_difference *d = KILN_APPEND(v->differences, v->n_differences);

                if (read_text(one, "package", true, &d->package) < 0 ||
                        read_texts(json_object_get(one, "tags"), &d->tags) < 0 ||
                        read_texts(json_object_get(one, "files"), &d->files) < 0)
                        return -EBADMSG;
        }
        return 0;
}

static int read_time(const json_t *predicate, int64_t *ret)
{
        _cleanup_free_ char *when = NULL;
        int r = read_text(predicate, "timeVerified", false, &when);

        if (r != 0)
                return r < 0 ? r : 0;
        return kiln_clock_parse(when, ret);
}

static int read_result(const json_t *predicate, bool *ret)
{
        const char *said = json_string_value(json_object_get(predicate, "verificationResult"));

        if (!said || (strcmp(said, PASSED) != 0 && strcmp(said, FAILED) != 0))
                return -EBADMSG;
        *ret = strcmp(said, PASSED) == 0;
        return 0;
}

int kiln_vsa_read(const json_t *predicate, const char *name, struct kiln_vsa *ret, struct kiln_error *err)
{
        _cleanup_(kiln_vsa_clear) struct kiln_vsa v = {0};
        const json_t *verifier = json_object_get(predicate, "verifier"),
                     *policy = json_object_get(predicate, "policy");

        if (read_result(predicate, &v.passed) < 0)
                return bad(err, name, "verificationResult");
        if (read_text(verifier, "id", true, &v.verifier) < 0 ||
                read_text(json_object_get(verifier, "version"), "kiln", false, &v.verifier_version) < 0)
                return bad(err, name, "verifier");
        if (read_text(predicate, "resourceUri", true, &v.resource_uri) < 0)
                return bad(err, name, "resourceUri");
        if (read_text(policy, "uri", false, &v.policy_uri) < 0 ||
                (json_object_get(policy, "digest") &&
                        read_sha256(json_object_get(policy, "digest"), &v.policy_sha256) < 0))
                return bad(err, name, "policy");
        if (read_time(predicate, &v.verified_s) < 0)
                return bad(err, name, "timeVerified");
        if (read_texts(json_object_get(predicate, "verifiedLevels"), &v.levels) < 0)
                return bad(err, name, "verifiedLevels");
        if (read_inputs(json_object_get(predicate, "inputAttestations"), &v) < 0)
                return bad(err, name, "inputAttestations");
        if (read_differences(json_object_get(predicate, "kiln_differences"), &v) < 0)
                return bad(err, name, "kiln_differences");
        *ret = v;
        v = (struct kiln_vsa){0};
        return 0;
}
