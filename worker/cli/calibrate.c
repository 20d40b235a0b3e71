/* kiln calibrate: which packages of somebody else does this worker reproduce exactly? */
#include "worker/pipeline/calibrate.h"
#include "worker/attest/sbom.h"
#include "worker/base/file.h"
#include "worker/base/json.h"
#include "worker/base/mem.h"
#include "worker/base/text.h"
#include "worker/cli/cli.h"
#include "worker/cli/request.h"
#include "worker/pipeline/pipeline.h"
#include "worker/verify/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct calibrate_options {
        const char *toolchain, *output, *source, *repository_key;
        char **key;
        uint64_t wall, sample, seed;
        bool no_check;
};

#define OFFSET(member) offsetof(struct calibrate_options, member)

static const struct kiln_option options[] = {
        {"toolchain", 't', KILN_OPTION_STRING, OFFSET(toolchain), "NAME", NULL, 0,
                "build against this toolchain (default: configured, else by dist tag, else bootstrap)"},
        {"output", 'o', KILN_OPTION_STRING, OFFSET(output), "DIR", NULL, 0,
                "where the rebuilds go, a directory each (default: calibration)"},
        {"key", 'k', KILN_OPTION_STRINGS, OFFSET(key), "FILE", NULL, 0,
                "a public key that may have signed the packages; repeatable"},
        {"source", 0, KILN_OPTION_STRING, OFFSET(source), "URL", NULL, 0,
                "the repository of the source packages (default: that of the packages)"},
        {"repository-key", 0, KILN_OPTION_STRING, OFFSET(repository_key), "FILE", NULL, 0,
                "an OpenPGP key that must have signed the repositories' metadata"},
        {"sample", 0, KILN_OPTION_NUMBER, OFFSET(sample), "N", NULL, 1000,
                "of a repository, N source packages chosen by --seed"},
        {"seed", 0, KILN_OPTION_NUMBER, OFFSET(seed), "N", NULL, UINT64_MAX,
                "another seed chooses others (default: 0)"},
        {"no-check", 0, KILN_OPTION_FLAG, OFFSET(no_check), NULL, NULL, 0, "leave %check out"},
        {"wall", 0, KILN_OPTION_DURATION, OFFSET(wall), "TIME", NULL, 1u << 30,
                "longest time one rebuild may take"},
        {NULL},
};

const struct kiln_command kiln_command_calibrate = {
        .name = "calibrate",
        .summary = "rebuild a distribution's packages and show which come out exactly",
        .arguments = "DIR|URL [NAME...]",
        .min_arguments = 1,
        .max_arguments = KILN_ARGUMENTS_ANY,
        .description =
                "DIR has source packages and packages that a distribution built from them. Each is rebuilt "
                "with\n"
                "the build host, time, vendor, flags and payload that the packages' headers record, and\n"
                "compared; the distribution's signature is put on the rebuild where there is one. The table\n"
                "says for every package which level was reached, and the first difference.\n"
                "URL is a repository: packages of these names (globs; default: all) and their source "
                "packages are\n"
                "fetched from it.",
        .options = options,
        .common = KILN_COMMON_JSON | KILN_COMMON_OFFLINE,
        .run = kiln_cmd_calibrate,
};

/* ---- the result -------------------------------------------------------------------------------------- */

static json_t *package_json(const struct kiln_calibrated_source *s, const struct kiln_calibrated_package *p)
{
        return json_pack("{s:o, s:o, s:s, s:b, s:o}", "package", kiln_sbom_text(p->name), "source",
                kiln_sbom_text(s->nvr), "level", p->level, "exact", p->exact, "difference",
                kiln_sbom_text(p->difference));
}

static void print_json(const struct kiln_calibration *k)
{
        _cleanup_json_ json_t *packages = json_array(), *unpaired = json_array(), *j = NULL;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;

        for (size_t i = 0; i < k->n_sources; i++)
                for (size_t n = 0; n < k->sources[i].n_packages; n++)
                        json_array_append_new(
                                packages, package_json(&k->sources[i], &k->sources[i].packages[n]));
        for (char **u = k->unpaired; *u; u++)
                json_array_append_new(unpaired, kiln_sbom_text(*u));
        j = json_pack("{s:O, s:O}", "packages", packages, "unpaired", unpaired);
        kiln_json_canonical(j, &text);
        puts(kiln_buf_str(&text));
}

static void print_line(const char *level, const char *name, const char *difference)
{
        _cleanup_free_ char *line = kiln_asprintf("%-15s %-50s %s", level, name, difference);
        _cleanup_buf_ struct kiln_buf clean = KILN_BUF_INIT;

        for (size_t n = strlen(line); n > 0 && line[n - 1] == ' '; n--)
                line[n - 1] = '\0';
        kiln_text_clean(&clean, line, strlen(line), kiln_text_utf8() ? 0 : KILN_TEXT_ASCII);
        puts(kiln_buf_str(&clean));
}

static void print_text(const struct kiln_calibration *k)
{
        size_t exact = 0, all = 0;

        print_line("LEVEL", "PACKAGE", "FIRST DIFFERENCE");
        for (size_t i = 0; i < k->n_sources; i++)
                for (size_t n = 0; n < k->sources[i].n_packages; n++) {
                        const struct kiln_calibrated_package *p = &k->sources[i].packages[n];

                        print_line(p->level, p->name, p->difference);
                        exact += p->exact;
                        all++;
                }
        for (char **u = k->unpaired; *u; u++)
                print_line("unpaired", *u, "its source package, or what was built from it, is not here");
        printf("%zu of %zu packages come out exactly\n", exact, all);
}

