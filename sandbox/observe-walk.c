/* See observe.h: PID 1 walks the directories to watch, and writes down which they are. It still has the
 * power of the namespace's id 0, and nothing hostile runs yet; but what a KILN_WATCH_TREE holds is hostile.
 */
#include "sandbox/observe.h"
#include "sandbox/util.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct walk {
        struct setup *u;
        const struct kiln_sandbox_watch *where;
        dev_t device; /* where's */
        int inotify_fd;
        FILE *list;
        char path[PATH_MAX];       /* of the directory at hand; "" for the root's own */
        size_t dirs, files, bytes; /* of trees */
};

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

static bool is_tree(const struct walk *w)
{
        return w->where->kind == KILN_WATCH_TREE;
}

/* Of w->path. 0 or errno. */
static int watch(struct walk *w)
{
        static const uint32_t masks[] = {[KILN_WATCH_ROOT] = IN_OPEN,
                [KILN_WATCH_TREE] = IN_OPEN | IN_MOVED_FROM,
                [KILN_WATCH_NAMES] = IN_CREATE | IN_DELETE};
        int fault = step_fault(w->u->hook, is_tree(w) ? "watch tree" : "watch files"), wd;

        if (fault > 0)
                return fault;
        wd = inotify_add_watch(w->inotify_fd, w->path[0] ? w->path : "/",
                masks[w->where->kind] | IN_ONLYDIR | IN_DONT_FOLLOW);
        if (wd < 0)
                return errno;
        fprintf(w->list, "%d %s%c", wd, w->path, '\0');
        return 0;
}

static int directory(struct walk *w, int parent_fd, const char *name, unsigned depth);

/* DT_UNKNOWN: it cannot be known, see errno. */
static unsigned char type_of(int dir_fd, const struct dirent *de)
{
        struct stat st;

        if (de->d_type != DT_UNKNOWN)
                return de->d_type;
        return fstatat(dir_fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? DT_UNKNOWN : IFTODT(st.st_mode);
}

/* One name in a directory; w->path is the directory's. 0 or errno. */
static int entry(struct walk *w, int dir_fd, const struct dirent *de, unsigned depth)
{
        size_t len = strlen(w->path), n = strlen(de->d_name);
        unsigned char type = type_of(dir_fd, de);
        int r;

        if (type == DT_UNKNOWN)
                return errno;
        if (type != DT_DIR && !(type == DT_REG && is_tree(w)))
                return 0;
        if (len + 1 + n >= sizeof w->path)
                return ENAMETOOLONG;
        if (is_tree(w) && (w->bytes += len + n + 16) > OBSERVE_TREE_BYTES_MAX)
                return E2BIG;
        if (type == DT_REG) {
                fprintf(w->list, "+ %s/%s%c", w->path, de->d_name, '\0');
                return ++w->files > OBSERVE_TREE_FILES_MAX ? E2BIG : 0;
        }
        w->path[len] = '/';
        memcpy(w->path + len + 1, de->d_name, n + 1);
        r = directory(w, dir_fd, de->d_name, depth + 1);
        w->path[len] = '\0';
        return r;
}

/* The directory `name` in parent_fd, which is w->path, and all below it. Mounts are not entered: what they
 * hold is not the root's. 0 or errno. */
static int directory(struct walk *w, int parent_fd, const char *name, unsigned depth)
{
        _cleanup_(dir_closep) DIR *d = NULL;
        struct dirent *de;
        struct stat st;
        int r = 0;

        if (!is_tree(w) && is_writable(w->u->s, w->path))
                return 0;
        if (depth > OBSERVE_DEPTH_MAX || (is_tree(w) && w->dirs++ >= OBSERVE_TREE_DIRS_MAX))
                return E2BIG;
        /* A link on the way to a tree would have directories of the root watched under other names. */
        _fd_ int fd =
                sandbox_openat2(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, RESOLVE_NO_SYMLINKS);
        if (fd < 0 || fstat(fd, &st) < 0)
                return errno;
        if (depth == 0)
                w->device = st.st_dev;
        if (st.st_dev != w->device)
                return 0;
        r = watch(w);
        d = r ? NULL : fdopendir(fd);
        if (!d)
                return r ? r : errno;
        fd = -1; /* the stream's */
        while (r == 0 && (errno = 0, de = readdir(d)) != NULL)
                if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
                        r = entry(w, dirfd(d), de, depth);
        return r ? r : errno;
}

static int watch_one(struct walk *w, const struct kiln_sandbox_watch *where)
{
        int r;

        w->where = where;
        snprintf(w->path, sizeof w->path, "%s", strcmp(where->path, "/") == 0 ? "" : where->path);
        r = where->kind == KILN_WATCH_NAMES ? watch(w) : directory(w, AT_FDCWD, where->path, 0);
        if (r && is_tree(w)) {
                fprintf(w->list, "! %s%c", where->path, '\0');
                r = 0;
        }
        return r ? step_fail(&w->u->err, "watch files", r, "cannot watch %s", w->path[0] ? w->path : "/") : 0;
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
