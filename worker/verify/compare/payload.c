/* Two payloads as streams, side by side. Runs inside the sandbox only.
 *
 * Both are read once, file by file; two files are compared while they are decompressed, and nothing is kept
 * of them. Only where the headers already say that they differ are both put aside, to be looked into. What
 * comes in another order in the other payload is put aside too, up to a bound. The headers' digests decide
 * nothing but that. */
#include "worker/verify/compare/private.h"

#include "worker/base/file.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <rpm/rpmtag.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_BYTES_MAX 4096
#define UNPACKED_BYTES_MAX (UINT64_C(64) << 30)
#define SPOOL_BYTES_MAX (UINT64_C(1) << 30) /* larger files are compared, but not looked into */
#define PARKED_MAX 4096
#define CHUNK_BYTES ((size_t)128 << 10)

struct member {
        char *path; /* NULL: none */
        char *link_target;
        uint64_t mode, mtime, links, inode, device, owner, group, size;
        uint64_t at; /* of one that is put aside: where its content begins */
};

struct stream {
        const struct compare_side *side;
        struct archive *archive;
        struct member now;
        uint64_t bytes; /* unpacked so far */
        char *failed;   /* why it cannot be read on */

        struct member *parked; /* put aside; only ever of A */
        size_t n_parked;
        int parked_fd;
        uint64_t parked_bytes;
};

struct comparing {
        struct kiln_comparison *c;
        struct stream a, b;
        int spool_fd;
        bool order_listed, gave_up;
};

static void member_clear(struct member *m)
{
        free(m->path);
        free(m->link_target);
        *m = (struct member){0};
}

static void stream_clear(struct stream *s)
{
        member_clear(&s->now);
        for (size_t i = 0; i < s->n_parked; i++)
                member_clear(&s->parked[i]);
        free(s->parked);
        free(s->failed);
        kiln_closep(&s->parked_fd);
        compare_archive_free(&s->archive);
}

/* ---- one payload ----------------------------------------------------------------------------- */

static void stream_fail(struct stream *s)
{
        const char *why = archive_error_string(s->archive);

        if (!s->failed)
                s->failed = kiln_strdup(why ? why : "not a payload");
}

static int stream_open(struct stream *s, const struct compare_side *side)
{
        s->side = side;
        s->parked_fd = -1;
        s->archive = archive_read_new();
        /* Named one by one: "all" would start programs for rare formats. */
        if (!s->archive || archive_read_support_filter_rpm(s->archive) < ARCHIVE_WARN ||
                archive_read_support_filter_gzip(s->archive) != ARCHIVE_OK ||
                archive_read_support_filter_bzip2(s->archive) != ARCHIVE_OK ||
                archive_read_support_filter_xz(s->archive) != ARCHIVE_OK ||
                archive_read_support_filter_lzma(s->archive) != ARCHIVE_OK ||
                archive_read_support_filter_zstd(s->archive) != ARCHIVE_OK ||
                archive_read_support_format_cpio(s->archive) != ARCHIVE_OK ||
                archive_read_support_format_empty(s->archive) != ARCHIVE_OK)
                return -ENOTSUP;
        if (lseek(side->fd, 0, SEEK_SET) < 0)
                return -errno;
        if (archive_read_open_fd(s->archive, side->fd, CHUNK_BYTES) != ARCHIVE_OK)
                stream_fail(s);
        return 0;
}

/* Goes to the next member; now.path is NULL at the end and after a failure. */
static void stream_next(struct stream *s)
{
        struct archive_entry *e;
        const char *path, *link;
        int r;

        member_clear(&s->now);
        if (s->failed)
                return;
        r = archive_read_next_header(s->archive, &e);
        if (r == ARCHIVE_EOF)
                return;
        if (r < ARCHIVE_WARN) /* a warning is a name that is not UTF-8 */
                return stream_fail(s);
        path = archive_entry_pathname(e);
        if (!path || !*path || strlen(path) > PATH_BYTES_MAX) {
                s->failed = kiln_strdup("a path that rpm would not write");
                return;
        }
        link = S_ISLNK(archive_entry_mode(e)) ? archive_entry_symlink(e) : NULL;
        s->now = (struct member){
                .path = kiln_strdup(path[0] == '.' && path[1] == '/' ? path + 1 : path),
                .link_target = kiln_strdup(link ? link : ""),
                .mode = archive_entry_mode(e),
                .mtime = (uint64_t)archive_entry_mtime(e),
                .links = archive_entry_nlink(e),
                .inode = (uint64_t)archive_entry_ino64(e),
                .device = archive_entry_rdev(e),
                .owner = (uint64_t)archive_entry_uid(e),
                .group = (uint64_t)archive_entry_gid(e),
                .size = S_ISREG(archive_entry_mode(e)) ? (uint64_t)archive_entry_size(e) : 0,
        };
}

