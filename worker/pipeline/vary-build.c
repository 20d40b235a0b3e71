/* One build more: the same lock under another setting, with bounds that the first build gives. */
#include "worker/base/clock.h"
#include "worker/base/mem.h"
#include "worker/pipeline/vary-part.h"

#include <errno.h>
#include <string.h>

/* A varied build may be slower than the first and need more room, but not without end: a held clock can make
 * a build wait for ever. */
#define SLOWER_MAX 10
#define SLOWER_SPARE_S 60
#define LARGER_MAX 4
#define LARGER_SPARE_BYTES ((uint64_t)1 << 30) /* the first one's peak is looked at once a second only */
#define YARDSTICKS_MAX 2

void outcome_clear(struct outcome *o)
{
        kiln_built_free(o->built, o->n_built);
        free(o->failure);
        free(o->probe);
        *o = (struct outcome){0};
}

void search_init(struct search *s, struct kiln_job *j, struct variation *result)
{
        *s = (struct search){.job = j, .result = result, .longest_ns = j->build_ns};
        for (size_t i = 0; i < VARY_ROOTS; i++)
                kiln_root_init(&s->roots[i]);
        vary_host_init(&s->host, j);
}

void search_clear(struct search *s)
{
        for (size_t i = 0; i < VARY_ROOTS; i++)
                kiln_root_close(&s->roots[i]);
        vary_hits_clear(&s->all);
        vary_hits_clear(&s->noise);
        vary_hits_clear(&s->explained);
        kiln_built_free(s->held, s->n_held);
}

/* The root of a setting: the first build's, or the same lock installed for other ids. */
static int root_of(
        struct search *s, struct vary_setting *setting, const struct kiln_root **ret, struct kiln_error *err)
{
        struct kiln_job *j = s->job;
        const struct kiln_root_log log = record_root_log(j->record);
        enum kiln_id_mode mode = setting->single_id ? KILN_ID_SINGLE : j->idmap.mode;
        struct kiln_root *root = &s->roots[setting->single_id + 2 * setting->other_ids];
        struct kiln_sandbox_error serr = {0};
        int r = 0;

        *ret = &j->root;
        if (!setting->single_id && !setting->other_ids)
                return 0;
        if (setting->other_ids)
                r = kiln_idmap_find_other(mode, &j->idmap, &setting->params.idmap, &serr);
        else
                r = kiln_idmap_find(mode, &setting->params.idmap, &serr);
        if (r < 0)
                return kiln_error_from_sandbox(err, &serr, "looking for", "another mapping of user ids");
        if (root->n_layers == 0)
                r = kiln_root_open(
                        j->context, j->store, j->toolchain, j->lock, &setting->params.idmap, &log, root, err);
        *ret = root;
        return r;
}

/* The runs that led to the first build's packages, again, on a root that has everything already. */
static int packages_make(const struct kiln_job *j, struct kiln_build *b, const struct kiln_root *root,
        struct outcome *o, struct kiln_error *err)
{
        _cleanup_strv_ char **requires = NULL;
        int r;

        r = kiln_build_unpack_source(b, root, j->srpm_fd, j->srpm,
                (const struct kiln_overlay *const *)j->overlays, j->n_overlays, err);
        if (r < 0)
                return r;
        kiln_job_set_epoch(j, b);
        if (j->dynamic) {
                r = kiln_build_generate(b, root, &requires, err);
                if (r == 0 && requires)
                        r = kiln_error_set(err, KILN_BUILD_FAILED, 0, "generating BuildRequires of",
                                j->srpm->nvr, "it asks for %s, which the first build did not",
                                requires[0] ? requires[0] : "something");
        }
        if (r == 0)
                r = kiln_build_packages(b, root, err);
        return r == 0 ? kiln_build_collect(b, &o->built, &o->n_built, err) : r;
}

