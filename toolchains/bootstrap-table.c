/* Reads toolchains/bootstrap/packages.toml: every mapping between Debian's names and Fedora's is in there. */
#include "toolchains/bootstrap.h"

#include "worker/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define FIELD(key, type, required, member)                                                                   \
        {                                                                                                    \
                key, KILN_TOML_T_##type, required, offsetof(struct table, member)                            \
        }
static const struct kiln_toml_field fields[] = {
        FIELD("suite", STRING, true, suite),
        FIELD("component", STRING, true, component),
        FIELD("architecture", STRING, true, architecture),
        FIELD("install", STRV, true, install),
        FIELD("skip", STRV, true, skip),
        FIELD("tools", STRV, true, tools),
        FIELD("loader", STRING, true, loader),
        FIELD("library-path", STRING, true, library_path),
        FIELD("python", STRING, true, python),
        FIELD("own", STRV, true, own),
        FIELD("own-epoch", INTEGER, true, own_epoch_s),
        FIELD("drop", STRV, true, drop),
        FIELD("drop-from", NODE, false, drop_from),
        FIELD("provides", NODE, true, provides),
        FIELD("requires", NODE, true, requires),
        FIELD("links", NODE, true, links),
        FIELD("scripts", NODE, true, scripts),
        FIELD("toolchain", NODE, true, toolchain),
};

int bootstrap_table_load(struct bootstrap *b, struct kiln_error *err)
{
        int r;

        b->t.path = kiln_asprintf("%s/bootstrap/packages.toml", b->c->data_dir);
        r = kiln_toml_load(b->t.path, &b->t.root, err);
        if (r == 0)
                r = kiln_toml_read(b->t.path, b->t.root, fields, KILN_ARRAY_SIZE(fields), &b->t, err);
        return r;
}

void bootstrap_table_clear(struct table *t)
{
        free(t->path);
        free(t->suite);
        free(t->component);
        free(t->architecture);
        free(t->loader);
        free(t->library_path);
        free(t->python);
        kiln_strv_free(t->install);
        kiln_strv_free(t->skip);
        kiln_strv_free(t->tools);
        kiln_strv_free(t->own);
        kiln_strv_free(t->drop);
        if (t->root)
                kiln_toml_free(t->root);
        *t = (struct table){0};
}

const struct kiln_toml *bootstrap_table_row(const struct kiln_toml *table, const char *name)
{
        return kiln_toml_get(table, name);
}

/* Every file of <data>/bootstrap/<folder>, in the order of names. */
static int digest_folder(struct kiln_hasher *h, const char *dir, struct kiln_error *err)
{
        _cleanup_strv_ char **names = NULL;
        DIR *d = opendir(dir);
        struct dirent *e;

        if (!d)
                return kiln_error_set(err, KILN_BAD_INPUT, errno, "reading", dir, "cannot open it");
        while ((e = readdir(d)))
                if (e->d_name[0] != '.')
                        kiln_strv_append(&names, e->d_name);
        closedir(d);
        if (names)
                qsort(names, kiln_strv_length(names), sizeof(*names), kiln_strcmp_ptr);
        for (size_t i = 0; i < kiln_strv_length(names); i++) {
                _cleanup_free_ char *path = kiln_path_join(dir, names[i]);
                _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
                int r = kiln_file_read(AT_FDCWD, path, KILN_TOML_MAX, &text);

                if (r < 0)
                        return kiln_error_set(err, KILN_BAD_INPUT, -r, "reading", path, "cannot read it");
                kiln_hasher_update(h, names[i], strlen(names[i]) + 1);
                kiln_hasher_update(h, &text.len, sizeof(text.len));
                kiln_hasher_update(h, kiln_buf_str(&text), text.len);
        }
        return 0;
}

int bootstrap_recipe_digest(struct bootstrap *b, struct kiln_digest *ret, struct kiln_error *err)
{
        _cleanup_hasher_ struct kiln_hasher *h = kiln_hasher_new();
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        int r = kiln_file_read(AT_FDCWD, b->t.path, KILN_TOML_MAX, &text);

        if (r < 0)
                return kiln_error_set(err, KILN_BAD_INPUT, -r, "reading", b->t.path, "cannot read it");
        kiln_hasher_update(h, BOOTSTRAP_FORMAT, sizeof(BOOTSTRAP_FORMAT));
        kiln_hasher_update(h, kiln_buf_str(&text), text.len);
        for (size_t i = 0; r == 0 && i < kiln_strv_length(b->t.own); i++) {
                _cleanup_free_ char *dir = kiln_asprintf("%s/bootstrap/%s", b->c->data_dir, b->t.own[i]);

                r = digest_folder(h, dir, err);
        }
        if (r == 0)
                *ret = kiln_hasher_finish(h);
        return r;
}