/* ---- content --------------------------------------------------------------------------------- */

/* A member's content, read from the front: out of the archive, or out of what was put aside. */
struct content {
        struct stream *stream;
        bool parked;
        uint64_t at, end;
        char *chunk; /* of what was put aside */
        const char *data;
        size_t len; /* bytes at data not used yet */
};

static void content_open(struct content *k, struct stream *s, const struct member *m, bool parked)
{
        *k = (struct content){.stream = s, .parked = parked, .at = m->at, .end = m->at + m->size};
        if (parked)
                k->chunk = kiln_malloc(CHUNK_BYTES);
}

static void content_close(struct content *k)
{
        free(k->chunk);
}
#define _cleanup_content_ _cleanup_(content_close)

/* Makes len > 0. 0: at the end (or unreadable: stream->failed), 1: there is data; negative errno. */
static int content_fill(struct content *k)
{
        struct stream *s = k->stream;

        while (k->len == 0) {
                if (k->parked) {
                        size_t want = k->end - k->at < CHUNK_BYTES ? (size_t)(k->end - k->at) : CHUNK_BYTES;
                        ssize_t n = want ? pread(s->parked_fd, k->chunk, want, (off_t)k->at) : 0;

                        if (n < 0)
                                return -errno;
                        if (n == 0)
                                return want ? -EIO : 0;
                        k->at += (uint64_t)n;
                        k->data = k->chunk;
                        k->len = (size_t)n;
                } else {
                        const void *block;
                        la_int64_t offset;
                        int r = archive_read_data_block(s->archive, &block, &k->len, &offset);

                        if (r == ARCHIVE_EOF)
                                return k->len = 0;
                        if (r != ARCHIVE_OK) {
                                stream_fail(s);
                                return k->len = 0;
                        }
                        k->data = block;
                        s->bytes += k->len;
                        if (s->bytes > UNPACKED_BYTES_MAX)
                                return -EFBIG;
                }
        }
        return 1;
}

static void content_take(struct content *k, size_t n)
{
        k->data += n;
        k->len -= n;
}

/* Writes what is left of k to fd. */
static int content_write(struct content *k, int fd)
{
        int r;

        while ((r = content_fill(k)) > 0) {
                r = kiln_fd_write(fd, k->data, k->len);
                if (r < 0)
                        return r;
                k->len = 0;
        }
        return r;
}

/* ---- two members ----------------------------------------------------------------------------- */

/* Compares while reading. When they differ, says at which byte. */
static int contents_stream(struct comparing *p, const char *path, struct content *a, struct content *b)
{
        _cleanup_free_ char *aspect = NULL, *left = NULL, *right = NULL;
        uint64_t at = 0;
        int x, y;

        for (;;) {
                size_t n, i = 0;

                x = content_fill(a);
                y = x < 0 ? x : content_fill(b);
                if (x < 0 || y < 0)
                        return x < 0 ? x : y;
                if (p->a.failed || p->b.failed || (x == 0 && y == 0))
                        return 0;
                n = a->len < b->len ? a->len : b->len;
                if (n > 0 && memcmp(a->data, b->data, n) == 0) {
                        content_take(a, n);
                        content_take(b, n);
                        at += n;
                        continue;
                }
                while (i < n && a->data[i] == b->data[i])
                        i++;
                content_take(a, i);
                content_take(b, i);
                at += i;
                break;
        }
        aspect = kiln_asprintf("byte %" PRIu64, at);
        left = x ? compare_hex(a->data, a->len < 16 ? a->len : 16) : NULL;
        right = y ? compare_hex(b->data, b->len < 16 ? b->len : 16) : NULL;
        compare_add(p->c, KILN_DIFFERENCE_FILE_CONTENT, path, aspect, left, right, NULL);
        return 0;
}

/* Puts both aside and looks into them. */
static int contents_look(struct comparing *p, const char *path, struct content *a, struct content *b)
{
        _cleanup_close_ int left = compare_spool(p->spool_fd), right = -1;
        struct compare_look look = {.c = p->c,
                .path = path,
                .prefix = "",
                .spool_fd = p->spool_fd,
                .depth = COMPARE_LOOK_DEPTH,
                .budget = COMPARE_LOOK_BUDGET};
        int r = left < 0 ? left : 0;

        right = r == 0 ? compare_spool(p->spool_fd) : -1;
        if (r == 0 && right < 0)
                r = right;
        if (r == 0)
                r = content_write(a, left);
        if (r == 0)
                r = content_write(b, right);
        if (r < 0 || p->a.failed || p->b.failed)
                return r;
        return compare_look(&look, left, right);
}

