/* What a toolchain's digest is over. The digest names a toolchain across machines, so nothing of one machine
 * goes in: not the definition's path, not the local key, not where a repository with a uri was read from. */
#include "toolchains/toolchain.h"

#include "worker/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void put(struct kiln_buf *b, const char *key, const char *value)
{
        kiln_buf_append(b, key, strlen(key) + 1);
        kiln_buf_append(b, value ? value : "", strlen(value ? value : "") + 1);
}

static void put_number(struct kiln_buf *b, const char *key, int64_t value)
{
        char text[32];

        snprintf(text, sizeof(text), "%" PRId64, value);
        put(b, key, text);
}

static void put_list(struct kiln_buf *b, const char *key, char *const *list, bool sorted)
{
        _cleanup_strv_ char **copy = kiln_strv_copy(list);
        size_t n = kiln_strv_length(copy);

        if (sorted && n)
                qsort(copy, n, sizeof(*copy), kiln_strcmp_ptr);
        put_number(b, key, (int64_t)n);
        for (size_t i = 0; i < n; i++)
                put(b, key, copy[i]);
}

static void put_repository(
        struct kiln_buf *b, const struct kiln_toolchain *t, const struct kiln_repository *r)
{
        char hex[KILN_DIGEST_HEX + 1] = "";

        put(b, "repository", r->id);
        put(b, "uri", r->uri);
        put_list(b, "base-url", strncmp(r->uri, "http", 4) == 0 ? r->base_urls : NULL, true);
        put(b, "metalink", r->metalink);
        put(b, "mirrorlist", r->mirrorlist);
        for (size_t i = 0; i < r->n_keys; i++)
                if (!t->keys[r->keys[i]].local)
                        put(b, "key", t->keys[r->keys[i]].armor);
        put_number(b, "check-repomd", r->check_repomd);
        if (r->has_repomd_digest)
                kiln_digest_to_hex(&r->repomd_digest, hex);
        put(b, "repomd-sha256", hex);
        put_number(b, "unsigned-packages", r->unsigned_packages);
        put_number(b, "priority", r->priority);
        put_list(b, "exclude", r->excludes, true);
}

void kiln_toolchain_canonical(const struct kiln_toolchain *t, struct kiln_buf *b)
{
        put(b, "kiln.toolchain", "1");
        put(b, "name", t->name);
        put(b, "vendor", t->vendor);
        put(b, "dist", t->dist);
        put(b, "arch", t->arch);
        put_list(b, "compatible-arch", t->compatible_arches, false);
        put_list(b, "core", t->core, true);
        put_list(b, "bootstrap", t->bootstrap, true);
        put(b, "dbpath", t->dbpath);
        put_list(b, "install-arg", t->install_args, false);
        put(b, "isa", kiln_isa_level_name(t->isa));
        put(b, "epoch-policy", t->epoch_policy == KILN_EPOCH_FIXED ? "fixed" : "changelog");
        put_number(b, "epoch-fixed", t->epoch_policy == KILN_EPOCH_FIXED ? t->epoch_fixed_s : 0);
        put(b, "kernel-release", t->kernel_release);
        put_number(b, "cpus", t->cpus);
        for (size_t i = 0; i < t->n_macros; i++) {
                put(b, "macro", t->macros[i].name);
                put(b, "body", t->macros[i].body);
        }
        for (size_t i = 0; i < t->n_macro_files; i++) {
                put(b, "macro-file", t->macro_files[i].name);
                put(b, "text", t->macro_files[i].text);
        }
        for (size_t i = 0; i < t->n_repositories; i++)
                put_repository(b, t, &t->repositories[i]);
        for (size_t i = 0; i < t->n_inputs; i++) {
                char hex[KILN_DIGEST_HEX + 1];

                kiln_digest_to_hex(&t->inputs[i].digest, hex);
                put(b, "input", t->inputs[i].name);
                put(b, "sha256", hex);
        }
}
