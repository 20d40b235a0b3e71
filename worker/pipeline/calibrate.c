#include "worker/pipeline/calibrate.h"

#include "toolchains/toolchain.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/source/rpmlayout.h"
#include "worker/source/srpm.h"
#include "worker/verify/compare/compare.h"
#include "worker/verify/graft.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define DOING "calibrating with"
#define PACKAGES_MAX 100000

enum { /* rpmtag.h: what kiln_rpm does not tell */
        TAG_DISTRIBUTION = 1010,
        TAG_PAYLOADCOMPRESSOR = 1125,
        TAG_PAYLOADFLAGS = 1126,
};

static void source_clear(struct kiln_calibrated_source *s)
{
        char *const strings[] = {s->path, s->nvr, s->build_host, s->vendor, s->packager, s->distribution,
                s->optflags, s->payload, s->source_payload, s->dist};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(strings); i++)
                free(strings[i]);
        for (size_t i = 0; i < s->n_packages; i++) {
                free(s->packages[i].path);
                free(s->packages[i].name);
                free(s->packages[i].level);
                free(s->packages[i].difference);
        }
        free(s->packages);
}

void kiln_calibration_free(struct kiln_calibration *k)
{
        if (!k)
                return;
        for (size_t i = 0; i < k->n_sources; i++)
                source_clear(&k->sources[i]);
        free(k->sources);
        kiln_strv_free(k->unpaired);
        free(k);
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static char *header_string(const struct kiln_rpm_layout *l, uint32_t tag)
{
        const char *s = kiln_rpm_value_string(l->head + l->header_offset, l->header_bytes, tag);

        return kiln_strdup(s ? s : "");
}

/* As %_binary_payload has it: "w19.zstdio". */
static char *payload_of(const struct kiln_rpm_layout *l)
{
        static const struct {
                const char *compressor, *io;
        } table[] = {{"gzip", "gzdio"}, {"bzip2", "bzdio"}, {"xz", "xzdio"}, {"lzma", "lzdio"},
                {"zstd", "zstdio"}};
        _cleanup_free_ char *compressor = header_string(l, TAG_PAYLOADCOMPRESSOR),
                            *flags = header_string(l, TAG_PAYLOADFLAGS);

        for (size_t i = 0; i < KILN_ARRAY_SIZE(table); i++)
                if (strcmp(table[i].compressor, compressor) == 0)
                        return kiln_asprintf("w%s.%s", flags, table[i].io);
        return kiln_strdup(*compressor ? "" : "w.ufdio");
}

/* What is kept of one file of the directory. */
struct candidate {
        struct kiln_calibrated_source facts; /* its own; nvr and path are the package's */
        char *name, *source_rpm;
        bool source, noarch;
};

struct candidates {
        struct candidate *list;
        size_t n;
};

static void candidates_clear(struct candidates *c)
{
        for (size_t i = 0; i < c->n; i++) {
                source_clear(&c->list[i].facts);
                free(c->list[i].name);
                free(c->list[i].source_rpm);
        }
        free(c->list);
}

static char *text(const char *s)
{
        return kiln_strdup(s ? s : "");
}

static void keep(struct candidate *c, const struct kiln_rpm *r, const struct kiln_rpm_layout *l)
{
        c->name = kiln_asprintf("%s.%s.rpm", r->nvr, r->arch);
        c->source_rpm = text(r->source_rpm);
        c->source = r->source;
        c->noarch = strcmp(r->arch, "noarch") == 0;
        c->facts = (struct kiln_calibrated_source){.nvr = kiln_strdup(r->nvr),
                .build_host = text(r->build_host),
                .vendor = text(r->vendor),
                .packager = text(r->packager),
                .distribution = header_string(l, TAG_DISTRIBUTION),
                .optflags = text(r->optflags),
                .payload = payload_of(l),
                .dist = kiln_srpm_dist(r->release),
                .build_time_s = r->build_time_s,
                .changelog_time_s = r->changelog_time_s};
        for (size_t i = 0; i < r->n_files; i++)
                if (r->files[i].mtime_s > c->facts.newest_file_s)
                        c->facts.newest_file_s = r->files[i].mtime_s;
}

static int read_candidate(
        const char *dir, int dir_fd, const char *name, struct candidates *all, struct kiln_error *err)
{
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *rpm = NULL;
        _cleanup_layout_ struct kiln_rpm_layout layout = {0};
        struct candidate *c;
        int r;

        if (fd < 0)
                return kiln_error_set(err, KILN_BAD_INPUT, errno, "opening", name, "cannot open it");
        r = kiln_rpm_open(fd, name, NULL, &rpm, err);
        if (r == 0)
                r = kiln_rpm_layout_read(fd, name, &layout, err);
        if (r < 0)
                return r;
        c = KILN_APPEND(all->list, all->n);
        keep(c, rpm, &layout);
        c->facts.path = kiln_path_join(dir, name);
        return 0;
}

static int compare_candidates(const void *a, const void *b)
{
        const struct candidate *x = a, *y = b;

        return strcmp(x->name, y->name);
}

static int read_directory(
        const struct kiln_context *c, const char *directory, struct candidates *all, struct kiln_error *err)
{
        _cleanup_close_ int dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int scan = dir_fd < 0 ? -1 : openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
        DIR *d = scan < 0 ? NULL : fdopendir(scan);
        struct dirent *de;

        if (!d)
                return kiln_error_set(err, KILN_BAD_INPUT, errno, "opening", directory, "directory of RPMs");
        while (r == 0 && (de = readdir(d))) {
                size_t n = strlen(de->d_name);

                if (n < 5 || strcmp(de->d_name + n - 4, ".rpm") != 0)
                        continue;
                kiln_sink_progress(&c->sink, "read", de->d_name, all->n, 0);
                r = kiln_context_check(c, DOING, err);
                if (r == 0 && all->n >= PACKAGES_MAX)
                        r = kiln_error_set(err, KILN_BAD_INPUT, E2BIG, DOING, directory, "too many packages");
                if (r == 0)
                        r = read_candidate(directory, dir_fd, de->d_name, all, err);
        }
        closedir(d);
        if (all->n)
                qsort(all->list, all->n, sizeof(*all->list), compare_candidates);
        return r;
}

/* ---- pairing ----------------------------------------------------------------------------------------- */

static void replace(char **s, const char *with)
{
        free(*s);
        *s = text(with);
}

static void take_package(struct kiln_calibrated_source *s, const struct candidate *c)
{
        const struct kiln_calibrated_source *f = &c->facts;

        *KILN_APPEND(s->packages, s->n_packages) = (struct kiln_calibrated_package){
                .path = kiln_strdup(f->path), .name = kiln_strdup(c->name), .difference = kiln_strdup("")};
        if (f->newest_file_s > s->newest_file_s)
                s->newest_file_s = f->newest_file_s;
        /* The flags of an architecture rather than those of none. */
        if (s->n_packages > 1 && c->noarch)
                return;
        replace(&s->build_host, f->build_host);
        replace(&s->vendor, f->vendor);
        replace(&s->packager, f->packager);
        replace(&s->optflags, f->optflags);
        replace(&s->distribution, f->distribution);
        replace(&s->payload, f->payload);
        s->build_time_s = f->build_time_s;
}

static struct kiln_calibrated_source *find_source(struct kiln_calibration *k, const char *source_rpm)
{
        for (size_t i = 0; i < k->n_sources; i++) {
                size_t n = strlen(k->sources[i].nvr);

                if (strncmp(source_rpm, k->sources[i].nvr, n) == 0 && strcmp(source_rpm + n, ".src.rpm") == 0)
                        return &k->sources[i];
        }
        return NULL;
}

/* Takes what it keeps of the candidates. */
static void pair(struct kiln_calibration *k, struct candidates *all)
{
        size_t kept = 0;

        for (size_t i = 0; i < all->n; i++) {
                struct candidate *c = &all->list[i];
                struct kiln_calibrated_source *s;

                if (!c->source)
                        continue;
                s = KILN_APPEND(k->sources, k->n_sources);
                *s = c->facts;
                c->facts = (struct kiln_calibrated_source){0};
                s->source_payload = text(s->payload);
                s->newest_file_s = 0; /* of what was built, not of what was given */
        }
        for (size_t i = 0; i < all->n; i++) {
                const struct candidate *c = &all->list[i];
                struct kiln_calibrated_source *s = c->source ? NULL : find_source(k, c->source_rpm);

                if (s)
                        take_package(s, c);
                else if (!c->source)
                        kiln_strv_append(&k->unpaired, c->facts.path);
        }
        for (size_t i = 0; i < k->n_sources; i++) {
                if (k->sources[i].n_packages == 0) {
                        kiln_strv_append(&k->unpaired, k->sources[i].path);
                        source_clear(&k->sources[i]);
                } else {
                        k->sources[kept++] = k->sources[i];
                }
        }
        k->n_sources = kept;
}

int kiln_calibration_scan(const struct kiln_context *c, const char *directory, struct kiln_calibration **ret,
        struct kiln_error *err)
{
        _cleanup_(kiln_calibration_freep) struct kiln_calibration *k = kiln_calloc(1, sizeof(*k));
        _cleanup_(candidates_clear) struct candidates all = {0};
        int r = read_directory(c, directory, &all, err);

        if (r < 0)
                return r;
        k->unpaired = kiln_calloc(1, sizeof(char *));
        pair(k, &all);
        if (k->n_sources == 0) {
                kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, directory,
                        "it has no source package together with packages that were built from it");
                kiln_error_advise(err,
                        "Put both into one directory; SOURCERPM in a package's header names its source.");
                return -ENOENT;
        }
        *ret = TAKE_PTR(k);
        return 0;
}

