/* What a package's files say about dependencies: sonames and symbol versions (rpm's own elfdeps), pkg-config
 * modules, CMake packages, Python distributions, Perl modules. One process a kind and package, where
 * rpmbuild's generators start one or more for every file. Requirements come from ELF only: for all else
 * Debian's own are better. */
#include "toolchains/bootstrap.h"

#include "worker/base/file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TEXT_MAX ((size_t)4 << 20) /* bytes of a .pc or METADATA file */

static bool ends_with(const char *s, const char *end)
{
        size_t n = strlen(s), k = strlen(end);

        return n >= k && strcmp(s + n - k, end) == 0;
}

static bool starts_with(const char *s, const char *start)
{
        return strncmp(s, start, strlen(start)) == 0;
}

/* Characters that need no quoting in a dependency's name. */
static bool name_is_usable(const char *s)
{
        return *s && !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-_.")];
}

static bool version_is_usable(const char *s)
{
        return *s && !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_.~^")];
}

/* "tag: line" for each line of text, without doubles; lines are sorted. */
static void put_lines(struct kiln_buf *spec, const char *tag, struct kiln_buf *text)
{
        _cleanup_strv_ char **lines = NULL;
        char *save = NULL;

        for (char *l = text->data ? strtok_r(text->data, "\n", &save) : NULL; l;
                l = strtok_r(NULL, "\n", &save))
                if (*l && !strchr(l, '%'))
                        kiln_strv_append(&lines, l);
        if (lines)
                qsort(lines, kiln_strv_length(lines), sizeof(*lines), kiln_strcmp_ptr);
        for (size_t i = 0; i < kiln_strv_length(lines); i++)
                if (i == 0 || strcmp(lines[i - 1], lines[i]) != 0)
                        kiln_buf_printf(spec, "%s: %s\n", tag, lines[i]);
}

