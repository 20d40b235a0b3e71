#include "worker/cli/options.h"

#include "worker/base/json.h"
#include "worker/base/mem.h"
#include "worker/base/number.h"
#include "worker/base/text.h"
#include "worker/cli/progress.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What every command has; handled here, so their offset means nothing. */
enum { COMMON_HELP, COMMON_VERBOSE, COMMON_QUIET, COMMON_JSON, COMMON_OFFLINE };

static const struct common {
        unsigned needs; /* KILN_COMMON_* bit of the command; 0: all commands */
        struct kiln_option option;
} common_options[] = {
        [COMMON_HELP] = {0, {"help", 'h', .help = "show this help and exit"}},
        [COMMON_VERBOSE] = {0, {"verbose", 'v', .help = "also show what builds and tools print"}},
        [COMMON_QUIET] = {0, {"quiet", 'q', .help = "show warnings and errors only"}},
        [COMMON_JSON] = {KILN_COMMON_JSON,
                {"json", .help = "write the result as JSON, events as JSON lines"}},
        [COMMON_OFFLINE] = {KILN_COMMON_OFFLINE, {"offline", .help = "use no network, only what is stored"}},
};

static bool common_applies(const struct kiln_command *command, size_t i)
{
        return common_options[i].needs == 0 || (command->common & common_options[i].needs);
}

/* The i-th option of a command: its own first, then the common ones; NULL behind the last. */
static const struct kiln_option *option_at(const struct kiln_command *command, size_t i)
{
        size_t n = 0;

        for (const struct kiln_option *o = command->options; o && o->name; o++)
                if (n++ == i)
                        return o;
        for (size_t k = 0; k < KILN_ARRAY_SIZE(common_options); k++)
                if (common_applies(command, k) && n++ == i)
                        return &common_options[k].option;
        return NULL;
}

static const struct kiln_option *find_long(const struct kiln_command *command, const char *name, size_t len)
{
        const struct kiln_option *o;

        for (size_t i = 0; (o = option_at(command, i)); i++)
                if (strncmp(o->name, name, len) == 0 && o->name[len] == '\0')
                        return o;
        return NULL;
}

static const struct kiln_option *find_short(const struct kiln_command *command, char letter)
{
        const struct kiln_option *o;

        for (size_t i = 0; (o = option_at(command, i)); i++)
                if (o->letter == letter)
                        return o;
        return NULL;
}

/* Damerau-Levenshtein distance (adjacent letters swapped count once), of words short enough to matter. */
static size_t distance(const char *a, const char *b)
{
        enum { MAX = 40 };
        size_t d[MAX + 1][MAX + 1], m = strlen(a), n = strlen(b);

        if (m > MAX || n > MAX)
                return MAX;
        for (size_t i = 0; i <= m; i++)
                d[i][0] = i;
        for (size_t j = 0; j <= n; j++)
                d[0][j] = j;
        for (size_t i = 1; i <= m; i++)
                for (size_t j = 1; j <= n; j++) {
                        size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

                        if (d[i - 1][j] + 1 < best)
                                best = d[i - 1][j] + 1;
                        if (d[i][j - 1] + 1 < best)
                                best = d[i][j - 1] + 1;
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                                d[i - 2][j - 2] + 1 < best)
                                best = d[i - 2][j - 2] + 1;
                        d[i][j] = best;
                }
        return d[m][n];
}

const char *kiln_options_nearest(const char *word, const char *const *words)
{
        size_t len = strlen(word), best = len < 4 ? 2 : len / 3 + 2; /* must be below this */
        const char *nearest = NULL;

        for (; *words; words++) {
                size_t far = distance(word, *words);

                /* "comp" for "completion": what was typed is the beginning. */
                if (len >= 2 && strncmp(word, *words, len) == 0)
                        far = 1;
                if (far < best) {
                        best = far;
                        nearest = *words;
                }
        }
        return nearest;
}

static const char *nearest_option(const struct kiln_command *command, const char *name)
{
        _cleanup_free_ const char **words = NULL;
        const struct kiln_option *o;
        size_t n = 0;

        for (size_t i = 0; (o = option_at(command, i)); i++)
                *KILN_APPEND(words, n) = o->name;
        *KILN_APPEND(words, n) = NULL;
        return kiln_options_nearest(name, words);
}

int kiln_options_complain(const struct kiln_command *command, const char *fmt, ...)
{
        _cleanup_buf_ struct kiln_buf clean = KILN_BUF_INIT;
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        text = kiln_vasprintf(fmt, ap);
        va_end(ap);
        kiln_text_clean(&clean, text, strlen(text), kiln_text_utf8() ? 0 : KILN_TEXT_ASCII);
        fprintf(stderr, "kiln %s: %s\nSee 'kiln %s --help'.\n", command->name, kiln_buf_str(&clean),
                command->name);
        return KILN_USAGE;
}

