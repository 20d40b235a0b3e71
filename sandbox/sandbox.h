/* Runs one program in one prepared root.
 *
 * This library knows nothing of RPM and uses nothing else of the project. One code path serves root and
 * ordinary users: always a user namespace, plus mount, pid, net, uts, ipc, cgroup and time. See SECURITY.md
 * for what it promises and the steps it takes.
 *
 * What it must never do: run anything after a failed set-up step; follow a path inside the root as a string;
 * drop a missing kernel feature silently. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Why a call failed. Functions return 0 or negative errno and fill this on failure. */
struct kiln_sandbox_error {
        int errnum;        /* positive errno */
        bool refused;      /* this host lacks or forbids something: another host may do (verdict REFUSED) */
        char step[64];     /* the set-up step: "unshare", "mount /proc", "pivot_root", … */
        char message[256]; /* what went wrong */
        char advice[256];  /* how to enable it, or "" */
};

/* ---- who is who -------------------------------------------------------------------------------------------
 */

enum kiln_id_mode {
        KILN_ID_AUTO = 0, /* range when it can be had, else single */
        KILN_ID_RANGE,  /* ids 0..65535 inside are a range outside (root: written directly; users: newuidmap)
                         */
        KILN_ID_SINGLE, /* only id 0 inside (and the build id, as the same outside id) */
};
const char *kiln_id_mode_name(enum kiln_id_mode mode); /* "range", "single" */

/* The mapping this user gets; found once and then passed along, since files on disk are owned by its ids. */
struct kiln_idmap {
        enum kiln_id_mode mode; /* RANGE or SINGLE */
        uid_t outer_uid;        /* first id of the range outside; the user's own id in single mode */
        gid_t outer_gid;
        uint32_t count;  /* 65536 or 1 */
        uid_t owner_uid; /* an ordinary user's own id: inner 0 is this, 1.. is the range. root: == outer_uid
                          */
        gid_t owner_gid;
};

/* Finds the mapping: root takes its /etc/subuid range, else a fixed documented one; a user takes the subuid
 * and subgid range with newuidmap and newgidmap; without them single (AUTO) or a refusal that says how to get
 * a range. */
int kiln_idmap_find(enum kiln_id_mode wanted, struct kiln_idmap *ret, struct kiln_sandbox_error *err);

/* A mapping of this mode whose ids outside are none of `than`'s, and `than` was found by kiln_idmap_find().
 * Only root has one; -ENOENT, refused, for who has not. */
int kiln_idmap_find_other(enum kiln_id_mode wanted, const struct kiln_idmap *than, struct kiln_idmap *ret,
        struct kiln_sandbox_error *err);

/* Runs fn(arg) in a child inside a user namespace with this mapping, with all capabilities there and no other
 * isolation: for creating and removing trees owned by mapped ids. Returns fn's value (0..255), or negative
 * errno. */
int kiln_idmap_call(
        const struct kiln_idmap *map, int (*fn)(void *arg), void *arg, struct kiln_sandbox_error *err);

/* Makes directory `name` (0755) below dir_fd owned by inner uid/gid; returns its descriptor or negative
 * errno. */
int kiln_idmap_mkdir(const struct kiln_idmap *map, int dir_fd, const char *name, uid_t inner_uid,
        gid_t inner_gid, struct kiln_sandbox_error *err);

/* Removes dir_fd/name and all below it, whoever of the mapping owns it. Not existing is success. */
int kiln_idmap_rmtree(
        const struct kiln_idmap *map, int dir_fd, const char *name, struct kiln_sandbox_error *err);

/* ---- the seccomp policy -----------------------------------------------------------------------------------
 */

enum kiln_profile {
        KILN_PROFILE_INSTALL, /* layers: chown and friends answered in single mode, fsync answered with 0 */
        KILN_PROFILE_BUILD,   /* a build without %check */
        KILN_PROFILE_CHECK,   /* also ptrace and nested user namespaces inside */
};
const char *kiln_profile_name(enum kiln_profile p); /* "install", "build", "check" */

/* The policy as text, what it allows and denies line by line; its SHA-256 goes into the provenance. Static.
 */
const char *kiln_profile_text(enum kiln_profile p);

/* ---- what to run
 * ------------------------------------------------------------------------------------------- */

enum kiln_mount_kind {
        KILN_MOUNT_BIND_RO, /* source_fd (directory or file) read-only, nosuid, nodev */
        KILN_MOUNT_BIND_RW, /* source_fd writable, nosuid, nodev */
        KILN_MOUNT_TMPFS,   /* size_bytes, mode, inner uid and gid */
};