/* ---- the request ------------------------------------------------------------------------------------- */

static void add_macro(Kiln__V1__Build *b, const char *name, const char *body)
{
        _cleanup_buf_ struct kiln_buf literal = KILN_BUF_INIT;
        Kiln__V1__Macro *m;

        if (!body || !*body)
                return;
        for (const char *p = body; *p; p++) {
                if (*p == '%')
                        kiln_buf_putc(&literal, '%');
                kiln_buf_putc(&literal, *p);
        }
        m = kiln_malloc(sizeof(*m));
        kiln__v1__macro__init(m);
        m->name = kiln_strdup(name);
        m->body = kiln_buf_take(&literal);
        *KILN_APPEND(b->macros, b->n_macros) = m;
}

/* "-march=x86-64-v2" among the flags; without it, nobody asked for more than the first level. */
static enum kiln_isa_level level_of(const char *optflags)
{
        const char *march = strstr(optflags, "-march=");
        enum kiln_isa_level level = KILN_ISA_V1;
        _cleanup_free_ char *word = NULL;

        if (march) {
                march += strlen("-march=");
                word = kiln_strndup(march, strcspn(march, " "));
                (void)kiln_isa_level_parse(word, &level);
        }
        return level;
}

void kiln_calibration_request(const struct kiln_calibrated_source *s, Kiln__V1__Build *b)
{
        add_macro(b, "_buildhost", s->build_host);
        add_macro(b, "vendor", s->vendor);
        add_macro(b, "packager", s->packager);
        add_macro(b, "distribution", s->distribution);
        add_macro(b, "optflags", s->optflags);
        add_macro(b, "_binary_payload", s->payload);
        add_macro(b, "_source_payload", s->source_payload);
        if (*s->optflags)
                b->isa = (Kiln__V1__Build__IsaLevel)level_of(s->optflags);
        if (s->dist && !b->dist[0])
                b->dist = kiln_strdup(s->dist);
        /* Files later than the changelog were not clamped to it: the time is that of the build, if any. */
        if (s->build_time_s != s->changelog_time_s && s->newest_file_s > s->changelog_time_s) {
                b->epoch->policy = KILN__V1__EPOCH__POLICY__FIXED;
                b->epoch->fixed_s = s->build_time_s;
        }
}

