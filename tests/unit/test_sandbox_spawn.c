/* sandbox/spawn.c, init.c, program.c, monitor.c: how runs end, what limits do, and that a failed step means
 * nothing ran and nothing is left. */
#include "tests/unit/sandbox_fixture.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

/* ---- what a run may leave behind: nothing -----------------------------------------------------------------
 */

struct traces {
        unsigned children, fds, mounts, tmp;
};

static const char *scratch; /* the fixture's directory: a run leaves nothing beside the layers */

static unsigned count_lines(const char *path)
{
        FILE *f = fopen(path, "re");
        unsigned n = 0;
        int c;

        assert_non_null(f);
        while ((c = fgetc(f)) != EOF)
                n += c == '\n';
        fclose(f);
        return n;
}

static unsigned count_entries(const char *path, const char *prefix)
{
        DIR *d = opendir(path);
        unsigned n = 0;

        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d)) != NULL;)
                n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
        closedir(d);
        return n;
}

/* Every process inside is a descendant of this one, which reaps orphans (PR_SET_CHILD_SUBREAPER, in main). */
static struct traces traces_now(void)
{
        struct traces t = {0};

        /* what has ended is no trace, whoever inherits it (this process: PR_SET_CHILD_SUBREAPER) */
        for (int wait = 0; wait < 1000; wait++) {
                pid_t child = waitpid(-1, NULL, WNOHANG);

                t.children = child == 0;
                if (child < 0)
                        break;
                if (child == 0)
                        usleep(1000);
        }
        t.fds = count_entries("/proc/self/fd", "");
        t.mounts = count_lines("/proc/self/mountinfo");
        t.tmp = count_entries(scratch, "");
        return t;
}

static void assert_no_traces(struct traces before)
{
        struct traces now = traces_now();

        assert_int_equal(now.children, 0);
        assert_int_equal(now.fds, before.fds);
        assert_int_equal(now.mounts, before.mounts);
        assert_int_equal(now.tmp, before.tmp);
}

/* ---- endings
 * ----------------------------------------------------------------------------------------------- */

static int group_setup(void **state)
{
        struct fixture *f = calloc(1, sizeof *f);

        fixture_make(f, KILN_ID_AUTO);
        scratch = f->path;
        *state = f;
        return 0;
}

static int group_teardown(void **state)
{
        fixture_remove(*state);
        free(*state);
        return 0;
}

/* Runs a shell command on the host's files; root_fd is closed again. */
static void shell(
        struct fixture *f, struct kiln_sandbox *s, const char *command, struct kiln_sandbox_result *result)
{
        const char *const argv[] = {"sh", "-c", command, NULL};
        struct traces before = traces_now();
        int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

        s->upper_fd = root_fd;
        s->argv = argv;
        f->output_len = 0;
        f->output[0] = '\0';
        fixture_run(s, result);
        close(root_fd);
        assert_no_traces(before);
}

static void host(struct fixture *f, struct kiln_sandbox *s)
{
        int fd;

        fixture_host(f, s, &fd);
        close(fd);
        s->uid = s->gid = 1000;
}

static void test_endings(void **state)
{
        struct fixture *f = *state;
        struct kiln_sandbox_result r;
        struct kiln_sandbox s;

        host(f, &s);
        shell(f, &s, "echo out; echo err >&2; exit 7", &r);
        assert_int_equal(r.how, KILN_SANDBOX_EXITED);
        assert_int_equal(r.status, 7);
        assert_string_equal(f->output, "out\nerr\n");
        assert_int_equal(r.output_bytes, 8);
        assert_true(r.wall_ns > 0 && r.exec_ns > 0 && r.peak_rss_bytes > 0);

        shell(f, &s, "kill -USR1 $$", &r);
        assert_int_equal(r.how, KILN_SANDBOX_SIGNALED);
        assert_int_equal(r.status, SIGUSR1);

        /* killed from inside, without a cgroup to prove anything: a guess that says so */
        shell(f, &s, "kill -KILL $$", &r);
        if (r.cgroup) {
                assert_int_equal(r.how, KILN_SANDBOX_SIGNALED);
        } else {
                assert_int_equal(r.how, KILN_SANDBOX_LIMITED);
                assert_int_equal(r.limit, KILN_LIMIT_MEMORY);
                assert_true(r.limit_guessed);
        }
}

