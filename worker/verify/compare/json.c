/* The report as JSON. */
#include "worker/verify/compare/private.h"

static json_t *text_or_null(const char *s)
{
        return s ? json_string(s) : json_null();
}

static json_t *strings(char *const *v)
{
        json_t *j = json_array();

        for (; v && *v; v++)
                json_array_append_new(j, json_string(*v));
        return j;
}

json_t *compare_difference_json(const struct kiln_difference *d)
{
        return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s}", "kind", kiln_difference_kind_name(d->kind),
                "subject", d->subject, "aspect", d->aspect, "a", text_or_null(d->a), "b", text_or_null(d->b),
                "detail", d->detail);
}

static json_t *comparison_json(const struct kiln_comparison *c)
{
        json_t *differences = json_array();

        for (size_t i = 0; i < c->n_differences; i++)
                json_array_append_new(differences, compare_difference_json(&c->differences[i]));
        return json_pack("{s:s, s:o, s:o, s:s, s:b, s:o, s:I, s:o}", "name", c->name, "a",
                text_or_null(c->a_name), "b", text_or_null(c->b_name), "level",
                kiln_compare_level_name(c->level), "differs", c->differs, "differences", differences,
                "differencesCut", (json_int_t)c->cut, "ignored", strings(c->ignored));
}

json_t *kiln_compare_report_json(const struct kiln_compare_report *r)
{
        json_t *pairs = json_array();

        for (size_t i = 0; i < r->n_pairs; i++)
                json_array_append_new(pairs, comparison_json(&r->pairs[i]));
        return json_pack("{s:s, s:s, s:s, s:b, s:o, s:o}", "a", r->a_name, "b", r->b_name, "level",
                kiln_compare_level_name(r->level), "differs", r->differs, "pairs", pairs, "ignored",
                strings(r->ignored));
}
