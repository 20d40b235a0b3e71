#include "worker/verify/judge.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/verify/judge-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define DOCUMENT_MAX ((size_t)256 << 20)
#define FINDINGS_MAX 1000 /* of one group; what follows changes the verdict only */

static const char *const check_names[N_CHECKS] = {"package", "attestations", "times", "subjects",
        "provenance", "sbom", "lock", "tests", "log", "policy", "votes"};

static const char *const form_names[] = {[FORM_UNATTESTED] = "unattested",
        [FORM_SIGNED] = "signed",
        [FORM_UNSIGNED] = "unsigned",
        [FORM_RESIGNED] = "resigned",
        [FORM_CONTENT] = "content"};

static const char *const signature_names[] = {
        [KILN_RPM_UNSIGNED] = "none", [KILN_RPM_SIGNED] = "good", [KILN_RPM_UNKNOWN_KEY] = "unknown key"};

/* ---- findings ---------------------------------------------------------------------------------------- */

enum kiln_verdict kiln_verify_worse(enum kiln_verdict a, enum kiln_verdict b)
{
        static const enum kiln_verdict order[] = {
                KILN_CANCELLED, KILN_NOT_REPRODUCED, KILN_BAD_INPUT, KILN_LIMIT, KILN_INFRA, KILN_REFUSED};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(order); i++)
                if (a == order[i] || b == order[i])
                        return order[i];
        return KILN_OK;
}

enum kiln_verdict kiln_verify_verdict_of(const char *name)
{
        for (int v = KILN_OK; name && v <= KILN_CANCELLED; v++)
                if (strcmp(kiln_verdict_name((enum kiln_verdict)v), name) == 0)
                        return (enum kiln_verdict)v;
        return KILN_INFRA;
}

static void add_finding(struct judge *j, enum judge_check check, struct judge_package *about,
        enum kiln_verdict verdict, const char *text)
{
        json_t *clean;

        j->made[check] = true;
        j->checks[check] = kiln_verify_worse(j->checks[check], verdict);
        j->incomplete |= verdict == KILN_INFRA || verdict == KILN_LIMIT || verdict == KILN_CANCELLED;
        for (size_t i = 0; i < j->n_packages; i++)
                if (!about || about == &j->packages[i])
                        j->packages[i].verdict = kiln_verify_worse(j->packages[i].verdict, verdict);
        if (json_array_size(j->findings) >= FINDINGS_MAX)
                return;
        clean = kiln_sbom_text(text);
        json_array_append_new(
                j->findings, json_pack("{s:s, s:s, s:o, s:o}", "check", check_names[check], "verdict",
                                     kiln_verdict_name(verdict), "about",
                                     about ? kiln_sbom_text(about->path) : json_null(), "text", clean));
}

void judge_find(struct judge *j, enum judge_check check, struct judge_package *about,
        enum kiln_verdict verdict, const char *fmt, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        text = kiln_vasprintf(fmt, ap);
        va_end(ap);
        add_finding(j, check, about, verdict, text);
}

void judge_find_error(
        struct judge *j, enum judge_check check, struct judge_package *about, struct kiln_error *err)
{
        _cleanup_free_ char *text = kiln_error_format(err);

        for (char *c = text; (c = strchr(c, '\n')); c++)
                *c = ' ';
        add_finding(j, check, about, err->verdict, text);
        kiln_error_clear(err);
}

/* ---- packages ---------------------------------------------------------------------------------------- */

static void open_package(struct judge *j, struct judge_package *p)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        j->made[CHECK_PACKAGE] = true;
        p->fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (p->fd < 0) {
                kiln_error_set(&err, KILN_BAD_INPUT, errno, "opening", p->path, "cannot be read");
                judge_find_error(j, CHECK_PACKAGE, p, &err);
                return;
        }
        if (kiln_rpm_open_published(p->fd, kiln_path_base(p->path), j->policy->keyring, &p->rpm, &err) < 0) {
                judge_find_error(j, CHECK_PACKAGE, p, &err);
                return;
        }
        p->name = kiln_asprintf("%s.%s.rpm", p->rpm->nvr, p->rpm->arch);
        p->digests.signed_file = p->rpm->file_sha256;
        if (kiln_digest_from_hex(p->rpm->header_sha256, &p->digests.header) < 0 ||
                kiln_digest_from_hex(p->rpm->payload_sha256, &p->digests.payload) < 0)
                judge_find(j, CHECK_PACKAGE, p, KILN_NOT_REPRODUCED,
                        "it carries no SHA-256 digests of its header and payload");
}

