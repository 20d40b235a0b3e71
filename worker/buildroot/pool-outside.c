/* A pool as the rest of kiln sees it: a process that solves (pool-inside.c), and what that asks for
 * meanwhile. Only this side has the network, the store and the cache; what the other says is read as hostile
 * input. */
#include "worker/base/clock.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/buildroot/pool-inside.h"
#include "worker/buildroot/poolwire.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <solv/solvversion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define DOING "finding packages with"
#define WARNINGS_MAX 100 /* a repository has one */

struct kiln_pool {
        const struct kiln_context *context;
        struct kiln_store *store;
        const struct kiln_toolchain *toolchain;
        struct metadata *metadata; /* sorted by the repositories' ids */
        size_t n_metadata, n_warnings;
        pid_t pid;
        int fd; /* -1: it has failed, and is not asked again */
        struct pool_until until;
};

static int compare_ids(const void *a, const void *b)
{
        const struct kiln_repository *const *x = a, *const *y = b;

        return strcmp((*x)->id, (*y)->id);
}

static int metadata_open_all(struct kiln_pool *p, struct kiln_error *err)
{
        const struct kiln_toolchain *t = p->toolchain;
        _cleanup_free_ const struct kiln_repository **sorted =
                kiln_calloc(t->n_repositories + 1, sizeof(*sorted));
        int r = 0;

        for (size_t i = 0; i < t->n_repositories; i++)
                sorted[i] = &t->repositories[i];
        qsort(sorted, t->n_repositories, sizeof(*sorted), compare_ids);
        p->metadata = kiln_calloc(t->n_repositories + 1, sizeof(*p->metadata));
        for (size_t i = 0; r == 0 && i < t->n_repositories; i++) {
                r = kiln_context_check(p->context, "reading repositories", err);
                if (r == 0)
                        r = metadata_open(p->context, p->store, t, sorted[i], &p->metadata[i], err);
                p->n_metadata += r == 0;
        }
        return r;
}

/* ---- the .solv files ------------------------------------------------------------------------------------
 */

static char *cache_name(const struct metadata *m)
{
        char hex[KILN_DIGEST_HEX + 1];

        kiln_digest_to_hex(&m->repomd_sha256, hex);
        return kiln_asprintf("%s-%d-%d.solv", hex, SOLVCACHE_FORMAT,
                solv_version_major * 10000 + solv_version_minor * 100 + solv_version_patch);
}

static int cache_dir(const struct kiln_context *c)
{
        _cleanup_free_ char *path = kiln_path_join(c->cache_dir, "solv");

        return kiln_dir_make(AT_FDCWD, path, 0755);
}

static int cache_open(const struct kiln_pool *p, const struct metadata *m)
{
        _cleanup_free_ char *name = cache_name(m);
        _cleanup_close_ int dir_fd = cache_dir(p->context);
        struct timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
        int fd = dir_fd < 0 ? -1 : openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        if (fd >= 0)
                (void)futimens(
                        fd, times); /* for collection; another user's file is merely collected earlier */
        return fd;
}

/* The file lies in memory, and whoever gave it to us can still change it: it has a digest of its own, which
 * is looked at whenever it is used. */
static void cache_keep(const struct kiln_pool *p, const struct metadata *m, int fd)
{
        _cleanup_free_ char *name = cache_name(m);
        _cleanup_close_ int dir_fd = cache_dir(p->context);
        _cleanup_buf_ struct kiln_buf bytes = KILN_BUF_INIT;

        /* not kept: made again next time */
        if (dir_fd >= 0 && lseek(fd, 0, SEEK_SET) == 0 && kiln_fd_read(fd, SOLVCACHE_BYTES_MAX, &bytes) == 0)
                (void)kiln_file_write(dir_fd, name, bytes.data, bytes.len, 0644);
}

/* ---- the process ----------------------------------------------------------------------------------------
 */

/* How it ended, when nobody asked it to. */
static int pool_end(struct kiln_pool *p, struct kiln_error *err)
{
        int status = 0;

        close(TAKE_FD(p->fd));
        kill(p->pid, SIGKILL);
        while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
                ;
        p->pid = -1;
        if (!err)
                return -EIO;
        if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGABRT)
                kiln_error_set(err, KILN_INFRA, 0, DOING, "the solver",
                        "its process was ended by signal %d (%s)", WTERMSIG(status),
                        strsignal(WTERMSIG(status)));
        else if (WIFSIGNALED(status) ? WTERMSIG(status) == SIGABRT : WEXITSTATUS(status) == KILN_INFRA)
                kiln_error_set(err, KILN_INFRA, 0, DOING, "the solver",
                        "its process gave up: it may take %u MiB of memory, or found itself broken",
                        (unsigned)(POOL_MEMORY_BYTES >> 20));
        else
                kiln_error_set(
                        err, KILN_INFRA, 0, DOING, "the solver", "its process ended without an answer");
        kiln_error_advise(err,
                "A repository's metadata, or what the package requires, may have been made to break it.");
        return -EIO;
}

