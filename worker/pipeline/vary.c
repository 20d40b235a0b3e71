/* The second build, and the search for what makes it differ.
 *
 * All factors vary at once in one second build: when it is the same, one build has tested them all. When not,
 * the first build is no help in finding out why, since some things vary by themselves from build to build
 * (the time, addresses). So two builds are made with everything held still, where it can be. What differs
 * between those depends on nothing Kiln can vary: random numbers, a race. Then one factor at a time is varied
 * and the others held, until everything that differed has a name.
 *
 * Nothing here is attested as tested that the probe did not see varied. */
#include "worker/pipeline/vary.h"

#include "worker/base/clock.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <string.h>

/* A varied build may be slower than the first, but not for ever: a held clock can make a build wait. */
#define SLOWER_MAX 10
#define SLOWER_SPARE_S 60
#define FINDINGS_MAX 10 /* of one culprit */

struct search {
        struct kiln_job *job;
        struct vary_host host;
        struct variation *result;
        const char *obstacles[VARY_FACTORS_MAX]; /* looked for once, so that no build has its own idea; NULL:
                                                    none */
        struct kiln_root single_root;            /* open once it was needed */
        struct vary_hits all;                    /* what the second build has different */
        struct vary_hits noise;                  /* what two builds differ in with everything held */
        struct vary_hits explained;              /* what culprits were found for, noise included */
        struct kiln_built *held;                 /* the build with everything held */
        size_t n_held;
        unsigned builds;
        bool failed; /* the second build */
};

/* One build more. */
struct outcome {
        char *failure; /* how it ended, when not with packages; else NULL */
        struct kiln_built *built;
        size_t n_built;
        char *probe; /* NULL unless asked for */
};

static void outcome_clear(struct outcome *o)
{
        kiln_built_free(o->built, o->n_built);
        free(o->failure);
        free(o->probe);
        *o = (struct outcome){0};
}

void variation_clear(struct variation *v)
{
        for (size_t i = 0; i < VARY_FACTORS_MAX; i++) {
                free(v->factors[i].first);
                free(v->factors[i].second);
        }
        kiln_strv_free(v->passed);
        kiln_strv_free(v->warnings);
        kiln_strv_free(v->failures);
        kiln_json_decrefp(&v->details);
        free(v->culprit);
        *v = (struct variation){0};
}

static void search_clear(struct search *s)
{
        kiln_root_close(&s->single_root);
        vary_hits_clear(&s->all);
        vary_hits_clear(&s->noise);
        vary_hits_clear(&s->explained);
        kiln_built_free(s->held, s->n_held);
}

/* The root of a setting: the first build's, or the same lock installed under a single id. */
static int root_of(
        struct search *s, struct vary_setting *setting, const struct kiln_root **ret, struct kiln_error *err)
{
        struct kiln_job *j = s->job;
        const struct kiln_root_log log = record_root_log(j->record);
        struct kiln_sandbox_error serr = {0};
        int r = 0;

