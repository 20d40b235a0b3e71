/* The finished RPMs as a repository: metadata by createrepo_c, a signature over repomd.xml by whoever holds
 * the key, and the toolchain definition that names all of it. Only metadata is made here; no package is
 * touched. */
#include "toolchains/bootstrap.h"

#include "worker/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define REPOMD_MAX ((size_t)1 << 20)
#define KEY_NAME "kiln-local.asc"

static int read_repomd(struct bootstrap *b, const char *repo, struct kiln_buf *text, struct kiln_error *err)
{
        _cleanup_free_ char *path = kiln_asprintf("%s/repodata/repomd.xml", repo);
        int r = kiln_file_read(AT_FDCWD, path, REPOMD_MAX, text);

        return r < 0 ? kiln_error_set(err, KILN_INFRA, -r, BOOTSTRAP_DOING, path, "cannot read it") : 0;
}

/* Links (or copies) the RPMs into dir. Their times end up in the metadata, so they get a fixed one. */
static int fill(struct bootstrap *b, const char *dir, struct kiln_error *err)
{
        const struct timespec times[2] = {{.tv_sec = b->t.own_epoch_s}, {.tv_sec = b->t.own_epoch_s}};

        for (size_t i = 0; i < kiln_strv_length(b->rpms); i++) {
                _cleanup_free_ char *to = kiln_path_join(dir, kiln_path_base(b->rpms[i]));

                if (link(b->rpms[i], to) < 0 || utimensat(AT_FDCWD, to, times, 0) < 0)
                        return kiln_error_set(
                                err, KILN_INFRA, errno, BOOTSTRAP_DOING, to, "cannot link it into place");
        }
        return 0;
}

static int create_metadata(struct bootstrap *b, const char *dir, struct kiln_error *err)
{
        _cleanup_free_ char *revision = kiln_asprintf("--revision=%" PRId64, b->t.own_epoch_s);
        const char *const args[] = {"--quiet", "--no-database", "--checksum=sha256",
                "--general-compress-type=zstd", revision, "--set-timestamp-to-revision", "--workers=2", dir,
                NULL};
        _cleanup_buf_ struct kiln_buf errors = KILN_BUF_INIT;
        int r = bootstrap_tools_run(b, "usr/bin/createrepo_c", args, b->t.own_epoch_s, NULL, NULL, &errors);

        if (r == 0)
                return 0;
        if (r == -ECANCELED)
                return kiln_context_check(b->c, BOOTSTRAP_DOING, err);
        kiln_error_set(err, KILN_INFRA, r < 0 ? -r : 0, BOOTSTRAP_DOING, "createrepo_c", "it failed: %s",
                kiln_buf_str(&errors));
        return r < 0 ? r : -EIO;
}

/* repomd.xml.asc, and the public key beside the definition. */
static int sign(struct bootstrap *b, const char *repo, const struct kiln_bootstrap_signer *signer,
        struct kiln_error *err)
{
        _cleanup_free_ char *asc = kiln_asprintf("%s/repodata/repomd.xml.asc", repo), *armor = NULL;
        _cleanup_free_ char *keys = kiln_path_join(b->dir, "keys"), *key = kiln_path_join(keys, KEY_NAME);
        _cleanup_buf_ struct kiln_buf repomd = KILN_BUF_INIT;
        int fd, r = read_repomd(b, repo, &repomd, err);

        if (r < 0 || !signer)
                return r;
        r = signer->sign(signer->ctx, repomd.data, repomd.len, &armor, err);
        if (r < 0)
                return r;
        fd = kiln_dir_make(AT_FDCWD, keys, 0755);
        if (fd < 0)
                return kiln_error_set(err, KILN_INFRA, -fd, BOOTSTRAP_DOING, keys, "cannot make it");
        close(fd);
        r = kiln_file_write(AT_FDCWD, asc, armor, strlen(armor), 0644);
        if (r == 0)
                r = kiln_file_write(AT_FDCWD, key, signer->public_key, strlen(signer->public_key), 0644);
        return r < 0 ? kiln_error_set(err, KILN_INFRA, -r, BOOTSTRAP_DOING, asc, "cannot write it") : 0;
}

