/* Where functions begin and end: symbols, IFUNC resolvers, .eh_frame (unwind.c).
 *
 * Must never trust that tables are sorted, complete or honest. */
#include "worker/attest/isa/internal.h"

#include <errno.h>
#include <string.h>

#define SYMBOL_BYTES_MAX (UINT64_C(256) << 20)
#define UNWIND_BYTES_MAX (UINT64_C(256) << 20)
#define FUNCTIONS_MAX (UINT64_C(4) << 20)

void isa_elf_add_func(
        struct isa_elf *e, uint64_t start, uint64_t end, uint32_t table, uint32_t symbol, uint8_t flags)
{
        if (e->n_funcs >= FUNCTIONS_MAX)
                return;
        *KILN_APPEND(e->funcs, e->n_funcs) = (struct isa_func){
                .start = start, .end = end, .table = table, .symbol = symbol, .flags = flags};
}

static void symbol_add(struct isa_elf *e, const GElf_Sym *sym, uint32_t table, uint32_t i)
{
        unsigned type = GELF_ST_TYPE(sym->st_info), bind = GELF_ST_BIND(sym->st_info);
        unsigned visibility = GELF_ST_VISIBILITY(sym->st_other);
        uint64_t linear;
        uint8_t flags = 0;

        if (sym->st_shndx == SHN_UNDEF || sym->st_shndx == SHN_ABS || sym->st_shndx == SHN_COMMON)
                return;
        if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE)
                return;
        if (sym->st_shndx >= SHN_LORESERVE && e->relocatable)
                return; /* SHN_XINDEX: only objects with 65,280 sections and more */
        if (!isa_elf_linear(e, sym->st_shndx, sym->st_value, &linear))
                return;
        if (type == STT_NOTYPE)
                flags |= ISA_FUNC_LABEL;
        if (type == STT_GNU_IFUNC)
                flags |= ISA_FUNC_IFUNC;
        if (bind != STB_LOCAL && (visibility == STV_DEFAULT || visibility == STV_PROTECTED) &&
                (table == 1 || e->relocatable))
                flags |= ISA_FUNC_EXPORTED;

        const struct isa_section *s = isa_elf_section(e, linear);
        uint64_t room = s->size - (linear - s->linear);
        isa_elf_add_func(e, linear, linear + (sym->st_size < room ? sym->st_size : room), table, i, flags);
}

static int functions_from_symbols(
        struct isa_elf *e, Elf_Scn *scn, const GElf_Shdr *sh, uint32_t table, struct kiln_isa_file *out)
{
        Elf_Data *data;

        if (e->symbols[table])
                return 0;
        if (sh->sh_size > SYMBOL_BYTES_MAX)
                return isa_elf_bad(out, KILN_ISA_TOO_LARGE, "a symbol table above %llu bytes",
                        (unsigned long long)SYMBOL_BYTES_MAX);
        data = isa_elf_data(e, scn, sh, SYMBOL_BYTES_MAX);
        if (!data)
                return sh->sh_size && sh->sh_type != SHT_NOBITS
                               ? isa_elf_bad(out, KILN_ISA_DAMAGED, "the symbol table cannot be read")
                               : 0;
        size_t size = e->class32 ? sizeof(Elf32_Sym) : sizeof(Elf64_Sym);
        e->symbols[table] = data;
        e->n_symbols[table] = data->d_size / size;
        e->names[table] = isa_elf_strings(e, sh->sh_link);
        for (size_t i = 1; i < e->n_symbols[table] && i < INT32_MAX; i++) {
                GElf_Sym sym;

                if (gelf_getsym(data, (int)i, &sym))
                        symbol_add(e, &sym, table, (uint32_t)i);
        }
        return 0;
}

/* By start; the better description first: real functions before labels, then with a name, .symtab first. */
static int func_compare(const void *a, const void *b)
{
        const struct isa_func *x = a, *y = b;

        if (x->start != y->start)
                return x->start < y->start ? -1 : 1;
        if ((x->flags ^ y->flags) & ISA_FUNC_LABEL)
                return x->flags & ISA_FUNC_LABEL ? 1 : -1;
        if (!x->symbol != !y->symbol)
                return x->symbol ? -1 : 1;
        if (x->table != y->table)
                return x->table < y->table ? -1 : 1;
        return x->symbol < y->symbol ? -1 : x->symbol > y->symbol;
}

