/* What is varied, how, and how to see from inside that it was. Read the table at the end first.
 *
 * Must never call a factor varied because it was asked for: what counts is what the probe printed in both
 * builds. What each factor covers, and what not, is in docs/attestations.md. */
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/base/number.h"
#include "worker/base/text.h"
#include "worker/pipeline/pipeline.h"
#include "worker/pipeline/vary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

/* Into another year, month, weekday and hour. Forwards: nothing inside is then newer than "now". */
#define CLOCK_SHIFT_S (400 * 86400 + 5 * 3600 + 43 * 60 + 21)
/* A clock that is held stands a day after the first build, for the same reason. */
#define CLOCK_HOLD_AFTER_S 86400

#define MEMORY_DIR_SPARE_BYTES ((uint64_t)512 << 20)

static bool clock_differs(const char *first, const char *second)
{
        uint64_t a, b;

        return kiln_number_parse(first, INT64_MAX, &a) == 0 &&
               kiln_number_parse(second, INT64_MAX, &b) == 0 && b > a && b - a > CLOCK_SHIFT_S / 2;
}

static void clock_hold(struct vary_setting *s, const struct vary_host *h)
{
        s->params.view.clock_hold_s = h->started_s + CLOCK_HOLD_AFTER_S;
}

static void clock_vary(struct vary_setting *s, const struct vary_host *h)
{
        s->params.view.clock_shift_s = CLOCK_SHIFT_S;
}

/* What a build sees at most: affinity cannot name processors the host lacks. */
static unsigned cpus_first(const struct vary_host *h)
{
        unsigned n = h->params->cpus ? h->params->cpus : h->params->toolchain->cpus;

        return n && n < h->cpus ? n : h->cpus;
}

static const char *cpus_obstacle(const struct vary_host *h)
{
        return h->cpus < 2 ? "this host has one processor" : NULL;
}

static void cpus_hold(struct vary_setting *s, const struct vary_host *h)
{
        s->params.view.cpus = 1;
}

/* One more where the host has it, else one less; never what it is held at. _smp_build_ncpus stays: the
 * request fixes it, and rpm keeps the expanded spec, make -jN and all, in the source package. */
static void cpus_vary(struct vary_setting *s, const struct vary_host *h)
{
        unsigned first = cpus_first(h), other = first < h->cpus ? first + 1 : first - 1;

        s->params.view.cpus = s->params.view.cpus == other ? first : other;
}

/* Twice what the first build took, and room to spare, so that the second does not run into a limit. */
static uint64_t directory_bytes(const struct vary_host *h)
{
        return h->disk_bytes * 2 + MEMORY_DIR_SPARE_BYTES;
}

static const char *directory_obstacle(const struct vary_host *h)
{
        uint64_t needed = directory_bytes(h);
        uint64_t limit = h->params->limits.memory_bytes;

        if (h->disk_bytes > UINT64_MAX / 4 || needed > h->memory_free_bytes / 2 ||
                (limit && needed > limit / 2))
                return "the build directory is too large for this host's memory";
        return kiln_build_memory_room(needed)
                       ? NULL
                       : "/dev/shm is no place for a build directory here (absent, noexec, too small)";
}

static void directory_vary(struct vary_setting *s, const struct vary_host *h)
{
        uint64_t *limit = &s->params.limits.disk_bytes;

        s->params.view.in_memory = true;
        if (*limit == 0 || *limit > directory_bytes(h)) /* it is the host's memory */
                *limit = directory_bytes(h);
}

static const char *pid_obstacle(const struct vary_host *h)
{
        return access("/proc/sys/kernel/ns_last_pid", F_OK) == 0
                       ? NULL
                       : "this kernel cannot choose process ids (CONFIG_CHECKPOINT_RESTORE)";
}

static void pid_vary(struct vary_setting *s, const struct vary_host *h)
{
        s->params.view.first_pid = 21000;
}

/* The first build has random addresses, as every build; the second has other random ones. */
static void addresses_hold(struct vary_setting *s, const struct vary_host *h)
{
        s->params.view.fixed_addresses = true;
}

static void addresses_vary(struct vary_setting *s, const struct vary_host *h)
{
        s->params.view.fixed_addresses = false;
}

static void host_name_vary(struct vary_setting *s, const struct vary_host *h)
{
        s->params.view.hostname = "vary-host-7";
        s->params.view.domain = "vary.invalid";
}

