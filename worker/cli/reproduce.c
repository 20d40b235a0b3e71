/* kiln reproduce: rebuild what a provenance is about, compare, and sign what came out. */
#include "worker/pipeline/reproduce.h"
#include "worker/attest/sbom.h"
#include "worker/base/json.h"
#include "worker/base/mem.h"
#include "worker/base/text.h"
#include "worker/cli/cli.h"
#include "worker/verify/policy.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LISTED_MAX 20 /* differences of one kind, for people */

struct reproduce_options {
        const char *output, *source, *signer;
        char **key, **mirror;
        uint64_t wall, silence, memory, disk;
        bool vary;
};

#define OFFSET(member) offsetof(struct reproduce_options, member)

static const struct kiln_option options[] = {
        {"output", 'o', KILN_OPTION_STRING, OFFSET(output), "DIR", NULL, 0,
                "where the rebuild goes (default: NVR.reproduced in the current directory)"},
        {"key", 'k', KILN_OPTION_STRINGS, OFFSET(key), "FILE", NULL, 0,
                "a public key to accept: attest.pub or rpm.asc of a builder (default: the local keys); "
                "repeatable"},
        {"source", 0, KILN_OPTION_STRING, OFFSET(source), "FILE", NULL, 0,
                "the source package as it was given to the build"},
        {"mirror", 0, KILN_OPTION_STRINGS, OFFSET(mirror), "URL", NULL, 0,
                "look here first for packages, by their path in the repository, and for sources"},
        {"vary", 0, KILN_OPTION_FLAG, OFFSET(vary), NULL, NULL, 0,
                "build the rebuild a second time with everything varied that must not matter"},
        {"signer", 0, KILN_OPTION_STRING, OFFSET(signer), "SOCKET", NULL, 0,
                "sign with the `kiln signer` that listens there"},
        {"wall", 0, KILN_OPTION_DURATION, OFFSET(wall), "TIME", NULL, 1u << 30,
                "longest time the rebuild may take"},
        {"silence", 0, KILN_OPTION_DURATION, OFFSET(silence), "TIME", NULL, 1u << 30,
                "longest time without output"},
        {"memory", 0, KILN_OPTION_SIZE, OFFSET(memory), "SIZE", NULL, UINT64_C(1) << 62,
                "memory of all processes together (needs a delegated cgroup)"},
        {"disk", 0, KILN_OPTION_SIZE, OFFSET(disk), "SIZE", NULL, UINT64_C(1) << 62,
                "what the rebuild may write"},
        {NULL},
};

const struct kiln_command kiln_command_reproduce = {
        .name = "reproduce",
        .summary = "rebuild what a provenance is about, compare, and sign the verdict",
        .arguments = "PROVENANCE|RPM|DIR",
        .min_arguments = 1,
        .max_arguments = 1,
        .description =
                "Needs nothing but the attestations (*.intoto.jsonl), found beside an RPM or in a result\n"
                "directory. Their signatures are checked first; every input is then fetched by the digest "
                "they\n"
                "name, and built in the same root, sandbox profile and request.\n"
                "Exit status 0: every package, SBOM and the build definition is the same; 7: something "
                "differs.\n"
                "Either is said in a signed verification summary, NVR@KEY.intoto.jsonl. With --vary 7 also "
                "when\n"
                "the varied build differs from the rebuild.",
        .options = options,
        .common = KILN_COMMON_JSON | KILN_COMMON_OFFLINE,
        .run = kiln_cmd_reproduce,
};

static void options_clear(struct reproduce_options *o)
{
        kiln_strv_free(o->key);
        kiln_strv_free(o->mirror);
}

/* ---- the result ---------------------------------------------------------------------------------- */

static json_t *list_json(char *const *v)
{
        json_t *list = json_array();

        for (; v && *v; v++)
                json_array_append_new(list, kiln_sbom_text(*v));
        return list;
}

static const char *graft_word(const struct kiln_reproduced_package *p)
{
        if (!p->grafted)
                return "none";
        if (!p->graft.identical)
                return "different";
        return p->graft.signature == KILN_RPM_SIGNED ? "identical" : "identical, unknown key";
}

static json_t *package_json(const struct kiln_reproduced_package *p)
{
        json_t *j = json_pack("{s:o, s:b, s:b, s:b, s:b, s:o, s:o, s:s}", "name", kiln_sbom_text(p->name),
                "rebuilt", p->rebuilt, "original", p->at_hand, "sameHeader", p->same_header, "samePayload",
                p->same_payload, "tags", list_json(p->tags), "files", list_json(p->files), "graft",
                graft_word(p));

        if (p->grafted) {
                json_object_set_new(j, "signer", kiln_sbom_text(p->graft.signer ? p->graft.signer : ""));
                if (p->graft.reason)
                        json_object_set_new(j, "graftReason", kiln_sbom_text(p->graft.reason));
                if (p->graft.rpm_says)
                        json_object_set_new(j, "rpmSays", kiln_sbom_text(p->graft.rpm_says));
        }
        return j;
}

static json_t *varied_json(const struct kiln_reproduction *r)
{
        json_t *findings = json_array();

        for (size_t i = 0; i < r->n_findings; i++)
                json_array_append_new(
                        findings, json_pack("{s:o, s:o, s:o}", "id", kiln_sbom_text(r->findings[i].id),
                                          "subject", kiln_sbom_text(r->findings[i].subject), "text",
                                          kiln_sbom_text(r->findings[i].text)));
        return json_pack("{s:b, s:o}", "same", r->varied_same, "findings", findings);
}

