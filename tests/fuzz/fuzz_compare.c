/* Two RPMs of arbitrary bytes, cut out of one input: headers and files as the program compares them, then
 * what runs in the sandbox, payloads and first looks. The text of every difference is clean and bounded, and
 * equal halves are equal. */
#include "worker/base/file.h"
#include "worker/base/text.h"
#include "worker/verify/compare/private.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

/* In place of the bound that the sandbox's side sets itself: what cannot be had is not there. */
const char *__asan_default_options(void)
{
        return "allocator_may_return_null=1:max_allocation_size_mb=512";
}

static char spool[] = "/tmp/kiln-fuzz-XXXXXX";

static void spool_remove(void)
{
        rmdir(spool);
}

static int spool_dir(void)
{
        static int fd = -1;

        if (fd < 0) {
                if (!mkdtemp(spool) || atexit(spool_remove) != 0)
                        abort();
                fd = open(spool, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        return fd;
}

static void check_text(const char *s)
{
        _cleanup_buf_ struct kiln_buf clean = KILN_BUF_INIT;

        if (!s)
                return;
        kiln_text_clean(&clean, s, strlen(s), 0);
        if (strlen(s) > KILN_COMPARE_TEXT_BYTES || strcmp(kiln_buf_str(&clean), s) != 0)
                abort();
}

static void check(struct kiln_comparison *c)
{
        if (c->differs != (c->n_differences > 0 || c->cut > 0) ||
                c->n_differences > KILN_COMPARE_DIFFERENCES_MAX)
                abort();
        for (size_t i = 0; i < c->n_differences; i++) {
                check_text(c->differences[i].subject);
                check_text(c->differences[i].aspect);
                check_text(c->differences[i].a);
                check_text(c->differences[i].b);
                check_text(c->differences[i].detail);
        }
        compare_clear(c);
}

static int file(const uint8_t *data, size_t size)
{
        int fd = memfd_create("fuzz", MFD_CLOEXEC);

        if (fd < 0 || kiln_fd_write(fd, data, size) < 0)
                abort();
        return fd;
}

static void rpms(int a, int b, bool same)
{
        static const struct kiln_compare_options shallow = {.shallow = true};
        static const struct kiln_context context = {.cancel_fd = -1};
        _cleanup_(compare_side_clear) struct compare_side x = {0}, y = {0};
        struct kiln_comparison c = {0};

        if (compare_rpm_pair(&context, a, "a.rpm", b, "b.rpm", &shallow, &c, NULL) < 0)
                return;
        if (same && c.level != KILN_SAME_FILE)
                abort();
        check(&c);
        if (compare_side_read(a, "a.rpm", &x, NULL) < 0 || compare_side_read(b, "b.rpm", &y, NULL) < 0)
                abort();
        (void)compare_payloads(&c, &x, &y, spool_dir());
        check(&c);
}

static void contents(int a, int b, bool same)
{
        struct kiln_comparison c = {0};
        struct compare_look l = {.c = &c,
                .path = "x.pyc",
                .prefix = "",
                .spool_fd = spool_dir(),
                .depth = COMPARE_LOOK_DEPTH,
                .budget = COMPARE_LOOK_BUDGET};

        if (compare_look(&l, a, b) == 0 && same == c.differs)
                abort();
        check(&c);
}

/* The first byte says what, the next three where the second half begins; 0: both are the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static void (*const targets[])(int a, int b, bool same) = {rpms, contents};
        _cleanup_close_ int a = -1, b = -1;
        size_t cut;
        bool same;

        if (size < 4)
                return 0;
        cut = (size_t)data[1] << 16 | (size_t)data[2] << 8 | data[3];
        if (data[0] == 2) {
                struct kiln_comparison c = {0};

                (void)compare_output_read((const char *)data + 4, size - 4, "x", &c, NULL);
                check(&c);
                return 0;
        }
        if (cut > size - 4)
                return 0;
        a = file(data + 4, cut ? cut : size - 4);
        b = cut ? file(data + 4 + cut, size - 4 - cut) : file(data + 4, size - 4);
        same = !cut || (cut == size - 4 - cut && memcmp(data + 4, data + 4 + cut, cut) == 0);
        targets[data[0] % 2](a, b, same);
        return 0;
}