static void release_vary(struct vary_setting *s, const struct vary_host *h)
{
        s->params.view.kernel_release = "6.99.3-200.fc99.x86_64";
}

static void locale_vary(struct vary_setting *s, const struct vary_host *h)
{
        s->params.view.locale = "POSIX"; /* the only other one that every root has */
}

static void timezone_vary(struct vary_setting *s, const struct vary_host *h)
{
        s->params.view.timezone = "KILN-13:45"; /* needs no time zone database */
}

/* Not stricter: a package that only its builder may read could not be collected by an ordinary user. */
static void umask_vary(struct vary_setting *s, const struct vary_host *h)
{
        s->params.view.umask = 002;
}

static void uid_vary(struct vary_setting *s, const struct vary_host *h)
{
        s->params.view.uid = 2345;
}

static void memory_vary(struct vary_setting *s, const struct vary_host *h)
{
        s->params.view.memory_bytes = h->memory_bytes / 8 * 7;
}

static const char *rootless_obstacle(const struct vary_host *h)
{
        return h->id_mode == KILN_ID_RANGE ? NULL
                                           : "this user has no range of ids, so that there is no other mode";
}

static void rootless_vary(struct vary_setting *s, const struct vary_host *h)
{
        s->single_id = true;
}

static const char *outer_ids_obstacle(const struct vary_host *h)
{
        struct kiln_sandbox_error serr;
        struct kiln_idmap other;

        return kiln_idmap_find_other(h->id_mode, &h->params->idmap, &other, &serr) == 0
                       ? NULL
                       : "this user has no other ids on this host; root has";
}

static void outer_ids_vary(struct vary_setting *s, const struct vary_host *h)
{
        s->other_ids = true;
}

/* Longer than the first one's: what replaces paths in place has room for shorter ones. */
static void path_vary(struct vary_setting *s, const struct vary_host *h)
{
        s->params.view.home = "/vary/another/builddir";
}

/* In the order in which they are tried alone: common causes first. */
const struct vary_factor vary_factors[] = {
        {"build-path", "the path of the build directory", NULL, NULL, path_vary, NULL, true},
        {"clock", "the time of day", NULL, clock_hold, clock_vary, clock_differs},
        {"cpus", "the number of processors, or the order in which parallel jobs end", cpus_obstacle,
                cpus_hold, cpus_vary, NULL},
        {"directory-order", "the order of directory entries, or the file system of the build directory",
                directory_obstacle, NULL, directory_vary, NULL},
        {"addresses", "addresses in memory (ASLR), as of a hash over pointers", NULL, addresses_hold,
                addresses_vary, NULL},
        {"pid", "process ids", pid_obstacle, NULL, pid_vary, NULL},
        {"host-name", "the host's name", NULL, NULL, host_name_vary, NULL},
        {"kernel-release", "the kernel's release", NULL, NULL, release_vary, NULL},
        {"locale", "the locale", NULL, NULL, locale_vary, NULL},
        {"timezone", "the time zone", NULL, NULL, timezone_vary, NULL},
        {"umask", "the umask", NULL, NULL, umask_vary, NULL},
        {"uid", "the id the build runs as", NULL, NULL, uid_vary, NULL},
        {"memory", "the size of the memory", NULL, NULL, memory_vary, NULL},
        {"rootless", "the id mode: a root that is installed separately and owned by a single id",
                rootless_obstacle, NULL, rootless_vary, NULL},
        {"outer-ids",
                "the ids on the host that those of the build stand for: a root that is installed for them",
                outer_ids_obstacle, NULL, outer_ids_vary, NULL},
};
const size_t vary_n_factors = KILN_ARRAY_SIZE(vary_factors);
_Static_assert(KILN_ARRAY_SIZE(vary_factors) <= VARY_FACTORS_MAX, "struct variation has room for them");

bool kiln_pipeline_varies(const char *factor)
{
        for (size_t i = 0; i < vary_n_factors; i++)
                if (strcmp(factor, vary_factors[i].name) == 0)
                        return true;
        return false;
}

