/* Who is who: the id mapping of a sandbox's user namespace.
 *
 * root: its own range of /etc/subuid, else the fixed range below, written directly. Users: their own id is 0
 * inside and their subordinate range is 1..65535, written by newuidmap(1) and newgidmap(1). Without a range:
 * only id 0.
 *
 * Must never map host id 0, nor give root's own identity to what runs inside. */
#include "sandbox/idmap.h"
#include "sandbox/step.h"
#include "sandbox/tree.h"
#include "sandbox/util.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* root's range when /etc/subuid has none: inside 0x70000000..0x7fffffff, which no allocator of common systems
 * uses (https://systemd.io/UIDS-GIDS), and below 2^31, where signed arithmetic would start to matter. */
#define IDMAP_ROOT_FIRST 0x77000000u
#define IDMAP_COUNT 65536u

const char *kiln_id_mode_name(enum kiln_id_mode mode)
{
        switch (mode) {
        case KILN_ID_RANGE:
                return "range";
        case KILN_ID_SINGLE:
                return "single";
        default:
                return "auto";
        }
}

int idmap_range_find(const char *path, const char *user, uid_t uid, uint64_t count, uint32_t *ret_first)
{
        _file_ FILE *f = fopen(path, "re");
        char line[512], number[16];

        if (!f)
                return -ENOENT;
        snprintf(number, sizeof number, "%u", uid);
        while (fgets(line, sizeof line, f)) {
                unsigned long first, n;
                char *name_end = strchr(line, ':'), *end;

                if (!name_end)
                        continue;
                *name_end = '\0';
                if (strcmp(line, number) != 0 && (!user || strcmp(line, user) != 0))
                        continue;
                errno = 0;
                first = strtoul(name_end + 1, &end, 10);
                if (errno != 0 || *end != ':')
                        continue;
                n = strtoul(end + 1, &end, 10);
                if (errno != 0 || (*end != '\n' && *end != '\0'))
                        continue;
                /* Never host id 0, whatever the file says; and no wrap at 2^32 - 1, which is "no id". */
                if (first == 0 || n < count || first > UINT32_MAX - 1 || n > UINT32_MAX - 1 - first)
                        continue;
                *ret_first = (uint32_t)first;
                return 0;
        }
        return -ENOENT;
}

/* True when ids first..first+count-1 exist in this process's user namespace (in the initial one: always). */
static bool idmap_exists(const char *map_path, uint32_t first, uint32_t count)
{
        _file_ FILE *f = fopen(map_path, "re");
        unsigned long inside, outside, n;

        while (f && fscanf(f, "%lu %lu %lu", &inside, &outside, &n) == 3)
                if (first >= inside && (uint64_t)first + count <= (uint64_t)inside + n)
                        return true;
        return false;
}

static bool idmap_exists_both(uint32_t first_uid, uint32_t first_gid, uint32_t count)
{
        return idmap_exists("/proc/self/uid_map", first_uid, count) &&
               idmap_exists("/proc/self/gid_map", first_gid, count);
}

static int idmap_find_root(enum kiln_id_mode wanted, struct kiln_idmap *ret, struct kiln_sandbox_error *err)
{
        uint32_t uid, gid;

        if (idmap_range_find("/etc/subuid", "root", 0, IDMAP_COUNT, &uid) < 0 ||
                idmap_range_find("/etc/subgid", "root", 0, IDMAP_COUNT, &gid) < 0)
                uid = gid = IDMAP_ROOT_FIRST;

        struct kiln_idmap map = {KILN_ID_RANGE, uid, gid, IDMAP_COUNT, uid, gid};
        bool range = idmap_exists_both(uid, gid, IDMAP_COUNT);
        if (wanted == KILN_ID_RANGE && !range)
                return step_fail(err, "find id range", EPERM,
                        "ids %u..%u do not exist in this user namespace (a container?)", uid,
                        uid + IDMAP_COUNT - 1);
        if (wanted == KILN_ID_SINGLE || !range) {
                map.mode = KILN_ID_SINGLE;
                map.count = 1;
                if (!idmap_exists_both(uid, gid, 1)) /* a container with few ids: nobody */
                        map.outer_uid = map.outer_gid = map.owner_uid = map.owner_gid = 65534;
                if (!idmap_exists_both(map.outer_uid, map.outer_gid, 1))
                        return step_fail(err, "find id range", EPERM,
                                "this user namespace has no id but 0 to run a sandbox under");
        }
        *ret = map;
        return 0;
}

static int idmap_probe(void *arg)
{
        return 0;
}

static int idmap_find_user(enum kiln_id_mode wanted, struct kiln_idmap *ret, struct kiln_sandbox_error *err)
{
        struct kiln_idmap map = {KILN_ID_SINGLE, geteuid(), getegid(), 1, geteuid(), getegid()};
        char buffer[4096];
        struct passwd pw, *found = NULL;
        uint32_t uid, gid;
        int r;

        if (wanted == KILN_ID_SINGLE) {
                *ret = map;
                return 0;
        }
        getpwuid_r(geteuid(), &pw, buffer, sizeof buffer, &found);
        const char *name = found ? pw.pw_name : NULL;
        r = idmap_range_find("/etc/subuid", name, geteuid(), IDMAP_COUNT - 1, &uid);
        if (r == 0)
                r = idmap_range_find("/etc/subgid", name, geteuid(), IDMAP_COUNT - 1, &gid);
        if (r == 0) {
                map = (struct kiln_idmap){KILN_ID_RANGE, uid, gid, IDMAP_COUNT, geteuid(), getegid()};
                /* The helpers may be missing, not setuid, or refuse: only trying tells. */
                r = kiln_idmap_call(&map, idmap_probe, NULL, err);
                if (r < 0 && wanted == KILN_ID_RANGE)
                        return r;
        } else if (wanted == KILN_ID_RANGE) {
                return step_fail(err, "find id range", ENOENT, "no range of %u ids for user %s (%u)",
                        IDMAP_COUNT - 1, name ? name : "?", geteuid());
        }
        if (r < 0)
                map = (struct kiln_idmap){KILN_ID_SINGLE, geteuid(), getegid(), 1, geteuid(), getegid()};
        *ret = map;
        return 0;
}

int kiln_idmap_find(enum kiln_id_mode wanted, struct kiln_idmap *ret, struct kiln_sandbox_error *err)
{
        /* before anything is made that could then not be removed (tree.c) */
        _fd_ int probe = sandbox_openat2(AT_FDCWD, "/", O_PATH | O_CLOEXEC, 0, 0);
        if (probe < 0 && errno == ENOSYS)
                return step_fail(err, "openat2", ENOSYS, "this kernel cannot resolve paths inside a root");
        return geteuid() == 0 ? idmap_find_root(wanted, ret, err) : idmap_find_user(wanted, ret, err);
}

int kiln_idmap_find_other(enum kiln_id_mode wanted, const struct kiln_idmap *than, struct kiln_idmap *ret,
        struct kiln_sandbox_error *err)
{
        uint32_t first = IDMAP_ROOT_FIRST, count = wanted == KILN_ID_SINGLE ? 1 : IDMAP_COUNT;

        if (geteuid() != 0)
                return step_fail(err, "find id range", ENOENT, "an ordinary user has one range of ids");
        /* /etc/subuid can have given root any range, also a part of ours, and another one to groups. */
        while ((first < than->outer_uid + IDMAP_COUNT && than->outer_uid < first + IDMAP_COUNT) ||
                (first < than->outer_gid + IDMAP_COUNT && than->outer_gid < first + IDMAP_COUNT))
                first += IDMAP_COUNT;
        if (!idmap_exists_both(first, first, count))
                return step_fail(err, "find id range", ENOENT,
                        "ids from %u do not exist in this user namespace (a container?)", first);
        *ret = (struct kiln_idmap){wanted, first, first, count, first, first};
        return 0;
}

int idmap_outer(
        const struct kiln_idmap *map, uid_t inner_uid, gid_t inner_gid, uid_t *ret_uid, gid_t *ret_gid)
{
        bool split = map->owner_uid != map->outer_uid; /* a user's range begins at inner 1 */

        if (map->mode == KILN_ID_SINGLE) {
                *ret_uid = map->outer_uid;
                *ret_gid = map->outer_gid;
                return 0;
        }
        if (inner_uid >= map->count || inner_gid >= map->count)
                return -ERANGE;
        *ret_uid = inner_uid == 0 ? map->owner_uid : map->outer_uid + inner_uid - split;
        *ret_gid = inner_gid == 0 ? map->owner_gid : map->outer_gid + inner_gid - split;
        return 0;
}

static int proc_write(pid_t pid, const char *file, const char *text)
{
        char path[64];

        snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
        _fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int helper_run(const char *helper, pid_t pid, uint32_t own, uint32_t first, uint32_t count,
        struct kiln_sandbox_error *err)
{
        static const char *const dirs[] = {"/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin"};
        char path[64] = "", numbers[6][16];
        char *environment[] = {NULL};
        int status, r;
        pid_t child;

        for (size_t i = 0; i < SANDBOX_COUNT(dirs); i++) {
                snprintf(path, sizeof path, "%s/%s", dirs[i], helper);
                if (access(path, X_OK) == 0)
                        break;
                path[0] = '\0';
        }
        if (path[0] == '\0')
                return step_fail(err, helper, ENOENT, "%s is not installed", helper);
        const uint32_t values[] = {0, own, 1, 1, first, count};
        for (size_t i = 0; i < SANDBOX_COUNT(values); i++)
                snprintf(numbers[i], sizeof numbers[i], "%u", values[i]);
        char pid_text[16];
        snprintf(pid_text, sizeof pid_text, "%d", (int)pid);
        char *argv[] = {
                path, pid_text, numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], NULL};

        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        r = posix_spawn(&child, path, &actions, NULL, argv, environment);
        posix_spawn_file_actions_destroy(&actions);
        if (r != 0)
                return step_fail(err, helper, r, "cannot start %s", path);
        while (waitpid(child, &status, 0) < 0)
                if (errno != EINTR)
                        return step_fail(err, helper, errno, "cannot wait for %s", path);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                return step_fail(
                        err, helper, EPERM, "%s refused to map ids %u..%u", path, first, first + count - 1);
        return 0;
}

int idmap_write(const struct kiln_idmap *map, pid_t pid, struct kiln_sandbox_error *err)
{
        char uids[64], gids[64];
        int r;

        if (map->outer_uid == 0 || map->owner_uid == 0 || map->outer_gid == 0 || map->count == 0)
                return step_fail(err, "write id map", EINVAL, "a mapping to the host's root is never made");
        if (geteuid() != 0 && map->mode == KILN_ID_RANGE) {
                r = helper_run("newuidmap", pid, map->owner_uid, map->outer_uid, map->count - 1, err);
                return r < 0 ? r
                             : helper_run(
                                       "newgidmap", pid, map->owner_gid, map->outer_gid, map->count - 1, err);
        }
        snprintf(uids, sizeof uids, "0 %u %u\n", map->outer_uid, map->count);
        snprintf(gids, sizeof gids, "0 %u %u\n", map->outer_gid, map->count);
        /* user_namespaces(7): without privilege outside, gid_map can be written only after setgroups is given
         * up. */
        if (geteuid() != 0) {
                r = proc_write(pid, "setgroups", "deny");
                if (r < 0)
                        return step_fail(
                                err, "write setgroups", -r, "cannot write /proc/%d/setgroups", (int)pid);
        }
        r = proc_write(pid, "uid_map", uids);
        if (r < 0)
                return step_fail(err, "write uid_map", -r, "cannot map ids to %u", map->outer_uid);
        r = proc_write(pid, "gid_map", gids);
        if (r < 0)
                return step_fail(err, "write gid_map", -r, "cannot map group ids to %u", map->outer_gid);
        return 0;
}

int idmap_become_root(const struct kiln_idmap *map, struct kiln_sandbox_error *err)
{
        _fd_ int fd = open("/proc/self/setgroups", O_RDONLY | O_CLOEXEC);
        char state[8] = "";

        /* A single-id map of an ordinary user cannot drop groups: the kernel forbids it, so that a group
         * cannot be dropped to evade a file's "not this group". */
        if (fd >= 0 && read(fd, state, sizeof state - 1) >= 0 && strncmp(state, "allow", 5) == 0 &&
                setgroups(0, NULL) < 0)
                return step_fail(err, "setgroups", errno, "cannot drop supplementary groups");
        if (setresgid(0, 0, 0) < 0)
                return step_fail(err, "setresgid", errno, "cannot become group 0 of the user namespace");
        if (setresuid(0, 0, 0) < 0)
                return step_fail(err, "setresuid", errno, "cannot become user 0 of the user namespace");
        return 0;
}

struct call_reply { /* child to parent: 1 = unshared, map me; 0 and an error = failed */
        int unshared;
        struct kiln_sandbox_error err;
};

static void call_child(int fd, const struct kiln_idmap *map, int (*fn)(void *arg), void *arg)
{
        struct call_reply reply = {0};
        char go = 0;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_DUMPABLE, 1);
        if (unshare(CLONE_NEWUSER) < 0)
                step_fail(&reply.err, "unshare user", errno, "cannot make a user namespace");
        else
                reply.unshared = 1;
        if (send(fd, &reply, sizeof reply, MSG_NOSIGNAL) < 0 || !reply.unshared)
                _exit(1);
        if (recv(fd, &go, 1, 0) != 1)
                _exit(1);
        memset(&reply, 0, sizeof reply);
        if (idmap_become_root(map, &reply.err) < 0) {
                send(fd, &reply, sizeof reply, MSG_NOSIGNAL);
                _exit(1);
        }
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int r = fn(arg);
        reply.unshared = 2; /* fn ran */
        if (send(fd, &reply, sizeof reply, MSG_NOSIGNAL) < 0)
                _exit(1);
        _exit(r);
}

