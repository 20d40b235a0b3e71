/* Files that are not in primary: filelists.xml is read as a stream, and only paths that some dependency names
 * are kept, as Provides of their package. Nothing of it is needed for most requests, so it is fetched only
 * when a dependency on a file has no provider otherwise. */
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/buildroot/pool_private.h"
#include "worker/buildroot/solvcache.h"
#include "worker/buildroot/xml.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct known { /* a package by the digest that filelists.xml calls pkgid */
        unsigned char digest[KILN_DIGEST_BYTES];
        Id id;
};

struct filelists {
        Pool *pool;
        Map wanted; /* string ids of paths */
        struct known *known;
        size_t n_known;
        Id package; /* that the parser is in; 0: one we do not know */
};

static int compare_known(const void *a, const void *b)
{
        return memcmp(
                ((const struct known *)a)->digest, ((const struct known *)b)->digest, KILN_DIGEST_BYTES);
}

static void on_start(struct xml *x, const char *name, const char **attributes)
{
        struct filelists *f = x->ctx;
        const char *hex;
        struct kiln_digest d;
        struct known key, *found;

        if (x->depth != 2 || strcmp(name, "package") != 0)
                return;
        f->package = 0;
        hex = xml_attribute(attributes, "pkgid");
        if (!hex || kiln_digest_from_hex(hex, &d) < 0)
                return;
        memcpy(key.digest, d.bytes, sizeof(key.digest));
        found = bsearch(&key, f->known, f->n_known, sizeof(*f->known), compare_known);
        if (found)
                f->package = found->id;
}

static void on_end(struct xml *x, const char *name, const char *text)
{
        struct filelists *f = x->ctx;
        Solvable *s;
        Id path;

        if (!f->package || *text != '/' || strcmp(name, "file") != 0)
                return;
        path = pool_str2id(f->pool, text, 0);
        if (!path || path >= f->wanted.size << 3 || !MAPTST(&f->wanted, path))
                return;
        s = pool_id2solvable(f->pool, f->package);
        s->dep_provides = repo_addid(s->repo, s->dep_provides, path);
}

static void find_known(struct filelists *f, Repo *repo)
{
        Solvable *s;
        Id p, type;

        f->n_known = 0;
        f->known = kiln_realloc(f->known, (size_t)repo->nsolvables + 1, sizeof(*f->known));
        FOR_REPO_SOLVABLES(repo, p, s)
        {
                const unsigned char *digest = solvable_lookup_bin_checksum(s, SOLVABLE_CHECKSUM, &type);
                struct known *k = &f->known[f->n_known++];

                memcpy(k->digest, digest, sizeof(k->digest));
                k->id = p;
        }
        if (f->n_known > 0)
                qsort(f->known, f->n_known, sizeof(*f->known), compare_known);
}

static int read_one(struct pool *p, size_t repository, struct filelists *f, struct kiln_error *err)
{
        const struct pool_repository *r = &p->repositories[repository];
        const struct metadata *m = r->metadata;
        struct xml x = {.start = on_start, .end = on_end, .ctx = f};
        _cleanup_close_ int fd = -1;
        const char *bad;
        FILE *in = NULL;
        int rc;

        if (!m->repomd.filelists.location)
                return 0;
        fd = outside_filelists(p, repository);
        rc = solvcache_open_bounded(fd, kiln_path_base(m->repomd.filelists.location),
                m->repomd.filelists.open_size_bytes, &in, m->repository->id, err);
        if (rc < 0)
                return rc;
        find_known(f, r->repo);
        f->package = 0;
        xml_init(&x);
        bad = xml_read(&x, in);
        xml_clear(&x);
        fclose(in);
        if (bad) {
                kiln_error_set(err, KILN_INFRA, 0, "reading the filelists metadata of repository",
                        m->repository->id, "%s", bad);
                return -EBADMSG;
        }
        return 0;
}

int pool_load_filelists(struct pool *p, struct kiln_error *err)
{
        struct filelists f = {.pool = p->pool};
        int rc = 0;

        /* Every string that begins with '/' and has no provider: dependency names, and at worst a little
         * more. */
        map_init(&f.wanted, p->pool->ss.nstrings);
        for (Id id = ID_NUM_INTERNAL; id < p->pool->ss.nstrings; id++)
                if (*pool_id2str(p->pool, id) == '/' && !*pool_whatprovides_ptr(p->pool, id))
                        MAPSET(&f.wanted, id);
        for (size_t i = 0; rc == 0 && i < p->n_repositories; i++)
                rc = read_one(p, i, &f, err);
        free(f.known);
        map_free(&f.wanted);
        pool_index(p);
        if (rc == 0)
                rc = rich_check(p, err);
        p->has_filelists = rc == 0;
        return rc;
}
