/* Debian packages into RPMs, several at a time. A finished RPM lies under the digest of all that decided its
 * bytes, so what is there already is right: a second run converts nothing and an interrupted one goes on
 * where it stopped. */
#include "toolchains/bootstrap.h"

#include "worker/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Settings that must not come from the host, and those the payload's bytes depend on. */
static const char *const defines[] = {
        "debug_package %{nil}",
        "__os_install_post %{nil}",
        "__spec_install_pre %{nil}",
        "_build_id_links none",
        "_binary_payload w1.zstdio",
        "_buildhost kiln",
        "_buildshell /bin/sh",
        "use_source_date_epoch_as_buildtime 1",
        "build_mtime_policy clamp_to_source_date_epoch",
        "clamp_mtime_to_source_date_epoch 1", /* the same before rpm 4.20 */
        "_unpackaged_files_terminate_build 0",
        "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
        "_dbpath /nonexistent",
        "_tmppath /tmp",
        "_vendor redhat",
};

int bootstrap_rpmbuild(struct bootstrap *b, const char *name, const char *spec_path, const char *root,
        const char *source_dir, const char *target, int64_t epoch_s, const char *out_dir,
        struct kiln_error *err)
{
        _cleanup_free_ char *top = kiln_asprintf("%s/%s.top", b->work_dir, name);
        _cleanup_free_ char *topdir = kiln_asprintf("_topdir %s", top),
                            *rpmdir = kiln_asprintf("_rpmdir %s", out_dir);
        _cleanup_free_ char *sources = kiln_asprintf("_sourcedir %s", source_dir ? source_dir : top);
        _cleanup_free_ char *rpmbuild_macros = kiln_asprintf(
                "--macros=%s/usr/lib/rpm/macros:%s/usr/lib/rpm/platform/%s/macros", b->tools_dir,
                b->tools_dir, strcmp(target, "noarch") == 0 ? "noarch-linux" : "x86_64-linux");
        _cleanup_free_ char *rcfile = kiln_asprintf("--rcfile=%s/usr/lib/rpm/rpmrc", b->tools_dir);
        _cleanup_free_ char *platform = kiln_asprintf("--target=%s-linux", target);
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT, errors = KILN_BUF_INIT;
        const char *args[2 * KILN_ARRAY_SIZE(defines) + 24];
        size_t n = 0;
        int fd, r;

        fd = kiln_dir_make(AT_FDCWD, top, 0755);
        if (fd < 0)
                return kiln_error_set(err, KILN_INFRA, -fd, BOOTSTRAP_DOING, top, "cannot make it");
        close(fd);
        args[n++] = rcfile;
        args[n++] = rpmbuild_macros;
        args[n++] = "-bb";
        args[n++] = "--quiet";
        args[n++] = "--nodeps";
        args[n++] = "--noclean";
        args[n++] = platform;
        args[n++] = "--define";
        args[n++] = topdir;
        args[n++] = "--define";
        args[n++] = rpmdir;
        args[n++] = "--define";
        args[n++] = sources;
        for (size_t i = 0; i < KILN_ARRAY_SIZE(defines); i++) {
                if (source_dir && strncmp(defines[i], "__spec_install_pre", 18) == 0)
                        continue; /* our own packages have an %install of their own */
                args[n++] = "--define";
                args[n++] = defines[i];
        }
        if (root) {
                args[n++] = "--buildroot";
                args[n++] = root;
        }
        args[n++] = spec_path;
        args[n] = NULL;
        r = bootstrap_tools_run(b, "usr/bin/rpmbuild", args, epoch_s, NULL, &out, &errors);
        (void)kiln_tree_remove(AT_FDCWD, top);
        if (r == 0)
                return 0;
        if (r == -ECANCELED)
                return kiln_context_check(b->c, BOOTSTRAP_DOING, err);
        kiln_error_set(err, KILN_INFRA, r < 0 ? -r : 0, BOOTSTRAP_DOING, name, "rpmbuild failed: %s",
                errors.len > 2000 ? errors.data + errors.len - 2000 : kiln_buf_str(&errors));
        return r < 0 ? r : -EIO;
}