        *ret = &j->root;
        if (!setting->single_id)
                return 0;
        if (kiln_idmap_find(KILN_ID_SINGLE, &setting->params.idmap, &serr) < 0)
                return kiln_error_from_sandbox(err, &serr, "looking for", "a mapping of one user id");
        if (s->single_root.n_layers == 0)
                r = kiln_root_open(j->context, j->store, j->toolchain, j->lock, &setting->params.idmap, &log,
                        &s->single_root, err);
        *ret = &s->single_root;
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

static int probe(struct kiln_build *b, const struct kiln_root *root, char **ret, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        int r = kiln_build_script(b, root, vary_probe, VARY_PROBE_BYTES_MAX, &text, err);

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

/* A build that fails is an outcome like another: the first one did not. So is one that was far slower. One
 * that runs into a limit of the request might have ended as the first did, had it been given more; but a
 * clock that stands still can make a build wait for ever. */
static bool is_outcome(
        const struct search *s, const struct vary_setting *setting, enum kiln_verdict v, uint64_t took_ns)
{
        uint64_t asked_s = s->job->params.limits.wall_s, wall_s = setting->params.limits.wall_s;

        if (v != KILN_LIMIT)
                return v == KILN_BUILD_FAILED || v == KILN_BAD_INPUT;
        return setting->params.view.clock_hold_s ||
               ((asked_s == 0 || wall_s < asked_s) && took_ns / 1000000000 >= wall_s);
}

static int build_once(struct search *s, struct vary_setting *setting, const char *what, bool with_probe,
        struct outcome *ret, struct kiln_error *err)
{
        struct kiln_job *j = s->job;
        _cleanup_(kiln_build_closep) struct kiln_build *b = NULL;
        _cleanup_(outcome_clear) struct outcome o = {0};
        const struct kiln_root *root;
        uint64_t begin_ns;
        int r;

        kiln_sink_progress(&j->context->sink, "vary", what, s->builds++, 0);
        r = root_of(s, setting, &root, err);
        if (r == 0)
                r = kiln_build_open(j->context, &setting->params, &b, err);
        if (r < 0)
                return r;
        begin_ns = kiln_clock_ns();
        r = packages_make(j, b, root, &o, err);
        if (r < 0 && is_outcome(s, setting, err->verdict, kiln_clock_ns() - begin_ns)) {
                o.failure =
                        kiln_asprintf("%s %s: %s", err->doing, err->subject ? err->subject : "", err->cause);
                kiln_error_clear(err);
                r = 0;
        } else if (r < 0 && err->verdict == KILN_LIMIT) {
                kiln_error_advise(
                        err, "The first build kept within the limits; this was another one, with %s.", what);
        }
        if (r == 0)
                r = caches_check(s, b, root, &setting->params.idmap, err);
        if (r == 0 && with_probe)
                r = probe(b, root, &o.probe, err);
        if (r < 0)
                return r;
        *ret = o;
        o = (struct outcome){0};
        return 0;
}

static void setting_init(const struct search *s, struct vary_setting *setting)
{
        struct kiln_sandbox_limits *limits = &setting->params.limits;
        uint64_t wall_s = s->job->build_ns / 1000000000 * SLOWER_MAX + SLOWER_SPARE_S;

        *setting = (struct vary_setting){.params = s->job->params};
        setting->params.log = (struct kiln_build_log){0};
        setting->params.observe = false;
        if (limits->wall_s == 0 || wall_s < limits->wall_s)
                limits->wall_s = wall_s;
}

static void setting_hold(const struct search *s, struct vary_setting *setting)
{
        setting_init(s, setting);
        for (size_t i = 0; i < vary_n_factors; i++)
                if (vary_factors[i].hold && !s->obstacles[i])
                        vary_factors[i].hold(setting, &s->host);
}

/* What an outcome has different from packages that were built. */
static int outcome_compare(const struct search *s, const struct kiln_built *built, size_t n_built,
        const struct outcome *o, struct vary_hits *hits, struct kiln_error *err)
{
        if (!o->failure)
                return vary_compare(s->job->context, built, n_built, o->built, o->n_built, hits, err);
        vary_hits_add(hits, "", "the build fails", o->failure);
        return 0;
}

/* ---- what is said
 * ---------------------------------------------------------------------------------------------- */

/* One line about a hit, for people. */
static char *hit_text(const struct vary_hit *hit, const char *what)
{
        if (!hit->package[0])
                return kiln_asprintf("the build fails with %s: %s", what, hit->aspect);
        return kiln_asprintf("%s of %s differs (%s) with %s", hit->subject, hit->package,
                hit->aspect[0] ? hit->aspect : "content", what);
}

static void culprit_record(struct search *s, const char *name, const char *what, const struct vary_hits *hits)
{
        _cleanup_free_ char *id = kiln_asprintf("vary.%s", name);

        for (size_t i = 0; i < hits->n && i < FINDINGS_MAX; i++) {
                _cleanup_free_ char *text = hit_text(&hits->list[i], what);

                record_finding(s->job->record, i == 0, id,
                        hits->list[i].package[0] ? hits->list[i].subject : NULL, "%s", text);
        }
        if (hits->n > FINDINGS_MAX)
                record_finding(s->job->record, false, id, NULL, "and %zu more", hits->n - FINDINGS_MAX);
        for (size_t i = 0; i < hits->n; i++)
                if (!vary_hits_have(&s->explained, &hits->list[i]))
                        vary_hits_add(&s->explained, hits->list[i].package, hits->list[i].subject,
                                hits->list[i].aspect);
        if (!s->result->culprit)
                s->result->culprit = hit_text(&hits->list[0], what);
        kiln_strv_append(&s->result->failures, name);
}

static bool all_explained(const struct search *s)
{
        for (size_t i = 0; i < s->all.n; i++)
                if (!vary_hits_have(&s->explained, &s->all.list[i]))
                        return false;
        return true;
}

/* ---- the search
 * -------------------------------------------------------------------------------------------------- */

/* What fails with a later clock and with one that stands still fails because Kiln answers for the clock:
 * nobody inside can use ptrace meanwhile, as test suites of debuggers do. False when it was left alone
 * already. */
static bool clock_leave_alone(struct search *s)
{
        for (size_t i = 0; i < vary_n_factors; i++) {
                if (strcmp(vary_factors[i].name, "clock") != 0 || s->obstacles[i])
                        continue;
                s->obstacles[i] =
                        "the build fails with any clock but the host's, as one does that uses ptrace";
                record_finding(s->job->record, false, "vary.not-varied", vary_factors[i].name,
                        "was not varied: %s", s->obstacles[i]);
                return true;
        }
        return false;
}

/* Two builds with everything held. What differs between them is noise, and taken out of all that follows.
 * *ret_held: there is something to compare with; *ret_again: a second build without a factor can tell more.
 */
static int search_held(struct search *s, bool *ret_held, bool *ret_again, struct kiln_error *err)
{
        _cleanup_(outcome_clear) struct outcome one = {0}, two = {0};
        struct vary_setting setting;
        int r;

        setting_hold(s, &setting);
        r = build_once(s, &setting, "everything held", false, &one, err);
        if (r < 0)
                return r;
        *ret_held = !one.failure;
        *ret_again = one.failure && s->failed && clock_leave_alone(s);
        if (*ret_again)
                return 0;
        if (one.failure) {
                record_finding(s->job->record, true, "vary.held", NULL,
                        "the culprit cannot be looked for, since the build fails with its clock held: %s",
                        one.failure);
                return 0;
        }
        r = build_once(s, &setting, "everything held, again", false, &two, err);
        if (r == 0)
                r = outcome_compare(s, one.built, one.n_built, &two, &s->noise, err);
        if (r < 0)
                return r;
        if (s->noise.n)
                culprit_record(s, "randomness",
                        "every build (random numbers, a race, or what cannot be held)", &s->noise);
        s->held = TAKE_PTR(one.built);
        s->n_held = one.n_built;
        one.n_built = 0;
        return 0;
}

static int search_factor(struct search *s, size_t i, struct kiln_error *err)
{
        const struct vary_factor *f = &vary_factors[i];
        _cleanup_(vary_hits_clear) struct vary_hits hits = {0}, fresh = {0};
        _cleanup_(outcome_clear) struct outcome o = {0};
        struct vary_setting setting;
        int r;

        setting_hold(s, &setting);
        f->vary(&setting, &s->host);
        r = build_once(s, &setting, f->name, false, &o, err);
        if (r == 0)
                r = outcome_compare(s, s->held, s->n_held, &o, &hits, err);
        if (r < 0)
                return r;
        for (size_t h = 0; h < hits.n; h++)
                if (!vary_hits_have(&s->noise, &hits.list[h]))
                        vary_hits_add(
                                &fresh, hits.list[h].package, hits.list[h].subject, hits.list[h].aspect);
        s->result->factors[i].state = fresh.n ? VARY_FAILED : VARY_PASSED;
        if (fresh.n)
                culprit_record(s, f->name, f->what, &fresh);
        return 0;
}

static int search(struct search *s, bool *ret_again, struct kiln_error *err)
{
        bool held = false;
        int r = search_held(s, &held, ret_again, err);

        if (r < 0 || *ret_again)
                return r;
        for (size_t i = 0; r == 0 && held && i < vary_n_factors && !all_explained(s); i++)
                if (s->result->factors[i].state == VARY_UNJUDGED)
                        r = search_factor(s, i, err);
        if (r == 0 && !all_explained(s)) {
                for (size_t i = 0, said = 0; i < s->all.n && said < FINDINGS_MAX; i++) {
                        if (vary_hits_have(&s->explained, &s->all.list[i]))
                                continue;
                        _cleanup_free_ char *text = hit_text(&s->all.list[i], "everything varied");
                        record_finding(s->job->record, said++ == 0, "vary.together", s->all.list[i].subject,
                                "%s, and with no factor alone that was tried", text);
                        if (!s->result->culprit)
                                s->result->culprit = TAKE_PTR(text);
                }
                kiln_strv_append(&s->result->failures, "together");
        }
        return r;
}

/* ---- the second build
 * ------------------------------------------------------------------------------------------ */

static bool left_out(const Kiln__V1__BuildRequest *q, const char *factor)
{
        for (size_t i = 0; i < q->n_unvaried; i++)
                if (strcmp(q->unvaried[i], factor) == 0)
                        return true;
        return false;
}

static void obstacles_find(struct search *s)
{
        for (size_t i = 0; i < vary_n_factors; i++) {
                if (left_out(s->job->request, vary_factors[i].name))
                        s->obstacles[i] = "it was asked to be left alone";
                else if (vary_factors[i].obstacle)
                        s->obstacles[i] = vary_factors[i].obstacle(&s->host);
                if (s->obstacles[i])
                        record_finding(s->job->record, false, "vary.not-varied", vary_factors[i].name,
                                "was not varied: %s", s->obstacles[i]);
        }
}

/* Which factors were seen to vary. */
static void judge_probes(struct search *s, const char *first, const char *second)
{
        for (size_t i = 0; i < vary_n_factors; i++) {
                const struct vary_factor *f = &vary_factors[i];

                free(s->result->factors[i].first);
                free(s->result->factors[i].second);
                s->result->factors[i].state = VARY_UNVARIED;
                s->result->factors[i].first = vary_seen(first, f->name);
                s->result->factors[i].second = vary_seen(second, f->name);
                if (s->obstacles[i])
                        continue;
                if (vary_differs(f, s->result->factors[i].first, s->result->factors[i].second))
                        s->result->factors[i].state = VARY_UNJUDGED;
                else
                        record_finding(s->job->record, false, "vary.not-varied", f->name,
                                "was not varied: both builds saw %s",
                                s->result->factors[i].first ? s->result->factors[i].first : "nothing");
        }
}

static int second_build(struct search *s, const char *first, struct kiln_error *err)
{
        _cleanup_(outcome_clear) struct outcome second = {0};
        struct vary_setting setting;
        int r;

        setting_init(s, &setting);
        for (size_t i = 0; i < vary_n_factors; i++)
                if (!s->obstacles[i])
                        vary_factors[i].vary(&setting, &s->host);
        vary_hits_clear(&s->all);
        r = build_once(s, &setting, "everything varied", true, &second, err);
        if (r == 0)
                r = outcome_compare(s, s->job->built, s->job->n_built, &second, &s->all, err);
        if (r < 0)
                return r;
        s->failed = second.failure != NULL;
        judge_probes(s, first, second.probe);
        return 0;
}

static void conclude(struct search *s)
{
        struct variation *v = s->result;
        _cleanup_buf_ struct kiln_buf varied = KILN_BUF_INIT;

        v->done = true;
        v->reproduced = s->all.n == 0;
        v->details = json_object();
        for (size_t i = 0; i < vary_n_factors; i++) {
                const char *name = vary_factors[i].name;

                if (v->reproduced && v->factors[i].state == VARY_UNJUDGED)
                        v->factors[i].state = VARY_PASSED;
                if (v->factors[i].state == VARY_PASSED) {
                        kiln_strv_append(&v->passed, name);
                        kiln_buf_printf(&varied, "%s%s", varied.len ? ", " : "", name);
                } else if (v->factors[i].state != VARY_FAILED) {
                        kiln_strv_append(&v->warnings, name);
                }
                json_object_set_new(v->details, name,
                        json_pack("{s:s*, s:s*, s:b}", "first", v->factors[i].first, "second",
                                v->factors[i].second, "varied", v->factors[i].state != VARY_UNVARIED));
        }
        if (v->reproduced)
                record_finding(s->job->record, false, "vary.reproduced", s->job->srpm->nvr,
                        "a second build gave the same packages under another %s", kiln_buf_str(&varied));
}

int vary(struct kiln_job *j, struct variation *ret, struct kiln_error *err)
{
        _cleanup_(search_clear) struct search s = {.job = j, .result = ret};
        _cleanup_free_ char *first = NULL;
        bool again = true;
        int r;

        kiln_root_init(&s.single_root);
        vary_host_init(&s.host, j);
        r = probe(j->build, &j->root, &first, err);
        if (r < 0)
                return r;
        obstacles_find(&s);
        while (r == 0 && again) { /* twice at most: clock_leave_alone() */
                again = false;
                r = second_build(&s, first, err);
                if (r == 0 && s.all.n)
                        r = search(&s, &again, err);
        }
        if (r == 0)
                conclude(&s);
        return r;
}
