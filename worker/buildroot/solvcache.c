/* Parses primary.xml once, keeps what solving needs, in a canonical order, and writes it for the next time.
 *
 * A .solv file ends with the SHA-256 of everything before it, so that a damaged one is made anew instead of
 * being believed. Must never read one without checking it. */
#include "worker/buildroot/solvcache.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/buildroot/lock.h"
#include "worker/buildroot/xml.h"
#include "worker/source/rpmfile.h"

#include <errno.h>
#include <fcntl.h>
#include <solv/dataiterator.h>
#include <solv/repo_rpmmd.h>
#include <solv/repo_solv.h>
#include <solv/repo_write.h>
#include <solv/solv_xfopen.h>
#include <string.h>
#include <sys/stat.h>

/* Uncompressed; Fedora's primary is 0.2 GiB (and becomes half of that in memory), its filelists 0.9 GiB. */
#define PRIMARY_BYTES_MAX (UINT64_C(1) << 30)
#define OPEN_BYTES_MAX (UINT64_C(8) << 30)
#define PACKAGES_MAX 1000000
#define TOKEN_BYTES_MAX (1 << 20) /* of one tag, or of the text between two */

/* ---- bounded decompression */

struct bounded {
        FILE *inner;
        uint64_t left;
        /* of the XML so far */
        uint64_t at;
        size_t token_bytes;
        char before;
        bool in_declaration;
};

/* How many bytes from here on can be nothing but more of the same token: those up to the next '<'. */
static size_t bounded_plain(const struct bounded *b, const char *data, size_t n)
{
        const char *tag;

        if (b->at < 2 || b->in_declaration || b->before == '<')
                return 0;
        tag = memchr(data, '<', n);
        return tag ? (size_t)(tag - data) : n;
}

/* What expat would keep in memory: false when it is more than any repository has. Comments, CDATA and
 * processing instructions are one token and may hold any number of '<'. No repository has them; the
 * declaration, which is read like an instruction, is taken at the very beginning. */
static bool bounded_look(struct bounded *b, const char *data, size_t n)
{
        for (size_t i = 0, step; i < n; i += step, b->at += step) {
                step = bounded_plain(b, data + i, n - i);
                if (step > 0) {
                        b->token_bytes += step;
                } else {
                        char c = data[i];

                        step = 1;
                        if (c == '?' && b->at == 1)
                                b->in_declaration = true;
                        else if (b->before == '<' && (c == '!' || c == '?'))
                                return false;
                        if (b->before == '?' && c == '>')
                                b->in_declaration = false;
                        if (c == '<' && b->in_declaration)
                                return false;
                        b->token_bytes = c == '<' ? 0 : b->token_bytes + 1;
                }
                if (b->token_bytes > TOKEN_BYTES_MAX)
                        return false;
                b->before = data[i + step - 1];
        }
        return true;
}

static ssize_t bounded_read(void *cookie, char *data, size_t size)
{
        struct bounded *b = cookie;
        size_t n = fread(data, 1, size, b->inner);

        if (n > b->left || !bounded_look(b, data, n)) {
                errno = EFBIG;
                return -1;
        }
        b->left -= n;
        if (n == 0 && ferror(b->inner)) {
                errno = EIO;
                return -1;
        }
        return (ssize_t)n;
}

static int bounded_close(void *cookie)
{
        struct bounded *b = cookie;
        int r = fclose(b->inner);

        free(b);
        return r;
}

int solvcache_open_bounded(
        int fd, const char *name, uint64_t max, FILE **ret, const char *subject, struct kiln_error *err)
{
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        FILE *inner = copy < 0 ? NULL : solv_xfopen_fd(name, copy, "r");
        struct bounded *b;

        if (!inner) {
                if (copy >= 0)
                        close(copy);
                return kiln_error_set(err, KILN_INFRA, copy < 0 ? errno : 0, "reading", subject,
                        "%s: this compression is not supported by this machine's libsolv", name);
        }
        b = kiln_calloc(1, sizeof(*b));
        b->inner = inner;
        b->left = max && max < OPEN_BYTES_MAX ? max : OPEN_BYTES_MAX;
        *ret = fopencookie(b, "r", (cookie_io_functions_t){.read = bounded_read, .close = bounded_close});
        if (!*ret)
                abort(); /* no memory */
        return 0;
}

/* ---- the canonical copy */

struct copy {
        Pool *from, *to;
        Id *strings; /* from's string ids to to's, 0: not yet */
};

