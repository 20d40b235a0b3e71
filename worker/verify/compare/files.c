/* The files two headers list, by path: which are missing, and what is said about them that differs. */
#include "worker/verify/compare/private.h"

#include <errno.h>
#include <inttypes.h>
#include <rpm/rpmfiles.h>
#include <rpm/rpmtag.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define FILES_MAX 1000000U
#define PATH_BYTES_MAX 4096

/* How a value is shown. */
enum form {
        FORM_STRING,
        FORM_NUMBER,
        FORM_OCTAL,
        FORM_DEVICE,
        FORM_TIME,
        FORM_FLAGS,
        FORM_CLASS, /* a number into another list of strings */
};

static const struct attribute {
        uint32_t tag;
        const char *name;
        enum form form;
} attributes[] = {
        {RPMTAG_FILEMODES, "mode", FORM_OCTAL},
        {RPMTAG_FILEUSERNAME, "owner", FORM_STRING},
        {RPMTAG_FILEGROUPNAME, "group", FORM_STRING},
        {RPMTAG_FILEMTIMES, "mtime", FORM_TIME},
        {RPMTAG_FILESIZES, "size", FORM_NUMBER},
        {RPMTAG_LONGFILESIZES, "size", FORM_NUMBER},
        {RPMTAG_FILEDIGESTS, "digest", FORM_STRING},
        {RPMTAG_FILELINKTOS, "link target", FORM_STRING},
        {RPMTAG_FILERDEVS, "device", FORM_DEVICE},
        {RPMTAG_FILEFLAGS, "flags", FORM_FLAGS},
        {RPMTAG_FILECAPS, "capability", FORM_STRING},
        {RPMTAG_FILESIGNATURES, "xattr security.ima", FORM_STRING},
        {RPMTAG_VERITYSIGNATURES, "fs-verity signature", FORM_STRING},
        {RPMTAG_FILEVERIFYFLAGS, "verify flags", FORM_NUMBER},
        {RPMTAG_FILELANGS, "language", FORM_STRING},
        {RPMTAG_FILECOLORS, "color", FORM_NUMBER},
        {RPMTAG_FILEDEVICES, "build device", FORM_NUMBER},
        {RPMTAG_FILECLASS, "type", FORM_CLASS},
};
#define ATTRIBUTES KILN_ARRAY_SIZE(attributes)

struct file {
        const char *dir, *base;
        uint32_t number;
};

struct compare_files {
        const struct compare_header *header;
        struct file *sorted;
        uint32_t n;
        struct {
                const struct kiln_rpm_value *value; /* NULL: the header has none that fits */
                uint32_t *strings;                  /* of lists of strings: where each begins */
        } attributes[ATTRIBUTES];
        const struct kiln_rpm_value *classes;
        uint32_t *class_strings;

        /* Filled by compare_files_metadata(). */
        bool paths_differ;
        bool listed[ATTRIBUTES];
};

void compare_files_free(struct compare_files *f)
{
        if (!f)
                return;
        for (size_t i = 0; i < ATTRIBUTES; i++)
                free(f->attributes[i].strings);
        free(f->class_strings);
        free(f->sorted);
        free(f);
}

static uint32_t *strings_index(const struct kiln_rpm_value *v)
{
        uint32_t *at = kiln_calloc(v->count, sizeof(*at));
        size_t offset = 0;

        for (uint32_t i = 0; i < v->count; i++) {
                at[i] = (uint32_t)offset;
                offset += strlen((const char *)v->data + offset) + 1;
        }
        return at;
}

static bool is_strings(const struct kiln_rpm_value *v)
{
        return v && (v->type == RPM_STRING_ARRAY_TYPE || v->type == RPM_STRING_TYPE);
}

static bool is_numbers(const struct kiln_rpm_value *v)
{
        return v && v->type >= RPM_CHAR_TYPE && v->type <= RPM_INT64_TYPE;
}

static int path_order(const char *dir, const char *base, const char *dir2, const char *base2)
{
        size_t a = strlen(dir), b = strlen(dir2), common = a < b ? a : b;
        int r = memcmp(dir, dir2, common);

        if (r != 0 || a == b)
                return r ? r : strcmp(base, base2);
        if (a < b) {
                size_t rest = b - a;

                r = strncmp(base, dir2 + a, rest);
                return r ? r : strcmp(base + rest, base2);
        }
        r = strncmp(dir + b, base2, a - b);
        return r ? r : strcmp(base, base2 + (a - b));
}

static int compare_file(const void *a, const void *b)
{
        const struct file *x = a, *y = b;

        return path_order(x->dir, x->base, y->dir, y->base);
}