/* A path in %files: rpm takes what is in quotes literally, macros excepted. */
static void put_path(struct kiln_buf *spec, const char *path)
{
        kiln_buf_putc(spec, '"');
        for (const char *p = path; *p; p++) {
                if (*p == '%')
                        kiln_buf_putc(spec, '%');
                kiln_buf_putc(spec, *p);
        }
        kiln_buf_puts(spec, "\"\n");
}

/* One line of text for a spec's tag: no macro starts in it. */
static void put_text(struct kiln_buf *spec, const char *tag, const char *text)
{
        kiln_buf_printf(spec, "%s: ", tag);
        for (const char *p = text; *p; p++) {
                if (*p == '%')
                        kiln_buf_putc(spec, '%');
                kiln_buf_putc(spec, *p);
        }
        kiln_buf_putc(spec, '\n');
}

static void put_provides(struct bootstrap *b, const struct deb *d, const char *evr, struct kiln_buf *spec)
{
        const struct kiln_toml *row = kiln_toml_get(b->t.provides, d->name);
        const char *pos = d->provides ? d->provides : "";
        struct relation *r;
        size_t n;

        for (size_t i = 0; row && i < row->n_children; i++) {
                const char *p = row->children[i].string;

                if (!p)
                        continue;
                if (p[0] == '/' || strchr(p, '(') || strchr(p, ' '))
                        kiln_buf_printf(spec, "Provides: %s\n", p);
                else
                        kiln_buf_printf(spec, "Provides: %s = %s\n", p, evr);
        }
        while (bootstrap_relation_next(&pos, &r, &n)) {
                if (r[0].version) {
                        _cleanup_free_ char *epoch = NULL, *version = NULL, *release = NULL;

                        bootstrap_version_split(r[0].version, &epoch, &version, &release);
                        kiln_buf_printf(spec, "Provides: %s = %s%s%s%s%s\n", r[0].name, epoch,
                                epoch[0] ? ":" : "", version, strchr(r[0].version, '-') ? "-" : "",
                                strchr(r[0].version, '-') ? release : "");
                } else {
                        kiln_buf_printf(spec, "Provides: %s\n", r[0].name);
                }
                bootstrap_relations_free(r, n);
        }
}

/* The spec up to its dependencies from files. With the .deb's digest this is what the package's cache key
 * covers. */
static void spec_head(struct bootstrap *b, const struct deb *d, struct kiln_buf *spec)
{
        _cleanup_free_ char *epoch = NULL, *version = NULL, *release = NULL, *evr = NULL;

        bootstrap_version_split(d->version, &epoch, &version, &release);
        evr = kiln_asprintf("%s%s%s-%s", epoch, epoch[0] ? ":" : "", version, release);
        kiln_buf_printf(spec, "Name: %s\nVersion: %s\nRelease: %s\n", d->name, version, release);
        if (epoch[0])
                kiln_buf_printf(spec, "Epoch: %s\n", epoch);
        put_text(spec, "Summary", d->summary && d->summary[0] ? d->summary : d->name);
        kiln_buf_printf(spec,
                "License: LicenseRef-Debian-copyright\nVendor: Debian %s, converted by Kiln\n"
                "AutoReq: no\nAutoProv: no\n",
                b->t.suite);
        put_provides(b, d, evr, spec);
        for (size_t i = 0; i < kiln_strv_length(d->requires); i++)
                kiln_buf_printf(spec, "Requires: %s\n", d->requires[i]);
}

static void spec_tail(struct bootstrap *b, const struct deb *d, const struct stage *s, struct kiln_buf *spec)
{
        const struct kiln_toml *script = kiln_toml_get(b->t.scripts, d->name);
        _cleanup_free_ char *deb = kiln_strdup(d->file);

        for (size_t i = 0; i < kiln_strv_length(s->sbin); i++)
                if (!strpbrk(s->sbin[i], "%\"\\ "))
                        kiln_buf_printf(spec, "Provides: /usr/sbin/%s\n", s->sbin[i]);
        kiln_buf_puts(spec, "%description\nConverted from the Debian package ");
        for (const char *p = deb; *p; p++)
                kiln_buf_printf(spec, *p == '%' ? "%%%%" : "%c", *p);
        kiln_buf_puts(spec, ".\n\n");
        if (script && script->kind == KILN_TOML_STRING)
                kiln_buf_puts(spec, script->string);
        kiln_buf_puts(spec, "\n%files\n%defattr(-,root,root,-)\n");
        for (size_t i = 0; i < s->n_entries; i++) {
                const struct entry *e = &s->entries[i];

                kiln_buf_puts(spec, S_ISDIR(e->mode) ? "%dir " : e->config ? "%config(noreplace) " : "");
                put_path(spec, e->path);
        }
}

