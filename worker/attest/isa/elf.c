/* An ELF file laid open: executable sections and property notes.
 *
 * libelf reads the file (never mapped: a file that shrinks meanwhile must not kill us). Before it sees
 * anything the header's counts are checked, and each section before it is read: what is read is bounded by
 * the limits below. Must never trust an offset, size, index or count of the file. */
#include "worker/attest/isa/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SECTIONS_MAX (1u << 18) /* gcc -ffunction-sections makes tens of thousands */
#define STRING_BYTES_MAX (UINT64_C(512) << 20)
#define NAME_MAX_BYTES 4096 /* of a symbol; what is longer counts as nameless */
#define NOTE_BYTES_MAX (UINT64_C(1) << 20)

int isa_elf_bad(struct kiln_isa_file *out, enum kiln_isa_status status, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        free(out->note);
        out->note = kiln_vasprintf(fmt, ap);
        va_end(ap);
        out->status = status;
        return 1;
}

static const struct {
        unsigned machine;
        const char *name;
} machines[] = {
        {EM_386, "i386"},
        {EM_AARCH64, "aarch64"},
        {EM_ARM, "arm"},
        {EM_BPF, "bpf"},
        {EM_LOONGARCH, "loongarch"},
        {EM_MIPS, "mips"},
        {EM_PPC, "ppc"},
        {EM_PPC64, "ppc64"},
        {EM_RISCV, "riscv"},
        {EM_S390, "s390"},
        {EM_SPARCV9, "sparcv9"},
};

/* What libelf would believe without looking: byte order, machine, number of sections. */
static int header_check(struct isa_elf *e, struct kiln_isa_file *out)
{
        union {
                Elf64_Ehdr h64;
                Elf32_Ehdr h32;
                unsigned char ident[EI_NIDENT];
        } h = {0};
        uint64_t shoff, shnum;
        unsigned machine, shentsize, type;

        ssize_t n = pread(e->fd, &h, sizeof(h), 0);
        if (n < 0)
                return -errno;
        if (n < (ssize_t)sizeof(h.h32) || memcmp(h.ident, ELFMAG, SELFMAG) != 0)
                return isa_elf_bad(out, KILN_ISA_DAMAGED, "the ELF header is cut short");
        e->class32 = h.ident[EI_CLASS] == ELFCLASS32;
        if (!e->class32 && (h.ident[EI_CLASS] != ELFCLASS64 || n < (ssize_t)sizeof(h.h64)))
                return isa_elf_bad(out, KILN_ISA_DAMAGED, "bad ELF class %u", h.ident[EI_CLASS]);
        if (h.ident[EI_DATA] == ELFDATA2MSB)
                return isa_elf_bad(out, KILN_ISA_OTHER, "big endian");
        if (h.ident[EI_DATA] != ELFDATA2LSB)
                return isa_elf_bad(out, KILN_ISA_DAMAGED, "bad ELF byte order %u", h.ident[EI_DATA]);

        machine = e->class32 ? h.h32.e_machine : h.h64.e_machine;
        type = e->class32 ? h.h32.e_type : h.h64.e_type;
        shoff = e->class32 ? h.h32.e_shoff : h.h64.e_shoff;
        shnum = e->class32 ? h.h32.e_shnum : h.h64.e_shnum;
        shentsize = e->class32 ? h.h32.e_shentsize : h.h64.e_shentsize;
        if (machine != EM_X86_64) {
                for (size_t i = 0; i < KILN_ARRAY_SIZE(machines); i++)
                        if (machines[i].machine == machine)
                                return isa_elf_bad(out, KILN_ISA_OTHER, "%s", machines[i].name);
                return isa_elf_bad(out, KILN_ISA_OTHER, "machine %u", machine);
        }
        if (type == ET_CORE)
                return isa_elf_bad(out, KILN_ISA_NO_CODE, "a core dump");
        e->relocatable = type == ET_REL;

        if (shoff) {
                size_t want = e->class32 ? sizeof(Elf32_Shdr) : sizeof(Elf64_Shdr);

                if (shentsize != want)
                        return isa_elf_bad(out, KILN_ISA_DAMAGED, "section headers of %u bytes", shentsize);
                if (shoff > e->size || e->size - shoff < want)
                        return isa_elf_bad(
                                out, KILN_ISA_DAMAGED, "section headers beyond the end of the file");
                if (shnum == 0) { /* more than fit the field: in sh_size of section 0 */
                        union {
                                Elf64_Shdr s64;
                                Elf32_Shdr s32;
                        } s = {0};

                        n = pread(e->fd, &s, want, (off_t)shoff);
                        if (n < 0)
                                return -errno;
                        shnum = e->class32 ? s.s32.sh_size : s.s64.sh_size;
                }
                if (shnum > SECTIONS_MAX)
                        return isa_elf_bad(out, KILN_ISA_TOO_LARGE, "more than %u sections", SECTIONS_MAX);
                if ((e->size - shoff) / want < shnum)
                        return isa_elf_bad(
                                out, KILN_ISA_DAMAGED, "section headers beyond the end of the file");
        }
        return 0;
}

