/* Reading attestations: signatures, form, and what they are about. */
#include "worker/base/clock.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/verify/bundle.h"
#include "worker/verify/judge-private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define FILES_MAX 1000 /* of attestations beside one group */

/* ---- subjects ---------------------------------------------------------------------------------------- */

static bool names_any(const struct judge *j, const struct kiln_envelope *e)
{
        for (size_t i = 0; i < j->n_packages; i++)
                if (j->packages[i].rpm && kiln_envelope_subject_find(e, j->packages[i].name))
                        return true;
        return false;
}

/* Which form of the package the file is, by a statement that names files. */
static enum judge_form form_of(const struct kiln_envelope_subject *s, const struct judge_package *p)
{
        if (!(s->have & KILN_DIGESTS_FILE))
                return FORM_CONTENT;
        if (s->have & KILN_DIGEST_SIGNED &&
                kiln_digest_equal(&s->digests.signed_file, &p->digests.signed_file))
                return p->rpm->signature == KILN_RPM_UNSIGNED ? FORM_UNSIGNED : FORM_SIGNED;
        if (s->have & KILN_DIGEST_UNSIGNED &&
                kiln_digest_equal(&s->digests.unsigned_file, &p->digests.signed_file))
                return FORM_UNSIGNED;
        return FORM_RESIGNED;
}

/* Whether the statement is about this very package. Statements of a result directory must name every package;
 * a summary may be about some of them. */
static bool matches(struct judge *j, const struct kiln_envelope *e, const char *where, bool must,
        struct judge_package *p, enum judge_form *ret)
{
        const struct kiln_envelope_subject *s = kiln_envelope_subject_find(e, p->name);

        if (!s) {
                if (must)
                        judge_find(j, CHECK_SUBJECTS, p, KILN_NOT_REPRODUCED,
                                "%s does not name it among its subjects", where);
                return false;
        }
        if ((s->have & KILN_DIGESTS_CONTENT) != KILN_DIGESTS_CONTENT) {
                judge_find(j, CHECK_SUBJECTS, p, KILN_NOT_REPRODUCED,
                        "%s does not name both its header and its payload by digest", where);
                return false;
        }
        if (!kiln_envelope_subject_matches(s, &p->digests, KILN_DIGESTS_FILE)) {
                judge_find(j, CHECK_SUBJECTS, p, KILN_NOT_REPRODUCED,
                        "%s is about another package of this name: header or payload differ", where);
                return false;
        }
        *ret = form_of(s, p);
        if (*ret == FORM_SIGNED)
                judge_date(j, e, p);
        return true;
}

/* ---- kinds ------------------------------------------------------------------------------------------- */

static void match_all(struct judge *j, const struct kiln_envelope *e, const char *where, bool vouches)
{
        j->made[CHECK_SUBJECTS] = true;
        for (size_t i = 0; i < j->n_packages; i++) {
                struct judge_package *p = &j->packages[i];
                enum judge_form form;

                if (!p->rpm || !matches(j, e, where, true, p, &form))
                        continue;
                if (vouches && form == FORM_CONTENT) {
                        judge_find(j, CHECK_SUBJECTS, p, KILN_NOT_REPRODUCED,
                                "%s names no digest of the file itself, so that what lies before the header "
                                "can be anything",
                                where);
                        continue;
                }
                if (p->form == FORM_UNATTESTED || p->form == FORM_CONTENT)
                        p->form = form;
                if (vouches && form == FORM_RESIGNED && !j->policy->allow.resigned)
                        judge_find(j, CHECK_SUBJECTS, p, KILN_NOT_REPRODUCED,
                                "its header and payload are as %s says, but the file is neither the "
                                "published "
                                "nor the unsigned one: what lies before the header was changed",
                                where);
                else if (vouches)
                        p->vouched |= UINT64_C(1) << e->key;
        }
}