/* <rpms_dir>/<key>; the caller's. The key covers the input's bytes, the spec's tags and scriptlets, the
 * settings and the tools. */
static char *cache_path(
        struct bootstrap *b, const char *name, const struct kiln_digest *content, const struct kiln_buf *head)
{
        const struct kiln_toml *script = kiln_toml_get(b->t.scripts, name),
                               *links = kiln_toml_get(b->t.links, name),
                               *drop = kiln_toml_get(b->t.drop_from, name);
        _cleanup_hasher_ struct kiln_hasher *h = kiln_hasher_new();
        struct kiln_digest recipe = kiln_digest_of(kiln_buf_str(head), head->len), key;
        char hex[KILN_DIGEST_HEX + 1];

        kiln_hasher_update(h, BOOTSTRAP_FORMAT, sizeof(BOOTSTRAP_FORMAT));
        kiln_hasher_update(h, b->tools_digest.bytes, KILN_DIGEST_BYTES);
        kiln_hasher_update(h, content->bytes, KILN_DIGEST_BYTES);
        kiln_hasher_update(h, recipe.bytes, KILN_DIGEST_BYTES);
        if (script && script->string)
                kiln_hasher_update(h, script->string, strlen(script->string) + 1);
        for (size_t i = 0; drop && i < drop->n_children; i++)
                if (drop->children[i].string)
                        kiln_hasher_update(h, drop->children[i].string, strlen(drop->children[i].string) + 1);
        for (size_t i = 0; links && i < links->n_children; i++) {
                const struct kiln_toml *l = &links->children[i];

                kiln_hasher_update(h, l->key, strlen(l->key) + 1);
                kiln_hasher_update(h, l->string ? l->string : "", strlen(l->string ? l->string : "") + 1);
        }
        for (size_t i = 0; i < KILN_ARRAY_SIZE(defines); i++)
                kiln_hasher_update(h, defines[i], strlen(defines[i]) + 1);
        for (size_t i = 0; i < kiln_strv_length(b->t.drop); i++)
                kiln_hasher_update(h, b->t.drop[i], strlen(b->t.drop[i]) + 1);
        key = kiln_hasher_finish(h);
        kiln_digest_to_hex(&key, hex);
        return kiln_asprintf("%s/%.32s", b->rpms_dir, hex);
}

/* Adds a finished directory's RPMs to the list. */
static int collect(struct bootstrap *b, const char *dir, struct kiln_error *err)
{
        DIR *d = opendir(dir);
        struct dirent *e;

        if (!d)
                return kiln_error_set(err, KILN_INFRA, errno, BOOTSTRAP_DOING, dir, "cannot open it");
        pthread_mutex_lock(&b->lock);
        while ((e = readdir(d))) {
                size_t n = strlen(e->d_name);
                _cleanup_free_ char *path = kiln_path_join(dir, e->d_name);

                if (n > 4 && strcmp(e->d_name + n - 4, ".rpm") == 0)
                        kiln_strv_append(&b->rpms, path);
        }
        pthread_mutex_unlock(&b->lock);
        closedir(d);
        return 0;
}

/* Under the key's name only when it is whole. */
static int publish(const char *partial, const char *final, struct kiln_error *err)
{
        if (rename(partial, final) < 0 && errno != EEXIST && errno != ENOTEMPTY)
                return kiln_error_set(err, KILN_INFRA, errno, BOOTSTRAP_DOING, final, "cannot rename to it");
        return 0;
}

/* Not kiln_file_write(): nobody needs it after a crash, and its fsyncs would take longer than some packages.
 */
static int write_spec(const char *path, const struct kiln_buf *text)
{
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

        return fd < 0 ? -errno : kiln_fd_write(fd, text->data, text->len);
}

