/* `kiln report`: a result directory in a few lines of text, or what --observe found about its inputs. Reads
 * result.json and inputs.json, and nothing else. */
#include "worker/base/file.h"
#include "worker/base/json.h"
#include "worker/base/mem.h"
#include "worker/base/text.h"
#include "worker/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define JSON_BYTES_MAX ((size_t)256 << 20)

struct report_values {
        bool unused;
};

static int read_json(
        const char *dir, const char *name, const char *advice, json_t **ret, struct kiln_error *err)
{
        _cleanup_free_ char *path = kiln_path_join(dir, name);
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        int r = kiln_file_read(AT_FDCWD, path, JSON_BYTES_MAX, &text);

        if (r == -ENOENT) {
                kiln_error_set(err, KILN_BAD_INPUT, ENOENT, "reading", path, "it is not there");
                kiln_error_advise(err, "%s", advice);
                return r;
        }
        if (r < 0)
                return kiln_error_set(err, KILN_BAD_INPUT, -r, "reading", path, "cannot read it");
        r = kiln_json_parse(kiln_buf_str(&text), text.len, path, ret, err);
        if (r == 0 && !json_is_object(*ret))
                return kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", path, "it is no object");
        return r;
}

/* A member that is a string, cleaned for the terminal; the caller's. */
static char *text_of(const json_t *object, const char *key)
{
        const char *s = json_string_value(json_object_get(object, key));
        _cleanup_buf_ struct kiln_buf clean = KILN_BUF_INIT;

        kiln_text_clean(&clean, s ? s : "", s ? strlen(s) : 0, kiln_text_utf8() ? 0 : KILN_TEXT_ASCII);
        return kiln_strdup(kiln_buf_str(&clean));
}

/* Numbers beyond 32 bits are strings in protobuf's JSON mapping. */
static double seconds_of(const json_t *object, const char *key)
{
        const json_t *value = json_object_get(object, key);
        const char *text = json_string_value(value);

        return (text ? strtod(text, NULL) : json_number_value(value)) / 1000;
}

static void print_result(const json_t *result)
{
        _cleanup_free_ char *verdict = text_of(result, "verdict"), *nvr = text_of(result, "nvr");
        const json_t *error = json_object_get(result, "error"), *row;
        size_t i;

        printf("%s %s\n", verdict, nvr);
        if (json_is_object(error)) {
                _cleanup_free_ char *doing = text_of(error, "doing"), *subject = text_of(error, "subject"),
                                    *cause = text_of(error, "cause"), *advice = text_of(error, "advice");

                printf("  %s %s: %s\n", doing, subject, cause);
                if (advice[0])
                        printf("  %s\n", advice);
        }
        json_array_foreach(json_object_get(result, "phases"), i, row)
        {
                _cleanup_free_ char *name = text_of(row, "name");

                printf("  %-10s %9.1f s\n", name, seconds_of(row, "durationMs"));
        }
        json_array_foreach(json_object_get(result, "artefacts"), i, row)
        {
                _cleanup_free_ char *name = text_of(row, "name"), *sha256 = text_of(row, "sha256");

                printf("  %.64s  %s\n", sha256, name);
        }
        json_array_foreach(json_object_get(result, "findings"), i, row)
        {
                _cleanup_free_ char *severity = text_of(row, "severity"), *id = text_of(row, "id"),
                                    *subject = text_of(row, "subject"), *text = text_of(row, "text");

                printf("  %s %s: %s%s%s\n", severity, id, subject, subject[0] ? " " : "", text);
        }
}

static json_t *unused_of(const json_t *inputs)
{
        json_t *unused = json_array(), *row;
        size_t i;

        json_array_foreach(json_object_get(inputs, "buildRequires"), i,
                row) if (json_is_false(json_object_get(row, "used"))) json_array_append(unused, row);
        json_array_foreach(json_object_get(json_object_get(inputs, "sources"), "files"), i,
                row) if (json_is_false(json_object_get(row, "opened"))) json_array_append(unused, row);
        return unused;
}

static void print_unused(const json_t *unused)
{
        const json_t *row, *package;
        size_t i, k;

        json_array_foreach(unused, i, row)
        {
                _cleanup_free_ char *requirement = text_of(row, "requirement"), *name = text_of(row, "name"),
                                    *kind = text_of(row, "kind");

                printf("%s\t%s", requirement[0] ? requirement : name, kind);
                json_array_foreach(json_object_get(row, "packages"), k, package)
                {
                        _cleanup_json_ json_t *holder = json_pack("{s:O}", "nevra", package);
                        _cleanup_free_ char *nevra = text_of(holder, "nevra");

                        printf("%s%s", k ? " " : "", nevra);
                }
                printf("\n");
        }
}

static int report_unused(struct kiln_context *c, const char *dir, struct kiln_error *err)
{
        _cleanup_json_ json_t *inputs = NULL, *unused = NULL;
        int r = read_json(
                dir, "inputs.json", "Build with `kiln rebuild --observe` to have it.", &inputs, err);

        if (r < 0)
                return r;
        if (!json_is_true(json_object_get(inputs, "complete")))
                return kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", dir,
                        "not all opened files were seen, so nothing can be called unused");
        if (json_is_false(json_object_get(json_object_get(inputs, "sources"), "complete")))
                kiln_sink_warning(&c->sink,
                        "not all that was opened of the sources was seen: none of them is "
                        "called unused");
        unused = unused_of(inputs);
        if (kiln_cli_json(c)) {
                _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;

                kiln_json_pretty(unused, &text);
                fwrite(text.data, 1, text.len, stdout);
        } else {
                print_unused(unused);
        }
        return 0;
}

static int report_result(struct kiln_context *c, const char *dir, struct kiln_error *err)
{
        _cleanup_json_ json_t *result = NULL;
        int r = read_json(dir, "result.json", "Name a directory that `kiln rebuild -o` wrote.", &result, err);

        if (r < 0)
                return r;
        if (kiln_cli_json(c)) {
                _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;

                kiln_json_pretty(result, &text);
                fwrite(text.data, 1, text.len, stdout);
        } else {
                print_result(result);
        }
        return 0;
}

int kiln_cmd_report(struct kiln_context *c, int argc, char **argv)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        struct report_values o = {0};
        int r = kiln_options_parse(c, &kiln_command_report, &o, &argc, argv);

        if (r != 0)
                return kiln_options_status(r);
        r = o.unused ? report_unused(c, argv[0], &err) : report_result(c, argv[0], &err);
        return r < 0 ? kiln_cli_fail(c, &err) : KILN_OK;
}

static const struct kiln_option options[] = {
        {"unused", 0, KILN_OPTION_FLAG, offsetof(struct report_values, unused), NULL, NULL, 0,
                "list the BuildRequires, sources and patches of which the build opened nothing"},
        {0},
};

const struct kiln_command kiln_command_report = {
        .name = "report",
        .summary = "a result directory in a few lines, or its unused BuildRequires and sources",
        .arguments = "DIR",
        .min_arguments = 1,
        .max_arguments = 1,
        .description =
                "DIR is what `kiln rebuild -o` wrote. --unused needs a build made with --observe: a line a\n"
                "requirement, with the packages that satisfy it, and a line a source or patch.\n"
                "\n"
                "Exit status: 0 told, 3 there is nothing to tell it from.",
        .options = options,
        .common = KILN_COMMON_JSON,
        .run = kiln_cmd_report,
};
