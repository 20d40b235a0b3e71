/* Definitions from TOML: one table per TOML table says which keys there are. Must never run anything a
 * definition names, nor reach outside keys/ and macros/ for the files it names. */
#include "toolchains/toolchain.h"

#include "toolchains/toml.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAX ((size_t)1 << 20) /* bytes of a key or macro file */

struct document { /* the top level as read */
        char *name, *description, *vendor, *dist, *arch, *dbpath, *isa, *kernel_release;
        char **compatible_arches, **core, **bootstrap, **install_args, **macro_files, **dist_tags;
        int64_t cpus;
        const struct kiln_toml *epoch, *macros, *repositories, *inputs;
};

#define DOCUMENT(key, type, required, member)                                                                \
        {                                                                                                    \
                key, KILN_TOML_T_##type, required, offsetof(struct document, member)                         \
        }
static const struct kiln_toml_field document_fields[] = {
        DOCUMENT("name", STRING, true, name),
        DOCUMENT("description", STRING, false, description),
        DOCUMENT("vendor", STRING, true, vendor),
        DOCUMENT("dist", STRING, true, dist),
        DOCUMENT("dist-tags", STRV, false, dist_tags),
        DOCUMENT("arch", STRING, true, arch),
        DOCUMENT("compatible-arches", STRV, false, compatible_arches),
        DOCUMENT("core", STRV, true, core),
        DOCUMENT("bootstrap", STRV, false, bootstrap),
        DOCUMENT("dbpath", STRING, false, dbpath),
        DOCUMENT("install-args", STRV, false, install_args),
        DOCUMENT("isa", STRING, false, isa),
        DOCUMENT("kernel-release", STRING, false, kernel_release),
        DOCUMENT("cpus", INTEGER, false, cpus),
        DOCUMENT("macro-files", STRV, false, macro_files),
        DOCUMENT("source-date-epoch", NODE, false, epoch),
        DOCUMENT("macros", NODE, false, macros),
        DOCUMENT("repository", NODE, true, repositories),
        DOCUMENT("inputs", NODE, false, inputs),
};

struct repository { /* [[repository]] as read */
        char *id, *uri, *metalink, *mirrorlist, *repomd;
        char **base_urls, **keys, **local_keys, **excludes;
        bool check_repomd, unsigned_packages;
        int64_t priority;
};

#define REPOSITORY(key, type, required, member)                                                              \
        {                                                                                                    \
                key, KILN_TOML_T_##type, required, offsetof(struct repository, member)                       \
        }
static const struct kiln_toml_field repository_fields[] = {
        REPOSITORY("id", STRING, true, id),
        REPOSITORY("uri", STRING, false, uri),
        REPOSITORY("base-urls", STRV, false, base_urls),
        REPOSITORY("metalink", STRING, false, metalink),
        REPOSITORY("mirrorlist", STRING, false, mirrorlist),
        REPOSITORY("keys", STRV, false, keys),
        REPOSITORY("local-keys", STRV, false, local_keys),
        REPOSITORY("check-repomd", BOOLEAN, false, check_repomd),
        REPOSITORY("repomd-sha256", STRING, false, repomd),
        REPOSITORY("unsigned-packages", BOOLEAN, false, unsigned_packages),
        REPOSITORY("priority", INTEGER, false, priority),
        REPOSITORY("excludes", STRV, false, excludes),
};

static void document_clear(struct document *d)
{
        char *strings[] = {
                d->name, d->description, d->vendor, d->dist, d->arch, d->dbpath, d->isa, d->kernel_release};
        char **lists[] = {
                d->compatible_arches, d->core, d->bootstrap, d->install_args, d->macro_files, d->dist_tags};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(strings); i++)
                free(strings[i]);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(lists); i++)
                kiln_strv_free(lists[i]);
}

static void repository_clear(struct repository *r)
{
        free(r->id);
        free(r->uri);
        free(r->metalink);
        free(r->mirrorlist);
        free(r->repomd);
        kiln_strv_free(r->base_urls);
        kiln_strv_free(r->keys);
        kiln_strv_free(r->local_keys);
        kiln_strv_free(r->excludes);
}

