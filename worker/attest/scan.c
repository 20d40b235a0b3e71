#include "worker/attest/scan.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/base/number.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define DOING "looking into the payload of"
#define PATH_BYTES_MAX 4096
#define FLUSH_BYTES 65536
#define FILE_GHOST (1u << 6) /* RPMFILE_GHOST: in the header, not in the payload */

const struct kiln_scan_limits kiln_scan_limits_default = {.files = 1000000, .bytes = UINT64_C(64) << 30};

void kiln_scan_free(struct kiln_scan *s)
{
        if (!s)
                return;
        for (size_t i = 0; i < s->n_files; i++)
                free(s->files[i].path);
        free(s->files);
        free(s);
}

/* ---- inside the sandbox
 * ---------------------------------------------------------------------------------------- */

struct entry {
        struct kiln_scan_file file;
        dev_t dev; /* of hard links; ino 0: not one */
        ino_t ino;
        bool has_data;
};

struct scanner {
        const struct kiln_scan_limits *limits;
        int (*elf)(void *ctx, const char *path, int fd);
        void *elf_ctx;
        EVP_MD_CTX *sha1, *sha256;
        struct entry *entries;
        size_t n_entries;
        uint64_t bytes;
};

static inline void archive_freep(struct archive **a)
{
        archive_read_free(*a);
}

/* "./usr/bin/x" -> "/usr/bin/x"; a source package's "x.spec" stays. NULL: not a path rpm writes. */
static char *clean_path(const char *path)
{
        if (!path || strlen(path) > PATH_BYTES_MAX || !*path)
                return NULL;
        if (path[0] == '.' && path[1] == '/')
                path++;
        return kiln_strdup(path);
}

/* Reads one member's data through both hashes and, from an ELF file's first bytes on, into a memfd. */
static int read_data(struct scanner *s, struct archive *a, struct entry *e, int *ret_elf)
{
        _cleanup_close_ int elf = -1;
        unsigned char sum[EVP_MAX_MD_SIZE];
        uint64_t size = 0;
        const void *block;
        size_t len;
        la_int64_t offset;
        int r;

        if (EVP_DigestInit_ex(s->sha1, EVP_sha1(), NULL) != 1 ||
                EVP_DigestInit_ex(s->sha256, EVP_sha256(), NULL) != 1)
                return -EIO;
        while ((r = archive_read_data_block(a, &block, &len, &offset)) == ARCHIVE_OK) {
                if ((uint64_t)offset != size) /* cpio has no holes */
                        return -EBADMSG;
                if (size == 0 && s->elf && len >= 4 && memcmp(block, "\177ELF", 4) == 0) {
                        elf = memfd_create("kiln-elf", MFD_CLOEXEC);
                        if (elf < 0)
                                return -errno;
                }
                if (len > s->limits->bytes - s->bytes)
                        return -EFBIG;
                s->bytes += len;
                size += len;
                if (EVP_DigestUpdate(s->sha1, block, len) != 1 ||
                        EVP_DigestUpdate(s->sha256, block, len) != 1)
                        return -EIO;
                if (elf >= 0) {
                        int w = kiln_fd_write(elf, block, len);

                        if (w < 0)
                                return w;
                }
        }
        if (r != ARCHIVE_EOF)
                return -EBADMSG;
        if (EVP_DigestFinal_ex(s->sha1, sum, NULL) != 1)
                return -EIO;
        kiln_hex_encode(sum, 20, e->file.sha1);
        if (EVP_DigestFinal_ex(s->sha256, sum, NULL) != 1)
                return -EIO;
        kiln_hex_encode(sum, 32, e->file.sha256);
        e->file.size = size;
        e->has_data = size > 0;
        *ret_elf = TAKE_FD(elf);
        return 0;
}

static int read_entry(struct scanner *s, struct archive *a, struct archive_entry *from)
{
        _cleanup_close_ int elf = -1;
        char *path = clean_path(archive_entry_pathname(from));
        struct entry *e;
        int r;

        if (!path)
                return -EBADMSG;
        if (s->n_entries >= s->limits->files) {
                free(path);
                return -EFBIG;
        }
        e = KILN_APPEND(s->entries, s->n_entries);
        e->file.path = path;
        e->file.mode = archive_entry_mode(from);
        if (!S_ISREG(e->file.mode))
                return 0;
        if (archive_entry_nlink(from) > 1) {
                e->dev = archive_entry_dev(from);
                e->ino = archive_entry_ino(from);
        }
        r = read_data(s, a, e, &elf);
        if (r == 0 && elf >= 0)
                r = s->elf(s->elf_ctx, path, elf);
        return r;
}

static int compare_links(const void *a, const void *b)
{
        const struct entry *x = a, *y = b;

        if (x->dev != y->dev)
                return x->dev < y->dev ? -1 : 1;
        if (x->ino != y->ino)
                return x->ino < y->ino ? -1 : 1;
        return y->has_data - x->has_data; /* the one with the data first */
}

