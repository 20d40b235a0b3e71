/* What a report means: judgement, explanation, JSON. */
#include "worker/attest/isa/isa.h"

#include "worker/base/mem.h"

#include <string.h>

unsigned kiln_isa_judge(const struct kiln_isa_file *file, enum kiln_isa_level level)
{
        unsigned bits = 0;

        if (file->status == KILN_ISA_DAMAGED || file->status == KILN_ISA_TOO_LARGE)
                return KILN_ISA_UNREADABLE;
        if (level == KILN_ISA_NONE)
                return 0;
        if (file->status == KILN_ISA_CHECKED || file->status == KILN_ISA_NO_CODE)
                bits |= file->required > level ? KILN_ISA_ABOVE : 0;
        if (file->status != KILN_ISA_CHECKED)
                return bits;
        for (int above = (int)level + 1; above < KILN_ISA_LEVELS; above++) {
                bits |= file->counts[above][KILN_ISA_SUSPECTED] ? KILN_ISA_MAYBE : 0;
                bits |= file->counts[above][KILN_ISA_UNCERTAIN] ? KILN_ISA_OUTSIDE : 0;
        }
        if (level >= KILN_ISA_V2) {
                const uint64_t *c = file->counts[level];

                if (!c[KILN_ISA_UNDISPATCHED] && !c[KILN_ISA_SUSPECTED] && !c[KILN_ISA_DISPATCHED])
                        bits |= KILN_ISA_UNUSED;
        }
        return bits;
}

unsigned kiln_isa_judge_all(const struct kiln_isa_report *report, enum kiln_isa_level level)
{
        unsigned bits = 0;

        for (size_t i = 0; i < report->n_files; i++)
                bits |= kiln_isa_judge(&report->files[i], level);
        return bits;
}

static char *explain_sample(const struct kiln_isa_file *file, int level, enum kiln_isa_dispatch how)
{
        const struct kiln_isa_sample *s = &file->samples[level][how];

        if (!s->mnemonic[0])
                return NULL;
        if (s->symbol)
                return kiln_asprintf(
                        "%s: %s+0x%llx (0x%llx) uses %s, which needs %s (%llu such instructions, %s)",
                        file->name, s->symbol, (unsigned long long)s->offset, (unsigned long long)s->address,
                        s->mnemonic, kiln_isa_level_name((enum kiln_isa_level)level),
                        (unsigned long long)file->counts[level][how], kiln_isa_dispatch_name(how));
        return kiln_asprintf("%s: the code at 0x%llx uses %s, which needs %s (%llu such instructions, %s)",
                file->name, (unsigned long long)s->address, s->mnemonic,
                kiln_isa_level_name((enum kiln_isa_level)level), (unsigned long long)file->counts[level][how],
                kiln_isa_dispatch_name(how));
}

char *kiln_isa_explain(const struct kiln_isa_file *file, enum kiln_isa_level level)
{
        static const enum kiln_isa_dispatch order[] = {
                KILN_ISA_UNDISPATCHED, KILN_ISA_SUSPECTED, KILN_ISA_UNCERTAIN};

        if (kiln_isa_judge(file, level) & KILN_ISA_UNREADABLE)
                return kiln_asprintf("%s: %s", file->name, file->note ? file->note : "cannot be read");
        for (size_t i = 0; i < KILN_ARRAY_SIZE(order); i++) {
                for (int above = KILN_ISA_V4; above > (int)level; above--) {
                        char *s = explain_sample(file, above, order[i]);

                        if (s)
                                return s;
                }
                if (i == 0 && file->declared_needed > level)
                        return kiln_asprintf("%s: its property note says it needs %s", file->name,
                                kiln_isa_level_name(file->declared_needed));
        }
        return NULL;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

struct word {
        unsigned bit;
        const char *name;
};

static const struct word evidence_words[] = {
        {KILN_ISA_EVIDENCE_HWCAPS, "glibc-hwcaps"},
        {KILN_ISA_EVIDENCE_IFUNC, "ifunc"},
        {KILN_ISA_EVIDENCE_CLONES, "target-clones"},
        {KILN_ISA_EVIDENCE_CPUID, "cpuid"},
        {KILN_ISA_EVIDENCE_SYMBOL, "cpu-symbols"},
        {KILN_ISA_EVIDENCE_NAME, "names"},
};

static const struct word judgement_words[] = {
        {KILN_ISA_ABOVE, "above"},
        {KILN_ISA_UNREADABLE, "unreadable"},
        {KILN_ISA_MAYBE, "suspected-above"},
        {KILN_ISA_OUTSIDE, "uncertain-above"},
        {KILN_ISA_UNUSED, "level-unused"},
};

static json_t *words_json(const struct word *words, size_t n, unsigned bits)
{
        json_t *a = json_array();

        for (size_t i = 0; i < n; i++)
                if (bits & words[i].bit)
                        json_array_append_new(a, json_string(words[i].name));
        return a;
}

/* Length of the UTF-8 sequence at p (RFC 3629), 0 when it is none. */
static size_t utf8_length(const unsigned char *p)
{
        static const struct {
                unsigned char lead_min, lead_max, second_min, second_max, len;
        } forms[] = {
                {0xc2, 0xdf, 0x80, 0xbf, 2},
                {0xe0, 0xe0, 0xa0, 0xbf, 3},
                {0xe1, 0xec, 0x80, 0xbf, 3},
                {0xed, 0xed, 0x80, 0x9f, 3},
                {0xee, 0xef, 0x80, 0xbf, 3},
                {0xf0, 0xf0, 0x90, 0xbf, 4},
                {0xf1, 0xf3, 0x80, 0xbf, 4},
                {0xf4, 0xf4, 0x80, 0x8f, 4},
        };

        if (p[0] < 0x80)
                return 1;
        for (size_t i = 0; i < KILN_ARRAY_SIZE(forms); i++) {
                if (p[0] < forms[i].lead_min || p[0] > forms[i].lead_max)
                        continue;
                if (p[1] < forms[i].second_min || p[1] > forms[i].second_max)
                        return 0;
                for (size_t k = 2; k < forms[i].len; k++)
                        if ((p[k] & 0xc0) != 0x80)
                                return 0;
                return forms[i].len;
        }
        return 0;
}

/* Names come from the file: bytes that are no UTF-8 become U+FFFD. */
static json_t *text_json(const char *s)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        while (*s) {
                size_t n = utf8_length((const unsigned char *)s);

                if (n)
                        kiln_buf_append(&b, s, n);
                else
                        kiln_buf_puts(&b, "\xef\xbf\xbd");
                s += n ? n : 1;
        }
        return json_string(kiln_buf_str(&b));
}

