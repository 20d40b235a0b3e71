/* Who refers to whom: which functions above the baseline only an IFUNC resolver's choice can reach.
 *
 * References are the addresses that instructions name, and the pointers that relocations put into data. Where
 * some of them cannot be seen, their absence proves nothing, and only what a resolver itself names is marked.
 */
#include "worker/attest/isa/internal.h"

#include <string.h>

#define EDGES_MAX (UINT64_C(8) << 20)
#define PACKED_MAX (UINT64_C(1) << 20)
#define SLOTS_MAX (UINT64_C(8) << 20)
#define ROUNDS_MAX 32 /* how deep a helper may be below what the resolver picks */
#define NO_FUNC UINT32_MAX

struct edge {
        uint32_t from; /* NO_FUNC: data, or code outside functions */
        uint32_t to;
        bool taken; /* its address is taken: a resolver may hand it out. Otherwise it is called */
};

struct slot { /* a pointer in the GOT that the loader fills */
        uint64_t address;
        uint32_t to;
};

struct range {
        uint64_t start, end;
};

struct load { /* what the loader maps */
        uint64_t address, offset, size;
};

struct graph {
        struct isa_elf *e;
        struct edge *edges;
        size_t n_edges;
        struct slot *slots;
        size_t n_slots;
        struct range got[8];
        size_t n_got;
        struct load loads[16];
        size_t n_loads;
        uint64_t n_packed;
        bool incomplete; /* some references cannot be seen: no conclusions from their absence */
};

static void edge_add(struct graph *g, const struct isa_func *from, const struct isa_func *to, bool taken)
{
        if (!to || from == to)
                return;
        if (g->n_edges >= EDGES_MAX) {
                g->incomplete = true;
                return;
        }
        *KILN_APPEND(g->edges, g->n_edges) =
                (struct edge){.from = from ? (uint32_t)(from - g->e->funcs) : NO_FUNC,
                        .to = (uint32_t)(to - g->e->funcs),
                        .taken = taken};
}

static int slot_compare(const void *a, const void *b)
{
        const struct slot *x = a, *y = b;

        return x->address < y->address ? -1 : x->address > y->address;
}

static void on_reference(
        void *arg, const struct isa_func *from, enum isa_reference kind, uint64_t address, size_t section)
{
        struct graph *g = arg;
        uint64_t linear;

        if (kind == ISA_REFERENCE_LOAD || kind == ISA_REFERENCE_LOAD_JUMP) {
                struct slot key = {.address = address};
                const struct slot *s =
                        g->n_slots ? bsearch(&key, g->slots, g->n_slots, sizeof(key), slot_compare) : NULL;

                if (s)
                        edge_add(g, from, &g->e->funcs[s->to], kind == ISA_REFERENCE_LOAD);
        } else if (isa_elf_linear(g->e, section, address, &linear)) {
                /* Also into the middle: a jump to a shared tail is a reference like any other. */
                edge_add(g, from, isa_elf_func_covering(g->e, linear), kind == ISA_REFERENCE_ADDRESS);
        }
}

/* The loader puts a pointer to `target` at `place`. Pointers in data are references; those in the GOT only
 * matter when code loads them. */
static void pointer_add(struct graph *g, uint64_t place, uint64_t target)
{
        const struct isa_func *to;
        uint64_t linear;

        if (!isa_elf_linear(g->e, 0, target, &linear))
                return;
        to = isa_elf_func_at(g->e, linear);
        if (!to)
                return;
        for (size_t i = 0; i < g->n_got; i++) {
                if (place < g->got[i].start || place >= g->got[i].end)
                        continue;
                if (g->n_slots >= SLOTS_MAX)
                        g->incomplete = true;
                else
                        *KILN_APPEND(g->slots, g->n_slots) =
                                (struct slot){.address = place, .to = (uint32_t)(to - g->e->funcs)};
                return;
        }
        edge_add(g, NULL, to, true);
}

static void relocations_linked(struct graph *g, Elf_Data *data)
{
        struct isa_elf *e = g->e;
        size_t n = data->d_size / (e->class32 ? sizeof(Elf32_Rela) : sizeof(Elf64_Rela));

        for (size_t i = 0; i < n && i < INT32_MAX; i++) {
                GElf_Rela rela;
                GElf_Sym sym;

                if (!gelf_getrela(data, (int)i, &rela))
                        continue;
                switch (GELF_R_TYPE(rela.r_info)) {
                case R_X86_64_RELATIVE:
                        pointer_add(g, rela.r_offset, (uint64_t)rela.r_addend);
                        break;
                case R_X86_64_64:
                case R_X86_64_GLOB_DAT:
                case R_X86_64_JUMP_SLOT:
                        if (e->symbols[1] && gelf_getsym(e->symbols[1], (int)GELF_R_SYM(rela.r_info), &sym) &&
                                sym.st_shndx != SHN_UNDEF)
                                pointer_add(g, rela.r_offset, sym.st_value + (uint64_t)rela.r_addend);
                        break;
                default:
                        break;
                }
        }
}

