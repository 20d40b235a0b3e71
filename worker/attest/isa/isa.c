/* One file, or one ar archive, from descriptor to report.
 *
 * Must never fail for what a file contains: that is reported, and the next file is looked at. */
#include "worker/attest/isa/isa.h"

#include "worker/attest/isa/internal.h"
#include "worker/base/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

const struct kiln_isa_limits kiln_isa_limits_default = {
        .file_bytes = UINT64_C(1) << 30,
        .total_bytes = UINT64_C(16) << 30,
        .files = 1000000,
};

static const char *const dispatch_names[KILN_ISA_DISPATCHES] = {
        [KILN_ISA_UNDISPATCHED] = "undispatched",
        [KILN_ISA_SUSPECTED] = "suspected",
        [KILN_ISA_DISPATCHED] = "dispatched",
        [KILN_ISA_UNCERTAIN] = "uncertain",
};

const char *kiln_isa_dispatch_name(enum kiln_isa_dispatch d)
{
        return (size_t)d < KILN_ISA_DISPATCHES ? dispatch_names[d] : "undispatched";
}

static const char *const status_names[] = {
        [KILN_ISA_CHECKED] = "checked",
        [KILN_ISA_NO_CODE] = "no-code",
        [KILN_ISA_OTHER] = "not-x86-64",
        [KILN_ISA_NOT_ELF] = "not-elf",
        [KILN_ISA_DAMAGED] = "damaged",
        [KILN_ISA_TOO_LARGE] = "too-large",
};

const char *kiln_isa_status_name(enum kiln_isa_status s)
{
        return (size_t)s < KILN_ARRAY_SIZE(status_names) ? status_names[s] : "damaged";
}

void kiln_isa_report_clear(struct kiln_isa_report *r)
{
        for (size_t i = 0; i < r->n_files; i++) {
                struct kiln_isa_file *f = &r->files[i];

                free(f->name);
                free(f->note);
                free(f->features);
                for (int level = 0; level < KILN_ISA_LEVELS; level++)
                        for (int how = 0; how < KILN_ISA_DISPATCHES; how++)
                                free(f->samples[level][how].symbol);
        }
        free(r->files);
        *r = (struct kiln_isa_report)KILN_ISA_REPORT_INIT;
}

static int feature_compare(const void *a, const void *b)
{
        return strcmp(((const struct kiln_isa_feature *)a)->name, ((const struct kiln_isa_feature *)b)->name);
}

static void features_collect(const struct isa_elf *e, struct kiln_isa_file *out)
{
        size_t n = 0;

        for (int class = 1; class < ISA_PROBE; class ++) {
                const char *name = e->features[class] ? isa_class_feature((uint8_t) class) : NULL;
                size_t i = 0;

                if (!name)
                        continue;
                while (i < out->n_features && strcmp(out->features[i].name, name) != 0)
                        i++;
                if (i == out->n_features)
                        KILN_APPEND(out->features, out->n_features)->name = name;
                out->features[i].count += e->features[class];
        }
        n = out->n_features;
        if (n)
                qsort(out->features, n, sizeof(*out->features), feature_compare);
}

static void required_set(struct kiln_isa_file *out)
{
        out->required = out->declared_needed;
        if (out->status == KILN_ISA_CHECKED && out->required < KILN_ISA_V1)
                out->required = KILN_ISA_V1;
        for (int level = KILN_ISA_V2; level < KILN_ISA_LEVELS; level++)
                if (out->counts[level][KILN_ISA_UNDISPATCHED] && (int)out->required < level)
                        out->required = (enum kiln_isa_level)level;
}

static int check_elf(int fd, uint64_t size, struct kiln_isa_file *out)
{
        struct isa_elf e = {.size = size};
        struct isa_decoder d;
        int r;

        isa_decoder_init(&d);
        r = isa_elf_open(&e, fd, out);
        if (r == 0)
                r = isa_scan(&e, &d, out);
        if (r == 0)
                r = isa_dispatch(&e, &d, out);
        if (r == 0) {
                features_collect(&e, out);
                out->code_bytes = e.code_bytes;
                for (size_t i = 0; i < e.n_funcs; i++)
                        out->functions += !(e.funcs[i].flags & ISA_FUNC_LABEL);
                out->used = KILN_ISA_V1;
                for (int level = KILN_ISA_V2; level < KILN_ISA_LEVELS; level++) {
                        const uint64_t *c = out->counts[level];

                        if (c[KILN_ISA_UNDISPATCHED] || c[KILN_ISA_SUSPECTED] || c[KILN_ISA_DISPATCHED])
                                out->used = (enum kiln_isa_level)level;
                }
        }
        required_set(out);
        isa_elf_close(&e);
        isa_decoder_clear(&d);
        return r < 0 ? r : 0;
}

static struct kiln_isa_file *report_add(struct kiln_isa_report *report, char *name)
{
        struct kiln_isa_file *f = KILN_APPEND(report->files, report->n_files);