/* What cpio says about a file, which rpm says again in the header. */
static const struct {
        const char *name;
        size_t offset;
        uint32_t tag; /* 0: not in the header */
        bool octal;
} member_fields[] = {
        {"payload mode", offsetof(struct member, mode), RPMTAG_FILEMODES, true},
        {"payload mtime", offsetof(struct member, mtime), RPMTAG_FILEMTIMES, false},
        {"payload device", offsetof(struct member, device), RPMTAG_FILERDEVS, false},
        {"payload owner", offsetof(struct member, owner), 0, false},
        {"payload group", offsetof(struct member, group), 0, false},
        {"payload inode", offsetof(struct member, inode), RPMTAG_FILEINODES, false},
        {"payload links", offsetof(struct member, links), 0, false},
};

static char *field_text(uint64_t n, bool octal)
{
        return octal ? kiln_asprintf("%06" PRIo64, n) : kiln_asprintf("%" PRIu64, n);
}

/* Where the header already shows that a value differs, the payload's need not be shown again. */
static void members_metadata(
        struct comparing *p, const struct member *x, int i, const struct member *y, int k)
{
        const struct compare_files *a = p->a.side->files, *b = p->b.side->files;
        bool known = i >= 0 && k >= 0;

        for (size_t f = 0; f < KILN_ARRAY_SIZE(member_fields); f++) {
                uint64_t left = *(const uint64_t *)(const void *)((const char *)x + member_fields[f].offset),
                         right = *(const uint64_t *)(const void *)((const char *)y + member_fields[f].offset);
                _cleanup_free_ char *text = NULL, *other = NULL;

                if (left == right || (known && member_fields[f].tag &&
                                             !compare_files_same(a, i, b, k, member_fields[f].tag)))
                        continue;
                text = field_text(left, member_fields[f].octal);
                other = field_text(right, member_fields[f].octal);
                compare_add(
                        p->c, KILN_DIFFERENCE_FILE_META, x->path, member_fields[f].name, text, other, NULL);
        }
        if (strcmp(x->link_target, y->link_target) != 0 &&
                !(known && !compare_files_same(a, i, b, k, RPMTAG_FILELINKTOS)))
                compare_add(p->c, KILN_DIFFERENCE_FILE_META, x->path, "payload link target", x->link_target,
                        y->link_target, NULL);
}

static int members_compare(struct comparing *p, const struct member *x, bool parked, const struct member *y)
{
        int i = compare_files_find(p->a.side->files, x->path),
            k = compare_files_find(p->b.side->files, y->path);
        _cleanup_content_ struct content a = {0}, b = {0};
        bool look;

        members_metadata(p, x, i, y, k);
        if (!S_ISREG(x->mode) || !S_ISREG(y->mode))
                return 0;
        content_open(&a, &p->a, x, parked);
        content_open(&b, &p->b, y, false);
        /* cpio stores the content of hard links with one of them only. */
        if ((x->links > 1 || y->links > 1) && (x->size == 0) != (y->size == 0)) {
                compare_add(p->c, KILN_DIFFERENCE_FILE_META, x->path, "payload hard link",
                        x->size ? "stored here" : "stored with another link",
                        y->size ? "stored here" : "stored with another link", NULL);
                return 0;
        }
        look = (i < 0 || k < 0 ||
                       !compare_files_same(p->a.side->files, i, p->b.side->files, k, RPMTAG_FILEDIGESTS)) &&
               x->size <= SPOOL_BYTES_MAX && y->size <= SPOOL_BYTES_MAX;
        return look ? contents_look(p, x->path, &a, &b) : contents_stream(p, x->path, &a, &b);
}

/* ---- order ----------------------------------------------------------------------------------- */

static struct member *parked_find(struct stream *s, const char *path)
{
        for (size_t i = 0; path && i < s->n_parked; i++)
                if (strcmp(s->parked[i].path, path) == 0)
                        return &s->parked[i];
        return NULL;
}

static void parked_remove(struct stream *s, struct member *m)
{
        member_clear(m);
        *m = s->parked[--s->n_parked];
}

