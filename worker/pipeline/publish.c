#include "worker/pipeline/publish.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/verify/compare/compare.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define RESULT_NAME "result.json"
#define STAGE_PREFIX ".kiln-"

/* What killed runs left in this directory: nobody holds its lock. */
static void stages_sweep(int out_fd)
{
        int scan = openat(out_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = scan < 0 ? NULL : fdopendir(scan);
        struct dirent *de;

        while (d && (de = readdir(d))) {
                _cleanup_close_ int fd = -1;

                if (strncmp(de->d_name, STAGE_PREFIX, strlen(STAGE_PREFIX)) != 0)
                        continue;
                fd = openat(out_fd, de->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
                        kiln_tree_remove(out_fd, de->d_name);
        }
        if (d)
                closedir(d);
}

static int directory_failed(const char *directory, int r, struct kiln_error *err)
{
        kiln_error_set(err, KILN_INFRA, r, "making the result directory", directory, "cannot write there");
        kiln_error_advise(err, "Give a directory that is yours, and has room, with -o.");
        return r;
}

int publication_open(struct publication *p, const char *directory, struct kiln_error *err)
{
        p->out_fd = kiln_dir_make(AT_FDCWD, directory, 0755);
        if (p->out_fd < 0)
                return directory_failed(directory, p->out_fd, err);
        p->out = kiln_strdup(directory);
        /* So that nobody takes a stage for a dead one's between its making and its locking. */
        flock(p->out_fd, LOCK_EX);
        stages_sweep(p->out_fd);
        p->stage_fd = kiln_dir_make_temp(p->out_fd, STAGE_PREFIX, &p->stage);
        if (p->stage_fd >= 0)
                flock(p->stage_fd, LOCK_EX);
        flock(p->out_fd, LOCK_UN);
        return p->stage_fd < 0 ? directory_failed(directory, p->stage_fd, err) : 0;
}

void publication_close(struct publication *p)
{
        kiln_closep(&p->stage_fd);
        if (p->stage)
                kiln_tree_remove(p->out_fd, p->stage);
        kiln_closep(&p->out_fd);
        free(p->stage);
        free(p->out);
        *p = (struct publication)PUBLICATION_INIT;
}

static int stage_failed(const char *name, int r, struct kiln_error *err)
{
        kiln_error_set(err, KILN_INFRA, r, "writing", name, "the result directory");
        if (r == -ENOSPC)
                kiln_error_advise(err, "Free some space there and run the same command again.");
        return r;
}

static void stage_record(struct record *r, const char *name, Kiln__V1__Artefact__Kind kind,
        const struct kiln_digest *d, uint64_t size_bytes)
{
        Kiln__V1__Artefact *a = RECORD_NEW(Kiln__V1__Artefact, kiln__v1__artefact__init);
        _cleanup_free_ char *hex = record_hex(d);

        record_set(&a->name, name);
        record_set(&a->sha256, hex);
        a->kind = kind;
        a->size_bytes = size_bytes;
        record_artefact(r, a);
}

int publication_add(struct publication *p, struct record *r, const char *name, Kiln__V1__Artefact__Kind kind,
        const void *data, size_t len, struct kiln_error *err)
{
        struct kiln_digest d = kiln_digest_of(data, len);
        int n = kiln_file_write(p->stage_fd, name, data, len, 0644);

        if (n < 0)
                return stage_failed(name, n, err);
        if (r)
                stage_record(r, name, kind, &d, len);
        return 0;
}

int publication_add_fd(struct publication *p, struct record *r, const char *name,
        Kiln__V1__Artefact__Kind kind, int fd, struct kiln_error *err)
{
        _cleanup_close_ int out = openat(p->stage_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        struct kiln_digest d;
        uint64_t size_bytes = 0;
        int n = out < 0 ? -errno : kiln_fd_copy(fd, out, NULL);

        if (n == 0 && fsync(out) < 0)
                n = -errno;
        if (n == 0)
                n = kiln_digest_of_fd(fd, &d, &size_bytes);
        if (n < 0)
                return stage_failed(name, n, err);
        stage_record(r, name, kind, &d, size_bytes);
        return 0;
}

static int file_digest(int dir_fd, const char *name, struct kiln_digest *ret)
{
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        return S_ISREG(st.st_mode) ? kiln_digest_of_fd(fd, ret, NULL) : -EEXIST;
}

static int check_conflict(const struct publication *p, const char *name, struct kiln_error *err)
{
        struct kiln_digest ours, theirs;
        int r;

        if (kiln_compare_name_varies(name))
                return 0;
        r = file_digest(p->out_fd, name, &theirs);
        if (r == -ENOENT)
                return 0;
        if (r == 0)
                r = file_digest(p->stage_fd, name, &ours);
        if (r < 0)
                return stage_failed(name, r, err);
        if (kiln_digest_equal(&ours, &theirs))
                return 0;
        kiln_error_set(err, KILN_REFUSED, EEXIST, "publishing", name,
                "%s has a file of this name with other content", p->out);
        kiln_error_advise(err, "Give another directory with -o, or remove the old result first.");
        return -EEXIST;
}

static char **staged_names(const struct publication *p)
{
        char **names = kiln_calloc(1, sizeof(char *));
        int scan = openat(p->stage_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = scan < 0 ? NULL : fdopendir(scan);
        struct dirent *de;

        while (d && (de = readdir(d)))
                if (de->d_name[0] != '.')
                        kiln_strv_append(&names, de->d_name);
        if (d)
                closedir(d);
        return names;
}

int publication_commit(struct publication *p, struct kiln_error *err)
{
        _cleanup_strv_ char **names = staged_names(p);
        int r = 0;

        for (char **n = names; *n && r == 0; n++)
                r = check_conflict(p, *n, err);
        for (char **n = names; *n && r == 0; n++)
                if (strcmp(*n, RESULT_NAME) != 0 && renameat(p->stage_fd, *n, p->out_fd, *n) < 0)
                        r = stage_failed(*n, -errno, err);
        if (r == 0 && fsync(p->out_fd) < 0)
                r = stage_failed(p->out, -errno, err);
        if (r == 0 && renameat(p->stage_fd, RESULT_NAME, p->out_fd, RESULT_NAME) < 0)
                r = stage_failed(RESULT_NAME, -errno, err);
        if (r == 0 && fsync(p->out_fd) < 0)
                r = stage_failed(p->out, -errno, err);
        return r;
}