/* ---- SBOMs and lock ---------------------------------------------------------------------------------- */

/* Every payload read in one sandbox; what does not fit its header is a finding. */
static void scan_payloads(struct judge *j)
{
        _cleanup_free_ int *fds = kiln_calloc(j->n_packages, sizeof(*fds));
        _cleanup_free_ const struct kiln_rpm **rpms = kiln_calloc(j->n_packages, sizeof(*rpms));
        _cleanup_free_ struct kiln_scan **scans = kiln_calloc(j->n_packages, sizeof(*scans));
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        struct kiln_sandbox_error refused = {0};
        struct kiln_idmap idmap;
        size_t n = 0;
        int r;

        for (size_t i = 0; i < j->n_packages; i++) {
                if (!j->packages[i].rpm)
                        continue;
                fds[n] = j->packages[i].fd;
                rpms[n++] = j->packages[i].rpm;
        }
        if (kiln_idmap_find(KILN_ID_AUTO, &idmap, &refused) < 0) {
                j->incomplete = true;
                judge_find(j, CHECK_SBOM, NULL, KILN_REFUSED,
                        "payloads cannot be read here: %s: %s; --quick holds SBOMs against headers only",
                        refused.step, refused.message);
        } else {
                r = kiln_scan_packages(j->context, &idmap, fds, rpms, n, scans, &err);
                if (r < 0 && err.verdict == KILN_BUILD_FAILED)
                        err.verdict = KILN_NOT_REPRODUCED;
                j->incomplete |= r < 0 && err.verdict == KILN_REFUSED; /* the sandbox */
                if (r < 0)
                        judge_find_error(j, CHECK_SBOM, NULL, &err);
        }
        for (size_t i = 0, k = 0; i < j->n_packages; i++)
                if (j->packages[i].rpm)
                        j->packages[i].scan = scans[k++];
}

static void check_bom(struct judge *j, const struct judge_bom *b)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        const struct judge_claims *c = judge_claims_by(j, b->key);

        for (size_t i = 0; i < j->n_packages; i++) {
                struct judge_package *p = &j->packages[i];

                if (!p->rpm || (!p->scan && !j->o->quick))
                        continue;
                if (kiln_bom_check_package(b->bom, p->rpm, p->scan, b->where, &err) < 0)
                        judge_find_error(j, CHECK_SBOM, p, &err);
        }
        if (!c)
                judge_find(j, CHECK_SBOM, NULL, KILN_REFUSED,
                        "%s has no provenance by the same key to be held against", b->where);
        else if (kiln_bom_check_build(b->bom, c->claims.lock, &c->claims.build_digest, b->where, &err) < 0)
                judge_find_error(j, CHECK_SBOM, NULL, &err);
}

static size_t most_items(const struct judge *j, const char *format)
{
        size_t most = 0;

        for (size_t i = 0; i < j->n_boms; i++)
                if (strcmp(j->boms[i].bom->format, format) == 0 && j->boms[i].items > most)
                        most = j->boms[i].items;
        return most;
}

static bool is_attested(const struct judge *j, const json_t *document, const char *format)
{
        _cleanup_buf_ struct kiln_buf canonical = KILN_BUF_INIT;
        struct kiln_digest digest;

        kiln_json_canonical(document, &canonical);
        digest = kiln_digest_of(canonical.data, canonical.len);
        for (size_t i = 0; i < j->n_boms; i++)
                if (strcmp(j->boms[i].bom->format, format) == 0 &&
                        kiln_digest_equal(&j->boms[i].document, &digest))
                        return true;
        return false;
}

/* <nvr>.spdx.json and <nvr>.cdx.json, where they are, are what was attested: what has more items than that is
 * not, and nobody signed it. */