struct kiln_sandbox_mount {
        enum kiln_mount_kind kind;
        const char *target; /* absolute inside; made (directory or empty file) where the root is writable */
        int source_fd;      /* BIND_*: an O_PATH or ordinary descriptor */
        uint64_t size_bytes;
        mode_t mode;
        uid_t uid; /* inner */
        gid_t gid;
};

struct kiln_sandbox_limits { /* 0: no limit */
        uint64_t wall_s;
        uint64_t silence_s;    /* no output for this long */
        uint64_t cpu_s;        /* RLIMIT_CPU per process, and the whole tree where a cgroup counts it */
        uint64_t memory_bytes; /* cgroup memory.max; without one: RLIMIT_AS is NOT set, the limit is reported
                                  as not enforced */
        uint64_t pids;         /* cgroup pids.max, and RLIMIT_NPROC in the sandbox's own user namespace */
        uint64_t output_bytes; /* what the program may print */
        uint64_t file_bytes;   /* RLIMIT_FSIZE */
        uint64_t disk_bytes;   /* bytes below upper_fd and disk_fd; watched once a second, a huge tree less
                                  often   (disk.h) */
        bool hard;             /* refuse when memory or pids cannot be enforced (no delegated cgroup) */
};

enum kiln_sandbox_limit {
        KILN_LIMIT_NONE = 0,
        KILN_LIMIT_WALL,
        KILN_LIMIT_SILENCE,
        KILN_LIMIT_CPU,
        KILN_LIMIT_MEMORY,
        KILN_LIMIT_PIDS,
        KILN_LIMIT_OUTPUT,
        KILN_LIMIT_FILE,
        KILN_LIMIT_DISK,
};
const char *kiln_sandbox_limit_name(enum kiln_sandbox_limit l); /* "wall", "silence", … */
const char *kiln_sandbox_limit_unit(
        enum kiln_sandbox_limit l); /* of its value, for people: " s", " bytes" or "" */

/* A place of the root where the program is watched. */
enum kiln_sandbox_watch_kind {
        KILN_WATCH_ROOT = 0, /* files below it that are opened. Neither `writable` directories nor mounts are
                                entered, but a mount may be named itself. What cannot be watched is fatal */
        KILN_WATCH_TREE,     /* a tree that an earlier program wrote: first every regular file that is there,
                                then those in its directories that are opened or moved away; links are not
                                followed. More than is bearable is said, never fatal */
        KILN_WATCH_NAMES,    /* one directory: names that are made in it, and removed */
};

struct kiln_sandbox_watch {
        enum kiln_sandbox_watch_kind kind;
        const char *path; /* absolute */
};

enum kiln_sandbox_seen {
        KILN_SEEN_OPENED = 0, /* maybe often */
        KILN_SEEN_THERE,      /* before the program runs */
        KILN_SEEN_CUT,        /* path of a KILN_WATCH_TREE: not all of it is listed and watched */
        KILN_SEEN_MADE,
        KILN_SEEN_REMOVED,
};

struct kiln_sandbox {
        struct kiln_idmap idmap;

        /* The root: overlayfs of lower_fds (topmost first; directories) with upper_fd and work_fd; without
         * lowers, upper_fd itself is the root. upper_fd < 0 with lowers: a read-only overlay. userxattr
         * always. */
        const int *lower_fds;
        size_t n_lower_fds;
        int upper_fd;
        int work_fd;
        bool upper_volatile; /* the overlay's end waits for no disk: the caller syncs upper_fd, or throws it
                                away. work_fd is of no further use */
        bool root_read_only; /* nothing in the root changes, mount points included; not together with
                                writable[] */

        const struct kiln_sandbox_mount *mounts; /* in order, after /dev, /proc and /sys */
        size_t n_mounts;

        enum kiln_profile profile;

        /* uid 0: the program is root of the first user namespace (layer installation). Otherwise it runs as
         * this id in a second user namespace that maps only it, and the whole root is read-only for it except
         * writable[]. */
        uid_t uid;
        gid_t gid;
        const char *const *writable; /* absolute paths inside, NULL-terminated; only for uid != 0 */

        /* Either argv (executed inside the root, PATH of env) or entry (a function run in the child after all
         * of the set-up, with the process image of the caller: for unpacking before the root has any
         * program). */
        const char *const *argv;
        int (*entry)(void *arg); /* its value is the exit status */
        void *entry_arg;
        const char *const *env; /* complete; NULL: empty */
        const char *cwd;        /* absolute inside; NULL: "/" */
        int stdin_fd;           /* -1: /dev/null */
        bool terminal; /* keep the caller's stdin, stdout, stderr and make it the foreground: kiln shell */