/* Puts the current member aside. */
static int park(struct stream *s, int spool_fd)
{
        _cleanup_content_ struct content k = {0};
        struct member *m;
        int r;

        if (s->parked_fd < 0)
                s->parked_fd = compare_spool(spool_fd);
        if (s->parked_fd < 0)
                return s->parked_fd;
        if (s->n_parked >= PARKED_MAX || s->now.size > SPOOL_BYTES_MAX - s->parked_bytes)
                return -EFBIG;
        content_open(&k, s, &s->now, false);
        if (lseek(s->parked_fd, (off_t)s->parked_bytes, SEEK_SET) < 0)
                return -errno;
        r = content_write(&k, s->parked_fd);
        if (r < 0)
                return r;
        s->now.at = s->parked_bytes;
        s->parked_bytes += s->now.size;
        m = KILN_APPEND(s->parked, s->n_parked);
        *m = s->now;
        s->now = (struct member){0};
        return 0;
}

static void list_order(struct comparing *p)
{
        if (!p->order_listed)
                compare_add(p->c, KILN_DIFFERENCE_PAYLOAD, "order", "", p->a.now.path, p->b.now.path,
                        "the first files that come in another order");
        p->order_listed = true;
}

/* A member only one payload has. What only one header lists is in the comparison of headers already. */
static void list_stray(struct comparing *p, const struct stream *s, const char *path)
{
        int i = compare_files_find(p->a.side->files, path), k = compare_files_find(p->b.side->files, path);
        const char *left = s == &p->a ? "in the payload" : NULL,
                   *right = s == &p->a ? NULL : "in the payload";

        if ((i < 0) == (k < 0))
                compare_add(p->c, KILN_DIFFERENCE_FILE_MISSING, path, "", left, right,
                        i < 0 ? "no header lists it" : "both headers list it");
}

/* One step of the merge. 1: goes on, 0: both are at their end. */
static int merge_step(struct comparing *p)
{
        struct member *parked;
        int r = 0;

        if (!p->a.now.path && !p->b.now.path)
                return 0;
        if (p->a.now.path && p->b.now.path && strcmp(p->a.now.path, p->b.now.path) == 0) {
                r = members_compare(p, &p->a.now, false, &p->b.now);
                stream_next(&p->a);
                stream_next(&p->b);
                return r < 0 ? r : 1;
        }
        if ((parked = parked_find(&p->a, p->b.now.path))) {
                r = members_compare(p, parked, true, &p->b.now);
                parked_remove(&p->a, parked);
                stream_next(&p->b);
                return r < 0 ? r : 1;
        }
        for (size_t i = 0; i < 2; i++) {
                struct stream *t = i == 0 ? &p->a : &p->b, *other = i == 0 ? &p->b : &p->a;

                /* Not to be expected: what is still to come of the other has no such file. */
                if (t->now.path &&
                        (!other->now.path || compare_files_find(other->side->files, t->now.path) < 0)) {
                        list_stray(p, t, t->now.path);
                        stream_next(t);
                        return 1;
                }
        }
        list_order(p);
        r = park(&p->a, p->spool_fd);
        if (r == -EFBIG) {
                compare_add(p->c, KILN_DIFFERENCE_PAYLOAD, "order", "limit", "", "",
                        "too much comes in another order: the rest of the payloads was not compared");
                p->gave_up = true;
                return 0;
        }
        stream_next(&p->a);
        return r < 0 ? r : 1;
}

int compare_payloads(
        struct kiln_comparison *c, const struct compare_side *a, const struct compare_side *b, int spool_fd)
{
        struct comparing p = {.c = c, .spool_fd = spool_fd};
        int r = stream_open(&p.a, a);

        p.b.parked_fd = -1;
        if (r == 0)
                r = stream_open(&p.b, b);
        if (r == 0) {
                stream_next(&p.a);
                stream_next(&p.b);
                do
                        r = p.a.failed || p.b.failed ? 0 : merge_step(&p);
                while (r > 0);
        }
        if (r == 0 && (p.a.failed || p.b.failed))
                compare_add(c, KILN_DIFFERENCE_PAYLOAD, "unreadable", "",
                        p.a.failed ? p.a.failed : "readable", p.b.failed ? p.b.failed : "readable",
                        "one of the payloads cannot be read to its end");
        else if (r == 0 && !p.gave_up)
                for (size_t i = 0; i < p.a.n_parked; i++)
                        list_stray(&p, &p.a, p.a.parked[i].path);
        stream_clear(&p.a);
        stream_clear(&p.b);
        return r;
}
