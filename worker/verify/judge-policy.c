/* What the policy demands, and who vouches for what, over everything that was read. */
#include "worker/base/mem.h"
#include "worker/verify/judge-private.h"

#include <string.h>

/* ---- how it was built -------------------------------------------------------------------------------- */

static const char *enum_name(const ProtobufCEnumDescriptor *type, int value)
{
        const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(type, value);

        return v ? v->name : "unknown";
}

static size_t unsigned_inputs(const struct kiln_lock *lock)
{
        size_t n = 0;

        for (size_t i = 0; i < lock->n_packages; i++)
                n += !*lock->packages[i].signer;
        return n;
}

static void check_deviations(struct judge *j, const struct judge_claims *c)
{
        const struct kiln_policy_allow *allow = &j->policy->allow;
        const Kiln__V1__Build *b = c->claims.build;
        const struct {
                bool has, allowed;
                const char *what, *key;
        } deviations[] = {
                {b->n_overlays > 0, allow->overlays, "changed the source with overlays", "overlays"},
                {b->n_macros || b->n_bcond_with || b->n_bcond_without, allow->macros,
                        "defined macros or build conditions", "macros"},
                {b->skip_check, allow->skip_check, "left %check out", "skip-check"},
                {b->source->signature_policy != KILN__V1__SOURCE__SIGNATURE_POLICY__KNOWN_KEY,
                        allow->unsigned_source, "took a source package whoever signed it", "unsigned-source"},
                {unsigned_inputs(c->claims.lock) > 0, allow->unsigned_inputs,
                        "took packages into the build root that nobody signed", "unsigned-inputs"},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(deviations); i++)
                if (deviations[i].has && !deviations[i].allowed)
                        judge_find(j, CHECK_POLICY, NULL, KILN_REFUSED,
                                "the build of %s %s, which the policy does not allow (allow.%s)", c->where,
                                deviations[i].what, deviations[i].key);
}

static void check_requirements(struct judge *j, const struct judge_claims *c)
{
        const char *isa = enum_name(&kiln__v1__build__isa_level__descriptor, (int)c->claims.build->isa),
                   *profile = enum_name(
                           &kiln__v1__build__sandbox_profile__descriptor, (int)c->claims.build->profile);
        const struct kiln_policy *p = j->policy;
        /* X86_64_V3 -> v3 */
        const char *level = strrchr(isa, 'V');

        if (p->isa && (!level || strcmp(level + 1, p->isa + 1) != 0))
                judge_find(j, CHECK_POLICY, NULL, KILN_REFUSED,
                        "%s is of a build for %s; the policy demands x86-64-%s", c->where, isa, p->isa);
        if (p->profiles && !kiln_strv_contains(p->profiles, profile))
                judge_find(j, CHECK_POLICY, NULL, KILN_REFUSED,
                        "%s is of a build in the sandbox profile %s, which the policy does not name",
                        c->where, profile);
        if (p->sandbox && !*c->claims.sandbox)
                judge_find(j, CHECK_POLICY, NULL, KILN_REFUSED,
                        "%s does not say which sandbox policies were in force", c->where);
        for (char **s = c->claims.sandbox; p->sandbox && *s; s++)
                if (!kiln_strv_contains(p->sandbox, *s))
                        judge_find(j, CHECK_POLICY, NULL, KILN_REFUSED,
                                "%s is of a build under the sandbox policy %s, which the policy does not "
                                "name",
                                c->where, *s);
}

/* ---- test results ------------------------------------------------------------------------------------ */

const struct judge_claims *judge_claims_by(const struct judge *j, size_t key)
{
        for (size_t i = 0; i < j->n_claims; i++)
                if (j->claims[i].key == key)
                        return &j->claims[i];
        return NULL;
}

static void check_test(struct judge *j, const struct judge_test *t)
{
        const struct judge_claims *c = judge_claims_by(j, t->key);
        const char *isa =
                c ? enum_name(&kiln__v1__build__isa_level__descriptor, (int)c->claims.build->isa) : NULL;

        if (c && !kiln_digest_equal(&t->build_digest, &c->claims.build_digest))
                judge_find(j, CHECK_TESTS, NULL, KILN_NOT_REPRODUCED,
                        "%s (test %s) is about another build than the provenance", t->where, t->name);
        if (t->failed && !j->policy->allow.failed_tests)
                judge_find(
                        j, CHECK_TESTS, NULL, KILN_REFUSED, "%s says that test %s failed", t->where, t->name);
        if (isa && t->isa && strcmp(t->name, "isa") == 0 &&
                (!strrchr(isa, 'V') || strcmp(strrchr(isa, 'V') + 1, t->isa + (*t->isa == 'v')) != 0))
                judge_find(j, CHECK_TESTS, NULL, KILN_NOT_REPRODUCED,
                        "%s was checked against %s, the build was for %s", t->where, t->isa, isa);
}

