/* From a repository's definition to its verified metadata files.
 *
 * Must never hand on a repomd.xml whose digest (metalink) or signature (where the toolchain asks for one) was
 * not found good, whichever mirror it came from and also when it comes from our own copy. */
#include "worker/buildroot/metadata.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/buildroot/openpgp.h"
#include "worker/buildroot/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define SIGNATURE_BYTES_MAX ((size_t)1 << 20)
#define METADATA_BYTES_MAX (UINT64_C(2) << 30) /* compressed; Fedora's filelists are 0.06 GiB */

void metadata_clear(struct metadata *m)
{
        kiln_strv_free(m->mirrors);
        kiln_repomd_clear(&m->repomd);
        free(m->signer);
        *m = (struct metadata){0};
}

const char *repository_name_url(const struct kiln_repository *r)
{
        if (r->uri)
                return r->uri;
        if (r->base_urls && r->base_urls[0])
                return r->base_urls[0];
        return r->metalink ? r->metalink : r->mirrorlist ? r->mirrorlist : "";
}

int repository_keyring(const struct kiln_toolchain *t, const struct kiln_repository *r,
        struct kiln_keyring **ret, struct kiln_error *err)
{
        _cleanup_(kiln_keyring_freep) struct kiln_keyring *k = kiln_keyring_new();

        for (size_t i = 0; i < r->n_keys; i++) {
                const struct kiln_key *key = &t->keys[r->keys[i]];
                int rc = kiln_keyring_add(k, key->armor, key->name, err);

                if (rc < 0)
                        return rc;
        }
        *ret = TAKE_PTR(k);
        return 0;
}

/* ---- mirrors */

static int download_one(
        struct kiln_store *s, const char *url, size_t max, struct kiln_buf *out, struct kiln_error *err)
{
        const char *const urls[] = {url, NULL};

        return kiln_store_download(s, urls, max, out, err);
}

int repository_mirrors(struct kiln_store *s, const struct kiln_repository *r, char ***ret,
        struct kiln_metalink *ret_link, struct kiln_error *err)
{
        _cleanup_strv_ char **urls = kiln_calloc(1, sizeof(*urls));
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        int rc;

        for (char **u = r->base_urls; u && *u; u++) {
                _cleanup_free_ char *url = kiln_strdup(*u);

                for (size_t n = strlen(url); n > 0 && url[n - 1] == '/'; n--)
                        url[n - 1] = '\0';
                kiln_strv_append(&urls, url);
        }
        if (!urls[0] && r->metalink) {
                struct kiln_metalink link = {0};

                rc = download_one(s, r->metalink, KILN_METALINK_BYTES_MAX, &text, err);
                if (rc == 0)
                        rc = kiln_metalink_parse(text.data, text.len, r->metalink, &link, err);
                if (rc < 0)
                        return rc;
                *ret = kiln_strv_copy(link.base_urls);
                if (ret_link)
                        *ret_link = link;
                else
                        kiln_metalink_clear(&link);
                return 0;
        }
        if (!urls[0] && r->mirrorlist) {
                rc = download_one(s, r->mirrorlist, KILN_METALINK_BYTES_MAX, &text, err);
                if (rc < 0)
                        return rc;
                kiln_strv_free(urls);
                urls = kiln_mirrorlist_parse(kiln_buf_str(&text), text.len);
        }
        if (!urls[0])
                return kiln_error_set(
                        err, KILN_INFRA, 0, "looking for mirrors of repository", r->id, "there are none");
        *ret = TAKE_PTR(urls);
        return 0;
}

/* ---- our own copy of repomd.xml, for --offline */

static char *copy_dir(const struct kiln_context *c, const struct kiln_repository *r)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        char hex[KILN_DIGEST_HEX + 1];
        struct kiln_digest d;

        for (char **u = r->base_urls; u && *u; u++)
                kiln_buf_printf(&text, "base %s\n", *u);
        kiln_buf_printf(&text, "metalink %s\nmirrorlist %s\n", r->metalink ? r->metalink : "",
                r->mirrorlist ? r->mirrorlist : "");
        d = kiln_digest_of(text.data, text.len);
        kiln_digest_to_hex(&d, hex);
        hex[16] = '\0';
        return kiln_asprintf("%s/metadata/%s", c->cache_dir, hex);
}

