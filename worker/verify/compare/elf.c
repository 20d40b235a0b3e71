/* A first look into two ELF files: header, sections, build-ids and other notes, and the symbol at the first
 * place where code or data differs. Runs inside the sandbox only. Sections are compared in the file; only
 * notes, symbols and their names are ever held in memory. */
#include "worker/verify/compare/private.h"

#include "worker/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <libelf.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTIONS_MAX 20000
#define NAMES_BYTES_MAX ((uint64_t)4 << 20)
#define SYMBOLS_BYTES_MAX ((uint64_t)32 << 20)
#define NOTES_BYTES_MAX ((uint64_t)1 << 20)

struct section {
        const char *name; /* in libelf's memory */
        Elf_Scn *scn;
        GElf_Shdr header;
        size_t number;
};

struct elf {
        int fd;
        Elf *elf;
        GElf_Ehdr header;
        struct section *sections; /* sorted by name, those of one name in their order */
        size_t n;
        uint64_t budget; /* bytes of sections that may still be read: hostile sections lie over each other */
};

static void elf_clear(struct elf *e)
{
        free(e->sections);
        if (e->elf)
                elf_end(e->elf);
}

static int compare_sections(const void *a, const void *b)
{
        const struct section *x = a, *y = b;
        int r = strcmp(x->name, y->name);

        return r ? r : x->number < y->number ? -1 : x->number > y->number;
}

/* libelf makes room for every section before anybody asks: their number, and the size of their names, are
 * bounded first. Extended numbering (above 65,279 sections) is left alone. */
static bool sections_bounded(int fd)
{
        unsigned char h[64];
        ssize_t n = pread(fd, h, sizeof(h), 0);
        bool wide = n > 5 && h[EI_CLASS] == ELFCLASS64, big = n > 5 && h[EI_DATA] == ELFDATA2MSB;
        size_t at = wide ? 60 : 48;
        unsigned count;

        if (n < (wide ? 64 : 52))
                return false;
        count = big ? (unsigned)h[at] << 8 | h[at + 1] : (unsigned)h[at + 1] << 8 | h[at];
        return count > 0 && count <= SECTIONS_MAX;
}

static int elf_open(int fd, struct elf *e)
{
        size_t names, count;
        GElf_Shdr header;
        Elf_Scn *scn = NULL;
        struct stat st;

        e->fd = fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        e->budget = 4 * (uint64_t)st.st_size;
        if (!sections_bounded(fd) || elf_version(EV_CURRENT) == EV_NONE)
                return -EBADMSG;
        e->elf = elf_begin(fd, ELF_C_READ, NULL);
        if (!e->elf || elf_kind(e->elf) != ELF_K_ELF || !gelf_getehdr(e->elf, &e->header) ||
                elf_getshdrnum(e->elf, &count) < 0 || count > SECTIONS_MAX ||
                elf_getshdrstrndx(e->elf, &names) < 0 || !(scn = elf_getscn(e->elf, names)) ||
                !gelf_getshdr(scn, &header) || header.sh_size > NAMES_BYTES_MAX)
                return -EBADMSG;
        e->sections = kiln_calloc(count + 1, sizeof(*e->sections));
        scn = NULL;
        while ((scn = elf_nextscn(e->elf, scn)) && e->n < count) {
                struct section *s = &e->sections[e->n];

                if (!gelf_getshdr(scn, &s->header))
                        return -EBADMSG;
                s->name = elf_strptr(e->elf, names, s->header.sh_name);
                s->name = s->name ? s->name : "";
                s->scn = scn;
                s->number = e->n++;
        }
        qsort(e->sections, e->n, sizeof(*e->sections), compare_sections);
        return 0;
}

static const struct section *section_find(const struct elf *e, const char *name)
{
        for (size_t i = 0; i < e->n; i++)
                if (strcmp(e->sections[i].name, name) == 0)
                        return &e->sections[i];
        return NULL;
}

static Elf_Data *section_data(const struct section *s, uint64_t max)
{
        return s && s->header.sh_type != SHT_NOBITS && s->header.sh_size <= max ? elf_getdata(s->scn, NULL)
                                                                                : NULL;
}

/* ---- header ---------------------------------------------------------------------------------- */