int kiln_idmap_call(
        const struct kiln_idmap *map, int (*fn)(void *arg), void *arg, struct kiln_sandbox_error *err)
{
        struct call_reply reply = {0};
        int pair[2], status = 0, r = 0;
        ssize_t n;
        pid_t child;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return step_fail(err, "socketpair", errno, "cannot make a socket pair");
        _fd_ int ours = pair[0];
        child = fork();
        if (child < 0) {
                r = -errno;
                close(pair[1]);
                return step_fail(err, "fork", -r, "cannot fork");
        }
        if (child == 0) {
                close(pair[0]);
                call_child(pair[1], map, fn, arg);
        }
        close(pair[1]);
        n = recv(ours, &reply, sizeof reply, 0);
        if (n == sizeof reply && reply.unshared == 1) {
                r = idmap_write(map, child, err);
                if (r == 0 && send(ours, "g", 1, MSG_NOSIGNAL) == 1) {
                        memset(&reply, 0, sizeof reply);
                        n = recv(ours, &reply, sizeof reply, 0);
                }
        }
        if (r < 0 || n != sizeof reply || reply.unshared != 2)
                kill(child, SIGKILL);
        while (waitpid(child, &status, 0) < 0)
                if (errno != EINTR)
                        return step_fail(err, "waitpid", errno, "cannot wait for a process");
        if (r < 0)
                return r;
        if (n != sizeof reply)
                return step_fail(err, "user namespace", EIO, "a process working in the user namespace died");
        if (reply.unshared != 2) {
                if (err)
                        *err = reply.err;
                return reply.err.errnum > 0 ? -reply.err.errnum : -EIO;
        }
        return WIFEXITED(status)
                       ? WEXITSTATUS(status)
                       : step_fail(err, "user namespace", EIO, "a process in the user namespace died");
}