int vary_check(const Kiln__V1__BuildRequest *q, struct kiln_error *err)
{
        const struct {
                char **names;
                size_t n;
        } lists[] = {{q->unvaried, q->n_unvaried}, {q->varied, q->n_varied}};

        for (size_t l = 0; l < KILN_ARRAY_SIZE(lists); l++)
                for (size_t i = 0; i < lists[l].n; i++) {
                        if (kiln_pipeline_varies(lists[l].names[i]))
                                continue;
                        kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", "the request",
                                "no factor of a second build is called %s", lists[l].names[i]);
                        kiln_error_advise(err, "kiln-rebuild(1) lists them.");
                        return -EINVAL;
                }
        return 0;
}

/* Builtins where there are any, and otherwise what a build root must have; the time by an ordinary program.
 * What cannot be found out stays empty, and is then not called varied. */
const char vary_probe[] =
        "exec 2>/dev/null\n"
        "e=$'\\xc3\\xa9'\n"
        "echo clock $(date +%s)\n"
        "echo cpus $(nproc) $(</sys/devices/system/cpu/online)\n"
        "d=$(mktemp -d \"$HOME/.vary-XXXXXX\") && (cd \"$d\" &&\n"
        "  for i in m c x a q s f z b k w e t h n d; do : >\"name-$i\"; done; set -- $(ls -U); IFS=,; echo "
        "directory-order \"$*\")\n"
        "rm -rf \"$d\"\n"
        "set -- $(</proc/self/stat); shift 27; echo addresses $1\n"
        "echo pid $$\n"
        "echo host-name $(</proc/sys/kernel/hostname) $(</proc/sys/kernel/domainname)\n"
        "echo kernel-release $(uname -r)\n"
        "echo locale ${#e} ${LC_ALL:-$LANG}\n"
        "printf 'timezone %(%z)T\\n' 0\n"
        "echo umask $(umask)\n"
        "echo uid $UID\n"
        "m= ; while read -r k v u; do [ \"$k\" = MemTotal: ] && m=$v; done </proc/meminfo\n"
        "echo memory $m $(getconf _PHYS_PAGES)\n"
        "echo rootless $(stat -c %u /usr)\n"
        "echo build-path $HOME\n"
        "exit 0\n";

char *vary_seen(const char *text, const char *factor)
{
        size_t n = strlen(factor);

        for (const char *line = text; *line;) {
                size_t len = strcspn(line, "\n");

                if (len > n + 1 && strncmp(line, factor, n) == 0 && line[n] == ' ') {
                        _cleanup_buf_ struct kiln_buf clean = KILN_BUF_INIT;

                        kiln_text_clean(&clean, line + n + 1, len - n - 1, 0);
                        return kiln_strdup(kiln_buf_str(&clean));
                }
                line += len + (line[len] == '\n');
        }
        return NULL;
}

/* Every word: of two views of one thing, one that stayed the same is one that a build can still depend on. */
static bool words_differ(const char *a, const char *b)
{
        for (;;) {
                size_t n = strcspn(a, " "), m = strcspn(b, " ");

                if (n == 0 || m == 0 || (n == m && strncmp(a, b, n) == 0) || !a[n] != !b[m])
                        return false;
                if (!a[n])
                        return true;
                a += n + 1;
                b += m + 1;
        }
}

bool vary_differs(const struct vary_factor *f, const char *first, const char *second)
{
        if (!first || !second)
                return false;
        return f->differs ? f->differs(first, second) : words_differ(first, second);
}

/* What the kernel thinks can be used without swapping (proc_meminfo(5)); 0: not known. */
static uint64_t memory_available(void)
{
        static const char key[] = "\nMemAvailable:";
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        unsigned long long kib = 0;
        const char *at;

        if (kiln_file_read(AT_FDCWD, "/proc/meminfo", 1 << 16, &text) < 0)
                return 0;
        at = strstr(kiln_buf_str(&text), key);
        return at && sscanf(at + strlen(key), "%llu", &kib) == 1 ? kib * 1024 : 0;
}

void vary_host_init(struct vary_host *h, const struct kiln_job *j)
{
        struct sysinfo si = {0};

        sysinfo(&si);
        *h = (struct vary_host){
                .params = &j->params,
                .started_s = j->build_started_s,
                .cpus = (unsigned)get_nprocs(),
                .memory_bytes = (uint64_t)si.totalram * si.mem_unit,
                .memory_free_bytes = memory_available(),
                .disk_bytes = kiln_build_usage(j->build)->peak_disk_bytes,
                .id_mode = j->idmap.mode,
        };
}
