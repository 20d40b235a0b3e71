/* Chooses and downloads Debian packages with the host's apt, through a configuration, state and package
 * status of our own: nothing of the host's apt changes, no root is needed, and apt's signature and hash
 * checks stay in force. The mirror is the one the machine's own apt uses (or kiln.toml's [bootstrap] mirror);
 * none is named here. */
#include "toolchains/bootstrap.h"

#include "worker/base/file.h"
#include "worker/base/number.h"
#include "worker/base/process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define SOURCES_MAX ((size_t)1 << 20)
#define KEYRING "/usr/share/keyrings/debian-archive-keyring.gpg"

int bootstrap_host_run(struct bootstrap *b, const char *const *argv, const char *const *env,
        struct kiln_buf *out, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf errors = KILN_BUF_INIT;
        struct kiln_process p = {
                .argv = argv, .env = env, .cwd_fd = -1, .stdin_fd = -1, .output_max = (size_t)64 << 20};
        int r = kiln_process_run(b->c, &p, out, &errors);
        const char *tail;

        if (r == 0)
                return 0;
        if (r == -ECANCELED)
                return kiln_context_check(b->c, BOOTSTRAP_DOING, err);
        if (r == -ENOENT) {
                kiln_error_set(err, KILN_REFUSED, ENOENT, BOOTSTRAP_DOING, argv[0], "the program is missing");
                kiln_error_advise(err,
                        "Install %s; the bootstrap needs a host with apt and dpkg (Debian or alike).",
                        argv[0]);
                return -ENOENT;
        }
        tail = errors.len > 2000 ? errors.data + errors.len - 2000 : kiln_buf_str(&errors);
        if (r < 0)
                return kiln_error_set(
                        err, KILN_INFRA, -r, BOOTSTRAP_DOING, argv[0], "it did not run to its end: %s", tail);
        kiln_error_set(err, KILN_INFRA, 0, BOOTSTRAP_DOING, argv[0], "it failed with status %d: %s", r, tail);
        return -EIO;
}

/* URIs of sources that look like a Debian archive's main part: not its updates or security part. */
static void mirror_add(char ***mirrors, const char *uri, size_t len, const char *suites)
{
        _cleanup_free_ char *u = kiln_strndup(uri, len);

        if (strstr(suites, "-security") || !strstr(u, "://"))
                return;
        while (len && u[len - 1] == '/')
                u[--len] = '\0';
        if (!kiln_strv_contains(*mirrors, u))
                kiln_strv_append(mirrors, u);
}

/* "deb [options] URI suite component…", sources.list(5). */
static void parse_one_line(char ***mirrors, const char *line)
{
        size_t n;

        if (strncmp(line, "deb", 3) != 0 || !isspace((unsigned char)line[3]))
                return;
        line += 3 + strspn(line + 3, " \t");
        if (*line == '[') {
                line = strchr(line, ']');
                if (!line)
                        return;
                line++;
                line += strspn(line, " \t");
        }
        n = strcspn(line, " \t");
        mirror_add(mirrors, line, n, line + n);
}

/* One paragraph of a .sources file: "URIs: a b", "Suites: x y", "Types: deb". */
static void parse_paragraph(char ***mirrors, const char *text, size_t len)
{
        _cleanup_free_ char *p = kiln_strndup(text, len), *uris = NULL, *suites = NULL;
        char *save = NULL, *word;
        bool binary = false;

        for (char *line = strtok_r(p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                if (strncasecmp(line, "URIs:", 5) == 0) {
                        free(uris);
                        uris = kiln_strdup(line + 5);
                } else if (strncasecmp(line, "Suites:", 7) == 0) {
                        free(suites);
                        suites = kiln_strdup(line + 7);
                } else if (strncasecmp(line, "Types:", 6) == 0) {
                        binary = strstr(line + 6, "deb") != NULL;
                } else if (strncasecmp(line, "Enabled:", 8) == 0 && strstr(line + 8, "no")) {
                        return;
                }
        }
        if (!uris || !suites || !binary)
                return;
        for (word = strtok_r(uris, " \t", &save); word; word = strtok_r(NULL, " \t", &save))
                mirror_add(mirrors, word, strlen(word), suites);
}

static void parse_sources(char ***mirrors, const char *path, bool deb822)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        const char *p, *end;

        if (kiln_file_read(AT_FDCWD, path, SOURCES_MAX, &text) < 0)
                return;
        if (deb822) {
                for (p = kiln_buf_str(&text); *p; p = end) {
                        end = strstr(p, "\n\n");
                        end = end ? end + 2 : p + strlen(p);
                        parse_paragraph(mirrors, p, (size_t)(end - p));
                }
                return;
        }
        for (p = kiln_buf_str(&text); *p; p = end) {
                _cleanup_free_ char *line = kiln_strndup(p, strcspn(p, "\n"));

                end = p + strcspn(p, "\n");
                end += *end == '\n';
                parse_one_line(mirrors, line);
        }
}