/* 64-bit ELF: nothing here can run 32-bit code, and valgrind brings some. */
static bool is_elf(int root, const struct entry *e)
{
        unsigned char magic[5] = {0}; /* up to EI_CLASS, elf(5) */

        if (!S_ISREG(e->mode) || ends_with(e->path, ".o") || ends_with(e->path, ".ko") ||
                starts_with(e->path, "/usr/lib/debug/"))
                return false;
        _cleanup_close_ int fd = openat(root, e->path + 1, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        return fd >= 0 && pread(fd, magic, 5, 0) == 5 && memcmp(magic, "\177ELF\2", 5) == 0;
}

static int run_generator(struct bootstrap *b, const struct deb *d, const char *program,
        const char *const *args, const struct kiln_buf *files, struct kiln_buf *out, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf errors = KILN_BUF_INIT;
        int r = bootstrap_tools_run(b, program, args, d->epoch_s, files, out, &errors);

        if (r == 0)
                return 0;
        if (r == -ECANCELED)
                return kiln_context_check(b->c, BOOTSTRAP_DOING, err);
        kiln_error_set(err, KILN_INFRA, r < 0 ? -r : 0, BOOTSTRAP_DOING, d->name, "%s failed: %s", program,
                kiln_buf_str(&errors));
        return r < 0 ? r : -EIO;
}

static int depend_elf(struct bootstrap *b, const struct deb *d, const struct stage *s, int root,
        struct kiln_buf *spec, struct kiln_error *err)
{
        static const char *const kinds[][2] = {{"--provides", "Provides"}, {"--requires", "Requires"}};
        _cleanup_buf_ struct kiln_buf files = KILN_BUF_INIT;
        int r = 0;

        for (size_t i = 0; i < s->n_entries; i++)
                if (is_elf(root, &s->entries[i]))
                        kiln_buf_printf(&files, "%s%s\n", s->root, s->entries[i].path);
        for (size_t k = 0; r == 0 && files.len && k < KILN_ARRAY_SIZE(kinds); k++) {
                const char *const args[] = {kinds[k][0], NULL};
                _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;

                r = run_generator(b, d, "usr/lib/rpm/elfdeps", args, &files, &out, err);
                put_lines(spec, kinds[k][1], &out);
        }
        return r;
}

static int depend_perl(struct bootstrap *b, const struct deb *d, const struct stage *s, struct kiln_buf *spec,
        struct kiln_error *err)
{
        _cleanup_free_ char *script =
                kiln_asprintf("%s/bootstrap/redhat-rpm-config/perl-deps", b->c->data_dir);
        const char *const args[] = {script, "--provides", NULL};
        _cleanup_buf_ struct kiln_buf files = KILN_BUF_INIT, out = KILN_BUF_INIT;
        int r;

        for (size_t i = 0; i < s->n_entries; i++)
                if (S_ISREG(s->entries[i].mode) && ends_with(s->entries[i].path, ".pm") &&
                        strstr(s->entries[i].path, "/perl"))
                        kiln_buf_printf(&files, "%s%s\n", s->root, s->entries[i].path);
        if (!files.len)
                return 0;
        r = run_generator(b, d, "usr/bin/perl", args, &files, &out, err);
        put_lines(spec, "Provides", &out);
        return r;
}

/* The value of "key" followed by one of `marks` in a small text file; the caller's, or NULL. */
static char *text_value(const char *text, const char *key, char mark)
{
        size_t n = strlen(key);

        for (const char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
                const char *v;

                if (strncmp(p, key, n) != 0)
                        continue;
                v = p + n + strspn(p + n, " \t");
                if (*v != mark)
                        continue;
                v++;
                v += strspn(v, " \t");
                size_t len = strcspn(v, "\r\n");
                while (len && (v[len - 1] == ' ' || v[len - 1] == '\t'))
                        len--;
                return kiln_strndup(v, len);
        }
        return NULL;
}

/* pc(5): Version: may name variables, "${version}". */
static char *pc_version(const char *text)
{
        char *v = text_value(text, "Version", ':');

        for (int depth = 0; v && depth < 8; depth++) {
                char *start = strstr(v, "${"), *end = start ? strchr(start, '}') : NULL, *whole;
                _cleanup_free_ char *name = NULL, *value = NULL;

                if (!end)
                        break;
                name = kiln_strndup(start + 2, (size_t)(end - start - 2));
                value = text_value(text, name, '=');
                whole = kiln_asprintf("%.*s%s%s", (int)(start - v), v, value ? value : "", end + 1);
                free(v);
                v = whole;
        }
        for (char *p = v; p && *p; p++)
                if (*p == '-')
                        *p = '_';
        return v;
}

static void depend_pkgconfig(const struct stage *s, int root, struct kiln_buf *spec)
{
        bool any = false;

        for (size_t i = 0; i < s->n_entries; i++) {
                const struct entry *e = &s->entries[i];
                const char *base = kiln_path_base(e->path);
                _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
                _cleanup_free_ char *name = NULL, *version = NULL;

                if (!strstr(e->path, "/pkgconfig/") || !ends_with(base, ".pc") || S_ISDIR(e->mode) ||
                        !(starts_with(e->path, "/usr/lib") || starts_with(e->path, "/usr/share")))
                        continue;
                name = kiln_strndup(base, strlen(base) - 3);
                if (!name_is_usable(name))
                        continue;
                if (S_ISREG(e->mode) && kiln_file_read(root, e->path + 1, TEXT_MAX, &text) == 0)
                        version = pc_version(kiln_buf_str(&text));
                if (version && version_is_usable(version))
                        kiln_buf_printf(spec, "Provides: pkgconfig(%s) = %s\n", name, version);
                else
                        kiln_buf_printf(spec, "Provides: pkgconfig(%s)\n", name);
                any = true;
        }
        if (any)
                kiln_buf_puts(spec, "Requires: /usr/bin/pkg-config\n");
}

/* find_package() looks for NameConfig.cmake or name-config.cmake, cmake-packages(7). */
static void depend_cmake(const struct stage *s, struct kiln_buf *spec)
{
        static const char *const ends[] = {"Config.cmake", "-config.cmake"};

        for (size_t i = 0; i < s->n_entries; i++) {
                const char *base = kiln_path_base(s->entries[i].path);

                if (!strstr(s->entries[i].path, "/cmake/") || S_ISDIR(s->entries[i].mode) ||
                        starts_with(s->entries[i].path, "/usr/share/cmake-"))
                        continue;
                for (size_t k = 0; k < KILN_ARRAY_SIZE(ends); k++) {
                        _cleanup_free_ char *name = NULL, *lower = NULL;

                        if (!ends_with(base, ends[k]))
                                continue;
                        name = kiln_strndup(base, strlen(base) - strlen(ends[k]));
                        if (!name_is_usable(name))
                                continue;
                        lower = kiln_strdup(name);
                        for (char *p = lower; *p; p++)
                                *p = (char)tolower((unsigned char)*p);
                        kiln_buf_printf(spec, "Provides: cmake(%s)\n", name);
                        if (strcmp(name, lower) != 0)
                                kiln_buf_printf(spec, "Provides: cmake(%s)\n", lower);
                }
        }
}

/* PEP 503: lower case, runs of "-_." become one "-". */
static char *python_name(const char *s)
{
        char *n = kiln_strdup(s), *out = n;

        for (const char *p = s; *p; p++) {
                char c = strchr("-_.", *p) ? '-' : (char)tolower((unsigned char)*p);

                if (c != '-' || out == n || out[-1] != '-')
                        *out++ = c;
        }
        *out = '\0';
        return n;
}

/* PEP 440 in rpm's order: 1.0rc1 -> 1~rc1, 1.0.post2 -> 1^post2, 1.0.dev3 -> 1~~dev3; trailing ".0" go, as in
 * rpm's own pythondistdeps. The caller's. */
static char *python_version(const char *s)
{
        static const struct {
                const char *mark, *sign;
        } marks[] = {{".post", "^post"}, {".dev", "~~dev"}, {"rc", "~rc"}, {"a", "~a"}, {"b", "~b"}};
        size_t n = strspn(s, "0123456789.");
        _cleanup_free_ char *number = kiln_strndup(s, n);
        const char *rest = s + n;

        while (n && number[n - 1] == '.') {
                number[--n] = '\0';
                rest = s + n;
        }
        while (n > 2 && strcmp(number + n - 2, ".0") == 0) {
                n -= 2;
                number[n] = '\0';
        }
        for (size_t i = 0; i < KILN_ARRAY_SIZE(marks); i++)
                if (starts_with(rest, marks[i].mark)) {
                        const char *digits = rest + strlen(marks[i].mark);

                        return kiln_asprintf(
                                "%s%s%.*s", number, marks[i].sign, (int)strspn(digits, "0123456789"), digits);
                }
        return TAKE_PTR(number);
}

static void depend_python(struct bootstrap *b, const struct stage *s, int root, struct kiln_buf *spec)
{
        static const char dir[] = "/usr/lib/python3/dist-packages/";

        for (size_t i = 0; i < s->n_entries; i++) {
                const struct entry *e = &s->entries[i];
                const char *below, *slash;
                _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
                _cleanup_free_ char *name = NULL, *version = NULL, *normal = NULL, *ordered = NULL;

                if (!starts_with(e->path, dir) || !S_ISREG(e->mode))
                        continue;
                below = e->path + strlen(dir);
                slash = strchr(below, '/');
                if (slash ? !(ends_with(below, ".dist-info/METADATA") ||
                                    ends_with(below, ".egg-info/PKG-INFO")) ||
                                        strchr(slash + 1, '/')
                          : !ends_with(below, ".egg-info"))
                        continue;
                if (kiln_file_read(root, e->path + 1, TEXT_MAX, &text) < 0)
                        continue;
                name = text_value(kiln_buf_str(&text), "Name", ':');
                version = text_value(kiln_buf_str(&text), "Version", ':');
                if (!name || !version || !name_is_usable(name))
                        continue;
                normal = python_name(name);
                ordered = python_version(version);
                if (!version_is_usable(ordered))
                        continue;
                kiln_buf_printf(spec, "Provides: python3dist(%s) = %s\nProvides: python%sdist(%s) = %s\n",
                        normal, ordered, b->t.python, normal, ordered);
        }
}

int bootstrap_depend(struct bootstrap *b, const struct deb *d, const struct stage *s, struct kiln_buf *spec,
        struct kiln_error *err)
{
        _cleanup_close_ int root = open(s->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r;

        if (root < 0)
                return kiln_error_set(err, KILN_INFRA, errno, BOOTSTRAP_DOING, s->root, "cannot open it");
        r = depend_elf(b, d, s, root, spec, err);
        if (r == 0)
                r = depend_perl(b, d, s, spec, err);
        if (r < 0)
                return r;
        depend_pkgconfig(s, root, spec);
        depend_cmake(s, spec);
        depend_python(b, s, root, spec);
        return 0;
}