static int pool_broken(struct kiln_pool *p, int r, struct kiln_error *err)
{
        if (r == -ECANCELED) {
                pool_end(p, NULL);
                kiln_error_set(err, KILN_CANCELLED, 0, DOING, "the solver", "cancelled");
                return -ECANCELED;
        }
        if (r == -EPIPE || r == -ECONNRESET)
                return pool_end(p, err);
        pool_end(p, NULL);
        if (r == -ETIMEDOUT)
                return kiln_error_set(err, KILN_INFRA, 0, DOING, "the solver",
                        "its process had no answer after %d minutes", POOL_ANSWER_S / 60);
        return kiln_error_set(
                err, KILN_INFRA, -r, DOING, "the solver", "what its process said makes no sense");
}

static int take_failure(const struct pool_message *m, const struct kiln_buf *text, struct kiln_error *err)
{
        _cleanup_strv_ char **said = pool_strings(text);

        if (kiln_strv_length(said) != 4 || m->number == KILN_OK || m->number > KILN_CANCELLED)
                return -EPROTO;
        kiln_error_set(
                err, (enum kiln_verdict)m->number, 0, said[0], *said[1] ? said[1] : NULL, "%s", said[2]);
        if (*said[3])
                kiln_error_advise(err, "%s", said[3]);
        return -EIO;
}

/* Its time for the next answer begins. */
static void pool_start_clock(struct kiln_pool *p)
{
        p->until = (struct pool_until){
                p->context->cancel_fd, kiln_clock_ns() + (uint64_t)POOL_ANSWER_S * UINT64_C(1000000000)};
}

/* A file that it asked for. The time to fetch it is not its own. */
static int give_file(struct kiln_pool *p, const struct pool_message *m, struct kiln_error *err)
{
        const struct metadata *from = &p->metadata[m->number];
        _cleanup_close_ int fd = -1;
        uint64_t before = kiln_clock_ns();
        int r = 0;

        if (m->kind == POOL_CACHED)
                fd = cache_open(p, from);
        else
                r = m->kind == POOL_PRIMARY
                            ? metadata_fetch(from, p->store, &from->repomd.primary, "primary", &fd, err)
                            : metadata_fetch(from, p->store, &from->repomd.filelists, "filelists", &fd, err);
        if (r < 0) {
                pool_end(p, NULL);
                return r;
        }
        p->until.deadline_ns += kiln_clock_ns() - before;
        r = pool_send(p->fd, &p->until, POOL_FILE, 0, NULL, fd);
        return r < 0 ? pool_broken(p, r, err) : 0;
}

/* Serves it until it has an answer. */
static int pool_wait(struct kiln_pool *p, struct kiln_buf *text, struct kiln_error *err)
{
        for (;;) {
                _cleanup_close_ int fd = -1;
                struct pool_message m;
                int r = pool_receive(p->fd, &p->until, &m, text, &fd);

                if (r < 0)
                        return pool_broken(p, r, err);
                switch (m.kind) {
                case POOL_CACHED:
                case POOL_PRIMARY:
                case POOL_FILELISTS:
                        r = m.number < p->n_metadata ? give_file(p, &m, err) : pool_broken(p, -EPROTO, err);
                        if (r < 0)
                                return r;
                        break;
                case POOL_KEEP:
                        if (m.number >= p->n_metadata || fd < 0)
                                return pool_broken(p, -EPROTO, err);
                        cache_keep(p, &p->metadata[m.number], fd);
                        break;
                case POOL_WARN:
                        if (++p->n_warnings <= WARNINGS_MAX)
                                kiln_sink_warning(&p->context->sink, "%s", kiln_buf_str(text));
                        break;
                case POOL_ANSWER:
                        return 0;
                case POOL_FAILED:
                        r = take_failure(&m, text, err);
                        return r == -EPROTO ? pool_broken(p, r, err) : r;
                default:
                        return pool_broken(p, -EPROTO, err);
                }
        }
}

