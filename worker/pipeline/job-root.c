/* From a job to a root with everything the package asks for: locks, layers, solving, rounds. */
#include "worker/base/clock.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/pipeline/job.h"

#include <errno.h>
#include <string.h>

#define ROUNDS_MAX 10
#define LOCK_BYTES_MAX ((size_t)64 << 20)

static int pinned_lock(struct kiln_job *j, struct kiln_lock **ret, struct kiln_error *err)
{
        const Kiln__V1__Build *b = j->request->build;
        _cleanup_(kiln_lock_freep) struct kiln_lock *lock = NULL;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        struct kiln_message_error merr;
        struct kiln_digest d, canonical;
        int r;

        if (b->pinned_case == KILN__V1__BUILD__PINNED__NOT_SET) {
                *ret = kiln_lock_copy(j->solved);
                return 0;
        }
        if (b->pinned_case == KILN__V1__BUILD__PINNED_LOCK) {
                _cleanup_free_ char *json = NULL;

                if (kiln_message_to_json((const ProtobufCMessage *)b->lock, false, &json, &merr) < 0)
                        return job_request_error(err, &merr);
                kiln_buf_puts(&text, json);
        } else {
                _cleanup_close_ int fd = -1;

                if (kiln_digest_from_hex(b->lock_digest, &d) < 0 ||
                        kiln_store_find_verified(j->store, &d, &fd) != 0)
                        return kiln_error_set(err, KILN_BAD_INPUT, ENOENT, "looking for the lock",
                                b->lock_digest, "the store does not have it");
                if (kiln_fd_read(fd, LOCK_BYTES_MAX, &text) < 0)
                        return kiln_error_set(
                                err, KILN_INFRA, EIO, "reading the lock", b->lock_digest, "the store");
        }
        r = kiln_lock_parse(kiln_buf_str(&text), text.len, "the request's lock", &lock, err);
        if (r < 0)
                return r;
        canonical = kiln_lock_digest(lock);
        if (b->pinned_case == KILN__V1__BUILD__PINNED_LOCK_DIGEST && !kiln_digest_equal(&canonical, &d))
                return kiln_error_set(err, KILN_BAD_INPUT, 0, "reading the lock", b->lock_digest,
                        "it is not in canonical form, so that the lock of the build would have another "
                        "digest");
        *ret = TAKE_PTR(lock);
        return 0;
}

/* A lock of another toolchain would be built with this one's macros: neither's packages. */
static int check_lock(struct kiln_job *j, const struct kiln_lock *lock, struct kiln_error *err)
{
        if (strcmp(lock->toolchain, j->toolchain->name) == 0 &&
                kiln_digest_equal(&lock->toolchain_digest, &j->toolchain->digest))
                return 0;
        kiln_error_set(err, KILN_BAD_INPUT, 0, "building with a lock", j->srpm->nvr,
                "the lock was made with another definition of toolchain %s", lock->toolchain);
        kiln_error_advise(
                err, "Make a new one with `kiln lock`, or take the definition the lock was made with.");
        return -EINVAL;
}

/* Fetches what the lock names and opens its layers. A round is recorded unless it is the bare base (before ==
 * lock). */
static int open_round(struct kiln_job *j, struct kiln_lock *lock, char *const *requirements,
        const struct kiln_lock *before, struct kiln_error *err)
{
        const struct kiln_root_log log = record_root_log(j->record);
        _cleanup_root_ struct kiln_root root;
        uint64_t begin_ns;
        int r;

        kiln_root_init(&root);
        record_phase(j->record, "fetch");
        r = kiln_lock_fetch(j->context, j->store, j->toolchain, lock, err);
        if (r < 0)
                return r;
        record_phase(j->record, "root");
        begin_ns = kiln_clock_ns();
        r = kiln_root_open(j->context, j->store, j->toolchain, lock, &j->idmap, &log, &root, err);
        if (r < 0)
                return r;
        if (before != lock)
                record_round(j->record, requirements, lock, before, &root, kiln_clock_ns() - begin_ns);
        kiln_root_close(&j->root);
        j->root = root;
        kiln_root_init(&root);
        return 0;
}

static char **requires_of(const struct kiln_rpm *srpm, bool *ret_dynamic)
{
        char **requires = kiln_calloc(1, sizeof(char *));

        *ret_dynamic = false;
        for (size_t i = 0; i < srpm->n_requires; i++) {
                _cleanup_free_ char *text = kiln_dependency_format(&srpm->requires[i]);

                if (text)
                        kiln_strv_append(&requires, text);
                else if (strcmp(srpm->requires[i].name, "rpmlib(DynamicBuildRequires)") == 0)
                        *ret_dynamic = true;
        }
        return requires;
}

static int solve(struct kiln_job *j, char *const *requires, struct kiln_lock **ret, struct kiln_error *err)
{
        _cleanup_strv_ char **conflicts = kiln_calloc(1, sizeof(char *));
        struct kiln_solve q = {.requires = (const char *const *) requires, .wanted_by = j->srpm->nvr};
        int r;

        for (size_t i = 0; j->parsed && i < j->parsed->n_conflicts; i++) {
                _cleanup_free_ char *text = kiln_dependency_format(&j->parsed->conflicts[i]);

                if (text)
                        kiln_strv_append(&conflicts, text);
        }
        q.conflicts = (const char *const *)conflicts;
        record_phase(j->record, "solve");
        if (!j->pool) {
                r = kiln_pool_open(j->context, j->store, j->toolchain, &j->pool, err);
                if (r < 0)
                        return r;
        }
        return kiln_pool_solve(j->pool, &q, ret, err);
}

