/* The part of report.html about what an observed build opened. */
#include "worker/pipeline/report/html.h"
#include "worker/pipeline/report/part.h"

/* A page is for people: inputs.json has the rest. */
#define PATHS_MAX 500

/* The members called `name` of those rows whose `flag` is false, which is not the same as missing. */
static json_t *rows_without(const json_t *rows, const char *flag, const char *name)
{
        json_t *names = json_array(), *row;
        size_t i;

        json_array_foreach(rows, i, row)
        {
                if (json_is_false(json_object_get(row, flag)))
                        json_array_append(names, json_object_get(row, name));
        }
        return names;
}

static void put_unused(
        const char *title, const char *none, bool complete, json_t *names, struct kiln_buf *out)
{
        kiln_report_list(title, names, SIZE_MAX, out);
        if (complete && json_array_size(names) == 0)
                kiln_html_format(out, "<p>%s</p>\n", none);
        json_decref(names);
}

static void put_tree(const json_t *tree, struct kiln_buf *out)
{
        const json_t *unopened = json_object_get(tree, "unopened");
        uint64_t opened = kiln_report_number(json_object_get(tree, "opened"), "number"),
                 rest = kiln_report_number(unopened, "number");

        if (!json_is_object(unopened)) {
                kiln_html_format(out, "<p>Not all of the unpacked sources was watched.</p>\n");
                return;
        }
        kiln_html_format(out, "<p>Of %lu files that %%prep left, %lu were opened afterwards.</p>\n",
                (unsigned long)(opened + rest), (unsigned long)opened);
        if (rest == 0)
                return;
        kiln_html_format(out, "<details><summary>%lu never opened</summary>\n", (unsigned long)rest);
        kiln_report_list(rest > PATHS_MAX ? "The first of them" : "All of them",
                json_object_get(unopened, "files"), PATHS_MAX, out);
        kiln_html_format(out, "</details>\n");
}

void kiln_report_inputs(const json_t *inputs, struct kiln_buf *out)
{
        const json_t *sources = json_object_get(inputs, "sources");
        bool root = kiln_report_bool(inputs, "complete"), complete = kiln_report_bool(sources, "complete");

        if (!json_is_object(inputs))
                return;
        kiln_html_format(out, "<section id=\"inputs\"><h2>Observed inputs</h2>\n");
        if (!root || !complete)
                kiln_html_format(out, "<p>Not all that the build opened was seen.</p>\n");
        put_unused("BuildRequires of which nothing was opened",
                "Something of every BuildRequires was opened.", root,
                rows_without(json_object_get(inputs, "buildRequires"), "used", "requirement"), out);
        put_unused("Sources and patches that were not opened", "Every source and patch was opened.", complete,
                rows_without(json_object_get(sources, "files"), "opened", "name"), out);
        put_tree(json_object_get(inputs, "tree"), out);
        kiln_html_format(out, "</section>\n");
}