/* A packed relative relocation: the pointer is in the file where the loader finds it. */
static void packed_add(struct graph *g, uint64_t place)
{
        uint64_t target = 0;
        const size_t word = g->e->class32 ? 4 : 8;

        if (g->n_packed++ >= PACKED_MAX) {
                g->incomplete = true;
                return;
        }
        for (size_t i = 0; i < g->n_loads; i++) {
                const struct load *l = &g->loads[i];

                if (place < l->address || place - l->address >= l->size ||
                        l->size - (place - l->address) < word)
                        continue;
                if (pread(g->e->fd, &target, word, (off_t)(l->offset + (place - l->address))) ==
                        (ssize_t)word)
                        pointer_add(g, place, target);
                return;
        }
}

/* SHT_RELR: an even word is an address, an odd one a bitmap of the 63 (31) words behind (gABI, "Relative
 * relocation table"). */
static void relocations_packed(struct graph *g, Elf_Data *data)
{
        const size_t word = g->e->class32 ? 4 : 8;
        uint64_t place = 0;

        for (size_t pos = 0; data->d_size - pos >= word && g->n_packed < PACKED_MAX; pos += word) {
                uint64_t entry = 0;

                memcpy(&entry, (const char *)data->d_buf + pos, word);
                if (!(entry & 1)) {
                        packed_add(g, entry);
                        place = entry + word;
                        continue;
                }
                for (size_t bit = 1; bit < 8 * word; bit++)
                        if (entry >> bit & 1)
                                packed_add(g, place + (bit - 1) * word);
                place += (8 * word - 1) * word;
        }
}

/* Relocations of an object: the only place that says what its calls mean. `section` is what they apply to. */
static void relocations_object(struct graph *g, Elf_Data *data, size_t section)
{
        struct isa_elf *e = g->e;
        size_t n = data->d_size / (e->class32 ? sizeof(Elf32_Rela) : sizeof(Elf64_Rela));

        for (size_t i = 0; i < n && i < INT32_MAX; i++) {
                GElf_Rela rela;
                GElf_Sym sym;
                uint64_t from, to;
                int64_t addend;
                bool taken = true;

                if (!gelf_getrela(data, (int)i, &rela) || !e->symbols[0] ||
                        !gelf_getsym(e->symbols[0], (int)GELF_R_SYM(rela.r_info), &sym))
                        continue;
                addend = rela.r_addend;
                switch (GELF_R_TYPE(rela.r_info)) {
                case R_X86_64_PLT32: /* calls; like the others counted from the end of the field */
                        taken = false;
                        addend += 4;
                        break;
                case R_X86_64_PC32:
                case R_X86_64_GOTPCREL:
                case R_X86_64_GOTPCRELX:
                case R_X86_64_REX_GOTPCRELX:
                        addend += 4;
                        break;
                default:
                        break;
                }
                if (!isa_elf_linear(e, sym.st_shndx, sym.st_value + (uint64_t)addend, &to))
                        continue;
                const struct isa_func *source = isa_elf_linear(e, section, rela.r_offset, &from)
                                                        ? isa_elf_func_covering(e, from)
                                                        : NULL;
                edge_add(g, source, isa_elf_func_covering(e, to), taken);
        }
}

/* Sections whose relocations are descriptions, not uses. */
static bool section_describes(const char *name)
{
        return strncmp(name, ".eh_frame", 9) == 0 || strncmp(name, ".debug", 6) == 0 ||
               strncmp(name, ".gcc_except_table", 17) == 0 || strncmp(name, ".stack_sizes", 12) == 0;
}

static void loads_read(struct graph *g)
{
        size_t n = 0;

        if (elf_getphdrnum(g->e->elf, &n) < 0)
                return;
        for (size_t i = 0; i < n && g->n_loads < KILN_ARRAY_SIZE(g->loads); i++) {
                GElf_Phdr ph;

                if (gelf_getphdr(g->e->elf, (int)i, &ph) && ph.p_type == PT_LOAD)
                        g->loads[g->n_loads++] = (struct load){ph.p_vaddr, ph.p_offset, ph.p_filesz};
        }
}

