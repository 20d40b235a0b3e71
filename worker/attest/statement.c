#include "worker/attest/statement.h"

#include "worker/base/mem.h"

#include <errno.h>
#include <string.h>

#define DOING "checking the statement to be signed"

#define FORM(name) (1U << KILN_SUBJECT_##name)

const struct kiln_subject_digest kiln_subject_digests[KILN_SUBJECT_DIGESTS] = {
        {"sha256", offsetof(struct kiln_rpm_digests, signed_file), FORM(ALL) | FORM(PUBLISHED)},
        {"rpmUnsignedSha256", offsetof(struct kiln_rpm_digests, unsigned_file), FORM(ALL)},
        {"rpmHeaderSha256", offsetof(struct kiln_rpm_digests, header),
                FORM(ALL) | FORM(CONTENT) | FORM(PUBLISHED)},
        {"rpmPayloadSha256", offsetof(struct kiln_rpm_digests, payload),
                FORM(ALL) | FORM(CONTENT) | FORM(PUBLISHED)},
};

static const char *const predicate_types[] = {KILN_PREDICATE_PROVENANCE, KILN_PREDICATE_VSA,
        KILN_PREDICATE_TEST, KILN_PREDICATE_SPDX, KILN_PREDICATE_CYCLONEDX};

static void field_hex(
        const struct kiln_rpm_digests *d, const struct kiln_subject_digest *f, char hex[KILN_DIGEST_HEX + 1])
{
        kiln_digest_to_hex((const struct kiln_digest *)((const char *)d + f->offset), hex);
}

static int compare_subjects(const void *a, const void *b)
{
        const struct kiln_subject *const *x = a, *const *y = b;

        return strcmp((*x)->file_name, (*y)->file_name);
}

void kiln_statement_write(const struct kiln_subject *subjects, size_t n, enum kiln_subject_form form,
        const char *predicate_type, json_t *predicate, struct kiln_buf *out)
{
        _cleanup_free_ const struct kiln_subject **sorted = kiln_calloc(n ? n : 1, sizeof(*sorted));
        _cleanup_json_ json_t *statement = NULL;
        json_t *list = json_array();

        for (size_t i = 0; i < n; i++)
                sorted[i] = &subjects[i];
        qsort(sorted, n, sizeof(*sorted), compare_subjects);
        for (size_t i = 0; i < n; i++) {
                json_t *digest = json_object();

                for (size_t f = 0; f < KILN_SUBJECT_DIGESTS; f++) {
                        char hex[KILN_DIGEST_HEX + 1];

                        if (!(kiln_subject_digests[f].forms & 1U << form))
                                continue;
                        field_hex(&sorted[i]->digests, &kiln_subject_digests[f], hex);
                        json_object_set_new(digest, kiln_subject_digests[f].name, json_string(hex));
                }
                json_array_append_new(
                        list, json_pack("{s:s, s:o}", "name", sorted[i]->file_name, "digest", digest));
        }
        statement = json_pack("{s:s, s:o, s:s, s:O}", "_type", KILN_STATEMENT_TYPE, "subject", list,
                "predicateType", predicate_type, "predicate", predicate);
        kiln_json_canonical(statement, out);
}

static int refuse(struct kiln_error *err, const char *subject, const char *what)
{
        kiln_error_set(err, KILN_REFUSED, 0, DOING, subject, "%s", what);
        return -EPERM;
}

/* Every digest the statement names must be this package's. */
static bool digests_match(const json_t *digest, const struct kiln_subject *known)
{
        const char *key;
        json_t *value;

        if (!json_is_object(digest) || json_object_size(digest) == 0)
                return false;
        json_object_foreach((json_t *)digest, key, value)
        {
                bool found = false;

                for (size_t f = 0; f < KILN_SUBJECT_DIGESTS && !found; f++) {
                        char hex[KILN_DIGEST_HEX + 1];

                        field_hex(&known->digests, &kiln_subject_digests[f], hex);
                        found = strcmp(key, kiln_subject_digests[f].name) == 0 && json_is_string(value) &&
                                strspn(hex, "0") < KILN_DIGEST_HEX &&
                                strcmp(json_string_value(value), hex) == 0;
                }
                if (!found)
                        return false;
        }
        return true;
}