static json_t *number_json(uint64_t n)
{
        return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

static json_t *sample_json(const struct kiln_isa_sample *s)
{
        json_t *j = json_object();

        if (s->symbol)
                json_object_set_new(j, "symbol", text_json(s->symbol));
        json_object_set_new(j, "offset", number_json(s->offset));
        json_object_set_new(j, "address", number_json(s->address));
        json_object_set_new(j, "mnemonic", json_string(s->mnemonic));
        return j;
}

/* {"v3": {"dispatched": {"count": n, "first": {...}}}}: only what is there. */
static json_t *counts_json(const struct kiln_isa_file *f)
{
        json_t *levels = json_object();

        for (int level = KILN_ISA_V2; level < KILN_ISA_LEVELS; level++) {
                json_t *j = json_object();

                for (int how = 0; how < KILN_ISA_DISPATCHES; how++) {
                        if (!f->counts[level][how])
                                continue;
                        json_t *x = json_object();

                        json_object_set_new(x, "count", number_json(f->counts[level][how]));
                        json_object_set_new(x, "first", sample_json(&f->samples[level][how]));
                        json_object_set_new(j, kiln_isa_dispatch_name((enum kiln_isa_dispatch)how), x);
                }
                if (json_object_size(j))
                        json_object_set_new(levels, kiln_isa_level_name((enum kiln_isa_level)level), j);
                else
                        json_decref(j);
        }
        return levels;
}

static json_t *file_json(const struct kiln_isa_file *f, enum kiln_isa_level level)
{
        json_t *j = json_object();

        json_object_set_new(j, "name", text_json(f->name));
        json_object_set_new(j, "status", json_string(kiln_isa_status_name(f->status)));
        if (f->note)
                json_object_set_new(j, "note", text_json(f->note));
        if (level != KILN_ISA_NONE)
                json_object_set_new(j, "judgement",
                        words_json(
                                judgement_words, KILN_ARRAY_SIZE(judgement_words), kiln_isa_judge(f, level)));
        if (f->declared_needed)
                json_object_set_new(
                        j, "declaredNeeded", json_string(kiln_isa_level_name(f->declared_needed)));
        if (f->declared_used)
                json_object_set_new(j, "declaredUsed", json_string(kiln_isa_level_name(f->declared_used)));
        if (f->status != KILN_ISA_CHECKED)
                return j;

        json_t *features = json_object();

        for (size_t i = 0; i < f->n_features; i++)
                json_object_set_new(features, f->features[i].name, number_json(f->features[i].count));
        json_object_set_new(j, "used", json_string(kiln_isa_level_name(f->used)));
        json_object_set_new(j, "required", json_string(kiln_isa_level_name(f->required)));
        json_object_set_new(j, "codeBytes", number_json(f->code_bytes));
        json_object_set_new(j, "instructions", number_json(f->instructions));
        json_object_set_new(j, "functions", number_json(f->functions));
        json_object_set_new(j, "undecodable", number_json(f->undecodable));
        json_object_set_new(j, "levels", counts_json(f));
        json_object_set_new(j, "features", features);
        json_object_set_new(
                j, "evidence", words_json(evidence_words, KILN_ARRAY_SIZE(evidence_words), f->evidence));
        return j;
}

json_t *kiln_isa_report_json(const struct kiln_isa_report *report, enum kiln_isa_level level)
{
        json_t *j = json_object(), *files = json_array();

        for (size_t i = 0; i < report->n_files; i++)
                json_array_append_new(files, file_json(&report->files[i], level));
        json_object_set_new(j, "files", files);
        json_object_set_new(j, "skipped", number_json(report->skipped));
        if (level != KILN_ISA_NONE) {
                unsigned bits = kiln_isa_judge_all(report, level);

                json_object_set_new(j, "level", json_string(kiln_isa_level_name(level)));
                json_object_set_new(j, "verdict",
                        json_string(bits & KILN_ISA_ABOVE        ? "above"
                                    : bits & KILN_ISA_UNREADABLE ? "unreadable"
                                                                 : "ok"));
        }
        return j;
}