/* ---- comparing --------------------------------------------------------------------------------------- */

static void set_level(struct kiln_calibrated_package *p, const char *level, const char *difference)
{
        replace(&p->level, level);
        replace(&p->difference, difference);
}

/* What the others follow from: a file, else a tag that is no digest of the payload. */
static const struct kiln_difference *first_difference(const struct kiln_comparison *pair)
{
        const struct kiln_difference *first = NULL;

        for (size_t i = 0; i < pair->n_differences; i++) {
                const struct kiln_difference *d = &pair->differences[i];

                if (d->kind == KILN_DIFFERENCE_FILE_MISSING || d->kind == KILN_DIFFERENCE_FILE_CONTENT)
                        return d;
                if (!first || strncmp(first->subject, "Payloaddigest", 13) == 0)
                        first = d;
        }
        return first;
}

static char *difference_text(const struct kiln_comparison *pair)
{
        const struct kiln_difference *d = first_difference(pair);

        if (!d)
                return kiln_strdup("");
        return kiln_asprintf("%s %s%s%s: %s | %s", kiln_difference_kind_name(d->kind), d->subject,
                *d->aspect ? " " : "", d->aspect, d->a ? d->a : "(none)", d->b ? d->b : "(none)");
}

static int compare_one(const struct kiln_context *c, struct kiln_calibrated_package *p, int original,
        int rebuild, const struct kiln_keyring *keyring, struct kiln_error *err)
{
        static const struct kiln_compare_options options = {.ignore_signature = true};
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *report = NULL;
        _cleanup_error_ struct kiln_error why = KILN_ERROR_INIT;
        _cleanup_close_ int out = kiln_graft_aside(c, err);
        _cleanup_graft_ struct kiln_graft g = {0};
        _cleanup_free_ char *difference = NULL;
        int r;

        if (out < 0)
                return out;
        /* Unsigned ones cannot be grafted: the files are compared as they are. */
        if (kiln_graft(original, p->name, rebuild, p->name, keyring, out, &g, &why) == 0 && g.identical) {
                p->exact = true;
                set_level(p, "byte-identical",
                        g.signature == KILN_RPM_SIGNED ? "" : "signed by a key not given here");
                return 0;
        }
        r = kiln_compare_rpms(c, original, p->name, rebuild, p->name, &options, &report, err);
        if (r < 0)
                return r;
        p->exact = report->level == KILN_SAME_FILE;
        difference = difference_text(&report->pairs[0]);
        set_level(p, p->exact ? "byte-identical" : kiln_compare_level_name(report->level), difference);
        return 0;
}

