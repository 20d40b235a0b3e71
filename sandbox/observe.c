/* See observe.h: the caller's side, which reads what PID 1 wrote down and what the kernel tells. */
#include "sandbox/observe.h"
#include "sandbox/util.h"

#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#define WATCHES_MAX ((size_t)1 << 22)

/* "12 /usr/bin": into paths[12]. */
static int list_line(struct observation *o, const struct kiln_sandbox *s, char *line)
{
        char *end;
        unsigned long wd;

        if ((line[0] == '+' || line[0] == '!') && line[1] == ' ') {
                s->seen(s->seen_ctx, line[0] == '+' ? KILN_SEEN_THERE : KILN_SEEN_CUT, line + 2);
                return 0;
        }
        wd = strtoul(line, &end, 10);
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

int observe_take(struct observation *o, const struct kiln_sandbox *s, int inotify_fd, int list_fd)
{
        struct stat st;
        size_t size = 0;
        int n = 0;

        if (fstat(list_fd, &st) < 0)
                return -errno;
        if (st.st_size < 0 || (size_t)st.st_size > OBSERVE_LIST_BYTES_MAX)
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
                n = list_line(o, s, line);
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
        if (snprintf(path, sizeof path, "%s/%s", o->paths[e->wd], e->name) >= (int)sizeof path)
                o->lost = true;
        else
                s->seen(s->seen_ctx,
                        e->mask & IN_CREATE   ? KILN_SEEN_MADE
                        : e->mask & IN_DELETE ? KILN_SEEN_REMOVED
                                              : KILN_SEEN_OPENED,
                        path);
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