        f->name = name;
        return f;
}

/* ---- ar(5) ---------------------------------------------------------------------------------- */

#define AR_MAGIC "!<arch>\n"
#define AR_MAGIC_BYTES 8
#define AR_NAME_MAX 4096
#define AR_NAMES_MAX (UINT64_C(64) << 20)

struct ar_header { /* all blank-padded text */
        char name[16], date[12], uid[6], gid[6], mode[8], size[10], magic[2];
};
_Static_assert(sizeof(struct ar_header) == 60, "ar(5)");

/* A blank-padded decimal field. */
static bool ar_number(const char *field, size_t len, uint64_t *ret)
{
        uint64_t v = 0;
        size_t i = 0;

        for (; i < len && field[i] >= '0' && field[i] <= '9'; i++)
                v = v * 10 + (uint64_t)(field[i] - '0'); /* at most 15 digits */
        if (i == 0)
                return false;
        for (; i < len; i++)
                if (field[i] != ' ')
                        return false;
        *ret = v;
        return true;
}

struct ar {
        int fd;
        uint64_t size;
        const char *path;
        uint64_t names_offset, names_size; /* GNU's table of long names, "//" */
        uint64_t members;
};

/* The member's name, the caller's; BSD's "#1/n" names stand in front of the data and shorten it. */
static char *ar_name(const struct ar *a, const struct ar_header *h, uint64_t *offset, uint64_t *size)
{
        char text[AR_NAME_MAX + 1];
        uint64_t n;

        if (h->name[0] == '/' && ar_number(h->name + 1, 15, &n) && n < a->names_size) {
                uint64_t left = a->names_size - n;
                ssize_t got = pread(a->fd, text, left < AR_NAME_MAX ? (size_t)left : AR_NAME_MAX,
                        (off_t)(a->names_offset + n));

                text[got > 0 ? got : 0] = '\0';
                text[strcspn(text, "\n")] = '\0';
        } else if (memcmp(h->name, "#1/", 3) == 0 && ar_number(h->name + 3, 13, &n) && n <= *size &&
                   n <= AR_NAME_MAX) {
                ssize_t got = pread(a->fd, text, (size_t)n, (off_t)*offset);

                text[got > 0 ? got : 0] = '\0';
                *offset += n;
                *size -= n;
        } else {
                memcpy(text, h->name, sizeof(h->name));
                text[sizeof(h->name)] = '\0';
                for (size_t i = strlen(text); i > 0 && text[i - 1] == ' '; i--)
                        text[i - 1] = '\0';
        }
        size_t len = strlen(text);
        if (len > 1 && text[len - 1] == '/')
                text[len - 1] = '\0';
        return kiln_asprintf("%s(%s)", a->path, text);
}

/* libelf wants a file that begins with the ELF header. */
static int member_copy(int fd, uint64_t offset, uint64_t size)
{
        _cleanup_close_ int out = memfd_create("kiln-isa-member", MFD_CLOEXEC);
        _cleanup_free_ char *chunk = kiln_malloc(256 * 1024);

        if (out < 0)
                return -errno;
        while (size > 0) {
                ssize_t n = pread(fd, chunk, size < 256 * 1024 ? (size_t)size : 256 * 1024, (off_t)offset);
                int r;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -ENODATA;
                r = kiln_fd_write(out, chunk, (size_t)n);
                if (r < 0)
                        return r;
                offset += (uint64_t)n;
                size -= (uint64_t)n;
        }
        return TAKE_FD(out);
}

static int member_check(
        const struct ar *a, uint64_t offset, uint64_t size, char *name, struct kiln_isa_report *report)
{
        unsigned char magic[SELFMAG];
        _cleanup_close_ int fd = -1;

        if (size < SELFMAG || pread(a->fd, magic, SELFMAG, (off_t)offset) != SELFMAG ||
                memcmp(magic, ELFMAG, SELFMAG) != 0) {
                free(name);
                report->skipped++;
                return 0;
        }
        struct kiln_isa_file *f = report_add(report, name);
        fd = member_copy(a->fd, offset, size);
        if (fd == -ENODATA) {
                isa_elf_bad(f, KILN_ISA_DAMAGED, "the archive got shorter while it was read");
                return 0;
        }
        return fd < 0 ? fd : check_elf(fd, size, f);
}