Elf_Data *isa_elf_data(struct isa_elf *e, Elf_Scn *scn, const GElf_Shdr *sh, uint64_t max)
{
        Elf_Data *data;

        if (sh->sh_type == SHT_NOBITS || sh->sh_size == 0 || sh->sh_size > max ||
                (sh->sh_flags & SHF_COMPRESSED))
                return NULL;
        /* Honest sections do not overlap; each is asked for at most twice. */
        if (sh->sh_size > 2 * e->size - e->loaded)
                return NULL;
        e->loaded += sh->sh_size;
        data = elf_getdata(scn, NULL);
        return data && data->d_buf && data->d_size ? data : NULL;
}

struct isa_strings isa_elf_strings(struct isa_elf *e, size_t index)
{
        Elf_Scn *scn = index ? elf_getscn(e->elf, index) : NULL;
        GElf_Shdr sh;
        Elf_Data *data;

        if (!scn || !gelf_getshdr(scn, &sh) || sh.sh_type != SHT_STRTAB)
                return (struct isa_strings){NULL, 0};
        data = isa_elf_data(e, scn, &sh, STRING_BYTES_MAX);
        if (!data || ((const char *)data->d_buf)[data->d_size - 1] != '\0')
                return (struct isa_strings){NULL, 0};
        return (struct isa_strings){data->d_buf, data->d_size};
}

const char *isa_string(const struct isa_strings *s, uint64_t offset)
{
        if (offset >= s->size || s->data[offset] == '\0')
                return NULL;
        return strnlen(s->data + offset, NAME_MAX_BYTES + 1) > NAME_MAX_BYTES ? NULL : s->data + offset;
}

/* ---- executable sections -------------------------------------------------------------------- */

static int section_add(struct isa_elf *e, struct kiln_isa_file *out, uint64_t offset, uint64_t size,
        uint64_t address, size_t index)
{
        if (size == 0)
                return 0;
        if (offset > e->size || e->size - offset < size)
                return isa_elf_bad(out, KILN_ISA_DAMAGED, "code beyond the end of the file");
        if (address + size < address)
                return isa_elf_bad(out, KILN_ISA_DAMAGED, "code beyond the end of the address space");
        *KILN_APPEND(e->sections, e->n_sections) =
                (struct isa_section){.offset = offset, .size = size, .address = address, .index = index};
        return 0;
}

