#include "worker/verify/batch.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/base/process.h"
#include "worker/source/rpmlayout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define DOING "verifying"
#define JOBS_MAX 256
/* What one group may take: twenty times the largest envelope that is read. A file that wants more brings
 * down the process that reads it, and neither the others nor the host. */
#define MEMORY_BYTES (UINT64_C(8) << 30)
#define RESULT_MAX (UINT32_C(64) << 20) /* bytes of one group's JSON */

enum { TAG_NAME = 1000, TAG_VERSION = 1001, TAG_RELEASE = 1002, TAG_SOURCERPM = 1044 };

struct file {
        char *directory, *nvr, *path;
        bool listed; /* found in a directory that was named */
};

struct batch {
        const struct kiln_context *context;
        const struct kiln_verify_options *options;
        struct file *files;
        size_t n_files;
        struct kiln_verify_group *groups;
        json_t **results; /* parallel to groups */
        size_t n_groups, n_done;
        _Atomic size_t *next; /* shared with the workers: the group that is to be judged next */
};

static void batch_clear(struct batch *b)
{
        for (size_t i = 0; i < b->n_files; i++) {
                free(b->files[i].directory);
                free(b->files[i].nvr);
                free(b->files[i].path);
        }
        for (size_t i = 0; i < b->n_groups; i++) {
                free(b->groups[i].files); /* paths are the files' */
                if (b->results && b->results[i])
                        json_decref(b->results[i]);
        }
        free(b->files);
        free(b->groups);
        free(b->results);
        if (b->next)
                munmap(b->next, sizeof(*b->next));
}

/* ---- groups ------------------------------------------------------------------------------------------ */

static char *tag_string(const struct kiln_rpm_layout *l, uint32_t tag)
{
        const char *s = kiln_rpm_value_string(l->head + l->header_offset, l->header_bytes, tag);

        return s ? kiln_strdup(s) : NULL;
}

/* Name-version-release of the source package, which names the attestations; not vouched for yet, so only
 * what can be part of a file name. NULL: there is none. */
static char *source_nvr(const char *path)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        _cleanup_layout_ struct kiln_rpm_layout l = {0};
        _cleanup_free_ char *source = NULL, *name = NULL, *version = NULL, *release = NULL, *nvr = NULL;
        char *end;

        if (fd < 0 || kiln_rpm_layout_read(fd, path, &l, NULL) < 0)
                return NULL;
        source = tag_string(&l, TAG_SOURCERPM);
        end = source ? strstr(source, ".src.rpm") : NULL;
        end = source && !end ? strstr(source, ".nosrc.rpm") : end;
        if (end) {
                *end = '\0';
                nvr = TAKE_PTR(source);
        } else {
                name = tag_string(&l, TAG_NAME);
                version = tag_string(&l, TAG_VERSION);
                release = tag_string(&l, TAG_RELEASE);
                nvr = name && version && release ? kiln_asprintf("%s-%s-%s", name, version, release) : NULL;
        }
        if (!nvr || !*nvr || *nvr == '.' || strlen(nvr) > 200 || strpbrk(nvr, "/@\n"))
                return NULL;
        return TAKE_PTR(nvr);
}

static void add_file(struct batch *b, const char *directory, const char *path, bool listed)
{
        char *nvr = source_nvr(path);

        /* What has no name is a group of its own, and is refused there. */
        *KILN_APPEND(b->files, b->n_files) = (struct file){kiln_strdup(directory),
                nvr ? nvr : kiln_strdup(kiln_path_base(path)), kiln_strdup(path), listed};
}

static int add_directory(struct batch *b, const char *path, struct kiln_error *err)
{
        DIR *dir = opendir(path);
        struct dirent *entry;

        if (!dir)
                return kiln_error_set(err, KILN_BAD_INPUT, errno, DOING, path, "cannot open the directory");
        while ((entry = readdir(dir))) {
                size_t n = strlen(entry->d_name);
                _cleanup_free_ char *file = NULL;

                if (n < 5 || entry->d_name[0] == '.' || strcmp(entry->d_name + n - 4, ".rpm") != 0)
                        continue;
                file = kiln_path_join(path, entry->d_name);
                add_file(b, path, file, true);
        }
        closedir(dir);
        return 0;
}

static int add_path(struct batch *b, const char *path, struct kiln_error *err)
{
        const char *base = kiln_path_base(path);
        _cleanup_free_ char *directory = NULL;
        struct stat st;

        if (stat(path, &st) < 0)
                return kiln_error_set(err, KILN_BAD_INPUT, errno, DOING, path, "cannot be read");
        if (S_ISDIR(st.st_mode))
                return add_directory(b, path, err);
        directory = base == path ? kiln_strdup(".") : kiln_strndup(path, (size_t)(base - path));
        add_file(b, directory, path, false);
        return 0;
}

