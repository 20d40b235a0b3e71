#include "worker/verify/policy.h"

#include "toolchains/toml.h"
#include "worker/base/clock.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/source/rpmkeyring.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define KEY_FILE_MAX ((size_t)1 << 20)
#define AUTHORITIES_MAX 16

void kiln_policy_free(struct kiln_policy *p)
{
        if (!p)
                return;
        for (size_t i = 0; i < p->n_owners; i++) {
                free(p->owners[i].name);
                free(p->owners[i].operator_name);
                kiln_strv_free(p->owners[i].builders);
        }
        for (size_t i = 0; i < p->n_package_keys; i++)
                free(p->package_keys[i].fingerprint);
        free(p->owners);
        free(p->package_keys);
        for (size_t i = 0; i < p->n_logs; i++)
                kiln_log_key_free(p->logs[i]);
        free(p->logs);
        kiln_verify_keys_clear(&p->keys);
        kiln_timestamp_authorities_clear(&p->authorities);
        kiln_keyring_free(p->keyring);
        free(p->uri);
        free(p->isa);
        kiln_strv_free(p->profiles);
        kiln_strv_free(p->sandbox);
        kiln_strv_free(p->tests);
        free(p);
}

struct kiln_policy *kiln_policy_new(void)
{
        struct kiln_policy *p = kiln_calloc(1, sizeof(*p));

        p->uri = kiln_strdup("default");
        p->keyring = kiln_keyring_new();
        p->agree_keys = p->agree_operators = 1;
        p->provenance = p->sbom = true;
        p->allow = (struct kiln_policy_allow){.overlays = true,
                .macros = true,
                .skip_check = true,
                .unsigned_source = true,
                .unsigned_inputs = true,
                .unsigned_packages = true};
        return p;
}

bool kiln_policy_valid_at(int64_t from_s, int64_t until_s, int64_t at_s)
{
        return (!from_s || at_s >= from_s) && (!until_s || at_s < until_s);
}

/* ---- keys -------------------------------------------------------------------------------------------- */

/* What a key's table in the file says. */
struct key_table {
        char *name, *operator_name, *file, *from, *until;
        char **builders;
        int64_t from_s, until_s;
};

static void key_table_clear(struct key_table *k)
{
        free(k->name);
        free(k->operator_name);
        free(k->file);
        free(k->from);
        free(k->until);
        kiln_strv_free(k->builders);
}

static int add_attestation_key(struct kiln_policy *p, const struct key_table *k, const char *pem,
        const char *path, struct kiln_error *err)
{
        struct kiln_policy_owner *o;
        size_t before = p->keys.n;
        int r = kiln_verify_keys_add(&p->keys, pem, path, err);

        if (r < 0)
                return r;
        if (p->keys.n == before)
                return kiln_error_set(err, KILN_BAD_INPUT, EEXIST, "reading the key", path,
                        "the same key was given before");
        if (p->keys.n > KILN_POLICY_KEYS_MAX)
                return kiln_error_set(err, KILN_BAD_INPUT, E2BIG, "reading the key", path,
                        "more than %d attestation keys", KILN_POLICY_KEYS_MAX);
        o = KILN_APPEND(p->owners, p->n_owners);
        o->name = kiln_strdup(k->name ? k->name : kiln_path_base(path));
        o->operator_name = kiln_strdup(k->operator_name ? k->operator_name : o->name);
        o->builders = k->builders ? kiln_strv_copy(k->builders) : NULL;
        o->from_s = k->from_s;
        o->until_s = k->until_s;
        return 0;
}

static int add_package_key(struct kiln_policy *p, const struct key_table *k, const char *armor,
        const char *path, struct kiln_error *err)
{
        struct kiln_policy_package_key *key;
        size_t before = p->keyring->n_ids;
        int r = kiln_keyring_add(p->keyring, armor, path, err);

        if (r < 0)
                return r;
        for (size_t i = before; i < p->keyring->n_ids; i++) {
                key = KILN_APPEND(p->package_keys, p->n_package_keys);
                key->fingerprint = kiln_strdup(p->keyring->ids[i].fingerprint);
                key->from_s = k->from_s;
                key->until_s = k->until_s;
        }
        return 0;
}

