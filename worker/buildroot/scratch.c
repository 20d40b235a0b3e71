/* See scratch.h. The lease lies beside the root, where nothing that runs in it can reach it. */
#include "worker/buildroot/scratch.h"

#include "worker/base/file.h"
#include "worker/base/lease.h"
#include "worker/base/mem.h"
#include "worker/buildroot/layer.h"

#include <fcntl.h>

int kiln_scratch_make(const struct kiln_context *c, const struct kiln_idmap *idmap, struct kiln_scratch *s,
        struct kiln_error *err)
{
        _cleanup_free_ char *path = kiln_path_join(c->cache_dir, "build");
        struct kiln_sandbox_error e = {0};
        int r;

        s->idmap = idmap;
        s->parent_fd = kiln_dir_make(AT_FDCWD, path, 0755);
        if (s->parent_fd < 0)
                return kiln_error_set(
                        err, KILN_INFRA, s->parent_fd, "opening", path, "the scratch directories");
        r = kiln_lease_make(s->parent_fd, "", &s->name, &s->dir_fd, &s->lease_fd);
        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, r, "making", path, "a scratch directory in it");
        s->root_fd = kiln_idmap_mkdir(idmap, s->dir_fd, "root", 0, 0, &e);
        if (s->root_fd < 0)
                return kiln_error_from_sandbox(err, &e, "making", "a scratch directory");
        return 0;
}

void kiln_scratch_remove(struct kiln_scratch *s)
{
        struct kiln_sandbox_error e;

        kiln_closep(&s->root_fd);
        kiln_closep(&s->dir_fd);
        if (s->name)
                kiln_idmap_rmtree(s->idmap, s->parent_fd, s->name, &e);
        kiln_closep(&s->lease_fd);
        kiln_closep(&s->parent_fd);
        free(s->name);
        *s = (struct kiln_scratch)KILN_SCRATCH_INIT;
}
