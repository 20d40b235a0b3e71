/* Repositories made from a few lines of text, without any RPM: repodata only, with right digests.
 *
 * One fact a line:
 *   =Pkg: name evr arch      begins a package (evr is [epoch:]version-release)
 *   =Prv: =Req: =Con: =Obs: =Rec:   one dependency, "name", "name >= evr" or "(rich)"
 *   =Fil: /path              in primary and filelists
 *   =Xfl: /path              in filelists only
 *   =Loc: path               instead of Packages/name-evr.arch.rpm
 */
#pragma once

#include "tests/unit/storehelp.h"

#include "toolchains/toolchain.h"
#include "worker/base/buf.h"
#include "worker/base/digest.h"
#include "worker/buildroot/solve.h"

#include <inttypes.h>

enum { REPO_FIELDS = 8 };

struct repo_package {
        char *name, *evr, *arch;
        char **fields[REPO_FIELDS];
};

static const char *const repo_field_names[REPO_FIELDS] = {
        "=Prv:", "=Req:", "=Con:", "=Obs:", "=Rec:", "=Fil:", "=Xfl:", "=Loc:"};
static const char *const repo_xml_names[] = {"provides", "requires", "conflicts", "obsoletes", "recommends"};

static inline void repo_escape(struct kiln_buf *out, const char *s)
{
        for (; *s; s++)
                if (*s == '<')
                        kiln_buf_puts(out, "&lt;");
                else if (*s == '>')
                        kiln_buf_puts(out, "&gt;");
                else if (*s == '&')
                        kiln_buf_puts(out, "&amp;");
                else
                        kiln_buf_putc(out, *s);
}

/* epoch="0" ver="1" rel="2" */
static inline void repo_evr(struct kiln_buf *out, const char *evr)
{
        const char *colon = strchr(evr, ':'), *version = colon ? colon + 1 : evr,
                   *dash = strrchr(version, '-');

        kiln_buf_printf(out, " epoch=\"%.*s\" ver=\"%.*s\"", colon ? (int)(colon - evr) : 1,
                colon ? evr : "0", dash ? (int)(dash - version) : (int)strlen(version), version);
        if (dash)
                kiln_buf_printf(out, " rel=\"%s\"", dash + 1);
}

static inline void repo_dependency(struct kiln_buf *out, const char *text)
{
        static const struct {
                const char *op, *flag;
        } ops[] = {{" >= ", "GE"}, {" <= ", "LE"}, {" > ", "GT"}, {" < ", "LT"}, {" = ", "EQ"}};

        kiln_buf_puts(out, "<rpm:entry name=\"");
        for (size_t i = 0; *text != '(' && i < KILN_ARRAY_SIZE(ops); i++) {
                const char *at = strstr(text, ops[i].op);

                if (!at)
                        continue;
                kiln_buf_printf(out, "%.*s\" flags=\"%s\"", (int)(at - text), text, ops[i].flag);
                repo_evr(out, at + strlen(ops[i].op));
                kiln_buf_puts(out, "/>");
                return;
        }
        repo_escape(out, text);
        kiln_buf_puts(out, "\"/>");
}