static int read_key_file(const char *path, struct kiln_buf *out, struct kiln_error *err)
{
        int r = kiln_file_read(AT_FDCWD, path, KEY_FILE_MAX, out);

        return r < 0 ? kiln_error_set(err, KILN_BAD_INPUT, -r, "reading the key", path, "cannot read it") : 0;
}

int kiln_policy_add_key(struct kiln_policy *p, const char *path, struct kiln_error *err)
{
        static const struct key_table anybody = {0};
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        int r = read_key_file(path, &text, err);

        if (r < 0)
                return r;
        return strstr(kiln_buf_str(&text), "-----BEGIN PGP ")
                       ? add_package_key(p, &anybody, kiln_buf_str(&text), path, err)
                       : add_attestation_key(p, &anybody, kiln_buf_str(&text), path, err);
}

static int add_authority(
        struct kiln_policy *p, const struct key_table *k, const char *path, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        int r = kiln_file_read(AT_FDCWD, path, KEY_FILE_MAX, &text);

        if (r < 0)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, -r, "reading the time-stamp authority", path, "cannot read it");
        if (p->authorities.n >= AUTHORITIES_MAX)
                return kiln_error_set(err, KILN_BAD_INPUT, E2BIG, "reading the time-stamp authority", path,
                        "more than %d of them", AUTHORITIES_MAX);
        return kiln_timestamp_authority_add(&p->authorities, kiln_buf_str(&text), text.len,
                k->name ? k->name : kiln_path_base(path), k->from_s, k->until_s, err);
}

int kiln_policy_add_authority(struct kiln_policy *p, const char *path, struct kiln_error *err)
{
        static const struct key_table unnamed = {0};

        return add_authority(p, &unnamed, path, err);
}

int kiln_policy_add_log(struct kiln_policy *p, const char *path, struct kiln_error *err)
{
        _cleanup_(kiln_log_key_freep) struct kiln_log_key *key = NULL;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        int r = read_key_file(path, &text, err);

        if (r < 0)
                return r;
        if (strlen(kiln_buf_str(&text)) != text.len || kiln_log_key_parse(kiln_buf_str(&text), &key) < 0) {
                kiln_error_set(err, KILN_BAD_INPUT, EINVAL, "reading the key", path,
                        "it is no verifier key of a log (NAME+ID+BASE64, of Ed25519)");
                kiln_error_advise(err, "`kiln log init` and `kiln signer --show` print one.");
                return -EINVAL;
        }
        *KILN_APPEND(p->logs, p->n_logs) = TAKE_PTR(key);
        return 0;
}

int kiln_policy_add_local(struct kiln_policy *p, const char *key_dir, struct kiln_error *err)
{
        static const char *const names[] = {KILN_KEYS_ATTEST_PUBLIC, KILN_KEYS_OPENPGP_PUBLIC};
        int r = 0;

        for (size_t i = 0; r == 0 && i < KILN_ARRAY_SIZE(names); i++) {
                _cleanup_free_ char *path = kiln_path_join(key_dir, names[i]);

                if (kiln_file_exists(AT_FDCWD, path))
                        r = kiln_policy_add_key(p, path, err);
        }
        return r;
}

int kiln_policy_add_keys(
        struct kiln_policy *p, char *const *paths, const char *key_dir, struct kiln_error *err)
{
        int r = 0;

        if (!paths)
                return key_dir ? kiln_policy_add_local(p, key_dir, err) : 0;
        for (; r == 0 && *paths; paths++)
                r = kiln_policy_add_key(p, *paths, err);
        return r;
}

int kiln_policy_check_keys(const struct kiln_policy *p, struct kiln_error *err)
{
        if (p->keys.n > 0)
                return 0;
        kiln_error_set(err, KILN_BAD_INPUT, 0, "looking for", "a key that attestations could be by",
                "none was given, and this user has none of their own");
        kiln_error_advise(
                err, "Give the builder's attest.pub with --key (rpm.asc is for packages' signatures only).");
        return -ENOKEY;
}

