/* Debian's control fields: names, versions and dependencies, turned into RPM's. deb-control(5),
 * deb-version(7). */
#include "toolchains/bootstrap.h"

#include "worker/base/file.h"
#include "worker/base/process.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

void bootstrap_version_split(const char *debian, char **ret_epoch, char **ret_version, char **ret_release)
{
        const char *colon = strchr(debian, ':'), *dash = strrchr(debian, '-'),
                   *rest = colon ? colon + 1 : debian;
        char *version, *release;

        if (dash && dash < rest)
                dash = NULL;
        version = dash ? kiln_strndup(rest, (size_t)(dash - rest)) : kiln_strdup(rest);
        release = kiln_strdup(dash ? dash + 1 : "1");
        for (char *p = version; *p; p++)
                if (*p == '-' || *p == ':')
                        *p = '_';
        *ret_epoch = colon ? kiln_strndup(debian, (size_t)(colon - debian)) : kiln_strdup("");
        *ret_version = version;
        *ret_release = release;
}

void bootstrap_relations_free(struct relation *r, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                free(r[i].name);
                free(r[i].operator);
                free(r[i].version);
        }
        free(r);
}

/* "name:any (>= 1.2) [arch] <profile>" */
static bool relation_parse(const char *text, size_t len, struct relation *ret)
{
        _cleanup_free_ char *t = kiln_strndup(text, len);
        const char *p = t + strspn(t, " \t\n");
        size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789+.-");
        struct relation r = {0};

        if (n == 0)
                return false;
        r.name = kiln_strndup(p, n);
        p = strchr(p, '(');
        if (p) {
                size_t op, v;

                p += 1 + strspn(p + 1, " \t");
                op = strspn(p, "<>=");
                r.operator= kiln_strndup(p, op);
                p += op + strspn(p + op, " \t");
                v = strcspn(p, " \t)");
                r.version = kiln_strndup(p, v);
        }
        *ret = r;
        return true;
}

bool bootstrap_relation_next(const char **pos, struct relation **ret, size_t *ret_n)
{
        struct relation *list = NULL;
        size_t n = 0;

        while (**pos && n == 0) {
                const char *end = *pos + strcspn(*pos, ",");

                for (const char *p = *pos; p < end;) {
                        const char *bar = memchr(p, '|', (size_t)(end - p));
                        const char *stop = bar ? bar : end;
                        struct relation r;

                        if (relation_parse(p, (size_t)(stop - p), &r))
                                *KILN_APPEND(list, n) = r;
                        p = bar ? bar + 1 : end;
                }
                *pos = end + (*end == ',');
        }
        *ret = list;
        *ret_n = n;
        return n > 0;
}

struct deb *bootstrap_deb_find(const struct bootstrap *b, const char *name)
{
        for (size_t i = 0; i < b->n_debs; i++)
                if (strcmp(b->debs[i].name, name) == 0)
                        return &b->debs[i];
        return NULL;
}

/* A package that says it provides a virtual name and is not left out. */
static bool is_virtual(const struct bootstrap *b, const char *name)
{
        for (size_t i = 0; i < b->n_debs; i++) {
                const char *pos = b->debs[i].provides;
                struct relation *r;
                size_t n;
                bool hit = false;

                if (b->debs[i].skip || !pos)
                        continue;
                while (!hit && bootstrap_relation_next(&pos, &r, &n)) {
                        hit = strcmp(r[0].name, name) == 0;
                        bootstrap_relations_free(r, n);
                }
                if (hit)
                        return true;
        }
        return false;
}

/* One Debian dependency as an RPM requirement, or NULL where nothing here can or must meet it. Upper bounds
 * go: apt solved them, and "(<< 2:1.5~)" has no exact counterpart. */
static char *requirement(const struct bootstrap *b, const struct relation *r, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                const struct deb *d = bootstrap_deb_find(b, r[i].name);
                _cleanup_free_ char *epoch = NULL, *version = NULL, *release = NULL;
                const char *op;

                if (d ? d->skip : !is_virtual(b, r[i].name))
                        continue;
                if (!d || !r[i].operator|| r[i].operator[0] == '<')
                        return kiln_strdup(r[i].name);
                bootstrap_version_split(r[i].version, &epoch, &version, &release);
                /* without a revision ">> 1.2" is also met by 1.2-1 */
                op = strcmp(r[i].operator, ">>") == 0 ? (strchr(r[i].version, '-') ? ">" : ">=")
                                                      : r[i].operator;
                return kiln_asprintf("%s %s %s%s%s%s%s", r[i].name, op, epoch, epoch[0] ? ":" : "", version,
                        strchr(r[i].version, '-') ? "-" : "", strchr(r[i].version, '-') ? release : "");
        }
        return NULL;
}

