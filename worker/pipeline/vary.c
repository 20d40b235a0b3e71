/* The second build, and the search for what makes it differ.
 *
 * All factors vary at once in one second build: when it is the same, one build has tested them all. When not,
 * the first build is no help in finding out why, since some things vary by themselves from build to build
 * (the time, addresses). So two builds are made with everything held still, where it can be. What differs
 * between those depends on nothing Kiln can vary: random numbers, a race. Then one factor at a time is varied
 * and the others held, until everything that differed has a name.
 *
 * Nothing here is attested as tested that the probe did not see varied. */
#include "worker/base/mem.h"
#include "worker/pipeline/vary-part.h"

#include <string.h>

#define FINDINGS_MAX 10 /* of one culprit */

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

static void setting_hold(const struct search *s, struct vary_setting *setting)
{
        setting_init(s, setting);
        for (size_t i = 0; i < vary_n_factors; i++)
                if (vary_factors[i].hold && !s->obstacles[i])
                        vary_factors[i].hold(setting, &s->host);
}

/* What an outcome has different from packages that were built. */
static int outcome_compare(const struct search *s, const struct kiln_built *built, size_t n_built,
        const struct vary_setting *setting, const struct outcome *o, struct vary_hits *hits,
        struct kiln_error *err)
{
        if (!o->failure)
                return vary_compare(s->job->context, built, n_built, o->built, o->n_built,
                        setting->params.view.home, hits, err);
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

/* From now on. False when it was left alone already. */
static bool leave_alone(struct search *s, const char *factor, const char *why)
{
        for (size_t i = 0; i < vary_n_factors; i++) {
                if (strcmp(vary_factors[i].name, factor) != 0 || s->obstacles[i])
                        continue;
                s->obstacles[i] = why;
                record_finding(s->job->record, false, "vary.not-varied", factor, "was not varied: %s", why);
                return true;
        }
        return false;
}

/* What fails with a later clock and with one that stands still fails because Kiln answers for the clock:
 * nobody inside can use ptrace meanwhile, as test suites of debuggers do. */
static bool clock_leave_alone(struct search *s)
{
        return leave_alone(
                s, "clock", "the build fails with any clock but the host's, as one does that uses ptrace");
}

/* VARY_NO_ROOM: the next build is made where the first was. */
static void memory_leave_alone(struct search *s)
{
        leave_alone(s, "directory-order", "the build ran out of room in memory (/dev/shm)");
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
                r = outcome_compare(s, one.built, one.n_built, &setting, &two, &s->noise, err);
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
        if (r == VARY_NO_ROOM) {
                memory_leave_alone(s);
                s->result->factors[i].state = VARY_UNVARIED;
                return 0;
        }
        if (r == 0)
                r = outcome_compare(s, s->held, s->n_held, &setting, &o, &hits, err);
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

static bool named(char *const *names, size_t n, const char *factor)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(names[i], factor) == 0)
                        return true;
        return false;
}

static void obstacles_find(struct search *s)
{
        const Kiln__V1__BuildRequest *q = s->job->request;

        for (size_t i = 0; i < vary_n_factors; i++) {
                const char *name = vary_factors[i].name;

                s->silent[i] = vary_factors[i].asked_only && !named(q->varied, q->n_varied, name);
                if (s->silent[i])
                        s->obstacles[i] = "nobody asked for it";
                else if (named(q->unvaried, q->n_unvaried, name))
                        s->obstacles[i] = "it was asked to be left alone";
                else if (vary_factors[i].obstacle)
                        s->obstacles[i] = vary_factors[i].obstacle(&s->host);
                if (s->obstacles[i] && !s->silent[i])
                        record_finding(s->job->record, false, "vary.not-varied", name, "was not varied: %s",
                                s->obstacles[i]);
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

/* *ret_again: it has to be made again, with one factor less. */
static int second_build(struct search *s, const char *first, bool *ret_again, struct kiln_error *err)
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
        *ret_again = r == VARY_NO_ROOM;
        if (*ret_again) {
                memory_leave_alone(s);
                return 0;
        }
        if (r == 0)
                r = outcome_compare(s, s->job->built, s->job->n_built, &setting, &second, &s->all, err);
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
                } else if (v->factors[i].state != VARY_FAILED && !s->silent[i]) {
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
        _cleanup_(search_clear) struct search s;
        _cleanup_free_ char *first = NULL;
        bool again = true;
        int r;

        search_init(&s, j, ret);
        r = vary_probe_run(j->build, &j->root, &first, err);
        if (r < 0)
                return r;
        obstacles_find(&s);
        while (r == 0 && again) { /* as often as a factor can be left alone */
                r = second_build(&s, first, &again, err);
                if (r == 0 && !again && s.all.n)
                        r = search(&s, &again, err);
        }
        if (r == 0)
                conclude(&s);
        return r;
}
