/* What mirrors can do wrong, and that nothing of it lands in the store. */
#include "tests/unit/storehelp.h"

#include "worker/base/buf.h"
#include "worker/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { SIZE = 300000 };

static struct {
        pid_t pid;
        int port;
        char *dir, *log, *data;
        struct kiln_digest digest;
} server;

static int server_start(void **state)
{
        int out[2];
        char text[16] = "";
        _cleanup_free_ char *file = NULL;

        server.dir = kiln_strdup("/tmp/kiln-httpd-XXXXXX");
        assert_non_null(mkdtemp(server.dir));
        server.log = kiln_path_join(server.dir, "log");
        file = kiln_path_join(server.dir, "file");
        server.data = kiln_malloc(SIZE);
        for (size_t i = 0; i < SIZE; i++)
                server.data[i] = (char)(i * 31 + i / 256);
        server.digest = kiln_digest_of(server.data, SIZE);
        assert_int_equal(kiln_file_write(AT_FDCWD, file, server.data, SIZE, 0644), 0);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        server.pid = fork();
        if (server.pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                dup2(out[1], 1);
                execlp("python3", "python3", HTTPD, server.dir, server.log, NULL);
                _exit(127);
        }
        close(out[1]);
        assert_true(read(out[0], text, sizeof(text) - 1) > 0);
        close(out[0]);
        server.port = atoi(text);
        assert_true(server.port > 0);
        return 0;
}

static int server_stop(void **state)
{
        kill(server.pid, SIGKILL);
        waitpid(server.pid, NULL, 0);
        kiln_tree_remove(AT_FDCWD, server.dir);
        free(server.dir);
        free(server.log);
        free(server.data);
        return 0;
}

static int setup(void **state)
{
        unlink(server.log);
        return fixture_setup(state);
}

#define BOUND (UINT64_C(1) << 63) /* the size is not known, but it must not be more than that */

/* Fetches "file" from these kinds of mirror (see httpd.py), separated by blanks. */
static int fetch(struct fixture *f, const char *kinds, uint64_t size, struct kiln_error *err)
{
        _cleanup_strv_ char **urls = kiln_calloc(1, sizeof(*urls));
        _cleanup_free_ char *copy = kiln_strdup(kinds);
        struct kiln_fetch what = {.name = "file",
                .sha256 = server.digest,
                .size_bytes = size & BOUND ? 0 : size,
                .max_bytes = size & BOUND ? size & ~BOUND : 0};

        for (char *save, *k = strtok_r(copy, " ", &save); k; k = strtok_r(NULL, " ", &save)) {
                _cleanup_free_ char *url =
                        strstr(k, "://") ? kiln_asprintf("%s/file", k)
                                         : kiln_asprintf("http://127.0.0.1:%d/%s/file", server.port, k);

                kiln_strv_append(&urls, url);
        }
        what.urls = (const char *const *)urls;
        return kiln_store_fetch(f->store, "fetch", &what, 1, err);
}

static char *requests(void)
{
        struct kiln_buf text = KILN_BUF_INIT;

        kiln_file_read(AT_FDCWD, server.log, 1 << 20, &text);
        return kiln_buf_take(&text);
}

static void assert_fetched(struct fixture *f, const char *kinds, uint64_t size)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_close_ int fd = -1;

        if (fetch(f, kinds, size, &err) < 0)
                fail_msg("%s: %s", kinds, kiln_error_format(&err));
        assert_int_equal(kiln_store_find_verified(f->store, &server.digest, &fd), 0);
}

static void assert_not_fetched(struct fixture *f, const char *kinds, uint64_t size, const char *because)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;

        assert_true(fetch(f, kinds, size, &err) < 0);
        assert_int_equal(err.verdict, KILN_INFRA);
        if (!strstr(err.cause, because))
                fail_msg("\"%s\" does not say \"%s\"", err.cause, because);
        assert_string_equal(err.subject, "file");
        assert_false(is_stored(f, &server.digest));
}

static void test_plain(void **state)
{
        _cleanup_free_ char *log = NULL;

        assert_fetched(*state, "ok", SIZE);
        assert_fetched(*state, "ok", SIZE);
        log = requests();
        assert_string_equal(log, "/ok/file -\n"); /* the second time nobody was asked */
}

static void test_unknown_size(void **state)
{
        assert_fetched(*state, "ok", 0);
}

/* A mirror that goes on and on is left behind, whether it says how much there is or not. */
static void test_unknown_size_is_bounded(void **state)
{
        assert_not_fetched(*state, "ok", BOUND | (SIZE - 1), "longer than it may be");
        assert_not_fetched(*state, "long", BOUND | SIZE, "longer than it may be");
        assert_fetched(*state, "ok", BOUND | SIZE);
}

