/* rpmbuild, elfdeps, createrepo_c and perl as they are in the very packages that are being converted, run
 * through their own dynamic loader from a private directory. That way the host's versions of rpm, zstd,
 * libmagic and createrepo_c leave no trace in the repository: it is a function of the Debian packages alone.
 */
#include "toolchains/bootstrap.h"

#include "worker/base/file.h"
#include "worker/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* The tools' closure over Debian's own dependencies, in the order found; indices into b->debs. */
static int tools_closure(struct bootstrap *b, size_t **ret, size_t *ret_n, struct kiln_error *err)
{
        _cleanup_free_ bool *seen = kiln_calloc(b->n_debs, sizeof(*seen));
        size_t *queue = NULL, n = 0;

        for (size_t i = 0; i < kiln_strv_length(b->t.tools); i++) {
                struct deb *d = bootstrap_deb_find(b, b->t.tools[i]);

                if (!d) {
                        free(queue);
                        kiln_error_set(err, KILN_BAD_INPUT, 0, BOOTSTRAP_DOING, b->t.tools[i],
                                "'tools' of %s names it, 'install' does not bring it", b->t.path);
                        return -EINVAL;
                }
                if (!seen[d - b->debs]) {
                        seen[d - b->debs] = true;
                        *KILN_APPEND(queue, n) = (size_t)(d - b->debs);
                }
        }
        for (size_t at = 0; at < n; at++) {
                const char *fields[] = {b->debs[queue[at]].pre_depends, b->debs[queue[at]].depends};

                for (size_t f = 0; f < KILN_ARRAY_SIZE(fields); f++) {
                        const char *pos = fields[f] ? fields[f] : "";
                        struct relation *r;
                        size_t k;

                        while (bootstrap_relation_next(&pos, &r, &k)) {
                                for (size_t i = 0; i < k; i++) {
                                        struct deb *d = bootstrap_deb_find(b, r[i].name);

                                        if (d && !d->skip && !seen[d - b->debs]) {
                                                seen[d - b->debs] = true;
                                                *KILN_APPEND(queue, n) = (size_t)(d - b->debs);
                                        }
                                }
                                bootstrap_relations_free(r, k);
                        }
                }
        }
        *ret = queue;
        *ret_n = n;
        return 0;
}

/* Over the tools' packages and our own script among them. */
static int tools_digest(struct bootstrap *b, const size_t *tools, size_t n, struct kiln_error *err)
{
        _cleanup_free_ char *script =
                kiln_asprintf("%s/bootstrap/redhat-rpm-config/perl-deps", b->c->data_dir);
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        _cleanup_hasher_ struct kiln_hasher *h = kiln_hasher_new();
        _cleanup_free_ bool *in = kiln_calloc(b->n_debs, sizeof(*in));

        int r = kiln_file_read(AT_FDCWD, script, KILN_TOML_MAX, &text);

        if (r < 0)
                return kiln_error_set(err, KILN_BAD_INPUT, -r, BOOTSTRAP_DOING, script, "cannot read it");
        kiln_hasher_update(h, kiln_buf_str(&text), text.len);
        for (size_t i = 0; i < n; i++)
                in[tools[i]] = true;
        for (size_t i = 0; i < b->n_debs; i++)
                if (in[i])
                        kiln_hasher_update(h, b->debs[i].digest.bytes, KILN_DIGEST_BYTES);
        b->tools_digest = kiln_hasher_finish(h);
        return 0;
}

static int unpack(struct bootstrap *b, const size_t *tools, size_t n, struct kiln_error *err)
{
        _cleanup_free_ char *partial = kiln_asprintf("%s/tools.partial", b->work_dir);
        int r = kiln_tree_remove(AT_FDCWD, partial);

        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, -r, BOOTSTRAP_DOING, partial, "cannot remove it");
        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *deb = kiln_path_join(b->debs_dir, b->debs[tools[i]].file);
                const char *const argv[] = {"dpkg-deb", "-x", deb, partial, NULL};

                r = bootstrap_host_run(b, argv, NULL, NULL, err);
                if (r < 0)
                        return r;
        }
        if (rename(partial, b->tools_dir) < 0)
                return kiln_error_set(
                        err, KILN_INFRA, errno, BOOTSTRAP_DOING, b->tools_dir, "cannot rename to it");
        return 0;
}

int bootstrap_tools_prepare(struct bootstrap *b, struct kiln_error *err)
{
        _cleanup_free_ size_t *tools = NULL;
        size_t n = 0;
        char hex[KILN_DIGEST_HEX + 1];
        int r = tools_closure(b, &tools, &n, err);

        if (r < 0)
                return r;
        r = tools_digest(b, tools, n, err);
        if (r < 0)
                return r;
        kiln_digest_to_hex(&b->tools_digest, hex);
        b->tools_dir = kiln_asprintf("%s/tools-%.16s", b->work_dir, hex);
        if (kiln_file_exists(AT_FDCWD, b->tools_dir))
                return 0;
        kiln_sink_progress(&b->c->sink, BOOTSTRAP_PHASE, "unpacking rpmbuild", 0, 0);
        return unpack(b, tools, n, err);
}

int bootstrap_tools_run(struct bootstrap *b, const char *program, const char *const *args, int64_t epoch_s,
        const struct kiln_buf *in, struct kiln_buf *out, struct kiln_buf *errors)
{
        _cleanup_free_ char *loader = kiln_path_join(b->tools_dir, b->t.loader);
        _cleanup_free_ char *library = kiln_path_join(b->tools_dir, b->t.library_path);
        _cleanup_free_ char *path = kiln_path_join(b->tools_dir, program);
        _cleanup_free_ char *epoch = kiln_asprintf("SOURCE_DATE_EPOCH=%" PRId64, epoch_s);
        _cleanup_free_ char *config = kiln_asprintf("RPM_CONFIGDIR=%s/usr/lib/rpm", b->tools_dir);
        _cleanup_free_ char *magic = kiln_asprintf("MAGIC=%s/usr/lib/file/magic.mgc", b->tools_dir);
        _cleanup_free_ char *perl = kiln_asprintf("PERL5LIB=%s/perl-base", library);
        _cleanup_free_ const char **argv = NULL;
        _cleanup_close_ int stdin_fd = -1;
        size_t n = 0;

        while (args[n])
                n++;
        argv = kiln_calloc(n + 5, sizeof(*argv));
        argv[0] = loader;
        argv[1] = "--library-path";
        argv[2] = library;
        argv[3] = path;
        memcpy(argv + 4, args, n * sizeof(*argv));
        const char *const env[] = {"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/nonexistent",
                "LC_ALL=C.UTF-8", "TZ=UTC", "PERL_HASH_SEED=0", epoch, config, magic, perl, NULL};
        struct kiln_process p = {.argv = argv, .env = env, .cwd_fd = -1, .stdin_fd = -1};

        if (in) {
                int r;

                stdin_fd = memfd_create("stdin", MFD_CLOEXEC);
                if (stdin_fd < 0)
                        return -errno;
                r = kiln_fd_write(stdin_fd, kiln_buf_str(in), in->len);
                if (r < 0)
                        return r;
                if (lseek(stdin_fd, 0, SEEK_SET) < 0)
                        return -errno;
                p.stdin_fd = stdin_fd;
        }
        return kiln_process_run(b->c, &p, out, errors);
}