/* ---- the file ---------------------------------------------------------------------------------------- */

struct document {
        const char *name, *dir;
        struct kiln_policy *policy;
};

static int read_table(const struct document *d, const struct kiln_toml *table,
        const struct kiln_toml_field *fields, size_t n, void *object, struct kiln_error *err)
{
        if (table->kind != KILN_TOML_TABLE)
                return kiln_toml_error(d->name, table, err, "it must be a table");
        return kiln_toml_read(d->name, table, fields, n, object, err);
}

/* A moment in RFC 3339; NULL text: no bound. */
static int read_time(const struct document *d, const struct kiln_toml *table, const char *text, int64_t *ret,
        struct kiln_error *err)
{
        if (!text || kiln_clock_parse(text, ret) == 0)
                return 0;
        return kiln_toml_error(
                d->name, table, err, "'%s' is no moment in the form \"2026-01-31T12:00:00Z\"", text);
}

/* What a table [[…]] names by a file. */
enum file_kind { FILE_KEY, FILE_PACKAGE_KEY, FILE_AUTHORITY };

static int take_file(
        struct document *d, const struct key_table *k, enum file_kind kind, struct kiln_error *err)
{
        _cleanup_free_ char *path =
                k->file[0] == '/' ? kiln_strdup(k->file) : kiln_path_join(d->dir, k->file);
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        int r;

        if (kind == FILE_AUTHORITY)
                return add_authority(d->policy, k, path, err);
        r = read_key_file(path, &text, err);
        if (r < 0)
                return r;
        return kind == FILE_PACKAGE_KEY ? add_package_key(d->policy, k, kiln_buf_str(&text), path, err)
                                        : add_attestation_key(d->policy, k, kiln_buf_str(&text), path, err);
}

static int read_key(
        struct document *d, const struct kiln_toml *table, enum file_kind kind, struct kiln_error *err)
{
        /* Each kind has those up to its own last one. */
        static const struct kiln_toml_field fields[] = {
                {"file", KILN_TOML_T_STRING, true, offsetof(struct key_table, file)},
                {"valid-from", KILN_TOML_T_STRING, false, offsetof(struct key_table, from)},
                {"valid-until", KILN_TOML_T_STRING, false, offsetof(struct key_table, until)},
                {"name", KILN_TOML_T_STRING, true, offsetof(struct key_table, name)},
                {"operator", KILN_TOML_T_STRING, true, offsetof(struct key_table, operator_name)},
                {"builders", KILN_TOML_T_STRV, false, offsetof(struct key_table, builders)},
        };
        static const size_t n_fields[] = {
                [FILE_PACKAGE_KEY] = 3, [FILE_AUTHORITY] = 4, [FILE_KEY] = KILN_ARRAY_SIZE(fields)};
        _cleanup_(key_table_clear) struct key_table k = {0};
        int r = read_table(d, table, fields, n_fields[kind], &k, err);

        if (r == 0)
                r = read_time(d, table, k.from, &k.from_s, err);
        if (r == 0)
                r = read_time(d, table, k.until, &k.until_s, err);
        return r < 0 ? r : take_file(d, &k, kind, err);
}

