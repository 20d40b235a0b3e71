/* What the sandbox's tests share: a scratch directory with layers owned by the mapping, and a run in it. */
#pragma once

#include "sandbox/sandbox.h"
#include "sandbox/setup.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

struct fixture {
        char path[128];
        int dir_fd;
        struct kiln_idmap idmap;
        int lower_fd, upper_fd, work_fd;
        char output[65536];
        size_t output_len;
};

static inline void fixture_output(void *ctx, const void *data, size_t len)
{
        struct fixture *f = ctx;
        size_t room = sizeof f->output - 1 - f->output_len;

        if (len > room)
                len = room;
        memcpy(f->output + f->output_len, data, len);
        f->output_len += len;
        f->output[f->output_len] = '\0';
}

static inline void fixture_make(struct fixture *f, enum kiln_id_mode mode)
{
        struct kiln_sandbox_error err = {0};

        memset(f, 0, sizeof *f);
        snprintf(f->path, sizeof f->path, "/tmp/kiln-sandbox-test-XXXXXX");
        assert_non_null(mkdtemp(f->path));
        assert_int_equal(chmod(f->path, 0755), 0);
        f->dir_fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(f->dir_fd >= 0);
        if (kiln_idmap_find(mode, &f->idmap, &err) < 0)
                fail_msg("%s: %s; %s", err.step, err.message, err.advice);
        f->lower_fd = kiln_idmap_mkdir(&f->idmap, f->dir_fd, "lower", 0, 0, &err);
        f->upper_fd = kiln_idmap_mkdir(&f->idmap, f->dir_fd, "upper", 0, 0, &err);
        f->work_fd = kiln_idmap_mkdir(&f->idmap, f->dir_fd, "work", 0, 0, &err);
        if (f->lower_fd < 0 || f->upper_fd < 0 || f->work_fd < 0)
                fail_msg("%s: %s; %s", err.step, err.message, err.advice);
}

static inline void fixture_remove(struct fixture *f)
{
        static const char *const names[] = {"lower", "upper", "work"};
        struct kiln_sandbox_error err = {0};

        close(f->lower_fd);
        close(f->upper_fd);
        close(f->work_fd);
        for (size_t i = 0; i < 3; i++)
                if (kiln_idmap_rmtree(&f->idmap, f->dir_fd, names[i], &err) < 0)
                        fail_msg("%s: %s", err.step, err.message);
        close(f->dir_fd);
        assert_int_equal(rmdir(f->path), 0); /* nothing else was left in it */
}

/* A run in the fixture: the overlay, output collected, id 0. */
static inline void fixture_sandbox(struct fixture *f, struct kiln_sandbox *s)
{
        kiln_sandbox_init(s);
        s->idmap = f->idmap;
        s->lower_fds = &f->lower_fd;
        s->n_lower_fds = 1;
        s->upper_fd = f->upper_fd;
        s->work_fd = f->work_fd;
        s->output = fixture_output;
        s->output_ctx = f;
        f->output_len = 0;
        f->output[0] = '\0';
}

/* The same on the host's own files, read-only. */
static inline void fixture_host(struct fixture *f, struct kiln_sandbox *s, int *root_fd)
{
        static const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};

        fixture_sandbox(f, s);
        *root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(*root_fd >= 0);
        s->n_lower_fds = 0;
        s->upper_fd = *root_fd;
        s->root_read_only = true;
        s->env = env;
}

static inline void fixture_run(const struct kiln_sandbox *s, struct kiln_sandbox_result *result)
{
        struct kiln_sandbox_error err = {0};

        if (kiln_sandbox_run(s, result, &err) < 0)
                fail_msg("%s: %s; %s", err.step, err.message, err.advice);
}

/* The id modes this user can have: an ordinary user without a range has only the single one. */
static inline size_t fixture_modes(enum kiln_id_mode modes[2])
{
        struct kiln_sandbox_error err = {0};
        struct kiln_idmap map;
        size_t n = 0;

        if (kiln_idmap_find(KILN_ID_RANGE, &map, &err) == 0)
                modes[n++] = KILN_ID_RANGE;
        else
                print_message("[  NOTE    ] no range for this user: %s\n", err.message);
        modes[n++] = KILN_ID_SINGLE;
        return n;
}
