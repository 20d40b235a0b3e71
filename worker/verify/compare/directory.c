/* Two result directories: their files are paired by what they are, each pair is compared, and what is of one
 * run only (logs, times) is set aside and said so. */
#include "worker/verify/compare/private.h"

#include "worker/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define ENTRIES_MAX 100000
#define WHAT_TO_GIVE "Give two RPM files, or two directories as kiln rebuild leaves them."

enum kind {
        KIND_PACKAGE = 0,
        KIND_SPDX,
        KIND_CDX,
        KIND_ENVELOPES,
        KIND_LOCK,
        KIND_OTHER,  /* from here on a file is paired by its name */
        KIND_RUN,    /* of one run: not compared */
        KIND_OTHERS, /* somebody else's attestations, <nvr>@<whose>: not compared */
};

static const struct {
        const char *suffix; /* or whole name */
        enum kind kind;
        bool whole;
} kinds[] = {
        {".rpm", KIND_PACKAGE, false},
        {".spdx.json", KIND_SPDX, false},
        {".cdx.json", KIND_CDX, false},
        {".intoto.jsonl", KIND_ENVELOPES, false},
        {".sigstore.json", KIND_RUN, false}, /* envelopes again, with time stamps */
        {"lock.json", KIND_LOCK, true},
        {"build.log.zst", KIND_RUN, true},
        {"root.log.zst", KIND_RUN, true},
        {"inputs.json", KIND_RUN, true},
        {"result.json", KIND_RUN, true},
        {"report.html", KIND_RUN, true},
};

struct entry {
        char *file;
        enum kind kind;
        char *key; /* what it is paired by within its kind */
};

struct listing {
        const char *name;
        int fd;
        struct entry *entries;
        size_t n;
};

static void listing_clear(struct listing *l)
{
        for (size_t i = 0; i < l->n; i++) {
                free(l->entries[i].file);
                free(l->entries[i].key);
        }
        free(l->entries);
}

static int compare_keys(const struct entry *x, const struct entry *y)
{
        return x->kind != y->kind ? (int)x->kind - (int)y->kind : strcmp(x->key, y->key);
}

static int compare_entries(const void *a, const void *b)
{
        const struct entry *x = a, *y = b;
        int r = compare_keys(x, y);

        return r ? r : strcmp(x->file, y->file);
}

static enum kind classify(const char *file)
{
        enum kind kind = KIND_OTHER;

        for (size_t i = 0; kind == KIND_OTHER && i < KILN_ARRAY_SIZE(kinds); i++)
                if (kinds[i].whole ? strcmp(file, kinds[i].suffix) == 0
                                   : kiln_ends_with(file, kinds[i].suffix))
                        kind = kinds[i].kind;
        return kind == KIND_ENVELOPES && strchr(file, '@') ? KIND_OTHERS : kind;
}

bool kiln_compare_name_varies(const char *name)
{
        enum kind kind = classify(name);

        return kind == KIND_ENVELOPES || kind == KIND_RUN || kind == KIND_OTHERS;
}

