/* Files and trees: bounded reads, atomic writes, removal that cannot be led astray by links.
 *
 * Every function takes a directory descriptor and a path below it (AT_FDCWD and an absolute path are fine)
 * and returns 0 or a descriptor, or negative errno. Nothing here follows a link it did not make, except where
 * said. */
#pragma once

#include "worker/base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads a whole regular file of at most max bytes (-EFBIG above that) behind what *out holds. Follows links.
 */
int kiln_file_read(int dir_fd, const char *path, size_t max, struct kiln_buf *out);
int kiln_fd_read(int fd, size_t max, struct kiln_buf *out); /* from the current position to the end */

/* Writes aside (".<name>.<random>" in the same directory), fsyncs, renames over path, fsyncs the directory.
 */
int kiln_file_write(int dir_fd, const char *path, const void *data, size_t len, mode_t mode);

/* write(2) until everything is written. */
int kiln_fd_write(int fd, const void *data, size_t len);

/* Up to len bytes from an offset, fewer only at the end of the file: how many, or negative errno. */
ssize_t kiln_fd_read_at(int fd, void *data, size_t len, uint64_t offset);

/* flock(2), begun anew when a signal interrupts it. */
int kiln_fd_lock(int fd, int how);

/* Copies all of `in` (from offset 0) to `out`'s current position; copy_file_range where it works. */
int kiln_fd_copy(int in, int out, uint64_t *ret_bytes);

/* mkdir -p; returns an O_PATH-free O_DIRECTORY descriptor of the last component. Follows links in the parents
 * (they are the user's configuration), refuses one as the last component. */
int kiln_dir_make(int dir_fd, const char *path, mode_t mode);

/* A new directory "<prefix><random>" with mode 0700; *ret_name is its name below dir_fd, the caller's.
 * Returns its descriptor. */
int kiln_dir_make_temp(int dir_fd, const char *prefix, char **ret_name);

/* Removes path and everything below it; crosses no mount point and follows no link. A path that does not
 * exist is success. Makes directories writable where it must. */
int kiln_tree_remove(int dir_fd, const char *path);

/* Sum of st_blocks*512 below dir_fd/path (hard links counted once per link). */
int kiln_tree_size(int dir_fd, const char *path, uint64_t *ret_bytes);

/* Whether the file system behind fd has no room: hardly any, or little when somebody (`said`) complained of
 * it. What ran out of room has often removed its unfinished files before it is asked. */
bool kiln_fd_is_full(int fd, bool said);

bool kiln_file_exists(int dir_fd, const char *path);

/* "/a/b" + "c" -> "/a/b/c"; the caller's. */
char *kiln_path_join(const char *dir, const char *name);

/* The part behind the last '/'; points into path. */
const char *kiln_path_base(const char *path);