/* The members of an archive end up in one program: what asks the CPU is often another member. */
static void members_reconsider(struct kiln_isa_file *files, size_t n)
{
        const unsigned asks = KILN_ISA_EVIDENCE_CPUID | KILN_ISA_EVIDENCE_SYMBOL | KILN_ISA_EVIDENCE_IFUNC;
        uint64_t large = 0, using[KILN_ISA_LEVELS] = {0};
        unsigned evidence = 0;

        for (size_t i = 0; i < n; i++) {
                evidence |= files[i].evidence & asks;
                large += files[i].large_functions;
                for (int level = KILN_ISA_V2; level < KILN_ISA_LEVELS; level++)
                        using[level] += files[i].large_using[level];
        }
        if (!evidence)
                return;
        for (size_t i = 0; i < n; i++) {
                struct kiln_isa_file *f = &files[i];

                if (f->status != KILN_ISA_CHECKED)
                        continue;
                for (int level = KILN_ISA_V2; level < KILN_ISA_LEVELS; level++) {
                        uint64_t *c = f->counts[level];
                        struct kiln_isa_sample *s = f->samples[level];

                        if (!c[KILN_ISA_UNDISPATCHED] || isa_wholesale(level, large, using[level]))
                                continue;
                        c[KILN_ISA_SUSPECTED] += c[KILN_ISA_UNDISPATCHED];
                        c[KILN_ISA_UNDISPATCHED] = 0;
                        free(s[KILN_ISA_SUSPECTED].symbol);
                        s[KILN_ISA_SUSPECTED] = s[KILN_ISA_UNDISPATCHED];
                        s[KILN_ISA_UNDISPATCHED] = (struct kiln_isa_sample){0};
                }
                f->evidence |= evidence;
                required_set(f);
        }
}

static int check_ar(int fd, uint64_t size, const char *path, const struct kiln_isa_limits *limits,
        struct kiln_isa_report *report)
{
        struct ar a = {.fd = fd, .size = size, .path = path};
        uint64_t pos = AR_MAGIC_BYTES;
        size_t first = report->n_files;

        while (pos < size) {
                struct ar_header h;
                uint64_t len;
                int r;

                if (size - pos < sizeof(h) || pread(fd, &h, sizeof(h), (off_t)pos) != sizeof(h) ||
                        memcmp(h.magic, "`\n", 2) != 0 || !ar_number(h.size, sizeof(h.size), &len) ||
                        len > size - pos - sizeof(h)) {
                        isa_elf_bad(report_add(report, kiln_strdup(path)), KILN_ISA_DAMAGED,
                                "the archive is broken at byte %llu", (unsigned long long)pos);
                        return 0;
                }
                uint64_t data = pos + sizeof(h), data_len = len;
                pos = data + len + (len & 1);
                if (memcmp(h.name, "// ", 3) == 0) {
                        a.names_offset = data;
                        a.names_size = len < AR_NAMES_MAX ? len : AR_NAMES_MAX;
                        continue;
                }
                if (memcmp(h.name, "/ ", 2) == 0 || memcmp(h.name, "/SYM64/", 7) == 0)
                        continue;
                if (++a.members > limits->files) {
                        isa_elf_bad(report_add(report, kiln_strdup(path)), KILN_ISA_TOO_LARGE,
                                "more than %llu members", (unsigned long long)limits->files);
                        return 0;
                }
                char *name = ar_name(&a, &h, &data, &data_len);
                r = member_check(&a, data, data_len, name, report);
                if (r < 0)
                        return r;
        }
        if (report->n_files > first)
                members_reconsider(report->files + first, report->n_files - first);
        return 0;
}

int kiln_isa_check_fd(int fd, const char *name, const struct kiln_isa_limits *limits,
        struct kiln_isa_report *report, struct kiln_error *err)
{
        char magic[AR_MAGIC_BYTES] = "";
        struct stat st;
        int r = 0;

        if (!limits)
                limits = &kiln_isa_limits_default;
        if (fstat(fd, &st) < 0)
                return kiln_error_set(err, KILN_INFRA, errno, "checking the ISA level of", name, "fstat");
        if (!S_ISREG(st.st_mode))
                return kiln_error_set(
                        err, KILN_BAD_INPUT, 0, "checking the ISA level of", name, "not a regular file");
        ssize_t n = pread(fd, magic, sizeof(magic), 0);
        if (n < 0)
                return kiln_error_set(err, KILN_INFRA, errno, "checking the ISA level of", name, "reading");

        bool elf = n >= SELFMAG && memcmp(magic, ELFMAG, SELFMAG) == 0;
        bool ar = n == AR_MAGIC_BYTES && memcmp(magic, AR_MAGIC, AR_MAGIC_BYTES) == 0;
        if (!elf && !ar)
                report->skipped++;
        else if ((uint64_t)st.st_size > limits->file_bytes)
                isa_elf_bad(report_add(report, kiln_strdup(name)), KILN_ISA_TOO_LARGE,
                        "larger than %llu bytes", (unsigned long long)limits->file_bytes);
        else if (elf)
                r = check_elf(fd, (uint64_t)st.st_size, report_add(report, kiln_strdup(name)));
        else
                r = check_ar(fd, (uint64_t)st.st_size, name, limits, report);
        return r < 0 ? kiln_error_set(err, KILN_INFRA, r, "checking the ISA level of", name, "reading") : 0;
}
