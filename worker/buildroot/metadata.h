/* One repository of a toolchain as it is now: its mirrors, its verified repomd.xml and the metadata files
 * that one names. Not for other rooms. */
#pragma once

#include "toolchains/toolchain.h"
#include "worker/buildroot/repomd.h"
#include "worker/buildroot/store.h"
#include "worker/source/rpmfile.h"

struct metadata {
        const struct kiln_repository *repository; /* borrowed */
        char **mirrors;                           /* base URLs, the one that answered first */
        struct kiln_repomd repomd;
        struct kiln_digest repomd_sha256;
        char *signer; /* of repomd.xml; NULL when it is not checked */
};

/* Finds the mirrors, fetches repomd.xml, checks it (metalink digest, signature) and keeps a copy for
 * --offline. */
int metadata_open(const struct kiln_context *c, struct kiln_store *s, const struct kiln_toolchain *t,
        const struct kiln_repository *r, struct metadata *ret, struct kiln_error *err);
void metadata_clear(struct metadata *m);

/* Brings primary or filelists into the store, checked by SHA-256; returns a descriptor. */
int metadata_fetch(const struct metadata *m, struct kiln_store *s, const struct kiln_repomd_file *file,
        const char *what, int *ret_fd, struct kiln_error *err);

/* The base URLs of a repository: its own, else from its metalink or mirror list. NULL-terminated, the
 * caller's. *ret_link may be NULL; it is filled only by a metalink. */
int repository_mirrors(struct kiln_store *s, const struct kiln_repository *r, char ***ret,
        struct kiln_metalink *ret_link, struct kiln_error *err);

/* The repository's keys as a keyring. */
int repository_keyring(const struct kiln_toolchain *t, const struct kiln_repository *r,
        struct kiln_keyring **ret, struct kiln_error *err);

/* The URL that names a repository in locks and provenance: never a mirror that answered. */
const char *repository_name_url(const struct kiln_repository *r);