static int open_entry(const struct listing *l, const struct entry *e, struct kiln_error *err)
{
        int fd = openat(l->fd, e->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

        return fd >= 0 ? fd
                       : kiln_error_set(
                                 err, KILN_INFRA, errno, "opening", e->file, "cannot be read in %s", l->name);
}

static int entry_add(struct listing *l, const char *file, struct kiln_error *err)
{
        struct entry *e = KILN_APPEND(l->entries, l->n);
        _cleanup_close_ int fd = -1;
        struct stat st;

        e->file = kiln_strdup(file);
        e->kind = classify(file);
        e->key = kiln_strdup(e->kind >= KIND_OTHER ? file : "");
        if (fstatat(l->fd, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return kiln_error_set(err, KILN_INFRA, errno, "listing", l->name, "looking at %s", file);
        if (!S_ISREG(st.st_mode)) {
                kiln_error_set(err, KILN_BAD_INPUT, 0, "listing", l->name, "%s is no regular file", file);
                kiln_error_advise(err, "Compare result directories as kiln rebuild leaves them.");
                return -EBADMSG;
        }
        if (e->kind != KIND_PACKAGE)
                return 0;
        fd = open_entry(l, e, err);
        if (fd < 0)
                return fd;
        free(e->key);
        e->key = NULL;
        return compare_rpm_name(fd, file, &e->key, err);
}

static int listing_read(int fd, const char *name, struct listing *ret, struct kiln_error *err)
{
        _cleanup_(listing_clear) struct listing l = {.name = name, .fd = fd};
        int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a position of its own */
        DIR *d = copy < 0 ? NULL : fdopendir(copy);
        struct dirent *de;
        int r = 0;

        if (!d)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, errno, "listing", name, "cannot read the directory");
        while (r == 0 && (errno = 0, de = readdir(d))) {
                if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
                        continue;
                r = l.n < ENTRIES_MAX ? entry_add(&l, de->d_name, err)
                                      : kiln_error_set(err, KILN_LIMIT, E2BIG, "listing", name,
                                                "more than %d files", ENTRIES_MAX);
        }
        closedir(d);
        if (r < 0)
                return r;
        if (l.n)
                qsort(l.entries, l.n, sizeof(*l.entries), compare_entries);
        *ret = l;
        l = (struct listing){0};
        return 0;
}

/* ---- pairs ----------------------------------------------------------------------------------- */

static void pair_missing(struct kiln_comparison *c, const struct entry *e, bool in_a)
{
        c->level = KILN_DIFFERENT;
        c->name = compare_text(e->kind == KIND_PACKAGE ? e->key : e->file,
                strlen(e->kind == KIND_PACKAGE ? e->key : e->file));
        *(in_a ? &c->a_name : &c->b_name) = compare_text(e->file, strlen(e->file));
        compare_add(
                c, KILN_DIFFERENCE_PACKAGE, c->name, "", in_a ? e->file : NULL, in_a ? NULL : e->file, NULL);
}

static int pair_compare(const struct kiln_context *context, const struct listing *a, const struct entry *x,
        const struct listing *b, const struct entry *y, const struct kiln_compare_options *o,
        struct kiln_comparison *c, struct kiln_error *err)
{
        static const enum compare_document documents[] = {[KIND_SPDX] = COMPARE_JSON,
                [KIND_CDX] = COMPARE_JSON,
                [KIND_ENVELOPES] = COMPARE_ENVELOPES,
                [KIND_LOCK] = COMPARE_JSON,
                [KIND_OTHER] = COMPARE_BYTES};
        _cleanup_close_ int fd = open_entry(a, x, err), other = fd < 0 ? -1 : open_entry(b, y, err);

        if (fd < 0 || other < 0)
                return fd < 0 ? fd : other;
        if (x->kind == KIND_PACKAGE)
                return compare_rpm_pair(context, fd, x->file, other, y->file, o, c, err);
        c->name = compare_text(x->file, strlen(x->file));
        c->a_name = compare_text(x->file, strlen(x->file));
        c->b_name = compare_text(y->file, strlen(y->file));
        return compare_documents(documents[x->kind], fd, other, o, c, err);
}

static void report_add(struct kiln_compare_report *r, const struct kiln_comparison *c)
{
        *KILN_APPEND(r->pairs, r->n_pairs) = *c;
        r->level = c->level > r->level ? c->level : r->level;
        r->differs |= c->differs;
}

static int listings_compare(const struct kiln_context *context, const struct listing *a,
        const struct listing *b, const struct kiln_compare_options *o, struct kiln_compare_report *report,
        struct kiln_error *err)
{
        size_t i = 0, k = 0;

        while (i < a->n || k < b->n) {
                const struct entry *x = i < a->n ? &a->entries[i] : NULL,
                                   *y = k < b->n ? &b->entries[k] : NULL;
                int which = !x ? 1 : !y ? -1 : compare_keys(x, y), r = 0;
                const struct entry *one = which <= 0 ? x : y;
                struct kiln_comparison c = {0};

                i += which <= 0;
                k += which >= 0;
                if (one->kind >= KIND_RUN) {
                        compare_ignore(&report->ignored,
                                one->kind == KIND_RUN ? "%s: of one run (times, host, log)"
                                                      : "%s: somebody's attestations about the packages",
                                one->file);
                        continue;
                }
                if (which != 0)
                        pair_missing(&c, one, which < 0);
                else
                        r = pair_compare(context, a, x, b, y, o, &c, err);
                if (r < 0) {
                        compare_clear(&c);
                        return r;
                }
                report_add(report, &c);
        }
        return 0;
}

int kiln_compare_directories(const struct kiln_context *c, int a, const char *a_name, int b,
        const char *b_name, const struct kiln_compare_options *options, struct kiln_compare_report **ret,
        struct kiln_error *err)
{
        static const struct kiln_compare_options defaults = {0};
        _cleanup_(listing_clear) struct listing la = {0}, lb = {0};
        _cleanup_(kiln_compare_report_freep) struct kiln_compare_report *report =
                kiln_calloc(1, sizeof(*report));
        int r = listing_read(a, a_name, &la, err);

        if (r == 0)
                r = listing_read(b, b_name, &lb, err);
        if (r < 0)
                return r;
        report->a_name = compare_text(a_name, strlen(a_name));
        report->b_name = compare_text(b_name, strlen(b_name));
        r = listings_compare(c, &la, &lb, options ? options : &defaults, report, err);
        if (r < 0)
                return r;
        if (report->n_pairs == 0) {
                r = kiln_error_set(err, KILN_BAD_INPUT, 0, "comparing", a_name,
                        "neither of the two directories holds a package or a document");
                kiln_error_advise(err, WHAT_TO_GIVE);
                return r;
        }
        *ret = TAKE_PTR(report);
        return 0;
}

int kiln_compare_paths(const struct kiln_context *c, const char *a, const char *b,
        const struct kiln_compare_options *options, struct kiln_compare_report **ret, struct kiln_error *err)
{
        const char *paths[2] = {a, b};
        int fds[2] = {-1, -1}, r = 0;
        struct stat st[2];

        for (size_t i = 0; i < 2 && r == 0; i++) {
                fds[i] = open(paths[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
                if (fds[i] < 0 || fstat(fds[i], &st[i]) < 0)
                        r = kiln_error_set(err, KILN_BAD_INPUT, errno, "opening", paths[i], "cannot be read");
        }
        if (r == 0 && S_ISDIR(st[0].st_mode) != S_ISDIR(st[1].st_mode))
                r = kiln_error_set(err, KILN_BAD_INPUT, 0, "comparing", a,
                        "one of the two is a directory, the other is not");
        if (r < 0)
                kiln_error_advise(err, WHAT_TO_GIVE);
        if (r == 0)
                r = S_ISDIR(st[0].st_mode)
                            ? kiln_compare_directories(c, fds[0], a, fds[1], b, options, ret, err)
                            : kiln_compare_rpms(c, fds[0], a, fds[1], b, options, ret, err);
        kiln_closep(&fds[0]);
        kiln_closep(&fds[1]);
        return r;
}