static void print_json(const struct kiln_reproduction *r)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        _cleanup_json_ json_t *j = NULL;
        json_t *packages = json_array();

        for (size_t i = 0; i < r->n_packages; i++)
                json_array_append_new(packages, package_json(&r->packages[i]));
        j = json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "reproduced", r->reproduced, "nvr",
                kiln_sbom_text(r->nvr), "builder", kiln_sbom_text(r->builder), "directory",
                kiln_sbom_text(r->directory), "summary", kiln_sbom_text(r->summary), "packages", packages,
                "others", list_json(r->others));
        if (r->varied)
                json_object_set_new(j, "varied", varied_json(r));
        kiln_json_canonical(j, &text);
        puts(kiln_buf_str(&text));
}

static void _printf_(1, 2) say(const char *fmt, ...)
{
        _cleanup_buf_ struct kiln_buf clean = KILN_BUF_INIT;
        _cleanup_free_ char *line = NULL;
        va_list ap;

        va_start(ap, fmt);
        line = kiln_vasprintf(fmt, ap);
        va_end(ap);
        kiln_text_clean(&clean, line, strlen(line), kiln_text_utf8() ? 0 : KILN_TEXT_ASCII);
        puts(kiln_buf_str(&clean));
}

static const char *what_differs(const struct kiln_reproduced_package *p)
{
        if (!p->rebuilt)
                return "the rebuild does not make it";
        if (p->same_header)
                return "payload";
        return p->same_payload ? "header" : "header and payload";
}

/* --json and the summary have all of them. */
static void print_list(char *const *v, const char *what)
{
        size_t n = kiln_strv_length(v);

        for (size_t i = 0; i < n && i < LISTED_MAX; i++)
                say("           %s %s", what, v[i]);
        if (n > LISTED_MAX)
                say("           and %zu more", n - LISTED_MAX);
}

static void print_package(const struct kiln_reproduced_package *p)
{
        if (p->rebuilt && p->same_header && p->same_payload)
                say("same     %s%s", p->name,
                        !p->grafted           ? ""
                        : !p->graft.identical ? " (with the original's signature: not the original)"
                        : p->graft.signature == KILN_RPM_SIGNED
                                ? " (with the original's signature: byte-identical, rpm verifies it)"
                                : " (with the original's signature: byte-identical, by a key not given "
                                  "here)");
        else
                say("DIFFERS  %s (%s)", p->name, what_differs(p));
        print_list(p->tags, "tag");
        print_list(p->files, "file");
        if (p->grafted && p->graft.reason)
                say("           with the original's signature: %s", p->graft.reason);
}

static void print_finding(const struct kiln_reproduction_finding *f)
{
        if (strcmp(f->id, "vary.reproduced") == 0)
                say("varied   %s", f->text);
        else if (strcmp(f->id, "vary.not-varied") == 0)
                say("         %s %s", f->subject, f->text);
        else
                say("VARIES   %s: %s", strchr(f->id, '.') + 1, f->text);
}

static void print_text(const struct kiln_reproduction *r)
{
        say("%s: %s%s", r->nvr, r->reproduced ? "REPRODUCED" : "NOT REPRODUCED",
                !r->varied       ? ""
                : r->varied_same ? ", the same with everything varied"
                                 : ", not the same with everything varied");
        for (size_t i = 0; i < r->n_packages; i++)
                print_package(&r->packages[i]);
        for (char *const *o = r->others; o && *o; o++)
                say("DIFFERS  %s", *o);
        for (size_t i = 0; i < r->n_findings; i++)
                print_finding(&r->findings[i]);
        say("summary  %s/%s", r->directory, r->summary);
}

int kiln_cmd_reproduce(struct kiln_context *c, int argc, char **argv)
{
        _cleanup_(options_clear) struct reproduce_options o = {0};
        _cleanup_(kiln_reproduction_freep) struct kiln_reproduction *result = NULL;
        _cleanup_(kiln_policy_freep) struct kiln_policy *policy = kiln_policy_new();
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        Kiln__V1__HostLimits limits;
        int r = kiln_options_parse(c, &kiln_command_reproduce, &o, &argc, argv);

        if (r != 0)
                return kiln_options_status(r);
        kiln__v1__host_limits__init(&limits);
        limits.wall_s = o.wall;
        limits.silence_s = o.silence;
        limits.memory_bytes = o.memory;
        limits.disk_bytes = o.disk;
        r = kiln_policy_add_keys(policy, o.key, c->key_dir, &err);
        if (r == 0)
                r = kiln_policy_check_keys(policy, &err);
        if (r == 0)
                r = kiln_reproduce(c,
                        &(struct kiln_reproduce){.path = argv[0],
                                .keys = &policy->keys,
                                .keyring = policy->keyring,
                                .source = o.source,
                                .mirrors = o.mirror,
                                .directory = o.output,
                                .signer = o.signer,
                                .limits = &limits,
                                .vary = o.vary},
                        &result, &err);
        if (r < 0)
                return kiln_cli_fail(c, &err);
        kiln_cli_release_terminal(c);
        if (kiln_cli_json(c))
                print_json(result);
        else
                print_text(result);
        return result->reproduced && (!result->varied || result->varied_same) ? KILN_OK : KILN_NOT_REPRODUCED;
}
