/* The one parser for integers that come from outside. */
#pragma once

#include <stdint.h>

/* Decimal digits only: no sign, no space, no prefix, nothing behind, value <= max. Otherwise -EINVAL
 * (not a number) or -ERANGE (too large); *ret is untouched then. */
int kiln_number_parse(const char *s, uint64_t max, uint64_t *ret);

/* The same with an optional suffix K, M, G or T (powers of 1024). */
int kiln_size_parse(const char *s, uint64_t max, uint64_t *ret_bytes);

/* The same with an optional suffix s, m or h; plain numbers are seconds. */
int kiln_duration_parse(const char *s, uint64_t max_s, uint64_t *ret_s);
