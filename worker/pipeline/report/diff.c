#include "worker/pipeline/report/diff.h"

#include "worker/pipeline/report/html.h"
#include "worker/pipeline/report/part.h"

#include <string.h>

static void put_strings(const char *title, char *const *v, struct kiln_buf *out)
{
        if (!v || !*v)
                return;
        kiln_html_format(out, "<h3>%s</h3>\n<ul class=\"findings\">", title);
        for (; *v; v++)
                kiln_html_format(out, "<li>%s</li>", *v);
        kiln_html_format(out, "</ul>\n");
}

static void put_value(const char *value, struct kiln_buf *out)
{
        if (value)
                kiln_html_format(out, "<td><code>%s</code></td>", value);
        else
                kiln_html_format(out, "<td><em>absent</em></td>");
}

static void put_difference(const struct kiln_difference *d, bool repeated, struct kiln_buf *out)
{
        kiln_html_format(out, "<tr><th scope=\"row\">%s</th><td>%s</td><td>%s%s%s</td>",
                repeated ? "" : d->subject, repeated ? "" : kiln_difference_kind_words(d->kind), d->aspect,
                *d->aspect && *d->detail ? ": " : "", d->detail);
        put_value(d->a, out);
        put_value(d->b, out);
        kiln_html_format(out, "</tr>\n");
}

static void put_pair(const struct kiln_comparison *c, size_t number, struct kiln_buf *out)
{
        kiln_html_format(out,
                "<section id=\"pair-%zu\" class=\"%s\"><h2>%s</h2>\n<p><span "
                "class=\"badge\">%s</span>%s</p>\n",
                number, c->differs ? "bad" : "good", c->name, c->differs ? "differs" : "same",
                c->a_name && c->b_name ? kiln_compare_level_words(c->level)
                : c->a_name            ? "only in A"
                                       : "only in B");
        if (c->n_differences) {
                kiln_html_format(out, "<div class=\"wide\"><table class=\"differences\"><thead><tr><th "
                                      "scope=\"col\">What</th><th "
                                      "scope=\"col\">Kind</th>"
                                      "<th scope=\"col\">Where</th><th scope=\"col\">A</th><th "
                                      "scope=\"col\">B</th></tr></thead>\n<tbody>\n");
                for (size_t i = 0; i < c->n_differences; i++)
                        put_difference(&c->differences[i],
                                i > 0 &&
                                        strcmp(c->differences[i].subject, c->differences[i - 1].subject) ==
                                                0 &&
                                        c->differences[i].kind == c->differences[i - 1].kind,
                                out);
                kiln_html_format(out, "</tbody></table></div>\n");
        }
        if (c->cut)
                kiln_html_format(
                        out, "<p>And %lu more differences that are not shown.</p>\n", (unsigned long)c->cut);
        put_strings("Ignored", c->ignored, out);
        kiln_html_format(out, "</section>\n");
}

void kiln_report_diff_write(const struct kiln_compare_report *r, struct kiln_buf *out)
{
        size_t different = 0;

        for (size_t i = 0; i < r->n_pairs; i++)
                different += r->pairs[i].differs;
        kiln_report_head("Kiln comparison", out);
        kiln_html_format(out,
                "<header class=\"%s\">\n<p class=\"brand\">Kiln comparison</p>\n<h1>%s</h1>\n<p "
                "class=\"verdict\">"
                "<span class=\"badge\">%s</span>%zu of %zu pairs differ</p>\n<dl "
                "class=\"facts\"><dt>A</dt><dd>%s</dd>"
                "<dt>B</dt><dd>%s</dd></dl>\n</header>\n<main>\n",
                r->differs ? "bad" : "good", r->n_pairs == 1 ? r->pairs[0].name : "Two results",
                r->differs ? "NOT_REPRODUCED" : "OK", different, r->n_pairs, r->a_name, r->b_name);
        for (size_t i = 0; i < r->n_pairs; i++)
                put_pair(&r->pairs[i], i + 1, out);
        if (r->ignored) {
                kiln_html_format(out, "<section id=\"ignored\"><h2>Not compared</h2>\n");
                put_strings("Of one run", r->ignored, out);
                kiln_html_format(out, "</section>\n");
        }
        kiln_html_format(out, "</main>\n</body>\n</html>\n");
}
