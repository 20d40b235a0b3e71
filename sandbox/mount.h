/* Mounts by descriptor. Private to the room. */
#pragma once

#include "sandbox/sandbox.h"
#include "sandbox/step.h"

/* A detached copy of the mount tree at what source_fd refers to. source_fd was opened in the caller's mount
 * namespace, in which this process has no power, so its path is resolved anew in this process's own copy and
 * must lead to the same inode. Returns a mount descriptor. `step` names it in errors. */
int mount_source(
        const struct step_hook *hook, int source_fd, const char *step, struct kiln_sandbox_error *err);

/* A detached tree of the host's path, which must be a device node with this number. */
int mount_device(const struct step_hook *hook, const char *path, unsigned major, unsigned minor,
        struct kiln_sandbox_error *err);

struct mount_option {
        const char *key;
        const char *value; /* NULL: a flag */
};

/* A new detached file system. `attributes`: MOUNT_ATTR_*. Options end with a NULL key. */
int mount_new(const struct step_hook *hook, const char *type, const struct mount_option *options,
        uint64_t attributes, const char *step, struct kiln_sandbox_error *err);

/* Sets MOUNT_ATTR_* on the mount fd, on all of its tree when `recursive`. */
int mount_attributes(const struct step_hook *hook, int fd, uint64_t set, bool recursive, const char *step,
        struct kiln_sandbox_error *err);

/* Attaches a detached tree on target_fd. */
int mount_attach(const struct step_hook *hook, int tree_fd, int target_fd, const char *step,
        struct kiln_sandbox_error *err);

/* Finds the absolute path inside the root (never leaving it, whatever links it holds), making missing
 * directories, and a missing last component as directory or empty file. Returns an O_PATH descriptor, or
 * negative errno. */
int mount_target(const struct step_hook *hook, int root_fd, const char *path, bool directory,
        struct kiln_sandbox_error *err);

/* Only finds it. */
int mount_lookup(int root_fd, const char *path, uint64_t flags);