/* Nobody is asked, and sizes that add up to little count as what they are. */
static void test_stated_size_is_bounded(void **state)
{
        static const uint64_t sizes[] = {INT64_MAX, INT64_MAX, SIZE + 2};
        struct fixture *f = *state;
        _cleanup_free_ char *url = kiln_asprintf("http://127.0.0.1:%d/long/file", server.port), *log = NULL;
        const char *const urls[] = {url, NULL};
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        struct kiln_fetch what[KILN_ARRAY_SIZE(sizes)];

        for (size_t i = 0; i < KILN_ARRAY_SIZE(sizes); i++)
                what[i] = (struct kiln_fetch){
                        .name = "file", .sha256.bytes = {(uint8_t)i}, .size_bytes = sizes[i], .urls = urls};
        assert_true(kiln_store_fetch(f->store, "fetch", what, KILN_ARRAY_SIZE(sizes), &err) < 0);
        assert_non_null(strstr(err.cause, "a file may have 8192"));
        log = requests();
        assert_string_equal(log, "");
        assert_not_fetched(f, "ok", (UINT64_C(8) << 30) + 1, "a file may have 8192");
}

static void test_file_url(void **state)
{
        _cleanup_free_ char *url = kiln_asprintf("file://%s", server.dir);

        ((struct fixture *)*state)->context.offline = true;
        assert_fetched(*state, url, SIZE);
}

static void test_failover(void **state)
{
        _cleanup_free_ char *log = NULL;

        assert_fetched(*state, "http://127.0.0.1:1/nobody missing wrong short ok", SIZE);
        log = requests();
        assert_non_null(strstr(log, "/wrong/file -\n"));
        assert_non_null(strstr(log, "/ok/file"));
}

static void test_busy_is_tried_again(void **state)
{
        assert_fetched(*state, "busy", SIZE);
}

static void test_wrong_digest(void **state)
{
        _cleanup_free_ char *log = NULL;

        assert_not_fetched(*state, "wrong", SIZE, "wrong SHA-256");
        log = requests();
        assert_string_equal(log, "/wrong/file -\n"); /* an error, never a retry loop */
}

static void test_missing(void **state)
{
        assert_not_fetched(*state, "missing", SIZE, "404");
}

static void test_wrong_length(void **state)
{
        assert_not_fetched(*state, "short", SIZE, "ends after 150000 of 300000");
        assert_not_fetched(*state, "long", SIZE, "longer than it may be");
        assert_not_fetched(*state, "ok", SIZE - 1, "");
}

static void test_redirects(void **state)
{
        assert_not_fetched(*state, "loop", SIZE, "redirect");
        assert_not_fetched(*state, "tofile", SIZE, "rotocol");
        assert_fetched(*state, "redirect", SIZE);
}

static void test_protocols(void **state)
{
        assert_not_fetched(*state, "ftp://127.0.0.1/x gopher://127.0.0.1/x", SIZE, "only http");
}

/* The connection breaks in the middle: the other mirror continues at that byte. */
static void test_resume_elsewhere(void **state)
{
        _cleanup_free_ char *log = NULL;

        assert_fetched(*state, "drop ok", SIZE);
        log = requests();
        assert_non_null(strstr(log, "/ok/file bytes=150000-"));
}

static void test_resume_without_ranges(void **state)
{
        assert_fetched(*state, "drop norange", SIZE);
}

static void put_partial(struct fixture *f, size_t len, bool poisoned)
{
        char hex[KILN_DIGEST_HEX + 1];
        _cleanup_free_ char *data = kiln_malloc(len + 1), *path = NULL;

        for (size_t i = 0; i < len; i++)
                data[i] = i < SIZE && !poisoned ? server.data[i] : 'x';
        kiln_digest_to_hex(&server.digest, hex);
        path = kiln_asprintf("%s/store/partial/%s", f->context.cache_dir, hex);
        assert_int_equal(kiln_file_write(AT_FDCWD, path, data, len, 0600), 0);
}

static void test_partial_of_an_earlier_run(void **state)
{
        _cleanup_free_ char *log = NULL;

        put_partial(*state, 100000, false);
        assert_fetched(*state, "ok", SIZE);
        log = requests();
        assert_string_equal(log, "/ok/file bytes=100000-\n");
}

static void test_poisoned_partial(void **state)
{
        put_partial(*state, 100000, true);
        assert_fetched(*state, "ok", SIZE);
}

static void test_complete_and_overlong_partials(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *path = stored_path(f, &server.digest);

        put_partial(f, SIZE, false);
        assert_fetched(f, "missing", SIZE);
        unlink(path);
        put_partial(f, SIZE, true);
        assert_fetched(f, "ok", SIZE);
        unlink(path);
        put_partial(f, SIZE + 1000, false);
        assert_fetched(f, "ok", SIZE);
        unlink(path);
        put_partial(f, SIZE + 1000, false);
        assert_fetched(f, "ok", 0);
}

static void test_stalled_mirror(void **state)
{
        uint64_t begin = kiln_clock_ns();

        assert_fetched(*state, "stall ok", SIZE);
        assert_true(kiln_clock_ns() - begin < UINT64_C(10000000000));
}