static int compare_paths(const void *a, const void *b)
{
        const struct entry *x = a, *y = b;

        return strcmp(x->file.path, y->file.path);
}

/* cpio carries the data of hard links once, with the last of them: give it to the others. */
static void share_data(struct scanner *s)
{
        if (s->n_entries == 0)
                return;
        qsort(s->entries, s->n_entries, sizeof(*s->entries), compare_links);
        for (size_t i = 1; i < s->n_entries; i++) {
                struct entry *e = &s->entries[i], *before = e - 1;

                if (e->ino == 0 || e->ino != before->ino || e->dev != before->dev || e->has_data ||
                        !before->has_data)
                        continue;
                memcpy(e->file.sha1, before->file.sha1, sizeof(e->file.sha1));
                memcpy(e->file.sha256, before->file.sha256, sizeof(e->file.sha256));
                e->file.size = before->file.size;
                e->has_data = true;
        }
        qsort(s->entries, s->n_entries, sizeof(*s->entries), compare_paths);
}

static int write_lines(const struct scanner *s, int out_fd)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        for (size_t i = 0; i < s->n_entries; i++) {
                const struct kiln_scan_file *f = &s->entries[i].file;
                size_t len = strlen(f->path);
                char hex[2 * PATH_BYTES_MAX + 1];

                kiln_hex_encode(f->path, len, hex);
                kiln_buf_printf(&b, "%o %" PRIu64 " %s %s %s\n", f->mode, f->size, f->sha1[0] ? f->sha1 : "-",
                        f->sha256[0] ? f->sha256 : "-", hex);
                if (b.len >= FLUSH_BYTES) {
                        int r = kiln_fd_write(out_fd, b.data, b.len);

                        if (r < 0)
                                return r;
                        kiln_buf_reset(&b);
                }
        }
        kiln_buf_printf(&b, "end %zu\n", s->n_entries);
        return kiln_fd_write(out_fd, b.data, b.len);
}

static int read_all(struct scanner *s, int fd)
{
        _cleanup_(archive_freep) struct archive *a = archive_read_new();
        struct archive_entry *e;
        int r;

        /* Named one by one: "all" would start programs for rare formats. */
        if (!a || archive_read_support_filter_rpm(a) < ARCHIVE_WARN ||
                archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
                archive_read_support_filter_bzip2(a) != ARCHIVE_OK ||
                archive_read_support_filter_xz(a) != ARCHIVE_OK ||
                archive_read_support_filter_lzma(a) != ARCHIVE_OK ||
                archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
                archive_read_support_format_cpio(a) != ARCHIVE_OK ||
                archive_read_support_format_empty(a) != ARCHIVE_OK)
                return -ENOTSUP;
        if (lseek(fd, 0, SEEK_SET) < 0)
                return -errno;
        if (archive_read_open_fd(a, fd, 128 * 1024) != ARCHIVE_OK)
                return -EBADMSG;
        while ((r = archive_read_next_header(a, &e)) == ARCHIVE_OK) {
                int q = read_entry(s, a, e);

                if (q < 0)
                        return q;
        }
        return r == ARCHIVE_EOF ? 0 : -EBADMSG;
}

int kiln_scan_payload(int fd, int out_fd, const struct kiln_scan_limits *limits,
        int (*elf)(void *ctx, const char *path, int fd), void *ctx)
{
        struct scanner s = {.limits = limits ? limits : &kiln_scan_limits_default,
                .elf = elf,
                .elf_ctx = ctx,
                .sha1 = EVP_MD_CTX_new(),
                .sha256 = EVP_MD_CTX_new()};
        int r = s.sha1 && s.sha256 ? read_all(&s, fd) : -ENOMEM;

        if (r == 0) {
                share_data(&s);
                r = write_lines(&s, out_fd);
        }
        EVP_MD_CTX_free(s.sha1);
        EVP_MD_CTX_free(s.sha256);
        for (size_t i = 0; i < s.n_entries; i++)
                free(s.entries[i].file.path);
        free(s.entries);
        return r;
}

/* ---- outside
 * --------------------------------------------------------------------------------------------------- */

/* Cuts the next word off *at; NULL: there is none. `end` is the character that must follow it. */
static char *next_word(char **at, char end)
{
        char *word = *at, *stop = strchr(word, end);

        if (!stop || stop == word)
                return NULL;
        *stop = '\0';
        *at = stop + 1;
        return word;
}

static bool take_hex(const char *word, size_t digits, char *ret)
{
        if (strcmp(word, "-") == 0) {
                *ret = '\0';
                return true;
        }
        if (strlen(word) != digits || strspn(word, "0123456789abcdef") != digits)
                return false;
        memcpy(ret, word, digits + 1);
        return true;
}

