/* rpmbuild's command line: every macro that a build is run with, in order. Not for other rooms. */
#pragma once

#include "worker/build/build.h"

/* Appends rpmbuild's options (NULL-terminated vector, owned) for these parameters. */
void command_options(const struct kiln_build_params *p, char ***argv);

/* The complete environment; epoch_s < 0: no SOURCE_DATE_EPOCH. */
void command_environment(const struct kiln_build_view *view, int64_t epoch_s, char ***env);