static void take_provenance(struct judge *j, const struct kiln_envelope *e, const char *where)
{
        const struct kiln_policy_owner *owner = &j->policy->owners[e->key];
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        struct kiln_claims claims;
        struct judge_claims *c;

        j->made[CHECK_PROVENANCE] = true;
        if (kiln_claims_read(e->predicate, where, &claims, &err) < 0) {
                judge_find_error(j, CHECK_PROVENANCE, NULL, &err);
                return;
        }
        c = KILN_APPEND(j->claims, j->n_claims);
        *c = (struct judge_claims){e->key, kiln_strdup(where), claims};
        if (owner->builders && !kiln_strv_contains(owner->builders, claims.builder)) {
                judge_find(j, CHECK_PROVENANCE, NULL, KILN_REFUSED,
                        "%s was made by builder %s, for whom key %s may not speak", where, claims.builder,
                        owner->name);
                return;
        }
        match_all(j, e, where, true);
}

static void take_bom(struct judge *j, const struct kiln_envelope *e, const char *where)
{
        bool spdx = strcmp(e->predicate_type, KILN_PREDICATE_SPDX) == 0;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_buf_ struct kiln_buf canonical = KILN_BUF_INIT;
        struct kiln_bom *bom;
        int r = spdx ? kiln_bom_read_spdx(e->predicate, where, &bom, &err)
                     : kiln_bom_read_cyclonedx(e->predicate, where, &bom, &err);

        j->made[CHECK_SBOM] = true;
        if (r < 0) {
                judge_find_error(j, CHECK_SBOM, NULL, &err);
                return;
        }
        kiln_json_canonical(e->predicate, &canonical);
        *KILN_APPEND(j->boms, j->n_boms) = (struct judge_bom){e->key, kiln_strdup(where), bom,
                kiln_digest_of(canonical.data, canonical.len),
                kiln_json_items(canonical.data, canonical.len)};
        match_all(j, e, where, false);
}

static void take_test(struct judge *j, const struct kiln_envelope *e, const char *where)
{
        const json_t *configuration = json_array_get(json_object_get(e->predicate, "configuration"), 0);
        const char *result = json_string_value(json_object_get(e->predicate, "result")),
                   *name = json_string_value(json_object_get(configuration, "name")),
                   *sha256 = json_string_value(
                           json_object_get(json_object_get(configuration, "digest"), "sha256")),
                   *isa = json_string_value(
                           json_object_get(json_object_get(configuration, "annotations"), "level"));
        struct kiln_digest digest;
        bool passed = result && (strcmp(result, "PASSED") == 0 || strcmp(result, "WARNED") == 0);

        j->made[CHECK_TESTS] = true;
        if (!name || !sha256 || kiln_digest_from_hex(sha256, &digest) < 0 ||
                (!passed && (!result || strcmp(result, "FAILED") != 0))) {
                judge_find(j, CHECK_TESTS, NULL, KILN_BAD_INPUT,
                        "%s is no test result with a name, the digest of a build and a result", where);
                return;
        }
        *KILN_APPEND(j->tests, j->n_tests) = (struct judge_test){.key = e->key,
                .where = kiln_strdup(where),
                .name = kiln_strdup(name),
                .failed = !passed,
                .build_digest = digest,
                .isa = isa ? kiln_strdup(isa) : NULL};
        match_all(j, e, where, false);
}

/* A summary vouches when it says that somebody built the same again; a FAILED one dissents whoever made it.
 */
static void take_summary(struct judge *j, const struct kiln_envelope *e, const char *where)
{
        _cleanup_(kiln_vsa_clear) struct kiln_vsa vsa = {0};
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        if (kiln_vsa_read(e->predicate, where, &vsa, &err) < 0) {
                judge_find_error(j, CHECK_ATTESTATIONS, NULL, &err);
                return;
        }
        for (size_t i = 0; i < j->n_packages; i++) {
                struct judge_package *p = &j->packages[i];
                enum judge_form form;

                if (!p->rpm || !matches(j, e, where, false, p, &form))
                        continue;
                if (!vsa.passed)
                        p->dissented |= UINT64_C(1) << e->key;
                else if (kiln_strv_contains(vsa.levels, KILN_VSA_LEVEL_REPRODUCED))
                        p->vouched |= UINT64_C(1) << e->key;
        }
}

