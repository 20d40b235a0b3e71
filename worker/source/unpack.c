/* The payload of an SRPM to flat files. Runs inside the sandbox only. */
#include "worker/base/buf.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/source/srpm.h"
#include "worker/source/stripped.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define FILES_MAX 4096
#define BYTES_MAX (UINT64_C(16) << 30)
#define NAME_MAX_BYTES 255
#define CHUNK ((size_t)128 << 10)

struct unpacking {
        int fd, dir_fd;
        uint64_t offset; /* of the next byte to be read */
        const char *name;
        struct kiln_source_limits limits;
        uint64_t files, bytes;
        struct kiln_error *err;
        char chunk[CHUNK];
};

static ssize_t payload_read(struct archive *a, void *arg, const void **data)
{
        struct unpacking *u = arg;
        ssize_t n;

        do
                n = pread(u->fd, u->chunk, sizeof(u->chunk), (off_t)u->offset);
        while (n < 0 && errno == EINTR);
        if (n < 0) {
                archive_set_error(a, errno, "cannot read the file");
                return -1;
        }
        u->offset += (uint64_t)n;
        *data = u->chunk;
        return n;
}

static int _printf_(2, 3) refuse(struct unpacking *u, const char *fmt, ...)
{
        _cleanup_free_ char *cause = NULL;
        va_list ap;

        va_start(ap, fmt);
        cause = kiln_vasprintf(fmt, ap);
        va_end(ap);
        kiln_error_set(u->err, KILN_BAD_INPUT, 0, "unpacking", u->name, "%s", cause);
        return -EBADMSG;
}

static int archive_failed(struct unpacking *u, struct archive *a)
{
        const char *why = archive_error_string(a);

        return refuse(u, "its payload is damaged or of an unknown kind: %s", why ? why : "no reason given");
}

