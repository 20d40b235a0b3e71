/* Reads along with what rpmbuild prints: which section runs, which command ran last, the last lines. Not for
 * other rooms.
 *
 * A build can print whatever it likes: it can lie about its own phase times, and that is all. Each section
 * begins once a run, so that lying costs no memory. */
#pragma once

#include "worker/base/buf.h"

#include <stdbool.h>

#define TRANSCRIPT_TAIL_BYTES 6000

struct transcript {
        void (*phase)(void *ctx, const char *phase);
        void *ctx;
        char line[512]; /* the beginning of the current line */
        size_t line_len;
        char section[32];  /* "%build"; "" before the first */
        char command[256]; /* the last line of the shell's trace, without "+ " */
        char error[512];   /* the last "error: …" line */
        struct kiln_buf tail;
        bool no_space; /* some line spoke of a full disk */
        unsigned seen; /* a bit for each section that has begun */
};

void transcript_feed(struct transcript *t, const char *data, size_t len);
void transcript_reset(struct transcript *t); /* for another run; keeps the callback */
void transcript_clear(struct transcript *t);
