/* Many files at once: the payload of an RPM as a stream, or an unpacked tree.
 *
 * Nothing is unpacked to disk: one ELF file at a time is held in a memfd. Names are only ever reported, never
 * opened. Must never follow a link of the tree, nor read more than the limits allow. */
#include "worker/attest/isa/internal.h"

#include "worker/base/file.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define DEPTH_MAX 256 /* directories below each other */

struct total {
        const struct kiln_isa_limits *limits;
        struct kiln_isa_report *report;
        const char *name;
        uint64_t files, bytes;
};

static bool magic_matters(const char *p, size_t len)
{
        return (len >= 4 && memcmp(p, ELFMAG, SELFMAG) == 0) || (len >= 8 && memcmp(p, "!<arch>\n", 8) == 0);
}

static int total_count(struct total *t, struct kiln_error *err)
{
        if (++t->files <= t->limits->files)
                return 0;
        return kiln_error_set(err, KILN_LIMIT, E2BIG, "checking the ISA level of", t->name,
                "more than %llu files", (unsigned long long)t->limits->files);
}

static int total_add(struct total *t, uint64_t bytes, struct kiln_error *err)
{
        t->bytes += bytes;
        if (t->bytes <= t->limits->total_bytes)
                return 0;
        return kiln_error_set(err, KILN_LIMIT, EFBIG, "checking the ISA level of", t->name,
                "more than %llu bytes of ELF files and archives", (unsigned long long)t->limits->total_bytes);
}

static void report_too_large(struct total *t, const char *name)
{
        struct kiln_isa_file *f = KILN_APPEND(t->report->files, t->report->n_files);

        f->name = kiln_strdup(name);
        isa_elf_bad(
                f, KILN_ISA_TOO_LARGE, "larger than %llu bytes", (unsigned long long)t->limits->file_bytes);
}

/* ---- an RPM --------------------------------------------------------------------------------- */

static int archive_failed(const struct total *t, struct archive *a, struct kiln_error *err)
{
        const char *what = archive_error_string(a);

        kiln_error_set(err, KILN_BAD_INPUT, EBADMSG, "reading the payload of", t->name, "%s",
                what ? what : "unknown format");
        kiln_error_advise(err, "Is this an intact RPM? Compare its digest with the repository's.");
        return -EBADMSG;
}

/* The path without its leading "." and "/": "usr/bin/x". */
static const char *entry_path(struct archive_entry *entry)
{
        const char *path = archive_entry_pathname(entry);

        if (!path)
                return "(unnamed)";
        if (path[0] == '.' && path[1] == '/')
                path++;
        return path[0] == '/' ? path + 1 : path;
}

/* Copies the rest of an entry behind `first`. Returns the memfd, -EFBIG above the limit, or another negative
 * errno with *err set. */
static int entry_spool(
        struct total *t, struct archive *a, const char *first, size_t first_len, struct kiln_error *err)
{
        _cleanup_close_ int fd = memfd_create("kiln-isa-file", MFD_CLOEXEC);
        _cleanup_free_ char *chunk = kiln_malloc(256 * 1024);
        uint64_t size = first_len;
        int r = fd < 0 ? -errno : kiln_fd_write(fd, first, first_len);

        while (r == 0) {
                la_ssize_t n = archive_read_data(a, chunk, 256 * 1024);

                if (n == ARCHIVE_RETRY)
                        continue;
                if (n < 0)
                        return archive_failed(t, a, err);
                if (n == 0)
                        return TAKE_FD(fd);
                size += (uint64_t)n;
                if (size > t->limits->file_bytes)
                        return -EFBIG;
                r = total_add(t, (uint64_t)n, err);
                if (r < 0)
                        return r;
                r = kiln_fd_write(fd, chunk, (size_t)n);
        }
        return kiln_error_set(
                err, KILN_INFRA, r, "checking the ISA level of", t->name, "holding a file in memory");
}

static int entry_check(
        struct total *t, struct archive *a, struct archive_entry *entry, struct kiln_error *err)
{
        _cleanup_free_ char *name = kiln_asprintf("%s:/%s", t->name, entry_path(entry));
        _cleanup_close_ int fd = -1;
        char first[8];
        size_t have = 0;

        /* Split debug information: no code, and often the largest files of all. */
        if (strncmp(entry_path(entry), "usr/lib/debug/", 14) == 0)
                return 0;
        while (have < sizeof(first)) {
                la_ssize_t n = archive_read_data(a, first + have, sizeof(first) - have);

                if (n == ARCHIVE_RETRY)
                        continue;
                if (n < 0)
                        return archive_failed(t, a, err);
                if (n == 0)
                        break;
                have += (size_t)n;
        }
        if (!magic_matters(first, have)) {
                t->report->skipped += have > 0;
                return 0;
        }
        fd = entry_spool(t, a, first, have, err);
        if (fd == -EFBIG && t->bytes <= t->limits->total_bytes) {
                report_too_large(t, name);
                return 0;
        }
        if (fd < 0)
                return fd;
        return kiln_isa_check_fd(fd, name, t->limits, t->report, err);
}

static void archive_freep(struct archive **a)
{
        if (*a)
                archive_read_free(*a);
}

int kiln_isa_check_rpm(int fd, const char *name, const struct kiln_isa_limits *limits,
        struct kiln_isa_report *report, struct kiln_error *err)
{
        __attribute__((cleanup(archive_freep))) struct archive *a = archive_read_new();
        struct total t = {
                .limits = limits ? limits : &kiln_isa_limits_default, .report = report, .name = name};
        struct archive_entry *entry;
        int r;

