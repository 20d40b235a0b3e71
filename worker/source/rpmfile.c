#include "worker/source/rpmfile.h"

#include "worker/base/mem.h"
#include "worker/source/rpmlayout.h"
#include "worker/source/rpmlibrary.h"
#include "worker/source/rpmverify.h"

#include <ctype.h>
#include <errno.h>
#include <rpm/header.h>
#include <rpm/rpmfiles.h>
#include <rpm/rpmlib.h>
#include <rpm/rpmpgp.h>
#include <rpm/rpmver.h>
#include <string.h>
#include <sys/stat.h>

static char *header_string(Header h, rpmTagVal tag)
{
        const char *s = headerGetString(h, tag);

        return kiln_strdup(s ? s : "");
}

static char **header_strings(Header h, rpmTagVal tag)
{
        struct rpmtd_s td;
        char **v = kiln_calloc(1, sizeof(*v));
        size_t n = 0;
        const char *s;

        if (headerGet(h, tag, &td, HEADERGET_MINMEM)) {
                v = kiln_realloc(v, (size_t)rpmtdCount(&td) + 1, sizeof(*v));
                while ((s = rpmtdNextString(&td)))
                        v[n++] = kiln_strdup(s);
                v[n] = NULL;
                rpmtdFreeData(&td);
        }
        return v;
}

bool kiln_dependency_is_shallow(const char *name)
{
        bool rich = name[strspn(name, " \t")] == '(';
        unsigned depth = 0, blanks = 0;

        for (; *name; name++) {
                if (*name == '(' && ++depth > KILN_DEPENDENCY_DEPTH_MAX)
                        return false;
                if (rich && *name == ' ' && ++blanks > KILN_DEPENDENCY_BLANKS_MAX)
                        return false;
                if (*name == ')' && depth > 0)
                        depth--;
        }
        return true;
}

/* Lists of names, versions and flags that belong together; versions and flags may be missing altogether. */
static int dependencies_read(Header h, rpmTagVal name, rpmTagVal evr, rpmTagVal flags,
        struct kiln_rpm_dependency **ret, size_t *ret_n)
{
        struct rpmtd_s names, evrs, bits;
        bool have_evrs = headerGet(h, evr, &evrs, HEADERGET_MINMEM);
        bool have_bits = headerGet(h, flags, &bits, HEADERGET_MINMEM);
        const char *s, *e;
        int r = 0;

        if (headerGet(h, name, &names, HEADERGET_MINMEM)) {
                if ((have_evrs && rpmtdCount(&evrs) != rpmtdCount(&names)) ||
                        (have_bits && rpmtdCount(&bits) != rpmtdCount(&names)))
                        r = -EINVAL;
                while (r == 0 && (s = rpmtdNextString(&names))) {
                        if (!kiln_dependency_is_shallow(s)) {
                                r = -ELOOP;
                                break;
                        }
                        struct kiln_rpm_dependency *d = KILN_APPEND(*ret, *ret_n);
                        uint32_t *b = have_bits ? rpmtdNextUint32(&bits) : NULL;

                        e = have_evrs ? rpmtdNextString(&evrs) : NULL;
                        d->name = kiln_strdup(s);
                        d->evr = kiln_strdup(e ? e : "");
                        d->flags = b ? *b : 0;
                }
                rpmtdFreeData(&names);
        }
        if (have_evrs)
                rpmtdFreeData(&evrs);
        if (have_bits)
                rpmtdFreeData(&bits);
        return r;
}

static const char *hash_name(int algo)
{
        static const struct {
                int algo;
                const char *name;
        } names[] = {
                {PGPHASHALGO_MD5, "md5"},
                {PGPHASHALGO_SHA1, "sha1"},
                {PGPHASHALGO_SHA224, "sha224"},
                {PGPHASHALGO_SHA256, "sha256"},
                {PGPHASHALGO_SHA384, "sha384"},
                {PGPHASHALGO_SHA512, "sha512"},
        };

        for (size_t i = 0; i < KILN_ARRAY_SIZE(names); i++)
                if (names[i].algo == algo)
                        return names[i].name;
        return NULL;
}