/* A TOML basic string. */
static void put_string(struct kiln_buf *out, const char *s)
{
        kiln_buf_putc(out, '"');
        for (; *s; s++)
                if (*s == '"' || *s == '\\')
                        kiln_buf_printf(out, "\\%c", *s);
                else if ((unsigned char)*s < 0x20 || *s == 0x7f)
                        kiln_buf_printf(out, "\\u%04x", (unsigned char)*s);
                else
                        kiln_buf_putc(out, *s);
        kiln_buf_putc(out, '"');
}

static void put_value(struct kiln_buf *out, const struct kiln_toml *n)
{
        if (n->kind == KILN_TOML_STRING) {
                put_string(out, n->string);
        } else if (n->kind == KILN_TOML_ARRAY) {
                kiln_buf_puts(out, "[");
                for (size_t i = 0; i < n->n_children; i++) {
                        kiln_buf_puts(out, i ? ", " : "");
                        put_string(out, n->children[i].string ? n->children[i].string : "");
                }
                kiln_buf_puts(out, "]");
        }
}

static int write_definition(struct bootstrap *b, const char *repo, bool is_signed, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT, repomd = KILN_BUF_INIT;
        _cleanup_free_ char *path = kiln_path_join(b->dir, "toolchain.toml");
        struct kiln_digest digest, recipe;
        char hex[KILN_DIGEST_HEX + 1];
        int r = read_repomd(b, repo, &repomd, err);

        if (r == 0)
                r = bootstrap_recipe_digest(b, &recipe, err);
        if (r < 0)
                return r;
        digest = kiln_digest_of(repomd.data, repomd.len);
        kiln_digest_to_hex(&digest, hex);
        kiln_buf_puts(&out,
                "# Made by `kiln toolchain bootstrap`; the next run replaces it.\nname = \"bootstrap\"\n"
                "arch = \"x86_64\"\ncompatible-arches = [\"x86_64\", \"noarch\"]\n"
                "cpus = 2\n"); /* what any host can show: nproc must say the same everywhere */
        for (size_t i = 0; i < b->t.toolchain->n_children; i++) {
                const struct kiln_toml *n = &b->t.toolchain->children[i];

                if (n->kind == KILN_TOML_TABLE)
                        continue;
                kiln_buf_printf(&out, "%s = ", n->key);
                put_value(&out, n);
                kiln_buf_putc(&out, '\n');
        }
        kiln_buf_puts(&out, "\n[source-date-epoch]\npolicy = \"changelog\"\n\n[macros]\n");
        for (size_t i = 0; i < b->t.toolchain->n_children; i++) {
                const struct kiln_toml *n = &b->t.toolchain->children[i];

                for (size_t k = 0;
                        n->kind == KILN_TOML_TABLE && strcmp(n->key, "macros") == 0 && k < n->n_children;
                        k++) {
                        put_string(&out, n->children[k].key);
                        kiln_buf_puts(&out, " = ");
                        put_value(&out, &n->children[k]);
                        kiln_buf_putc(&out, '\n');
                }
        }
        kiln_buf_printf(&out,
                "\n[[repository]]\nid = \"bootstrap\"\nuri = \"kiln:bootstrap/%s\"\nbase-urls = [\"repo\"]\n"
                "repomd-sha256 = \"%s\"\nunsigned-packages = true\n",
                b->t.suite, hex);
        if (is_signed)
                kiln_buf_puts(&out, "local-keys = [\"" KEY_NAME "\"]\ncheck-repomd = true\n");
        kiln_digest_to_hex(&recipe, hex);
        kiln_buf_printf(&out, "\n[inputs]\n\"recipe\" = \"%s\"\n", hex);
        for (size_t i = 0; i < b->n_debs; i++) {
                kiln_digest_to_hex(&b->debs[i].digest, hex);
                put_string(&out, b->debs[i].file);
                kiln_buf_printf(&out, " = \"%s\"\n", hex);
        }
        r = kiln_file_write(AT_FDCWD, path, out.data, out.len, 0644);
        return r < 0 ? kiln_error_set(err, KILN_INFRA, -r, BOOTSTRAP_DOING, path, "cannot write it") : 0;
}

