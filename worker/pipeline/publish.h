/* The result directory: every file is written aside and appears when all are complete, result.json last. Not
 * for other rooms. */
#pragma once

#include "worker/pipeline/job.h"

struct publication {
        int out_fd, stage_fd;
        char *out, *stage; /* path; name of the staging directory in it */
};
#define PUBLICATION_INIT                                                                                     \
        {                                                                                                    \
                -1, -1, NULL, NULL                                                                           \
        }

/* Makes the directory and a staging directory in it. */
int publication_open(struct publication *p, const char *directory, struct kiln_error *err);
/* Removes what is left of the staging directory. */
void publication_close(struct publication *p);

/* Stages a file of the result and records it as an artefact. */
int publication_add(struct publication *p, struct record *r, const char *name, Kiln__V1__Artefact__Kind kind,
        const void *data, size_t len, struct kiln_error *err);
int publication_add_fd(struct publication *p, struct record *r, const char *name,
        Kiln__V1__Artefact__Kind kind, int fd, struct kiln_error *err);

/* Moves everything staged into place, result.json last. An output that exists with other content (logs,
 * attestations and reports aside: those differ from run to run) is REFUSED before anything is moved. */
int publication_commit(struct publication *p, struct kiln_error *err);
