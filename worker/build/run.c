/* One run in the sandbox: what it sees, and what became of it. */
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/build/build_private.h"
#include "worker/build/command.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MACROS_DIR "/usr/lib/rpm/macros.d/"

static void build_output(void *ctx, const void *data, size_t len)
{
        struct kiln_build *b = ctx;

        if (b->params->log.write)
                b->params->log.write(b->params->log.ctx, data, len);
        transcript_feed(&b->transcript, data, len);
}

static void build_seen(void *ctx, enum kiln_sandbox_seen what, const char *path)
{
        struct kiln_build *b = ctx;

        observed_event(&b->observed, what, path);
}

static void usage_add(struct kiln_build_usage *u, const struct kiln_sandbox_result *r)
{
        u->user_ns += r->user_ns;
        u->system_ns += r->system_ns;
        u->output_bytes += r->output_bytes;
        if (r->peak_rss_bytes > u->peak_rss_bytes)
                u->peak_rss_bytes = r->peak_rss_bytes;
        if (r->peak_memory_bytes > u->peak_memory_bytes)
                u->peak_memory_bytes = r->peak_memory_bytes;
        if (r->peak_pids > u->peak_pids)
                u->peak_pids = r->peak_pids;
        if (r->peak_disk_bytes > u->peak_disk_bytes)
                u->peak_disk_bytes = r->peak_disk_bytes;
        u->cgroup |= r->cgroup;
        for (size_t i = 0; i < r->n_denied; i++) {
                size_t at = 0;

                while (at < u->n_denied && strcmp(u->denied[at].name, r->denied[i].name) != 0)
                        at++;
                if (at == KILN_ARRAY_SIZE(u->denied))
                        continue;
                if (at == u->n_denied)
                        u->denied[u->n_denied++] = (struct kiln_sandbox_denied){{0}, 0};
                memcpy(u->denied[at].name, r->denied[i].name, sizeof(u->denied[at].name));
                u->denied[at].count += r->denied[i].count;
        }
}

void build_run_clear(struct build_run *run)
{
        for (size_t i = 0; i < MOUNTS_MAX; i++) {
                kiln_closep(&run->fds[i]);
                free(run->targets[i]);
        }
        kiln_closep(&run->upper_fd);
        kiln_closep(&run->work_fd);
        kiln_strv_free(run->env);
}