int kiln_pool_open(const struct kiln_context *c, struct kiln_store *s, const struct kiln_toolchain *t,
        struct kiln_pool **ret, struct kiln_error *err)
{
        _cleanup_(kiln_pool_freep) struct kiln_pool *p = kiln_calloc(1, sizeof(*p));
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        pid_t parent = getpid();
        int pair[2], r;

        *p = (struct kiln_pool){.context = c, .store = s, .toolchain = t, .pid = -1, .fd = -1};
        r = metadata_open_all(p, err);
        if (r < 0)
                return r;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return kiln_error_set(
                        err, KILN_INFRA, errno, "starting", "the solver", "cannot make a socket");
        fflush(stdout);
        p->fd = pair[0];
        p->pid = fork();
        if (p->pid == 0)
                pool_inside(pair[1], parent, t, p->metadata, p->n_metadata);
        close(pair[1]);
        if (p->pid < 0) {
                close(TAKE_FD(p->fd));
                return kiln_error_set(err, KILN_INFRA, errno, "starting", "the solver", "cannot fork");
        }
        pool_start_clock(p);
        r = pool_wait(p, &text, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

void kiln_pool_free(struct kiln_pool *p)
{
        if (!p)
                return;
        if (p->fd >= 0)
                pool_end(p, NULL);
        for (size_t i = 0; i < p->n_metadata; i++)
                metadata_clear(&p->metadata[i]);
        free(p->metadata);
        free(p);
}

static int pool_ask(struct kiln_pool *p, enum pool_message_kind kind, uint32_t number, struct kiln_buf *text,
        int fd, struct kiln_error *err)
{
        int r = p->fd < 0 ? -EPIPE : pool_send(p->fd, &p->until, kind, number, text, fd);

        if (p->fd < 0)
                return kiln_error_set(
                        err, KILN_INFRA, 0, DOING, "the solver", "its process has ended before");
        return r < 0 ? pool_broken(p, r, err) : 0;
}

/* Its lock may choose packages, and say nothing else of its own. */
static bool lock_is_of(const struct kiln_pool *p, const struct kiln_lock *l)
{
        if (strcmp(l->toolchain, p->toolchain->name) != 0 || strcmp(l->arch, p->toolchain->arch) != 0 ||
                !kiln_digest_equal(&l->toolchain_digest, &p->toolchain->digest) ||
                l->n_repositories != p->n_metadata)
                return false;
        for (size_t i = 0; i < p->n_metadata; i++)
                if (strcmp(l->repositories[i].id, p->metadata[i].repository->id) != 0 ||
                        strcmp(l->repositories[i].base_url, repository_name_url(p->metadata[i].repository)) !=
                                0 ||
                        !kiln_digest_equal(&l->repositories[i].repomd_sha256, &p->metadata[i].repomd_sha256))
                        return false;
        return true;
}

int kiln_pool_solve(
        struct kiln_pool *p, const struct kiln_solve *q, struct kiln_lock **ret, struct kiln_error *err)
{
        _cleanup_(kiln_lock_freep) struct kiln_lock *lock = NULL;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        uint32_t n_conflicts = 0;
        int r;

        pool_put(&text, q->wanted_by ? q->wanted_by : "the request");
        for (const char *const *s = q->requires; s && *s; s++)
                pool_put(&text, *s);
        for (const char *const *s = q->conflicts; s && *s; s++, n_conflicts++)
                pool_put(&text, *s);
        pool_start_clock(p);
        r = pool_ask(p, POOL_SOLVE, n_conflicts, &text, -1, err);
        if (r == 0)
                r = pool_wait(p, &text, err);
        if (r == 0)
                r = kiln_lock_parse(kiln_buf_str(&text), text.len, "what the solver found", &lock, err);
        if (r == 0 && !lock_is_of(p, lock))
                r = pool_broken(p, -EPROTO, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(lock);
        return 0;
}

int kiln_pool_installable(struct kiln_pool *p, const int *rpm_fds, const char *const *names, size_t n,
        char ***ret_problems, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        int r = 0;

        pool_start_clock(p);
        for (size_t i = 0; r == 0 && i < n; i++) {
                kiln_buf_reset(&text);
                kiln_buf_puts(&text, names[i]);
                r = pool_ask(p, POOL_PACKAGE, 0, &text, rpm_fds[i], err);
        }
        kiln_buf_reset(&text);
        if (r == 0)
                r = pool_ask(p, POOL_INSTALLABLE, (uint32_t)n, &text, -1, err);
        if (r == 0)
                r = pool_wait(p, &text, err);
        if (r < 0)
                return r;
        *ret_problems = pool_strings(&text);
        return 0;
}