static int complain_unknown(const struct kiln_command *command, const char *name)
{
        const char *near = nearest_option(command, name);

        if (near)
                kiln_options_complain(command, "unknown option '--%s'; did you mean '--%s'?", name, near);
        else
                kiln_options_complain(command, "unknown option '--%s'", name);
        return -EINVAL;
}

static bool choice_valid(const char *choices, const char *value)
{
        size_t len = strlen(value);

        if (len == 0 || strchr(value, ' '))
                return false;
        for (const char *p = choices; p; p = strchr(p, ' ') ? strchr(p, ' ') + 1 : NULL)
                if (strncmp(p, value, len) == 0 && (p[len] == ' ' || p[len] == '\0'))
                        return true;
        return false;
}

/* Sets the value of an option of the command's own table. */
static int set_value(
        const struct kiln_command *command, const struct kiln_option *o, void *values, const char *value)
{
        void *where = (char *)values + o->offset;
        uint64_t max = o->max ? o->max : UINT64_MAX, number;
        int r = 0;

        switch (o->kind) {
        case KILN_OPTION_FLAG:
                *(bool *)where = true;
                return 0;
        case KILN_OPTION_STRING:
                *(const char **)where = value;
                return 0;
        case KILN_OPTION_STRINGS:
                kiln_strv_append(where, value);
                return 0;
        case KILN_OPTION_CHOICE:
                if (!choice_valid(o->choices, value)) {
                        kiln_options_complain(
                                command, "--%s must be one of: %s (not '%s')", o->name, o->choices, value);
                        return -EINVAL;
                }
                *(const char **)where = value;
                return 0;
        case KILN_OPTION_NUMBER:
                r = kiln_number_parse(value, max, &number);
                break;
        case KILN_OPTION_SIZE:
                r = kiln_size_parse(value, max, &number);
                break;
        case KILN_OPTION_DURATION:
                r = kiln_duration_parse(value, max, &number);
                break;
        }
        if (r < 0) {
                static const char *const forms[] = {
                        [KILN_OPTION_NUMBER] = "a number",
                        [KILN_OPTION_SIZE] = "a size like 512M or 4G",
                        [KILN_OPTION_DURATION] = "a time like 90s, 30m or 2h",
                };
                kiln_options_complain(command,
                        r == -ERANGE ? "--%s: '%s' is too large for %s" : "--%s: '%s' is not %s", o->name,
                        value, forms[o->kind]);
                return -EINVAL;
        }
        *(uint64_t *)where = number;
        return 0;
}

static int apply(struct kiln_context *c, const struct kiln_command *command, const struct kiln_option *o,
        void *values, const char *value)
{
        struct kiln_progress *p = kiln_progress_of(c);

        if (o == &common_options[COMMON_HELP].option) {
                _cleanup_free_ char *help = kiln_options_help(command);

                fputs(help, stdout);
                return KILN_OPTIONS_DONE;
        }
        if (o == &common_options[COMMON_OFFLINE].option) {
                c->offline = true;
                return 0;
        }
        if (o == &common_options[COMMON_VERBOSE].option) {
                if (p)
                        kiln_progress_set_verbose(p, true);
                return 0;
        }
        if (o == &common_options[COMMON_QUIET].option) {
                if (p && kiln_progress_mode(p) != KILN_PROGRESS_JSON)
                        kiln_progress_set_mode(p, KILN_PROGRESS_QUIET);
                return 0;
        }
        if (o == &common_options[COMMON_JSON].option) {
                if (p)
                        kiln_progress_set_mode(p, KILN_PROGRESS_JSON);
                return 0;
        }
        return set_value(command, o, values, value);
}

/* argv[*i] is "--name" or "--name=value"; may take argv[*i + 1] too. */
static int parse_long(struct kiln_context *c, const struct kiln_command *command, void *values, int argc,
        char **argv, int *i)
{
        const char *name = argv[*i] + 2, *equals = strchr(name, '='), *value = equals ? equals + 1 : NULL;
        size_t len = equals ? (size_t)(equals - name) : strlen(name);
        const struct kiln_option *o = find_long(command, name, len);

        if (!o) {
                _cleanup_free_ char *word = kiln_strndup(name, len);

                return complain_unknown(command, word);
        }
        if (o->kind == KILN_OPTION_FLAG && value) {
                kiln_options_complain(command, "--%s takes no value", o->name);
                return -EINVAL;
        }
        if (o->kind != KILN_OPTION_FLAG && !value) {
                if (*i + 1 >= argc) {
                        kiln_options_complain(command, "--%s needs a value: %s", o->name, o->argument);
                        return -EINVAL;
                }
                value = argv[++*i];
        }
        return apply(c, command, o, values, value);
}