static inline void repo_package_xml(
        const struct repo_package *p, struct kiln_buf *primary, struct kiln_buf *files)
{
        _cleanup_free_ char *id = kiln_asprintf("%s-%s.%s", p->name, p->evr, p->arch);
        struct kiln_digest d = kiln_digest_of(id, strlen(id));
        char hex[KILN_DIGEST_HEX + 1];

        kiln_digest_to_hex(&d, hex);
        kiln_buf_printf(
                primary, "<package type=\"rpm\"><name>%s</name><arch>%s</arch><version", p->name, p->arch);
        repo_evr(primary, p->evr);
        kiln_buf_printf(primary,
                "/><checksum type=\"sha256\" pkgid=\"YES\">%s</checksum><summary>s</summary>"
                "<description>d</description><size package=\"%zu\" installed=\"1\" archive=\"1\"/><location "
                "href=\"",
                hex, strlen(id));
        if (p->fields[7])
                kiln_buf_puts(primary, p->fields[7][0]);
        else
                kiln_buf_printf(primary, "Packages/%s.rpm", id);
        kiln_buf_printf(primary,
                "\"/><format><rpm:license>MIT</rpm:license><rpm:sourcerpm>%s-1-1.src.rpm</rpm:sourcerpm>",
                p->name);
        for (int i = 0; i < 5; i++) {
                kiln_buf_printf(primary, "<rpm:%s>", repo_xml_names[i]);
                if (i == 0)
                        kiln_buf_printf(primary, "<rpm:entry name=\"%s\" flags=\"EQ\"", p->name),
                                repo_evr(primary, p->evr), kiln_buf_puts(primary, "/>");
                for (char **f = p->fields[i]; f && *f; f++)
                        repo_dependency(primary, *f);
                kiln_buf_printf(primary, "</rpm:%s>", repo_xml_names[i]);
        }
        kiln_buf_printf(
                files, "<package pkgid=\"%s\" name=\"%s\" arch=\"%s\"><version", hex, p->name, p->arch);
        repo_evr(files, p->evr);
        kiln_buf_puts(files, "/>");
        for (int i = 5; i < 7; i++)
                for (char **f = p->fields[i]; f && *f; f++) {
                        kiln_buf_printf(files, "<file>%s</file>", *f);
                        if (i == 5)
                                kiln_buf_printf(primary, "<file>%s</file>", *f);
                }
        kiln_buf_puts(primary, "</format></package>\n");
        kiln_buf_puts(files, "</package>\n");
}

static inline struct repo_package *repo_parse(const char *text, size_t *ret_n)
{
        struct repo_package *packages = NULL;
        _cleanup_free_ char *copy = kiln_strdup(text);
        size_t n = 0;

        for (char *save, *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                char name[128], evr[128], arch[32];

                line += strspn(line, " ");
                if (sscanf(line, "=Pkg: %127s %127s %31s", name, evr, arch) == 3) {
                        struct repo_package *p = KILN_APPEND(packages, n);

                        p->name = kiln_strdup(name);
                        p->evr = kiln_strdup(evr);
                        p->arch = kiln_strdup(arch);
                        continue;
                }
                for (int i = 0; i < REPO_FIELDS; i++)
                        if (strncmp(line, repo_field_names[i], 5) == 0)
                                kiln_strv_append(&packages[n - 1].fields[i], line + 6);
        }
        *ret_n = n;
        return packages;
}

static inline void repo_data(struct kiln_buf *repomd, const char *dir, const char *type, const char *suffix,
        const struct kiln_buf *xml, uint64_t open_size)
{
        _cleanup_free_ char *plain = kiln_asprintf("%s/repodata/%s.xml", dir, type), *command = NULL,
                            *path = NULL;
        _cleanup_buf_ struct kiln_buf packed = KILN_BUF_INIT;
        char hex[KILN_DIGEST_HEX + 1];
        struct kiln_digest d;

        assert_int_equal(kiln_file_write(AT_FDCWD, plain, xml->data, xml->len, 0644), 0);
        path = kiln_asprintf("%s%s", plain, suffix);
        if (*suffix) {
                command = kiln_asprintf("%s -q -f -k %s",
                        strcmp(suffix, ".gz") == 0   ? "gzip"
                        : strcmp(suffix, ".xz") == 0 ? "xz"
                                                     : "zstd",
                        plain);
                assert_int_equal(system(command), 0);
                unlink(plain);
        }
        assert_int_equal(kiln_file_read(AT_FDCWD, path, 1 << 28, &packed), 0);
        d = kiln_digest_of(packed.data, packed.len);
        kiln_digest_to_hex(&d, hex);
        kiln_buf_printf(repomd,
                "<data type=\"%s\"><checksum type=\"sha256\">%s</checksum><location "
                "href=\"repodata/%s.xml%s\"/>"
                "<size>%zu</size><open-size>%" PRIu64 "</open-size></data>\n",
                type, hex, type, suffix, packed.len, open_size ? open_size : (uint64_t)xml->len);
}

