#include "worker/buildroot/facts.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FACTS_BYTES_MAX 4096
/* Lines of a file: the head names format and file state, then four values, then the digest of all before it
 * (no fsync is spent on these files: a torn one is simply not valid). */
#define FACTS_LINES 6

static const char *const signature_names[] = {
        [KILN_RPM_UNSIGNED] = "unsigned",
        [KILN_RPM_SIGNED] = "signed",
        [KILN_RPM_UNKNOWN_KEY] = "unknown-key",
};

void facts_clear(struct facts *f)
{
        free(f->nevra);
        free(f->signer);
        *f = (struct facts){0};
}

static char *facts_path(
        const struct kiln_context *c, const struct kiln_digest *file, const struct kiln_digest *keys)
{
        char hex[KILN_DIGEST_HEX + 1], keys_hex[KILN_DIGEST_HEX + 1];

        kiln_digest_to_hex(file, hex);
        kiln_digest_to_hex(keys, keys_hex);
        return kiln_asprintf("%s/facts/%.2s/%s-%.16s", c->cache_dir, hex, hex, keys_hex);
}

/* The first line: any other state of the file, or other keys, make it invalid. */
static char *facts_head(const struct kiln_digest *keys, const struct stat *st)
{
        char hex[KILN_DIGEST_HEX + 1];

        kiln_digest_to_hex(keys, hex);
        return kiln_asprintf("kiln-facts 1 %s size %" PRIu64 " mtime %" PRId64 ".%09ld inode %" PRIu64, hex,
                (uint64_t)st->st_size, (int64_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
                (uint64_t)st->st_ino);
}

int facts_read(const struct kiln_context *c, const struct kiln_digest *file, const struct kiln_digest *keys,
        const struct stat *st, struct facts *ret)
{
        _cleanup_free_ char *path = facts_path(c, file, keys), *head = facts_head(keys, st);
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        char hex[KILN_DIGEST_HEX + 1], *lines[FACTS_LINES], *p;
        struct facts f = {0};
        struct kiln_digest d;
        size_t signature;

        if (kiln_file_read(AT_FDCWD, path, FACTS_BYTES_MAX, &text) < 0 || text.len <= KILN_DIGEST_HEX + 1 ||
                memchr(text.data, '\0', text.len))
                return 1;
        p = text.data;
        for (size_t i = 0; i < FACTS_LINES; i++) {
                char *end = strchr(p, '\n');

                if (!end)
                        return 1;
                lines[i] = p;
                if (i == FACTS_LINES - 1) {
                        d = kiln_digest_of(text.data, (size_t)(p - text.data));
                        kiln_digest_to_hex(&d, hex);
                }
                p = end + 1;
        }
        for (size_t i = 0; i < FACTS_LINES; i++)
                *strchr(lines[i], '\n') = '\0';
        if (*p || strcmp(lines[0], head) != 0 || strcmp(lines[5], hex) != 0 ||
                kiln_digest_from_hex(lines[2], &f.header_sha256) < 0)
                return 1;
        for (signature = 0; strcmp(lines[3], signature_names[signature]) != 0;)
                if (++signature == KILN_ARRAY_SIZE(signature_names))
                        return 1;
        f.signature = (enum kiln_rpm_signature)signature;
        f.nevra = kiln_strdup(lines[1]);
        f.signer = kiln_strdup(lines[4]);
        *ret = f;
        return 0;
}

void facts_write(const struct kiln_context *c, const struct kiln_digest *file, const struct kiln_digest *keys,
        const struct stat *st, const struct facts *f)
{
        _cleanup_free_ char *path = facts_path(c, file, keys), *head = facts_head(keys, st), *dir = NULL,
                            *aside = NULL;
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        _cleanup_close_ int dir_fd = -1, fd = -1;
        char hex[KILN_DIGEST_HEX + 1];
        struct kiln_digest d;

        kiln_digest_to_hex(&f->header_sha256, hex);
        kiln_buf_printf(
                &text, "%s\n%s\n%s\n%s\n%s\n", head, f->nevra, hex, signature_names[f->signature], f->signer);
        d = kiln_digest_of(text.data, text.len);
        kiln_digest_to_hex(&d, hex);
        kiln_buf_printf(&text, "%s\n", hex);

        dir = kiln_strndup(path, (size_t)(kiln_path_base(path) - path - 1));
        dir_fd = kiln_dir_make(AT_FDCWD, dir, 0755);
        if (dir_fd < 0)
                return;
        aside = kiln_asprintf(".%s.%d", kiln_path_base(path), (int)getpid());
        fd = openat(dir_fd, aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
                return;
        if (kiln_fd_write(fd, text.data, text.len) < 0 ||
                renameat(dir_fd, aside, dir_fd, kiln_path_base(path)) < 0)
                unlinkat(dir_fd, aside, 0);
}
