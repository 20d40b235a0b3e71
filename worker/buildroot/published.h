/* What a repository publishes: its packages by name, digest and place, for whoever wants the files themselves
 * and nothing solved. Read from the verified primary metadata. */
#pragma once

#include "worker/buildroot/store.h"

#include <stdio.h>

#define KILN_PUBLISHED_MAX 1000000

struct kiln_published_package {
        char *file_name; /* "name-version-release.arch.rpm", a plain file name */
        char *name, *arch;
        char *source_rpm; /* file name of the source package it was built from; "" for a source package */
        char *location;   /* below the base URL, checked by kiln_location_is_safe() */
        struct kiln_digest sha256;
        uint64_t size_bytes; /* 0: not said */
        bool source;
};

struct kiln_published {
        char **mirrors;                          /* base URLs, the one that answered first */
        struct kiln_published_package *packages; /* sorted by file name, each once */
        size_t n_packages;
};
void kiln_published_free(struct kiln_published *p);
KILN_DEFINE_CLEANUP(struct kiln_published *, kiln_published_free)

/* The repository at a base URL (http, https or file), as it is now. key: ASCII armor; with one,
 * repomd.xml.asc must verify; NULL: nobody vouches for the repository but where it came from. Errors: INFRA
 * (network, damaged metadata, a bad signature), REFUSED (offline), CANCELLED. */
int kiln_published_open(const struct kiln_context *c, struct kiln_store *s, const char *url, const char *key,
        struct kiln_published **ret, struct kiln_error *err);

/* The package with this file name, or NULL. */
const struct kiln_published_package *kiln_published_find(
        const struct kiln_published *p, const char *file_name);

/* Reads primary.xml to its end, also for the fuzzer. INFRA: it is not one, or lies about what is in it. */
int kiln_published_parse(FILE *in, const char *name, struct kiln_published **ret, struct kiln_error *err);