/* kiln.toml's [bootstrap] mirror, else what the machine's apt uses, in its order. */
static int find_mirrors(struct bootstrap *b, char ***ret, struct kiln_error *err)
{
        _cleanup_free_ char *config = kiln_path_join(b->c->config_dir, "kiln.toml");
        _cleanup_toml_ struct kiln_toml *root = NULL;
        _cleanup_strv_ char **parts = NULL;
        char **mirrors = NULL;
        DIR *d;
        struct dirent *e;

        if (kiln_file_exists(AT_FDCWD, config)) {
                const struct kiln_toml *m;
                int r = kiln_toml_load(config, &root, err);

                if (r < 0)
                        return r;
                m = kiln_toml_get(kiln_toml_get(root, "bootstrap"), "mirror");
                if (m && m->kind != KILN_TOML_STRING)
                        return kiln_toml_error(config, m, err, "'mirror' must be a string");
                if (m) {
                        kiln_strv_append(&mirrors, m->string);
                        *ret = mirrors;
                        return 0;
                }
        }
        parse_sources(&mirrors, "/etc/apt/sources.list", false);
        d = opendir("/etc/apt/sources.list.d");
        while (d && (e = readdir(d)))
                kiln_strv_append(&parts, e->d_name);
        if (d)
                closedir(d);
        if (parts)
                qsort(parts, kiln_strv_length(parts), sizeof(*parts), kiln_strcmp_ptr);
        for (size_t i = 0; i < kiln_strv_length(parts); i++) {
                _cleanup_free_ char *path = kiln_path_join("/etc/apt/sources.list.d", parts[i]);
                const char *dot = strrchr(parts[i], '.');

                if (dot && (strcmp(dot, ".list") == 0 || strcmp(dot, ".sources") == 0))
                        parse_sources(&mirrors, path, dot[1] == 's');
        }
        if (!mirrors) {
                kiln_error_set(err, KILN_REFUSED, 0, BOOTSTRAP_DOING, "/etc/apt",
                        "no Debian archive is configured there");
                kiln_error_advise(err, "Name one in %s:\n[bootstrap]\nmirror = \"http://…/debian\"", config);
                return -ENOENT;
        }
        *ret = mirrors;
        return 0;
}