static char *or_empty(const char *s)
{
        return kiln_strdup(s ? s : "");
}

static char *file_digest(rpmfiles files, int i)
{
        int algo;
        size_t len = 0, zeros = 0;
        const unsigned char *d = rpmfilesFDigest(files, i, &algo, &len);
        char *hex;

        while (d && zeros < len && d[zeros] == 0)
                zeros++;
        if (!d || zeros == len) /* librpm's form of "": ghosts have none */
                return kiln_strdup("");
        hex = kiln_malloc(2 * len + 1);
        kiln_hex_encode(d, len, hex);
        return hex;
}

static int files_read(Header h, struct kiln_rpm *r)
{
        rpmfiles files;
        int n, algo;

        if (!headerIsEntry(h, RPMTAG_BASENAMES)) {
                r->file_digest_algo = kiln_strdup("md5");
                return 0;
        }
        files = rpmfilesNew(NULL, h, RPMTAG_BASENAMES, 0);
        n = (int)rpmfilesFC(files);
        if (!files || n < 0)
                return -EINVAL;
        algo = rpmfilesDigestAlgo(files);
        r->file_digest_algo = or_empty(hash_name(algo));
        r->files = kiln_calloc((size_t)n + 1, sizeof(*r->files));
        for (int i = 0; i < n; i++) {
                struct kiln_rpm_file *f = &r->files[r->n_files++];

                f->path = rpmfilesFN(files, i);
                f->path = f->path ? f->path : kiln_strdup("");
                f->mode = rpmfilesFMode(files, i);
                f->flags = rpmfilesFFlags(files, i);
                f->size = rpmfilesFSize(files, i);
                f->mtime_s = rpmfilesFMtime(files, i);
                f->link_target = or_empty(S_ISLNK(f->mode) ? rpmfilesFLink(files, i) : NULL);
                f->user = or_empty(rpmfilesFUser(files, i));
                f->group = or_empty(rpmfilesFGroup(files, i));
                f->capabilities = or_empty(rpmfilesFCaps(files, i));
                f->digest_hex = S_ISREG(f->mode) ? file_digest(files, i) : kiln_strdup("");
        }
        rpmfilesFree(files);
        return r->file_digest_algo[0] ? 0 : -EINVAL;
}

/* Names become file names, URLs and log lines. */
static bool name_is_plain(const char *s)
{
        if (s[0] == '\0' || s[0] == '.' || s[0] == '-' || strlen(s) > 255)
                return false;
        for (; *s; s++)
                if (!isalnum((unsigned char)*s) && !strchr("._+-~^", *s))
                        return false;
        return true;
}

static int identity_read(Header h, struct kiln_rpm *r)
{
        r->name = header_string(h, RPMTAG_NAME);
        r->version = header_string(h, RPMTAG_VERSION);
        r->release = header_string(h, RPMTAG_RELEASE);
        r->source = headerIsSource(h);
        if (r->source)
                r->arch = kiln_strdup(headerIsEntry(h, RPMTAG_NOSOURCE) || headerIsEntry(h, RPMTAG_NOPATCH)
                                              ? "nosrc"
                                              : "src");
        else
                r->arch = header_string(h, RPMTAG_ARCH);
        r->has_epoch = headerIsEntry(h, RPMTAG_EPOCH);
        r->epoch = r->has_epoch ? (uint32_t)headerGetNumber(h, RPMTAG_EPOCH) : 0;
        if (!name_is_plain(r->name) || !name_is_plain(r->version) || !name_is_plain(r->release) ||
                !name_is_plain(r->arch))
                return -EINVAL;
        r->nvr = kiln_asprintf("%s-%s-%s", r->name, r->version, r->release);
        r->nevra =
                r->epoch ? kiln_asprintf("%s-%u:%s-%s.%s", r->name, r->epoch, r->version, r->release, r->arch)
                         : kiln_asprintf("%s.%s", r->nvr, r->arch);
        return 0;
}