static int compare_files(const void *a, const void *b)
{
        const struct file *x = a, *y = b;
        int c = strcmp(x->directory, y->directory);

        if (c == 0)
                c = strcmp(x->nvr, y->nvr);
        if (c == 0)
                c = strcmp(x->path, y->path);
        return c ? c : y->listed - x->listed;
}

static void make_groups(struct batch *b)
{
        struct kiln_verify_group *g = NULL;

        qsort(b->files, b->n_files, sizeof(*b->files), compare_files);
        for (size_t i = 0; i < b->n_files; i++) {
                const struct file *f = &b->files[i], *before = i > 0 ? f - 1 : NULL;
                bool same_directory = before && strcmp(before->directory, f->directory) == 0;
                size_t n;

                if (before && strcmp(before->path, f->path) == 0)
                        continue; /* named twice */
                if (!same_directory || strcmp(before->nvr, f->nvr) != 0) {
                        if (g && same_directory)
                                g->alone = false;
                        g = KILN_APPEND(b->groups, b->n_groups);
                        *g = (struct kiln_verify_group){.directory = f->directory,
                                .nvr = f->nvr,
                                .alone = !same_directory && f->listed};
                }
                n = kiln_strv_length(g->files);
                g->files = kiln_realloc(g->files, n + 2, sizeof(*g->files));
                g->files[n] = f->path;
                g->files[n + 1] = NULL;
        }
        b->results = kiln_calloc(b->n_groups, sizeof(*b->results));
}

/* ---- workers ----------------------------------------------------------------------------------------- */

struct message {
        uint32_t group, len;
};

struct worker {
        pid_t pid;
        int fd;
        struct kiln_buf in;
};

/* The file descriptors of a source package with thousands of packages. */
static void raise_file_limit(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                setrlimit(RLIMIT_NOFILE, &limit);
        }
}

static void __attribute__((noreturn)) work(struct batch *b, int fd, pid_t parent)
{
        struct kiln_context quiet = *b->context;
        size_t i;

        quiet.sink = (struct kiln_sink){0}; /* the display is the parent's */
        signal(SIGPIPE, SIG_DFL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(1);
        raise_file_limit();
        if (kiln_process_bound_memory(MEMORY_BYTES) < 0)
                _exit(1);
        while ((i = atomic_fetch_add(b->next, 1)) < b->n_groups) {
                _cleanup_json_ json_t *result = kiln_verify_judge(&quiet, b->options, &b->groups[i]);
                _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
                struct message m;

                kiln_json_canonical(result, &text);
                m = (struct message){(uint32_t)i, (uint32_t)text.len};
                if (text.len > RESULT_MAX || kiln_fd_write(fd, &m, sizeof(m)) < 0 ||
                        kiln_fd_write(fd, text.data, text.len) < 0)
                        _exit(1);
        }
        _exit(0);
}

static int start(struct batch *b, struct worker *w, struct kiln_error *err)
{
        pid_t parent = getpid();
        int pipe_fds[2];

        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return kiln_error_set(err, KILN_INFRA, errno, DOING, NULL, "cannot make a pipe");
        fflush(stdout);
        w->pid = fork();
        if (w->pid == 0)
                work(b, pipe_fds[1], parent);
        close(pipe_fds[1]);
        w->fd = pipe_fds[0];
        return w->pid < 0 ? kiln_error_set(err, KILN_INFRA, errno, DOING, NULL, "cannot fork") : 0;
}

/* Takes whole messages off a worker's output. -EPROTO: it is out of its mind. */
static int take_results(struct batch *b, struct worker *w)
{
        struct message m;

        while (w->in.len >= sizeof(m)) {
                memcpy(&m, w->in.data, sizeof(m));
                if (m.group >= b->n_groups || b->results[m.group] || m.len > RESULT_MAX)
                        return -EPROTO;
                if (w->in.len < sizeof(m) + m.len)
                        return 0;
                if (kiln_json_parse(w->in.data + sizeof(m), m.len, "a result", &b->results[m.group], NULL) <
                        0)
                        return -EPROTO;
                w->in.len -= sizeof(m) + m.len;
                memmove(w->in.data, w->in.data + sizeof(m) + m.len, w->in.len);
                b->n_done++;
                kiln_sink_progress(
                        &b->context->sink, "verify", b->groups[m.group].nvr, b->n_done, b->n_groups);
        }
        return 0;
}

/* Reads once. False: this worker says no more. */
static bool listen_to(struct batch *b, struct worker *w)
{
        char chunk[65536];
        ssize_t n = read(w->fd, chunk, sizeof(chunk));

        if (n < 0 && errno == EINTR)
                return true;
        if (n <= 0)
                return false;
        kiln_buf_append(&w->in, chunk, (size_t)n);
        return take_results(b, w) == 0;
}

static int collect(struct batch *b, struct worker *workers, size_t n, struct kiln_error *err)
{
        _cleanup_free_ struct pollfd *p = kiln_calloc(n + 1, sizeof(*p));
        size_t open = n;

        for (size_t i = 0; i < n; i++)
                p[i] = (struct pollfd){workers[i].fd, POLLIN, 0};
        p[n] = (struct pollfd){b->context->cancel_fd, POLLIN, 0};
        while (open > 0) {
                if (poll(p, n + 1, -1) < 0) {
                        if (errno == EINTR)
                                continue;
                        return kiln_error_set(err, KILN_INFRA, errno, DOING, NULL, "poll failed");
                }
                if (p[n].revents)
                        return kiln_context_check(b->context, DOING, err);
                for (size_t i = 0; i < n; i++)
                        if (p[i].revents && !listen_to(b, &workers[i])) {
                                p[i].fd = -1;
                                open--;
                        }
        }
        return 0;
}

/* Whatever is still running is of no use any more. */
static void end(struct worker *workers, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (workers[i].pid > 0) {
                        kill(workers[i].pid, SIGKILL);
                        while (waitpid(workers[i].pid, NULL, 0) < 0 && errno == EINTR)
                                ;
                }
                if (workers[i].fd >= 0)
                        close(workers[i].fd);
                kiln_buf_clear(&workers[i].in);
        }
}