static Id copy_id(struct copy *c, Id id)
{
        if (ISRELDEP(id)) {
                Reldep rd = *GETRELDEP(c->from, id);
                Id name = copy_id(c, rd.name), evr = copy_id(c, rd.evr);

                return pool_rel2id(c->to, name, evr, rd.flags, 1);
        }
        if (id < ID_NUM_INTERNAL)
                return id;
        if (!c->strings[id])
                c->strings[id] = pool_str2id(c->to, pool_id2str(c->from, id), 1);
        return c->strings[id];
}

/* "rpmlib(…)": what the rpm that installs must understand. The target's own rpm installs, so it has it. */
static bool is_rpmlib(Pool *pool, Id id)
{
        while (ISRELDEP(id))
                id = GETRELDEP(pool, id)->name;
        return strncmp(pool_id2str(pool, id), "rpmlib(", 7) == 0;
}

static Offset copy_deps(struct copy *c, Repo *to, const Solvable *s, Offset deps)
{
        Offset out = 0;

        if (!deps)
                return 0;
        for (Id *p = s->repo->idarraydata + deps; *p; p++)
                if (*p != SOLVABLE_PREREQMARKER && *p != SOLVABLE_FILEMARKER && !is_rpmlib(c->from, *p))
                        out = repo_addid(to, out, copy_id(c, *p));
        return out;
}

/* Primary's file list (createrepo: /usr/bin, /etc, …) as Provides: dependencies on files are then like any
 * other. */
static Offset copy_files(struct copy *c, Repo *to, Solvable *s, Offset provides)
{
        Dataiterator di;

        dataiterator_init(&di, c->from, s->repo, pool_solvable2id(c->from, s), SOLVABLE_FILELIST, NULL,
                SEARCH_FILES | SEARCH_COMPLETE_FILELIST);
        while (dataiterator_step(&di))
                provides = repo_addid(to, provides, pool_str2id(c->to, di.kv.str, 1));
        dataiterator_free(&di);
        return provides;
}

static void copy_package(struct copy *c, Repo *to, Repodata *data, Id from_id)
{
        Solvable *from = pool_id2solvable(c->from, from_id);
        Id id = repo_add_solvable(to), type;
        Solvable *s = pool_id2solvable(c->to, id);
        unsigned medianr;
        const char *text;

        s->name = copy_id(c, from->name);
        s->evr = copy_id(c, from->evr);
        s->arch = copy_id(c, from->arch);
        s->dep_provides = copy_files(c, to, from, copy_deps(c, to, from, from->dep_provides));
        s->dep_requires = copy_deps(c, to, from, from->dep_requires);
        s->dep_conflicts = copy_deps(c, to, from, from->dep_conflicts);
        s->dep_obsoletes = copy_deps(c, to, from, from->dep_obsoletes);
        repodata_set_bin_checksum(data, id, SOLVABLE_CHECKSUM, REPOKEY_TYPE_SHA256,
                solvable_lookup_bin_checksum(from, SOLVABLE_CHECKSUM, &type));
        repodata_set_location(data, id, 0, NULL, solvable_lookup_location(from, &medianr));
        repodata_set_num(
                data, id, SOLVABLE_DOWNLOADSIZE, solvable_lookup_num(from, SOLVABLE_DOWNLOADSIZE, 0));
        text = solvable_lookup_str(from, SOLVABLE_LICENSE);
        if (text)
                repodata_set_poolstr(data, id, SOLVABLE_LICENSE, text);
        text = solvable_lookup_sourcepkg(from);
        if (text)
                repodata_set_sourcepkg(data, id, text);
}

static int compare_solvables(const void *a, const void *b, void *userdata)
{
        Pool *pool = userdata;
        Solvable *x = pool_id2solvable(pool, *(const Id *)a), *y = pool_id2solvable(pool, *(const Id *)b);
        Id type;
        int r = strcmp(pool_id2str(pool, x->name), pool_id2str(pool, y->name));

        if (r == 0)
                r = strcmp(pool_id2str(pool, x->evr), pool_id2str(pool, y->evr));
        if (r == 0)
                r = strcmp(pool_id2str(pool, x->arch), pool_id2str(pool, y->arch));
        if (r == 0)
                r = memcmp(solvable_lookup_bin_checksum(x, SOLVABLE_CHECKSUM, &type),
                        solvable_lookup_bin_checksum(y, SOLVABLE_CHECKSUM, &type), KILN_DIGEST_BYTES);
        if (r == 0)
                r = strcmp(solvable_lookup_location(x, NULL), solvable_lookup_location(y, NULL));
        return r;
}

