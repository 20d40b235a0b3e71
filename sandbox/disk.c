/* Measures the upper directory (and disk_fd) for the disk limit, and what is deleted there but still open.
 *
 * Needs the user namespace's DAC_OVERRIDE to see everything, SYS_PTRACE to see the descriptors, and time to
 * walk, so it is a process of its own. It must not slow down what it watches: see disk_is_due(). */
#include "sandbox/disk.h"
#include "sandbox/caps.h"
#include "sandbox/deleted.h"
#include "sandbox/idmap.h"
#include "sandbox/tree.h"
#include "sandbox/util.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#define SECOND_NS UINT64_C(1000000000)
#define TREES 2
/* However large the tree: what others remove may hide for so long only that it grows. */
#define WAIT_MAX_NS (60 * SECOND_NS)

bool disk_is_due(const struct disk_measured *last, uint64_t now_ns, uint64_t grown_bytes)
{
        uint64_t took = last->end_ns - last->begin_ns, since = now_ns - last->end_ns;
        uint64_t room = last->limit_bytes > last->bytes ? last->limit_bytes - last->bytes : 0;
        uint64_t much = (room < last->bytes ? room : last->bytes) / 4;

        return since >= took * 99 || (since >= took * 9 && (since >= WAIT_MAX_NS || grown_bytes >= much));
}

/* Bytes in use on the file system, whoever's they are; 0 when it does not say. */
static uint64_t used_bytes(int fd)
{
        struct statvfs fs;

        return fd >= 0 && fstatvfs(fd, &fs) == 0 ? (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize : 0;
}

static uint64_t measure(const int trees[TREES], int proc_fd)
{
        uint64_t sum = 0, deleted;

        for (size_t i = 0; i < TREES; i++) {
                uint64_t bytes = 0;

                /* what cannot be measured is over any limit */
                if (trees[i] < 0)
                        continue;
                if (tree_size(trees[i], &bytes) < 0 || bytes > UINT64_MAX - sum)
                        bytes = UINT64_MAX - sum;
                sum += bytes;
        }
        deleted = deleted_size(proc_fd, trees, TREES);
        return sum + (deleted < UINT64_MAX - sum ? deleted : UINT64_MAX - sum);
}

/* Sleeps, in seconds, until it is time to measure again. */
static void disk_wait(const struct disk_measured *last, const int trees[TREES], const uint64_t used[TREES])
{
        uint64_t grown;

        do {
                nanosleep(&(struct timespec){1, 0}, NULL);
                grown = 0;
                for (size_t i = 0; i < TREES; i++) {
                        uint64_t now = used_bytes(trees[i]);

                        if (now > used[i] && now - used[i] > grown)
                                grown = now - used[i];
                }
        } while (!disk_is_due(last, sandbox_now_ns(), grown));
}

static void __attribute__((noreturn)) disk_watch(struct setup *u)
{
        static const int caps[] = {CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE};
        const int trees[TREES] = {u->s->upper_fd, u->s->disk_fd};
        int keep[1 + TREES] = {u->control_fd};
        struct rlimit files;
        size_t n_keep = 1;

        for (size_t i = 0; i < TREES; i++)
                if (trees[i] >= 0)
                        keep[n_keep++] = trees[i];
        if (idmap_become_root(&u->s->idmap, &u->err) < 0)
                setup_die(u);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_DUMPABLE, 0);
        if (setup_close_all_but(keep, n_keep) < 0 || caps_reduce(caps, SANDBOX_COUNT(caps)) < 0)
                _exit(1);
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max; /* one descriptor a level */
                setrlimit(RLIMIT_NOFILE, &files);
        }
        int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (;;) {
                struct disk_measured last = {.limit_bytes = u->s->limits.disk_bytes};
                const uint64_t used[TREES] = {used_bytes(trees[0]), used_bytes(trees[1])};
                struct message m = {.kind = MESSAGE_DISK};

                last.begin_ns = sandbox_now_ns();
                m.bytes = last.bytes = measure(trees, proc);
                last.end_ns = sandbox_now_ns();
                if (message_send(u->control_fd, &m, NULL, 0) < 0)
                        _exit(0);
                disk_wait(&last, trees, used);
        }
}

int disk_start(struct setup *u, pid_t *ret)
{
        int n;

        if (u->s->limits.disk_bytes == 0 || (u->s->upper_fd < 0 && u->s->disk_fd < 0))
                return 0;
        n = TRY(u->hook, &u->err, "fork disk watcher", fork());
        if (n < 0)
                return n;
        if (n == 0)
                disk_watch(u);
        *ret = n;
        return 0;
}