/* What is wrong with the header, or NULL. */
static const char *header_read(Header h, struct kiln_rpm *r)
{
        static const struct {
                rpmTagVal tag;
                size_t offset;
        } strings[] = {
                {RPMTAG_SUMMARY, offsetof(struct kiln_rpm, summary)},
                {RPMTAG_DESCRIPTION, offsetof(struct kiln_rpm, description)},
                {RPMTAG_LICENSE, offsetof(struct kiln_rpm, license)},
                {RPMTAG_URL, offsetof(struct kiln_rpm, url)},
                {RPMTAG_VENDOR, offsetof(struct kiln_rpm, vendor)},
                {RPMTAG_PACKAGER, offsetof(struct kiln_rpm, packager)},
                {RPMTAG_GROUP, offsetof(struct kiln_rpm, group)},
                {RPMTAG_SOURCERPM, offsetof(struct kiln_rpm, source_rpm)},
                {RPMTAG_BUILDHOST, offsetof(struct kiln_rpm, build_host)},
                {RPMTAG_PLATFORM, offsetof(struct kiln_rpm, platform)},
                {RPMTAG_OPTFLAGS, offsetof(struct kiln_rpm, optflags)},
        };

        if (identity_read(h, r) < 0)
                return "its name, version, release or architecture is missing or has characters that none "
                       "may have";
        for (size_t i = 0; i < KILN_ARRAY_SIZE(strings); i++)
                *(char **)(void *)((char *)r + strings[i].offset) = header_string(h, strings[i].tag);
        r->build_time_s = (int64_t)headerGetNumber(h, RPMTAG_BUILDTIME);
        r->changelog_time_s = (int64_t)headerGetNumber(h, RPMTAG_CHANGELOGTIME);
        r->exclusive_arch = header_strings(h, RPMTAG_EXCLUSIVEARCH);
        r->exclude_arch = header_strings(h, RPMTAG_EXCLUDEARCH);
        r->sources = header_strings(h, RPMTAG_SOURCE);
        r->patches = header_strings(h, RPMTAG_PATCH);
        if (dependencies_read(h, RPMTAG_REQUIRENAME, RPMTAG_REQUIREVERSION, RPMTAG_REQUIREFLAGS, &r->requires,
                    &r->n_requires) < 0 ||
                dependencies_read(h, RPMTAG_PROVIDENAME, RPMTAG_PROVIDEVERSION, RPMTAG_PROVIDEFLAGS,
                        &r->provides, &r->n_provides) < 0 ||
                dependencies_read(h, RPMTAG_CONFLICTNAME, RPMTAG_CONFLICTVERSION, RPMTAG_CONFLICTFLAGS,
                        &r->conflicts, &r->n_conflicts) < 0 ||
                dependencies_read(h, RPMTAG_OBSOLETENAME, RPMTAG_OBSOLETEVERSION, RPMTAG_OBSOLETEFLAGS,
                        &r->obsoletes, &r->n_obsoletes) < 0)
                return "its dependency lists do not fit together, or one is nested too deeply or chained too "
                       "long";
        if (files_read(h, r) < 0)
                return "its file list does not fit together";
        return NULL;
}

static int header_import(
        const struct kiln_rpm_layout *l, const char *name, struct kiln_rpm *rpm, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf messages = KILN_BUF_INIT;
        const char *wrong;
        Header h;

        kiln_rpm_library_enter(&messages);
        /* headerImport() takes the structure without its eight bytes of magic. */
        h = headerImport(l->head + l->header_offset + 8, (unsigned)(l->header_bytes - 8), HEADERIMPORT_COPY);
        if (h) {
                headerConvert(h, HEADERCONV_RETROFIT_V3);
                wrong = header_read(h, rpm);
                headerFree(h);
        } else {
                wrong = "librpm cannot read its header";
        }
        kiln_rpm_library_leave();
        if (wrong) {
                kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", name, "%s%s%s", wrong,
                        messages.len ? ": " : "", kiln_buf_str(&messages));
                return -EBADMSG;
        }
        return 0;
}

