/* See observe.h: the watches in PID 1, their events in the caller. */
#include "sandbox/observe.h"
#include "sandbox/util.h"

#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* The list that crosses: for each watch its descriptor and a path, "12 /usr/bin\0". */
#define LIST_BYTES_MAX ((size_t)64 << 20)
#define WATCHES_MAX ((size_t)1 << 22)

static void fts_closep(FTS **f)
{
        if (*f)
                fts_close(*f);
}

static bool is_writable(const struct kiln_sandbox *s, const char *path)
{
        for (const char *const *w = s->writable; w && *w; w++)
                if (strcmp(*w, path) == 0)
                        return true;
        return false;
}

/* Mounts are not entered: what they hold is not the root's. */
static int watch_tree(struct setup *u, int inotify_fd, const char *top, FILE *list)
{
        char *const tops[] = {(char *)(uintptr_t)top, NULL};
        _cleanup_(fts_closep) FTS *walk = fts_open(tops, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
        struct stat st;
        FTSENT *e;

        if (!walk || stat(top, &st) < 0)
                return step_fail(&u->err, "watch files", errno, "cannot walk %s", top);
        while (errno = 0, (e = fts_read(walk)) != NULL) {
                int wd;

                if (e->fts_info != FTS_D)
                        continue;
                if (is_writable(u->s, e->fts_path) || e->fts_statp->st_dev != st.st_dev) {
                        fts_set(walk, e, FTS_SKIP);
                        continue;
                }
                wd = TRY(u->hook, &u->err, "watch files",
                        inotify_add_watch(inotify_fd, e->fts_accpath, IN_OPEN | IN_ONLYDIR | IN_DONT_FOLLOW));
                if (wd < 0)
                        return wd;
                fprintf(list, "%d %s%c", wd, strcmp(e->fts_path, "/") == 0 ? "" : e->fts_path, '\0');
        }
        if (errno != 0)
                return step_fail(&u->err, "watch files", errno, "cannot walk %s", top);
        return 0;
}

int observe_start(struct setup *u)
{
        struct message m = {.kind = MESSAGE_OBSERVE};
        _file_ FILE *list = NULL;
        int n;

        if (!u->s->observe)
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
        for (const char *const *top = u->s->observe; *top; top++)
                if ((n = watch_tree(u, inotify_fd, *top, list)) < 0)
                        return n;
        if (fflush(list) != 0)
                return step_fail(&u->err, "watch files", errno, "cannot write the list");
        n = message_send(u->control_fd, &m, (const int[]){inotify_fd, list_fd}, 2);
        return n < 0 ? step_fail(&u->err, "watch files", -n, "cannot hand over the watches") : 0;
}

/* "12 /usr/bin": into paths[12]. */
static int list_line(struct observation *o, char *line)
{
        char *end;
        unsigned long wd = strtoul(line, &end, 10);

        if (end == line || *end != ' ' || wd >= WATCHES_MAX)
                return -EPROTO;
        if (wd >= o->n_paths) {
                size_t n = wd + 1024;
                char **more = realloc(o->paths, n * sizeof *more);

                if (!more)
                        return -ENOMEM;
                memset(more + o->n_paths, 0, (n - o->n_paths) * sizeof *more);
                o->paths = more;
                o->n_paths = n;
        }
        o->paths[wd] = end + 1;
        return 0;
}

int observe_take(struct observation *o, int inotify_fd, int list_fd)
{
        struct stat st;
        size_t size = 0;
        int n = 0;

        if (fstat(list_fd, &st) < 0)
                return -errno;
        if (st.st_size < 0 || (size_t)st.st_size > LIST_BYTES_MAX)
                return -EFBIG;
        o->text = malloc((size_t)st.st_size + 1);
        if (!o->text)
                return -ENOMEM;
        while (size < (size_t)st.st_size) {
                ssize_t got = pread(list_fd, o->text + size, (size_t)st.st_size - size, (off_t)size);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got <= 0)
                        return got < 0 ? -errno : -EPROTO;
                size += (size_t)got;
        }
        o->text[size] = '\0';
        for (char *line = o->text; n == 0 && line < o->text + size; line += strlen(line) + 1)
                n = list_line(o, line);
        if (n < 0)
                return n;
        close(list_fd);
        o->fd = inotify_fd;
        return 0;
}

static void event_pass(struct observation *o, const struct kiln_sandbox *s, const struct inotify_event *e)
{
        char path[PATH_MAX];

        if (e->mask & IN_Q_OVERFLOW)
                o->lost = true;
        if (e->len == 0 || e->mask & IN_ISDIR || e->wd < 0 || (size_t)e->wd >= o->n_paths || !o->paths[e->wd])
                return;
        if (snprintf(path, sizeof path, "%s/%s", o->paths[e->wd], e->name) < (int)sizeof path)
                s->opened(s->opened_ctx, path);
        else
                o->lost = true;
}

bool observe_read(struct observation *o, const struct kiln_sandbox *s)
{
        _Alignas(struct inotify_event) char buffer[65536];
        ssize_t n = o->fd < 0 ? -1 : read(o->fd, buffer, sizeof buffer);
        size_t len;

        for (ssize_t at = 0; at < n; at += (ssize_t)(sizeof(struct inotify_event) + len)) {
                const struct inotify_event *e = (const void *)(buffer + at);

                len = e->len;
                event_pass(o, s, e);
        }
        return n > 0;
}

void observe_clear(struct observation *o)
{
        sandbox_close(&o->fd);
        free(o->text);
        free(o->paths);
        *o = (struct observation){.fd = -1};
}