static void requires_add(const struct bootstrap *b, struct deb *d, const char *field)
{
        const char *pos = field ? field : "";
        struct relation *r;
        size_t n;

        while (bootstrap_relation_next(&pos, &r, &n)) {
                _cleanup_free_ char *line = requirement(b, r, n);

                if (line && !kiln_strv_contains(d->requires, line))
                        kiln_strv_append(&d->requires, line);
                bootstrap_relations_free(r, n);
        }
}

/* A field's value with continuation lines joined; the caller's, or NULL. */
static char *field_get(const char *control, const char *name)
{
        size_t len = strlen(name);

        for (const char *p = control; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
                if (strncmp(p, name, len) == 0 && p[len] == ':') {
                        const char *v = p + len + 1 + strspn(p + len + 1, " ");

                        return kiln_strndup(v, strcspn(v, "\n"));
                }
        return NULL;
}

/* When the package was built: the time stamp of the first member of the ar archive, which dpkg-deb takes from
 * SOURCE_DATE_EPOCH, that is the changelog. deb(5). */
static int64_t archive_time(const char *path)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        char head[8 + 60 + 1] = "", *end;
        long long t;

        if (fd < 0 || pread(fd, head, 68, 0) != 68 || memcmp(head, "!<arch>\n", 8) != 0)
                return -1;
        head[8 + 16 + 12] = '\0'; /* ar_date: 12 decimal digits behind 16 bytes of name */
        t = strtoll(head + 8 + 16, &end, 10);
        return t > 0 && t <= INT32_MAX ? t : -1;
}

static int control_read(struct bootstrap *b, struct deb *d, struct kiln_error *err)
{
        _cleanup_free_ char *path = kiln_path_join(b->debs_dir, d->file);
        const char *const argv[] = {"dpkg-deb", "-f", path, NULL};
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;
        int r = bootstrap_host_run(b, argv, NULL, &out, err);

        if (r < 0)
                return r;
        d->name = field_get(kiln_buf_str(&out), "Package");
        d->version = field_get(kiln_buf_str(&out), "Version");
        d->arch = field_get(kiln_buf_str(&out), "Architecture");
        d->summary = field_get(kiln_buf_str(&out), "Description");
        d->depends = field_get(kiln_buf_str(&out), "Depends");
        d->pre_depends = field_get(kiln_buf_str(&out), "Pre-Depends");
        d->provides = field_get(kiln_buf_str(&out), "Provides");
        d->epoch_s = archive_time(path);
        if (!d->name || !d->version || !d->arch || d->epoch_s < 0 ||
                d->name[strspn(d->name, "abcdefghijklmnopqrstuvwxyz0123456789+.-")] ||
                d->version[strspn(
                        d->version, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.~:-")]) {
                kiln_error_set(
                        err, KILN_BAD_INPUT, 0, BOOTSTRAP_DOING, d->file, "this is no usable Debian package");
                return -EINVAL;
        }
        d->skip = kiln_strv_contains(b->t.skip, d->name);
        return 0;
}

static int deb_compare(const void *x, const void *y)
{
        return strcmp(((const struct deb *)x)->name, ((const struct deb *)y)->name);
}

int bootstrap_control_read(struct bootstrap *b, struct kiln_error *err)
{
        int r = bootstrap_each(b, control_read, false, err);

        if (r < 0)
                return r;
        qsort(b->debs, b->n_debs, sizeof(*b->debs), deb_compare);
        for (size_t i = 1; i < b->n_debs; i++)
                if (strcmp(b->debs[i - 1].name, b->debs[i].name) == 0) {
                        kiln_error_set(err, KILN_BAD_INPUT, 0, BOOTSTRAP_DOING, b->debs[i].name,
                                "it was chosen twice");
                        return -EINVAL;
                }
        for (size_t i = 0; i < b->n_debs; i++) {
                struct deb *d = &b->debs[i];
                const struct kiln_toml *more = kiln_toml_get(b->t.requires, d->name);

                requires_add(b, d, d->pre_depends);
                requires_add(b, d, d->depends);
                for (size_t k = 0; more && k < more->n_children; k++)
                        if (more->children[k].kind == KILN_TOML_STRING &&
                                !kiln_strv_contains(d->requires, more->children[k].string))
                                kiln_strv_append(&d->requires, more->children[k].string);
        }
        return 0;
}
