/* Which toolchain to use when nobody said, and whether one's repositories answer at all. Asks mirrors for a
 * first byte only; fetching is another room's work. */
#include "toolchains/toolchain.h"

#include "toolchains/toml.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define CHOOSE_TIMEOUT_S 5

static size_t discard(char *data, size_t size, size_t n, void *ctx)
{
        return 0; /* the first byte is answer enough: ends the transfer with CURLE_WRITE_ERROR */
}

static bool url_answers(const struct kiln_context *c, const char *url, unsigned timeout_s)
{
        CURL *curl;
        CURLcode r;
        long status = 0;

        if (strncmp(url, "file://", 7) == 0)
                return kiln_file_exists(AT_FDCWD, url + 7);
        if (c->offline)
                return false;
        curl = curl_easy_init();
        if (!curl)
                return false;
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
        curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)timeout_s);
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard);
        r = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_cleanup(curl);
        return (r == CURLE_OK || r == CURLE_WRITE_ERROR) && status >= 200 && status < 300;
}

static bool repository_answers(
        const struct kiln_context *c, const struct kiln_repository *r, unsigned timeout_s)
{
        if (r->metalink && url_answers(c, r->metalink, timeout_s))
                return true;
        if (r->mirrorlist && url_answers(c, r->mirrorlist, timeout_s))
                return true;
        for (size_t i = 0; i < kiln_strv_length(r->base_urls); i++) {
                size_t n = strlen(r->base_urls[i]);
                _cleanup_free_ char *repomd = kiln_asprintf("%s%srepodata/repomd.xml", r->base_urls[i],
                        n && r->base_urls[i][n - 1] == '/' ? "" : "/");

                if (url_answers(c, repomd, timeout_s))
                        return true;
        }
        return false;
}

int kiln_toolchain_reachable(
        const struct kiln_context *c, const struct kiln_toolchain *t, unsigned timeout_s, char **ret_which)
{
        for (size_t i = 0; i < t->n_repositories; i++)
                if (!repository_answers(c, &t->repositories[i], timeout_s)) {
                        *ret_which = kiln_strdup(t->repositories[i].id);
                        return 0;
                }
        return 1;
}

/* kiln.toml's toolchain, or NULL. The other keys of that file are not this room's. */
static int configured(const struct kiln_context *c, char **ret, struct kiln_error *err)
{
        _cleanup_free_ char *path = kiln_path_join(c->config_dir, "kiln.toml");
        _cleanup_toml_ struct kiln_toml *root = NULL;
        const struct kiln_toml *n;
        int r;

        *ret = NULL;
        if (!kiln_file_exists(AT_FDCWD, path))
                return 0;
        r = kiln_toml_load(path, &root, err);
        if (r < 0)
                return r;
        n = kiln_toml_get(root, "toolchain");
        if (n && n->kind != KILN_TOML_STRING)
                return kiln_toml_error(path, n, err, "'toolchain' must be a string");
        if (n)
                *ret = kiln_strdup(n->string);
        return 0;
}

/* Whether "tag" is one of the dot-separated parts of an SRPM's release ("1.fc43", "2.fc43.1"). */
static bool release_has(const char *release, const char *tag)
{
        size_t n = strlen(tag);

        for (const char *p = release; p; p = strchr(p, '.') ? strchr(p, '.') + 1 : NULL)
                if (strncmp(p, tag, n) == 0 && (p[n] == '\0' || p[n] == '.'))
                        return true;
        return false;
}

/* 1: chosen; 0: no definition wants this release, or its mirrors do not answer (*ret_reason then says so). */
static int by_dist_tag(const struct kiln_context *c, const char *release, char **ret_name, char **ret_reason)
{
        _cleanup_strv_ char **names = NULL;

        if (kiln_toolchain_list(c, &names, NULL) < 0)
                return 0;
        for (size_t i = 0; i < kiln_strv_length(names); i++) {
                _cleanup_toolchain_ struct kiln_toolchain *t = NULL;
                _cleanup_free_ char *which = NULL;

                if (kiln_toolchain_load(c, names[i], &t, NULL) < 0)
                        continue; /* `kiln toolchain check` says what is wrong with it */
                for (size_t k = 0; k < kiln_strv_length(t->dist_tags); k++) {
                        if (!release_has(release, t->dist_tags[k]))
                                continue;
                        if (kiln_toolchain_reachable(c, t, CHOOSE_TIMEOUT_S, &which) > 0) {
                                *ret_name = kiln_strdup(names[i]);
                                *ret_reason = kiln_asprintf("the SRPM's release '%s' carries the dist tag %s",
                                        release, t->dist_tags[k]);
                                return 1;
                        }
                        *ret_reason = kiln_asprintf("the SRPM's release '%s' asks for %s, but its repository "
                                                    "'%s' does not answer",
                                release, names[i], which);
                        return 0;
                }
        }
        return 0;
}

int kiln_toolchain_choose(const struct kiln_context *c, const char *srpm_release, char **ret_name,
        char **ret_reason, struct kiln_error *err)
{
        _cleanup_free_ char *why_not = NULL;
        char *name = NULL, *reason = NULL;
        int r = configured(c, &name, err);

        if (r < 0)
                return r;
        if (name) {
                *ret_reason = kiln_asprintf("%s/kiln.toml names it", c->config_dir);
                *ret_name = name;
                return 0;
        }
        if (srpm_release && by_dist_tag(c, srpm_release, &name, &reason) > 0) {
                *ret_name = name;
                *ret_reason = reason;
                return 0;
        }
        why_not = reason;
        *ret_name = kiln_strdup("bootstrap");
        *ret_reason = kiln_asprintf("%s; made from the host distribution's own packages",
                why_not ? why_not : "no definition matches");
        return 0;
}
