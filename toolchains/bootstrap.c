/* The bootstrap repository from its beginning to its end: see bootstrap.h for the steps. Runs the host's apt
 * and dpkg-deb and, from the downloaded packages, rpmbuild, createrepo_c and perl, on packages apt has
 * verified and on our own specs only. */
#include "toolchains/bootstrap.h"

#include "worker/base/clock.h"
#include "worker/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

void bootstrap_clear(struct bootstrap *b)
{
        for (size_t i = 0; i < b->n_debs; i++) {
                struct deb *d = &b->debs[i];
                char *strings[] = {d->file, d->name, d->version, d->arch, d->summary, d->depends,
                        d->pre_depends, d->provides};

                for (size_t k = 0; k < KILN_ARRAY_SIZE(strings); k++)
                        free(strings[k]);
                kiln_strv_free(d->requires);
        }
        free(b->debs);
        free(b->dir);
        free(b->debs_dir);
        free(b->work_dir);
        free(b->rpms_dir);
        free(b->tools_dir);
        kiln_strv_free(b->rpms);
        bootstrap_table_clear(&b->t);
        pthread_mutex_destroy(&b->lock);
}

/* Makes the directories and takes the lock that keeps a second bootstrap of this user out. */
static int open_dirs(struct bootstrap *b, int *ret_lock_fd, struct kiln_error *err)
{
        _cleanup_free_ char *lock = kiln_path_join(b->dir, "lock");
        const char *dirs[] = {b->dir, b->work_dir, b->rpms_dir};
        _cleanup_close_ int fd = -1;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(dirs); i++) {
                int d = kiln_dir_make(AT_FDCWD, dirs[i], 0755);

                if (d < 0)
                        return kiln_error_set(
                                err, KILN_INFRA, -d, BOOTSTRAP_DOING, dirs[i], "cannot make the directory");
                close(d);
        }
        fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
                return kiln_error_set(err, KILN_INFRA, errno, BOOTSTRAP_DOING, lock, "cannot open it");
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                kiln_sink_note(&b->c->sink, "Another bootstrap is running; waiting for it.");
                while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                        int r = kiln_context_check(b->c, BOOTSTRAP_DOING, err);

                        if (r < 0)
                                return r;
                        usleep(200000);
                }
        }
        *ret_lock_fd = TAKE_FD(fd);
        return 0;
}

static int run_steps(struct bootstrap *b, const struct kiln_bootstrap_signer *signer, struct kiln_error *err)
{
        int r = bootstrap_apt_fetch(b, err);

        if (r == 0)
                r = bootstrap_control_read(b, err);
        if (r == 0)
                r = bootstrap_tools_prepare(b, err);
        if (r == 0)
                r = bootstrap_convert(b, err);
        if (r == 0)
                r = bootstrap_repo_make(b, signer, err);
        if (r == 0)
                r = kiln_tree_remove(AT_FDCWD, b->work_dir);
        return r;
}

int kiln_toolchain_bootstrap(const struct kiln_context *c, const struct kiln_bootstrap_signer *signer,
        bool force, struct kiln_error *err)
{
        _cleanup_(bootstrap_clear) struct bootstrap b = {.c = c, .lock = PTHREAD_MUTEX_INITIALIZER};
        _cleanup_close_ int lock_fd = -1;
        uint64_t start = kiln_clock_ns();
        int r;

        b.dir = kiln_path_join(c->cache_dir, "bootstrap");
        b.debs_dir = kiln_path_join(b.dir, "apt/archives");
        b.work_dir = kiln_path_join(b.dir, "work");
        b.rpms_dir = kiln_path_join(b.dir, "converted");
        r = bootstrap_table_load(&b, err);
        if (r == 0)
                r = open_dirs(&b, &lock_fd, err);
        if (r < 0)
                return r;
        if (!force && bootstrap_repo_is_current(&b, signer)) {
                kiln_sink_note(&c->sink, "The bootstrap repository is up to date: %s/repo", b.dir);
                return 0;
        }
        if (c->offline) {
                kiln_error_set(err, KILN_REFUSED, 0, BOOTSTRAP_DOING, b.dir,
                        "it must download packages, and --offline forbids it");
                return -ENETUNREACH;
        }
        kiln_sink_phase_start(&c->sink, BOOTSTRAP_PHASE);
        r = run_steps(&b, signer, err);
        kiln_sink_phase_end(
                &c->sink, BOOTSTRAP_PHASE, kiln_clock_ns() - start, r < 0 && err ? (int)err->verdict : 0);
        return r;
}
