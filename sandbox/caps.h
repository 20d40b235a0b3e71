/* Capabilities. Private to the room. */
#pragma once

#include <linux/capability.h>
#include <stdbool.h>
#include <stddef.h>

/* What the installing program keeps of the first user namespace's capabilities. */
extern const int caps_install[];
extern const size_t n_caps_install;

/* Makes `keep` the whole of this process's capabilities: bounding set, permitted, effective; inheritable and
 * ambient empty. Without `keep`, also locks the securebits so that id 0 is nothing special. 0, or -1 with
 * errno. */
int caps_bound(const int *keep, size_t n);
int caps_set(const int *keep, size_t n);

/* Keeps only `keep` in the permitted and effective sets of a supervising process. 0, or -1 with errno. */
int caps_reduce(const int *keep, size_t n);