static void number_differs(struct compare_look *l, const char *aspect, uint64_t a, uint64_t b)
{
        _cleanup_free_ char *left = kiln_asprintf("%#" PRIx64, a), *right = kiln_asprintf("%#" PRIx64, b);

        if (a != b)
                compare_look_add(l, aspect, left, right, NULL);
}

static void look_header(struct compare_look *l, const GElf_Ehdr *a, const GElf_Ehdr *b)
{
        number_differs(l, "ELF class", a->e_ident[EI_CLASS], b->e_ident[EI_CLASS]);
        number_differs(l, "ELF byte order", a->e_ident[EI_DATA], b->e_ident[EI_DATA]);
        number_differs(l, "ELF OS ABI", a->e_ident[EI_OSABI], b->e_ident[EI_OSABI]);
        number_differs(l, "ELF type", a->e_type, b->e_type);
        number_differs(l, "ELF machine", a->e_machine, b->e_machine);
        number_differs(l, "ELF flags", a->e_flags, b->e_flags);
        number_differs(l, "ELF entry", a->e_entry, b->e_entry);
        number_differs(l, "ELF program headers", a->e_phnum, b->e_phnum);
}

/* ---- notes ----------------------------------------------------------------------------------- */

/* The text of note `want` (from 0) of a section: "GNU type 3, 20 bytes: ab cd …"; of a build-id all of it.
 * NULL: there is none. */
static char *note_text(const struct section *s, size_t want, bool *ret_build_id)
{
        Elf_Data *data = section_data(s, NOTES_BYTES_MAX);
        size_t at = 0, name_at, desc_at;
        GElf_Nhdr note;

        while (data && (at = gelf_getnote(data, at, &note, &name_at, &desc_at)) > 0) {
                const char *name = (const char *)data->d_buf + name_at;
                const unsigned char *desc = (const unsigned char *)data->d_buf + desc_at;
                _cleanup_free_ char *hex = NULL;

                if (want-- > 0)
                        continue;
                *ret_build_id =
                        note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(name, "GNU", 4) == 0;
                if (*ret_build_id && note.n_descsz <= 64) {
                        struct kiln_buf b = KILN_BUF_INIT;

                        for (size_t i = 0; i < note.n_descsz; i++)
                                kiln_buf_printf(&b, "%02x", desc[i]);
                        return kiln_buf_take(&b);
                }
                hex = compare_hex(desc, note.n_descsz);
                return kiln_asprintf("%.*s type %#x, %u bytes: %s",
                        (int)strnlen(name, note.n_namesz < 32 ? note.n_namesz : 32), name, note.n_type,
                        note.n_descsz, hex);
        }
        return NULL;
}

/* Each note is found by walking from the first: behind this many the bytes speak for themselves. */
#define NOTES_MAX 256

static void look_notes(struct compare_look *l, const struct section *x, const struct section *y)
{
        for (size_t i = 0; i < NOTES_MAX; i++) {
                bool id = false, other_id = false;
                _cleanup_free_ char *left = note_text(x, i, &id), *right = note_text(y, i, &other_id),
                                    *aspect = kiln_asprintf("note %zu of %.60s", i + 1, x->name);

                if (!left && !right)
                        return;
                if (!left || !right || strcmp(left, right) != 0)
                        compare_look_add(l, id || other_id ? "build-id" : aspect, left, right, NULL);
        }
}

/* ---- symbols --------------------------------------------------------------------------------- */

/* The function or object at `address` (of a relocatable file: offset in section `number`). NULL: no symbol
 * says. */
