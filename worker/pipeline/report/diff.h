/* The comparison of `kiln diff --html` as a page: self-contained like report.html, every string in it is
 * text. */
#pragma once

#include "worker/base/buf.h"
#include "worker/verify/compare/compare.h"

void kiln_report_diff_write(const struct kiln_compare_report *r, struct kiln_buf *out);
