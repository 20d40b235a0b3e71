/* Solves against repositories given as URLs and says how long each step took and how much memory it needed.
 *
 *     bench-solve [-f] [-k KEYFILE] CACHE ARCH[,ARCH…] CORE[,CORE…] URL[,URL…] [REQUIREMENT…]
 *
 * The lock goes to stdout, times to stderr. -f: also fetch and check the packages. */
#include "worker/buildroot/solve.h"
#include "worker/base/buf.h"
#include "worker/base/clock.h"
#include "worker/base/mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static char **split(const char *text)
{
        char **out = kiln_calloc(1, sizeof(*out));
        _cleanup_free_ char *copy = kiln_strdup(text);

        for (char *save, *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save))
                kiln_strv_append(&out, p);
        return out;
}

static void lap(const char *what, uint64_t *begin)
{
        uint64_t now = kiln_clock_ns();

        fprintf(stderr, "%-8s %8.1f ms\n", what, (double)(now - *begin) / 1e6);
        *begin = kiln_clock_ns();
}

static int stop(const struct kiln_error *err)
{
        _cleanup_free_ char *text = kiln_error_format(err);

        fprintf(stderr, "%s: %s\n", kiln_verdict_name(err->verdict), text);
        return (int)err->verdict;
}

static void on_event(void *ctx, const struct kiln_event *e)
{
        if (e->kind == KILN_EVENT_NOTE || e->kind == KILN_EVENT_WARNING)
                fprintf(stderr, "%s\n", e->text);
}

int main(int argc, char **argv)
{
        struct kiln_context c = {.cancel_fd = -1, .sink.emit = on_event};
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_(kiln_store_closep) struct kiln_store *s = NULL;
        _cleanup_(kiln_pool_freep) struct kiln_pool *p = NULL;
        _cleanup_(kiln_lock_freep) struct kiln_lock *l = NULL;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        struct kiln_toolchain t = {.name = (char *)"bench", .digest = {{1}}};
        struct kiln_repository repositories[16] = {0};
        bool fetch = argc > 1 && strcmp(argv[1], "-f") == 0;
        _cleanup_strv_ char **urls = NULL, **boot = NULL;
        struct kiln_solve q = {.wanted_by = "bench-1-1"};
        struct rusage usage;
        uint64_t begin = kiln_clock_ns();

        argv += fetch;
        argc -= fetch;
        if (argc < 5)
                return 2;
        c.cache_dir = argv[1];
        t.compatible_arches = split(argv[2]);
        t.arch = t.compatible_arches[0];
        t.core = split(argv[3]);
        boot = split("rpm");
        t.bootstrap = boot;
        urls = split(argv[4]);
        for (size_t i = 0; urls[i] && i < 16; i++) {
                struct kiln_repository *r = &repositories[t.n_repositories++];

                r->id = kiln_asprintf("repo%zu", i);
                r->base_urls = kiln_calloc(2, sizeof(char *));
                r->base_urls[0] = urls[i];
                r->priority = 99;
                r->unsigned_packages = true;
        }
        t.repositories = repositories;
        q.requires = (const char *const *)argv + 5;
        if (kiln_store_open(&c, &s, &err) < 0 || kiln_pool_open(&c, s, &t, &p, &err) < 0)
                return stop(&err);
        lap("open", &begin);
        if (kiln_pool_solve(p, &q, &l, &err) < 0)
                return stop(&err);
        lap("solve", &begin);
        if (fetch && kiln_lock_fetch(&c, s, &t, l, &err) < 0)
                return stop(&err);
        lap("fetch", &begin);
        kiln_pool_free(TAKE_PTR(p)); /* its process is accounted for when it has ended */
        kiln_lock_write(l, &text);
        fwrite(text.data, 1, text.len, stdout);
        getrusage(RUSAGE_CHILDREN, &usage);
        fprintf(stderr, "packages %zu, peak %ld MiB\n", l->n_packages, usage.ru_maxrss / 1024);
        return 0;
}