/* One entry per start. A function whose end nobody knows (assembly without .size) reaches to the next one. */
static void functions_arrange(struct isa_elf *e)
{
        size_t n = 0;

        if (e->n_funcs == 0)
                return;
        qsort(e->funcs, e->n_funcs, sizeof(*e->funcs), func_compare);
        for (size_t i = 0; i < e->n_funcs; i++) {
                struct isa_func *last = n ? &e->funcs[n - 1] : NULL, f = e->funcs[i];

                if (last && last->start == f.start) {
                        if (f.end > last->end)
                                last->end = f.end;
                        last->flags |= f.flags & ~ISA_FUNC_LABEL;
                        continue;
                }
                e->funcs[n++] = f;
        }
        e->n_funcs = n;
        for (size_t i = 0; i < n; i++) {
                struct isa_func *f = &e->funcs[i];

                if (f->end > f->start || (f->flags & ISA_FUNC_LABEL))
                        continue;
                const struct isa_section *s = isa_elf_section(e, f->start);
                size_t next = i + 1;

                while (next < n && next < i + 1024 && (e->funcs[next].flags & ISA_FUNC_LABEL))
                        next++;
                f->end = s->linear + s->size;
                if (next < n && e->funcs[next].start < f->end)
                        f->end = e->funcs[next].start;
        }
}

/* Index of the last function that starts at or before linear, plus one. */
static size_t func_upper(const struct isa_elf *e, uint64_t linear)
{
        size_t lo = 0, hi = e->n_funcs;

        while (lo < hi) {
                size_t mid = lo + (hi - lo) / 2;

                if (e->funcs[mid].start <= linear)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return lo;
}

struct isa_func *isa_elf_func_at(const struct isa_elf *e, uint64_t linear)
{
        size_t i = func_upper(e, linear);

        return i && e->funcs[i - 1].start == linear ? &e->funcs[i - 1] : NULL;
}

struct isa_func *isa_elf_func_covering(const struct isa_elf *e, uint64_t linear)
{
        size_t i = func_upper(e, linear);

        /* Labels and nested ranges are few: look back a little, not over the whole file. */
        for (int back = 0; i > 0 && back < 64; i--, back++)
                if (linear < e->funcs[i - 1].end)
                        return &e->funcs[i - 1];
        return NULL;
}

const char *isa_elf_func_name(const struct isa_elf *e, const struct isa_func *f)
{
        GElf_Sym sym;

        if (!f->symbol || !gelf_getsym(e->symbols[f->table], (int)f->symbol, &sym) || !sym.st_name)
                return NULL;
        return isa_string(&e->names[f->table], sym.st_name);
}

/* Resolvers of a stripped file: R_X86_64_IRELATIVE, the addend is the resolver's address (psABI, table 4.10).
 */
static void functions_from_relocations(struct isa_elf *e, Elf_Data *data)
{
        size_t n = data->d_size / (e->class32 ? sizeof(Elf32_Rela) : sizeof(Elf64_Rela));

        for (size_t i = 0; i < n && i < INT32_MAX; i++) {
                GElf_Rela rela;
                uint64_t linear;

                if (gelf_getrela(data, (int)i, &rela) && GELF_R_TYPE(rela.r_info) == R_X86_64_IRELATIVE &&
                        isa_elf_linear(e, 0, (uint64_t)rela.r_addend, &linear))
                        isa_elf_add_func(e, linear, linear, 0, 0, ISA_FUNC_IFUNC);
        }
}

int isa_functions_find(struct isa_elf *e, struct kiln_isa_file *out)
{
        for (Elf_Scn *scn = elf_nextscn(e->elf, NULL); scn; scn = elf_nextscn(e->elf, scn)) {
                GElf_Shdr sh;
                const char *name;
                Elf_Data *data;
                int r = 0;

                if (!gelf_getshdr(scn, &sh))
                        continue;
                name = isa_string(&e->section_names, sh.sh_name);
                if (sh.sh_type == SHT_SYMTAB)
                        r = functions_from_symbols(e, scn, &sh, 0, out);
                else if (sh.sh_type == SHT_DYNSYM)
                        r = functions_from_symbols(e, scn, &sh, 1, out);
                else if (name && strcmp(name, ".eh_frame") == 0 && !e->relocatable &&
                         (data = isa_elf_data(e, scn, &sh, UNWIND_BYTES_MAX)))
                        isa_unwind_functions(e, data->d_buf, data->d_size, sh.sh_addr);
                else if (sh.sh_type == SHT_RELA && !e->relocatable &&
                         (data = isa_elf_data(e, scn, &sh, ISA_RELOCATION_BYTES_MAX)))
                        functions_from_relocations(e, data);
                if (r)
                        return r;
        }
        if (e->n_funcs >= FUNCTIONS_MAX)
                return isa_elf_bad(out, KILN_ISA_TOO_LARGE, "more than %llu functions",
                        (unsigned long long)FUNCTIONS_MAX);
        functions_arrange(e);
        return 0;
}