/* argv[*i] is "-abc", "-nvalue" or "-n" with its value in argv[*i + 1]. */
static int parse_short(struct kiln_context *c, const struct kiln_command *command, void *values, int argc,
        char **argv, int *i)
{
        for (const char *p = argv[*i] + 1; *p; p++) {
                const struct kiln_option *o = find_short(command, *p);
                const char *value = NULL;
                int r;

                if (!o) {
                        kiln_options_complain(command, "unknown option '-%c'", *p);
                        return -EINVAL;
                }
                if (o->kind != KILN_OPTION_FLAG) {
                        if (p[1])
                                value = p + 1;
                        else if (*i + 1 < argc)
                                value = argv[++*i];
                        else {
                                kiln_options_complain(command, "-%c needs a value: %s", *p, o->argument);
                                return -EINVAL;
                        }
                }
                r = apply(c, command, o, values, value);
                if (r != 0 || value)
                        return r;
        }
        return 0;
}

static int check_verb(const struct kiln_command *command, int n, char **words)
{
        _cleanup_free_ const char **names = NULL;
        _cleanup_buf_ struct kiln_buf actions = KILN_BUF_INIT;
        size_t n_names = 0;
        const char *near;

        if (n == 0) {
                for (const struct kiln_verb *v = command->verbs; v->name; v++)
                        kiln_buf_printf(&actions, "%s%s",
                                v == command->verbs ? ""
                                : v[1].name         ? ", "
                                                    : " or ",
                                v->name);
                kiln_options_complain(command, "say what to do: %s", kiln_buf_str(&actions));
                return -EINVAL;
        }
        for (const struct kiln_verb *v = command->verbs; v->name; v++) {
                if (strcmp(v->name, words[0]) == 0) {
                        unsigned count = (unsigned)n - 1;

                        if (count >= v->min_arguments && count <= v->max_arguments)
                                return 0;
                        kiln_options_complain(
                                command, "%s takes %s", v->name, v->arguments ? v->arguments : "no argument");
                        return -EINVAL;
                }
                *KILN_APPEND(names, n_names) = v->name;
        }
        *KILN_APPEND(names, n_names) = NULL;
        near = kiln_options_nearest(words[0], names);
        if (near)
                kiln_options_complain(command, "unknown action '%s'; did you mean '%s'?", words[0], near);
        else
                kiln_options_complain(command, "unknown action '%s'", words[0]);
        return -EINVAL;
}

static int check_arguments(const struct kiln_command *command, int n, char **words)
{
        if (command->verbs)
                return check_verb(command, n, words);
        if ((unsigned)n > command->max_arguments) {
                kiln_options_complain(command, "'%s' is too much%s%s", words[command->max_arguments],
                        command->arguments ? "; expected: " : "",
                        command->arguments ? command->arguments : "");
                return -EINVAL;
        }
        if ((unsigned)n < command->min_arguments) {
                kiln_options_complain(command, "missing: %s", command->arguments);
                return -EINVAL;
        }
        return 0;
}

int kiln_options_parse(
        struct kiln_context *c, const struct kiln_command *command, void *values, int *argc, char **argv)
{
        int n = 0, i, r;

        for (i = 1; i < *argc; i++) {
                const char *a = argv[i];

                if (strcmp(a, "--") == 0) {
                        i++;
                        break;
                }
                if (a[0] != '-' || a[1] == '\0') { /* "-" alone is an argument: standard input */
                        if (command->program)
                                break;
                        argv[n++] = argv[i];
                        continue;
                }
                r = a[1] == '-' ? parse_long(c, command, values, *argc, argv, &i)
                                : parse_short(c, command, values, *argc, argv, &i);
                if (r != 0)
                        return r;
        }
        for (; i < *argc; i++)
                argv[n++] = argv[i];
        r = check_arguments(command, n, argv);
        if (r < 0)
                return r;
        *argc = n;
        argv[n] = NULL;
        return 0;
}

int kiln_options_status(int r)
{
        return r < 0 ? KILN_USAGE : KILN_OK;
}

/* Appends text wrapped to 80 columns; the first line starts at column `at`, further ones are indented. An
 * empty line separates paragraphs; a single line end is a blank. */
