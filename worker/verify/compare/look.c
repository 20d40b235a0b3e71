/* What kind of file is it, and where do two versions of it begin to differ: for people, a first look. Runs
 * inside the sandbox only; reads files of any size in bounded memory. */
#include "worker/verify/compare/private.h"

#include "worker/base/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CHUNK_BYTES ((size_t)64 << 10)
#define LINE_BYTES 400
#define SNIFF_BYTES 4096

void compare_look_add(
        struct compare_look *l, const char *aspect, const char *a, const char *b, const char *detail)
{
        _cleanup_free_ char *where = kiln_asprintf("%s%s", l->prefix, aspect);

        l->c->differs = true;
        if (l->budget == 0) {
                l->c->cut++;
                return;
        }
        l->budget--;
        compare_add(l->c, KILN_DIFFERENCE_FILE_CONTENT, l->path, where, a, b, detail);
}

int compare_bytes(int a, uint64_t a_at, int b, uint64_t b_at, uint64_t len, uint64_t *ret)
{
        _cleanup_free_ char *chunk = kiln_malloc(2 * CHUNK_BYTES);
        char *other = chunk + CHUNK_BYTES;

        for (uint64_t at = 0; at < len;) {
                size_t want = len - at < CHUNK_BYTES ? (size_t)(len - at) : CHUNK_BYTES, i = 0;
                ssize_t n = kiln_fd_read_at(a, chunk, want, a_at + at),
                        m = kiln_fd_read_at(b, other, want, b_at + at);
                size_t common = n < m ? (size_t)n : (size_t)m;

                if (n < 0 || m < 0)
                        return n < 0 ? (int)n : (int)m;
                if (memcmp(chunk, other, common) != 0) {
                        while (chunk[i] == other[i])
                                i++;
                        *ret = at + i;
                        return 0;
                }
                if (common < want) {
                        *ret = at + common;
                        return 0;
                }
                at += want;
        }
        *ret = len;
        return 0;
}

static char *hex_at(int fd, uint64_t at, uint64_t end)
{
        unsigned char bytes[16];
        size_t want = at < end ? (end - at < sizeof(bytes) ? (size_t)(end - at) : sizeof(bytes)) : 0;
        ssize_t n = want ? kiln_fd_read_at(fd, bytes, want, at) : 0;

        return n > 0 ? compare_hex(bytes, (size_t)n) : NULL;
}

void compare_look_bytes(struct compare_look *l, const char *where, int a, uint64_t a_at, uint64_t a_len,
        int b, uint64_t b_at, uint64_t b_len, uint64_t at)
{
        _cleanup_free_ char *aspect = kiln_asprintf("%sbyte %" PRIu64, where, at),
                            *left = hex_at(a, a_at + at, a_at + a_len),
                            *right = hex_at(b, b_at + at, b_at + b_len),
                            *detail = kiln_asprintf("of %" PRIu64 " and %" PRIu64 " bytes", a_len, b_len);

        compare_look_add(l, aspect, left, right, detail);
}

/* ---- text ------------------------------------------------------------------------------------ */

static bool looks_like_text(const char *s, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if ((unsigned char)s[i] < 0x20 && !memchr("\t\n\r\f\033", s[i], 5))
                        return false;
        return len > 0;
}

/* The number of the line that holds byte `at` (from 1), and where it begins. */
static int line_find(int fd, uint64_t at, uint64_t *ret_line, uint64_t *ret_begin)
{
        _cleanup_free_ char *chunk = kiln_malloc(CHUNK_BYTES);
        uint64_t line = 1, begin = 0;

        for (uint64_t done = 0; done < at;) {
                size_t want = at - done < CHUNK_BYTES ? (size_t)(at - done) : CHUNK_BYTES;
                ssize_t n = kiln_fd_read_at(fd, chunk, want, done);

                if (n <= 0)
                        return n < 0 ? (int)n : -EIO;
                for (const char *p = chunk; (p = memchr(p, '\n', (size_t)(chunk + n - p))); p++) {
                        line++;
                        begin = done + (uint64_t)(p - chunk) + 1;
                }
                done += (uint64_t)n;
        }
        *ret_line = line;
        *ret_begin = begin;
        return 0;
}

/* The line at `begin`; of a long one the part around `at`. NULL: the file has ended there. */
static char *line_read(int fd, uint64_t begin, uint64_t at)
{
        char text[LINE_BYTES];
        uint64_t from = at - begin > LINE_BYTES / 2 ? at - LINE_BYTES / 4 : begin;
        ssize_t n = kiln_fd_read_at(fd, text, sizeof(text), from);
        const char *end;

        if (n <= 0)
                return NULL;
        /* What comes before `at` holds no line end. */
        end = memchr(text, '\n', (size_t)n);
        return kiln_strndup(text, end ? (size_t)(end - text) : (size_t)n);
}