static int run_macro_files(struct kiln_build *b, struct build_run *run, struct kiln_error *err)
{
        const struct kiln_toolchain *t = b->params->toolchain;

        for (size_t i = 0; i < t->n_macro_files; i++) {
                struct kiln_sandbox_mount *m = &run->mounts[run->s.n_mounts];
                _cleanup_free_ char *name = kiln_asprintf("macros-%zu", i);
                int fd, r;

                if (run->s.n_mounts == MOUNTS_MAX)
                        return kiln_error_set(err, KILN_BAD_INPUT, 0, "preparing", t->name,
                                "more than %d macro files", MOUNTS_MAX - 1);
                r = kiln_file_write(
                        b->scratch_fd, name, t->macro_files[i].text, strlen(t->macro_files[i].text), 0644);
                fd = r < 0 ? r : openat(b->scratch_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
                if (fd < 0)
                        return kiln_error_set(err, KILN_INFRA, r < 0 ? r : errno, "writing",
                                t->macro_files[i].name, "the toolchain's macros");
                run->fds[run->s.n_mounts] = fd;
                run->targets[run->s.n_mounts] = kiln_asprintf(MACROS_DIR "%s", t->macro_files[i].name);
                *m = (struct kiln_sandbox_mount){
                        .kind = KILN_MOUNT_BIND_RO, .target = run->targets[run->s.n_mounts], .source_fd = fd};
                run->s.n_mounts++;
        }
        return 0;
}

static const char *run_home(const struct kiln_build_view *v)
{
        return v->home ? v->home : KILN_BUILD_HOME;
}

char *build_topdir(const struct kiln_build_params *p, const char *below)
{
        return kiln_asprintf("%s/build%s", run_home(&p->view), below);
}

static void run_view(struct kiln_sandbox *s, const struct kiln_build_view *v)
{
        s->hostname = v->hostname;
        s->domain = v->domain;
        s->kernel_release = v->kernel_release;
        s->umask = v->umask;
        s->fixed_addresses = v->fixed_addresses;
        s->first_pid = v->first_pid;
        s->memory_bytes = v->memory_bytes;
        s->clock_shift_s = v->clock_shift_s;
        s->clock_hold_s = v->clock_hold_s;
}

int build_run_init(
        struct kiln_build *b, const struct kiln_root *root, struct build_run *run, struct kiln_error *err)
{
        static const char *const writable[] = {"/tmp", "/var/tmp", NULL};
        const struct kiln_build_params *p = b->params;
        _cleanup_free_ char *upper = kiln_asprintf("upper-%u", b->runs),
                            *work = kiln_asprintf("work-%u", b->runs);
        struct kiln_sandbox_error serr = {0};

        *run = (struct build_run){.upper_fd = -1, .work_fd = -1};
        for (size_t i = 0; i < MOUNTS_MAX; i++)
                run->fds[i] = -1;
        b->runs++;
        run->upper_fd = b->prep_fd >= 0 ? TAKE_FD(b->prep_fd)
                                        : kiln_idmap_mkdir(&p->idmap, b->scratch_fd, upper, 0, 0, &serr);
        if (run->upper_fd >= 0)
                run->work_fd = kiln_idmap_mkdir(&p->idmap, b->scratch_fd, work, 0, 0, &serr);
        if (run->work_fd < 0)
                return kiln_error_from_sandbox(err, &serr, "making", "a scratch directory");
        kiln_sandbox_init(&run->s);
        run->s.idmap = p->idmap;
        run->s.lower_fds = root->lower_fds;
        run->s.n_lower_fds = root->n_layers;
        run->s.upper_fd = run->upper_fd;
        run->s.work_fd = run->work_fd;
        run->s.upper_volatile = true; /* gone with the scratch directory */
        run->s.uid = run->s.gid = p->view.uid ? p->view.uid : KILN_BUILD_UID;
        run->s.writable = writable;
        run->s.profile = p->profile;
        run->s.nested_mounts = p->nested_mounts;
        run_view(&run->s, &p->view);
        if (!run->s.kernel_release)
                run->s.kernel_release = p->toolchain->kernel_release;
        run->s.cpus = p->view.cpus ? p->view.cpus : p->cpus ? p->cpus : p->toolchain->cpus;
        run->s.limits = p->limits;
        run->s.disk_fd = b->home_fd;
        run->s.cancel_fd = b->context->cancel_fd;
        run->s.cwd = run_home(&p->view);
        run->s.output = build_output;
        run->s.output_ctx = b;
        run->s.mounts = run->mounts;
        run->mounts[0] = (struct kiln_sandbox_mount){
                .kind = KILN_MOUNT_BIND_RW, .target = run_home(&p->view), .source_fd = b->home_fd};
        run->s.n_mounts = 1;
        command_environment(&p->view, b->epoch_s, &run->env);
        run->s.env = (const char *const *)run->env;
        return run_macro_files(b, run, err);
}

void build_run_observe(struct kiln_build *b, struct build_run *run, enum observed_run kind)
{
        run->s.observe = run->watches;
        run->s.n_observe = observed_watches(kind, run->watches);
        run->s.seen = build_seen;
        run->s.seen_ctx = b;
        observed_begin(&b->observed, kind);
}

int build_check_room(
        const struct kiln_build *b, const char *doing, const char *subject, struct kiln_error *err)
{
        int r;

        if (!kiln_fd_is_full(b->scratch_fd, b->transcript.no_space))
                return 0;
        r = kiln_error_set(
                err, KILN_INFRA, ENOSPC, doing, subject, "no room left below %s", b->context->cache_dir);
        kiln_error_advise(err,
                "Free some space there, for instance with `kiln cache gc --quota 10G`, and run the "
                "same command again.");
        return r;
}

int build_run_go(struct kiln_build *b, struct build_run *run, const char *doing, const char *subject,
        int *ret_status, struct kiln_error *err)
{
        struct kiln_sandbox_result result = {0};
        struct kiln_sandbox_error serr = {0};
        const char *unit;
        int r;

        transcript_reset(&b->transcript);
        r = kiln_sandbox_run(&run->s, &result, &serr);
        if (r < 0)
                return kiln_error_from_sandbox(err, &serr, doing, subject);
        usage_add(&b->usage, &result);
        if (run->s.n_observe > 0)
                observed_end(&b->observed, result.observe_lost);
        b->usage.limit = result.ended_by;
        if (!b->usage.first_exec_ns && run->s.argv)
                b->usage.first_exec_ns = result.exec_ns;
        unit = kiln_sandbox_limit_unit(result.limit);
        switch (result.how) {
        case KILN_SANDBOX_EXITED:
                *ret_status = result.status;
                return 0;
        case KILN_SANDBOX_CANCELLED:
                return kiln_error_set(err, KILN_CANCELLED, ECANCELED, doing, subject, "cancelled");
        case KILN_SANDBOX_LIMITED:
                return kiln_error_set(err, KILN_LIMIT, 0, doing, subject,
                        "%s limit of %llu%s reached (peak %llu%s)%s%s%s",
                        kiln_sandbox_limit_name(result.limit), (unsigned long long)result.limit_value, unit,
                        (unsigned long long)result.limit_peak, unit,
                        result.limit_guessed ? "; a guess: without a cgroup nothing proves it" : "",
                        b->transcript.section[0] ? "; in " : "", b->transcript.section);
        case KILN_SANDBOX_SIGNALED:
                break;
        }
        r = build_check_room(b, doing, subject, err); /* a store to a page that has no block: SIGBUS */
        if (r < 0)
                return r;
        return kiln_error_set(err, KILN_BUILD_FAILED, 0, doing, subject, "killed by signal %d (%s)",
                result.status, strsignal(result.status));
}

int kiln_build_shell(struct kiln_build *b, const struct kiln_root *root, const char *const *argv,
        int *ret_status, struct kiln_error *err)
{
        static const char *const shell[] = {"/bin/bash", "-l", NULL};
        _cleanup_(build_run_clear) struct build_run run;
        int r = build_run_init(b, root, &run, err);

        if (r < 0)
                return r;
        run.s.terminal = true;
        run.s.output = NULL;
        run.s.argv = argv ? argv : shell;
        run.s.limits.silence_s = run.s.limits.wall_s = 0;
        return build_run_go(b, &run, "running", "the shell", ret_status, err);
}

struct script_output {
        struct kiln_buf *to;
        size_t max;
};

static void script_output(void *ctx, const void *data, size_t len)
{
        struct script_output *out = ctx;
        size_t room = out->max > out->to->len ? out->max - out->to->len : 0;

        kiln_buf_append(out->to, data, len < room ? len : room);
}

int kiln_build_script(struct kiln_build *b, const struct kiln_root *root, const char *script, size_t max,
        struct kiln_buf *out, struct kiln_error *err)
{
        const char *const argv[] = {"/bin/bash", "-c", script, NULL};
        struct script_output output = {out, max};
        _cleanup_(build_run_clear) struct build_run run;
        int status = 0, r = build_run_init(b, root, &run, err);

        if (r < 0)
                return r;
        run.s.argv = argv;
        run.s.output = script_output;
        run.s.output_ctx = &output;
        r = build_run_go(b, &run, "running", "a script in the build root", &status, err);
        if (r == 0 && status != 0)
                r = kiln_error_set(err, KILN_BUILD_FAILED, 0, "running", "a script in the build root",
                        "exit status %d", status);
        return r;
}