static char *symbol_in(const struct elf *e, uint64_t address, size_t number)
{
        static const char *const tables[] = {".symtab", ".dynsym"};

        for (size_t t = 0; t < KILN_ARRAY_SIZE(tables); t++) {
                const struct section *table = section_find(e, tables[t]);
                Elf_Data *data = section_data(table, SYMBOLS_BYTES_MAX);
                Elf_Scn *strings = data ? elf_getscn(e->elf, table->header.sh_link) : NULL;
                GElf_Shdr names;
                GElf_Sym symbol;
                size_t n;

                if (!strings || !gelf_getshdr(strings, &names) || names.sh_size > SYMBOLS_BYTES_MAX ||
                        table->header.sh_entsize == 0)
                        continue;
                n = data->d_size / table->header.sh_entsize;
                for (size_t i = 0; i < n && gelf_getsym(data, (int)i, &symbol); i++) {
                        const char *name;

                        if ((e->header.e_type == ET_REL && symbol.st_shndx != number) ||
                                address < symbol.st_value || address - symbol.st_value >= symbol.st_size)
                                continue;
                        name = elf_strptr(e->elf, table->header.sh_link, symbol.st_name);
                        if (name && *name)
                                return kiln_asprintf("%.200s + %#" PRIx64, name, address - symbol.st_value);
                }
        }
        return NULL;
}

/* A stripped program's symbols: an ELF file with nothing else, compressed, in a section of its own. */
static char *symbol_in_debugdata(struct compare_look *l, const struct elf *e, uint64_t address)
{
        const struct section *s = section_find(e, ".gnu_debugdata");
        Elf_Data *data = section_data(s, SYMBOLS_BYTES_MAX);
        _cleanup_close_ int packed = -1, fd = -1;
        _cleanup_(elf_clear) struct elf inner = {0};

        if (!data || (packed = compare_spool(l->spool_fd)) < 0 || (fd = compare_spool(l->spool_fd)) < 0 ||
                kiln_fd_write(packed, data->d_buf, data->d_size) < 0 || compare_uncompress(packed, fd) < 0 ||
                elf_open(fd, &inner) < 0)
                return NULL;
        return symbol_in(&inner, address, 0);
}

static char *symbol_at(struct compare_look *l, const struct elf *e, const struct section *s, uint64_t offset)
{
        bool object = e->header.e_type == ET_REL;
        uint64_t address = object ? offset : s->header.sh_addr + offset;
        char *name = symbol_in(e, address, elf_ndxscn(s->scn));

        return name || object ? name : symbol_in_debugdata(l, e, address);
}

/* ---- sections -------------------------------------------------------------------------------- */

static void section_field(
        struct compare_look *l, const struct section *s, const char *name, uint64_t a, uint64_t b)
{
        _cleanup_free_ char *aspect = kiln_asprintf("section %.60s %s", s->name, name);

        number_differs(l, aspect, a, b);
}

/* compare_bytes() for the part that both sections have. */
static int section_bytes(
        struct elf *a, const struct section *x, struct elf *b, const struct section *y, uint64_t *ret)
{
        uint64_t common = x->header.sh_size < y->header.sh_size ? x->header.sh_size : y->header.sh_size;

        if (common > a->budget || common > b->budget)
                return -EBADMSG;
        a->budget -= common;
        b->budget -= common;
        return compare_bytes(a->fd, x->header.sh_offset, b->fd, y->header.sh_offset, common, ret);
}

/* The string around byte `at` of a section of strings; NULL: it ends before. */
static char *string_at(int fd, const struct section *s, uint64_t at)
{
        char text[256];
        uint64_t from = at < 64 ? 0 : at - 64, rest = at < s->header.sh_size ? s->header.sh_size - from : 0;
        ssize_t n = rest ? pread(fd, text, rest < sizeof(text) ? (size_t)rest : sizeof(text),
                                   (off_t)(s->header.sh_offset + from))
                         : 0;
        size_t begin = at - from;

        if (n <= (ssize_t)begin)
                return NULL;
        while (begin > 0 && text[begin - 1])
                begin--;
        return kiln_strndup(text + begin, strnlen(text + begin, (size_t)n - begin));
}

