#include "worker/source/stripped.h"

#include "worker/base/mem.h"

#include <errno.h>
#include <string.h>

#define FILES_MAX 4096

/* rpm/rpmtag.h */
enum {
        TAG_FILESIZES = 1028,
        TAG_FILEMODES = 1030,
        TAG_FILEMTIMES = 1034,
        TAG_FILEINODES = 1096,
        TAG_BASENAMES = 1117,
        TAG_DIRNAMES = 1118,
        TAG_LONGFILESIZES = 5008,
};
enum { TYPE_INT16 = 3, TYPE_INT32 = 4, TYPE_INT64 = 5, TYPE_STRING_ARRAY = 8 };

static bool find(const struct kiln_rpm_layout *l, uint32_t tag, uint32_t type, struct kiln_rpm_value *ret)
{
        return kiln_rpm_value_find(l->head + l->header_offset, l->header_bytes, tag, ret) == 0 &&
               ret->type == type;
}

/* Element i of a list of big-endian numbers; there are that many. */
static uint64_t number(const struct kiln_rpm_value *v, size_t i)
{
        size_t width = v->bytes / v->count;
        uint64_t n = 0;

        for (size_t k = 0; k < width; k++)
                n = n << 8 | v->data[i * width + k];
        return n;
}

static bool lists_read(const struct kiln_rpm_layout *l, struct stripped *s)
{
        struct kiln_rpm_value names, directories, sizes, modes, times, inodes;
        const char *name;

        if (!find(l, TAG_BASENAMES, TYPE_STRING_ARRAY, &names) || names.count > FILES_MAX ||
                !find(l, TAG_DIRNAMES, TYPE_STRING_ARRAY, &directories) ||
                directories.bytes != directories.count || /* "" each: sources lie flat */
                (!find(l, TAG_LONGFILESIZES, TYPE_INT64, &sizes) &&
                        !find(l, TAG_FILESIZES, TYPE_INT32, &sizes)) ||
                !find(l, TAG_FILEMODES, TYPE_INT16, &modes) || !find(l, TAG_FILEMTIMES, TYPE_INT32, &times) ||
                !find(l, TAG_FILEINODES, TYPE_INT32, &inodes) || sizes.count != names.count ||
                modes.count != names.count || times.count != names.count || inodes.count != names.count)
                return false;
        s->files = kiln_calloc(names.count, sizeof(*s->files));
        s->n = names.count;
        name = (const char *)names.data;
        for (size_t i = 0; i < s->n; i++) {
                struct stripped_file *f = &s->files[i];

                *f = (struct stripped_file){name, number(&sizes, i), (unsigned)number(&modes, i),
                        (int64_t)number(&times, i), false};
                name += strlen(name) + 1;
                for (size_t k = 0; k < i; k++)
                        if (number(&inodes, k) == number(&inodes, i))
                                f->linked = s->files[k].linked = true;
        }
        return true;
}

int stripped_read(int fd, const char *name, struct stripped *ret, struct kiln_error *err)
{
        struct stripped s = {0};
        int r = kiln_rpm_layout_read(fd, name, &s.layout, err);

        if (r == 0 && !lists_read(&s.layout, &s)) {
                kiln_error_set(err, KILN_BAD_INPUT, 0, "unpacking", name,
                        "the lists of files in its header do not fit together");
                r = -EBADMSG;
        }
        if (r < 0) {
                stripped_clear(&s);
                return r;
        }
        *ret = s;
        return 0;
}

void stripped_clear(struct stripped *s)
{
        kiln_rpm_layout_clear(&s->layout);
        free(s->files);
        *s = (struct stripped){0};
}
