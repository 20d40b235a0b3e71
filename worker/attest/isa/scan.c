/* The sweep: every executable byte is disassembled once, function by function.
 *
 * A linear sweep goes wrong at data between instructions. It starts anew at every known function and symbol,
 * and what lies outside functions, or behind bytes that are no instruction, is only ever counted as
 * uncertain. Memory is one window of the file, whatever the file claims. */
#include "worker/attest/isa/internal.h"
#include "worker/base/file.h"

#include <errno.h>
#include <string.h>

#define WINDOW_BYTES (UINT32_C(1) << 20)

struct window {
        const struct isa_elf *e;
        const struct isa_section *section;
        uint8_t *bytes;
        uint64_t start; /* linear position of bytes[0] */
        size_t len;
};

/* Moves the window to begin at linear. 0, or negative errno (-ENODATA: the file got shorter). */
static int window_move(struct window *w, uint64_t linear)
{
        uint64_t offset = linear - w->section->linear, left = w->section->size - offset;
        size_t want = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
        ssize_t n = kiln_fd_read_at(w->e->fd, w->bytes, want, w->section->offset + offset);

        if (n < 0)
                return (int)n;
        if ((size_t)n < want)
                return -ENODATA;
        w->start = linear;
        w->len = want;
        return 0;
}

size_t isa_scan_bytes(const struct isa_elf *e, uint64_t linear, uint8_t bytes[ISA_INSN_MAX])
{
        const struct isa_section *s = isa_elf_section(e, linear);

        if (!s)
                return 0;
        uint64_t left = s->linear + s->size - linear;
        ssize_t n = kiln_fd_read_at(e->fd, bytes, left < ISA_INSN_MAX ? (size_t)left : ISA_INSN_MAX,
                s->offset + (linear - s->linear));
        return n < 0 ? 0 : (size_t)n;
}

struct visit {
        uint64_t linear;
        const uint8_t *p;
        struct isa_insn insn;
        struct isa_func *func;
        bool certain;
        bool clean; /* no byte that is no instruction since the start of the range */
};

struct totals {
        uint64_t instructions, undecodable;
        bool again; /* functions have been counted before */
};

typedef void (*visit_fn)(struct isa_elf *e, const struct visit *v, void *arg);

/* [start, stop) lies in one function, or in none. */
static inline __attribute__((always_inline)) int sweep_range(struct isa_elf *e, struct isa_decoder *d,
        struct window *w, uint64_t start, uint64_t stop, struct isa_func *func, bool known, struct totals *t,
        visit_fn fn, void *arg)
{
        const uint64_t section_end = w->section->linear + w->section->size;
        struct visit v = {.func = func, .certain = known, .clean = true};
        uint64_t pos = start, count = 0;

        while (pos < stop) {
                uint64_t window_end = w->start + w->len;

                if (pos < w->start || window_end < pos ||
                        (window_end - pos < ISA_INSN_MAX && window_end < section_end)) {
                        int r = window_move(w, pos);

                        if (r < 0)
                                return r;
                        window_end = w->start + w->len;
                }
                v.p = w->bytes + (pos - w->start);
                v.linear = pos;
                v.insn = isa_decode(d, v.p, (size_t)(window_end - pos));
                if (v.insn.len == 0) {
                        t->undecodable++;
                        v.certain = v.clean = false;
                        pos++;
                        continue;
                }
                if (v.insn.len > stop - pos) /* runs into what begins next: we are out of step */
                        v.certain = false;
                count++;
                fn(e, &v, arg);
                pos += v.insn.len;
        }
        t->instructions += count;
        if (func && !t->again)
                func->instructions += (uint32_t)(count > UINT32_MAX / 2 ? UINT32_MAX / 2 : count);
        return 0;
}

static inline __attribute__((always_inline)) int sweep(
        struct isa_elf *e, struct isa_decoder *d, struct totals *t, visit_fn fn, void *arg)
{
        _cleanup_free_ uint8_t *bytes = kiln_malloc(WINDOW_BYTES);
        size_t next_func = 0;