/* True when the relocations of an object that section `index` needs say what code and data refer to. */
static bool section_refers(const struct isa_elf *e, size_t index)
{
        Elf_Scn *scn = elf_getscn(e->elf, index);
        GElf_Shdr sh;

        if (!scn || !gelf_getshdr(scn, &sh) || !(sh.sh_flags & SHF_ALLOC))
                return false;
        const char *name = isa_string(&e->section_names, sh.sh_name);
        return !name || !section_describes(name);
}

static void relocations_apply(struct graph *g, Elf_Scn *scn, const GElf_Shdr *sh)
{
        Elf_Data *data;

        if (g->e->relocatable && !section_refers(g->e, sh->sh_info))
                return;
        data = isa_elf_data(g->e, scn, sh, ISA_RELOCATION_BYTES_MAX);
        if (!data)
                g->incomplete |= sh->sh_size != 0;
        else if (sh->sh_type == SHT_RELR)
                relocations_packed(g, data);
        else if (g->e->relocatable)
                relocations_object(g, data, sh->sh_info);
        else
                relocations_linked(g, data);
}

static void relocations_read(struct graph *g)
{
        GElf_Shdr sh;

        loads_read(g);
        for (Elf_Scn *scn = elf_nextscn(g->e->elf, NULL); scn; scn = elf_nextscn(g->e->elf, scn)) {
                const char *name =
                        gelf_getshdr(scn, &sh) ? isa_string(&g->e->section_names, sh.sh_name) : NULL;

                if (name && strncmp(name, ".got", 4) == 0 && g->n_got < KILN_ARRAY_SIZE(g->got))
                        g->got[g->n_got++] = (struct range){sh.sh_addr, sh.sh_addr + sh.sh_size};
        }
        for (Elf_Scn *scn = elf_nextscn(g->e->elf, NULL); scn; scn = elf_nextscn(g->e->elf, scn))
                if (gelf_getshdr(scn, &sh) && (sh.sh_type == SHT_RELA || sh.sh_type == SHT_RELR))
                        relocations_apply(g, scn, &sh);
        if (g->n_slots)
                qsort(g->slots, g->n_slots, sizeof(*g->slots), slot_compare);
}

/* What resolvers refer to is dispatched; so is what only dispatched functions refer to. */
static void graph_mark(struct graph *g)
{
        struct isa_elf *e = g->e;
        _cleanup_free_ uint8_t *blocked = NULL;
        bool changed = true;

        for (size_t i = 0; i < g->n_edges; i++) {
                const struct edge *x = &g->edges[i];

                if (x->taken && x->from != NO_FUNC && (e->funcs[x->from].flags & ISA_FUNC_IFUNC))
                        e->funcs[x->to].flags |= ISA_FUNC_DISPATCHED;
        }
        if (g->incomplete)
                return;
        for (size_t i = 0; i < e->n_uses; i++)
                e->funcs[e->uses[i].func].flags |= ISA_FUNC_UNREFERENCED;
        for (size_t i = 0; i < g->n_edges; i++)
                e->funcs[g->edges[i].to].flags &= (uint8_t)~ISA_FUNC_UNREFERENCED;
        blocked = kiln_calloc(e->n_funcs + 1, 1);
        for (int round = 0; changed && round < ROUNDS_MAX; round++) {
                changed = false;
                memset(blocked, 0, e->n_funcs);
                for (size_t i = 0; i < g->n_edges; i++) {
                        const struct edge *x = &g->edges[i];

                        blocked[x->to] |=
                                x->from == NO_FUNC || !(e->funcs[x->from].flags & ISA_FUNC_DISPATCHED);
                }
                for (size_t i = 0; i < g->n_edges; i++) {
                        struct isa_func *to = &e->funcs[g->edges[i].to];

                        if (blocked[g->edges[i].to] ||
                                (to->flags & (ISA_FUNC_DISPATCHED | ISA_FUNC_EXPORTED)))
                                continue;
                        to->flags |= ISA_FUNC_DISPATCHED;
                        changed = true;
                }
        }
}

int isa_graph_mark(struct isa_elf *e, struct isa_decoder *d)
{
        struct graph g = {.e = e};
        GElf_Ehdr eh;
        int r;

        /* Code at fixed addresses has pointers in its data that no relocation tells of. */
        g.incomplete = !gelf_getehdr(e->elf, &eh) || eh.e_type == ET_EXEC;
        relocations_read(&g);
        r = isa_scan_references(e, d, on_reference, &g);
        if (r == 0)
                graph_mark(&g);
        free(g.edges);
        free(g.slots);
        return r;
}