/* The ids outside first: nobody inside can tell them, nor say that line in their place. */
int vary_probe_run(struct kiln_build *b, const struct kiln_root *root, char **ret, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        uid_t uid;
        gid_t gid;
        int r = kiln_build_owner(b, &uid, &gid);

        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, r, "looking at", "the build directory", "its owner");
        kiln_buf_printf(&text, "outer-ids %u %u\n", uid, gid);
        r = kiln_build_script(b, root, vary_probe, VARY_PROBE_BYTES_MAX, &text, err);
        if (r == 0)
                *ret = kiln_strdup(kiln_buf_str(&text));
        return r;
}

/* Nobody removed the scratch directory or a layer meanwhile: what a build misses then is not its own doing.
 */
static int caches_check(struct search *s, const struct kiln_build *b, const struct kiln_root *root,
        const struct kiln_idmap *idmap, struct kiln_error *err)
{
        const struct kiln_context *c = s->job->context;

        if (kiln_build_intact(b) == 0)
                return kiln_root_check(c, root, idmap, err);
        kiln_error_set(err, KILN_INFRA, ESTALE, "building a second time", s->job->srpm->nvr,
                "the scratch directory was removed meanwhile");
        kiln_error_advise(err, "Run the same command again.");
        return -ESTALE;
}

/* A bound of ours, unless what was asked for is tighter; 0: no limit. */
static uint64_t bound(uint64_t asked, uint64_t ours)
{
        return asked == 0 || ours < asked ? ours : asked;
}

static uint64_t wall_bound(const struct search *s)
{
        return bound(s->job->params.limits.wall_s, s->longest_ns / 1000000000 * SLOWER_MAX + SLOWER_SPARE_S);
}

void setting_init(const struct search *s, struct vary_setting *setting)
{
        struct kiln_sandbox_limits *limits = &setting->params.limits;
        uint64_t disk_bytes = s->host.disk_bytes > UINT64_MAX / 8
                                      ? UINT64_MAX
                                      : s->host.disk_bytes * LARGER_MAX + LARGER_SPARE_BYTES;

        *setting = (struct vary_setting){.params = s->job->params};
        setting->params.log = (struct kiln_build_log){0};
        setting->params.observe = false;
        limits->wall_s = wall_bound(s);
        limits->disk_bytes = bound(limits->disk_bytes, disk_bytes);
}

/* Whether a limit is a bound of ours, and not what was asked for. */
static bool is_bound(uint64_t asked, uint64_t limit)
{
        return asked == 0 || limit < asked;
}

/* A build that fails is an outcome; so is one that was far slower or larger than the first. One that runs
 * into a limit of the request might have ended as the first did, had it been given more; but a clock that
 * stands still can make a build wait for ever. A disk that is full is the package's doing where that alone
 * wrote far more than the first time. */
static bool is_outcome(const struct search *s, const struct vary_setting *setting, const struct kiln_build *b,
        const struct kiln_error *err)
{
        const struct kiln_sandbox_limits *asked = &s->job->params.limits, *set = &setting->params.limits;
        const struct kiln_build_usage *usage = kiln_build_usage(b);

        if (err->verdict == KILN_BUILD_FAILED || err->verdict == KILN_BAD_INPUT)
                return true;
        if (err->verdict == KILN_INFRA)
                return err->errnum == ENOSPC &&
                       usage->peak_disk_bytes > s->host.disk_bytes + LARGER_SPARE_BYTES;
        if (err->verdict != KILN_LIMIT)
                return false;
        return setting->params.view.clock_hold_s ||
               (usage->limit == KILN_LIMIT_WALL && is_bound(asked->wall_s, set->wall_s)) ||
               (usage->limit == KILN_LIMIT_DISK && is_bound(asked->disk_bytes, set->disk_bytes));
}

/* Memory ends before a disk does, and others fill it too: what ended there says nothing about the package. */
static bool is_no_room(const struct vary_setting *setting, enum kiln_verdict v, enum kiln_sandbox_limit limit)
{
        return setting->params.view.in_memory &&
               (v == KILN_INFRA ||
                       (v == KILN_LIMIT && (limit == KILN_LIMIT_DISK || limit == KILN_LIMIT_MEMORY)));
}