static int read_keys(
        struct document *d, const struct kiln_toml *list, enum file_kind kind, struct kiln_error *err)
{
        if (list && list->kind != KILN_TOML_ARRAY)
                return kiln_toml_error(d->name, list, err, "write it as [[%s]]", list->key);
        for (size_t i = 0; list && i < list->n_children; i++) {
                int r = read_key(d, &list->children[i], kind, err);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_log(struct document *d, const struct kiln_toml *table, struct kiln_error *err)
{
        static const struct kiln_toml_field fields[] = {{"file", KILN_TOML_T_STRING, true, 0}};
        _cleanup_free_ char *file = NULL, *path = NULL;
        int r = read_table(d, table, fields, KILN_ARRAY_SIZE(fields), &file, err);

        if (r < 0)
                return r;
        path = file[0] == '/' ? kiln_strdup(file) : kiln_path_join(d->dir, file);
        return kiln_policy_add_log(d->policy, path, err);
}

static int read_logs(struct document *d, const struct kiln_toml *list, struct kiln_error *err)
{
        if (list && list->kind != KILN_TOML_ARRAY)
                return kiln_toml_error(d->name, list, err, "write it as [[log]]");
        for (size_t i = 0; list && i < list->n_children; i++) {
                int r = read_log(d, &list->children[i], err);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_threshold(struct document *d, const struct kiln_toml *table, struct kiln_error *err)
{
        static const struct kiln_toml_field fields[] = {
                {"keys", KILN_TOML_T_INTEGER, false, 0},
                {"operators", KILN_TOML_T_INTEGER, false, sizeof(int64_t)},
                {"dissent", KILN_TOML_T_STRING, false, 2 * sizeof(int64_t)},
        };
        static const char *const words[] = {[KILN_DISSENT_REFUSE] = "refuse",
                [KILN_DISSENT_OUTVOTE] = "outvote",
                [KILN_DISSENT_IGNORE] = "ignore"};
        struct {
                int64_t keys, operators;
                char *dissent;
        } t = {1, 1, NULL};
        _cleanup_free_ char *dissent = NULL;
        size_t i = 0;
        int r = read_table(d, table, fields, KILN_ARRAY_SIZE(fields), &t, err);

        dissent = t.dissent;
        if (r < 0)
                return r;
        if (t.keys < 1 || t.keys > KILN_POLICY_KEYS_MAX || t.operators < 1 || t.operators > t.keys)
                return kiln_toml_error(d->name, table, err, "keys must be 1 to %d, and operators 1 to keys",
                        KILN_POLICY_KEYS_MAX);
        while (dissent && i < KILN_ARRAY_SIZE(words) && strcmp(dissent, words[i]) != 0)
                i++;
        if (i == KILN_ARRAY_SIZE(words))
                return kiln_toml_error(
                        d->name, table, err, "dissent must be \"refuse\", \"outvote\" or \"ignore\"");
        d->policy->agree_keys = t.keys;
        d->policy->agree_operators = t.operators;
        d->policy->dissent = (enum kiln_policy_dissent)i;
        return 0;
}

static int read_require(struct document *d, const struct kiln_toml *table, struct kiln_error *err)
{
        static const struct kiln_toml_field fields[] = {
                {"isa", KILN_TOML_T_STRING, false, offsetof(struct kiln_policy, isa)},
                {"profiles", KILN_TOML_T_STRV, false, offsetof(struct kiln_policy, profiles)},
                {"sandbox", KILN_TOML_T_STRV, false, offsetof(struct kiln_policy, sandbox)},
                {"tests", KILN_TOML_T_STRV, false, offsetof(struct kiln_policy, tests)},
                {"provenance", KILN_TOML_T_BOOLEAN, false, offsetof(struct kiln_policy, provenance)},
                {"sbom", KILN_TOML_T_BOOLEAN, false, offsetof(struct kiln_policy, sbom)},
                {"time-stamp", KILN_TOML_T_BOOLEAN, false, offsetof(struct kiln_policy, time_stamp)},
                {"logged", KILN_TOML_T_BOOLEAN, false, offsetof(struct kiln_policy, logged)},
        };
        static const char *const levels[] = {"v1", "v2", "v3", "v4", NULL};
        int r = read_table(d, table, fields, KILN_ARRAY_SIZE(fields), d->policy, err);

        if (r == 0 && d->policy->isa && !kiln_strv_contains((char *const *)levels, d->policy->isa))
                r = kiln_toml_error(d->name, table, err, "isa must be \"v1\", \"v2\", \"v3\" or \"v4\"");
        if (r == 0 && d->policy->time_stamp && d->policy->authorities.n == 0)
                r = kiln_toml_error(d->name, table, err,
                        "time-stamp demands a [[time-stamp-authority]] whose stamps are accepted");
        if (r == 0 && d->policy->logged && d->policy->n_logs == 0)
                r = kiln_toml_error(d->name, table, err, "logged needs a [[log]] that counts");
        for (char **s = d->policy->sandbox; r == 0 && s && *s; s++) {
                struct kiln_digest digest;

                if (kiln_digest_from_hex(*s, &digest) < 0)
                        r = kiln_toml_error(d->name, table, err, "'%s' is no SHA-256", *s);
        }
        return r;
}

static int read_allow(struct document *d, const struct kiln_toml *table, struct kiln_error *err)
{
#define ALLOW(key, field)                                                                                    \
        {                                                                                                    \
                key, KILN_TOML_T_BOOLEAN, false, offsetof(struct kiln_policy_allow, field)                   \
        }
        static const struct kiln_toml_field fields[] = {
                ALLOW("overlays", overlays),
                ALLOW("macros", macros),
                ALLOW("skip-check", skip_check),
                ALLOW("unsigned-source", unsigned_source),
                ALLOW("unsigned-inputs", unsigned_inputs),
                ALLOW("unsigned-packages", unsigned_packages),
                ALLOW("resigned", resigned),
                ALLOW("failed-tests", failed_tests),
        };
#undef ALLOW

        return read_table(d, table, fields, KILN_ARRAY_SIZE(fields), &d->policy->allow, err);
}

int kiln_policy_parse(const char *name, const char *text, size_t len, const char *dir,
        struct kiln_policy **ret, struct kiln_error *err)
{
        struct top {
                const struct kiln_toml *key, *package_key, *authority, *log, *threshold, *require, *allow;
        } t = {0};
        static const struct kiln_toml_field fields[] = {
                {"key", KILN_TOML_T_NODE, false, offsetof(struct top, key)},
                {"package-key", KILN_TOML_T_NODE, false, offsetof(struct top, package_key)},
                {"time-stamp-authority", KILN_TOML_T_NODE, false, offsetof(struct top, authority)},
                {"log", KILN_TOML_T_NODE, false, offsetof(struct top, log)},
                {"threshold", KILN_TOML_T_NODE, false, offsetof(struct top, threshold)},
                {"require", KILN_TOML_T_NODE, false, offsetof(struct top, require)},
                {"allow", KILN_TOML_T_NODE, false, offsetof(struct top, allow)},
        };
        _cleanup_(kiln_policy_freep) struct kiln_policy *p = kiln_policy_new();
        struct document d = {.name = name, .dir = dir, .policy = p};
        _cleanup_toml_ struct kiln_toml *root = NULL;
        int r = kiln_toml_parse(name, text, len, &root, err);

        if (r == 0)
                r = kiln_toml_read(name, root, fields, KILN_ARRAY_SIZE(fields), &t, err);
        if (r < 0)
                return r;
        free(p->uri);
        p->uri = kiln_strdup(kiln_path_base(name));
        p->sha256 = kiln_digest_of(text, len);
        p->allow = (struct kiln_policy_allow){0};
        r = read_keys(&d, t.key, FILE_KEY, err);
        if (r == 0)
                r = read_keys(&d, t.package_key, FILE_PACKAGE_KEY, err);
        if (r == 0)
                r = read_keys(&d, t.authority, FILE_AUTHORITY, err);
        if (r == 0)
                r = read_logs(&d, t.log, err);
        if (r == 0 && t.threshold)
                r = read_threshold(&d, t.threshold, err);
        if (r == 0 && t.require)
                r = read_require(&d, t.require, err);
        if (r == 0 && t.allow)
                r = read_allow(&d, t.allow, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

int kiln_policy_load(const char *path, struct kiln_policy **ret, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        const char *base = kiln_path_base(path);
        _cleanup_free_ char *dir =
                base == path ? kiln_strdup(".") : kiln_strndup(path, (size_t)(base - path));
        int r = kiln_file_read(AT_FDCWD, path, KILN_TOML_MAX, &text);

        if (r < 0)
                return kiln_error_set(err, KILN_BAD_INPUT, -r, "reading the policy", path, "cannot read it");
        return kiln_policy_parse(path, kiln_buf_str(&text), text.len, dir, ret, err);
}
