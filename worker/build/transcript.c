#include "worker/build/transcript.h"

#include <stdio.h>
#include <string.h>

/* rpmbuild's "Executing(%build): /bin/sh -e /var/tmp/rpm-tmp.x" and the phase it begins. */
static const struct {
        const char *section, *phase;
} sections[] = {
        {"%prep", "prep"},
        {"%generate_buildrequires", "buildreqs"},
        {"%conf", "build"},
        {"%build", "build"},
        {"%install", "install"},
        {"%check", "check"},
};

#define SECTION_FILES (sizeof(sections) / sizeof(sections[0]))

static void begin(struct transcript *t, size_t section, const char *phase)
{
        if (t->seen & 1u << section)
                return;
        t->seen |= 1u << section;
        if (t->phase)
                t->phase(t->ctx, phase);
}

static void line_end(struct transcript *t)
{
        char *line = t->line, *close;

        line[t->line_len] = '\0';
        t->no_space |= strstr(line, "No space left on device") != NULL; /* strerror(ENOSPC) */
        if (strncmp(line, "Executing(", 10) == 0 && (close = strstr(line, "): "))) {
                *close = '\0';
                snprintf(t->section, sizeof(t->section), "%s", line + 10);
                t->command[0] = '\0';
                for (size_t i = 0; i < SECTION_FILES; i++)
                        if (strcmp(sections[i].section, t->section) == 0)
                                begin(t, i, sections[i].phase);
        } else if (strncmp(line, "Processing files: ", 18) == 0) {
                if (strcmp(t->section, "files") != 0)
                        begin(t, SECTION_FILES, "package");
                snprintf(t->section, sizeof(t->section), "files");
                snprintf(t->command, sizeof(t->command), "%.255s", line + 18);
        } else if (strncmp(line, "+ ", 2) == 0) {
                snprintf(t->command, sizeof(t->command), "%.255s", line + 2);
        } else if (strncmp(line, "error: ", 7) == 0) {
                snprintf(t->error, sizeof(t->error), "%.500s", line + 7);
        }
        t->line_len = 0;
}

void transcript_feed(struct transcript *t, const char *data, size_t len)
{
        kiln_buf_append(&t->tail, data, len);
        if (t->tail.len > 4 * TRANSCRIPT_TAIL_BYTES) {
                memmove(t->tail.data, t->tail.data + t->tail.len - TRANSCRIPT_TAIL_BYTES,
                        TRANSCRIPT_TAIL_BYTES);
                t->tail.len = TRANSCRIPT_TAIL_BYTES;
                t->tail.data[t->tail.len] = '\0';
        }
        for (size_t i = 0; i < len; i++) {
                if (data[i] == '\n')
                        line_end(t);
                else if (t->line_len < sizeof(t->line) - 1 && data[i] != '\0')
                        t->line[t->line_len++] = data[i];
        }
}

void transcript_reset(struct transcript *t)
{
        t->line_len = 0;
        t->seen = 0;
        t->no_space = false;
        t->section[0] = t->command[0] = t->error[0] = '\0';
        kiln_buf_reset(&t->tail);
}

void transcript_clear(struct transcript *t)
{
        kiln_buf_clear(&t->tail);
}