static bool test_passed(const struct judge *j, const char *name)
{
        for (size_t i = 0; i < j->n_tests; i++)
                if (strcmp(j->tests[i].name, name) == 0 && !j->tests[i].failed)
                        return true;
        return false;
}

static void check_tests(struct judge *j)
{
        for (size_t i = 0; i < j->n_tests; i++)
                check_test(j, &j->tests[i]);
        for (char **name = j->policy->tests; name && *name; name++) {
                j->made[CHECK_TESTS] = true;
                if (!test_passed(j, *name))
                        judge_find(j, CHECK_TESTS, NULL, KILN_REFUSED,
                                "the policy demands a passed test %s; there is none", *name);
        }
}

/* ---- packages ---------------------------------------------------------------------------------------- */

static const struct kiln_policy_package_key *package_key(const struct judge *j, const char *fingerprint)
{
        for (size_t i = 0; i < j->policy->n_package_keys; i++)
                if (strcmp(j->policy->package_keys[i].fingerprint, fingerprint) == 0)
                        return &j->policy->package_keys[i];
        return NULL;
}

/* Without any package key nothing is said about signatures; the attestations name the file. */
static void check_signature(struct judge *j, struct judge_package *p)
{
        const struct kiln_policy_package_key *key;

        if (p->rpm->signature == KILN_RPM_UNSIGNED) {
                if (!j->policy->allow.unsigned_packages)
                        judge_find(j, CHECK_POLICY, p, KILN_REFUSED,
                                "it carries no signature (allow.unsigned-packages)");
                return;
        }
        if (kiln_keyring_count(j->policy->keyring) == 0)
                return;
        if (p->rpm->signature == KILN_RPM_UNKNOWN_KEY) {
                judge_find(j, CHECK_POLICY, p, KILN_REFUSED,
                        "it was signed by key %s, which is none of the %zu given", p->rpm->signer,
                        kiln_keyring_count(j->policy->keyring));
                return;
        }
        key = package_key(j, p->rpm->signer);
        if (key)
                judge_package_key(j, p, key);
}

static size_t count_operators(const struct kiln_policy *p, uint64_t keys)
{
        size_t n = 0;

        for (size_t i = 0; i < p->n_owners; i++) {
                bool first = keys >> i & 1;

                for (size_t k = 0; k < i && first; k++)
                        first = !(keys >> k & 1) ||
                                strcmp(p->owners[k].operator_name, p->owners[i].operator_name) != 0;
                n += first;
        }
        return n;
}

static void check_dissent(struct judge *j, struct judge_package *p, uint64_t agree)
{
        const struct kiln_policy *policy = j->policy;
        int for_it = __builtin_popcountll(agree), against = __builtin_popcountll(p->dissented);

        if (!p->dissented || policy->dissent == KILN_DISSENT_IGNORE ||
                (policy->dissent == KILN_DISSENT_OUTVOTE && for_it > against))
                return;
        judge_find(j, CHECK_VOTES, p, KILN_NOT_REPRODUCED,
                "%d of the accepted keys dissent (%s the first): they did not get these bytes or refuse "
                "them; "
                "%d agree",
                against, policy->owners[__builtin_ctzll(p->dissented)].name, for_it);
}

static void check_votes(struct judge *j, struct judge_package *p)
{
        const struct kiln_policy *policy = j->policy;
        uint64_t agree = p->vouched & ~p->dissented; /* who says both agrees with nothing */
        size_t keys = (size_t)__builtin_popcountll(agree), operators = count_operators(policy, agree);

        j->made[CHECK_VOTES] = true;
        check_dissent(j, p, agree);
        /* Why nobody vouches has been said, or nobody has to. */
        if (!keys && policy->agree_keys == 1 && (p->verdict != KILN_OK || !policy->provenance))
                return;
        if (keys < (size_t)policy->agree_keys || operators < (size_t)policy->agree_operators)
                judge_find(j, CHECK_VOTES, p, KILN_REFUSED,
                        "%zu keys of %zu operators vouch for it; the policy demands %lld of %lld", keys,
                        operators, (long long)policy->agree_keys, (long long)policy->agree_operators);
}

void judge_policy(struct judge *j)
{
        j->made[CHECK_POLICY] = true;
        for (size_t i = 0; i < j->n_claims; i++) {
                check_deviations(j, &j->claims[i]);
                check_requirements(j, &j->claims[i]);
        }
        check_tests(j);
        if (j->policy->provenance && j->n_claims == 0)
                judge_find(j, CHECK_PROVENANCE, NULL, KILN_REFUSED,
                        "there is no provenance for it: %s.intoto.jsonl is missing or says nothing of use",
                        j->group->nvr);
        if (j->policy->sbom && j->n_boms == 0)
                judge_find(j, CHECK_SBOM, NULL, KILN_REFUSED, "no SBOM was attested");
        for (size_t i = 0; i < j->n_packages; i++) {
                if (!j->packages[i].rpm)
                        continue;
                check_signature(j, &j->packages[i]);
                check_votes(j, &j->packages[i]);
        }
}