void kiln_job_set_epoch(const struct kiln_job *j, struct kiln_build *b)
{
        if (j->params.source_date_epoch_s < 0 && j->srpm->changelog_time_s <= 0)
                kiln_build_set_epoch(b, j->srpm->build_time_s);
}

/* %ifarch compares with the tag as well, and nobody would notice. */
static int note_conditions(struct kiln_job *j, struct kiln_error *err)
{
        unsigned n, first;
        int r = kiln_build_arch_conditions(j->build, &n, &first, err);

        if (r == 0 && n > 0)
                record_finding(j->record, true, "arch-tag.ifarch", j->srpm->nvr,
                        "%u condition%s of its spec (the first in line %u) name%s %s: with the arch tag %s "
                        "the other branch is taken",
                        n, n == 1 ? "" : "s", first, n == 1 ? "s" : "", j->params.arch, j->params.arch_tag);
        return r;
}

/* Unpacks and parses the source in the base root; afterwards the static BuildRequires are known. */
static int parse_source(struct kiln_job *j, struct kiln_error *err)
{
        int r;

        record_phase(j->record, "source");
        r = kiln_build_open(j->context, &j->params, &j->build, err);
        if (r == 0)
                r = kiln_build_unpack_source(j->build, &j->root, j->srpm_fd, j->srpm,
                        (const struct kiln_overlay *const *)j->overlays, j->n_overlays, err);
        if (r < 0)
                return r;
        kiln_job_set_epoch(j, j->build);
        r = note_conditions(j, err);
        if (r == 0)
                r = kiln_build_source(j->build, &j->root, &j->parsed, err);
        if (r == 0)
                r = job_check_arch(j, j->parsed, err);
        if (r == 0) {
                j->epoch_s = j->parsed->build_time_s;
                record_result(j->record)->source_date_epoch_s = j->epoch_s;
                record_set(&record_result(j->record)->nvr, j->parsed->nvr);
        }
        return r;
}

static int generate_rounds(struct kiln_job *j, bool pinned, struct kiln_error *err)
{
        for (int round = 1;; round++) {
                _cleanup_strv_ char **requires = NULL;
                _cleanup_(kiln_lock_freep) struct kiln_lock *lock = NULL;
                struct kiln_digest before, after;
                int r;

                record_phase(j->record, "buildreqs");
                r = kiln_build_generate(j->build, &j->root, &requires, err);
                if (r < 0 || !requires)
                        return r;
                if (pinned)
                        return kiln_error_set(err, KILN_BAD_INPUT, 0, "building with a lock", j->srpm->nvr,
                                "%%generate_buildrequires asks for packages that the lock does not have");
                if (round > ROUNDS_MAX)
                        return kiln_error_set(err, KILN_BAD_INPUT, 0, "generating BuildRequires of",
                                j->srpm->nvr, "they still change after %d rounds", ROUNDS_MAX);
                r = solve(j, requires, &lock, err);
                if (r < 0)
                        return r;
                before = kiln_lock_layer_digest(j->lock, 7);
                after = kiln_lock_layer_digest(lock, 7);
                if (kiln_digest_equal(&before, &after))
                        return kiln_error_set(err, KILN_BAD_INPUT, 0, "generating BuildRequires of",
                                j->srpm->nvr,
                                "the build root has all that is asked for, and rpmbuild still says something "
                                "is missing");
                r = open_round(j, lock, requires, j->lock, err);
                if (r < 0)
                        return r;
                kiln_lock_free(j->lock);
                j->lock = TAKE_PTR(lock);
        }
}

int kiln_job_prepare(struct kiln_job *j, struct kiln_error *err)
{
        bool pinned = j->solved || j->request->build->pinned_case != KILN__V1__BUILD__PINNED__NOT_SET;
        _cleanup_strv_ char **requires = NULL;
        _cleanup_(kiln_lock_freep) struct kiln_lock *base = NULL;
        static char *nothing[] = {NULL};
        int r;

        if (pinned) {
                r = pinned_lock(j, &j->lock, err);
                if (r == 0)
                        r = check_lock(j, j->lock, err);
                if (r == 0)
                        r = open_round(j, j->lock, NULL, NULL, err);
        } else {
                r = solve(j, nothing, &base, err);
                if (r == 0)
                        r = open_round(j, base, NULL, base, err);
        }
        if (r == 0)
                r = parse_source(j, err);
        if (r < 0)
                return r;
        requires = requires_of(j->parsed, &j->dynamic);
        if (!pinned) {
                r = solve(j, requires, &j->lock, err);
                if (r == 0)
                        r = open_round(j, j->lock, requires, NULL, err);
                if (r < 0)
                        return r;
        }
        return j->dynamic ? generate_rounds(j, pinned, err) : 0;
}

const struct kiln_lock *kiln_job_lock(const struct kiln_job *j)
{
        return j->lock;
}

int kiln_job_shell(struct kiln_job *j, const char *const *argv, int *ret_status, struct kiln_error *err)
{
        record_phase_end(j->record, KILN_OK);
        return kiln_build_shell(j->build, &j->root, argv, ret_status, err);
}
