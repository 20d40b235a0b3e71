/* Expat with the bounds that bytes from outside need: no document types (so no entities), bounded depth and
 * text. Not for other rooms. */
#pragma once

#include "worker/base/buf.h"
#include "worker/base/error.h"

#include <expat.h>
#include <stdbool.h>
#include <stdio.h>

#define XML_DEPTH_MAX 32
#define XML_TEXT_MAX 65536

struct xml {
        XML_Parser parser;
        unsigned depth;
        struct kiln_buf text; /* of the innermost element, white space around it removed */
        const char *bad;      /* why parsing was stopped; static */

        /* Local names, without prefix. Either may be NULL. */
        void (*start)(struct xml *x, const char *name, const char **attributes);
        void (*end)(struct xml *x, const char *name, const char *text);
        void *ctx;
};

void xml_init(struct xml *x);
void xml_clear(struct xml *x);

/* Feeds bytes; the last call has last = true. False: see x->bad. */
bool xml_feed(struct xml *x, const char *data, size_t len, bool last);

/* Feeds a file to its end. NULL, or what is wrong; static. */
const char *xml_read(struct xml *x, FILE *in);

/* From within a callback. */
void xml_stop(struct xml *x, const char *why);

const char *xml_attribute(const char **attributes, const char *name); /* NULL: not there */
