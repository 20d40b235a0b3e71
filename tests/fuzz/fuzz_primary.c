/* primary.xml of arbitrary bytes, uncompressed: refused, or turned into the canonical form that libsolv reads
 * back; and read without a solver, which hands on plain file names and safe locations only. */
#include "worker/base/file.h"
#include "worker/buildroot/lock.h"
#include "worker/buildroot/published.h"
#include "worker/buildroot/solvcache.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void name_check(const char *name)
{
        if (*name == '.' || strchr(name, '/'))
                abort();
}

static void published_check(const uint8_t *data, size_t size)
{
        _cleanup_(kiln_published_freep) struct kiln_published *p = NULL;
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        FILE *in = size ? fmemopen((void *)data, size, "r") : NULL;

        if (!in)
                return;
        if (kiln_published_parse(in, "fuzz", &p, &err) == 0)
                for (size_t i = 0; i < p->n_packages; i++) {
                        name_check(p->packages[i].file_name);
                        name_check(p->packages[i].source_rpm);
                        if (!kiln_location_is_safe(p->packages[i].location) ||
                                kiln_published_find(p, p->packages[i].file_name) != &p->packages[i])
                                abort();
                }
        fclose(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_buf_ struct kiln_buf canonical = KILN_BUF_INIT;
        size_t left_out;
        _cleanup_close_ int fd = memfd_create("fuzz", MFD_CLOEXEC);
        Pool *pool;
        Solvable *s;
        Repo *repo;
        Id p;

        published_check(data, size);
        if (fd < 0 || kiln_fd_write(fd, data, size) < 0)
                return 0;
        if (solvcache_convert(fd, "primary.xml", 0, "fuzz", &canonical, &left_out, &err) == 0) {
                pool = pool_create();
                pool_setdisttype(pool, DISTTYPE_RPM);
                repo = repo_create(pool, "fuzz");
                if (solvcache_parse(&canonical, repo) != 0)
                        abort();
                FOR_REPO_SOLVABLES(repo, p, s)
                {
                        const char *location = solvable_get_location(s, NULL);

                        if (!location || !kiln_location_is_safe(location))
                                abort();
                }
                pool_addfileprovides(pool);
                pool_createwhatprovides(pool);
                pool_free(pool);
        }
        return 0;
}
