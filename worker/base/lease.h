/* Directories that die with their owner: <parent>/<name>/lease is locked as long as the owner lives, and
 * whoever finds one without an owner may remove it. The kernel ends a lease with the process, so no clock is
 * involved. */
#pragma once

#include <stdbool.h>

/* A new directory "<prefix><random>" below parent_fd, with a lease. Returns 0 or negative errno; the name and
 * both descriptors are the caller's. Removing the tree is too, before the lease's descriptor is closed. */
int kiln_lease_make(int parent_fd, const char *prefix, char **ret_name, int *ret_dir_fd, int *ret_lease_fd);

/* Whether the directory `name` below parent_fd has no owner: its lease is not held, or it has none, and
 * nobody is just making one. Then *ret_lease_fd is its lease, taken, or -1; to be closed by the caller after
 * the removal. */
bool kiln_lease_is_dead(int parent_fd, const char *name, int *ret_lease_fd);
