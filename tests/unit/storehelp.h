/* A cache of its own for one test, and a few files in it. */
#pragma once

#include "worker/base/context.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/buildroot/store_private.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

struct fixture {
        struct kiln_context context;
        struct kiln_store *store;
        char *dir; /* scratch: cache/ and data/ below it */
};

static inline void fixture_open(struct fixture *f)
{
        struct kiln_error err = KILN_ERROR_INIT;

        if (kiln_store_open(&f->context, &f->store, &err) < 0)
                fail_msg("%s", kiln_error_format(&err));
        f->store->stall_s = 1;
        f->store->connect_s = 2;
        f->store->backoff_ms = 20;
}

static inline int fixture_setup(void **state)
{
        struct fixture *f = kiln_calloc(1, sizeof(*f));
        const char *tmp = getenv("TMPDIR");

        f->dir = kiln_asprintf("%s/kiln-test-XXXXXX", tmp ? tmp : "/tmp");
        assert_non_null(mkdtemp(f->dir));
        f->context.cancel_fd = -1;
        f->context.cache_dir = kiln_path_join(f->dir, "cache");
        close(kiln_dir_make(AT_FDCWD, f->context.cache_dir, 0755));
        fixture_open(f);
        *state = f;
        return 0;
}

static inline int fixture_teardown(void **state)
{
        struct fixture *f = *state;

        kiln_store_close(f->store);
        kiln_tree_remove(AT_FDCWD, f->dir);
        free(f->context.cache_dir);
        free(f->dir);
        free(f);
        return 0;
}

static inline struct kiln_digest put_bytes(struct fixture *f, const char *data, size_t len)
{
        struct kiln_digest d;

        assert_int_equal(kiln_store_add_bytes(f->store, data, len, &d, NULL), 0);
        return d;
}

static inline struct kiln_digest put(struct fixture *f, const char *text)
{
        return put_bytes(f, text, strlen(text));
}

/* The absolute path of a file in the store; the caller's. */
static inline char *stored_path(struct fixture *f, const struct kiln_digest *d)
{
        char path[STORE_PATH_MAX];

        store_path(d, path);
        return kiln_asprintf("%s/store/sha256/%s", f->context.cache_dir, path);
}

static inline bool is_stored(struct fixture *f, const struct kiln_digest *d)
{
        _cleanup_free_ char *path = stored_path(f, d);

        return kiln_file_exists(AT_FDCWD, path);
}

static inline void make_old(struct fixture *f, const struct kiln_digest *d, time_t age_s)
{
        _cleanup_free_ char *path = stored_path(f, d);
        struct timespec times[2] = {{time(NULL) - age_s, 0}, {0, UTIME_OMIT}};

        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}
