/* `kiln toolchain`: what definitions there are, what one says, whether it is sound, and making the bootstrap
 * one. Thin: everything else is toolchains/ and, for the key, worker/attest. */
#include "toolchains/toolchain.h"

#include "worker/attest/signer.h"
#include "worker/base/json.h"
#include "worker/base/mem.h"
#include "worker/cli/cli.h"

#include <stdio.h>
#include <string.h>

#define ANSWER_TIMEOUT_S 10

struct toolchain_values {
        bool force;
        bool mirrors;
};

static json_t *list_to_json(char *const *v)
{
        json_t *a = json_array();

        for (size_t i = 0; i < kiln_strv_length(v); i++)
                json_array_append_new(a, json_string(v[i]));
        return a;
}

static json_t *repository_to_json(const struct kiln_toolchain *t, const struct kiln_repository *r)
{
        json_t *keys = json_array(), *j;

        for (size_t i = 0; i < r->n_keys; i++)
                json_array_append_new(keys, json_string(t->keys[r->keys[i]].name));
        j = json_pack("{s:s, s:s, s:o, s:s?, s:s?, s:o, s:b, s:b, s:i}", "id", r->id, "uri", r->uri,
                "baseUrls", list_to_json(r->base_urls), "metalink", r->metalink, "mirrorlist", r->mirrorlist,
                "keys", keys, "checkRepomd", r->check_repomd, "unsignedPackages", r->unsigned_packages,
                "priority", r->priority);
        if (r->has_repomd_digest) {
                char hex[KILN_DIGEST_HEX + 1];

                kiln_digest_to_hex(&r->repomd_digest, hex);
                json_object_set_new(j, "repomdSha256", json_string(hex));
        }
        return j;
}

static json_t *toolchain_to_json(const struct kiln_toolchain *t)
{
        json_t *repositories = json_array(), *macros = json_array();
        char hex[KILN_DIGEST_HEX + 1];

        kiln_digest_to_hex(&t->digest, hex);
        for (size_t i = 0; i < t->n_repositories; i++)
                json_array_append_new(repositories, repository_to_json(t, &t->repositories[i]));
        for (size_t i = 0; i < t->n_macros; i++)
                json_array_append_new(macros,
                        json_pack("{s:s, s:s}", "name", t->macros[i].name, "body", t->macros[i].body));
        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:I}",
                "name", t->name, "digest", hex, "path", t->path, "description", t->description, "vendor",
                t->vendor, "dist", t->dist, "arch", t->arch, "isa", kiln_isa_level_name(t->isa),
                "kernelRelease", t->kernel_release, "cpus", (int)t->cpus, "compatibleArches",
                list_to_json(t->compatible_arches), "core", list_to_json(t->core), "bootstrap",
                list_to_json(t->bootstrap), "macros", macros, "repositories", repositories, "inputs",
                (json_int_t)t->n_inputs);
}

static void print_json(json_t *j)
{
        _cleanup_json_ json_t *owned = j;
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        kiln_json_pretty(owned, &b);
        fputs(kiln_buf_str(&b), stdout);
}

static int list(struct kiln_context *c, struct kiln_error *err)
{
        _cleanup_strv_ char **names = NULL;
        json_t *all = kiln_cli_json(c) ? json_array() : NULL;
        int r = kiln_toolchain_list(c, &names, err);

        for (size_t i = 0; r == 0 && i < kiln_strv_length(names); i++) {
                _cleanup_toolchain_ struct kiln_toolchain *t = NULL;
                _cleanup_error_ struct kiln_error broken = KILN_ERROR_INIT;

                if (kiln_toolchain_load(c, names[i], &t, &broken) < 0) {
                        kiln_sink_warning(&c->sink, "%s is not usable: %s", names[i], broken.cause);
                        continue;
                }
                if (all)
                        json_array_append_new(all, toolchain_to_json(t));
                else
                        printf("%-18s %s\n", names[i], t->description);
        }
        if (all)
                print_json(all);
        if (r == 0 && !kiln_strv_contains(names, "bootstrap"))
                kiln_sink_note(
                        &c->sink, "`kiln toolchain bootstrap` makes one more, out of this host's packages");
        return r;
}

static void print_names(const char *label, char *const *v)
{
        size_t column = 0;

        printf("%s:", label);
        for (size_t i = 0; i < kiln_strv_length(v); i++) {
                if (column + strlen(v[i]) > 84) {
                        printf("\n%*s", (int)strlen(label) + 1, "");
                        column = 0;
                }
                printf(" %s", v[i]);
                column += strlen(v[i]) + 1;
        }
        putchar('\n');
}

static void print_toolchain(const struct kiln_toolchain *t)
{
        char hex[KILN_DIGEST_HEX + 1];

        kiln_digest_to_hex(&t->digest, hex);
        printf("Name:        %s\nDescription: %s\nDefinition:  %s\nDigest:      sha256:%s\n", t->name,
                t->description, t->path, hex);
        printf("Dist:        %s\nVendor:      %s\nArch:        %s, level %s\n", t->dist, t->vendor, t->arch,
                kiln_isa_level_name(t->isa));
        if (t->n_inputs)
                printf("Inputs:      %zu, each by SHA-256\n", t->n_inputs);
        print_names("Core", t->core);
        for (size_t i = 0; i < t->n_repositories; i++) {
                const struct kiln_repository *r = &t->repositories[i];

                printf("Repository:  %s\n  URI:       %s\n", r->id, r->uri);
                for (size_t k = 0; k < kiln_strv_length(r->base_urls); k++)
                        printf("  URL:       %s\n", r->base_urls[k]);
                if (r->metalink)
                        printf("  Metalink:  %s\n", r->metalink);
                if (r->mirrorlist)
                        printf("  Mirrors:   %s\n", r->mirrorlist);
                for (size_t k = 0; k < r->n_keys; k++)
                        printf("  Key:       %s\n", t->keys[r->keys[k]].name);
                printf("  Packages:  %s; metadata %s\n", r->unsigned_packages ? "may be unsigned" : "signed",
                        r->has_repomd_digest ? "pinned by SHA-256"
                        : r->check_repomd    ? "signed"
                                             : "not signed");
        }
}

