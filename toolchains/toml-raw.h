/* Between toml.cpp and toml.c only. */
#pragma once

#include <stddef.h>

struct kiln_toml;

/* Fills *root (zeroed by the caller, freed by it in any case). -1: not TOML; place and reason are filled. */
int kiln_toml_raw_parse(const char *text, size_t len, struct kiln_toml *root, unsigned *ret_line,
        unsigned *ret_column, char *ret_what, size_t what_size);
