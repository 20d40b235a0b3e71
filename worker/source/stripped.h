/* The file list in the header of a source package, for payloads that name files by their place in it (package
 * format 6, rpm's lib/rpmfi.c). Hostile bytes: for the sandbox only. Not for other rooms. */
#pragma once

#include "worker/source/rpmlayout.h"

struct stripped_file {
        const char *name; /* points into the layout */
        uint64_t bytes;
        unsigned mode;
        int64_t mtime_s;
        bool linked; /* another file has the same inode */
};

struct stripped {
        struct kiln_rpm_layout layout;
        struct stripped_file *files; /* in the header's order; NULL before stripped_read() */
        size_t n;
};

/* BAD_INPUT when fd is no package, or when its lists do not fit together. */
int stripped_read(int fd, const char *name, struct stripped *ret, struct kiln_error *err);
void stripped_clear(struct stripped *s);