/* What the program leaves running dies with it, however well it hides. */
static void test_daemons(void **state)
{
        struct fixture *f = *state;
        struct kiln_sandbox_result r;
        struct kiln_sandbox s;

        host(f, &s);
        shell(f, &s, "(trap '' TERM HUP INT; setsid sh -c 'sleep 1000 & sleep 1000' & ) & echo done", &r);
        assert_int_equal(r.how, KILN_SANDBOX_EXITED);
        assert_int_equal(r.status, 0);
        assert_string_equal(f->output, "done\n");
        assert_true(r.wall_ns < UINT64_C(5000000000));
}

static void test_streams(void **state)
{
        struct fixture *f = *state;
        struct kiln_sandbox_result r;
        struct kiln_sandbox s;
        int in[2];

        host(f, &s);
        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
        assert_int_equal(write(in[1], "given", 5), 5);
        close(in[1]);
        s.stdin_fd = in[0];
        shell(f, &s, "cat; echo; echo again > /dev/stdout; readlink /proc/self/fd/0 | grep -c pipe", &r);
        close(in[0]);
        assert_string_equal(f->output, "given\nagain\n1\n");
}

static void test_limits(void **state)
{
        static const struct {
                const char *command;
                enum kiln_sandbox_limit limit;
                struct kiln_sandbox_limits limits;
        } cases[] = {
                {"trap '' TERM; sleep 1000", KILN_LIMIT_WALL, {.wall_s = 1}},
                {"while :; do echo x; sleep 0.1; done", KILN_LIMIT_WALL, {.wall_s = 1, .silence_s = 5}},
                {"echo x; exec sleep 1000", KILN_LIMIT_SILENCE, {.silence_s = 1}},
                {"while :; do :; done", KILN_LIMIT_CPU, {.cpu_s = 1}},
                {"trap '' XCPU; while :; do :; done", KILN_LIMIT_CPU, {.cpu_s = 1, .wall_s = 30}},
                {"yes", KILN_LIMIT_OUTPUT, {.output_bytes = 5000}},
                {"exec head -c 3000000 /dev/zero > /dev/shm/x", KILN_LIMIT_FILE, {.file_bytes = 1 << 20}},
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                struct kiln_sandbox_result r;
                struct kiln_sandbox s;

                host(f, &s);
                s.limits = cases[i].limits;
                shell(f, &s, cases[i].command, &r);
                if (r.how != KILN_SANDBOX_LIMITED || r.limit != cases[i].limit)
                        fail_msg("%s: how %d, limit %s, status %d", cases[i].command, r.how,
                                kiln_sandbox_limit_name(r.limit), r.status);
                assert_false(r.limit_guessed);
                assert_true(r.limit_value > 0 && r.limit_peak >= r.limit_value);
                assert_true(f->output_len <= 5000);
        }
}