/* What solving and fetching need of a package must be there and harmless. */
static bool is_usable(Pool *pool, Solvable *s)
{
        unsigned medianr = 0;
        Id type = 0;
        const unsigned char *digest = solvable_lookup_bin_checksum(s, SOLVABLE_CHECKSUM, &type);
        const char *location = solvable_lookup_location(s, &medianr);

        return digest && type == REPOKEY_TYPE_SHA256 && location && kiln_location_is_safe(location) &&
               !solvable_lookup_str(s, SOLVABLE_MEDIABASE) && s->name && s->evr && s->arch &&
               s->arch != ARCH_SRC && s->arch != ARCH_NOSRC &&
               !strpbrk(pool_id2str(pool, s->name), "/ \t\n") &&
               !strpbrk(pool_id2str(pool, s->evr), "/ \t\n") &&
               !strpbrk(pool_id2str(pool, s->arch), "/ \t\n") && strchr(pool_id2str(pool, s->evr), '-');
}

/* Copies the usable packages of `from` in order into a fresh pool's repository. */
static Pool *copy_canonical(Repo *from, Repo **ret, size_t *ret_left_out)
{
        struct copy c = {from->pool, pool_create(), NULL};
        _cleanup_free_ Id *ids = kiln_calloc((size_t)from->nsolvables + 1, sizeof(*ids));
        Repo *to = repo_create(c.to, "");
        Repodata *data;
        size_t n = 0;
        Solvable *s;
        Id p;

        pool_setdisttype(c.to, DISTTYPE_RPM);
        *ret_left_out = 0;
        FOR_REPO_SOLVABLES(from, p, s)
        {
                if (is_usable(c.from, s))
                        ids[n++] = p;
                else if (s->arch != ARCH_SRC && s->arch != ARCH_NOSRC)
                        (*ret_left_out)++;
        }
        qsort_r(ids, n, sizeof(*ids), compare_solvables, c.from);
        c.strings = kiln_calloc((size_t)c.from->ss.nstrings + 1, sizeof(*c.strings));
        data = repo_add_repodata(to, 0);
        for (size_t i = 0; i < n; i++)
                copy_package(&c, to, data, ids[i]);
        repo_internalize(to);
        free(c.strings);
        *ret = to;
        return c.to;
}

/* ---- the file */

int solvcache_parse(const struct kiln_buf *bytes, Repo *repo)
{
        struct kiln_digest d;
        FILE *f;
        int r;

        if (bytes->len <= KILN_DIGEST_BYTES)
                return 1;
        d = kiln_digest_of(bytes->data, bytes->len - KILN_DIGEST_BYTES);
        if (memcmp(d.bytes, bytes->data + bytes->len - KILN_DIGEST_BYTES, KILN_DIGEST_BYTES) != 0)
                return 1;
        f = fmemopen(bytes->data, bytes->len - KILN_DIGEST_BYTES, "r");
        if (!f)
                abort(); /* no memory */
        r = repo_add_solv(repo, f, SOLV_ADD_NO_STUBS);
        fclose(f);
        if (r != 0)
                repo_empty(repo, 1);
        return r != 0;
}

static void cache_format(Repo *repo, struct kiln_buf *out)
{
        char *bytes = NULL;
        size_t len = 0;
        FILE *f = open_memstream(&bytes, &len);
        struct kiln_digest d;

        if (!f || repo_write(repo, f) != 0 || fclose(f) != 0)
                abort(); /* no memory */
        d = kiln_digest_of(bytes, len);
        kiln_buf_append(out, bytes, len);
        kiln_buf_append(out, d.bytes, sizeof(d.bytes));
        free(bytes);
}

/* ---- primary */

struct look {
        size_t packages;
};

static void look_at_start(struct xml *x, const char *name, const char **attributes)
{
        struct look *l = x->ctx;

        if (strcmp(name, "package") == 0 && ++l->packages > PACKAGES_MAX)
                xml_stop(x, "it has more packages than any repository");
        for (; *attributes; attributes += 2)
                if (attributes[1][0] == '(' && !kiln_dependency_is_shallow(attributes[1]))
                        xml_stop(x, "a dependency is nested too deeply or chained too long");
}