void kiln_toolchain_free(struct kiln_toolchain *t)
{
        if (!t)
                return;
        free(t->name);
        free(t->path);
        free(t->description);
        free(t->vendor);
        free(t->dist);
        free(t->arch);
        kiln_strv_free(t->compatible_arches);
        kiln_strv_free(t->core);
        kiln_strv_free(t->bootstrap);
        free(t->dbpath);
        kiln_strv_free(t->install_args);
        free(t->kernel_release);
        kiln_strv_free(t->dist_tags);
        for (size_t i = 0; i < t->n_macros; i++) {
                free(t->macros[i].name);
                free(t->macros[i].body);
        }
        free(t->macros);
        for (size_t i = 0; i < t->n_macro_files; i++) {
                free(t->macro_files[i].name);
                free(t->macro_files[i].text);
        }
        free(t->macro_files);
        for (size_t i = 0; i < t->n_repositories; i++) {
                struct kiln_repository *r = &t->repositories[i];

                free(r->id);
                free(r->uri);
                kiln_strv_free(r->base_urls);
                free(r->metalink);
                free(r->mirrorlist);
                free(r->keys);
                kiln_strv_free(r->excludes);
        }
        free(t->repositories);
        for (size_t i = 0; i < t->n_keys; i++) {
                free(t->keys[i].name);
                free(t->keys[i].armor);
        }
        free(t->keys);
        for (size_t i = 0; i < t->n_inputs; i++)
                free(t->inputs[i].name);
        free(t->inputs);
        free(t);
}

/* A file name without a way out of its directory. */
static bool name_is_plain(const char *s)
{
        return s[0] && s[0] != '.' && !strchr(s, '/') && strlen(s) < 256;
}

/* Toolchain names end up in paths, URLs and provenance. */
static bool name_is_valid(const char *s)
{
        for (const char *p = s; *p; p++)
                if (!isalnum((unsigned char)*p) && !strchr("-_.", *p))
                        return false;
        return name_is_plain(s);
}

/* <definition's directory>/<folder>/<name>, else <data>/<folder>/<name>. */
static int read_beside(const struct kiln_context *c, const char *path, const char *folder, const char *name,
        char **ret, struct kiln_error *err)
{
        const char *base = kiln_path_base(path);
        _cleanup_free_ char *dir = kiln_strndup(path, (size_t)(base - path));
        const char *parents[] = {dir[0] ? dir : ".", c ? c->data_dir : NULL};
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        int r = -ENOENT;

        if (!name_is_plain(name)) {
                kiln_error_set(
                        err, KILN_BAD_INPUT, 0, "reading", path, "'%s' is not a plain file name", name);
                return -EINVAL;
        }
        for (size_t i = 0; i < KILN_ARRAY_SIZE(parents) && r == -ENOENT; i++) {
                _cleanup_free_ char *file = NULL;

                if (!parents[i])
                        continue;
                file = kiln_asprintf("%s/%s/%s", parents[i], folder, name);
                kiln_buf_reset(&text);
                r = kiln_file_read(AT_FDCWD, file, FILE_MAX, &text);
        }
        if (r < 0)
                return kiln_error_set(err, KILN_BAD_INPUT, -r, "reading", path,
                        "cannot read the file %s/%s it names", folder, name);
        if (memchr(text.data ? text.data : "", '\0', text.len)) {
                kiln_error_set(
                        err, KILN_BAD_INPUT, 0, "reading", path, "%s/%s is not a text file", folder, name);
                return -EINVAL;
        }
        *ret = kiln_buf_take(&text);
        return 0;
}

static int key_index(const struct kiln_context *c, struct kiln_toolchain *t, const char *name, bool local,
        size_t *ret, struct kiln_error *err)
{
        char *armor = NULL;
        int r;

        for (size_t i = 0; i < t->n_keys; i++)
                if (strcmp(t->keys[i].name, name) == 0 && t->keys[i].local == local) {
                        *ret = i;
                        return 0;
                }
        r = read_beside(c, t->path, "keys", name, &armor, err);
        if (r < 0)
                return r;
        if (!strstr(armor, "-----BEGIN PGP PUBLIC KEY BLOCK-----")) {
                free(armor);
                kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", t->path,
                        "keys/%s is not an ASCII-armored OpenPGP public key", name);
                return -EINVAL;
        }
        *KILN_APPEND(t->keys, t->n_keys) = (struct kiln_key){kiln_strdup(name), armor, local};
        *ret = t->n_keys - 1;
        return 0;
}

static int repository_keys(const struct kiln_context *c, struct kiln_toolchain *t, char *const *names,
        bool local, struct kiln_repository *r, struct kiln_error *err)
{
        for (size_t i = 0; i < kiln_strv_length(names); i++) {
                size_t index;
                int e = key_index(c, t, names[i], local, &index, err);

                if (e < 0)
                        return e;
                *KILN_APPEND(r->keys, r->n_keys) = index;
        }
        return 0;
}

