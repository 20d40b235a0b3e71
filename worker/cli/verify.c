/* `kiln verify`: options, and the result as a table, JSON or signed summaries. Thin: everything else is
 * worker/verify. */
#include "worker/attest/signer.h"
#include "worker/base/clock.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/base/text.h"
#include "worker/cli/against.h"
#include "worker/cli/cli.h"
#include "worker/verify/batch.h"
#include "worker/verify/bundle.h"
#include "worker/verify/summary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct verify_values {
        const char *policy, *vsa, *signer, *bundle, *tsa, *against;
        char **keys, **logs, **attestations, **tsa_certs;
        uint64_t jobs;
        bool quick;
};

/* What is made of the results while they come in. */
struct output {
        bool json, header;
        json_t *sources; /* NULL: nothing needs them later */
        size_t n_packages, n_good;
};

/* Names come out of the files: a terminal must not act on them. */
static void print_clean(const char *text)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        kiln_text_clean(&b, text, strlen(text), kiln_text_utf8() ? 0 : KILN_TEXT_ASCII);
        fputs(kiln_buf_str(&b), stdout);
}

static const char *string_at(const json_t *object, const char *key)
{
        const char *s = json_string_value(json_object_get(object, key));

        return s ? s : "-";
}

static void print_package(const json_t *p)
{
        const json_t *keys = json_object_get(p, "keys");
        char vouched[32] = "-";

        if (json_array_size(keys) > 0)
                snprintf(vouched, sizeof(vouched), "%zu", json_array_size(keys));
        printf("%-15s %-11s %-12s %-7s ", string_at(p, "verdict"), string_at(p, "form"),
                string_at(p, "signature"), vouched);
        print_clean(string_at(p, "file"));
        printf("\n");
}

static void print_finding(const json_t *f)
{
        const char *about = json_string_value(json_object_get(f, "about"));

        printf("    %s: ", string_at(f, "check"));
        if (about) {
                print_clean(kiln_path_base(about));
                printf(": ");
        }
        print_clean(string_at(f, "text"));
        printf("\n");
}

static void take_result(void *ctx, const json_t *result)
{
        struct output *o = ctx;
        const json_t *one;
        size_t i;

        if (o->sources)
                json_array_append(o->sources, (json_t *)result);
        json_array_foreach(json_object_get(result, "packages"), i, one)
        {
                o->n_packages++;
                o->n_good += kiln_verify_verdict_of(string_at(one, "verdict")) == KILN_OK;
        }
        if (o->json)
                return;
        if (!o->header)
                printf("%-15s %-11s %-12s %-7s %s\n", "VERDICT", "FORM", "SIGNATURE", "VOUCHED", "FILE");
        o->header = true;
        json_array_foreach(json_object_get(result, "packages"), i, one) print_package(one);
        json_array_foreach(json_object_get(result, "findings"), i, one) print_finding(one);
}

static void print_json(const struct output *o, enum kiln_verdict verdict)
{
        _cleanup_json_ json_t *j = json_pack("{s:s, s:I, s:I, s:O}", "verdict", kiln_verdict_name(verdict),
                "packages", (json_int_t)o->n_packages, "good", (json_int_t)o->n_good, "sources", o->sources);
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        kiln_json_pretty(j, &b);
        fwrite(b.data, 1, b.len, stdout);
}

static int open_policy(const struct kiln_context *c, const struct verify_values *o, struct kiln_policy **ret,
        struct kiln_error *err)
{
        _cleanup_(kiln_policy_freep) struct kiln_policy *p = NULL;
        int r;