static bool take_mode(const char *word, mode_t *ret)
{
        mode_t mode = 0;

        if (strlen(word) > 6)
                return false;
        for (; *word; word++) {
                if (*word < '0' || *word > '7')
                        return false;
                mode = mode << 3 | (mode_t)(*word - '0');
        }
        *ret = mode;
        return true;
}

static char *take_path(const char *hex)
{
        size_t len = strlen(hex) / 2;
        _cleanup_free_ char *path = NULL;

        if (strlen(hex) % 2 != 0 || len == 0 || len > PATH_BYTES_MAX ||
                strspn(hex, "0123456789abcdef") != strlen(hex))
                return NULL;
        path = kiln_calloc(len + 1, 1);
        for (size_t i = 0; i < 2 * len; i++) {
                int v = hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10;

                path[i / 2] = (char)(path[i / 2] << 4 | v);
        }
        return strlen(path) == len ? TAKE_PTR(path) : NULL;
}

static bool take_line(char *line, struct kiln_scan *s)
{
        char *mode = next_word(&line, ' '), *size = mode ? next_word(&line, ' ') : NULL,
             *sha1 = size ? next_word(&line, ' ') : NULL, *sha256 = sha1 ? next_word(&line, ' ') : NULL;
        struct kiln_scan_file f = {0};
        bool regular;

        if (!sha256 || !take_mode(mode, &f.mode) || kiln_number_parse(size, INT64_MAX, &f.size) < 0 ||
                !take_hex(sha1, KILN_SHA1_HEX, f.sha1) || !take_hex(sha256, KILN_DIGEST_HEX, f.sha256))
                return false;
        regular = S_ISREG(f.mode);
        if (regular != (f.sha1[0] != '\0') || regular != (f.sha256[0] != '\0'))
                return false;
        f.path = take_path(line);
        if (!f.path)
                return false;
        *KILN_APPEND(s->files, s->n_files) = f;
        return s->n_files < 2 || strcmp(s->files[s->n_files - 2].path, f.path) < 0;
}

int kiln_scan_parse(
        const char *text, size_t len, const char *name, struct kiln_scan **ret, struct kiln_error *err)
{
        _cleanup_(kiln_scan_freep) struct kiln_scan *s = kiln_calloc(1, sizeof(*s));
        _cleanup_free_ char *copy = kiln_strndup(text, len);
        char *at = copy, *line;

        if (strlen(copy) != len)
                goto bad;
        while ((line = next_word(&at, '\n'))) {
                uint64_t n;

                if (strncmp(line, "end ", 4) == 0) {
                        if (kiln_number_parse(line + 4, SIZE_MAX, &n) < 0 || n != s->n_files || *at)
                                goto bad;
                        *ret = TAKE_PTR(s);
                        return 0;
                }
                if (!take_line(line, s))
                        goto bad;
        }
bad:
        kiln_error_set(
                err, KILN_BAD_INPUT, 0, DOING, name, "what came back from the sandbox is no list of files");
        return -EBADMSG;
}

static int compare_file(const void *key, const void *element)
{
        return strcmp(key, ((const struct kiln_scan_file *)element)->path);
}

static int differs(const struct kiln_rpm *rpm, const char *path, const char *what, struct kiln_error *err)
{
        kiln_error_set(err, KILN_BUILD_FAILED, 0, DOING, rpm->nevra, "%s %s", path, what);
        return -EBADMSG;
}

int kiln_scan_check(const struct kiln_scan *s, const struct kiln_rpm *rpm, struct kiln_error *err)
{
        _cleanup_free_ bool *seen = kiln_calloc(s->n_files + 1, sizeof(*seen));

        for (size_t i = 0; i < rpm->n_files; i++) {
                const struct kiln_rpm_file *f = &rpm->files[i];
                const char *path = rpm->source ? kiln_path_base(f->path) : f->path;
                const struct kiln_scan_file *found;

                if (f->flags & FILE_GHOST)
                        continue;
                found = s->n_files ? bsearch(path, s->files, s->n_files, sizeof(*s->files), compare_file)
                                   : NULL;
                if (!found)
                        return differs(rpm, path, "is in the header, but not in the payload", err);
                seen[found - s->files] = true;
                if ((found->mode & S_IFMT) != (f->mode & S_IFMT))
                        return differs(
                                rpm, path, "is of another kind in the payload than in the header", err);
                if (!S_ISREG(f->mode))
                        continue;
                if (found->size != f->size || (strcmp(rpm->file_digest_algo, "sha256") == 0 &&
                                                      strcmp(found->sha256, f->digest_hex) != 0))
                        return differs(
                                rpm, path, "has other content in the payload than the header says", err);
        }
        for (size_t i = 0; i < s->n_files; i++)
                if (!seen[i])
                        return differs(
                                rpm, s->files[i].path, "is in the payload, but not in the header", err);
        return 0;
}
