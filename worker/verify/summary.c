#include "worker/verify/summary.h"

#include "worker/base/mem.h"
#include "worker/base/paths.h"
#include "worker/verify/vsa.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct summary {
        struct kiln_subject *subjects;
        size_t n_subjects;
        struct kiln_vsa vsa;
};

static void summary_clear(struct summary *s)
{
        for (size_t i = 0; i < s->n_subjects; i++)
                free(s->subjects[i].file_name);
        free(s->subjects);
        kiln_vsa_clear(&s->vsa);
}

static int show(struct kiln_signer *signer, struct summary *s, const json_t *package, struct kiln_error *err)
{
        const char *path = kiln_json_string(package, "file"), *hex = kiln_json_string(package, "sha256");
        _cleanup_close_ int fd = -1;
        struct kiln_digest sha256;

        if (!path || !hex || kiln_digest_from_hex(hex, &sha256) < 0)
                return 0;
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                return kiln_error_set(
                        err, KILN_INFRA, errno, "summarising", path, "it cannot be opened again");
        return kiln_signer_show(signer, fd, path, &sha256, KILN_APPEND(s->subjects, s->n_subjects), err);
}

/* What this verification establishes: that signed provenance exists, where it does. That somebody got the
 * same bytes again is for those to say who did. */
static const char *level_of(const struct summary *s, const json_t *result)
{
        const char *provenance = kiln_json_string(json_object_get(result, "checks"), "provenance");

        if (!s->vsa.passed)
                return KILN_VSA_LEVEL_FAILED;
        return provenance && kiln_verify_verdict_of(provenance) == KILN_OK ? KILN_VSA_LEVEL_PROVENANCE
                                                                           : KILN_VSA_LEVEL_NONE;
}

static void fill(struct summary *s, const struct kiln_policy *policy, int64_t now_s, const json_t *result)
{
        const char *verdict = kiln_json_string(result, "verdict"),
                   *source = kiln_json_string(result, "source");
        const json_t *one;
        size_t i;

        s->vsa.passed = kiln_verify_verdict_of(verdict) == KILN_OK;
        s->vsa.verifier = kiln_strdup(KILN_VERIFIER_ID);
        s->vsa.verifier_version = kiln_strdup(KILN_VERSION);
        s->vsa.verified_s = now_s;
        s->vsa.resource_uri = kiln_asprintf("urn:kiln:source:%s", source ? source : "");
        s->vsa.policy_uri = kiln_strdup(policy->uri);
        s->vsa.policy_sha256 = policy->sha256;
        kiln_strv_append(&s->vsa.levels, level_of(s, result));
        json_array_foreach(json_object_get(result, "attestations"), i, one)
        {
                struct kiln_vsa_input input = {0};
                const char *hex = kiln_json_string(one, "sha256"), *file = kiln_json_string(one, "file");

                if (!hex || !file || kiln_digest_from_hex(hex, &input.sha256) < 0)
                        continue;
                input.uri = kiln_strdup(file);
                *KILN_APPEND(s->vsa.inputs, s->vsa.n_inputs) = input;
        }
}

bool kiln_verify_is_judged(const json_t *result)
{
        enum kiln_verdict verdict = kiln_verify_verdict_of(kiln_json_string(result, "verdict"));

        return json_is_true(json_object_get(result, "complete")) || verdict == KILN_NOT_REPRODUCED ||
               verdict == KILN_BAD_INPUT;
}

int kiln_verify_summarise(struct kiln_signer *signer, const struct kiln_policy *policy, int64_t now_s,
        const json_t *result, struct kiln_buf *out, struct kiln_error *err)
{
        _cleanup_(summary_clear) struct summary s = {0};
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        _cleanup_json_ json_t *predicate = NULL;
        const json_t *package;
        size_t i;

        json_array_foreach(json_object_get(result, "packages"), i, package)
        {
                int r = show(signer, &s, package, err);

                if (r < 0)
                        return r;
        }
        if (s.n_subjects == 0)
                return 0;
        fill(&s, policy, now_s, result);
        predicate = kiln_vsa_write(&s.vsa);
        kiln_statement_write(
                s.subjects, s.n_subjects, KILN_SUBJECT_PUBLISHED, KILN_PREDICATE_VSA, predicate, &text);
        return kiln_signer_statement(signer, text.data, text.len, out, err);
}
