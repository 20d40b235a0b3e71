/* The scratch directory of a build. */
#include "worker/base/file.h"
#include "worker/base/lease.h"
#include "worker/base/mem.h"
#include "worker/build/build_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

static void build_phase(void *ctx, const char *phase)
{
        struct kiln_build *b = ctx;

        if (b->params->log.phase)
                b->params->log.phase(b->params->log.ctx, phase);
}

static char *memory_path(void)
{
        return kiln_asprintf("/dev/shm/kiln-%u", (unsigned)geteuid());
}

/* Others can make names in /dev/shm too: only a directory of this user's is taken. */
static int memory_open(const char *path, bool make)
{
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (make && mkdir(path, 0755) < 0 && errno != EEXIST)
                return -errno;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        return st.st_uid == geteuid() && !(st.st_mode & 022) ? TAKE_FD(fd) : -EPERM;
}

bool kiln_build_memory_room(uint64_t bytes)
{
        _cleanup_free_ char *path = memory_path();
        _cleanup_close_ int fd = memory_open(path, true);
        struct statfs fs;
        struct statvfs vfs;

        return fd >= 0 && fstatfs(fd, &fs) == 0 && fstatvfs(fd, &vfs) == 0 && fs.f_type == TMPFS_MAGIC &&
               !(vfs.f_flag & ST_NOEXEC) && (uint64_t)vfs.f_bavail * vfs.f_frsize >= bytes;
}

int kiln_build_open(const struct kiln_context *c, const struct kiln_build_params *p, struct kiln_build **ret,
        struct kiln_error *err)
{
        _cleanup_(kiln_build_closep) struct kiln_build *b = kiln_calloc(1, sizeof(*b));
        _cleanup_free_ char *path = p->view.in_memory ? memory_path() : kiln_path_join(c->cache_dir, "build");
        uid_t uid = p->view.uid ? p->view.uid : KILN_BUILD_UID;
        struct kiln_sandbox_error serr = {0};
        int r;

        b->context = c;
        b->params = p;
        b->scratch_fd = b->lease_fd = b->home_fd = b->prep_fd = -1;
        b->epoch_s = p->source_date_epoch_s;
        b->transcript.phase = build_phase;
        b->transcript.ctx = b;
        b->build_fd = p->view.in_memory ? memory_open(path, true) : kiln_dir_make(AT_FDCWD, path, 0755);
        if (b->build_fd < 0)
                return kiln_error_set(err, KILN_INFRA, b->build_fd, "making", path, "the scratch directory");
        r = kiln_lease_make(b->build_fd, "", &b->name, &b->scratch_fd, &b->lease_fd);
        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, r, "making", path, "a scratch directory in it");
        b->home_fd = kiln_idmap_mkdir(&p->idmap, b->scratch_fd, "builddir", uid, uid, &serr);
        if (b->home_fd < 0)
                return kiln_error_from_sandbox(err, &serr, "making", "the build directory");
        *ret = TAKE_PTR(b);
        return 0;
}

void kiln_build_close(struct kiln_build *b)
{
        struct kiln_sandbox_error serr;

        if (!b)
                return;
        kiln_closep(&b->home_fd);
        kiln_closep(&b->prep_fd);
        kiln_closep(&b->scratch_fd);
        if (b->name)
                kiln_idmap_rmtree(&b->params->idmap, b->build_fd, b->name, &serr);
        kiln_closep(&b->lease_fd);
        kiln_closep(&b->build_fd);
        transcript_clear(&b->transcript);
        observed_clear(&b->observed);
        free(b->name);
        free(b->spec);
        free(b);
}

int kiln_build_intact(const struct kiln_build *b)
{
        struct stat st;

        if (fstat(b->lease_fd, &st) < 0)
                return -errno;
        return st.st_nlink > 0 ? 0 : -ESTALE;
}

int kiln_build_owner(const struct kiln_build *b, uid_t *ret_uid, gid_t *ret_gid)
{
        struct stat st;

        if (fstat(b->home_fd, &st) < 0)
                return -errno;
        *ret_uid = st.st_uid;
        *ret_gid = st.st_gid;
        return 0;
}

/* Takes over fd, a directory of scratch directories. */
static int sweep(int fd, const char *path, struct kiln_error *err)
{
        _cleanup_close_ int build_fd = fd;
        int scan = openat(build_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = scan < 0 ? NULL : fdopendir(scan);
        struct kiln_sandbox_error serr = {0};
        struct kiln_idmap map;
        struct dirent *de;

        if (!d)
                return kiln_error_set(err, KILN_INFRA, errno, "opening", path, "the scratch directories");
        if (kiln_idmap_find(KILN_ID_AUTO, &map, &serr) < 0) {
                closedir(d);
                return kiln_error_from_sandbox(err, &serr, "looking for", "a mapping of user ids");
        }
        while ((de = readdir(d))) {
                _cleanup_close_ int lease = -1;

                if (de->d_name[0] != '.' && kiln_lease_is_dead(build_fd, de->d_name, &lease))
                        kiln_idmap_rmtree(&map, build_fd, de->d_name, &serr);
        }
        closedir(d);
        return 0;
}

int kiln_build_sweep(const struct kiln_context *c, struct kiln_error *err)
{
        _cleanup_free_ char *path = kiln_path_join(c->cache_dir, "build"), *memory = memory_path();
        int fd = kiln_dir_make(AT_FDCWD, path, 0755), memory_fd = memory_open(memory, false), r;

        r = fd < 0 ? kiln_error_set(err, KILN_INFRA, fd, "opening", path, "the scratch directories")
                   : sweep(fd, path, err);
        if (memory_fd >= 0 && sweep(memory_fd, memory, r < 0 ? NULL : err) < 0 && r == 0)
                r = -EIO;
        return r;
}

void kiln_build_set_epoch(struct kiln_build *b, int64_t epoch_s)
{
        b->epoch_s = epoch_s;
}

const struct kiln_build_usage *kiln_build_usage(const struct kiln_build *b)
{
        return &b->usage;
}

const char *kiln_build_tail(const struct kiln_build *b)
{
        const struct kiln_buf *tail = &b->transcript.tail;
        const char *s = kiln_buf_str(tail);

        return tail->len > TRANSCRIPT_TAIL_BYTES ? s + tail->len - TRANSCRIPT_TAIL_BYTES : s;
}
