/* The same step for every package, on as many threads as there are CPUs. */
#include "toolchains/bootstrap.h"

#include <sched.h>
#include <string.h>

#define THREADS_MAX 8

struct jobs { /* shared by the threads */
        struct bootstrap *b;
        int (*step)(struct bootstrap *b, struct deb *d, struct kiln_error *err);
        bool progress;
        atomic_size_t next;
        atomic_size_t done;
        atomic_bool failed;
        struct kiln_error err; /* the first failure; it and result under b->lock */
        int result;
};

static void *each_thread(void *arg)
{
        struct jobs *j = arg;

        while (!atomic_load(&j->failed)) {
                size_t i = atomic_fetch_add(&j->next, 1), done;
                _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
                int r;

                if (i >= j->b->n_debs)
                        break;
                r = j->step(j->b, &j->b->debs[i], &err);
                pthread_mutex_lock(&j->b->lock);
                if (r < 0 && !atomic_exchange(&j->failed, true)) {
                        j->result = r;
                        j->err = err;
                        err = (struct kiln_error)KILN_ERROR_INIT;
                }
                done = atomic_fetch_add(&j->done, 1) + 1;
                if (j->progress)
                        kiln_sink_progress(
                                &j->b->c->sink, BOOTSTRAP_PHASE, j->b->debs[i].name, done, j->b->n_debs);
                pthread_mutex_unlock(&j->b->lock);
        }
        return NULL;
}

static size_t thread_count(void)
{
        cpu_set_t set;
        int n;

        if (sched_getaffinity(0, sizeof(set), &set) < 0)
                return 1;
        n = CPU_COUNT(&set);
        return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (size_t)n;
}

int bootstrap_each(struct bootstrap *b,
        int (*step)(struct bootstrap *b, struct deb *d, struct kiln_error *err), bool progress,
        struct kiln_error *err)
{
        struct jobs j = {.b = b, .step = step, .progress = progress};
        pthread_t threads[THREADS_MAX];
        size_t n = thread_count(), started = 0;

        while (started < n && pthread_create(&threads[started], NULL, each_thread, &j) == 0)
                started++;
        if (started == 0)
                each_thread(&j);
        for (size_t i = 0; i < started; i++)
                pthread_join(threads[i], NULL);
        if (!atomic_load(&j.failed))
                return 0;
        if (err) {
                kiln_error_clear(err);
                *err = j.err;
        } else {
                kiln_error_clear(&j.err);
        }
        return j.result;
}
