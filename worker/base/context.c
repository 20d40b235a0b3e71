#include "worker/base/context.h"

#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/base/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <string.h>

static char *home_dir(void)
{
        const char *home = getenv("HOME");
        struct passwd *pw;

        if (home && home[0] == '/')
                return kiln_strdup(home);
        pw = getpwuid(geteuid());
        return pw && pw->pw_dir && pw->pw_dir[0] == '/' ? kiln_strdup(pw->pw_dir) : NULL;
}

static char *user_dir(
        const char *variable, const char *root_dir, const char *xdg, const char *home, const char *below)
{
        const char *v = getenv(variable), *x = getenv(xdg);

        if (v && v[0] == '/')
                return kiln_strdup(v);
        if (geteuid() == 0)
                return kiln_strdup(root_dir);
        if (x && x[0] == '/')
                return kiln_path_join(x, "kiln");
        return home ? kiln_asprintf("%s/%s/kiln", home, below) : NULL;
}

/* An installation below $DESTDIR, or copied to somewhere, has its data where it has its program. NULL: it has
 * not. */
static char *data_beside(const char *exe)
{
        _cleanup_free_ char *prefix = NULL, *data = NULL;

        if (KILN_DATA_BELOW[0] == '/' || !kiln_ends_with(exe, "/" KILN_WHOLE_BELOW))
                return NULL;
        prefix = kiln_strndup(exe, strlen(exe) - strlen("/" KILN_WHOLE_BELOW));
        data = kiln_asprintf("%s/%s", prefix, KILN_DATA_BELOW);
        return kiln_file_exists(AT_FDCWD, data) ? TAKE_PTR(data) : NULL;
}

/* An uninstalled kiln (build/worker/cli/kiln) uses the toolchains/ of the tree it was built from. */
static char *data_dir(void)
{
        const char *v = getenv("KILN_DATA");
        char exe[4096], *beside = NULL;
        ssize_t n;

        if (v && v[0] == '/')
                return kiln_strdup(v);
        n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
        if (n > 0) {
                exe[n] = '\0';
                if (strncmp(exe, KILN_BUILD_ROOT "/", strlen(KILN_BUILD_ROOT "/")) == 0)
                        return kiln_strdup(KILN_SOURCE_ROOT "/toolchains");
                beside = data_beside(exe);
        }
        return beside ? beside : kiln_strdup(KILN_DATA_DIR);
}

int kiln_context_init(struct kiln_context *c, struct kiln_error *err)
{
        _cleanup_free_ char *home = home_dir();
        const char *keys = getenv("KILN_KEYS");

        *c = (struct kiln_context){.cancel_fd = -1};
        c->cache_dir = user_dir("KILN_CACHE", "/var/cache/kiln", "XDG_CACHE_HOME", home, ".cache");
        c->config_dir = user_dir("KILN_CONFIG", "/etc/kiln", "XDG_CONFIG_HOME", home, ".config");
        if (!c->cache_dir || !c->config_dir) {
                kiln_error_set(err, KILN_REFUSED, 0, "looking for", "your home directory", "HOME is not set");
                kiln_error_advise(err, "Set HOME, or KILN_CACHE and KILN_CONFIG, to absolute paths.");
                kiln_context_clear(c);
                return -ENOENT;
        }
        c->key_dir = keys && keys[0] == '/' ? kiln_strdup(keys) : kiln_path_join(c->config_dir, "keys");
        c->data_dir = data_dir();
        return 0;
}

void kiln_context_clear(struct kiln_context *c)
{
        free(c->cache_dir);
        free(c->config_dir);
        free(c->key_dir);
        free(c->data_dir);
        *c = (struct kiln_context){.cancel_fd = -1};
}

bool kiln_context_cancelled(const struct kiln_context *c)
{
        struct pollfd p = {.fd = c->cancel_fd, .events = POLLIN};

        return c->cancel_fd >= 0 && poll(&p, 1, 0) > 0;
}

int kiln_context_check(const struct kiln_context *c, const char *doing, struct kiln_error *err)
{
        if (!kiln_context_cancelled(c))
                return 0;
        kiln_error_set(err, KILN_CANCELLED, 0, doing, NULL, "cancelled");
        return -ECANCELED;
}