static void wrap(struct kiln_buf *b, const char *text, size_t at, size_t indent)
{
        size_t column = at;

        while (*text) {
                size_t len = strcspn(text, " \n"), gap = strspn(text + len, " \n");
                bool paragraph = memmem(text + len, gap, "\n\n", 2) != NULL;

                if (column > indent && column + 1 + len > 80) {
                        kiln_buf_printf(b, "\n%*s", (int)indent, "");
                        column = indent;
                }
                if (column > indent) {
                        kiln_buf_putc(b, ' ');
                        column++;
                }
                kiln_buf_append(b, text, len);
                column += len;
                text += len + gap;
                if (paragraph && *text) {
                        kiln_buf_printf(b, "\n\n%*s", (int)indent, "");
                        column = indent;
                }
        }
        kiln_buf_putc(b, '\n');
}

#define HELP_COLUMN 28

static void help_entry(struct kiln_buf *b, const char *left, const char *help, const char *choices)
{
        _cleanup_free_ char *text = choices ? kiln_asprintf("%s: %s", help, choices) : kiln_strdup(help);
        size_t width = strlen(left);

        kiln_buf_printf(b, "%-*s", HELP_COLUMN, left);
        if (width > HELP_COLUMN - 2)
                kiln_buf_printf(b, "\n%*s", HELP_COLUMN, "");
        wrap(b, text, HELP_COLUMN, HELP_COLUMN);
}

static void help_option(struct kiln_buf *b, const struct kiln_option *o)
{
        _cleanup_free_ char *left = NULL;
        char letter[5] = "    ";

        if (o->letter)
                snprintf(letter, sizeof(letter), "-%c, ", o->letter);
        left = kiln_asprintf(
                "  %s--%s%s%s", letter, o->name, o->argument ? " " : "", o->argument ? o->argument : "");
        help_entry(b, left, o->help, o->choices);
}

char *kiln_options_help(const struct kiln_command *command)
{
        _cleanup_free_ char *summary = kiln_asprintf("kiln %s: %s.", command->name, command->summary);
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
        const struct kiln_option *o;

        kiln_buf_printf(&b, "Usage: kiln %s [OPTIONS]%s%s%s\n", command->name,
                command->verbs ? " ACTION" : "", command->arguments ? " " : "",
                command->arguments ? command->arguments : "");
        kiln_buf_putc(&b, '\n');
        wrap(&b, summary, 0, 0);
        if (command->description) {
                kiln_buf_putc(&b, '\n');
                wrap(&b, command->description, 0, 0);
        }
        if (command->verbs) {
                kiln_buf_puts(&b, "\nActions:\n");
                for (const struct kiln_verb *v = command->verbs; v->name; v++) {
                        _cleanup_free_ char *left = kiln_asprintf("  %s%s%s", v->name,
                                v->arguments ? " " : "", v->arguments ? v->arguments : "");

                        help_entry(&b, left, v->summary, NULL);
                }
        }
        kiln_buf_puts(&b, "\nOptions:\n");
        for (size_t i = 0; (o = option_at(command, i)); i++)
                help_option(&b, o);
        return kiln_buf_take(&b);
}

static json_t *dump_option(const struct kiln_option *o)
{
        static const char *const kinds[] = {
                [KILN_OPTION_FLAG] = "flag",
                [KILN_OPTION_STRING] = "string",
                [KILN_OPTION_STRINGS] = "strings",
                [KILN_OPTION_CHOICE] = "choice",
                [KILN_OPTION_NUMBER] = "number",
                [KILN_OPTION_SIZE] = "size",
                [KILN_OPTION_DURATION] = "duration",
        };
        char letter[2] = {o->letter, '\0'};

        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "name", o->name, "letter", letter, "kind",
                kinds[o->kind], "argument", o->argument ? o->argument : "", "choices",
                o->choices ? o->choices : "", "help", o->help);
}

static json_t *dump_command(const struct kiln_command *command)
{
        json_t *options = json_array(), *verbs = json_array();
        const struct kiln_option *o;

        for (size_t i = 0; (o = option_at(command, i)); i++)
                json_array_append_new(options, dump_option(o));
        for (const struct kiln_verb *v = command->verbs; v && v->name; v++)
                json_array_append_new(
                        verbs, json_pack("{s:s, s:s, s:s}", "name", v->name, "arguments",
                                       v->arguments ? v->arguments : "", "summary", v->summary));
        return json_pack("{s:s, s:s, s:s, s:o, s:o, s:b}", "name", command->name, "summary", command->summary,
                "arguments", command->arguments ? command->arguments : "", "verbs", verbs, "options", options,
                "program", command->program);
}

char *kiln_options_dump(const struct kiln_command *const *commands)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
        _cleanup_json_ json_t *all = json_array();

        for (; *commands; commands++)
                json_array_append_new(all, dump_command(*commands));
        kiln_json_canonical(all, &b);
        kiln_buf_putc(&b, '\n');
        return kiln_buf_take(&b);
}
