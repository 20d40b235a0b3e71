/* sandbox/finish.c: which limit is the reason, and which one ended the run, where a cgroup refused processes.
 * The cgroup is a directory with files like its own, so that this is looked at where none is delegated too.
 */
#include "sandbox/run.h"
#include "tests/unit/sandbox_fixture.h"

static void file_put(int dir_fd, const char *name, const char *text)
{
        int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        assert_int_equal(close(fd), 0);
}

static void test_forks_refused(void **state)
{
        static const struct {
                const char *events;
                enum kiln_sandbox_how how;
                enum kiln_sandbox_limit reached; /* when the run was ended for it */
                enum kiln_sandbox_limit limit, ended_by;
                uint64_t value;
        } cases[] = {
                {"max 3\n", KILN_SANDBOX_LIMITED, KILN_LIMIT_WALL, KILN_LIMIT_PIDS, KILN_LIMIT_WALL, 60},
                {"max 3\n", KILN_SANDBOX_LIMITED, KILN_LIMIT_SILENCE, KILN_LIMIT_PIDS, KILN_LIMIT_SILENCE,
                        60},
                {"max 3\n", KILN_SANDBOX_LIMITED, KILN_LIMIT_OUTPUT, KILN_LIMIT_OUTPUT, KILN_LIMIT_OUTPUT,
                        20},
                {"max 0\n", KILN_SANDBOX_LIMITED, KILN_LIMIT_WALL, KILN_LIMIT_WALL, KILN_LIMIT_WALL, 20},
                {"max 3\n", KILN_SANDBOX_EXITED, KILN_LIMIT_NONE, KILN_LIMIT_PIDS, KILN_LIMIT_PIDS, 60},
                {"max 0\n", KILN_SANDBOX_EXITED, KILN_LIMIT_NONE, KILN_LIMIT_NONE, KILN_LIMIT_NONE, 0},
        };
        char path[] = "/tmp/kiln-sandbox-test-XXXXXX";
        int dir_fd = open(mkdtemp(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct kiln_sandbox_error err = {0};
        struct kiln_sandbox s;

        kiln_sandbox_init(&s);
        s.limits.pids = 60;
        assert_true(dir_fd >= 0);
        file_put(dir_fd, "pids.peak", "61\n");
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                struct kiln_sandbox_result result = {.how = cases[i].how, .limit = cases[i].reached};
                struct run r = {.s = &s, .result = &result, .err = &err, .executed = true};

                if (cases[i].how == KILN_SANDBOX_LIMITED)
                        result.limit_value = result.limit_peak = 20;
                else
                        result.status = 1, r.exited = true;
                r.setup.caller_fd = r.setup.control_fd = r.init_pidfd = r.monitor_pidfd = r.exec_fd = -1;
                r.observation.fd = r.cgroup.parent_fd = -1;
                r.cgroup.dir_fd = dir_fd;
                file_put(dir_fd, "pids.events", cases[i].events);
                run_finish(&r);
                if (result.limit != cases[i].limit || result.ended_by != cases[i].ended_by ||
                        result.limit_value != cases[i].value || result.limit_peak != cases[i].value)
                        fail_msg("case %zu: limit %s, ended by %s, value %llu, peak %llu", i,
                                kiln_sandbox_limit_name(result.limit),
                                kiln_sandbox_limit_name(result.ended_by),
                                (unsigned long long)result.limit_value,
                                (unsigned long long)result.limit_peak);
        }
        unlinkat(dir_fd, "pids.peak", 0);
        unlinkat(dir_fd, "pids.events", 0);
        close(dir_fd);
        assert_int_equal(rmdir(path), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_forks_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