static bool url_is_known(const char *u)
{
        return strncmp(u, "https://", 8) == 0 || strncmp(u, "http://", 7) == 0 ||
               strncmp(u, "file:///", 8) == 0;
}

/* An absolute or relative path becomes a file:// URL; other schemes are refused by the caller. */
static char *url_resolve(const struct kiln_toolchain *t, const char *u)
{
        const char *base = kiln_path_base(t->path);
        _cleanup_free_ char *dir = NULL, *real = NULL;

        if (strstr(u, "://"))
                return kiln_strdup(u);
        if (u[0] == '/')
                return kiln_asprintf("file://%s", u);
        dir = kiln_strndup(t->path, (size_t)(base - t->path));
        real = realpath(dir[0] ? dir : ".", NULL);
        return kiln_asprintf("file://%s/%s", real ? real : dir, u);
}

static int repository_check(const struct kiln_toolchain *t, const struct kiln_toml *node,
        const struct repository *d, const struct kiln_repository *r, struct kiln_error *err)
{
        const char *others[] = {d->metalink, d->mirrorlist};

        if (!name_is_valid(r->id))
                return kiln_toml_error(t->path, node, err, "'%s' is not usable as a repository id", r->id);
        for (size_t i = 0; i < t->n_repositories; i++)
                if (strcmp(t->repositories[i].id, r->id) == 0)
                        return kiln_toml_error(t->path, node, err, "repository id '%s' is used twice", r->id);
        if (!r->base_urls && !r->metalink && !r->mirrorlist)
                return kiln_toml_error(t->path, node, err,
                        "repository '%s' has no base-urls, metalink or mirrorlist", r->id);
        for (size_t i = 0; i < kiln_strv_length(r->base_urls); i++)
                if (!url_is_known(r->base_urls[i]))
                        return kiln_toml_error(t->path, node, err,
                                "'%s' is no http://, https:// or file:// URL, nor a path", r->base_urls[i]);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(others); i++)
                if (others[i] && !url_is_known(others[i]))
                        return kiln_toml_error(t->path, node, err, "'%s' is no URL", others[i]);
        if (d->priority < 0 || d->priority > 999)
                return kiln_toml_error(t->path, node, err, "'priority' must be between 0 and 999");
        if (r->check_repomd && r->n_keys == 0)
                return kiln_toml_error(t->path, node, err, "'check-repomd' needs keys");
        if (!r->unsigned_packages && r->n_keys == 0)
                return kiln_toml_error(t->path, node, err,
                        "repository '%s' has no keys: name them, or say unsigned-packages = true", r->id);
        return 0;
}

static int repository_load(const struct kiln_context *c, struct kiln_toolchain *t,
        const struct kiln_toml *node, struct kiln_error *err)
{
        _cleanup_(repository_clear) struct repository d = {.priority = 99};
        struct kiln_repository r = {0};
        int e;

        if (node->kind != KILN_TOML_TABLE)
                return kiln_toml_error(t->path, node, err, "'repository' must be [[repository]] tables");
        e = kiln_toml_read(t->path, node, repository_fields, KILN_ARRAY_SIZE(repository_fields), &d, err);
        if (e < 0)
                return e;
        r = (struct kiln_repository){
                .id = kiln_strdup(d.id),
                .metalink = d.metalink ? kiln_strdup(d.metalink) : NULL,
                .mirrorlist = d.mirrorlist ? kiln_strdup(d.mirrorlist) : NULL,
                .check_repomd = d.check_repomd,
                .unsigned_packages = d.unsigned_packages,
                .priority = (int)d.priority,
                .excludes = kiln_strv_copy(d.excludes),
        };
        for (size_t i = 0; i < kiln_strv_length(d.base_urls); i++) {
                _cleanup_free_ char *u = url_resolve(t, d.base_urls[i]);

                kiln_strv_append(&r.base_urls, u);
        }
        if (d.uri || r.base_urls || r.metalink || r.mirrorlist)
                r.uri = kiln_strdup(d.uri         ? d.uri
                                    : r.base_urls ? r.base_urls[0]
                                    : r.metalink  ? r.metalink
                                                  : r.mirrorlist);
        e = repository_keys(c, t, d.keys, false, &r, err);
        if (e == 0)
                e = repository_keys(c, t, d.local_keys, true, &r, err);
        if (e == 0)
                e = repository_check(t, node, &d, &r, err);
        if (e == 0 && d.repomd) {
                r.has_repomd_digest = true;
                e = kiln_digest_from_hex(d.repomd, &r.repomd_digest);
                if (e < 0)
                        e = kiln_toml_error(t->path, node, err, "'repomd-sha256' is not a SHA-256");
        }
        *KILN_APPEND(t->repositories, t->n_repositories) = r; /* owned by t now, also after an error */
        return e;
}