static void set_failed(struct kiln_calibrated_package *p, const struct kiln_error *why)
{
        _cleanup_free_ char *cause = kiln_asprintf("%s %s: %s", why->doing ? why->doing : "",
                why->subject ? why->subject : "", why->cause ? why->cause : "");

        set_level(p, kiln_verdict_name(why->verdict), cause);
}

static int compare_package(const struct kiln_context *c, struct kiln_calibrated_package *p, int dir,
        const struct kiln_keyring *keyring, struct kiln_error *err)
{
        _cleanup_close_ int original = open(p->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK),
                            rebuild = openat(dir, p->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        if (original < 0)
                return kiln_error_set(err, KILN_BAD_INPUT, errno, "opening", p->path, "cannot open it again");
        if (rebuild >= 0)
                return compare_one(c, p, original, rebuild, keyring, err);
        set_level(p, "not rebuilt", "the rebuild has no package of this name");
        return 0;
}

int kiln_calibration_compare(const struct kiln_context *c, struct kiln_calibrated_source *s,
        const struct kiln_keyring *keyring, const char *result, struct kiln_error *err)
{
        _cleanup_close_ int dir = open(result, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (dir < 0)
                return kiln_error_set(err, KILN_INFRA, errno, "reading", result, "the rebuild");
        for (size_t i = 0; i < s->n_packages; i++) {
                struct kiln_calibrated_package *p = &s->packages[i];
                int r = kiln_context_check(c, DOING, err);

                if (r == 0)
                        r = compare_package(c, p, dir, keyring, err);
                if (r < 0 && err->verdict == KILN_CANCELLED)
                        return r;
                if (r < 0) {
                        set_failed(p, err);
                        kiln_error_clear(err);
                }
        }
        return 0;
}

void kiln_calibration_failed(struct kiln_calibrated_source *s, const struct kiln_error *why)
{
        for (size_t i = 0; i < s->n_packages; i++)
                set_failed(&s->packages[i], why);
}
