/* License tags of packages as SPDX license expressions (SPDX 2.3, annex D).
 *
 * A tag that is an expression is normalised: identifiers as the license list writes them, operators in
 * capitals, single blanks. Any other tag ("GPLv2+ and BSD", what Fedora used before 2022) becomes one
 * LicenseRef- that carries the tag as text. Nothing is guessed: a legacy tag never turns into an SPDX
 * identifier. */
#pragma once

#include <stddef.h>

struct kiln_license_ref {
        char *id;   /* "LicenseRef-…" */
        char *text; /* the legacy tag, or a sentence for a reference the tag itself made */
};

struct kiln_license {
        char *expression;              /* NULL: the package has no tag */
        struct kiln_license_ref *refs; /* in order of appearance, each once */
        size_t n_refs;
};

/* Never fails; tag may be NULL, and any bytes. */
void kiln_license_parse(const char *tag, struct kiln_license *ret);
void kiln_license_clear(struct kiln_license *l);
#define _cleanup_license_ _cleanup_(kiln_license_clear)

/* license-table.c; sorted without regard to case. */
extern const char *const kiln_license_ids[];
extern const size_t kiln_license_n_ids;
extern const char *const kiln_license_exceptions[];
extern const size_t kiln_license_n_exceptions;
