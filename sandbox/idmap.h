/* Writing a user namespace's id maps. Private to the room. */
#pragma once

#include "sandbox/sandbox.h"

/* Writes uid_map, gid_map (and setgroups) of the process `pid`, which has unshared its user namespace and
 * waits. */
int idmap_write(const struct kiln_idmap *map, pid_t pid, struct kiln_sandbox_error *err);

/* Becomes id 0 of the namespace just mapped, without the caller's supplementary groups where they can be
 * dropped. */
int idmap_become_root(const struct kiln_idmap *map, struct kiln_sandbox_error *err);

/* The outside uid and gid of an inside one, or -ERANGE. */
int idmap_outer(
        const struct kiln_idmap *map, uid_t inner_uid, gid_t inner_gid, uid_t *ret_uid, gid_t *ret_gid);

/* The first entry of an /etc/subuid like file for this user that has at least `count` ids; 0 or -ENOENT. */
int idmap_range_find(const char *path, const char *user, uid_t uid, uint64_t count, uint32_t *ret_first);
