/* When was it signed? What time stamps say, and whether keys were valid then. The times inside attestations
 * and signatures are claims of whoever signed, and are never asked.
 *
 * A stamp is found by the signature that it is over, wherever that lies: the bundle with the stamp may be
 * another file than the one that the attestation was read from. So all stamps are read before any
 * attestation. */
#include "worker/base/clock.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/verify/bundle.h"
#include "worker/verify/judge-private.h"

#include <string.h>

#define TIMES_MAX 10000 /* of one group; more are not looked at, and so prove nothing */

void judge_time_clear(struct judge_time *t)
{
        free(t->where);
        free(t->by);
        free(t->problem);
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static void judge_stamp(struct judge *j, const struct kiln_bundle_stamps *s, size_t i, const char *file)
{
        const struct kiln_timestamp_judge how = {&j->policy->authorities, j->o->now_s, 0};
        const struct kiln_buf *der = &s->stamps[i];
        struct judge_time *t = KILN_APPEND(j->times, j->n_times);
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        struct kiln_timestamp stamp;

        memcpy(t->signature, s->signature.data, sizeof(t->signature));
        t->where = kiln_strdup(file);
        if (kiln_timestamp_check(kiln_buf_str(der), der->len, s->signature.data, s->signature.len, &how, file,
                    &stamp, &err) < 0) {
                t->verdict = err.verdict;
                t->problem = kiln_strdup(err.cause);
                return;
        }
        t->earliest_s = stamp.earliest_s;
        t->latest_s = stamp.latest_s;
        t->by = kiln_strdup(j->policy->authorities.list[stamp.authority].name);
}

void judge_read_times(struct judge *j, int dir_fd, const char *path)
{
        _cleanup_(kiln_bundle_stamps_clear) struct kiln_bundle_stamps s = {0};
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        if (j->policy->authorities.n == 0 || !kiln_ends_with(path, KILN_BUNDLE_SUFFIX))
                return;
        if (kiln_bundle_stamps_read(dir_fd, path, &s, &err) < 0)
                judge_find_error(j, CHECK_TIMES, NULL, &err);
        for (size_t i = 0; i < s.n && j->n_times < TIMES_MAX; i++)
                judge_stamp(j, &s, i, kiln_path_base(path));
}

/* ---- finding ----------------------------------------------------------------------------------------- */

static bool is_over(const struct judge_time *t, const struct kiln_envelope *e)
{
        return memcmp(t->signature, e->signature, sizeof(t->signature)) == 0;
}

/* Adds the stamps that hold over an envelope's signature. */
static void find_dates(const struct judge *j, const struct kiln_envelope *e, size_t **list, size_t *n)
{
        for (size_t i = 0; i < j->n_times; i++)
                if (is_over(&j->times[i], e) && j->times[i].verdict == KILN_OK)
                        *KILN_APPEND(*list, *n) = i;
}

/* The stamp that proves the earliest moment; NULL: there is none. */
static const struct judge_time *earliest(const struct judge *j, const size_t *list, size_t n)
{
        const struct judge_time *best = NULL;

        for (size_t i = 0; i < n; i++)
                if (!best || j->times[list[i]].latest_s < best->latest_s)
                        best = &j->times[list[i]];
        return best;
}

const struct judge_time *judge_time_of(const struct judge *j, const struct kiln_envelope *e)
{
        _cleanup_free_ size_t *list = NULL;
        size_t n = 0;

        find_dates(j, e, &list, &n);
        return earliest(j, list, n);
}

/* A stamp of an authority that nobody here knows is in order beside one that holds. */
bool judge_times(struct judge *j, const struct kiln_envelope *e, const char *where)
{
        const struct judge_time *holds = judge_time_of(j, e);

        for (size_t i = 0; i < j->n_times; i++) {
                const struct judge_time *t = &j->times[i];

                if (!is_over(t, e))
                        continue;
                j->made[CHECK_TIMES] = true;
                if (t->verdict == KILN_NOT_REPRODUCED || t->verdict == KILN_BAD_INPUT ||
                        (t->verdict != KILN_OK && !holds))
                        judge_find(j, CHECK_TIMES, NULL, t->verdict, "the time stamp in %s does not hold: %s",
                                t->where, t->problem);
        }
        if (!j->policy->time_stamp || holds)
                return true;
        judge_find(j, CHECK_TIMES, NULL, KILN_REFUSED,
                "%s has no time stamp that holds, which the policy demands (require.time-stamp)", where);
        return false;
}

/* ---- keys -------------------------------------------------------------------------------------------- */

/* At some stamp, both ends of its accuracy, and at none was it too early: what an inaccurate stamp leaves
 * open another one can say. Without a stamp, now. */
static bool is_valid(const struct judge *j, int64_t from_s, int64_t until_s, const size_t *list, size_t n)
{
        bool valid = n == 0 && kiln_policy_valid_at(from_s, until_s, j->o->now_s);

        for (size_t i = 0; i < n; i++) {
                const struct judge_time *t = &j->times[list[i]];

                if (from_s && t->latest_s < from_s)
                        return false;
                valid |= kiln_policy_valid_at(from_s, until_s, t->earliest_s) &&
                         kiln_policy_valid_at(from_s, until_s, t->latest_s);
        }
        return valid;
}

/* "valid from … to …, and … when it was stamped (…)": the caller's. */
static char *say_why(int64_t from_s, int64_t until_s, const struct judge_time *t)
{
        char from[32] = "the beginning", until[32] = "further notice", when[32];

        if (from_s)
                kiln_clock_format(from_s, from);
        if (until_s)
                kiln_clock_format(until_s, until);
        if (!t)
                return kiln_asprintf("is valid from %s to %s only, and not now", from, until);
        kiln_clock_format(t->latest_s, when);
        return kiln_asprintf("is valid from %s to %s only, and was not when %s stamped it: %s (%s)", from,
                until, t->by, when, t->where);
}

bool judge_key_is_valid(struct judge *j, const struct kiln_envelope *e, const char *where)
{
        const struct kiln_policy_owner *o = &j->policy->owners[e->key];
        const struct judge_time *t;
        _cleanup_free_ char *why = NULL;
        _cleanup_free_ size_t *list = NULL;
        size_t n = 0;

        find_dates(j, e, &list, &n);
        if (is_valid(j, o->from_s, o->until_s, list, n))
                return true;
        t = earliest(j, list, n);
        why = say_why(o->from_s, o->until_s, t);
        judge_find(j, CHECK_ATTESTATIONS, NULL, KILN_REFUSED, "%s was signed by key %s, which %s%s", where,
                o->name, why,
                t ? ""
                  : "; nothing but the signature itself says when that was (a bundle with a time stamp of a "
                    "[[time-stamp-authority]] of the policy would)");
        return false;
}

void judge_date(struct judge *j, const struct kiln_envelope *e, struct judge_package *p)
{
        find_dates(j, e, &p->dates, &p->n_dates);
}

void judge_package_key(struct judge *j, struct judge_package *p, const struct kiln_policy_package_key *key)
{
        const struct judge_time *t = earliest(j, p->dates, p->n_dates);
        _cleanup_free_ char *why = NULL;

        if (is_valid(j, key->from_s, key->until_s, p->dates, p->n_dates))
                return;
        why = say_why(key->from_s, key->until_s, t);
        judge_find(j, CHECK_POLICY, p, KILN_REFUSED, "it was signed by key %s, which %s%s", p->rpm->signer,
                why,
                t ? ""
                  : "; nothing but the signature itself says when that was (a time-stamped attestation that "
                    "names this very file would)");
}