static void look_at_declaration(
        void *userdata, const XML_Char *version, const XML_Char *encoding, int standalone)
{
        if (encoding && strcasecmp(encoding, "UTF-8") != 0)
                xml_stop(userdata, "its encoding is not UTF-8");
}

/* Whether libsolv may read it. Looks at all of it before libsolv sees any: its parser can be some bytes ahead
 * of another one that is given the same pieces. NULL, or what is wrong. */
static const char *primary_look(FILE *primary)
{
        struct look look = {0};
        struct xml x = {.start = look_at_start, .ctx = &look};
        const char *bad;

        xml_init(&x);
        XML_SetCharacterDataHandler(x.parser, NULL);
        XML_SetXmlDeclHandler(x.parser, look_at_declaration);
        bad = xml_read(&x, primary);
        xml_clear(&x);
        return bad;
}

static const char *primary_read(FILE *primary, Repo *repo)
{
        if (repo_add_rpmmd(repo, primary, NULL, 0) != 0)
                return pool_errstr(repo->pool);
        return ferror(primary) ? "larger than it may be, or damaged" : NULL;
}

int solvcache_convert(int fd, const char *name, uint64_t max, const char *id, struct kiln_buf *out,
        size_t *ret_left_out, struct kiln_error *err)
{
        Pool *parsed = pool_create(), *canonical;
        const char *bad = NULL;
        Repo *repo, *sorted;
        int rc = 0;

        pool_setdisttype(parsed, DISTTYPE_RPM);
        repo = repo_create(parsed, id);
        for (int pass = 0; rc == 0 && !bad && pass < 2; pass++) {
                FILE *f = NULL;

                if (lseek(fd, 0, SEEK_SET) < 0)
                        rc = kiln_error_set(err, KILN_INFRA, errno, "reading", id, "primary");
                else
                        rc = solvcache_open_bounded(fd, name, max, &f, id, err);
                if (rc < 0)
                        break;
                bad = pass == 0 ? primary_look(f) : primary_read(f, repo);
                fclose(f);
        }
        if (bad)
                rc = kiln_error_set(
                        err, KILN_INFRA, 0, "reading the primary metadata of repository", id, "%s", bad);
        if (rc < 0) {
                pool_free(parsed);
                return bad ? -EBADMSG : rc;
        }
        canonical = copy_canonical(repo, &sorted, ret_left_out);
        pool_free(parsed);
        cache_format(sorted, out);
        pool_free(canonical);
        return 0;
}

/* Makes the canonical form from primary. */
static int cache_make(const struct pool *p, size_t repository, struct kiln_buf *out, struct kiln_error *err)
{
        const struct metadata *m = p->repositories[repository].metadata;
        _cleanup_close_ int fd = outside_primary(p, repository);
        size_t left_out = 0;
        uint64_t max = m->repomd.primary.open_size_bytes;
        int rc;

        max = max && max < PRIMARY_BYTES_MAX ? max : PRIMARY_BYTES_MAX;
        rc = solvcache_convert(
                fd, kiln_path_base(m->repomd.primary.location), max, m->repository->id, out, &left_out, err);
        if (rc == 0 && left_out > 0) {
                _cleanup_free_ char *text = kiln_asprintf(
                        "repository %s: %zu packages left out (no SHA-256, or an unusable name or location)",
                        m->repository->id, left_out);

                outside_warn(p, text);
        }
        return rc;
}

int solvcache_load(const struct pool *p, size_t repository, struct kiln_error *err)
{
        _cleanup_close_ int fd = outside_cached(p, repository);
        Repo *repo = p->repositories[repository].repo;
        _cleanup_buf_ struct kiln_buf bytes = KILN_BUF_INIT;
        int rc;

        if (fd >= 0 && kiln_fd_read(fd, SOLVCACHE_BYTES_MAX, &bytes) == 0 &&
                solvcache_parse(&bytes, repo) == 0)
                return 0;
        kiln_buf_reset(&bytes);
        rc = cache_make(p, repository, &bytes, err);
        if (rc < 0)
                return rc;
        outside_keep(p, repository, &bytes);
        /* Through the same bytes as a later run: the same ids, and thus the same solution. */
        if (solvcache_parse(&bytes, repo) != 0)
                return kiln_error_set(err, KILN_INFRA, 0, "reading the metadata of repository", repo->name,
                        "libsolv does not read what it wrote: %s", pool_errstr(repo->pool));
        return 0;
}