static void copy_write(const struct kiln_context *c, const struct metadata *m, const struct kiln_buf *xml,
        const struct kiln_buf *signature)
{
        _cleanup_free_ char *dir = copy_dir(c, m->repository);
        _cleanup_close_ int fd = kiln_dir_make(AT_FDCWD, dir, 0755);
        _cleanup_buf_ struct kiln_buf mirrors = KILN_BUF_INIT, old = KILN_BUF_INIT;

        /* A copy that cannot be kept is only missed offline. */
        if (fd < 0)
                return;
        if (kiln_file_read(fd, "repomd.xml", KILN_REPOMD_BYTES_MAX, &old) == 0 && old.len == xml->len &&
                memcmp(old.data, xml->data, old.len) == 0)
                return;
        for (char **u = m->mirrors; *u; u++)
                kiln_buf_printf(&mirrors, "%s\n", *u);
        if (kiln_file_write(fd, "mirrors", mirrors.data, mirrors.len, 0644) < 0 ||
                kiln_file_write(fd, "repomd.xml.asc", kiln_buf_str(signature), signature->len, 0644) < 0)
                return;
        (void)kiln_file_write(fd, "repomd.xml", xml->data, xml->len, 0644);
}

/* ---- repomd.xml */

static int check_signature(const struct kiln_toolchain *t, struct metadata *m, const struct kiln_buf *xml,
        const struct kiln_buf *signature, struct kiln_error *err)
{
        _cleanup_(kiln_keyring_freep) struct kiln_keyring *k = NULL;
        _cleanup_free_ char *name = kiln_asprintf("repomd.xml of repository %s", m->repository->id);
        int rc;

        if (!m->repository->check_repomd)
                return 0;
        rc = repository_keyring(t, m->repository, &k, err);
        if (rc < 0)
                return rc;
        return kiln_openpgp_verify(
                k, xml->data, xml->len, kiln_buf_str(signature), signature->len, name, &m->signer, err);
}

static int accept_repomd(
        struct metadata *m, const struct kiln_buf *xml, const char *url, struct kiln_error *err)
{
        m->repomd_sha256 = kiln_digest_of(xml->data, xml->len);
        return kiln_repomd_parse(kiln_buf_str(xml), xml->len, url, &m->repomd, err);
}

static bool is_wanted_digest(const struct kiln_metalink *link, const struct kiln_buf *xml)
{
        struct kiln_digest d = kiln_digest_of(xml->data, xml->len);

        for (size_t i = 0; i < link->n_sha256; i++)
                if (kiln_digest_equal(&d, &link->sha256[i]))
                        return true;
        return link->n_sha256 == 0;
}

/* One mirror: fetches and checks. */
static int try_mirror(struct kiln_store *s, const struct kiln_toolchain *t, const struct kiln_metalink *link,
        const char *base, struct metadata *m, struct kiln_buf *xml, struct kiln_buf *signature,
        struct kiln_error *err)
{
        _cleanup_free_ char *url = kiln_asprintf("%s/repodata/repomd.xml", base);
        _cleanup_free_ char *signature_url = kiln_asprintf("%s.asc", url);
        int rc;

        kiln_buf_reset(xml);
        kiln_buf_reset(signature);
        rc = download_one(s, url, KILN_REPOMD_BYTES_MAX, xml, err);
        if (rc == 0 && !is_wanted_digest(link, xml)) {
                kiln_error_set(err, KILN_INFRA, 0, "fetching", url,
                        "its SHA-256 is not one of the metalink's: this mirror is out of date");
                rc = -EBADMSG;
        }
        if (rc == 0 && m->repository->check_repomd)
                rc = download_one(s, signature_url, SIGNATURE_BYTES_MAX, signature, err);
        if (rc == 0)
                rc = check_signature(t, m, xml, signature, err);
        if (rc == 0)
                rc = accept_repomd(m, xml, url, err);
        return rc;
}

static void mirrors_begin_with(char **mirrors, size_t i)
{
        char *first = mirrors[i];

        memmove(mirrors + 1, mirrors, i * sizeof(*mirrors));
        mirrors[0] = first;
}

static int open_online(const struct kiln_context *c, struct kiln_store *s, const struct kiln_toolchain *t,
        struct metadata *m, struct kiln_error *err)
{
        _cleanup_(kiln_metalink_clear) struct kiln_metalink link = {0};
        _cleanup_buf_ struct kiln_buf xml = KILN_BUF_INIT, signature = KILN_BUF_INIT;
        unsigned rounds = s->rounds;
        int rc = repository_mirrors(s, m->repository, &m->mirrors, &link, err);