static void check_document(struct judge *j, const char *suffix, const char *format)
{
        _cleanup_free_ char *name = kiln_asprintf("%s%s", j->group->nvr, suffix);
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_json_ json_t *document = NULL;
        int r = kiln_file_read(j->dir_fd, name, DOCUMENT_MAX, &text);
        bool other = r == 0 && kiln_json_items(kiln_buf_str(&text), text.len) > most_items(j, format);

        if (r == -ENOENT || j->n_boms == 0) /* that nothing was attested is judged elsewhere */
                return;
        if (r < 0)
                kiln_error_set(&err, KILN_BAD_INPUT, -r, "reading", name, "cannot be read");
        else if (!other)
                r = kiln_json_parse(kiln_buf_str(&text), text.len, name, &document, &err);
        if (r < 0)
                judge_find_error(j, CHECK_SBOM, NULL, &err);
        else if (other || !is_attested(j, document, format))
                judge_find(j, CHECK_SBOM, NULL, KILN_NOT_REPRODUCED,
                        "%s is not the document that was attested", name);
}

/* lock.json, where it is, is the lock of every provenance. */
static void check_lock(struct judge *j)
{
        static const unsigned all = 1U << KILN_LOCK_BOOTSTRAP | 1U << KILN_LOCK_BASE | 1U << KILN_LOCK_DELTA;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_(kiln_lock_freep) struct kiln_lock *lock = NULL;
        struct kiln_digest digest, packages, claimed;
        int r = kiln_file_read(j->dir_fd, "lock.json", DOCUMENT_MAX, &text);

        if (r == -ENOENT)
                return;
        j->made[CHECK_LOCK] = true;
        if (r < 0)
                kiln_error_set(&err, KILN_BAD_INPUT, -r, "reading", "lock.json", "cannot be read");
        else
                r = kiln_lock_parse(kiln_buf_str(&text), text.len, "lock.json", &lock, &err);
        if (r < 0) {
                judge_find_error(j, CHECK_LOCK, NULL, &err);
                return;
        }
        digest = kiln_digest_of(kiln_buf_str(&text), text.len);
        packages = kiln_lock_layer_digest(lock, all);
        for (size_t i = 0; i < j->n_claims; i++) {
                const struct judge_claims *c = &j->claims[i];

                claimed = kiln_lock_layer_digest(c->claims.lock, all);
                if (!kiln_digest_equal(&packages, &claimed))
                        judge_find(j, CHECK_LOCK, NULL, KILN_NOT_REPRODUCED,
                                "the packages of lock.json are not the dependencies that %s resolved",
                                c->where);
                else if (!kiln_digest_equal(&digest, &c->claims.lock_sha256))
                        judge_find(j, CHECK_LOCK, NULL, KILN_NOT_REPRODUCED,
                                "lock.json is not the lock that %s names", c->where);
        }
}

static void check_documents(struct judge *j)
{
        if (j->n_boms > 0 && !j->o->quick)
                scan_payloads(j);
        for (size_t i = 0; i < j->n_boms; i++)
                check_bom(j, &j->boms[i]);
        check_document(j, ".spdx.json", "SPDX");
        check_document(j, ".cdx.json", "CycloneDX");
        if (j->group->alone)
                check_lock(j);
}

/* ---- the result -------------------------------------------------------------------------------------- */

static json_t *key_names(const struct kiln_policy *p, uint64_t keys)
{
        json_t *list = json_array();

        for (size_t i = 0; i < p->n_owners; i++)
                if (keys >> i & 1)
                        json_array_append_new(list, kiln_sbom_text(p->owners[i].name));
        return list;
}

