/* The option parser: what is accepted, what is refused, and that help and the dump come from the same table.
 */
#include "worker/base/json.h"
#include "worker/base/mem.h"
#include "worker/cli/options.h"
#include "worker/cli/progress.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct values {
        bool force;
        const char *output, *isa;
        char **defines;
        uint64_t jobs, memory, wall;
};

static const struct kiln_option options[] = {
        {"force", 'f', KILN_OPTION_FLAG, offsetof(struct values, force), .help = "do it anyway"},
        {"output", 'o', KILN_OPTION_STRING, offsetof(struct values, output), "DIR", .help = "where to"},
        {"isa", 0, KILN_OPTION_CHOICE, offsetof(struct values, isa), "LEVEL", "v1 v2 v3 v4", .help = "level"},
        {"define", 'D', KILN_OPTION_STRINGS, offsetof(struct values, defines), "MACRO", .help = "macro"},
        {"jobs", 'j', KILN_OPTION_NUMBER, offsetof(struct values, jobs), "N", .max = 100, .help = "how many"},
        {"memory", 0, KILN_OPTION_SIZE, offsetof(struct values, memory), "SIZE", .help = "memory"},
        {"wall", 0, KILN_OPTION_DURATION, offsetof(struct values, wall), "TIME", .help = "time"},
        {NULL},
};
static const struct kiln_command command = {.name = "try",
        .summary = "try things",
        .arguments = "FILE...",
        .min_arguments = 1,
        .max_arguments = 3,
        .options = options,
        .common = KILN_COMMON_OFFLINE};
static const struct kiln_verb verbs[] = {
        {"list", NULL, 0, 0, "list them"}, {"show", "NAME", 1, 1, "show one"}, {NULL}};
static const struct kiln_command with_verbs = {.name = "thing", .summary = "things", .verbs = verbs};
static const struct kiln_command program = {.name = "box",
        .summary = "run",
        .arguments = "CMD",
        .min_arguments = 1,
        .max_arguments = KILN_ARGUMENTS_ANY,
        .options = options,
        .program = true};

struct line {
        int r, argc;
        char *argv[32];
        char *copies[32];
        struct values v;
        struct kiln_context c;
};

static void parse(struct line *l, const struct kiln_command *cmd, const char *const *words)
{
        *l = (struct line){.c.cancel_fd = -1};
        for (; words[l->argc]; l->argc++)
                l->argv[l->argc] = l->copies[l->argc] = kiln_strdup(words[l->argc]);
        l->r = kiln_options_parse(&l->c, cmd, &l->v, &l->argc, l->argv);
}

static void done(struct line *l)
{
        for (size_t i = 0; i < KILN_ARRAY_SIZE(l->copies); i++)
                free(l->copies[i]);
        kiln_strv_free(l->v.defines);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_accepts(void **state)
{
        struct line l;

        parse(&l, &command,
                WORDS("try", "a", "-fo", "out", "--isa=v3", "-Dx 1", "--define", "y 2", "b", "--jobs", "100",
                        "--memory=2G", "--wall", "3m", "--offline", "--", "-c"));
        assert_int_equal(l.r, 0);
        assert_int_equal(l.argc, 3);
        assert_string_equal(l.argv[0], "a");
        assert_string_equal(l.argv[1], "b");
        assert_string_equal(l.argv[2], "-c");
        assert_true(l.v.force);
        assert_string_equal(l.v.output, "out");
        assert_string_equal(l.v.isa, "v3");
        assert_int_equal(kiln_strv_length(l.v.defines), 2);
        assert_string_equal(l.v.defines[0], "x 1");
        assert_string_equal(l.v.defines[1], "y 2");
        assert_int_equal(l.v.jobs, 100);
        assert_int_equal(l.v.memory, UINT64_C(2) << 30);
        assert_int_equal(l.v.wall, 180);
        assert_true(l.c.offline);
        done(&l);

        parse(&l, &command, WORDS("try", "-", "--output="));
        assert_int_equal(l.r, 0);
        assert_string_equal(l.argv[0], "-");
        assert_string_equal(l.v.output, "");
        done(&l);
}

static void test_refuses(void **state)
{
        static const char *const lines[][6] = {
                {"try"},
                {"try", "a", "b", "c", "d"},
                {"try", "--nonsense", "a"},
                {"try", "--forc", "a"}, /* no abbreviations: they would break when options are added */
                {"try", "-x", "a"},
                {"try", "a", "--output"},
                {"try", "a", "-o"},
                {"try", "--force=yes", "a"},
                {"try", "--isa", "v5", "a"},
                {"try", "--isa", "v", "a"},
                {"try", "--isa", "", "a"},
                {"try", "--isa", "v1 v2", "a"},
                {"try", "--jobs", "101", "a"},
                {"try", "--jobs", "-1", "a"},
                {"try", "--jobs", "1x", "a"},
                {"try", "--memory", "99999999999999T", "a"},
                {"try", "--json", "a"}, /* not among this command's common options */
                {"try", "--=", "a"},
        };
        struct line l;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(lines); i++) {
                parse(&l, &command, lines[i]);
                assert_int_equal(l.r, -EINVAL);
                assert_int_equal(kiln_options_status(l.r), KILN_USAGE);
                done(&l);
        }
}

