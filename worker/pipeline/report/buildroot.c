/* The part of report.html about what the build was made in. */
#include "worker/pipeline/report/html.h"
#include "worker/pipeline/report/part.h"

#include <string.h>

static const char *layer_name(const char *layer)
{
        static const struct {
                const char *name, *text;
        } layers[] = {{"BOOTSTRAP", "bootstrap"}, {"BASE", "base"}, {"DELTA", "this package\xe2\x80\x99s"}};

        for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++)
                if (strcmp(layers[i].name, layer) == 0)
                        return layers[i].text;
        return layer;
}

static void put_rounds(const json_t *rounds, struct kiln_buf *out)
{
        const json_t *round;
        size_t i;

        json_array_foreach(rounds, i, round)
        {
                size_t n = json_array_size(json_object_get(round, "packages"));
                uint64_t ms = kiln_report_number(round, "durationMs");
                char text[KILN_REPORT_TEXT];

                kiln_report_duration(ms, text);
                if (i == 0)
                        kiln_html_format(out, "<h3>As locked</h3>\n<p>%zu packages", n);
                else
                        kiln_html_format(out,
                                "<h3>Round %zu of the dynamic BuildRequires</h3>\n<p>%zu package%s more", i,
                                n, n == 1 ? "" : "s");
                if (kiln_report_bool(round, "cached"))
                        kiln_html_format(out, ", the layer was there already");
                if (ms)
                        kiln_html_format(out, ", ready after %s", text);
                if (*kiln_report_string(round, "layer"))
                        kiln_html_format(out, ", layer <code>%s</code>", kiln_report_string(round, "layer"));
                kiln_html_format(out, ".</p>\n");
                kiln_report_list("BuildRequires", json_object_get(round, "requirements"), SIZE_MAX, out);
                /* The first round's packages are the lock below. */
                if (i > 0)
                        kiln_report_list("Packages", json_object_get(round, "packages"), SIZE_MAX, out);
        }
}

static void put_packages(const json_t *lock, struct kiln_buf *out)
{
        const json_t *packages = json_object_get(lock, "packages"), *p;
        uint64_t total = 0;
        size_t n = json_array_size(packages), i;
        char text[KILN_REPORT_TEXT];

        if (n == 0)
                return;
        json_array_foreach(packages, i, p) total += kiln_report_number(p, "sizeBytes");
        kiln_report_size(total, text);
        kiln_html_format(out,
                "<details><summary>All %zu packages, %s</summary>\n<div class=\"wide\"><table "
                "class=\"packages\"><thead><tr>"
                "<th scope=\"col\">Package</th><th scope=\"col\">Layer</th><th scope=\"col\">Repository</th>"
                "<th scope=\"col\">Licence</th><th scope=\"col\" class=\"n\">Size</th>"
                "<th scope=\"col\">Signed by</th><th scope=\"col\">SHA-256</th></tr></thead><tbody>\n",
                n, text);
        json_array_foreach(packages, i, p)
        {
                const char *signer = kiln_report_string(p, "signer");

                kiln_report_size(kiln_report_number(p, "sizeBytes"), text);
                kiln_html_format(out,
                        "<tr><th scope=\"row\">%s</th><td>%s</td><td>%s</td><td>%s</td><td "
                        "class=\"n\">%s</td>"
                        "<td><code>%s</code></td><td><code class=\"digest\">%s</code></td></tr>\n",
                        kiln_report_string(p, "nevra"), layer_name(kiln_report_string(p, "layer")),
                        kiln_report_string(p, "repository"), kiln_report_string(p, "license"), text,
                        *signer ? signer : "unsigned", kiln_report_string(p, "sha256"));
        }
        kiln_html_format(out, "</tbody></table></div></details>\n");
}

static void put_repositories(const json_t *lock, struct kiln_buf *out)
{
        const json_t *repositories = json_object_get(lock, "repositories"), *r;
        size_t i;

        if (json_array_size(repositories) == 0)
                return;
        kiln_html_format(out, "<dl class=\"facts\">");
        kiln_html_format(out, "<dt>Toolchain</dt><dd>%s <code class=\"digest\">%s</code></dd>\n",
                kiln_report_string(lock, "toolchain"), kiln_report_string(lock, "toolchainDigest"));
        json_array_foreach(repositories, i, r) kiln_html_format(out,
                "<dt>Repository %s</dt><dd>%s<br>repomd.xml <code class=\"digest\">%s</code></dd>\n",
                kiln_report_string(r, "id"), kiln_report_string(r, "baseUrl"),
                kiln_report_string(r, "repomdSha256"));
        kiln_html_format(out, "</dl>\n");
}

void kiln_report_buildroot(const json_t *rounds, const json_t *lock, struct kiln_buf *out)
{
        if (json_array_size(rounds) == 0 && json_array_size(json_object_get(lock, "packages")) == 0)
                return;
        kiln_html_format(out, "<section id=\"buildroot\"><h2>Build root</h2>\n");
        put_repositories(lock, out);
        put_rounds(rounds, out);
        put_packages(lock, out);
        kiln_html_format(out, "</section>\n");
}