/* The host's Acquire settings (proxies, time-outs) without anything else of its configuration. */
static void copy_acquire(struct bootstrap *b, struct kiln_buf *conf)
{
        const char *const argv[] = {"apt-config", "dump", "Acquire", NULL};
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;
        char *save = NULL;

        if (bootstrap_host_run(b, argv, NULL, &out, NULL) < 0 || !out.data)
                return;
        for (char *line = strtok_r(out.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                if (strncmp(line, "Acquire::http", 13) == 0 || strncmp(line, "Acquire::https", 14) == 0 ||
                        strncmp(line, "Acquire::Retries", 16) == 0)
                        kiln_buf_printf(conf, "%s\n", line);
}

static int write_text(const char *dir, const char *name, const char *text, struct kiln_error *err)
{
        _cleanup_free_ char *path = kiln_path_join(dir, name);
        int r = kiln_file_write(AT_FDCWD, path, text, strlen(text), 0644);

        return r < 0 ? kiln_error_set(err, KILN_INFRA, -r, "writing", path, "cannot write it") : 0;
}

/* The private apt: <dir>/apt with its own everything. */
static int configure(struct bootstrap *b, const char *apt, const char *mirror, struct kiln_error *err)
{
        static const char *const folders[] = {
                "lists/partial", "archives/partial", "empty/partial", "etc/none.d", "log"};
        _cleanup_buf_ struct kiln_buf conf = KILN_BUF_INIT, sources = KILN_BUF_INIT;
        int r;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(folders); i++) {
                _cleanup_free_ char *path = kiln_path_join(apt, folders[i]);
                int fd = kiln_dir_make(AT_FDCWD, path, 0755);

                if (fd < 0)
                        return kiln_error_set(
                                err, KILN_INFRA, -fd, "making", path, "cannot make the directory");
                close(fd);
        }
        kiln_buf_printf(&conf,
                "Dir::Etc \"%s/etc\";\nDir::Etc::main \"none\";\nDir::Etc::parts \"none.d\";\n"
                "Dir::Etc::sourcelist \"%s/etc/sources.list\";\nDir::Etc::sourceparts \"none.d\";\n"
                "Dir::Etc::preferences \"none\";\nDir::Etc::preferencesparts \"none.d\";\n"
                "Dir::Etc::netrc \"/etc/apt/auth.conf\";\nDir::Etc::trusted \"/etc/apt/trusted.gpg\";\n"
                "Dir::Etc::trustedparts \"/etc/apt/trusted.gpg.d\";\n"
                "Dir::State \"%s\";\nDir::State::status \"%s/status\";\nDir::State::lists \"%s/lists\";\n"
                "Dir::Cache \"%s\";\nDir::Cache::archives \"%s/archives\";\nDir::Log \"%s/log\";\n"
                "APT::Architecture \"%s\";\nAPT::Architectures { \"%s\"; };\n"
                "APT::Install-Recommends \"false\";\nAPT::Install-Suggests \"false\";\nAPT::Sandbox::User "
                "\"\";\n"
                "Acquire::Languages \"none\";\nAcquire::ForceHash \"SHA256\";\nDPkg::Lock::Timeout \"60\";\n",
                apt, apt, apt, apt, apt, apt, apt, apt, b->t.architecture, b->t.architecture);
        copy_acquire(b, &conf);
        kiln_buf_printf(&sources, "deb [arch=%s%s] %s %s %s\n", b->t.architecture,
                kiln_file_exists(AT_FDCWD, KEYRING) ? " signed-by=" KEYRING : "", mirror, b->t.suite,
                b->t.component);
        r = write_text(apt, "etc/sources.list", kiln_buf_str(&sources), err);
        if (r == 0)
                r = write_text(apt, "apt.conf", kiln_buf_str(&conf), err);
        if (r == 0)
                r = write_text(apt, "status", "", err);
        return r;
}

static int apt_run(struct bootstrap *b, const char *apt, const char *const *args, struct kiln_buf *out,
        struct kiln_error *err)
{
        _cleanup_free_ char *config = kiln_asprintf("APT_CONFIG=%s/apt.conf", apt);
        _cleanup_free_ char *path =
                kiln_asprintf("PATH=%s:/usr/sbin:/sbin", getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
        static const char *const proxies[] = {"http_proxy", "https_proxy", "no_proxy"};
        const char *env[9] = {
                config, path, "LC_ALL=C.UTF-8", "HOME=/nonexistent", "DEBIAN_FRONTEND=noninteractive"};
        char *kept[KILN_ARRAY_SIZE(proxies)] = {NULL};
        size_t n = 5;
        int r;

        for (size_t i = 0; i < KILN_ARRAY_SIZE(proxies); i++)
                if (getenv(proxies[i]))
                        env[n++] = kept[i] = kiln_asprintf("%s=%s", proxies[i], getenv(proxies[i]));
        r = bootstrap_host_run(b, args, env, out, err);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(kept); i++)
                free(kept[i]);
        return r;
}

/* apt-get update against the first mirror that carries the suite. */
static int update(struct bootstrap *b, const char *apt, struct kiln_error *err)
{
        const char *const argv[] = {"apt-get", "-q", "-o", "APT::Update::Error-Mode=any", "update", NULL};
        _cleanup_strv_ char **mirrors = NULL;
        int r = find_mirrors(b, &mirrors, err);

        if (r < 0)
                return r;
        r = -ENOENT;
        for (size_t i = 0; i < kiln_strv_length(mirrors) && r < 0 && r != -ECANCELED; i++) {
                kiln_error_clear(err);
                kiln_sink_progress(&b->c->sink, BOOTSTRAP_PHASE, mirrors[i], 0, 0);
                r = configure(b, apt, mirrors[i], err);
                if (r == 0)
                        r = apt_run(b, apt, argv, NULL, err);
        }
        if (r < 0 && r != -ECANCELED)
                kiln_error_advise(err,
                        "Does a mirror of /etc/apt carry Debian %s? Another can be named in %s/kiln.toml: "
                        "[bootstrap] mirror = \"http://…/debian\"",
                        b->t.suite, b->c->config_dir);
        return r;
}

/* "'URI' file size SHA256:hex", one a line, as `apt-get --print-uris` prints. */
static int parse_uris(struct bootstrap *b, char *text, struct kiln_error *err)
{
        char *save = NULL;

        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                char *words = NULL, *file, *size, *hash;
                struct deb d = {0};

                if (line[0] != '\'')
                        continue;
                file = strstr(line + 1, "' ");
                if (!file)
                        continue;
                file = strtok_r(file + 2, " ", &words);
                size = strtok_r(NULL, " ", &words);
                hash = strtok_r(NULL, " ", &words);
                if (!file || !size || !hash || strchr(file, '/') || file[0] == '.' ||
                        kiln_number_parse(size, (uint64_t)1 << 40, &d.size) < 0 ||
                        strncmp(hash, "SHA256:", 7) != 0 || kiln_digest_from_hex(hash + 7, &d.digest) < 0) {
                        kiln_error_set(err, KILN_INFRA, 0, BOOTSTRAP_DOING, "apt-get",
                                "it names a package without a SHA-256: %s", line);
                        return -EPROTO;
                }
                d.file = kiln_strdup(file);
                *KILN_APPEND(b->debs, b->n_debs) = d;
        }
        return 0;
}