static int macros_load(struct kiln_toolchain *t, const struct kiln_toml *table, struct kiln_error *err)
{
        if (table->kind != KILN_TOML_TABLE)
                return kiln_toml_error(t->path, table, err, "'macros' must be a table");
        for (size_t i = 0; i < table->n_children; i++) {
                const struct kiln_toml *m = &table->children[i];
                size_t len = strcspn(m->key, "(");

                if (m->kind != KILN_TOML_STRING)
                        return kiln_toml_error(t->path, m, err, "a macro's body must be a string");
                /* rpm: at least three characters, letters, digits and '_', no digit first */
                if (len < 3 || isdigit((unsigned char)m->key[0]))
                        return kiln_toml_error(t->path, m, err, "'%s' is no macro name", m->key);
                for (size_t k = 0; k < len; k++)
                        if (!isalnum((unsigned char)m->key[k]) && m->key[k] != '_')
                                return kiln_toml_error(t->path, m, err, "'%s' is no macro name", m->key);
                if (m->key[len] && m->key[strlen(m->key) - 1] != ')')
                        return kiln_toml_error(t->path, m, err, "'%s' is no macro name", m->key);
                *KILN_APPEND(t->macros, t->n_macros) =
                        (struct kiln_macro){kiln_strdup(m->key), kiln_strdup(m->string)};
        }
        return 0;
}

static int epoch_load(struct kiln_toolchain *t, const struct kiln_toml *table, struct kiln_error *err)
{
        struct {
                char *policy;
                int64_t seconds;
        } d = {NULL, -1};
        const struct kiln_toml_field fields[] = {
                {"policy", KILN_TOML_T_STRING, true, 0},
                {"seconds", KILN_TOML_T_INTEGER, false, sizeof(char *)},
        };
        int e;

        if (table->kind != KILN_TOML_TABLE)
                return kiln_toml_error(t->path, table, err, "'source-date-epoch' must be a table");
        e = kiln_toml_read(t->path, table, fields, KILN_ARRAY_SIZE(fields), &d, err);
        if (e == 0 && strcmp(d.policy, "changelog") == 0 && d.seconds == -1) {
                t->epoch_policy = KILN_EPOCH_CHANGELOG;
        } else if (e == 0 && strcmp(d.policy, "fixed") == 0 && d.seconds >= 0 && d.seconds <= INT32_MAX) {
                t->epoch_policy = KILN_EPOCH_FIXED; /* RPM's times are 32 bits wide */
                t->epoch_fixed_s = d.seconds;
        } else if (e == 0) {
                e = kiln_toml_error(t->path, table, err,
                        "'policy' must be \"changelog\", or \"fixed\" with 'seconds' between 0 and "
                        "2147483647");
        }
        free(d.policy);
        return e;
}

static int input_compare(const void *a, const void *b)
{
        return strcmp(((const struct kiln_input *)a)->name, ((const struct kiln_input *)b)->name);
}

static int inputs_load(struct kiln_toolchain *t, const struct kiln_toml *table, struct kiln_error *err)
{
        if (table->kind != KILN_TOML_TABLE)
                return kiln_toml_error(t->path, table, err, "'inputs' must be a table");
        for (size_t i = 0; i < table->n_children; i++) {
                const struct kiln_toml *n = &table->children[i];
                struct kiln_digest d;

                if (n->kind != KILN_TOML_STRING || kiln_digest_from_hex(n->string, &d) < 0)
                        return kiln_toml_error(t->path, n, err, "'%s' is not a SHA-256", n->key);
                *KILN_APPEND(t->inputs, t->n_inputs) = (struct kiln_input){kiln_strdup(n->key), d};
        }
        if (t->n_inputs)
                qsort(t->inputs, t->n_inputs, sizeof(*t->inputs), input_compare);
        return 0;
}

static char *take_or(char **s, const char *otherwise)
{
        return *s ? TAKE_PTR(*s) : kiln_strdup(otherwise);
}