        /* Standard output and error, merged, as they come. NULL: inherited from the caller (entry: still
         * merged). */
        void (*output)(void *ctx, const void *data, size_t len);
        void *output_ctx;
        bool split_stderr; /* give error output to errput instead */
        void (*errput)(void *ctx, const void *data, size_t len);

        /* The normalised view. */
        const char *hostname;       /* NULL: "localhost" */
        const char *domain;         /* NULL: "localdomain" */
        const char *kernel_release; /* NULL: the host's; otherwise answered by the notification listener */
        unsigned cpus;              /* 0: the host's; otherwise affinity and the /sys view */
        bool host_network;          /* only for the bare `kiln sandbox`; a build never sets it */
        bool nested_mounts;         /* leave /proc uncovered so that nested `unshare --mount-proc` works */
        bool sys_none;              /* no /sys at all */

        /* Where `seen` is told of what the program does, in the order it happened; n_observe 0: nobody looks.
         * What is not seen: observe.h. */
        const struct kiln_sandbox_watch *observe;
        size_t n_observe;
        void (*seen)(void *ctx, enum kiln_sandbox_seen what, const char *path);
        void *seen_ctx;

        /* What a second build sees otherwise, so that a difference shows what a package depends on. All zero:
         * nothing of it. */
        mode_t umask;          /* 0: 022 */
        bool fixed_addresses;  /* no address space randomisation (personality(2), ADDR_NO_RANDOMIZE) */
        pid_t first_pid;       /* of the program, or the next free one after it; 0: as it comes */
        uint64_t memory_bytes; /* sysinfo(2) and, without nested_mounts, /proc/meminfo say so */
        int64_t clock_shift_s; /* the time of day is this much later than the host's. Every program that is
                                  executed loses the vDSO's clock (trace.c) and gets its answers from the
                                  listener; `entry` keeps the vDSO's. Nobody inside can ptrace meanwhile */
        int64_t clock_hold_s;  /* the time of day stands still at this many seconds since 1970 */

        struct kiln_sandbox_limits limits;
        int disk_fd;        /* a bound directory that limits.disk_bytes counts besides upper_fd; -1: none */
        int cancel_fd;      /* readable: kill everything and return how = CANCELLED; -1: none */
        const char *cgroup; /* delegated cgroup v2 directory to make a child in; NULL: found from
                               /proc/self/cgroup */

        int keep_fds[4]; /* descriptors that stay open inside (same numbers); -1 ends the list only by
                            n_keep_fds */
        size_t n_keep_fds;
};

/* All zero but: descriptors -1, uid 0, profile BUILD. */
void kiln_sandbox_init(struct kiln_sandbox *s);

enum kiln_sandbox_how {
        KILN_SANDBOX_EXITED = 0, /* status: exit status */
        KILN_SANDBOX_SIGNALED,   /* status: signal number */
        KILN_SANDBOX_LIMITED,    /* limit, limit_value, limit_peak */
        KILN_SANDBOX_CANCELLED,
};

struct kiln_sandbox_denied {
        char name[32]; /* syscall */
        uint64_t count;
};

struct kiln_sandbox_result {
        enum kiln_sandbox_how how;
        int status;
        enum kiln_sandbox_limit limit;    /* the reason */
        enum kiln_sandbox_limit ended_by; /* WALL or SILENCE where that was reached after forks were refused,
                                             which is the reason then; else as `limit` */
        uint64_t limit_value, limit_peak; /* in the limit's own unit */
        bool limit_guessed;               /* a memory kill without a cgroup to prove it */

        uint64_t wall_ns, user_ns, system_ns;
        uint64_t output_bytes;
        uint64_t peak_rss_bytes;    /* largest single process */
        uint64_t peak_memory_bytes; /* of the tree, from the cgroup; 0 without one */
        uint64_t peak_pids;         /* likewise */
        uint64_t peak_disk_bytes;   /* as the disk limit's watcher saw it (disk.h); 0 without one */
        uint64_t exec_ns;           /* monotonic time at which the program was executed */
        bool cgroup;                /* limits were enforced by a cgroup */
        bool observe_lost;          /* more happened than was told: the kernel's queue overflowed */
        enum kiln_id_mode id_mode;

        struct kiln_sandbox_denied denied[64]; /* calls the policy denied and a listener saw */
        size_t n_denied;
};

/* Runs to the end; nothing is left behind afterwards: no process, mount, cgroup or temporary file. Returns 0
 * when the program was executed, however it ended; negative errno when it never ran. */
int kiln_sandbox_run(
        const struct kiln_sandbox *s, struct kiln_sandbox_result *ret, struct kiln_sandbox_error *err);