/* 0 when it is sound (and, with --mirrors, all its repositories answer), else the exit status. */
static int check_one(struct kiln_context *c, const char *name, bool mirrors, json_t *all)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_toolchain_ struct kiln_toolchain *t = NULL;
        _cleanup_free_ char *which = NULL;
        char hex[KILN_DIGEST_HEX + 1];

        if (kiln_toolchain_load(c, name, &t, &err) < 0)
                return kiln_cli_fail(c, &err);
        kiln_digest_to_hex(&t->digest, hex);
        if (mirrors && kiln_toolchain_reachable(c, t, ANSWER_TIMEOUT_S, &which) == 0) {
                kiln_error_set(&err, KILN_INFRA, 0, "asking the mirrors of", t->name,
                        "repository '%s' does not answer", which);
                return kiln_cli_fail(c, &err);
        }
        if (all)
                json_array_append_new(
                        all, json_pack("{s:s, s:s, s:s}", "name", t->name, "path", t->path, "digest", hex));
        else
                printf("%s: sound, sha256:%s\n", t->name, hex);
        return KILN_OK;
}

static int check(struct kiln_context *c, const struct toolchain_values *o, int argc, char **argv)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_strv_ char **names = NULL;
        json_t *all = kiln_cli_json(c) ? json_array() : NULL;
        int status = KILN_OK;

        for (int i = 1; i < argc; i++)
                kiln_strv_append(&names, argv[i]);
        if (!names && kiln_toolchain_list(c, &names, &err) < 0)
                return kiln_cli_fail(c, &err);
        for (size_t i = 0; i < kiln_strv_length(names); i++) {
                int r = check_one(c, names[i], o->mirrors, all);

                if (status == KILN_OK)
                        status = r;
        }
        if (all)
                print_json(all);
        return status;
}

static int bootstrap(struct kiln_context *c, bool force, struct kiln_error *err)
{
        _cleanup_(kiln_signer_freep) struct kiln_signer *s = NULL;
        _cleanup_toolchain_ struct kiln_toolchain *t = NULL;
        struct kiln_bootstrap_signer signer;
        int r = kiln_signer_spawn(c, NULL, &s, err);

        if (r < 0)
                return r;
        signer = kiln_signer_for_bootstrap(s);
        r = kiln_toolchain_bootstrap(c, &signer, force, err);
        if (r == 0)
                r = kiln_toolchain_load(c, "bootstrap", &t, err);
        if (r < 0)
                return r;
        kiln_cli_release_terminal(c);
        if (kiln_cli_json(c))
                print_json(toolchain_to_json(t));
        else
                print_toolchain(t);
        return 0;
}

int kiln_cmd_toolchain(struct kiln_context *c, int argc, char **argv)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_toolchain_ struct kiln_toolchain *t = NULL;
        struct toolchain_values o = {0};
        int r = kiln_options_parse(c, &kiln_command_toolchain, &o, &argc, argv);

        if (r != 0)
                return kiln_options_status(r);
        if (strcmp(argv[0], "check") == 0)
                return check(c, &o, argc, argv);
        if (strcmp(argv[0], "list") == 0) {
                r = list(c, &err);
        } else if (strcmp(argv[0], "bootstrap") == 0) {
                r = bootstrap(c, o.force, &err);
        } else {
                r = kiln_toolchain_load(c, argv[1], &t, &err);
                if (r == 0 && kiln_cli_json(c))
                        print_json(toolchain_to_json(t));
                else if (r == 0)
                        print_toolchain(t);
        }
        return r < 0 ? kiln_cli_fail(c, &err) : KILN_OK;
}

static const struct kiln_verb verbs[] = {
        {"list", NULL, 0, 0, "the definitions that can be named with -t"},
        {"show", "NAME|FILE", 1, 1, "what one says, and its digest"},
        {"check", "[NAME|FILE...]", 0, KILN_ARGUMENTS_ANY,
                "whether definitions are sound; all without an argument"},
        {"bootstrap", NULL, 0, 0, "make a repository from the host distribution's own packages"},
        {0},
};

static const struct kiln_option options[] = {
        {"force", 0, KILN_OPTION_FLAG, offsetof(struct toolchain_values, force), NULL, NULL, 0,
                "bootstrap: look for newer packages even when the repository is complete"},
        {"mirrors", 0, KILN_OPTION_FLAG, offsetof(struct toolchain_values, mirrors), NULL, NULL, 0,
                "check: also ask each repository whether it answers"},
        {0},
};

const struct kiln_command kiln_command_toolchain = {
        .name = "toolchain",
        .summary = "list, show, check and make toolchain definitions",
        .verbs = verbs,
        .description = "A toolchain is what packages are built against: repositories, core packages, macros, "
                       "level. A NAME "
                       "with a slash is a file.\n"
                       "\n"
                       "bootstrap needs a host with apt and dpkg, but not root. A second run does nothing.",
        .options = options,
        .common = KILN_COMMON_JSON | KILN_COMMON_OFFLINE,
        .run = kiln_cmd_toolchain,
};
