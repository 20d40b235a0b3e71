/* Transparency logs: whether those that the policy accepts hold what was attested. Offline: an entry's proof
 * and the checkpoint it leads to came with the bundle. Without an accepted log nobody looks at entries. */
#include "worker/attest/log/entry.h"
#include "worker/base/mem.h"
#include "worker/verify/judge-private.h"

#include <inttypes.h>
#include <string.h>

/* The accepted key that signed the checkpoint, else one of that name; NULL: no log of that name is accepted.
 */
static const struct kiln_log_key *key_of(const struct judge *j, const struct kiln_checkpoint *c)
{
        const struct kiln_log_key *named = NULL;

        for (size_t i = 0; i < j->policy->n_logs; i++) {
                int r = kiln_checkpoint_check(c, j->policy->logs[i]);

                if (r == 0)
                        return j->policy->logs[i];
                if (r != KILN_CHECKPOINT_OTHER_LOG)
                        named = j->policy->logs[i];
        }
        return named;
}

/* Two trees of one size are one tree. Of different sizes they cannot be compared without the log. */
static bool is_forked(
        struct judge *j, const struct kiln_log_proof *p, const struct kiln_log_key *key, const char *where)
{
        const struct kiln_checkpoint *c = &p->checkpoint;

        for (size_t i = 0; i < j->n_heads; i++) {
                const struct judge_head *h = &j->heads[i];

                if (strcmp(h->log, key->name) != 0 || h->size != c->size)
                        continue;
                if (kiln_digest_equal(&h->root, &c->root))
                        return false;
                judge_find(j, CHECK_LOG, NULL, KILN_NOT_REPRODUCED,
                        "the log %s was forked: %s and %s show two different trees of %" PRIu64
                        " entries, both signed by it",
                        key->name, h->where, where, c->size);
                return true;
        }
        *KILN_APPEND(j->heads, j->n_heads) =
                (struct judge_head){key->name, c->size, c->root, kiln_strdup(where)};
        return false;
}

static void judge_entry(struct judge *j, const json_t *json, const struct kiln_buf *entry,
        struct judge_seen *seen, const char *where)
{
        _cleanup_(kiln_log_proof_clear) struct kiln_log_proof p = {0};
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        const struct kiln_log_key *key;

        if (!kiln_log_proof_is_kind(json)) {
                seen->other_kind = true;
                return;
        }
        if (kiln_log_proof_read(json, where, &p, &err) < 0) {
                judge_find_error(j, CHECK_LOG, NULL, &err);
                return;
        }
        key = key_of(j, &p.checkpoint);
        if (!key) {
                free(seen->elsewhere);
                seen->elsewhere = kiln_strdup(p.checkpoint.origin);
                return;
        }
        if (kiln_log_proof_check(&p, key, entry, where, &err) < 0)
                judge_find_error(j, CHECK_LOG, NULL, &err);
        else if (!is_forked(j, &p, key, where))
                seen->logged = true;
}

void judge_log_entries(
        struct judge *j, const struct kiln_envelope *e, struct judge_seen *seen, const char *where)
{
        _cleanup_buf_ struct kiln_buf entry = KILN_BUF_INIT;
        const json_t *one;
        size_t i;

        if (j->policy->n_logs == 0 || !e->log_entries)
                return;
        j->made[CHECK_LOG] = true;
        kiln_envelope_log_entry(e, &j->policy->keys, &entry);
        json_array_foreach(e->log_entries, i, one) judge_entry(j, one, &entry, seen, where);
}

void judge_logged(struct judge *j)
{
        if (!j->policy->logged)
                return;
        j->made[CHECK_LOG] = true;
        for (size_t i = 0; i < j->n_seen; i++) {
                const struct judge_seen *seen = &j->seen[i];

                if (seen->logged)
                        continue;
                if (seen->elsewhere)
                        judge_find(j, CHECK_LOG, NULL, KILN_REFUSED,
                                "%s is in the log %s, which is none of those accepted, and in no other",
                                seen->where, seen->elsewhere);
                else if (seen->other_kind)
                        judge_find(j, CHECK_LOG, NULL, KILN_REFUSED,
                                "%s comes with log entries of other kinds than " KILN_LOG_KIND
                                " " KILN_LOG_KIND_VERSION " only, which are not read",
                                seen->where);
                else
                        judge_find(j, CHECK_LOG, NULL, KILN_REFUSED,
                                "%s comes without proof that an accepted log holds it", seen->where);
        }
}
