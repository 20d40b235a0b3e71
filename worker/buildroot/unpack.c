/* Unpacks RPM payloads with libarchive (gzip, xz, zstd, bzip2, lzma, none), as many at a time as there are
 * processors.
 *
 * The sandbox is the boundary: links in the tree may lead anywhere, they cannot lead out of it. */
#include "worker/buildroot/unpack.h"

#include "worker/base/macros.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS_MAX 8
#define BLOCK_BYTES ((size_t)1 << 20)

static void archive_read_freep(struct archive **a)
{
        if (*a)
                archive_read_free(*a);
}

static void archive_write_freep(struct archive **a)
{
        if (*a)
                archive_write_free(*a);
}

static int complain(const char *path, struct archive *a)
{
        fprintf(stderr, "kiln: unpacking %s: %s\n", path,
                archive_error_string(a) ? archive_error_string(a) : "failed");
        return -EIO;
}

/* "./usr/bin/x", "/usr/bin/x" and "usr/bin/x" are one path. */
static const char *entry_path(struct archive_entry *e)
{
        const char *p = archive_entry_pathname(e);

        if (!p)
                return NULL;
        if (p[0] == '.' && (p[1] == '/' || p[1] == '\0'))
                p++;
        while (*p == '/')
                p++;
        return *p ? p : NULL;
}

static bool skipped(const struct unpack *u, const char *path)
{
        for (const char *const *s = u->skip; s && *s; s++) {
                size_t n = strlen(*s + 1);

                if (strncmp(path, *s + 1, n) == 0 && (path[n] == '/' || path[n] == '\0'))
                        return true;
        }
        return false;
}

static int unpack_data(struct archive *in, struct archive *out, const char *path)
{
        for (;;) {
                const void *block;
                size_t size;
                la_int64_t offset;
                int r = archive_read_data_block(in, &block, &size, &offset);

                if (r == ARCHIVE_EOF)
                        return 0;
                if (r < ARCHIVE_WARN)
                        return complain(path, in);
                if (archive_write_data_block(out, block, size, offset) < ARCHIVE_WARN)
                        return complain(path, out);
        }
}

static int unpack_one(const struct unpack *u, const char *path)
{
        _cleanup_(archive_read_freep) struct archive *in = archive_read_new();
        _cleanup_(archive_write_freep) struct archive *out = archive_write_disk_new();

        if (!in || !out)
                return -ENOMEM;
        archive_read_support_filter_all(in);
        archive_read_support_format_cpio(in);
        archive_write_disk_set_options(out,
                ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_UNLINK);
        if (archive_read_open_filename(in, path, BLOCK_BYTES) != ARCHIVE_OK)
                return complain(path, in);
        for (;;) {
                struct archive_entry *e;
                int r = archive_read_next_header(in, &e);
                const char *name;

                if (r == ARCHIVE_EOF)
                        return 0;
                if (r < ARCHIVE_WARN)
                        return complain(path, in);
                name = entry_path(e);
                if (!name || skipped(u, name))
                        continue;
                archive_entry_copy_pathname(e, name);
                archive_entry_set_uid(e, 0);
                archive_entry_set_gid(e, 0);
                if (archive_write_header(out, e) < ARCHIVE_WARN)
                        return complain(path, out);
                if (archive_entry_size(e) > 0) {
                        r = unpack_data(in, out, path);
                        if (r < 0)
                                return r;
                }
                if (archive_write_finish_entry(out) < ARCHIVE_WARN)
                        return complain(path, out);
        }
}

/* One of the processes: takes the next package that none has taken. */
static int unpack_rest(const struct unpack *u, atomic_size_t *next)
{
        for (;;) {
                size_t i = atomic_fetch_add(next, 1);

                if (i >= u->n)
                        return 0;
                if (unpack_one(u, u->paths[i]) < 0)
                        return 1;
        }
}

int unpack_entry(void *arg)
{
        const struct unpack *u = arg;
        pid_t pids[JOBS_MAX];
        size_t jobs = (size_t)get_nprocs();
        atomic_size_t *next =
                mmap(NULL, sizeof(*next), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        int failed = 0;

        if (next == MAP_FAILED || chdir("/") < 0)
                return 1;
        for (size_t i = 0; i < u->n_first; i++)
                if (unpack_one(u, u->paths[i]) < 0)
                        return 1;
        atomic_init(next, u->n_first);
        if (jobs > JOBS_MAX)
                jobs = JOBS_MAX;
        for (size_t job = 0; job < jobs; job++) {
                pids[job] = fork();
                if (pids[job] < 0)
                        return 1;
                if (pids[job] == 0)
                        _exit(unpack_rest(u, next));
        }
        for (size_t job = 0; job < jobs; job++) {
                int status;

                while (waitpid(pids[job], &status, 0) < 0)
                        if (errno != EINTR)
                                return 1;
                failed |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
        }
        return failed;
}