/* Paths, from one of the two ways of writing them down. What is wrong, or NULL. */
static const char *paths_read(struct compare_files *f)
{
        const struct kiln_rpm_value *bases = compare_header_find(f->header, RPMTAG_BASENAMES),
                                    *dirs = compare_header_find(f->header, RPMTAG_DIRNAMES),
                                    *indexes = compare_header_find(f->header, RPMTAG_DIRINDEXES),
                                    *old = compare_header_find(f->header, RPMTAG_OLDFILENAMES);
        const struct kiln_rpm_value *names = bases ? bases : old;
        _cleanup_free_ uint32_t *dir_at = NULL;
        const char *s;

        if (!names)
                return NULL;
        if (!is_strings(names) || names->count > FILES_MAX)
                return "its list of files is no list of strings, or has more than a million";
        if (bases && (!is_strings(dirs) || !is_numbers(indexes) || indexes->count != bases->count))
                return "its lists of files and directories do not fit together";
        if (bases)
                dir_at = strings_index(dirs);
        f->n = names->count;
        f->sorted = kiln_calloc(f->n, sizeof(*f->sorted));
        s = (const char *)names->data;
        for (uint32_t i = 0; i < f->n; i++, s += strlen(s) + 1) {
                uint64_t d = bases ? compare_value_number(indexes, i) : 0;

                if (bases && d >= dirs->count)
                        return "a file lies in a directory that it does not list";
                f->sorted[i] = (struct file){
                        .dir = bases ? (const char *)dirs->data + dir_at[d] : "", .base = s, .number = i};
                if (strlen(f->sorted[i].dir) + strlen(s) >= PATH_BYTES_MAX)
                        return "the path of a file is too long";
        }
        qsort(f->sorted, f->n, sizeof(*f->sorted), compare_file);
        return NULL;
}

int compare_files_read(
        const struct compare_header *h, const char *name, struct compare_files **ret, struct kiln_error *err)
{
        _cleanup_(compare_files_freep) struct compare_files *f = kiln_calloc(1, sizeof(*f));
        const char *wrong;

        f->header = h;
        wrong = paths_read(f);
        if (wrong) {
                kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", name, "%s", wrong);
                return -EBADMSG;
        }
        for (size_t i = 0; i < ATTRIBUTES; i++) {
                const struct kiln_rpm_value *v = compare_header_find(h, attributes[i].tag);
                bool strings = attributes[i].form == FORM_STRING;

                /* One that does not fit is left to the comparison of tags. */
                if (!v || v->count != f->n || !(strings ? is_strings(v) : is_numbers(v)))
                        continue;
                f->attributes[i].value = v;
                if (strings)
                        f->attributes[i].strings = strings_index(v);
        }
        f->classes = compare_header_find(h, RPMTAG_CLASSDICT);
        if (!is_strings(f->classes) || f->classes->count > FILES_MAX)
                f->classes = NULL;
        if (f->classes)
                f->class_strings = strings_index(f->classes);
        *ret = TAKE_PTR(f);
        return 0;
}

int compare_files_find(const struct compare_files *f, const char *path)
{
        const struct file key = {.dir = "", .base = path};
        const struct file *found =
                f->n ? bsearch(&key, f->sorted, f->n, sizeof(*f->sorted), compare_file) : NULL;

        return found ? (int)found->number : -ENOENT;
}

/* ---- attributes ------------------------------------------------------------------------------ */

static const char *string_at(const struct compare_files *f, size_t attribute, uint32_t i)
{
        if (!f->attributes[attribute].value) /* no file has one */
                return "";
        return (const char *)f->attributes[attribute].value->data + f->attributes[attribute].strings[i];
}

static const char *class_at(const struct compare_files *f, size_t attribute, uint32_t i)
{
        uint64_t class = compare_value_number(f->attributes[attribute].value, i);

        return f->classes && class < f->classes->count
                       ? (const char *)f->classes->data + f->class_strings[class]
                       : "?";
}

static bool attribute_same(
        size_t which, const struct compare_files *a, uint32_t i, const struct compare_files *b, uint32_t k)
{
        const struct kiln_rpm_value *va = a->attributes[which].value, *vb = b->attributes[which].value;

        if (attributes[which].form == FORM_STRING)
                return strcmp(string_at(a, which, i), string_at(b, which, k)) == 0;
        if (!va || !vb)
                return va == vb;
        if (attributes[which].form == FORM_CLASS)
                return strcmp(class_at(a, which, i), class_at(b, which, k)) == 0;
        return compare_value_number(va, i) == compare_value_number(vb, k);
}

bool compare_files_same(
        const struct compare_files *a, int i, const struct compare_files *b, int k, uint32_t tag)
{
        const struct kiln_rpm_value *va, *vb;

        for (size_t which = 0; which < ATTRIBUTES; which++)
                if (attributes[which].tag == tag)
                        return attribute_same(which, a, (uint32_t)i, b, (uint32_t)k);
        va = compare_header_find(a->header, tag);
        vb = compare_header_find(b->header, tag);
        if (!is_numbers(va) || !is_numbers(vb) || va->count != a->n || vb->count != b->n)
                return va == vb;
        return compare_value_number(va, (size_t)i) == compare_value_number(vb, (size_t)k);
}

