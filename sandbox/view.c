/* The normalised view: files the program reads instead of the host's or the root's own.
 *
 * /proc files are covered only without nested_mounts, because the kernel refuses a fresh /proc in a nested
 * namespace while any part of the outer one is covered. Absence is kept: what the root lacks is not added. */
#include "sandbox/view.h"
#include "sandbox/mount.h"
#include "sandbox/util.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* Any fixed value does; all zeroes would mean "uninitialised" (machine-id(5)). */
#define MACHINE_ID "6b696c6e6b696c6e6b696c6e6b696c6e\n"

/* Puts a file with this content over the path. Absent paths stay absent. */
static int cover(struct setup *u, int root_fd, int dev_fd, const char *path, const char *content)
{
        const char *name = ".kiln-view";
        size_t n = strlen(content);
        struct stat st;
        int r;

        _fd_ int target = mount_lookup(root_fd, path, O_PATH);
        if (target == -ENOENT || target == -ENOTDIR || target == -ELOOP)
                return 0;
        if (target < 0 || fstat(target, &st) < 0)
                return step_fail(&u->err, "cover file", target < 0 ? -target : errno, "cannot open %s", path);
        if (!S_ISREG(st.st_mode)) /* a root may link its machine-id to a device */
                return 0;
        _fd_ int file = TRY(u->hook, &u->err, "cover file",
                openat(dev_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
        if (file < 0)
                return file;
        if (write(file, content, n) != (ssize_t)n || fchmod(file, 0444) < 0)
                return step_fail(
                        &u->err, "cover file", errno ? errno : EIO, "cannot write what covers %s", path);
        _fd_ int tree = TRY(
                u->hook, &u->err, "cover file", open_tree(dev_fd, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
        if (tree < 0)
                return tree;
        r = mount_attributes(u->hook, tree,
                MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, false,
                "cover file", &u->err);
        if (r < 0)
                return r;
        r = mount_attach(u->hook, tree, target, "cover file", &u->err);
        if (r < 0)
                return r;
        return TRY(u->hook, &u->err, "cover file", unlinkat(dev_fd, name, 0));
}

char *view_cpuinfo(const char *host, unsigned cpus)
{
        char *out = malloc(strlen(host) + 64), *to = out;
        unsigned processor = 0;

        if (!out)
                return NULL;
        for (const char *line = host; *line && processor < cpus;) {
                size_t n = strcspn(line, "\n");
                size_t whole = n + (line[n] == '\n');

                if (n == 0)
                        processor++;
                /* the clock changes from read to read; where which processor sits is the host's business */
                if (strncmp(line, "cpu MHz", 7) == 0)
                        to += sprintf(to, "cpu MHz\t\t: 1000.000\n");
                else if (strncmp(line, "processor\t", 10) == 0)
                        to += sprintf(to, "processor\t: %u\n", processor);
                else {
                        memcpy(to, line, whole);
                        to += whole;
                }
                line += whole;
        }
        *to = '\0';
        return out;
}

char *view_meminfo(const char *host, uint64_t bytes)
{
        static const char *const capped[] = {"MemTotal:", "MemFree:", "MemAvailable:"};
        /* a replaced line has at most 40 characters, and its original at least 9 */
        char *out = malloc(strlen(host) * 5 + 64), *to = out;

        if (!out)
                return NULL;
        for (const char *line = host; *line;) {
                size_t whole = strcspn(line, "\n");
                unsigned long long kib = bytes / 1024, now;
                bool written = false;

                whole += line[whole] == '\n';
                for (size_t i = 0; i < SANDBOX_COUNT(capped) && !written; i++) {
                        size_t n = strlen(capped[i]);

                        if (strncmp(line, capped[i], n) != 0 || sscanf(line + n, "%llu", &now) != 1)
                                continue;
                        if (i == 0 || now > kib)
                                now = kib;
                        to += sprintf(to, "%-15s%9llu kB\n", capped[i], now);
                        written = true;
                }
                if (!written) {
                        memcpy(to, line, whole);
                        to += whole;
                }
                line += whole;
        }
        *to = '\0';
        return out;
}

/* The text of a file of the host's /proc; the caller's, NULL when it cannot be read. */
static char *host_text(const char *path)
{
        size_t size = 1 << 20, used = 0;
        char *text = malloc(size);
        ssize_t n = 0;

        _fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        while (text && fd >= 0 && used < size - 1 && (n = read(fd, text + used, size - 1 - used)) > 0)
                used += (size_t)n;
        if (!text || fd < 0 || n < 0) {
                free(text);
                return NULL;
        }
        text[used] = '\0';
        return text;
}

static int cover_cpus(struct setup *u, int root_fd, int dev_fd)
{
        static const char *const files[] = {"/sys/devices/system/cpu/online",
                "/sys/devices/system/cpu/present", "/sys/devices/system/cpu/possible"};
        char list[32];
        int r = 0;

        if (u->s->cpus == 1)
                snprintf(list, sizeof list, "0\n");
        else
                snprintf(list, sizeof list, "0-%u\n", u->s->cpus - 1);
        for (size_t i = 0; i < SANDBOX_COUNT(files) && r >= 0 && !u->s->sys_none; i++)
                r = cover(u, root_fd, dev_fd, files[i], list);
        if (r < 0 || u->s->nested_mounts)
                return r;

        _mem_ char *host = host_text("/proc/cpuinfo");
        _mem_ char *text = host ? view_cpuinfo(host, u->s->cpus) : NULL;
        if (!text)
                return step_fail(&u->err, "cover file", EIO, "cannot read /proc/cpuinfo");
        return cover(u, root_fd, dev_fd, "/proc/cpuinfo", text);
}

static int cover_memory(struct setup *u, int root_fd, int dev_fd)
{
        _mem_ char *host = host_text("/proc/meminfo");
        _mem_ char *text = host ? view_meminfo(host, u->s->memory_bytes) : NULL;
        if (!text)
                return step_fail(&u->err, "cover file", EIO, "cannot read /proc/meminfo");
        return cover(u, root_fd, dev_fd, "/proc/meminfo", text);
}

static int cover_release(struct setup *u, int root_fd, int dev_fd)
{
        char text[256];
        int r;

        snprintf(text, sizeof text, "%.200s\n", u->s->kernel_release);
        r = cover(u, root_fd, dev_fd, "/proc/sys/kernel/osrelease", text);
        if (r < 0)
                return r;
        r = cover(u, root_fd, dev_fd, "/proc/sys/kernel/version", VIEW_KERNEL_VERSION "\n");
        if (r < 0)
                return r;
        snprintf(text, sizeof text, "Linux version %.150s (kiln) " VIEW_KERNEL_VERSION "\n",
                u->s->kernel_release);
        return cover(u, root_fd, dev_fd, "/proc/version", text);
}

int view_cover(struct setup *u, int root_fd, int dev_fd)
{
        const struct kiln_sandbox *s = u->s;
        const char *host = s->hostname ? s->hostname : "localhost";
        const char *domain = s->domain ? s->domain : "localdomain";
        char hosts[1024];
        int r = 0;

        /* Not while installing: a package brings these files, and renames them over what is there. */
        if (s->uid != 0) {
                snprintf(hosts, sizeof hosts,
                        "127.0.0.1 %.200s.%.200s %.200s localhost localhost.localdomain\n"
                        "::1 localhost localhost.localdomain\n",
                        host, domain, host);
                r = cover(u, root_fd, dev_fd, "/etc/hosts", hosts);
                if (r >= 0)
                        r = cover(u, root_fd, dev_fd, "/etc/machine-id", MACHINE_ID);
        }
        if (r >= 0 && s->cpus > 0)
                r = cover_cpus(u, root_fd, dev_fd);
        if (r >= 0 && s->kernel_release && !s->nested_mounts)
                r = cover_release(u, root_fd, dev_fd);
        if (r >= 0 && s->memory_bytes && !s->nested_mounts)
                r = cover_memory(u, root_fd, dev_fd);
        return r;
}
