#include "worker/verify/graft.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/source/rpmlayout.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#define DOING "grafting the signature of"
#define CHUNK_BYTES ((size_t)256 << 10)

struct half { /* one of the two files */
        int fd;
        const char *name;
        struct kiln_rpm_layout layout;
};

static void half_clear(struct half *h)
{
        kiln_rpm_layout_clear(&h->layout);
}

void kiln_graft_clear(struct kiln_graft *g)
{
        free(g->signer);
        free(g->reason);
        free(g->rpm_says);
        *g = (struct kiln_graft){0};
}

static int failed(const struct half *h, int r, struct kiln_error *err)
{
        return kiln_error_set(err, KILN_INFRA, r, DOING, h->name, "cannot read or write the file");
}

/* Copies the rebuild's payload behind the header, and compares it with the original's on the way. *ret_same
 * is how many bytes are the same from the start. */
static int copy_payload(const struct half *original, const struct half *rebuild, int out_fd,
        uint64_t *ret_same, struct kiln_error *err)
{
        _cleanup_free_ char *ours = kiln_malloc(CHUNK_BYTES), *theirs = kiln_malloc(CHUNK_BYTES);
        uint64_t at = 0, same = 0;

        for (;;) {
                ssize_t n =
                        kiln_fd_read_at(rebuild->fd, ours, CHUNK_BYTES, rebuild->layout.payload_offset + at);
                ssize_t m = n < 0 ? 0
                                  : kiln_fd_read_at(original->fd, theirs, CHUNK_BYTES,
                                            original->layout.payload_offset + at);
                int r;

                if (n < 0 || m < 0)
                        return failed(n < 0 ? rebuild : original, (int)(n < 0 ? n : m), err);
                for (ssize_t i = 0; same == at + (uint64_t)i && i < n && i < m && ours[i] == theirs[i]; i++)
                        same++;
                if (n == 0)
                        break;
                r = kiln_fd_write(out_fd, ours, (size_t)n);
                if (r < 0)
                        return failed(rebuild, r, err);
                at += (uint64_t)n;
        }
        *ret_same = same;
        return 0;
}

static bool headers_equal(const struct half *a, const struct half *b)
{
        return a->layout.header_bytes == b->layout.header_bytes &&
               memcmp(a->layout.head + a->layout.header_offset, b->layout.head + b->layout.header_offset,
                       a->layout.header_bytes) == 0;
}

static char *why_not(
        const struct kiln_graft *g, const struct half *original, const struct half *rebuild, uint64_t same)
{
        uint64_t theirs = original->layout.file_bytes - original->layout.payload_offset,
                 ours = rebuild->layout.file_bytes - rebuild->layout.payload_offset;

        if (g->same_payload && g->same_header)
                return kiln_strdup("a file changed while it was read");
        if (g->same_payload)
                return kiln_asprintf("the headers differ (%zu and %zu bytes); the payloads are the same",
                        original->layout.header_bytes, rebuild->layout.header_bytes);
        return kiln_asprintf("%s payloads differ from byte %" PRIu64 " on (%" PRIu64 " and %" PRIu64
                             " bytes, compressed)",
                g->same_header ? "the headers are the same; the" : "the headers and the", same, theirs, ours);
}

int kiln_graft(int original_fd, const char *original_name, int rebuild_fd, const char *rebuild_name,
        const struct kiln_keyring *keyring, int out_fd, struct kiln_graft *ret, struct kiln_error *err)
{
        _cleanup_(half_clear) struct half original = {original_fd, original_name, {0}};
        _cleanup_(half_clear) struct half rebuild = {rebuild_fd, rebuild_name, {0}};
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *as_published = NULL, *grafted = NULL;
        _cleanup_error_ struct kiln_error refusal = KILN_ERROR_INIT;
        _cleanup_graft_ struct kiln_graft g = {0};
        uint64_t same = 0;
        int r = kiln_rpm_layout_read(original_fd, original_name, &original.layout, err);

        if (r == 0)
                r = kiln_rpm_layout_read(rebuild_fd, rebuild_name, &rebuild.layout, err);
        if (r == 0)
                r = kiln_rpm_open_published(original_fd, original_name, keyring, &as_published, err);
        if (r < 0)
                return r;
        if (as_published->signature == KILN_RPM_UNSIGNED) {
                kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, original_name, "it is not signed");
                kiln_error_advise(err, "Compare unsigned packages with `kiln diff`.");
                return -ENODATA;
        }
        g.signature = as_published->signature;
        g.signer = TAKE_PTR(as_published->signer);
        g.original_sha256 = as_published->file_sha256;
        r = kiln_fd_write(out_fd, original.layout.head, original.layout.header_offset);
        if (r == 0)
                r = kiln_fd_write(out_fd, rebuild.layout.head + rebuild.layout.header_offset,
                        rebuild.layout.header_bytes);
        if (r < 0)
                return failed(&rebuild, r, err);
        r = copy_payload(&original, &rebuild, out_fd, &same, err);
        if (r == 0 && (r = kiln_digest_of_fd(out_fd, &g.graft_sha256, NULL)) < 0)
                failed(&rebuild, r, err);
        if (r < 0)
                return r;
        g.same_header = headers_equal(&original, &rebuild);
        g.same_payload = same == original.layout.file_bytes - original.layout.payload_offset &&
                         same == rebuild.layout.file_bytes - rebuild.layout.payload_offset;
        g.identical = kiln_digest_equal(&g.original_sha256, &g.graft_sha256);
        if (!g.identical)
                g.reason = why_not(&g, &original, &rebuild, same);
        if (kiln_rpm_open(out_fd, "the graft", keyring, &grafted, &refusal) < 0) {
                if (refusal.verdict != KILN_BAD_INPUT)
                        return kiln_error_set(err, refusal.verdict, 0, DOING, original_name,
                                "cannot have rpm verify the graft: %s", refusal.cause);
                g.rpm_says = TAKE_PTR(refusal.cause);
        }
        *ret = g;
        g = (struct kiln_graft){0};
        return 0;
}

int kiln_graft_aside(const struct kiln_context *c, struct kiln_error *err)
{
        _cleanup_close_ int dir = kiln_dir_make(AT_FDCWD, c->cache_dir, 0755);
        int fd = dir < 0 ? dir : openat(dir, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

        if (fd < 0)
                return kiln_error_set(err, KILN_INFRA, dir < 0 ? -dir : errno, "writing to", c->cache_dir,
                        "cannot make a temporary file");
        return fd;
}