static char *flags_text(uint64_t flags)
{
        static const struct {
                uint32_t bit;
                const char *name;
        } names[] = {
                {RPMFILE_CONFIG, "config"},
                {RPMFILE_DOC, "doc"},
                {RPMFILE_ICON, "icon"},
                {RPMFILE_MISSINGOK, "missingok"},
                {RPMFILE_NOREPLACE, "noreplace"},
                {RPMFILE_SPECFILE, "spec"},
                {RPMFILE_GHOST, "ghost"},
                {RPMFILE_LICENSE, "license"},
                {RPMFILE_README, "readme"},
                {RPMFILE_PUBKEY, "pubkey"},
                {RPMFILE_ARTIFACT, "artifact"},
        };
        struct kiln_buf b = KILN_BUF_INIT;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(names); i++)
                if (flags & names[i].bit) {
                        kiln_buf_printf(&b, "%s%s", b.len ? "," : "", names[i].name);
                        flags &= ~(uint64_t)names[i].bit;
                }
        if (flags)
                kiln_buf_printf(&b, "%s%#" PRIx64, b.len ? "," : "", flags);
        return kiln_buf_take(&b);
}

/* NULL: the header does not say. */
static char *attribute_text(size_t which, const struct compare_files *f, uint32_t i)
{
        const struct kiln_rpm_value *v = f->attributes[which].value;
        uint64_t n;

        if (attributes[which].form == FORM_STRING)
                return kiln_strdup(string_at(f, which, i));
        if (!v)
                return NULL;
        n = compare_value_number(v, i);
        switch (attributes[which].form) {
        case FORM_OCTAL:
                return kiln_asprintf("%06" PRIo64, n);
        case FORM_DEVICE:
                return kiln_asprintf("%u:%u", major(n), minor(n));
        case FORM_TIME:
                return compare_time(n);
        case FORM_FLAGS:
                return flags_text(n);
        case FORM_CLASS:
                return kiln_strdup(class_at(f, which, i));
        case FORM_STRING:
        case FORM_NUMBER:
                break;
        }
        return kiln_asprintf("%" PRIu64, n);
}

/* "regular file, 0100644, 12 bytes". */
static char *file_text(const struct compare_files *f, uint32_t i)
{
        struct kiln_buf b = KILN_BUF_INIT;
        bool first = true;

        for (size_t which = 0; which < ATTRIBUTES; which++) {
                _cleanup_free_ char *text = NULL;

                if (attributes[which].tag != RPMTAG_FILEMODES && attributes[which].tag != RPMTAG_FILESIZES &&
                        attributes[which].tag != RPMTAG_LONGFILESIZES &&
                        attributes[which].tag != RPMTAG_FILEDIGESTS)
                        continue;
                text = attribute_text(which, f, i);
                if (text && *text)
                        kiln_buf_printf(&b, "%s%s %s", first ? "" : ", ", attributes[which].name, text);
                first = first && !(text && *text);
        }
        return kiln_buf_take(&b);
}

static void file_compare(struct kiln_comparison *c, struct compare_files *a, const struct file *x,
        struct compare_files *b, const struct file *y, const char *path)
{
        for (size_t which = 0; which < ATTRIBUTES; which++) {
                _cleanup_free_ char *left = NULL, *right = NULL;

                if (attribute_same(which, a, x->number, b, y->number))
                        continue;
                a->listed[which] = b->listed[which] = true;
                left = attribute_text(which, a, x->number);
                right = attribute_text(which, b, y->number);
                compare_add(c, KILN_DIFFERENCE_FILE_META, path, attributes[which].name, left, right, NULL);
        }
}

void compare_files_metadata(struct kiln_comparison *c, struct compare_files *a, struct compare_files *b)
{
        uint32_t i = 0, k = 0;

        while (i < a->n || k < b->n) {
                const struct file *x = i < a->n ? &a->sorted[i] : NULL, *y = k < b->n ? &b->sorted[k] : NULL;
                int order = !x ? 1 : !y ? -1 : compare_file(x, y);
                const struct file *which = order <= 0 ? x : y;
                _cleanup_free_ char *path = kiln_asprintf("%s%s", which->dir, which->base);

                if (order == 0)
                        file_compare(c, a, x, b, y, path);
                else {
                        _cleanup_free_ char *text = file_text(order < 0 ? a : b, which->number);

                        a->paths_differ = b->paths_differ = true;
                        compare_add(c, KILN_DIFFERENCE_FILE_MISSING, path, "", order < 0 ? text : NULL,
                                order < 0 ? NULL : text, NULL);
                }
                i += order <= 0;
                k += order >= 0;
        }
}

bool compare_files_covered(void *ctx, uint32_t tag)
{
        struct compare_files *const *f = ctx;

        switch (tag) {
        case RPMTAG_BASENAMES:
        case RPMTAG_DIRNAMES:
        case RPMTAG_DIRINDEXES:
        case RPMTAG_OLDFILENAMES:
                return f[0]->paths_differ;
        case RPMTAG_CLASSDICT:
                tag = RPMTAG_FILECLASS;
        }
        /* All files both have were compared: what remains of the list are the files only one has. */
        for (size_t which = 0; which < ATTRIBUTES; which++)
                if (attributes[which].tag == tag)
                        return f[0]->listed[which] || (f[0]->paths_differ && f[0]->attributes[which].value &&
                                                              f[1]->attributes[which].value);
        return false;
}
