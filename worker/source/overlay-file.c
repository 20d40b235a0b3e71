/* What overlays do to patches, sources and other loose files beside the spec. Names are flat; nothing outside
 * the directory can be named. */
#include "worker/source/overlay-private.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/base/number.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)256 << 20)
#define NUMBER_MAX 1000000

static int file_exists(struct overlay_target *t, const char *name)
{
        return faccessat(t->dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int overlay_file_add(struct overlay_target *t)
{
        const struct overlay_op *op = t->op;

        if (file_exists(t, op->file))
                return overlay_fail(t, "%s exists already", op->file);
        if (strlen(op->file) > 5 && strcmp(op->file + strlen(op->file) - 5, ".spec") == 0)
                return overlay_fail(t, "%s would be another spec file", op->file);
        return overlay_file_write(t, op->file, op->text, strlen(op->text), false);
}

/* ---- Patch and Source tags */

struct numbered { /* a PatchN or SourceN line */
        size_t line;
        uint64_t number;
        bool has_number;
        char *file; /* last component of its value, simple macros expanded */
};

/* 0: lines[i] is another one. Numbers that a tag leaves out count up from the previous tag (rpm 4.15). */
static bool numbered_parse(
        const struct spec_text *s, size_t i, const char *tag, int64_t previous, struct numbered *ret)
{
        struct spec_tag found;
        size_t n = strlen(tag);
        _cleanup_free_ char *digits = NULL, *value = NULL, *expanded = NULL;

        if (!spec_tag_parse(s->lines[i], &found) || found.name_len < n ||
                strncasecmp(found.name, tag, n) != 0)
                return false;
        digits = kiln_strndup(found.name + n, found.name_len - n);
        *ret = (struct numbered){
                .line = i, .has_number = *digits != '\0', .number = (uint64_t)(previous + 1)};
        if (ret->has_number && kiln_number_parse(digits, NUMBER_MAX, &ret->number) < 0)
                return false;
        value = kiln_strndup(found.value, found.value_len);
        expanded = spec_expand(s, value);
        ret->file = kiln_strdup(kiln_path_base(expanded));
        return true;
}

/* The highest number in use, or -1. */
static int64_t numbered_highest(const struct spec_text *s, const char *tag)
{
        int64_t previous = -1, highest = -1;

        for (size_t i = 0; i < s->n; i++) {
                struct numbered one;

                if (!numbered_parse(s, i, tag, previous, &one))
                        continue;
                previous = (int64_t)one.number;
                highest = previous > highest ? previous : highest;
                free(one.file);
        }
        return highest;
}

/* Registers op's file: in the list section where the spec has one, else as a tag behind its family. */
static int file_register(struct overlay_target *t, const char *tag, const char *list, int64_t *ret_number)
{
        struct overlay_op op = *t->op;
        _cleanup_free_ char *name = NULL;
        char *lines[] = {op.file, NULL};
        struct overlay_target inner = *t;
        struct spec_section section;
        int r;

        *ret_number = numbered_highest(&t->spec, tag) + 1;
        if (*ret_number > NUMBER_MAX)
                return overlay_fail(t, "the spec has a %s number that is too large", tag);
        name = kiln_asprintf("%s%lld", tag, (long long)*ret_number);
        op.package = NULL;
        inner.op = &op;
        if (spec_section_find(&t->spec, list, "", 0, &section)) {
                op.section = (char[32]){0};
                snprintf(op.section, 32, "%s", list);
                op.lines = lines;
                r = overlay_spec_lines_append(&inner);
        } else {
                op.tag = name;
                op.value = op.file;
                r = overlay_spec_tag_insert(&inner);
        }
        t->spec = inner.spec;
        t->spec_changed |= inner.spec_changed;
        return r;
}

/* The directive at the beginning of a line: "%patch", "%{autosetup}" as well. */
static bool directive_is(const char *line, const char *name, const char **ret_rest)
{
        const char *p = line + strspn(line, " \t");
        size_t n = strlen(name);

        if (*p++ != '%')
                return false;
        p += *p == '{';
        if (strncmp(p, name, n) != 0)
                return false;
        *ret_rest = p + n;
        return true;
}

static bool patches_are_automatic(const struct spec_text *s)
{
        const char *rest;

        for (size_t i = 0; i < s->n; i++)
                if (directive_is(s->lines[i], "autosetup", &rest) ||
                        directive_is(s->lines[i], "autopatch", &rest))
                        return true;
        return false;
}

/* The patch that a %patch line applies: "%patch3", "%patch -P 3", "%patch -P3", "%patch 3", "%patch" (0); -1:
 * it is no such line, -2: it applies several. */
static int64_t patch_line_number(const char *line)
{
        const char *p;
        uint64_t n = 0;
        int64_t found = -1;
        bool after_p = false;

        if (!directive_is(line, "patch", &p) || isalpha((unsigned char)*p) || *p == '_')
                return -1;
        if (isdigit((unsigned char)*p)) {
                _cleanup_free_ char *digits = kiln_strndup(p, strspn(p, "0123456789"));

                return kiln_number_parse(digits, NUMBER_MAX, &n) == 0 ? (int64_t)n : -2;
        }
        while (*(p += strspn(p, " \t}"))) {
                size_t len = strcspn(p, " \t}");
                _cleanup_free_ char *word = kiln_strndup(p, len);
                const char *digits = after_p || isdigit((unsigned char)word[0]) ? word
                                     : strncmp(word, "-P", 2) == 0 && word[2]   ? word + 2
                                                                                : NULL;

                after_p = strcmp(word, "-P") == 0;
                if (digits && kiln_number_parse(digits, NUMBER_MAX, &n) == 0) {
                        if (found >= 0)
                                return -2;
                        found = (int64_t)n;
                }
                p += len;
        }
        return found >= 0 ? found : 0;
}

/* Without %autosetup or %autopatch a patch needs a line of its own in %prep. */
static int patch_line_add(struct overlay_target *t, int64_t number)
{
        struct spec_section prep;
        _cleanup_free_ char *line = NULL;
        size_t at = 0;

        if (patches_are_automatic(&t->spec))
                return 0;
        if (!spec_section_find(&t->spec, "%prep", "", 0, &prep))
                return overlay_fail(t, "%s has no %%prep to apply the patch in", t->spec_name);
        for (size_t i = prep.first; i < prep.end; i++) {
                const char *rest;

                if (spec_depth(&t->spec, prep.first, i) == 0 &&
                        (patch_line_number(t->spec.lines[i]) != -1 ||
                                directive_is(t->spec.lines[i], "setup", &rest)))
                        at = i + 1;
        }
        if (!at)
                return overlay_fail(t, "%s has no %%setup, %%autosetup or %%patch in %%prep", t->spec_name);
        line = kiln_asprintf("%%patch -P %lld -p%lld", (long long)number, (long long)t->op->strip);
        spec_text_insert(&t->spec, at, line);
        return 0;
}

int overlay_patch_add(struct overlay_target *t)
{
        int64_t number;
        int r = overlay_file_add(t);

        if (r == 0)
                r = file_register(t, "Patch", "%patchlist", &number);
        return r == 0 ? patch_line_add(t, number) : r;
}

int overlay_source_add(struct overlay_target *t)
{
        int64_t number;
        int r = overlay_file_add(t);

        return r == 0 ? file_register(t, "Source", "%sourcelist", &number) : r;
}

static int patch_lines_remove(struct overlay_target *t, const struct numbered *patch)
{
        bool automatic = patches_are_automatic(&t->spec);

        if (!automatic && !patch->has_number)
                return overlay_fail(t, "the tag of %s has no number that its %%patch line could be found by",
                        patch->file);
        for (size_t i = t->spec.n; i-- > 0;) {
                int64_t n = patch_line_number(t->spec.lines[i]);

                if (n == -2)
                        return overlay_fail(t, "line %zu of %s applies several patches", i + 1, t->spec_name);
                if (n >= 0 && (uint64_t)n == patch->number && patch->has_number)
                        spec_text_remove(&t->spec, i, 1);
        }
        return 0;
}

static int patch_file_remove(struct overlay_target *t, const char *name)
{
        if (!*name || strchr(name, '/') || unlinkat(t->dir_fd, name, 0) == 0 || errno == ENOENT)
                return 0;
        return kiln_error_set(t->err, KILN_INFRA, errno, "applying the overlay", t->overlay->name,
                "cannot remove %s", name);
}

/* Entries of %patchlist that match. */
static int patchlist_remove(struct overlay_target *t, size_t *removed)
{
        struct spec_section list;

        if (!spec_section_find(&t->spec, "%patchlist", "", 0, &list))
                return 0;
        for (size_t i = list.end; i-- > list.first;) {
                _cleanup_free_ char *expanded = spec_expand(&t->spec, t->spec.lines[i]);
                const char *file = kiln_path_base(expanded);
                int r;

                if (fnmatch(t->op->file, file, 0) != 0)
                        continue;
                r = patch_file_remove(t, file);
                if (r < 0)
                        return r;
                spec_text_remove(&t->spec, i, 1);
                (*removed)++;
        }
        return 0;
}

int overlay_patch_remove(struct overlay_target *t)
{
        size_t removed = 0;
        bool again = true;
        int r = patchlist_remove(t, &removed);

        while (r == 0 && again) { /* from the top each time: removing moves the lines */
                int64_t previous = -1;

                again = false;
                for (size_t i = 0; r == 0 && !again && i < t->spec.n; i++) {
                        struct numbered one;

                        if (!numbered_parse(&t->spec, i, "Patch", previous, &one))
                                continue;
                        previous = (int64_t)one.number;
                        if (fnmatch(t->op->file, one.file, 0) == 0) {
                                spec_text_remove(&t->spec, i, 1);
                                r = patch_lines_remove(t, &one);
                                if (r == 0)
                                        r = patch_file_remove(t, one.file);
                                removed++;
                                again = true;
                        }
                        free(one.file);
                }
        }
        if (r < 0)
                return r;
        if (!removed)
                return overlay_fail(
                        t, "no Patch tag of %s names a file that matches %s", t->spec_name, t->op->file);
        t->spec_changed = true;
        return 0;
}

/* ---- loose files */

/* The names that match op's glob, sorted; never the spec. *ret is the caller's. */
static int files_match(struct overlay_target *t, char ***ret)
{
        _cleanup_strv_ char **names = NULL;
        int own = openat(t->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = own >= 0 ? fdopendir(own) : NULL;
        struct dirent *e;

        if (!d) {
                int saved = errno;

                if (own >= 0)
                        close(own);
                return kiln_error_set(t->err, KILN_INFRA, saved, "applying the overlay", t->overlay->name,
                        "cannot list the files");
        }
        while ((e = readdir(d)))
                if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
                        strcmp(e->d_name, t->spec_name) != 0 && fnmatch(t->op->file, e->d_name, 0) == 0)
                        kiln_strv_append(&names, e->d_name);
        closedir(d);
        if (!names)
                return overlay_fail(t, "no file but perhaps the spec matches %s", t->op->file);
        qsort(names, kiln_strv_length(names), sizeof(*names), kiln_strcmp_ptr);
        *ret = TAKE_PTR(names);
        return 0;
}

int overlay_file_remove(struct overlay_target *t)
{
        _cleanup_strv_ char **names = NULL;
        int r = files_match(t, &names);

        for (size_t i = 0; r == 0 && names[i]; i++)
                if (unlinkat(t->dir_fd, names[i], 0) < 0)
                        r = kiln_error_set(t->err, KILN_INFRA, errno, "applying the overlay",
                                t->overlay->name, "cannot remove %s", names[i]);
        return r;
}

int overlay_file_rename(struct overlay_target *t)
{
        if (strcmp(t->op->file, t->spec_name) == 0 || !file_exists(t, t->op->file))
                return overlay_fail(t, "there is no file %s but perhaps the spec", t->op->file);
        if (file_exists(t, t->op->replacement))
                return overlay_fail(t, "%s exists already", t->op->replacement);
        if (renameat(t->dir_fd, t->op->file, t->dir_fd, t->op->replacement) < 0)
                return kiln_error_set(t->err, KILN_INFRA, errno, "applying the overlay", t->overlay->name,
                        "cannot rename %s", t->op->file);
        return 0;
}

static int file_load(struct overlay_target *t, const char *name, struct kiln_buf *out, bool *executable)
{
        struct stat st;
        int r = fstatat(t->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno
                : S_ISREG(st.st_mode) ? kiln_file_read(t->dir_fd, name, FILE_MAX, out)
                                      : -EINVAL;

        if (r == -ENOENT || r == -EINVAL || r == -EFBIG)
                return overlay_fail(t, "%s is missing, no regular file or too large", name);
        if (r < 0)
                return kiln_error_set(t->err, KILN_INFRA, r, "applying the overlay", t->overlay->name,
                        "cannot read %s", name);
        *executable = st.st_mode & 0100;
        return 0;
}

int overlay_file_replace(struct overlay_target *t)
{
        _cleanup_strv_ char **names = NULL;
        size_t total = 0;
        int r = files_match(t, &names);

        for (size_t i = 0; r == 0 && names[i]; i++) {
                _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT, changed = KILN_BUF_INIT;
                bool executable = false;
                size_t n = 0;

                r = file_load(t, names[i], &text, &executable);
                if (r == 0)
                        r = overlay_replace(t, kiln_buf_str(&text), text.len, &changed, &n);
                if (r == 0 && n)
                        r = overlay_file_write(t, names[i], kiln_buf_str(&changed), changed.len, executable);
                total += n;
        }
        return r == 0 ? overlay_count_check(t, total, t->op->file) : r;
}

int overlay_file_prepend(struct overlay_target *t)
{
        _cleanup_strv_ char **names = NULL;
        int r = files_match(t, &names);

        for (size_t i = 0; r == 0 && names[i]; i++) {
                _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT, changed = KILN_BUF_INIT;
                bool executable = false;

                r = file_load(t, names[i], &text, &executable);
                for (size_t k = 0; r == 0 && t->op->lines[k]; k++)
                        kiln_buf_printf(&changed, "%s\n", t->op->lines[k]);
                if (r == 0) {
                        kiln_buf_append(&changed, kiln_buf_str(&text), text.len);
                        r = overlay_file_write(t, names[i], kiln_buf_str(&changed), changed.len, executable);
                }
        }
        return r;
}