int kiln_rpm_read(int fd, const char *name, struct kiln_rpm **ret, struct kiln_error *err)
{
        _cleanup_layout_ struct kiln_rpm_layout l = {0};
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *rpm = kiln_calloc(1, sizeof(*rpm));
        int r = kiln_rpm_layout_read(fd, name, &l, err);

        if (r == 0)
                r = header_import(&l, name, rpm, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(rpm);
        return 0;
}

int kiln_rpm_open(int fd, const char *name, const struct kiln_keyring *keyring, struct kiln_rpm **ret,
        struct kiln_error *err)
{
        _cleanup_layout_ struct kiln_rpm_layout l = {0};
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *rpm = kiln_calloc(1, sizeof(*rpm));
        struct kiln_rpm_verified verified = {0};
        int r;

        r = kiln_rpm_layout_read(fd, name, &l, err);
        if (r < 0)
                return r;
        r = kiln_rpm_verify(fd, name, &l, keyring, &verified, err);
        if (r < 0)
                return r;
        rpm->signature = verified.signature;
        rpm->signer = verified.signer;
        rpm->file_sha256 = verified.file_sha256;
        rpm->file_bytes = l.file_bytes;
        rpm->header_offset = l.header_offset;
        rpm->payload_offset = l.payload_offset;
        rpm->header_sha256 = kiln_malloc(KILN_DIGEST_HEX + 1);
        kiln_digest_to_hex(&verified.header_sha256, rpm->header_sha256);
        rpm->payload_sha256 = kiln_malloc(KILN_DIGEST_HEX + 1);
        kiln_digest_to_hex(&verified.payload_sha256, rpm->payload_sha256);
        r = header_import(&l, name, rpm, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(rpm);
        return 0;
}

int kiln_rpm_open_published(int fd, const char *name, const struct kiln_keyring *keyring,
        struct kiln_rpm **ret, struct kiln_error *err)
{
        _cleanup_layout_ struct kiln_rpm_layout l = {0};
        int r = kiln_rpm_layout_read(fd, name, &l, err);

        if (r < 0)
                return r;
        r = kiln_rpm_open(fd, name, keyring, ret, err);
        if (r < 0 && err && err->verdict == KILN_BAD_INPUT)
                err->verdict = KILN_NOT_REPRODUCED;
        return r;
}

static void dependencies_free(struct kiln_rpm_dependency *d, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                free(d[i].name);
                free(d[i].evr);
        }
        free(d);
}

void kiln_rpm_free(struct kiln_rpm *r)
{
        if (!r)
                return;
        char *strings[] = {r->name, r->version, r->release, r->arch, r->nevra, r->nvr, r->summary,
                r->description, r->license, r->url, r->vendor, r->packager, r->group, r->source_rpm,
                r->build_host, r->platform, r->optflags, r->file_digest_algo, r->signer, r->header_sha256,
                r->payload_sha256};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(strings); i++)
                free(strings[i]);
        kiln_strv_free(r->exclusive_arch);
        kiln_strv_free(r->exclude_arch);
        kiln_strv_free(r->sources);
        kiln_strv_free(r->patches);
        dependencies_free(r->requires, r->n_requires);
        dependencies_free(r->provides, r->n_provides);
        dependencies_free(r->conflicts, r->n_conflicts);
        dependencies_free(r->obsoletes, r->n_obsoletes);
        for (size_t i = 0; i < r->n_files; i++) {
                free(r->files[i].path);
                free(r->files[i].link_target);
                free(r->files[i].user);
                free(r->files[i].group);
                free(r->files[i].digest_hex);
                free(r->files[i].capabilities);
        }
        free(r->files);
        free(r);
}

int kiln_evr_compare(const char *a, const char *b)
{
        rpmver va = rpmverParse(a), vb = rpmverParse(b);
        int r = va && vb ? rpmverCmp(va, vb) : (va != NULL) - (vb != NULL);

        rpmverFree(va);
        rpmverFree(vb);
        return r;
}
