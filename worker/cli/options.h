/* The option tables of the subcommands, and the one parser that reads them.
 *
 * Help text, man pages and shell completions are all made from, or checked against, these tables, so an
 * option exists in all of them or in none. */
#pragma once

#include "worker/base/context.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kiln_option_kind {
        KILN_OPTION_FLAG,     /* bool, set to true */
        KILN_OPTION_STRING,   /* const char *, borrowed from argv; the last one wins */
        KILN_OPTION_STRINGS,  /* char **, NULL-terminated, owned (kiln_strv_free); may be given repeatedly */
        KILN_OPTION_CHOICE,   /* const char *, one of `choices` */
        KILN_OPTION_NUMBER,   /* uint64_t */
        KILN_OPTION_SIZE,     /* uint64_t, bytes; K, M, G, T are powers of 1024 */
        KILN_OPTION_DURATION, /* uint64_t, seconds; s, m, h */
};

struct kiln_option {
        const char *name; /* long form without "--"; NULL ends the table */
        char letter;      /* short form; 0: none */
        enum kiln_option_kind kind;
        size_t offset;        /* of the value in the command's own struct */
        const char *argument; /* what help calls the value: "DIR", "FILE", "SIZE", …; NULL for FLAG */
        const char *choices;  /* CHOICE: the words, separated by one blank */
        uint64_t max;         /* NUMBER, SIZE, DURATION: largest value; 0: no bound */
        const char *help;     /* one sentence, lower case, without full stop */
};

/* `kiln toolchain list`: the word that comes first among a command's arguments. */
struct kiln_verb {
        const char *name;      /* NULL ends the table */
        const char *arguments; /* as in kiln_command, without the verb */
        unsigned min_arguments, max_arguments;
        const char *summary;
};

#define KILN_ARGUMENTS_ANY 0x7fffffffu

enum {
        KILN_COMMON_JSON = 1 << 0,    /* --json: kiln_cli_json() */
        KILN_COMMON_OFFLINE = 1 << 1, /* --offline: context->offline */
};

struct kiln_command {
        const char *name;
        const char *summary;   /* one line for `kiln --help`, lower case, without full stop */
        const char *arguments; /* what follows the options: "SRPM", "FILE..."; NULL: nothing */
        unsigned min_arguments, max_arguments;
        const struct kiln_verb *verbs; /* NULL: none; then the two bounds above are not used */
        const char
                *description; /* for --help, wrapped there; an empty line separates paragraphs; may be NULL */
        const struct kiln_option *options; /* may be NULL */
        unsigned common;                   /* KILN_COMMON_* this command understands */
        bool program; /* the first word that is no option ends the options: `kiln sandbox ls -l` */

        /* argv[0] is the command's name. Returns the exit status (enum kiln_verdict). */
        int (*run)(struct kiln_context *c, int argc, char **argv);
};

/* Help was asked for and printed: nothing else is to be done. */
#define KILN_OPTIONS_DONE 1

/* Reads argv against the command's table into *values (the command's own struct, initialised with its
 * defaults). Understands --name=value, --name value, -n value, -nvalue, -ab and "--". Every command also has
 * --help, --verbose and --quiet, which are handled here.
 *
 * Returns 0: *argc and argv hold what is no option (from argv[0] on; with verbs, argv[0] is the verb);
 * KILN_OPTIONS_DONE; or -EINVAL after saying on stderr what is wrong. Typical use:
 *
 *         r = kiln_options_parse(c, &kiln_command_isa, &o, &argc, argv);
 *         if (r != 0)
 *                 return kiln_options_status(r);
 */
int kiln_options_parse(
        struct kiln_context *c, const struct kiln_command *command, void *values, int *argc, char **argv);

/* The exit status that belongs to a return value of kiln_options_parse() other than 0. */
int kiln_options_status(int r);

/* Says on stderr what is wrong with the command line and where help is; returns KILN_USAGE. */
int kiln_options_complain(const struct kiln_command *command, const char *fmt, ...) _printf_(2, 3);

/* Help text as --help prints it; the caller's. */
char *kiln_options_help(const struct kiln_command *command);

/* The word of the NULL-terminated list that is nearest to a mistyped one, or NULL when none is near. */
const char *kiln_options_nearest(const char *word, const char *const *words);

/* All tables as JSON (for completions and tests), canonical; the caller's. `commands` ends with NULL. */
char *kiln_options_dump(const struct kiln_command *const *commands);