/* The top level's plain values into t, with their defaults; takes them out of d. */
static int document_apply(
        struct kiln_toolchain *t, struct document *d, const struct kiln_toml *root, struct kiln_error *err)
{
        t->isa = KILN_ISA_V3;
        if (!name_is_valid(d->name))
                return kiln_toml_error(
                        t->path, root, err, "'%s' is not usable as a toolchain's name", d->name);
        if (d->isa && kiln_isa_level_parse(d->isa, &t->isa) < 0)
                return kiln_toml_error(t->path, kiln_toml_get(root, "isa"), err,
                        "'isa' must be \"v1\", \"v2\", \"v3\" or \"v4\"");
        if (strcmp(d->arch, "x86_64") != 0)
                return kiln_toml_error(t->path, kiln_toml_get(root, "arch"), err,
                        "'arch' must be \"x86_64\": no other is supported");
        if (d->cpus < 1 || d->cpus > 1024)
                return kiln_toml_error(
                        t->path, kiln_toml_get(root, "cpus"), err, "'cpus' must be between 1 and 1024");
        if (d->dbpath && d->dbpath[0] != '/')
                return kiln_toml_error(
                        t->path, kiln_toml_get(root, "dbpath"), err, "'dbpath' must be an absolute path");
        t->cpus = (unsigned)d->cpus;
        t->name = TAKE_PTR(d->name);
        t->description = take_or(&d->description, "");
        t->vendor = TAKE_PTR(d->vendor);
        t->dist = TAKE_PTR(d->dist);
        t->arch = TAKE_PTR(d->arch);
        t->dbpath = take_or(&d->dbpath, "/usr/lib/sysimage/rpm");
        t->kernel_release = take_or(&d->kernel_release, "6.12.0-kiln");
        t->core = TAKE_PTR(d->core);
        t->bootstrap = TAKE_PTR(d->bootstrap);
        t->install_args = TAKE_PTR(d->install_args);
        t->dist_tags = TAKE_PTR(d->dist_tags);
        t->compatible_arches = TAKE_PTR(d->compatible_arches);
        if (!t->bootstrap)
                kiln_strv_append(&t->bootstrap, "rpm");
        if (!t->compatible_arches) {
                kiln_strv_append(&t->compatible_arches, t->arch);
                kiln_strv_append(&t->compatible_arches, "noarch");
        }
        if (!t->core)
                return kiln_toml_error(t->path, kiln_toml_get(root, "core"), err, "'core' is empty");
        return 0;
}

static int toolchain_fill(const struct kiln_context *c, struct kiln_toolchain *t, struct document *d,
        const struct kiln_toml *root, struct kiln_error *err)
{
        int r = document_apply(t, d, root, err);

        if (r == 0 && d->epoch)
                r = epoch_load(t, d->epoch, err);
        if (r == 0 && d->macros)
                r = macros_load(t, d->macros, err);
        for (size_t i = 0; r == 0 && i < kiln_strv_length(d->macro_files); i++) {
                char *text = NULL;

                r = read_beside(c, t->path, "macros", d->macro_files[i], &text, err);
                if (r == 0)
                        *KILN_APPEND(t->macro_files, t->n_macro_files) =
                                (struct kiln_macro_file){kiln_strdup(d->macro_files[i]), text};
        }
        if (r == 0 && d->repositories->kind != KILN_TOML_ARRAY)
                r = kiln_toml_error(
                        t->path, d->repositories, err, "'repository' must be [[repository]] tables");
        for (size_t i = 0; r == 0 && i < d->repositories->n_children; i++)
                r = repository_load(c, t, &d->repositories->children[i], err);
        if (r == 0 && t->n_repositories == 0)
                r = kiln_toml_error(t->path, d->repositories, err, "there is no [[repository]]");
        if (r == 0 && d->inputs)
                r = inputs_load(t, d->inputs, err);
        return r;
}

int kiln_toolchain_parse(const struct kiln_context *c, const char *path, const char *text, size_t len,
        struct kiln_toolchain **ret, struct kiln_error *err)
{
        _cleanup_toml_ struct kiln_toml *root = NULL;
        _cleanup_toolchain_ struct kiln_toolchain *t = kiln_calloc(1, sizeof(*t));
        _cleanup_(document_clear) struct document d = {.cpus = 4};
        _cleanup_buf_ struct kiln_buf canonical = KILN_BUF_INIT;
        int r;