/* A group whose judge ended before it had a result. */
static json_t *lost(const struct kiln_verify_group *g)
{
        const char *verdict = kiln_verdict_name(KILN_INFRA);
        json_t *packages = json_array();

        for (char **f = g->files; *f; f++) {
                json_t *file = json_string(*f);

                json_array_append_new(packages,
                        json_pack("{s:o, s:s}", "file", file ? file : json_string("?"), "verdict", verdict));
        }
        return json_pack("{s:s, s:s, s:b, s:o, s:[], s:{}, s:[{s:s, s:s, s:n, s:s}]}", "source", g->nvr,
                "verdict", verdict, "complete", 0, "packages", packages, "attestations", "checks", "findings",
                "check", "package", "verdict", verdict, "about", "text",
                "the process that judged it ended before it had a result (out of memory, or one of its files "
                "brought it down)");
}

static unsigned cpus(void)
{
        cpu_set_t set;

        return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static int judge_all(struct batch *b, unsigned jobs, struct kiln_error *err)
{
        size_t n = jobs ? jobs : cpus();
        _cleanup_free_ struct worker *workers = NULL;
        int r = 0;

        n = n > b->n_groups ? b->n_groups : n;
        n = n > JOBS_MAX ? JOBS_MAX : n;
        b->next = mmap(NULL, sizeof(*b->next), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (b->next == MAP_FAILED) {
                b->next = NULL;
                return kiln_error_set(err, KILN_INFRA, errno, DOING, NULL, "cannot map memory");
        }
        workers = kiln_calloc(n, sizeof(*workers));
        for (size_t i = 0; i < n; i++)
                workers[i].fd = -1;
        for (size_t i = 0; r == 0 && i < n; i++)
                r = start(b, &workers[i], err);
        if (r == 0)
                r = collect(b, workers, n, err);
        end(workers, n);
        return r;
}

int kiln_verify_batch(const struct kiln_context *c, const struct kiln_verify_options *o, char *const *paths,
        unsigned jobs, void (*each)(void *ctx, const json_t *result), void *ctx, enum kiln_verdict *ret,
        struct kiln_error *err)
{
        _cleanup_(batch_clear) struct batch b = {.context = c, .options = o};
        enum kiln_verdict worst = KILN_OK;
        int r = 0;

        for (char *const *p = paths; r == 0 && *p; p++)
                r = add_path(&b, *p, err);
        if (r < 0)
                return r;
        if (b.n_files == 0) {
                r = kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, paths[0], "there is no RPM to judge");
                kiln_error_advise(err, "Give RPM files, or directories that have some.");
                return r;
        }
        make_groups(&b);
        r = judge_all(&b, jobs, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < b.n_groups; i++) {
                if (!b.results[i])
                        b.results[i] = lost(&b.groups[i]);
                worst = kiln_verify_worse(worst,
                        kiln_verify_verdict_of(json_string_value(json_object_get(b.results[i], "verdict"))));
                each(ctx, b.results[i]);
        }
        *ret = worst;
        return 0;
}