static bool name_is_flat(const char *s)
{
        if (!s || !*s || strlen(s) > NAME_MAX_BYTES || strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
                return false;
        for (; *s; s++)
                if (*s == '/' || (unsigned char)*s < 0x20 || *s == 0x7f)
                        return false;
        return true;
}

static int bytes_write(struct unpacking *u, int out, const void *data, size_t len)
{
        int r;

        u->bytes += len;
        if (u->bytes > u->limits.bytes) {
                kiln_error_set(u->err, KILN_LIMIT, 0, "unpacking", u->name,
                        "its sources are more than %llu bytes", (unsigned long long)u->limits.bytes);
                return -EFBIG;
        }
        r = kiln_fd_write(out, data, len);
        if (r < 0)
                kiln_error_set(u->err, KILN_INFRA, r, "unpacking", u->name, "cannot write a source");
        return r;
}

static int contents_write(struct unpacking *u, struct archive *a, int out)
{
        const void *data;
        size_t len;
        la_int64_t offset, at = 0;
        int r;

        while ((r = archive_read_data_block(a, &data, &len, &offset)) == ARCHIVE_OK) {
                if (offset != at) /* cpio has no holes */
                        return refuse(u, "its payload jumps inside a file");
                at += (la_int64_t)len;
                r = bytes_write(u, out, data, len);
                if (r < 0)
                        return r;
        }
        return r == ARCHIVE_EOF ? 0 : archive_failed(u, a);
}

/* A new file of that name, or a negative error. */
static int file_make(struct unpacking *u, const char *name, bool regular)
{
        int out;

        if (++u->files > u->limits.files) {
                kiln_error_set(u->err, KILN_LIMIT, 0, "unpacking", u->name, "it has more than %llu files",
                        (unsigned long long)u->limits.files);
                return -EFBIG;
        }
        if (!name_is_flat(name))
                return refuse(u, "its payload has a file name that none may have (file %llu)",
                        (unsigned long long)u->files);
        if (!regular)
                return refuse(u, "\"%s\" in its payload is no regular file", name);
        out = openat(u->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (out < 0 && errno == EEXIST)
                return refuse(u, "\"%s\" stands in its payload twice", name);
        if (out < 0)
                return kiln_error_set(
                        u->err, KILN_INFRA, errno, "unpacking", u->name, "cannot make \"%s\"", name);
        return out;
}

static int file_finish(struct unpacking *u, int out, const char *name, unsigned mode, time_t mtime_s)
{
        const struct timespec times[2] = {{.tv_sec = mtime_s}, {.tv_sec = mtime_s}};

        if (fchmod(out, mode & 0100 ? 0755 : 0644) < 0 || futimens(out, times) < 0)
                return kiln_error_set(u->err, KILN_INFRA, errno, "unpacking", u->name,
                        "cannot set the mode and time of \"%s\"", name);
        return 0;
}

static int entry_unpack(struct unpacking *u, struct archive *a, struct archive_entry *e)
{
        const char *name = archive_entry_pathname(e);
        _cleanup_close_ int out = -1;
        int r;

        if (name && strncmp(name, "./", 2) == 0)
                name += 2;
        out = file_make(u, name,
                archive_entry_filetype(e) == AE_IFREG && !archive_entry_hardlink(e) &&
                        !archive_entry_symlink(e));
        if (out < 0)
                return out;
        r = contents_write(u, a, out);
        return r < 0 ? r : file_finish(u, out, name, archive_entry_perm(e), archive_entry_mtime(e));
}

/* ---- format 6: rpm's own kind of cpio. An entry is "07070X" and the file's place in the header, 8
 * hexadecimal digits; header and contents are padded to 4 bytes, and an ordinary trailer ends it. */

#define STRIPPED_BYTES 16
#define TRAILER_BYTES 124
#define TRAILER_NAME 110

static int payload_take(struct unpacking *u, struct archive *a, void *data, size_t len)
{
        size_t done = 0;

        while (done < len) {
                la_ssize_t n = archive_read_data(a, (char *)data + done, len - done);

                if (n < 0)
                        return archive_failed(u, a);
                if (n == 0)
                        return refuse(u, "its payload is damaged or of an unknown kind: it ends too early");
                done += (size_t)n;
        }
        return 0;
}

static int stripped_entry(struct unpacking *u, struct archive *a, const struct stripped_file *f)
{
        char data[16384];
        uint64_t left = f->bytes, padding = -f->bytes & 3;
        _cleanup_close_ int out = file_make(u, f->name, S_ISREG(f->mode) && !f->linked);
        int r = out < 0 ? out : 0;

        while (r == 0 && left > 0) {
                size_t n = left < sizeof(data) ? (size_t)left : sizeof(data);

                r = payload_take(u, a, data, n);
                if (r == 0)
                        r = bytes_write(u, out, data, n);
                left -= n;
        }
        if (r == 0)
                r = payload_take(u, a, data, (size_t)padding);
        return r < 0 ? r : file_finish(u, out, f->name, f->mode, f->mtime_s);
}

static bool place_parse(const char digits[8], uint32_t *ret)
{
        static const char hex[] = "0123456789abcdef";
        uint32_t n = 0;

        for (size_t i = 0; i < 8; i++) {
                const char *digit = memchr(hex, digits[i], 16);

                if (!digit)
                        return false;
                n = n << 4 | (uint32_t)(digit - hex);
        }
        *ret = n;
        return true;
}

/* The next entry's place, or 1 at the trailer. */
static int stripped_next(struct unpacking *u, struct archive *a, uint32_t *ret)
{
        char head[TRAILER_BYTES];
        int r = payload_take(u, a, head, STRIPPED_BYTES);

        if (r < 0)
                return r;
        if (memcmp(head, "07070X", 6) == 0 && place_parse(head + 6, ret))
                return 0;
        if (memcmp(head, "070701", 6) == 0) {
                r = payload_take(u, a, head + STRIPPED_BYTES, TRAILER_BYTES - STRIPPED_BYTES);
                if (r < 0 || memcmp(head + TRAILER_NAME, "TRAILER!!!", 11) == 0)
                        return r < 0 ? r : 1;
        }
        return refuse(u, "its payload is damaged or of an unknown kind");
}

static int stripped_unpack(struct unpacking *u, struct archive *a)
{
        _cleanup_(stripped_clear) struct stripped list = {0};
        uint32_t place = 0;
        int r = stripped_next(u, a, &place);

        if (r == 0)
                r = stripped_read(u->fd, u->name, &list, u->err);
        while (r == 0) {
                if (place >= list.n)
                        return refuse(u, "its payload has a file that its header does not know");
                r = stripped_entry(u, a, &list.files[place]);
                if (r == 0)
                        r = stripped_next(u, a, &place);
        }
        return r < 0 ? r : 0;
}

static int entries_unpack(struct unpacking *u, struct archive *a)
{
        struct archive_entry *e;
        int r;

        /* Filters that would start a program of the host are as good as none: their open fails. */
        archive_read_support_filter_gzip(a);
        archive_read_support_filter_bzip2(a);
        archive_read_support_filter_xz(a);
        archive_read_support_filter_lzma(a);
        archive_read_support_filter_zstd(a);
        archive_read_support_format_cpio(a);
        archive_read_support_format_raw(a); /* whatever cpio is not */
        if (archive_read_open(a, u, NULL, payload_read, NULL) != ARCHIVE_OK)
                return archive_failed(u, a);
        while ((r = archive_read_next_header(a, &e)) == ARCHIVE_OK) {
                if (archive_format(a) == ARCHIVE_FORMAT_RAW)
                        return stripped_unpack(u, a);
                r = entry_unpack(u, a, e);
                if (r < 0)
                        return r;
        }
        return r == ARCHIVE_EOF ? 0 : archive_failed(u, a);
}

int kiln_source_unpack(int fd, uint64_t payload_offset, const char *name, int dir_fd,
        const struct kiln_source_limits *limits, struct kiln_error *err)
{
        _cleanup_free_ struct unpacking *u = kiln_calloc(1, sizeof(*u));
        struct archive *a = archive_read_new();
        int r;

        if (!a)
                return kiln_error_set(err, KILN_INFRA, ENOMEM, "unpacking", name, "libarchive");
        u->fd = fd;
        u->dir_fd = dir_fd;
        u->offset = payload_offset;
        u->name = name;
        u->limits.files = limits && limits->files ? limits->files : FILES_MAX;
        u->limits.bytes = limits && limits->bytes ? limits->bytes : BYTES_MAX;
        u->err = err;
        r = entries_unpack(u, a);
        archive_read_free(a);
        if (r == 0 && u->files == 0)
                r = refuse(u, "its payload is empty");
        return r;
}

int kiln_source_spec(int dir_fd, const char *name, char **ret, struct kiln_error *err)
{
        _cleanup_free_ char *spec = NULL;
        int own = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = own >= 0 ? fdopendir(own) : NULL;
        size_t n = 0;
        struct dirent *e;

        if (!d) {
                if (own >= 0)
                        close(own);
                return kiln_error_set(
                        err, KILN_INFRA, errno, "looking for", "the spec file", "cannot read the directory");
        }
        while ((e = readdir(d))) {
                const char *dot = strrchr(e->d_name, '.');

                if (!dot || dot == e->d_name || strcmp(dot, ".spec") != 0)
                        continue;
                n++;
                free(spec);
                spec = kiln_strdup(e->d_name);
        }
        closedir(d);
        if (n != 1) {
                kiln_error_set(err, KILN_BAD_INPUT, 0, "looking for the spec file of", name,
                        n ? "it has more than one" : "it has none");
                return -EINVAL;
        }
        *ret = TAKE_PTR(spec);
        return 0;
}

/* ---- the sandbox entry and its report: five strings, each ended by NUL, behind one digit (the verdict) */

static int job_run(const struct kiln_source_job *job, int dir_fd, char **ret_spec, struct kiln_error *err)
{
        int r = kiln_source_unpack(job->srpm_fd, job->payload_offset, job->name, dir_fd, &job->limits, err);

        if (r == 0)
                r = kiln_source_spec(dir_fd, job->name, ret_spec, err);
        for (size_t i = 0; r == 0 && i < job->n_overlays; i++)
                r = kiln_overlay_apply(job->overlays[i], dir_fd, *ret_spec, err);
        return r;
}

int kiln_source_entry(void *arg)
{
        const struct kiln_source_job *job = arg;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_buf_ struct kiln_buf report = KILN_BUF_INIT;
        _cleanup_free_ char *spec = NULL;
        _cleanup_close_ int own = -1;
        int r = 0;

        if (job->dir) {
                own = open(job->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (own < 0)
                        r = kiln_error_set(&err, KILN_INFRA, errno, "opening", job->dir, "cannot open it");
        }
        if (r == 0)
                job_run(job, job->dir ? own : job->dir_fd, &spec, &err);

        const char *const strings[] = {spec, err.doing, err.subject, err.cause, err.advice};
        kiln_buf_putc(&report, (char)('0' + (int)err.verdict));
        for (size_t i = 0; i < KILN_ARRAY_SIZE(strings); i++)
                kiln_buf_append(
                        &report, strings[i] ? strings[i] : "", strlen(strings[i] ? strings[i] : "") + 1);
        if (kiln_fd_write(job->report_fd, report.data, report.len) < 0)
                return KILN_INFRA;
        return (int)err.verdict;
}

int kiln_source_report(const char *data, size_t len, char **ret_spec, struct kiln_error *err)
{
        const char *strings[5], *p = data + 1;
        size_t n = 0;

        while (len > 1 && n < 5 && p < data + len) {
                const char *end = memchr(p, 0, (size_t)(data + len - p));

                if (!end)
                        break;
                strings[n++] = p;
                p = end + 1;
        }
        /* The reporter sat in the sandbox with hostile bytes: it is believed only in form. */
        if (n != 5 || p != data + len || data[0] < '0' || data[0] > '8' ||
                (data[0] == '0' && (!name_is_flat(strings[0]) || strings[1][0] || strings[3][0])))
                return kiln_error_set(err, KILN_INFRA, 0, "preparing", "the sources",
                        "the unpacking process ended without a word");
        if (data[0] == '0') {
                *ret_spec = kiln_strdup(strings[0]);
                return 0;
        }
        kiln_error_set(err, (enum kiln_verdict)(data[0] - '0'), 0, strings[1],
                strings[2][0] ? strings[2] : NULL, "%s", strings[3]);
        if (strings[4][0])
                kiln_error_advise(err, "%s", strings[4]);
        return -EINVAL;
}
