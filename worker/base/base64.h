/* Standard base64 with padding (RFC 4648, section 4), as strict as its section 3.5 allows: one text for one
 * sequence of bytes, so that nothing signed or hashed has a second spelling. */
#pragma once

#include "worker/base/buf.h"

/* Appends the text of len bytes. */
void kiln_base64_encode(const void *data, size_t len, struct kiln_buf *out);

/* Appends the bytes of a text. -EINVAL: blanks, other alphabets, wrong padding, or bits behind the last byte
 * that are not zero; what was appended until then is to be thrown away. */
int kiln_base64_decode(const char *text, size_t len, struct kiln_buf *out);