/* Makes the packages in b, which is open: with packages, or as an outcome without. */
static int build_try(struct search *s, struct vary_setting *setting, const char *what, struct kiln_build *b,
        const struct kiln_root *root, struct outcome *o, struct kiln_error *err)
{
        uint64_t begin_ns = kiln_clock_ns(), took_ns;
        int r = packages_make(s->job, b, root, o, err);

        took_ns = kiln_clock_ns() - begin_ns;
        if (r == 0 && took_ns > s->longest_ns)
                s->longest_ns = took_ns;
        if (r < 0 && is_no_room(setting, err->verdict, kiln_build_usage(b)->limit)) {
                kiln_error_clear(err);
                return VARY_NO_ROOM;
        }
        if (r < 0 && is_outcome(s, setting, b, err)) {
                o->failure =
                        kiln_asprintf("%s %s: %s", err->doing, err->subject ? err->subject : "", err->cause);
                o->slow = kiln_build_usage(b)->limit == KILN_LIMIT_WALL;
                kiln_error_clear(err);
                r = 0;
        } else if (r < 0 && err->verdict == KILN_LIMIT) {
                kiln_error_advise(
                        err, "The first build kept within the limits; this was another one, with %s.", what);
        }
        return r == 0 ? caches_check(s, b, root, &setting->params.idmap, err) : r;
}

/* What a build that failed left may be in the way of looking. */
static int probe_after(struct search *s, const struct vary_setting *setting, const struct kiln_root *root,
        struct kiln_build **b, struct outcome *o, struct kiln_error *err)
{
        int r = 0;

        if (o->failure) {
                kiln_build_close(*b);
                *b = NULL;
                r = kiln_build_open(s->job->context, &setting->params, b, err);
        }
        return r == 0 ? vary_probe_run(*b, root, &o->probe, err) : r;
}

static int build_make(struct search *s, struct vary_setting *setting, const char *what, bool with_probe,
        struct outcome *ret, struct kiln_error *err)
{
        _cleanup_(kiln_build_closep) struct kiln_build *b = NULL;
        _cleanup_(outcome_clear) struct outcome o = {0};
        const struct kiln_root *root;
        int r;

        kiln_sink_progress(&s->job->context->sink, "vary", what, s->builds++, 0);
        r = root_of(s, setting, &root, err);
        if (r < 0)
                return r;
        r = kiln_build_open(s->job->context, &setting->params, &b, err);
        if (r == 0)
                r = build_try(s, setting, what, b, root, &o, err);
        if (r == 0 && with_probe)
                r = probe_after(s, setting, root, &b, &o, err);
        if (r < 0 && is_no_room(setting, err->verdict, KILN_LIMIT_NONE)) {
                kiln_error_clear(err);
                r = VARY_NO_ROOM;
        }
        if (r != 0)
                return r;
        *ret = o;
        o = (struct outcome){0};
        return 0;
}

/* How long a build takes now that sees what the first one saw, and more time than any other build: what else
 * the host does can have made it much slower since. */
static int yardstick(struct search *s, struct kiln_error *err)
{
        _cleanup_(outcome_clear) struct outcome o = {0};
        struct vary_setting setting;
        int r;

        setting_init(s, &setting);
        setting.params.limits.wall_s =
                bound(s->job->params.limits.wall_s, setting.params.limits.wall_s * SLOWER_MAX);
        r = build_make(s, &setting, "nothing varied, for its time", false, &o, err);
        if (r == 0 && o.slow)
                s->longest_ns = setting.params.limits.wall_s * 1000000000;
        return r;
}

int build_once(struct search *s, struct vary_setting *setting, const char *what, bool with_probe,
        struct outcome *ret, struct kiln_error *err)
{
        for (unsigned tries = 0;; tries++) {
                _cleanup_(outcome_clear) struct outcome o = {0};
                uint64_t wall_s = setting->params.limits.wall_s;
                int r = build_make(s, setting, what, with_probe, &o, err);

                if (r == 0 && o.slow && tries < YARDSTICKS_MAX) {
                        r = yardstick(s, err);
                        setting->params.limits.wall_s = wall_bound(s);
                        if (r == 0 && setting->params.limits.wall_s > wall_s)
                                continue;
                }
                if (r != 0)
                        return r;
                *ret = o;
                o = (struct outcome){0};
                return 0;
        }
}
