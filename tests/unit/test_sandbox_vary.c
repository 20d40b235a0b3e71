/* What a sandbox can show otherwise: the clock (trace.c, notify.c), memory, process ids, umask, addresses. */
#include "sandbox_fixture.h"

#include "sandbox/trace.h"
#include "sandbox/view.h"

#include <stdlib.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#define YEAR (400 * 86400L)

struct vary {
        struct fixture fixture;
        struct kiln_sandbox sandbox;
        struct kiln_sandbox_mount mount;
        int root_fd, tools_fd;
};

static int setup(void **state)
{
        struct vary *v = calloc(1, sizeof *v);

        fixture_make(&v->fixture, KILN_ID_AUTO);
        fixture_host(&v->fixture, &v->sandbox, &v->root_fd);
        v->tools_fd = open(TOOLS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(v->tools_fd >= 0);
        v->mount = (struct kiln_sandbox_mount){
                .kind = KILN_MOUNT_BIND_RO, .target = "/mnt", .source_fd = v->tools_fd};
        v->sandbox.mounts = &v->mount;
        v->sandbox.n_mounts = 1;
        v->sandbox.uid = v->sandbox.gid = 1000;
        *state = v;
        return 0;
}

static int teardown(void **state)
{
        struct vary *v = *state;

        close(v->root_fd);
        close(v->tools_fd);
        fixture_remove(&v->fixture);
        free(v);
        return 0;
}

/* What the shell prints for the script. */
static const char *shell(struct vary *v, const char *script)
{
        const char *argv[] = {"/bin/sh", "-c", script, NULL};
        struct kiln_sandbox_result r;

        v->fixture.output_len = 0;
        v->sandbox.argv = argv;
        fixture_run(&v->sandbox, &r);
        v->sandbox.argv = NULL;
        if (r.how != KILN_SANDBOX_EXITED || r.status != 0)
                fail_msg("how %d, status %d: %s", r.how, r.status, v->fixture.output);
        return v->fixture.output;
}

static void clock_is(const char *text, time_t wanted, time_t slack)
{
        const char *at = text;

        for (int i = 0; i < 5; i++) {
                char *end;
                long said = strtol(at, &end, 10);

                assert_true(end != at);
                if (said < wanted - slack || said > wanted + slack)
                        fail_msg("number %d of %s is not %ld", i, text, (long)wanted);
                at = end;
        }
        assert_in_range(strtol(at, NULL, 10), 0, wanted / 4); /* the monotonic clock goes on as ever */
}

static void test_clock_shift(void **state)
{
        struct vary *v = *state;

        v->sandbox.clock_shift_s = YEAR;
        clock_is(shell(v, "/mnt/inside"), time(NULL) + YEAR, 30);
        /* threads of shells, pipes, stopped and continued jobs, a child of a child */
        clock_is(shell(v, "(true | (sh -c '/mnt/inside')) & wait"), time(NULL) + YEAR, 30);
        shell(v, "sh -c 'kill -STOP $$; exit 7' & p=$!; sleep 0.2; kill -CONT $p; wait $p; [ $? = 7 ]");
        shell(v, "sh -c 'trap \"exit 9\" TERM; while :; do sleep 0.05; done' & p=$!; sleep 0.2; kill -TERM "
                 "$p; "
                 "wait $p; [ $? = 9 ]");
        assert_in_range(
                strtol(shell(v, "date +%s"), NULL, 10), time(NULL) + YEAR - 30, time(NULL) + YEAR + 30);
        v->sandbox.clock_shift_s = -YEAR;
        clock_is(shell(v, "/mnt/inside"), time(NULL) - YEAR, 30);
}

static void test_clock_hold(void **state)
{
        struct vary *v = *state;

        v->sandbox.clock_hold_s = 1700000000;
        clock_is(shell(v, "sleep 1.1; /mnt/inside"), 1700000000, 0);
        assert_string_equal(shell(v, "date +%s.%N"), "1700000000.000000000\n");
}

/* A clock that is answered by another process fails as little as the kernel's. */
static void test_clock_is_not_interrupted(void **state)
{
        struct vary *v = *state;

        v->sandbox.clock_shift_s = YEAR;
        assert_string_equal(shell(v, "/mnt/inside interrupted"), "0\n");
}

/* The control: without it, all of that says what the host says. */
static void test_clock_real(void **state)
{
        clock_is(shell(*state, "/mnt/inside"), time(NULL), 30);
}

static void test_memory(void **state)
{
        struct vary *v = *state;
        struct sysinfo host;

        assert_int_equal(sysinfo(&host), 0);
        v->sandbox.memory_bytes = UINT64_C(1) << 30;
        assert_string_equal(shell(v, "sed -n 's/^MemTotal: *//p' /proc/meminfo"), "1048576 kB\n");
        assert_int_equal(strtoull(shell(v, "/mnt/inside memory"), NULL, 10), UINT64_C(1) << 30);
        v->sandbox.memory_bytes = 0;
        assert_int_equal(
                strtoull(shell(v, "/mnt/inside memory"), NULL, 10), (uint64_t)host.totalram * host.mem_unit);
}

static void test_meminfo(void **state)
{
        static const char host[] = "MemTotal:       24684092 kB\nMemFree:          100 kB\n"
                                   "MemAvailable:   20000000 kB\nBuffers:  7 kB\nMemTotal: x";
        char *text = view_meminfo(host, 4096 * UINT64_C(1024));

        assert_string_equal(text, "MemTotal:           4096 kB\nMemFree:             100 kB\n"
                                  "MemAvailable:       4096 kB\nBuffers:  7 kB\nMemTotal: x");
        free(text);
}

static void test_pid(void **state)
{
        struct vary *v = *state;

        if (access("/proc/sys/kernel/ns_last_pid", F_OK) < 0)
                skip();
        assert_int_equal(strtol(shell(v, "echo $$"), NULL, 10), 2);
        v->sandbox.first_pid = 4321;
        assert_int_equal(strtol(shell(v, "echo $$"), NULL, 10), 4321);
}

static void test_umask(void **state)
{
        struct vary *v = *state;

        assert_string_equal(shell(v, "umask"), "0022\n");
        v->sandbox.umask = 077;
        assert_string_equal(shell(v, "umask"), "0077\n");
}

static void test_addresses(void **state)
{
        static const char script[] = "cut -d' ' -f28 /proc/self/stat; grep '\\[vdso\\]' /proc/self/maps";
        struct vary *v = *state;
        char first[256];

        v->sandbox.fixed_addresses = true;
        snprintf(first, sizeof first, "%s", shell(v, script));
        assert_string_equal(shell(v, script), first);
        v->sandbox.fixed_addresses = false;
        snprintf(first, sizeof first, "%s", shell(v, script));
        assert_string_not_equal(shell(v, script), first);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_clock_real),
                TEST(test_clock_shift),
                TEST(test_clock_hold),
                TEST(test_clock_is_not_interrupted),
                TEST(test_memory),
                cmocka_unit_test(test_meminfo),
                TEST(test_pid),
                TEST(test_umask),
                TEST(test_addresses),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