        t->path = kiln_strdup(path);
        r = kiln_toml_parse(path, text, len, &root, err);
        if (r == 0)
                r = kiln_toml_read(path, root, document_fields, KILN_ARRAY_SIZE(document_fields), &d, err);
        if (r == 0)
                r = toolchain_fill(c, t, &d, root, err);
        if (r < 0)
                return r;
        kiln_toolchain_canonical(t, &canonical);
        t->digest = kiln_digest_of(canonical.data, canonical.len);
        *ret = TAKE_PTR(t);
        return 0;
}

/* The directories definitions are found in, first match wins; the caller's. */
static char **search_path(const struct kiln_context *c)
{
        _cleanup_free_ char *config = kiln_path_join(c->config_dir, "toolchains");
        _cleanup_free_ char *cache = kiln_path_join(c->cache_dir, "bootstrap");
        char **dirs = NULL;

        kiln_strv_append(&dirs, config);
        kiln_strv_append(&dirs, cache);
        kiln_strv_append(&dirs, c->data_dir);
        return dirs;
}

/* What a definition of this name is called in directory number i of search_path(): the generated one has a
 * fixed name. NULL: it cannot be there. */
static char *definition_path(char *const *dirs, size_t i, const char *name)
{
        if (i == 1)
                return strcmp(name, "bootstrap") == 0 ? kiln_path_join(dirs[i], "toolchain.toml") : NULL;
        return kiln_asprintf("%s/%s.toml", dirs[i], name);
}

static int load_path(
        const struct kiln_context *c, const char *path, struct kiln_toolchain **ret, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        int r = kiln_file_read(AT_FDCWD, path, KILN_TOML_MAX, &text);

        if (r < 0)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, -r, "reading the toolchain", path, "cannot read it");
        return kiln_toolchain_parse(c, path, kiln_buf_str(&text), text.len, ret, err);
}

int kiln_toolchain_load(
        const struct kiln_context *c, const char *name, struct kiln_toolchain **ret, struct kiln_error *err)
{
        _cleanup_strv_ char **dirs = NULL, **known = NULL;
        _cleanup_buf_ struct kiln_buf names = KILN_BUF_INIT;

        if (strchr(name, '/'))
                return load_path(c, name, ret, err);
        if (!name_is_valid(name)) {
                kiln_error_set(
                        err, KILN_BAD_INPUT, 0, "loading the toolchain", name, "that is no toolchain's name");
                return -EINVAL;
        }
        dirs = search_path(c);
        for (size_t i = 0; i < kiln_strv_length(dirs); i++) {
                _cleanup_free_ char *path = definition_path(dirs, i, name);

                if (path && kiln_file_exists(AT_FDCWD, path))
                        return load_path(c, path, ret, err);
        }
        kiln_error_set(err, KILN_BAD_INPUT, 0, "loading the toolchain", name, "there is no such definition");
        if (strcmp(name, "bootstrap") == 0) {
                kiln_error_advise(err, "Make it with: kiln toolchain bootstrap");
        } else if (kiln_toolchain_list(c, &known, NULL) == 0) {
                for (size_t i = 0; i < kiln_strv_length(known); i++)
                        kiln_buf_printf(&names, "%s%s", i ? ", " : "", known[i]);
                kiln_error_advise(err, "Known toolchains: %s. A path to a .toml file works as well.",
                        names.len ? names.data : "none");
        }
        return -ENOENT;
}

static void list_dir(const char *dir, char ***names)
{
        DIR *d = opendir(dir);
        struct dirent *e;

        while (d && (e = readdir(d))) {
                size_t n = strlen(e->d_name);
                _cleanup_free_ char *name = NULL;

                if (n <= 5 || strcmp(e->d_name + n - 5, ".toml") != 0)
                        continue;
                name = kiln_strndup(e->d_name, n - 5);
                if (name_is_valid(name) && !kiln_strv_contains(*names, name))
                        kiln_strv_append(names, name);
        }
        if (d)
                closedir(d);
}

int kiln_toolchain_list(const struct kiln_context *c, char ***ret, struct kiln_error *err)
{
        _cleanup_strv_ char **dirs = search_path(c);
        _cleanup_free_ char *generated = definition_path(dirs, 1, "bootstrap");
        char **names = NULL;

        list_dir(dirs[0], &names);
        list_dir(dirs[2], &names);
        if (kiln_file_exists(AT_FDCWD, generated) && !kiln_strv_contains(names, "bootstrap"))
                kiln_strv_append(&names, "bootstrap");
        if (!names)
                names = kiln_calloc(1, sizeof(*names));
        qsort(names, kiln_strv_length(names), sizeof(*names), kiln_strcmp_ptr);
        *ret = names;
        return 0;
}