struct mkdir_job {
        int dir_fd;
        const char *name;
        uid_t uid;
        gid_t gid;
};

/* Makes the directory with these ids as this process sees them. Returns 0 or positive errno. */
static int mkdir_owned(void *arg)
{
        const struct mkdir_job *job = arg;

        if (mkdirat(job->dir_fd, job->name, 0755) < 0)
                return errno & 0xff;
        if (fchmodat(job->dir_fd, job->name, 0755, 0) < 0 ||
                fchownat(job->dir_fd, job->name, job->uid, job->gid, AT_SYMLINK_NOFOLLOW) < 0) {
                int e = errno;
                unlinkat(job->dir_fd, job->name, AT_REMOVEDIR);
                return e & 0xff;
        }
        return 0;
}

int kiln_idmap_mkdir(const struct kiln_idmap *map, int dir_fd, const char *name, uid_t inner_uid,
        gid_t inner_gid, struct kiln_sandbox_error *err)
{
        struct mkdir_job job = {dir_fd, name, inner_uid, inner_gid};
        int r;

        if (strchr(name, '/') || name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
                return step_fail(err, "make directory", EINVAL, "\"%s\" is not a plain name", name);
        r = idmap_outer(map, inner_uid, inner_gid, &job.uid, &job.gid);
        if (r < 0)
                return step_fail(err, "make directory", -r, "id %u is not mapped", inner_uid);
        if (geteuid() == 0 || (job.uid == geteuid() && job.gid == getegid())) {
                r = mkdir_owned(&job);
        } else {
                job.uid = inner_uid;
                job.gid = inner_gid;
                r = kiln_idmap_call(map, mkdir_owned, &job, err);
                if (r < 0)
                        return r;
        }
        if (r > 0)
                return step_fail(err, "make directory", r, "cannot make %s", name);
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd >= 0 ? fd : step_fail(err, "make directory", errno, "cannot open %s", name);
}

static int rmtree_call(void *arg)
{
        const struct mkdir_job *job = arg;
        int r = tree_remove(job->dir_fd, job->name);

        return r < 0 ? -r & 0xff : 0;
}

int kiln_idmap_rmtree(
        const struct kiln_idmap *map, int dir_fd, const char *name, struct kiln_sandbox_error *err)
{
        struct mkdir_job job = {.dir_fd = dir_fd, .name = name};
        int r;

        if (strchr(name, '/') || name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
                return step_fail(err, "remove tree", EINVAL, "\"%s\" is not a plain name", name);
        if (faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
                return 0;
        /* Even single mode needs the namespace's capabilities: trees hold directories of mode 0. */
        if (geteuid() == 0) {
                r = rmtree_call(&job);
        } else {
                /* Where there are no namespaces there are no mapped ids either: what there is, is ours. */
                r = kiln_idmap_call(map, rmtree_call, &job, err);
                if (r < 0 && rmtree_call(&job) != 0)
                        return r;
                r = r < 0 ? 0 : r;
        }
        return r > 0 ? step_fail(err, "remove tree", r, "cannot remove %s", name) : 0;
}