        if (rc < 0)
                return rc;
        /* A mirror that is down for now is asked again only when it is the last one. */
        for (size_t i = 0; m->mirrors[i]; i++) {
                s->rounds = m->mirrors[i + 1] ? 1 : rounds;
                rc = try_mirror(s, t, &link, m->mirrors[i], m, &xml, &signature, err);
                s->rounds = rounds;
                if (rc == -ECANCELED)
                        return rc;
                if (rc == 0) {
                        if (err)
                                kiln_error_clear(err); /* of the mirrors before */
                        mirrors_begin_with(m->mirrors, i);
                        copy_write(c, m, &xml, &signature);
                        return 0;
                }
        }
        return rc;
}

static int open_offline(const struct kiln_context *c, const struct kiln_toolchain *t, struct metadata *m,
        struct kiln_error *err)
{
        _cleanup_free_ char *dir = copy_dir(c, m->repository);
        _cleanup_buf_ struct kiln_buf xml = KILN_BUF_INIT, signature = KILN_BUF_INIT, mirrors = KILN_BUF_INIT;
        _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int rc = fd < 0 ? -errno : 0;

        if (rc == 0)
                rc = kiln_file_read(fd, "repomd.xml", KILN_REPOMD_BYTES_MAX, &xml);
        if (rc == 0)
                rc = kiln_file_read(fd, "repomd.xml.asc", SIGNATURE_BYTES_MAX, &signature);
        if (rc == 0)
                rc = kiln_file_read(fd, "mirrors", KILN_METALINK_BYTES_MAX, &mirrors);
        if (rc < 0) {
                rc = kiln_error_set(err, KILN_REFUSED, -rc, "reading the metadata of repository",
                        m->repository->id, "offline, and there is no copy of it");
                kiln_error_advise(err, "Run once without --offline, or build from a lock with --lock.");
                return rc;
        }
        m->mirrors = kiln_mirrorlist_parse(kiln_buf_str(&mirrors), mirrors.len);
        rc = check_signature(t, m, &xml, &signature, err);
        if (rc == 0)
                rc = accept_repomd(m, &xml, m->repository->id, err);
        return rc;
}

static bool is_local(const struct kiln_repository *r)
{
        return r->base_urls && r->base_urls[0] && strncmp(r->base_urls[0], "file://", 7) == 0;
}

int metadata_open(const struct kiln_context *c, struct kiln_store *s, const struct kiln_toolchain *t,
        const struct kiln_repository *r, struct metadata *ret, struct kiln_error *err)
{
        struct metadata m = {.repository = r};
        int rc = c->offline && !is_local(r) ? open_offline(c, t, &m, err) : open_online(c, s, t, &m, err);

        if (rc < 0) {
                metadata_clear(&m);
                return rc;
        }
        *ret = m;
        return 0;
}

int metadata_fetch(const struct metadata *m, struct kiln_store *s, const struct kiln_repomd_file *file,
        const char *what, int *ret_fd, struct kiln_error *err)
{
        _cleanup_strv_ char **urls = kiln_calloc(1, sizeof(*urls));
        _cleanup_free_ char *name = kiln_asprintf("%s metadata of repository %s", what, m->repository->id);
        struct kiln_fetch fetch = {.name = name,
                .sha256 = file->sha256,
                .size_bytes = file->size_bytes,
                .max_bytes = METADATA_BYTES_MAX};
        int rc;

        if (!file->location || file->size_bytes > METADATA_BYTES_MAX)
                return kiln_error_set(err, KILN_INFRA, 0, "fetching", name, "%s",
                        file->location ? "it is too large" : "the repository has none");
        for (char **u = m->mirrors; *u; u++) {
                _cleanup_free_ char *url = kiln_asprintf("%s/%s", *u, file->location);

                kiln_strv_append(&urls, url);
        }
        fetch.urls = (const char *const *)urls;
        rc = kiln_store_fetch(s, "solve", &fetch, 1, err);
        if (rc < 0)
                return rc;
        rc = kiln_store_find_verified(s, &file->sha256, ret_fd);
        if (rc == KILN_STORE_ABSENT) { /* damaged on disk: once more */
                rc = kiln_store_fetch(s, "solve", &fetch, 1, err);
                if (rc < 0)
                        return rc;
                rc = kiln_store_find_verified(s, &file->sha256, ret_fd);
        }
        if (rc != 0)
                return kiln_error_set(
                        err, KILN_INFRA, rc < 0 ? -rc : EIO, "reading", name, "the store does not keep it");
        return 0;
}
