/* Where functions begin and end, from .eh_frame: it is there in stripped files too.
 *
 * LSB 5.0 Core, 10.6 "Exception Frames"; pointer encodings: 10.5.1. Only what is needed for the ranges is
 * read. Entries that make no sense end the walk: fewer functions are known then, and more code counts as
 * uncertain. Must never read outside the section. */
#include "worker/attest/isa/internal.h"

#include <string.h>

/* DWARF exception header encodings. */
enum {
        PE_ABSPTR = 0x00,
        PE_UDATA2 = 0x02,
        PE_UDATA4 = 0x03,
        PE_UDATA8 = 0x04,
        PE_SDATA2 = 0x0a,
        PE_SDATA4 = 0x0b,
        PE_SDATA8 = 0x0c,
        PE_FORMAT = 0x0f,
        PE_PCREL = 0x10,
        PE_APPLICATION = 0x70,
        PE_OMIT = 0xff,
};

struct cursor {
        const uint8_t *data;
        size_t pos, end;
        bool bad;
};

static uint64_t read_uint(struct cursor *c, size_t n)
{
        uint64_t v = 0;

        if (c->bad || c->end - c->pos < n) {
                c->bad = true;
                return 0;
        }
        memcpy(&v, c->data + c->pos, n); /* little endian, like the host: x86-64 only */
        c->pos += n;
        return v;
}

static void skip_leb(struct cursor *c)
{
        for (int i = 0; i < 10; i++)
                if (!(read_uint(c, 1) & 0x80))
                        return;
        c->bad = true;
}

static uint64_t read_encoded(struct cursor *c, unsigned format, bool class32)
{
        switch (format & PE_FORMAT) {
        case PE_ABSPTR:
                return read_uint(c, class32 ? 4 : 8);
        case PE_UDATA2:
                return read_uint(c, 2);
        case PE_UDATA4:
                return read_uint(c, 4);
        case PE_UDATA8:
        case PE_SDATA8:
                return read_uint(c, 8);
        case PE_SDATA2:
                return (uint64_t)(int64_t)(int16_t)read_uint(c, 2);
        case PE_SDATA4:
                return (uint64_t)(int64_t)(int32_t)read_uint(c, 4);
        default:
                c->bad = true;
                return 0;
        }
}

/* The encoding of addresses in the FDEs of the CIE at `pos` (behind its id field). PE_OMIT: not understood.
 */
static unsigned cie_encoding(const uint8_t *data, size_t pos, size_t end, bool class32)
{
        struct cursor c = {data, pos, end, false};
        unsigned encoding = PE_ABSPTR;
        char augmentation[8] = "";
        uint64_t version = read_uint(&c, 1);

        if (version != 1 && version != 3)
                return PE_OMIT;
        for (size_t i = 0;; i++) {
                if (i == sizeof(augmentation))
                        return PE_OMIT;
                augmentation[i] = (char)read_uint(&c, 1);
                if (!augmentation[i])
                        break;
        }
        if (augmentation[0] != 'z')
                return augmentation[0] ? PE_OMIT : PE_ABSPTR;
        skip_leb(&c); /* code alignment */
        skip_leb(&c); /* data alignment */
        if (version == 1)
                read_uint(&c, 1); /* return address register */
        else
                skip_leb(&c);
        skip_leb(&c); /* augmentation length */
        for (const char *a = augmentation + 1; *a && !c.bad; a++) {
                if (*a == 'R')
                        encoding = (unsigned)read_uint(&c, 1);
                else if (*a == 'L')
                        read_uint(&c, 1);
                else if (*a == 'P')
                        read_encoded(&c, (unsigned)read_uint(&c, 1), class32);
                else if (*a != 'S' && *a != 'B')
                        return PE_OMIT;
        }
        return c.bad ? PE_OMIT : encoding;
}

void isa_unwind_functions(struct isa_elf *e, const uint8_t *data, size_t len, uint64_t address)
{
        struct cursor c = {data, 0, len, false};
        size_t known_cie = SIZE_MAX;
        unsigned encoding = PE_OMIT;

        while (!c.bad && c.pos < len) {
                uint64_t size = read_uint(&c, 4), start, count, linear;

                if (size == 0) /* the terminator of crtend.o; some linkers leave more behind it */
                        continue;
                if (size == UINT32_MAX)
                        size = read_uint(&c, 8);
                if (c.bad || size > len - c.pos || size < 4)
                        return;
                size_t next = c.pos + (size_t)size, id_pos = c.pos;
                uint64_t id = read_uint(&c, 4);
                if (id == 0 || id > id_pos) { /* a CIE, or nonsense */
                        c.pos = next;
                        continue;
                }

                size_t cie = id_pos - (size_t)id;
                if (cie != known_cie) {
                        struct cursor k = {data, cie, len, false};
                        uint64_t cie_size = read_uint(&k, 4);

                        if (cie_size == UINT32_MAX)
                                cie_size = read_uint(&k, 8);
                        encoding =
                                k.bad || cie_size > len - k.pos || cie_size < 4
                                        ? PE_OMIT
                                        : cie_encoding(data, k.pos + 4, k.pos + (size_t)cie_size, e->class32);
                        known_cie = cie;
                }
                unsigned application = encoding & PE_APPLICATION;
                if (encoding != PE_OMIT && (application == 0 || application == PE_PCREL)) {
                        uint64_t here = address + c.pos;

                        start = read_encoded(&c, encoding, e->class32);
                        if (application == PE_PCREL)
                                start += here;
                        count = read_encoded(&c, encoding & PE_FORMAT, e->class32);
                        if (!c.bad && count && isa_elf_linear(e, 0, start, &linear)) {
                                const struct isa_section *s = isa_elf_section(e, linear);
                                uint64_t room = s->size - (linear - s->linear);

                                isa_elf_add_func(e, linear, linear + (count < room ? count : room), 0, 0, 0);
                        }
                }
                c.pos = next;
        }
}