static int convert_deb(struct bootstrap *b, struct deb *d, struct kiln_error *err)
{
        _cleanup_free_ char *root = kiln_asprintf("%s/%s.root", b->work_dir, d->name);
        _cleanup_free_ char *spec_path = kiln_asprintf("%s/%s.spec", b->work_dir, d->name);
        _cleanup_free_ char *partial = kiln_asprintf("%s/%s.out", b->work_dir, d->name), *final = NULL;
        _cleanup_buf_ struct kiln_buf spec = KILN_BUF_INIT;
        struct stage s = {0};
        int r;

        if (d->skip)
                return 0;
        spec_head(b, d, &spec);
        final = cache_path(b, d->name, &d->digest, &spec);
        if (kiln_file_exists(AT_FDCWD, final))
                return collect(b, final, err);
        kiln_buf_reset(&spec);
        s.root = kiln_strdup(root);
        r = kiln_tree_remove(AT_FDCWD, root);
        if (r == 0)
                r = kiln_tree_remove(AT_FDCWD, partial);
        if (r < 0) {
                bootstrap_stage_clear(&s);
                return kiln_error_set(
                        err, KILN_INFRA, -r, BOOTSTRAP_DOING, root, "cannot remove what was left there");
        }
        r = bootstrap_stage(b, d, &s, err);
        if (r == 0) {
                spec_head(b, d, &spec);
                r = bootstrap_depend(b, d, &s, &spec, err);
        }
        if (r == 0) {
                spec_tail(b, d, &s, &spec);
                r = write_spec(spec_path, &spec);
                if (r < 0)
                        kiln_error_set(err, KILN_INFRA, -r, BOOTSTRAP_DOING, spec_path, "cannot write it");
        }
        if (r == 0)
                r = bootstrap_rpmbuild(b, d->name, spec_path, root, NULL,
                        strcmp(d->arch, "all") == 0 ? "noarch" : "x86_64", d->epoch_s, partial, err);
        if (r == 0)
                r = publish(partial, final, err);
        if (r == 0)
                r = collect(b, final, err);
        (void)kiln_tree_remove(AT_FDCWD, root);
        if (r == 0)
                unlink(spec_path);
        bootstrap_stage_clear(&s);
        return r;
}

/* One of our own packages: a folder with NAME.spec and its files. */
static int convert_own(
        struct bootstrap *b, const char *name, const struct kiln_digest *recipe, struct kiln_error *err)
{
        _cleanup_free_ char *dir = kiln_asprintf("%s/bootstrap/%s", b->c->data_dir, name);
        _cleanup_free_ char *spec_path = kiln_asprintf("%s/%s.spec", dir, name);
        _cleanup_free_ char *partial = kiln_asprintf("%s/%s.out", b->work_dir, name), *final = NULL;
        _cleanup_buf_ struct kiln_buf head = KILN_BUF_INIT;
        int r;

        kiln_buf_printf(&head, "%s %" PRId64, name, b->t.own_epoch_s);
        final = cache_path(b, name, recipe, &head);
        if (kiln_file_exists(AT_FDCWD, final))
                return collect(b, final, err);
        r = kiln_tree_remove(AT_FDCWD, partial);
        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, -r, BOOTSTRAP_DOING, partial, "cannot remove it");
        r = bootstrap_rpmbuild(b, name, spec_path, NULL, dir, "noarch", b->t.own_epoch_s, partial, err);
        if (r == 0)
                r = publish(partial, final, err);
        return r == 0 ? collect(b, final, err) : r;
}

int bootstrap_convert(struct bootstrap *b, struct kiln_error *err)
{
        struct kiln_digest recipe;
        int r = bootstrap_recipe_digest(b, &recipe, err);

        for (size_t i = 0; r == 0 && i < kiln_strv_length(b->t.own); i++)
                r = convert_own(b, b->t.own[i], &recipe, err);
        if (r == 0)
                r = bootstrap_each(b, convert_deb, true, err);
        if (r == 0 && b->rpms)
                qsort(b->rpms, kiln_strv_length(b->rpms), sizeof(*b->rpms), kiln_strcmp_ptr);
        return r;
}
