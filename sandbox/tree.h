/* Removing and measuring trees that hostile code wrote. Private to the room. */
#pragma once

#include <stdint.h>

/* Removes dir_fd/name (one plain name) and all below: however deep, without following links, without crossing
 * mounts, with a fixed number of descriptors. Not existing is success. 0 or negative errno. */
int tree_remove(int dir_fd, const char *name);

/* Sum of st_blocks * 512 of everything below fd, which may change meanwhile. Directories nested deeper than
 * TREE_DEPTH_MAX yield -ELOOP: such a tree hides from being measured. */
#define TREE_DEPTH_MAX 1000
int tree_size(int fd, uint64_t *ret_bytes);
