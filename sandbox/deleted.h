/* Files of the sandbox that are deleted and still open: on the disk, but in no tree. Private to the room. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Bytes of all such files of the processes whose descriptors this process may see (with SYS_PTRACE in the
 * sandbox's user namespace: the sandbox's, nested ones included, and no others): of overlays and of the file
 * systems of these directories (-1: none), not of memory. proc_fd is the host's /proc. A file that is only
 * mapped, only mounted, or only in flight in a socket, is not seen. UINT64_MAX when there are more than can
 * be looked at.
 */
uint64_t deleted_size(int proc_fd, const int *trees, size_t n_trees);