static json_t *package_result(const struct judge *j, const struct judge_package *p)
{
        char hex[KILN_DIGEST_HEX + 1];
        json_t *r = json_pack(
                "{s:o, s:s}", "file", kiln_sbom_text(p->path), "verdict", kiln_verdict_name(p->verdict));

        if (!p->rpm)
                return r;
        kiln_digest_to_hex(&p->rpm->file_sha256, hex);
        json_object_set_new(r, "name", json_string(p->name));
        json_object_set_new(r, "sha256", json_string(hex));
        json_object_set_new(r, "headerSha256", json_string(p->rpm->header_sha256));
        json_object_set_new(r, "payloadSha256", json_string(p->rpm->payload_sha256));
        json_object_set_new(r, "signature", json_string(signature_names[p->rpm->signature]));
        json_object_set_new(r, "signer", p->rpm->signer ? json_string(p->rpm->signer) : json_null());
        json_object_set_new(r, "form", json_string(form_names[p->form]));
        json_object_set_new(r, "keys", key_names(j->policy, p->vouched & ~p->dissented));
        json_object_set_new(r, "dissent", key_names(j->policy, p->dissented));
        return r;
}

static json_t *result(struct judge *j)
{
        json_t *packages = json_array(), *checks = json_object();
        enum kiln_verdict verdict = KILN_OK;

        for (size_t i = 0; i < j->n_packages; i++) {
                verdict = kiln_verify_worse(verdict, j->packages[i].verdict);
                json_array_append_new(packages, package_result(j, &j->packages[i]));
        }
        for (size_t i = 0; i < N_CHECKS; i++)
                if (j->made[i])
                        json_object_set_new(
                                checks, check_names[i], json_string(kiln_verdict_name(j->checks[i])));
        return json_pack("{s:o, s:o, s:s, s:b, s:o, s:o, s:o, s:o}", "source", kiln_sbom_text(j->group->nvr),
                "directory", kiln_sbom_text(j->group->directory), "verdict", kiln_verdict_name(verdict),
                "complete", !j->incomplete, "packages", packages, "attestations", TAKE_PTR(j->attestations),
                "checks", checks, "findings", TAKE_PTR(j->findings));
}

static void judge_clear(struct judge *j)
{
        for (size_t i = 0; i < j->n_packages; i++) {
                struct judge_package *p = &j->packages[i];

                if (p->fd >= 0)
                        close(p->fd);
                kiln_rpm_free(p->rpm);
                kiln_scan_free(p->scan);
                free(p->name);
                free(p->dates);
        }
        for (size_t i = 0; i < j->n_claims; i++) {
                free(j->claims[i].where);
                kiln_claims_clear(&j->claims[i].claims);
        }
        for (size_t i = 0; i < j->n_boms; i++) {
                free(j->boms[i].where);
                kiln_bom_free(j->boms[i].bom);
        }
        for (size_t i = 0; i < j->n_tests; i++) {
                free(j->tests[i].where);
                free(j->tests[i].name);
                free(j->tests[i].isa);
        }
        for (size_t i = 0; i < j->n_seen; i++) {
                free(j->seen[i].kind);
                free(j->seen[i].where);
                free(j->seen[i].elsewhere);
        }
        for (size_t i = 0; i < j->n_heads; i++)
                free(j->heads[i].where);
        for (size_t i = 0; i < j->n_times; i++)
                judge_time_clear(&j->times[i]);
        free(j->times);
        free(j->packages);
        free(j->claims);
        free(j->boms);
        free(j->tests);
        free(j->seen);
        free(j->heads);
        if (j->dir_fd >= 0)
                close(j->dir_fd);
}

json_t *kiln_verify_judge(
        const struct kiln_context *c, const struct kiln_verify_options *o, const struct kiln_verify_group *g)
{
        _cleanup_(judge_clear) struct judge j = {.context = c,
                .o = o,
                .policy = o->policy,
                .group = g,
                .findings = json_array(),
                .attestations = json_array()};
        size_t readable = 0;

        j.dir_fd = open(g->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        j.n_packages = kiln_strv_length(g->files);
        j.packages = kiln_calloc(j.n_packages + 1, sizeof(*j.packages));
        for (size_t i = 0; i < j.n_packages; i++)
                j.packages[i] = (struct judge_package){.path = g->files[i], .fd = -1};
        for (size_t i = 0; i < j.n_packages; i++) {
                open_package(&j, &j.packages[i]);
                readable += j.packages[i].rpm != NULL;
        }
        if (readable > 0) {
                judge_read_attestations(&j);
                check_documents(&j);
                judge_logged(&j);
                judge_policy(&j);
        }
        return result(&j);
}
