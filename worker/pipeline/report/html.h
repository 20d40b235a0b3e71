/* Writing HTML where forgetting to escape is impossible: the format string is markup, every %s is text. */
#pragma once

#include "worker/base/buf.h"

/* Appends fmt. %s is escaped for element content and quoted attributes, after kiln_text_clean() (so that no
 * control character or direction mark gets into the page); %d, %u, %zu, %lu and %.Nf are as in printf(3);
 * nothing else is understood (abort(): a mistake of ours). */
void kiln_html_format(struct kiln_buf *out, const char *fmt, ...) _printf_(2, 3);

/* Appends bytes that a build printed, as text with their line ends. */
void kiln_html_text(struct kiln_buf *out, const char *data, size_t len);