        if (lseek(fd, 0, SEEK_SET) < 0)
                return kiln_error_set(err, KILN_INFRA, errno, "reading", name, "lseek");
        /* What rpmbuild can write and nothing else: fewer parsers see hostile bytes. */
        if (!a || archive_read_support_filter_rpm(a) != ARCHIVE_OK ||
                archive_read_support_filter_gzip(a) < ARCHIVE_WARN ||
                archive_read_support_filter_bzip2(a) < ARCHIVE_WARN ||
                archive_read_support_filter_xz(a) < ARCHIVE_WARN ||
                archive_read_support_filter_lzma(a) < ARCHIVE_WARN ||
                archive_read_support_filter_zstd(a) < ARCHIVE_WARN ||
                archive_read_support_format_cpio(a) != ARCHIVE_OK)
                return kiln_error_set(err, KILN_INFRA, 0, "reading", name, "this libarchive lacks a format");
        if (archive_read_open_fd(a, fd, 256 * 1024) != ARCHIVE_OK)
                return archive_failed(&t, a, err);

        for (;;) {
                r = archive_read_next_header(a, &entry);
                if (r == ARCHIVE_EOF)
                        return 0;
                if (r == ARCHIVE_RETRY)
                        continue;
                if (r < ARCHIVE_WARN) /* a warning is a name that is not UTF-8 */
                        return archive_failed(&t, a, err);
                r = total_count(&t, err);
                if (r == 0 && archive_entry_filetype(entry) == AE_IFREG)
                        r = entry_check(&t, a, entry, err);
                if (r < 0)
                        return r;
        }
}

/* ---- a tree --------------------------------------------------------------------------------- */

static int tree_file(struct total *t, int dir_fd, const char *base, const char *name, struct kiln_error *err)
{
        _cleanup_close_ int fd = openat(dir_fd, base, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        char first[8];
        struct stat st;
        ssize_t n;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return kiln_error_set(err, KILN_INFRA, errno, "checking the ISA level of", name, "opening");
        if (!S_ISREG(st.st_mode))
                return 0;
        n = pread(fd, first, sizeof(first), 0);
        if (n < 0)
                return kiln_error_set(err, KILN_INFRA, errno, "checking the ISA level of", name, "reading");
        if (!magic_matters(first, (size_t)n)) {
                t->report->skipped++;
                return 0;
        }
        r = total_add(t, (uint64_t)st.st_size, err);
        return r < 0 ? r : kiln_isa_check_fd(fd, name, t->limits, t->report, err);
}

/* Sorted names of what is in fd. */
static int names_read(int fd, char ***ret)
{
        _cleanup_strv_ char **names = NULL;
        int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a position of its own */
        DIR *d = copy < 0 ? NULL : fdopendir(copy);
        struct dirent *de;
        int r;

        if (!d) {
                r = -errno;
                if (copy >= 0)
                        close(copy);
                return r;
        }
        size_t n = 0, room = 64;
        names = kiln_calloc(room, sizeof(*names));
        while ((errno = 0, de = readdir(d))) {
                if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
                        continue;
                if (n + 2 > room)
                        names = kiln_realloc(names, room *= 2, sizeof(*names));
                names[n++] = kiln_strdup(de->d_name);
                names[n] = NULL;
        }
        r = -errno;
        closedir(d);
        if (r < 0)
                return r;
        qsort(names, n, sizeof(*names), kiln_strcmp_ptr);
        *ret = TAKE_PTR(names);
        return 0;
}

static int tree_walk(
        struct total *t, int dir_fd, dev_t dev, const char *prefix, int depth, struct kiln_error *err)
{
        _cleanup_strv_ char **names = NULL;
        int r = names_read(dir_fd, &names);

        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, r, "listing", prefix, "reading the directory");
        for (char **name = names; *name; name++) {
                _cleanup_free_ char *path = kiln_asprintf("%s%s", prefix, *name);
                struct stat st;

                if (fstatat(dir_fd, *name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return kiln_error_set(
                                err, KILN_INFRA, errno, "checking the ISA level of", path, "stat");
                r = total_count(t, err);
                if (r == 0 && S_ISREG(st.st_mode))
                        r = tree_file(t, dir_fd, *name, path, err);
                if (r == 0 && S_ISDIR(st.st_mode) && st.st_dev == dev) {
                        _cleanup_free_ char *below = kiln_asprintf("%s/", path);
                        _cleanup_close_ int fd = -1;

                        if (depth >= DEPTH_MAX)
                                return kiln_error_set(err, KILN_LIMIT, ELOOP, "checking the ISA level of",
                                        path, "more than %d directories below each other", DEPTH_MAX);
                        fd = openat(dir_fd, *name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                        if (fd < 0)
                                return kiln_error_set(err, KILN_INFRA, errno, "listing", path, "opening");
                        r = tree_walk(t, fd, dev, below, depth + 1, err);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

int kiln_isa_check_tree(int dir_fd, const char *prefix, const struct kiln_isa_limits *limits,
        struct kiln_isa_report *report, struct kiln_error *err)
{
        struct total t = {
                .limits = limits ? limits : &kiln_isa_limits_default, .report = report, .name = prefix};
        struct stat st;

        if (fstat(dir_fd, &st) < 0)
                return kiln_error_set(err, KILN_INFRA, errno, "checking the ISA level of", prefix, "stat");
        return tree_walk(&t, dir_fd, st.st_dev, prefix, 0, err);
}
