/* Text from packages and builds on its way to a terminal: what can move a cursor, change colours, set titles
 * or reorder what is read never gets through. */
#pragma once

#include "worker/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

enum {
        KILN_TEXT_LINES = 1 << 0, /* keep '\n' (otherwise it becomes a blank) */
        KILN_TEXT_ASCII = 1 << 1, /* the terminal does not understand UTF-8: everything else becomes '?' */
};

/* Appends data, which need not be UTF-8. Control characters (C0, DEL, C1), marks that change the direction of
 * writing, invalid UTF-8, noncharacters and private use become '?', a tab becomes a blank; "ESC [ … letter"
 * and "ESC ] … BEL" sequences vanish as a whole. */
void kiln_text_clean(struct kiln_buf *out, const char *data, size_t len, unsigned flags);

/* Columns a cleaned text needs; and its longest prefix, in bytes, that fits into so many. */
size_t kiln_text_columns(const char *s);
size_t kiln_text_fit(const char *s, size_t columns);

/* The environment's character set is UTF-8 (LC_ALL, LC_CTYPE, LANG; as in locale(7)). */
bool kiln_text_utf8(void);