static int deb_compare(const void *x, const void *y)
{
        return strcmp(((const struct deb *)x)->file, ((const struct deb *)y)->file);
}

/* apt checked what it downloaded; what was there before is checked here as well. */
static int check_archives(struct bootstrap *b, bool *ret_missing, struct kiln_error *err)
{
        *ret_missing = false;
        for (size_t i = 0; i < b->n_debs; i++) {
                const struct deb *d = &b->debs[i];
                _cleanup_free_ char *path = kiln_path_join(b->debs_dir, d->file);
                _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
                struct kiln_digest digest;
                uint64_t size;
                int r;

                if (fd < 0) {
                        *ret_missing = true;
                        continue;
                }
                r = kiln_digest_of_fd(fd, &digest, &size);
                if (r < 0)
                        return kiln_error_set(err, KILN_INFRA, -r, "reading", path, "cannot read it");
                if (size != d->size || !kiln_digest_equal(&digest, &d->digest)) {
                        unlink(path);
                        *ret_missing = true;
                }
        }
        return 0;
}

int bootstrap_apt_fetch(struct bootstrap *b, struct kiln_error *err)
{
        _cleanup_free_ char *apt = kiln_path_join(b->dir, "apt"), *empty = NULL;
        _cleanup_free_ const char **argv = NULL;
        _cleanup_buf_ struct kiln_buf uris = KILN_BUF_INIT;
        size_t n = kiln_strv_length(b->t.install), at = 0;
        bool missing;
        int r = update(b, apt, err);

        if (r < 0)
                return r;
        /* with an empty archive directory apt names everything, not only what is still to be fetched */
        empty = kiln_asprintf("Dir::Cache::archives=%s/empty", apt);
        argv = kiln_calloc(n + 9, sizeof(*argv));
        argv[at++] = "apt-get";
        argv[at++] = "-qq";
        argv[at++] = "-y";
        argv[at++] = "-o";
        argv[at++] = empty;
        argv[at++] = "--print-uris";
        argv[at++] = "install";
        memcpy(argv + at, b->t.install, n * sizeof(*argv));
        r = apt_run(b, apt, argv, &uris, err);
        if (r == 0)
                r = parse_uris(b, uris.data ? uris.data : (char[]){""}, err);
        if (r < 0)
                return r;
        qsort(b->debs, b->n_debs, sizeof(*b->debs), deb_compare);
        r = check_archives(b, &missing, err);
        if (r == 0 && missing) {
                kiln_sink_progress(&b->c->sink, BOOTSTRAP_PHASE, "download", 0, b->n_debs);
                argv[4] = "Acquire::Retries=3";
                argv[5] = "--download-only";
                r = apt_run(b, apt, argv, NULL, err);
                if (r == 0)
                        r = check_archives(b, &missing, err);
                if (r == 0 && missing) {
                        kiln_error_set(err, KILN_INFRA, 0, BOOTSTRAP_DOING, b->debs_dir,
                                "packages are missing there, or wrong, after the download");
                        r = -EIO;
                }
        }
        return r;
}