static const struct kind {
        const char *type, *name;
        void (*take)(struct judge *j, const struct kiln_envelope *e, const char *where);
        bool single; /* one key makes one of them */
} kinds[] = {
        {KILN_PREDICATE_PROVENANCE, "provenance", take_provenance, true},
        {KILN_PREDICATE_SPDX, "spdx", take_bom, true},
        {KILN_PREDICATE_CYCLONEDX, "cyclonedx", take_bom, true},
        {KILN_PREDICATE_TEST, "test", take_test, true},
        {KILN_PREDICATE_VSA, "summary", take_summary, false},
};

static const struct kind *kind_of(const char *type)
{
        for (size_t i = 0; i < KILN_ARRAY_SIZE(kinds); i++)
                if (strcmp(kinds[i].type, type) == 0)
                        return &kinds[i];
        return NULL;
}

/* Test results are of one kind when they are of one name. */
static char *label_of(const struct kind *kind, const struct kiln_envelope *e)
{
        const json_t *configuration = json_array_get(json_object_get(e->predicate, "configuration"), 0);
        const char *name = json_string_value(json_object_get(configuration, "name"));

        return strcmp(kind->name, "test") == 0 && name ? kiln_asprintf("test %s", name)
                                                       : kiln_strdup(kind->name);
}

/* ---- envelopes --------------------------------------------------------------------------------------- */

/* The same statement may lie there twice, as an envelope and as a bundle. */
static struct judge_seen *seen_before(const struct judge *j, const struct kiln_envelope *e)
{
        for (size_t i = 0; i < j->n_seen; i++)
                if (j->seen[i].key == e->key &&
                        kiln_digest_equal(&j->seen[i].payload_sha256, &e->payload_sha256))
                        return &j->seen[i];
        return NULL;
}

static bool is_second(const struct judge *j, const char *label, size_t key)
{
        for (size_t i = 0; i < j->n_seen; i++)
                if (j->seen[i].key == key && strcmp(j->seen[i].kind, label) == 0)
                        return true;
        return false;
}

static void list(struct judge *j, const struct kiln_envelope *e, const char *file, bool own)
{
        const struct judge_time *t = judge_time_of(j, e);
        char hex[KILN_DIGEST_HEX + 1], when[32];
        json_t *one;

        kiln_digest_to_hex(&e->sha256, hex);
        one = json_pack("{s:s, s:b, s:I, s:s, s:s, s:s}", "file", file, "beside", own, "line",
                (json_int_t)e->line, "type", e->predicate_type, "key", j->policy->owners[e->key].name,
                "sha256", hex);
        if (t) {
                kiln_clock_format(t->latest_s, when);
                json_object_set_new(
                        one, "stamped", json_pack("{s:s, s:o}", "time", when, "by", kiln_sbom_text(t->by)));
        }
        json_array_append_new(j->attestations, one);
}

/* own: it lies beside the packages, and its name says that it is about this group. */
static void take_envelope(
        struct judge *j, const struct kiln_envelope *e, const char *file, const char *where, bool own)
{
        const struct kind *kind = kind_of(e->predicate_type);
        _cleanup_free_ char *label = NULL;
        struct judge_seen *seen;

        if (!names_any(j, e)) {
                if (own)
                        judge_find(j, CHECK_SUBJECTS, NULL, KILN_NOT_REPRODUCED,
                                "%s is about other packages (%s and %zu more)", where, e->subjects[0].name,
                                e->n_subjects - 1);
                return;
        }
        seen = seen_before(j, e);
        if (seen) {
                judge_log_entries(j, e, seen, where);
                return;
        }
        list(j, e, file, own);
        if (!kind || !judge_times(j, e, where) || !judge_key_is_valid(j, e, where))
                return;
        label = label_of(kind, e);
        if (kind->single && is_second(j, label, e->key)) {
                judge_find(j, CHECK_ATTESTATIONS, NULL, KILN_NOT_REPRODUCED,
                        "%s is a second attestation of one kind (%s) by one key: only one can be true", where,
                        label);
                return;
        }
        seen = KILN_APPEND(j->seen, j->n_seen);
        *seen = (struct judge_seen){.kind = TAKE_PTR(label),
                .where = kiln_strdup(where),
                .key = e->key,
                .payload_sha256 = e->payload_sha256};
        judge_log_entries(j, e, seen, where);
        kind->take(j, e, where);
}