/* The bytes of both, and whose they are. */
static int section_content(struct compare_look *l, struct elf *a, const struct section *x, struct elf *b,
        const struct section *y)
{
        _cleanup_free_ char *where = kiln_asprintf("section %.60s, ", x->name), *left = NULL, *right = NULL;
        uint64_t most = x->header.sh_size > y->header.sh_size ? x->header.sh_size : y->header.sh_size, at;
        int r;

        if (x->header.sh_type == SHT_NOBITS || y->header.sh_type == SHT_NOBITS || most == 0)
                return 0;
        r = section_bytes(a, x, b, y, &at);
        if (r < 0 || at == most)
                return r;
        if (x->header.sh_type == SHT_NOTE && y->header.sh_type == SHT_NOTE) {
                size_t before = l->c->n_differences;
                uint64_t cut = l->c->cut;

                look_notes(l, x, y);
                if (l->c->n_differences > before || l->c->cut > cut)
                        return 0;
        }
        if ((x->header.sh_flags & y->header.sh_flags & SHF_STRINGS) || x->header.sh_type == SHT_STRTAB) {
                _cleanup_free_ char *aspect =
                        kiln_asprintf("section %.60s, string at byte %" PRIu64, x->name, at);

                left = string_at(a->fd, x, at);
                right = string_at(b->fd, y, at);
                compare_look_add(l, aspect, left, right, NULL);
                return 0;
        }
        compare_look_bytes(l, where, a->fd, x->header.sh_offset, x->header.sh_size, b->fd,
                y->header.sh_offset, y->header.sh_size, at);
        return 0;
}

/* Of all sections that the program itself has in memory, the first that differs names the symbol. */
static int look_symbol(struct compare_look *l, struct elf *a, struct elf *b)
{
        const struct section *first[2] = {NULL, NULL};
        uint64_t where = 0;

        for (size_t i = 0; i < a->n; i++) {
                const struct section *x = &a->sections[i], *y = section_find(b, x->name);
                uint64_t at;
                int r;

                if (!y || !(x->header.sh_flags & SHF_ALLOC) || x->header.sh_type != SHT_PROGBITS ||
                        y->header.sh_type != SHT_PROGBITS)
                        continue;
                r = section_bytes(a, x, b, y, &at);
                if (r < 0)
                        return r;
                /* Code before data: what a person wants to read first. */
                if ((at < x->header.sh_size || at < y->header.sh_size) &&
                        (!first[0] || (x->header.sh_flags & SHF_EXECINSTR) >
                                              (first[0]->header.sh_flags & SHF_EXECINSTR))) {
                        first[0] = x;
                        first[1] = y;
                        where = at;
                }
        }
        if (first[0]) {
                _cleanup_free_ char *left = symbol_at(l, a, first[0], where),
                                    *right = symbol_at(l, b, first[1], where),
                                    *detail = kiln_asprintf("in section %.60s", first[0]->name);

                if (left || right)
                        compare_look_add(
                                l, "first differing symbol", left ? left : "?", right ? right : "?", detail);
        }
        return 0;
}

static int look_sections(struct compare_look *l, struct elf *a, struct elf *b)
{
        for (size_t i = 0, k = 0; i < a->n || k < b->n;) {
                const struct section *x = i < a->n ? &a->sections[i] : NULL,
                                     *y = k < b->n ? &b->sections[k] : NULL;
                int which = !x ? 1 : !y ? -1 : strcmp(x->name, y->name), r = 0;

                if (which != 0) {
                        _cleanup_free_ char *aspect = kiln_asprintf(
                                                    "section %.60s", which < 0 ? x->name : y->name),
                                            *size = kiln_asprintf("%" PRIu64 " bytes",
                                                    which < 0 ? x->header.sh_size : y->header.sh_size);

                        compare_look_add(l, aspect, which < 0 ? size : NULL, which < 0 ? NULL : size, NULL);
                } else {
                        section_field(l, x, "type", x->header.sh_type, y->header.sh_type);
                        section_field(l, x, "flags", x->header.sh_flags, y->header.sh_flags);
                        section_field(l, x, "address", x->header.sh_addr, y->header.sh_addr);
                        section_field(l, x, "size", x->header.sh_size, y->header.sh_size);
                        r = section_content(l, a, x, b, y);
                }
                if (r < 0)
                        return r;
                i += which <= 0;
                k += which >= 0;
        }
        return 0;
}

int compare_look_elf(struct compare_look *l, int a, int b)
{
        _cleanup_(elf_clear) struct elf x = {0}, y = {0};
        int r = elf_open(a, &x);

        if (r == 0)
                r = elf_open(b, &y);
        if (r < 0)
                return r;
        look_header(l, &x.header, &y.header);
        r = look_symbol(l, &x, &y);
        return r < 0 ? r : look_sections(l, &x, &y);
}
