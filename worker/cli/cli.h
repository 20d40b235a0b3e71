/* What a subcommand gets from main.c and what it offers: one file a subcommand, thin, each with a table
 * `kiln_command_<name>` (options.h). main.c lists the commands that exist (see meson.build).
 *
 * Results go to stdout; everything for people goes to stderr: events through the context's sink, errors
 * through kiln_cli_fail(). */
#pragma once

#include "worker/base/context.h"
#include "worker/base/error.h"
#include "worker/cli/options.h"

extern const struct kiln_command kiln_command_rebuild;
extern const struct kiln_command kiln_command_lock;
extern const struct kiln_command kiln_command_shell;
extern const struct kiln_command kiln_command_report;
extern const struct kiln_command kiln_command_verify;
extern const struct kiln_command kiln_command_diff;
extern const struct kiln_command kiln_command_reproduce;
extern const struct kiln_command kiln_command_calibrate;
extern const struct kiln_command kiln_command_isa;
extern const struct kiln_command kiln_command_toolchain;
extern const struct kiln_command kiln_command_signer;
extern const struct kiln_command kiln_command_log;
extern const struct kiln_command kiln_command_cache;
extern const struct kiln_command kiln_command_sandbox;

int kiln_cmd_rebuild(struct kiln_context *c, int argc, char **argv);
int kiln_cmd_lock(struct kiln_context *c, int argc, char **argv);
int kiln_cmd_shell(struct kiln_context *c, int argc, char **argv);
int kiln_cmd_report(struct kiln_context *c, int argc, char **argv);
int kiln_cmd_verify(struct kiln_context *c, int argc, char **argv);
int kiln_cmd_diff(struct kiln_context *c, int argc, char **argv);
int kiln_cmd_reproduce(struct kiln_context *c, int argc, char **argv);
int kiln_cmd_calibrate(struct kiln_context *c, int argc, char **argv);
int kiln_cmd_isa(struct kiln_context *c, int argc, char **argv);
int kiln_cmd_toolchain(struct kiln_context *c, int argc, char **argv);
int kiln_cmd_signer(struct kiln_context *c, int argc, char **argv);
int kiln_cmd_log(struct kiln_context *c, int argc, char **argv);
int kiln_cmd_cache(struct kiln_context *c, int argc, char **argv);
int kiln_cmd_sandbox(struct kiln_context *c, int argc, char **argv);

/* The program, given the commands it has (NULL-terminated, in the order of kiln --help): its exit status. */
int kiln_cli_main(const struct kiln_command *const *commands, int argc, char **argv);

/* --json was given: the result on stdout is one JSON value. */
bool kiln_cli_json(const struct kiln_context *c);

/* Ends the live display, says what went wrong (text for people, or one JSON line with --json) on stderr, and
 * returns the exit status that belongs to the verdict. */
int kiln_cli_fail(const struct kiln_context *c, const struct kiln_error *e);

/* Takes the status line off the terminal, before something else writes there: a result when stdout and stderr
 * are one terminal, or the shell of `kiln shell`. The next event brings it back. */
void kiln_cli_release_terminal(const struct kiln_context *c);