/* ---- files ------------------------------------------------------------------------------------------- */

static void read_lines(struct judge *j, int dir_fd, const char *path, bool own)
{
        _cleanup_(kiln_envelopes_freep) struct kiln_envelopes *lines = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        const char *file = kiln_path_base(path);
        int r = kiln_envelopes_open(dir_fd, path, &lines, &err);

        if (r < 0)
                judge_find_error(j, CHECK_ATTESTATIONS, NULL, &err);
        while (lines && r != KILN_ENVELOPES_END) {
                _cleanup_(kiln_envelope_freep) struct kiln_envelope *e = NULL;
                _cleanup_free_ char *where = NULL;

                r = kiln_envelopes_next(lines, &j->policy->keys, &e, &err);
                if (r < 0)
                        judge_find_error(j, CHECK_ATTESTATIONS, NULL, &err);
                if (r != 0)
                        continue;
                where = kiln_asprintf("%s line %zu", file, e->line);
                take_envelope(j, e, file, where, own);
        }
}

static void read_bundle(struct judge *j, int dir_fd, const char *path, bool own)
{
        _cleanup_(kiln_envelope_freep) struct kiln_envelope *e = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        const char *file = kiln_path_base(path);

        if (kiln_bundle_read(dir_fd, path, &j->policy->keys, &e, &err) < 0)
                judge_find_error(j, CHECK_ATTESTATIONS, NULL, &err);
        else
                take_envelope(j, e, file, file, own);
}

static void read_file(struct judge *j, int dir_fd, const char *path, bool own)
{
        j->made[CHECK_ATTESTATIONS] = true;
        if (kiln_ends_with(path, KILN_BUNDLE_SUFFIX))
                read_bundle(j, dir_fd, path, own);
        else
                read_lines(j, dir_fd, path, own);
}

/* <nvr>.intoto.jsonl, <nvr>@<whose>.intoto.jsonl, <nvr>.<kind>.sigstore.json, <nvr>@<whose>.<kind>.… */
static bool is_own(const char *file, const char *nvr)
{
        size_t n = strlen(nvr);

        if (strncmp(file, nvr, n) != 0)
                return false;
        file += n;
        if (*file == '@')
                return kiln_ends_with(file, ".intoto.jsonl") || kiln_ends_with(file, KILN_BUNDLE_SUFFIX);
        return strcmp(file, ".intoto.jsonl") == 0 || kiln_bundle_is_suffix(file);
}

static char **own_files(struct judge *j)
{
        int fd = openat(j->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        char **files = NULL;
        struct dirent *entry;
        size_t n = 0;

        while (dir && (entry = readdir(dir)) && n <= FILES_MAX)
                if (is_own(entry->d_name, j->group->nvr) && n++ < FILES_MAX)
                        kiln_strv_append(&files, entry->d_name);
        if (dir)
                closedir(dir);
        if (n > FILES_MAX)
                judge_find(j, CHECK_ATTESTATIONS, NULL, KILN_BAD_INPUT,
                        "more than %d files of attestations lie beside it", FILES_MAX);
        if (files)
                qsort(files, kiln_strv_length(files), sizeof(*files), kiln_strcmp_ptr);
        return files;
}

void judge_read_attestations(struct judge *j)
{
        _cleanup_strv_ char **own = own_files(j);

        for (char **f = own; f && *f; f++)
                judge_read_times(j, j->dir_fd, *f);
        for (char *const *f = j->o->files; f && *f; f++)
                judge_read_times(j, AT_FDCWD, *f);
        for (char **f = own; f && *f; f++)
                read_file(j, j->dir_fd, *f, true);
        for (char *const *f = j->o->files; f && *f; f++)
                read_file(j, AT_FDCWD, *f, false);
}