        for (size_t i = 0; i < e->n_sections; i++) {
                const struct isa_section *s = &e->sections[i];
                struct window w = {.e = e, .section = s, .bytes = bytes};
                uint64_t pos = s->linear, end = s->linear + s->size, covered = 0;
                struct isa_func *func = NULL;

                while (pos < end) {
                        uint64_t stop = end;

                        for (; next_func < e->n_funcs && e->funcs[next_func].start <= pos; next_func++) {
                                struct isa_func *f = &e->funcs[next_func];

                                if (f->flags & ISA_FUNC_LABEL)
                                        continue;
                                func = f;
                                if (f->end > covered)
                                        covered = f->end;
                        }
                        if (next_func < e->n_funcs && e->funcs[next_func].start < stop)
                                stop = e->funcs[next_func].start;
                        bool known = pos < covered;
                        if (known && covered < stop)
                                stop = covered;
                        if (known && func->end <= pos) /* a nested one ended before the outer one */
                                func = isa_elf_func_covering(e, pos);
                        if (known && func && func->end < stop)
                                stop = func->end;

                        int r = sweep_range(
                                e, d, &w, pos, stop, known ? func : NULL, known && func, t, fn, arg);
                        if (r < 0)
                                return r;
                        pos = stop;
                        if (known && !func)
                                func = &e->funcs[next_func - 1];
                }
        }
        return 0;
}

static void visit_classify(struct isa_elf *e, const struct visit *v, void *arg)
{
        uint8_t class = v->insn.class;

        if (class == ISA_BASELINE)
                return;
        if (class == ISA_PROBE) {
                /* Assembly often comes without .eh_frame; data rarely decodes for long. */
                e->probes |= v->certain || v->clean;
                return;
        }
        enum kiln_isa_level level = isa_class_level(class);
        if (v->certain)
                e->features[class]++;
        if (level < KILN_ISA_V2)
                return;
        if (!v->certain) {
                if (e->uncertain[level]++ == 0)
                        e->uncertain_first[level] = v->linear;
                return;
        }
        if (!v->func->use) {
                *KILN_APPEND(e->uses, e->n_uses) = (struct isa_use){.func = (uint32_t)(v->func - e->funcs)};
                v->func->use = (uint32_t)e->n_uses;
        }
        struct isa_use *use = &e->uses[v->func->use - 1];
        if (use->counts[level]++ == 0)
                use->first[level] = v->linear;
}

int isa_scan(struct isa_elf *e, struct isa_decoder *d, struct kiln_isa_file *out)
{
        struct totals t = {0};
        int r = sweep(e, d, &t, visit_classify, NULL);

        if (r == -ENODATA)
                return isa_elf_bad(out, KILN_ISA_DAMAGED, "the file got shorter while it was read");
        if (r < 0)
                return r;
        out->instructions = t.instructions;
        out->undecodable = t.undecodable;
        return 0;
}

struct references {
        isa_reference_fn fn;
        void *arg;
        const struct isa_section *section; /* of the last visit */
};

static void visit_reference(struct isa_elf *e, const struct visit *v, void *arg)
{
        struct references *x = arg;
        enum isa_reference kind;
        uint64_t target;

        if (isa_reference(v->p, v->insn.len, 0, &target) == ISA_REFERENCE_NONE)
                return;
        if (!x->section || v->linear < x->section->linear ||
                v->linear - x->section->linear >= x->section->size)
                x->section = isa_elf_section(e, v->linear);
        uint64_t address = x->section->address + (v->linear - x->section->linear);
        kind = isa_reference(v->p, v->insn.len, address, &target);
        /* In a relocatable file the empty field of a relocation points at the next instruction. */
        if (e->relocatable && target == address + v->insn.len)
                return;
        x->fn(x->arg, v->func, kind, target, x->section->index);
}

int isa_scan_references(struct isa_elf *e, struct isa_decoder *d, isa_reference_fn fn, void *arg)
{
        struct references x = {.fn = fn, .arg = arg};
        struct totals t = {.again = true};

        return sweep(e, d, &t, visit_reference, &x);
}