/* new takes the place of repo in one step, where the file system can exchange two names. */
static int replace(const char *new, const char *repo, struct kiln_error *err)
{
        int r;

        if (renameat2(AT_FDCWD, new, AT_FDCWD, repo, RENAME_EXCHANGE) < 0) {
                r = kiln_tree_remove(AT_FDCWD, repo);
                if (r == 0 && rename(new, repo) < 0)
                        r = -errno;
        } else {
                r = kiln_tree_remove(AT_FDCWD, new);
        }
        return r < 0 ? kiln_error_set(err, KILN_INFRA, -r, BOOTSTRAP_DOING, repo, "cannot replace it") : 0;
}

int bootstrap_repo_make(
        struct bootstrap *b, const struct kiln_bootstrap_signer *signer, struct kiln_error *err)
{
        _cleanup_free_ char *new = kiln_path_join(b->dir, "repo.new"), *repo = kiln_path_join(b->dir, "repo");
        int fd, r = kiln_tree_remove(AT_FDCWD, new);

        if (r < 0)
                return kiln_error_set(
                        err, KILN_INFRA, -r, BOOTSTRAP_DOING, new, "cannot remove what was left there");
        fd = kiln_dir_make(AT_FDCWD, new, 0755);
        if (fd < 0)
                return kiln_error_set(err, KILN_INFRA, -fd, BOOTSTRAP_DOING, new, "cannot make it");
        close(fd);
        kiln_sink_progress(&b->c->sink, BOOTSTRAP_PHASE, "metadata", b->n_debs, b->n_debs);
        r = fill(b, new, err);
        if (r == 0)
                r = create_metadata(b, new, err);
        if (r == 0)
                r = sign(b, new, signer, err);
        if (r == 0)
                r = replace(new, repo, err);
        if (r == 0)
                r = write_definition(b, repo, signer != NULL, err);
        return r;
}

static bool same_as_signer(
        struct bootstrap *b, const struct kiln_toolchain *t, const struct kiln_bootstrap_signer *signer)
{
        if (!signer)
                return true;
        for (size_t i = 0; i < t->n_keys; i++)
                if (t->keys[i].local && strcmp(t->keys[i].armor, signer->public_key) == 0)
                        return true;
        return false;
}

bool bootstrap_repo_is_current(struct bootstrap *b, const struct kiln_bootstrap_signer *signer)
{
        _cleanup_free_ char *path = kiln_path_join(b->dir, "toolchain.toml"),
                            *repo = kiln_path_join(b->dir, "repo");
        _cleanup_toolchain_ struct kiln_toolchain *t = NULL;
        _cleanup_buf_ struct kiln_buf repomd = KILN_BUF_INIT;
        struct kiln_digest recipe, digest;

        if (!kiln_file_exists(AT_FDCWD, path) || kiln_toolchain_load(b->c, path, &t, NULL) < 0 ||
                bootstrap_recipe_digest(b, &recipe, NULL) < 0 || read_repomd(b, repo, &repomd, NULL) < 0)
                return false;
        digest = kiln_digest_of(repomd.data, repomd.len);
        if (!t->repositories[0].has_repomd_digest ||
                !kiln_digest_equal(&t->repositories[0].repomd_digest, &digest) ||
                !same_as_signer(b, t, signer))
                return false;
        for (size_t i = 0; i < t->n_inputs; i++)
                if (strcmp(t->inputs[i].name, "recipe") == 0)
                        return kiln_digest_equal(&t->inputs[i].digest, &recipe);
        return false;
}