static bool unsigned_known(const struct kiln_subject *s)
{
        return !kiln_digest_equal(&s->digests.unsigned_file, &(struct kiln_digest){0});
}

/* A set of digests as packages have them, of whatever package. */
static bool digests_proper(const json_t *digest)
{
        const char *key;
        json_t *value;

        if (!json_is_object(digest) || json_object_size(digest) == 0)
                return false;
        json_object_foreach((json_t *)digest, key, value)
        {
                struct kiln_digest d;
                size_t f = 0;

                while (f < KILN_SUBJECT_DIGESTS && strcmp(key, kiln_subject_digests[f].name) != 0)
                        f++;
                if (f == KILN_SUBJECT_DIGESTS || !json_is_string(value) ||
                        json_string_length(value) != KILN_DIGEST_HEX ||
                        kiln_digest_from_hex(json_string_value(value), &d) < 0)
                        return false;
        }
        return true;
}

/* What a statement claims decides which packages it can be about. */
enum claim {
        CLAIM_MADE,    /* we made it: packages that were seen before anybody signed them */
        CLAIM_GOOD,    /* it was judged and found good: packages that were seen */
        CLAIM_DISSENT, /* it was judged and found wanting: any. Nobody trusts a package for that, and who
                          rebuilds from a provenance alone never had the original. */
};

static enum claim claim_of(const char *predicate_type, const json_t *predicate)
{
        const char *result = json_string_value(json_object_get(predicate, "verificationResult"));

        if (strcmp(predicate_type, KILN_PREDICATE_VSA) != 0)
                return CLAIM_MADE;
        return result && strcmp(result, "FAILED") == 0 ? CLAIM_DISSENT : CLAIM_GOOD;
}

static int check_subject(const json_t *subject, enum claim claim, const struct kiln_subject *known,
        size_t n_known, struct kiln_error *err)
{
        const char *name = json_string_value(json_object_get(subject, "name"));
        const json_t *digest = json_object_get(subject, "digest");

        if (!name || json_object_size(subject) != 2)
                return refuse(err, NULL, "a subject is not just a name and its digests");
        if (claim == CLAIM_DISSENT)
                return digests_proper(digest) ? 0 : refuse(err, name, "its digests are none of a package");
        for (size_t i = 0; i < n_known; i++)
                if (strcmp(name, known[i].file_name) == 0 &&
                        (claim == CLAIM_GOOD || unsigned_known(&known[i])) &&
                        digests_match(digest, &known[i]))
                        return 0;
        return refuse(err, name, "the signer has not seen a package of this name and these digests");
}

int kiln_statement_check(const char *text, size_t len, const struct kiln_subject *known, size_t n_known,
        struct kiln_error *err)
{
        _cleanup_json_ json_t *statement = NULL;
        const char *type, *predicate_type;
        const json_t *subjects, *subject;
        bool known_type = false;
        enum claim claim;
        size_t i;
        int r = kiln_json_parse(text, len, "the statement", &statement, err);

        if (r < 0)
                return r;
        type = json_string_value(json_object_get(statement, "_type"));
        predicate_type = json_string_value(json_object_get(statement, "predicateType"));
        subjects = json_object_get(statement, "subject");
        if (!type || strcmp(type, KILN_STATEMENT_TYPE) != 0 ||
                !json_is_object(json_object_get(statement, "predicate")) || json_object_size(statement) != 4)
                return refuse(err, NULL, "it is no in-toto Statement v1");
        for (i = 0; predicate_type && i < KILN_ARRAY_SIZE(predicate_types); i++)
                known_type = known_type || strcmp(predicate_type, predicate_types[i]) == 0;
        if (!known_type)
                return refuse(err, predicate_type, "its predicate type is none that this signer signs");
        if (!json_is_array(subjects) || json_array_size(subjects) == 0)
                return refuse(err, NULL, "it is about nothing");
        claim = claim_of(predicate_type, json_object_get(statement, "predicate"));
        json_array_foreach(subjects, i, subject)
        {
                r = check_subject(subject, claim, known, n_known, err);
                if (r < 0)
                        return r;
        }
        return 0;
}