/* ---- one source package ------------------------------------------------------------------------------ */

/* What ends a calibration; a package that cannot be built is a line of the table. */
static bool is_fatal(enum kiln_verdict v)
{
        return v == KILN_CANCELLED || v == KILN_USAGE;
}

static const char *output_of(const struct calibrate_options *o)
{
        return o->output ? o->output : "calibration";
}

static int calibrate(struct kiln_context *c, const struct calibrate_options *o,
        struct kiln_calibrated_source *s, const struct kiln_keyring *keyring, struct kiln_error *err)
{
        _cleanup_free_ char *directory = kiln_path_join(output_of(o), s->nvr);
        struct request_options q = {.toolchain = o->toolchain,
                .output = directory,
                .signing = "none",
                .wall = o->wall,
                .no_check = o->no_check};
        _cleanup_(kiln_request_freep) Kiln__V1__BuildRequest *request = NULL;
        _cleanup_(kiln_result_freep) Kiln__V1__BuildResult *result = NULL;
        _cleanup_error_ struct kiln_error why = KILN_ERROR_INIT;
        int r = request_build(c, &q, s->path, &request, &why);

        if (r == 0) {
                kiln_calibration_request(s, request->build);
                kiln_sink_note(&c->sink, "rebuilding %s", s->nvr);
                result = kiln_pipeline_run(c, request, &why);
        }
        if (why.verdict == KILN_OK &&
                kiln_calibration_compare(c, s, keyring, request->destination->directory, &why) == 0)
                return 0;
        if (is_fatal(why.verdict)) {
                *err = why;
                why = (struct kiln_error)KILN_ERROR_INIT;
                return -ECANCELED;
        }
        kiln_calibration_failed(s, &why);
        return 0;
}

/* ---- a repository ------------------------------------------------------------------------------------ */

#define KEY_BYTES_MAX ((size_t)1 << 20)

static bool is_url(const char *s)
{
        return strncmp(s, "http://", 7) == 0 || strncmp(s, "https://", 8) == 0 ||
               strncmp(s, "file://", 7) == 0;
}

static int check_options(const struct calibrate_options *o, int argc, char **argv, struct kiln_error *err)
{
        bool fetches = is_url(argv[0]);

        if (!fetches && (argc > 1 || o->source || o->repository_key || o->sample || o->seed))
                return kiln_error_set(err, KILN_USAGE, 0, "calibrating with", argv[0],
                        "names, --source, --repository-key, --sample and --seed are for the URL of a "
                        "repository");
        if (o->source && !is_url(o->source))
                return kiln_error_set(err, KILN_USAGE, 0, "reading", "--source",
                        "%s is no http, https or file URL", o->source);
        return 0;
}

/* *ret: the directory to calibrate with. */
static int fetch_packages(const struct kiln_context *c, const struct calibrate_options *o, char **argv,
        char **ret, struct kiln_error *err)
{
        struct kiln_calibration_repository q = {.url = argv[0],
                .source_url = o->source,
                .patterns = argv + 1,
                .sample = o->sample,
                .seed = o->seed};
        _cleanup_free_ char *directory = NULL;
        _cleanup_buf_ struct kiln_buf key = KILN_BUF_INIT;
        int r;

        if (!is_url(argv[0])) {
                *ret = kiln_strdup(argv[0]);
                return 0;
        }
        if (o->repository_key) {
                r = kiln_file_read(AT_FDCWD, o->repository_key, KEY_BYTES_MAX, &key);
                if (r < 0)
                        return kiln_error_set(
                                err, KILN_BAD_INPUT, -r, "reading key", o->repository_key, "cannot read it");
                q.key = kiln_buf_str(&key);
        }
        directory = kiln_path_join(output_of(o), "packages");
        r = kiln_calibration_fetch(c, &q, directory, err);
        if (r == 0)
                *ret = TAKE_PTR(directory);
        return r;
}

int kiln_cmd_calibrate(struct kiln_context *c, int argc, char **argv)
{
        _cleanup_(kiln_calibration_freep) struct kiln_calibration *k = NULL;
        _cleanup_(kiln_policy_freep) struct kiln_policy *policy = kiln_policy_new();
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        struct calibrate_options o = {0};
        _cleanup_free_ char *directory = NULL;
        int r = kiln_options_parse(c, &kiln_command_calibrate, &o, &argc, argv);
        _cleanup_strv_ char **keys = o.key;

        if (r != 0)
                return kiln_options_status(r);
        r = check_options(&o, argc, argv, &err);
        if (r == 0)
                r = kiln_policy_add_keys(policy, o.key, NULL, &err);
        if (r == 0)
                r = fetch_packages(c, &o, argv, &directory, &err);
        if (r == 0)
                r = kiln_calibration_scan(c, directory, &k, &err);
        for (size_t i = 0; r == 0 && i < k->n_sources; i++)
                r = calibrate(c, &o, &k->sources[i], policy->keyring, &err);
        if (r < 0)
                return kiln_cli_fail(c, &err);
        kiln_cli_release_terminal(c);
        if (kiln_cli_json(c))
                print_json(k);
        else
                print_text(k);
        return KILN_OK;
}