static int section_compare(const void *a, const void *b)
{
        const struct isa_section *x = a, *y = b;

        return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int address_compare(const void *a, const void *b, void *sections)
{
        const struct isa_section *s = sections;
        uint64_t x = s[*(const uint32_t *)a].address, y = s[*(const uint32_t *)b].address;

        return x < y ? -1 : x > y;
}

/* Sections may not overlap, in the file or in memory: nothing sane makes such a file, and each byte is
 * disassembled at most once this way. */
static int sections_arrange(struct isa_elf *e, struct kiln_isa_file *out)
{
        if (e->n_sections)
                qsort(e->sections, e->n_sections, sizeof(*e->sections), section_compare);
        e->by_index = kiln_calloc(e->n_scn + 1, sizeof(*e->by_index));
        for (size_t i = 0; i < e->n_sections; i++) {
                struct isa_section *s = &e->sections[i];

                if (i > 0 && e->sections[i - 1].offset + e->sections[i - 1].size > s->offset)
                        return isa_elf_bad(out, KILN_ISA_DAMAGED, "executable sections overlap");
                s->linear = e->code_bytes;
                e->code_bytes += s->size;
                if (s->index <= e->n_scn)
                        e->by_index[s->index] = (uint32_t)i + 1;
        }
        if (e->relocatable)
                return 0;

        e->by_address = kiln_calloc(e->n_sections + 1, sizeof(*e->by_address));
        for (size_t i = 0; i < e->n_sections; i++)
                e->by_address[i] = (uint32_t)i;
        qsort_r(e->by_address, e->n_sections, sizeof(*e->by_address), address_compare, e->sections);
        for (size_t i = 1; i < e->n_sections; i++) {
                const struct isa_section *s = &e->sections[e->by_address[i - 1]];

                if (s->address + s->size > e->sections[e->by_address[i]].address)
                        return isa_elf_bad(out, KILN_ISA_DAMAGED, "executable sections overlap in memory");
        }
        return 0;
}

/* A file without section headers is judged by what the kernel would map executable. */
static int sections_from_segments(struct isa_elf *e, struct kiln_isa_file *out)
{
        size_t n = 0;
        int r = 0;

        if (elf_getphdrnum(e->elf, &n) < 0)
                return isa_elf_bad(out, KILN_ISA_DAMAGED, "bad program headers: %s", elf_errmsg(-1));
        for (size_t i = 0; i < n && r == 0; i++) {
                GElf_Phdr ph;

                if (!gelf_getphdr(e->elf, (int)i, &ph))
                        return isa_elf_bad(out, KILN_ISA_DAMAGED, "bad program header: %s", elf_errmsg(-1));
                if (ph.p_type == PT_LOAD && (ph.p_flags & PF_X))
                        r = section_add(e, out, ph.p_offset, ph.p_filesz, ph.p_vaddr, 0);
        }
        return r;
}

const struct isa_section *isa_elf_section(const struct isa_elf *e, uint64_t linear)
{
        size_t lo = 0, hi = e->n_sections;

        while (lo < hi) {
                size_t mid = lo + (hi - lo) / 2;
                const struct isa_section *s = &e->sections[mid];

                if (linear < s->linear)
                        hi = mid;
                else if (linear - s->linear >= s->size)
                        lo = mid + 1;
                else
                        return s;
        }
        return NULL;
}

uint64_t isa_elf_address(const struct isa_elf *e, uint64_t linear)
{
        const struct isa_section *s = isa_elf_section(e, linear);

        return s ? s->address + (linear - s->linear) : 0;
}

bool isa_elf_linear(const struct isa_elf *e, size_t index, uint64_t address, uint64_t *ret)
{
        const struct isa_section *s = NULL;

        if (e->relocatable) {
                if (index == 0 || index > e->n_scn || !e->by_index[index])
                        return false;
                s = &e->sections[e->by_index[index] - 1];
        } else {
                size_t lo = 0, hi = e->n_sections;

                while (lo < hi) {
                        size_t mid = lo + (hi - lo) / 2;

                        if (e->sections[e->by_address[mid]].address <= address)
                                lo = mid + 1;
                        else
                                hi = mid;
                }
                if (lo == 0)
                        return false;
                s = &e->sections[e->by_address[lo - 1]];
        }
        if (address < s->address || address - s->address >= s->size)
                return false;
        *ret = s->linear + (address - s->address);
        return true;
}

/* ---- notes ---------------------------------------------------------------------------------- */

/* Newer than some elf.h. x86-64 psABI, ".note.gnu.property"; properties of class 64 are padded to 8 bytes. */
#define PROPERTY_ISA_1_USED 0xc0010002u
#define PROPERTY_ISA_1_NEEDED 0xc0008002u

static enum kiln_isa_level property_level(uint32_t bits)
{
        for (int level = KILN_ISA_V4; level >= KILN_ISA_V1; level--)
                if (bits & (1u << (level - 1)))
                        return (enum kiln_isa_level)level;
        return KILN_ISA_NONE;
}

static void property_read(const struct isa_elf *e, const uint8_t *p, size_t len, struct kiln_isa_file *out)
{
        const size_t align = e->class32 ? 4 : 8;

        while (len >= 8) {
                uint32_t type, size, bits;

                memcpy(&type, p, 4);
                memcpy(&size, p + 4, 4);
                if (size > len - 8)
                        return;
                if (size == 4 && (type == PROPERTY_ISA_1_USED || type == PROPERTY_ISA_1_NEEDED)) {
                        enum kiln_isa_level *level =
                                type == PROPERTY_ISA_1_USED ? &out->declared_used : &out->declared_needed;

                        memcpy(&bits, p + 8, 4);
                        if (property_level(bits) > *level)
                                *level = property_level(bits);
                }
                size_t step = 8 + (((size_t)size + align - 1) & ~(align - 1));
                if (step > len)
                        return;
                p += step;
                len -= step;
        }
}

static void notes_read(const struct isa_elf *e, Elf_Data *data, struct kiln_isa_file *out)
{
        size_t offset = 0, name, desc;
        GElf_Nhdr note;

        while (data && (offset = gelf_getnote(data, offset, &note, &name, &desc)) > 0)
                if (note.n_type == NT_GNU_PROPERTY_TYPE_0 && note.n_namesz == 4 &&
                        memcmp((const char *)data->d_buf + name, "GNU", 4) == 0)
                        property_read(e, (const uint8_t *)data->d_buf + desc, note.n_descsz, out);
}

static void notes_from_segments(struct isa_elf *e, struct kiln_isa_file *out)
{
        size_t n = 0;

        if (elf_getphdrnum(e->elf, &n) < 0)
                return;
        for (size_t i = 0; i < n; i++) {
                GElf_Phdr ph;

                if (!gelf_getphdr(e->elf, (int)i, &ph) || ph.p_type != PT_GNU_PROPERTY ||
                        ph.p_filesz > NOTE_BYTES_MAX || ph.p_offset > e->size ||
                        e->size - ph.p_offset < ph.p_filesz)
                        continue;
                notes_read(e,
                        elf_getdata_rawchunk(e->elf, (int64_t)ph.p_offset, ph.p_filesz,
                                e->class32 ? ELF_T_NHDR : ELF_T_NHDR8),
                        out);
                return;
        }
}

/* ---- all together --------------------------------------------------------------------------- */

static int sections_find(struct isa_elf *e, struct kiln_isa_file *out)
{
        for (Elf_Scn *scn = elf_nextscn(e->elf, NULL); scn; scn = elf_nextscn(e->elf, scn)) {
                GElf_Shdr sh;
                int r;

                if (!gelf_getshdr(scn, &sh))
                        return isa_elf_bad(out, KILN_ISA_DAMAGED, "bad section header: %s", elf_errmsg(-1));
                e->n_scn++;
                if (sh.sh_type == SHT_NOTE)
                        notes_read(e, isa_elf_data(e, scn, &sh, NOTE_BYTES_MAX), out);
                if (!(sh.sh_flags & SHF_EXECINSTR) || sh.sh_type == SHT_NOBITS)
                        continue;
                if (sh.sh_flags & SHF_COMPRESSED)
                        return isa_elf_bad(out, KILN_ISA_DAMAGED, "a compressed section with code");
                r = section_add(
                        e, out, sh.sh_offset, sh.sh_size, e->relocatable ? 0 : sh.sh_addr, elf_ndxscn(scn));
                if (r)
                        return r;
        }
        return 0;
}

int isa_elf_open(struct isa_elf *e, int fd, struct kiln_isa_file *out)
{
        size_t names = 0;
        int r;

        e->fd = fd;
        r = header_check(e, out);
        if (r)
                return r;
        elf_version(EV_CURRENT);
        e->elf = elf_begin(fd, ELF_C_READ, NULL);
        if (!e->elf || elf_kind(e->elf) != ELF_K_ELF)
                return isa_elf_bad(out, KILN_ISA_DAMAGED, "%s", elf_errmsg(-1));
        if (elf_getshdrstrndx(e->elf, &names) == 0)
                e->section_names = isa_elf_strings(e, names);

        r = sections_find(e, out);
        if (r == 0 && e->n_scn == 0)
                r = sections_from_segments(e, out);
        if (r == 0)
                r = sections_arrange(e, out);
        if (r)
                return r;
        if (e->n_scn == 0)
                notes_from_segments(e, out);
        r = isa_functions_find(e, out);
        if (r)
                return r;
        return e->code_bytes ? 0 : isa_elf_bad(out, KILN_ISA_NO_CODE, "no executable section");
}

void isa_elf_close(struct isa_elf *e)
{
        free(e->sections);
        free(e->by_address);
        free(e->by_index);
        free(e->funcs);
        free(e->uses);
        if (e->elf)
                elf_end(e->elf);
}