static void test_verbs(void **state)
{
        struct line l;

        parse(&l, &with_verbs, WORDS("thing", "show", "x"));
        assert_int_equal(l.r, 0);
        assert_string_equal(l.argv[0], "show");
        assert_string_equal(l.argv[1], "x");
        done(&l);
        parse(&l, &with_verbs, WORDS("thing"));
        assert_int_equal(l.r, -EINVAL);
        done(&l);
        parse(&l, &with_verbs, WORDS("thing", "show"));
        assert_int_equal(l.r, -EINVAL);
        done(&l);
        parse(&l, &with_verbs, WORDS("thing", "lst"));
        assert_int_equal(l.r, -EINVAL);
        done(&l);
}

static void test_program_keeps_its_options(void **state)
{
        struct line l;

        parse(&l, &program, WORDS("box", "-f", "ls", "-l", "--force"));
        assert_int_equal(l.r, 0);
        assert_int_equal(l.argc, 3);
        assert_string_equal(l.argv[1], "-l");
        assert_true(l.v.force);
        done(&l);
        parse(&l, &program, WORDS("box", "--", "-odd", "--"));
        assert_int_equal(l.r, 0);
        assert_string_equal(l.argv[0], "-odd");
        assert_string_equal(l.argv[1], "--");
        done(&l);
}

static void test_nearest(void **state)
{
        static const char *const words[] = {"rebuild", "lock", "shell", "isa", "toolchain", "sandbox", NULL};

        assert_string_equal(kiln_options_nearest("rebiuld", words), "rebuild");
        assert_string_equal(kiln_options_nearest("tool", words), "toolchain");
        assert_string_equal(kiln_options_nearest("is", words), "isa");
        assert_null(kiln_options_nearest("frobnicate", words));
        assert_null(kiln_options_nearest("", words));
        assert_null(kiln_options_nearest(
                "a-word-that-is-far-too-long-to-be-a-mistyped-command-of-this-program", words));
}

/* Help shows every option of the dump, in lines of at most 80 columns. */
static void test_help_and_dump_agree(void **state)
{
        const struct kiln_command *const commands[] = {&command, &with_verbs, &program, NULL};
        _cleanup_free_ char *help = kiln_options_help(&command), *dump = kiln_options_dump(commands);
        _cleanup_json_ json_t *all = NULL;
        const json_t *o;
        size_t i;

        assert_int_equal(kiln_json_parse(dump, strlen(dump), "dump", &all, NULL), 0);
        assert_int_equal(json_array_size(all), 3);
        json_array_foreach(json_object_get(json_array_get(all, 0), "options"), i, o)
        {
                _cleanup_free_ char *word =
                        kiln_asprintf("--%s", json_string_value(json_object_get(o, "name")));

                assert_non_null(strstr(help, word));
        }
        assert_int_equal(i, 7 + 4); /* its own, then help, verbose, quiet, offline */
        for (const char *p = help; *p; p += strcspn(p, "\n"), p += *p == '\n')
                assert_true(strcspn(p, "\n") <= 80);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accepts),
                cmocka_unit_test(test_refuses),
                cmocka_unit_test(test_verbs),
                cmocka_unit_test(test_program_keeps_its_options),
                cmocka_unit_test(test_nearest),
                cmocka_unit_test(test_help_and_dump_agree),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
