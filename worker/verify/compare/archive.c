/* A first look into compressed files and archives inside packages. Runs inside the sandbox only. */
#include "worker/verify/compare/private.h"

#include "worker/base/digest.h"
#include "worker/base/file.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)64 << 10)
#define UNPACKED_BYTES_MAX (UINT64_C(256) << 20) /* of one archive or compressed file */
#define MEMBERS_MAX 20000
#define NAME_BYTES_MAX 4096

typedef struct archive *archive_p;

void compare_archive_free(struct archive **a)
{
        if (*a)
                archive_read_free(*a);
}

int compare_spool(int dir_fd)
{
        int fd = openat(dir_fd, "spool", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        if (fd < 0)
                return -errno;
        unlinkat(dir_fd, "spool", 0);
        return fd;
}

/* Compressed files and archives are never opened with the same reader: whatever the magic says is all it may
 * be. */
static archive_p open_archive(int fd, bool compressed)
{
        archive_p a = archive_read_new();
        bool fine = a && lseek(fd, 0, SEEK_SET) == 0;

        if (fine && compressed)
                fine = archive_read_support_filter_gzip(a) == ARCHIVE_OK &&
                       archive_read_support_filter_bzip2(a) == ARCHIVE_OK &&
                       archive_read_support_filter_xz(a) == ARCHIVE_OK &&
                       archive_read_support_filter_zstd(a) == ARCHIVE_OK &&
                       archive_read_support_format_raw(a) == ARCHIVE_OK;
        else if (fine)
                fine = archive_read_support_format_zip(a) == ARCHIVE_OK &&
                       archive_read_support_format_ar(a) == ARCHIVE_OK &&
                       archive_read_support_format_tar(a) == ARCHIVE_OK;
        if (fine && archive_read_open_fd(a, fd, CHUNK_BYTES) == ARCHIVE_OK)
                return a;
        compare_archive_free(&a);
        return NULL;
}

/* Gives the current entry's data to `take`; what cpio calls holes does not exist in what we read, but may in
 * tar. */
static int entry_read(
        archive_p a, uint64_t *total, int (*take)(void *ctx, const void *data, size_t len), void *ctx)
{
        const void *block;
        la_int64_t offset;
        size_t len;
        int r;

        while ((r = archive_read_data_block(a, &block, &len, &offset)) == ARCHIVE_OK) {
                *total += len;
                if (*total > UNPACKED_BYTES_MAX)
                        return -EBADMSG;
                r = take(ctx, block, len);
                if (r < 0)
                        return r;
        }
        return r == ARCHIVE_EOF ? 0 : -EBADMSG;
}

static int take_file(void *ctx, const void *data, size_t len)
{
        return kiln_fd_write(*(const int *)ctx, data, len);
}

static int take_hash(void *ctx, const void *data, size_t len)
{
        kiln_hasher_update(ctx, data, len);
        return 0;
}

/* Looks deeper, with a longer prefix. */
static int look_inside(struct compare_look *l, const char *where, int a, int b)
{
        _cleanup_free_ char *prefix = kiln_asprintf("%s%s", l->prefix, where);
        struct compare_look inner = *l;
        int r;

        inner.prefix = prefix;
        inner.depth = l->depth - 1;
        r = compare_look(&inner, a, b);
        l->budget = inner.budget;
        return r;
}

/* ---- compressed files ------------------------------------------------------------------------ */

/* RFC 1952. */
struct gzip {
        uint32_t mtime;
        unsigned char flags, extra_flags, system;
        char name[256];
};

static bool gzip_read(int fd, struct gzip *ret)
{
        unsigned char h[10 + 2 + sizeof(ret->name)];
        ssize_t n = pread(fd, h, sizeof(h), 0);
        size_t at = 10;

        if (n < 10 || h[0] != 0x1f || h[1] != 0x8b)
                return false;
        *ret = (struct gzip){
                .mtime = (uint32_t)h[7] << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[5] << 8 | h[4],
                .flags = h[3],
                .extra_flags = h[8],
                .system = h[9]};
        if ((h[3] & 0x0c) == 0x08) /* a name and no extra field before it */
                for (size_t i = 0; at < (size_t)n && h[at] && i + 1 < sizeof(ret->name); i++, at++)
                        ret->name[i] = (char)h[at];
        return true;
}

static void number_differs(struct compare_look *l, const char *aspect, uint64_t a, uint64_t b, bool is_time)
{
        _cleanup_free_ char *left = is_time ? compare_time(a) : kiln_asprintf("%" PRIu64, a),
                            *right = is_time ? compare_time(b) : kiln_asprintf("%" PRIu64, b);

        if (a != b)
                compare_look_add(l, aspect, left, right, NULL);
}

static void look_gzip_header(struct compare_look *l, int a, int b)
{
        struct gzip x, y;

        if (!gzip_read(a, &x) || !gzip_read(b, &y))
                return;
        number_differs(l, "gzip mtime", x.mtime, y.mtime, true);
        number_differs(l, "gzip flags", x.flags, y.flags, false);
        number_differs(l, "gzip compression", x.extra_flags, y.extra_flags, false);
        number_differs(l, "gzip system", x.system, y.system, false);
        if (strcmp(x.name, y.name) != 0)
                compare_look_add(l, "gzip name", x.name, y.name, NULL);
}

int compare_uncompress(int fd, int to)
{
        _cleanup_(compare_archive_free) archive_p a = open_archive(fd, true);
        struct archive_entry *e;
        uint64_t total = 0;

        if (!a || archive_read_next_header(a, &e) != ARCHIVE_OK)
                return -EBADMSG;
        return entry_read(a, &total, take_file, &to);
}

int compare_look_compressed(struct compare_look *l, int a, int b)
{
        _cleanup_close_ int x = compare_spool(l->spool_fd), y = compare_spool(l->spool_fd);
        size_t before = l->c->n_differences;
        uint64_t cut = l->c->cut;
        int r;

        if (x < 0 || y < 0)
                return x < 0 ? x : y;
        look_gzip_header(l, a, b);
        r = compare_uncompress(a, x);
        if (r == 0)
                r = compare_uncompress(b, y);
        if (r == 0)
                r = look_inside(l, "uncompressed: ", x, y);
        if (r == 0 && l->c->n_differences == before && l->c->cut == cut)
                compare_look_add(l, "compression", "", "", "the same content, compressed differently");
        return r;
}

/* ---- archives -------------------------------------------------------------------------------- */

struct member {
        char *name;
        size_t number;
        uint64_t mode, mtime, owner, group, size;
        char *link_target;
        struct kiln_digest digest;
};

struct members {
        struct member *list; /* sorted by name, those of one name in their order */
        size_t n;
};

static void members_clear(struct members *m)
{
        for (size_t i = 0; i < m->n; i++) {
                free(m->list[i].name);
                free(m->list[i].link_target);
        }
        free(m->list);
}

static int compare_members(const void *a, const void *b)
{
        const struct member *x = a, *y = b;
        int r = strcmp(x->name, y->name);

        return r ? r : x->number < y->number ? -1 : x->number > y->number;
}

static const char *or_empty(const char *s)
{
        return s ? s : "";
}

static int members_read(int fd, struct members *ret)
{
        _cleanup_(compare_archive_free) archive_p a = open_archive(fd, false);
        _cleanup_(members_clear) struct members m = {0};
        struct archive_entry *e;
        uint64_t total = 0;
        int r = a ? ARCHIVE_OK : ARCHIVE_FATAL;

        while (r == ARCHIVE_OK && (r = archive_read_next_header(a, &e)) >= ARCHIVE_WARN && r != ARCHIVE_EOF) {
                _cleanup_hasher_ struct kiln_hasher *h = kiln_hasher_new();
                const char *name = or_empty(archive_entry_pathname(e)),
                           *link = archive_entry_hardlink(e) ? archive_entry_hardlink(e)
                                                             : archive_entry_symlink(e);
                struct member *k;

                if (m.n >= MEMBERS_MAX || strlen(name) > NAME_BYTES_MAX ||
                        strlen(or_empty(link)) > NAME_BYTES_MAX)
                        return -EBADMSG;
                k = KILN_APPEND(m.list, m.n);
                *k = (struct member){.name = kiln_strdup(name),
                        .number = m.n,
                        .mode = archive_entry_mode(e),
                        .mtime = (uint64_t)archive_entry_mtime(e),
                        .owner = (uint64_t)archive_entry_uid(e),
                        .group = (uint64_t)archive_entry_gid(e),
                        .link_target = kiln_strdup(or_empty(link))};
                k->size = total;
                r = entry_read(a, &total, take_hash, h);
                if (r < 0)
                        return r;
                k->size = total - k->size;
                k->digest = kiln_hasher_finish(h);
        }
        if (r != ARCHIVE_EOF)
                return -EBADMSG;
        if (m.n)
                qsort(m.list, m.n, sizeof(*m.list), compare_members);
        *ret = m;
        m = (struct members){0};
        return 0;
}

/* Writes the content of entry `number` (from 1) to a new file; returns that. */
static int member_extract(int fd, size_t number, int spool_fd)
{
        _cleanup_(compare_archive_free) archive_p a = open_archive(fd, false);
        _cleanup_close_ int out = compare_spool(spool_fd);
        struct archive_entry *e;
        uint64_t total = 0;
        int r;

        if (!a || out < 0)
                return a ? out : -EBADMSG;
        for (size_t i = 0; i < number; i++)
                if (archive_read_next_header(a, &e) < ARCHIVE_WARN)
                        return -EBADMSG;
        r = entry_read(a, &total, take_file, &out);
        return r < 0 ? r : TAKE_FD(out);
}

static int member_content(
        struct compare_look *l, int a, const struct member *x, int b, const struct member *y)
{
        _cleanup_close_ int left = member_extract(a, x->number, l->spool_fd), right = -1;
        _cleanup_free_ char *where = kiln_asprintf("member %.120s: ", x->name);

        if (left < 0)
                return left;
        right = member_extract(b, y->number, l->spool_fd);
        return right < 0 ? right : look_inside(l, where, left, right);
}

static void member_field(struct compare_look *l, const struct member *m, const char *name, uint64_t a,
        uint64_t b, bool is_time)
{
        _cleanup_free_ char *aspect = kiln_asprintf("member %.120s: %s", m->name, name);

        number_differs(l, aspect, a, b, is_time);
}

/* Metadata, and whether the content differs. */
static bool member_compare(struct compare_look *l, const struct member *x, const struct member *y)
{
        bool content = !kiln_digest_equal(&x->digest, &y->digest);

        member_field(l, x, "mtime", x->mtime, y->mtime, true);
        member_field(l, x, "mode", x->mode, y->mode, false);
        member_field(l, x, "owner", x->owner, y->owner, false);
        member_field(l, x, "group", x->group, y->group, false);
        if (strcmp(x->link_target, y->link_target) != 0) {
                _cleanup_free_ char *aspect = kiln_asprintf("member %.120s: link target", x->name);

                compare_look_add(l, aspect, x->link_target, y->link_target, NULL);
        }
        if (content && x->size != y->size)
                member_field(l, x, "size", x->size, y->size, false);
        return content;
}

int compare_look_members(struct compare_look *l, int a, int b)
{
        _cleanup_(members_clear) struct members ma = {0}, mb = {0};
        const struct member *content[2] = {NULL, NULL};
        bool order = false;
        uint64_t more = 0;
        int r = members_read(a, &ma);

        if (r == 0)
                r = members_read(b, &mb);
        if (r < 0)
                return r;
        for (size_t i = 0, k = 0; i < ma.n || k < mb.n;) {
                const struct member *x = i < ma.n ? &ma.list[i] : NULL, *y = k < mb.n ? &mb.list[k] : NULL;
                int which = !x ? 1 : !y ? -1 : strcmp(x->name, y->name);

                if (which != 0) {
                        _cleanup_free_ char *aspect =
                                kiln_asprintf("member %.120s", which < 0 ? x->name : y->name);

                        compare_look_add(
                                l, aspect, which < 0 ? "there" : NULL, which < 0 ? NULL : "there", NULL);
                } else {
                        order |= x->number != y->number;
                        if (member_compare(l, x, y)) {
                                more += content[0] != NULL;
                                content[0] = content[0] ? content[0] : x;
                                content[1] = content[1] ? content[1] : y;
                        }
                }
                i += which <= 0;
                k += which >= 0;
        }
        if (order && ma.n == mb.n)
                compare_look_add(l, "member order", "", "", "members come in another order");
        if (content[0])
                r = member_content(l, a, content[0], b, content[1]);
        if (r == 0 && more) {
                _cleanup_free_ char *detail =
                        kiln_asprintf("the content of %" PRIu64 " more members differs", more);

                compare_look_add(l, "members", "", "", detail);
        }
        return r;
}
