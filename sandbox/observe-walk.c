/* See observe.h: PID 1 walks the directories to watch, and writes down which they are. It still has the
 * power of the namespace's id 0, and nothing hostile runs yet; but what a KILN_WATCH_TREE holds is hostile.
 */
#include "sandbox/observe.h"
#include "sandbox/util.h"

#include <dirent.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct walk {
        struct setup *u;
        int inotify_fd;
        FILE *list;
        char path[PATH_MAX];       /* of the directory at hand */
        size_t dirs, files, bytes; /* of trees */
};

static void fts_closep(FTS **f)
{
        if (*f)
                fts_close(*f);
}

static void dir_closep(DIR **d)
{
        if (*d)
                closedir(*d);
}

static bool is_writable(const struct kiln_sandbox *s, const char *path)
{
        for (const char *const *w = s->writable; w && *w; w++)
                if (strcmp(*w, path) == 0)
                        return true;
        return false;
}

static int watch(struct walk *w, const char *path, uint32_t mask)
{
        return TRY(w->u->hook, &w->u->err, "watch files",
                inotify_add_watch(w->inotify_fd, path, mask | IN_ONLYDIR | IN_DONT_FOLLOW));
}

static void list_watch(struct walk *w, int wd, const char *path)
{
        fprintf(w->list, "%d %s%c", wd, strcmp(path, "/") == 0 ? "" : path, '\0');
}

/* Mounts are not entered: what they hold is not the root's. */
static int watch_root(struct walk *w, const char *top)
{
        char *const tops[] = {(char *)(uintptr_t)top, NULL};
        _cleanup_(fts_closep) FTS *walk = fts_open(tops, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
        struct stat st;
        FTSENT *e;

        if (!walk || stat(top, &st) < 0)
                return step_fail(&w->u->err, "watch files", errno, "cannot walk %s", top);
        while (errno = 0, (e = fts_read(walk)) != NULL) {
                int wd;

                if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS)
                        return step_fail(&w->u->err, "watch files", e->fts_errno, "cannot walk %s", top);
                if (e->fts_info != FTS_D)
                        continue;
                if (is_writable(w->u->s, e->fts_path) || e->fts_statp->st_dev != st.st_dev) {
                        fts_set(walk, e, FTS_SKIP);
                        continue;
                }
                wd = watch(w, e->fts_accpath, IN_OPEN);
                if (wd < 0)
                        return wd;
                list_watch(w, wd, e->fts_path);
        }
        if (errno != 0)
                return step_fail(&w->u->err, "watch files", errno, "cannot walk %s", top);
        return 0;
}

static bool tree_enter(struct walk *w, int parent_fd, const char *name, unsigned depth);

/* One name in a directory; w->path is the directory's, `len` long. */
static bool tree_entry(struct walk *w, int dir_fd, size_t len, const char *name, unsigned depth)
{
        size_t n = strlen(name);
        struct stat st;
        bool all;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return false;
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
                return true;
        w->bytes += len + n + 16;
        if (len + 1 + n >= sizeof w->path || w->bytes > OBSERVE_TREE_BYTES_MAX)
                return false;
        if (S_ISREG(st.st_mode)) {
                fprintf(w->list, "+ %s/%s%c", w->path, name, '\0');
                return ++w->files <= OBSERVE_TREE_FILES_MAX;
        }
        w->path[len] = '/';
        memcpy(w->path + len + 1, name, n + 1);
        all = tree_enter(w, dir_fd, name, depth + 1);
        w->path[len] = '\0';
        return all;
}

/* w->path is that of the directory `name` in parent_fd. False: the tree ends here, for whatever reason; it is
 * no use to go on elsewhere. */
static bool tree_enter(struct walk *w, int parent_fd, const char *name, unsigned depth)
{
        _cleanup_(dir_closep) DIR *d = NULL;
        size_t len = strlen(w->path);
        struct dirent *de;
        int fd, wd;

        if (depth > OBSERVE_TREE_DEPTH_MAX || w->dirs++ >= OBSERVE_TREE_DIRS_MAX)
                return false;
        wd = step_fault(w->u->hook, "watch tree") > 0
                     ? -1
                     : inotify_add_watch(
                               w->inotify_fd, w->path, IN_OPEN | IN_MOVED_FROM | IN_ONLYDIR | IN_DONT_FOLLOW);
        if (wd < 0)
                return false;
        list_watch(w, wd, w->path);
        fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        d = fd < 0 ? NULL : fdopendir(fd);
        if (!d) {
                sandbox_close(&fd);
                return false;
        }
        while (errno = 0, (de = readdir(d)) != NULL)
                if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0 &&
                        !tree_entry(w, dirfd(d), len, de->d_name, depth))
                        return false;
        return errno == 0;
}

static int watch_one(struct walk *w, const struct kiln_sandbox_watch *where)
{
        int wd;

        switch (where->kind) {
        case KILN_WATCH_TREE:
                snprintf(w->path, sizeof w->path, "%s", where->path);
                if (!tree_enter(w, AT_FDCWD, where->path, 0))
                        fprintf(w->list, "! %s%c", where->path, '\0');
                return 0;
        case KILN_WATCH_NAMES:
                wd = watch(w, where->path, IN_CREATE | IN_DELETE);
                if (wd >= 0)
                        list_watch(w, wd, where->path);
                return wd < 0 ? wd : 0;
        case KILN_WATCH_ROOT:
                break;
        }
        return watch_root(w, where->path);
}

int observe_start(struct setup *u)
{
        struct message m = {.kind = MESSAGE_OBSERVE};
        struct walk w = {.u = u};
        _file_ FILE *list = NULL;
        int n;

        if (u->s->n_observe == 0)
                return 0;
        _fd_ int inotify_fd = TRY(u->hook, &u->err, "watch files", inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
        if (inotify_fd < 0)
                return inotify_fd;
        _fd_ int list_fd = TRY(u->hook, &u->err, "watch files", memfd_create("watches", MFD_CLOEXEC));
        if (list_fd < 0)
                return list_fd;
        _fd_ int copy = TRY(u->hook, &u->err, "watch files", fcntl(list_fd, F_DUPFD_CLOEXEC, 3));
        if (copy < 0)
                return copy;
        list = fdopen(copy, "w");
        if (!list)
                return step_fail(&u->err, "watch files", errno, "no memory");
        copy = -1; /* the stream's */
        w.inotify_fd = inotify_fd;
        w.list = list;
        for (size_t i = 0; i < u->s->n_observe; i++)
                if ((n = watch_one(&w, &u->s->observe[i])) < 0)
                        return n;
        if (fflush(list) != 0 || ferror(list))
                return step_fail(&u->err, "watch files", errno, "cannot write the list");
        n = message_send(u->control_fd, &m, (const int[]){inotify_fd, list_fd}, 2);
        return n < 0 ? step_fail(&u->err, "watch files", -n, "cannot hand over the watches") : 0;
}