static int fill_disk(void *arg)
{
        char block[65536];

        memset(block, 'x', sizeof block);
        int fd = open("/big", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        for (int i = 0; i < 160; i++)
                if (write(fd, block, sizeof block) < 0)
                        return 1;
        sleep(20);
        return 0;
}

static void test_disk(void **state)
{
        struct fixture *f = *state;
        struct kiln_sandbox_result r;
        struct kiln_sandbox s;
        struct traces before = traces_now();

        fixture_sandbox(f, &s);
        s.limits.disk_bytes = 4 << 20;
        s.entry = fill_disk;
        fixture_run(&s, &r);
        assert_no_traces(before);
        assert_int_equal(r.how, KILN_SANDBOX_LIMITED);
        assert_int_equal(r.limit, KILN_LIMIT_DISK);
        assert_true(r.limit_peak > 4 << 20);
}

static void test_pids(void **state)
{
        struct fixture *f = *state;
        struct kiln_sandbox_result r;
        struct kiln_sandbox s;

        host(f, &s);
        s.limits.pids = 10;
        shell(f, &s, "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 30 & done; echo never", &r);
        assert_null(strstr(f->output, "never"));
        assert_non_null(strstr(f->output, "fork"));
}

static void test_hard(void **state)
{
        struct fixture *f = *state;
        struct kiln_sandbox_error err = {0};
        struct kiln_sandbox_result r;
        struct kiln_sandbox s;
        int root_fd, n;
        const char *const argv[] = {"true", NULL};

        fixture_host(f, &s, &root_fd);
        s.argv = argv;
        s.limits.memory_bytes = 64 << 20;
        s.limits.hard = true;
        n = kiln_sandbox_run(&s, &r, &err);
        if (n == 0) {
                assert_true(r.cgroup);
        } else {
                assert_true(err.refused);
                assert_true(strlen(err.advice) > 0);
        }
        s.limits.hard = false;
        fixture_run(&s, &r);
        close(root_fd);
}

static void test_cancel(void **state)
{
        struct fixture *f = *state;
        struct kiln_sandbox_result r;
        struct kiln_sandbox_error err = {0};
        struct kiln_sandbox s;
        int fd = eventfd(0, EFD_CLOEXEC);

        /* while it runs */
        pid_t canceller = fork();
        if (canceller == 0) {
                usleep(300000);
                _exit(write(fd, "\1\0\0\0\0\0\0\0", 8) != 8);
        }
        host(f, &s);
        s.cancel_fd = fd;
        int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        const char *const argv[] = {"sh", "-c", "trap '' TERM INT; sleep 1000 & sleep 1000", NULL};
        s.upper_fd = root_fd;
        s.argv = argv;
        fixture_run(&s, &r);
        assert_int_equal(r.how, KILN_SANDBOX_CANCELLED);
        assert_int_equal(waitpid(canceller, NULL, 0), canceller);

        /* before it ran */
        struct traces before = traces_now();
        assert_int_equal(kiln_sandbox_run(&s, &r, &err), -ECANCELED);
        assert_no_traces(before);
        close(root_fd);
        close(fd);
}

/* ---- what is denied
 * ---------------------------------------------------------------------------------------- */

static uint64_t denied_count(const struct kiln_sandbox_result *r, const char *name)
{
        for (size_t i = 0; i < r->n_denied; i++)
                if (strcmp(r->denied[i].name, name) == 0)
                        return r->denied[i].count;
        return 0;
}

static int try_denied(void *arg)
{
        struct utsname name;

        for (int i = 0; i < 3; i++)
                if (syscall(SYS_keyctl, 0, 0, 0, 0, 0) != -1 || errno != EPERM)
                        return 1;
        if (syscall(SYS_bpf, 0, NULL, 0) != -1 || errno != EPERM)
                return 2;
        if (syscall(511) != -1 || errno != ENOSYS)
                return 3;
        if (syscall(2000) != -1 || errno != ENOSYS)
                return 4;
        if (socket(AF_VSOCK, SOCK_STREAM, 0) != -1 || errno != EPERM)
                return 5;
        if (uname(&name) != 0 || strcmp(name.release, "1.2.3-test") != 0 || strcmp(name.nodename, "box") != 0)
                return 6;
        if (syscall(SYS_uname, 1) != -1 || errno != EFAULT)
                return 7;
        return 42;
}

static void test_denied(void **state)
{
        struct fixture *f = *state;
        struct kiln_sandbox_result r;
        struct kiln_sandbox s;

        fixture_sandbox(f, &s);
        s.uid = s.gid = 1000;
        s.kernel_release = "1.2.3-test";
        s.hostname = "box";
        s.entry = try_denied;
        fixture_run(&s, &r);
        assert_int_equal(r.how, KILN_SANDBOX_EXITED);
        assert_int_equal(r.status, 42);
        assert_int_equal(denied_count(&r, "keyctl"), 3);
        assert_int_equal(denied_count(&r, "bpf"), 1);
        assert_int_equal(denied_count(&r, "syscall 511"), 1);
        assert_int_equal(denied_count(&r, "unknown"), 1);
        assert_int_equal(denied_count(&r, "socket"), 1);
        assert_int_equal(denied_count(&r, "uname"), 0);
}

/* ---- every step failing in turn
 * ---------------------------------------------------------------------------- */

struct fault {
        atomic_int calls; /* steps seen so far, in all processes */
        int fail_at;      /* -1: none */
        bool kill;        /* the process dies there instead */
        char step[64];    /* the one that failed */
        atomic_int ran;   /* the program did */
};

static int fault_before(void *ctx, const char *step)
{
        struct fault *fault = ctx;

        if (atomic_fetch_add(&fault->calls, 1) != fault->fail_at)
                return 0;
        snprintf(fault->step, sizeof fault->step, "%s", step);
        if (fault->kill)
                raise(SIGKILL);
        return EXDEV; /* an errno none of these calls would give */
}

static int note_run(void *arg)
{
        struct fault *fault = arg;

        atomic_store(&fault->ran, 1);
        return 0;
}

/* One run of each kind, whose steps together are all there are. */
static void fault_sandbox(struct fixture *f, struct kiln_sandbox *s, unsigned kind)
{
        static const char *const build[] = {"/b", NULL};
        static struct kiln_sandbox_mount mounts[2];

        fixture_sandbox(f, s);
        s->entry = note_run;
        mounts[0] = (struct kiln_sandbox_mount){
                .kind = KILN_MOUNT_BIND_RO, .target = "/b", .source_fd = f->lower_fd};
        mounts[1] = (struct kiln_sandbox_mount){.kind = KILN_MOUNT_TMPFS, .target = "/t", .mode = 0755};
        s->mounts = mounts;
        s->n_mounts = 2;
        s->kernel_release = "1.2.3-test";
        s->cpus = 1;
        s->limits.disk_bytes = 1 << 30;
        if (kind == 1) {
                s->uid = s->gid = 1000;
                s->writable = build;
                s->split_stderr = true;
                s->clock_shift_s = 86400;
                s->memory_bytes = 1 << 30;
                s->fixed_addresses = true;
                if (access("/proc/sys/kernel/ns_last_pid", F_OK) == 0)
                        s->first_pid = 500;
        }
}

static void test_faults(void **state)
{
        struct fixture *f = *state;
        struct fault *fault =
                mmap(NULL, sizeof *fault, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        const struct step_hook hook = {fault_before, fault};
        unsigned steps = 0;

        assert_true(fault != MAP_FAILED);
        for (unsigned kind = 0; kind < 2; kind++) {
                struct kiln_sandbox_error err = {0};
                struct kiln_sandbox_result r;
                struct kiln_sandbox s;
                int total;

                /* once without a fault: how many steps there are */
                memset(fault, 0, sizeof *fault);
                fault->fail_at = -1;
                fault_sandbox(f, &s, kind);
                s.entry_arg = fault;
                if (sandbox_run_hooked(&s, &hook, &r, &err) < 0)
                        fail_msg("%s: %s", err.step, err.message);
                assert_int_equal(atomic_load(&fault->ran), 1);
                total = atomic_load(&fault->calls);
                assert_true(total > 60);

                for (int i = 0; i < total; i++) {
                        for (int kill = 0; kill < 2; kill++) {
                                struct traces before = traces_now();
                                int n;

                                memset(fault, 0, sizeof *fault);
                                fault->fail_at = i;
                                fault->kill = kill;
                                pid_t self = getpid();
                                if (kill) {
                                        /* a step of the caller itself would kill the test: run it in a child
                                         */
                                        pid_t child = fork();
                                        int status;

                                        if (child == 0) {
                                                n = sandbox_run_hooked(&s, &hook, &r, &err);
                                                _exit(n < 0 ? 0 : 1);
                                        }
                                        assert_int_equal(waitpid(child, &status, 0), child);
                                        n = WIFEXITED(status) && WEXITSTATUS(status) == 1 ? 0 : -1;
                                        for (int wait = 0; wait < 200 && waitpid(-1, NULL, WNOHANG) >= 0;
                                                wait++)
                                                usleep(5000);
                                } else {
                                        n = sandbox_run_hooked(&s, &hook, &r, &err);
                                }
                                assert_int_equal(getpid(), self);
                                if (fault->step[0] ==
                                        '\0') /* processes race: this time there were fewer steps before */
                                        continue;
                                if (n == 0 || atomic_load(&fault->ran))
                                        fail_msg("step %d \"%s\" %s, and the program ran", i, fault->step,
                                                kill ? "killed" : "failed");
                                if (!kill && strcmp(err.step, fault->step) != 0 && err.errnum != EXDEV)
                                        fail_msg("step \"%s\" failed, but the error is about \"%s\": %s",
                                                fault->step, err.step, err.message);
                                assert_no_traces(before);
                                steps++;
                        }
                }
        }
        print_message("[  NOTE    ] %u failing steps\n", steps);
        assert_true(steps > 240);
        munmap(fault, sizeof *fault);
}

/* ---- requests that make no sense --------------------------------------------------------------------------
 */

static void test_requests(void **state)
{
        struct fixture *f = *state;
        const char *const argv[] = {"true", NULL}, *const none[] = {NULL},
                          *const missing[] = {"/no/such", NULL};
        struct kiln_sandbox_error err = {0};
        struct kiln_sandbox_result r = {.status = 77};
        struct kiln_sandbox s;

        fixture_sandbox(f, &s);
        assert_int_equal(kiln_sandbox_run(&s, &r, &err), -EINVAL);
        s.argv = none;
        assert_int_equal(kiln_sandbox_run(&s, &r, &err), -EINVAL);
        s.argv = missing;
        assert_int_equal(kiln_sandbox_run(&s, &r, &err), -ENOENT);
        assert_string_equal(err.step, "execute");
        s.argv = argv;
        s.gid = 5;
        assert_int_equal(kiln_sandbox_run(&s, &r, &err), -EINVAL);
        s.gid = 0;
        s.cwd = "/not/there";
        assert_int_equal(kiln_sandbox_run(&s, &r, &err), -ENOENT);
        assert_string_equal(err.step, "working directory");
        s.cwd = NULL;
        s.work_fd = -1;
        assert_int_equal(kiln_sandbox_run(&s, &r, &err), -EINVAL);
        s.work_fd = f->work_fd;
        s.idmap.mode = KILN_ID_AUTO;
        assert_int_equal(kiln_sandbox_run(&s, &r, &err), -EINVAL);
        s.idmap = f->idmap;
        s.idmap.outer_uid = s.idmap.owner_uid = 0; /* the host's root is never mapped */
        assert_true(kiln_sandbox_run(&s, &r, &err) < 0);
        assert_int_equal(r.status, 77); /* untouched on failure */
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_endings),
                cmocka_unit_test(test_daemons),
                cmocka_unit_test(test_streams),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_disk),
                cmocka_unit_test(test_pids),
                cmocka_unit_test(test_hard),
                cmocka_unit_test(test_cancel),
                cmocka_unit_test(test_denied),
                cmocka_unit_test(test_faults),
                cmocka_unit_test(test_requests),
        };

        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