        if (o->policy)
                return kiln_policy_load(o->policy, ret, err);
        p = kiln_policy_new();
        r = kiln_policy_add_keys(p, o->keys, c->key_dir, err);
        for (char **f = o->tsa_certs; r == 0 && f && *f; f++)
                r = kiln_policy_add_authority(p, *f, err);
        for (char **k = o->logs; r == 0 && k && *k; k++)
                r = kiln_policy_add_log(p, *k, err);
        p->logged = o->logs != NULL;
        if (r == 0 && !o->against)
                r = kiln_policy_check_keys(p, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

/* A signer remembers the packages of one conversation, up to a limit: one conversation for each source. */
static int write_summaries(const struct kiln_context *c, const struct verify_values *o,
        const struct kiln_policy *policy, int64_t now_s, const json_t *sources, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;
        const json_t *one;
        size_t i;
        int r = 0;

        json_array_foreach(sources, i, one)
        {
                _cleanup_(kiln_signer_freep) struct kiln_signer *signer = NULL;

                if (!kiln_verify_is_judged(one)) {
                        kiln_sink_warning(&c->sink, "no summary about %s: it could not be judged here",
                                string_at(one, "source"));
                        continue;
                }
                r = kiln_signer_open(c, o->signer, &signer, err);
                if (r == 0)
                        r = kiln_verify_summarise(signer, policy, now_s, one, &out, err);
                if (r < 0)
                        return r;
        }
        r = kiln_file_write(AT_FDCWD, o->vsa, kiln_buf_str(&out), out.len, 0644);
        return r < 0 ? kiln_error_set(err, KILN_INFRA, -r, "writing the summary", o->vsa, "cannot write it")
                     : 0;
}

static int open_tsa(const struct kiln_context *c, const struct verify_values *o, struct kiln_tsa **ret,
        struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf pem = KILN_BUF_INIT;
        int r;

        *ret = NULL;
        if (!o->tsa)
                return 0;
        r = kiln_tsa_read_certificates(o->tsa_certs, &pem, err);
        if (r < 0)
                return r;
        return kiln_tsa_open(c, o->tsa, kiln_buf_str(&pem), pem.len, ret, err);
}

/* Bundles of what lies beside the packages that are good. */
static int write_bundles(const char *out_dir, struct kiln_tsa *tsa, const struct kiln_policy *policy,
        const json_t *sources, struct kiln_error *err)
{
        const json_t *source, *one;
        size_t i, k;

        json_array_foreach(sources, i, source)
        {
                const char *before = "";

                if (kiln_verify_verdict_of(string_at(source, "verdict")) != KILN_OK)
                        continue;
                json_array_foreach(json_object_get(source, "attestations"), k, one)
                {
                        const char *file = string_at(one, "file");
                        int r;

                        if (!json_is_true(json_object_get(one, "beside")) ||
                                !kiln_ends_with(file, ".intoto.jsonl") || strcmp(file, before) == 0)
                                continue;
                        before = file;
                        r = kiln_bundle_export(
                                string_at(source, "directory"), file, &policy->keys, tsa, out_dir, err);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int run(struct kiln_context *c, const struct verify_values *o, char **paths)
{
        _cleanup_(kiln_policy_freep) struct kiln_policy *policy = NULL;
        _cleanup_(kiln_tsa_freep) struct kiln_tsa *tsa = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_json_ json_t *sources = NULL;
        struct output out = {.json = kiln_cli_json(c)};
        struct kiln_verify_options options = {
                .now_s = kiln_clock_wall_s(), .quick = o->quick, .files = o->attestations};
        enum kiln_verdict verdict;

        if (o->policy && o->keys)
                return kiln_options_complain(&kiln_command_verify,
                        "--key and --policy exclude each other: the policy names its keys");
        if (o->tsa ? !o->tsa_certs || !o->bundle : o->policy && o->tsa_certs)
                return kiln_options_complain(
                        &kiln_command_verify, o->tsa ? "--tsa puts time stamps into the bundles of --bundle, "
                                                       "and needs --tsa-cert to "
                                                       "check them with"
                                                     : "--tsa-cert and --policy exclude each other: the "
                                                       "policy names its authorities");
        if (o->policy && o->logs)
                return kiln_options_complain(&kiln_command_verify,
                        "--log-key and --policy exclude each other: the policy names its logs");
        if (o->against && (paths[1] || o->vsa || o->signer || o->bundle || o->attestations || o->logs ||
                                  o->quick || o->jobs || o->tsa_certs))
                return kiln_options_complain(&kiln_command_verify,
                        "--against takes one FILE, the rebuild, and no other option but --key and --policy");
        if (out.json || o->vsa || o->bundle)
                out.sources = sources = json_array();
        if (open_policy(c, o, &policy, &err) < 0)
                return kiln_cli_fail(c, &err);
        if (open_tsa(c, o, &tsa, &err) < 0)
                return kiln_cli_fail(c, &err);
        options.policy = policy;
        kiln_cli_release_terminal(c);
        if (o->against)
                return against_run(c, o->against, paths[0], policy->keyring);
        if (kiln_verify_batch(c, &options, paths, (unsigned)o->jobs, take_result, &out, &verdict, &err) < 0)
                return kiln_cli_fail(c, &err);
        if (o->vsa && write_summaries(c, o, policy, options.now_s, sources, &err) < 0)
                return kiln_cli_fail(c, &err);
        if (o->bundle && write_bundles(o->bundle, tsa, policy, sources, &err) < 0)
                return kiln_cli_fail(c, &err);
        if (out.json)
                print_json(&out, verdict);
        else
                printf("%zu of %zu packages are good: %s\n", out.n_good, out.n_packages,
                        kiln_verdict_name(verdict));
        return (int)verdict;
}

int kiln_cmd_verify(struct kiln_context *c, int argc, char **argv)
{
        struct verify_values o = {0};
        int r = kiln_options_parse(c, &kiln_command_verify, &o, &argc, argv);
        _cleanup_strv_ char **paths = NULL;
        int status;

        for (int i = 0; r == 0 && i < argc; i++)
                kiln_strv_append(&paths, argv[i]);
        status = r != 0 ? kiln_options_status(r) : run(c, &o, paths);
        kiln_strv_free(o.keys);
        kiln_strv_free(o.logs);
        kiln_strv_free(o.attestations);
        kiln_strv_free(o.tsa_certs);
        return status;
}

static const struct kiln_option verify_options[] = {
        {"key", 'k', KILN_OPTION_STRINGS, offsetof(struct verify_values, keys), "FILE", NULL, 0,
                "a public key to accept: attest.pub or rpm.asc of a builder (default: the local keys); "
                "repeatable"},
        {"log-key", 0, KILN_OPTION_STRINGS, offsetof(struct verify_values, logs), "FILE", NULL, 0,
                "demand proof that every attestation is in the transparency log of this verifier key, or of "
                "another one given; repeatable"},
        {"policy", 'p', KILN_OPTION_STRING, offsetof(struct verify_values, policy), "FILE", NULL, 0,
                "what to demand: keys, thresholds, levels, allowed deviations"},
        {"attestation", 'a', KILN_OPTION_STRINGS, offsetof(struct verify_values, attestations), "FILE", NULL,
                0, "attestations from elsewhere, such as other rebuilders' summaries; repeatable"},
        {"vsa", 0, KILN_OPTION_STRING, offsetof(struct verify_values, vsa), "FILE", NULL, 0,
                "write the verdict as signed verification summaries"},
        {"signer", 0, KILN_OPTION_STRING, offsetof(struct verify_values, signer), "SOCKET", NULL, 0,
                "with --vsa: the signer that listens there (default: the local keys)"},
        {"bundle", 0, KILN_OPTION_STRING, offsetof(struct verify_values, bundle), "DIR", NULL, 0,
                "write the attestations of good packages as Sigstore bundles into this directory"},
        {"tsa-cert", 0, KILN_OPTION_STRINGS, offsetof(struct verify_values, tsa_certs), "FILE", NULL, 0,
                "certificates of a time-stamp authority whose stamps are accepted; repeatable"},
        {"tsa", 0, KILN_OPTION_STRING, offsetof(struct verify_values, tsa), "URL", NULL, 0,
                "with --bundle and --tsa-cert: have each attestation stamped by this authority"},
        {"quick", 0, KILN_OPTION_FLAG, offsetof(struct verify_values, quick), NULL, NULL, 0,
                "hold SBOMs against package headers instead of unpacked payloads"},
        {"against", 0, KILN_OPTION_STRING, offsetof(struct verify_values, against), "RPM", NULL, 0,
                "put this RPM's signature on FILE, a rebuild of it: the same bytes, or why not"},
        {"jobs", 'j', KILN_OPTION_NUMBER, offsetof(struct verify_values, jobs), "N", NULL, 256,
                "judge so many source packages at once (default: one per CPU)"},
        {0},
};

const struct kiln_command kiln_command_verify = {
        .name = "verify",
        .summary = "check packages against their attestations and a policy, offline",
        .arguments = "FILE...",
        .min_arguments = 1,
        .max_arguments = KILN_ARGUMENTS_ANY,
        .description =
                "FILE is an RPM, or a directory of RPMs such as a result of kiln rebuild. Checked are the "
                "digests and signature of each package, the attestations beside it (NAME-VERSION-RELEASE of "
                "the source package and .intoto.jsonl), its SBOMs against the files of its payload, the lock "
                "against the "
                "provenance, and the policy.\n"
                "\n"
                "Exit status: 0 all is as attested and as the policy demands, 3 a file cannot be read, 6 the "
                "policy is not met, 7 something was tampered with or differs. Of several, 7 wins over 3, and "
                "3 "
                "over 6.",
        .options = verify_options,
        .common = KILN_COMMON_JSON,
        .run = kiln_cmd_verify,
};