/* Writes the repository below dir; backwards: packages in the other order. open_size 0: the right one. */
static inline void repo_write_as(
        const char *dir, const char *text, const char *suffix, bool backwards, uint64_t open_size)
{
        _cleanup_buf_ struct kiln_buf primary = KILN_BUF_INIT, files = KILN_BUF_INIT, repomd = KILN_BUF_INIT;
        _cleanup_free_ char *path = kiln_path_join(dir, "repodata");
        size_t n;
        struct repo_package *packages = repo_parse(text, &n);
        int fd = kiln_dir_make(AT_FDCWD, path, 0755);

        assert_true(fd >= 0);
        kiln_buf_printf(&primary,
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metadata "
                "xmlns=\"http://linux.duke.edu/metadata/common\" "
                "xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\" packages=\"%zu\">\n",
                n);
        kiln_buf_printf(&files,
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<filelists "
                "xmlns=\"http://linux.duke.edu/metadata/filelists\" packages=\"%zu\">\n",
                n);
        for (size_t i = 0; i < n; i++)
                repo_package_xml(&packages[backwards ? n - 1 - i : i], &primary, &files);
        kiln_buf_puts(&primary, "</metadata>\n");
        kiln_buf_puts(&files, "</filelists>\n");
        kiln_buf_puts(&repomd, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<repomd "
                               "xmlns=\"http://linux.duke.edu/metadata/repo\"><revision>1</revision>\n");
        repo_data(&repomd, dir, "primary", suffix, &primary, open_size);
        repo_data(&repomd, dir, "filelists", suffix, &files, 0);
        kiln_buf_puts(&repomd, "</repomd>\n");
        assert_int_equal(kiln_file_write(fd, "repomd.xml", repomd.data, repomd.len, 0644), 0);
        close(fd);
        for (size_t i = 0; i < n; i++) {
                free(packages[i].name);
                free(packages[i].evr);
                free(packages[i].arch);
                for (int k = 0; k < REPO_FIELDS; k++)
                        kiln_strv_free(packages[i].fields[k]);
        }
        free(packages);
}

static inline void repo_write_text(const char *dir, const char *text)
{
        repo_write_as(dir, text, "", false, 0);
}

/* ---- a toolchain over such repositories */

struct target {
        struct kiln_toolchain toolchain;
        struct kiln_repository repositories[3];
        char *urls[3][2];
        char *dirs[3];
};

static inline char **words(const char *text)
{
        char **out = kiln_calloc(1, sizeof(*out));
        _cleanup_free_ char *copy = kiln_strdup(text);

        for (char *save, *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save))
                kiln_strv_append(&out, w);
        return out;
}

/* Repositories "one", "two", … in directories below the fixture's. */
static inline void target_init(struct target *t, struct fixture *f, size_t n, const char *core)
{
        static const char *const ids[] = {"one", "two", "three"};

        memset(t, 0, sizeof(*t));
        t->toolchain.name = kiln_strdup("test");
        t->toolchain.arch = kiln_strdup("x86_64");
        t->toolchain.digest = kiln_digest_of("test", 4);
        t->toolchain.compatible_arches = words("x86_64,noarch");
        t->toolchain.core = words(core);
        t->toolchain.bootstrap = words("rpm");
        t->toolchain.repositories = t->repositories;
        t->toolchain.n_repositories = n;
        for (size_t i = 0; i < n; i++) {
                t->dirs[i] = kiln_path_join(f->dir, ids[i]);
                t->urls[i][0] = kiln_asprintf("file://%s", t->dirs[i]);
                t->repositories[i].id = kiln_strdup(ids[i]);
                t->repositories[i].base_urls = t->urls[i];
                t->repositories[i].priority = 99;
                t->repositories[i].unsigned_packages = true;
        }
}

static inline void target_clear(struct target *t)
{
        free(t->toolchain.name);
        free(t->toolchain.arch);
        kiln_strv_free(t->toolchain.compatible_arches);
        kiln_strv_free(t->toolchain.core);
        kiln_strv_free(t->toolchain.bootstrap);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(t->repositories); i++) {
                free(t->repositories[i].id);
                kiln_strv_free(t->repositories[i].excludes);
                free(t->urls[i][0]);
                free(t->dirs[i]);
        }
}
#define _cleanup_target_ _cleanup_(target_clear)