static void test_offline(void **state)
{
        struct fixture *f = *state;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_free_ char *log = NULL;

        f->context.offline = true;
        assert_int_equal(fetch(f, "ok", SIZE, &err), -ENETUNREACH);
        assert_int_equal(err.verdict, KILN_REFUSED);
        log = requests();
        assert_string_equal(log, "");
}

static void test_cancelled(void **state)
{
        struct fixture *f = *state;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        uint64_t begin = kiln_clock_ns();
        int p[2];

        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        f->context.cancel_fd = p[0];
        f->store->stall_s = 30;
        pid_t pid = fork();
        if (pid == 0) {
                usleep(300000);
                _exit(write(p[1], "x", 1) == 1 ? 0 : 1);
        }
        assert_int_equal(fetch(f, "stall", SIZE, &err), -ECANCELED);
        assert_int_equal(err.verdict, KILN_CANCELLED);
        assert_true(kiln_clock_ns() - begin < UINT64_C(5000000000));
        waitpid(pid, NULL, 0);
        close(p[0]);
        close(p[1]);
        f->context.cancel_fd = -1;
}

/* Several processes want the same file: it is fetched once. */
static void test_one_download_for_all(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *log = NULL;

        for (int i = 0; i < 4; i++)
                if (fork() == 0) {
                        struct kiln_store *s;

                        if (kiln_store_open(&f->context, &s, NULL) < 0)
                                _exit(1);
                        f->store = s;
                        _exit(fetch(f, "ok", SIZE, NULL) == 0 ? 0 : 1);
                }
        for (int i = 0; i < 4; i++) {
                int status;

                assert_true(wait(&status) > 0);
                assert_int_equal(status, 0);
        }
        log = requests();
        assert_string_equal(log, "/ok/file -\n");
}

static void test_many_in_parallel(void **state)
{
        struct fixture *f = *state;
        enum { N = 60 };
        struct kiln_fetch what[N];
        char *urls[N][2];
        char name[N][16];

        for (int i = 0; i < N; i++) {
                _cleanup_free_ char *path = NULL;

                snprintf(name[i], sizeof(name[i]), "f%d", i);
                path = kiln_path_join(server.dir, name[i]);
                assert_int_equal(kiln_file_write(AT_FDCWD, path, name[i], strlen(name[i]), 0644), 0);
                urls[i][0] = kiln_asprintf("http://127.0.0.1:%d/ok/%s", server.port, name[i]);
                urls[i][1] = NULL;
                what[i] = (struct kiln_fetch){.name = name[i],
                        .urls = (const char *const *)urls[i],
                        .sha256 = kiln_digest_of(name[i], strlen(name[i])),
                        .size_bytes = strlen(name[i])};
        }
        assert_int_equal(kiln_store_fetch(f->store, "fetch", what, N, NULL), 0);
        for (int i = 0; i < N; i++) {
                assert_true(is_stored(f, &what[i].sha256));
                free(urls[i][0]);
        }
}

static void test_download_into_memory(void **state)
{
        struct fixture *f = *state;
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;
        _cleanup_free_ char *bad = kiln_asprintf("http://127.0.0.1:%d/drop/file", server.port);
        _cleanup_free_ char *good = kiln_asprintf("http://127.0.0.1:%d/ok/file", server.port);
        const char *const urls[] = {bad, good, NULL}, *const one[] = {good, NULL};
        struct kiln_digest d;

        kiln_buf_puts(&out, "before");
        assert_int_equal(kiln_store_download(f->store, urls, SIZE, &out, NULL), 0);
        assert_int_equal(out.len, 6 + SIZE);
        d = kiln_digest_of(out.data + 6, SIZE);
        assert_true(kiln_digest_equal(&d, &server.digest));
        assert_true(kiln_store_download(f->store, one, SIZE - 1, &out, NULL) < 0);
        assert_int_equal(kiln_store_fetch_url(f->store, "fetch", good, 0, &d, NULL), 0);
        assert_true(kiln_digest_equal(&d, &server.digest));
        assert_true(is_stored(f, &d));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(test_plain),
                T(test_unknown_size),
                T(test_unknown_size_is_bounded),
                T(test_stated_size_is_bounded),
                T(test_file_url),
                T(test_failover),
                T(test_busy_is_tried_again),
                T(test_wrong_digest),
                T(test_missing),
                T(test_wrong_length),
                T(test_redirects),
                T(test_protocols),
                T(test_resume_elsewhere),
                T(test_resume_without_ranges),
                T(test_partial_of_an_earlier_run),
                T(test_poisoned_partial),
                T(test_complete_and_overlong_partials),
                T(test_stalled_mirror),
                T(test_offline),
                T(test_cancelled),
                T(test_one_download_for_all),
                T(test_many_in_parallel),
                T(test_download_into_memory),
        };

        return cmocka_run_group_tests(tests, server_start, server_stop);
}