static int look_text(struct compare_look *l, int a, int b, uint64_t at)
{
        _cleanup_free_ char *aspect = NULL, *left = NULL, *right = NULL;
        uint64_t line = 0, begin = 0;
        int r = line_find(a, at, &line, &begin);

        if (r < 0)
                return r;
        aspect = kiln_asprintf("line %" PRIu64, line);
        left = line_read(a, begin, at);
        right = line_read(b, begin, at);
        compare_look_add(l, aspect, left, right, NULL);
        return 0;
}

/* ---- Python's compiled files ----------------------------------------------------------------- */

static uint32_t le32(const unsigned char *p)
{
        return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* PEP 552: magic (the last two bytes are CR LF), flags, then a time and a size or a hash. */
static bool is_pyc(const char *path, const unsigned char *head, size_t len)
{
        size_t n = strlen(path);

        return len >= 16 && head[2] == '\r' && head[3] == '\n' && n > 4 && strcmp(path + n - 4, ".pyc") == 0;
}

static void look_pyc(struct compare_look *l, const unsigned char *x, const unsigned char *y, int a,
        uint64_t a_size, int b, uint64_t b_size, uint64_t at)
{
        static const char *const names[] = {"pyc magic", "pyc flags", "pyc source mtime", "pyc source size"};

        for (size_t i = 0; i < 4; i++) {
                bool hash = i >= 2 && (x[4] | y[4]) & 1, is_time = i == 2 && !hash;
                uint32_t m = le32(x + 4 * i), n = le32(y + 4 * i);
                _cleanup_free_ char *left = is_time ? compare_time(m) : kiln_asprintf("%" PRIu32, m),
                                    *right = is_time ? compare_time(n) : kiln_asprintf("%" PRIu32, n);

                if (m != n)
                        compare_look_add(l, hash ? "pyc source hash" : names[i], left, right, NULL);
        }
        if (at >= 16)
                compare_look_bytes(l, "code, ", a, 0, a_size, b, 0, b_size, at);
}

/* ---- any ------------------------------------------------------------------------------------- */

struct head {
        unsigned char bytes[SNIFF_BYTES];
        size_t len;
        uint64_t size;
};

static int head_read(int fd, struct head *h)
{
        struct stat st;
        ssize_t n;

        if (fstat(fd, &st) < 0)
                return -errno;
        n = kiln_fd_read_at(fd, h->bytes, sizeof(h->bytes), 0);
        if (n < 0)
                return (int)n;
        h->len = (size_t)n;
        h->size = (uint64_t)st.st_size;
        return 0;
}

static const struct format {
        const char *magic;
        size_t len, at;
        int (*look)(struct compare_look *l, int a, int b);
        bool nests; /* looks into what it holds */
} formats[] = {
        {"\177ELF", 4, 0, compare_look_elf, false},
        {"\x1f\x8b", 2, 0, compare_look_compressed, true},
        {"\xfd"
         "7zXZ\0",
                6, 0, compare_look_compressed, true},
        {"\x28\xb5\x2f\xfd", 4, 0, compare_look_compressed, true},
        {"BZh", 3, 0, compare_look_compressed, true},
        {"PK\003\004", 4, 0, compare_look_members, true},
        {"!<arch>\n", 8, 0, compare_look_members, true},
        {"ustar", 5, 257, compare_look_members, true},
};

static bool has_format(const struct head *h, const struct format *f)
{
        return h->len >= f->at + f->len && memcmp(h->bytes + f->at, f->magic, f->len) == 0;
}

int compare_look(struct compare_look *l, int a, int b)
{
        _cleanup_free_ struct head *heads = kiln_calloc(2, sizeof(*heads));
        struct head *x = &heads[0], *y = &heads[1];
        size_t before = l->c->n_differences;
        uint64_t at, most, cut = l->c->cut;
        int r = head_read(a, x);

        if (r == 0)
                r = head_read(b, y);
        if (r < 0)
                return r;
        most = x->size > y->size ? x->size : y->size;
        r = compare_bytes(a, 0, b, 0, most, &at);
        if (r < 0 || at == most)
                return r;
        for (size_t i = 0; i < KILN_ARRAY_SIZE(formats); i++) {
                if (!has_format(x, &formats[i]) || !has_format(y, &formats[i]) ||
                        (formats[i].nests && l->depth == 0))
                        continue;
                r = formats[i].look(l, a, b);
                if (r < 0 && r != -EBADMSG)
                        return r;
                if (l->c->n_differences > before || l->c->cut > cut)
                        return 0;
        }
        if (is_pyc(l->path, x->bytes, x->len) && is_pyc(l->path, y->bytes, y->len))
                look_pyc(l, x->bytes, y->bytes, a, x->size, b, y->size, at);
        else if (looks_like_text((const char *)x->bytes, x->len) &&
                 looks_like_text((const char *)y->bytes, y->len))
                return look_text(l, a, b, at);
        else
                compare_look_bytes(l, "", a, 0, x->size, b, 0, y->size, at);
        return 0;
}
